//! The derivatives of a problem, compared with differences of order 8: how many digits of them are shown to be right.

use ndarray::Axis;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::check::{Difference, differences};
use crate::curvature::{Curvature, LinearOperator, Structure};
use crate::device::Device;
use crate::error::Result;
use crate::evaluate::{Request, weights};
use crate::problem::Problem;

/// Larger Hessians are compared by their products alone.
const FORMED: usize = 2000;
/// The random directions of products.
const DIRECTIONS: usize = 3;

/// The comparison of one quantity.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// `value`, `gradient`, `Hessian` or `products`.
    pub quantity: &'static str,
    /// The number of entries that were compared.
    pub compared: usize,
    /// The digits to which all of them agree, of the largest: −log₁₀(max |given − expected| / max |given|), 16 at most.
    pub digits: f64,
    /// The digits that the reference itself has, by its own estimate.
    pub reference: f64,
    /// The entry that differs most, as indices, with the number that was computed and the one that was expected.
    pub worst: (Vec<usize>, f64, f64),
    /// Whether each entry is within what its reference leaves open: ten times its error and 10⁻⁷ of the entry, see
    /// [`check`](crate::check), or ten times the largest error of an entry, since the estimate of a single one may be too small by chance.
    pub agrees: bool,
}

/// Entries that are compared one by one.
struct Comparison {
    quantity: &'static str,
    entries: Vec<(Vec<usize>, f64, Difference)>,
}

impl Comparison {
    fn of(quantity: &'static str) -> Self {
        Comparison { quantity, entries: Vec::new() }
    }

    fn end(self) -> Agreement {
        let size = |fold: fn(&(Vec<usize>, f64, Difference)) -> f64| {
            let sizes = self.entries.iter().map(fold);
            sizes.fold(0.0, |m: f64, v| if v > m || v.is_nan() { v } else { m })
        };
        let largest = size(|(_, given, _)| given.abs());
        let apart = |(_, given, found): &(Vec<usize>, f64, Difference)| {
            if found.error.is_finite() { (given - found.value).abs() } else { 0.0 }
        };
        let digits = |error: f64| match error / largest {
            _ if error == 0.0 => 16.0,
            relative if relative.is_nan() => 0.0,
            relative => (-relative.log10()).clamp(0.0, 16.0),
        };
        let open = size(|(.., found)| if found.error.is_finite() { found.error } else { 0.0 });
        let worst = self.entries.iter().max_by(|a, b| apart(a).total_cmp(&apart(b)));
        let worst = worst.map(|(at, given, found)| (at.clone(), *given, found.value));
        Agreement {
            quantity: self.quantity,
            compared: self.entries.iter().filter(|(.., found)| found.error.is_finite()).count(),
            digits: digits(worst.as_ref().map_or(0.0, |(_, given, found)| (given - found).abs())),
            reference: digits(open),
            worst: worst.unwrap_or_default(),
            agrees: (self.entries.iter())
                .all(|entry| entry.2.allows(entry.1, largest) || apart(entry) <= 10.0 * open),
        }
    }
}

