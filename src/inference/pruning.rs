//! Weights that may go: optimal brain damage and surgeon, Wald's test and magnitude, with a fit after every deletion.

use super::ratio::{precise, surgeon, without};
use super::{Covariance, Inference, Options};
use crate::curvature::Curvature;
use crate::device::Device;
use crate::error::{Error, Result, by_name};
use crate::problem::Problem;
use crate::train::{Method, silent};

/// The rule by which the next weight is chosen: the one with the smallest saliency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// w_k²/(2 [A⁻¹]_kk): the increase of E after the others have moved (optimal brain surgeon).
    Obs,
    /// ½ A_kk w_k²: the increase of E while the others stay (optimal brain damage).
    Obd,
    /// |w_k|.
    Magnitude,
    /// t_k², of Wald's test with the default covariance; 2/φ times that of `Obs` for φ A⁻¹.
    Wald,
}

impl Criterion {
    /// All of them.
    pub const ALL: [Criterion; 4] =
        [Criterion::Obs, Criterion::Obd, Criterion::Magnitude, Criterion::Wald];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Criterion::Obs => "obs",
            Criterion::Obd => "obd",
            Criterion::Magnitude => "magnitude",
            Criterion::Wald => "wald",
        }
    }

    /// The criterion of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("criterion", name, &Self::ALL.map(|c| (c.name(), c)))
    }
}

/// Backward elimination of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruning {
    /// The rule. Default `Obs`.
    pub criterion: Criterion,
    /// The most weights to remove. Default all but one.
    pub steps: Option<usize>,
    /// Ends where no p-value is above this level. Default none.
    pub level: Option<f64>,
    /// The information, and the covariance of Wald's tests.
    pub options: Options,
}

impl Default for Pruning {
    fn default() -> Self {
        Pruning { criterion: Criterion::Obs, steps: None, level: None, options: Options::default() }
    }
}

/// The removal of one weight.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Removal {
    /// The weight, in the order of the flat vector of the whole network.
    pub removed: usize,
    /// Its saliency.
    pub saliency: f64,
    /// Its p-value before it went; a p-value after a selection is none.
    pub p_value: Option<f64>,
    /// E before.
    pub value_before: f64,
    /// E where the second derivative sends the others.
    pub value_after_update: f64,
    /// E at the minimum without it.
    pub value_after_retraining: f64,
    /// The number of parameters that are left.
    pub parameters_left: usize,
    /// AIC at that minimum.
    pub aic: Option<f64>,
    /// BIC at that minimum.
    pub bic: Option<f64>,
    /// The network's weights at that minimum.
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
    /// BIC at the start.
    pub bic: Option<f64>,
    /// The removals in their order.
    pub path: Vec<Removal>,
}

impl Pruned {
    /// The step with the lowest BIC: the number of removals after which it is reached.
    pub fn best(&self) -> usize {
        let all = std::iter::once(self.bic).chain(self.path.iter().map(|r| r.bic));
        let known = all.enumerate().filter_map(|(step, bic)| Some((step, bic?)));
        known.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(self.path.len(), |(step, _)| step)
    }
}

/// The saliencies of all parameters at a minimum; none where the information is not positive definite.
///
/// # Errors
/// As [`Inference::parameters`].
pub fn saliencies(inference: &Inference, criterion: Criterion) -> Result<Vec<Option<f64>>> {
    let w = inference.w();
    let (_, zero, negative) = inference.inertia();
    let is_regular = zero == 0 && negative == 0;
    let information = &inference.data_part + &inference.prior.hessian;
    let tests = inference.parameters()?;
    let of = |k: usize| match criterion {
        Criterion::Magnitude => Some(w[k].abs()),
        Criterion::Obd => Some(0.5 * information[[k, k]] * w[k] * w[k]),
        Criterion::Obs => is_regular.then(|| w[k] * w[k] / (2.0 * inference.inverse[[k, k]])),
        Criterion::Wald => tests[k].statistic.map(|t| t * t),
    };
    Ok((0..w.len()).map(of).collect())
}

