//! Supplied derivatives against differences: what finds a wrong sign, a lost term or a swapped index before a fit does.
//!
//! Each derivative is compared with central differences of order 8 of what it is the derivative of,
//!
//! ```text
//! f′(x) ≈ Σ_k c_k (f(x + kh) − f(x − kh))/h,   c = 4/5, −1/5, 4/105, −1/280,   h = ½ s 4⁻ʲ,   j = 0 … 13
//! ```
//!
//! s being the power of two below max(|x|, 1). A step's error e is estimated as what rounding f and x may do to it,
//! with its difference from smaller steps beyond what rounding may do to them; the step with the smallest counts. A derivative d is refused where |d − f′| > 10 e + 10⁻⁷ |d|, or is NaN:
//! in smooth places a relative error of 10⁻⁶ is found, whatever the scale of x.
//!
//! Where f is not finite nothing is compared, and neither where the steps do not agree at all. At a kink, where the slopes of
//! the two sides differ at every step, any number between the two is right; where f jumps, any number is. A second
//! derivative is compared with the supplied first, so that each is judged alone.
//!
//! ```
//! use secondo::{Error, check};
//! // u³ with 3u² and 6u.
//! check::derivatives("cube", |u| [u * u * u, 3.0 * u * u, 6.0 * u], &[-1.5, 0.0, 2.0])?;
//! let wrong = check::derivatives("cube", |u| [u * u * u, 3.0 * u * u, 6.0], &[2.0]);
//! let Err(Error::Derivative { derivative, given, expected, .. }) = wrong else { unreachable!() };
//! assert!(derivative == "derivative 2" && given == 6.0 && (expected - 12.0).abs() < 1e-9);
//! # Ok::<(), Error>(())
//! ```

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::error::{Error, Result};
use crate::memory::{ask_for, shape_product, zeros};

/// The steps h are ½ s 4⁻ʲ.
const STEPS: usize = 14;
/// c_k of f(x + kh) − f(x − kh).
const CENTRAL: [f64; 4] = [4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0];
/// Steps at which a kink or a jump shows: it does not shrink with them, as all else does.
const SMALL: [usize; 3] = [STEPS - 3, STEPS - 2, STEPS - 1];

/// h, h′, h″ …: each number that `f` gives is the derivative of the one before it, at every point.
///
/// # Errors
/// [`Error::Derivative`] for the first that is not: `derivative 1` is h′.
pub fn derivatives<const N: usize>(
    part: &str,
    f: impl Fn(f64) -> [f64; N],
    points: &[f64],
) -> Result<()> {
    for &u in points {
        let given = f(u);
        let found = differences(&|t, out| out.copy_from_slice(&f(t)), u, N);
        for order in 1..N {
            let at =
                Place { part, derivative: &format!("derivative {order}"), at: &[], point: &[u] };
            at.compare(given[order], given[order - 1], &found[order - 1], 0.0)?;
        }
    }
    Ok(())
}

/// ∂f_i/∂x_a, row-major, `outputs` × (length of `point`): a gradient with one output, a Hessian where f is the gradient, mixed
/// derivatives where f is the derivative in other variables.
///
/// `part` and `derivative` are the names that an error gives, such as `my loss` and `the Hessian`.
///
/// # Errors
/// [`Error::Derivative`] for the first that is wrong, `at` being (i, a), or (a) with one output.
///
/// ```
/// use secondo::{Error, check};
/// let gradient = |x: &[f64], g: &mut [f64]| g.copy_from_slice(&[2.0 * x[0] * x[1], x[0] * x[0]]); // of x₀² x₁
/// let hessian = |x: &[f64], h: &mut [f64]| h.copy_from_slice(&[2.0 * x[1], 2.0 * x[0], 2.0 * x[0], 0.0]);
/// for point in check::points(3, 2, 7) {
///     check::jacobian("x₀² x₁", "the gradient", 1, |x, f| f[0] = x[0] * x[0] * x[1], gradient, &point)?;
///     check::jacobian("x₀² x₁", "the Hessian", 2, gradient, hessian, &point)?;
/// }
/// # Ok::<(), Error>(())
/// ```
pub fn jacobian(
    part: &str,
    derivative: &str,
    outputs: usize,
    f: impl Fn(&[f64], &mut [f64]),
    jacobian: impl Fn(&[f64], &mut [f64]),
    point: &[f64],
) -> Result<()> {
    let n = point.len();
    let mut given = zeros("the derivatives", shape_product("the derivatives", &[outputs, n])?)?;
    // The differences of one variable.
    ask_for::<[Stencil; STEPS]>("the differences", outputs)?;
    let mut values = vec![0.0; outputs];
    f(point, &mut values);
    jacobian(point, &mut given);
    let largest = given.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for a in 0..n {
        let along = |t: f64, out: &mut [f64]| {
            let mut x = point.to_vec();
            x[a] = t;
            f(&x, out);
        };
        let found = differences(&along, point[a], outputs);
        for (i, found) in found.iter().enumerate() {
            let at =
                Place { part, derivative, at: if outputs == 1 { &[a] } else { &[i, a] }, point };
            at.compare(given[i * n + a], values[i], found, largest)?;
        }
    }
    Ok(())
}

