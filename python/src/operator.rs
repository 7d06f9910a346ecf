//! Curvatures that are multiplied with vectors and never formed.

use std::sync::Arc;

use numpy::{IntoPyArray, PyReadonlyArray2};
use pyo3::prelude::*;
use secondo::{Curvature, LinearOperator, Operator, Problem, Result};
use self_cell::self_cell;

use crate::arguments::{Rectangle, owned};
use crate::compute::{run, run_interruptibly};

self_cell!(
    /// An operator with the problem that it borrows.
    struct Whole {
        owner: Arc<Problem>,
        #[covariant]
        dependent: Operator,
    }
);

/// A curvature at a point, by its products.
#[pyclass(frozen, module = "secondo._secondo", name = "Operator")]
pub struct PyOperator {
    whole: Arc<Whole>,
    curvature: Curvature,
    threads: Option<usize>,
}

impl PyOperator {
    pub fn new(
        problem: Arc<Problem>,
        w: &[f64],
        curvature: Curvature,
        threads: Option<usize>,
    ) -> Result<Self> {
        let whole = Whole::try_new(problem, |problem| problem.operator(w, curvature))?;
        Ok(PyOperator { whole: Arc::new(whole), curvature, threads })
    }
}

#[pymethods]
impl PyOperator {
    #[getter]
    fn order(&self) -> usize {
        self.whole.borrow_dependent().order()
    }

    /// B v for each row v.
    fn products<'py>(
        &self,
        py: Python<'py>,
        vectors: PyReadonlyArray2<f64>,
    ) -> PyResult<Rectangle<'py>> {
        let vectors = owned(&vectors);
        let (whole, curvature) = (self.whole.clone(), self.curvature);
        let count = vectors.nrows().max(1);
        let plan = || whole.borrow_owner().plan_products(curvature, count.min(16));
        let flops = run(py, self.threads, plan)?.flops * (count as f64 / 16.0).max(1.0);
        let products = run_interruptibly(py, self.threads, flops, move || {
            whole.borrow_dependent().products(vectors.view())
        })?;
        Ok(products.into_pyarray(py))
    }
}
