//! One block: x = (B̃ + μI)⁻¹b, B̃ = B where B is positive definite.

use std::fmt;

use super::{U, Workspace, cholesky, eigen, ldlt, packed};
use crate::error::{Error, Result};
use crate::memory::zeros;

/// The policy for a matrix that is not positive definite: what takes its place.
///
/// Every policy solves with B + μI itself where that is safely positive definite, so that all four
/// then give the same step, to the bit. The line is drawn at
///
/// ```text
/// floor = d · u · ‖B‖∞,   u = 2⁻⁵³,   ‖B‖∞ = max_a Σ_b |B_ab|
/// ```
///
/// the size of the rounding errors of a factorization of order d: a smaller eigenvalue is not known
/// to be positive. With `absolute` and `clip` no eigenvalue of B̃ + μI is below it, with `shift` no
/// pivot L_aa², with `ldlt` no eigenvalue of D.
/// In all four B̃ − B is positive semidefinite, and p = −(B̃ + μI)⁻¹g is a descent direction.
/// A matrix B = 0 has no scale: its step is −g/μ, and −g (steepest descent) for μ = 0.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §3.4, and the papers named below.
///
/// ```
/// use secondo::solve::{Factor, Indefinite};
///
/// // B = diag(2, −2), the Hessian of x² − y² + y⁴ at (1, 0).
/// let b = [2.0, 0.0, -2.0];
/// let mut x = [2.0, 2.0];
/// Factor::new(&b, 2, Indefinite::Absolute)?.solve(0.0, &mut x)?;
/// assert_eq!(x, [1.0, 1.0]);
/// assert_eq!(Indefinite::from_name("absolute")?, Indefinite::Absolute);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Indefinite {
    /// A multiple of the identity, `shift`.
    ///
    /// ```text
    /// B̃ = B + τI
    /// ```
    ///
    /// τ = 0 if B + μI is positive definite; otherwise the first of τ₁, 2τ₁, 4τ₁, … that makes
    /// B + (μ + τ)I positive definite, with β = 10⁻³‖B‖∞ and τ₁ = β − min(0, min_a B_aa + μ). So
    /// τ ≤ 2|λ_min(B + μI)| + β. Each trial costs d³/3, and a trial that fails stops early. The
    /// cheapest, and right where blocks are seldom indefinite; it shortens the good directions with
    /// the bad ones. (Nocedal and Wright, algorithm 3.3, with β relative to ‖B‖.)
    Shift,
    /// A modified symmetric indefinite factorization, `ldlt`.
    ///
    /// ```text
    /// P(B + μI)Pᵀ = LDLᵀ,   B̃ + μI = PᵀLD̃LᵀP
    /// ```
    ///
    /// D has blocks of order 1 and 2 (Bunch and Kaufman, rook pivoting); their eigenvalues δ become
    /// max(|δ|, floor). One more factorization, d³/3, whatever the inertia. Prefer it for large
    /// indefinite blocks, where eigenvalues cost too much. (Cheng and Higham, *SIAM J. Matrix Anal.
    /// Appl.* 19, 1998, with absolute values as in Moré and Sorensen 1979.)
    ModifiedLdlt,
    /// Absolute eigenvalues, `absolute` (saddle-free Newton).
    ///
    /// ```text
    /// B = VΛVᵀ,   B̃ + μI = V diag(max(|λ_i| + μ, floor)) Vᵀ
    /// ```
    ///
    /// About 9d³ once and 2d² for each further μ; only for a B that is not positive definite, since
    /// that is found out by a Cholesky factorization. Leaves saddles fastest: every direction has a
    /// step of the length of its own curvature. (Dauphin et al., NeurIPS 2014.)
    #[default]
    Absolute,
    /// Negative eigenvalues cut off, `clip`.
    ///
    /// ```text
    /// B̃ + μI = V diag(max(max(λ_i, 0) + μ, floor)) Vᵀ
    /// ```
    ///
    /// The nearest positive semidefinite matrix; the cost is that of `absolute`. Prefer it with μ > 0
    /// where negative curvature is noise about a positive semidefinite matrix: without damping the
    /// steps along cut directions are very long. (Higham, *Linear Algebra Appl.* 103, 1988.)
    Clip,
}

impl Indefinite {
    /// All policies.
    pub const ALL: [Indefinite; 4] =
        [Indefinite::Shift, Indefinite::ModifiedLdlt, Indefinite::Absolute, Indefinite::Clip];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Indefinite::Shift => "shift",
            Indefinite::ModifiedLdlt => "ldlt",
            Indefinite::Absolute => "absolute",
            Indefinite::Clip => "clip",
        }
    }

    /// The policy with this name; [`Error::Unknown`] lists the names.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::error::by_name(
            "policy for indefinite matrices",
            name,
            &Self::ALL.map(|p| (p.name(), p)),
        )
    }
}

