//! Backward errors as LAPACK's test programs measure them, and what each policy promises.
//!
//! Thresholds: 30 for factorizations and solutions (`dtest.in`), 60 for eigenvalues (`sep.in`).

use super::*;
use crate::error::Error;

const ORDERS: [usize; 20] =
    [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 31, 32, 33, 50, 64, 65, 96, 97, 128, 129];

/// Uniform on (−½, ½), xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn vector(&mut self, d: usize) -> Vec<f64> {
        (0..d).map(|_| self.next()).collect()
    }

    /// H₂H₁ diag(λ) H₁H₂ with reflections H = I − 2vvᵀ/vᵀv, packed.
    fn with_spectrum(&mut self, values: &[f64]) -> Vec<f64> {
        let d = values.len();
        let mut square = vec![0.0; d * d];
        (0..d).for_each(|a| square[a * d + a] = values[a]);
        for _ in 0..2 {
            let v = self.vector(d);
            let two = 2.0 / dot(&v, &v);
            // Rows, then columns.
            for _ in 0..2 {
                for row in square.chunks_exact_mut(d) {
                    let s = two * dot(row, &v);
                    row.iter_mut().zip(&v).for_each(|(r, v)| *r -= s * v);
                }
                square = (0..d * d).map(|i| square[i % d * d + i / d]).collect();
            }
        }
        packed::pack(&square, d).collect()
    }
}

/// Whole numbers have exact sums in any order: no number may be left out or counted twice, at whatever length.
#[test]
fn sums_of_any_length_are_whole() {
    for n in (0..200).chain([1023, 1024, 1025]) {
        let x: Vec<i32> = (0..n).map(|i| i * 7919 % 211 - 105).collect();
        let y: Vec<i32> = (0..n).map(|i| i * 104_729 % 223 - 111).collect();
        let exact: i32 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        let [mut x, y] = [x, y].map(|v| v.into_iter().map(f64::from).collect::<Vec<f64>>());
        assert!(dot(&x, &y) == f64::from(exact), "{n}");
        let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x - 3.0 * y).collect();
        add_multiple(&mut x, -3.0, &y);
        assert!(x == expected, "{n}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Definite,
    IllConditioned,
    Huge,
    Tiny,
    Diagonal,
    Singular,
    Mixed,
    MixedHuge,
    MixedTiny,
    Negative,
}

use Kind::*;

const DEFINITE: [Kind; 5] = [Definite, IllConditioned, Huge, Tiny, Diagonal];
const OTHERS: [Kind; 5] = [Singular, Mixed, MixedHuge, MixedTiny, Negative];

fn matrix(kind: Kind, d: usize) -> Vec<f64> {
    let random = &mut Random(88172645463325252 + d as u64);
    let last = (d.max(2) - 1) as f64;
    let values: Vec<f64> = (0..d)
        .map(|i| {
            let value = 1.0 + i as f64 / last;
            let signed = if i % 2 == 0 { -value } else { value };
            match kind {
                Definite | Diagonal => value,
                IllConditioned => 10_f64.powf(-12.0 * i as f64 / last),
                Huge => 1e150 * value,
                Tiny => 1e-150 * value,
                Singular => i as f64,
                Mixed => signed,
                MixedHuge => 1e150 * signed,
                MixedTiny => 1e-150 * signed,
                Negative => -value,
            }
        })
        .collect();
    match kind {
        Diagonal => (0..d)
            .flat_map(|a| (0..=a).map(move |b| if a == b { 1.0 + a as f64 } else { 0.0 }))
            .collect(),
        _ => random.with_spectrum(&values),
    }
}

fn entry(lower: &[f64], a: usize, b: usize) -> f64 {
    let (a, b) = (a.max(b), a.min(b));
    lower[a * (a + 1) / 2 + b]
}

/// ‖B‖₁ = ‖B‖∞.
fn norm(lower: &[f64], d: usize) -> f64 {
    packed::norm(lower, d, 1.0, &mut vec![0.0; d])
}

fn one_norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v.abs()).sum()
}

