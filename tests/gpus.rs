//! Several adapters that share the samples of one problem: the bits of any number and division, failures, fits.
//!
//! One software adapter that is opened several times stands for several of a kind.
#![cfg(feature = "gpu")]

mod common;

use std::sync::{Arc, Mutex};

use common::adapter::{open, single};
use common::ratio::{dense, numbers};
use ndarray::Array2;
use secondo::backend::gpu::testing::{Simulated, simulate};
use secondo::backend::gpu::{Gpu, Options};
use secondo::{
    Activation, Curvature, Data, Device, Error, Fault, Gpus, LinearOperator, Method, NewtonCg,
    Penalty, Precision, Problem, Request, Samples, Structure, TrustRegion, Walk, Window, silent,
};

/// Four lanes and a rest.
const ROWS: usize = 5 * 4096 + 37;

fn problem(rows: usize) -> (Problem, Vec<f64>) {
    dense(&[4, 9, 2], Activation::Tanh, 0, rows, 0.5)
}

fn opened(count: usize) -> Vec<Gpu> {
    (0..count).map(|_| open(Options::default())).collect()
}

fn together(adapters: &[Gpu]) -> (Device, Gpus) {
    let gpus = Gpus::new(adapters.to_vec()).unwrap();
    (Device::Gpus(gpus.clone()), gpus)
}

/// The results of requests with and without a number for each sample.
fn all(problem: &Problem, w: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
    let rows = Request { outputs: true, multipliers: true, ..Request::gradient() };
    let requests = [
        Request::default(),
        Request::gradient(),
        Request::curvature(Curvature::Exact, Structure::Full),
        Request::curvature(Curvature::GaussNewton, Structure::RowBlocks),
        Request::pooled(Curvature::Lagrangian),
        rows,
    ];
    let mut all = Vec::new();
    for request in requests {
        all.push(numbers(&problem.evaluate(w, request)?));
    }
    let v = Array2::from_shape_fn((3, w.len()), |(r, l)| ((5 * l + r) % 9) as f64 - 4.0);
    let session = problem.session();
    let operator = session.at(w)?.operator(Curvature::Exact)?;
    all.push(operator.products(v.view())?.into_iter().collect());
    all.push(problem.lagrangian_tensor(w, 1, 2, 3)?.packed().to_vec());
    Ok(all)
}

fn is_near(found: &[Vec<f64>], right: &[Vec<f64>], tolerance: f64) -> bool {
    found.len() == right.len()
        && found.iter().zip(right).all(|(found, right)| {
            let scale = right.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            found.len() == right.len()
                && found.iter().zip(right).all(|(a, b)| (a - b).abs() <= tolerance * scale)
        })
}

#[test]
fn any_number_of_adapters_has_the_same_bits() {
    let (problem, w) = problem(ROWS);
    let right = all(&problem, &w).unwrap();
    let adapters = opened(5);
    for (in_f64, tolerance) in [(false, 1e-5), (true, 1e-12)] {
        let mut bits = None;
        for count in [2, 3, 5] {
            let (mut device, _) = together(&adapters[..count]);
            if in_f64 {
                device = device.in_f64().unwrap();
            }
            let is_f64 = device.precision() == Precision::F64;
            assert_eq!(is_f64, in_f64);
            let on = problem.clone().on(device);
            let found = all(&on, &w).unwrap();
            assert!(is_near(&found, &right, tolerance), "{count} adapters");
            assert!(*bits.get_or_insert(found.clone()) == found, "{count} adapters, {in_f64}");
        }
    }
}

/// Fewer samples than two lanes have, and results for each sample, are those of one adapter.
#[test]
fn what_is_not_shared_has_the_bits_of_one_adapter() {
    let (device, _) = together(&opened(2));
    let (few, w) = problem(8191);
    let one = all(&few.clone().on(Device::Gpu(single())), &w).unwrap();
    assert!(all(&few.on(device.clone()), &w).unwrap() == one);
    let (many, w) = problem(ROWS);
    let outputs = Request { outputs: true, ..Request::default() };
    let one = many.clone().on(Device::Gpu(single())).evaluate(&w, outputs).unwrap();
    assert_eq!(many.on(device).evaluate(&w, outputs).unwrap().outputs, one.outputs);
}

