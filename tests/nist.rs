//! Levenberg–Marquardt with default options on twelve of NIST's regressions, from both of NIST's starts.
//!
//! Digits are log relative errors, −log₁₀(|b − c|/|c|) against a certified value c, at most 11, as many as NIST prints; of a
//! fit the fewest of any parameter. The data are NIST's (StRD nonlinear regression, public domain).

use secondo::train::{LeastSquares, LevenbergMarquardt, Residuals};
use serde_json::Value;

/// A model's value at x, with its derivatives with respect to b.
type Model = fn(b: &[f64], x: &[f64], g: &mut [f64]) -> f64;

/// b₁e^(−b₂x).
fn decay(b: &[f64], x: f64, g: &mut [f64]) -> f64 {
    let e = (-b[1] * x).exp();
    g.copy_from_slice(&[e, -b[0] * x * e]);
    b[0] * e
}

/// b₁e^(−(x − b₂)²/b₃²).
fn peak(b: &[f64], x: f64, g: &mut [f64]) -> f64 {
    let u = (x - b[1]) / b[2];
    let e = (-u * u).exp();
    let v = b[0] * e;
    g.copy_from_slice(&[e, 2.0 * v * u / b[2], 2.0 * v * u * u / b[2]]);
    v
}

fn misra1a(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let u = b[1] * x[0];
    // Not 1 − e^(−u), whose digits are few for small u.
    let v = -(-u).exp_m1();
    g.copy_from_slice(&[v, b[0] * x[0] * (-u).exp()]);
    b[0] * v
}

fn misra1b(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let u = 1.0 + 0.5 * b[1] * x[0];
    let v = 1.0 - u.powi(-2);
    g.copy_from_slice(&[v, b[0] * x[0] * u.powi(-3)]);
    b[0] * v
}

fn chwirut(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let (e, u) = ((-b[0] * x[0]).exp(), b[1] + b[2] * x[0]);
    g.copy_from_slice(&[-x[0] * e / u, -e / u / u, -x[0] * e / u / u]);
    e / u
}

fn lanczos(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let terms = b.chunks_exact(2).zip(g.chunks_exact_mut(2));
    terms.map(|(b, g)| decay(b, x[0], g)).sum()
}

fn gauss(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let first = decay(&b[..2], x[0], &mut g[..2]);
    first + peak(&b[2..5], x[0], &mut g[2..5]) + peak(&b[5..], x[0], &mut g[5..])
}

fn danwood(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let v = x[0].powf(b[1]);
    g.copy_from_slice(&[v, b[0] * v * x[0].ln()]);
    b[0] * v
}

fn nelson(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let e = (-b[2] * x[1]).exp();
    g.copy_from_slice(&[1.0, -x[0] * e, b[1] * x[0] * x[1] * e]);
    b[0] - b[1] * x[0] * e
}

fn roszman1(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    use std::f64::consts::PI;
    let u = x[0] - b[3];
    let size = (u * u + b[2] * b[2]) * PI;
    g.copy_from_slice(&[1.0, -x[0], -u / size, -b[2] / size]);
    b[0] - b[1] * x[0] - (b[2] / u).atan() / PI
}

fn mgh09(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let x = x[0];
    let (above, below) = (x * (x + b[1]), x * (x + b[2]) + b[3]);
    let v = above / below;
    g.copy_from_slice(&[v, b[0] * x / below, -b[0] * v * x / below, -b[0] * v / below]);
    b[0] * v
}

fn mgh10(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let u = x[0] + b[2];
    let e = (b[1] / u).exp();
    g.copy_from_slice(&[e, b[0] * e / u, -b[0] * e * b[1] / u / u]);
    b[0] * e
}

fn eckerle4(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let u = (x[0] - b[2]) / b[1];
    let e = (-0.5 * u * u).exp() / b[1];
    let v = b[0] * e;
    g.copy_from_slice(&[e, v * (u * u - 1.0) / b[1], v * u / b[1]]);
    v
}

fn rat43(b: &[f64], x: &[f64], g: &mut [f64]) -> f64 {
    let e = (b[1] - b[2] * x[0]).exp();
    let v = (1.0 + e).powf(-1.0 / b[3]);
    let inner = -b[0] * v * e / (1.0 + e) / b[3];
    let outer = b[0] * v * e.ln_1p() / b[3] / b[3];
    g.copy_from_slice(&[v, inner, -x[0] * inner, outer]);
    b[0] * v
}

macro_rules! problems {
    ($($name:literal $model:ident,)*) => {
        const PROBLEMS: &[(&str, Model, &str)] = &[
            $(($name, $model, include_str!(concat!("data/nist/", $name, ".json"))),)*
        ];
    };
}

problems! {
    "Misra1a" misra1a,
    "Chwirut2" chwirut,
    "Lanczos3" lanczos,
    "Gauss1" gauss,
    "DanWood" danwood,
    "Misra1b" misra1b,
    "Nelson" nelson,
    "Roszman1" roszman1,
    "MGH09" mgh09,
    "MGH10" mgh10,
    "Eckerle4" eckerle4,
    "Rat43" rat43,
}

struct Problem {
    name: &'static str,
    model: Model,
    starts: [Vec<f64>; 2],
    certified: Vec<f64>,
    deviations: Vec<f64>,
    rss: f64,
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
}

impl Problem {
    fn all() -> Vec<Self> {
        let read = |(name, model, text): &(&'static str, Model, &str)| {
            let json: Value = serde_json::from_str(text).unwrap();
            let numbers = |v: &Value| -> Vec<f64> {
                (v.as_array().unwrap().iter()).map(|v| v.as_f64().unwrap()).collect()
            };
            Problem {
                name,
                model: *model,
                starts: [numbers(&json["start1"]), numbers(&json["start2"])],
                certified: numbers(&json["certified"]),
                deviations: numbers(&json["deviations"]),
                rss: json["rss"].as_f64().unwrap(),
                x: json["x"].as_array().unwrap().iter().map(numbers).collect(),
                y: numbers(&json["y"]),
            }
        };
        PROBLEMS.iter().map(read).collect()
    }
}

