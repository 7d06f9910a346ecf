//! Inference at a fit: standard errors, tests, intervals.

use std::sync::Arc;

use ndarray::Array3;
use numpy::{IntoPyArray, PyArray3, PyReadonlyArray2};
use pyo3::prelude::*;
use secondo::inference::{Estimate, Names, Options, Prediction, Scaling};
use secondo::io::inference_to_json;
use secondo::{Inference, Problem};
use self_cell::self_cell;

use crate::arguments::{Rectangle, owned};
use crate::compute::run_interruptibly;
use crate::error::invalid;

self_cell!(
    /// An inference with the problem that it borrows.
    struct Whole {
        owner: Arc<Problem>,
        #[covariant]
        dependent: Inference,
    }
);

/// The inference at one point.
#[pyclass(frozen, module = "secondo._secondo", name = "Inference")]
pub struct PyInference {
    whole: Arc<Whole>,
    threads: Option<usize>,
}

/// The names of inputs and outputs.
type Named = (Vec<String>, Vec<String>);
/// The scales of the inputs, the scales of the outputs and their means.
type Scales = (Vec<f64>, Vec<f64>, Vec<f64>);
/// Quantities of each output of each row; NaN where there is none.
type Table<'py> = Bound<'py, PyArray3<f64>>;

impl PyInference {
    pub fn new(
        py: Python,
        problem: Arc<Problem>,
        w: Vec<f64>,
        settings: Options,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let whole = run_interruptibly(py, threads, f64::INFINITY, move || {
            Whole::try_new(problem, |problem| Inference::with(problem, &w, settings))
        })?;
        Ok(PyInference { whole: Arc::new(whole), threads })
    }
}

#[pymethods]
impl PyInference {
    /// The covariance of the parameters; none where it has no meaning.
    fn covariance<'py>(&self, py: Python<'py>) -> Option<Rectangle<'py>> {
        let covariance = self.whole.borrow_dependent().covariance();
        covariance.map(|v| v.clone().into_pyarray(py))
    }

    /// Why there is none.
    fn refused(&self) -> Option<String> {
        self.whole.borrow_dependent().refused().map(|refusal| refusal.to_string())
    }

    /// The report as JSON, but without the covariance, which the caller has as an array, and as a text with the weights; with
    /// likelihood ratios by refitting and so many simulations, and with profiles, if they are asked for.
    fn report(
        &self,
        py: Python,
        names: Option<Named>,
        scales: Option<Scales>,
        refit: bool,
        replicates: usize,
        profile: bool,
    ) -> PyResult<(String, String)> {
        let whole = self.whole.clone();
        let network = whole.borrow_owner().network();
        let counts = (network.inputs(), network.outputs());
        let names = match names {
            None => Names::numbered(network),
            Some((inputs, outputs)) if (inputs.len(), outputs.len()) == counts => {
                Names { inputs, outputs }
            }
            Some(_) => {
                let why = format!("{} of inputs and {} of outputs are needed", counts.0, counts.1);
                return Err(invalid(py, "names", why));
            }
        };
        let scaling = scales.map(|(x_scale, y_scale, y_mean)| Scaling { x_scale, y_scale, y_mean });
        if scaling.as_ref().is_some_and(|s| {
            (s.x_scale.len(), s.y_scale.len()) != counts || s.y_mean.len() != counts.1
        }) {
            return Err(invalid(py, "standardization", "has not one scale for each column"));
        }
        run_interruptibly(py, self.threads, f64::INFINITY, move || {
            let inference = whole.borrow_dependent();
            let mut report = inference.report_as(names, scaling.as_ref(), None)?;
            if refit {
                inference.add_ratios(&mut report, replicates)?;
            }
            if profile {
                inference.add_profiles(&mut report)?;
            }
            report.covariance = None;
            let json = serde_json::Value::Object(inference_to_json(&report)).to_string();
            report.prints_weights = true;
            Ok((json, report.to_string()))
        })
    }

    /// For the rows of X estimate, standard error, lower and upper end of each output and, with a link, of each mean response; the
    /// lower and upper end for a new observation, of squared errors.
    #[allow(clippy::type_complexity)]
    fn predictions<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<f64>,
    ) -> PyResult<(Table<'py>, Option<Table<'py>>, Option<Table<'py>>)> {
        let (whole, x) = (self.whole.clone(), owned(&x));
        let outputs = whole.borrow_owner().network().outputs();
        let rows = run_interruptibly(py, self.threads, f64::INFINITY, move || {
            whole.borrow_dependent().predictions(&x)
        })?;
        let table = |width: usize, entry: &dyn Fn(&Prediction, usize) -> Option<Vec<f64>>| {
            let mut table = Array3::from_elem((width, rows.len(), outputs), f64::NAN);
            for (i, row) in rows.iter().enumerate() {
                for o in 0..outputs {
                    let entries = entry(row, o).into_iter().flatten();
                    entries.enumerate().for_each(|(k, v)| table[[k, i, o]] = v);
                }
            }
            table.into_pyarray(py)
        };
        let first = rows.first();
        let all = table(4, &|row, o| row.outputs.get(o).map(entries));
        let has_link = first.is_some_and(|row| row.response.is_some());
        let response =
            has_link.then(|| table(4, &|row, o| row.response.as_ref()?.get(o).map(entries)));
        let has_noise = first.is_some_and(|row| row.observation.is_some());
        let observation = has_noise.then(|| {
            table(2, &|row, o| {
                let (lower, upper) = (*row.observation.as_ref()?.get(o)?)?;
                Some(vec![lower, upper])
            })
        });
        Ok((all, response, observation))
    }
}

fn entries(e: &Estimate) -> Vec<f64> {
    let number = |v: Option<f64>| v.unwrap_or(f64::NAN);
    vec![e.estimate, number(e.std_error), number(e.lower), number(e.upper)]
}