/// `dpot01`: ‖LLᵀ − B‖ / (d ‖B‖ u).
fn factor_ratio(l: &[f64], b: &[f64], d: usize) -> f64 {
    let rows: Vec<&[f64]> = packed::rows(l, d).collect();
    let error: Vec<f64> = (0..d)
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .map(|(i, j)| dot(&rows[i][..=j], rows[j]) - entry(b, i, j))
        .collect();
    norm(&error, d) / norm(b, d) / (d as f64 * U)
}

/// `dpot02`: ‖b − Bx‖ / (‖B‖ ‖x‖ u).
fn solve_ratio(matrix: &[f64], x: &[f64], b: &[f64]) -> f64 {
    let d = x.len();
    let residual: Vec<f64> =
        (0..d).map(|i| b[i] - (0..d).map(|j| entry(matrix, i, j) * x[j]).sum::<f64>()).collect();
    one_norm(&residual) / norm(matrix, d) / one_norm(x) / U
}

/// (B̃ + μI)⁻¹, packed, by solving with the unit vectors.
fn inverse(factor: &Factor<'_>, mu: f64) -> Vec<f64> {
    let d = factor.order();
    let mut square = vec![0.0; d * d];
    for (a, column) in square.chunks_exact_mut(d).enumerate() {
        column[a] = 1.0;
        factor.solve(mu, column).unwrap();
    }
    packed::pack(&square, d).collect()
}

#[test]
fn cholesky_is_backward_stable() {
    for d in ORDERS {
        for kind in DEFINITE {
            let b = matrix(kind, d);
            let factor = Cholesky::new(&b, d).unwrap();
            let l = factor.lower();
            let ratio = factor_ratio(&l, &b, d);
            assert!(ratio < 30.0, "dpot01 {kind:?} {d}: {ratio}");
            let rhs = Random(7).vector(d);
            let mut x = rhs.clone();
            factor.solve(&mut x).unwrap();
            let ratio = solve_ratio(&b, &x, &rhs);
            assert!(ratio < 30.0, "dpot02 {kind:?} {d}: {ratio}");
            // dpot03: ‖I − B B⁻¹‖ / (d ‖B‖ ‖B⁻¹‖ u).
            let inverse = factor.inverse().unwrap();
            let product: Vec<Vec<f64>> = (0..d)
                .map(|i| {
                    let row = |j| (0..d).map(|k| entry(&b, i, k) * entry(&inverse, k, j)).sum();
                    (0..d).map(row).collect()
                })
                .collect();
            let error = (0..d).flat_map(|i| {
                let product = &product;
                (0..d).map(move |j| (product[i][j] - f64::from(u8::from(i == j))).abs())
            });
            let condition = norm(&b, d) * norm(&inverse, d);
            let ratio = error.fold(0.0, f64::max) / condition / U;
            assert!(ratio < 30.0, "dpot03 {kind:?} {d}: {ratio}");
            let log = eigenvalues(&b, d).unwrap().iter().map(|v| v.ln()).sum::<f64>();
            let off = (factor.log_determinant() - log).abs();
            assert!(off < 30.0 * d as f64 * U * condition.max(log.abs()), "{kind:?} {d}: {off}");
        }
    }
}

/// Orders about the edges of the tiles of a large factorization.
#[test]
fn large_factors_are_backward_stable_and_no_thread_changes_a_bit() {
    for d in [512, 513, 1024, 1025, 1279, 1280, 1281] {
        let b = matrix(IllConditioned, d);
        let factor = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Cholesky::new(&b, d)).unwrap()
        };
        let found = factor(1);
        assert!(found == factor(3), "{d}");
        let ratio = factor_ratio(&found.lower(), &b, d);
        assert!(ratio < 30.0, "dpot01 {d}: {ratio}");
        // A pivot that is not positive is named, in whatever tile it is.
        for at in [0, d / 2, d - 1] {
            let mut b = b.clone();
            b[at * (at + 1) / 2 + at] = -1.0;
            let Err(Error::NotPositiveDefinite { pivot, .. }) = Cholesky::new(&b, d) else {
                panic!("{d}, {at}");
            };
            assert_eq!(pivot, at, "{d}");
        }
    }
}