impl fmt::Display for Indefinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a matrix had to be changed to be positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Modification {
    /// ‖B̃ − B‖₂: τ of `shift`, the largest change of an eigenvalue of `absolute` and `clip`; of
    /// `ldlt` the largest change of an eigenvalue of D.
    pub change: f64,
    /// Whether the change is beyond rounding, above 2·floor: B (B + μI for `shift` and `ldlt`) is
    /// indefinite, or singular without damping.
    pub indefinite: bool,
    /// The smallest eigenvalue of B, where the policy had to compute it (`absolute` and `clip` of a B
    /// that is not positive definite).
    pub lowest: Option<f64>,
}

/// A symmetric matrix made ready for solving with several dampings μ.
///
/// ```text
/// x = (B̃ + μI)⁻¹ b
/// ```
///
/// `Factor::new` does once what does not depend on μ: for `absolute` and `clip` a Cholesky
/// factorization of B − 4·floor·I shows whether B is safely positive definite, and only if it is not
/// are eigenvalues computed. After that a μ costs 2d² with eigenvalues and d³/3 without.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §3.4.
///
/// ```
/// use secondo::solve::{Factor, Indefinite};
///
/// let b = Factor::new(&[2.0, 0.0, 4.0], 2, Indefinite::Shift)?;
/// for (mu, solution) in [(0.0, [0.5, 0.25]), (2.0, [0.25, 1.0 / 6.0])] {
///     let mut x = [1.0, 1.0];
///     let modification = b.solve(mu, &mut x)?;
///     assert!((x[0] - solution[0]).abs() + (x[1] - solution[1]).abs() < 1e-15);
///     assert!(!modification.indefinite);
/// }
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Factor<'a> {
    lower: &'a [f64],
    decomposition: Decomposition,
}

/// A [`Factor`] without its matrix, of which it may outlive a borrow.
#[derive(Debug, Clone)]
pub(super) struct Decomposition {
    d: usize,
    policy: Indefinite,
    /// Power of two: the largest entry of B/scale lies in [1, 2).
    scale: f64,
    /// ‖B/scale‖∞.
    norm: f64,
    spectrum: Option<Spectrum>,
}

/// B/scale = VΛVᵀ; v_i is `vectors[i·d .. (i+1)·d]`.
#[derive(Debug, Clone)]
struct Spectrum {
    values: Vec<f64>,
    vectors: Vec<f64>,
}

impl<'a> Factor<'a> {
    /// Takes a packed lower triangle of order `d`, d(d+1)/2 numbers, which it keeps a borrow of.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NonFinite`] with the index in `lower`,
    /// [`Error::Numerical`] should eigenvalues not converge.
    pub fn new(lower: &'a [f64], d: usize, policy: Indefinite) -> Result<Self> {
        let decomposition = Decomposition::new(&mut Workspace::new(), lower, d, policy)?;
        Ok(Factor { lower, decomposition })
    }

    /// The order d.
    pub fn order(&self) -> usize {
        self.decomposition.d
    }

    /// Replaces b (`rhs`, d numbers) by x = (B̃ + μI)⁻¹b and says how far B̃ is from B.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NonFinite`] for a `rhs` that is not
    /// finite, [`Error::Invalid`] for μ < 0 or not finite, [`Error::Numerical`] if x is beyond the
    /// range of f64 (`rhs` is then as it was).
    pub fn solve(&self, mu: f64, rhs: &mut [f64]) -> Result<Modification> {
        if rhs.len() != self.order() {
            return Err(Error::shape("right-hand side", &[self.order()], &[rhs.len()]));
        }
        packed::finite("right-hand side", rhs)?;
        check_damping(mu)?;
        (self.decomposition).solve(&mut Workspace::new(), self.lower, mu, rhs)
    }
}

impl Decomposition {
    pub fn new(work: &mut Workspace, lower: &[f64], d: usize, policy: Indefinite) -> Result<Self> {
        packed::check(lower, d)?;
        work.reserve(d)?;
        let scale = packed::power_of_two(packed::largest(lower));
        let mut made = Decomposition {
            d,
            policy,
            scale,
            norm: packed::norm(lower, d, scale, &mut work.vector),
            spectrum: None,
        };
        if matches!(policy, Indefinite::Absolute | Indefinite::Clip) && made.norm > 0.0 {
            // Success leaves λ_min(B) ≥ floor beyond the rounding of the factorization itself.
            let floor = made.floor();
            packed::unpack(lower, d, scale, -4.0 * floor, &mut work.matrix);
            if cholesky::factorize(work, d, floor).is_err() {
                let (mut values, mut vectors) = (vec![0.0; d], zeros("eigenvectors", d * d)?);
                eigen::decompose(work, lower, d, scale, &mut values, Some(&mut vectors))?;
                made.spectrum = Some(Spectrum { values, vectors });
            }
        }
        Ok(made)
    }