impl Residuals for Problem {
    fn dim(&self) -> usize {
        self.certified.len()
    }
    fn count(&self) -> usize {
        self.y.len()
    }
    fn residuals(&self, b: &[f64], out: &mut [f64]) {
        let mut g = vec![0.0; b.len()];
        for ((out, x), y) in out.iter_mut().zip(&self.x).zip(&self.y) {
            *out = (self.model)(b, x, &mut g) - y;
        }
    }
    fn jacobian(&self, b: &[f64], out: &mut [f64]) {
        for (row, x) in out.chunks_exact_mut(b.len()).zip(&self.x) {
            (self.model)(b, x, row);
        }
    }
}

fn digits(found: f64, certified: f64) -> f64 {
    let error = ((found - certified) / certified).abs();
    match error.is_nan() {
        true => 0.0,
        false => (-error.log10()).clamp(0.0, 11.0),
    }
}

fn fewest(found: &[f64], certified: &[f64]) -> f64 {
    (found.iter().zip(certified)).map(|(f, c)| digits(*f, *c)).fold(11.0, f64::min)
}

/// The digits of parameters and standard deviations. The terms of a sum may come in another order, and a width with
/// another sign.
fn accuracy(problem: &Problem, found: &LeastSquares) -> (f64, f64) {
    let none = vec![f64::NAN; found.x.len()];
    let deviations = found.deviations.as_ref().unwrap_or(&none);
    let orders: &[&[usize]] = match problem.name {
        name if name.starts_with("Lanczos") => &[
            &[0, 1, 2, 3, 4, 5],
            &[0, 1, 4, 5, 2, 3],
            &[2, 3, 0, 1, 4, 5],
            &[2, 3, 4, 5, 0, 1],
            &[4, 5, 0, 1, 2, 3],
            &[4, 5, 2, 3, 0, 1],
        ],
        name if name.starts_with("Gauss") => {
            &[&[0, 1, 2, 3, 4, 5, 6, 7], &[0, 1, 5, 6, 7, 2, 3, 4]]
        }
        _ => &[&[0, 1, 2, 3, 4, 5, 6, 7, 8]],
    };
    let widths: &[usize] = match problem.name {
        name if name.starts_with("Gauss") => &[4, 7],
        _ => &[],
    };
    let of = |order: &&[usize]| {
        let order = &order[..found.x.len()];
        let mut x: Vec<f64> = order.iter().map(|&a| found.x[a]).collect();
        let sd: Vec<f64> = order.iter().map(|&a| deviations[a]).collect();
        widths.iter().for_each(|&a| x[a] = x[a].abs());
        (fewest(&x, &problem.certified), fewest(&sd, &problem.deviations))
    };
    (orders.iter().map(of)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn certified_values_are_found_from_both_starts() {
    let (mut sum, mut runs, mut failures) = (0.0, 0, Vec::new());
    println!("problem   start  digits  of sd  steps  tried  rss digits  ended");
    for problem in Problem::all() {
        for (k, start) in problem.starts.iter().enumerate() {
            let found = LevenbergMarquardt::default().minimize(&problem, start).unwrap();
            let (b, sd) = accuracy(&problem, &found);
            let rss = digits(2.0 * found.value, problem.rss);
            println!(
                "{:9} {:5}  {b:6.2}  {sd:5.2}  {:5}  {:5}  {rss:10.2}  {}",
                problem.name,
                k + 1,
                found.accepted,
                found.iterations,
                found.reason.name()
            );
            let enough = match problem.name {
                "Lanczos3" => 5.0,
                _ => 6.0,
            };
            if !(b >= enough && sd >= 6.0 && found.converged()) {
                failures.push(format!("{} start {}: {found}", problem.name, k + 1));
            }
            sum += b;
            runs += 1;
        }
    }
    let mean = sum / f64::from(runs);
    println!("mean of {runs}: {mean:.2}");
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(mean >= 9.4, "{mean}");
}

/// The Jacobians are those of the models, and the data those of the certified values.
#[test]
fn models_and_data_are_right() {
    for problem in Problem::all() {
        let b = &problem.certified;
        let (m, p) = (problem.count(), problem.dim());
        let mut r = vec![0.0; m];
        problem.residuals(b, &mut r);
        let rss: f64 = r.iter().map(|r| r * r).sum();
        assert!(digits(rss, problem.rss) > 7.0, "{}: {rss:e}", problem.name);
        let mut j = vec![0.0; m * p];
        problem.jacobian(b, &mut j);
        for a in 0..p {
            let column: Vec<f64> = j.chunks_exact(p).map(|row| row[a]).collect();
            let size = column.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let h = 1e-4 * b[a].abs();
            // Fourth order: (8(r(h) − r(−h)) − (r(2h) − r(−2h))) / 12h.
            let at = |t: f64| {
                let (mut moved, mut out) = (b.clone(), vec![0.0; m]);
                moved[a] += t * h;
                problem.residuals(&moved, &mut out);
                out
            };
            let [p1, m1, p2, m2] = [1.0, -1.0, 2.0, -2.0].map(at);
            for i in 0..m {
                let slope = (8.0 * (p1[i] - m1[i]) - (p2[i] - m2[i])) / (12.0 * h);
                let error = (slope - column[i]).abs() / size;
                assert!(error < 1e-6, "{}, b{}: {slope} for {}", problem.name, a + 1, column[i]);
            }
        }
    }
}
