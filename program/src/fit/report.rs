//! The report of a fit: as text, and as JSON that reads back.

use std::fmt;

use secondo::io::{
    Model, Standardization, Task, fit_from_json, fit_to_json, loss_from_json, loss_to_json,
    network_from_json, network_to_json, penalty_from_json, penalty_to_json,
};
use secondo::{Error, Fit, Loss, Network, Penalty, Reason, Reduction};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::evidence::EvidenceFacts;
use super::loss::{in_words, shifts};
use super::network::Architecture;
use super::spent::{Parts, Spent};
use super::validation::Validation;
use crate::metrics::Metrics;
use crate::output::{Text, json_text, number_or_null, plural};
use crate::plot::Facts;
use crate::show::Shown;
use crate::training::{Attempt, Trained};

/// The objective that was minimised.
#[derive(Debug, Clone)]
pub struct Objective {
    pub network: Network,
    pub loss: Loss,
    pub penalty: Penalty,
    pub reduction: Reduction,
}

impl Objective {
    /// That of a model.
    pub fn of(model: &Model) -> Self {
        Objective {
            network: model.network.clone(),
            loss: model.loss.clone(),
            penalty: model.penalty.clone(),
            reduction: model.reduction,
        }
    }
}

/// A table, or a problem file, of which the objective is made.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A table.
    Table(Box<TableFacts>),
    /// A problem file.
    Problem(ProblemFacts),
}

/// The facts of a table in a report.
#[derive(Debug, Clone)]
pub struct TableFacts {
    pub data: DataFacts,
    pub standardization: Standardization,
    pub metrics: Measured,
    pub validation: Option<Validation>,
    pub evidence: Option<EvidenceFacts>,
    pub choices: Choices,
}

/// The rows and columns that were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    pub file: String,
    pub rows: usize,
    pub dropped: usize,
    /// The rows of weight 0.
    #[serde(default)]
    pub weightless: usize,
    /// The assumptions in reading, as options.
    #[serde(default)]
    pub found: Vec<String>,
    /// How columns that are no plain numbers became features.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Further assumptions.
    #[serde(default)]
    pub remarks: Vec<String>,
    pub train_rows: usize,
    /// The rows by whose error the fit ended early.
    #[serde(default)]
    pub validation_rows: usize,
    pub test_rows: usize,
    pub test_lines: Vec<u64>,
    pub features: Vec<String>,
    pub target: String,
    #[serde(serialize_with = "named", deserialize_with = "task")]
    pub task: Task,
    pub task_guessed: Option<String>,
    /// Whether the other task could be meant: text is no number, and a number that is not whole is no class.
    pub other_task_possible: bool,
    pub classes: Vec<String>,
    /// Their weights in the objective; none where all are 1.
    #[serde(default)]
    pub class_weights: Vec<f64>,
    #[serde(default)]
    pub reference_class: Option<String>,
    #[serde(default)]
    pub exposure: Option<String>,
    #[serde(default)]
    pub groups: Option<String>,
    pub weights: Option<String>,
}

/// How well the rows are predicted; none without a row that has weight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub train: Option<Metrics>,
    #[serde(default)]
    pub validation: Option<Metrics>,
    pub test: Option<Metrics>,
    /// Of a linear model on the test rows, or on those to train with where there are no others.
    #[serde(default)]
    pub linear: Option<Metrics>,
    /// Its penalty, where the same cross-validation chose one for it; else it is that of the model.
    #[serde(default)]
    pub linear_ridge: Option<f64>,
}

/// The options of a table in effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    #[serde(flatten)]
    pub architecture: Architecture,
    pub init: String,
    pub test_fraction: f64,
    pub seed: u64,
}

/// The facts of a problem file in a report.
#[derive(Debug, Clone)]
pub struct ProblemFacts {
    pub file: String,
    pub rows: usize,
    /// The number of free parameters θ, where W = fixed + Cθ.
    pub free: Option<usize>,
    pub standard_errors: Option<Vec<f64>>,
}

/// Where a start led.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Start {
    /// To an end.
    Ended {
        /// The seed of its parameters; none where they were given.
        seed: Option<u64>,
        #[serde(deserialize_with = "number_or_null")]
        value: f64,
        #[serde(deserialize_with = "number_or_null")]
        gradient_norm: f64,
        iterations: usize,
        #[serde(serialize_with = "reason_name", deserialize_with = "reason")]
        reason: Reason,
        converged: bool,
    },
    /// Nowhere.
    Failed { seed: Option<u64>, error: String },
}

