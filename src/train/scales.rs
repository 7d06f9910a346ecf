//! The units of parameters and of targets.

use crate::error::{Error, Result};
use crate::network::Network;
use crate::objective::Rows;
use crate::problem::Problem;

/// √(Σ_io ω_i v_o y_io²) of a squared error; none of other losses.
///
/// # Errors
/// Those of reading samples.
pub(super) fn size_of_targets(problem: &Problem) -> Result<Option<f64>> {
    let parts = problem.parts();
    let outputs = problem.network().outputs();
    let Some(factors) = problem.loss().square_factors(outputs) else {
        return Ok(None);
    };
    let of_row = |row: &[f64]| -> f64 { row.iter().zip(&factors).map(|(y, v)| v * y * y).sum() };
    let divisor = parts.data.divisor(parts.reduction);
    let mut sum = 0.0;
    each(problem, |rows| {
        for (row, omega) in rows.y.chunks_exact(outputs).zip(rows.omega) {
            sum += divisor.map_or(*omega, |divisor| omega / divisor) * of_row(row);
        }
        Ok(())
    })?;
    Ok(Some(sum.sqrt()))
}

/// Calls `f` with all samples; where they are read, until the problem's fits are to end.
///
/// # Errors
/// `Interrupted`; those of reading, and of `f`.
fn each(problem: &Problem, mut f: impl FnMut(Rows) -> Result<()>) -> Result<()> {
    let data = problem.parts().data;
    let is_read = data.stream().is_some();
    data.each(|rows| {
        if is_read && problem.interrupt().is_set() {
            return Err(Error::Interrupted);
        }
        f(rows)
    })
}

/// R_l, by how much a unit change of parameter l changes what it enters, as far as the data tell.
///
/// ```text
/// R_l = √(Σ_i ω_i x_ia² / Σ_i ω_i)
/// ```
///
/// where l is the weight of input a in a linear unit; 1 for all other parameters, since what they are multiplied with are
/// activations and constants, and for inputs that are 0 throughout. Of a problem in θ, R_θ² is the largest C_lθ² R_l². Regions, preconditioners and
/// certificates measure in these units, and so do not depend on those of the inputs.
///
/// # Errors
/// Those of reading samples.
pub(super) fn scales(problem: &Problem) -> Result<Vec<f64>> {
    let in_network = of_network(problem)?;
    let Some(constraint) = problem.ties() else {
        return Ok(in_network);
    };
    let mut scales = vec![0.0f64; problem.parameters()];
    for (l, scale) in in_network.iter().enumerate() {
        for (a, c) in constraint.row(l) {
            scales[a] = scales[a].max((c * scale).abs());
        }
    }
    Ok(scales.iter().map(|&scale| if scale > 0.0 { scale } else { 1.0 }).collect())
}

/// R⁻¹BR⁻¹ in place of B, a packed lower triangle.
pub(super) fn divide(lower: &mut [f64], scales: &[f64]) {
    let mut rest = lower;
    for (a, scale) in scales.iter().enumerate() {
        let (row, below) = rest.split_at_mut(a + 1);
        // One after the other: their product may overflow.
        row.iter_mut().zip(scales).for_each(|(v, other)| *v = *v / scale / other);
        rest = below;
    }
}

fn of_network(problem: &Problem) -> Result<Vec<f64>> {
    let network = problem.network();
    let mut scales = vec![1.0; network.parameters()];
    let inputs = input_sizes(problem)?;
    for group in linear_groups_of_inputs(network) {
        for row in scales[group.0].chunks_exact_mut(group.1) {
            row[..inputs.len()].copy_from_slice(&inputs);
        }
    }
    Ok(scales)
}

/// The parameters of the linear units that inputs feed, with the number of parameters of one unit. Inputs come first in a row.
fn linear_groups_of_inputs(
    network: &Network,
) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> + '_ {
    let fed = network.layers().iter().filter(|layer| layer.sources.first() == Some(&0));
    fed.flat_map(|layer| &layer.groups)
        .filter(|group| group.propagation.is_linear() && group.row > 0)
        .map(|group| (group.range.clone(), group.row))
}

/// The root of the mean square of each input; 1 where that is 0 or beyond the range of f64.
fn input_sizes(problem: &Problem) -> Result<Vec<f64>> {
    let (total, inputs) = (problem.parts().data.total_weight(), problem.network().inputs());
    let counted = |rows: &Rows, f: &mut dyn FnMut(&[f64], f64)| {
        let all = rows.x.chunks_exact(inputs).zip(rows.omega);
        all.filter(|(_, omega)| **omega > 0.0).for_each(|(row, omega)| f(row, *omega));
    };
    let mut largest = vec![0.0f64; inputs];
    each(problem, |rows| {
        counted(&rows, &mut |row, _| {
            largest.iter_mut().zip(row).for_each(|(m, v)| *m = m.max(v.abs()));
        });
        Ok(())
    })?;
    let mut squares = vec![0.0; inputs];
    each(problem, |rows| {
        counted(&rows, &mut |row, omega| {
            for ((sum, v), largest) in squares.iter_mut().zip(row).zip(&largest) {
                if *largest > 0.0 {
                    *sum += omega * (v / largest).powi(2);
                }
            }
        });
        Ok(())
    })?;
    let sizes = (squares.iter().zip(&largest))
        .map(|(sum, largest)| largest * (sum / total).sqrt())
        .map(|size| if size.is_finite() && size > 0.0 { size } else { 1.0 });
    Ok(sizes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Layer};
    use crate::objective::{Data, Loss};
    use ndarray::array;

    #[test]
    fn weights_of_inputs_have_their_size() {
        let layers = vec![
            Layer::dense(2, Activation::Tanh),
            Layer::dense(1, Activation::Identity).sources([0, 1]),
        ];
        let network = Network::new(2, layers).unwrap();
        let x = array![[3e10, 0.0], [-4e10, 0.0], [1e200, 1.0]];
        let data = Data::new(x, array![[0.0], [1.0], [0.0]]).unwrap();
        let data = data.weighted(vec![1.0, 1.0, 0.0]).unwrap();
        let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
        let found = scales(&problem).unwrap();
        let size = (12.5e20f64).sqrt();
        let right = [size, 1.0, 1.0, size, 1.0, 1.0, size, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(found.len(), right.len());
        for (found, right) in found.iter().zip(right) {
            assert!((found / right - 1.0).abs() < 1e-14, "{found} {right}");
        }
    }
}
