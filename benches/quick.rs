//! The rates of the kernels beside this machine's own matrix product, in half a minute: `cargo bench --bench quick`, or
//! `scripts/bench-quick` for every instruction set that the machine has, with the peers that can be imported.
//!
//! Flops are those that the results need: of a Gram matrix one triangle, of products what one adds to another (the states at w are
//! kept), of whole matrices what their plans say. A small network's evaluation at one sample is nearly all overhead.

mod common;

use std::hint::black_box;
use std::io::Write;

use ndarray::Array2;
use secondo::backend::cpu::{Level, Real};
use secondo::backend::kernel::{Activate, PairBlock};
use secondo::backend::{Backend, Cpu, Layout, View, ViewMut};
use secondo::{Activation, Curvature, Device, LinearOperator, Request, Structure};

use common::gram::Case;
use common::rate::{flops_of_products, product_rate, seconds_within};
use common::{number, problem};

/// Seconds for each figure.
const ABOUT: f64 = 0.5;

/// The figures, for a file that `benches/peers/quick.py` reads.
#[derive(Default)]
struct Figures(Vec<(String, f64)>);

impl Figures {
    fn add(&mut self, name: String, seconds: f64, beside: &str) {
        println!("{name:44} {:>10.4} ms   {beside}", 1e3 * seconds);
        self.0.push((name, seconds));
    }
}

fn grams<T: Real>(figures: &mut Figures, rate: f64, shapes: &[(usize, usize, usize)]) {
    for &(n, d, s) in shapes {
        let mut case = Case::<T>::new(n, d, s, number).expect("memory");
        let time = seconds_within(ABOUT, || case.run().expect("a result"));
        let own = (n * d * (d + 1) * s) as f64 / time;
        let beside = format!("{:.1} Gflop/s, {:.2} of the product", own / 1e9, own / rate);
        figures.add(format!("Gram {} n={n} d={d} s={s}", T::NAME), time, &beside);
    }
}

/// The block of a layer of `h` units with `k` inputs and one of `g` units with `l`, for n samples.
fn coupled<T: Real>(
    figures: &mut Figures,
    rate: f64,
    n: usize,
    (h, k): (usize, usize),
    (g, l): (usize, usize),
) {
    let cpu = Cpu::<T>::new();
    let upload =
        |len: usize| cpu.upload(&(0..len).map(number).collect::<Vec<_>>()).expect("memory");
    let (s, t, delta) = (upload(n * h * g), upload(n * h * l), upload(n * g));
    let (z_l, z_k) = (upload(n * l), upload(n * k));
    let t = View::new(&t, Layout::dense(n, h, l));
    let delta = View::new(&delta, Layout::rows_of(n, g));
    let mut sum = cpu.sums(h * g * l * k).expect("memory");
    let time = seconds_within(ABOUT, || {
        let kernel = PairBlock {
            s: View::new(&s, Layout::dense(n, h, g)),
            t_delta: Some([t, delta]),
            z_l: View::new(&z_l, Layout::rows_of(n, l)),
            z_k: View::new(&z_k, Layout::rows_of(n, k)),
            sum: &mut sum,
        };
        cpu.run(kernel.into()).expect("a result");
    });
    let own = (2 * n * h * g * l * k) as f64 / time;
    let beside = format!("{:.1} Gflop/s, {:.2} of the product", own / 1e9, own / rate);
    figures.add(format!("coupled {} n={n} {h}x{k} with {g}x{l}", T::NAME), time, &beside);
}

/// h, h′ and h″ of so many numbers.
fn activations(figures: &mut Figures, count: usize) {
    let cpu = Cpu::<f64>::new();
    let numbers: Vec<f64> = (0..count).map(|k| 4.0 * number(k)).collect();
    let p = cpu.upload(&numbers).expect("memory");
    let mut out = [(); 3].map(|()| cpu.alloc(count).expect("memory"));
    let layout = Layout::rows_of(count / 64, 64);
    for a in [Activation::Tanh, Activation::Logistic, Activation::Softplus, Activation::Exp] {
        let runs = [(a, 64)];
        let time = seconds_within(ABOUT, || {
            let [h, h1, h2] = out.each_mut().map(|x| ViewMut::new(x, layout));
            let p = View::new(&p, layout);
            let kernel = Activate { runs: &runs, p, h, h1: Some(h1), h2: Some(h2) };
            cpu.run(kernel.into()).expect("a result");
        });
        let beside = format!("{:.2} ns a number", 1e9 * time / count as f64);
        figures.add(format!("{} with h' and h'' of {count}", a.name()), time, &beside);
    }
}