#[test]
fn eigenvalues_and_vectors_are_backward_stable() {
    for d in ORDERS {
        for kind in DEFINITE.into_iter().chain(OTHERS) {
            let b = matrix(kind, d);
            let (values, v) = eigen(&b, d).unwrap();
            assert!(values.is_sorted());
            let only = eigenvalues(&b, d).unwrap();
            let size = norm(&b, d).max(f64::MIN_POSITIVE);
            for (x, y) in values.iter().zip(&only) {
                assert!((x - y).abs() / size < 60.0 * d as f64 * U);
            }
            let rows: Vec<&[f64]> = v.chunks_exact(d).collect();
            let mut residual: f64 = 0.0;
            let mut skew: f64 = 0.0;
            for i in 0..d {
                let columns = (0..d).map(|a| {
                    let bv: f64 = (0..d).map(|c| entry(&b, a, c) * rows[i][c]).sum();
                    (bv - values[i] * rows[i][a]).abs()
                });
                residual = residual.max(columns.sum());
                let dots =
                    (0..d).map(|j| (dot(rows[i], rows[j]) - f64::from(u8::from(i == j))).abs());
                skew = skew.max(dots.sum());
            }
            let ratio = residual / size / (d as f64 * U);
            assert!(ratio < 60.0, "residual {kind:?} {d}: {ratio}");
            let ratio = skew / (d as f64 * U);
            assert!(ratio < 60.0, "orthogonality {kind:?} {d}: {ratio}");
        }
    }
}

#[test]
fn all_policies_are_one_where_the_matrix_is_definite() {
    for d in ORDERS {
        for kind in DEFINITE {
            let b = matrix(kind, d);
            let rhs = Random(3).vector(d);
            for share in [0.0, 1e-9, 1.0, 1e9] {
                let mu = share * norm(&b, d);
                let mut shifted = b.clone();
                (0..d).for_each(|a| shifted[a * (a + 1) / 2 + a] += mu);
                let mut first: Option<Vec<f64>> = None;
                for policy in Indefinite::ALL {
                    let factor = Factor::new(&b, d, policy).unwrap();
                    let mut x = rhs.clone();
                    let modification = factor.solve(mu, &mut x).unwrap();
                    assert_eq!(modification, Modification::default());
                    let ratio = solve_ratio(&shifted, &x, &rhs);
                    assert!(ratio < 30.0, "{policy} {kind:?} {d} {mu:e}: {ratio}");
                    // Not to rounding only: to the bit.
                    assert_eq!(&x, first.get_or_insert_with(|| x.clone()), "{policy} {kind:?}");
                }
            }
        }
    }
}

