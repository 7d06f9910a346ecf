//! Weights that may go: optimal brain damage and surgeon, Wald's test and magnitude, with a fit after every deletion.

use ndarray::Array2;

use super::compact::folded;
use super::names::of_input;
use super::probability::{chi2_upper, f_upper};
use super::quadratic::{Criterion, Quadratic, Scheme};
use super::ratio::{precise, without};
use super::summary::log_of_units;
use super::{Distribution, Inference, Options, Scaling};
use crate::curvature::Curvature;
use crate::device::Device;
use crate::error::{Error, Result, by_name};
use crate::network::Network;
use crate::problem::Problem;
use crate::train::{Method, silent};

/// The pieces of a network that can be removed at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// One weight.
    Weight,
    /// A hidden unit: the weights out of it.
    Unit,
    /// An input: the weights that multiply it, in all layers.
    Input,
}

impl Piece {
    /// All of them.
    pub const ALL: [Piece; 3] = [Piece::Weight, Piece::Unit, Piece::Input];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Piece::Weight => "weights",
            Piece::Unit => "units",
            Piece::Input => "inputs",
        }
    }

    /// The piece of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("piece", name, &Self::ALL.map(|p| (p.name(), p)))
    }

    /// The sets of weights that may go, of those that are left.
    fn sets(self, network: &Network, gone: &[usize]) -> Vec<Vec<usize>> {
        let left = |set: Vec<usize>| -> Vec<usize> {
            set.into_iter().filter(|l| !gone.contains(l)).collect()
        };
        let sets: Vec<Vec<usize>> = match self {
            Piece::Weight => (0..network.parameters()).map(|l| vec![l]).collect(),
            Piece::Input => (0..network.inputs()).filter_map(|j| of_input(network, j)).collect(),
            Piece::Unit => {
                let of_layer = |k: usize| {
                    let units = 0..network.width(k);
                    let sets: Vec<Vec<usize>> = units
                        .map(|j| left(outgoing(network, k, j)))
                        .filter(|s| !s.is_empty())
                        .collect();
                    // A layer keeps a unit.
                    if sets.len() > 1 { sets } else { Vec::new() }
                };
                (1..network.depth()).flat_map(of_layer).collect()
            }
        };
        sets.into_iter().map(left).filter(|set| !set.is_empty()).collect()
    }
}

/// The weights out of unit j of layer k; none where units that are not linear see it.
fn outgoing(network: &Network, k: usize, j: usize) -> Vec<usize> {
    let mut all = Vec::new();
    for (r, column) in network.consumers(k) {
        for group in &network.layers()[r - 1].groups {
            if !group.propagation.is_linear() {
                return Vec::new();
            }
            all.extend(group.range.clone().step_by(group.row).map(|start| start + column + j));
        }
    }
    all
}

/// Backward elimination of weights, units or inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruning {
    /// The rule. Default `Obs`.
    pub criterion: Criterion,
    /// The piece that is removed at a time. Default `Weight`.
    pub piece: Piece,
    /// The most removals. Default all but one.
    pub steps: Option<usize>,
    /// Ends where no p-value is above this level. Default none.
    pub level: Option<f64>,
    /// The share of the weights that are left which is removed before each fit, one weight after another in the quadratic model.
    /// Default 0: a fit after every removal.
    pub share: f64,
    /// The part of A⁻¹ that saliencies and updates use. Default `Full`.
    pub scheme: Scheme,
    /// The information, and the covariance of Wald's tests.
    pub options: Options,
}

impl Default for Pruning {
    fn default() -> Self {
        Pruning {
            criterion: Criterion::Obs,
            piece: Piece::Weight,
            steps: None,
            level: None,
            share: 0.0,
            scheme: Scheme::Full,
            options: Options::default(),
        }
    }
}

/// One removal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Removal {
    /// The weight, in the order of the flat vector of the whole network; the first of a unit or an input.
    pub removed: usize,
    /// The other weights that went with it: the rest of its unit or input, and those that became useless.
    pub also: Vec<usize>,
    /// Its saliency.
    pub saliency: f64,
    /// Its p-value before it went; a p-value after a selection is none. None where several go before a fit, but for the first.
    pub p_value: Option<f64>,
    /// E before.
    pub value_before: f64,
    /// E where the second derivative sends the others.
    pub value_after_update: f64,
    /// E at the minimum without it; none where no fit followed.
    pub value_after_retraining: Option<f64>,
    /// The number of parameters that are left.
    pub parameters_left: usize,
    /// AIC at that minimum.
    pub aic: Option<f64>,
    /// BIC at that minimum.
    pub bic: Option<f64>,
    /// The network's weights at that minimum, or where no fit followed after the update.
    pub weights: Vec<f64>,
    /// Whether the Gauss–Newton matrix stood in for a Hessian that was not positive definite.
    pub by_gauss_newton: bool,
}

