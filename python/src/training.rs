//! Fits: the methods with their options, the course that a callback sees, and states to go on from.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array2;
use numpy::IntoPyArray;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use secondo::io::{Checkpoint, Fingerprint, fit_to_json};
use secondo::{
    Auto, BlockNewton, Control, Fit, Indefinite, Lbfgs, LevenbergMarquardt, Method, NewtonCg,
    Preconditioning, Problem, Progress, State, Structure, TrustRegion,
};
use serde_json::{Map, json};

use crate::arguments::{Rectangle, Vector};
use crate::compute::{PAUSE, in_thread};
use crate::error::exception;
use crate::options::Options;

/// A method that a thread of its own may run.
pub type Boxed = Box<dyn Method + Send>;
/// The report as JSON with the best parameters, the last state, the course, and the exception that ended it: as much as there is.
pub type Ended<'py> =
    (Option<(String, Vector<'py>)>, Option<PyState>, Rectangle<'py>, Option<Py<PyAny>>);

/// Where a fit begins.
pub enum Start {
    Point(Vec<f64>),
    State(Box<State>),
}

/// The state of a fit, to go on from.
#[pyclass(frozen, module = "secondo._secondo", name = "State")]
pub struct PyState {
    pub state: State,
    problem: Arc<Problem>,
}

#[pymethods]
impl PyState {
    /// The best parameters.
    #[getter]
    fn w<'py>(&self, py: Python<'py>) -> Vector<'py> {
        self.state.x.clone().into_pyarray(py)
    }

    #[getter]
    fn value(&self) -> f64 {
        self.state.value
    }

    #[getter]
    fn gradient_norm(&self) -> f64 {
        self.state.gradient_norm
    }

    /// Accepted steps.
    #[getter]
    fn iterations(&self) -> usize {
        self.state.accepted
    }

    /// Steps that were tried.
    #[getter]
    fn tried(&self) -> usize {
        self.state.tried
    }

    /// The method with the options that the path depends on.
    #[getter]
    fn settings(&self) -> String {
        self.state.settings.to_string()
    }

    /// The bytes of a checkpoint.
    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let print = fingerprint(&self.problem, &self.state.settings.to_string());
        let print = print.map_err(|e| exception(py, &e))?;
        Ok(PyBytes::new(py, &Checkpoint::of(&self.state).to_bytes(&print)))
    }

    /// It is pickled as the bytes of its checkpoint, and comes back as these.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let bytes = py.import("builtins")?.getattr("bytes")?;
        Ok((bytes, PyTuple::new(py, [self.__bytes__(py)?])?))
    }
}

/// Where a running fit stands.
#[pyclass(frozen, get_all, module = "secondo._secondo", name = "Progress")]
pub struct PyProgress {
    iteration: usize,
    max_iter: usize,
    value: f64,
    gradient_norm: f64,
    mu: f64,
    radius: Option<f64>,
    elapsed: f64,
    state: Py<PyState>,
}

/// The course of a fit so far.
#[derive(Default)]
struct Course {
    /// For each step that was seen the number of tried ones, the value, the gradient's norm and the seconds.
    steps: Vec<f64>,
    last: Option<State>,
}

impl Course {
    fn note(&mut self, state: &State) {
        let seconds = state.elapsed.as_secs_f64();
        self.steps.extend([state.tried as f64, state.value, state.gradient_norm, seconds]);
        self.last = Some(state.clone());
    }
}

/// The view of a fit at a step.
struct Seen {
    max_iter: usize,
    radius: Option<f64>,
    state: State,
}

enum Message {
    Step(Seen),
    End(secondo::Result<Fit>),
}

fn fingerprint(problem: &Problem, settings: &str) -> secondo::Result<Fingerprint> {
    let mut options = Map::new();
    options.insert("method".into(), json!(settings));
    Fingerprint::new(problem, &options)
}

/// The state in the bytes of a checkpoint of the same problem and method.
pub fn read(py: Python, problem: &Problem, method: &dyn Method, bytes: &[u8]) -> PyResult<State> {
    let print = fingerprint(problem, &method.settings().to_string());
    let print = print.map_err(|e| exception(py, &e))?;
    Checkpoint::from_bytes(bytes, Path::new("state"), &print)
        .and_then(|checkpoint| checkpoint.state())
        .map_err(|e| exception(py, &e))
}

