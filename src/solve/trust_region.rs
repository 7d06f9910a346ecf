//! min gᵀp + ½pᵀBp over ‖Dp‖ ≤ Δ.

use super::{U, Workspace, cholesky, eigen, packed};
use crate::error::{Error, Result};
use crate::memory::copied;

/// The result of [`trust_region`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrustRegionStep {
    /// The step p.
    pub step: Vec<f64>,
    /// The multiplier λ ≥ 0 of the constraint.
    pub lambda: f64,
    /// The reduction that the model predicts, −gᵀp − ½pᵀBp ≥ 0.
    pub reduction: f64,
    /// ‖Dp‖.
    pub length: f64,
    /// Whether the constraint holds the step back: ‖Dp‖ = Δ to `precision`. Where not, λ = 0.
    pub boundary: bool,
    /// Whether the boundary had to be reached along an eigenvector of the lowest eigenvalue.
    pub hard_case: bool,
}

/// The minimum of a quadratic model within an ellipsoid, near-exactly.
///
/// ```text
/// min gᵀp + ½pᵀBp,   ‖Dp‖ ≤ Δ,   D = diag(scaling)
/// (B + λD²)p = −g,   B + λD² positive semidefinite,   λ ≥ 0,   λ(Δ − ‖Dp‖) = 0
/// ```
///
/// The second line says what a minimum is, whatever the signs of B's eigenvalues. Its first three conditions hold to
/// rounding whatever `precision` is; the last holds within it: on the boundary |‖Dp‖ − Δ| ≤ `precision`·Δ. Less than
/// 10⁻¹² is taken as 10⁻¹². `lower` is the packed lower triangle of B, and the order is the length of `gradient`.
///
/// Newton's method on 1/Δ = 1/‖Dp(λ)‖, one Cholesky factorization (d³/3) each; mostly two to five. Where these do not
/// get there, in the hard case (g is orthogonal to the eigenvectors of the lowest eigenvalue λ₁ < 0, and −(B − λ₁D²)⁺g is
/// too short) and near it, the equation is solved in the basis of eigenvectors, about 9d³. If g = 0 and B is indefinite,
/// the step goes along the lowest eigenvector; if B is positive semidefinite and singular, a short minimum is preferred.
///
/// # Errors
/// [`Error::Shape`] and [`Error::NonFinite`] for the three arrays, [`Error::Invalid`] for a scaling or radius that is
/// not positive and finite, or a precision outside [0, 1); [`Error::Numerical`] if a result is beyond the range of f64.
///
/// Source: Moré and Sorensen, *SIAM J. Sci. Stat. Comput.* 4, 1983; Conn, Gould and Toint, *Trust-Region Methods*, ch. 7.
///
/// ```
/// use secondo::solve::trust_region;
///
/// // x² − y² at (1, 0): the gradient does not see that y leads down.
/// let found = trust_region(&[2.0, 0.0, -2.0], &[2.0, 0.0], &[1.0, 1.0], 1.0, 1e-10)?;
/// assert!(found.hard_case && (found.lambda - 2.0).abs() < 1e-14);
/// assert!((found.step[0] + 0.5).abs() < 1e-14 && (found.step[1].abs() - 0.75_f64.sqrt()).abs() < 1e-14);
/// // With y's curvature turned up, Newton's step is inside.
/// let found = trust_region(&[2.0, 0.0, 2.0], &[2.0, 0.0], &[1.0, 1.0], 5.0, 1e-10)?;
/// assert!(!found.boundary && found.step == [-1.0, 0.0]);
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn trust_region(
    lower: &[f64],
    gradient: &[f64],
    scaling: &[f64],
    radius: f64,
    precision: f64,
) -> Result<TrustRegionStep> {
    let d = gradient.len();
    packed::check(lower, d)?;
    packed::finite("gradient", gradient)?;
    if scaling.len() != d {
        return Err(Error::shape("scaling", &[d], &[scaling.len()]));
    }
    let positive = |v: f64| v.is_finite() && v > 0.0;
    if let Some(a) = scaling.iter().position(|&v| !positive(v)) {
        let why = format!("{} at index {a} is not positive and finite", scaling[a]);
        return Err(Error::invalid("scaling", why));
    }
    if !positive(radius) {
        let why = format!("{radius} is not positive and finite");
        return Err(Error::invalid("radius", why));
    }
    if !(0.0..1.0).contains(&precision) {
        let why = format!("{precision} is not in [0, 1)");
        return Err(Error::invalid("precision", why));
    }
    Units::new(lower, gradient, scaling, radius)?.solve(precision.max(1e-12))
}

