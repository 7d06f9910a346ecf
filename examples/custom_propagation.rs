//! A propagation of one's own: the distance to a point. From distances measured at eight places, training finds the point.
//!
//! Argument: an adapter's name, such as `llvmpipe`, to compute there by the unit's text in WGSL; else the processor computes.

use std::sync::Arc;

use ndarray::Array2;
use secondo::{
    Activation, Curvature, Data, Device, Error, ExactUnit, Group, Layer, Loss, Method, Network,
    Problem, Propagation, Structure, TrustRegion, Unit, silent,
};

/// p = √(Σ_c (z_c − w_c)² + ε²), the distance of z from w, made smooth at 0.
#[derive(Debug)]
struct Distance;

const EPSILON: f64 = 1e-3;

impl Unit for Distance {
    fn name(&self) -> &str {
        "distance"
    }
    fn parameters(&self, inputs: usize) -> usize {
        inputs
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        let squares: f64 = z.iter().zip(w).map(|(z, w)| (z - w).powi(2)).sum();
        (squares + EPSILON * EPSILON).sqrt()
    }
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]) {
        let p = self.value(z, w);
        for c in 0..z.len() {
            phi[c] = (w[c] - z[c]) / p;
        }
    }
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) {
        self.d_w(z, w, a);
        a.iter_mut().for_each(|a| *a = -*a);
    }
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]) {
        let (d, p) = (z.len(), self.value(z, w));
        for a in 0..d {
            for b in 0..d {
                let both = (w[a] - z[a]) * (w[b] - z[b]) / (p * p);
                psi[a * d + b] = (f64::from(u8::from(a == b)) - both) / p;
            }
        }
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
    fn wgsl(&self) -> Option<&str> {
        Some(
            "
fn unit_value() -> real {
    var squares = real(1e-6);
    for (var c = 0u; c < INPUTS; c += 1u) {
        squares += (z(c) - w(c)) * (z(c) - w(c));
    }
    return sqrt(squares);
}

fn unit_d_w(a: u32) -> real {
    return (w(a) - z(a)) / unit_value();
}

fn unit_d_z(c: u32) -> real {
    return -unit_d_w(c);
}

fn unit_d_ww(a: u32, b: u32) -> real {
    let same = select(real(0.0), real(1.0), a == b);
    return (same - unit_d_w(a) * unit_d_w(b)) / unit_value();
}

fn unit_d_zz(b: u32, c: u32) -> real {
    return unit_d_ww(b, c);
}

fn unit_d_wz(a: u32, c: u32) -> real {
    return -unit_d_ww(a, c);
}
",
        )
    }
}

// z and w enter as their difference alone.
impl ExactUnit for Distance {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        self.d_ww(z, w, out);
    }
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        self.d_ww(z, w, out);
        out.iter_mut().for_each(|v| *v = -*v);
    }
}

fn main() -> Result<(), Error> {
    let unit = Propagation::Unit(Arc::new(Distance));
    unit.check(2)?; // the derivatives, against differences
    let layer = Layer::of(vec![Group::uniform(unit, 1, Activation::Identity)]);
    let network = Network::new(2, vec![layer])?;

    let point = [1.25, -0.5];
    let x = Array2::from_shape_fn((8, 2), |(i, c)| ((5 * i + 3 * c) % 8) as f64 / 2.0 - 2.0);
    let y = network.predict(&point, &x)?;
    let device = match std::env::args().nth(1) {
        None => Device::cpu(),
        Some(name) => Device::gpu(&name)?,
    };
    let problem = Problem::new(network, Data::new(x, y)?, Loss::SquaredError)?.on(device);
    println!("{}, {}", problem.device().adapter(), problem.device().precision());

    // The text in WGSL is compared with the Rust form before an adapter uses it.
    let at = problem.curvature(&point, Curvature::Exact, Structure::Full)?;
    if let Some(hessian) = at.curvature {
        println!("the Hessian at the point:\n{:.3}", hessian.dense()?);
    }

    let fit = TrustRegion::default().fit(&problem, &[0.0, 0.0], &mut silent)?;
    println!("{fit}");
    println!("found {:?}", fit.w);
    assert!((fit.w[0] - point[0]).abs() + (fit.w[1] - point[1]).abs() < 1e-6);
    Ok(())
}