/// The end of a pruning.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Pruned {
    /// The saliencies of all weights at the start; none where the information is not positive definite.
    pub saliencies: Vec<Option<f64>>,
    /// AIC at the start.
    pub aic: Option<f64>,
    /// BIC at the start.
    pub bic: Option<f64>,
    /// Whether the Gauss–Newton matrix stood in for a Hessian that was not positive definite at the start.
    pub by_gauss_newton: bool,
    /// The removals in their order.
    pub path: Vec<Removal>,
    /// n, as [`Summary::rows`](super::Summary::rows).
    rows: f64,
}

impl Pruned {
    /// Turns AIC and BIC, those of the targets that the network sees, into those of the targets in the units of the data.
    pub fn rescale(&mut self, scaling: &Scaling) {
        let more = 2.0 * log_of_units(self.rows, &scaling.y_scale);
        let of_path = self.path.iter_mut().flat_map(|r| [&mut r.aic, &mut r.bic]);
        let all = [&mut self.aic, &mut self.bic].into_iter().chain(of_path);
        all.flatten().for_each(|v| *v += more);
    }

    /// The step with the lowest BIC: the number of removals after which it is reached.
    pub fn best(&self) -> usize {
        lowest(std::iter::once(self.bic).chain(self.path.iter().map(|r| r.bic)))
    }

    /// The step with the lowest AIC.
    pub fn best_by_aic(&self) -> usize {
        lowest(std::iter::once(self.aic).chain(self.path.iter().map(|r| r.aic)))
    }
}

/// Returns the place of the lowest number; the last where there is none.
fn lowest(all: impl Iterator<Item = Option<f64>>) -> usize {
    let all: Vec<Option<f64>> = all.collect();
    let known = all.iter().enumerate().filter_map(|(step, v)| Some((step, (*v)?)));
    known.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(all.len().saturating_sub(1), |(step, _)| step)
}

/// The saliencies of all parameters at a minimum; none where the information is not positive definite.
///
/// # Errors
/// As [`Inference::parameters`].
pub fn saliencies(inference: &Inference, criterion: Criterion) -> Result<Vec<Option<f64>>> {
    let model = model_of(inference);
    let tests = inference.parameters()?;
    let of = |k: usize| match criterion {
        Criterion::Wald => Ok(tests[k].statistic.map(|t| t * t)),
        _ => model.saliency(&[k], criterion),
    };
    (0..inference.w().len()).map(of).collect()
}

/// The quadratic model of an inference; one without an inverse where the information is singular or indefinite.
fn model_of<'a>(inference: &Inference<'a>) -> Quadratic<'a> {
    let p = inference.w.len();
    let is_regular = inference.inertia().0 == p;
    let diagonal = (inference.data_part.diag().iter().zip(inference.prior.hessian.diag()))
        .map(|(b, prior)| b + prior)
        .collect();
    let inverse = if is_regular { inference.inverse.clone() } else { Array2::zeros((p, p)) };
    Quadratic::new(&inference.w, diagonal, inverse)
}

/// A minimum on the path, with what is known there.
struct Stage<'a> {
    model: Quadratic<'a>,
    /// The same with the covariance in place of A⁻¹, and its law: for Wald's tests.
    tests: Option<(Quadratic<'a>, Distribution)>,
    /// E, AIC and BIC.
    value: f64,
    criteria: [Option<f64>; 2],
    rows: f64,
    by_gauss_newton: bool,
}

