//! Whole matrices and products: `cargo bench --bench hessian`.
//!
//! Every time is the median of several runs in milliseconds, and every ratio is of times measured in this run, on the processor
//! in f64:
//!
//! * Gauss–Newton of a one-output network beside the product JᵀJ of the matrix-product library at the same n and P, its J
//!   formed on both sides;
//! * the exact Hessian beside that Gauss–Newton;
//! * one product with the exact operator beside the gradient, and 32 products at once;
//! * all of these but the gradient in units of their bound: the time that their flops take at the rate of the library's product of
//!   square matrices, measured first, in the same run.
//!
//! `benches/peers/hessian.py` does the same work in PyTorch and JAX. `--json FILE` writes the figures for it.

mod common;

use std::hint::black_box;
use std::io::Write;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::Array2;
use secondo::backend::cpu::Level;
use secondo::{
    Activation, Curvature, Data, LinearOperator, Loss, Network, Problem, Request, Structure,
};

use common::rate::{flops_of_products, product_rate, seconds_within};

/// Seconds at the median of at least three runs, or as many as about a second takes.
fn seconds(f: impl FnMut()) -> f64 {
    seconds_within(1.0, f)
}

/// Numbers within ±1 that need no generator.
fn numbers(len: usize, salt: u64) -> Vec<f64> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(6364136223846793005).wrapping_add(salt) >> 33) % 2001)
        .map(|v| v as f64 / 1000.0 - 1.0)
        .collect()
}

fn problem(widths: &[usize], loss: Loss, n: usize) -> (Problem, Vec<f64>) {
    let network = Network::dense(widths, Activation::Tanh).expect("a network");
    let outputs = network.outputs();
    let x = Array2::from_shape_vec((n, widths[0]), numbers(n * widths[0], 7)).expect("X");
    let y = match loss {
        Loss::SquaredError => {
            Array2::from_shape_vec((n, outputs), numbers(n * outputs, 11)).expect("Y")
        }
        Loss::BinaryCrossEntropy => Array2::from_shape_fn((n, outputs), |(i, _)| (i % 2) as f64),
        _ => Array2::from_shape_fn((n, outputs), |(i, o)| f64::from(u8::from(i % outputs == o))),
    };
    let w = numbers(network.parameters(), 3).iter().map(|v| 0.3 * v).collect();
    let data = Data::new(x, y).expect("data");
    (Problem::new(network, data, loss).expect("a problem"), w)
}

fn whole(p: &(Problem, Vec<f64>), curvature: Curvature) -> f64 {
    seconds(|| {
        black_box(p.0.curvature(&p.1, curvature, Structure::Full)).expect("a matrix");
    })
}

/// JᵀJ by the library, J as the crate forms it: what Gauss–Newton costs where nothing of the network is used.
fn plain_product(p: &(Problem, Vec<f64>)) -> f64 {
    let order = p.0.parameters();
    let mut out = vec![0.0; order * order];
    let par = Par::rayon(0);
    seconds(|| {
        let j = p.0.jacobian(&p.1).expect("a Jacobian");
        let j = MatRef::from_row_major_slice(j.as_slice().expect("rows"), j.nrows(), order);
        let out = MatMut::from_row_major_slice_mut(&mut out, order, order);
        matmul(out, Accum::Replace, j.transpose(), j, 1.0, par);
    })
}

/// The instruction set of the kernels.
fn level() -> String {
    let level = Level::in_use().expect("SECONDO_SIMD names an instruction set of this machine");
    format!("instruction set {} ({})", level.name(), level.instructions())
}

fn flops_of(problem: &Problem, request: Request) -> Option<f64> {
    problem.plan(request).ok().map(|plan| plan.flops)
}

