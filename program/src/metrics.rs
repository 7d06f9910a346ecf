//! How good predictions are.

use ndarray::{Array2, ArrayView1};
use secondo::io::Model;
use secondo::{Error, Loss};
use serde::{Deserialize, Serialize};

use crate::deviance::Deviance;
use crate::exit::Failure;
use crate::output::number_or_null;
use crate::table::{Known, Rows};

/// More classes than this have no confusion matrix in a text.
const SHOWN: usize = 10;
/// The intervals of probabilities for which predicted and observed ones are compared.
const BINS: usize = 10;

/// More classes than this have no confusion matrix, whose memory grows with their square, and no ranks, whose time grows with
/// classes times rows.
const MOST_CLASSES: usize = 1000;

/// The figures of one part of the data; weighted where there are weights. A number that is not finite is null in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metrics {
    Regression {
        rows: usize,
        /// √(Σ ω (y − ŷ)² / Σ ω), in the units of the target.
        #[serde(deserialize_with = "number_or_null")]
        rmse: f64,
        /// Σ ω |y − ŷ| / Σ ω.
        #[serde(default = "none", deserialize_with = "number_or_null")]
        mae: f64,
        /// 1 − Σ ω (y − ŷ)² / Σ ω (y − ȳ)²; undefined for a constant target.
        r2: Option<f64>,
        /// That of a loss for counts or for positive amounts, over all targets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deviance: Option<Deviance>,
        /// RMSE, MAE and R² of each of several targets, of which those above are then the means.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        targets: Vec<TargetMetrics>,
    },
    Classification {
        rows: usize,
        /// The part of the rows whose most probable class is the right one.
        #[serde(deserialize_with = "number_or_null")]
        accuracy: f64,
        /// The mean of −log(probability of the right class).
        #[serde(deserialize_with = "number_or_null")]
        log_loss: f64,
        /// The mean of the classes' areas under the ROC curve.
        #[serde(default)]
        auc: Option<f64>,
        #[serde(default)]
        classes: Vec<ClassMetrics>,
        #[serde(default)]
        calibration: Option<Calibration>,
    },
}

/// How well one of several targets is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetMetrics {
    pub target: String,
    #[serde(deserialize_with = "number_or_null")]
    pub rmse: f64,
    #[serde(deserialize_with = "number_or_null")]
    pub mae: f64,
    pub r2: Option<f64>,
}

/// How probabilities compare with frequencies: of two classes the probability of the second, of more that of the class which is
/// predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The mean of (p − y)² for two classes, of Σ_c (p_c − y_c)² for more.
    #[serde(deserialize_with = "number_or_null")]
    pub brier: f64,
    /// The expected calibration error: the mean distance of `observed` from `predicted` over the rows.
    #[serde(deserialize_with = "number_or_null")]
    pub error: f64,
    /// The tenths of probabilities in which there are rows.
    pub bins: Vec<Bin>,
}

/// The rows with a probability in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    /// The weight of the rows.
    pub weight: f64,
    /// The mean probability.
    pub predicted: f64,
    /// The part of the rows for which it came true.
    pub observed: f64,
}

/// How well one class is told from the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    pub class: String,
    /// The weight of the rows of this class that are predicted as each class, in the order of the classes; empty with more than a
    /// thousand classes.
    pub predicted_as: Vec<f64>,
    /// Of the rows predicted as this class, the part that is; undefined without such rows.
    pub precision: Option<f64>,
    /// Of the rows of this class, the part predicted as it; undefined without such rows.
    pub recall: Option<f64>,
    /// The probability that a row of this class has a larger probability of it than a row of another, equal ones half.
    pub auc: Option<f64>,
}

fn none() -> f64 {
    f64::NAN
}

/// Six decimals, or an exponent where these would say nothing or fill the line.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) && size.is_finite() => {
            format!("{value:.5e}")
        }
        _ => format!("{value:.6}"),
    }
}

fn part(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.3}"))
}

/// The largest power of 2 that is no larger than the largest size of the values: division by it is exact and keeps squares and sums
/// in range.
fn power(values: impl Iterator<Item = f64>) -> f64 {
    let size = values.fold(0.0, |m: f64, v| m.max(v.abs()));
    if size == 0.0 { 1.0 } else { size.log2().floor().clamp(-1000.0, 1023.0).exp2() }
}