#[test]
fn an_indefinite_matrix_is_made_positive_definite() {
    for d in [1, 2, 3, 5, 9, 10, 33, 65, 129] {
        for kind in OTHERS {
            let b = matrix(kind, d);
            let size = norm(&b, d);
            let floor = d as f64 * U * size;
            let lowest = eigenvalues(&b, d).unwrap()[0];
            let g = Random(11).vector(d);
            for policy in Indefinite::ALL {
                let factor = Factor::new(&b, d, policy).unwrap();
                for mu in [0.0, 0.1 * size] {
                    let case = format!("{policy} {kind:?} {d} {mu:e}");
                    let mut x = g.clone();
                    let modification = factor.solve(mu, &mut x).unwrap();
                    assert!(dot(&g, &x) > 0.0, "{case}: −x is no descent direction");
                    if kind != Singular && lowest + mu < 0.0 {
                        assert!(modification.indefinite, "{case}");
                    }
                    if mu > 0.0 && kind == Singular {
                        assert!(!modification.indefinite, "{case}: {modification:?}");
                    }
                    if size == 0.0 {
                        continue;
                    }
                    if let Some(value) = modification.lowest {
                        assert!((value - lowest).abs() < 60.0 * floor, "{case}");
                    }
                    let inverse = inverse(&factor, mu);
                    let spectrum = eigenvalues(&inverse, d).unwrap();
                    let smallest = 1.0 / spectrum[d - 1];
                    if kind == Singular && mu == 0.0 {
                        // The inverse of order 1/u is known to its order of magnitude; of ldlt the
                        // floor bounds D, and L takes its share.
                        let share = match policy {
                            Indefinite::ModifiedLdlt => 1e-4,
                            _ => 0.1,
                        };
                        let factor = smallest / floor;
                        assert!(factor > share, "{case}: {factor} of the floor");
                        continue;
                    }
                    let least = match policy {
                        Indefinite::Absolute | Indefinite::Clip => floor.max(mu),
                        _ => floor,
                    };
                    assert!(spectrum[0] > 0.0 && smallest > 0.99 * least, "{case}");
                    if policy != Indefinite::Shift {
                        continue;
                    }
                    let norm_of_change = modification.change;
                    let bound = 2.0 * (-lowest - mu).max(0.0) + 1e-3 * size;
                    assert!(norm_of_change <= bound, "{case}: τ = {norm_of_change:e}");
                }
            }
        }
    }
}

#[test]
fn the_spectral_policies_do_what_they_say() {
    let (d, mu) = (33, 0.25);
    let b = matrix(Mixed, d);
    let (values, vectors) = eigen(&b, d).unwrap();
    type Map = fn(f64) -> f64;
    let policies: [(Indefinite, Map); 2] =
        [(Indefinite::Absolute, f64::abs), (Indefinite::Clip, |v| v.max(0.0))];
    for (policy, map) in policies {
        let factor = Factor::new(&b, d, policy).unwrap();
        for (value, v) in values.iter().zip(vectors.chunks_exact(d)) {
            let mut x = v.to_vec();
            factor.solve(mu, &mut x).unwrap();
            for (x, v) in x.iter().zip(v) {
                assert!((x - v / (map(*value) + mu)).abs() < 1e-13, "{policy}");
            }
        }
    }
}

/// B̃ − B is positive semidefinite, on which `Steps::reduction` relies.
#[test]
fn the_modified_factorization_lies_above_the_matrix() {
    for d in [2, 3, 5, 10, 33, 65] {
        let b = matrix(Mixed, d);
        for policy in Indefinite::ALL {
            let factor = Factor::new(&b, d, policy).unwrap();
            // Damped, since the inverse of a matrix that was clipped to rounding says nothing.
            let inverse = inverse(&factor, 0.1);
            let modified = Cholesky::new(&inverse, d).unwrap().inverse().unwrap();
            let mut change: Vec<f64> = modified.iter().zip(&b).map(|(m, b)| m - b).collect();
            (0..d).for_each(|a| change[a * (a + 1) / 2 + a] -= 0.1);
            let lowest = eigenvalues(&change, d).unwrap()[0];
            assert!(lowest > -1e-11 * norm(&modified, d), "{policy} {d}: {lowest:e}");
        }
    }
}

/// The factorization PBPᵀ = LDLᵀ itself, unmodified: `dsyt01` by way of a solution.
#[test]
fn ldlt_solves_definite_systems_like_cholesky() {
    for d in ORDERS {
        for kind in DEFINITE {
            let b = matrix(kind, d);
            let mut work = Workspace::new();
            work.reserve(d).unwrap();
            let scale = packed::power_of_two(largest(&b));
            packed::unpack(&b, d, scale, 0.0, &mut work.matrix);
            let rhs = Random(5).vector(d);
            let mut x = rhs.clone();
            assert_eq!(ldlt::solve(&mut work, d, 0.0, &mut x).unwrap(), 0.0);
            x.iter_mut().for_each(|v| *v /= scale);
            let ratio = solve_ratio(&b, &x, &rhs);
            assert!(ratio < 30.0, "{kind:?} {d}: {ratio}");
        }
    }
    // [[1, 4], [4, 1]] has one block of order 2 and eigenvalues 5 and −3: B̃ = [[4, 1], [1, 4]].
    let factor = Factor::new(&[1.0, 4.0, 1.0], 2, Indefinite::ModifiedLdlt).unwrap();
    let mut x = [5.0, 5.0];
    let modification = factor.solve(0.0, &mut x).unwrap();
    assert!((x[0] - 1.0).abs() + (x[1] - 1.0).abs() < 1e-15);
    assert!((modification.change - 6.0).abs() < 1e-14);
}

