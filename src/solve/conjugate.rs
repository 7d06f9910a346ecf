//! min gᵀp + ½pᵀBp over ‖p‖_M ≤ Δ by conjugate gradients, with products Bv alone.

use std::ops::Range;

use rayon::prelude::*;

use super::{Cholesky, add_multiple, dot, packed};
use crate::error::{Error, Result};
use crate::memory::copied;

/// A positive definite matrix M, easily solved with, that stands in for a B that is only known by its products.
///
/// ```text
/// z = M⁻¹ r,   ‖p‖_M² = pᵀMp
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Preconditioner {
    /// M = I.
    None,
    /// M = diag(m), positive numbers.
    Diagonal(Vec<f64>),
    /// M block by block, factorized.
    Blocks(Vec<Cholesky>),
    /// M block by block, those of each group being multiples of one matrix, which is factorized.
    Shared(SharedBlocks),
}

/// M_j = m_j A for the units j of each group, whose parameters are in a range, unit by unit; diag(m) for all other parameters.
#[derive(Debug, Clone)]
pub struct SharedBlocks {
    /// The groups, with the factor of their A.
    pub(crate) groups: Vec<(Range<usize>, Cholesky)>,
    /// Positive numbers, one for each parameter; those of a unit in a group are the same.
    pub(crate) m: Vec<f64>,
}

/// Entries of blocks above which threads solve with them side by side.
const MANY: usize = 1 << 16;
/// Units that one thread solves for at once.
const TOGETHER: usize = 32;

impl Preconditioner {
    /// Blocks that were positive semidefinite before they were rounded, as packed lower triangles with their orders.
    ///
    /// ```text
    /// M_j = B_j + τ_jI
    /// ```
    ///
    /// τ_j is the first of β, 10β, 100β, … that makes M_j positive definite, with β = 10⁻³ max_a |B_aa|, or 1 for B_j = 0. A smaller β
    /// lets singular directions take steps as long as they like.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`], of the first block that has one.
    pub fn blocks<'a>(blocks: impl IntoIterator<Item = (&'a [f64], usize)>) -> Result<Self> {
        let blocks: Vec<_> = blocks.into_iter().collect();
        blocks.iter().try_for_each(|&(lower, d)| packed::check(lower, d))?;
        let order = blocks.iter().map(|(_, d)| d).sum();
        Self::blocks_in(blocks, &vec![1.0; order])
    }

    /// The same in units R of the variables, one for each: M_j = B_j + τ_j R_j², β = 10⁻³ max_a |B_aa|/R_a².
    pub(crate) fn blocks_in<'a>(
        blocks: impl IntoIterator<Item = (&'a [f64], usize)>,
        scales: &[f64],
    ) -> Result<Self> {
        let mut rest = scales;
        let mut with_scales = |(lower, d): (&'a [f64], usize)| {
            let (own, others) = rest.split_at(d);
            rest = others;
            (lower, own)
        };
        let blocks: Vec<_> = blocks.into_iter().map(&mut with_scales).collect();
        let factors: Vec<Result<Cholesky>> =
            blocks.par_iter().map(|(lower, scales)| Self::factor_in(lower, scales)).collect();
        Ok(Preconditioner::Blocks(factors.into_iter().collect::<Result<_>>()?))
    }

    /// The factor of one of these M_j.
    pub(crate) fn factor_in(lower: &[f64], scales: &[f64]) -> Result<Cholesky> {
        let d = scales.len();
        packed::check(lower, d)?;
        let diagonal = packed::rows(lower, d).map(|row| row[row.len() - 1].abs());
        let relative = diagonal.zip(scales).map(|(v, scale)| v / scale / scale);
        let mut shift = match relative.fold(0.0, f64::max) {
            0.0 => 1.0,
            largest => (1e-3 * largest).max(f64::MIN_POSITIVE),
        };
        loop {
            let mut shifted = copied("a preconditioner", lower)?;
            for (a, scale) in scales.iter().enumerate() {
                shifted[a * (a + 1) / 2 + a] += shift * scale * scale;
            }
            match Cholesky::new(&shifted, d) {
                Err(Error::NotPositiveDefinite { .. }) => shift *= 10.0,
                done => return done,
            }
        }
    }

    /// M⁻¹r.
    pub(crate) fn apply(&self, r: &[f64]) -> Result<Vec<f64>> {
        match self {
            Preconditioner::None => Ok(r.to_vec()),
            Preconditioner::Diagonal(m) => Ok(r.iter().zip(m).map(|(r, m)| r / m).collect()),
            Preconditioner::Blocks(factors) => {
                let mut z = r.to_vec();
                let mut rest = z.as_mut_slice();
                let mut parts = Vec::with_capacity(factors.len());
                for factor in factors {
                    let (part, others) = rest.split_at_mut(factor.order());
                    parts.push((factor, part));
                    rest = others;
                }
                let entries: usize = factors.iter().map(|factor| factor.order().pow(2)).sum();
                if entries < MANY {
                    parts.into_iter().try_for_each(|(factor, part)| factor.solve(part))?;
                } else {
                    parts.into_par_iter().try_for_each(|(factor, part)| factor.solve(part))?;
                }
                Ok(z)
            }
            Preconditioner::Shared(SharedBlocks { groups, m }) => {
                let mut z: Vec<f64> = r.iter().zip(m).map(|(r, m)| r / m).collect();
                for (range, factor) in groups {
                    let units = z[range.clone()].par_chunks_mut(TOGETHER * factor.order().max(1));
                    units.try_for_each(|units| factor.solve_all(units))?;
                }
                Ok(z)
            }
        }
    }

    fn check(&self, d: usize) -> Result<()> {
        let order = match self {
            Preconditioner::None => d,
            Preconditioner::Diagonal(m) | Preconditioner::Shared(SharedBlocks { m, .. }) => {
                if let Some(a) = m.iter().position(|m| !(m.is_finite() && *m > 0.0)) {
                    let why = format!("{} at index {a} is not positive and finite", m[a]);
                    return Err(Error::invalid("preconditioner", why));
                }
                m.len()
            }
            Preconditioner::Blocks(factors) => factors.iter().map(Cholesky::order).sum(),
        };
        if order == d { Ok(()) } else { Err(Error::shape("preconditioner", &[d], &[order])) }
    }
}

