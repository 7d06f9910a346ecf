//! Problems: values, derivatives of every kind, and their cost.

use std::process;
use std::sync::Arc;

use ndarray::Array2;
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use secondo::inference::{self, Covariance, Dispersion, RowWeights};
use secondo::io::{loss_from_json, penalty_from_json};
use secondo::{
    Configuration, Curvature, Data, Device, Error, Evaluation, Plan, Problem, Reduction, Request,
};

use crate::arguments::{Held, Rectangle, Vector, named, owned, parsed, slice, structured};
use crate::compute::{LONG, is_forked, run, run_interruptibly};
use crate::error::{exception, invalid};
use crate::inference::PyInference;
use crate::matrix::PyMatrix;
use crate::network::PyNetwork;
use crate::operator::PyOperator;
use crate::training::{self, Ended, PyState};

/// Operations that are taken to last as long as writing a number to memory that was not used before; a choice.
const WRITING: f64 = 100.0;

/// Samples at a time, bytes of data, results, working memory and on the device, and operations.
type Cost = (usize, u64, u64, u64, u64, f64);

/// E(w) = Σ_i ω_i g(x_i, y_i) + pen(w) with its derivatives.
#[pyclass(frozen, module = "secondo._secondo", name = "Problem")]
pub struct PyProblem {
    problem: Arc<Problem>,
    /// X, which the problem holds where it lies.
    x: Arc<Held>,
    threads: Option<usize>,
    /// The process that made it.
    process: u32,
}