/// Weights that are not 0, with the rows that have them.
struct Weighted {
    rows: Vec<(usize, f64)>,
    total: f64,
    /// The divisor of the weights.
    scale: f64,
}

impl Weighted {
    fn of(rows: &Rows) -> Self {
        let weight = |i: usize| rows.weights.as_ref().map_or(1.0, |w| w[i]);
        let scale = power((0..rows.x.nrows()).map(weight));
        let rows: Vec<(usize, f64)> =
            (0..rows.x.nrows()).map(|i| (i, weight(i) / scale)).filter(|(_, w)| *w > 0.0).collect();
        Weighted { total: rows.iter().map(|(_, w)| w).sum(), rows, scale }
    }

    /// Σ ω_i f(i) / Σ ω_i.
    fn mean(&self, f: impl Fn(usize) -> f64) -> f64 {
        self.rows.iter().map(|(i, w)| w * f(*i)).sum::<f64>() / self.total
    }
}

impl Metrics {
    /// Of `model` on these rows; `None` without rows, targets or weight.
    pub fn of(model: &Model, rows: &Rows) -> Result<Option<Metrics>, Failure> {
        let Some(target) = &rows.target else {
            return Ok(None);
        };
        let weighted = Weighted::of(rows);
        if weighted.rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(match target {
            Known::Numbers(y) => {
                let predicted = rows.predicted(model)?;
                let (of, exposures) = (&weighted.rows, rows.exposures.as_deref());
                let deviance = Deviance::of(&model.loss, of, y, &predicted, exposures);
                regression_of(&weighted, &model.targets, y, &predicted, deviance)
            }
            Known::Classes(index) => classification(model, &weighted, rows, index)?,
        }))
    }

    /// The names and the values.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        match self {
            Metrics::Regression { rows, rmse, mae, r2, deviance, .. } => {
                let or_undefined = |v: Option<f64>| v.map_or("undefined".into(), digits);
                let mut lines = vec![
                    ("rows", rows.to_string()),
                    ("RMSE", digits(*rmse)),
                    ("MAE", digits(*mae)),
                    ("R²", or_undefined(*r2)),
                ];
                if let Some(Deviance { mean, explained }) = deviance {
                    lines.push(("deviance", digits(*mean)));
                    lines.push(("D²", or_undefined(*explained)));
                }
                lines
            }
            Metrics::Classification { rows, accuracy, log_loss, auc, calibration, .. } => {
                let figure = |f: fn(&Calibration) -> f64| {
                    calibration.as_ref().map_or("undefined".into(), |c| digits(f(c)))
                };
                vec![
                    ("rows", rows.to_string()),
                    ("accuracy", format!("{accuracy:.6}")),
                    ("log loss", digits(*log_loss)),
                    ("AUC", auc.map_or("undefined".into(), digits)),
                    ("Brier score", figure(|c| c.brier)),
                    ("calibration", figure(|c| c.error)),
                ]
            }
        }
    }

    /// The figures of each class or target, and the calibration, line by line; empty for a single target.
    pub fn details(&self) -> String {
        match self {
            Metrics::Regression { targets, .. } => {
                let mut out = String::new();
                if !targets.is_empty() {
                    out.push_str(&format!(
                        "{:<13}{:>13}{:>13}{:>13}\n",
                        "target", "RMSE", "MAE", "R²"
                    ));
                }
                for target in targets {
                    let name: String = target.target.chars().take(12).collect();
                    let (rmse, mae) = (digits(target.rmse), digits(target.mae));
                    out.push_str(&format!(
                        "{name:<13}{rmse:>13}{mae:>13}{:>13}\n",
                        part(target.r2)
                    ));
                }
                out
            }
            Metrics::Classification { classes, calibration, .. } => {
                let calibration = calibration.as_ref().map(|c| c.table(classes));
                self.by_class() + &calibration.unwrap_or_default()
            }
        }
    }

    /// The confusion matrix and the figures of each class, a line for each; empty for a regression.
    fn by_class(&self) -> String {
        let Metrics::Classification { classes, .. } = self else {
            return String::new();
        };
        if classes.is_empty() {
            return String::new();
        }
        let short = |name: &str| name.chars().take(12).collect::<String>();
        let matrix = classes.len() <= SHOWN;
        let mut out = format!("{:<13}", "true class");
        if matrix {
            for class in classes {
                out.push_str(&format!("{:>13}", short(&class.class)));
            }
        }
        out.push_str("    precision       recall          AUC\n");
        for class in classes {
            out.push_str(&format!("{:<13}", short(&class.class)));
            for count in class.predicted_as.iter().filter(|_| matrix) {
                out.push_str(&format!("{:>13}", (count * 1e6).round() / 1e6));
            }
            for value in [class.precision, class.recall, class.auc] {
                out.push_str(&format!("{:>13}", part(value)));
            }
            out.push('\n');
        }
        out
    }

    /// Whether the test part came out much worse than this, the training part; of numbers also in units of their own spread, since
    /// that of the test rows may be larger.
    pub fn much_better_than(&self, test: &Metrics) -> bool {
        match (self, test) {
            (
                Metrics::Regression { rmse: a, r2: of_a, .. },
                Metrics::Regression { rmse: b, r2: of_b, .. },
            ) => {
                let relative = of_a.zip(*of_b).map(|(a, b)| [1.0 - a, 1.0 - b].map(f64::sqrt));
                *b > 1.25 * a && relative.is_none_or(|[a, b]| b > 1.25 * a)
            }
            (
                Metrics::Classification { log_loss: a, .. },
                Metrics::Classification { log_loss: b, .. },
            ) => *b > 1.5 * a + 0.05,
            _ => false,
        }
    }

    /// Whether the error is smaller than that of `other`: the deviance where there is one.
    pub fn is_better_than(&self, other: &Metrics) -> bool {
        let error = |metrics: &Metrics| match metrics {
            Metrics::Regression { deviance: Some(deviance), .. } => deviance.mean,
            Metrics::Regression { rmse, .. } => *rmse,
            Metrics::Classification { log_loss, .. } => *log_loss,
        };
        error(self) < error(other)
    }

    /// Whether R² was asked for and does not exist.
    pub fn undefined(&self) -> bool {
        matches!(self, Metrics::Regression { r2: None, .. })
    }
}

