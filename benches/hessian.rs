//! Whole matrices and products: `cargo bench --bench hessian`.
//!
//! Every time is the median of several runs in milliseconds, and every ratio is of times measured in this run, on the processor
//! in f64:
//!
//! * Gauss–Newton of a one-output network beside the product JᵀJ of the matrix-product library at the same n and P, its J
//!   formed on both sides;
//! * the exact Hessian beside that Gauss–Newton;
//! * one product with the exact operator beside the gradient, and 32 products at once.
//!
//! `benches/peers/hessian.py` does the same work in PyTorch and JAX. `--json FILE` writes the figures for it.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::Array2;
use secondo::{Activation, Curvature, Data, LinearOperator, Loss, Network, Problem, Structure};

/// Seconds at the median of at least three runs, or as many as about a second takes.
fn seconds(mut f: impl FnMut()) -> f64 {
    f();
    let (mut times, clock) = (Vec::new(), Instant::now());
    while times.len() < 3 || (times.len() < 101 && clock.elapsed().as_secs_f64() < 1.0) {
        let start = Instant::now();
        f();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
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

struct Row {
    name: String,
    what: &'static str,
    seconds: f64,
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
    let mut rows = Vec::new();
    let mut add = |name: &str, what, seconds, beside| {
        let row = Row { name: name.into(), what, seconds, beside };
        match row.beside {
            None => println!("{name:42} {what:24} {:>10.3} ms", 1e3 * seconds),
            Some((other, t)) => println!(
                "{name:42} {what:24} {:>10.3} ms   {:.2} times {other}",
                1e3 * seconds,
                seconds / t
            ),
        }
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
        add(&name, "Gauss–Newton, full", gn, plain.map(|t| ("JᵀJ by the library", t)));
        add(&name, "exact Hessian, full", exact, Some(("Gauss–Newton", gn)));
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
        add(&name, "gradient", gradient, None);
        let order = p.0.parameters();
        for (what, count) in [("1 exact product", 1), ("32 exact products", 32)] {
            let v = Array2::from_shape_vec((count, order), numbers(count * order, 5)).expect("V");
            let operator = p.0.operator(&p.1, Curvature::Exact).expect("an operator");
            let t = seconds(|| {
                black_box(operator.products(v.view())).expect("products");
            });
            add(&name, what, t, Some(("the gradient", gradient)));
        }
    }
    if let Some(path) = json {
        let rows: Vec<_> = (rows.iter())
            .map(|r| {
                serde_json::json!({ "name": r.name, "what": r.what, "seconds": r.seconds,
                "beside": r.beside.map(|b| serde_json::json!({ "what": b.0, "seconds": b.1 })) })
            })
            .collect();
        let mut file = std::fs::File::create(path).expect("a file");
        writeln!(file, "{}", serde_json::Value::from(rows)).expect("writing");
    }
}
