//! Matrices of blocks.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use secondo::{LinearOperator, Matrix, Result};

use crate::arguments::{owned, slice};
use crate::compute::{run, run_interruptibly};
use crate::error::{exception, invalid};

/// A block's layer, unit, first parameter and order.
type Place = (Option<usize>, Option<usize>, usize, usize);

/// A curvature matrix in blocks along its diagonal.
#[pyclass(frozen, module = "secondo._secondo", name = "Matrix")]
pub struct PyMatrix(Arc<Matrix>);

impl PyMatrix {
    pub fn new(matrix: Matrix) -> Self {
        PyMatrix(Arc::new(matrix))
    }

    /// Does a job of so many operations for each number of the blocks' cubes.
    fn long<T: Send + 'static>(
        &self,
        py: Python,
        factor: f64,
        job: impl FnOnce(&Matrix) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let cubes: f64 = self.0.blocks().map(|b| (b.order() as f64).powi(3)).sum();
        let matrix = self.0.clone();
        run_interruptibly(py, None, factor * cubes, move || job(&matrix))
    }
}

#[pymethods]
impl PyMatrix {
    #[getter]
    fn order(&self) -> usize {
        self.0.order()
    }

    #[getter]
    fn structure(&self) -> &'static str {
        self.0.structure().name()
    }

    /// The place of each block.
    fn places(&self) -> Vec<Place> {
        let place = |b: secondo::Block| (b.layer, b.unit, b.range.start, b.order());
        self.0.blocks().map(place).collect()
    }

    /// A block as a square array.
    #[pyo3(signature = (layer, unit=None))]
    fn block<'py>(
        &self,
        py: Python<'py>,
        layer: usize,
        unit: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        match self.0.block(layer, unit) {
            Some(block) => Ok(block.dense().into_pyarray(py)),
            None => Err(invalid(py, "block", format!("there is none of layer {layer}"))),
        }
    }

    fn dense<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        Ok(run(py, None, || self.0.dense())?.into_pyarray(py))
    }

    fn diagonal<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.0.diagonal().into_pyarray(py)
    }

    /// B v for each row v.
    fn products<'py>(
        &self,
        py: Python<'py>,
        vectors: PyReadonlyArray2<f64>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let vectors = owned(&vectors);
        Ok(run(py, None, || self.0.products(vectors.view()))?.into_pyarray(py))
    }

    fn solve<'py>(
        &self,
        py: Python<'py>,
        b: PyReadonlyArray1<f64>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let b = slice(py, "b", &b)?.to_vec();
        Ok(self.long(py, 0.5, move |matrix| matrix.solve(&b))?.into_pyarray(py))
    }

    fn inverse(&self, py: Python) -> PyResult<PyMatrix> {
        self.long(py, 2.0, Matrix::inverse).map(PyMatrix::new)
    }

    fn eigenvalues<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        // The reduction to a tridiagonal matrix, half of it bound by memory.
        Ok(self.long(py, 4.0, Matrix::eigenvalues)?.into_pyarray(py))
    }

    fn log_determinant(&self, py: Python) -> PyResult<f64> {
        self.0.log_determinant().map_err(|e| exception(py, &e))
    }
}