    /// Replaces b (`rhs`) by x = (B̃ + μI)⁻¹b; `lower` is the matrix that was decomposed.
    pub fn solve(
        &self,
        work: &mut Workspace,
        lower: &[f64],
        mu: f64,
        rhs: &mut [f64],
    ) -> Result<Modification> {
        // Everything below is in units: of B and μ, and of the right-hand side.
        let unit = self.scale.max(packed::power_of_two(mu));
        let unit_rhs = packed::power_of_two(packed::largest(rhs));
        work.reserve(self.d)?;
        let mut x = std::mem::take(&mut work.vector);
        let solution = &mut x[..self.d];
        for (x, b) in solution.iter_mut().zip(rhs.iter()) {
            *x = b / unit_rhs;
        }
        let mut modification = Modification::default();
        let found = if self.norm == 0.0 {
            let damping = if mu > 0.0 { mu / unit } else { 1.0 / unit };
            solution.iter_mut().for_each(|x| *x /= damping);
            modification.change = if mu > 0.0 { 0.0 } else { 1.0 };
            Ok(())
        } else {
            let limit = 2.0 * self.floor() * (self.scale / unit);
            let change = match &self.spectrum {
                Some(spectrum) => {
                    modification.lowest = spectrum.values.first().map(|v| v * self.scale);
                    Ok(self.spectral(spectrum, work, mu / unit, unit, solution))
                }
                None => self.triangular(work, lower, mu / unit, unit, solution),
            };
            change.map(|change| {
                // Of a matrix at the end of the range it may be beyond it.
                modification.change = (change * unit).min(f64::MAX);
                modification.indefinite = change > limit;
            })
        };
        let back = unit_rhs / unit;
        let outcome = found.and_then(|()| {
            if solution.iter().all(|x| (x * back).is_finite()) {
                for (b, x) in rhs.iter_mut().zip(solution.iter()) {
                    *b = x * back;
                }
                Ok(modification)
            } else {
                Err(Error::Numerical {
                    what: format!(
                        "the solution of order {} with damping {mu:e} is beyond the range of f64; \
                         use a larger damping",
                        self.d
                    ),
                })
            }
        });
        work.vector = x;
        outcome
    }

    /// d · u · ‖B‖∞ in units of `scale`.
    fn floor(&self) -> f64 {
        self.d as f64 * U * self.norm
    }

    /// x = V diag(1/λ̃) Vᵀx; the change of the eigenvalues.
    fn spectral(
        &self,
        spectrum: &Spectrum,
        work: &mut Workspace,
        mu: f64,
        unit: f64,
        x: &mut [f64],
    ) -> f64 {
        let ratio = self.scale / unit;
        let floor = self.floor() * ratio;
        // The matrix is not needed here: its first column takes the result.
        let sum = &mut work.matrix[..self.d];
        sum.fill(0.0);
        let mut change: f64 = 0.0;
        for (value, v) in (spectrum.values.iter()).zip(spectrum.vectors.chunks_exact(self.d)) {
            let value = value * ratio;
            let positive = match self.policy {
                Indefinite::Clip => value.max(0.0),
                _ => value.abs(),
            };
            let new = (positive + mu).max(floor);
            // Not new − (value + μ): a large μ would leave its rounding error.
            change = change.max((positive - value).max(floor - mu - value));
            let weight = packed::dot(v, x) / new;
            for (s, v) in sum.iter_mut().zip(v) {
                *s += weight * v;
            }
        }
        x.copy_from_slice(sum);
        change
    }

    /// x = (B + μI + E)⁻¹x by Cholesky, E = 0 if possible; the size of E.
    fn triangular(
        &self,
        work: &mut Workspace,
        lower: &[f64],
        mu: f64,
        unit: f64,
        x: &mut [f64],
    ) -> Result<f64> {
        let d = self.d;
        let ratio = self.scale / unit;
        let floor = self.floor() * ratio;
        let diagonal = packed::rows(lower, d).map(|row| row[row.len() - 1] / unit);
        let smallest = diagonal.fold(f64::INFINITY, f64::min) + mu;
        let cholesky = |work: &mut Workspace, shift: f64, x: &mut [f64]| {
            packed::unpack(lower, d, unit, mu + shift, &mut work.matrix);
            let positive = cholesky::factorize(work, d, floor).is_ok();
            if positive {
                cholesky::substitute(&work.matrix, d, x);
            }
            positive
        };
        // No matrix with a diagonal entry ≤ 0 is positive definite.
        if smallest > 0.0 && cholesky(work, 0.0, x) {
            return Ok(0.0);
        }
        if self.policy == Indefinite::ModifiedLdlt {
            packed::unpack(lower, d, unit, mu, &mut work.matrix);
            return ldlt::solve(work, d, floor, x);
        }
        // Ends: B + τI is diagonally dominant for τ ≥ 2‖B‖∞, some twelve doublings from 10⁻³‖B‖∞.
        let mut shift = 1e-3 * self.norm * ratio - smallest.min(0.0);
        for _ in 0..64 {
            if cholesky(work, shift, x) {
                return Ok(shift);
            }
            shift *= 2.0;
        }
        Err(Error::Numerical {
            what: format!("no shift makes the matrix of order {d} positive definite"),
        })
    }
}

/// Refuses a damping that is negative or not finite.
pub(super) fn check_damping(mu: f64) -> Result<()> {
    if mu.is_finite() && mu >= 0.0 {
        Ok(())
    } else {
        Err(Error::invalid("damping", format!("{mu} is not a finite number ≥ 0")))
    }
}
