//! Problems that several processes compute, and the bits of all that is asked of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::Array2;
use secondo::{
    Activation, Auto, BlockNewton, Curvature, Data, Device, Error, Initialization, Lbfgs,
    LevenbergMarquardt, LinearOperator, Loss, Method, Network, NewtonCg, Penalty, Problem,
    Reduction, Result, Samples, Structure, TrustRegion, Walk, Window, silent,
};

/// Rows between which lanes may end.
pub const UNIT: usize = 4096;

/// Rows that are computed from their numbers, with a fault at a row once they were checked.
#[derive(Debug, Clone)]
pub struct Made {
    rows: usize,
    /// The row, and the error; `panic` and `exit` do that.
    fault: Option<(usize, &'static str)>,
    walks: Arc<AtomicU64>,
}

struct At(Made, usize, bool);

impl Made {
    pub fn new(rows: usize, fault: Option<(usize, &'static str)>) -> Self {
        Made { rows, fault, walks: Arc::default() }
    }

    /// X, Y and ω of a row.
    pub fn row(row: usize) -> ([f64; 3], f64, f64) {
        let t = row as f64;
        let x = [(0.37 * t).sin(), (0.11 * t).cos(), (1.7 * t).sin()];
        let weight = if row % 7 == 3 { 0.0 } else { 1.0 + (0.05 * t).sin() / 2.0 };
        (x, (x[0] - 2.0 * x[1] * x[2]).tanh(), weight)
    }

    pub fn data(rows: std::ops::Range<usize>) -> Data {
        let x = Array2::from_shape_fn((rows.len(), 3), |(i, j)| Made::row(rows.start + i).0[j]);
        let y = Array2::from_shape_fn((rows.len(), 1), |(i, _)| Made::row(rows.start + i).1);
        let weights = rows.map(|row| Made::row(row).2).collect();
        Data::new(x, y).unwrap().weighted(weights).unwrap()
    }
}

impl Samples for Made {
    fn rows(&self) -> usize {
        self.rows
    }

    fn inputs(&self) -> usize {
        3
    }

    fn outputs(&self) -> usize {
        1
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>> {
        // Checks of the rows and of the loss come before the first request.
        let is_first = self.walks.fetch_add(1, Ordering::Relaxed) < 2;
        Ok(Box::new(At(self.clone(), first, is_first)))
    }
}

impl Walk for At {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<()> {
        let At(made, first, is_first) = self;
        for row in *first..*first + rows {
            match made.fault.filter(|(at, _)| *at == row && !*is_first) {
                Some((_, "panic")) => panic!("no row {row}"),
                Some((_, "exit")) => std::process::exit(3),
                Some((_, why)) => return Err(Error::Numerical { what: why.into() }),
                None => {}
            }
            let (x, y, weight) = Made::row(row);
            window.x.extend(x);
            window.y.push(y);
            window.weights.push(weight);
        }
        *first += rows;
        Ok(())
    }
}

pub fn network(hidden: usize) -> Network {
    Network::dense(&[3, hidden, 1], Activation::Tanh).unwrap()
}

pub fn held(rows: usize, hidden: usize) -> Result<Problem> {
    let problem = Problem::new(network(hidden), Made::data(0..rows), Loss::SquaredError)?;
    problem.on(Device::Cpu).reduction(Reduction::Mean).penalty(Penalty::ridge(1e-3))
}

pub fn read(rows: usize, hidden: usize) -> Result<Problem> {
    let made = Arc::new(Made::new(rows, None));
    let problem = Problem::over(network(hidden), made, Loss::SquaredError)?;
    // So little that the rows do not stay.
    let problem = problem.memory_budget(4 << 20).on(Device::Cpu);
    problem.reduction(Reduction::Mean).penalty(Penalty::ridge(1e-3))
}

pub fn start(problem: &Problem) -> Vec<f64> {
    Initialization::Glorot.draw(problem.network(), 1)
}

fn add_bits(all: &mut Vec<u64>, values: impl IntoIterator<Item = f64>) {
    all.extend(values.into_iter().map(f64::to_bits));
}

/// The bits of everything that is asked.
pub fn everything(problem: &Problem, structures: &[Structure]) -> Vec<u64> {
    let w = start(problem);
    let mut all = Vec::new();
    add_bits(&mut all, [problem.objective(&w).unwrap()]);
    for curvature in Curvature::ALL {
        for structure in structures {
            let at = problem.curvature(&w, curvature, *structure).unwrap();
            add_bits(&mut all, std::iter::once(at.value).chain(at.gradient));
            let matrix = at.curvature.unwrap();
            add_bits(&mut all, matrix.blocks().flat_map(|b| b.packed().to_vec()));
        }
        let vectors = Array2::from_shape_fn((2, w.len()), |(i, j)| ((3 * i + j) % 5) as f64 - 2.0);
        let operator = problem.operator(&w, curvature).unwrap();
        add_bits(&mut all, operator.products(vectors.view()).unwrap());
    }
    let tensor = problem.lagrangian_tensor(&w, 1, 0, 3).unwrap();
    add_bits(&mut all, tensor.packed().iter().copied());
    all
}

/// Methods of fitting that take sums over the rows alone.
pub fn methods() -> Vec<Box<dyn Method + Sync>> {
    let region = TrustRegion { max_iter: 6, ..TrustRegion::default() };
    vec![
        Box::new(region.clone()),
        Box::new(NewtonCg { region, ..NewtonCg::default() }),
        Box::new(Lbfgs { max_iter: 10, ..Lbfgs::default() }),
        Box::new(BlockNewton { max_iter: 6, ..BlockNewton::default() }),
        Box::new(Auto { max_iter: 6, ..Auto::default() }),
        // Not the one that the default takes here.
        Box::new(LevenbergMarquardt {
            max_iter: 6,
            initial_radius: 0.1,
            ..LevenbergMarquardt::default()
        }),
    ]
}

/// The bits of the end of a fit, and its steps.
pub fn end_of_fit(method: &dyn Method, problem: &Problem) -> (Vec<u64>, usize) {
    let fit = method.fit(problem, &start(problem), &mut silent).unwrap();
    let mut bits = Vec::new();
    add_bits(&mut bits, fit.w.iter().copied().chain([fit.value]));
    (bits, fit.iterations)
}
