//! Networks, perhaps with tied parameters.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use secondo::io::{network_from_json, network_to_json};
use secondo::{Constraint, Initialization, Network, Propagation, Result};

use crate::arguments::{owned, parsed, slice};
use crate::compute::{run, run_interruptibly};
use crate::error::{exception, invalid};

/// W = fixed + Cθ as arrays: fixed, the number of θ, and rows, columns and values of C's entries.
type Ties<'py> = (
    PyReadonlyArray1<'py, f64>,
    usize,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, f64>,
);

/// A network's architecture, with W = fixed + Cθ where parameters are tied.
#[pyclass(frozen, module = "secondo._secondo", name = "Network")]
pub struct PyNetwork {
    pub network: Network,
    pub constraint: Option<Constraint>,
}

#[pymethods]
impl PyNetwork {
    #[new]
    #[pyo3(signature = (spec, ties=None))]
    fn new(py: Python, spec: &str, ties: Option<Ties>) -> PyResult<Self> {
        let spec = parsed(py, "network", spec)?;
        let network = network_from_json(&spec).map_err(|e| exception(py, &e))?;
        let constraint = ties.map(|ties| constraint(py, &network, ties)).transpose()?;
        Ok(PyNetwork { network, constraint })
    }

    /// The architecture as JSON.
    fn spec(&self) -> String {
        network_to_json(&self.network).to_string()
    }

    #[getter]
    fn inputs(&self) -> usize {
        self.network.inputs()
    }

    #[getter]
    fn outputs(&self) -> usize {
        self.network.outputs()
    }

    /// The number of weights W.
    #[getter]
    fn weights(&self) -> usize {
        self.network.parameters()
    }

    /// The number of free parameters.
    #[getter]
    fn parameters(&self) -> usize {
        self.constraint.as_ref().map_or(self.network.parameters(), Constraint::free)
    }

    /// For each layer: sources, whether it has a bias, its first and last weight, whether its units are linear.
    fn layers(&self) -> Vec<(Vec<usize>, usize, bool, usize, usize, bool)> {
        let view = |l: &secondo::LayerView| {
            (l.sources.clone(), l.units, l.bias, l.range.start, l.range.end, l.is_linear())
        };
        self.network.layers().iter().map(view).collect()
    }

    /// W of θ.
    fn to_weights<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let w = slice(py, "parameters", &w)?;
        let weights = self.all(w).map_err(|e| exception(py, &e))?;
        Ok(weights.into_pyarray(py))
    }

    /// A start: `rule` is the name of an initialization, or empty for the one that suits the activations.
    #[pyo3(signature = (rule, seed, x=None))]
    fn initial<'py>(
        &self,
        py: Python<'py>,
        rule: &str,
        seed: u64,
        x: Option<PyReadonlyArray2<f64>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let rule = match rule {
            "" => self.suited(),
            name => Initialization::from_name(name).map_err(|e| exception(py, &e))?,
        };
        let x = x.map(|x| owned(&x));
        let w = run(py, None, || {
            let w = match &x {
                None => rule.draw(&self.network, seed),
                Some(x) => rule.draw_from(&self.network, x, seed)?,
            };
            match &self.constraint {
                None => Ok(w),
                Some(constraint) => constraint.project(&w),
            }
        })?;
        Ok(w.into_pyarray(py))
    }

    #[pyo3(signature = (w, x, threads=None))]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
        x: PyReadonlyArray2<f64>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let w = slice(py, "parameters", &w)?;
        let (x, network, w) =
            (owned(&x), self.network.clone(), self.all(w).map_err(|e| exception(py, &e))?);
        let flops = 2.0 * w.len() as f64 * x.nrows() as f64;
        let out = run_interruptibly(py, threads, flops, move || network.predict(&w, &x))?;
        Ok(out.into_pyarray(py))
    }
}

impl PyNetwork {
    fn all(&self, w: &[f64]) -> Result<Vec<f64>> {
        match &self.constraint {
            None => Ok(w.to_vec()),
            Some(constraint) => constraint.weights(w),
        }
    }

    /// The rule that suits the first hidden linear units.
    fn suited(&self) -> Initialization {
        let mut groups = self.network.layers().iter().flat_map(|layer| &layer.groups);
        let first = groups.find(|g| matches!(g.propagation, Propagation::Linear));
        let activation = first.and_then(|g| g.activations().next());
        activation.map_or(Initialization::Glorot, Initialization::suited_to)
    }
}

fn constraint(py: Python, network: &Network, ties: Ties) -> PyResult<Constraint> {
    let (fixed, free, rows, columns, values) = ties;
    let index = |i: &i64| {
        usize::try_from(*i).map_err(|_| invalid(py, "constraint", format!("the index {i}")))
    };
    let fixed = slice(py, "fixed", &fixed)?.to_vec();
    if fixed.len() != network.parameters() {
        let error = secondo::Error::Shape {
            what: "constraint: fixed".into(),
            expected: vec![network.parameters()],
            found: vec![fixed.len()],
        };
        return Err(exception(py, &error));
    }
    let (rows, columns) = (rows.as_array(), columns.as_array());
    let entries = (rows.iter().zip(columns.iter()).zip(values.as_array().iter()))
        .map(|((row, column), value)| Ok((index(row)?, index(column)?, *value)))
        .collect::<PyResult<_>>()?;
    Constraint::new(fixed, free, entries).map_err(|e| exception(py, &e))
}