/// Where all starts led.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Starts {
    /// The number, from 1, of the start with the lowest objective.
    pub best_start: usize,
    pub starts: Vec<Start>,
    /// Starts that were not begun.
    pub not_begun: usize,
    /// Whether an interruption, and not the time limit, is why.
    pub interrupted: bool,
    /// The work of all of them.
    #[serde(default)]
    pub spent: Spent,
}

/// The report of a fit: its `Display` is what `secondo fit` prints, and its JSON what `--report` writes.
#[derive(Debug, Clone)]
pub struct Report {
    pub(crate) subject: Subject,
    pub(crate) objective: Objective,
    /// The parameters of the network.
    pub(crate) weights: Vec<f64>,
    pub(crate) fit: Fit,
    pub(crate) starts: Starts,
    /// All options in effect.
    pub(crate) options: Map<String, Value>,
    /// The version of the program.
    pub(crate) version: String,
    pub(crate) notes: Vec<String>,
    /// The file of the model.
    pub(crate) model: Option<String>,
    pub(crate) total_seconds: f64,
    /// The numbers that figures show.
    pub(crate) shown: Shown,
    /// The seconds of its parts.
    pub(crate) parts: Parts,
}

fn named<S: Serializer>(task: &Task, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(task.name())
}

fn task<'de, D: Deserializer<'de>>(value: D) -> Result<Task, D::Error> {
    Task::from_name(&String::deserialize(value)?).map_err(D::Error::custom)
}

fn reason_name<S: Serializer>(reason: &Reason, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(reason.name())
}

fn reason<'de, D: Deserializer<'de>>(value: D) -> Result<Reason, D::Error> {
    Reason::from_name(&String::deserialize(value)?).map_err(D::Error::custom)
}

impl Starts {
    /// Where these starts led, of which that with the index `best` is the best.
    pub fn of(trained: &Trained, best: usize) -> Self {
        let start = |attempt: &Attempt| match &attempt.end {
            Ok(fit) => Start::Ended {
                seed: attempt.seed,
                value: fit.value,
                gradient_norm: fit.gradient_norm,
                iterations: fit.iterations,
                reason: fit.reason,
                converged: fit.converged(),
            },
            Err(error) => Start::Failed { seed: attempt.seed, error: error.to_string() },
        };
        Starts {
            best_start: best + 1,
            starts: trained.attempts.iter().map(start).collect(),
            not_begun: trained.skipped,
            interrupted: trained.interrupted.is_some(),
            spent: Spent::of(trained),
        }
    }

    /// A line for each start, where there are several.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.starts.len() + self.not_begun < 2 {
            return Vec::new();
        }
        let with_seed = |seed: &Option<u64>| seed.map_or(String::new(), |s| format!(" (seed {s})"));
        let line = |(number, start): (usize, &Start)| match start {
            Start::Ended { seed, value, iterations, reason, .. } => format!(
                "{number}{}: objective {value:.9e} after {}; {reason}",
                with_seed(seed),
                plural(*iterations, "step")
            ),
            Start::Failed { seed, error } => {
                format!("{number}{}: failed; {error}", with_seed(seed))
            }
        };
        let mut lines: Vec<String> = (1..).zip(&self.starts).map(line).collect();
        if self.not_begun > 0 {
            let why =
                if self.interrupted { "it was interrupted" } else { "the time limit was reached" };
            let were = if self.not_begun == 1 { "was" } else { "were" };
            lines.push(format!("{} more {were} not begun: {why}", self.not_begun));
        }
        lines
    }
}

impl Subject {
    /// Returns the lines that tell the data and the model.
    pub fn introduction(&self, objective: &Objective) -> String {
        let mut text = Text::default();
        match self {
            Subject::Table(facts) => facts.introduction(objective, &mut text),
            Subject::Problem(facts) => facts.introduction(objective, &mut text),
        }
        text.0
    }
}

impl DataFacts {
    /// The rows by their use.
    fn rows_line(&self, seed: u64, text: &mut Text) {
        let mut line = format!("{} to train", self.train_rows);
        if self.validation_rows > 0 {
            line.push_str(&format!(", {} to end early by", self.validation_rows));
        }
        match self.test_rows {
            0 => line.push_str(", none held out to test"),
            test => line.push_str(&format!(", {test} held out to test (seed {seed})")),
        }
        if let Some(groups) = &self.groups {
            line.push_str(&format!("; equal {groups} kept together"));
        }
        text.line("rows", line);
    }

