//! Users' losses and penalties: every curvature and structure against hyper-dual numbers, on every backend, and what they do
//! wrong.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::hyperdual::{Hyper, lower};
use common::nets::Random;
use common::{Failures, hyperdual};
use ndarray::array;
use secondo::train::newton::{Newton, function, newton_root};
use secondo::train::{LevenbergMarquardt, residual_function};
use secondo::{
    Activation, Auto, BlockNewton, Constraint, Curvature, Data, Device, Error, Fit, Layer,
    LinearOperator, Loss, LossFunction, Method, Network, NewtonCg, Penalty, PenaltyFunction,
    Problem, Reason, Request, Structure, TrustRegion, silent,
};

/// The misconduct of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    Panic,
    Nan,
}

/// Does its deed once `left` calls have been used up.
#[derive(Debug)]
struct Trigger {
    left: AtomicI64,
    deed: Deed,
}

impl Trigger {
    fn none() -> Self {
        Self::after(i64::MAX, Deed::Panic)
    }

    fn after(left: i64, deed: Deed) -> Self {
        Trigger { left: AtomicI64::new(left), deed }
    }

    /// The number itself, or what the deed makes of it.
    fn pull(&self, v: f64) -> f64 {
        match (self.left.fetch_sub(1, Ordering::Relaxed) > 0, self.deed) {
            (true, _) => v,
            (false, Deed::Nan) => f64::NAN,
            (false, Deed::Panic) => panic!("out of calls"),
        }
    }
}

/// A change to the gradient (1) or the Hessian (2).
type Change = fn(usize, &mut [f64]);

/// ½ (ν + s) ln(1 + ‖x − y‖²/ν) with ν = 2: it couples the outputs.
#[derive(Debug)]
struct Student {
    change: Change,
    trigger: Trigger,
    /// Where the value is NaN: ‖x − y‖ beyond.
    limit: f64,
    wgsl: Option<&'static str>,
}

fn student() -> Student {
    Student { change: |_, _| {}, trigger: Trigger::none(), limit: f64::INFINITY, wgsl: None }
}

fn apart(x: &[f64], y: &[f64]) -> (Vec<f64>, f64) {
    let r: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
    let square = r.iter().map(|r| r * r).sum();
    (r, square)
}

impl LossFunction for Student {
    fn name(&self) -> &str {
        "student"
    }
    fn value(&self, x: &[f64], y: &[f64]) -> f64 {
        let (_, square) = apart(x, y);
        if square.sqrt() > self.limit {
            return f64::NAN;
        }
        self.trigger.pull(0.5 * (2.0 + x.len() as f64) * (square / 2.0).ln_1p())
    }
    fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let (r, square) = apart(x, y);
        let factor = (2.0 + x.len() as f64) / (2.0 + square);
        out.iter_mut().zip(r).for_each(|(out, r)| *out = factor * r);
        (self.change)(1, out);
    }
    fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let (r, square) = apart(x, y);
        let s = x.len();
        let factor = (2.0 + s as f64) / (2.0 + square);
        for o in 0..s {
            for q in 0..s {
                let same = if o == q { 1.0 } else { 0.0 };
                out[o * s + q] = factor * (same - 2.0 * r[o] * r[q] / (2.0 + square));
            }
        }
        (self.change)(2, out);
    }
    fn check(&self, y: &[f64]) -> Result<(), String> {
        match y.iter().position(|y| *y > 90.0) {
            Some(o) => Err(format!("{} of output {o} is above 90", y[o])),
            None => Ok(()),
        }
    }
    fn wgsl(&self) -> Option<&str> {
        self.wgsl
    }
}

#[cfg(feature = "gpu")]
const STUDENT: &str = "
#include \"lib/log.wgsl\"
fn apart(o: u32) -> real {
    return predicted(o) - observed(o);
}
fn square() -> real {
    var sum = real(0.0);
    for (var o = 0u; o < OUTPUTS; o++) {
        sum += apart(o) * apart(o);
    }
    return sum;
}
fn loss_value() -> real {
    return 0.5 * (2.0 + real(OUTPUTS)) * log1p_(0.5 * square());
}
fn loss_gradient(o: u32) -> real {
    return (2.0 + real(OUTPUTS)) / (2.0 + square()) * apart(o);
}
fn loss_hessian(o: u32, q: u32) -> real {
    let size = 2.0 + square();
    var same = real(0.0);
    if o == q {
        same = 1.0;
    }
    return (2.0 + real(OUTPUTS)) / size * (same - 2.0 * apart(o) * apart(q) / size);
}
";

/// ½ Σ_o (y_o − x_o)², as the crate has it.
#[derive(Debug)]
struct Square;

impl LossFunction for Square {
    fn name(&self) -> &str {
        "square"
    }
    fn value(&self, x: &[f64], y: &[f64]) -> f64 {
        0.5 * apart(x, y).1
    }
    fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&apart(x, y).0);
    }
    fn hessian(&self, x: &[f64], _: &[f64], out: &mut [f64]) {
        (0..x.len()).for_each(|o| out[o * (x.len() + 1)] = 1.0);
    }
    fn hessian_is_diagonal(&self) -> bool {
        true
    }
}

/// A net with a skip and 27 parameters, seven weighted samples.
fn problem(loss: Loss) -> (Problem, Vec<f64>) {
    let mut random = Random::new(5);
    let layers = vec![
        Layer::dense(3, Activation::Tanh),
        Layer::dense(3, Activation::Identity).sources(vec![0, 1]),
    ];
    let network = Network::new(2, layers).unwrap();
    let w = random.vector(network.parameters(), 0.9);
    let (x, y) = (random.matrix(7, 2, 1.5), random.matrix(7, 3, 1.0));
    let weights = vec![1.0, 0.5, 2.0, 0.0, 1.0, 0.3, 1.7];
    let data = Data::new(x, y).unwrap().weighted(weights).unwrap();
    (Problem::new(network, data, loss).unwrap(), w)
}

