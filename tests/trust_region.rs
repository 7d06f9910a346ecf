//! The trust-region subproblem by its optimality conditions, and the minimiser that rests on it.
//!
//! With C = D⁻¹BD⁻¹, h = D⁻¹g, y = Dp, u = 2⁻⁵³ and norms ‖·‖∞ the ratios of a solution of order n are
//!
//! ```text
//! stationary   ‖(C + λI)y + h‖ / (n u ((‖C‖ + λ)‖y‖ + ‖h‖))
//! curvature    max(0, −λ₁(C + λI)) / (n u (‖C‖ + λ))
//! reduction    |promised − (−hᵀy − ½yᵀCy)| / (n u (|h|ᵀ|y| + ½|y|ᵀ|C||y|))
//! ```
//!
//! and λ ≥ 0, λ(Δ − ‖y‖) = 0 and ‖y‖ ≤ Δ to the precision that was asked for. All below 30, as LAPACK's, mean a global
//! minimum of the model. Eigenvalues are computed here, by Jacobi's rotations.

use secondo::Error;
use secondo::solve::{TrustRegionStep, trust_region};
use secondo::train::newton::*;
use secondo::train::{Reason, TrustRegion};

const U: f64 = f64::EPSILON / 2.0;

/// Uniform on (−1, 1), xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
    fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
    /// Orthonormal rows by Gram and Schmidt, twice.
    fn basis(&mut self, n: usize) -> Vec<Vec<f64>> {
        let mut rows: Vec<Vec<f64>> = Vec::new();
        while rows.len() < n {
            let mut v = self.vector(n);
            for row in rows.iter().chain(&rows) {
                let part = dot(row, &v);
                v.iter_mut().zip(row).for_each(|(v, r)| *v -= part * r);
            }
            let size = dot(&v, &v).sqrt();
            rows.push(v.iter().map(|v| v / size).collect());
        }
        rows
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m: f64, v| m.max(v.abs()))
}

