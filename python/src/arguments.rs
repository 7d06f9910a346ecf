//! Arguments: arrays, names and JSON as the library takes them.

use std::slice::from_raw_parts;

use ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
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

/// The numbers of a matrix where NumPy holds them, row by row: it keeps the array alive.
pub struct Held {
    pub array: Py<PyArray2<f64>>,
    first: *const f64,
    count: usize,
}

impl Held {
    pub fn new(py: Python, what: &str, array: &Bound<PyArray2<f64>>) -> PyResult<Self> {
        let lent = array.try_readonly()?;
        let Ok(numbers) = lent.as_slice() else {
            return Err(invalid(py, what, "must be a C-contiguous, aligned array of float64"));
        };
        let (first, count) = (numbers.as_ptr(), numbers.len());
        Ok(Held { array: array.clone().unbind(), first, count })
    }
}

// The pointer is only read, and the array that it points into is Send and Sync.
#[allow(unsafe_code)]
unsafe impl Send for Held {}
#[allow(unsafe_code)]
unsafe impl Sync for Held {}

impl AsRef<[f64]> for Held {
    #[allow(unsafe_code)]
    fn as_ref(&self) -> &[f64] {
        // SAFETY: `new` took both from a slice of the array, which lives as long as `self`. NumPy moves the numbers of an array
        // only for `resize` without its check for references, whose documentation leaves this to the caller.
        unsafe { from_raw_parts(self.first, self.count) }
    }
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
