//! The values that calls leave to the next ones, and how each kind of value is drawn.

use ndarray::Array2;
use secondo::train::newton::Newton;
use secondo::{
    Activation, Auto, BlockNewton, Constraint, Curvature, Data, Device, Group, Indefinite,
    Initialization, Layer, Lbfgs, LevenbergMarquardt, Loss, Matrix, Method, Network, NewtonCg,
    Normalized, Penalty, Preconditioning, Problem, Propagation, Radial, Reduction, Request, State,
    Structure, SymmetricTensor, TrustRegion,
};

use crate::random::Random;

/// Activations of every kind: smooth, with a kink, with a domain, that overflow soon.
const ACTIVATIONS: [Activation; 9] = [
    Activation::Tanh,
    Activation::Logistic,
    Activation::Identity,
    Activation::Relu,
    Activation::Exp,
    Activation::ExpNegHalf,
    Activation::Log,
    Activation::Softplus,
    Activation::Sin,
];

#[derive(Debug)]
pub struct World {
    pub problem: Problem,
    pub w: Vec<f64>,
    pub matrix: Matrix,
    pub tensor: SymmetricTensor,
    /// Where a fit was left, and the number of the method that it is of.
    pub state: Option<(usize, State)>,
}

impl World {
    pub fn new(random: &mut Random) -> Self {
        let widths = [1 + random.below(3), 1 + random.below(4), 1 + random.below(2)];
        let network = Network::dense(&widths, random.pick(&ACTIVATIONS[..6])).unwrap();
        let problem = problem(random, network, Loss::SquaredError).unwrap();
        let w = Initialization::Glorot.draw(problem.network(), random.below(99) as u64);
        let tensor = problem.lagrangian_tensor(&w, 1, 0, 2).unwrap();
        let matrix = Matrix::full(2, vec![2.0, 0.5, 3.0]).unwrap();
        World { problem, w, matrix, tensor, state: None }
    }

    /// Another problem, with a point that suits it.
    pub fn become_problem(&mut self, problem: Problem, random: &mut Random) {
        self.w = (0..problem.parameters()).map(|_| 0.5 * random.tame()).collect();
        (self.problem, self.state) = (problem, None);
    }

    /// Mostly the point, else something near it that may have another length.
    pub fn point(&self, random: &mut Random) -> Vec<f64> {
        if random.one_in(4) { random.numbers(self.w.len()) } else { self.w.clone() }
    }
}

/// Numbers that must not be NaN or infinite where a call succeeded.
#[track_caller]
pub fn finite(numbers: impl IntoIterator<Item = f64>) {
    for (at, number) in numbers.into_iter().enumerate() {
        assert!(number.is_finite(), "number {at} is {number}");
    }
}

pub fn problem(random: &mut Random, network: Network, loss: Loss) -> secondo::Result<Problem> {
    let rows = 1 + random.below(6);
    let x = Array2::from_shape_fn((rows, network.inputs()), |_| random.tame());
    let data = Data::new(x, targets(random, &loss, rows, network.outputs()))?;
    Problem::new(network, data, loss)
}

/// Targets that a loss allows.
pub fn targets(random: &mut Random, loss: &Loss, rows: usize, outputs: usize) -> Array2<f64> {
    let values: &[f64] = match loss {
        Loss::BinaryCrossEntropy => &[0.0, 1.0],
        Loss::Gamma => &[0.5, 1.0, 2.0],
        _ => &[0.0, 1.0, 2.0],
    };
    let mut y = Array2::from_shape_fn((rows, outputs), |_| random.pick(values));
    if matches!(loss, Loss::SoftmaxCrossEntropy) {
        y.fill(0.0);
        y.rows_mut().into_iter().for_each(|mut row| row[random.below(outputs)] = 1.0);
    }
    y
}

/// A matrix of mostly this shape.
pub fn array(random: &mut Random, rows: usize, columns: usize) -> Array2<f64> {
    let columns = if random.one_in(12) { columns + 1 } else { columns };
    let values = random.numbers(rows * columns);
    Array2::from_shape_vec((rows, columns), values)
        .unwrap_or_else(|_| Array2::from_elem((rows, columns), 0.25))
}