/// Σ λ_i v_i v_iᵀ, packed.
fn assemble(values: &[f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let n = values.len();
    let mut packed = Vec::new();
    for a in 0..n {
        for b in 0..=a {
            packed.push((0..n).map(|i| values[i] * basis[i][a] * basis[i][b]).sum());
        }
    }
    packed
}

/// The lowest eigenvalue of a symmetric square.
fn lowest(mut c: Vec<Vec<f64>>) -> f64 {
    let n = c.len();
    for _ in 0..30 {
        let mut moved = false;
        for a in 0..n {
            for b in 0..a {
                let size = U * 1e-2 * (c[a][a].abs() + c[b][b].abs());
                if c[a][b].abs() <= size {
                    continue;
                }
                moved = true;
                let theta = 0.5 * (2.0 * c[a][b]).atan2(c[b][b] - c[a][a]);
                let (s, k) = theta.sin_cos();
                for row in c.iter_mut() {
                    (row[a], row[b]) = (k * row[a] - s * row[b], s * row[a] + k * row[b]);
                }
                // b < a.
                let (above, below) = c.split_at_mut(a);
                for (x, y) in below[0].iter_mut().zip(&mut above[b]) {
                    (*x, *y) = (k * *x - s * *y, s * *x + k * *y);
                }
            }
        }
        if !moved {
            break;
        }
    }
    (0..n).map(|a| c[a][a]).fold(f64::INFINITY, f64::min)
}

struct Model {
    lower: Vec<f64>,
    gradient: Vec<f64>,
    scaling: Vec<f64>,
    radius: f64,
}

impl Model {
    fn plain(lower: Vec<f64>, gradient: Vec<f64>, radius: f64) -> Self {
        Model { scaling: vec![1.0; gradient.len()], lower, gradient, radius }
    }

    fn solve(&self, precision: f64) -> TrustRegionStep {
        trust_region(&self.lower, &self.gradient, &self.scaling, self.radius, precision).unwrap()
    }

    /// The largest of the three ratios; infinite where a sign or a length is wrong.
    fn ratio(&self, found: &TrustRegionStep, precision: f64) -> f64 {
        let n = self.gradient.len();
        let d = &self.scaling;
        let c: Vec<Vec<f64>> = (0..n)
            .map(|a| {
                let entry = |b: usize| {
                    let (i, j) = (a.max(b), a.min(b));
                    self.lower[i * (i + 1) / 2 + j] / d[a] / d[b]
                };
                (0..n).map(entry).collect()
            })
            .collect();
        let h: Vec<f64> = self.gradient.iter().zip(d).map(|(g, d)| g / d).collect();
        let y: Vec<f64> = found.step.iter().zip(d).map(|(p, d)| p * d).collect();
        // Lengths in units of the radius, so that squares stay in range.
        let length = y.iter().map(|y| (y / self.radius).powi(2)).sum::<f64>().sqrt();
        let lambda = found.lambda;
        let held = match found.boundary {
            true => (length - 1.0).abs() <= precision,
            false => lambda == 0.0 && length <= 1.0,
        };
        let reported = (found.length / self.radius - length).abs() <= 1e-13;
        if !(lambda >= 0.0 && held && reported) {
            return f64::INFINITY;
        }
        let norm =
            (c.iter()).map(|row| row.iter().map(|c| c.abs()).sum::<f64>()).fold(0.0, f64::max);
        let residual: Vec<f64> = (0..n).map(|a| dot(&c[a], &y) + lambda * y[a] + h[a]).collect();
        let unit = n as f64 * U;
        let stationary = largest(&residual) / unit / ((norm + lambda) * largest(&y) + largest(&h));
        let mut shifted = c.clone();
        (0..n).for_each(|a| shifted[a][a] += lambda);
        let curvature = (-lowest(shifted)).max(0.0) / unit / (norm + lambda);
        let sizes = |v: &[f64]| -> Vec<f64> { v.iter().map(|v| v.abs()).collect() };
        let product = |square: &dyn Fn(usize) -> Vec<f64>, y: &[f64]| -> f64 {
            (0..n).map(|a| y[a] * dot(&square(a), y)).sum()
        };
        let value = -dot(&h, &y) - 0.5 * product(&|a| c[a].clone(), &y);
        let terms = dot(&sizes(&h), &sizes(&y)) + 0.5 * product(&|a| sizes(&c[a]), &sizes(&y));
        let reduction = (value - found.reduction).abs() / unit / terms;
        // 0/0 where everything is 0.
        [stationary, curvature, reduction].into_iter().fold(0.0, f64::max)
    }
}

/// SciPy's set (`test_trustregion_exact.py`): 3 cases × 8 ranges of eigenvalues × 9 radii × 3 precisions, order 5. k_opt
/// and k_trf are what a solution must reach: J ≤ k_opt J*, ‖p‖ ≤ k_trf Δ (Conn, Gould and Toint, p. 197).
#[test]
fn all_648_combinations_meet_the_optimality_conditions() {
    let random = &mut Random(88172645463325252);
    let ranges = [
        (-20.0, -15.0),
        (-10.0, -5.0),
        (-10.0, 0.0),
        (-5.0, 5.0),
        (-10.0, 10.0),
        (0.0, 10.0),
        (5.0, 10.0),
        (15.0, 20.0),
    ];
    let (mut count, mut worst, mut hard) = (0, 0.0_f64, 0);
    for case in ["easy", "hard", "no gradient"] {
        for (low, high) in ranges {
            let basis = random.basis(5);
            let mut values: Vec<f64> =
                (0..5).map(|_| low + (high - low) * 0.5 * (random.next() + 1.0)).collect();
            values.sort_by(f64::total_cmp);
            let mut gradient = match case {
                "no gradient" => vec![0.0; 5],
                _ => random.vector(5),
            };
            if case == "hard" {
                for _ in 0..2 {
                    let part = dot(&gradient, &basis[0]);
                    (gradient.iter_mut().zip(&basis[0])).for_each(|(g, v)| *g -= part * v);
                }
            }
            for radius in [0.1, 0.3, 0.6, 0.8, 1.0, 1.2, 3.3, 5.5, 10.0] {
                let model = Model::plain(assemble(&values, &basis), gradient.clone(), radius);
                let best = model.solve(0.0);
                let ratio = model.ratio(&best, 1e-10);
                assert!(ratio < 30.0, "{case}, {low}…{high}, {radius}: {ratio}, {best:?}");
                worst = worst.max(ratio);
                hard += usize::from(best.hard_case);
                // Whether the region holds the step back is known from the spectrum.
                let free: f64 =
                    (basis.iter().zip(&values)).map(|(v, l)| (dot(v, &gradient) / l).powi(2)).sum();
                let inside = values[0] > 0.0 && free.sqrt() < radius;
                assert_eq!(best.boundary, !inside, "{case}, {low}…{high}, {radius}");
                for (k_opt, k_trf) in [(0.1, 2.0), (0.5, 1.1), (0.9, 1.01_f64)] {
                    let precision = (k_trf - 1.0).min(1.0 - f64::sqrt(k_opt));
                    let found = model.solve(precision);
                    let ratio = model.ratio(&found, precision);
                    assert!(ratio < 30.0, "{case}, {low}…{high}, {radius}: {ratio}, {found:?}");
                    assert!(found.reduction >= k_opt * best.reduction, "{found:?} for {best:?}");
                    worst = worst.max(ratio);
                    count += 1;
                }
            }
        }
    }
    println!("{count} combinations, {hard} of 216 in the hard case, largest ratio {worst:.2}");
    assert_eq!(count, 648);
    assert!(hard > 50);
}

#[test]
fn all_orders_and_scales_meet_the_optimality_conditions() {
    let random = &mut Random(362436069);
    let mut worst = 0.0_f64;
    for n in [1, 2, 3, 5, 10, 50] {
        let basis = random.basis(n);
        for kind in ["definite", "indefinite", "singular", "nearly hard", "hard", "ill", "twice"] {
            let mut values: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
            match kind {
                "definite" => {}
                "singular" => values[0] = 0.0,
                "ill" => (0..n).for_each(|i| values[i] = 10_f64.powf(-14.0 * i as f64 / n as f64)),
                "twice" => values[..n.min(2)].fill(-2.0),
                _ => (0..n).for_each(|i| values[i] -= 0.4 * n as f64 + 2.0),
            }
            let lowest = basis[values
                .iter()
                .position(|v| *v == values.iter().copied().fold(f64::INFINITY, f64::min))
                .unwrap()]
            .clone();
            let mut g = random.vector(n);
            if kind.ends_with("hard") {
                let keep = if kind == "hard" { 0.0 } else { 1e-9 };
                for _ in 0..2 {
                    let part = dot(&g, &lowest);
                    (g.iter_mut().zip(&lowest)).for_each(|(g, v)| *g += (keep - part) * v);
                }
            }
            let lower = assemble(&values, &basis);
            for radius in [1e-6, 0.1, 1.0, 10.0, 1e6] {
                for (b, s) in
                    [(1.0, 1.0), (1e140, 1e140), (1e-140, 1e-140), (1e-100, 1e60), (1e60, 1e-100)]
                {
                    for uneven in [false, true] {
                        // In B, g and Δ the scales b, s and t of the value's units; D and 1/D in the variables.
                        let scaling: Vec<f64> = (0..n)
                            .map(|a| if uneven { 10_f64.powi(a as i32 % 7 - 3) } else { 1.0 })
                            .collect();
                        let mut scaled = Vec::new();
                        for a in 0..n {
                            for c in 0..=a {
                                scaled
                                    .push(lower[a * (a + 1) / 2 + c] * b * scaling[a] * scaling[c]);
                            }
                        }
                        let model = Model {
                            lower: scaled,
                            gradient: g.iter().zip(&scaling).map(|(g, d)| g * s * d).collect(),
                            scaling,
                            radius: radius * (s / b),
                        };
                        for precision in [1e-10, 0.1] {
                            let found = model.solve(precision);
                            let ratio = model.ratio(&found, precision);
                            assert!(
                                ratio < 30.0,
                                "{n}, {kind}, {radius}, {b:e}, {s:e}: {ratio}, λ {:e}",
                                found.lambda
                            );
                            worst = worst.max(ratio);
                        }
                    }
                }
            }
        }
    }
    println!("largest ratio {worst:.2}");
}

#[test]
fn small_models_with_known_answers() {
    let solve = |lower: &[f64], g: &[f64], radius: f64| {
        Model::plain(lower.to_vec(), g.to_vec(), radius).solve(0.0)
    };
    // Order 0 and zeros.
    let none = solve(&[], &[], 1.0);
    assert_eq!((none.step.len(), none.lambda, none.reduction), (0, 0.0, 0.0));
    let zero = solve(&[0.0], &[0.0], 1.0);
    assert_eq!((zero.step[0], zero.reduction, zero.boundary), (0.0, 0.0, false));
    // A linear model goes to the boundary along −g.
    let linear = solve(&[0.0, 0.0, 0.0], &[3.0, 4.0], 10.0);
    assert!((linear.step[0] + 6.0).abs() < 1e-14 && (linear.step[1] + 8.0).abs() < 1e-14);
    assert!((linear.lambda - 0.5).abs() < 1e-15 && (linear.reduction - 50.0).abs() < 1e-12);
    // One variable.
    for (b, g, radius, p) in [
        (2.0, -4.0, 5.0, 2.0),
        (2.0, -4.0, 1.0, 1.0),
        (-2.0, -4.0, 5.0, 5.0),
        (0.0, 1e-300, 3.0, -3.0),
        (5e-324, 0.0, 3.0, 0.0),
    ] {
        let found = solve(&[b], &[g], radius);
        assert!((found.step[0] - p).abs() <= 1e-14 * p.abs(), "{b}, {g}: {found:?}");
    }
    // A maximum: either way.
    let maximum = solve(&[-2.0], &[0.0], 3.0);
    assert!(maximum.hard_case && maximum.step[0].abs() == 3.0 && maximum.reduction == 9.0);
    // g = 0, indefinite: along the lowest eigenvector. g in the range of a singular B: the short solution.
    let saddle = solve(&[1.0, 0.0, -1.0], &[0.0, 0.0], 2.0);
    assert!(saddle.step[0] == 0.0 && (saddle.step[1].abs() - 2.0).abs() < 1e-15);
    let flat = solve(&[2.0, 0.0, 0.0], &[2.0, 0.0], 100.0);
    assert!(!flat.boundary && (flat.step[0] + 1.0).abs() < 1e-14 && flat.step[1] == 0.0);
    // A gradient that has lost most of its part along the eigenvector still chooses the side.
    for part in [1e-15, -1e-15] {
        let found = solve(&[-1.0, 0.0, 1.0], &[part, 1.0], 10.0);
        assert!(found.step[0] * part < 0.0 && found.step[0].abs() > 9.9, "{found:?}");
    }
    // The ends of the range of f64.
    let far = trust_region(&[1e300], &[1e-300], &[1e-5], 1e300, 0.0);
    assert!(far.is_ok_and(|far| far.step[0] == 0.0));
    let beyond = trust_region(&[1e-300], &[1e300], &[1.0], f64::MAX, 0.0);
    assert!(matches!(beyond, Err(Error::Numerical { .. })), "{beyond:?}");
}

#[test]
fn bad_models_are_refused() {
    let one = [1.0];
    let call = |b: &[f64], d: f64, radius: f64, precision: f64| {
        trust_region(b, &one, &[d], radius, precision)
    };
    assert!(matches!(call(&[1.0, 2.0], 1.0, 1.0, 0.1), Err(Error::Shape { .. })));
    assert!(matches!(call(&[f64::NAN], 1.0, 1.0, 0.1), Err(Error::NonFinite { .. })));
    assert!(matches!(trust_region(&one, &one, &[], 1.0, 0.1), Err(Error::Shape { .. })));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(call(&one, bad, 1.0, 0.1), Err(Error::Invalid { .. })));
        assert!(matches!(call(&one, 1.0, bad, 0.1), Err(Error::Invalid { .. })));
    }
    for bad in [-0.1, 1.0, f64::NAN] {
        assert!(matches!(call(&one, 1.0, 1.0, bad), Err(Error::Invalid { .. })));
    }
}