/// Runs a fit in a thread of its own, so that callback and signals are handled here while it runs.
pub fn fit<'py>(
    py: Python<'py>,
    problem: &Arc<Problem>,
    threads: Option<usize>,
    method: Boxed,
    start: Start,
    callback: Option<&Bound<PyAny>>,
) -> PyResult<Ended<'py>> {
    let (messages, inbox) = channel();
    let (answers, answered) = channel();
    let course: Arc<Mutex<Course>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, stopped, asked) = (course.clone(), stop.clone(), callback.is_some());
    let own = problem.clone();
    let work = move || {
        let observe = &mut |progress: &Progress| {
            if stopped.load(Ordering::Relaxed) {
                return Control::Stop;
            }
            seen.lock().unwrap_or_else(PoisonError::into_inner).note(progress.state);
            if !asked {
                return Control::Continue;
            }
            let (max_iter, radius) = (progress.max_iter, progress.radius);
            let step = Seen { max_iter, radius, state: progress.state.clone() };
            // Nobody answers after an interruption.
            let sent = messages.send(Message::Step(step));
            sent.ok().and_then(|()| answered.recv().ok()).unwrap_or(Control::Stop)
        };
        let end = match start {
            Start::Point(w) => method.fit(&own, &w, observe),
            Start::State(state) => method.resume(&own, *state, observe),
        };
        // Nobody waits for it after an interruption.
        drop(messages.send(Message::End(end)));
    };
    let taken = in_thread(py, threads, work)?;
    let inbox = Mutex::new(inbox);
    let (fit, raised) = loop {
        let message =
            py.detach(|| inbox.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(PAUSE));
        let raised = match message {
            Ok(Message::End(fit)) => break (Some(fit.map_err(|e| exception(py, &e))?), None),
            Ok(Message::Step(seen)) => ask(py, problem, seen, callback).map(|control| {
                // The fit waits for it.
                answers.send(control).ok();
            }),
            Err(RecvTimeoutError::Timeout) => py.check_signals(),
            Err(RecvTimeoutError::Disconnected) => {
                break (None, Some(PyRuntimeError::new_err("the fit ended without a result")));
            }
        };
        if let Err(error) = raised {
            stop.store(true, Ordering::Relaxed);
            break (None, Some(error));
        }
    };
    if let (Some(taken), Some(_)) = (taken, &raised) {
        taken.leave();
    }
    let course = std::mem::take(&mut *course.lock().unwrap_or_else(PoisonError::into_inner));
    let state = course.last.map(|state| PyState { state, problem: problem.clone() });
    let steps = Array2::from_shape_vec((course.steps.len() / 4, 4), course.steps);
    let steps = steps.map_err(|e| PyRuntimeError::new_err(e.to_string()))?.into_pyarray(py);
    let report = fit.map(|fit| {
        let json = serde_json::Value::Object(fit_to_json(&fit)).to_string();
        (json, fit.w.into_pyarray(py))
    });
    Ok((report, state, steps, raised.map(|error| error.into_value(py).into_any())))
}

/// Asks the callback whether the fit goes on: it ends where the answer is true, or `StopIteration`.
fn ask(
    py: Python,
    problem: &Arc<Problem>,
    seen: Seen,
    callback: Option<&Bound<PyAny>>,
) -> PyResult<Control> {
    py.check_signals()?;
    let Some(callback) = callback else {
        return Ok(Control::Continue);
    };
    let Seen { max_iter, radius, state } = seen;
    let progress = PyProgress {
        iteration: state.accepted,
        max_iter,
        value: state.value,
        gradient_norm: state.gradient_norm,
        mu: state.mu,
        radius,
        elapsed: state.elapsed.as_secs_f64(),
        state: Py::new(py, PyState { state, problem: problem.clone() })?,
    };
    match callback.call1((progress,)).and_then(|answer| answer.is_truthy()) {
        Ok(true) => Ok(Control::Stop),
        Ok(false) => Ok(Control::Continue),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(Control::Stop),
        Err(error) => Err(error),
    }
}

