//! The evidence's maximum in the prior's precision α and the noise's precision β (MacKay 1992).

use rayon::prelude::*;

use super::laplace::{Alpha, Laplace};
use super::likelihood::Family;
use super::names::of_input;
use super::ratio::precise;
use super::{Dispersion, Inference, Options};
use crate::curvature::Curvature;
use crate::device::Device;
use crate::error::{Error, Result, by_name};
use crate::network::{Group, Initialization, Layer, Network};
use crate::objective::Penalty;
use crate::problem::Problem;
use crate::train::{Method, silent};

/// MacKay's re-estimation: fit, then α ← γ/(2E_W), β ← (N − γ)/(2E_D), until both stay.
///
/// Parameters may share one α or have it by groups ([`Sharing`]), γ_g = Σ_k 1 − α_g [(βA)⁻¹]_kk over a group's parameters k; with an α for
/// each input that is automatic relevance determination. Where the data determine less than a thousandth of a parameter of a group
/// (γ_g < 10⁻³) its α would go to infinity: it is held, and the group counts as switched off. With groups by layer or input the
/// iteration may run away along scales that one layer takes from another, and the evidence falls: then the cycle of the largest evidence is
/// the end. Likelihoods without dispersion keep β = 1.
///
/// ```
/// use ndarray::Array2;
/// use secondo::inference::{Alpha, Evidence};
/// use secondo::{Activation, Data, Loss, Network, Penalty, Problem};
/// let x = Array2::from_shape_fn((40, 1), |(i, _)| i as f64 / 10.0 - 2.0);
/// let y = x.mapv(|v| 0.5 * v + 0.3 * (7.0 * v).sin());
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, Data::new(x, y)?, Loss::SquaredError)?
///     .penalty(Penalty::ridge(0.1))?;
/// let done = Evidence::default().maximize(&problem, &[0.0, 0.0])?;
/// // At the fixed point α = γ/‖w‖².
/// let Alpha::One(alpha) = done.laplace.alpha else { unreachable!() };
/// let norm: f64 = done.w.iter().map(|w| w * w).sum();
/// assert!(done.converged && (alpha * norm / done.laplace.gamma - 1.0).abs() < 1e-4);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The information whose eigenvalues make γ. Default `GaussNewton`, which is never indefinite.
    pub information: Curvature,
    /// α at the start. Default that of the penalty.
    pub alpha: Option<f64>,
    /// β at the start. Default 1/φ at the start.
    pub beta: Option<f64>,
    /// The most cycles. Default 100.
    pub cycles: usize,
    /// Ends where α and β change by less than this part of themselves. Default 10⁻⁶.
    pub tolerance: f64,
    /// Which parameters share an α. Default `Penalty`.
    pub sharing: Sharing,
}

/// The parameters that share a precision α of the prior.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Those of equal λ in the penalty: all of a `ridge`.
    Penalty,
    /// All.
    One,
    /// Those of a layer.
    Layer,
    /// The weights of an input; all others by layer.
    Input,
}

impl Sharing {
    /// All of them.
    pub const ALL: [Sharing; 4] = [Sharing::Penalty, Sharing::One, Sharing::Layer, Sharing::Input];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Sharing::Penalty => "penalty",
            Sharing::One => "one",
            Sharing::Layer => "layer",
            Sharing::Input => "input",
        }
    }

    /// The sharing of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("sharing of alpha", name, &Self::ALL.map(|s| (s.name(), s)))
    }

    /// The group of each parameter, numbered from 0 in the order of the groups' first parameters; none where the penalty says.
    fn groups(self, network: &Network) -> Option<Vec<usize>> {
        let mut of = vec![0; network.parameters()];
        if self == Sharing::Penalty || self == Sharing::One {
            return (self == Sharing::One).then_some(of);
        }
        for (k, group) in network.all_groups() {
            of[group.range.clone()].fill(k - 1);
        }
        if self == Sharing::Input {
            // Units that are not linear see all inputs at once.
            let sets = (0..network.inputs()).filter_map(|j| of_input(network, j));
            for (j, set) in sets.enumerate() {
                set.into_iter().for_each(|l| of[l] = network.depth() + j);
            }
        }
        let mut order: Vec<usize> = Vec::new();
        for group in &mut of {
            *group = order.iter().position(|g| g == group).unwrap_or_else(|| {
                order.push(*group);
                order.len() - 1
            });
        }
        Some(of)
    }
}