#[test]
fn powers_of_two_change_no_bit() {
    let d = 33;
    for kind in [Definite, Mixed] {
        let b = matrix(kind, d);
        let rhs = Random(1).vector(d);
        for policy in Indefinite::ALL {
            let mut x = rhs.clone();
            Factor::new(&b, d, policy).unwrap().solve(0.5, &mut x).unwrap();
            for power in [2_f64.powi(-900), 2_f64.powi(900)] {
                let scaled: Vec<f64> = b.iter().map(|v| v * power).collect();
                let mut y = rhs.clone();
                let factor = Factor::new(&scaled, d, policy).unwrap();
                factor.solve(0.5 * power, &mut y).unwrap();
                assert!(x.iter().zip(&y).all(|(x, y)| x / power == *y), "{policy} {kind:?}");
            }
        }
    }
}

#[test]
fn zero_matrices_and_small_orders_are_defined() {
    for policy in Indefinite::ALL {
        for d in [1, 2, 9] {
            let zero = vec![0.0; d * (d + 1) / 2];
            let factor = Factor::new(&zero, d, policy).unwrap();
            for (mu, scale) in [(0.0, 1.0), (4.0, 0.25), (1e-300, 1e300), (1e300, 1e-300)] {
                let mut x = vec![2.0; d];
                let modification = factor.solve(mu, &mut x).unwrap();
                assert!(x.iter().all(|x| (x / (2.0 * scale) - 1.0).abs() < 1e-15), "{x:?}");
                assert!(!modification.indefinite);
            }
            // Beyond the range of f64: an error, and the right-hand side is kept.
            let mut x = vec![1e300; d];
            assert!(matches!(factor.solve(1e-300, &mut x), Err(Error::Numerical { .. })));
            assert_eq!(x, vec![1e300; d]);
            // Zero right-hand side.
            let mut x = vec![0.0; d];
            factor.solve(0.0, &mut x).unwrap();
            assert_eq!(x, vec![0.0; d]);
        }
        let empty = Factor::new(&[], 0, policy).unwrap();
        assert_eq!(empty.solve(1.0, &mut []).unwrap(), Modification::default());
        for (b, x) in [(4.0, 0.25), (-4.0, 0.25)] {
            let one = [b];
            let factor = Factor::new(&one, 1, policy).unwrap();
            let mut found = [1.0];
            factor.solve(0.0, &mut found).unwrap();
            match policy {
                _ if b > 0.0 => assert_eq!(found, [x]),
                // τ₁ = 4 + 4·10⁻³, cut to its last bits by the subtraction.
                Indefinite::Shift => assert!((found[0] - 250.0).abs() < 1e-9),
                Indefinite::Clip => assert_eq!(found, [0.25 / U]),
                _ => assert_eq!(found, [x]),
            }
        }
    }
    let empty = Cholesky::new(&[], 0).unwrap();
    assert_eq!((empty.log_determinant(), empty.inverse().unwrap()), (0.0, vec![]));
    assert!(eigenvalues(&[], 0).unwrap().is_empty());
    assert_eq!(eigenvalues(&[-3.0], 1).unwrap(), [-3.0]);
    assert_eq!(eigenvalues(&[0.0; 3], 2).unwrap(), [0.0; 2]);
}