/// Each fault that lasts at calls of one adapter, the first and the last of three in turn: the others compute what it leaves.
#[test]
fn the_others_go_on_where_one_fails() {
    let (problem, w) = problem(ROWS);
    let right = all(&problem.clone().on(together(&opened(2)).0), &w).unwrap();
    let faults = [Simulated::Lost, Simulated::Panic, Simulated::Timeout, Simulated::Destroyed];
    for (at, (fault, calls)) in
        faults.into_iter().flat_map(|fault| [0, 7, 23].map(|calls| (fault, calls))).enumerate()
    {
        let adapters = opened(3);
        let (device, gpus) = together(&adapters);
        let place = if at % 2 == 0 { 0 } else { 2 };
        simulate(&adapters[place], fault, calls);
        let found = all(&problem.clone().on(device.clone()), &w).unwrap();
        assert!(found == right, "{fault:?} after {calls} calls");
        let failed: Vec<bool> = gpus.adapters().map(|(_, failure)| failure.is_some()).collect();
        assert!((0..3).all(|i| failed[i] == (i == place)), "{fault:?}: {failed:?}");
        assert_eq!(device.adapter().matches("(failed: ").count(), 1);
    }
}

/// Two of three fail in one request; the third computes what both leave.
#[test]
fn one_goes_on_where_two_fail() {
    let (problem, w) = problem(ROWS);
    let right = all(&problem.clone().on(together(&opened(2)).0), &w).unwrap();
    let adapters = opened(3);
    let (device, gpus) = together(&adapters);
    simulate(&adapters[0], Simulated::Lost, 3);
    simulate(&adapters[2], Simulated::Panic, 3);
    assert!(all(&problem.on(device), &w).unwrap() == right);
    let failed: Vec<bool> = gpus.adapters().map(|(_, failure)| failure.is_some()).collect();
    assert_eq!(failed, [true, false, true]);
}

/// A request for which an adapter has no memory is computed by the others, with the same bits, and the adapter computes the next one.
#[test]
fn memory_that_is_short_leaves_an_adapter_out_of_one_request() {
    let (problem, w) = problem(ROWS);
    let right = all(&problem.clone().on(together(&opened(2)).0), &w).unwrap();
    for (fault, calls) in
        [Simulated::OutOfMemory, Simulated::Unfinished].into_iter().flat_map(|f| [(f, 0), (f, 9)])
    {
        let adapters = opened(2);
        let (device, gpus) = together(&adapters);
        simulate(&adapters[1], fault, calls);
        let on = problem.clone().on(device);
        assert!(all(&on, &w).unwrap() == right, "{fault:?} after {calls} calls");
        assert!(gpus.adapters().all(|(_, failure)| failure.is_none()));
        assert!(all(&on, &w).unwrap() == right);
    }
}

/// Rows in memory as if they were read, with the first row of each walk.
#[derive(Debug)]
struct Held(Data, Arc<Mutex<Vec<usize>>>);

impl Samples for Held {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn inputs(&self) -> usize {
        self.0.x().ncols()
    }

