//! An activation of one's own, with WGSL for the adapter: Mish, h(u) = u tanh(ln(1 + eᵘ)).
//!
//!     cargo run --release --example custom_activation [ADAPTER]
//!
//! The data are y = 3 h(2x − 1) without noise, so the fit must find 2, −1 and 3.

use ndarray::Array2;
use secondo::{
    Activation, ActivationFunction, Auto, Data, Device, Layer, Loss, Method, Network, Problem,
    Series, silent,
};

struct Mish;

impl ActivationFunction for Mish {
    fn name(&self) -> &str {
        "mish"
    }

    /// With s = ln(1 + eᵘ) and t = tanh s: h′ = t + u t′s′, h″ = 2 t′s′ + u (t″s′² + t′s″).
    fn derivatives(&self, u: f64) -> [f64; 3] {
        let s = Activation::Softplus.derivatives(u);
        let t = Activation::Tanh.derivatives(s[0]);
        let first = t[1] * s[1];
        let second = t[2] * s[1] * s[1] + t[1] * s[2];
        [u * t[0], t[0] + u * first, 2.0 * first + u * second]
    }

    /// For derivatives of order 3 and more.
    fn series(&self, a: &Series) -> Option<Series> {
        Some(a * a.softplus().tanh())
    }

    /// Compared with the Rust form when an adapter first uses it.
    fn wgsl(&self) -> Option<&str> {
        Some(
            r#"
#include "lib/activation/softplus.wgsl"
#include "lib/activation/tanh.wgsl"

fn activation(u: real) -> vec3<real> {
    let s = activation_softplus(u);
    let t = activation_tanh(s.x);
    let first = t.y * s.y;
    let second = t.z * s.y * s.y + t.y * s.z;
    return vec3<real>(u * t.x, t.x + u * first, 2.0 * first + u * second);
}
"#,
        )
    }
}

fn main() -> secondo::Result<()> {
    let mish = Activation::register(Mish)?;
    let x = Array2::from_shape_fn((41, 1), |(i, _)| i as f64 / 10.0 - 2.0);
    let y = x.mapv(|x| 3.0 * mish.value(2.0 * x - 1.0));
    let network = Network::new(
        1,
        vec![Layer::dense(1, mish), Layer::dense(1, Activation::Identity).without_bias()],
    )?;
    let device = match std::env::args().nth(1) {
        Some(name) => Device::gpu(&name)?,
        None => Device::Cpu,
    };
    let problem = Problem::new(network, Data::new(x, y)?, Loss::SquaredError)?.on(device);
    let fit = Auto::default().fit(&problem, &[1.0, 0.0, 1.0], &mut silent)?;
    println!("{fit}\n{:.9?}", fit.w);
    assert!((fit.w[0] - 2.0).abs() < 1e-6 && (fit.w[1] + 1.0).abs() < 1e-6);
    Ok(())
}