/// The harness must see errors of the size it is there for.
#[test]
fn the_ratios_fail_where_they_must() {
    let random = &mut Random(7);
    let values: Vec<f64> = (0..10).map(|i| f64::from(i) - 3.0).collect();
    let model = Model::plain(assemble(&values, &random.basis(10)), random.vector(10), 2.0);
    let found = model.solve(0.0);
    assert!(found.boundary && model.ratio(&found, 1e-10) < 30.0);
    let disturb = |change: &dyn Fn(&mut TrustRegionStep)| {
        let mut other = found.clone();
        change(&mut other);
        assert!(model.ratio(&other, 1e-10) > 30.0, "{other:?}");
    };
    disturb(&|s| s.step[3] += 1e-12);
    disturb(&|s| s.lambda *= 1.0 + 1e-12);
    disturb(&|s| s.lambda = -s.lambda);
    disturb(&|s| s.reduction *= 1.0 + 1e-12);
    disturb(&|s| s.boundary = false);
    disturb(&|s| s.step.iter_mut().for_each(|p| *p *= 0.999));
    // A stationary point of the model that is no minimum: λ below −λ₁.
    let model = Model::plain(vec![-1.0, 0.0, 1.0], vec![0.0, 1.0], 0.5);
    let mut local = model.solve(0.0);
    assert!(model.ratio(&local, 1e-10) < 30.0);
    (local.step, local.lambda, local.reduction) = (vec![0.0, -0.5], 1.0 - 1e-3, 0.375);
    (local.length, local.boundary) = (0.5, true);
    assert!(model.ratio(&local, 1e-10) > 30.0);
}

