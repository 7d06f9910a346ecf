//! Average slopes of the mean response, its averages and partial effects, with the gradients that their standard errors need.

use ndarray::{Array1, Array2};

use super::likelihood::{Family, MeanResponse};
use super::options::RowWeights;
use crate::curvature::{Curvature, LinearOperator};
use crate::device::Device;
use crate::error::Result;
use crate::evaluate::Request;
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
    let (network, data) = (problem.network(), problem.data()?);
    let (inputs, n) = (network.inputs(), data.len());
    let shifted = behind_shifts(network)?;
    let rows = Data::new(data.x().to_owned(), Array2::zeros((n, network.outputs())))?
        .weighted(shares(data, weights_are))?;
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

/// Returns c, the share of each row in an average.
pub(super) fn shares(data: &Data, weights_are: RowWeights) -> Vec<f64> {
    let share = |omega: &f64| match weights_are {
        RowWeights::Frequency => *omega,
        RowWeights::Precision => f64::from(u8::from(*omega > 0.0)),
    };
    let shares: Vec<f64> = data.weights().iter().map(share).collect();
    let total: f64 = shares.iter().sum();
    shares.into_iter().map(|c| c / total).collect()
}

/// The average response Σ_i c_i μ(x_i) of one output with an input held at a number in every row.
pub(super) struct Average<'a> {
    pub problem: &'a Problem,
    pub w: &'a [f64],
    pub family: &'a Family,
    pub weights_are: RowWeights,
    pub output: usize,
    pub input: usize,
}

impl Average<'_> {
    /// The average where the input is `v`, and its gradient in w.
    pub fn at(&self, v: f64) -> Result<(f64, Array1<f64>)> {
        let (network, data) = (self.problem.network(), self.problem.data()?);
        let mut x = data.x().to_owned();
        x.column_mut(self.input).fill(v);
        let rows = Data::new(x, Array2::zeros((data.len(), network.outputs())))?
            .weighted(shares(data, self.weights_are))?;
        let loss = MeanResponse::loss(self.family, self.output);
        let mut average = Problem::new(network.clone(), rows, loss)?.on(Device::Cpu);
        if let Some(constraint) = self.problem.ties() {
            average = average.constraint(constraint.clone())?;
        }
        let found = average.evaluate(self.w, Request::gradient())?;
        Ok((found.value, Array1::from(found.gradient)))
    }

    /// The mean over a grid of numbers v of the average at v + step less that at v, and its gradient; of an input with two values
    /// the difference between them.
    pub fn partial(&self) -> Result<(f64, Array1<f64>)> {
        let data = self.problem.data()?;
        let x = data.x().column(self.input).to_owned();
        let c = shares(data, self.weights_are);
        let used = || x.iter().zip(&c).filter(|(_, c)| **c > 0.0).map(|(x, _)| *x);
        let low = used().fold(f64::INFINITY, f64::min);
        let high = used().fold(f64::NEG_INFINITY, f64::max);
        let pairs: Vec<(f64, f64)> = if used().all(|x| x == low || x == high) {
            vec![(low, high)]
        } else {
            let step = self.deviation(&x, &c, data.weights());
            let last = (GRID - 1) as f64;
            (0..GRID).map(|k| -ENDS + 2.0 * ENDS * k as f64 / last).map(|v| (v, v + step)).collect()
        };
        let share = 1.0 / pairs.len() as f64;
        let (mut effect, mut gradient) = (0.0, Array1::zeros(self.w.len()));
        for (from, to) in pairs {
            let ((below, of_below), (above, of_above)) = (self.at(from)?, self.at(to)?);
            effect += share * (above - below);
            gradient.scaled_add(share, &of_above);
            gradient.scaled_add(-share, &of_below);
        }
        Ok((effect, gradient))
    }

    /// The standard deviation of an input, by n − 1.
    fn deviation(&self, x: &Array1<f64>, c: &[f64], omega: &[f64]) -> f64 {
        let mean: f64 = x.iter().zip(c).map(|(x, c)| c * x).sum();
        let variance: f64 = x.iter().zip(c).map(|(x, c)| c * (x - mean).powi(2)).sum();
        let n = match self.weights_are {
            RowWeights::Frequency => omega.iter().sum(),
            RowWeights::Precision => omega.iter().filter(|w| **w > 0.0).count() as f64,
        };
        (variance * n / (n - 1.0)).sqrt()
    }
}

/// Partial effects are means over so many numbers between −ENDS and ENDS, which are meant for standardised inputs.
const GRID: usize = 101;
const ENDS: f64 = 3.0;

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
