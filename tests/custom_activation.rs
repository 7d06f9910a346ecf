//! Activations of the user's own: on the processor and, by WGSL or over the host, on an adapter; and what is refused.

mod common;

use ndarray::Array2;
use secondo::{
    Activation, ActivationFunction, Auto, Data, Error, Loss, Method, Network, Problem, Series,
    silent,
};

/// sin(u) eᵘ under some name, with faults to be had.
#[derive(Default)]
struct Wave {
    name: &'static str,
    /// Added to h′.
    off: f64,
    wgsl: Option<&'static str>,
    series: Option<f64>,
    /// Beyond this it panics, or is NaN.
    panics: Option<f64>,
    nan: Option<f64>,
}

impl ActivationFunction for Wave {
    fn name(&self) -> &str {
        self.name
    }
    fn derivatives(&self, u: f64) -> [f64; 3] {
        if self.panics.is_some_and(|end| u > end) {
            panic!("too far, {u}");
        }
        if self.nan.is_some_and(|end| u > end) {
            return [f64::NAN; 3];
        }
        let (s, c, e) = (u.sin(), u.cos(), u.exp());
        [s * e, (s + c) * e + self.off, 2.0 * c * e]
    }
    fn series(&self, a: &Series) -> Option<Series> {
        self.series.map(|factor| a.sin_cos().0 * a.exp() * factor)
    }
    fn wgsl(&self) -> Option<&str> {
        self.wgsl
    }
}

fn problem(activation: Activation) -> Problem {
    let network = Network::dense(&[1, 3, 1], activation).unwrap();
    let x = Array2::from_shape_fn((50, 1), |(i, _)| i as f64 / 25.0 - 1.0);
    let y = x.mapv(|x| x * x);
    Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap()
}

const W: [f64; 10] = [0.5, 0.1, -0.7, 0.3, 0.2, -0.4, 1.0, -1.0, 0.5, 0.1];

#[test]
fn it_is_an_activation_like_others() {
    let wave =
        Activation::register(Wave { name: "wave", series: Some(1.0), ..Wave::default() }).unwrap();
    assert_eq!(Activation::from_name("wave"), Ok(wave));
    assert_eq!(wave.to_string(), "wave");
    let same = Activation::formula("sin(u)*exp(u)").unwrap();
    assert_ne!(wave, same);
    for u in [-3.0, 0.0, 0.7, 4.0] {
        let (a, b) = (Series::variable(u, 6), Series::variable(u, 6));
        let (a, b) = (wave.series(&a).unwrap(), same.series(&b).unwrap());
        assert_eq!(a, b);
        for (a, b) in wave.derivatives(u).into_iter().zip(same.derivatives(u)) {
            assert!((a - b).abs() <= 1e-14 * (1.0 + a.abs()));
        }
    }
    let (a, b) = (problem(wave), problem(same));
    let (a, b) = (a.gradient(&W).unwrap(), b.gradient(&W).unwrap());
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-12, "{a} and {b}");
    }
    // In files it stands by its name, which nobody else knows.
    let error = Activation::from_name("wav").unwrap_err();
    assert!(error.to_string().contains("wave"), "{error}");
}

#[test]
fn without_a_series_there_are_two_orders() {
    let wave = Activation::register(Wave { name: "two_orders", ..Wave::default() }).unwrap();
    let series = wave.series(&Series::variable(0.3, 2)).unwrap();
    for (a, b) in series.derivatives().iter().zip(wave.derivatives(0.3)) {
        assert!((a - b).abs() < 1e-15);
    }
    let error = wave.series(&Series::variable(0.3, 3)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("'two_orders'"), "{error}");
}

