//! The library's errors as Python's exceptions.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use secondo::Error;

/// The exception for an error: the class of `secondo.errors` for its kind, with the library's words as message and the facts as
/// attributes.
pub fn exception(py: Python, error: &Error) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let facts = PyDict::new(py);
        let class = describe(error, &facts)?;
        let message = PyString::new(py, &error.to_string());
        let value = py.import("secondo.errors")?.getattr(class)?.call1((message,))?;
        for (name, fact) in facts {
            value.setattr(name.cast_into::<PyString>()?, fact)?;
        }
        Ok(PyErr::from_value(value))
    };
    make().unwrap_or_else(|failure| failure)
}

/// The name of the class; the facts are put into `facts`.
fn describe(error: &Error, facts: &Bound<PyDict>) -> PyResult<&'static str> {
    Ok(match error {
        Error::Shape { what, expected, found } => {
            facts.set_item("what", what)?;
            facts.set_item("expected", expected)?;
            facts.set_item("found", found)?;
            "ShapeError"
        }
        Error::NonFinite { what, at } => {
            facts.set_item("what", what.to_string())?;
            facts.set_item("at", at)?;
            "NonFiniteError"
        }
        Error::Unknown { name, known, .. } => {
            facts.set_item("name", name)?;
            facts.set_item("known", known)?;
            "UnknownNameError"
        }
        Error::Memory { need, budget, .. } => {
            facts.set_item("need", need)?;
            facts.set_item("budget", budget)?;
            "OutOfMemoryError"
        }
        Error::TooLarge { .. } => "OutOfMemoryError",
        Error::Unsupported { .. } => "UnsupportedError",
        Error::NotPositiveDefinite { .. } | Error::Numerical { .. } => "LinearAlgebraError",
        Error::Gpu { .. } => "DeviceError",
        Error::Io { .. } | Error::Format { .. } => "FileError",
        _ => "Error",
    })
}

/// The exception of a value that is refused here and not by the library.
pub fn invalid(py: Python, what: &str, why: impl Into<String>) -> PyErr {
    exception(py, &Error::Invalid { what: what.into(), why: why.into() })
}
