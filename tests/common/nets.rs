//! Random problems with a fixed seed: skips, mixed activations and kinds of units, weights, all losses.

use std::sync::Arc;

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use secondo::{Activation, Data, Group, Layer, Loss, Network, Problem, Propagation, Radial};

pub struct Random(Pcg64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(Pcg64::seed_from_u64(seed))
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    /// Uniform on [−1, 1).
    pub fn signed(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn vector(&mut self, len: usize, scale: f64) -> Vec<f64> {
        (0..len).map(|_| scale * self.signed()).collect()
    }

    pub fn matrix(&mut self, rows: usize, columns: usize, scale: f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |_| scale * self.signed())
    }
}

/// Activations that are defined on the whole line.
pub fn everywhere() -> Vec<Activation> {
    (Activation::ALL.into_iter()).filter(|h| h.domain() == Activation::Identity.domain()).collect()
}

pub fn losses(outputs: usize) -> Vec<Loss> {
    vec![
        Loss::SquaredError,
        Loss::WeightedSquaredError {
            output_weights: (0..outputs).map(|o| 0.5 + o as f64).collect(),
        },
        Loss::BinaryCrossEntropy,
        Loss::SoftmaxCrossEntropy,
        Loss::Poisson,
        Loss::LogCosh { delta: 0.7 },
        Loss::PseudoHuber { delta: 1.3 },
        Loss::Gamma,
        Loss::NegativeBinomial { dispersion: 0.8 },
    ]
}

/// Targets that the loss is defined for.
pub fn targets(random: &mut Random, loss: &Loss, n: usize, outputs: usize) -> Array2<f64> {
    let mut y = random.matrix(n, outputs, 1.0);
    match loss {
        Loss::BinaryCrossEntropy => y.mapv_inplace(|v| (0.5 * (v + 1.0)).clamp(0.0, 1.0)),
        Loss::Poisson | Loss::NegativeBinomial { .. } => {
            y.mapv_inplace(|v| (3.0 * v.abs()).round())
        }
        Loss::Gamma => y.mapv_inplace(|v| v.abs() + 0.1),
        Loss::SoftmaxCrossEntropy => {
            for mut row in y.outer_iter_mut() {
                row.mapv_inplace(|v| v.abs() + 0.01);
                let total = row.sum();
                row.mapv_inplace(|v| v / total);
            }
        }
        _ => {}
    }
    y
}

/// A problem with `depth` layers, every layer fed by some earlier ones, and its parameters.
/// With `radial`, some groups anywhere are radial units.
pub fn random_problem(seed: u64, radial: bool) -> (Problem, Vec<f64>) {
    let mut random = Random::new(seed);
    let choices = everywhere();
    let depth = 1 + random.below(4);
    let inputs = 1 + random.below(3);
    let mut layers = Vec::new();
    for k in 1..=depth {
        let mut sources: Vec<usize> = (0..k).filter(|_| random.below(2) == 0).collect();
        // Mostly fed by the layer before; a layer that feeds nobody happens, too.
        if sources.is_empty() || random.below(4) > 0 && !sources.contains(&(k - 1)) {
            sources.push(k - 1);
        }
        let mut groups = Vec::new();
        for _ in 0..1 + random.below(2) {
            let kind = if radial { random.below(3) } else { 0 };
            let units = 1 + random.below(if kind == 0 { 3 } else { 2 });
            let mut form = || Radial::ALL[random.below(Radial::ALL.len())];
            let propagation = match kind {
                0 => Propagation::Linear,
                1 => Propagation::Radial(form()),
                _ => Propagation::Unit(Arc::new(form())),
            };
            let bounded = [Activation::Tanh, Activation::Logistic, Activation::GaussHalf];
            let activations: Vec<_> = (0..units)
                .map(|_| match kind {
                    0 => choices[random.below(choices.len())],
                    // An M that is not definite would grow without limit from layer to layer.
                    _ => bounded[random.below(3)],
                })
                .collect();
            groups.push(Group::new(propagation, activations));
        }
        let layer = Layer::of(groups).sources(sources);
        layers.push(if random.below(3) == 0 { layer.without_bias() } else { layer });
    }
    let network = Network::new(inputs, layers).unwrap();
    let outputs = network.outputs();
    // One class alone has the loss 0.
    let mut kinds = losses(outputs);
    kinds.retain(|l| outputs > 1 || *l != Loss::SoftmaxCrossEntropy);
    let loss = kinds[random.below(kinds.len())].clone();
    let n = 1 + random.below(6);
    let x = random.matrix(n, inputs, 1.2);
    let y = targets(&mut random, &loss, n, outputs);
    let weights: Vec<f64> =
        (0..n).map(|i| if i % 5 == 4 { 0.0 } else { 0.3 + 0.4 * i as f64 }).collect();
    // Radial rows near 0 and wide: a saturated reference would have no digits.
    let mut w = Vec::new();
    for (k, g) in network.groups() {
        let (name, inputs) = (g.propagation.name(), network.layers()[k - 1].inputs);
        w.extend((0..g.range.len()).map(|l| match name {
            "linear" => random.signed(),
            _ if name.ends_with("log_sigma") => 0.3 * random.signed(),
            _ if name.ends_with("sigma") && l % g.row >= inputs => 2.0 + random.signed(),
            _ => 0.3 * random.signed(),
        }));
    }
    let data = Data::new(x, y).unwrap().weighted(weights).unwrap();
    (Problem::new(network, data, loss).unwrap(), w)
}
