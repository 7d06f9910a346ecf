//! The memory that `Plan` predicts against the bytes that an evaluation really holds at its peak.
#![allow(unsafe_code)] // a counting allocator cannot be written without it

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ndarray::Array2;
use secondo::{
    Activation, Curvature, Data, Device, Initialization, LinearOperator, Loss, Network, Plan,
    Problem, Request, Structure,
};

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

struct Counting;

fn count(bytes: i64) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn problem(widths: &[usize], n: usize) -> (Problem, Vec<f64>) {
    let network = Network::dense(widths, Activation::Tanh).unwrap();
    let (d, o) = (network.inputs(), network.outputs());
    let x = Array2::from_shape_fn((n, d), |(i, j)| {
        ((i * 7 + j * 13) % 101) as f64 / 50.0 - 1.0
    });
    let y = Array2::from_shape_fn((n, o), |(i, j)| ((i * 3 + j) % 17) as f64 / 8.0 - 1.0);
    let w = Initialization::Glorot.draw(&network, 1);
    (
        Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap(),
        w,
    )
}

/// The test below allocates next to nothing meanwhile.
#[test]
fn the_plan_is_within_a_tenth_of_what_is_held() {
    let blocks = |c| Request::curvature(c, Structure::RowBlocks);
    // The matrix-product library reserves scratch space for each thread at its first product (twice the third-level cache,
    // hardly any of it touched): every thread has done one before the measurement, in both floats, this one included.
    let warm = || {
        let (small, w) = self::problem(&[40, 40, 40], 500);
        for device in [Device::Cpu, Device::CpuF32] {
            small.clone().on(device).gradient(&w).unwrap();
        }
    };
    rayon::broadcast(|_| warm());
    warm();
    for (widths, n, request, device) in [
        (
            vec![32, 64, 1],
            1_000_000,
            blocks(Curvature::Exact),
            Device::Cpu,
        ),
        (
            vec![32, 64, 1],
            100_000,
            blocks(Curvature::GaussNewton),
            Device::CpuF32,
        ),
        (
            vec![20, 40, 30, 5],
            20_000,
            blocks(Curvature::Exact),
            Device::Cpu,
        ),
        (
            vec![20, 40, 30, 5],
            20_000,
            blocks(Curvature::GaussNewton),
            Device::Cpu,
        ),
        (
            vec![300, 40, 10],
            3_000,
            blocks(Curvature::Lagrangian),
            Device::Cpu,
        ),
        (
            vec![50, 200, 3],
            30_000,
            Request {
                multipliers: true,
                ..Request::gradient()
            },
            Device::Cpu,
        ),
        (
            vec![50, 200, 3],
            30_000,
            Request::curvature(Curvature::EmpiricalFisher, Structure::Diagonal),
            Device::Cpu,
        ),
        // A chunk's arrays are most of it.
        (
            vec![20, 40, 30, 5],
            6_000,
            Request::curvature(Curvature::Exact, Structure::Full),
            Device::Cpu,
        ),
        // The matrix is, and what it is made of.
        (
            vec![60, 50, 2],
            300,
            Request::curvature(Curvature::Exact, Structure::Full),
            Device::Cpu,
        ),
        (
            vec![60, 50, 2],
            300,
            Request::curvature(Curvature::GaussNewton, Structure::LayerBlocks),
            Device::CpuF32,
        ),
        (
            vec![20, 40, 30, 5],
            6_000,
            Request::curvature(Curvature::Residual, Structure::LayerBlocks),
            Device::Cpu,
        ),
        (
            vec![20, 40, 30, 5],
            6_000,
            Request::curvature(Curvature::Lagrangian, Structure::Full),
            Device::Cpu,
        ),
    ] {
        let (problem, w) = problem(&widths, n);
        let problem = problem.on(device);
        let plan = problem.plan(request).unwrap();
        let what = format!("{widths:?}, n = {n}, {request:?}");
        holds(&what, &plan, || problem.evaluate(&w, request).unwrap());
    }
    for (widths, n, curvature, count, device) in [
        (vec![50, 200, 3], 30_000, Curvature::Exact, 1, Device::Cpu),
        (
            vec![32, 64, 1],
            100_000,
            Curvature::GaussNewton,
            8,
            Device::CpuF32,
        ),
        // Vectors and products are most of it.
        (
            vec![300, 200, 10],
            300,
            Curvature::Residual,
            30,
            Device::Cpu,
        ),
        (
            vec![50, 200, 3],
            30_000,
            Curvature::EmpiricalFisher,
            2,
            Device::Cpu,
        ),
    ] {
        let (problem, w) = problem(&widths, n);
        let problem = problem.on(device);
        let plan = problem.plan_products(curvature, count).unwrap();
        let v = Array2::from_shape_fn((count, w.len()), |(r, l)| ((5 * l + r) % 9) as f64 - 4.0);
        let operator = problem.operator(&w, curvature).unwrap();
        let what = format!("{widths:?}, n = {n}, {count} products, {curvature:?}");
        holds(&what, &plan, || operator.products(v.view()).unwrap());
    }
}

/// What `run` holds at its peak is within a tenth of what was planned.
fn holds<R>(what: &str, plan: &Plan, run: impl FnOnce() -> R) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = run();
    let held = (PEAK.load(Relaxed) - before) as f64;
    let predicted = plan.bytes() as f64;
    println!("{what}: held {held:.3e}, predicted {predicted:.3e}, {plan}");
    assert!(
        (held / predicted - 1.0).abs() < 0.1,
        "{what}: held {held:.4e} bytes, predicted {predicted:.4e}: {plan}"
    );
    drop(result);
}

/// A product costs a few gradients, several share the propagation, and a whole matrix about its numbers for each sample.
#[test]
fn flops_are_of_the_size_that_formulas_give() {
    let (problem, _) = problem(&[20, 40, 30, 5], 1000);
    let gradient = problem.plan(Request::gradient()).unwrap().flops;
    let products = |count| {
        problem
            .plan_products(Curvature::Exact, count)
            .unwrap()
            .flops
    };
    let (one, ten) = (products(1), products(10));
    assert!((2.0..5.0).contains(&(one / gradient)), "{}", one / gradient);
    assert!((4.0..10.0).contains(&(ten / one)), "{}", ten / one);
    // A multiplication and an addition for each pair of parameters below the diagonal: a quarter of them are formed where
    // a layer meets itself, all where layers meet.
    let p = problem.parameters() as f64;
    let request = Request::curvature(Curvature::GaussNewton, Structure::Full);
    let whole = problem.plan(request).unwrap().flops / (1000.0 * p * p);
    assert!((0.5..1.5).contains(&whole), "{whole}");
}