/// A singular matrix: g in its range or not, the step is finite, and in range it is not long.
#[test]
fn singular_systems_have_finite_solutions() {
    // A unit that is never active: its rows and columns are zero, and so is its gradient.
    let dead = [2.0, 1.0, 2.0, 0.0, 0.0, 0.0];
    for policy in Indefinite::ALL {
        let factor = Factor::new(&dead, 3, policy).unwrap();
        let mut x = [3.0, 3.0, 0.0];
        factor.solve(0.0, &mut x).unwrap();
        assert!((x[0] - 1.0).abs() < 2e-2 && x[0] == x[1] && x[2] == 0.0, "{policy} {x:?}");
        let mut outside = [3.0, 3.0, 1.0];
        factor.solve(0.0, &mut outside).unwrap();
        assert!(outside.iter().all(|v| v.is_finite()), "{policy}");
        let mut damped = [3.0, 3.0, 1.0];
        factor.solve(0.5, &mut damped).unwrap();
        assert!((damped[2] - 2.0).abs() < 1e-14, "{policy}");
    }
}

#[test]
fn errors_say_what_and_where() {
    for d in [3, 97, 200] {
        let mut b = matrix(Definite, d);
        b[d * (d + 1) / 2 - 1] = -1.0;
        let found = Cholesky::new(&b, d);
        assert!(matches!(found, Err(Error::NotPositiveDefinite { pivot, .. }) if pivot == d - 1));
        b[d * (d - 1) / 2 - 1] = -1.0;
        let found = Cholesky::new(&b, d);
        assert!(matches!(found, Err(Error::NotPositiveDefinite { pivot, .. }) if pivot == d - 2));
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in 0..6 {
            let mut b = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
            b[at] = value;
            let is = |e: Error| matches!(e, Error::NonFinite { at: i, .. } if i == [at]);
            assert!(is(Cholesky::new(&b, 3).unwrap_err()));
            assert!(is(eigenvalues(&b, 3).unwrap_err()));
            assert!(is(Factor::new(&b, 3, Indefinite::Shift).unwrap_err()));
        }
    }
    assert!(matches!(eigenvalues(&[1.0; 4], 2), Err(Error::Shape { .. })));
    assert!(matches!(eigenvalues(&[], usize::MAX), Err(Error::TooLarge { .. })));
    let factor = Factor::new(&[1.0], 1, Indefinite::Clip).unwrap();
    assert!(matches!(factor.solve(-1.0, &mut [1.0]), Err(Error::Invalid { .. })));
    assert!(matches!(factor.solve(f64::NAN, &mut [1.0]), Err(Error::Invalid { .. })));
    assert!(matches!(factor.solve(0.0, &mut [f64::NAN]), Err(Error::NonFinite { .. })));
    assert!(matches!(factor.solve(0.0, &mut []), Err(Error::Shape { .. })));
    assert!(matches!(Indefinite::from_name("abs"), Err(Error::Unknown { .. })));
    for policy in Indefinite::ALL {
        assert_eq!(Indefinite::from_name(&policy.to_string()), Ok(policy));
    }
}

/// Blocks of many orders and kinds, with their gradient.
fn blocks() -> (Vec<(Vec<f64>, usize)>, Vec<f64>) {
    let orders = [9, 1, 0, 33, 2, 129, 3, 64, 10];
    let blocks: Vec<_> = (0..60)
        .map(|i| {
            let d: usize = orders[i % orders.len()];
            let kind = [Definite, Mixed, Negative, Tiny][i % 4];
            (if d == 0 { vec![] } else { matrix(kind, d) }, d)
        })
        .collect();
    let total = blocks.iter().map(|b| b.1).sum();
    (blocks, Random(2).vector(total))
}

