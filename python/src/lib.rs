//! The extension module of the Python package `secondo`: thin, and private. `package/secondo` is what users see.

mod compute;
mod error;
mod function;
mod matrix;
mod model;
mod network;
mod operator;
mod options;
mod problem;
mod training;

use ndarray::Array2;
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::compute::run;
use crate::error::{exception, invalid};

/// The numbers of an array, which must lie one after the other.
fn slice<'a>(py: Python, what: &str, array: &'a PyReadonlyArray1<f64>) -> PyResult<&'a [f64]> {
    array.as_slice().map_err(|_| {
        invalid(py, what, "must be a contiguous, aligned array of float64; see numpy.require")
    })
}

/// A copy of a matrix, row by row.
fn owned(array: &PyReadonlyArray2<f64>) -> Array2<f64> {
    let view = array.as_array();
    // ndarray refuses the strides that NumPy gives to an array without numbers.
    if view.is_empty() {
        return Array2::zeros(view.raw_dim());
    }
    view.as_standard_layout().into_owned()
}

/// What each adapter is called, with the numbers that devices are chosen by.
#[pyfunction]
fn adapters(py: Python) -> PyResult<Vec<String>> {
    run(py, None, || Ok(secondo::backend::gpu::adapters().iter().map(|a| a.to_string()).collect()))
}

/// h(u), h′(u) and h″(u) of the activation of that name or formula.
#[pyfunction]
fn activation(py: Python, name: &str, u: f64) -> PyResult<[f64; 3]> {
    let activation = secondo::Activation::from_name(name).map_err(|e| exception(py, &e))?;
    Ok(activation.derivatives(u))
}

/// The names of the built-in activations and losses.
#[pyfunction]
fn names() -> (Vec<&'static str>, Vec<&'static str>) {
    let activations = secondo::Activation::ALL.iter().map(|a| a.name()).collect();
    (activations, secondo::Loss::NAMES.into())
}

#[pymodule]
fn _secondo(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<network::PyNetwork>()?;
    module.add_class::<problem::PyProblem>()?;
    module.add_class::<matrix::PyMatrix>()?;
    module.add_class::<operator::PyOperator>()?;
    module.add_class::<model::PyModel>()?;
    module.add_class::<training::PyState>()?;
    module.add_class::<training::PyProgress>()?;
    module.add_function(wrap_pyfunction!(function::minimize_function, module)?)?;
    module.add_function(wrap_pyfunction!(adapters, module)?)?;
    module.add_function(wrap_pyfunction!(activation, module)?)?;
    module.add_function(wrap_pyfunction!(names, module)?)
}