/// The problem in z = Dp/2ʳ, divided by 2ˢ⁺ʳ: no entry is above 2 and the radius is in [1, 2), so that no data overflow.
///
/// ```text
/// min Gᵀz + ½zᵀCz,   ‖z‖ ≤ R
/// ```
struct Units<'a> {
    scaling: &'a [f64],
    d: usize,
    /// The unit of Dp is 2ʳ.
    r: i32,
    /// The unit of D⁻¹g is 2ˢ; that of D⁻¹BD⁻¹ is 2ˢ⁻ʳ.
    s: i32,
    matrix: Vec<f64>,
    gradient: Vec<f64>,
    radius: f64,
    /// ‖C‖∞.
    norm: f64,
}

/// So many times their rounding errors eigenvalues, pivots and slopes count as 0.
const NULL: f64 = 64.0;

/// z, λ, whether on the boundary, whether the hard case.
type Found = (Vec<f64>, f64, bool, bool);

impl<'a> Units<'a> {
    fn new(lower: &[f64], gradient: &[f64], scaling: &'a [f64], radius: f64) -> Result<Self> {
        let d = gradient.len();
        let beyond = || Error::Numerical {
            what: "the scaled model of the trust region is beyond the range of f64".to_string(),
        };
        let (unit_b, unit_g, unit_d) = (
            exponent(packed::largest(lower)),
            exponent(packed::largest(gradient)),
            exponent(packed::largest(scaling)),
        );
        let inverse: Vec<f64> = (scaling.iter()).map(|v| 1.0 / libm::scalbn(*v, -unit_d)).collect();
        let mut matrix = copied("a matrix in units of its scales", lower)?;
        packed::shift(&mut matrix, -unit_b);
        for (a, scale) in inverse.iter().enumerate() {
            let row = &mut matrix[a * (a + 1) / 2..][..=a];
            // One factor after the other: their product may overflow where this does not.
            for (v, other) in row.iter_mut().zip(&inverse) {
                *v = *v * scale * other;
            }
        }
        let mut scaled = gradient.to_vec();
        packed::shift(&mut scaled, -unit_g);
        scaled.iter_mut().zip(&inverse).for_each(|(g, inverse)| *g *= inverse);
        if !matrix.iter().chain(&scaled).all(|v| v.is_finite()) {
            return Err(beyond());
        }
        let r = exponent(radius);
        // Exponents of D⁻¹g, of D⁻¹BD⁻¹·2ʳ, and of the larger of the two.
        let e_g = unit_g - unit_d;
        let e_b = unit_b - 2 * unit_d + r;
        let size = |values: &[f64], e: i32| match packed::largest(values) {
            0.0 => i32::MIN,
            largest => exponent(largest) + e,
        };
        let s = size(&scaled, e_g).max(size(&matrix, e_b));
        let s = if s == i32::MIN { 0 } else { s };
        packed::shift(&mut matrix, e_b - s);
        packed::shift(&mut scaled, e_g - s);
        let norm = packed::norm(&matrix, d, 1.0, &mut vec![0.0; d]);
        Ok(Units {
            scaling,
            d,
            r,
            s,
            matrix,
            gradient: scaled,
            radius: libm::scalbn(radius, -r),
            norm,
        })
    }