fn products(figures: &mut Figures, rate: f64, widths: &[usize]) {
    let (problem, w) = problem(widths, 10_000, Device::Cpu);
    let name = format!("{} n=10000", problem.network());
    let gradient = seconds_within(ABOUT, || {
        black_box(problem.gradient(&w)).expect("a gradient");
    });
    figures.add(format!("{name} gradient"), gradient, "");
    for (curvature, of) in [(Curvature::Exact, "exact"), (Curvature::GaussNewton, "Gauss-Newton")] {
        for count in [1, 32] {
            let v = Array2::from_shape_fn((count, w.len()), |(i, j)| number(i * w.len() + j));
            let operator = problem.operator(&w, curvature).expect("an operator");
            let time = seconds_within(ABOUT, || {
                black_box(operator.products(v.view())).expect("products");
            });
            let flops = flops_of_products(&problem, curvature, count);
            let beside = format!(
                "{:.2} gradients, {:.2} of the product's rate",
                time / gradient,
                flops / time / rate
            );
            figures.add(format!("{name} {count} {of} products"), time, &beside);
        }
    }
}

fn whole(figures: &mut Figures, rate: f64, widths: &[usize], n: usize) {
    let (problem, w) = problem(widths, n, Device::Cpu);
    for curvature in [Curvature::GaussNewton, Curvature::Exact] {
        let request = Request::curvature(curvature, Structure::Full);
        let time = seconds_within(ABOUT, || {
            black_box(problem.evaluate(&w, request)).expect("a matrix");
        });
        let bound = problem.plan(request).expect("a plan").flops / rate;
        let beside = format!("{:.2} times its bound", time / bound);
        figures.add(format!("{} n={n} {curvature:?} full", problem.network()), time, &beside);
    }
}

fn small(figures: &mut Figures, widths: &[usize], n: usize) {
    let time = |n: usize| {
        let (problem, w) = problem(widths, n, Device::Cpu);
        let time = seconds_within(ABOUT, || {
            black_box(problem.gradient(&w)).expect("a gradient");
        });
        (problem.network().to_string(), time)
    };
    let ((name, all), (_, one)) = (time(n), time(1));
    let beside = format!("of one sample {:.2} us", 1e6 * one);
    figures.add(format!("{name} n={n} value and gradient"), all, &beside);
}

fn main() {
    let level = Level::in_use().expect("SECONDO_SIMD names an instruction set of this machine");
    println!("instruction set {} ({})", level.name(), level.instructions());
    let (rate, of_f32) = (product_rate::<f64>(), product_rate::<f32>());
    println!("the library's product: {:.1} Gflop/s in f64, {:.1} in f32", rate / 1e9, of_f32 / 1e9);
    let mut figures = Figures::default();
    small(&mut figures, &[4, 5, 3], 150);
    small(&mut figures, &[10, 8, 1], 442);
    // `cargo test` runs every bench once, to see that it does.
    if std::env::args().any(|a| a == "--bench") {
        let shapes = [(7_396, 65, 64), (1_877, 129, 64), (4_096, 257, 64), (2_000, 785, 64)];
        grams::<f64>(&mut figures, rate, &shapes);
        grams::<f32>(&mut figures, of_f32, &shapes);
        coupled::<f64>(&mut figures, rate, 1_797, (32, 65), (10, 33));
        coupled::<f64>(&mut figures, rate, 1_000, (64, 65), (64, 65));
        coupled::<f32>(&mut figures, of_f32, 1_797, (32, 65), (10, 33));
        coupled::<f32>(&mut figures, of_f32, 1_000, (64, 65), (64, 65));
        activations(&mut figures, 1 << 20);
        products(&mut figures, rate, &[32, 64, 1]);
        products(&mut figures, rate, &[64, 256, 10]);
        whole(&mut figures, rate, &[64, 32, 10], 1_797);
    }
    if let Some(path) = std::env::args().skip_while(|a| a != "--json").nth(1) {
        let figures: serde_json::Map<_, _> =
            (figures.0.into_iter()).map(|(name, seconds)| (name, seconds.into())).collect();
        let mut file = std::fs::File::create(path).expect("a file");
        writeln!(file, "{}", serde_json::Value::from(figures)).expect("writing");
    }
}
