//! Where a fit starts.

use rand::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use rand_pcg::Pcg64;

use super::{Activation, Network};
use crate::error::Result;

/// How initial parameters are drawn, by the name of the rule. The fan-in d is the width of z without the
/// constant, the fan-out s the number of units of the layer. Biases start at 0 unless said otherwise.
/// The same seed gives the same numbers on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Initialization {
    /// Uniform on ±√(6/(d+s)) (Glorot & Bengio 2010): for tanh, logistic and their like.
    #[default]
    Glorot,
    /// Normal with variance 2/d (He et al. 2015): for ReLU, SiLU, GELU.
    He,
    /// Normal with variance 1/d (LeCun et al. 1998).
    LeCun,
    /// Uniform on ±0.5, biases too: `rang = 0.5`, the start of R's nnet.
    Uniform,
    /// Normal with standard deviation 0.1, biases too.
    Normal,
    /// All zero: a saddle of most networks, useful in tests.
    Zero,
}

impl Initialization {
    /// All rules.
    pub const ALL: [Initialization; 6] = [
        Initialization::Glorot,
        Initialization::He,
        Initialization::LeCun,
        Initialization::Uniform,
        Initialization::Normal,
        Initialization::Zero,
    ];

    /// The name used by the program and in files.
    pub fn name(self) -> &'static str {
        match self {
            Initialization::Glorot => "glorot",
            Initialization::He => "he",
            Initialization::LeCun => "lecun",
            Initialization::Uniform => "uniform",
            Initialization::Normal => "normal",
            Initialization::Zero => "zero",
        }
    }

    /// The rule of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::named(
            "initialization",
            name,
            &Self::ALL.map(|rule| (rule.name(), rule)),
        )
    }

    /// The rule that suits a hidden activation: He for ReLU and its smooth forms, Glorot otherwise.
    pub fn suited_to(activation: Activation) -> Self {
        match activation {
            Activation::Relu | Activation::Silu | Activation::Gelu => Initialization::He,
            _ => Initialization::Glorot,
        }
    }

    /// Initial parameters of `network` in the order of its flat vector. Units that are not linear take
    /// every parameter from the rule as if it were a weight.
    pub fn draw(self, network: &Network, seed: u64) -> Vec<f64> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut w = Vec::with_capacity(network.parameters());
        for layer in network.layers() {
            let (d, s) = (layer.inputs.max(1) as f64, layer.units as f64);
            for group in &layer.groups {
                for index in 0..group.range.len() {
                    let bias =
                        layer.bias && group.propagation.is_linear() && (index + 1) % group.row == 0;
                    w.push(match self {
                        Initialization::Zero => 0.0,
                        Initialization::Uniform => uniform(&mut rng, 0.5),
                        Initialization::Normal => normal(&mut rng, 0.1),
                        _ if bias => 0.0,
                        Initialization::Glorot => uniform(&mut rng, (6.0 / (d + s)).sqrt()),
                        Initialization::He => normal(&mut rng, (2.0 / d).sqrt()),
                        Initialization::LeCun => normal(&mut rng, (1.0 / d).sqrt()),
                    });
                }
            }
        }
        w
    }
}

fn uniform(rng: &mut Pcg64, half_width: f64) -> f64 {
    // The bounds are finite and ordered, so the distribution exists; 0 would be a valid start as well.
    Uniform::new(-half_width, half_width).map_or(0.0, |u| u.sample(rng))
}

fn normal(rng: &mut Pcg64, deviation: f64) -> f64 {
    Normal::new(0.0, deviation).map_or(0.0, |n| n.sample(rng))
}
