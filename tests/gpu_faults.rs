//! Faults of an accelerator: a typed error each time, never a panic, never wrong numbers; a fit goes on.
#![cfg(feature = "gpu")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::adapter::{limited, name, open, patched, single};
use common::datasets;
use common::ratio::{dense, numbers};
use ndarray::{Array2, array};
use secondo::backend::gpu::testing::{Simulated, simulate};
use secondo::backend::gpu::{Gpu, Options, adapters};
use secondo::{
    Activation, Auto, BlockNewton, Curvature, Data, Device, Error, Fault, Initialization, Layer,
    LevenbergMarquardt, LinearOperator, Loss, Method, Network, NewtonCg, Penalty, Precision,
    Preconditioning, Problem, Reason, Request, Structure, TrustRegion, silent,
};

fn problem() -> (Problem, Vec<f64>) {
    dense(&[4, 9, 2], Activation::Tanh, 0, 1500, 0.5)
}

fn request() -> Request {
    Request::curvature(Curvature::Exact, Structure::RowBlocks)
}

fn fault(error: &Error) -> &Fault {
    match error {
        Error::Gpu { adapter, operation, fault } => {
            assert!(adapter.to_lowercase().contains(&name().to_lowercase()), "{error}");
            assert!(!operation.is_empty() && error.to_string().contains(operation.as_str()));
            fault
        }
        other => panic!("{other}"),
    }
}

/// The requests to a problem on a device.
type Ask = fn(&Problem, &[f64]) -> Result<Vec<f64>, Error>;

fn blocks(problem: &Problem, w: &[f64]) -> Result<Vec<f64>, Error> {
    Ok(numbers(&problem.evaluate(w, request())?))
}

fn whole(problem: &Problem, w: &[f64]) -> Result<Vec<f64>, Error> {
    let request = Request::curvature(Curvature::Exact, Structure::Full);
    Ok(numbers(&problem.evaluate(w, request)?))
}

fn products(problem: &Problem, w: &[f64]) -> Result<Vec<f64>, Error> {
    let v = Array2::from_shape_fn((3, w.len()), |(r, l)| ((5 * l + r) % 9) as f64 - 4.0);
    let products = problem.operator(w, Curvature::Exact)?.products(v.view())?;
    Ok(products.into_iter().collect())
}

/// Each fault at each call of a request where it can strike.
#[test]
fn every_fault_at_every_call_is_an_error_of_its_kind() {
    strike(blocks, 1);
}

#[test]
fn every_fault_within_a_whole_matrix() {
    strike(whole, 3);
}

#[test]
fn every_fault_within_products() {
    strike(products, 3);
}

/// Each fault at every `step`-th call of what is asked.
fn strike(ask: Ask, step: usize) {
    let (problem, w) = problem();
    let right = ask(&problem.clone().on(Device::Gpu(single())), &w).unwrap();
    for simulated in [
        Simulated::Lost,
        Simulated::Panic,
        Simulated::Timeout,
        Simulated::Unfinished,
        Simulated::Destroyed,
    ] {
        let mut struck = 0;
        for calls in (0..40 * step).step_by(step) {
            let gpu = open(Options::default());
            let problem = problem.clone().on(Device::Gpu(gpu.clone()));
            simulate(&gpu, simulated, calls);
            let error = match ask(&problem, &w) {
                // The request has fewer calls of that kind.
                Ok(done) => {
                    assert!(done == right, "{simulated:?} after {calls} calls");
                    break;
                }
                Err(error) => error,
            };
            struck += 1;
            let (is_right, lasts) = match (simulated, fault(&error)) {
                (Simulated::Timeout, Fault::Timeout { .. }) => (true, false),
                (Simulated::Unfinished, Fault::Incomplete) => (true, false),
                (_, Fault::Lost { .. }) => (true, true),
                _ => (false, false),
            };
            assert!(is_right, "{simulated:?} after {calls} calls: {error}");
            // A lost device stays lost; after the others the next request is right.
            match ask(&problem, &w) {
                Ok(done) => assert!(!lasts && done == right, "{simulated:?}"),
                Err(again) => assert!(lasts, "{simulated:?} after {calls} calls: {again}"),
            }
        }
        println!("{simulated:?} struck {struck} times");
        assert!((1..40).contains(&struck), "{simulated:?} struck {struck} times");
    }
}