impl Calibration {
    /// Predicted and observed probabilities, a line for each interval with rows.
    fn table(&self, classes: &[ClassMetrics]) -> String {
        let of = match classes {
            [_, second] => format!("of {}", second.class.chars().take(30).collect::<String>()),
            _ => "of the predicted class".into(),
        };
        let mut out = format!("\nprobability {of}\n{:<13}{:>13}{:>13}", "interval", "mean", "true");
        out.push_str(&format!("{:>13}\n", "rows"));
        for bin in &self.bins {
            let interval = format!("{:.1} to {:.1}", bin.from, bin.to);
            let weight = (bin.weight * 1e6).round() / 1e6;
            let (predicted, observed) = (bin.predicted, bin.observed);
            out.push_str(&format!("{interval:<13}{predicted:>13.3}{observed:>13.3}{weight:>13}\n"));
        }
        out
    }
}

/// Adds rows to the sums, and returns the probabilities of their classes.
fn add_classes(
    sums: &mut ClassSums,
    model: &Model,
    rows: &Rows,
    weights: &[(usize, f64)],
    index: &[usize],
) -> Result<Array2<f64>, Error> {
    let outputs = model.outputs(&rows.x)?;
    let loss = |i: usize| {
        let row: Vec<f64> = outputs.row(i).to_vec();
        let y: Vec<f64> = match model.loss {
            Loss::BinaryCrossEntropy => vec![index[i] as f64],
            _ => (0..row.len()).map(|c| f64::from(u8::from(c == index[i]))).collect(),
        };
        // The lengths are the model's own.
        model.loss.value_at(&row, &y).unwrap_or(f64::NAN)
    };
    let losses: Vec<f64> = weights.iter().map(|(i, _)| loss(*i)).collect();
    let predicted = model.predictions(outputs)?;
    for (&(i, w), loss) in weights.iter().zip(losses) {
        sums.add(w, index[i], predicted.row(i), loss);
    }
    Ok(predicted)
}

