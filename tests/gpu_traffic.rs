//! The counts of all that passes between the host and an adapter, and the adapter's own times.
#![cfg(feature = "gpu")]

mod common;

use std::time::{Duration, Instant};

use common::adapter::{double, open, single};
use common::datasets;
use common::ratio::dense;
use secondo::backend::gpu::{Gpu, Options, Traffic};
use secondo::{
    Activation, Control, Curvature, Device, Lbfgs, LinearOperator, Method, NewtonCg, Progress,
    Request, Structure, TrustRegion,
};

/// The counts of `f`.
fn counted(gpu: &Gpu, f: impl FnOnce()) -> Traffic {
    let before = gpu.traffic();
    f();
    since(before, gpu.traffic())
}

fn since(before: Traffic, after: Traffic) -> Traffic {
    let mut out = Traffic::default();
    out.submissions = after.submissions - before.submissions;
    out.dispatches = after.dispatches - before.dispatches;
    out.read_backs = after.read_backs - before.read_backs;
    out.sent = after.sent - before.sent;
    out.fetched = after.fetched - before.fetched;
    out.buffers = after.buffers - before.buffers;
    out.bind_groups = after.bind_groups - before.bind_groups;
    out
}

/// The same request again makes neither buffers nor bind groups, and costs the same each time.
#[test]
fn a_request_that_returns_finds_its_buffers_and_bind_groups() {
    let gpu = open(Options::default());
    let (problem, w) = dense(&[9, 20, 3], Activation::Tanh, 0, 1500, 0.3);
    let problem = problem.on(Device::Gpu(gpu.clone()));
    let session = problem.session();
    let blocks = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    let ask = |request: Request| drop(session.at(&w).unwrap().evaluate(request).unwrap());
    let product = || {
        let point = session.at(&w).unwrap();
        point.operator(Curvature::Exact).unwrap().product(&w).unwrap();
    };
    let all: [&dyn Fn(); 4] =
        [&|| ask(Request::default()), &|| ask(Request::gradient()), &|| ask(blocks), &product];
    for (at, ask) in all.into_iter().enumerate() {
        let first = counted(&gpu, ask);
        assert!(first.bind_groups > 0 && first.dispatches > 0, "{at}: {first:?}");
        (0..4).for_each(|_| ask());
        let steady = counted(&gpu, ask);
        println!("{at}: first {first:?}\n   then {steady:?}");
        assert_eq!((steady.buffers, steady.bind_groups), (0, 0), "{at}: {steady:?}");
        // How many submissions there are depends on how long the adapter took for those before.
        let again = counted(&gpu, ask);
        let moved = |t: &Traffic| (t.read_backs, t.sent, t.fetched, t.buffers, t.bind_groups);
        assert_eq!(moved(&again), moved(&steady), "{at}");
        // What the results take, and w.
        assert!(steady.read_backs > 0 && steady.sent >= 4 * w.len() as u64, "{at}: {steady:?}");
    }
    // Each request is one wait for the whole of it.
    let gradient = counted(&gpu, || ask(Request::gradient()));
    assert!(gradient.fetched >= 4 * w.len() as u64, "{gradient:?}");
}

/// The outer steps of a fit: what a step costs besides its products, and what a product costs.
fn steps(method: &dyn Method) -> Vec<(Traffic, usize)> {
    let gpu = open(Options::default());
    let problem = datasets::problem("diabetes", 6).on(Device::Gpu(gpu.clone()));
    let start = datasets::start(&problem, 1);
    let mut seen = Vec::new();
    let watch = &mut |p: &Progress| {
        seen.push((gpu.traffic(), p.state.evaluations.products));
        if p.state.exact.is_some() || p.iteration > 25 { Control::Stop } else { Control::Continue }
    };
    method.fit(&problem, &start, watch).unwrap();
    let step = |w: &[(Traffic, usize)]| (since(w[0].0, w[1].0), w[1].1 - w[0].1);
    seen.windows(2).map(step).collect()
}

#[test]
fn the_steps_of_fits_are_counted() {
    for method in [&NewtonCg::default() as &dyn Method, &Lbfgs::default()] {
        let steps = steps(method);
        for (step, products) in &steps {
            println!("{} {products} products {step:?}", method.name());
        }
        assert!(steps.len() > 20, "{}", steps.len());
        let late = &steps[steps.len() / 2..];
        assert!(late.iter().all(|(step, _)| step.buffers == 0), "{}", method.name());
        // Trial points that are rejected bind other buffers.
        let idle = late.iter().filter(|(step, _)| step.bind_groups == 0).count();
        assert!(5 * idle >= 4 * late.len(), "{}: {idle} of {}", method.name(), late.len());
        // A product has three read-backs, whatever the step; steps with other trial points have more.
        let [once, each] = if method.name() == "lbfgs" { [3, 0] } else { [6, 3] };
        let usual = |(step, products): &&(Traffic, usize)| {
            let products = *products as u64;
            assert!(step.read_backs >= once + each * products, "{products}: {step:?}");
            step.read_backs == once + each * products
        };
        let count = late.iter().filter(usual).count();
        assert!(2 * count > late.len(), "{}: {count} of {}", method.name(), late.len());
    }
}

/// The device's clock: within the wall time, and of the kernels that ran.
#[test]
fn kernels_are_timed_by_the_device() {
    let gpu = open(Options::default());
    if !gpu.has_clock() {
        println!("not run: the adapter has no clock");
        return;
    }
    assert!(gpu.kernel_times().is_empty());
    let problem = datasets::problem("breast_cancer", 4).on(Device::Gpu(gpu.clone()));
    let short = NewtonCg {
        region: TrustRegion { max_iter: 8, ..TrustRegion::default() },
        ..NewtonCg::default()
    };
    let clock = Instant::now();
    let fit = short.fit(&problem, &datasets::start(&problem, 1), &mut secondo::silent).unwrap();
    let wall = clock.elapsed();
    let times = gpu.kernel_times();
    for (kernel, time) in &times {
        println!("{kernel:30} {time:?}");
    }
    for kernel in ["product", "activate", "loss_value", "device/stamp"] {
        assert!(times.contains_key(kernel), "{kernel}: {:?}", times.keys());
    }
    let device = fit.times.device.unwrap();
    assert!(device > Duration::ZERO && device <= wall, "{device:?} of {wall:?}");
    assert!(device <= times.values().sum() && fit.to_string().contains("kernels on the device"));
}

/// The rates of the two kernels are numbers that any machine stays within.
#[test]
fn a_roofline_has_two_rates() {
    for gpu in [single(), double()] {
        let roofline = gpu.roofline().unwrap();
        println!("{roofline:?}");
        for rate in [roofline.flops, roofline.bytes] {
            assert!((1e6..1e16).contains(&rate), "{roofline:?}");
        }
    }
}
