//! Activations given as a formula: against derivatives to 50 digits (data/formulas.csv, made by data/formulas.py), what is
//! refused, and fits with them.

mod common;

use common::kernels::activated;
use ndarray::Array2;
use secondo::backend::{Backend, Cpu};
use secondo::{
    Activation, Auto, Data, Error, Layer, Loss, Method, Network, Problem, Series, silent,
};

#[derive(Clone)]
struct Row {
    activation: Activation,
    u: f64,
    /// h, h′ … h⁗
    exact: Vec<f64>,
    /// The largest |h|, |h′| and |h″| within ⅛ of u.
    scale: Vec<f64>,
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(common::data_dir().join("formulas.csv")).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',');
        let formula = cells.next().unwrap();
        let numbers: Vec<f64> = cells.map(|c| c.parse().unwrap()).collect();
        Row {
            activation: Activation::formula(formula).unwrap_or_else(|e| panic!("{e}")),
            u: numbers[0],
            exact: numbers[1..6].to_vec(),
            scale: numbers[6..9].to_vec(),
        }
    };
    text.lines().map(row).collect()
}

/// The largest error of each formula in parts of `unit` times the scale; of the ones above `allowed`, a list.
fn errors(rows: &[Row], found: impl Fn(&Row) -> [f64; 3], unit: f64, allowed: f64) -> Vec<String> {
    let (mut wrong, mut worst) = (Vec::new(), std::collections::BTreeMap::<_, f64>::new());
    for row in rows {
        for (k, found) in found(row).into_iter().enumerate() {
            let error = (found - row.exact[k]).abs() / (unit * row.scale[k]);
            let largest = worst.entry(row.activation.name()).or_default();
            *largest = largest.max(error);
            if error.is_nan() || error > allowed {
                let exact = row.exact[k];
                wrong.push(format!(
                    "{} at {}, order {k}: {found:e}, not {exact:e}: {error:.1}",
                    row.activation, row.u
                ));
            }
        }
    }
    println!("{worst:#.1?}");
    wrong
}

#[test]
fn values_and_derivatives_in_f64() {
    let rows = table();
    let wrong = errors(&rows, |row| row.activation.derivatives(row.u), 0.5f64.powi(53), 32.0);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The measure sees a wrong digit.
    let off = |row: &Row| row.activation.derivatives(row.u).map(|h| h * (1.0 + 1e-14));
    assert!(errors(&rows, off, 0.5f64.powi(53), 32.0).len() > 50);
}

/// The arrays of a backend at the points of one formula after the other.
fn on<B: Backend>(backend: &B, rows: &[Row]) -> Vec<[f64; 3]> {
    let mut out = Vec::new();
    for rows in rows.chunk_by(|a, b| a.activation == b.activation) {
        // Of a layer with other units beside: neighbours stay what they are.
        let runs = [(Activation::Tanh, 1), (rows[0].activation, 2)];
        let p: Vec<f64> = rows.iter().flat_map(|row| [0.5, row.u, row.u]).collect();
        let h = activated(backend, &runs, &p, 2);
        for i in 0..rows.len() {
            assert!((h[0][3 * i] - 0.5f64.tanh()).abs() < 1e-6);
            let at = |j: usize| [0, 1, 2].map(|k| h[k][3 * i + j]);
            assert_eq!(at(1), at(2));
            out.push(at(1));
        }
    }
    out
}

#[test]
fn the_processors_kernels_give_the_same_numbers() {
    let rows = table();
    let double = on(&Cpu::<f64>::new(), &rows);
    let single = on(&Cpu::<f32>::new(), &rows);
    for ((row, double), single) in rows.iter().zip(double).zip(single) {
        let expected = row.activation.derivatives(row.u);
        assert_eq!(double, expected, "{} at {}", row.activation, row.u);
        assert_eq!(single, expected.map(|h| f64::from(h as f32)));
    }
    // Many numbers at once, of all orders.
    let activation = Activation::formula("u/(1+exp(-u))").unwrap();
    let p: Vec<f64> = (0..10_007).map(|i| f64::from(i - 5000) / 300.0).collect();
    let cpu = Cpu::<f64>::new();
    for order in 0..3 {
        let h = activated(&cpu, &[(activation, 1)], &p, order);
        assert_eq!(h.len(), order + 1);
        for (i, &u) in p.iter().enumerate() {
            let expected = activation.derivatives(u);
            assert!((0..=order).all(|k| h[k][i] == expected[k]), "{u}");
        }
    }
}