fn classification(
    model: &Model,
    weighted: &Weighted,
    rows: &Rows,
    index: &[usize],
) -> Result<Metrics, Failure> {
    let mut sums = ClassSums::new(model.classes.len());
    let predicted = add_classes(&mut sums, model, rows, &weighted.rows, index)?;
    let area_of = |c: usize| {
        let ranked = weighted.rows.iter().map(|&(i, w)| (predicted[(i, c)], index[i] == c, w));
        area(ranked.collect())
    };
    let is_few = model.classes.len() <= MOST_CLASSES;
    let areas = (0..model.classes.len()).map(|c| is_few.then(|| area_of(c)).flatten());
    Ok(sums.metrics(&model.classes, weighted.scale, areas.collect()))
}

/// The figures of rows that come some at a time: without the areas under the ROC curves and the deviances, which need all rows at once.
pub enum Sums {
    /// Of numbers with each target's mean ȳ, Σ ω (y − ȳ)², Σ ω (y − ŷ)² and Σ ω |y − ŷ| (Welford's sums, with the weights of West 1979); with Σ ω and the
    /// number of rows.
    Numbers { targets: Vec<[f64; 4]>, total: f64, rows: usize },
    /// Of classes.
    Classes(Box<ClassSums>),
}

impl Sums {
    /// Nothing yet.
    pub fn of(model: &Model) -> Self {
        if model.classes.is_empty() {
            let targets = vec![[0.0; 4]; model.targets.len()];
            Sums::Numbers { targets, total: 0.0, rows: 0 }
        } else {
            Sums::Classes(Box::new(ClassSums::new(model.classes.len())))
        }
    }

