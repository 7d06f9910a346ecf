//! A problem as a sum of squares.

use std::cell::RefCell;

use super::Residuals;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::{Request, weights};
use crate::objective::{Loss, Penalty};
use crate::problem::Problem;

/// The residuals of a squared error with a ridge penalty.
///
/// ```text
/// E = ½ Σ_io (√(ω_i v_o) (x_io − y_io))² + ½ Σ_l (√λ_l W_l)²
/// ```
///
/// Outputs and Jacobian are computed by the processor in f64: the gradient is Jᵀr, and no better than J.
pub(super) struct Squares<'a> {
    problem: &'a Problem,
    /// √(ω_i v_o), row by row.
    roots: Vec<f64>,
    /// The parameters that the penalty reaches, with √λ_l.
    penalties: Vec<(usize, f64)>,
    /// Why there are no numbers at a point that was asked for.
    failure: RefCell<Option<Error>>,
}

impl<'a> Squares<'a> {
    /// # Errors
    /// `Unsupported` for a loss or a penalty that is no sum of squares, with what to use instead.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        let outputs = problem.network().outputs();
        let factors = match problem.loss() {
            Loss::SquaredError => vec![1.0; outputs],
            Loss::WeightedSquaredError { output_weights } => output_weights.clone(),
            other => return Err(unsupported(&format!("the loss {}", other.name()))),
        };
        let parts = problem.parts();
        if let Penalty::GroupNorm { .. } = parts.penalty {
            return Err(unsupported("the penalty group_norm"));
        }
        // Of penalties that are squares the Hessian is λ, wherever it is taken.
        let zero = vec![0.0; parts.network.parameters()];
        let lambda = parts.penalty.hessian(parts.network, &zero).diagonal;
        let omega = weights(parts.data, parts.reduction);
        Ok(Squares {
            problem,
            roots: (omega.iter())
                .flat_map(|omega| factors.iter().map(move |v| (omega * v).sqrt()))
                .collect(),
            penalties: (lambda.iter().enumerate())
                .filter(|(_, lambda)| **lambda > 0.0)
                .map(|(l, lambda)| (l, lambda.sqrt()))
                .collect(),
            failure: RefCell::new(None),
        })
    }

    /// The rows of J.
    pub fn rows(&self) -> usize {
        self.roots.len() + self.penalties.len()
    }

    /// What kept a run from its end; at the start, also that a number is not finite there.
    pub fn verdict(&self, begun: bool) -> Result<()> {
        match self.failure.take() {
            None | Some(Error::NonFinite { .. }) if begun => Ok(()),
            Some(error) => Err(error),
            None => Err(Error::non_finite("the Jacobian", &[])),
        }
    }

    fn write_residuals(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let request = Request {
            outputs: true,
            ..Request::default()
        };
        let at = self.problem.evaluate_with(&Device::Cpu, x, request)?;
        let w = self.problem.network_weights(x)?;
        let outputs = at.outputs.unwrap_or_default();
        let terms = outputs.iter().zip(self.problem.data().y()).zip(&self.roots);
        let losses = terms.map(|((x, y), root)| root * (x - y));
        let penalties = self.penalties.iter().map(|&(l, root)| root * w[l]);
        for (out, r) in out.iter_mut().zip(losses.chain(penalties)) {
            *out = r;
        }
        Ok(())
    }

    fn write_jacobian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let p = self.dim();
        let jacobian = self.problem.jacobian(x)?;
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

    /// Keeps the first failure that is more than numbers that are not finite.
    fn note(&self, out: &mut [f64], done: Result<()>) {
        let Err(error) = done else { return };
        out.fill(f64::NAN);
        let mut failure = self.failure.borrow_mut();
        if matches!(*failure, None | Some(Error::NonFinite { .. })) {
            *failure = Some(error);
        }
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

impl Residuals for Squares<'_> {
    fn dim(&self) -> usize {
        self.problem.parameters()
    }

    fn count(&self) -> usize {
        self.rows()
    }

    fn residuals(&self, x: &[f64], out: &mut [f64]) {
        let done = self.write_residuals(x, out);
        self.note(out, done);
    }

    fn jacobian(&self, x: &[f64], out: &mut [f64]) {
        let done = self.write_jacobian(x, out);
        self.note(out, done);
    }
}