fn custom(loss: impl LossFunction + 'static) -> Loss {
    Loss::Custom(Arc::new(loss))
}

/// Value, gradient, all blocks of all structures and products against hyper-dual numbers.
fn against_hyper_dual(what: &str, problem: &Problem, w: &[f64], tolerance: f64) -> Failures {
    let mut failures = Failures::default();
    let p = w.len();
    let value =
        hyperdual::objective(problem, &w.iter().map(|&v| v.into()).collect::<Vec<Hyper>>()).v;
    let gradient = hyperdual::gradient(problem, w);
    let v = Random::new(3).vector(p, 1.0);
    for curvature in Curvature::ALL {
        let lower = lower(problem, w, curvature);
        let entry = |a: usize, b: usize| lower[a.max(b) * (a.max(b) + 1) / 2 + a.min(b)];
        for structure in Structure::ALL {
            let what = format!("{what}, {} {}", curvature.name(), structure.name());
            let at = problem.curvature(w, curvature, structure).unwrap();
            failures.compare(&format!("{what}: value"), &[at.value], &[value], tolerance);
            failures.compare(&format!("{what}: gradient"), &at.gradient, &gradient, tolerance);
            let matrix = at.curvature.unwrap();
            let (mut found, mut right) = (Vec::new(), Vec::new());
            for block in matrix.blocks() {
                found.extend_from_slice(block.packed());
                for a in block.range.clone() {
                    right.extend((block.range.start..=a).map(|b| entry(a, b)));
                }
            }
            failures.compare(&what, &found, &right, tolerance);
        }
        let right: Vec<f64> = (0..p).map(|a| (0..p).map(|b| entry(a, b) * v[b]).sum()).collect();
        let found = problem.operator(w, curvature).unwrap().product(&v).unwrap();
        let what = format!("{what}, {}: product", curvature.name());
        failures.compare(&what, &found, &right, tolerance);
    }
    failures
}

#[test]
fn losses_in_every_curvature_and_structure() {
    for loss in [custom(student()), custom(Square)] {
        let name = loss.name().to_string();
        let (problem, w) = problem(loss);
        against_hyper_dual(&name, &problem, &w, 1e-13).assert_none();
        let single = problem.on(Device::CpuF32);
        against_hyper_dual(&name, &single, &w, 3e-6).assert_none();
    }
    // Bit for bit the crate's own.
    let ((own, w), (built_in, _)) = (problem(custom(Square)), problem(Loss::SquaredError));
    for (curvature, structure) in
        [(Curvature::Exact, Structure::Full), (Curvature::GaussNewton, Structure::RowBlocks)]
    {
        let request = Request::curvature(curvature, structure);
        assert_eq!(own.evaluate(&w, request), built_in.evaluate(&w, request));
    }
    assert!(
        own.loss().hessian_is_diagonal()
            && !problem(custom(student())).0.loss().hessian_is_diagonal()
    );
}

#[test]
fn the_comparison_sees_a_disturbance() {
    let (problem, mut w) = problem(custom(student()));
    w[4] += 1e-9;
    let other = hyperdual::gradient(&problem, &w);
    w[4] -= 1e-9;
    let mut failures = Failures::default();
    failures.compare("gradient", &problem.gradient(&w).unwrap(), &other, 1e-13);
    assert!(failures.any());
}

#[cfg(feature = "gpu")]
mod on_an_adapter {
    use super::common::adapter::{double, single};
    use super::*;

    #[test]
    fn losses_with_wgsl_and_without() {
        for wgsl in [Some(STUDENT), None] {
            let (problem, w) = problem(custom(Student { wgsl, ..student() }));
            for (gpu, tolerance) in [(single(), 3e-5), (double(), 1e-12)] {
                let problem = problem.clone().on(Device::Gpu(gpu));
                let what = format!("with WGSL: {}", wgsl.is_some());
                against_hyper_dual(&what, &problem, &w, tolerance).assert_none();
            }
        }
    }

