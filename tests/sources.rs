//! Samples that are read: the bits of the same rows in memory, whatever the sizes; faults of sources as errors; memory that does not
//! depend on the number of rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use secondo::{
    Activation, Auto, Control, Curvature, Data, Device, Error, Evaluation, Initialization,
    Interrupt, Lbfgs, LevenbergMarquardt, LinearOperator, Loss, Method, Network, NewtonCg, Penalty,
    Problem, Progress, Reason, Reduction, Request, Result, Samples, Structure, TrustRegion, Walk,
    Window, silent,
};

/// Rows of a window of samples with so many numbers, in chunks of 512: 1 MiB.
fn window(numbers: usize) -> usize {
    (1 << 17) / numbers / 512 * 512
}

/// Rows of five numbers and a weight that a session of 8 MiB does not keep.
const MANY: usize = 4 * 21_504 + 1;

/// The fault of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// This number in place of one of the row.
    Number(usize, usize, f64),
    /// An error from this walk on, at this row.
    Read(usize, usize),
    /// A panic at this row.
    Panic(usize),
    /// A row too few.
    Short,
}

/// Rows that are computed from their numbers.
#[derive(Debug, Clone)]
struct Made {
    rows: usize,
    inputs: usize,
    outputs: usize,
    weighted: bool,
    fault: Fault,
    walks: Arc<AtomicUsize>,
}

impl Made {
    fn new(rows: usize, inputs: usize, outputs: usize, weighted: bool) -> Self {
        Made { rows, inputs, outputs, weighted, fault: Fault::None, walks: Arc::default() }
    }

    /// The numbers of a row: X, Y, ω.
    fn row(&self, row: usize) -> (Vec<f64>, Vec<f64>, f64) {
        let mut random = Pcg64::seed_from_u64(row as u64);
        let x = (0..self.inputs).map(|_| random.random_range(-1.0..1.0)).collect();
        let class = random.random_range(0..self.outputs);
        let y = match self.outputs {
            1 => vec![random.random_range(-1.0..1.0)],
            _ => (0..self.outputs).map(|o| f64::from(u8::from(o == class))).collect(),
        };
        // Every seventh counts as not there.
        let weight = if row % 7 == 3 { 0.0 } else { random.random_range(0.5..2.0) };
        (x, y, if self.weighted { weight } else { 1.0 })
    }

    /// The same rows in memory.
    fn data(&self) -> Data {
        let (mut x, mut y, mut omega) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..self.rows {
            let (of_x, of_y, weight) = self.row(row);
            x.extend(of_x);
            y.extend(of_y);
            omega.push(weight);
        }
        let x = Array2::from_shape_vec((self.rows, self.inputs), x).unwrap();
        let y = Array2::from_shape_vec((self.rows, self.outputs), y).unwrap();
        Data::new(x, y).unwrap().weighted(omega).unwrap()
    }

    fn network(&self, hidden: usize) -> Network {
        Network::dense(&[self.inputs, hidden, self.outputs], Activation::Tanh).unwrap()
    }

    fn loss(&self) -> Loss {
        if self.outputs == 1 { Loss::SquaredError } else { Loss::SoftmaxCrossEntropy }
    }
}

impl Samples for Made {
    fn rows(&self) -> usize {
        self.rows
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>> {
        let walk = self.walks.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(At { of: self.clone(), row: first, walk }))
    }
}

struct At {
    of: Made,
    row: usize,
    walk: usize,
}

impl Walk for At {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<()> {
        for row in self.row..self.row + rows {
            let (mut x, y, mut weight) = self.of.row(row);
            match self.of.fault {
                Fault::Number(at, column, v) if at == row => {
                    *x.get_mut(column).unwrap_or(&mut weight) = v;
                }
                Fault::Read(walk, at) if at == row && self.walk >= walk => {
                    let (path, reason) = ("a.source".into(), "gone".into());
                    return Err(Error::Io { path, action: "read", reason });
                }
                Fault::Panic(at) if at == row => panic!("no row {row}"),
                Fault::Short if row + 1 == self.of.rows => continue,
                _ => {}
            }
            window.x.extend(x);
            window.y.extend(y);
            window.weights.push(weight);
        }
        self.row += rows;
        Ok(())
    }
}