#[pymethods]
impl PyProblem {
    #[new]
    #[pyo3(signature = (network, x, y, weights, loss, penalty, *, mean, device, precision, memory, threads))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python,
        network: &PyNetwork,
        x: &Bound<PyArray2<f64>>,
        y: PyReadonlyArray2<f64>,
        weights: Option<PyReadonlyArray1<f64>>,
        loss: &str,
        penalty: &str,
        mean: bool,
        device: &str,
        precision: Option<&str>,
        memory: Option<u64>,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        if threads.is_some_and(|threads| threads == 0 || threads > 1024) {
            return Err(invalid(
                py,
                "threads",
                "must be between 1 and 1024, or None for all cores",
            ));
        }
        let loss = loss_from_json(&parsed(py, "loss", loss)?).map_err(|e| exception(py, &e))?;
        let penalty = parsed(py, "penalty", penalty)?;
        let penalty = penalty_from_json(&penalty).map_err(|e| exception(py, &e))?;
        let device = open(py, device, precision)?;
        let reduction = if mean { Reduction::Mean } else { Reduction::Sum };
        let (x, y) = (Arc::new(Held::new(py, "X", x)?), owned(&y));
        let inputs = x.array.bind(py).shape()[1];
        let weights = weights.map(|w| w.as_array().to_vec());
        let (network, ties) = (network.network.clone(), network.constraint.clone());
        let held = x.clone();
        let problem = run(py, threads, || {
            let mut data = Data::sharing(held, inputs, y)?;
            if let Some(weights) = weights {
                data = data.weighted(weights)?;
            }
            let mut problem = Problem::new(network, data, loss)?.penalty(penalty)?;
            if let Some(ties) = ties {
                problem = problem.constraint(ties)?;
            }
            if let Some(memory) = memory {
                problem = problem.memory_budget(memory);
            }
            Ok(problem.reduction(reduction).on(device))
        })?;
        Ok(PyProblem { problem: Arc::new(problem), x, threads, process: process::id() })
    }

    #[getter]
    fn parameters(&self) -> usize {
        self.problem.parameters()
    }

    #[getter]
    fn samples(&self) -> usize {
        self.problem.rows()
    }

    #[getter]
    fn adapter(&self) -> String {
        self.problem.device().adapter()
    }

    /// X itself, and copies of Y and ω.
    fn data<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Rectangle<'py>, Rectangle<'py>, Vector<'py>)> {
        let data = self.problem.data().map_err(|e| exception(py, &e))?;
        let (y, weights) = (data.y().clone(), data.weights().to_vec());
        Ok((self.x.array.bind(py).clone(), y.into_pyarray(py), weights.into_pyarray(py)))
    }

    fn value(&self, py: Python, w: PyReadonlyArray1<f64>) -> PyResult<f64> {
        Ok(self.evaluate(py, &w, Request::default())?.value)
    }

    fn value_and_gradient<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
    ) -> PyResult<(f64, Vector<'py>)> {
        let at = self.evaluate(py, &w, Request::gradient())?;
        Ok((at.value, at.gradient.into_pyarray(py)))
    }

    /// The matrix, and the largest entry of the penalty's Hessian that it leaves out.
    fn curvature(
        &self,
        py: Python,
        w: PyReadonlyArray1<f64>,
        curvature: &str,
        structure: &str,
    ) -> PyResult<(PyMatrix, f64)> {
        let pair = Some((named(py, curvature)?, structured(py, structure)?));
        let at = self.evaluate(py, &w, Request { curvature: pair, ..Request::default() })?;
        let matrix = at.curvature.ok_or_else(|| invalid(py, "curvature", "there is none"))?;
        Ok((PyMatrix::new(matrix), at.left_out))
    }

    fn outputs<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
    ) -> PyResult<Option<Rectangle<'py>>> {
        let at = self.evaluate(py, &w, Request { outputs: true, ..Request::default() })?;
        Ok(at.outputs.map(|outputs| outputs.into_pyarray(py)))
    }

    fn multipliers<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
    ) -> PyResult<Vec<Rectangle<'py>>> {
        let request = Request { multipliers: true, ..Request::default() };
        Ok(arrays(py, self.evaluate(py, &w, request)?.multipliers))
    }

    /// n·outputs × P.
    fn jacobian<'py>(&self, py: Python<'py>, w: PyReadonlyArray1<f64>) -> PyResult<Rectangle<'py>> {
        let problem = &self.problem;
        let rows = problem.rows() as f64 * problem.network().outputs() as f64;
        let flops = WRITING * rows * problem.network().parameters() as f64;
        let jacobian = self.long(py, &w, flops, |problem, w| problem.jacobian(w))?;
        Ok(jacobian.into_pyarray(py))
    }

    /// The states X and the multipliers E of every layer.
    fn configuration<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
    ) -> PyResult<(Vec<Rectangle<'py>>, Vec<Rectangle<'py>>)> {
        let at = self.long(py, &w, 0.0, |problem, w| problem.configuration(w))?;
        Ok((arrays(py, at.states), arrays(py, at.multipliers)))
    }

    /// The Lagrangian at any configuration: its value and derivatives in W, X and E.
    #[allow(clippy::type_complexity)]
    fn lagrangian_at<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
        states: Vec<PyReadonlyArray2<f64>>,
        multipliers: Vec<PyReadonlyArray2<f64>>,
    ) -> PyResult<(f64, Vector<'py>, Vec<Rectangle<'py>>, Vec<Rectangle<'py>>, PyMatrix)> {
        let copies = |list: Vec<_>| list.iter().map(owned).collect();
        let at = Configuration { states: copies(states), multipliers: copies(multipliers) };
        let point = self.long(py, &w, 0.0, move |problem, w| problem.lagrangian(w, &at))?;
        let (d_w, d_ww) = (point.d_w.into_pyarray(py), PyMatrix::new(point.d_ww));
        Ok((point.value, d_w, arrays(py, point.d_x), arrays(py, point.d_e), d_ww))
    }

    fn lagrangian_tensor<'py>(
        &self,
        py: Python<'py>,
        w: PyReadonlyArray1<f64>,
        layer: usize,
        unit: usize,
        order: usize,
    ) -> PyResult<Bound<'py, numpy::PyArrayDyn<f64>>> {
        let tensor = self.long(py, &w, f64::INFINITY, move |problem, w| {
            problem.lagrangian_tensor(w, layer, unit, order)?.dense()
        })?;
        Ok(tensor.into_pyarray(py))
    }

    fn operator(
        &self,
        py: Python,
        w: PyReadonlyArray1<f64>,
        curvature: &str,
    ) -> PyResult<PyOperator> {
        self.check_process(py)?;
        let (w, curvature) = (slice(py, "parameters", &w)?.to_vec(), named(py, curvature)?);
        let problem = self.problem.clone();
        run(py, self.threads, || PyOperator::new(problem, &w, curvature, self.threads))
    }

    /// The inference at w.
    #[allow(clippy::too_many_arguments)]
    fn inference(
        &self,
        py: Python,
        w: PyReadonlyArray1<f64>,
        information: &str,
        covariance: Option<&str>,
        dispersion: &str,
        weights_are: &str,
        level: f64,
    ) -> PyResult<PyInference> {
        let w = slice(py, "parameters", &w)?.to_vec();
        let settings = || {
            Ok(inference::Options {
                information: Curvature::from_name(&information.replace('_', "-"))?,
                covariance: covariance.map(Covariance::from_name).transpose()?,
                dispersion: Dispersion::from_name(dispersion)?,
                weights_are: RowWeights::from_name(weights_are)?,
                level,
            })
        };
        let settings = settings().map_err(|e: Error| exception(py, &e))?;
        PyInference::new(py, self.problem.clone(), w, settings, self.threads)
    }

    fn plan(&self, py: Python, curvature: Option<(String, String)>) -> PyResult<Cost> {
        let pair = curvature
            .map(|(curvature, structure)| {
                Ok::<_, PyErr>((named(py, &curvature)?, structured(py, &structure)?))
            })
            .transpose()?;
        let request = Request { curvature: pair, ..Request::gradient() };
        run(py, self.threads, || self.problem.plan(request)).map(cost)
    }

    fn plan_products(&self, py: Python, curvature: &str, count: usize) -> PyResult<Cost> {
        let curvature = named(py, curvature)?;
        run(py, self.threads, || self.problem.plan_products(curvature, count)).map(cost)
    }

    /// Minimises from `start`, or goes on from `state`.
    #[pyo3(signature = (method, options, start, state, callback))]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        options: &Bound<'py, PyDict>,
        start: Option<PyReadonlyArray1<f64>>,
        state: Option<&Bound<'py, PyAny>>,
        callback: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Ended<'py>> {
        self.check_process(py)?;
        let method = training::method(py, method, options)?;
        let state = match state {
            None => None,
            Some(given) => match given.cast::<PyBytes>() {
                Ok(bytes) => Some(training::read(py, &self.problem, &*method, bytes.as_bytes())?),
                Err(_) => Some(given.cast::<PyState>()?.get().state.clone()),
            },
        };
        let start = match (start, state) {
            (_, Some(state)) => training::Start::State(Box::new(state)),
            (Some(w), None) => training::Start::Point(slice(py, "parameters", &w)?.to_vec()),
            (None, None) => return Err(invalid(py, "start", "parameters or a state are needed")),
        };
        training::fit(py, &self.problem, self.threads, method, start, callback)
    }
}

