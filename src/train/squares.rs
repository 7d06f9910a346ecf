//! A problem as a sum of squares.

use std::sync::Arc;

use super::checks::{check_memory, check_start};
use super::linearized::Linearizer;
use super::residuals::SumOfSquares;
use super::scales::size_of_targets;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::{Request, weights};
use crate::interrupt::Limits;
use crate::objective::{Data, Loss, Penalty};
use crate::problem::Problem;
use crate::session::Session;
use crate::solve::dot;

/// The residuals of a squared error with a ridge penalty.
///
/// ```text
/// E = ½ Σ_io (√(ω_i v_o) (x_io − y_io))² + ½ Σ_l (√λ_l W_l)²
/// ```
///
/// Outputs and Jacobian are computed by the processor in f64: the gradient is Jᵀr, and no better than J.
pub(super) struct Squares<'a> {
    problem: &'a Problem,
    /// X stays where the processor computes.
    session: Session<'a>,
    data: &'a Data,
    /// √(ω_i v_o), row by row.
    roots: Vec<f64>,
    /// The parameters that the penalty reaches, with √λ_l.
    penalties: Vec<(usize, f64)>,
    /// √(Σ_io ω_i v_o y_io²).
    targets: f64,
}

impl<'a> Squares<'a> {
    /// # Errors
    /// `Unsupported` for a loss or a penalty that is no sum of squares, and for rows that are not in memory, with what to use instead.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        let outputs = problem.network().outputs();
        let factors = match problem.loss() {
            Loss::SquaredError => vec![1.0; outputs],
            Loss::WeightedSquaredError { output_weights } => output_weights.clone(),
            other => {
                let name = other.guarded(|| other.name())?;
                return Err(unsupported(&format!("the loss {name}")));
            }
        };
        let parts = problem.parts();
        if !matches!(
            parts.penalty,
            Penalty::None | Penalty::Ridge { .. } | Penalty::RidgeVec { .. }
        ) {
            let name = parts.penalty.guarded(|name| name)?;
            return Err(unsupported(&format!("the penalty {name}")));
        }
        // Of penalties that are squares the Hessian is λ, wherever it is taken.
        let zero = vec![0.0; parts.network.parameters()];
        let lambda = parts.penalty.hessian(parts.network, &zero)?.diagonal;
        let Ok(data) = problem.data() else {
            return Err(Error::Unsupported {
                what: "Levenberg–Marquardt over rows that are read a window at a time".into(),
                why: "it factorizes the Jacobian of all rows; use trust-region, newton-cg or lbfgs, or read the rows into memory"
                    .into(),
            });
        };
        let omega = weights(data, parts.reduction);
        // The Jacobian as it is computed, as it is weighted, and as columns for its QR factorization.
        let rows = omega.len() * outputs + lambda.len();
        let p = problem.parameters().max(zero.len()) as u64;
        // And its triangle, with those of damped ones.
        let triangles = (p + 1).saturating_mul(p + 1).saturating_mul(40);
        let need = (8 * rows as u64).saturating_mul(3 * p + 1).saturating_add(triangles);
        let what =
            format!("a Jacobian of {rows} residuals and {p} parameters, with its factorization,");
        let advice = "use trust-region with the curvature gauss-newton, or newton-cg";
        check_memory(problem, what, need, advice)?;
        let session = Session::new(problem, Device::Cpu);
        session.limits().heed(problem.interrupt());
        session.reserve(need);
        Ok(Squares {
            problem,
            session,
            data,
            targets: size_of_targets(problem)?.unwrap_or(0.0),
            roots: (omega.iter())
                .flat_map(|omega| factors.iter().map(move |v| (omega * v).sqrt()))
                .collect(),
            penalties: (lambda.iter().enumerate())
                .filter(|(_, lambda)| **lambda > 0.0)
                .map(|(l, lambda)| (l, lambda.sqrt()))
                .collect(),
        })
    }
}

impl Squares<'_> {
    /// √(Σ_io ω_i v_o y_io²).
    pub fn size_of_targets(&self) -> f64 {
        self.targets
    }
}