#[test]
fn a_batch_is_its_blocks_and_no_thread_changes_a_bit() {
    let (blocks, g) = blocks();
    let views = || blocks.iter().map(|(b, d)| (b.as_slice(), *d));
    for policy in Indefinite::ALL {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Batch::new(views(), policy)?.step(0.01, &g)).unwrap()
        };
        let steps = run(1);
        assert_eq!(steps, run(2), "{policy}");
        let (mut start, mut reduction, mut indefinite) = (0, 0.0, 0);
        for (j, (b, d)) in blocks.iter().enumerate() {
            let (g, p) = (&g[start..start + d], &steps.step[start..start + d]);
            let mut x = g.to_vec();
            let factor = Factor::new(b, *d, policy).unwrap();
            indefinite += usize::from(factor.solve(0.01, &mut x).unwrap().indefinite);
            assert!(x.iter().zip(p).all(|(x, p)| *x == -p));
            assert_eq!(steps.slope[j], dot(g, p));
            assert_eq!(steps.curvature[j], quadratic_form(b, p));
            reduction += -steps.slope[j] - 0.5 * steps.curvature[j];
            start += d;
        }
        assert_eq!(steps.indefinite, indefinite);
        assert!((steps.reduction() - reduction).abs() <= 1e-12 * reduction);
        assert!(steps.reduction() >= -0.5 * steps.slope.iter().sum::<f64>());
        assert!(steps.change > 0.0);
    }
    let batch = Batch::new(views(), Indefinite::Shift).unwrap();
    assert!(matches!(batch.step(0.0, &g[1..]), Err(Error::Shape { .. })));
    assert!(matches!(batch.step(-1.0, &g), Err(Error::Invalid { .. })));
    let none = Batch::new([], Indefinite::Shift).unwrap().step(0.0, &[]).unwrap();
    assert_eq!((none.step.len(), none.reduction()), (0, 0.0));
}

#[test]
fn linear_systems_are_solved_to_rounding() {
    for d in ORDERS {
        let random = &mut Random(d as u64 + 17);
        let a = random.vector(d * d);
        let b = random.vector(d);
        let mut x = b.clone();
        assert!(lu_solve(&mut a.clone(), d, &mut x));
        let row = |i: usize| dot(&a[i * d..(i + 1) * d], &x) - b[i];
        let residual: f64 = (0..d).map(|i| row(i).abs()).sum();
        let size = a.chunks_exact(d).map(one_norm).fold(0.0, f64::max);
        assert!(residual / size / one_norm(&x) / U < 30.0 * d as f64, "{d}");
    }
    assert!(!lu_solve(&mut [0.0], 1, &mut [1.0]));
    assert!(!lu_solve(&mut [1.0, 2.0, 2.0, 4.0], 2, &mut [1.0, 1.0]));
}

/// The harness must see errors of the size it is there for.
#[test]
fn the_ratios_fail_where_they_must() {
    let d = 33;
    let b = matrix(Definite, d);
    let mut l = Cholesky::new(&b, d).unwrap().lower();
    let rhs = Random(9).vector(d);
    let mut x = rhs.clone();
    Cholesky::new(&b, d).unwrap().solve(&mut x).unwrap();
    assert!(factor_ratio(&l, &b, d) < 30.0 && solve_ratio(&b, &x, &rhs) < 30.0);
    l[d * (d + 1) / 2 - 1] *= 1.0 + 1e-11;
    x[d / 2] *= 1.0 + 1e-11;
    assert!(factor_ratio(&l, &b, d) > 30.0 && solve_ratio(&b, &x, &rhs) > 30.0);
    // A policy that does nothing leaves an indefinite matrix indefinite.
    let b = matrix(Mixed, d);
    assert!(matches!(Cholesky::new(&b, d), Err(Error::NotPositiveDefinite { .. })));
}

#[test]
fn a_factorization_is_refused_where_its_memory_is() {
    let mut buffer = MemBuffer::new(StackReq::EMPTY);
    let found = stack(&mut buffer, StackReq::new::<u8>(1 << 60));
    assert!(matches!(found, Err(Error::Memory { need, .. }) if need >= 1 << 60));
    assert!(stack(&mut buffer, StackReq::new::<f64>(1 << 10)).is_ok());
}