    /// The weights of rows and classes, and the amounts that counts are proportional to.
    fn weight_lines(&self, text: &mut Text) {
        if let Some(weights) = &self.weights {
            text.line("weights", format!("of the rows: {weights}"));
        }
        if !self.class_weights.is_empty() {
            let all = self.classes.iter().zip(&self.class_weights).take(10);
            let mut shown: Vec<String> = all.map(|(c, w)| format!("{c} {w:.4}")).collect();
            if self.classes.len() > 10 {
                shown.push("…".into());
            }
            let shown = shown.join(", ");
            text.line(
                "weights",
                format!("of the classes: {shown}, in the objective alone; the probabilities are those of classes so weighted"),
            );
        }
        if let Some(class) = &self.reference_class {
            text.line("reference", format!("{class}: the other outputs are log odds against it"));
        }
        if let Some(column) = &self.exposure {
            text.line("exposure", format!("{column}: means are proportional to it"));
        }
    }

    /// The target and its task, and how that was found out.
    fn target_lines(&self, text: &mut Text) {
        let mut target = format!("{}: {}", self.target, self.task);
        if !self.classes.is_empty() {
            let mut shown: Vec<&str> = self.classes.iter().map(String::as_str).take(10).collect();
            if self.classes.len() > 10 {
                shown.push("…");
            }
            let (count, shown) = (self.classes.len(), shown.join(", "));
            target = format!("{target} with {count} classes ({shown})");
        }
        text.line("target", target);
        if let Some(why) = &self.task_guessed {
            let other = match self.task {
                Task::Regression => Task::Classification,
                Task::Classification => Task::Regression,
            };
            let remedy = if self.other_task_possible {
                format!("; --task {other} if that is wrong")
            } else {
                String::new()
            };
            text.line("", format!("guessed, since {why}{remedy}"));
        }
    }
}

impl TableFacts {
    fn introduction(&self, objective: &Objective, text: &mut Text) {
        let data = &self.data;
        let left_out = |count: usize, which: &str| match count {
            0 => String::new(),
            count => format!(" ({} with {which} left out)", plural(count, "row")),
        };
        text.line(
            "data",
            format!(
                "{}: {}, {}{}{}",
                data.file,
                plural(data.rows, "row"),
                plural(data.features.len(), "feature"),
                left_out(data.dropped, "missing values"),
                left_out(data.weightless, "weight 0")
            ),
        );
        if !data.found.is_empty() {
            text.line("reading", format!("found {}", data.found.join(" ")));
        }
        data.remarks.iter().for_each(|remark| text.line("", remark));
        let titles = ["encoded"].into_iter().chain(std::iter::repeat(""));
        titles.zip(&data.columns).for_each(|(title, column)| text.line(title, column));
        data.target_lines(text);
        data.weight_lines(text);
        data.rows_line(self.choices.seed, text);
        if let Some(validation) = &self.validation {
            validation.introduction(text);
        }
        if let Some(evidence) = &self.evidence {
            evidence.introduction(objective.network.parameters(), text);
        }
        let network = &objective.network;
        text.line(
            "network",
            format!(
                "{network}, {}, {}",
                self.choices.architecture,
                plural(network.parameters(), "parameter")
            ),
        );
        let penalty = match &objective.penalty {
            Penalty::Ridge { lambda, include_bias } => {
                let biases = if *include_bias { "" } else { " (biases free)" };
                format!(" + ridge {lambda}{biases}")
            }
            _ => String::new(),
        };
        let standard = if shifts(&objective.loss) {
            "inputs and target standardised"
        } else {
            "inputs standardised"
        };
        let (reduction, loss) = (reduction(objective.reduction), in_words(&objective.loss));
        text.line("objective", format!("{reduction} of {loss}{penalty}, {standard}"));
    }
}

impl EvidenceFacts {
    /// The result of the evidence, and a line for each group of parameters.
    fn introduction(&self, parameters: usize, text: &mut Text) {
        let [ended, starts] = self.starts;
        text.line(
            "evidence",
            format!(
                "ln evidence {:.4} (symmetries {:.4} not added) after {}, best of {ended} of {}",
                self.log_evidence,
                self.log_symmetry,
                plural(self.cycles, "cycle"),
                plural(starts, "start")
            ),
        );
        if self.fell {
            text.line("", "then it fell; the cycle where it was largest is kept");
        }
        text.line(
            "",
            format!(
                "γ {:.2} of {parameters} parameters determined, β {:.6}",
                self.gamma, self.beta
            ),
        );
        for group in self.groups.iter().filter(|_| self.groups.len() > 1) {
            let number = |key: &str| group[key].as_f64().unwrap_or(f64::NAN);
            let count = group["parameters"].as_array().map_or(0, Vec::len);
            let off = if group["off"] == true { ", switched off" } else { "" };
            let name = group["name"].as_str().unwrap_or_default();
            let (alpha, gamma) = (number("alpha"), number("gamma"));
            text.line("", format!("{name}: α {alpha:.4}, γ {gamma:.2} of {count}{off}"));
        }
    }
}

