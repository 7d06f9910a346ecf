//! Average slopes of the mean response, with the gradients that their standard errors need.

use ndarray::{Array1, Array2};

use super::likelihood::{Family, MeanResponse};
use super::options::RowWeights;
use crate::curvature::{Curvature, LinearOperator};
use crate::device::Device;
use crate::error::Result;
use crate::network::{Activation, Group, Layer, Network};
use crate::objective::Data;
use crate::problem::Problem;

/// The average slopes of one output: a_j = Σ_i c_i ∂μ(x_i)/∂x_ij, Σ c = 1.
pub(super) struct Slopes {
    /// a, one for each input.
    pub slopes: Array1<f64>,
    /// ∂a_j/∂w in row j; in θ under a constraint.
    pub gradients: Array2<f64>,
}

/// Returns the slopes of an output.
///
/// Σ_i c_i μ(x_i + t) is the objective of the network behind a layer of identity units with the biases t. Its gradient in t is a,
/// and the product of its Hessian with the direction t_j is ∂a_j/∂w: no derivative of another order is needed.
pub(super) fn slopes(
    problem: &Problem,
    w: &[f64],
    family: &Family,
    weights_are: RowWeights,
    output: usize,
) -> Result<Slopes> {
    let (network, data) = (problem.network(), problem.data());
    let (inputs, n) = (network.inputs(), data.len());
    let shifted = behind_shifts(network)?;
    let share = |omega: &f64| match weights_are {
        RowWeights::Frequency => *omega,
        RowWeights::Precision => f64::from(u8::from(*omega > 0.0)),
    };
    let shares: Vec<f64> = data.weights().iter().map(share).collect();
    let total: f64 = shares.iter().sum();
    let rows = Data::new(data.x().to_owned(), Array2::zeros((n, network.outputs())))?
        .weighted(shares.iter().map(|c| c / total).collect())?;
    let average = Problem::new(shifted, rows, MeanResponse::loss(family, output))?.on(Device::Cpu);

    let width = inputs + 1;
    let mut point = vec![0.0; inputs * width];
    (0..inputs).for_each(|j| point[j * width + j] = 1.0);
    let weights = problem.network_weights(w)?;
    point.extend(weights.iter());
    let at = |j: usize| j * width + inputs;
    let gradient = average.gradient(&point)?;
    let directions =
        Array2::from_shape_fn((inputs, point.len()), |(j, l)| f64::from(u8::from(l == at(j))));
    let products = average.operator(&point, Curvature::Exact)?.products(directions.view())?;
    let mut gradients = Array2::zeros((inputs, problem.parameters()));
    for (product, mut out) in products.rows().into_iter().zip(gradients.rows_mut()) {
        let of_weights = product.to_vec().split_off(inputs * width);
        let of_weights = match problem.ties() {
            None => of_weights,
            Some(constraint) => constraint.pull_back(&of_weights)?,
        };
        out.assign(&Array1::from(of_weights));
    }
    Ok(Slopes { slopes: (0..inputs).map(|j| gradient[at(j)]).collect(), gradients })
}

/// Returns the network behind a layer of as many identity units as it has inputs.
fn behind_shifts(network: &Network) -> Result<Network> {
    let mut layers = vec![Layer::dense(network.inputs(), Activation::Identity)];
    for view in network.layers() {
        let groups = (view.groups.iter())
            .map(|g| Group::new(g.propagation.clone(), g.activations().collect::<Vec<_>>()));
        let layer = Layer::of(groups.collect())
            .sources(view.sources.iter().map(|t| t + 1).collect::<Vec<_>>());
        layers.push(if view.bias { layer } else { layer.without_bias() });
    }
    Network::new(network.inputs(), layers)
}