fn saddle() -> impl TwiceDifferentiable {
    function(
        2,
        |v| v[0] * v[0] - v[1] * v[1] + v[1].powi(4),
        |v, g| g.copy_from_slice(&[2.0 * v[0], -2.0 * v[1] + 4.0 * v[1].powi(3)]),
        |v, h| h.copy_from_slice(&[2.0, 0.0, -2.0 + 12.0 * v[1] * v[1]]),
    )
}

/// 100(y − x²)² + (1 − x)² in (x/s, y/t).
fn rosenbrock(s: f64, t: f64) -> impl TwiceDifferentiable {
    function(
        2,
        move |v| {
            let (x, y) = (v[0] / s, v[1] / t);
            100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2)
        },
        move |v, g| {
            let (x, y) = (v[0] / s, v[1] / t);
            let r = y - x * x;
            g.copy_from_slice(&[(-400.0 * x * r - 2.0 * (1.0 - x)) / s, 200.0 * r / t]);
        },
        move |v, h| {
            let (x, y) = (v[0] / s, v[1] / t);
            let xx = 800.0 * x * x - 400.0 * (y - x * x) + 2.0;
            h.copy_from_slice(&[xx / s / s, -400.0 * x / s / t, 200.0 / t / t]);
        },
    )
}

#[test]
fn minima_are_found_and_values_never_rise() {
    let f = rosenbrock(1.0, 1.0);
    for x0 in [[-1.2, 1.0], [0.0, 0.0], [10.0, -10.0], [-100.0, 3.0]] {
        // From afar D starts large, and the largest is kept: the steps stay short for a while.
        let options = TrustRegion { max_iter: 1000, ..TrustRegion::default() };
        let found = options.minimize(&f, &x0).unwrap();
        println!("{x0:?}: {found}");
        assert!(found.converged(), "{x0:?}: {found}");
        assert!((found.x[0] - 1.0).abs() + (found.x[1] - 1.0).abs() < 1e-7, "{found}");
        let values: Vec<f64> = found.path.iter().map(|x| f.value(x)).collect();
        assert!(values.windows(2).all(|v| v[1] <= v[0] + 1e-14), "{values:?}");
    }
    // Quadratic convergence at the end: Newton's own steps.
    let cosh = univariate(f64::cosh, f64::sinh, f64::cosh);
    let found = TrustRegion::default().minimize(&cosh, &[3.0]).unwrap();
    assert!(found.converged() && found.x[0].abs() < 1e-8 && found.iterations < 10, "{found}");
    // An offset hides the last decreases of f; the gradient still tells.
    let lifted = univariate(|x| 1e6 + x.cosh(), f64::sinh, f64::cosh);
    let found = TrustRegion::default().minimize(&lifted, &[1.0]).unwrap();
    assert!(found.converged() && found.x[0].abs() < 1e-8, "{found}");
    let flat = univariate(|x| x.powi(4), |x| 4.0 * x.powi(3), |x| 12.0 * x * x);
    let found = TrustRegion::default().minimize(&flat, &[1.0]).unwrap();
    assert!(found.converged() && found.x[0].abs() < 2e-3);
    // No minimum: it runs on, and says so.
    let slope = univariate(|x| x, |_| 1.0, |_| 0.0);
    let found = TrustRegion::default().minimize(&slope, &[0.0]).unwrap();
    assert!(!found.converged() && found.x[0] < -50.0, "{found}");
}

