//! Shared by the examples: tables as problems, and argmin's L-BFGS with a trace.
#![allow(dead_code)] // each example uses a part

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use argmin::core::observers::{Observe, ObserverMode};
use argmin::core::{CostFunction, Error, Executor, Gradient, KV, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::Array2;
use secondo::io::{Dialect, Reading, Standardization, Table, Target};
use secondo::{Activation, Data, Loss, Network, Penalty, Problem, Request, Result};

/// The data that comes with the crate: file, target column and the hidden units used.
pub const SETS: [(&str, &str, usize); 4] = [
    ("diabetes", "progression", 8),
    ("breast_cancer", "diagnosis", 5),
    ("iris", "species", 5),
    ("digits", "digit", 16),
];

/// A whole table, standardised, as a problem with one hidden layer of tanh units and ridge 1e-2.
pub fn read(name: &str, target: &str, hidden: usize) -> Result<Problem> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let table = Table::from_path(&folder.join(format!("{name}.csv")), &Dialect::default())?;
    let data = table.dataset(&Reading::new(target))?;
    let n = data.x.nrows();
    let (y, loss) = match &data.target {
        Target::Numbers(y) => {
            let (scale, _) = Standardization::none(0, 1).with_targets(y, &[target.into()], None)?;
            (scale.targets(y)?, Loss::SquaredError)
        }
        Target::Classes { labels, index } if labels.len() == 2 => {
            let y = Array2::from_shape_fn((n, 1), |(i, _)| index[i] as f64);
            (y, Loss::BinaryCrossEntropy)
        }
        Target::Classes { labels, index } => {
            let one = |(i, o)| if index[i] == o { 1.0 } else { 0.0 };
            let y = Array2::from_shape_fn((n, labels.len()), one);
            (y, Loss::SoftmaxCrossEntropy)
        }
    };
    let (scale, _) = Standardization::of_inputs(&data.x, &data.features, y.ncols(), None)?;
    let x = scale.inputs(&data.x)?;
    let network = Network::dense(&[x.ncols(), hidden, y.ncols()], Activation::Tanh)?;
    Problem::new(network, Data::new(x, y)?, loss)?.penalty(Penalty::ridge(1e-2))
}

/// The best objective so far, after so many steps, evaluations and seconds.
#[derive(Clone, Copy)]
pub struct Point {
    pub steps: usize,
    pub evaluations: usize,
    pub seconds: f64,
    pub value: f64,
}

/// A run of L-BFGS.
pub struct Run {
    pub points: Vec<Point>,
    pub steps: usize,
    pub evaluations: usize,
    pub seconds: f64,
    pub value: f64,
    /// max_l |g_l| at the end.
    pub gradient: f64,
    pub why: String,
}

/// Value and gradient of the last point: a line search asks for both, one after the other.
struct Counted<'a> {
    problem: &'a Problem,
    last: RefCell<(Vec<f64>, f64, Vec<f64>)>,
    points: RefCell<Vec<Point>>,
    steps: Arc<AtomicUsize>,
    clock: Instant,
}

/// Counts steps.
struct Steps(Arc<AtomicUsize>);

impl<I> Observe<I> for Steps {
    fn observe_iter(&mut self, _: &I, _: &KV) -> std::result::Result<(), Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Counted<'_> {
    fn at(&self, w: &[f64]) -> std::result::Result<(f64, Vec<f64>), Error> {
        if self.last.borrow().0 != w {
            let at = self.problem.evaluate(w, Request::gradient())?;
            let mut points = self.points.borrow_mut();
            let value = points.last().map_or(at.value, |p| p.value.min(at.value));
            let evaluations = points.len() + 1;
            points.push(Point {
                steps: self.steps.load(Ordering::Relaxed),
                evaluations,
                seconds: self.clock.elapsed().as_secs_f64(),
                value,
            });
            *self.last.borrow_mut() = (w.to_vec(), at.value, at.gradient);
        }
        let last = self.last.borrow();
        Ok((last.1, last.2.clone()))
    }
}

impl CostFunction for &Counted<'_> {
    type Param = Vec<f64>;
    type Output = f64;
    fn cost(&self, w: &Vec<f64>) -> std::result::Result<f64, Error> {
        Ok(self.at(w)?.0)
    }
}

impl Gradient for &Counted<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;
    fn gradient(&self, w: &Vec<f64>) -> std::result::Result<Vec<f64>, Error> {
        Ok(self.at(w)?.1)
    }
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, v| v.abs().max(m))
}

/// argmin's L-BFGS, ten pairs and Moré and Thuente's line search, until the gradient's 2-norm is `gtol` of its start.
pub fn lbfgs(problem: &Problem, start: &[f64], gtol: f64, max_iter: u64) -> Result<Run> {
    let norm = |g: &[f64]| g.iter().map(|g| g * g).sum::<f64>().sqrt();
    let goal = gtol * norm(&problem.gradient(start)?);
    let counted = Counted {
        problem,
        last: RefCell::default(),
        points: RefCell::default(),
        steps: Arc::default(),
        clock: Instant::now(),
    };
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), 10)
        .with_tolerance_grad(goal)
        .and_then(|solver| solver.with_tolerance_cost(0.0));
    let done = solver.and_then(|solver| {
        Executor::new(&counted, solver)
            .add_observer(Steps(counted.steps.clone()), ObserverMode::Always)
            .configure(|state| state.param(start.to_vec()).max_iters(max_iter))
            .run()
    });
    let seconds = counted.clock.elapsed().as_secs_f64();
    let (w, why) = match &done {
        Ok(done) => (
            done.state().get_best_param().cloned(),
            done.state().get_termination_status().to_string(),
        ),
        // A line search that finds no step ends the run.
        Err(error) => (None, error.to_string()),
    };
    let steps = counted.steps.load(Ordering::Relaxed);
    let w = w.unwrap_or_else(|| counted.last.borrow().0.clone());
    let (value, gradient) = (problem.objective(&w)?, largest(&problem.gradient(&w)?));
    let points = counted.points.into_inner();
    Ok(Run { steps, evaluations: points.len(), points, seconds, value, gradient, why })
}