struct Row {
    name: String,
    what: &'static str,
    seconds: f64,
    /// Seconds that its flops take at the rate of the library's product.
    bound: Option<f64>,
    /// The work that it is measured beside, with that one's seconds.
    beside: Option<(&'static str, f64)>,
}

fn main() {
    let json = std::env::args().skip_while(|a| a != "--json").nth(1);
    // Names that are asked for, as `[8-64`; all without any.
    let wanted: Vec<String> = std::env::args().filter(|a| a.starts_with('[')).collect();
    // `cargo test` runs every bench once, to see that it does.
    let whole_bench = std::env::args().any(|a| a == "--bench");
    let skipped = |widths: &[usize]| {
        if !whole_bench && widths != [10, 16, 1] && wanted.is_empty() {
            return true;
        }
        let name =
            Network::dense(widths, Activation::Tanh).map_or(String::new(), |n| n.to_string());
        !wanted.is_empty() && !wanted.iter().any(|w| name.starts_with(w))
    };
    let rate = product_rate::<f64>();
    println!("{}; the library's product makes {:.1} Gflop/s", level(), rate / 1e9);
    let mut rows = Vec::new();
    let mut add = |name: &str, what, seconds, flops: Option<f64>, beside| {
        let row = Row { name: name.into(), what, seconds, bound: flops.map(|f| f / rate), beside };
        print!("{name:42} {what:24} {:>10.3} ms", 1e3 * seconds);
        if let Some(bound) = row.bound {
            print!("   {:.2} times its bound", seconds / bound);
        }
        if let Some((other, t)) = row.beside {
            print!("   {:.2} times {other}", seconds / t);
        }
        println!();
        rows.push(row);
    };
    for (widths, loss, n) in [
        (&[10, 16, 1][..], Loss::SquaredError, 442),
        (&[30, 20, 1], Loss::BinaryCrossEntropy, 569),
        (&[64, 32, 10], Loss::SoftmaxCrossEntropy, 1_797),
        (&[8, 64, 64, 1], Loss::SquaredError, 4_096),
        (&[10, 32, 32, 32, 1], Loss::SquaredError, 4_096),
    ] {
        if skipped(widths) {
            continue;
        }
        let p = problem(widths, loss, n);
        let name = format!("{} {} n={n}", p.0.network(), p.0.loss().name());
        let (gn, exact) = (whole(&p, Curvature::GaussNewton), whole(&p, Curvature::Exact));
        let plain = (p.0.network().outputs() == 1).then(|| plain_product(&p));
        let flops = |curvature| flops_of(&p.0, Request::curvature(curvature, Structure::Full));
        let beside = plain.map(|t| ("JᵀJ by the library", t));
        add(&name, "Gauss–Newton, full", gn, flops(Curvature::GaussNewton), beside);
        let beside = Some(("Gauss–Newton", gn));
        add(&name, "exact Hessian, full", exact, flops(Curvature::Exact), beside);
    }
    for widths in [&[32, 64, 1][..], &[64, 256, 10]] {
        if skipped(widths) {
            continue;
        }
        let p = problem(widths, Loss::SquaredError, 10_000);
        let name = format!("{} n=10000", p.0.network());
        let gradient = seconds(|| {
            black_box(p.0.gradient(&p.1)).expect("a gradient");
        });
        add(&name, "gradient", gradient, None, None);
        let order = p.0.parameters();
        for (what, count) in [("1 exact product", 1), ("32 exact products", 32)] {
            let v = Array2::from_shape_vec((count, order), numbers(count * order, 5)).expect("V");
            let operator = p.0.operator(&p.1, Curvature::Exact).expect("an operator");
            let t = seconds(|| {
                black_box(operator.products(v.view())).expect("products");
            });
            let flops = flops_of_products(&p.0, Curvature::Exact, count);
            add(&name, what, t, Some(flops), Some(("the gradient", gradient)));
        }
    }
    if let Some(path) = json {
        let rows: Vec<_> = (rows.iter())
            .map(|r| {
                serde_json::json!({ "name": r.name, "what": r.what, "seconds": r.seconds, "bound": r.bound,
                "beside": r.beside.map(|b| serde_json::json!({ "what": b.0, "seconds": b.1 })) })
            })
            .collect();
        let mut file = std::fs::File::create(path).expect("a file");
        writeln!(file, "{}", serde_json::Value::from(rows)).expect("writing");
    }
}