impl Problem {
    /// The standard errors of the parameters of a squared error at its minimum w, length P; of θ under a constraint.
    ///
    /// ```text
    /// se_a = s √[(JᵀJ + ∂²pen)⁻¹]_aa,   s² = Σ_io ω_i v_o (x_io − y_io)² / (m − P)
    /// ```
    ///
    /// m counts the squares whose weight is not 0: n·outputs without weights. J has the rows √(ω_i v_o) ∂x_io/∂w, so that JᵀJ is the Gauss–Newton matrix; it is not formed, but J = QR, which keeps
    /// the digits that forming it would take. On the CPU in f64.
    ///
    /// # Errors
    /// `Unsupported` for other losses, or penalties that are no ridges; `Invalid` without degrees of freedom; `Numerical` where J
    /// is rank deficient, or the residuals are all 0 and have no scale; otherwise as [`objective`](Problem::objective).
    ///
    /// Source: Seber and Wild, *Nonlinear Regression*, §2.1.
    ///
    /// ```
    /// use ndarray::array;
    /// use secondo::{Activation, Data, Loss, Network, Problem};
    /// // The line through (0, 0), (1, 1), (2, 1): slope ½, residuals −1/6, 1/3, −1/6, s² = 1/6, Σ(x − x̄)² = 2.
    /// let data = Data::new(array![[0.0], [1.0], [2.0]], array![[0.0], [1.0], [1.0]])?;
    /// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
    /// let se = problem.standard_errors(&[0.5, 1.0 / 6.0])?;
    /// assert!((se[0] - (1.0_f64 / 12.0).sqrt()).abs() < 1e-14);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn standard_errors(&self, w: &[f64]) -> Result<Vec<f64>> {
        let squares = Squares::new(self)?;
        check_start(self.parameters(), w)?;
        // A weight of 0 takes its row out.
        let observed = squares.roots.iter().filter(|r| **r > 0.0).count();
        let (count, p) = (squares.roots.len(), self.parameters());
        if observed <= p {
            let why = format!("{observed} squares leave no degrees of freedom to {p} parameters");
            return Err(Error::invalid("standard errors", why));
        }
        let mut linearizer = Linearizer::new(&squares)?;
        let residuals = linearizer.residuals(w)?;
        let s2 = dot(&residuals[..count], &residuals[..count]) / (observed - p) as f64;
        if s2 == 0.0 {
            let what =
                "the residuals are all 0: their scale, and with it standard errors, is not defined";
            return Err(Error::Numerical { what: what.into() });
        }
        let deviations = linearizer.linearize(w, residuals)?.model.deviations(s2.sqrt());
        deviations.ok_or_else(|| Error::Numerical {
            what: "the Jacobian is rank deficient: some parameters have no standard errors; fix or remove them, or add a ridge"
                .into(),
        })
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported {
        what: format!("Levenberg–Marquardt with {what}"),
        why: "it needs a sum of squares: squared errors and ridge penalties; use trust-region with the curvature \
              gauss-newton"
            .into(),
    }
}

impl SumOfSquares for &Squares<'_> {
    fn dim(&self) -> usize {
        self.problem.parameters()
    }

    fn count(&self) -> usize {
        self.roots.len() + self.penalties.len()
    }

    fn limits(&self) -> Arc<Limits> {
        self.session.limits().clone()
    }

    fn residuals(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let request = Request { outputs: true, ..Request::default() };
        let at = self.session.at(x)?.evaluate(request)?;
        let w = self.problem.network_weights(x)?;
        let outputs = at.outputs.unwrap_or_default();
        let terms = outputs.iter().zip(self.data.y()).zip(&self.roots);
        let losses = terms.map(|((x, y), root)| root * (x - y));
        let penalties = self.penalties.iter().map(|&(l, root)| root * w[l]);
        for (out, r) in out.iter_mut().zip(losses.chain(penalties)) {
            *out = r;
        }
        Ok(())
    }

    fn jacobian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let p = self.dim();
        let (_, jacobian) = self.problem.linearization(x, self.session.limits())?;
        let (above, below) = out.split_at_mut(self.roots.len() * p);
        let rows = jacobian.rows().into_iter().zip(&self.roots);
        for (out, (row, root)) in above.chunks_exact_mut(p.max(1)).zip(rows) {
            (out.iter_mut().zip(row)).for_each(|(out, j)| *out = root * j);
        }
        for (out, &(l, root)) in below.chunks_exact_mut(p.max(1)).zip(&self.penalties) {
            out.fill(0.0);
            match self.problem.ties() {
                None => out[l] = root,
                Some(constraint) => (constraint.row(l)).for_each(|(a, c)| out[a] += root * c),
            }
        }
        Ok(())
    }
}
