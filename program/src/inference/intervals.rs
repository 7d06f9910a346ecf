//! Standard errors and intervals beside predictions.

use std::path::Path;

use ndarray::Array2;
use secondo::inference::{Distribution, Estimate, Inference, Options, Prediction};
use secondo::io::Model;

use super::source::{Source, of_model};
use crate::exit::Failure;
use crate::output::{say_note, say_warning};
use crate::table::TableOptions;

/// With fewer degrees of freedom the quantiles of Student's t say little.
const FEW: f64 = 2.0;

/// Further columns of predictions: their names, and a row of numbers for each prediction.
#[derive(Default)]
pub struct Intervals {
    pub header: Vec<String>,
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Intervals {
    /// The intervals of a model's predictions at the inputs `x` of a table, by the Hessian on the rows that trained it. Where no standard
    /// error has a meaning a warning says why, and the columns are empty. Notes on the rows are said if `show`.
    ///
    /// # Errors
    /// A table that cannot be read or did not train the model; too little memory.
    pub fn new(
        model: &Model,
        options: &TableOptions,
        trained_on: &Path,
        x: &Array2<f64>,
        level: f64,
        show: bool,
    ) -> Result<Self, Failure> {
        let source = of_model(model.clone(), options, trained_on)?.without_zeros()?;
        source.notes.iter().filter(|_| show).for_each(|note| say_note(note));
        let settings = Options { level, ..Options::default() };
        let inference = Inference::with(&source.problem, &source.w, settings)?;
        if let Some(refusal) = inference.refused() {
            say_warning(&format!("no intervals: {refusal}"));
        }
        if let Distribution::T(df) = inference.summary().distribution
            && df < FEW
        {
            say_warning(&format!(
                "the fit leaves {df:.2} degrees of freedom, by which its intervals are as good as unbounded; fit with a larger --ridge, \
                 fewer hidden units or more rows"
            ));
        }
        let mut predictions = inference.predictions(&model.standardization.inputs(x)?)?;
        if let Some(scaling) = &source.scaling {
            predictions.iter_mut().for_each(|p| p.rescale(scaling));
        }
        Ok(if model.classes.is_empty() {
            Intervals::of_numbers(&source, &predictions)
        } else {
            Intervals::of_classes(&model.classes, &predictions)
        })
    }

    fn of_numbers(source: &Source, predictions: &[Prediction]) -> Self {
        let has_noise = predictions.iter().any(|p| p.observation.is_some());
        let mut header = Vec::new();
        for name in &source.names.outputs {
            let name = match source.names.outputs.len() {
                1 => "prediction".to_string(),
                _ => format!("prediction_{name}"),
            };
            header.extend(["std_error", "lower", "upper"].map(|part| format!("{name}_{part}")));
            if has_noise {
                header.extend(["new_lower", "new_upper"].map(|part| format!("{name}_{part}")));
            }
        }
        let row = |p: &Prediction| {
            let of = |(o, e): (usize, &Estimate)| {
                let mut all = vec![e.std_error, e.lower, e.upper];
                if has_noise {
                    let new = p.observation.as_ref().and_then(|ends| ends[o]);
                    all.extend([new.map(|ends| ends.0), new.map(|ends| ends.1)]);
                }
                all
            };
            p.outputs.iter().enumerate().flat_map(of).collect()
        };
        Intervals { header, rows: predictions.iter().map(row).collect() }
    }

    fn of_classes(classes: &[String], predictions: &[Prediction]) -> Self {
        let parts = ["moderated", "std_error", "lower", "upper"];
        let header = classes.iter().flat_map(|c| parts.map(|p| format!("probability_{c}_{p}")));
        let row = |p: &Prediction| -> Vec<Option<f64>> {
            let of = |o: usize| {
                let (e, moderated) = (&p.outputs[o], p.moderated.as_ref().map(|m| m[o]));
                [moderated, e.std_error, e.lower, e.upper]
            };
            if p.outputs.len() > 1 {
                return (0..p.outputs.len()).flat_map(of).collect();
            }
            // One output is the probability of the second class.
            let second = of(0);
            let not = |v: Option<f64>| v.map(|v| 1.0 - v);
            let first = [not(second[0]), second[1], not(second[3]), not(second[2])];
            first.into_iter().chain(second).collect()
        };
        Intervals { header: header.collect(), rows: predictions.iter().map(row).collect() }
    }
}