/// Parameters that share an α.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PriorGroup {
    /// The parameters, in the order of the flat vector.
    pub parameters: Vec<usize>,
    /// Their α.
    pub alpha: f64,
    /// How many of them the data determine, by Gauss–Newton or the chosen information.
    pub gamma: f64,
    /// Whether the data determine so little of them that α was held.
    pub is_off: bool,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            information: Curvature::GaussNewton,
            alpha: None,
            beta: None,
            cycles: 100,
            tolerance: 1e-6,
            sharing: Sharing::Penalty,
        }
    }
}

/// One cycle: the minimum for an α and a β.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Cycle {
    /// The evidence of this α and β.
    pub laplace: Laplace,
    /// E at the minimum, with λ = α/β.
    pub value: f64,
}

/// The end of a re-estimation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Maximized {
    /// All cycles.
    pub cycles: Vec<Cycle>,
    /// The minimum for the last α and β.
    pub w: Vec<f64>,
    /// The penalty of the last cycle.
    pub penalty: Penalty,
    /// The evidence of the last α and β.
    pub laplace: Laplace,
    /// Whether α and β stay within the tolerance.
    pub converged: bool,
    /// Whether it ended because the evidence fell, three cycles in a row: what is returned is the cycle where it was largest.
    pub fell: bool,
    /// The groups of parameters with their α and γ.
    pub groups: Vec<PriorGroup>,
}

impl Evidence {
    /// Maximises from w.
    ///
    /// # Errors
    /// `Unsupported` for a prior that is not proper (a penalty other than `ridge` with biases and `ridge_vec` with positive λ), the
    /// mean as objective, a constraint, or a loss without likelihood; `Invalid` for numbers out of range; `Numerical` where a fit does
    /// not reach a minimum, or γ falls to 0 and the prior takes all weights away.
    pub fn maximize(&self, problem: &Problem, w: &[f64]) -> Result<Maximized> {
        self.check()?;
        if problem.ties().is_some() || super::factor(problem) != 1.0 {
            return Err(unsupported("a constraint or the mean as objective"));
        }
        let mut groups = Groups::of(problem, self.sharing)?;
        let start = Inference::with(problem, w, self.options(Dispersion::Residual))?;
        if matches!(start.family, Family::Gamma | Family::None) {
            return Err(unsupported(&format!("the loss {}", problem.loss().name())));
        }
        let has_dispersion = start.family.has_dispersion();
        let mut beta = match (self.beta, has_dispersion) {
            (_, false) => 1.0,
            (Some(beta), _) => beta,
            (None, _) => 1.0 / start.summary.phi,
        };
        groups.start(self.alpha, beta);
        let mut w = w.to_vec();
        let mut cycles: Vec<Cycle> = Vec::new();
        let mut converged = false;
        let may_fall = matches!(self.sharing, Sharing::Layer | Sharing::Input);
        let mut best: Option<(usize, Maximized)> = None;
        loop {
            let penalty = groups.penalty(beta);
            let problem = problem.clone().on(Device::Cpu).penalty(penalty.clone())?;
            w = precise().fit(&problem, &w, &mut silent)?.w;
            let options = self.options(Dispersion::Known(1.0 / beta));
            let inference = Inference::with(&problem, &w, options)?;
            let Some(laplace) = inference.laplace_with(true)? else {
                if let Some((_, best)) = best.filter(|_| may_fall) {
                    return Ok(Maximized { cycles, fell: true, ..best });
                }
                let what = "the fit ended at no minimum with a positive definite information; take the information gauss-newton";
                return Err(Error::Numerical { what: what.into() });
            };
            cycles.push(Cycle { laplace: laplace.clone(), value: inference.summary.value });
            let gamma = groups.gamma(&inference, &laplace);
            let is_last = converged || cycles.len() >= self.cycles.max(1);
            let largest = best.as_ref().map_or(f64::NEG_INFINITY, |b| b.1.laplace.log_evidence);
            if is_last || laplace.log_evidence > largest {
                let groups = groups.ended(&gamma);
                let (w, laplace, fell) = (w.clone(), laplace.clone(), false);
                let here =
                    Maximized { cycles: Vec::new(), w, penalty, laplace, converged, fell, groups };
                if is_last && (converged || !may_fall || here.laplace.log_evidence > largest) {
                    return Ok(Maximized { cycles, ..here });
                }
                if here.laplace.log_evidence > largest {
                    best = Some((cycles.len(), here));
                }
            }
            let is_over =
                |b: &mut (usize, Maximized)| may_fall && (is_last || cycles.len() >= b.0 + 3);
            if let Some((_, best)) = best.take_if(is_over) {
                return Ok(Maximized { cycles, fell: true, ..best });
            }
            let change = groups.update(&inference, &gamma)?;
            let mut next = beta;
            if has_dispersion {
                next =
                    (inference.summary.observations - laplace.gamma) / (2.0 * inference.energies.0);
                if !(next > 0.0 && next.is_finite()) {
                    let what = format!("β became {next}: the data leave no noise; use fewer units");
                    return Err(Error::Numerical { what });
                }
            }
            converged = change < self.tolerance && (next / beta - 1.0).abs() < self.tolerance;
            beta = next;
        }
    }

