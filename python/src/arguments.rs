//! Arguments: arrays, names and JSON as the library takes them.

use ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use secondo::{Curvature, Structure};

use crate::error::{exception, invalid};

/// A vector that a method returns.
pub type Vector<'py> = Bound<'py, PyArray1<f64>>;
/// A matrix that a method returns.
pub type Rectangle<'py> = Bound<'py, PyArray2<f64>>;

/// The numbers of an array, which must lie one after the other.
pub fn slice<'a>(py: Python, what: &str, array: &'a PyReadonlyArray1<f64>) -> PyResult<&'a [f64]> {
    array.as_slice().map_err(|_| {
        invalid(py, what, "must be a contiguous, aligned array of float64; see numpy.require")
    })
}

/// A copy of a matrix, row by row.
pub fn owned(array: &PyReadonlyArray2<f64>) -> Array2<f64> {
    let view = array.as_array();
    // ndarray refuses the strides that NumPy gives to an array without numbers.
    if view.is_empty() {
        return Array2::zeros(view.raw_dim());
    }
    view.as_standard_layout().into_owned()
}

/// The JSON value in a text.
pub fn parsed(py: Python, what: &str, text: &str) -> PyResult<serde_json::Value> {
    serde_json::from_str(text).map_err(|e| invalid(py, what, format!("not valid JSON: {e}")))
}

/// The curvature of that name.
pub fn named(py: Python, name: &str) -> PyResult<Curvature> {
    Curvature::from_name(&name.replace('_', "-")).map_err(|e| exception(py, &e))
}

/// The structure of that name.
pub fn structured(py: Python, name: &str) -> PyResult<Structure> {
    Structure::from_name(&name.replace('_', "-")).map_err(|e| exception(py, &e))
}