/// Powers of two, so that the paths are the same to the bit.
#[test]
fn units_of_the_variables_do_not_matter() {
    let plain = TrustRegion::default().minimize(&rosenbrock(1.0, 1.0), &[-1.2, 1.0]).unwrap();
    let (s, t) = (2_f64.powi(-40), 2_f64.powi(30));
    let options = TrustRegion { gtol: 0.0, xtol: 0.0, ftol: 0.0, ..TrustRegion::default() };
    let other = options.minimize(&rosenbrock(s, t), &[-1.2 * s, t]).unwrap();
    for (a, b) in plain.path.iter().zip(&other.path) {
        assert_eq!([a[0] * s, a[1] * t], b.as_slice());
    }
    // Without the scaling they do.
    let fixed = TrustRegion { scaling: Some(vec![1.0; 2]), ..options };
    let found = fixed.minimize(&rosenbrock(s, t), &[-1.2 * s, t]).unwrap();
    assert!(found.path[1] != other.path[1]);
}

#[test]
fn saddles_and_maxima_are_left() {
    for x0 in [[1.0, 0.0], [0.0, 0.0], [1.0, 1e-9], [1e-9, -1e-12], [-3.0, 0.1]] {
        let found = TrustRegion::default().minimize(&saddle(), &x0).unwrap();
        assert!(found.converged() && (found.value + 0.25).abs() < 1e-15, "{x0:?}: {found}");
    }
    let cosine = univariate(f64::cos, |x| -x.sin(), |x| -x.cos());
    let found = TrustRegion::default().minimize(&cosine, &[0.0]).unwrap();
    assert!(found.converged() && (found.value + 1.0).abs() < 1e-15, "{found}");
    // A concave point that f does not know of.
    let flat = univariate(|_| 1.0, |_| 0.0, |_| -1.0);
    let found = TrustRegion::default().minimize(&flat, &[0.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::Indefinite, vec![0.0]));
}