/// The method of that name with these options.
pub fn method(py: Python, name: &str, given: &Bound<PyDict>) -> PyResult<Boxed> {
    let mut options = Options::new(given)?;
    let method: Boxed = match name.replace('_', "-").as_str() {
        "auto" => {
            let mut m = Auto::default();
            options.curvature(&mut m.curvature)?;
            options.limits(&mut m.max_iter, &mut m.time_limit)?;
            options.tolerances(&mut m.gtol, &mut m.ftol, &mut m.xtol)?;
            options.set("fallback", &mut m.fallback)?;
            Box::new(m)
        }
        "trust-region" => {
            let mut m = TrustRegion::default();
            region(&mut options, &mut m)?;
            Box::new(m)
        }
        "newton-cg" => {
            let mut m = NewtonCg::default();
            region(&mut options, &mut m.region)?;
            preconditioner(py, &mut options, &mut m.preconditioning)?;
            options.set("products", &mut m.products)?;
            Box::new(m)
        }
        "lbfgs" => {
            let mut m = Lbfgs::default();
            options.limits(&mut m.max_iter, &mut m.time_limit)?;
            options.tolerances(&mut m.gtol, &mut m.ftol, &mut m.xtol)?;
            preconditioner(py, &mut options, &mut m.initial)?;
            options.set("pairs", &mut m.pairs)?;
            options.set("fallback", &mut m.fallback)?;
            Box::new(m)
        }
        "lm" => {
            let mut m = LevenbergMarquardt { goal: 1e-8, ..LevenbergMarquardt::default() };
            options.limits(&mut m.max_iter, &mut m.time_limit)?;
            options.tolerances(&mut m.goal, &mut m.ftol, &mut m.xtol)?;
            options.radius(&mut m.initial_radius, &mut m.max_radius, &mut m.eta)?;
            Box::new(m)
        }
        name @ ("newton-rows" | "newton-layers") => {
            let mut m = BlockNewton::default();
            if name == "newton-layers" {
                m.structure = Structure::LayerBlocks;
            }
            options.curvature(&mut m.curvature)?;
            if let Some(name) = options.take::<String>("indefinite")? {
                m.indefinite = Indefinite::from_name(&name).map_err(|e| exception(py, &e))?;
            }
            options.limits(&mut m.max_iter, &mut m.time_limit)?;
            options.tolerances(&mut m.gtol, &mut m.ftol, &mut m.xtol)?;
            options.set("mu", &mut m.mu)?;
            options.set("fallback", &mut m.fallback)?;
            Box::new(m)
        }
        other => {
            let known = [
                "auto",
                "trust-region",
                "newton-cg",
                "lbfgs",
                "lm",
                "newton-rows",
                "newton-layers",
            ];
            let error = secondo::Error::Unknown {
                kind: "method",
                name: other.into(),
                known: known.map(str::to_string).into(),
            };
            return Err(exception(py, &error));
        }
    };
    options.end(name)?;
    Ok(method)
}

/// The option `preconditioner`.
fn preconditioner(py: Python, options: &mut Options, to: &mut Preconditioning) -> PyResult<()> {
    if let Some(name) = options.take::<String>("preconditioner")? {
        let name = name.replace('_', "-");
        *to = Preconditioning::from_name(&name).map_err(|e| exception(py, &e))?;
    }
    Ok(())
}

/// The options of a trust region.
pub fn region(options: &mut Options, m: &mut TrustRegion) -> PyResult<()> {
    options.curvature(&mut m.curvature)?;
    options.limits(&mut m.max_iter, &mut m.time_limit)?;
    options.tolerances(&mut m.gtol, &mut m.ftol, &mut m.xtol)?;
    options.radius(&mut m.initial_radius, &mut m.max_radius, &mut m.eta)?;
    if let Some(scaling) = options.take::<Vec<f64>>("scaling")? {
        m.scaling = Some(scaling);
    }
    options.set("fallback", &mut m.fallback)
}
