//! A unit of the user's own with its text in WGSL, networks with such units, and units without their signs.

use std::sync::Arc;

use secondo::{
    Activation, Data, ExactUnit, Group, Layer, Loss, Network, Problem, Propagation, Unit,
};

use super::nets::{Random, targets};
use super::ratio::{Case, single};

/// p = Σ_a τ_a u_a² + κ (Σ_a u_a)² with u = z − μ: parameters μ, τ, κ.
#[derive(Debug)]
pub struct Quadratic {
    /// Whether it has a text in WGSL, and which.
    pub wgsl: Option<&'static str>,
}

/// The right text.
pub const WGSL: &str = "
fn unit_u(a: u32) -> real {
    return z(a) - w(a);
}

fn unit_sum() -> real {
    var sum = real();
    for (var a = 0u; a < INPUTS; a += 1u) {
        sum += unit_u(a);
    }
    return sum;
}

fn unit_value() -> real {
    var sum = real();
    for (var a = 0u; a < INPUTS; a += 1u) {
        sum += w(INPUTS + a) * unit_u(a) * unit_u(a);
    }
    return sum + w(PARAMETERS - 1u) * unit_sum() * unit_sum();
}

fn unit_d_w(a: u32) -> real {
    if a < INPUTS {
        return -unit_d_z(a);
    }
    if a < 2u * INPUTS {
        return unit_u(a - INPUTS) * unit_u(a - INPUTS);
    }
    return unit_sum() * unit_sum();
}

fn unit_d_z(c: u32) -> real {
    return 2.0 * (w(INPUTS + c) * unit_u(c) + w(PARAMETERS - 1u) * unit_sum());
}

fn unit_d_ww(a: u32, b: u32) -> real {
    if a < INPUTS {
        return -unit_d_wz(b, a);
    }
    if b < INPUTS {
        return -unit_d_wz(a, b);
    }
    return 0.0;
}

fn unit_d_zz(b: u32, c: u32) -> real {
    var second = 2.0 * w(PARAMETERS - 1u);
    if b == c {
        second += 2.0 * w(INPUTS + b);
    }
    return second;
}

fn unit_d_wz(a: u32, c: u32) -> real {
    if a < INPUTS {
        return -unit_d_zz(a, c);
    }
    if a == 2u * INPUTS {
        return 2.0 * unit_sum();
    }
    return select(real(0.0), 2.0 * unit_u(c), a - INPUTS == c);
}
";

fn sum(z: &[f64], w: &[f64]) -> f64 {
    z.iter().zip(w).map(|(z, m)| z - m).sum()
}

impl Unit for Quadratic {
    fn name(&self) -> &str {
        "quadratic"
    }
    fn parameters(&self, d: usize) -> usize {
        2 * d + 1
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        let d = z.len();
        let squares = |a: usize| w[d + a] * (z[a] - w[a]).powi(2);
        (0..d).map(squares).sum::<f64>() + w[2 * d] * sum(z, w).powi(2)
    }
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]) {
        let d = z.len();
        self.d_z(z, w, &mut phi[..d]);
        for a in 0..d {
            phi[a] = -phi[a];
            phi[d + a] = (z[a] - w[a]).powi(2);
        }
        phi[2 * d] = sum(z, w).powi(2);
    }
    fn d_z(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (d, s) = (z.len(), sum(z, w));
        for c in 0..d {
            out[c] = 2.0 * (w[d + c] * (z[c] - w[c]) + w[2 * d] * s);
        }
    }
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]) {
        let (d, t) = (z.len(), w.len());
        let mut mixed = vec![0.0; t * d];
        self.d_wz(z, w, &mut mixed);
        psi.fill(0.0);
        // μ stands in p as −z does.
        for a in 0..d {
            for b in 0..t {
                psi[a * t + b] = -mixed[b * d + a];
                psi[b * t + a] = -mixed[b * d + a];
            }
        }
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
    fn wgsl(&self) -> Option<&str> {
        self.wgsl
    }
}

impl ExactUnit for Quadratic {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let d = z.len();
        out.fill(2.0 * w[2 * d]);
        for a in 0..d {
            out[a * d + a] += 2.0 * w[d + a];
        }
    }
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let d = z.len();
        out.fill(0.0);
        self.d_zz(z, w, &mut out[..d * d]);
        out[..d * d].iter_mut().for_each(|v| *v = -*v);
        for c in 0..d {
            out[(d + c) * d + c] = 2.0 * (z[c] - w[c]);
            out[2 * d * d + c] = 2.0 * sum(z, w);
        }
    }
}