/// Without curvature every step goes downhill to the boundary, whose radius doubles; it never ends by itself.
#[test]
fn a_linear_function_is_followed_downhill() {
    let slope = univariate(|x| 3.0 * x, |_| 3.0, |_| 0.0);
    let options = TrustRegion { max_iter: 20, ..TrustRegion::default() };
    let found = options.minimize(&slope, &[1.0]).unwrap();
    assert_eq!((found.reason, found.iterations), (Reason::Iterations, 20));
    assert_eq!(found.path[1..3], [[0.0], [-2.0]]);
    assert!(found.x[0].is_finite() && found.value < -1e5);
}

#[test]
fn the_best_point_is_kept_where_the_function_is_not_defined() {
    let f = univariate(|x| x - x.ln(), |x| 1.0 - 1.0 / x, |x| x.powi(-2));
    let found = TrustRegion::default().minimize(&f, &[3.9]).unwrap();
    assert!(found.converged() && (found.x[0] - 1.0).abs() < 1e-8, "{found}");
    assert!(found.path.iter().all(|x| x[0] > 0.0));
    let start = TrustRegion::default().minimize(&f, &[-1.0]).unwrap();
    assert_eq!((start.reason, start.x), (Reason::NonFinite, vec![-1.0]));
    let island = univariate(|x| if x == 1.0 { 0.0 } else { f64::NAN }, |_| 1.0, |_| 1.0);
    let found = TrustRegion::default().minimize(&island, &[1.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::NonFinite, vec![1.0]));
    let wrong = univariate(|x| x * x, |x| -2.0 * x, |_| 2.0);
    let found = TrustRegion::default().minimize(&wrong, &[1.0]).unwrap();
    assert_eq!((found.reason, found.x), (Reason::Stalled, vec![1.0]));
}