impl ProblemFacts {
    fn introduction(&self, objective: &Objective, text: &mut Text) {
        text.line("problem", format!("{}: {}", self.file, plural(self.rows, "row")));
        let network = &objective.network;
        let free = match self.free {
            Some(free) => format!("; {free} free under W = fixed + Cθ"),
            None => String::new(),
        };
        let parameters = plural(network.parameters(), "parameter");
        text.line("network", format!("{network}, {parameters}{free}"));
        let penalty = match &objective.penalty {
            Penalty::None => String::new(),
            penalty => format!(" + {}", penalty.name()),
        };
        text.line("objective", format!("sum of {}{penalty}", in_words(&objective.loss)));
    }
}

fn reduction(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Sum => "sum",
        Reduction::Mean => "mean",
    }
}

impl Measured {
    /// The figures of the parts side by side.
    fn table(&self, weighted: bool) -> String {
        let Some(train) = &self.train else {
            return "no row with weight to measure on\n".into();
        };
        let parts = [
            ("training", Some(train)),
            ("validation", self.validation.as_ref()),
            ("test", self.test.as_ref()),
            ("linear model", self.linear.as_ref()),
        ];
        let parts: Vec<(&str, Vec<(&str, String)>)> = (parts.into_iter())
            .filter_map(|(title, metrics)| Some((title, metrics?.lines())))
            .collect();
        let mut out = format!("{:<11}", "");
        for (title, _) in &parts {
            out.push_str(&format!("{title:>14}"));
        }
        out.push_str(if weighted { " (weighted)\n" } else { "\n" });
        for (index, (name, _)) in train.lines().iter().enumerate() {
            out.push_str(&format!("{name:<11}"));
            for (_, lines) in &parts {
                out.push_str(&format!("{:>14}", lines.get(index).map_or("", |(_, value)| value)));
            }
            out.push('\n');
        }
        if let Some(ridge) = self.linear_ridge {
            out.push_str(&format!("the linear model has its own penalty, ridge {ridge}\n"));
        }
        let (part, metrics) = match &self.test {
            Some(test) => ("test rows", test),
            None => ("training rows", train),
        };
        let details = metrics.details();
        if !details.is_empty() {
            out.push_str(&format!("\n{part}\n{details}"));
        }
        out
    }
}

impl Report {
    /// The result in lines, without the first `said` notes.
    pub(crate) fn result(&self, said: usize) -> String {
        let mut text = Text::default();
        text.blank();
        let lines = self.starts.lines();
        for (index, line) in lines.iter().enumerate() {
            text.line(if index == 0 { "starts" } else { "" }, line);
        }
        if lines.len() > 1 {
            let best = self.starts.best_start;
            let lowest = match self.fit.validation {
                None => "objective",
                Some(_) => "validation error",
            };
            text.line("all starts", self.starts.spent.to_string());
            text.line("", format!("start {best} has the lowest {lowest}:"));
        }
        text.0.push_str(&format!("{}\n", self.fit));
        text.line("in all", self.parts.in_words(self.total_seconds));
        text.blank();
        if let Subject::Table(facts) = &self.subject {
            let weighted = facts.data.weights.is_some();
            text.0.push_str(&facts.metrics.table(weighted));
            text.blank();
        }
        for note in self.notes.iter().skip(said) {
            text.note(note);
        }
        if let Some(model) = &self.model {
            text.line("model", format!("written to {model}"));
        }
        text.0
    }

