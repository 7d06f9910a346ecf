//! A problem as a sum of squares.

use std::ops::Range;
use std::sync::Arc;

use super::checks::check_start;
use super::linearized::Linearizer;
use super::residuals::{Factorization, SumOfSquares};
use super::scales::size_of_targets;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::{Factored, Work, shape_product};
use crate::interrupt::Limits;
use crate::memory::{bytes_of, zeros};
use crate::objective::Penalty;
use crate::problem::Problem;
use crate::session::Session;
use crate::solve::factorized;

/// The residuals of a squared error with a ridge penalty.
///
/// ```text
/// E = ½ Σ_io (√(ω_i v_o) (x_io − y_io))² + ½ Σ_l (√λ_l W_l)²
/// ```
///
/// Value and Jacobian are computed by the processor in f64: the gradient is Jᵀr, and no better than J. The rows of the samples are factorized a chunk at a time,
/// wherever they are and by however many processes; those of the penalty and of W = fixed + Cθ come after them.
pub(super) struct Squares<'a> {
    problem: &'a Problem,
    /// X stays where the processor computes.
    session: Session<'a>,
    /// The parameters that the penalty reaches, with √λ_l.
    penalties: Vec<(usize, f64)>,
    /// √(Σ_io ω_i v_o y_io²), if it was asked for.
    targets: f64,
    /// Bytes of a fit.
    memory: u64,
}