    fn check(&self) -> Result<()> {
        let positive = |what: &str, v: Option<f64>| match v {
            Some(v) if !(v > 0.0 && v.is_finite()) => {
                Err(Error::invalid(what, format!("{v} is not a positive number")))
            }
            _ => Ok(()),
        };
        positive("alpha", self.alpha)?;
        positive("beta", self.beta)?;
        positive("tolerance", Some(self.tolerance))
    }

    fn options(&self, dispersion: Dispersion) -> Options {
        Options { information: self.information, dispersion, ..Options::default() }
    }
}

/// The best of some starts with a number of hidden units.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Width {
    /// The number of hidden units.
    pub units: usize,
    /// The network with so many.
    pub network: Network,
    /// The re-estimation of the largest evidence; none where no start came to an end.
    pub best: Option<Maximized>,
}

impl Evidence {
    /// Compares widths of the only hidden layer by their evidence: for each width a re-estimation from every start, of which the one
    /// with the largest evidence is kept. To compare the widths, add `log_symmetry` to it: a wider net has more copies of each minimum.
    ///
    /// # Errors
    /// `Unsupported` for a net with another number of hidden layers than one, or several kinds of units in it, and for a penalty that
    /// is no ridge on all parameters; otherwise as [`maximize`](Self::maximize), but starts that fail do not count.
    pub fn widths(&self, problem: &Problem, widths: &[usize], starts: u64) -> Result<Vec<Width>> {
        self.check()?;
        let ridge = match problem.parts().penalty {
            penalty @ Penalty::Ridge { include_bias: true, .. } => penalty.clone(),
            penalty => return Err(unsupported(&format!("the penalty {}", penalty.name()))),
        };
        if problem.ties().is_some() {
            return Err(unsupported("a constraint"));
        }
        let (data, loss) = (problem.data()?, problem.loss());
        let of_width = |units: usize| -> Result<Problem> {
            Problem::new(with_units(problem.network(), units)?, data.clone(), loss.clone())?
                .penalty(ridge.clone())
        };
        let problems: Vec<Problem> = widths.iter().map(|&s| of_width(s)).collect::<Result<_>>()?;
        let runs: Vec<(usize, u64)> =
            (0..widths.len()).flat_map(|i| (0..starts).map(move |seed| (i, seed))).collect();
        let run = |&(i, seed): &(usize, u64)| -> Result<(usize, Maximized)> {
            let network = problems[i].network();
            let start = Initialization::Glorot.draw_from(network, &data.x(), seed)?;
            Ok((i, self.maximize(&problems[i], &start)?))
        };
        let done: Vec<(usize, Maximized)> = runs.par_iter().filter_map(|r| run(r).ok()).collect();
        let log = |m: &Maximized| m.laplace.log_evidence;
        let best = |i: usize| {
            let of = done.iter().filter(|(width, _)| *width == i).map(|(_, m)| m);
            of.max_by(|a, b| log(a).total_cmp(&log(b))).cloned()
        };
        let width = |(i, problem): (usize, &Problem)| Width {
            units: widths[i],
            network: problem.network().clone(),
            best: best(i),
        };
        Ok(problems.iter().enumerate().map(width).collect())
    }
}

/// Returns the network with another number of units in its only hidden layer.
fn with_units(network: &Network, units: usize) -> Result<Network> {
    let views = network.layers();
    let runs = match views {
        [hidden, _] if hidden.is_linear() => hidden.runs(),
        _ => Vec::new(),
    };
    let [(activation, _)] = runs.as_slice() else {
        return Err(Error::Unsupported {
            what: format!("another width of the network {network}"),
            why: "it needs one hidden layer of linear units with one activation".into(),
        });
    };
    let layer = |(k, view): (usize, &crate::network::LayerView)| {
        let groups = view.groups.iter().map(|g| match k {
            0 => Group::new(g.propagation.clone(), vec![*activation; units]),
            _ => Group::new(g.propagation.clone(), g.activations().collect::<Vec<_>>()),
        });
        let layer = Layer::of(groups.collect()).sources(view.sources.clone());
        if view.bias { layer } else { layer.without_bias() }
    };
    Network::new(network.inputs(), views.iter().enumerate().map(layer).collect())
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported {
        what: format!("the evidence with {what}"),
        why: "it needs a likelihood and a proper Gaussian prior: a ridge on all parameters".into(),
    }
}

