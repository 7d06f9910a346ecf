//! The numbers that figures of a fit show: kept in the JSON report, so that they can be drawn again from it.

mod effects;
mod extent;
mod gather;
mod points;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::training::Trace;
pub use extent::{can_be_drawn, extent};
pub use gather::Fitted;
pub use points::Points;

/// The numbers that the figures of a fit show. A figure that lacks its numbers has its reason in `missing`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The way of each start.
    pub history: Vec<Course>,
    /// The names of the targets.
    pub targets: Vec<String>,
    /// The classes; none for numbers.
    pub classes: Vec<String>,
    /// The names of the inputs.
    pub inputs: Vec<String>,
    /// Rows with their predictions.
    pub parts: Vec<Part>,
    /// The model over the range of its input, where it has one.
    pub curve: Option<Curve>,
    /// The effects of the columns, the largest first.
    pub effects: Vec<Effect>,
    pub spectrum: Option<Spectrum>,
    pub hessian: Option<Picture>,
    pub statistics: Option<Statistics>,
    /// Why something is not there.
    pub missing: BTreeMap<String, String>,
}

impl Shown {
    /// The first thing that does not fit together in the contents of a file; none in a file of this program.
    pub fn fault(&self) -> Option<&'static str> {
        let outputs = match self.classes.len() {
            0 => self.targets.len(),
            classes => classes,
        };
        let observed = if self.classes.is_empty() { outputs } else { 1 };
        let is_part = |part: &Part| {
            let rows = part.predicted.first().map_or(0, Vec::len);
            let lists = part.actual.iter().chain(&part.predicted);
            let inputs = if self.curve.is_some() { rows } else { part.x.len() };
            part.actual.len() == observed
                && part.predicted.len() == outputs
                && part.x.len() == inputs
                && lists.into_iter().all(|list| list.len() == rows)
        };
        let is_picture = |picture: &Picture| {
            let cells = picture.order.div_ceil(picture.side.max(1));
            picture.side > 0
                && (1..=1 << 20).contains(&picture.order)
                && picture.cells.len() == cells * cells
        };
        if !self.parts.iter().all(is_part) {
            Some("lists of one part of the rows differ in length")
        } else if !self.hessian.iter().all(is_picture) {
            Some("the cells of the Hessian are no square")
        } else {
            None
        }
    }
}

/// Where a fit stood at its start and after accepted steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Of how many steps one is kept.
    pub one_of: usize,
    /// The steps tried until then.
    pub tried: Vec<usize>,
    #[serde(deserialize_with = "numbers_or_null")]
    pub value: Vec<f64>,
    /// The largest entry of the gradient.
    #[serde(deserialize_with = "numbers_or_null")]
    pub gradient: Vec<f64>,
}

impl Course {
    /// The course that a fit was seen to take.
    pub fn of(trace: &Trace) -> Self {
        let mut course = Course {
            one_of: trace.one_of(),
            tried: Vec::new(),
            value: Vec::new(),
            gradient: Vec::new(),
        };
        for stand in trace.all() {
            course.tried.push(stand.tried);
            course.value.push(stand.value);
            course.gradient.push(stand.gradient);
        }
        course
    }
}

/// Rows of one part of the data, with their predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Such as `training rows`.
    pub name: String,
    /// The number of rows, of which one of so many is here.
    pub rows: usize,
    pub one_of: usize,
    /// The input, where there is one alone.
    #[serde(deserialize_with = "numbers_or_null")]
    pub x: Vec<f64>,
    /// The observations, a list for each target; of classes one list with the numbers of the classes, from 0.
    #[serde(deserialize_with = "lists_or_null")]
    pub actual: Vec<Vec<f64>>,
    /// The predictions, a list for each target; of classes the probabilities of each.
    #[serde(deserialize_with = "lists_or_null")]
    pub predicted: Vec<Vec<f64>>,
}

/// The predictions of a model over the range of its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub x: Vec<f64>,
    /// A list for each output.
    #[serde(deserialize_with = "lists_or_null")]
    pub y: Vec<Vec<f64>>,
}

/// The partial dependence on a column: the mean of the predictions over the rows, each with the column at one value.
///
/// ```text
/// PD(v) = Σ_i ω_i f(x_i with the column at v) / Σ_i ω_i
/// ```
///
/// Source: Friedman, *Annals of Statistics* 29, 2001, §8.2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub column: String,
    /// The levels of a column of text; none for numbers.
    pub levels: Vec<String>,
    /// The values; of levels their places.
    pub at: Vec<f64>,
    /// The mean prediction at each value, a list for each output.
    #[serde(deserialize_with = "lists_or_null")]
    pub response: Vec<Vec<f64>>,
}

impl Effect {
    /// The largest range of an output.
    pub fn range(&self) -> f64 {
        let range = |y: &Vec<f64>| {
            let (low, high) =
                y.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
            high - low
        };
        self.response.iter().map(range).fold(0.0, f64::max)
    }
}

/// The eigenvalues of the exact Hessian at the end of the fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Ascending: all of them, or the nodes of a density.
    pub eigenvalues: Vec<f64>,
    /// The number of eigenvalues that each node of a density stands for; empty where there are all.
    pub weights: Vec<f64>,
}

/// A matrix as a picture of square cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The order of the matrix.
    pub order: usize,
    /// The number of rows, and of columns, in each cell.
    pub side: usize,
    /// The entry of largest size in each cell, row by row.
    pub cells: Vec<f64>,
    /// The first parameter of each layer.
    pub layers: Vec<usize>,
}

/// The statistics by the Hessian as information matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Numbers about the fit, with their names.
    pub facts: Vec<(String, Option<f64>)>,
    /// The kind of the covariance.
    pub covariance: String,
    /// Why there is none.
    pub refused: Option<String>,
    pub slopes: Vec<Slope>,
    /// The probability of each input's Wald statistic if it had no weights.
    pub tests: Vec<(String, Option<f64>)>,
    pub warnings: Vec<String>,
}

/// The average slope of an output in an input, in the units of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slope {
    pub input: String,
    pub output: String,
    pub slope: Option<f64>,
    pub std_error: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

fn or_nan(numbers: Vec<Option<f64>>) -> Vec<f64> {
    numbers.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

/// Numbers, NaN for null.
fn numbers_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<f64>, D::Error> {
    Vec::deserialize(value).map(or_nan)
}

fn lists_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<Vec<f64>>, D::Error> {
    let lists: Vec<_> = Vec::deserialize(value)?;
    Ok(lists.into_iter().map(or_nan).collect())
}