    /// All that figures are made of.
    pub(crate) fn figures(&self) -> Facts<'_> {
        let metrics = match &self.subject {
            Subject::Table(facts) => Some(&facts.metrics),
            Subject::Problem(_) => None,
        };
        Facts {
            shown: &self.shown,
            fit: &self.fit,
            best: self.starts.best_start.saturating_sub(1),
            train: metrics.and_then(|metrics| metrics.train.as_ref()),
            test: metrics.and_then(|metrics| metrics.test.as_ref()),
            network: &self.objective.network,
            weights: &self.weights,
        }
    }

    /// The report as JSON: one key on each line.
    pub fn to_json(&self) -> String {
        let mut map = fit_to_json(&self.fit);
        let mut insert = |key: &str, value: Value| drop(map.insert(key.into(), value));
        insert("W", json!(self.weights));
        let objective = &self.objective;
        let mut options = self.options.clone();
        match &self.subject {
            Subject::Table(facts) => {
                insert("metrics", json!(facts.metrics));
                if let Some(validation) = &facts.validation {
                    insert("validation", json!(validation));
                }
                if let Some(evidence) = &facts.evidence {
                    insert("evidence", json!(evidence));
                }
                insert("data", json!(facts.data));
                insert("standardization", facts.standardization.to_json());
                options.extend(object(json!(facts.choices)));
            }
            Subject::Problem(facts) => {
                if facts.free.is_some() {
                    insert("theta", json!(self.fit.w));
                }
                if let Some(errors) = &facts.standard_errors {
                    insert("standard_errors", json!(errors));
                }
                insert("problem", json!(facts.file));
                insert("rows", json!(facts.rows));
            }
        }
        insert("network", network_to_json(&objective.network));
        insert("parameters", json!(objective.network.parameters()));
        insert("loss", loss_to_json(&objective.loss));
        insert("penalty", penalty_to_json(&objective.penalty));
        insert("reduction", json!(reduction(objective.reduction)));
        map.extend(object(json!(self.starts)));
        let mut insert = |key: &str, value: Value| drop(map.insert(key.into(), value));
        insert("options", Value::Object(options));
        insert("version", json!(self.version));
        insert("notes", json!(self.notes));
        insert("model", json!(self.model));
        insert("total_seconds", json!(self.total_seconds));
        if self.shown != Shown::default() {
            insert("shown", json!(self.shown));
        }
        insert("seconds_by_part", json!(self.parts));
        json_text(&map)
    }

    /// The report that [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// `Invalid` for text that is no JSON, or for a key that is missing or has a wrong value.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let all: Value = serde_json::from_str(text).map_err(invalid)?;
        let theta: Option<Vec<f64>> = optional(&all, "theta")?;
        let weights: Vec<f64> = get(&all, "W")?;
        let subject = if all.get("data").is_some() {
            Subject::Table(Box::new(TableFacts {
                data: get(&all, "data")?,
                standardization: Standardization::from_json(&get(&all, "standardization")?)?,
                metrics: get(&all, "metrics")?,
                validation: optional(&all, "validation")?,
                evidence: optional(&all, "evidence")?,
                choices: get(&all, "options")?,
            }))
        } else {
            Subject::Problem(ProblemFacts {
                file: get(&all, "problem")?,
                rows: get(&all, "rows")?,
                free: theta.as_ref().map(Vec::len),
                standard_errors: optional(&all, "standard_errors")?,
            })
        };
        let objective = Objective {
            network: network_from_json(&get(&all, "network")?)?,
            loss: loss_from_json(&get(&all, "loss")?)?,
            penalty: penalty_from_json(&get(&all, "penalty")?)?,
            reduction: match get::<String>(&all, "reduction")?.as_str() {
                "sum" => Reduction::Sum,
                "mean" => Reduction::Mean,
                _ => return Err(invalid("'reduction' must be sum or mean")),
            },
        };
        let shown: Shown = optional(&all, "shown")?.unwrap_or_default();
        if let Some(fault) = shown.fault() {
            return Err(invalid(format!("'shown': {fault}")));
        }
        Ok(Report {
            subject,
            objective,
            fit: fit_from_json(&all, theta.unwrap_or_else(|| weights.clone()))?,
            weights,
            starts: serde_json::from_value(all.clone()).map_err(invalid)?,
            options: get(&all, "options")?,
            version: get(&all, "version")?,
            notes: get(&all, "notes")?,
            model: get(&all, "model")?,
            total_seconds: get(&all, "total_seconds")?,
            shown,
            parts: optional(&all, "seconds_by_part")?.unwrap_or_default(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject.introduction(&self.objective))?;
        f.write_str(&self.result(0))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn invalid(why: impl fmt::Display) -> Error {
    Error::Invalid { what: "report".into(), why: why.to_string() }
}

/// The value under a key.
fn get<T: DeserializeOwned>(all: &Value, key: &str) -> Result<T, Error> {
    optional(all, key)?.ok_or_else(|| invalid(format!("the key '{key}' is missing")))
}

/// The value under a key, if there is one.
fn optional<T: DeserializeOwned>(all: &Value, key: &str) -> Result<Option<T>, Error> {
    (all.get(key).map(T::deserialize).transpose())
        .map_err(|error| invalid(format!("'{key}': {error}")))
}