impl PyProblem {
    fn evaluate(
        &self,
        py: Python,
        w: &PyReadonlyArray1<f64>,
        request: Request,
    ) -> PyResult<Evaluation> {
        self.check_process(py)?;
        let w = slice(py, "parameters", w)?;
        // A short request is done at once, with its plan: each change of the interpreter's lock costs.
        let (flops, done) = run(py, self.threads, || {
            let flops = self.problem.plan(request)?.flops;
            let done = (flops < LONG).then(|| self.problem.evaluate(w, request));
            Ok((flops, done.transpose()?))
        })?;
        if let Some(done) = done {
            return Ok(done);
        }
        let (problem, w) = (self.problem.clone(), w.to_vec());
        run_interruptibly(py, self.threads, flops, move || problem.evaluate(&w, request))
    }

    /// Does a job at w.
    fn long<T: Send + 'static>(
        &self,
        py: Python,
        w: &PyReadonlyArray1<f64>,
        flops: f64,
        job: impl FnOnce(&Problem, &[f64]) -> secondo::Result<T> + Send + 'static,
    ) -> PyResult<T> {
        self.check_process(py)?;
        let (problem, w) = (self.problem.clone(), slice(py, "parameters", w)?.to_vec());
        run_interruptibly(py, self.threads, flops, move || job(&problem, &w))
    }

    /// Refuses an adapter that another process has opened.
    fn check_process(&self, py: Python) -> PyResult<()> {
        let on_processor = matches!(self.problem.device(), Device::Cpu | Device::CpuF32);
        if on_processor || !is_forked() || self.process == process::id() {
            return Ok(());
        }
        let why = "a child made by fork cannot use the adapter that its parent has opened; use \
                   multiprocessing's spawn or forkserver, or device=\"cpu\"";
        Err(invalid(py, "device", why))
    }
}

fn cost(plan: Plan) -> Cost {
    (plan.chunk, plan.data, plan.results, plan.working, plan.device, plan.flops)
}

fn arrays(py: Python, all: Vec<Array2<f64>>) -> Vec<Rectangle> {
    all.into_iter().map(|a| a.into_pyarray(py)).collect()
}

/// The device of that name and precision.
fn open(py: Python, name: &str, precision: Option<&str>) -> PyResult<Device> {
    let single = match precision {
        None => None,
        Some("f32") => Some(true),
        Some("f64") => Some(false),
        Some(_) => return Err(invalid(py, "precision", "must be 'f32', 'f64' or None")),
    };
    match name {
        "cpu" if single == Some(true) => Ok(Device::CpuF32),
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(if single == Some(false) { Device::Cpu } else { Device::auto() }),
        _ => {
            if !name.starts_with("gpu") {
                let why = "must be 'cpu', 'auto', 'gpu', 'gpu:' with a name or number of \
                           secondo.adapters(), several of these with commas between, or 'gpu:all'";
                return Err(invalid(py, "device", why));
            }
            run(py, None, || {
                let device = Device::named(name)?;
                if single == Some(false) { device.in_f64() } else { Ok(device) }
            })
        }
    }
}