/// The same problem over rows in memory and over rows that are read.
fn both(made: &Made, hidden: usize, reduction: Reduction, device: Device) -> [Problem; 2] {
    let (network, loss) = (made.network(hidden), made.loss());
    let held = Problem::new(network.clone(), made.data(), loss.clone()).unwrap();
    let read = Problem::over(network, Arc::new(made.clone()), loss).unwrap();
    [held, read].map(|problem| {
        let problem = problem.penalty(Penalty::ridge(1e-3)).unwrap();
        problem.reduction(reduction).on(device.clone())
    })
}

fn start(problem: &Problem) -> Vec<f64> {
    Initialization::Glorot.draw(problem.network(), 1)
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn requests() -> Vec<Request> {
    let structures =
        [Structure::Diagonal, Structure::RowBlocks, Structure::LayerBlocks, Structure::Full];
    let curvatures = [
        Curvature::Exact,
        Curvature::GaussNewton,
        Curvature::EmpiricalFisher,
        Curvature::Lagrangian,
    ];
    let all = curvatures.into_iter().flat_map(|c| structures.map(|s| Request::curvature(c, s)));
    let rows = Request { multipliers: true, outputs: true, ..Request::gradient() };
    [Request::default(), Request::gradient(), rows].into_iter().chain(all).collect()
}

/// `f` makes the same of both problems.
fn same<T: PartialEq>(problems: &[Problem; 2], what: &str, f: impl Fn(&Problem) -> Result<T>) {
    let [held, read] = [0, 1].map(|i| f(&problems[i]).map_err(|e| e.to_string()));
    let n = problems[0].rows();
    assert!(held.is_ok(), "{what} of {n} rows: {:?}", held.err());
    assert!(held == read, "{what} of {n} rows differs: {:?}", read.err());
}

/// An evaluation with the bits of its numbers.
fn exact(at: Evaluation) -> (Vec<u64>, Evaluation) {
    let mut numbers = at.gradient.clone();
    numbers.push(at.value);
    (bits(&numbers), at)
}

fn compare(problems: &[Problem; 2], requests: &[Request]) {
    let w = start(&problems[0]);
    for request in requests {
        same(problems, &format!("{request:?}"), |p| Ok(exact(p.evaluate(&w, *request)?)));
    }
    let vectors =
        Array2::from_shape_fn((3, w.len()), |(i, j)| ((i * 31 + j * 7) % 11) as f64 - 5.0);
    for curvature in [Curvature::Exact, Curvature::GaussNewton] {
        same(problems, "products", |p| p.operator(&w, curvature)?.products(vectors.view()));
    }
}

#[test]
fn reading_has_the_bits_of_memory_at_every_edge() {
    let requests = requests();
    for n in [1, 2, 63, 64, 65, 511, 512, 513, 1024, 1025] {
        let made = Made::new(n, 3, 1, n % 2 == 1);
        let reduction = if n % 3 == 0 { Reduction::Mean } else { Reduction::Sum };
        compare(&both(&made, 4, reduction, Device::Cpu), &requests);
    }
    // Classes, single precision, and one window of many columns.
    let classes = Made::new(1025, 5, 3, true);
    compare(&both(&classes, 4, Reduction::Mean, Device::Cpu), &requests);
    compare(&both(&classes, 4, Reduction::Sum, Device::CpuF32), &requests);
    compare(&both(&Made::new(1025, 700, 1, true), 2, Reduction::Sum, Device::Cpu), &requests[..5]);
}

#[test]
fn windows_follow_each_other_without_a_seam() {
    let few = [
        Request::default(),
        Request::gradient(),
        Request::curvature(Curvature::Exact, Structure::RowBlocks),
        Request::curvature(Curvature::GaussNewton, Structure::Full),
    ];
    let edge = window(12);
    for n in [edge - 1, edge, edge + 1, 3 * edge, 3 * edge + 1] {
        let made = Made::new(n, 10, 1, true);
        let problems = both(&made, 8, Reduction::Mean, Device::Cpu);
        compare(&problems, &few);
        let w = start(&problems[0]);
        same(&problems, "the tensor", |p| p.lagrangian_tensor(&w, 1, 0, 3));
    }
    let problems = both(&Made::new(edge + 1, 10, 1, true), 8, Reduction::Sum, Device::Cpu);
    let w = start(&problems[0]);
    same(&problems, "the Jacobian", |p| p.jacobian(&w));
    same(&problems, "the configuration", |p| p.configuration(&w));
    let at = problems[0].configuration(&w).unwrap();
    same(&problems, "the Lagrangian", |p| p.lagrangian(&w, &at));
}

#[test]
fn fits_go_the_same_way() {
    let made = Made::new(MANY, 4, 1, true);
    let problems = both(&made, 3, Reduction::Mean, Device::Cpu);
    let w = start(&problems[0]);
    let region = TrustRegion { max_iter: 4, ..TrustRegion::default() };
    let methods: [Box<dyn Method>; 5] = [
        Box::new(LevenbergMarquardt { max_iter: 8, ..LevenbergMarquardt::default() }),
        Box::new(Auto { max_iter: 8, ..Auto::default() }),
        Box::new(region.clone()),
        Box::new(NewtonCg { region, ..NewtonCg::default() }),
        Box::new(Lbfgs { max_iter: 8, ..Lbfgs::default() }),
    ];
    let small = 8 << 20;
    for method in methods {
        // With little memory the samples are read for each request, with more they stay.
        for budget in [small, u64::MAX / 4] {
            let problems = problems.clone().map(|p| p.memory_budget(budget));
            same(&problems, method.name(), |p| {
                let fit = method.fit(p, &w, &mut silent)?;
                Ok((bits(&fit.w), fit.value.to_bits(), fit.reason))
            });
        }
    }
    same(&problems, "standard errors", |p| p.standard_errors(&w).map(|found| bits(&found)));
}

/// A fit of the default by triangles that stopped in memory goes on over rows that are read.
#[test]
fn fits_of_squares_are_resumed() {
    let made = Made::new(MANY, 4, 1, true);
    let [held, read] = both(&made, 3, Reduction::Mean, Device::Cpu);
    let w = start(&held);
    let of = |steps| Auto { max_iter: steps, ..Auto::default() };
    let whole = of(9).fit(&held, &w, &mut silent).unwrap();
    assert!(whole.choice.as_ref().unwrap().starts_with("Levenberg"), "{:?}", whole.choice);
    let mut last = None;
    let note = &mut |progress: &Progress| {
        last = Some(progress.state.clone());
        if progress.iteration < 4 { Control::Continue } else { Control::Stop }
    };
    of(9).fit(&held, &w, note).unwrap();
    let state = last.unwrap();
    let read = read.memory_budget(8 << 20);
    let resumed = of(9).resume(&read, state.clone(), &mut silent).unwrap();
    assert_eq!((bits(&resumed.w), resumed.value), (bits(&whole.w), whole.value));
    // Where the triangles do not fit, no other method goes on as if nothing had happened.
    let tight = held.memory_budget(100);
    assert!(matches!(of(9).resume(&tight, state, &mut silent), Err(Error::Memory { .. })));
}

#[test]
fn samples_stay_where_there_is_room() {
    let made = Made::new(MANY, 4, 1, false);
    let read = Problem::over(made.network(3), Arc::new(made.clone()), made.loss()).unwrap();
    let w = start(&read);
    for (budget, times) in [(8 << 20, 2), (1 << 30, 1)] {
        let problem = read.clone().memory_budget(budget);
        let session = problem.session();
        let before = made.walks.load(Ordering::Relaxed);
        for scale in [1.0, 0.5] {
            let w: Vec<f64> = w.iter().map(|w| scale * w).collect();
            session.at(&w).unwrap().gradient().unwrap();
        }
        let walks = made.walks.load(Ordering::Relaxed) - before;
        assert_eq!(walks, times, "with {budget} bytes");
        assert_eq!(session.counts().uploaded, (times * made.rows) as u64);
    }
}

#[test]
fn memory_does_not_depend_on_the_number_of_rows() {
    let plan = |n: usize, request: Request| {
        let made = Made::new(n, 4, 1, false);
        let problem = Problem::over(made.network(3), Arc::new(made.clone()), made.loss()).unwrap();
        problem.plan(request).unwrap()
    };
    for request in [
        Request::gradient(),
        Request::curvature(Curvature::Exact, Structure::Full),
        Request::curvature(Curvature::Exact, Structure::RowBlocks),
    ] {
        // Whole chunks: the last one has no arrays of its own. More of them may wait to be added, up to 8 MiB.
        let [few, many] = [1 << 16, 1 << 18].map(|n| plan(n, request));
        assert!(many.bytes() < few.bytes() + (1 << 20), "{request:?}: {few}, {many}");
        assert_eq!(few.data, 0);
    }
    let [few, many] = [1 << 16, 1 << 18].map(|n| {
        let made = Made::new(n, 4, 1, false);
        let problem = Problem::over(made.network(3), Arc::new(made.clone()), made.loss()).unwrap();
        LevenbergMarquardt::default().memory(&problem).unwrap()
    });
    assert!(many < few + (1 << 20), "{few}, {many}");
}

#[test]
fn faults_of_sources_are_errors_that_name_the_place() {
    let made = Made::new(MANY, 4, 1, true);
    let open = |fault: Fault| {
        let made = Made { fault, walks: Arc::default(), ..made.clone() };
        Problem::over(made.network(3), Arc::new(made.clone()), made.loss())
    };
    let far = window(6) + 7;
    for (fault, said) in [
        (
            Fault::Number(far, 2, f64::NAN),
            format!("X is not a finite number at row {far}, column 2"),
        ),
        (Fault::Number(far, 9, -1.0), format!("weight {far} is -1; weights must not be negative")),
        (Fault::Read(0, far), "cannot read a.source: gone".into()),
        (Fault::Panic(far), format!("it panicked: no row {far}")),
        (Fault::Short, "X of a window: expected".into()),
    ] {
        let error = open(fault).map(drop).unwrap_err().to_string();
        assert!(error.contains(&said), "{fault:?}: {error}");
    }
    // Later, and in the middle of a fit.
    for walk in 2..12 {
        let squares = LevenbergMarquardt { max_iter: 30, ..LevenbergMarquardt::default() };
        let methods: [&dyn Method; 2] = [&Lbfgs { max_iter: 30, ..Lbfgs::default() }, &squares];
        for method in methods {
            let problem = open(Fault::Read(walk, far)).unwrap().memory_budget(8 << 20);
            let w = start(&problem);
            let error = method.fit(&problem, &w, &mut silent).map(drop).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{}, walk {walk}: {error}", method.name());
        }
    }
    // A request that needs rows in memory says so.
    let problem = open(Fault::None).unwrap();
    let w = start(&problem);
    assert!(matches!(problem.data(), Err(Error::Unsupported { .. })));
    let inference = secondo::inference::Inference::new(&problem, &w).map(drop);
    assert!(matches!(inference, Err(Error::Unsupported { .. })), "{inference:?}");
    let auto = Auto { max_iter: 2, ..Auto::default() };
    assert!(auto.fit(&problem, &w, &mut silent).is_ok());
}

/// Rows whose walks set a flag at a row, from a walk on.
#[derive(Debug)]
struct Ending {
    made: Made,
    flag: Interrupt,
    from: usize,
    at: usize,
}

struct Ended {
    walk: Box<dyn Walk>,
    row: usize,
    end: Option<(Interrupt, usize)>,
}

impl Samples for Ending {
    fn rows(&self) -> usize {
        self.made.rows
    }

    fn inputs(&self) -> usize {
        self.made.inputs
    }

    fn outputs(&self) -> usize {
        self.made.outputs
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>> {
        let end = self.made.walks.load(Ordering::Relaxed) >= self.from;
        let end = end.then(|| (self.flag.clone(), self.at));
        Ok(Box::new(Ended { walk: self.made.walk(first)?, row: first, end }))
    }
}

impl Walk for Ended {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<()> {
        self.row += rows;
        self.end.iter().filter(|(_, at)| self.row > *at).for_each(|(flag, _)| flag.set());
        self.walk.next(rows, window)
    }
}

/// A chunk that ends before it took its rows keeps no other one waiting: more threads than windows, one chunk in each.
#[test]
fn an_end_among_many_threads_ends_all_of_them() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    for at in [1, 700, 3000, 9000] {
        let made = Made::new(12_000, 400, 1, false);
        let flag = Interrupt::default();
        // After the check, the first targets, two walks for the scales and one for the size of the targets.
        let ending = Ending { made: made.clone(), flag: flag.clone(), from: 5, at };
        let problem = Problem::over(made.network(2), Arc::new(ending), made.loss()).unwrap();
        let problem = problem.memory_budget(16 << 20).interrupted_by(flag);
        let w = start(&problem);
        let fit = pool.install(|| Lbfgs::default().fit(&problem, &w, &mut silent));
        match fit {
            Ok(fit) => assert_eq!(fit.reason, Reason::Interrupted, "{at}"),
            Err(error) => assert_eq!(error, Error::Interrupted, "{at}"),
        }
        assert!(made.walks.load(Ordering::Relaxed) > 5, "{at}");
    }
}

/// The walks that measure inputs and targets before a fit end, too: none begins after the one that sets the flag.
#[test]
fn walks_before_a_fit_end() {
    for walk in [2, 3, 4] {
        let made = Made::new(12_000, 400, 1, false);
        let flag = Interrupt::default();
        let ending = Ending { made: made.clone(), flag: flag.clone(), from: walk, at: 700 };
        let problem = Problem::over(made.network(2), Arc::new(ending), made.loss()).unwrap();
        let problem = problem.memory_budget(16 << 20).interrupted_by(flag);
        let fit = Lbfgs::default().fit(&problem, &start(&problem), &mut silent);
        assert_eq!(fit, Err(Error::Interrupted));
        assert_eq!(made.walks.load(Ordering::Relaxed), walk + 1);
    }
}

/// Wherever a flag is set, also between two methods, where the rows are measured anew.
#[test]
fn an_interruption_between_two_methods_keeps_the_point() {
    let made = Made::new(600, 3, 1, false);
    let problem = Problem::over(made.network(2), Arc::new(made.clone()), made.loss()).unwrap();
    let problem = problem.penalty(Penalty::ridge(0.1)).unwrap();
    let w = start(&problem);
    let mut steps = 0;
    let mut count = |_: &Progress| {
        steps += 1;
        Control::Continue
    };
    let whole = Auto::default().fit(&problem, &w, &mut count).unwrap();
    assert!(whole.stages.len() > 1, "{whole}");
    for step in 1..steps {
        let (flag, mut seen) = (Interrupt::default(), 0);
        let problem = problem.clone().interrupted_by(flag.clone());
        let mut set = |_: &Progress| {
            seen += 1;
            if seen == step {
                flag.set();
            }
            Control::Continue
        };
        let fit = Auto::default().fit(&problem, &w, &mut set).unwrap();
        assert_eq!(fit.reason, Reason::Interrupted, "at step {step} of {steps}: {fit}");
        assert!(fit.value <= problem.objective(&w).unwrap());
    }
}

#[test]
fn no_rows_and_no_weights_are_refused() {
    let open = |made: Made| Problem::over(made.network(3), Arc::new(made.clone()), made.loss());
    assert!(open(Made::new(0, 4, 1, false)).is_err());
    let error = open(Made { rows: 1, fault: Fault::Number(0, 9, 0.0), ..Made::new(1, 4, 1, true) });
    assert!(error.map(drop).unwrap_err().to_string().contains("all are 0"));
    let network = Network::dense(&[5, 1], Activation::Tanh).unwrap();
    let other = Problem::over(network, Arc::new(Made::new(9, 4, 1, false)), Loss::SquaredError);
    assert!(matches!(other.map(drop), Err(Error::Shape { .. })));
}