    fn solve(&self, precision: f64) -> Result<TrustRegionStep> {
        let mut work = Workspace::new();
        work.reserve(self.d)?;
        let (z, lambda, boundary, hard_case) = match self.by_cholesky(work, precision) {
            Some(found) => found,
            None => self.by_eigenvectors()?,
        };
        // −Gᵀz = zᵀCz + λ‖z‖²: both terms below are ≥ 0, and nothing cancels.
        let length = norm(&z);
        let reduction = 0.5 * (-packed::dot(&self.gradient, &z)).max(0.0);
        let reduction = reduction + 0.5 * lambda * length * length;
        let step: Vec<f64> = (z.iter().zip(self.scaling))
            .map(|(z, scale)| {
                // The quotient first would lose z's digits where the scale is near the end of the range.
                let unit = exponent(*scale);
                libm::scalbn(z / libm::scalbn(*scale, -unit), self.r - unit)
            })
            .collect();
        let found = TrustRegionStep {
            step,
            lambda: libm::scalbn(lambda, self.s - self.r),
            reduction: libm::scalbn(reduction, self.s + self.r),
            length: libm::scalbn(length, self.r),
            boundary,
            hard_case,
        };
        let scalars = [found.lambda, found.reduction, found.length];
        if scalars.iter().chain(&found.step).all(|v| v.is_finite()) {
            Ok(found)
        } else {
            Err(Error::Numerical {
                what: "the step of the trust region is beyond the range of f64".to_string(),
            })
        }
    }

    /// The size of the rounding errors of a factorization of C.
    fn floor(&self) -> f64 {
        self.d as f64 * U * self.norm
    }

    /// Whether a pivot of C = LLᵀ is 0 to rounding, so that C has a null direction.
    fn is_null(&self, l: &[f64]) -> bool {
        let pivots = (0..self.d).map(|a| l[a * self.d + a].powi(2));
        pivots.fold(f64::INFINITY, f64::min) <= NULL * self.floor()
    }

    /// Newton's method on 1/R − 1/‖z(λ)‖ = 0, kept between bounds; none where it does not get there soon.
    fn by_cholesky(&self, mut work: Workspace, precision: f64) -> Option<Found> {
        // An indefinite C needs a few factorizations to find a λ that makes it definite.
        const MOST: usize = 12;
        let (d, radius) = (self.d, self.radius);
        let g = norm(&self.gradient);
        let diagonal = packed::rows(&self.matrix, d).map(|row| row[row.len() - 1]);
        let smallest = diagonal.fold(f64::INFINITY, f64::min);
        let mut low = (g / radius - self.norm).max(-smallest).max(0.0);
        let mut high = g / radius + self.norm;
        let mut lambda = 0.0;
        for _ in 0..MOST {
            packed::unpack(&self.matrix, d, 1.0, lambda, &mut work.matrix);
            let positive = lambda > -smallest;
            if positive && cholesky::factorize(&mut work, d, self.floor()).is_ok() {
                let l = &work.matrix[..d * d];
                if lambda == 0.0 && self.is_null(l) {
                    return None;
                }
                let mut z: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
                cholesky::substitute(l, d, &mut z);
                let length = norm(&z);
                if (length - radius).abs() <= precision * radius {
                    return Some((z, lambda, true, false));
                }
                if length < radius {
                    if lambda == 0.0 {
                        return Some((z, 0.0, false, false));
                    }
                    high = lambda;
                } else {
                    low = low.max(lambda);
                }
                // λ + (‖z‖ − R)/R · ‖z‖²/‖L⁻¹z‖².
                let mut w = z;
                cholesky::forward(l, d, &mut w);
                let along = norm(&w) / length;
                let newton = lambda + (length - radius) / radius / along / along;
                if !newton.is_finite() {
                    return None;
                }
                lambda = if newton > low { newton } else { between(low, high) };
                // 1/‖z(λ)‖ is concave: Newton's iterates are at or below the solution.
                low = low.max(newton);
            } else {
                low = low.max(lambda);
                lambda = between(low, high);
            }
            if low >= high {
                return None;
            }
        }
        None
    }

