//! Matrices of blocks.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use secondo::{LinearOperator, Matrix};

use crate::arguments::{owned, slice};
use crate::compute::run;
use crate::error::{exception, invalid};

/// A block's layer, unit, first parameter and order.
type Place = (Option<usize>, Option<usize>, usize, usize);

/// A curvature matrix in blocks along its diagonal.
#[pyclass(frozen, module = "secondo._secondo", name = "Matrix")]
pub struct PyMatrix(pub Matrix);

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
        Ok(run(py, None, || self.0.solve(&b))?.into_pyarray(py))
    }

    fn inverse(&self, py: Python) -> PyResult<PyMatrix> {
        run(py, None, || self.0.inverse()).map(PyMatrix)
    }

    fn eigenvalues<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(run(py, None, || self.0.eigenvalues())?.into_pyarray(py))
    }

    fn log_determinant(&self, py: Python) -> PyResult<f64> {
        self.0.log_determinant().map_err(|e| exception(py, &e))
    }
}