#[test]
fn options_and_starting_points_are_checked() {
    let f = saddle();
    let good = TrustRegion::default;
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        for options in [
            TrustRegion { gtol: bad, ..good() },
            TrustRegion { xtol: bad, ..good() },
            TrustRegion { ftol: bad, ..good() },
            TrustRegion { initial_radius: bad, ..good() },
            TrustRegion { eta: bad, ..good() },
            TrustRegion { scaling: Some(vec![1.0, bad]), ..good() },
        ] {
            let refused = options.minimize(&f, &[0.0, 0.0]);
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{options:?}");
        }
    }
    for options in [TrustRegion { max_radius: 0.5, ..good() }, TrustRegion { eta: 0.25, ..good() }]
    {
        assert!(matches!(options.minimize(&f, &[0.0, 0.0]), Err(Error::Invalid { .. })));
    }
    let short = TrustRegion { scaling: Some(vec![1.0]), ..good() };
    assert!(matches!(short.minimize(&f, &[0.0, 0.0]), Err(Error::Shape { .. })));
    assert!(matches!(good().minimize(&f, &[0.0]), Err(Error::Shape { .. })));
    let not_finite = good().minimize(&f, &[0.0, f64::NAN]);
    assert!(matches!(not_finite, Err(Error::NonFinite { at, .. }) if at == [1]));
    let none = TrustRegion { max_iter: 0, ..good() }.minimize(&f, &[1.0, 1.0]).unwrap();
    assert_eq!(
        (none.reason, none.iterations, none.evaluations.objective),
        (Reason::Iterations, 0, 1)
    );
    let empty = function(0, |_| 7.0, |_, _| (), |_, _| ());
    let found = good().minimize(&empty, &[]).unwrap();
    assert_eq!((found.reason, found.value), (Reason::Gradient, 7.0));
    // The largest radius bounds every step, in units of ‖Dx‖: here D = √2 throughout.
    let bowl = univariate(|x| x * x, |x| 2.0 * x, |_| 2.0);
    let options = TrustRegion { initial_radius: 0.125, max_radius: 0.125, ..good() };
    let found = options.minimize(&bowl, &[8.0]).unwrap();
    assert!(
        found.converged() && found.path.windows(2).all(|x| (x[0][0] - x[1][0]).abs() <= 1.1),
        "{found:?}"
    );
}