/// The parameters that share an α.
struct Groups {
    /// The group of each parameter.
    of: Vec<usize>,
    alpha: Vec<f64>,
    is_uniform: bool,
}

/// A group of which the data determine less than this is switched off.
const OFF: f64 = 1e-3;

impl Groups {
    fn of(problem: &Problem, sharing: Sharing) -> Result<Self> {
        let p = problem.parameters();
        let lambda = match problem.parts().penalty {
            Penalty::Ridge { lambda, include_bias: true } if *lambda > 0.0 => vec![*lambda; p],
            Penalty::RidgeVec { lambda } if lambda.iter().all(|l| *l > 0.0) => lambda.clone(),
            penalty => return Err(unsupported(&format!("the penalty {}", penalty.name()))),
        };
        if let Some(of) = sharing.groups(problem.network()) {
            let count = of.iter().max().map_or(0, |last| last + 1);
            let (mut sums, mut sizes) = (vec![0.0; count], vec![0.0; count]);
            for (&g, lambda) in of.iter().zip(&lambda) {
                sums[g] += lambda;
                sizes[g] += 1.0;
            }
            let alpha = sums.iter().zip(&sizes).map(|(sum, size)| sum / size).collect();
            return Ok(Groups { of, alpha, is_uniform: sharing == Sharing::One });
        }
        let mut alpha: Vec<f64> = Vec::new();
        let of = (lambda.iter())
            .map(|l| {
                alpha.iter().position(|a| a == l).unwrap_or_else(|| {
                    alpha.push(*l);
                    alpha.len() - 1
                })
            })
            .collect();
        let is_uniform = matches!(problem.parts().penalty, Penalty::Ridge { .. });
        Ok(Groups { of, alpha, is_uniform })
    }

    /// From λ to α, or to the α that was given.
    fn start(&mut self, alpha: Option<f64>, beta: f64) {
        self.alpha.iter_mut().for_each(|a| *a = alpha.unwrap_or(*a * beta));
    }

    fn penalty(&self, beta: f64) -> Penalty {
        if self.is_uniform {
            return Penalty::ridge(self.alpha[0] / beta);
        }
        Penalty::RidgeVec { lambda: self.of.iter().map(|&g| self.alpha[g] / beta).collect() }
    }

    /// γ of each group.
    fn gamma(&self, inference: &Inference, laplace: &Laplace) -> Vec<f64> {
        if self.is_uniform {
            return vec![laplace.gamma];
        }
        let mut gamma = vec![0.0; self.alpha.len()];
        for (k, &g) in self.of.iter().enumerate() {
            gamma[g] += 1.0 - self.alpha[g] * inference.inverse[[k, k]] / laplace.beta;
        }
        gamma
    }

    /// Takes α ← γ/Σ w² for each group, and returns the largest relative change.
    fn update(&mut self, inference: &Inference, gamma: &[f64]) -> Result<f64> {
        let mut squares = vec![0.0; self.alpha.len()];
        self.of.iter().zip(&inference.w).for_each(|(&g, w)| squares[g] += w * w);
        let limit = if self.alpha.len() == 1 { 1e-6 } else { OFF };
        let (mut change, mut used) = (0.0f64, false);
        for ((alpha, gamma), squares) in self.alpha.iter_mut().zip(gamma).zip(squares) {
            let next = gamma / squares;
            if !(next > 0.0 && next.is_finite() && *gamma > limit) {
                continue;
            }
            used = true;
            change = change.max((next / *alpha - 1.0).abs());
            *alpha = next;
        }
        if used {
            return Ok(change);
        }
        let what = "γ fell to 0: the evidence prefers no weights at all; the inputs tell nothing about the target, or the \
                    start was a point without effect";
        Err(Error::Numerical { what: what.into() })
    }

    fn ended(&self, gamma: &[f64]) -> Vec<PriorGroup> {
        let parameters = |g: usize| (0..self.of.len()).filter(|&k| self.of[k] == g).collect();
        let group = |(g, (alpha, gamma)): (usize, (&f64, &f64))| PriorGroup {
            parameters: parameters(g),
            alpha: *alpha,
            gamma: *gamma,
            is_off: self.alpha.len() > 1 && *gamma <= OFF,
        };
        self.alpha.iter().zip(gamma).enumerate().map(group).collect()
    }
}

impl Alpha {
    /// The precision of parameter k.
    pub fn of(&self, k: usize) -> f64 {
        match self {
            Alpha::One(alpha) => *alpha,
            Alpha::Each(alpha) => alpha[k],
        }
    }
}