impl Pruning {
    /// Removes weights one by one from the minimum w, with a fit after each removal.
    ///
    /// Where the Hessian is not positive definite after a fit the Gauss–Newton matrix stands in; where that is singular, too, the
    /// path ends.
    ///
    /// # Errors
    /// `Unsupported` under a constraint; `Invalid` for a level that is not between 0 and 1; what a fit reports.
    pub fn prune(&self, problem: &Problem, w: &[f64]) -> Result<Pruned> {
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
        let problem = problem.clone().on(Device::Cpu);
        let first = Inference::with(&problem, w, self.options.clone())?;
        let mut pruned = Pruned {
            saliencies: saliencies(&first, self.criterion)?,
            bic: first.summary().bic,
            path: Vec::new(),
        };
        drop(first);
        let steps = self.steps.unwrap_or(usize::MAX).min(w.len().saturating_sub(1));
        let mut gone: Vec<usize> = Vec::new();
        let mut weights = w.to_vec();
        for _ in 0..steps {
            let Some(removal) = self.step(&problem, &weights, &gone)? else {
                break;
            };
            gone.push(removal.removed);
            weights.clone_from(&removal.weights);
            pruned.path.push(removal);
        }
        Ok(pruned)
    }

    /// The next removal; none where no weight qualifies.
    fn step(&self, problem: &Problem, weights: &[f64], gone: &[usize]) -> Result<Option<Removal>> {
        let (before, kept) = without(problem, gone)?;
        let theta: Vec<f64> = kept.iter().map(|&l| weights[l]).collect();
        let mut inference = Inference::with(&before, &theta, self.options.clone())?;
        let mut by_gauss_newton = false;
        let is_singular = |i: &Inference| i.inertia().0 < theta.len();
        if is_singular(&inference) && self.options.information == Curvature::Exact {
            let options = Options { information: Curvature::GaussNewton, ..self.options.clone() };
            inference = Inference::with(&before, &theta, options)?;
            by_gauss_newton = true;
        }
        let needs_inverse = matches!(self.criterion, Criterion::Obs | Criterion::Wald);
        if is_singular(&inference) && needs_inverse {
            return Ok(None);
        }
        let tests = inference.parameters()?;
        let candidates = saliencies(&inference, self.criterion)?;
        let allowed = |a: usize| match self.level {
            None => true,
            Some(level) => tests[a].p_value.is_some_and(|p| p > level),
        };
        let chosen = (candidates.iter().enumerate())
            .filter_map(|(a, s)| Some((a, (*s)?)))
            .filter(|(a, _)| allowed(*a))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, saliency)) = chosen else {
            return Ok(None);
        };
        let removed = kept[at];
        let mut updated = match surgeon(&theta, &inference.inverse, &[at]) {
            Ok(updated) if !is_singular(&inference) => updated,
            _ => theta.clone(),
        };
        updated.remove(at);
        let mut set = gone.to_vec();
        set.push(removed);
        let (after, _) = without(problem, &set)?;
        let value_after_update = after.objective(&updated)?;
        let fit = precise().fit(&after, &updated, &mut silent)?;
        let weights = after.network_weights(&fit.w)?.into_owned();
        let options = Options { covariance: Some(Covariance::Hc0), ..self.options.clone() };
        let end = Inference::with(&after, &fit.w, options)?;
        Ok(Some(Removal {
            removed,
            saliency,
            p_value: tests[at].p_value,
            value_before: inference.summary().value,
            value_after_update: value_after_update * super::factor(problem),
            value_after_retraining: end.summary().value,
            parameters_left: after.parameters(),
            aic: end.summary().aic,
            bic: end.summary().bic,
            weights,
            by_gauss_newton,
        }))
    }
}
