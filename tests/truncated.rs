//! Conjugate gradients in a region: against the near-exact solution, by its conditions, and at the ends of the range.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use secondo::solve::{ConjugateStep, Preconditioner, conjugate_gradients, trust_region};
use secondo::{Error, Matrix};

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// A symmetric matrix of order d with entries in (−1, 1) and `shift` on its diagonal, and a vector.
fn draw(random: &mut Pcg64, d: usize, shift: f64) -> (Matrix, Vec<f64>) {
    let mut number = || 2.0 * random.random::<f64>() - 1.0;
    let mut lower = Vec::new();
    for a in 0..d {
        lower.extend((0..a).map(|_| number()));
        lower.push(number() + shift);
    }
    let g = (0..d).map(|_| number()).collect();
    (Matrix::full(d, lower).unwrap(), g)
}

fn packed(b: &Matrix) -> Vec<f64> {
    b.blocks().flat_map(|b| b.packed().to_vec()).collect()
}

/// The step's promise, its length and its place are what they are said to be.
fn honest(b: &Matrix, g: &[f64], m: Option<&[f64]>, radius: f64, found: &ConjugateStep) -> bool {
    let p = &found.step;
    let q = -dot(g, p) - 0.5 * b.quadratic_form(p).unwrap();
    let one = vec![1.0; p.len()];
    let squares = p.iter().zip(m.unwrap_or(&one)).map(|(p, m)| m * p * p);
    let length = squares.sum::<f64>().sqrt();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * (1.0 + b.abs());
    close(found.reduction, q)
        && close(found.length, length)
        && length <= radius * (1.0 + 1e-10)
        && (!found.boundary || close(length, radius))
}

#[test]
fn steps_are_what_they_promise() {
    let random = &mut Pcg64::seed_from_u64(7);
    let (mut inside, mut bounded, mut negative) = (0, 0, 0);
    for d in [1, 2, 5, 20, 50] {
        for shift in [0.0, 1.0, 2.0 * d as f64] {
            for radius in [1e-3, 0.1, 1.0, 100.0] {
                let (b, g) = draw(random, d, shift);
                let m: Vec<f64> = (0..d).map(|_| 0.1 + random.random::<f64>()).collect();
                for diagonal in [None, Some(m.as_slice())] {
                    let preconditioner = match diagonal {
                        None => Preconditioner::None,
                        Some(m) => Preconditioner::Diagonal(m.to_vec()),
                    };
                    let product = |v: &[f64]| b.product(v);
                    let found =
                        conjugate_gradients(product, &g, &preconditioner, radius, 1e-10, 5 * d);
                    let found = found.unwrap();
                    assert!(
                        honest(&b, &g, diagonal, radius, &found),
                        "{d}, {shift}, {radius}: {found:?}"
                    );
                    let scaling: Vec<f64> = match diagonal {
                        None => vec![1.0; d],
                        Some(m) => m.iter().map(|m| m.sqrt()).collect(),
                    };
                    let best = trust_region(&packed(&b), &g, &scaling, radius, 0.0).unwrap();
                    assert!(found.reduction <= best.reduction * (1.0 + 1e-10));
                    if !found.boundary {
                        inside += 1;
                        // Newton's step.
                        let size = dot(&best.step, &best.step).sqrt();
                        for (p, q) in found.step.iter().zip(&best.step) {
                            assert!((p - q).abs() <= 1e-7 * size, "{d}, {shift}: {p} for {q}");
                        }
                    } else if b.eigenvalues().unwrap()[0] > 0.0 {
                        bounded += 1;
                        // Yuan 2000: at least half of the best where the matrix is positive definite.
                        assert!(found.reduction >= 0.5 * best.reduction, "{found:?} for {best:?}");
                    }
                    negative += usize::from(b.quadratic_form(&found.step).unwrap() < 0.0);
                }
            }
        }
    }
    println!("{inside} inside, {bounded} on the boundary, {negative} along negative curvature");
    assert!(inside > 20 && bounded > 20 && negative > 20);
}