    fn outputs(&self) -> usize {
        self.0.y().ncols()
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>, Error> {
        self.1.lock().unwrap().push(first);
        Ok(Box::new(At(self.0.clone(), first)))
    }
}

struct At(Data, usize);

impl Walk for At {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<(), Error> {
        for i in self.1..self.1 + rows {
            window.x.extend(self.0.x().row(i));
            window.y.extend(self.0.y().row(i));
            window.weights.push(self.0.weights()[i]);
        }
        self.1 += rows;
        Ok(())
    }
}

/// Rows that are read: each adapter reads its own.
#[test]
fn rows_that_are_read_have_the_bits_of_rows_in_memory() {
    let (problem, w) = problem(ROWS);
    let (device, _) = together(&opened(2));
    let (data, loss) = (problem.data().unwrap().clone(), problem.loss().clone());
    let network = problem.network().clone();
    let right = problem.on(device.clone()).evaluate(&w, Request::gradient()).unwrap();
    let walks = Arc::default();
    let over = Problem::over(network, Arc::new(Held(data, Arc::clone(&walks))), loss).unwrap();
    walks.lock().unwrap().clear();
    let found = over.memory_budget(8 << 20).on(device).evaluate(&w, Request::gradient()).unwrap();
    assert!(numbers(&found) == numbers(&right));
    // Besides the targets of the first, each from the first row of its lanes: two of four, with five units of rows.
    let walks = walks.lock().unwrap();
    assert!(walks.contains(&0) && walks.contains(&(2 * 4096)), "{walks:?}");
}

#[test]
fn where_all_fail_the_error_is_that_of_the_last() {
    let (problem, w) = problem(ROWS);
    let adapters = opened(2);
    let (device, _) = together(&adapters);
    simulate(&adapters[0], Simulated::Lost, 2);
    simulate(&adapters[1], Simulated::Lost, 9);
    let on = problem.on(device);
    let error = all(&on, &w).unwrap_err();
    assert!(matches!(&error, Error::Gpu { fault: Fault::Lost { .. }, .. }), "{error}");
    assert_eq!(on.objective(&w).unwrap_err(), error);
}

/// A number that f32 does not hold is an error, and no adapter is left out.
#[test]
fn other_errors_leave_no_adapter_out() {
    let (problem, mut w) = problem(ROWS);
    let (device, gpus) = together(&opened(2));
    let on = problem.on(device);
    w[3] = 1e300;
    assert!(on.objective(&w).is_err());
    assert!(gpus.adapters().all(|(_, failure)| failure.is_none()));
    w[3] = 0.5;
    assert!(on.objective(&w).is_ok());
}

#[test]
fn a_fit_ends_at_the_minimum_of_the_processor_though_one_adapter_is_lost() {
    let (problem, w) = dense(&[3, 4, 1], Activation::Tanh, 0, 9000, 0.5);
    let problem = problem.penalty(Penalty::ridge(0.1)).unwrap();
    let method = NewtonCg {
        region: TrustRegion { max_iter: 400, ..TrustRegion::default() },
        ..NewtonCg::default()
    };
    let right = method.fit(&problem, &w, &mut silent).unwrap();
    let adapters = opened(2);
    let (device, gpus) = together(&adapters);
    simulate(&adapters[1], Simulated::Lost, 60);
    let fit = method.fit(&problem.on(device), &w, &mut silent).unwrap();
    assert!(gpus.adapters().any(|(_, failure)| failure.is_some()), "the fault did not strike");
    assert!(right.converged() && fit.converged(), "{:?} {:?}", right.reason, fit.reason);
    assert!((fit.value - right.value).abs() <= 1e-9 * right.value, "{} {}", fit.value, right.value);
}

#[test]
fn adapters_that_do_not_go_together_are_refused() {
    assert!(matches!(Gpus::new(Vec::new()), Err(Error::Invalid { .. })));
    let [first, second] = [open(Options::default()), open(Options::default()).in_f64().unwrap()];
    assert!(matches!(Gpus::new(vec![first, second]), Err(Error::Invalid { .. })));
    for text in [
        "",
        "cpu",
        "gpu:",
        "gpus",
        "gpu:none,",
        "gpu:0,gpu:",
        "gpu:none,cpu",
        "gpu:0,gpu:all",
        "gpu0",
    ] {
        assert!(Device::named(text).is_err(), "{text}");
    }
    let both = format!("gpu:{0},gpu:{0}", common::adapter::name());
    assert!(matches!(Device::named(&both).unwrap(), Device::Gpus(_)));
    assert!(Device::gpus(&["no such adapter"]).is_err());
    assert!(Device::gpus(&["0", "no such adapter"]).is_err());
}

/// The plan has the sums that wait in the tree, and those of every adapter.
#[test]
fn the_plan_counts_the_sums_of_every_adapter() {
    // 64 lanes.
    let (problem, _) = problem(64 * 4096);
    let request = Request::curvature(Curvature::GaussNewton, Structure::Diagonal);
    let bytes = |device: Device| problem.clone().on(device).plan(request).unwrap().bytes();
    let adapters = opened(4);
    let [two, four] = [2, 4].map(|count| bytes(together(&adapters[..count]).0));
    // Value, gradient and diagonal; twelve branches of the tree and one more for each adapter.
    let sums = 1 + 2 * problem.parameters() as u64;
    assert!(four - two >= 2 * 13 * 8 * sums, "{two} {four}");
}

/// Two requests in one session: neither waits for what the other holds.
#[test]
fn requests_at_once_do_not_wait_for_each_other() {
    let (problem, w) = problem(ROWS);
    let on = problem.on(together(&opened(2)).0);
    let right = on.evaluate(&w, Request::gradient()).unwrap();
    for _ in 0..4 {
        let session = on.session();
        std::thread::scope(|scope| {
            let ask = || session.at(&w).unwrap().evaluate(Request::gradient()).unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == right));
        });
    }
}