/// Returns how far value, gradient, Hessian and products of a problem at w agree with references, on the processor in f64.
///
/// ```text
/// E(w) − pen(w) ≟ Σ_i ω_i g(f(x_i; w), y_i)      from predictions of single rows
/// g_a ≟ ∂E/∂w_a                                  by differences of E
/// H_ab ≟ ∂g_b/∂w_a,   (Hv)_b ≟ ∂g_b(w + tv)/∂t   by differences of g
/// ```
///
/// The differences are those of [`check`](crate::check), of order 8. `entries` parameters are drawn for a (all, where there are no
/// more), and three random directions v with entries between −1 and 1; the same seed draws the same. A Hessian of order above 2000 is
/// compared by its products with unit vectors. At a kink any number between the slopes of the two sides is right, and where the differences do
/// not settle nothing is compared. Each a costs some 112 values and as many gradients.
///
/// # Errors
/// As [`Problem::curvature`].
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Data, Loss, Network, Problem, verify};
/// let network = Network::dense(&[2, 3, 1], Activation::Tanh)?;
/// let w: Vec<f64> = (0..13).map(|i| (0.7 * f64::from(i)).sin()).collect();
/// let data = Data::new(array![[0.2, -1.0], [0.5, 0.3]], array![[1.0], [0.0]])?;
/// let problem = Problem::new(network, data, Loss::SquaredError)?;
/// for agreement in verify::derivatives(&problem, &w, 5, 0)? {
///     assert!(agreement.agrees && agreement.digits > 9.0, "{agreement:?}");
/// }
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn derivatives(
    problem: &Problem,
    w: &[f64],
    entries: usize,
    seed: u64,
) -> Result<Vec<Agreement>> {
    let problem = &problem.clone().on(Device::Cpu);
    let p = problem.parameters();
    let request = if p <= FORMED {
        Request::curvature(Curvature::Exact, Structure::Full)
    } else {
        Request::gradient()
    };
    let at = problem.evaluate(w, request)?;
    let operator = problem.operator(w, Curvature::Exact)?;
    let gradient = |x: &[f64], out: &mut [f64]| match problem.evaluate(x, Request::gradient()) {
        Ok(there) => out.copy_from_slice(&there.gradient),
        Err(_) => out.fill(f64::NAN),
    };
    let mut random = Pcg64::seed_from_u64(seed);
    let mut chosen: Vec<usize> = (0..p).collect();
    chosen.shuffle(&mut random);
    chosen.truncate(entries);
    chosen.sort_unstable();

    let mut of_value = Comparison::of("value");
    of_value.entries.push((Vec::new(), at.value - at.penalty, sum(problem, w)?));
    let (mut of_gradient, mut of_hessian) = (Comparison::of("gradient"), Comparison::of("Hessian"));
    for &a in &chosen {
        let along = |t: f64| {
            let mut x = w.to_vec();
            x[a] = t;
            x
        };
        let value = |t: f64, out: &mut [f64]| {
            out[0] = problem.objective(&along(t)).unwrap_or(f64::NAN);
        };
        let slope = differences(&value, w[a], 1);
        of_gradient.entries.push((vec![a], at.gradient[a], slope[0]));
        let row = match &at.curvature {
            Some(matrix) => (0..p).map(|b| matrix.entry(a, b)).collect::<Result<Vec<f64>>>()?,
            None => operator.product(&unit(p, a))?,
        };
        let slopes = differences(&|t, out| gradient(&along(t), out), w[a], p);
        let entries = row.into_iter().zip(slopes).enumerate();
        of_hessian.entries.extend(entries.map(|(b, (given, found))| (vec![a, b], given, found)));
    }
    let mut of_products = Comparison::of("products");
    for direction in 0..DIRECTIONS {
        let v: Vec<f64> = (0..p).map(|_| random.random_range(-1.0..1.0)).collect();
        let along = |t: f64, out: &mut [f64]| {
            let x: Vec<f64> = w.iter().zip(&v).map(|(w, v)| w + t * v).collect();
            gradient(&x, out);
        };
        let slopes = differences(&along, 0.0, p);
        let entries = operator.product(&v)?.into_iter().zip(slopes).enumerate();
        of_products
            .entries
            .extend(entries.map(|(b, (given, found))| (vec![direction, b], given, found)));
    }
    Ok([of_value, of_gradient, of_hessian, of_products].map(Comparison::end).into())
}

fn unit(order: usize, a: usize) -> Vec<f64> {
    (0..order).map(|b| f64::from(u8::from(a == b))).collect()
}

/// Σ_i ω_i g(f(x_i; w), y_i), or the mean, from predictions of single rows.
fn sum(problem: &Problem, w: &[f64]) -> Result<Difference> {
    let data = problem.data()?;
    let (mut sum, mut size) = (0.0, 0.0);
    for (i, omega) in weights(data, problem.parts().reduction).into_iter().enumerate() {
        let x = data.x().select(Axis(0), &[i]);
        let out: Vec<f64> = problem.predict(w, &x)?.into_iter().collect();
        let value = omega * problem.loss().derivatives(&out, &data.y().row(i).to_vec())?.0;
        sum += value;
        size += value.abs();
    }
    Ok(Difference::smooth(sum, f64::EPSILON * data.len() as f64 * size))
}