/// A group of units with the right text.
pub fn group(units: usize, activation: Activation) -> Group {
    let unit = Quadratic { wgsl: Some(WGSL) };
    Group::uniform(Propagation::Unit(Arc::new(unit)), units, activation)
}

/// Networks with such units: alone, on top, beside linear ones and each other, with skips; up to two blocks of samples.
pub fn problems() -> Vec<Case> {
    let bell = Activation::GaussHalf;
    let networks = [
        (1, 40, vec![Layer::of(vec![group(1, Activation::Identity)])]),
        (
            2,
            600,
            vec![
                Layer::of(vec![group(3, Activation::Tanh)]).and(Group::linear(2, Activation::Tanh)),
                Layer::dense(2, Activation::Identity).sources([0, 1]),
            ],
        ),
        (
            3,
            9,
            vec![
                Layer::dense(2, Activation::Tanh),
                Layer::of(vec![Group::linear(1, Activation::Tanh)])
                    .and(group(2, bell))
                    .and(group(1, Activation::Tanh))
                    .sources([0, 1]),
                Layer::of(vec![group(1, Activation::Logistic)]).sources([1, 2]),
                Layer::of(vec![group(1, Activation::Identity)])
                    .and(Group::linear(1, Activation::Identity))
                    .sources([0, 2, 3])
                    .without_bias(),
            ],
        ),
    ];
    (networks.into_iter().enumerate())
        .map(|(at, (inputs, n, layers))| {
            let mut random = Random::new(at as u64);
            let network = Network::new(inputs, layers).unwrap();
            let loss = Loss::SquaredError;
            let x = random.matrix(n, inputs, 1.0).mapv(|v| f64::from(v as f32));
            let y = targets(&mut random, &loss, n, network.outputs());
            let y = y.mapv(|v| f64::from(v as f32));
            let w = single(&random.vector(network.parameters(), 0.5));
            let name = format!("own units {network} n {n}");
            let problem = Problem::new(network, Data::new(x, y).unwrap(), loss).unwrap();
            (name, problem, w)
        })
        .collect()
}

/// A unit's numbers without their signs; `apart`, also with |z| and |μ| for z − μ, and every other sign that sums may cancel.
#[derive(Debug)]
pub struct Magnitude<'a> {
    pub unit: &'a dyn Unit,
    pub apart: bool,
}

fn absolute(values: &mut [f64]) {
    values.iter_mut().for_each(|v| *v = v.abs());
}

impl Magnitude<'_> {
    fn point(&self, z: &[f64], w: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut z, mut w) = (z.to_vec(), w.to_vec());
        let (d, name) = (z.len(), self.unit.name());
        if self.apart && (name == "quadratic" || name.starts_with("rbf_")) {
            absolute(&mut z);
            for (l, w) in w.iter_mut().enumerate() {
                let diagonal = |l: usize| (0..=l).any(|a| a * (a + 3) / 2 == l);
                *w = match name {
                    "rbf_aug" => w.abs(),
                    _ if l < d => -w.abs(),
                    // Logarithms: what they stand for is positive.
                    _ if name.ends_with("log_sigma") => *w,
                    "rbf_cholesky" if diagonal(l - d) => *w,
                    _ => w.abs(),
                };
            }
        }
        (z, w)
    }
}

impl Unit for Magnitude<'_> {
    fn name(&self) -> &str {
        self.unit.name()
    }
    fn parameters(&self, inputs: usize) -> usize {
        self.unit.parameters(inputs)
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        let (z, w) = self.point(z, w);
        self.unit.value(&z, &w).abs()
    }
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]) {
        let (z, w) = self.point(z, w);
        self.unit.d_w(&z, &w, phi);
        absolute(phi);
    }
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) {
        let (z, w) = self.point(z, w);
        self.unit.d_z(&z, &w, a);
        absolute(a);
    }
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]) {
        let (z, w) = self.point(z, w);
        self.unit.d_ww(&z, &w, psi);
        absolute(psi);
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        self.unit.exact().map(|_| self as &dyn ExactUnit)
    }
}

impl ExactUnit for Magnitude<'_> {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (z, w) = self.point(z, w);
        self.unit.exact().unwrap().d_zz(&z, &w, out);
        absolute(out);
    }
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (z, w) = self.point(z, w);
        self.unit.exact().unwrap().d_wz(&z, &w, out);
        absolute(out);
    }
}