impl Pruning {
    /// Removes weights one by one from the minimum w, with a fit after each removal, or after a share of them.
    ///
    /// Where the Hessian is not positive definite after a fit the Gauss–Newton matrix stands in; where that is singular, too, the
    /// path ends. Units that a removal makes useless go with it: those that nothing uses, and those that see no input, whose constant
    /// goes into the biases behind them.
    ///
    /// # Errors
    /// `Unsupported` under a constraint, and for Wald's tests without the whole matrix; `Invalid` for a level or share that is not
    /// between 0 and 1; what a fit reports.
    pub fn prune(&self, problem: &Problem, w: &[f64]) -> Result<Pruned> {
        self.check(problem)?;
        problem.network().check(w)?;
        let problem = problem.clone().on(Device::Cpu);
        let mut pruned = Pruned {
            saliencies: vec![None; w.len()],
            aic: None,
            bic: None,
            path: Vec::new(),
            rows: 0.0,
            by_gauss_newton: false,
        };
        let most = self.steps.unwrap_or(usize::MAX);
        let mut gone: Vec<usize> = Vec::new();
        let mut weights = w.to_vec();
        loop {
            let (before, kept) = without(&problem, &gone)?;
            let theta: Vec<f64> = kept.iter().map(|&l| weights[l]).collect();
            let Some(stage) = self.stage(&before, &theta)? else { break };
            match pruned.path.last_mut() {
                None => {
                    pruned.rows = stage.rows;
                    pruned.by_gauss_newton = stage.by_gauss_newton;
                    pruned.saliencies = self.all_saliencies(&stage)?;
                    [pruned.aic, pruned.bic] = stage.criteria;
                }
                Some(last) => {
                    last.value_after_retraining = Some(stage.value);
                    [last.aic, last.bic] = stage.criteria;
                }
            }
            let room = most.saturating_sub(pruned.path.len());
            let batch = self.batch(stage, &problem, &kept, &mut gone, room)?;
            let Some(last) = batch.last() else { break };
            weights.clone_from(&last.weights);
            pruned.path.extend(batch);
            let (after, kept) = without(&problem, &gone)?;
            let theta: Vec<f64> = kept.iter().map(|&l| weights[l]).collect();
            let fit = precise().fit(&after, &theta, &mut silent)?;
            weights = after.network_weights(&fit.w)?.into_owned();
            if let Some(last) = pruned.path.last_mut() {
                last.weights.clone_from(&weights);
                last.value_after_retraining = Some(fit.value * super::factor(&problem));
            }
        }
        Ok(pruned)
    }

    fn check(&self, problem: &Problem) -> Result<()> {
        if problem.ties().is_some() {
            return Err(Error::Unsupported {
                what: "pruning under W = fixed + Cθ".into(),
                why: "a weight that is tied cannot go alone; use a problem without the constraint"
                    .into(),
            });
        }
        if let Some(level) = self.level.filter(|l| !(*l > 0.0 && *l < 1.0)) {
            return Err(Error::invalid("level", format!("{level} is not between 0 and 1")));
        }
        if !(0.0..1.0).contains(&self.share) {
            let why = format!("{} is not between 0 and 1", self.share);
            return Err(Error::invalid("share", why));
        }
        if self.scheme != Scheme::Full
            && (self.criterion == Criterion::Wald || self.level.is_some())
        {
            return Err(Error::Unsupported {
                what: format!("Wald's test with {}", self.scheme.name()),
                why: "standard errors need the whole matrix; take the criterion obs".into(),
            });
        }
        Ok(())
    }