/// Where one buffer cannot be had, idle ones are dropped and smaller chunks are tried.
#[test]
fn out_of_memory_by_simulation() {
    let (problem, w) = problem();
    let gpu = open(Options::default());
    let on = problem.clone().on(Device::Gpu(gpu.clone()));
    for ask in [blocks, whole, products] {
        simulate(&gpu, Simulated::OutOfMemory, 3);
        let (found, right) = (ask(&on, &w).unwrap(), ask(&problem, &w).unwrap());
        let scale = right.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5 * scale;
        assert!(found.iter().zip(&right).all(near));
    }
}

/// A process of its own that runs one test of this file with the environment changed.
fn child(test: &str, prefix: &str) -> String {
    let own = std::env::current_exe().unwrap();
    // The file may be a module of a larger test program.
    let module = module_path!().split_once("::");
    let module = module.map_or(String::new(), |(_, path)| format!("{path}::"));
    let run = format!("{prefix} exec '{}' --exact {module}{test} --nocapture", own.display());
    let out =
        Command::new("sh").args(["-c", &run]).env("SECONDO_TEST_CHILD", test).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("1 passed"), "{test}: {text}");
    text
}

fn is_child(test: &str) -> bool {
    std::env::var("SECONDO_TEST_CHILD").is_ok_and(|v| v == test)
}

/// With the process's memory limited, real requests for memory fail; the device survives, and smaller work is right.
#[test]
#[cfg(target_os = "linux")]
fn out_of_memory_in_a_limited_process() {
    let test = "out_of_memory_in_a_limited_process";
    if !is_child(test) {
        let text = child(test, "ulimit -v 8000000;");
        assert!(text.contains("out of device memory"), "{text}");
        return;
    }
    // The processor's matrix products reserve memory of their own: first.
    let (problem, w) = problem();
    let right = problem.evaluate(&w, request()).unwrap();
    let gpu = open(Options { memory: 1 << 40, ..Options::default() });
    // Arrays of a hundred megabytes each until there is no more.
    use secondo::backend::Backend;
    let mut held = Vec::new();
    let error = loop {
        match gpu.zeros(25 << 20) {
            Ok(array) => held.push(array),
            Err(error) => break error,
        }
        assert!(held.len() < 200, "the limit does not bind");
    };
    println!("{error}");
    let facts = |f: &Fault| matches!(f, Fault::OutOfMemory { need, in_use } if *need >= 100 << 20 && *in_use > *need);
    assert!(facts(fault(&error)), "{error}");
    drop(held);
    let found = problem.on(Device::Gpu(gpu)).evaluate(&w, request()).unwrap();
    assert!((found.value - right.value).abs() < 1e-5 * right.value);
}

/// No driver: no adapter, an error that says so; `auto` computes on the processor.
#[test]
#[cfg(target_os = "linux")]
fn a_machine_without_adapters() {
    let test = "a_machine_without_adapters";
    if !is_child(test) {
        child(test, "VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent");
        return;
    }
    assert!(adapters().is_empty());
    let error = Device::gpu("").unwrap_err();
    assert!(
        matches!(&error, Error::Gpu { fault: Fault::NoAdapter { known }, .. } if known.is_empty()),
        "{error}"
    );
    assert!(error.to_string().contains("use the CPU"));
    let (problem, w) = problem();
    let right = numbers(&problem.evaluate(&w, request()).unwrap());
    let auto = problem.on(Device::auto());
    assert!(numbers(&auto.evaluate(&w, request()).unwrap()) == right);
}

/// A wait that is too short is an error with its length; the next one succeeds.
#[test]
fn a_real_timeout() {
    let gpu = open(Options { timeout: Duration::from_millis(1), ..Options::default() });
    let (problem, w) = dense(&[60, 100, 3], Activation::Tanh, 0, 20_000, 0.1);
    let problem = problem.on(Device::Gpu(gpu.clone()));
    let error = problem.evaluate(&w, request()).unwrap_err();
    assert!(matches!(fault(&error), Fault::Timeout { after } if *after == 0.001), "{error}");
    // The work goes on, and so does the adapter: a later wait for something small succeeds.
    std::thread::sleep(Duration::from_secs(5));
    use secondo::backend::Backend;
    let numbers = vec![1.0, 2.0, 3.0];
    let array = gpu.upload(&numbers).unwrap();
    let later = (0..100).find_map(|_| gpu.download(&array).ok());
    assert_eq!(later, Some(numbers));
}

