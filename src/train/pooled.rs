//! One matrix for all units of a group, where row blocks of their own would cost too much.
//!
//! ```text
//! M_j = t_j / t · (A + Λ + τR²),   A = Σ_j B_j,   t_j = Σ_a (B_j + Λ_j)_aa / R_a²,   t = Σ_j t_j
//! ```
//!
//! B_j is the Gauss–Newton block of unit j, Λ_j the diagonal of the penalty's Hessian in its parameters, Λ = Σ_j Λ_j, R the units of its parameters, τ as of
//! [`Preconditioner::blocks`]. Linear units of a layer have the same inputs, and their blocks differ in how they weight the samples alone: A is what they
//! have in common, t_j the size of each. A group of s units costs one block, and one factorization, in place of s.
//!
//! Source: after Martens and Grosse, *Optimizing Neural Networks with Kronecker-factored Approximate Curvature*, ICML 2015, where A weights all samples
//! alike and products of the errors couple the units.

use super::objective::LONG;
use crate::curvature::triangle;
use crate::error::Result;
use crate::interrupt::Limits;
use crate::problem::Problem;
use crate::solve::{Preconditioner, SharedBlocks, U, largest};

/// The order of each A; none of a problem in θ, or with units that are not linear.
pub(super) fn orders(problem: &Problem) -> Option<Vec<u64>> {
    let groups = || problem.network().groups().map(|(_, g)| g);
    let is_linear = problem.ties().is_none() && groups().all(|g| g.propagation.is_linear());
    is_linear.then(|| groups().map(|g| g.row as u64).collect())
}

/// M from every A and the diagonal of all B_j + Λ_j, in units R.
///
/// # Errors
/// `Interrupted`, and sums that are not finite.
pub(super) fn preconditioner(
    problem: &Problem,
    sums: Vec<Vec<f64>>,
    diagonal: &[f64],
    scales: &[f64],
    limits: &Limits,
) -> Result<Preconditioner> {
    let mut m = vec![1.0; diagonal.len()];
    let mut groups = Vec::with_capacity(sums.len());
    for ((_, g), mut lower) in problem.network().groups().zip(sums) {
        let (own, scales) = (&diagonal[g.range.clone()], &scales[g.range.clone()]);
        for a in 0..g.row {
            lower[triangle(a) + a] = own.iter().skip(a).step_by(g.row).sum();
        }
        let of_unit = scales[..g.row].to_vec();
        let factorize = move || Preconditioner::factor_in(&lower, &of_unit);
        let factor = if g.row >= LONG { limits.run(factorize)? } else { factorize() }?;
        let units = own.chunks_exact(g.row).zip(scales.chunks_exact(g.row));
        let traces: Vec<f64> = units
            .map(|(own, scales)| own.iter().zip(scales).map(|(v, r)| v / r / r).sum())
            .collect();
        let (least, total) = (U * largest(&traces), traces.iter().sum::<f64>());
        for (m, t) in m[g.range.clone()].chunks_exact_mut(g.row).zip(traces) {
            // Where no unit matters, M is R².
            m.fill(if total > 0.0 { t.max(least) / total } else { 1.0 });
        }
        groups.push((g.range.clone(), factor));
    }
    Ok(Preconditioner::Shared(SharedBlocks { groups, m }))
}

#[cfg(test)]
mod tests;
