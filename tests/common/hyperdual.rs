//! Hyper-dual numbers a + b ε₁ + c ε₂ + d ε₁ε₂ (ε₁² = ε₂² = 0): exact first and second derivatives without a step size
//! (Fike & Alonso 2011), and a plain evaluation of networks with them that shares no code with the crate.

use std::ops::{Add, Div, Mul, Neg, Sub};

use secondo::{Activation, Loss, Network};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    pub v: f64,
    pub d1: f64,
    pub d2: f64,
    pub d12: f64,
}

impl From<f64> for Hyper {
    fn from(v: f64) -> Self {
        Hyper { v, d1: 0.0, d2: 0.0, d12: 0.0 }
    }
}

impl Add for Hyper {
    type Output = Hyper;
    fn add(self, o: Hyper) -> Hyper {
        Hyper { v: self.v + o.v, d1: self.d1 + o.d1, d2: self.d2 + o.d2, d12: self.d12 + o.d12 }
    }
}

impl Neg for Hyper {
    type Output = Hyper;
    fn neg(self) -> Hyper {
        Hyper { v: -self.v, d1: -self.d1, d2: -self.d2, d12: -self.d12 }
    }
}

impl Sub for Hyper {
    type Output = Hyper;
    fn sub(self, o: Hyper) -> Hyper {
        self + -o
    }
}

impl Mul for Hyper {
    type Output = Hyper;
    fn mul(self, o: Hyper) -> Hyper {
        Hyper {
            v: self.v * o.v,
            d1: self.d1 * o.v + self.v * o.d1,
            d2: self.d2 * o.v + self.v * o.d2,
            d12: self.d12 * o.v + self.d1 * o.d2 + self.d2 * o.d1 + self.v * o.d12,
        }
    }
}

impl Div for Hyper {
    type Output = Hyper;
    fn div(self, o: Hyper) -> Hyper {
        let r = 1.0 / o.v;
        self * o.map(r, -r * r, 2.0 * r * r * r)
    }
}

impl Hyper {
    pub const ZERO: Hyper = Hyper { v: 0.0, d1: 0.0, d2: 0.0, d12: 0.0 };

    /// f(self) from f, f′ and f″ at the value.
    pub fn map(self, f: f64, f1: f64, f2: f64) -> Hyper {
        Hyper {
            v: f,
            d1: f1 * self.d1,
            d2: f1 * self.d2,
            d12: f2 * self.d1 * self.d2 + f1 * self.d12,
        }
    }

    pub fn exp(self) -> Hyper {
        let e = self.v.exp();
        self.map(e, e, e)
    }

    pub fn ln(self) -> Hyper {
        self.map(self.v.ln(), 1.0 / self.v, -1.0 / (self.v * self.v))
    }

    pub fn sqrt(self) -> Hyper {
        let r = self.v.sqrt();
        self.map(r, 0.5 / r, -0.25 / (r * r * r))
    }

    fn sin(self) -> Hyper {
        let (s, c) = self.v.sin_cos();
        self.map(s, c, -s)
    }

    fn cos(self) -> Hyper {
        let (s, c) = self.v.sin_cos();
        self.map(c, -s, -c)
    }

    fn atan(self) -> Hyper {
        let q = 1.0 + self.v * self.v;
        self.map(self.v.atan(), 1.0 / q, -2.0 * self.v / (q * q))
    }

    fn erf(self) -> Hyper {
        let f1 = 2.0 / std::f64::consts::PI.sqrt() * (-self.v * self.v).exp();
        self.map(libm::erf(self.v), f1, -2.0 * self.v * f1)
    }

    fn tanh(self) -> Hyper {
        let (p, m) = (self.exp(), (-self).exp());
        (p - m) / (p + m)
    }
}