#[test]
fn more_than_the_adapter_allows_is_refused() {
    use secondo::backend::Backend;
    let gpu = single();
    let buffer = gpu.adapter().limits.buffer as usize;
    let error = gpu.zeros(buffer / 4 + 1).unwrap_err();
    let facts = |f: &Fault| matches!(f, Fault::Limit { need, have, .. } if *need > *have);
    assert!(facts(fault(&error)), "{error}");
    let error = gpu.zeros(usize::MAX).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

fn fit_problem() -> (Problem, Vec<f64>) {
    let (problem, _) = dense(&[3, 4, 1], Activation::Tanh, 0, 60, 0.5);
    let problem = problem.penalty(Penalty::ridge(0.1)).unwrap();
    let w = Initialization::Glorot.draw(problem.network(), 5);
    (problem, w)
}

fn solver() -> BlockNewton {
    BlockNewton { max_iter: 5000, gtol: 1e-6, ..BlockNewton::default() }
}

/// A gradient in f32 that is wrong by a third is noticed at the first step, such values within some, and the fit is the processor's from there.
#[test]
fn a_wrong_gradient_is_noticed_at_the_first_step() {
    let (problem, w) = fit_problem();
    let faults = [
        ("loss_value", "weight * gradient_at", "real(1.3) * weight * gradient_at"),
        ("loss_value", "weight * value_at", "real(1.3) * weight * value_at"),
    ];
    for fault in faults {
        let on = problem.clone().on(Device::Gpu(patched(fault)));
        let cg = NewtonCg::default();
        for method in [&cg as &dyn Method, &solver()] {
            let fit = method.fit(&on, &w, &mut silent).unwrap();
            assert!(fit.converged() && fit.failure.is_none(), "{fit}");
            // A minimum of the right function.
            let right = method.fit(&problem, &fit.w, &mut silent).unwrap();
            assert!((fit.value - right.value).abs() < 1e-9 * right.value, "{fit}\n{right}");
            let most = if fault.1.contains("gradient") { 0 } else { 9 };
            let from = fit.refinement.unwrap().from;
            assert!(from.is_some_and(|step| step <= most), "{fault:?}: {fit}");
        }
    }
}

/// The curvature in f32 sets the rate only: the fit ends at the same point and gradient norm as on the processor.
#[test]
fn a_fit_in_f32_ends_where_the_fit_in_f64_ends() {
    let (problem, w) = fit_problem();
    let right = solver().fit(&problem, &w, &mut silent).unwrap();
    assert_eq!(right.reason, Reason::Gradient);
    for gpu in [single(), single().in_f64().unwrap()] {
        let precision = if gpu.is_f64() { Precision::F64 } else { Precision::F32 };
        let on = problem.clone().on(Device::Gpu(gpu));
        let fit = solver().fit(&on, &w, &mut silent).unwrap();
        assert_eq!((fit.reason, fit.precision), (Reason::Gradient, precision));
        let goals = (fit.gradient_goal, right.gradient_goal);
        assert!((goals.0 - goals.1).abs() <= 1e-5 * goals.1 && fit.gradient_norm <= goals.0);
        assert_eq!(fit.refinement.is_some(), precision == Precision::F32);
        // Whatever f32 has found, the end is in f64.
        assert!(fit.refinement.is_none_or(|r| r.from.is_some_and(|step| step > 5)), "{fit}");
        let value = problem.objective(&fit.w).unwrap();
        assert!(precision == Precision::F64 || value == fit.value, "{value:e}: {fit}");
        assert!((fit.value - right.value).abs() < 1e-9 * right.value, "{precision}");
        assert!(fit.failure.is_none() && fit.adapter.contains(&problem_adapter()));
    }
}

/// The same with the other methods, whose curvature or products come from the adapter in f32.
#[test]
fn other_fits_in_f32_end_where_those_in_f64_end() {
    let squares = fit_problem();
    let classes = datasets::problem("breast_cancer", 2);
    let start = datasets::start(&classes, 3);
    let cg = |preconditioning| NewtonCg { preconditioning, ..NewtonCg::default() };
    let mut methods: Vec<Box<dyn Method>> = vec![
        Box::new(Auto::default()),
        Box::new(TrustRegion::default()),
        Box::new(LevenbergMarquardt::default()),
    ];
    for preconditioning in Preconditioning::ALL {
        methods.push(Box::new(cg(preconditioning)));
    }
    let (mut on_adapter, mut elsewhere) = (0, 0);
    for (problem, w) in [squares, (classes, start)] {
        for method in &methods {
            let what = format!("{} {}", method.settings(), problem.loss().name());
            let initial = problem.gradient(&w).unwrap();
            let goal = 1e-8 * initial.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
            let right = match method.fit(&problem, &w, &mut silent) {
                // Levenberg and Marquardt's method is for squares.
                Err(Error::Unsupported { .. }) => continue,
                right => right.unwrap(),
            };
            for device in [Device::Gpu(single()), Device::CpuF32] {
                let adapter = device.adapter();
                let fit = method.fit(&problem.clone().on(device), &w, &mut silent).unwrap();
                assert!(fit.converged() && fit.failure.is_none(), "{what}: {fit}");
                // The first gradient is in f32.
                let goals = (fit.gradient_goal, right.gradient_goal);
                assert!((goals.0 - goals.1).abs() <= 1e-5 * goals.1, "{what}: {goals:?}");
                // Levenberg and Marquardt's method ends where f64 sees no more, on the processor.
                let reached = goals.0.max(right.gradient_norm);
                assert!(fit.gradient_norm <= reached, "{what}: {fit}");
                let error = (fit.value - right.value).abs() / right.value;
                println!(
                    "{what} on {}: {:.2e} for {:.2e} of {goal:.2e}, value {error:.1e}",
                    fit.adapter, fit.gradient_norm, right.gradient_norm
                );
                // Where there are several minima a step that differs a little can lead to another, of the squares to none far off.
                let squares = problem.loss() == &Loss::SquaredError;
                elsewhere += usize::from(squares && error >= 1e-9);
                assert!(error < 0.01 || !squares, "{what}: {error:e}");
                let gradient = problem.gradient(&fit.w).unwrap();
                let norm = gradient.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
                assert!((norm - fit.gradient_norm).abs() <= 1e-3 * goal, "{what}: {norm:e}");
                on_adapter +=
                    usize::from(fit.precision == Precision::F32 && fit.adapter == adapter);
            }
        }
    }
    assert!(on_adapter >= 16, "{on_adapter}");
    assert!(elsewhere <= 2, "{elsewhere}");
}

fn problem_adapter() -> String {
    single().adapter().name.clone()
}

/// The device is lost in the middle of a fit, at the start, or late: the processor goes on from the last accepted point,
/// or the fit ends with the error where that was asked for.
#[test]
fn a_fit_goes_on_when_the_device_is_lost() {
    let (problem, w) = fit_problem();
    let right = solver().fit(&problem, &w, &mut silent).unwrap();
    for simulated in [
        Simulated::Lost,
        Simulated::Panic,
        Simulated::Timeout,
        Simulated::Unfinished,
        Simulated::Destroyed,
    ] {
        for (calls, f64) in [(0, false), (1, true), (7, false), (7, true), (30, false), (31, true)]
        {
            let lose = |solver: BlockNewton| {
                let gpu = open(Options::default());
                let gpu = if f64 { gpu.in_f64().unwrap() } else { gpu };
                let on = problem.clone().on(Device::Gpu(gpu.clone()));
                simulate(&gpu, simulated, calls);
                let mut values = Vec::new();
                let fit = solver.fit(&on, &w, &mut |p| {
                    values.push(p.value);
                    secondo::Control::Continue
                });
                (fit, values)
            };
            let (fit, values) = lose(solver());
            let fit = fit.unwrap();
            assert_eq!(fit.reason, Reason::Gradient, "{simulated:?} after {calls}");
            assert!((fit.value - right.value).abs() < 1e-9 * right.value);
            // Nothing that was reached is lost; two devices may round a value differently, those of f32 in the seventh digit.
            let digits = if f64 { 1e-13 } else { 1e-6 };
            assert!(
                values.windows(2).all(|v| v[1] <= v[0] * (1.0 + digits)),
                "{simulated:?} after {calls}"
            );
            let failure = fit.failure.as_deref().unwrap_or_default();
            assert!(failure.contains(&problem_adapter()), "{simulated:?} after {calls}: {failure}");
            assert!(fit.adapter.contains("then cpu") && fit.to_string().contains(failure));
            let (fit, _) = lose(BlockNewton { fallback: false, ..solver() });
            assert!(matches!(fit.unwrap_err(), Error::Gpu { .. }), "{simulated:?} after {calls}");
        }
    }
}

/// Numbers that are finite in f64 and not in f32, and requests that do not fit the device, are no reason to fail: the processor computes it.
#[test]
fn a_fit_goes_on_where_f32_or_the_device_is_too_small() {
    let network = Network::dense(&[1, 1], Activation::Tanh).unwrap();
    let data = Data::new(ndarray::array![[1.0], [2.0]], ndarray::array![[1e20], [2e20]]).unwrap();
    let large = Problem::new(network, data, Loss::SquaredError).unwrap();
    let mut limits = single().adapter().limits;
    (limits.buffer, limits.binding) = (1 << 17, 1 << 16);
    let narrow = limited(limits);
    let (wide, w) = dense(&[3, 140, 140, 2], Activation::Tanh, 0, 10, 0.05);
    for (problem, w, gpu) in [(large, vec![0.0, 0.0], single()), (wide, w, narrow)] {
        let short = BlockNewton { max_iter: 3, ..BlockNewton::default() };
        let right = short.fit(&problem, &w, &mut silent).unwrap();
        let problem = problem.on(Device::Gpu(gpu));
        let fit = short.fit(&problem, &w, &mut silent).unwrap();
        assert!(fit.failure.is_some() && fit.value == right.value, "{fit}");
        let strict = BlockNewton { fallback: false, ..short };
        strict.fit(&problem, &w, &mut silent).unwrap_err();
    }
}

/// Where a product overflows f32 the processor goes on from the last accepted point.
#[test]
fn a_fit_goes_on_where_a_product_overflows_f32() {
    let layer = Layer::dense(1, Activation::Identity).without_bias();
    let network = Network::new(1, vec![layer]).unwrap();
    // Σ x² is 5·10⁴⁰; the gradient is not.
    let data = Data::new(array![[1e20], [2e20]], array![[1.0], [3.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let method = NewtonCg { preconditioning: Preconditioning::None, ..NewtonCg::default() };
    let right = method.fit(&problem, &[0.0], &mut silent).unwrap();
    assert!(right.converged() && (right.w[0] - 1.4e-20).abs() < 1e-32);
    // In units of the parameters, in which steps are taken, nothing is large.
    for device in [Device::Gpu(single()), Device::CpuF32] {
        let fit = method.fit(&problem.clone().on(device), &[0.0], &mut silent).unwrap();
        assert!(fit.converged() && fit.failure.is_none(), "{fit}");
        assert!((fit.w[0] - 1.4e-20).abs() < 1e-30, "{fit}");
    }
    let weight = "omega[at_omega(i, 0u, 0u)]";
    let larger = "1e30 * (1e30 * omega[at_omega(i, 0u, 0u)])";
    let on = problem.clone().on(Device::Gpu(patched(("loss_hessian", weight, larger))));
    let fit = method.fit(&on, &[0.0], &mut silent).unwrap();
    let failure = fit.failure.as_deref().unwrap_or_default();
    assert!(failure.contains("in f32") && failure.contains("product"), "{fit}");
    assert_eq!((fit.reason, fit.value, &fit.w), (right.reason, right.value, &right.w));
    let strict = NewtonCg {
        region: TrustRegion { fallback: false, ..method.region.clone() },
        ..method.clone()
    };
    let stopped = strict.fit(&on, &[0.0], &mut silent).unwrap();
    assert_eq!((stopped.reason, &stopped.w[..]), (Reason::Stalled, &[0.0][..]), "{stopped}");
    assert!(stopped.failure.is_none());
}

/// Adapters are opened, used and dropped: neither memory nor handles pile up.
#[test]
fn many_adapters_one_after_another() {
    let (problem, w) = dense(&[2, 3, 1], Activation::Tanh, 0, 20, 0.5);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        (status.lines())
            .find_map(|l| {
                l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
            })
            .unwrap_or(0)
    };
    let use_one = || {
        let gpu = Gpu::open(Some(&name()), Options::default()).unwrap();
        problem.clone().on(Device::Gpu(gpu)).gradient(&w).unwrap()
    };
    let first = use_one();
    (0..10).for_each(|_| assert!(use_one() == first));
    let before = resident();
    (0..60).for_each(|_| assert!(use_one() == first));
    let grown = resident().saturating_sub(before);
    println!("{grown} KiB more after 60 adapters");
    // Other tests of this process run beside this one.
    assert!(grown < 400_000, "{grown} KiB more");
}

/// The bits do not depend on how many threads a software adapter has.
#[test]
#[cfg(target_os = "linux")]
fn threads_of_the_adapter_change_no_bit() {
    let test = "threads_of_the_adapter_change_no_bit";
    if is_child(test) {
        let (problem, w) = dense(&[33, 20, 2], Activation::Tanh, 0, 3000, 0.5);
        let at = problem.on(Device::Gpu(single())).evaluate(&w, request()).unwrap();
        let bits = numbers(&at).into_iter().map(f64::to_bits);
        let hash = bits.fold(0u64, |hash, bits| (hash ^ bits).wrapping_mul(0x100_0000_01b3));
        println!("hash {hash:016x}");
        return;
    }
    let hash = |threads: u32| {
        let text = child(test, &format!("LP_NUM_THREADS={threads}"));
        let (_, hash) = text.split_once("hash ").expect("the child prints it");
        hash[..16].to_string()
    };
    let one = hash(1);
    for threads in [0, 2, 4] {
        assert_eq!(hash(threads), one, "{threads} threads");
    }
}
