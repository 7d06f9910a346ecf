//! Fitted networks as files.

use std::path::Path;
use std::sync::Arc;

use numpy::{IntoPyArray, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use secondo::Reduction;
use secondo::io::{
    Model, Standardization, loss_from_json, loss_to_json, penalty_from_json, penalty_to_json,
};
use serde_json::{Value, json};

use crate::arguments::{Rectangle, Vector, owned, parsed, slice};
use crate::compute::run_interruptibly;
use crate::error::{exception, invalid};
use crate::network::PyNetwork;

/// A fitted network with all that predictions need.
#[pyclass(frozen, module = "secondo._secondo", name = "Model")]
pub struct PyModel(Arc<Model>);

#[pymethods]
impl PyModel {
    /// `facts` is JSON with any of features, targets, classes, standardization, penalty and mean.
    #[new]
    fn new(
        py: Python,
        network: &PyNetwork,
        weights: PyReadonlyArray1<f64>,
        loss: &str,
        facts: &str,
    ) -> PyResult<Self> {
        let loss = parsed(py, "loss", loss)?;
        let facts = parsed(py, "facts", facts)?;
        let weights = slice(py, "weights", &weights)?.to_vec();
        let make = || -> secondo::Result<Model> {
            let mut model = Model::new(network.network.clone(), weights, loss_from_json(&loss)?)?;
            let names = |key: &str| -> Option<Vec<String>> {
                serde_json::from_value(facts.get(key)?.clone()).ok()
            };
            for (key, target) in [
                ("features", &mut model.features),
                ("targets", &mut model.targets),
                ("classes", &mut model.classes),
            ] {
                *target = names(key).unwrap_or(std::mem::take(target));
            }
            if let Some(value) = facts.get("standardization") {
                model.standardization = Standardization::from_json(value)?;
            }
            if let Some(value) = facts.get("penalty") {
                model.penalty = penalty_from_json(value)?;
            }
            if facts.get("mean") == Some(&Value::Bool(true)) {
                model.reduction = Reduction::Mean;
            }
            model.check()?;
            Ok(model)
        };
        make().map(Arc::new).map(PyModel).map_err(|e| exception(py, &e))
    }

    #[staticmethod]
    fn from_bytes(py: Python, bytes: &[u8], path: &str) -> PyResult<Self> {
        let model = Model::from_bytes(bytes, Path::new(path)).map_err(|e| exception(py, &e))?;
        Ok(PyModel(Arc::new(model)))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.to_bytes().map_err(|e| exception(py, &e))?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn to_onnx<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.to_onnx().map_err(|e| exception(py, &e))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[getter]
    fn network(&self) -> PyNetwork {
        PyNetwork { network: self.0.network.clone(), constraint: None }
    }

    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> Vector<'py> {
        self.0.weights.clone().into_pyarray(py)
    }

    /// The facts of the constructor, with the loss.
    fn facts(&self) -> String {
        let model = &self.0;
        json!({
            "features": model.features,
            "targets": model.targets,
            "classes": model.classes,
            "standardization": model.standardization.to_json(),
            "loss": loss_to_json(&model.loss),
            "penalty": penalty_to_json(&model.penalty),
            "mean": model.reduction == Reduction::Mean,
        })
        .to_string()
    }

    fn predict<'py>(&self, py: Python<'py>, x: PyReadonlyArray2<f64>) -> PyResult<Rectangle<'py>> {
        if x.as_array().iter().any(|v| !v.is_finite()) {
            return Err(invalid(py, "X", "holds a number that is not finite"));
        }
        let (x, model) = (owned(&x), self.0.clone());
        let flops = 2.0 * model.weights.len() as f64 * x.nrows() as f64;
        Ok(run_interruptibly(py, None, flops, move || model.predict(&x))?.into_pyarray(py))
    }
}