/// h(u), written from elementary functions.
pub fn activation(h: Activation, u: Hyper) -> Hyper {
    let one = Hyper::from(1.0);
    let half = Hyper::from(0.5);
    match h {
        Activation::Identity => u,
        Activation::Tanh => u.tanh(),
        Activation::Logistic => one / (one + (-u).exp()),
        Activation::Softplus => (one + u.exp()).ln(),
        Activation::Exp => u.exp(),
        Activation::ExpNegHalf => (-u * half).exp(),
        Activation::Gauss => (-u * u).exp(),
        Activation::GaussHalf => (-u * u * half).exp(),
        Activation::OneMinusExpNeg => one - (-u).exp(),
        Activation::Sin => u.sin(),
        Activation::Cos => u.cos(),
        Activation::Log => u.ln(),
        Activation::Sqrt => u.sqrt(),
        Activation::Reciprocal => one / u,
        Activation::Atan => u.atan(),
        Activation::Relu if u.v > 0.0 => u,
        Activation::Relu => Hyper::ZERO,
        Activation::Silu => u / (one + (-u).exp()),
        Activation::Gelu => {
            let root = Hyper::from(std::f64::consts::FRAC_1_SQRT_2);
            u * half * (one + (u * root).erf())
        }
        Activation::Elliot if u.v < 0.0 => u / (one - u),
        Activation::Elliot => u / (one + u),
        Activation::Elu if u.v > 0.0 => u,
        Activation::Elu => u.exp() - one,
        Activation::LeakyRelu if u.v > 0.0 => u,
        Activation::LeakyRelu => u / Hyper::from(100.0),
        Activation::Mish => {
            let square = (one + u.exp()) * (one + u.exp());
            u * (square - one) / (square + one)
        }
        other => panic!("no reference for {other}"),
    }
}

/// g(x, y), written from elementary functions.
pub fn loss(loss: &Loss, x: &[Hyper], y: &[f64]) -> Hyper {
    let sum = |f: &dyn Fn(usize) -> Hyper| (0..x.len()).map(f).fold(Hyper::ZERO, Add::add);
    let c = Hyper::from;
    match loss {
        Loss::SquaredError => sum(&|o| c(0.5) * (c(y[o]) - x[o]) * (c(y[o]) - x[o])),
        Loss::WeightedSquaredError { output_weights: v } => {
            sum(&|o| c(0.5 * v[o]) * (c(y[o]) - x[o]) * (c(y[o]) - x[o]))
        }
        Loss::BinaryCrossEntropy => sum(&|o| (c(1.0) + x[o].exp()).ln() - c(y[o]) * x[o]),
        Loss::SoftmaxCrossEntropy => sum(&|o| x[o].exp()).ln() - sum(&|o| c(y[o]) * x[o]),
        Loss::Poisson => sum(&|o| x[o].exp() - c(y[o]) * x[o]),
        Loss::LogCosh { delta } => sum(&|o| {
            let t = (c(y[o]) - x[o]) / c(*delta);
            let (f, f1) = (t.v.cosh().ln(), t.v.tanh());
            c(delta * delta) * t.map(f, f1, 1.0 / t.v.cosh().powi(2))
        }),
        Loss::PseudoHuber { delta } => sum(&|o| {
            let t = (c(y[o]) - x[o]) / c(*delta);
            c(delta * delta) * ((c(1.0) + t * t).sqrt() - c(1.0))
        }),
        Loss::Gamma => sum(&|o| {
            let ratio = c(y[o]) * (-x[o]).exp();
            ratio - c(1.0) - ratio.ln()
        }),
        Loss::NegativeBinomial { dispersion } => sum(&|o| {
            let counts = c(y[o] + 1.0 / dispersion);
            counts * (c(1.0) + c(*dispersion) * x[o].exp()).ln() - c(y[o]) * x[o]
        }),
        // ½ (ν + s) ln(1 + ‖x − y‖²/ν) with ν = 2.
        Loss::Custom(custom) if custom.name() == "student" => {
            let square = sum(&|o| (x[o] - c(y[o])) * (x[o] - c(y[o])));
            c(0.5 * (2.0 + x.len() as f64)) * (c(1.0) + square / c(2.0)).ln()
        }
        Loss::Custom(custom) if custom.name() == "square" => {
            sum(&|o| c(0.5) * (c(y[o]) - x[o]) * (c(y[o]) - x[o]))
        }
        other => panic!("no reference for {other:?}"),
    }
}

