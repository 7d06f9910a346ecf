//! The options of a fit.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use secondo::inference::Sharing;
use secondo::{Activation, Initialization, LossKind};

use super::division::DivisionOptions;
use super::hidden::{Hidden, HiddenLayer};
use super::loss;
use crate::computing::Computing;
use crate::exit::Failure;
use crate::plot::Asked;
use crate::table::{TableOptions, TargetOptions};
use crate::training::{Method, not_negative};

/// Fits a network to a table, or minimises the objective of a problem file
///
/// For a table (a text file with a header, .parquet, .npy, .npz, or a folder of .parquet and .npy) every column but the target is a feature. Delimiter, decimal mark and encoding are
/// found; text becomes indicators of its values, dates become days; a first column without name, that counts the rows, or of ids, labels
/// them. The report says what was assumed. Inputs, and the target of a regression, are standardised; a part of the rows is held out to test the fit. The report is printed, and the model is written
/// to a file that 'secondo predict' reads.
///
/// The task is guessed unless --task says it: a target of text is a classification, and so are 2 to 20 different
/// whole numbers with at least five rows for each on average; other numbers are a regression.
///
/// A problem file (.json) holds network, data, loss, penalty and the start; the options for networks and tables do
/// not apply to it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo fit diabetes.csv --target progression
      one hidden layer of tanh or SiLU units or none, and a penalty, chosen by cross-validation; writes diabetes.safetensors
  secondo fit iris.csv --target species --hidden 16,8 --starts 5
      two hidden layers; the best of five starts is kept
  secondo fit data.csv --target y --hidden none
      a linear model
  secondo fit data.csv --target y --hidden rbf:12
      twelve Gaussian radial basis units, spread over the rows
  secondo fit data.csv --target y --hidden 8,8 --skip
      every layer sees all before it, the inputs too
  secondo fit data.csv --target y --ignore 'id,note*' --missing drop
      leaves out columns, and the rows with gaps
  secondo fit people.csv --target income --missing impute --encode zip
      fills gaps and marks them; takes the numbers of a column as names
  secondo fit data.csv --target y --cv 10
      chooses the penalty by cross-validation in ten parts, not five
  secondo fit data.csv --target y --ridge 0.1
      the penalty that is given, and no choice
  secondo fit data.csv --target y --ridge evidence:input
      finds a penalty for each input's weights by the evidence, and so which inputs matter
  secondo fit data.csv --target y --report fit.html --report fit.json
      a page to read and to show, and a report for programs
  secondo fit data.csv --target y --hidden none --hidden 4 --hidden 16 --groups patient
      chooses network and penalty; the rows of a patient stay together
  secondo fit data.csv --target y --ridge 0 --validation-fraction 0.2
      stops early, where the error on rows apart is lowest
  secondo fit claims.csv --target claims --loss poisson --task regression --exposure years
      counts that are proportional to the years, too
  secondo fit growth.csv --target height --plot growth.svg --plot growth.png
      a figure of the fit and its convergence, in two formats
  secondo fit data.csv --target y --plot effects=effects.svg
      how the predictions depend on each column
  secondo fit problem.json --method newton-rows --report fit.json
      a problem file, from its own start