/// The harness must see errors of the size it is there for.
#[test]
fn a_disturbed_step_is_seen() {
    let (b, g) = draw(&mut Pcg64::seed_from_u64(3), 10, 20.0);
    let found =
        conjugate_gradients(|v| b.product(v), &g, &Preconditioner::None, 0.01, 1e-10, 50).unwrap();
    assert!(found.boundary && honest(&b, &g, None, 0.01, &found));
    let mut longer = found.clone();
    longer.step.iter_mut().for_each(|p| *p *= 1.0 + 1e-6);
    let mut greedy = found.clone();
    greedy.reduction *= 1.0 + 1e-4;
    for other in [longer, greedy] {
        assert!(!honest(&b, &g, None, 0.01, &other), "{other:?}");
    }
}

#[test]
fn blocks_that_are_the_matrix_need_one_product() {
    let random = &mut Pcg64::seed_from_u64(11);
    let (b, g) = draw(random, 8, 20.0);
    let lower = packed(&b);
    let exact = Preconditioner::blocks([(lower.as_slice(), 8)]).unwrap();
    let found = conjugate_gradients(|v| b.product(v), &g, &exact, 1e3, 1e-2, 50).unwrap();
    // But for the 10⁻³ on the diagonal.
    assert!(found.products <= 2 && !found.boundary, "{found:?}");
    // Zero and singular blocks are made definite.
    let parts: [(&[f64], usize); 2] = [(&[0.0], 1), (&[1.0, 1.0, 1.0], 2)];
    let blocks = Preconditioner::blocks(parts).unwrap();
    let found =
        conjugate_gradients(|v| Ok(v.to_vec()), &[1.0; 3], &blocks, 10.0, 1e-12, 50).unwrap();
    assert!(found.step.iter().all(|p| (p + 1.0).abs() < 1e-9), "{found:?}");
}

#[test]
fn ends_of_the_range_and_bad_input() {
    let product = |v: &[f64]| Ok(v.to_vec());
    let run = |g: &[f64], m: &Preconditioner, radius: f64| {
        conjugate_gradients(product, g, m, radius, 0.0, 10)
    };
    let none = &Preconditioner::None;
    assert_eq!(run(&[], none, 1.0).unwrap().step.len(), 0);
    assert_eq!(run(&[0.0, 0.0], none, 1.0).unwrap().reduction, 0.0);
    let large = run(&[1e150, 1e150], none, 1e300).unwrap();
    assert_eq!(large.step, [-1e150, -1e150]);
    let beyond = run(&[1e200, 1e200], none, 1e300);
    assert!(matches!(beyond, Err(Error::Numerical { .. })), "{beyond:?}");
    // A linear model goes to the boundary.
    let flat =
        conjugate_gradients(|v| Ok(vec![0.0; v.len()]), &[3.0, 4.0], none, 10.0, 0.0, 5).unwrap();
    assert!(flat.boundary && (flat.step[0] + 6.0).abs() < 1e-14, "{flat:?}");
    assert!((flat.reduction - 50.0).abs() < 1e-12);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(run(&[1.0], none, bad), Err(Error::Invalid { .. })));
        let m = Preconditioner::Diagonal(vec![bad]);
        assert!(matches!(run(&[1.0], &m, 1.0), Err(Error::Invalid { .. })));
    }
    assert!(matches!(run(&[f64::NAN], none, 1.0), Err(Error::NonFinite { .. })));
    let short = Preconditioner::Diagonal(vec![1.0]);
    assert!(matches!(run(&[1.0, 1.0], &short, 1.0), Err(Error::Shape { .. })));
    let wild = conjugate_gradients(|v| Ok(vec![f64::NAN; v.len()]), &[1.0], none, 1.0, 0.0, 5);
    assert!(matches!(wild, Err(Error::Numerical { .. })), "{wild:?}");
    let failing = |_: &[f64]| Err(Error::Numerical { what: "the device".into() });
    assert!(conjugate_gradients(failing, &[1.0], none, 1.0, 0.0, 5).is_err());
}

/// Products that are no matrix's, as rounding makes of numbers at the ends of f64, never come to the tolerance.
#[test]
fn it_ends_where_no_product_helps() {
    let turned = |v: &[f64]| Ok(vec![v[0] - v[1], v[0] + v[1]]);
    let none = &Preconditioner::None;
    let found = conjugate_gradients(turned, &[1.0, 2.0], none, 1e300, 0.0, usize::MAX);
    assert!(found.is_ok_and(|found| found.products == 1200));
}