    /// Adds rows, of which those without a weight do not count.
    ///
    /// # Errors
    /// Those of the model's predictions.
    pub fn add(&mut self, model: &Model, rows: &Rows) -> Result<(), Error> {
        let weight = |i: usize| rows.weights.as_ref().map_or(1.0, |w| w[i]);
        let weights: Vec<(usize, f64)> =
            (0..rows.x.nrows()).map(|i| (i, weight(i))).filter(|(_, w)| *w > 0.0).collect();
        match (self, &rows.target) {
            (Sums::Numbers { targets, total, rows: counted }, Some(Known::Numbers(y))) => {
                let predicted = rows.predicted(model)?;
                for &(i, w) in &weights {
                    *total += w;
                    let row = y.row(i).into_iter().zip(predicted.row(i));
                    for ((y, predicted), sums) in row.zip(targets.iter_mut()) {
                        let [mean, spread, squares, sizes] = sums;
                        let (before, error) = (y - *mean, y - predicted);
                        *mean += before * (w / *total);
                        *spread += w * before * (y - *mean);
                        *squares += w * error * error;
                        *sizes += w * error.abs();
                    }
                }
                *counted += weights.len();
            }
            (Sums::Classes(sums), Some(Known::Classes(index))) => {
                add_classes(sums, model, rows, &weights, index)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The figures; none without rows or weight.
    pub fn end(self, model: &Model) -> Option<Metrics> {
        match self {
            Sums::Numbers { targets, total, rows } => {
                let of = |(name, [_, spread, squares, sizes]): (&String, [f64; 4])| TargetMetrics {
                    target: name.clone(),
                    rmse: (squares / total).sqrt(),
                    mae: sizes / total,
                    r2: (spread > 0.0).then(|| 1.0 - squares / spread),
                };
                let targets = model.targets.iter().zip(targets).map(of).collect();
                (total > 0.0).then(|| of_targets(rows, targets, None))
            }
            Sums::Classes(sums) => {
                let areas = vec![None; model.classes.len()];
                (sums.total > 0.0).then(|| sums.metrics(&model.classes, 1.0, areas))
            }
        }
    }
}

/// The sums over rows from which the figures of a classification follow, but for the areas under the ROC curves.
pub struct ClassSums {
    rows: usize,
    total: f64,
    right: f64,
    losses: f64,
    squares: f64,
    /// Of each interval the weight, the sum of the probabilities, and that of what came true.
    bins: [[f64; 3]; BINS],
    /// The weight of the rows of each class that are predicted as each; empty with more than [`MOST_CLASSES`].
    counts: Vec<Vec<f64>>,
    /// Of each class the weight of its rows, of those predicted as it, and of both.
    classes: Vec<[f64; 3]>,
}

impl ClassSums {
    pub fn new(classes: usize) -> Self {
        let few = if classes <= MOST_CLASSES { classes } else { 0 };
        ClassSums {
            rows: 0,
            total: 0.0,
            right: 0.0,
            losses: 0.0,
            squares: 0.0,
            bins: [[0.0; 3]; BINS],
            counts: vec![vec![0.0; few]; classes],
            classes: vec![[0.0; 3]; classes],
        }
    }

    /// Adds a row of the class `is` with its weight, the probabilities of the classes and the loss.
    pub fn add(&mut self, w: f64, is: usize, p: ArrayView1<f64>, loss: f64) {
        let said = most_probable(p.iter().copied());
        let truth = |class: usize| f64::from(u8::from(is == class));
        self.rows += 1;
        self.total += w;
        self.right += w * truth(said);
        self.losses += w * loss;
        let classes = if p.len() == 2 { 1..2 } else { 0..p.len() };
        self.squares += w * classes.map(|c| (p[c] - truth(c)).powi(2)).sum::<f64>();
        let class = if p.len() == 2 { 1 } else { said };
        let bin = &mut self.bins[((p[class] * BINS as f64) as usize).min(BINS - 1)];
        *bin = [bin[0] + w, bin[1] + w * p[class], bin[2] + w * truth(class)];
        if let Some(count) = self.counts[is].get_mut(said) {
            *count += w;
        }
        self.classes[is][0] += w;
        self.classes[said][1] += w;
        self.classes[is][2] += w * truth(said);
    }

    /// Returns the figures, where the weights were divided by `scale`, with the area of each class.
    pub fn metrics(self, names: &[String], scale: f64, areas: Vec<Option<f64>>) -> Metrics {
        let calibration = self.calibration(scale);
        let known: Vec<f64> = areas.iter().flatten().copied().collect();
        let share = |part: f64, all: f64| (all > 0.0).then(|| part / all);
        let mut classes = Vec::with_capacity(names.len());
        for (((name, counts), [of, said, right]), auc) in
            names.iter().zip(self.counts).zip(self.classes).zip(areas)
        {
            classes.push(ClassMetrics {
                class: name.clone(),
                predicted_as: counts.into_iter().map(|w| w * scale).collect(),
                precision: share(right, said),
                recall: share(right, of),
                auc,
            });
        }
        Metrics::Classification {
            rows: self.rows,
            accuracy: self.right / self.total,
            log_loss: self.losses / self.total,
            auc: (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64),
            classes,
            calibration: Some(calibration),
        }
    }

    /// Probabilities beside frequencies.
    fn calibration(&self, scale: f64) -> Calibration {
        let bins = self.bins.iter().enumerate().filter(|(_, [weight, ..])| *weight > 0.0);
        let bin = |(at, [weight, predicted, observed]): (usize, &[f64; 3])| Bin {
            from: at as f64 / BINS as f64,
            to: (at + 1) as f64 / BINS as f64,
            weight: weight * scale,
            predicted: predicted / weight,
            observed: observed / weight,
        };
        let apart = |[_, predicted, observed]: &[f64; 3]| (predicted - observed).abs();
        Calibration {
            brier: self.squares / self.total,
            error: self.bins.iter().map(apart).sum::<f64>() / self.total,
            bins: bins.map(bin).collect(),
        }
    }
}

/// The figures of one target, or the means of those of several.
fn regression_of(
    weighted: &Weighted,
    names: &[String],
    y: &Array2<f64>,
    predicted: &Array2<f64>,
    deviance: Option<Deviance>,
) -> Metrics {
    let rows = weighted.rows.len();
    let of = |c: usize| {
        let of = |values: &Array2<f64>| values.column(c).to_vec();
        regression(weighted, names.get(c).map_or("", String::as_str), &of(y), &of(predicted))
    };
    of_targets(rows, (0..y.ncols()).map(of).collect(), deviance)
}

/// The figures of so many rows: those of one target, or the means of those of several.
fn of_targets(rows: usize, mut targets: Vec<TargetMetrics>, deviance: Option<Deviance>) -> Metrics {
    if targets.len() == 1
        && let Some(TargetMetrics { rmse, mae, r2, .. }) = targets.pop()
    {
        return Metrics::Regression { rows, rmse, mae, r2, deviance, targets };
    }
    let n = targets.len() as f64;
    let mean = |f: fn(&TargetMetrics) -> f64| targets.iter().map(|t| f(t) / n).sum();
    let r2 = targets.iter().map(|t| t.r2.map(|v| v / n)).sum();
    let [rmse, mae] = [mean(|t| t.rmse), mean(|t| t.mae)];
    Metrics::Regression { rows, rmse, mae, r2, deviance, targets }
}

/// Errors in units of a power of 2 near the largest number, so that no square overflows or vanishes.
fn regression(weighted: &Weighted, name: &str, y: &[f64], predicted: &[f64]) -> TargetMetrics {
    let rows = || weighted.rows.iter().map(|(i, _)| *i);
    let size = power(rows().flat_map(|i| [y[i], predicted[i]]));
    let error = |i: usize| y[i] / size - predicted[i] / size;
    // Small errors of large numbers would vanish when they are squared.
    let unit = power(rows().map(error));
    let root = weighted.mean(|i| (error(i) / unit).powi(2)).sqrt() * unit;
    let centre = weighted.mean(|i| y[i] / size);
    let distance = |i: usize| y[i] / size - centre;
    let reach = power(rows().map(distance));
    let spread = weighted.mean(|i| (distance(i) / reach).powi(2)).sqrt() * reach;
    let first = rows().next().map_or(0.0, |i| y[i]);
    let constant = rows().all(|i| y[i] == first);
    TargetMetrics {
        target: name.into(),
        rmse: root * size,
        mae: weighted.mean(|i| error(i).abs()) * size,
        r2: (!constant && spread > 0.0).then(|| 1.0 - (root / spread).min(1e154).powi(2)),
    }
}

/// The area under the ROC curve of scores, each with whether it is of the class and its weight: Σ over pairs of ω⁺ω⁻ (1 where the
/// row of the class has the larger score, ½ where both are equal) / Σ⁺ω Σ⁻ω. Undefined where one kind is missing.
fn area(mut rows: Vec<(f64, bool, f64)>) -> Option<f64> {
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut inside, mut won) = (0.0, 0.0, 0.0);
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let sum = |of: bool| equal.iter().filter(|r| r.1 == of).map(|r| r.2).sum::<f64>();
        let (of, others) = (sum(true), sum(false));
        won += of * (below + 0.5 * others);
        below += others;
        inside += of;
    }
    let pairs = inside * below;
    (pairs > 0.0).then(|| won / pairs)
}

/// The index of the largest probability, the first of several.
pub fn most_probable(probabilities: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, p) in probabilities.enumerate() {
        if p > best.1 {
            best = (class, p);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_area_counts_pairs() {
        // Of 2 · 2 pairs three are won and one is a draw.
        let rows = vec![(0.1, false, 1.0), (0.4, true, 1.0), (0.4, false, 1.0), (0.8, true, 1.0)];
        assert_eq!(area(rows.clone()), Some(3.5 / 4.0));
        // A row of weight 2 is two rows.
        let mut twice = rows.clone();
        twice.push(rows[1]);
        let weighted = vec![rows[0], (0.4, true, 2.0), rows[2], rows[3]];
        assert_eq!(area(weighted), area(twice));
        assert_eq!(area(vec![(0.3, true, 1.0)]), None);
    }

    fn sums(weighted: &Weighted, index: &[usize], predicted: &Array2<f64>) -> ClassSums {
        let mut out = ClassSums::new(predicted.ncols());
        for &(i, w) in &weighted.rows {
            out.add(w, index[i], predicted.row(i), 0.0);
        }
        out
    }

    /// Two of three rows in one interval and one in another, by hand.
    #[test]
    fn probabilities_are_compared_with_frequencies() {
        let predicted = array![[0.75, 0.25], [0.78, 0.22], [0.1, 0.9]];
        let weighted =
            Weighted { rows: vec![(0, 1.0), (1, 1.0), (2, 2.0)], total: 4.0, scale: 1.0 };
        let found = sums(&weighted, &[0, 1, 1], &predicted).calibration(1.0);
        let bins: Vec<[f64; 4]> =
            found.bins.iter().map(|b| [b.from, b.weight, b.predicted, b.observed]).collect();
        assert_eq!(bins, [[0.2, 2.0, 0.235, 0.5], [0.9, 2.0, 0.9, 1.0]]);
        // (2 · |0.235 − 0.5| + 2 · 0.1) / 4 and (0.25² + 0.78² + 2 · 0.1²) / 4.
        assert!((found.error - 0.1825).abs() < 1e-15, "{}", found.error);
        assert!((found.brier - (0.0625 + 0.6084 + 0.02) / 4.0).abs() < 1e-15);
        // Of three classes that of the largest probability counts; the sum of squares is over all.
        let predicted = array![[0.5, 0.3, 0.2]];
        let one = Weighted { rows: vec![(0, 1.0)], total: 1.0, scale: 1.0 };
        let found = sums(&one, &[1], &predicted).calibration(1.0);
        assert_eq!((found.bins[0].predicted, found.bins[0].observed), (0.5, 0.0));
        assert!((found.brier - (0.25 + 0.49 + 0.04)).abs() < 1e-15);
    }

    /// Whole weights count as so many rows, whatever they are divided by.
    #[test]
    fn a_confusion_matrix_counts_weights() {
        let predicted = array![[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]];
        let weighted =
            Weighted { rows: vec![(0, 1.5), (1, 1.0), (2, 1.25)], total: 3.75, scale: 128.0 };
        let names = ["a".to_string(), "b".into()];
        let found = sums(&weighted, &[0, 1, 1], &predicted).metrics(&names, 128.0, vec![None; 2]);
        let Metrics::Classification { classes, .. } = found else { panic!() };
        let counts: Vec<&[f64]> = classes.iter().map(|c| c.predicted_as.as_slice()).collect();
        assert_eq!(counts, [[192.0, 0.0], [128.0, 160.0]]);
    }

    /// Test rows of a larger spread are not predicted worse.
    #[test]
    fn overfitting_is_told_from_a_larger_spread() {
        let of = |rmse: f64, r2: f64| Metrics::Regression {
            rows: 100,
            rmse,
            mae: rmse,
            r2: Some(r2),
            deviance: None,
            targets: Vec::new(),
        };
        assert!(of(1.0, 0.9).much_better_than(&of(1.5, 0.5)));
        assert!(!of(1.0, 0.9).much_better_than(&of(1.5, 0.9)));
        assert!(!of(1.0, 0.9).much_better_than(&of(0.9, 0.5)));
    }

    /// The likelihood judges counts, where there is one: not the size of their errors.
    #[test]
    fn the_deviance_says_which_is_better() {
        let of = |rmse: f64, mean: f64| Metrics::Regression {
            rows: 100,
            rmse,
            mae: rmse,
            r2: None,
            deviance: Some(Deviance { mean, explained: None }),
            targets: Vec::new(),
        };
        assert!(of(2.0, 1.0).is_better_than(&of(1.0, 2.0)));
        assert!(!of(1.0, 2.0).is_better_than(&of(2.0, 1.0)));
        assert!(!of(1.0, f64::INFINITY).is_better_than(&of(2.0, 1.0)));
    }

    #[test]
    fn figures_are_finite_wherever_they_can_be() {
        for scale in [1e-200, 1.0, 1e200, 1e307] {
            let y = [scale, 2.0 * scale, 4.0 * scale];
            let weighted =
                Weighted { rows: vec![(0, 1.0), (1, 1.0), (2, 1.0)], total: 3.0, scale: 1.0 };
            let TargetMetrics { rmse, mae, r2, .. } =
                regression(&weighted, "y", &y, &[2.0 * scale; 3]);
            // Errors 1, 0, 2; mean 7/3, Σ (y − 7/3)² = 14/3.
            assert!((rmse / scale - (5f64 / 3.0).sqrt()).abs() < 1e-14, "{scale}");
            assert!((mae / scale - 1.0).abs() < 1e-14);
            assert!((r2.unwrap() - (1.0 - 15.0 / 14.0)).abs() < 1e-14);
        }
    }
}
