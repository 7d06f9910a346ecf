//! Minimisation of a Python function with two derivatives.

use std::cell::RefCell;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use secondo::TrustRegion;
use secondo::train::newton::function;

use crate::arguments::{Vector, slice};
use crate::error::exception;
use crate::options::Options;
use crate::training::region;

/// Reason, x, value, gradient norm, steps, evaluations (values, gradients, Hessians), and the exception that ended it.
type Found<'py> =
    (&'static str, Vector<'py>, f64, f64, usize, (usize, usize, usize), Option<Py<PyAny>>);

/// Calls of Python functions, until one raises.
struct Calls<'py> {
    py: Python<'py>,
    raised: RefCell<Option<PyErr>>,
}

impl<'py> Calls<'py> {
    /// The value that `f` makes of the result of calling `function` at x; none from the first exception on.
    fn at<T>(
        &self,
        function: &Bound<'py, PyAny>,
        x: &[f64],
        f: impl FnOnce(Bound<'py, PyAny>) -> PyResult<T>,
    ) -> Option<T> {
        if self.raised.borrow().is_some() {
            return None;
        }
        let call = || {
            self.py.check_signals()?;
            f(function.call1((PyArray1::from_slice(self.py, x),))?)
        };
        match call() {
            Ok(value) => Some(value),
            Err(error) => {
                *self.raised.borrow_mut() = Some(error);
                None
            }
        }
    }
}

/// Minimises `value` with `gradient` and `hessian`, functions of x that return a number, d numbers and d × d numbers.
#[pyfunction]
pub fn minimize_function<'py>(
    py: Python<'py>,
    value: Bound<'py, PyAny>,
    gradient: Bound<'py, PyAny>,
    hessian: Bound<'py, PyAny>,
    x0: PyReadonlyArray1<f64>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Found<'py>> {
    let mut given = Options::new(options)?;
    let mut method = TrustRegion::default();
    region(&mut given, &mut method)?;
    given.end("trust-region")?;
    let x0 = slice(py, "x0", &x0)?;
    let calls = Calls { py, raised: RefCell::new(None) };
    let f = function(
        x0.len(),
        |x| calls.at(&value, x, |v| v.extract::<f64>()).unwrap_or(f64::NAN),
        |x, out| {
            out.fill(f64::NAN);
            calls.at(&gradient, x, |v| {
                let v: PyReadonlyArray1<f64> = v.extract()?;
                out.copy_from_slice(slice(py, "the gradient", &v)?);
                Ok(())
            });
        },
        |x, out| {
            out.fill(f64::NAN);
            calls.at(&hessian, x, |v| {
                let v: PyReadonlyArray2<f64> = v.extract()?;
                let v = v.as_array();
                let mut lower = out.iter_mut();
                for a in 0..x.len() {
                    (0..=a).zip(&mut lower).for_each(|(b, out)| *out = v[[a, b]]);
                }
                Ok(())
            });
        },
    );
    let found = method.minimize(&f, x0);
    let raised = calls.raised.take();
    let found = match (found, &raised) {
        (Ok(found), _) => found,
        // At the start there is nothing to keep.
        (Err(_), Some(error)) => return Err(error.clone_ref(py)),
        (Err(error), None) => return Err(exception(py, &error)),
    };
    let e = found.evaluations;
    Ok((
        found.reason.name(),
        found.x.into_pyarray(py),
        found.value,
        found.gradient_norm,
        found.iterations,
        (e.objective, e.gradient, e.curvature),
        raised.map(|error| error.into_value(py).into_any()),
    ))
}
