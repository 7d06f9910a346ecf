//! The extension module of the Python package `secondo`: thin, and private. `package/secondo` is what users see.

mod arguments;
mod compute;
mod error;
mod function;
mod inference;
mod matrix;
mod model;
mod network;
mod operator;
mod options;
mod problem;
mod training;

use pyo3::prelude::*;

use crate::compute::run;
use crate::error::exception;

/// The name of each adapter, with the numbers that devices are chosen by.
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

#[pymodule]
fn _secondo(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<network::PyNetwork>()?;
    module.add_class::<problem::PyProblem>()?;
    module.add_class::<matrix::PyMatrix>()?;
    module.add_class::<operator::PyOperator>()?;
    module.add_class::<inference::PyInference>()?;
    module.add_class::<model::PyModel>()?;
    module.add_class::<training::PyState>()?;
    module.add_class::<training::PyProgress>()?;
    module.add_function(wrap_pyfunction!(function::minimize_function, module)?)?;
    module.add_function(wrap_pyfunction!(adapters, module)?)?;
    module.add_function(wrap_pyfunction!(activation, module)?)
}