/// The result of [`conjugate_gradients`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConjugateStep {
    /// The step p.
    pub step: Vec<f64>,
    /// The reduction that the model predicts, −gᵀp − ½pᵀBp ≥ 0.
    pub reduction: f64,
    /// ‖p‖_M.
    pub length: f64,
    /// Whether the region ended the step: ‖p‖_M = Δ.
    pub boundary: bool,
    /// How many products with B were taken.
    pub products: usize,
    /// The rest of the gradient, ‖g + Bp‖²_M⁻¹.
    pub rest: f64,
    /// The length α of each step inside the region, and β, by how much the last direction counts in the next.
    pub coefficients: Vec<(f64, f64)>,
}

impl ConjugateStep {
    /// The smallest Ritz value of M⁻¹B: the smallest eigenvalue that the steps have seen, not below the smallest that there is.
    ///
    /// # Errors
    /// [`Error::Numerical`] should the iteration not converge.
    pub(crate) fn lowest(&self) -> Result<f64> {
        let d = self.coefficients.len();
        let mut lower = vec![0.0; d * (d + 1) / 2];
        let mut before: Option<(f64, f64)> = None;
        for (k, &(alpha, beta)) in self.coefficients.iter().enumerate() {
            let row = &mut lower[k * (k + 1) / 2..][..=k];
            row[k] = 1.0 / alpha;
            if let Some((alpha, beta)) = before {
                row[k] += beta / alpha;
                row[k - 1] = beta.sqrt() / alpha;
            }
            before = Some((alpha, beta));
        }
        Ok(super::eigenvalues(&lower, d)?.first().copied().unwrap_or(f64::NAN))
    }
}