impl<'a> Squares<'a> {
    /// # Errors
    /// `Unsupported` for a loss or a penalty that is no sum of squares, and `Memory` for triangles that do not fit, with what to use instead.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        let parts = problem.parts();
        if parts.loss.square_factors(parts.network.outputs()).is_none() {
            let name = parts.loss.guarded(|| parts.loss.name())?;
            return Err(unsupported(&format!("the loss {name}")));
        }
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
        let penalties = (lambda.iter().enumerate()).filter(|(_, lambda)| **lambda > 0.0);
        let penalties: Vec<_> = penalties.map(|(l, lambda)| (l, lambda.sqrt())).collect();
        let order = problem.parameters() + 1;
        // Of two points, damped ones, and the rows of the penalty below that of the samples.
        let triangles = bytes_of(&[40, order, order]);
        let below = bytes_of(&[8, zero.len() + 1 + penalties.len(), order]);
        let held = triangles.saturating_add(below);
        let session = Session::new(problem, Device::Cpu).beside(held);
        let planned = session.planned(&Device::Cpu, Work::Factor);
        let (_, planned) = planned.map_err(|error| match error {
            Error::Memory { need, .. } => Error::Memory {
                what: format!("Levenberg–Marquardt with {} parameters", order - 1),
                need: need.saturating_add(held),
                budget: problem.budget(),
                advice: "use trust-region with the curvature gauss-newton, newton-cg or lbfgs"
                    .into(),
            },
            other => other,
        })?;
        let memory = held.saturating_add(planned.plan.bytes());
        session.limits().heed(problem.interrupt());
        Ok(Squares { problem, session, penalties, targets: 0.0, memory })
    }

    /// The same with the size of the targets.
    ///
    /// # Errors
    /// Those of reading.
    pub fn with_targets(mut self) -> Result<Self> {
        self.targets = size_of_targets(self.problem)?.unwrap_or(0.0);
        Ok(self)
    }

    /// Bytes of a fit besides the data.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The rows of the penalty, and those of W = fixed + Cθ, with the triangle of the samples.
    fn in_theta(
        &self,
        found: &Factored,
        w: &[f64],
        sizes: &[f64],
        limits: &Limits,
    ) -> Result<Factorization> {
        let ties = self.problem.ties();
        let (order, count) = (self.problem.parameters() + 1, w.len() + 1);
        let mut uncertain = found.uncertain();
        let rows = count + self.penalties.len();
        let mut stacked = zeros("the triangle", shape_product("the triangle", &[rows, order])?)?;
        let mut add = |l: usize, row: Range<usize>, values: &[f64]| {
            let mut add_to = |a: usize, c: f64| {
                let out = &mut stacked[a * rows..][row.clone()];
                out.iter_mut().zip(values).for_each(|(out, v)| *out += c * v);
            };
            match ties.filter(|_| l < w.len()) {
                Some(constraint) => constraint.row(l).for_each(|(a, c)| add_to(a, c)),
                None if l < w.len() => add_to(l, 1.0),
                None => add_to(order - 1, 1.0),
            }
        };
        (0..count).for_each(|l| add(l, 0..count, found.column(l)));
        for (row, &(l, root)) in (count..).zip(&self.penalties) {
            let residual = root * w[l];
            add(l, row..row + 1, &[root]);
            add(w.len(), row..row + 1, &[-residual]);
            uncertain += residual.abs() * (residual.abs() + root * sizes[l]);
        }
        let is_done = ties.is_none() && self.penalties.is_empty();
        let triangle = if is_done { stacked } else { factorized(limits, stacked, rows, order)? };
        Ok(Factorization { triangle, uncertain })
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
        let (observed, p) = (self.observed_squares()?, self.parameters());
        if observed <= p {
            let why = format!("{observed} squares leave no degrees of freedom to {p} parameters");
            return Err(Error::invalid("standard errors", why));
        }
        // Not what is left when the penalty is subtracted.
        let half_square = self.clone().on(Device::Cpu).penalty(Penalty::None)?.objective(w)?;
        let s2 = 2.0 * half_square / (observed - p) as f64;
        if s2 == 0.0 {
            let what =
                "the residuals are all 0: their scale, and with it standard errors, is not defined";
            return Err(Error::Numerical { what: what.into() });
        }
        let mut linearizer = Linearizer::new(&squares);
        let seen = linearizer.see(w)?;
        let deviations = linearizer.linearize(w, seen)?.model.deviations(s2.sqrt());
        deviations.ok_or_else(|| Error::Numerical {
            what: "the Jacobian is rank deficient: some parameters have no standard errors; fix or remove them, or add a ridge"
                .into(),
        })
    }

    /// The number of squares whose weight is not 0.
    fn observed_squares(&self) -> Result<usize> {
        let factors = self.loss().square_factors(self.network().outputs()).unwrap_or_default();
        let outputs = factors.iter().filter(|v| **v > 0.0).count();
        let mut rows = 0;
        self.parts().data.each(|window| {
            rows += window.omega.iter().filter(|omega| **omega > 0.0).count();
            Ok(())
        })?;
        Ok(rows.saturating_mul(outputs))
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
    type Seen = f64;

    fn dim(&self) -> usize {
        self.problem.parameters()
    }

    fn count(&self) -> usize {
        let outputs = self.problem.network().outputs();
        self.problem.rows().saturating_mul(outputs).saturating_add(self.penalties.len())
    }

    fn limits(&self) -> Arc<Limits> {
        self.session.limits().clone()
    }

    fn see(&self, x: &[f64]) -> Result<f64> {
        self.session.at(x)?.value()
    }

    fn half_square(&self, seen: &f64) -> f64 {
        *seen
    }

    fn reduction(&self, from: &f64, to: &f64) -> f64 {
        from - to
    }

    fn factor(&self, x: &[f64], _: &f64, limits: &Limits) -> Result<Factorization> {
        let w = self.problem.network_weights(x)?;
        // By how much rounding moves W_l, in units of u.
        let sizes: Vec<f64> = match self.problem.ties() {
            None => x.iter().map(|x| x.abs()).collect(),
            Some(constraint) => (0..w.len())
                .map(|l| constraint.row(l).map(|(a, c)| (c * x[a]).abs()).sum())
                .collect(),
        };
        let found = self.session.at(x)?.factor(&sizes)?;
        self.in_theta(&found, &w, &sizes, limits)
    }
}