    /// The same equation in the basis of eigenvectors, with μ = λ + λ₁ as its unknown where λ₁ < 0.
    fn by_eigenvectors(&self) -> Result<Found> {
        let (d, radius) = (self.d, self.radius);
        let (values, vectors) = eigen::eigen(&self.matrix, d)?;
        let Some(&lowest) = values.first() else {
            return Ok((Vec::new(), 0.0, false, false));
        };
        let base = (-lowest).max(0.0);
        let gaps: Vec<f64> = values.iter().map(|v| v + base).collect();
        // An eigenvalue is not known to be other than another within this.
        let tiny = self.floor();
        let hidden = NULL * self.d as f64 * U * norm(&self.gradient);
        let parts: Vec<f64> = (vectors.chunks_exact(d).zip(&values))
            .map(|(v, value)| {
                let part = packed::dot(v, &self.gradient);
                // A part that rounding puts into a null direction is no reason to move along it: the shortest step is wanted.
                if value.abs() <= NULL * tiny && part.abs() <= hidden { 0.0 } else { part }
            })
            .collect();
        let along = |mu: f64| -> Vec<f64> {
            (parts.iter().zip(&gaps))
                .map(|(part, gap)| match part {
                    0.0 => 0.0,
                    part => -part / (gap + mu),
                })
                .collect()
        };
        let back = |along: &[f64]| {
            let mut z = vec![0.0; d];
            for (part, v) in along.iter().zip(vectors.chunks_exact(d)) {
                z.iter_mut().zip(v).for_each(|(z, v)| *z += part * v);
            }
            z
        };
        let definite = lowest > tiny;
        let mut mu = if definite { 0.0 } else { tiny };
        let mut z = along(mu);
        let mut length = norm(&z);
        if length <= radius {
            if base <= tiny {
                return Ok((back(&z), 0.0, false, false));
            }
            // Downhill, should the gradient have a part along the first eigenvector after all.
            let others = norm(&z[1..]).min(radius);
            let missing = ((radius - others) * (radius + others)).sqrt();
            z[0] = if parts[0] > 0.0 { -missing } else { missing };
            return Ok((back(&z), base, true, true));
        }
        // Where one part alone reaches the boundary the whole is not inside it; from there Newton's method ascends.
        let alone = parts.iter().zip(&gaps).map(|(p, gap)| p.abs() / radius - gap);
        mu = alone.fold(mu, f64::max);
        for _ in 0..100 {
            z = along(mu);
            length = norm(&z);
            let slope: f64 = (z.iter().zip(&gaps))
                .filter(|(z, _)| **z != 0.0)
                .map(|(z, gap)| (z / length).powi(2) / (gap + mu))
                .sum();
            let next = mu + (length - radius) / radius / slope;
            // At the solution the update is rounding, of either sign.
            if next > mu * (1.0 + U) {
                mu = next;
            } else {
                break;
            }
        }
        // The rest of a step whose λ is rounded: the length is Δ whatever its last digits are.
        z.iter_mut().for_each(|z| *z *= radius / length);
        Ok((back(&z), base + mu, true, false))
    }
}

/// A λ between the bounds that leaves the lower one quickly.
fn between(low: f64, high: f64) -> f64 {
    (low * high).sqrt().max(low + 0.01 * (high - low))
}

/// The exponent of |x|: |x| = m·2ᵉ with m in [1, 2); 0 for 0.
fn exponent(x: f64) -> i32 {
    match x {
        0.0 => 0,
        x => libm::ilogb(x),
    }
}

/// ‖v‖₂ of numbers far from the ends of the range, or infinite.
fn norm(v: &[f64]) -> f64 {
    packed::dot(v, v).sqrt()
}