/// The minimum of a quadratic model within an ellipsoid, approximately, from products with B.
///
/// ```text
/// min gᵀp + ½pᵀBp,   ‖p‖_M ≤ Δ
/// ```
///
/// Preconditioned conjugate gradients from p = 0 until ‖g + Bp‖_M⁻¹ ≤ `tolerance`·‖g‖_M⁻¹, at most `most` products and never more
/// than 100 (d + 10): without rounding d would do, and what is left then is rounding that no product mends. The lengths ‖p‖_M grow
/// from step to step; where a step would leave the region, or a direction has dᵀBd ≤ 0, that direction is followed to the boundary.
/// The model never promises less than along the first direction, −M⁻¹g (Cauchy's point). For g = 0 the step is 0. The same bits for
/// the same input.
///
/// # Errors
/// [`Error::NonFinite`] for the gradient, [`Error::Shape`] and [`Error::Invalid`] for the preconditioner, [`Error::Shape`] for a
/// product of another length, [`Error::Invalid`] for a radius that is not positive and finite, [`Error::Numerical`] if a result is beyond the range of f64, and what `product`
/// reports.
///
/// Source: Steihaug, *SIAM J. Numer. Anal.* 20, 1983; Conn, Gould and Toint, *Trust-Region Methods*, §7.5.1.
///
/// ```
/// use secondo::solve::{Preconditioner, conjugate_gradients};
///
/// // B = diag(1, 4), g = (1, 8): Newton's step is (−1, −2), found in two products.
/// let product = |v: &[f64]| Ok(vec![v[0], 4.0 * v[1]]);
/// let found = conjugate_gradients(product, &[1.0, 8.0], &Preconditioner::None, 10.0, 1e-12, 10)?;
/// assert!((found.step[0] + 1.0).abs() + (found.step[1] + 2.0).abs() < 1e-14);
/// assert!(!found.boundary && found.products == 2);
/// // Preconditioned by its diagonal, in one.
/// let m = Preconditioner::Diagonal(vec![1.0, 4.0]);
/// let found = conjugate_gradients(product, &[1.0, 8.0], &m, 10.0, 0.0, 10)?;
/// assert_eq!((found.step, found.products), (vec![-1.0, -2.0], 1));
/// # Ok::<(), secondo::Error>(())
/// ```
pub fn conjugate_gradients(
    mut product: impl FnMut(&[f64]) -> Result<Vec<f64>>,
    gradient: &[f64],
    preconditioner: &Preconditioner,
    radius: f64,
    tolerance: f64,
    most: usize,
) -> Result<ConjugateStep> {
    let d = gradient.len();
    packed::finite("gradient", gradient)?;
    preconditioner.check(d)?;
    if !(radius.is_finite() && radius > 0.0) {
        let why = format!("{radius} is not positive and finite");
        return Err(Error::invalid("radius", why));
    }
    // Everything below is in units of the gradient, so that squares stay in range.
    let unit = match packed::largest(gradient) {
        0.0 => 1.0,
        largest => packed::power_of_two(largest),
    };
    let radius = radius / unit;
    let mut residual: Vec<f64> = gradient.iter().map(|g| g / unit).collect();
    let mut z = preconditioner.apply(&residual)?;
    let mut along = dot(&residual, &z);
    let goal = tolerance * tolerance * along;
    let mut found = ConjugateStep {
        step: vec![0.0; d],
        reduction: 0.0,
        length: 0.0,
        boundary: false,
        products: 0,
        rest: 0.0,
        coefficients: Vec::new(),
    };
    let mut direction: Vec<f64> = z.iter().map(|z| -z).collect();
    // ‖p‖², pᵀMd and ‖d‖² in M.
    let (mut pp, mut pd, mut dd) = (0.0, 0.0, along);
    let most = most.min(d.saturating_add(10).saturating_mul(100));
    while along > goal && along > 0.0 && found.products < most {
        let image = product(&direction)?;
        if image.len() != d {
            return Err(Error::shape("product", &[d], &[image.len()]));
        }
        found.products += 1;
        let curvature = dot(&direction, &image);
        let free = if curvature > 0.0 { along / curvature } else { f64::INFINITY };
        let inside = pp + free * (2.0 * pd + free * dd) < radius * radius;
        if !inside {
            // The positive root of ‖p + τd‖ = Δ, without cancellation.
            let (gap, root) = (
                radius * radius - pp,
                (pd / dd).hypot(((radius * radius - pp) / dd).max(0.0).sqrt()),
            );
            let tau = if pd > 0.0 { gap / dd / (pd / dd + root) } else { root - pd / dd };
            found.reduction += tau * (along - 0.5 * tau * curvature);
            add_multiple(&mut found.step, tau, &direction);
            (found.boundary, pp) = (true, radius * radius);
            break;
        }
        found.reduction += 0.5 * free * along;
        add_multiple(&mut found.step, free, &direction);
        add_multiple(&mut residual, free, &image);
        pp += free * (2.0 * pd + free * dd);
        z = preconditioner.apply(&residual)?;
        let next = dot(&residual, &z);
        let beta = next / along;
        found.coefficients.push((free, beta));
        pd = beta * (pd + free * dd);
        dd = next + beta * beta * dd;
        (direction.iter_mut().zip(&z)).for_each(|(d, z)| *d = beta * *d - z);
        along = next;
    }
    found.rest = along * unit * unit;
    found.length = pp.sqrt() * unit;
    found.reduction *= unit * unit;
    found.step.iter_mut().for_each(|p| *p *= unit);
    let scalars = [found.reduction, found.length];
    if scalars.iter().chain(&found.step).all(|v| v.is_finite()) {
        Ok(found)
    } else {
        Err(Error::Numerical {
            what: "the step of conjugate gradients is beyond the range of f64".to_string(),
        })
    }
}