#[test]
fn higher_orders_by_series() {
    for row in table() {
        let series = row.activation.series(&Series::variable(row.u, 4)).unwrap();
        let largest = row.exact.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (k, (found, exact)) in series.derivatives().iter().zip(&row.exact).enumerate() {
            let error = (found - exact).abs() / exact.abs().max(largest / 10.0);
            assert!(error < 1e-13, "{} at {}, order {k}: {error:e}", row.activation, row.u);
        }
    }
}

#[test]
fn limits_and_domains() {
    let of = |formula: &str, u: f64| Activation::formula(formula).unwrap().derivatives(u);
    // exp(800) overflows; the function and its derivatives are below any number.
    assert_eq!(of("u/(1+exp(-u))", -800.0).map(f64::abs), [0.0; 3]);
    assert_eq!(of("(1+exp(-u))^-1", -800.0), [0.0; 3]);
    assert_eq!(of("tanh(exp(u))", 800.0).map(f64::abs), [1.0, 0.0, 0.0]);
    assert_eq!(of("exp(-exp(u))", 800.0).map(f64::abs), [0.0; 3]);
    let series = |formula: &str, u: f64| {
        let h = Activation::formula(formula).unwrap();
        h.series(&Series::variable(u, 6)).unwrap().derivatives()
    };
    for (formula, u, limit) in [
        ("u/(1+exp(-u))", -800.0, 0.0),
        ("(1+exp(-u))^-1", -800.0, 0.0),
        ("(1+exp(-u))^-1.5", -800.0, 0.0),
        ("tanh(exp(u))", 800.0, 1.0),
        ("exp(-exp(u))", 800.0, 0.0),
    ] {
        let found = series(formula, u);
        assert_eq!(found[0], limit, "{formula}");
        assert_eq!(found[1..], [0.0; 6], "{formula}");
    }
    assert!(of("exp(u)/(1+exp(u))", 800.0)[0].is_nan());
    assert!(of("log(u)", -1.0)[0].is_nan());
    assert!(of("u^2.5", -1.0)[0].is_nan());
    assert_eq!(of("u^2.5", 0.0), [0.0; 3]);
    assert_eq!(of("u^3", -2.0), [-8.0, 12.0, -12.0]);
    assert_eq!(of("-u^2", 3.0), [-9.0, -6.0, -2.0]);
    assert_eq!(of("2^3^0*u", 3.0), [6.0, 2.0, 0.0]);
    assert_eq!(of("u-1-1", 3.0), [1.0, 1.0, 0.0]);
    assert_eq!(of("8/u/2", 2.0), [2.0, -1.0, 1.0]);
    assert_eq!(of("u*--2e0*+.5", 3.0), [3.0, 1.0, 0.0]);
    assert_eq!(of("(u)", 3.0), of("u", 3.0));
    // Of these two the second cancels as it is written.
    let u = 1.2345e-10f64;
    let right = -(-u).exp_m1();
    assert_eq!(of("-expm1(-u)", u)[0], right);
    assert!((of("1-exp(-u)", u)[0] - right).abs() > 1e-19);

    // An evaluation outside the domain ends with an error that names the formula.
    let network = Network::dense(&[1, 1, 1], Activation::formula("log(1+u)").unwrap()).unwrap();
    let data = Data::new(Array2::ones((3, 1)), Array2::ones((3, 1))).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let error = problem.objective(&[-3.0, 0.0, 1.0, 0.0]).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    assert!(error.to_string().contains("'log(1+u)'"), "{error}");
}