    /// The words of the refusal.
    fn refused(wgsl: String, gpu: secondo::backend::gpu::Gpu) -> String {
        let wgsl = Some(&*wgsl.leak());
        let (problem, w) = problem(custom(Student { wgsl, ..student() }));
        let problem = problem.on(Device::Gpu(gpu.clone()));
        let errors = [
            problem.objective(&w).unwrap_err(),
            (problem.evaluate_on(&gpu, &w, Request::default(), 3)).unwrap_err(),
            (problem.products_on(&gpu, &w, Curvature::Exact, &w, 3)).unwrap_err(),
            (problem.lagrangian_tensor_on(&gpu, &w, 1, 0, 2, 3)).unwrap_err(),
            problem.operator(&w, Curvature::Exact).unwrap().product(&w).unwrap_err(),
            TrustRegion::default().fit(&problem, &w, &mut silent).unwrap_err(),
        ];
        for error in &errors {
            let Error::Part { kind: "loss", name, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(name, "student");
        }
        errors[0].to_string()
    }

    #[test]
    fn wrong_wgsl_is_refused() {
        for (from, to, said) in [
            ("0.5 * (2.0", "0.501 * (2.0", "the value, entry 0"),
            (
                "square()) * apart(o)",
                "square()) * apart(OUTPUTS - 1u - o)",
                "the gradient, entry 0",
            ),
            ("same - 2.0", "same + 2.0", "the Hessian, entry 0"),
        ] {
            assert!(STUDENT.contains(from));
            for gpu in [single(), double()] {
                let why = refused(STUDENT.replace(from, to), gpu);
                assert!(why.starts_with("the loss 'student': its WGSL gives"), "{why}");
                assert!(why.contains(said), "{why}");
            }
        }
        // A relative error of 1e-8 shows in f64.
        let why = refused(STUDENT.replace("0.5 * (2.0", "0.500000005 * (2.0"), double());
        assert!(why.contains("the value, entry 0"), "{why}");
    }

    /// s Σ_o x_o − y_o ln x_o, which is none of negative x, and infinite beyond a limit.
    #[derive(Debug)]
    struct Positive {
        s: f64,
        limit: f64,
        wgsl: String,
    }

    const POSITIVE: &str = "
#include \"lib/log.wgsl\"
fn loss_value() -> real {
    var sum = real();
    for (var o = 0u; o < OUTPUTS; o++) {
        sum += predicted(o) - observed(o) * log_(predicted(o));
    }
    return sum;
}
fn loss_gradient(o: u32) -> real {
    return 1.0 - observed(o) / predicted(o);
}
fn loss_hessian(o: u32, q: u32) -> real {
    return select(real(), observed(o) / (predicted(o) * predicted(o)), o == q);
}
";

    impl LossFunction for Positive {
        fn name(&self) -> &str {
            "positive"
        }
        fn value(&self, x: &[f64], y: &[f64]) -> f64 {
            if x[0] > self.limit {
                return f64::INFINITY;
            }
            self.s * x.iter().zip(y).map(|(x, y)| x - y * x.ln()).sum::<f64>()
        }
        fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
            for o in 0..x.len() {
                out[o] = self.s * (1.0 - y[o] / x[o]);
            }
        }
        fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
            for o in 0..x.len() {
                out[o * (x.len() + 1)] = self.s * y[o] / (x[o] * x[o]);
            }
        }
        fn wgsl(&self) -> Option<&str> {
            assert!(self.wgsl != "panic", "no text");
            Some(&self.wgsl)
        }
    }

    /// At a net whose outputs are all 2, with targets of 1.
    fn positive(
        s: f64,
        limit: f64,
        wgsl: &str,
        gpu: &secondo::backend::gpu::Gpu,
    ) -> Result<f64, Error> {
        let wgsl = wgsl.to_string();
        let network = Network::dense(&[1, 1], Activation::Identity)?;
        let data = Data::new(array![[1.0], [2.0], [3.0]], array![[1.0], [1.0], [1.0]])?;
        let problem = Problem::new(network, data, custom(Positive { s, limit, wgsl }))?;
        problem.on(Device::Gpu(gpu.clone())).objective(&[0.0, 2.0])
    }

    #[test]
    fn a_loss_is_compared_where_it_is_defined() {
        let right = 3.0 * (2.0 - 2f64.ln());
        // Errors of the values that cancel in their sum.
        let (from, to) = ("return sum;", "return sum + 0.1 - 0.2 * real(sample % 2u);");
        assert!(POSITIVE.contains(from));
        let wrong = POSITIVE.replace(from, to);
        for gpu in [single(), double()] {
            for limit in [f64::INFINITY, 2.5] {
                let found = positive(1.0, limit, POSITIVE, &gpu).unwrap();
                assert!((found - right).abs() < 1e-5, "{found}");
                for (s, text) in [(1.0, &*wrong), (2.0, POSITIVE)] {
                    let error = positive(s, limit, text, &gpu).unwrap_err();
                    assert!(matches!(error, Error::Part { .. }), "{error}");
                    assert!(error.to_string().contains("for the value"), "{error}");
                }
            }
            let error = positive(1.0, 2.5, "panic", &gpu).unwrap_err();
            assert_eq!(error.to_string(), "the loss 'positive': it panicked: no text");
        }
    }

    #[test]
    fn wgsl_that_does_not_compile_is_refused() {
        for (from, to) in [
            ("return sum;", "return sum"),
            ("log1p_", "no_such_function"),
            ("fn loss_hessian", "fn another"),
            ("lib/log.wgsl", "lib/no_such_file.wgsl"),
        ] {
            assert!(STUDENT.contains(from));
            let why = refused(STUDENT.replace(from, to), single());
            assert!(why.contains("its WGSL is refused by"), "{why}");
        }
    }
}

#[test]
fn wrong_derivatives_are_refused_at_registration() {
    let changes: [(Change, &str, &[usize]); 6] = [
        (
            |order, v| {
                if order == 1 {
                    v.iter_mut().for_each(|v| *v = -*v)
                }
            },
            "gradient",
            &[0],
        ),
        (
            |order, v| {
                if order == 1 {
                    v[1] *= 2.0
                }
            },
            "gradient",
            &[1],
        ),
        (
            |order, v| {
                if order == 1 {
                    v[2] *= 1.0 + 1e-6
                }
            },
            "gradient",
            &[2],
        ),
        (
            |order, v| {
                if order == 2 {
                    v[1] = 0.0
                }
            },
            "Hessian",
            &[0, 1],
        ),
        (
            |order, v| {
                if order == 2 {
                    v.swap(3, 5)
                }
            },
            "Hessian",
            &[1, 0],
        ),
        (
            |order, v| {
                if order == 2 {
                    v[8] *= 1.0 + 1e-6
                }
            },
            "Hessian",
            &[2, 2],
        ),
    ];
    let (right, _) = problem(Loss::SquaredError);
    for (change, what, place) in changes {
        let loss = custom(Student { change, ..student() });
        let done = Problem::new(right.network().clone(), right.data().unwrap().clone(), loss);
        let Err(Error::Derivative { part, derivative, at, point, given, expected, error }) = done
        else {
            panic!("{what} {place:?}: {done:?}");
        };
        assert_eq!((part.as_str(), derivative), ("the loss 'student'", format!("the {what}")));
        assert_eq!((at.as_slice(), point.len()), (place, 3));
        assert!((given - expected).abs() > 100.0 * error);
    }
    let mut penalty = coupling();
    penalty.change = |order, v| {
        if order == 1 {
            v[0] *= 2.0
        }
    };
    let Err(Error::Derivative { part, at, .. }) =
        right.clone().penalty(Penalty::Custom(Arc::new(penalty)))
    else {
        panic!("the wrong gradient is not found");
    };
    assert_eq!((part.as_str(), at), ("the penalty 'coupling'", vec![A]));
    let mut penalty = coupling();
    penalty.change = |order, v| {
        if order == 2 {
            v[2] *= 1.0 + 1e-6
        }
    };
    let sum = Penalty::Sum(vec![Penalty::ridge(0.1), Penalty::Custom(Arc::new(penalty))]);
    let Err(Error::Derivative { derivative, at, .. }) = right.penalty(sum) else {
        panic!("the wrong Hessian is not found");
    };
    assert_eq!((derivative.as_str(), at), ("the Hessian", vec![B, A]));
}