/// p = P(z; w) of unit j of its layer, from its definition.
fn pre_activation(propagation: &str, j: usize, z: &[Hyper], bias: bool, w: &[Hyper]) -> Hyper {
    let d = z.len();
    // (z − μ)ᵀ M (z − μ), M given by its entries.
    let quadratic = |m: &dyn Fn(usize, usize) -> Hyper| {
        (0..d * d).fold(Hyper::ZERO, |sum, ab| {
            let (a, b) = (ab / d, ab % d);
            sum + (z[a] - w[a]) * m(a, b) * (z[b] - w[b])
        })
    };
    let diagonal =
        |tau: &dyn Fn(usize) -> Hyper| quadratic(&|a, b| if a == b { tau(a) } else { Hyper::ZERO });
    let (one, two) = (Hyper::from(1.0), Hyper::from(2.0));
    match propagation {
        "linear" => {
            let dot = (0..d).fold(Hyper::ZERO, |sum, a| sum + w[a] * z[a]);
            if bias { dot + w[d] } else { dot }
        }
        "rbf_full" => quadratic(&|a, b| w[d + a * d + b]),
        "rbf_full_sym" => {
            let upper: Vec<(usize, usize)> =
                (0..d).flat_map(|a| (a..d).map(move |b| (a, b))).collect();
            quadratic(&|a, b| {
                let at = upper.iter().position(|&ab| ab == (a.min(b), a.max(b)));
                w[d + at.unwrap()]
            })
        }
        "rbf_diag_tau" => diagonal(&|a| w[d + a]),
        "rbf_diag_sigma" => diagonal(&|a| one / (w[d + a] * w[d + a])),
        "rbf_diag_log_sigma" => diagonal(&|a| (-two * w[d + a]).exp()),
        "rbf_iso_tau" => diagonal(&|_| w[d]),
        "rbf_iso_sigma" => diagonal(&|_| one / (w[d] * w[d])),
        "rbf_iso_log_sigma" => diagonal(&|_| (-two * w[d]).exp()),
        "rbf_cholesky" => {
            let lower: Vec<(usize, usize)> =
                (0..d).flat_map(|a| (0..=a).map(move |b| (a, b))).collect();
            let l = |a: usize, b: usize| match lower.iter().position(|&ab| ab == (a, b)) {
                Some(at) if a == b => w[d + at].exp(),
                Some(at) => w[d + at],
                None => Hyper::ZERO,
            };
            quadratic(&|a, b| (0..d).fold(Hyper::ZERO, |sum, c| sum + l(a, c) * l(b, c)))
        }
        "rbf_aug" => {
            let mut x = z.to_vec();
            x.push(one);
            (0..(d + 1) * (d + 1))
                .fold(Hyper::ZERO, |sum, ab| sum + x[ab / (d + 1)] * w[ab] * x[ab % (d + 1)])
        }
        "normalized" => {
            let half = |z: Hyper| (-z / two).exp();
            half(z[j]) / z.iter().fold(Hyper::ZERO, |sum, &z| sum + half(z))
        }
        other => panic!("no reference for {other}"),
    }
}

/// x^0 … x^m of one sample. `shift` is added to the output of one unit (layer, unit): ∂/∂x with later layers following.
pub fn states(
    network: &Network,
    w: &[Hyper],
    x: &[f64],
    shift: Option<(usize, usize, Hyper)>,
) -> Vec<Vec<Hyper>> {
    let mut states: Vec<Vec<Hyper>> = vec![x.iter().map(|&v| v.into()).collect()];
    for (index, layer) in network.layers().iter().enumerate() {
        let z: Vec<Hyper> = layer.sources.iter().flat_map(|&t| states[t].clone()).collect();
        let mut out = Vec::new();
        for g in &layer.groups {
            for (local, h) in g.activations().enumerate() {
                let row = &w[g.range.start + local * g.row..][..g.row];
                let j = g.units.start + local;
                let p = pre_activation(g.propagation.name(), j, &z, layer.bias, row);
                out.push(activation(h, p));
            }
        }
        if let Some((_, j, shift)) = shift.filter(|s| s.0 == index + 1) {
            out[j] = out[j] + shift;
        }
        states.push(out);
    }
    states
}

/// Σ_i ω_i g(x_i^m, y_i).
pub fn objective(problem: &secondo::Problem, w: &[Hyper]) -> Hyper {
    (0..problem.rows()).fold(Hyper::ZERO, |sum, i| sum + sample(problem, w, i, None))
}

/// ω_i g(x_i^m, y_i).
pub fn sample(
    problem: &secondo::Problem,
    w: &[Hyper],
    i: usize,
    shift: Option<(usize, usize, Hyper)>,
) -> Hyper {
    let data = problem.data().unwrap();
    let (x, y) = (data.x().row(i).to_vec(), data.y().row(i).to_vec());
    let x = states(problem.network(), w, &x, shift);
    Hyper::from(data.weights()[i]) * loss(problem.loss(), &x[x.len() - 1], &y)
}