#[test]
fn malformed_formulas_are_refused_at_their_place() {
    let long = "u+".repeat(600);
    let deep = "(".repeat(60) + "u";
    let signs = "-".repeat(60) + "u";
    let cases: &[(&str, usize, &str)] = &[
        ("", 1, "it is empty"),
        ("   ", 1, "it is empty"),
        ("1-(1+u)^", 9, "where it ends"),
        ("1-(1+u", 7, "')' is needed for the '(' at column 3, but the formula ends"),
        ("(u]", 3, "')' is needed for the '(' at column 1, not ']'"),
        ("u)", 2, "this ')' closes no '('"),
        ("2u", 2, "an operator (+ - * / ^) or the end is needed, not 'u'"),
        ("u u", 3, "an operator"),
        ("u**2", 3, "a number, u, a function or '(' is needed, not '*'"),
        ("u+", 3, "where it ends"),
        ("*u", 1, "not '*'"),
        ("u + x", 5, "unknown name 'x'; known: u, pi, e and the functions identity, tanh"),
        ("tan h(u)", 5, "'(' is needed: tan takes one argument"),
        ("tanh", 5, "'(' is needed: tanh takes one argument, tanh(u)"),
        ("tanh()", 6, "not ')'"),
        ("tanh(u, 2)", 7, "')' is needed for the '(' at column 5, not ','"),
        ("1.2.3*u", 4, "an operator"),
        ("u+.", 3, "'.' is not a number"),
        ("1e999*u", 1, "the number is too large"),
        ("u−1", 2, "not '−'"),
        ("µ", 1, "not 'µ'"),
        ("2", 1, "it does not depend on u"),
        ("pi*e^2", 1, "it does not depend on u"),
        ("u+1/0", 4, "this constant part is inf"),
        ("u*log(-1)", 3, "this constant part is NaN"),
        ("(-2)^u", 5, "-2 to a power that varies: the base must be greater than 0"),
        ("0^u", 2, "the base must be greater than 0"),
        ("log(-u^2-1)", 1, "it is finite at none of 24 points"),
        ("u/0", 1, "it is finite at none"),
        (&long, 1001, "it has 1200 characters"),
        (&deep, 52, "more than 50 parentheses"),
        (&signs, 52, "more than 50 parentheses"),
    ];
    let mut wrong = Vec::new();
    for (formula, column, why) in cases {
        match Activation::formula(formula) {
            Err(error @ Error::Formula { .. }) => {
                let text = error.to_string();
                let Error::Formula { column: found, why: said, .. } = error else { unreachable!() };
                let caret = text.lines().last().unwrap().chars().count();
                // A long text is cut where it is shown.
                let shown = formula.chars().count() > 1000 || caret == found + 2;
                if found != *column || !said.contains(why) || !shown {
                    wrong.push(format!("{formula}: column {found}, {said}"));
                }
            }
            other => wrong.push(format!("{formula}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A word is taken for a name.
    let error = Activation::from_name("tanhh").unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert!(matches!(Activation::from_name("tanh(u"), Err(Error::Formula { .. })));
}

#[test]
fn a_formula_is_registered_once() {
    let a = Activation::formula(" u*tanh(u) ").unwrap();
    assert_eq!(Activation::from_name("u*tanh(u)"), Ok(a));
    assert_eq!((a.name(), a.to_string().as_str()), ("u*tanh(u)", "u*tanh(u)"));
    assert_ne!(Ok(a), Activation::formula("u * tanh(u)"));
    assert!(!a.is_identity() && !a.second_is_zero());
}

/// NIST's Misra1b, b₁ (1 − (1 + b₂x/2)⁻²), from its first start.
fn misra1b() -> (Problem, [f64; 2], [f64; 2]) {
    let x = [
        77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1,
        760.0,
    ];
    let y = [
        10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.4, 75.47,
        81.78,
    ];
    let layers = vec![
        Layer::dense(1, Activation::formula("1-(1+u)^-2").unwrap()).without_bias(),
        Layer::dense(1, Activation::Identity).without_bias(),
    ];
    let column = |v: &[f64]| Array2::from_shape_vec((v.len(), 1), v.to_vec()).unwrap();
    let data = Data::new(column(&x), column(&y)).unwrap();
    let network = Network::new(1, layers).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    (problem, [5e-5, 500.0], [0.00039039091287 / 2.0, 337.99746163])
}

fn finds(problem: &Problem, start: &[f64], certified: &[f64]) {
    let fit = Auto::default().fit(problem, start, &mut silent).unwrap();
    for (w, b) in fit.w.iter().zip(certified) {
        assert!(((w - b) / b).abs() < 1e-8, "{w} and {b}: {fit}");
    }
}

#[test]
fn a_fit_finds_the_certified_values() {
    let (problem, start, certified) = misra1b();
    finds(&problem, &start, &certified);
}

#[cfg(feature = "gpu")]
mod on_an_adapter {
    use super::*;
    use common::adapter::{double, single};
    use secondo::Device;

    #[test]
    fn values_and_derivatives() {
        for (gpu, unit) in [(single(), 0.5f64.powi(24)), (double(), 0.5f64.powi(53))] {
            // In f64 every third formula: compiling them takes its time.
            let all = table();
            let mut rows: Vec<Row> = Vec::new();
            for (i, some) in all.chunk_by(|a, b| a.activation == b.activation).enumerate() {
                if !gpu.is_f64() || i % 3 == 0 {
                    rows.extend(some.iter().cloned());
                }
            }
            let found = on(&gpu, &rows);
            let at = |row: &Row| {
                let same = |r: &Row| r.activation == row.activation && r.u == row.u;
                found[rows.iter().position(same).unwrap()]
            };
            let wrong = errors(&rows, at, unit, 40.0);
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    }

    #[test]
    fn limits_and_domains() {
        let of = |formula: &str, u: f64| {
            let activation = Activation::formula(formula).unwrap();
            let h = activated(&single(), &[(activation, 1)], &[u], 2);
            [0, 1, 2].map(|k| h[k][0])
        };
        assert_eq!(of("u/(1+exp(-u))", -100.0).map(f64::abs), [0.0; 3]);
        assert_eq!(of("(1+exp(-u))^-1", -100.0), [0.0; 3]);
        assert_eq!(of("tanh(exp(u))", 100.0).map(f64::abs), [1.0, 0.0, 0.0]);
        assert!(of("log(u)", -1.0)[0].is_nan());
        assert_eq!(of("u^2.5", 0.0), [0.0; 3]);
        assert_eq!(of("u+1e300*u^2", 1.0)[0], f64::INFINITY);
        assert_eq!(of("u+1e-300", 1.0)[0], 1.0);
    }

    #[test]
    fn a_fit_finds_the_certified_values() {
        let (problem, start, certified) = misra1b();
        let problem = problem.on(Device::Gpu(single()));
        finds(&problem, &start, &certified);
    }
}

#[cfg(feature = "io")]
mod in_files {
    use super::*;
    use secondo::io::{Model, ProblemFile};

    fn file(definitions: &str) -> String {
        format!(
            r#"{{"spec": {{"inputs": 1, "layers": [
                {{"units": 2, "activations": ["tanh", "mine"]}},
                {{"units": 1, "activations": "u + u^3"}}]}},
              "activation_definitions": {{"tanh": "not looked at", {definitions}}},
              "loss": {{"type": "sos"}}, "X": [[0.5]], "Y": [[1]], "W": [1, 2, 3, 4, 5, 6, 7]}}"#
        )
    }

    #[test]
    fn definitions_in_a_problem_file() {
        let text = file(r#""mine": "1-(1+u)^-2""#);
        let problem = ProblemFile::from_str(&text).unwrap();
        let h = 5.0 * (0.5f64 + 2.0).tanh() + 6.0 * (1.0 - (1.0 + 1.5 + 4.0f64).powi(-2)) + 7.0;
        let value = 0.5 * (1.0 - (h + h.powi(3))).powi(2);
        let found = problem.problem.objective(&problem.parameters).unwrap();
        assert!((found - value).abs() < 1e-12 * value, "{found} and {value}");
    }

    #[test]
    fn wrong_definitions_are_told_with_their_place() {
        for (definitions, said) in [
            (r#""mine": "u*(u""#, ["activation_definitions.mine", "column 5"]),
            (r#""mine": 3"#, ["activation_definitions.mine", "formula"]),
            (r#""other": "u""#, ["spec.layers[0].activations", "unknown activation 'mine'"]),
        ] {
            let error = ProblemFile::from_str(&file(definitions)).unwrap_err().to_string();
            assert!(said.iter().all(|s| error.contains(s)), "{error}");
        }
    }

    #[test]
    fn a_model_is_read_back_with_its_formula() {
        let activation = Activation::formula("u/(1+abs(u))").unwrap();
        let network = Network::dense(&[1, 2, 1], activation).unwrap();
        let w = vec![1.0, 0.5, -2.0, 0.25, 1.0, -1.0, 0.125];
        let model = Model::new(network, w, Loss::SquaredError).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        model.save(&path).unwrap();
        let back = Model::load(&path).unwrap();
        assert_eq!(back.network.layers()[0].runs(), vec![(activation, 2)]);
        let x = Array2::from_elem((1, 1), 0.75);
        assert_eq!(back.predict(&x).unwrap(), model.predict(&x).unwrap());
    }
}