pub fn activation(random: &mut Random) -> Activation {
    random.pick(&ACTIVATIONS)
}

fn group(random: &mut Random) -> Group {
    let (units, activation) = (random.size(), activation(random));
    match random.below(8) {
        0 => Group::radial(units, random.pick(&Radial::ALL), activation),
        1 => {
            let number = random.size();
            Group::uniform(Propagation::Normalized(Normalized(number)), units, activation)
        }
        2 => {
            let each: Vec<_> = (0..random.below(3)).map(|_| random.pick(&ACTIVATIONS)).collect();
            Group::new(Propagation::Linear, each)
        }
        _ => Group::linear(units, activation),
    }
}

fn layer(random: &mut Random, index: usize) -> Layer {
    let mut layer = match random.below(12) {
        0 => Layer::normalized(random.size()),
        1 => Layer::of(vec![group(random), group(random)]),
        _ => Layer::of(vec![group(random)]),
    };
    if random.one_in(3) {
        layer = layer.without_bias();
    }
    if random.one_in(3) {
        let sources: Vec<usize> = (0..=random.below(2)).map(|_| random.below(index + 1)).collect();
        layer = layer.sources(sources);
    }
    layer
}

pub fn network(random: &mut Random) -> secondo::Result<Network> {
    if random.one_in(3) {
        let widths: Vec<usize> = (0..random.below(5)).map(|_| random.size()).collect();
        return Network::dense(&widths, activation(random));
    }
    let layers = (0..random.below(4)).map(|index| layer(random, index + 1)).collect();
    Network::new(random.size(), layers)
}

pub fn loss(random: &mut Random, outputs: usize) -> Loss {
    let delta = random.number().abs();
    let losses = [
        Loss::SquaredError,
        Loss::WeightedSquaredError { output_weights: random.numbers(outputs) },
        Loss::BinaryCrossEntropy,
        Loss::SoftmaxCrossEntropy,
        Loss::Poisson,
        Loss::LogCosh { delta },
        Loss::PseudoHuber { delta },
        Loss::Gamma,
        Loss::NegativeBinomial { dispersion: delta },
    ];
    random.pick(&losses)
}

pub fn penalty(random: &mut Random, parameters: usize) -> Penalty {
    let lambda = if random.one_in(3) { random.number() } else { 0.1 };
    let include_bias = random.one_in(2);
    match random.below(5) {
        0 => Penalty::None,
        1 => Penalty::RidgeVec { lambda: random.numbers(parameters) },
        2 => Penalty::GroupNorm { lambda, include_bias },
        3 => Penalty::Sum(vec![Penalty::ridge(lambda), penalty(random, parameters)]),
        _ => Penalty::Ridge { lambda, include_bias },
    }
}

pub fn constraint(random: &mut Random, parameters: usize) -> secondo::Result<Constraint> {
    let free = if random.one_in(8) { random.size() } else { 1 + random.below(parameters) };
    let mut entries: Vec<(usize, usize, f64)> =
        (0..free.min(parameters)).map(|q| (q, q, 1.0)).collect();
    if random.one_in(4) {
        entries.push((random.size(), random.size(), random.number()));
    }
    Constraint::new(random.numbers(parameters), free, entries)
}

pub fn changed(random: &mut Random, problem: Problem) -> Problem {
    match random.below(4) {
        0 => problem.reduction(random.pick(&[Reduction::Sum, Reduction::Mean])),
        1 => problem.on(random.pick(&[Device::Cpu, Device::CpuF32])),
        _ => problem.memory_budget(random.pick(&[0, 1000, 100_000, 32 << 20, u64::MAX])),
    }
}

pub fn curvature(random: &mut Random) -> Curvature {
    random.pick(&Curvature::ALL)
}

pub fn structure(random: &mut Random) -> Structure {
    random.pick(&Structure::ALL)
}