    /// The model at a minimum; none where there is none to prune by.
    fn stage<'p>(&self, problem: &'p Problem, theta: &[f64]) -> Result<Option<Stage<'p>>> {
        let is_exact = self.options.information == Curvature::Exact;
        let by_gauss_newton =
            || Options { information: Curvature::GaussNewton, ..self.options.clone() };
        if self.scheme != Scheme::Full {
            let of = |information| Quadratic::by_blocks(problem, theta, information, self.scheme);
            let first = of(self.options.information)?;
            let stands_in = first.is_none();
            let model = match first {
                None if is_exact => of(Curvature::GaussNewton)?,
                first => first,
            };
            let value = problem.objective(theta)? * super::factor(problem);
            let stage = |model| Stage {
                model,
                tests: None,
                value,
                criteria: [None; 2],
                rows: 0.0,
                by_gauss_newton: stands_in,
            };
            return Ok(model.map(stage));
        }
        let mut inference = Inference::with(problem, theta, self.options.clone())?;
        let is_singular = |i: &Inference| i.inertia().0 < theta.len();
        let stands_in = is_singular(&inference) && is_exact;
        if stands_in {
            inference = Inference::with(problem, theta, by_gauss_newton())?;
        }
        let needs_inverse = matches!(self.criterion, Criterion::Obs | Criterion::Wald);
        if is_singular(&inference) && needs_inverse {
            return Ok(None);
        }
        let law = inference.summary.distribution;
        let tests = (inference.covariance())
            .map(|v| (Quadratic::new(theta, vec![0.0; theta.len()], v.clone()), law));
        let summary = &inference.summary;
        Ok(Some(Stage {
            model: model_of(&inference),
            tests,
            value: summary.value,
            criteria: [summary.aic, summary.bic],
            rows: summary.rows,
            by_gauss_newton: stands_in,
        }))
    }

    fn all_saliencies(&self, stage: &Stage) -> Result<Vec<Option<f64>>> {
        (0..stage.model.w.len()).map(|k| stage.saliency(&[k], self.criterion)).collect()
    }

    /// The removals before the next fit; `kept` are the weights of the stage's parameters.
    fn batch(
        &self,
        mut stage: Stage,
        problem: &Problem,
        kept: &[usize],
        gone: &mut Vec<usize>,
        room: usize,
    ) -> Result<Vec<Removal>> {
        let network = problem.network();
        let p = network.parameters();
        let place = |l: usize| kept.binary_search(&l).ok();
        let count = ((self.share * kept.len() as f64) as usize).max(1).min(room);
        let (mut batch, mut value) = (Vec::new(), stage.value);
        let mut taken = 0;
        while taken < count && gone.len() + 1 < p {
            let sets = self.piece.sets(network, gone);
            let of_stage = |set: &Vec<usize>| set.iter().filter_map(|&l| place(l)).collect();
            let sets: Vec<Vec<usize>> = sets.iter().map(of_stage).collect();
            let Some(Choice { set, saliency, p_value }) = self.chosen(&stage, &sets)? else {
                break;
            };
            stage.remove(&set)?;
            gone.extend(set.iter().map(|&a| kept[a]));
            let mut weights = vec![0.0; p];
            kept.iter().zip(&stage.model.w).for_each(|(&l, w)| weights[l] = *w);
            let after_update = problem.objective(&weights)? * super::factor(problem);
            let (weights, idle) = folded(network, &weights);
            let idle: Vec<usize> = idle.into_iter().filter(|l| !gone.contains(l)).collect();
            let idle_here: Vec<usize> = idle.iter().filter_map(|&l| place(l)).collect();
            stage.set_aside(&idle_here);
            stage.at(kept.iter().map(|&l| weights[l]).collect());
            gone.extend(&idle);
            let others = set[1..].iter().map(|&a| kept[a]);
            batch.push(Removal {
                removed: kept[set[0]],
                also: others.chain(idle).collect(),
                saliency,
                p_value: p_value.filter(|_| batch.is_empty()),
                value_before: value,
                value_after_update: after_update,
                value_after_retraining: None,
                parameters_left: p - gone.len(),
                aic: None,
                bic: None,
                weights,
                by_gauss_newton: stage.by_gauss_newton,
            });
            value = after_update;
            taken += set.len();
        }
        Ok(batch)
    }

    /// The set that goes next.
    fn chosen(&self, stage: &Stage, sets: &[Vec<usize>]) -> Result<Option<Choice>> {
        let mut ranked: Vec<(usize, f64)> = Vec::new();
        for (i, set) in sets.iter().enumerate() {
            let is_allowed = match self.level {
                None => true,
                Some(level) => stage.p_value(set)?.is_some_and(|p| p > level),
            };
            if let (true, Some(saliency)) = (is_allowed, stage.saliency(set, self.criterion)?) {
                ranked.push((i, saliency));
            }
        }
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
        if self.criterion == Criterion::Obs && self.piece == Piece::Weight {
            let single: Vec<usize> = ranked.iter().map(|(i, _)| sets[*i][0]).collect();
            if let Some((k, saliency)) = stage.model.refined(&single)? {
                return Ok(Some(Choice { set: vec![k], saliency, p_value: None }));
            }
        }
        let Some(&(i, saliency)) = ranked.first() else {
            return Ok(None);
        };
        Ok(Some(Choice { set: sets[i].clone(), saliency, p_value: stage.p_value(&sets[i])? }))
    }
}

/// The set that goes next.
struct Choice {
    set: Vec<usize>,
    saliency: f64,
    p_value: Option<f64>,
}

impl Stage<'_> {
    /// The cost of removing a set; Wald's is F, t² of a single weight.
    fn saliency(&self, set: &[usize], criterion: Criterion) -> Result<Option<f64>> {
        match (criterion, &self.tests) {
            (Criterion::Wald, None) => Ok(None),
            (Criterion::Wald, Some((tests, _))) => {
                Ok(tests.form(set)?.map(|form| form / set.len() as f64))
            }
            _ => self.model.saliency(set, criterion),
        }
    }

    /// The p-value of Wald's test that a set is 0.
    fn p_value(&self, set: &[usize]) -> Result<Option<f64>> {
        let Some((tests, law)) = &self.tests else {
            return Ok(None);
        };
        let df = set.len() as f64;
        let of = |form: f64| match law {
            Distribution::T(rest) => f_upper(form / df, df, *rest),
            Distribution::Normal => chi2_upper(form, df),
        };
        Ok(tests.form(set)?.map(of))
    }

    fn remove(&mut self, set: &[usize]) -> Result<()> {
        self.model.remove(set)?;
        if let Some((tests, _)) = &mut self.tests {
            tests.remove(set)?;
        }
        self.at(self.model.w.clone());
        Ok(())
    }

    /// Puts other weights in place.
    fn at(&mut self, w: Vec<f64>) {
        if let Some((tests, _)) = &mut self.tests {
            tests.w.clone_from(&w);
        }
        self.model.w = w;
    }

    /// Takes out weights that no longer matter, without moving the others.
    fn set_aside(&mut self, set: &[usize]) {
        self.model.set_aside(set);
        if let Some((tests, _)) = &mut self.tests {
            tests.set_aside(set);
        }
    }
}