The objective is the sum of the losses over the rows (with --mean: their mean) plus the penalty.
The same options, data and seed give the same model on the same device.")]
pub struct Options {
    /// The table (a text file with a header, also packed as .gz or .zst; .parquet, .npy, .npz; a folder of .parquet and .npy; - is standard input) or the problem file (.json)
    pub data: PathBuf,
    #[command(flatten)]
    pub target: TargetOptions,
    #[command(flatten)]
    pub division: DivisionOptions,
    #[command(flatten)]
    pub network: NetworkOptions,
    #[command(flatten)]
    pub objective: ObjectiveOptions,
    #[command(flatten)]
    pub starts: StartOptions,
    #[command(flatten)]
    pub table: TableOptions,
    #[command(flatten)]
    pub method: Method,
    #[command(flatten)]
    pub computing: Computing,
    /// Read the rows as they are needed, so that they need not fit in memory: of a text in UTF-8, a .parquet or .npy file, or a folder of the latter two
    ///
    /// Codings, classes and the task follow from the different values of the columns, of which up to 1,000 are noted. The rows that are held out, and folds, are chosen by a
    /// hash of their number. Nothing that needs all rows at once can be had besides: exposures, the penalty
    /// of the largest evidence, radial units, figures and areas under the ROC curve.
    #[arg(long, help_heading = "Reading tables")]
    pub stream: bool,
    /// Share the rows among the processes that mpirun or srun started: with the same result, for any number of them
    ///
    /// Each of them reads all rows once or twice at the beginning, and then its own; up to 64 have a share, of 4096 rows or more. The first one alone
    /// speaks and writes. The processor computes. Each process takes as many threads as it finds cores, and memory as if it were alone: say
    /// --threads and --memory where several are on one machine. Not in the published program: it needs MPI where it is built.
    #[arg(long, requires = "stream", help_heading = "Computing")]
    pub mpi: bool,
    /// Write the model here; a model that is there is replaced, no other file [default: the table's name with .safetensors, in the current folder]
    #[arg(long, help_heading = "Output", value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Write the report here: as a page with all figures (.html), or for programs as JSON; may be given several times
    ///
    /// The page is one file without references to others. The JSON holds all parameters and what the figures show: 'secondo plot' draws
    /// them, and makes the page, from it.
    #[arg(long, help_heading = "Output", value_name = "FILE.html|FILE.json")]
    pub report: Vec<PathBuf>,
    /// Draw a figure here, as SVG or PNG; may be given several times
    ///
    /// NAME is convergence (objective and gradient norm against steps), fit (model and data against the one input, else predicted against
    /// observed), residuals, effects (partial dependence on each column), confusion, spectrum (eigenvalues of the exact Hessian), hessian
    /// (its picture) or network. Without a name the figure is the fit above the convergence. Figures are written last: what hinders them takes nothing
    /// from model and report.
    #[arg(long, help_heading = "Output", value_name = "[NAME=]FILE.svg|FILE.png", value_parser = Asked::parse)]
    pub plot: Vec<Asked>,
    /// Print nothing but errors
    #[arg(long, help_heading = "Output", short)]
    pub quiet: bool,
}

/// The network that is fitted to a table.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network and objective")]
pub struct NetworkOptions {
    /// The hidden layers: their widths, as in 16,8; KIND:WIDTH for radial units; none for a linear model; of several --hidden
    /// cross-validation chooses [default: one of 8 units, in large tables up to 64]
    ///
    /// KIND is what the form exp(-p/2), p = (x-m)'M(x-m), is trained in: rbf or rbf_iso_log_sigma (one width a unit, by its
    /// logarithm), rbf_iso_sigma, rbf_iso_tau (tau = 1/sigma^2), rbf_diag_log_sigma, rbf_diag_sigma, rbf_diag_tau (a width
    /// for each input), rbf_cholesky (M = LL', always positive definite), rbf_full_sym, rbf_full, rbf_aug (a quadratic in
    /// (x, 1)). In the first layer, centres and widths start from the rows. The penalty holds for both, too.
    #[arg(long, value_name = "LAYERS", value_parser = Hidden::parse, allow_hyphen_values = true)]
    pub hidden: Vec<Hidden>,
    /// Feed every layer by all before it, the inputs too, not by the last alone
    #[arg(long)]
    pub skip: bool,
    /// Take the network from this file, in place of --hidden, --activation and --skip
    ///
    /// The file holds the JSON that a problem file has under 'spec' and a report under 'network', as in
    /// {"inputs": 2, "layers": [{"units": 3, "propagation": "rbf_diag_sigma", "activations": "exp_neg_half"},
    /// {"units": 1, "sources": [0, 1], "activations": "identity"}]}. Radial layers with the activation identity before a
    /// layer of as many units with the propagation normalized make normalised radial units.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["hidden", "activation", "skip"])]
    pub architecture: Option<PathBuf>,
    #[arg(long, value_name = "NAME", value_parser = activation, allow_hyphen_values = true, help = activation_help())]
    pub activation: Vec<Activation>,
}