/// `count` points of `len` numbers between −2 and 2, the same for the same seed.
pub fn points(count: usize, len: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut point = || (0..len).map(|_| random.random_range(-2.0..2.0)).collect();
    (0..count).map(|_| point()).collect()
}

/// The name of the compared derivative, for the error.
struct Place<'a> {
    part: &'a str,
    derivative: &'a str,
    at: &'a [usize],
    point: &'a [f64],
}

impl Place<'_> {
    /// Refuses a derivative of what has this value; `largest` is that of the entries beside it.
    fn compare(&self, given: f64, value: f64, found: &Difference, largest: f64) -> Result<()> {
        if !value.is_finite() || found.allows(given, largest) {
            return Ok(());
        }
        Err(Error::Derivative {
            part: self.part.into(),
            derivative: self.derivative.into(),
            at: self.at.to_vec(),
            point: self.point.to_vec(),
            given,
            expected: found.value,
            error: found.error,
        })
    }
}

/// A derivative by differences, with its estimated error; infinite where there is none.
#[derive(Clone, Copy)]
pub(crate) struct Difference {
    pub value: f64,
    pub error: f64,
    /// Half the difference of the slopes of the two sides at a kink.
    kink: f64,
}

impl Difference {
    /// A value without a kink.
    pub fn smooth(value: f64, error: f64) -> Self {
        Difference { value, error, kink: 0.0 }
    }

    /// Whether a derivative may be the right one; `largest` is that of the entries beside it.
    pub fn allows(&self, given: f64, largest: f64) -> bool {
        // An exact zero may come out as the rounding error of its neighbours.
        let rounding = 1e-13 * largest;
        let tolerance = 10.0 * self.error + self.kink + 1e-7 * given.abs() + rounding;
        !self.error.is_finite() || (given - self.value).abs() <= tolerance
    }
}

/// The findings of one step on one output.
#[derive(Clone, Copy, Default)]
struct Stencil {
    slope: f64,
    /// The error of the slope that rounding may make.
    rounding: f64,
    /// f(x + h) − f(x − h).
    jump: f64,
    /// The slope to the right less that to the left.
    bend: f64,
}

/// df_i/dx for each of the outputs.
pub(crate) fn differences(f: &dyn Fn(f64, &mut [f64]), x: f64, outputs: usize) -> Vec<Difference> {
    let scale = x.abs().max(1.0).log2().floor().exp2();
    let step = |j: usize| 0.5 * scale * 0.25f64.powi(j as i32);
    let mut buffers = vec![0.0; 3 * outputs];
    let (centre, rest) = buffers.split_at_mut(outputs);
    let (up, down) = rest.split_at_mut(outputs);
    f(x, centre);
    let mut stencils = vec![[Stencil::default(); STEPS]; outputs];
    for j in 0..STEPS {
        let h = step(j);
        for (k, c) in (1..).zip(CENTRAL) {
            f(x + f64::from(k) * h, up);
            f(x - f64::from(k) * h, down);
            for (i, stencil) in stencils.iter_mut().enumerate() {
                let (s, difference) = (&mut stencil[j], up[i] - down[i]);
                s.slope += c * difference / h;
                s.rounding =
                    (s.rounding).max(4.0 * f64::EPSILON * (up[i].abs() + down[i].abs()) / h);
                if k == 1 {
                    s.jump = difference;
                    s.bend = (up[i] - centre[i] - (centre[i] - down[i])) / h;
                }
            }
        }
        for stencil in &mut stencils {
            // x + kh is rounded, too.
            stencil[j].rounding += 4.0 * f64::EPSILON * (x * stencil[j].slope).abs() / h;
        }
    }
    (stencils.iter())
        .map(|s| {
            // Smaller steps are better but for rounding: where they differ by more, this step is too long.
            let error = |j: usize| {
                let apart = (s[j + 1..].iter())
                    .map(|i| ((s[j].slope - i.slope).abs() - 16.0 * i.rounding).max(0.0));
                s[j].rounding + apart.fold(0.0, f64::max)
            };
            let none = Difference { value: f64::NAN, error: f64::INFINITY, kink: 0.0 };
            let at = |j: usize| Difference { value: s[j].slope, error: error(j), kink: 0.0 };
            let best = (0..STEPS - 1)
                .map(at)
                .filter(|d| d.error.is_finite())
                .min_by(|a, b| a.error.total_cmp(&b.error))
                .unwrap_or(none);
            // As large at each of the small steps: beyond rounding, and of one sign.
            let stays = |what: fn(&Stencil) -> f64, rounding: &dyn Fn(usize) -> f64| {
                let [a, b, c] = SMALL.map(|j| what(&s[j]));
                let steady = |a: f64, b: f64| a * b > 0.0 && b.abs() > 0.5 * a.abs();
                steady(a, b) && steady(b, c) && c.abs() > 100.0 * rounding(SMALL[2])
            };
            if stays(|s| s.jump, &|j| s[j].rounding * step(j)) {
                return none;
            }
            if stays(|s| s.bend, &|j| s[j].rounding) {
                Difference { kink: 0.5 * s[SMALL[2]].bend.abs(), ..at(SMALL[2]) }
            } else {
                best
            }
        })
        .collect()
}