fn seeded(w: &[f64], first: usize, second: usize) -> Vec<Hyper> {
    let mut out: Vec<Hyper> = w.iter().map(|&v| v.into()).collect();
    out[first].d1 = 1.0;
    out[second].d2 = 1.0;
    out
}

/// ∂E/∂W.
pub fn gradient(problem: &secondo::Problem, w: &[f64]) -> Vec<f64> {
    (0..w.len()).map(|l| objective(problem, &seeded(w, l, l)).d1).collect()
}

/// e_ij^k for all samples i and units j of layer k.
pub fn multipliers(problem: &secondo::Problem, w: &[f64], k: usize) -> Vec<f64> {
    let w: Vec<Hyper> = w.iter().map(|&v| v.into()).collect();
    let unit = Hyper { d1: 1.0, ..Hyper::ZERO };
    (0..problem.rows())
        .flat_map(|i| (0..problem.network().width(k)).map(move |j| (i, j)))
        .map(|(i, j)| -sample(problem, &w, i, Some((k, j, unit))).d1)
        .collect()
}

/// The lower triangle of the whole matrix, packed.
pub fn lower(problem: &secondo::Problem, w: &[f64], curvature: secondo::Curvature) -> Vec<f64> {
    let mut out = Vec::new();
    for (k, _, range) in problem.network().rows() {
        for a in range.clone() {
            out.extend((0..=a).map(|b| match curvature {
                secondo::Curvature::Lagrangian if b < range.start => 0.0,
                _ => entry(problem, w, curvature, k, a, b),
            }));
        }
    }
    out
}

fn entry(
    problem: &secondo::Problem,
    w: &[f64],
    curvature: secondo::Curvature,
    k: usize,
    a: usize,
    b: usize,
) -> f64 {
    use secondo::Curvature::*;
    let (network, data) = (problem.network(), problem.data().unwrap());
    let seeded = seeded(w, a, b);
    let plain: Vec<Hyper> = w.iter().map(|&v| v.into()).collect();
    let n = data.len();
    match curvature {
        Exact => objective(problem, &seeded).d12,
        Residual => {
            let part = |c| entry(problem, w, c, k, a, b);
            part(Exact) - part(GaussNewton)
        }
        EmpiricalFisher => (0..n)
            .filter(|&i| data.weights()[i] > 0.0)
            .map(|i| {
                let g = sample(problem, &seeded, i, None);
                g.d1 * g.d2 / data.weights()[i]
            })
            .sum(),
        // (∂x/∂w_a)ᵀ (∂²g/∂x²) (∂x/∂w_b): the loss along the outputs' tangents, with no curvature of its own.
        GaussNewton => (0..n)
            .map(|i| {
                let x = states(network, &seeded, &data.x().row(i).to_vec(), None);
                let tangent: Vec<Hyper> =
                    (x[x.len() - 1].iter()).map(|v| Hyper { d12: 0.0, ..*v }).collect();
                data.weights()[i] * loss(problem.loss(), &tangent, &data.y().row(i).to_vec()).d12
            })
            .sum(),
        // −Σ_i Σ_j e_ij h(p_ij): the only terms of the Lagrangian that hold w, at fixed X and E.
        Lagrangian => (0..n)
            .map(|i| {
                let x0 = data.x().row(i).to_vec();
                let fixed = states(network, &plain, &x0, None);
                let layer = &network.layers()[k - 1];
                let z: Vec<Hyper> = layer.sources.iter().flat_map(|&t| fixed[t].clone()).collect();
                let g = layer.groups.iter().find(|g| g.range.contains(&a)).unwrap();
                let local = (a - g.range.start) / g.row;
                let row = &seeded[g.range.start + local * g.row..][..g.row];
                let j = g.units.start + local;
                let p = pre_activation(g.propagation.name(), j, &z, layer.bias, row);
                let unit = Hyper { d1: 1.0, ..Hyper::ZERO };
                let e = -sample(problem, &plain, i, Some((k, j, unit))).d1;
                -e * activation(g.activations().nth(local).unwrap(), p).d12
            })
            .sum(),
        other => panic!("no reference for {other:?}"),
    }
}