/// The objective that is minimised on a table.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network and objective")]
pub struct ObjectiveOptions {
    #[arg(long, value_name = "NAME", value_parser = loss_name, help = loss::help())]
    pub loss: Option<String>,
    /// Where logcosh and pseudo_huber turn from squares to absolute values, in standard deviations of the target [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub delta: Option<f64>,
    /// The dispersion α of negative_binomial: counts of mean μ have the variance μ + α μ² [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    pub dispersion: Option<f64>,
    /// The factor λ of the penalty ½ λ Σ w²; of several, as in 0.1,1,10, or auto for 0.001 to 1000, cross-validation chooses; evidence
    /// finds it by its evidence, evidence:layer one for each layer, evidence:input one for each input's weights [default: auto for small tables, else 1]
    ///
    /// By default a penalty is chosen where rows times parameters are 6,000,000 at most, parameters 5,000, there are ten rows or groups to train with,
    /// the fit does not end early by rows apart, and there is no checkpoint; and, where nothing is said of the network, tanh or SiLU units or a linear model. With --mean the factors of auto are divided by the number of rows, as a power of ten.
    #[arg(long, value_name = "X", value_parser = Factors::parse, allow_negative_numbers = true)]
    pub ridge: Option<Factors>,
    /// Whether the penalty holds for biases, too [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    pub ridge_bias: Option<bool>,
    /// Minimise the mean of the losses instead of their sum
    #[arg(long)]
    pub mean: bool,
    /// Weights of classes in the objective, beside those of the rows: balanced, for the same weight of each class in sum, or as in
    /// rare=5,other=1 [default: 1 each]
    #[arg(long, value_name = "WEIGHTS", value_parser = ClassWeights::parse)]
    pub class_weights: Option<ClassWeights>,
    /// softmax_ce: hold the output of this class at 0, so that the others are log odds against it [default: every output is free]
    #[arg(long, value_name = "CLASS")]
    pub reference_class: Option<String>,
}

/// Factors of the penalty.
#[derive(Debug, Clone)]
pub enum Factors {
    /// These: of several, cross-validation chooses.
    Given(Vec<f64>),
    /// Those from 0.001 to 1000.
    Auto,
    /// The factors that the evidence finds, one for the parameters that share it.
    Evidence(Sharing),
}

impl Factors {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Factors::Auto,
            "evidence" => Factors::Evidence(Sharing::One),
            "evidence:layer" => Factors::Evidence(Sharing::Layer),
            "evidence:input" => Factors::Evidence(Sharing::Input),
            _ => {
                let factors = text.split(',').map(|factor| not_negative(factor.trim()));
                Factors::Given(factors.collect::<Result<_, _>>()?)
            }
        })
    }

    /// Whether there are several.
    fn are_several(&self) -> bool {
        match self {
            Factors::Given(factors) => factors.len() > 1,
            Factors::Auto => true,
            Factors::Evidence(_) => false,
        }
    }
}

impl ObjectiveOptions {
    /// The factors of the penalty to choose from, for so many rows. Without `--ridge` they are those of `auto` if `may_choose`, else 1.
    pub fn factors(&self, rows: usize, may_choose: bool) -> Vec<f64> {
        match &self.ridge {
            Some(Factors::Given(factors)) => factors.clone(),
            // Where it is started from.
            Some(Factors::Evidence(_)) => vec![1.0],
            None if !may_choose => vec![1.0],
            Some(Factors::Auto) | None => {
                // A mean is a sum over the rows divided by their number; by a power of ten, so that the factors are read easily.
                let shift = if self.mean { (rows as f64).log10().round() as i32 } else { 0 };
                (-3..=3).map(|power| 10f64.powi(power - shift)).collect()
            }
        }
    }

