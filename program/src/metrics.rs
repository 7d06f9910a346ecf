//! How good predictions are.

use secondo::Loss;
use secondo::io::Model;
use serde::{Deserialize, Deserializer, Serialize};

use crate::exit::Failure;
use crate::table::{Known, Rows};

/// The figures of one part of the data; weighted where there are weights. A number that is not finite is null in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metrics {
    Regression {
        rows: usize,
        /// √(Σ ω (y − ŷ)² / Σ ω), in the units of the target.
        #[serde(deserialize_with = "number_or_null")]
        rmse: f64,
        /// 1 − Σ ω (y − ŷ)² / Σ ω (y − ȳ)²; undefined for a constant target.
        r2: Option<f64>,
    },
    Classification {
        rows: usize,
        /// The part of the rows whose most probable class is the right one.
        #[serde(deserialize_with = "number_or_null")]
        accuracy: f64,
        /// The mean of −log(probability of the right class).
        #[serde(deserialize_with = "number_or_null")]
        log_loss: f64,
    },
}

/// A number, or NaN for null.
pub fn number_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
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

impl Metrics {
    /// Of `model` on these rows; `None` without rows, targets or weight.
    pub fn of(model: &Model, rows: &Rows) -> Result<Option<Metrics>, Failure> {
        let count = rows.x.nrows();
        let Some(target) = &rows.target else {
            return Ok(None);
        };
        let weight = |i: usize| rows.weights.as_ref().map_or(1.0, |w| w[i]);
        let total: f64 = (0..count).map(weight).sum();
        if count == 0 || total <= 0.0 {
            return Ok(None);
        }
        let mean =
            |f: &dyn Fn(usize) -> f64| (0..count).map(|i| weight(i) * f(i)).sum::<f64>() / total;
        let predicted = model.predict(&rows.x)?;
        Ok(Some(match target {
            Known::Numbers(y) => {
                let square = mean(&|i| (y[i] - predicted[(i, 0)]).powi(2));
                let centre = mean(&|i| y[i]);
                let spread = mean(&|i| (y[i] - centre).powi(2));
                let constant = y.iter().all(|v| *v == y[0]);
                Metrics::Regression {
                    rows: count,
                    rmse: square.sqrt(),
                    r2: (!constant && spread > 0.0).then(|| 1.0 - square / spread),
                }
            }
            Known::Classes(index) => {
                let outputs = model.outputs(&rows.x)?;
                let loss = |i: usize| {
                    let row: Vec<f64> = outputs.row(i).to_vec();
                    let y: Vec<f64> = match model.loss {
                        Loss::BinaryCrossEntropy => vec![index[i] as f64],
                        _ => (0..row.len()).map(|c| f64::from(u8::from(c == index[i]))).collect(),
                    };
                    // The lengths are the model's own.
                    model.loss.derivatives(&row, &y).map_or(f64::NAN, |d| d.0)
                };
                let right = |i: usize| {
                    let class = most_probable(predicted.row(i).iter().copied());
                    f64::from(u8::from(class == index[i]))
                };
                Metrics::Classification {
                    rows: count,
                    accuracy: mean(&right),
                    log_loss: mean(&loss),
                }
            }
        }))
    }

    /// The names and the values.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        match self {
            Metrics::Regression { rows, rmse, r2 } => vec![
                ("rows", rows.to_string()),
                ("RMSE", digits(*rmse)),
                ("R²", r2.map_or("undefined".into(), digits)),
            ],
            Metrics::Classification { rows, accuracy, log_loss } => vec![
                ("rows", rows.to_string()),
                ("accuracy", format!("{accuracy:.6}")),
                ("log loss", digits(*log_loss)),
            ],
        }
    }

    /// Whether the test part came out much worse than this, the training part.
    pub fn much_better_than(&self, test: &Metrics) -> bool {
        match (self, test) {
            (Metrics::Regression { rmse: a, .. }, Metrics::Regression { rmse: b, .. }) => {
                *b > 1.25 * a
            }
            (
                Metrics::Classification { log_loss: a, .. },
                Metrics::Classification { log_loss: b, .. },
            ) => *b > 1.5 * a + 0.05,
            _ => false,
        }
    }

    /// Whether R² was asked for and does not exist.
    pub fn undefined(&self) -> bool {
        matches!(self, Metrics::Regression { r2: None, .. })
    }
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
