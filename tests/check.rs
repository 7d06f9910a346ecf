//! The checker of derivatives: what is right passes, and each kind of mistake is found.

use secondo::{Activation, Error, check};

/// The activations at these points, with `change` applied to their derivatives.
fn activation(a: Activation, points: &[f64], change: impl Fn(&mut [f64; 3])) -> Result<(), Error> {
    let f = |u: f64| {
        let mut h = a.derivatives(u);
        change(&mut h);
        h
    };
    check::derivatives(a.name(), f, points)
}

/// Points of every scale that the formulas know, positive ones alone where the domain is.
fn points(a: Activation) -> Vec<f64> {
    let sizes = [1e-6, 1e-3, 0.1, 0.7, 1.3, 2.9, 6.0, 17.0];
    let positive = matches!(a, Activation::Log | Activation::Sqrt);
    let signed = |s: &f64| if positive { vec![*s] } else { vec![-s, *s] };
    sizes.iter().flat_map(signed).collect()
}

#[test]
fn right_derivatives_pass() -> Result<(), Error> {
    for a in Activation::ALL {
        activation(a, &points(a), |_| {})?;
    }
    // A scale far from 1, both ways.
    let steep = |u: f64| {
        let e = (1e5 * u).tanh();
        [e, 1e5 * (1.0 - e * e), -2e10 * e * (1.0 - e * e)]
    };
    check::derivatives("steep", steep, &[1e-6, -3e-6, 7e-6])?;
    // Noise of 1e-12 is no mistake.
    let noisy = |u: f64| [(u * u + 1e4) - 1e4, 2.0 * u, 2.0];
    check::derivatives("noisy", noisy, &[1.3, -0.2, 0.01])?;
    let far = |u: f64| [u * u, 2.0 * u, 2.0];
    check::derivatives("far", far, &[3e12, -7e100])
}

#[test]
fn mistakes_are_found() {
    for a in Activation::ALL.into_iter().filter(|a| !a.is_identity()) {
        for order in 1..3 {
            if order == 2 && a.second_is_zero() {
                continue;
            }
            for factor in [-1.0, 2.0, 0.0, 1.0 + 1e-6, 1.0 - 1e-6, f64::NAN] {
                let found = activation(a, &points(a), |h| h[order] *= factor);
                let Err(Error::Derivative {
                    part, derivative, given, expected, error, point, ..
                }) = found
                else {
                    panic!("{a}, derivative {order} times {factor}: {found:?}");
                };
                // The first derivative is wrong, or the second is not that of the first.
                assert_eq!(part, a.name());
                assert!(
                    derivative == format!("derivative {order}") || derivative == "derivative 2"
                );
                assert!(points(a).contains(&point[0]) && error.is_finite());
                assert!((given - expected).abs() > 9e-7 * expected.abs() || given.is_nan());
            }
        }
    }
}

/// x₀ eˣ¹ + sin(x₀ x₂) with gradient and Hessian.
fn value(x: &[f64], out: &mut [f64]) {
    out[0] = x[0] * x[1].exp() + (x[0] * x[2]).sin();
}
fn gradient(x: &[f64], g: &mut [f64]) {
    let (e, c) = (x[1].exp(), (x[0] * x[2]).cos());
    g.copy_from_slice(&[e + x[2] * c, x[0] * e, x[0] * c]);
}
fn hessian(x: &[f64], h: &mut [f64]) {
    let (e, s, c) = (x[1].exp(), (x[0] * x[2]).sin(), (x[0] * x[2]).cos());
    let mixed = c - x[0] * x[2] * s;
    h.copy_from_slice(&[
        -x[2] * x[2] * s,
        e,
        mixed,
        e,
        x[0] * e,
        0.0,
        mixed,
        0.0,
        -x[0] * x[0] * s,
    ]);
}

#[test]
fn vectors() -> Result<(), Error> {
    let drawn = check::points(5, 3, 11);
    assert_eq!(drawn, check::points(5, 3, 11));
    assert_ne!(drawn, check::points(5, 3, 12));
    for x in &drawn {
        check::jacobian("f", "the gradient", 1, value, gradient, x)?;
        check::jacobian("f", "the Hessian", 3, gradient, hessian, x)?;
        // One entry wrong by little; two swapped; a term dropped.
        let little = |x: &[f64], g: &mut [f64]| {
            gradient(x, g);
            g[2] *= 1.0 + 1e-6;
        };
        let Err(Error::Derivative { part, derivative, at, point, .. }) =
            check::jacobian("f", "the gradient", 1, value, little, x)
        else {
            panic!("not found");
        };
        assert_eq!((part.as_str(), derivative.as_str()), ("f", "the gradient"));
        assert_eq!((at, &point), (vec![2], x));
        let swapped = |x: &[f64], h: &mut [f64]| {
            hessian(x, h);
            h.swap(3, 5);
        };
        let Err(Error::Derivative { at, .. }) =
            check::jacobian("f", "the Hessian", 3, gradient, swapped, x)
        else {
            panic!("not found");
        };
        assert_eq!(at, [1, 0]);
        let dropped = |x: &[f64], h: &mut [f64]| {
            hessian(x, h);
            h[2] = (x[0] * x[2]).cos();
        };
        let found = check::jacobian("f", "the Hessian", 3, gradient, dropped, x);
        let message = found.map_err(|e| e.to_string()).unwrap_err();
        assert!(message.starts_with("f: the Hessian, entry [0, 2], is "), "{message}");
    }
    Ok(())
}

#[test]
fn kinks_and_jumps() {
    // At the kink of |u| − u/2 any slope between the two is right, and no other.
    let kink = |slope: f64| {
        let f = move |u: f64| [u.abs() - 0.5 * u, if u == 0.0 { slope } else { u.signum() - 0.5 }];
        check::derivatives("kink", f, &[0.0])
    };
    for slope in [-1.5, -0.5, 0.0, 0.5] {
        assert_eq!(kink(slope), Ok(()));
    }
    assert!(kink(0.51).is_err() && kink(-1.51).is_err() && kink(f64::NAN).is_err());
    // Beside a kink the difference stays on its side.
    for u in [1e-2f64, 1e-4, 1e-6, 1e-7, 1e-8, 1e-9, -1e-3, -1e-5, -1e-8] {
        assert_eq!(
            check::derivatives("relu", |u| Activation::Relu.derivatives(u), &[u]),
            Ok(()),
            "{u}"
        );
        let wrong = |u: f64| [u.max(0.0), if u > 0.0 { 1.0 + 1e-6 } else { 1e-6 }];
        let found = check::derivatives("relu", wrong, &[u]);
        assert!(found.is_err() || u.abs() < 1e-6, "{u}");
    }
    // A step has no derivative where it jumps, and 0 beside it.
    let step = |u: f64| [f64::from(u > 0.0), 0.0];
    assert_eq!(check::derivatives("step", step, &[0.0, 1e-3, -1e-3]), Ok(()));
    let wrong = |u: f64| [f64::from(u > 0.0), 1e-6];
    assert!(check::derivatives("step", wrong, &[1e-3]).is_err());
    // Outside its domain a function is not compared.
    assert_eq!(check::derivatives("log", |u| Activation::Log.derivatives(u), &[-1.0, 0.0]), Ok(()));
}