pub fn request(random: &mut Random) -> Request {
    let mut request = Request::default();
    if random.one_in(2) {
        request = Request::curvature(curvature(random), structure(random));
    }
    request.gradient |= random.one_in(2);
    request.multipliers |= random.one_in(4);
    request.outputs |= random.one_in(4);
    request
}

/// A tolerance: mostly good.
fn tolerance(random: &mut Random) -> f64 {
    if random.one_in(10) { random.number() } else { 1e-9 }
}

fn region(random: &mut Random, parameters: usize) -> TrustRegion {
    let mut options = TrustRegion { max_iter: random.below(6), ..TrustRegion::default() };
    options.gtol = tolerance(random);
    if random.one_in(4) {
        options.initial_radius = random.number();
        options.max_radius = random.number().abs();
        options.eta = random.number();
    }
    if random.one_in(6) {
        options.scaling = Some(random.numbers(parameters));
    }
    if random.one_in(4) {
        options.curvature = curvature(random);
        options.time_limit = Some(random.duration());
    }
    options
}

/// The method of a number, with options that are mostly good.
pub fn method(random: &mut Random, number: usize, parameters: usize) -> Box<dyn Method> {
    let (max_iter, gtol) = (random.below(6), tolerance(random));
    let time_limit = random.one_in(4).then(|| random.duration());
    match number {
        0 => Box::new(region(random, parameters)),
        1 => Box::new(least_squares(random)),
        2 => Box::new(Lbfgs {
            pairs: if random.one_in(6) { random.size() } else { 3 },
            initial: random.pick(&[Preconditioning::RowBlocks, Preconditioning::Diagonal]),
            max_iter,
            gtol,
            time_limit,
            ..Lbfgs::default()
        }),
        3 => Box::new(BlockNewton {
            curvature: curvature(random),
            structure: structure(random),
            indefinite: random.pick(&Indefinite::ALL),
            max_iter,
            mu: tolerance(random),
            time_limit,
            ..BlockNewton::default()
        }),
        4 => Box::new(NewtonCg {
            region: region(random, parameters),
            products: if random.one_in(6) { random.size() } else { 10 },
            ..NewtonCg::default()
        }),
        _ => Box::new(Auto { max_iter, gtol, time_limit, ..Auto::default() }),
    }
}

pub const METHODS: usize = 6;

pub fn least_squares(random: &mut Random) -> LevenbergMarquardt {
    LevenbergMarquardt {
        max_iter: random.below(6),
        gtol: tolerance(random),
        xtol: tolerance(random),
        initial_radius: if random.one_in(6) { random.number() } else { 1.0 },
        goal: tolerance(random),
        time_limit: random.one_in(4).then(|| random.duration()),
        ..LevenbergMarquardt::default()
    }
}

pub fn newton(random: &mut Random) -> Newton {
    Newton { max_iter: random.below(8), gtol: tolerance(random), xtol: tolerance(random) }
}

/// A state that was changed somewhere.
pub fn changed_state(random: &mut Random, mut s: State, parameters: usize) -> State {
    for _ in 0..random.below(3) {
        let (size, number) = (random.size(), random.number());
        match random.below(23) {
            0 => s.x = random.numbers(parameters),
            1 => s.value = number,
            2 => s.gradient_norm = number,
            3 => s.initial_value = number,
            4 => s.initial_gradient_norm = number,
            5 => s.radius = number,
            6 => s.unit = number,
            7 => s.roots = random.numbers(parameters),
            8 => s.mu = number,
            9 => s.growth = number,
            10 => s.stage = size,
            11 => s.slow = size,
            12 => s.again = number,
            13 => s.fleeing = size,
            14 => (s.mark, s.marked) = (size, number),
            15 => s.accepted = size,
            16 => s.tried = size,
            17 => s.pairs.push_back((random.numbers(parameters), random.numbers(parameters))),
            18 => s.base = random.numbers(parameters),
            19 => s.since = size,
            20 => s.evaluations.gradient = size,
            21 => (s.whole, s.near) = (true, number),
            _ => s.elapsed = random.duration(),
        }
    }
    s
}