#[test]
fn many_parameters_are_checked_along_directions() {
    let network = Network::dense(&[10, 12, 3], Activation::Tanh).unwrap();
    assert!(network.parameters() > 100);
    let mut random = Random::new(2);
    let data = Data::new(random.matrix(4, 10, 1.0), random.matrix(4, 3, 1.0)).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let with = |change: Change| {
        let penalty = Coupling { change, ..coupling() };
        let done = problem.clone().penalty(Penalty::Custom(Arc::new(penalty)));
        done.map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(with(|_, _| {}), Ok(()));
    let slope: Change = |order, v| {
        if order == 1 {
            v[0] *= 1.0 + 1e-5;
        }
    };
    let why = with(slope).unwrap_err();
    let said = "the gradient along a random direction";
    assert!(why.contains(said), "{why}");
    let mixed: Change = |order, v| {
        if order == 2 {
            v[2] *= 1.0 + 1e-5;
        }
    };
    let why = with(mixed).unwrap_err();
    let said = "the Hessian along a random direction, entry [1, 0]";
    assert!(why.contains(said) && why.contains("and so on"), "{why}");
}

#[test]
fn targets_are_the_losses_to_refuse() {
    let (right, _) = problem(Loss::SquaredError);
    let mut y = right.data().unwrap().y().clone();
    y[(4, 2)] = 91.0;
    let data = Data::new(right.data().unwrap().x().to_owned(), y).unwrap();
    let refused = Problem::new(right.network().clone(), data, custom(student())).unwrap_err();
    assert_eq!(refused.to_string(), "targets of sample 4: 91 of output 2 is above 90");
}

/// Parameters of different layers: a weight of a hidden unit and one of an output.
const A: usize = 1;
const B: usize = 12;

/// ½ (w_a w_b − 1)² + ⅓ w_a⁴.
#[derive(Debug)]
struct Coupling {
    change: Change,
    trigger: Trigger,
}

fn coupling() -> Coupling {
    Coupling { change: |_, _| {}, trigger: Trigger::none() }
}

impl PenaltyFunction for Coupling {
    fn name(&self) -> &str {
        "coupling"
    }
    fn value(&self, w: &[f64]) -> f64 {
        let value = 0.5 * (w[A] * w[B] - 1.0).powi(2) + w[A].powi(4) / 3.0;
        self.trigger.pull(value)
    }
    fn gradient(&self, w: &[f64], out: &mut [f64]) {
        let r = w[A] * w[B] - 1.0;
        let mut g = [r * w[B] + 4.0 / 3.0 * w[A].powi(3), r * w[A]];
        (self.change)(1, &mut g);
        (out[A], out[B]) = (g[0], g[1]);
    }
    fn hessian(&self, w: &[f64], add: &mut dyn FnMut(usize, usize, f64)) {
        let mut h = [w[B] * w[B], w[A] * w[A], 2.0 * w[A] * w[B] - 1.0];
        (self.change)(2, &mut h);
        // In parts, and above the diagonal.
        add(A, A, h[0]);
        add(A, A, 4.0 * w[A] * w[A]);
        add(B, B, h[1]);
        add(A, B, h[2]);
    }
}

fn coupled(penalty: Coupling, loss: Loss) -> (Problem, Vec<f64>) {
    let (problem, w) = problem(loss);
    let sum = Penalty::Sum(vec![Penalty::Custom(Arc::new(penalty)), Penalty::ridge(0.25)]);
    (problem.penalty(sum).unwrap(), w)
}

#[test]
fn a_penalty_that_couples_layers() {
    let ((bare, w), (with, _)) =
        (problem(Loss::SquaredError), coupled(coupling(), Loss::SquaredError));
    let p = w.len();
    // By hyper-dual numbers.
    let penalty = |first: usize, second: usize| {
        let mut v: Vec<Hyper> = w.iter().map(|&v| v.into()).collect();
        (v[first].d1, v[second].d2) = (1.0, 1.0);
        let c = Hyper::from;
        let r = v[A] * v[B] - c(1.0);
        let ridge = v.iter().fold(Hyper::ZERO, |sum, v| sum + c(0.125) * *v * *v);
        c(0.5) * r * r + v[A] * v[A] * v[A] * v[A] / c(3.0) + ridge
    };
    let hessian = |a: usize, b: usize| penalty(a, b).d12;
    let mut failures = Failures::default();
    for curvature in Curvature::ALL {
        let has_it = curvature != Curvature::Residual;
        for structure in Structure::ALL {
            let what = format!("{} {}", curvature.name(), structure.name());
            let (at, alone) = (
                with.curvature(&w, curvature, structure).unwrap(),
                bare.curvature(&w, curvature, structure).unwrap(),
            );
            failures.compare(
                &what,
                &[at.value - alone.value, at.penalty],
                &[penalty(0, 0).v; 2],
                1e-14,
            );
            let added: Vec<f64> =
                (at.gradient.iter().zip(&alone.gradient)).map(|(g, h)| g - h).collect();
            let right: Vec<f64> = (0..p).map(|a| penalty(a, a).d1).collect();
            failures.compare(&format!("{what}: gradient"), &added, &right, 1e-14);
            let (matrix, alone) = (at.curvature.unwrap(), alone.curvature.unwrap());
            let (mut found, mut right) = (Vec::new(), Vec::new());
            for (block, alone) in matrix.blocks().zip(alone.blocks()) {
                found.extend(block.packed().iter().zip(alone.packed()).map(|(v, w)| v - w));
                for a in block.range.clone() {
                    let entry = |b| if has_it { hessian(a, b) } else { 0.0 };
                    right.extend((block.range.start..=a).map(entry));
                }
            }
            if has_it {
                failures.compare(&what, &found, &right, 1e-14);
            } else {
                assert!(found.iter().all(|v| *v == 0.0));
            }
            // Only the whole matrix has room for what couples layers.
            let left_out = match structure {
                Structure::Full => 0.0,
                _ if has_it => hessian(A, B).abs(),
                _ => 0.0,
            };
            assert!((at.left_out - left_out).abs() < 1e-14, "{what}: {}", at.left_out);
        }
        let v = Random::new(8).vector(p, 1.0);
        let product = |p: &Problem| p.operator(&w, curvature).unwrap().product(&v).unwrap();
        let found: Vec<f64> =
            product(&with).iter().zip(product(&bare)).map(|(v, w)| v - w).collect();
        let right: Vec<f64> = (0..p)
            .map(|a| (0..p).map(|b| if has_it { hessian(a, b) * v[b] } else { 0.0 }).sum())
            .collect();
        if has_it {
            failures.compare(&format!("{}: product", curvature.name()), &found, &right, 1e-13);
        }
    }
    failures.assert_none();
    // The report of a fit by blocks says what they leave out.
    let fit = |method: &dyn Method| method.fit(&with, &w, &mut silent).unwrap();
    assert!(
        fit(&BlockNewton::default()).method.contains("leave out entries of the penalty's Hessian")
    );
    let found = [fit(&TrustRegion::default()), fit(&NewtonCg::default()), fit(&Auto::default())];
    for fit in &found {
        assert!(fit.converged() && !fit.method.contains("leave out"), "{fit}");
        assert!(fit.value < fit.initial_value, "{fit}");
    }
}

#[test]
fn under_a_constraint() {
    let (problem, w) = coupled(coupling(), custom(student()));
    let p = w.len();
    // W = w + Cθ: θ₀ moves both of the coupled parameters, θ₁ another.
    let entries = vec![(A, 0, 1.0), (B, 0, -2.0), (5, 1, 1.0)];
    let constraint = Constraint::new(w.clone(), 2, entries.clone()).unwrap();
    let tied = problem.clone().constraint(constraint).unwrap();
    let whole = problem.curvature(&w, Curvature::Exact, Structure::Full).unwrap();
    let at = tied.curvature(&[0.0, 0.0], Curvature::Exact, Structure::Full).unwrap();
    let mut c = vec![[0.0; 2]; p];
    entries.iter().for_each(|&(l, q, v)| c[l][q] = v);
    let matrix = whole.curvature.unwrap();
    let sum = |q: usize, r: usize| -> f64 {
        (0..p)
            .flat_map(|a| (0..p).map(move |b| (a, b)))
            .map(|(a, b)| c[a][q] * matrix.entry(a, b).unwrap() * c[b][r])
            .sum()
    };
    let mut failures = Failures::default();
    let gradient: Vec<f64> =
        (0..2).map(|q| (0..p).map(|l| c[l][q] * whole.gradient[l]).sum()).collect();
    failures.compare("gradient", &at.gradient, &gradient, 1e-14);
    let found = at.curvature.unwrap();
    let found: Vec<f64> =
        [(0, 0), (1, 0), (1, 1)].map(|(a, b)| found.entry(a, b).unwrap()).to_vec();
    failures.compare("matrix", &found, &[sum(0, 0), sum(1, 0), sum(1, 1)], 1e-14);
    let product =
        tied.operator(&[0.0, 0.0], Curvature::Exact).unwrap().product(&[1.0, 1.0]).unwrap();
    failures.compare("product", &product, &[sum(0, 0) + sum(0, 1), sum(1, 0) + sum(1, 1)], 1e-13);
    failures.assert_none();
    let fit = Auto::default().fit(&tied, &[0.0, 0.0], &mut silent).unwrap();
    assert!(fit.converged(), "{fit}");
}

/// A penalty that couples units in one layer only is left out by the blocks of units alone.
#[test]
fn the_group_norm_is_left_out_of_the_blocks_of_units() {
    let (problem, w) = problem(Loss::SquaredError);
    let (lambda, include_bias) = (0.7, true);
    let problem = problem.penalty(Penalty::GroupNorm { lambda, include_bias }).unwrap();
    // −λ w_a w_b/‖W^k‖³ for different rows of a layer; all entries off the diagonal are larger.
    let mut largest = [0.0f64; 2];
    for layer in problem.network().layers() {
        let norm = w[layer.range.clone()].iter().map(|v| v * v).sum::<f64>().sqrt();
        let row = |l: usize| problem.network().rows().position(|(_, _, r)| r.contains(&l));
        for a in layer.range.clone() {
            for b in layer.range.clone().filter(|&b| b != a) {
                let entry = (lambda * w[a] * w[b] / norm.powi(3)).abs();
                largest[0] = largest[0].max(entry);
                if row(a) != row(b) {
                    largest[1] = largest[1].max(entry);
                }
            }
        }
    }
    for (structure, left_out) in [
        (Structure::Full, 0.0),
        (Structure::LayerBlocks, 0.0),
        (Structure::RowBlocks, largest[1]),
        (Structure::Diagonal, largest[0]),
    ] {
        let at = problem.curvature(&w, Curvature::Exact, structure).unwrap();
        assert!((at.left_out - left_out).abs() < 1e-15, "{}: {}", structure.name(), at.left_out);
    }
}

#[test]
fn penalties_that_do_not_know_their_size() {
    #[derive(Debug)]
    struct Beyond;
    impl PenaltyFunction for Beyond {
        fn name(&self) -> &str {
            "beyond"
        }
        fn value(&self, _: &[f64]) -> f64 {
            0.0
        }
        fn gradient(&self, _: &[f64], _: &mut [f64]) {}
        fn hessian(&self, w: &[f64], add: &mut dyn FnMut(usize, usize, f64)) {
            add(0, w.len(), 1.0);
        }
    }
    let (problem, _) = problem(Loss::SquaredError);
    let Err(Error::Part { kind: "penalty", name, why }) =
        problem.penalty(Penalty::Custom(Arc::new(Beyond)))
    else {
        panic!("not refused");
    };
    assert_eq!(name, "beyond");
    assert!(why.contains("(0, 27) with 27 parameters"), "{why}");
}

/// One with a faulty loss, one with a faulty penalty: sound when they are registered, and for `left` calls more.
fn faulty(left: i64, deed: Deed) -> [(Problem, Vec<f64>, &'static str); 2] {
    let trigger = || Trigger::after(i64::MAX, deed);
    let loss = Arc::new(Student { trigger: trigger(), ..student() });
    let penalty = Arc::new(Coupling { trigger: trigger(), ..coupling() });
    let (first, w) = problem(Loss::Custom(loss.clone()));
    let (second, _) = problem(Loss::SquaredError);
    let second = second.penalty(Penalty::Custom(penalty.clone())).unwrap();
    loss.trigger.left.store(left, Ordering::Relaxed);
    penalty.trigger.left.store(left, Ordering::Relaxed);
    [(first, w.clone(), "loss 'student'"), (second, w, "penalty 'coupling'")]
}

#[test]
fn panics_and_nan_name_the_part() {
    for device in [Device::Cpu, Device::CpuF32] {
        for (problem, w, part) in faulty(0, Deed::Panic) {
            let problem = problem.on(device.clone());
            let error = problem.objective(&w).unwrap_err();
            assert!(matches!(error, Error::Part { .. }));
            assert_eq!(error.to_string(), format!("the {part}: it panicked: out of calls"));
            // At the start there is no best point.
            let fit = TrustRegion::default().fit(&problem, &w, &mut silent);
            assert!(matches!(fit, Err(Error::Part { .. })));
        }
        for (problem, w, part) in faulty(0, Deed::Nan) {
            let problem = problem.on(device.clone());
            let error = problem.gradient(&w).unwrap_err();
            assert!(matches!(error, Error::NonFinite { .. }));
            let said = format!("the value of the {part} is not a finite number");
            assert_eq!(error.to_string(), said);
        }
    }
    let problem =
        Loss::Custom(Arc::new(Student { trigger: Trigger::after(0, Deed::Panic), ..student() }));
    assert!(matches!(problem.derivatives(&[1.0], &[0.0]), Err(Error::Part { .. })));
}

/// Every method, by the fit that it makes.
fn fits(problem: &Problem, w: &[f64]) -> Vec<(&'static str, Fit)> {
    let block = BlockNewton { max_iter: 30, ..BlockNewton::default() };
    let methods: [&dyn Method; 4] =
        [&TrustRegion::default(), &NewtonCg::default(), &block, &Auto::default()];
    let fit = |m: &dyn Method| (m.name(), m.fit(problem, w, &mut silent).unwrap());
    methods.map(fit).into_iter().collect()
}

#[test]
fn a_panic_ends_a_fit_at_its_best_point() {
    for at in 0..2 {
        for method in 0..4 {
            // Anew for each: the calls are used up. Seven samples, of which six count.
            let calls = if at == 0 { 6 * 7 } else { 7 };
            let [first, second] = faulty(calls, Deed::Panic);
            let (problem, w, part) = if at == 0 { first } else { second };
            let block = BlockNewton::default();
            let methods: [&dyn Method; 4] =
                [&TrustRegion::default(), &NewtonCg::default(), &block, &Auto::default()];
            let fit = methods[method].fit(&problem, &w, &mut silent).unwrap();
            let what = methods[method].name();
            assert_eq!(fit.reason, Reason::Part, "{what}: {fit}");
            assert!(
                !fit.converged() && fit.fault.as_ref().unwrap().contains(part),
                "{what}: {fit}"
            );
            let said = format!("a user-defined part failed: the {part}: it panicked: out of calls");
            assert!(fit.to_string().contains(&said), "{fit}");
            // The best point is that of the value, which the part no longer tells.
            let [(sound, ..), (other, ..)] = faulty(i64::MAX, Deed::Panic);
            let sound = if at == 0 { sound } else { other };
            assert!(fit.iterations > 0 && fit.value < fit.initial_value, "{what}: {fit}");
            assert!(
                (sound.objective(&fit.w).unwrap() - fit.value).abs() <= 1e-13 * fit.value,
                "{what}"
            );
        }
    }
}

/// Does nothing but panic when asked for its name.
#[derive(Debug)]
struct Nameless;

impl LossFunction for Nameless {
    fn name(&self) -> &str {
        panic!("no name")
    }
    fn value(&self, _: &[f64], _: &[f64]) -> f64 {
        0.0
    }
    fn gradient(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}
    fn hessian(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}
}

impl PenaltyFunction for Nameless {
    fn name(&self) -> &str {
        panic!("no name")
    }
    fn value(&self, _: &[f64]) -> f64 {
        0.0
    }
    fn gradient(&self, _: &[f64], _: &mut [f64]) {}
    fn hessian(&self, _: &[f64], _: &mut dyn FnMut(usize, usize, f64)) {}
}

#[test]
fn a_panic_in_a_name_is_an_error() {
    let (problem, _) = problem(Loss::SquaredError);
    let (network, data) = (problem.network().clone(), problem.data().unwrap().clone());
    let penalty = Penalty::Custom(Arc::new(Nameless));
    for found in [
        Problem::new(network, data, custom(Nameless)).map(drop),
        custom(Nameless).derivatives(&[1.0], &[1.0]).map(drop),
        problem.penalty(Penalty::Sum(vec![penalty])).map(drop),
    ] {
        let Err(Error::Part { name, why, .. }) = found else {
            panic!("{found:?}");
        };
        assert_eq!((&*name, &*why), ("without a name", "it panicked: no name"));
    }
}

#[test]
fn a_step_to_nan_is_rejected() {
    // NaN beyond a distance that the start keeps, and long first steps.
    let (sound, w) = problem(custom(student()));
    let outputs = sound.predict(&w, &sound.data().unwrap().x()).unwrap();
    let farthest = (0..7)
        .map(|i| (&outputs.row(i) - &sound.data().unwrap().y().row(i)).mapv(|v| v * v).sum().sqrt())
        .fold(0.0, f64::max);
    let loss = custom(Student { limit: 1.05 * farthest, ..student() });
    let problem =
        Problem::new(sound.network().clone(), sound.data().unwrap().clone(), loss).unwrap();
    for (name, fit) in fits(&problem, &w) {
        assert!(fit.fault.is_none() && fit.reason != Reason::NonFinite, "{name}: {fit}");
        assert!(fit.value < fit.initial_value && fit.value.is_finite(), "{name}: {fit}");
    }
    let far = TrustRegion {
        initial_radius: 1e3,
        scaling: Some(vec![1e-3; w.len()]),
        ..TrustRegion::default()
    };
    let fit = far.fit(&problem, &w, &mut silent).unwrap();
    assert!(fit.converged() && fit.rejected > 0, "{fit}");
    // NaN from some call on, wherever it goes: no step is left.
    for (problem, w, _) in faulty(60, Deed::Nan) {
        let fit = TrustRegion::default().fit(&problem, &w, &mut silent).unwrap();
        assert!(fit.value <= fit.initial_value, "{fit}");
        assert!(fit.reason == Reason::NonFinite || fit.converged(), "{fit}");
    }
}

#[test]
fn functions_of_ones_own() {
    // Rosenbrock's function from (−1.2, 1), which panics after some calls.
    let trigger = Trigger::after(6, Deed::Panic);
    let f = |trigger: &Trigger, x: &[f64]| {
        trigger.pull(100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2))
    };
    let gradient = |x: &[f64], g: &mut [f64]| {
        let r = x[1] - x[0] * x[0];
        g.copy_from_slice(&[-400.0 * x[0] * r - 2.0 * (1.0 - x[0]), 200.0 * r]);
    };
    let hessian = |x: &[f64], h: &mut [f64]| {
        h.copy_from_slice(&[1200.0 * x[0] * x[0] - 400.0 * x[1] + 2.0, -400.0 * x[0], 200.0]);
    };
    let start = [-1.2, 1.0];
    let rosenbrock = function(2, |x| f(&trigger, x), gradient, hessian);
    let report = TrustRegion::default().minimize(&rosenbrock, &start).unwrap();
    assert_eq!(report.reason, Reason::Part);
    assert_eq!(report.fault.as_deref(), Some("the function 'f': it panicked: out of calls"));
    assert!(report.value < 24.2 && report.path.len() > 1, "{report}");
    assert_eq!(f(&Trigger::none(), &report.x), report.value);
    trigger.left.store(0, Ordering::Relaxed);
    let is_part = |e: Error| matches!(e, Error::Part { kind: "function", .. });
    assert!(is_part(TrustRegion::default().minimize(&rosenbrock, &start).unwrap_err()));
    assert!(is_part(Newton::default().pure(&rosenbrock, &start).unwrap_err()));
    // A gradient or a Hessian that panics.
    let odd = function(2, |x| f(&Trigger::none(), x), |_, _| panic!("no gradient"), hessian);
    let error = TrustRegion::default().minimize(&odd, &start).unwrap_err();
    assert_eq!(error.to_string(), "the function 'f': it panicked: no gradient");

    // Residuals: r = (10 (x₁ − x₀²), 1 − x₀).
    let trigger = Trigger::after(6, Deed::Panic);
    let residuals = residual_function(
        2,
        2,
        |x, r| r.copy_from_slice(&[trigger.pull(10.0 * (x[1] - x[0] * x[0])), 1.0 - x[0]]),
        |x, j| j.copy_from_slice(&[-20.0 * x[0], 10.0, -1.0, 0.0]),
    );
    let found = LevenbergMarquardt::default().minimize(&residuals, &start).unwrap();
    assert_eq!(found.reason, Reason::Part);
    assert_eq!(found.fault.as_deref(), Some("the function 'r': it panicked: out of calls"));
    assert!(found.accepted > 0 && found.value < 12.1, "{found}");
    assert!(is_part(LevenbergMarquardt::default().minimize(&residuals, &start).unwrap_err()));
    // NaN is a step that is rejected.
    let wary = residual_function(
        2,
        2,
        |x, r| {
            let first =
                if x[0] < -2.0 || x[1] > 2.5 { f64::NAN } else { 10.0 * (x[1] - x[0] * x[0]) };
            r.copy_from_slice(&[first, 1.0 - x[0]]);
        },
        |x, j| j.copy_from_slice(&[-20.0 * x[0], 10.0, -1.0, 0.0]),
    );
    let found = LevenbergMarquardt::default().minimize(&wary, &start).unwrap();
    assert!(found.converged() && found.value < 1e-20 && found.fault.is_none(), "{found}");

    // A root.
    let calls = Trigger::after(3, Deed::Panic);
    let root = newton_root(
        |x, f| f[0] = calls.pull(x[0] * x[0] - 2.0),
        |x, j| j[0] = 2.0 * x[0],
        &[1.0],
        &Newton::default(),
    );
    let root = root.unwrap();
    assert_eq!((root.reason, root.path.len()), (Reason::Part, 3));
    assert!(root.fault.is_some() && (root.x[0] - 2.0_f64.sqrt()).abs() < 1e-2);
}

#[test]
fn standard_errors_need_squares() {
    let (problem, w) = coupled(coupling(), Loss::SquaredError);
    let error = problem.standard_errors(&w).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let (problem, w) = problem_of_line(custom(Square));
    assert!(matches!(problem.standard_errors(&w), Err(Error::Unsupported { .. })));
}

fn problem_of_line(loss: Loss) -> (Problem, Vec<f64>) {
    let data = Data::new(array![[0.0], [1.0], [2.0]], array![[0.0], [1.0], [1.0]]).unwrap();
    let network = Network::dense(&[1, 1], Activation::Tanh).unwrap();
    (Problem::new(network, data, loss).unwrap(), vec![0.5, 1.0 / 6.0])
}

#[cfg(feature = "io")]
#[test]
fn files_hold_no_code() {
    use secondo::io::{Model, loss_to_json, penalty_from_json, penalty_to_json};
    let (problem, w) = problem_of_line(custom(Square));
    let model = Model::new(problem.network().clone(), w.clone(), custom(Square)).unwrap();
    let error = model.to_bytes().unwrap_err();
    assert!(error.to_string().contains("saving the loss 'square' is not available"), "{error}");
    assert_eq!(loss_to_json(&custom(Square))["type"], "square");
    let mut model = Model::new(problem.network().clone(), w, Loss::SquaredError).unwrap();
    model.penalty = Penalty::Sum(vec![Penalty::ridge(1.0), Penalty::Custom(Arc::new(coupling()))]);
    let error = model.to_bytes().unwrap_err();
    assert!(error.to_string().contains("saving the penalty 'coupling'"), "{error}");
    let sum = Penalty::Sum(vec![Penalty::ridge(1.0), Penalty::RidgeVec { lambda: vec![0.5, 0.0] }]);
    assert_eq!(penalty_from_json(&penalty_to_json(&sum)), Ok(sum));
}

/// c w_a w_b, its Hessian's entry in two parts.
#[derive(Debug)]
struct Bilinear {
    c: f64,
    a: usize,
    b: usize,
}

impl PenaltyFunction for Bilinear {
    fn name(&self) -> &str {
        "bilinear"
    }
    fn value(&self, w: &[f64]) -> f64 {
        self.c * w[self.a] * w[self.b]
    }
    fn gradient(&self, w: &[f64], out: &mut [f64]) {
        out[self.a] = self.c * w[self.b];
        out[self.b] = self.c * w[self.a];
    }
    fn hessian(&self, _: &[f64], add: &mut dyn FnMut(usize, usize, f64)) {
        add(self.a, self.b, 0.25 * self.c);
        add(self.b, self.a, 0.75 * self.c);
    }
}

#[test]
fn what_is_left_out_adds_up() {
    let (problem, w) = problem(Loss::SquaredError);
    let bilinear = |c| Penalty::Custom(Arc::new(Bilinear { c, a: A, b: B }));
    let left_out = |penalty: Penalty, structure| {
        let problem = problem.clone().penalty(penalty).unwrap();
        problem.curvature(&w, Curvature::Exact, structure).unwrap().left_out
    };
    let rows = Structure::RowBlocks;
    assert_eq!(left_out(bilinear(2.0), rows), 2.0);
    assert_eq!(left_out(Penalty::Sum(vec![bilinear(2.0), bilinear(3.0)]), rows), 5.0);
    assert_eq!(left_out(Penalty::Sum(vec![bilinear(2.0), bilinear(-2.0)]), rows), 0.0);
    let norm = |lambda| Penalty::GroupNorm { lambda, include_bias: true };
    let once = left_out(norm(3.0), rows);
    let twice = left_out(Penalty::Sum(vec![norm(1.0), norm(2.0)]), rows);
    assert!(once > 0.0 && (once - twice).abs() < 1e-15 * once.max(1.0), "{once} {twice}");
    // Beyond f64 it is an error.
    let huge = Penalty::Sum(vec![bilinear(1e308), bilinear(1e308)]);
    let found = (problem.clone().penalty(huge).unwrap()).curvature(
        &vec![0.0; w.len()],
        Curvature::Exact,
        rows,
    );
    assert!(matches!(found, Err(Error::NonFinite { .. })), "{found:?}");
}

/// Under a constraint it is what the matrix in θ leaves out, whatever was formed in W on the way.
#[test]
fn what_is_left_out_under_a_constraint() {
    let (problem, w) = problem(Loss::SquaredError);
    let penalty = Penalty::Custom(Arc::new(Bilinear { c: 2.0, a: A, b: B }));
    let penalised = problem.penalty(penalty).unwrap();
    let left_out = |entries: Vec<(usize, usize, f64)>, structure| {
        let constraint = Constraint::new(w.clone(), 2, entries).unwrap();
        let tied = penalised.clone().constraint(constraint).unwrap();
        tied.curvature(&[0.0, 0.0], Curvature::Exact, structure).unwrap().left_out
    };
    // θ₀ moves 5 and A together, which needs more than the diagonal in W; θ₁ moves B.
    let apart = vec![(A, 0, 1.0), (5, 0, 1.0), (B, 1, 3.0)];
    assert_eq!(left_out(apart.clone(), Structure::Diagonal), 6.0);
    assert_eq!(left_out(apart, Structure::Full), 0.0);
    // One θ for both: the diagonal holds their coupling.
    let tied = vec![(A, 0, 1.0), (B, 0, 1.0), (5, 1, 1.0)];
    assert_eq!(left_out(tied, Structure::Diagonal), 0.0);
}