    /// Whether the penalty holds for biases, too.
    pub fn includes_bias(&self) -> bool {
        self.ridge_bias.unwrap_or(true)
    }

    /// The parameters that share a factor, where the evidence finds it.
    pub fn evidence(&self) -> Option<Sharing> {
        match self.ridge {
            Some(Factors::Evidence(sharing)) => Some(sharing),
            _ => None,
        }
    }
}

/// Weights of classes in the objective.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// n/(K n_c) for the class c of K with n_c of n rows, by their weights.
    Balanced,
    /// These, and 1 for others.
    Given(Vec<(String, f64)>),
}

impl ClassWeights {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "balanced" {
            return Ok(ClassWeights::Balanced);
        }
        let one = |text: &str| {
            let why = || format!("'{text}' is not of the form CLASS=WEIGHT; or say balanced");
            let (class, weight) = text.rsplit_once('=').ok_or_else(why)?;
            match weight.trim().parse::<f64>() {
                Ok(w) if w.is_finite() && w > 0.0 => Ok((class.trim().to_string(), w)),
                _ => Err(format!("the weight of '{class}' must be a positive number")),
            }
        };
        Ok(ClassWeights::Given(text.split(',').map(one).collect::<Result<_, _>>()?))
    }

    /// The weights of `classes`, which the rows have with these weights in sum.
    ///
    /// # Errors
    /// A class that there is not.
    pub fn of(&self, classes: &[String], sums: &[f64]) -> Result<Vec<f64>, Failure> {
        if classes.is_empty() {
            return Err(Failure::usage("--class-weights is for a classification"));
        }
        match self {
            ClassWeights::Balanced => {
                let (all, count) = (sums.iter().sum::<f64>(), classes.len() as f64);
                let weight = |sum: &f64| if *sum > 0.0 { all / (count * sum) } else { 1.0 };
                Ok(sums.iter().map(weight).collect())
            }
            ClassWeights::Given(given) => {
                let mut weights = vec![1.0; classes.len()];
                for (class, weight) in given {
                    weights[class_index("--class-weights", classes, class)?] = *weight;
                }
                Ok(weights)
            }
        }
    }
}

/// The index of a class that an option names.
///
/// # Errors
/// There is none of that name.
pub fn class_index(option: &str, classes: &[String], name: &str) -> Result<usize, Failure> {
    classes.iter().position(|class| class == name).ok_or_else(|| {
        let shown: Vec<&str> = classes.iter().take(20).map(String::as_str).collect();
        let more = if classes.len() > 20 { ", …" } else { "" };
        Failure::usage(match classes {
            [] => format!("{option} is for a classification"),
            _ => format!("{option}: there is no class '{name}'; known: {}{more}", shown.join(", ")),
        })
    })
}

/// The starts on a table.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network and objective")]
pub struct StartOptions {
    /// How the start is drawn: glorot, he, lecun, uniform, normal, zero [default: zero for a linear model, he for relu and its like, else glorot]
    #[arg(long, value_name = "NAME", value_parser = initialization)]
    pub init: Option<Initialization>,
    /// The seed of the hold-out and of the first start [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Fit from this many starts, with the seeds N, N+1, …, and keep the lowest objective; in a cross-validation, too [default: 3 where
    /// penalty or network is chosen, rows times parameters are 250,000 at most, and there is no checkpoint, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), allow_negative_numbers = true)]
    pub starts: Option<u16>,
}

fn activation(name: &str) -> Result<Activation, String> {
    Activation::from_name(name).map_err(|e| e.to_string())
}

fn initialization(name: &str) -> Result<Initialization, String> {
    Initialization::from_name(name).map_err(|e| e.to_string())
}

fn loss_name(name: &str) -> Result<String, String> {
    let kind = LossKind::from_name(name).map_err(|e| e.to_string())?;
    Ok(kind.name.into())
}