#[test]
fn wrong_derivatives_and_names_are_refused() {
    let refused = |wave: Wave, said: &str| {
        let error = Activation::register(wave).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    let wrong = Wave { name: "wrong_derivative", off: 1e-3, ..Wave::default() };
    refused(wrong, "wrong_derivative: derivative 1");
    let series = Wave { name: "wrong_series", series: Some(1.0 + 1e-6), ..Wave::default() };
    refused(series, "'wrong_series': its series gives");
    let panics = Wave { name: "panics_at_once", panics: Some(0.0), ..Wave::default() };
    refused(panics, "'panics_at_once': it panicked: too far");
    for name in ["", "my wave", "1-u", "größe"] {
        let wave = Wave { name, ..Wave::default() };
        refused(wave, "letters, digits and underscores");
    }
    for name in ["tanh", "sigmoid", "u"] {
        let wave = Wave { name, ..Wave::default() };
        refused(wave, "built-in");
    }
    let twice = || Wave { name: "twice", ..Wave::default() };
    Activation::register(twice()).unwrap();
    refused(twice(), "registered already");
    assert!(Activation::from_name("wrong_derivative").is_err());
}

#[test]
fn panics_and_nan_are_errors_that_name_it() {
    let panics =
        Activation::register(Wave { name: "panics_far_out", panics: Some(1e3), ..Wave::default() })
            .unwrap();
    let mut far = W;
    far[0] = 1e5;
    let error = problem(panics).objective(&far).unwrap_err();
    assert!(matches!(error, Error::Part { kind: "activation", .. }), "{error}");
    assert!(error.to_string().contains("'panics_far_out': it panicked: too far"), "{error}");
    let nan = Activation::register(Wave { name: "nan_far_out", nan: Some(3.0), ..Wave::default() })
        .unwrap();
    let error = problem(nan).objective(&far).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    assert!(error.to_string().contains("'nan_far_out'"), "{error}");
    // A fit turns back where it ends, and goes on.
    let problem = problem(nan);
    let fit = Auto::default().fit(&problem, &W, &mut silent).unwrap();
    assert!(fit.value < 0.1 * problem.objective(&W).unwrap(), "{fit}");
}

#[cfg(feature = "gpu")]
mod on_an_adapter {
    use super::*;
    use common::adapter::{double, single};
    use common::kernels::activated;
    use secondo::Device;

    const RIGHT: &str = r#"#include "lib/exp.wgsl"
#include "lib/sin_cos.wgsl"
fn activation(u: real) -> vec3<real> {
    let v = sin_cos(u) * exp_(u);
    return vec3<real>(v.x, v.x + v.y, 2.0 * v.y);
}"#;
    const WRONG: &str = r#"#include "lib/exp.wgsl"
#include "lib/sin_cos.wgsl"
fn activation(u: real) -> vec3<real> {
    let v = sin_cos(u) * exp_(u);
    return vec3<real>(v.x, v.x + v.y, 2.01 * v.y);
}"#;

    fn wave(name: &'static str, wgsl: Option<&'static str>) -> Activation {
        let wave = Wave { name, wgsl, ..Wave::default() };
        Activation::register(wave).unwrap()
    }

    #[test]
    fn with_wgsl_or_without() {
        let points: Vec<f64> = (0..100).map(|i| f64::from(i - 50) / 16.0).collect();
        for (name, wgsl) in [("with_wgsl", Some(RIGHT)), ("without_wgsl", None)] {
            let wave = wave(name, wgsl);
            for (gpu, unit) in [(single(), 1e-6), (double(), 1e-14)] {
                let h = activated(&gpu, &[(Activation::Tanh, 1), (wave, 1)], &points, 2);
                for (i, &u) in points.iter().enumerate() {
                    let right = [Activation::Tanh, wave][i % 2].derivatives(u);
                    for (h, right) in h.iter().zip(right) {
                        let error = (h[i] - right).abs();
                        assert!(error <= unit * (1.0 + u.exp()), "{name} at {u}: {error:e}");
                    }
                }
            }
            let problem = problem(wave);
            let right = problem.gradient(&W).unwrap();
            let found = problem.on(Device::Gpu(single())).gradient(&W).unwrap();
            for (a, b) in found.iter().zip(&right) {
                assert!((a - b).abs() < 1e-4, "{a} and {b}");
            }
        }
    }

    #[test]
    fn wrong_wgsl_is_refused() {
        let on = |activation| problem(activation).on(Device::Gpu(single())).gradient(&W);
        let error = on(wave("wrong_wgsl", Some(WRONG))).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Part { .. }), "{error}");
        assert!(text.contains("'wrong_wgsl': at u = ") && text.contains("h″"), "{text}");
        for (name, wgsl, said) in [
            ("no_function", "fn other(u: real) -> real { return u; }", "activation"),
            ("no_type", "fn activation(u: real) -> vec3<reel> { return u; }", "reel"),
            ("no_file", "#include \"lib/nothing.wgsl\"", "'lib/nothing.wgsl'"),
        ] {
            let error = on(wave(name, Some(wgsl))).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::Part { .. }), "{text}");
            assert!(text.contains(&format!("'{name}'")) && text.contains(said), "{text}");
        }
        // The adapter goes on.
        assert!(on(Activation::Tanh).is_ok());
    }
}