fn activation_help() -> String {
    format!(
        "The activation of the hidden units that are not radial [default: tanh, or a choice between tanh, silu and a linear model where nothing is said of the network and penalty of a small table]: {}, or a formula in u as in \
         'u/(1+exp(-u))': numbers, u, pi, e, + - * / ^, parentheses, these activations as functions, and abs, cosh, erf, \
         expm1, log1p, sinh, tan",
        Activation::ALL.map(Activation::name).join(", ")
    )
}

impl NetworkOptions {
    /// The activation of the hidden units that are not radial.
    pub fn activation(&self) -> Activation {
        self.activation.first().copied().unwrap_or(Activation::Tanh)
    }

    /// Whether nothing is said of the network.
    pub fn is_default(&self) -> bool {
        let NetworkOptions { hidden, skip, architecture, activation } = self;
        hidden.is_empty() && !skip && architecture.is_none() && activation.is_empty()
    }

    /// The same with this activation.
    pub fn with(&self, activation: Activation) -> NetworkOptions {
        NetworkOptions { activation: vec![activation], ..self.clone() }
    }

    /// The linear model.
    pub fn linear(&self) -> NetworkOptions {
        NetworkOptions { hidden: vec![Hidden(Vec::new())], ..self.clone() }
    }

    /// The networks to choose from, each with one list of hidden layers, where none is given one of `width` units, and one activation.
    pub fn candidates(&self, width: usize) -> Vec<NetworkOptions> {
        let each = |given: usize| 0..given.max(1);
        let usual = || Hidden(vec![HiddenLayer { units: width, form: None }]);
        each(self.hidden.len())
            .flat_map(|h| each(self.activation.len()).map(move |a| (h, a)))
            .map(|(h, a)| NetworkOptions {
                hidden: vec![self.hidden.get(h).cloned().unwrap_or_else(usual)],
                activation: self.activation.get(a).copied().into_iter().collect(),
                ..self.clone()
            })
            .collect()
    }
}

impl Options {
    /// Whether they name several networks or penalties to choose from.
    pub fn leave_a_choice(&self) -> bool {
        let NetworkOptions { hidden, activation, .. } = &self.network;
        let factors = self.objective.ridge.as_ref().is_some_and(Factors::are_several);
        hidden.len() > 1 || activation.len() > 1 || factors
    }
}

impl StartOptions {
    /// The seed of the hold-out and of the first start.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    /// The number of starts of a network, `usual` where none is given; one where all would be the same.
    pub fn count(&self, network: &NetworkOptions, usual: u16) -> u16 {
        let layers = network.hidden.iter().flat_map(|hidden| &hidden.0);
        // Radial units start at rows.
        let may_be_radial =
            network.architecture.is_some() || layers.into_iter().any(|l| l.form.is_some());
        let is_one = self.rule(network) == Initialization::Zero && !may_be_radial;
        if is_one { 1 } else { self.starts.unwrap_or(usual) }
    }

    /// Refuses more starts than there are seeds from the first on.
    pub fn check(&self) -> Result<(), Failure> {
        let (seed, count) = (self.seed(), u64::from(self.starts.unwrap_or(1)));
        match seed.checked_add(count - 1) {
            Some(_) => Ok(()),
            None => Err(Failure::usage(format!("--seed {seed} leaves no room for {count} starts"))),
        }
    }

    /// The seeds of so many starts, from [`Self::seed`] on.
    pub fn seeds(&self, count: u16) -> impl Iterator<Item = u64> + '_ {
        (0..u64::from(count)).map(|index| self.seed().wrapping_add(index))
    }

    /// How starts are drawn. A linear model has one minimum, and from 0 no direction that the data leave open is entered.
    pub fn rule(&self, network: &NetworkOptions) -> Initialization {
        let linear = network.hidden.first().is_some_and(|hidden| hidden.0.is_empty());
        let usual = || Initialization::suited_to(network.activation());
        self.init.unwrap_or_else(|| if linear { Initialization::Zero } else { usual() })
    }
}
