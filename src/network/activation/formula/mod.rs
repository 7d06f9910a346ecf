//! Activations given as a formula in u, such as `1-(1+u)^-2`.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = factor { ("*" | "/") factor }
//! factor  = ("-" | "+") factor | power
//! power   = atom [ "^" factor ]                          -u^2 = −(u²), u^2^3 = u^(2^3)
//! atom    = number | "u" | "pi" | "e" | function "(" sum ")" | "(" sum ")"
//! ```
//!
//! The functions are those of the built-in activations (`tanh`, `logistic`, `softplus`, `exp`, `log` or `ln`, `sqrt`, `sin`,
//! `cos`, `atan`, `relu`, `silu`, `gelu`, `gauss` …) and `abs`, `cosh`, `erf`, `expm1`, `log1p`, `sinh`, `tan`.
//!
//! # How it is computed
//!
//! The parser leaves a *tape*: one operation for each different part of the formula, each after its operands. Every
//! operation turns the value, the first and the second derivative of its operands into its own, with f of v(u)
//!
//! ```text
//! h = f(v)   h′ = f′(v) v′   h″ = f″(v) v′² + f′(v) v″
//! ```
//!
//! and the like for sums, products and quotients. The processor runs the tape over 64 numbers at a time; for adapters the
//! same rules are written as WGSL over the functions in `shaders/lib`. Higher derivatives come from [`Series`].
//!
//! # Accuracy
//!
//! Every operation adds its rounding, a few ULP; a whole power is a product, another power on an adapter adds |r ln v| ULP. No
//! digit is saved that the formula as written loses: `1-exp(-u)` near 0 has the absolute error 2⁻⁵³ of its 1, where `-expm1(-u)` has
//! all its digits. What overflows on the way to a finite result counts as a limit, with the derivatives 0: so
//! `u/(1+exp(-u))` is 0 far to the left, to any order; `exp(u)/(1+exp(u))` is ∞/∞ = NaN far to the right. Outside its domain a formula is NaN; at the end of its domain, and where a part of it has a pole,
//! its derivatives may be NaN or those of that limit.

mod parse;
#[cfg(feature = "gpu")]
mod wgsl;

use super::{Activation, Series};
use crate::error::Result;

/// How many numbers go through the tape at once.
pub(crate) const LANES: usize = 64;

/// A part of a formula; operands are places on the tape.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Argument,
    Constant(f64),
    Add(usize, usize),
    Subtract(usize, usize),
    Multiply(usize, usize),
    Divide(usize, usize),
    Negate(usize),
    /// To a whole power other than 0 and 1.
    Integer(usize, i32),
    /// To any other constant power.
    Power(usize, f64),
    Call(Function, usize),
}

/// A function that a formula can call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Builtin(Activation),
    Abs,
    Cosh,
    Erf,
    Expm1,
    Log1p,
    Sinh,
    Tan,
}

impl Function {
    const OTHERS: [(&'static str, Self); 7] = [
        ("abs", Self::Abs),
        ("cosh", Self::Cosh),
        ("erf", Self::Erf),
        ("expm1", Self::Expm1),
        ("log1p", Self::Log1p),
        ("sinh", Self::Sinh),
        ("tan", Self::Tan),
    ];

    /// The function of that name or alias.
    fn find(name: &str) -> Option<Self> {
        let other = || Self::OTHERS.iter().find(|f| f.0 == name).map(|f| f.1);
        Activation::builtin(name).map(Self::Builtin).or_else(other)
    }

    /// The names of all functions, without aliases.
    fn names() -> Vec<&'static str> {
        let builtin = Activation::ALL.into_iter().map(Activation::name);
        builtin.chain(Self::OTHERS.map(|f| f.0)).collect()
    }

    /// Returns f, f′ and f″.
    fn derivatives(self, v: f64) -> [f64; 3] {
        match self {
            Self::Builtin(activation) => activation.derivatives(v),
            Self::Abs if v == 0.0 => [0.0; 3],
            Self::Abs => [v.abs(), v.signum(), 0.0 * v.signum()],
            Self::Cosh => [libm::cosh(v), libm::sinh(v), libm::cosh(v)],
            Self::Sinh => [libm::sinh(v), libm::cosh(v), libm::sinh(v)],
            Self::Erf => {
                let first = std::f64::consts::FRAC_2_SQRT_PI * Activation::Gauss.value(v);
                let second = if first == 0.0 { 0.0 } else { -2.0 * v * first };
                [libm::erf(v), first, second]
            }
            Self::Expm1 => {
                let [h, first, _] = Activation::OneMinusExpNeg.derivatives(-v);
                [-h, first, first]
            }
            Self::Log1p if v < -1.0 => [f64::NAN; 3],
            Self::Log1p => {
                let inverse = 1.0 / (1.0 + v);
                [libm::log1p(v), inverse, -inverse * inverse]
            }
            Self::Tan => {
                let t = libm::tan(v);
                let first = 1.0 + t * t;
                [t, first, 2.0 * t * first]
            }
        }
    }

    fn series(self, a: &Series) -> Result<Series> {
        Ok(match self {
            Self::Builtin(activation) => return activation.series(a),
            Self::Abs => a.abs(),
            Self::Cosh => a.sinh_cosh().1,
            Self::Erf => a.erf(),
            Self::Expm1 => a.expm1(),
            Self::Log1p => a.log1p(),
            Self::Sinh => a.sinh_cosh().0,
            Self::Tan => a.tan(),
        })
    }
}

/// Returns xⁿ, n xⁿ⁻¹ and n (n − 1) xⁿ⁻² by products, for n ≥ 2 or n < 0.
fn integer_power(x: f64, n: i32) -> [f64; 3] {
    let mut k = if n >= 2 { n - 2 } else { -n };
    let (mut product, mut square) = (1.0, x);
    while k > 0 {
        if k & 1 == 1 {
            product *= square;
        }
        square *= square;
        k >>= 1;
    }
    let r = f64::from(n);
    if n >= 2 {
        return [product * x * x, r * product * x, r * (r - 1.0) * product];
    }
    let inverse = 1.0 / product;
    let first = inverse / x;
    [inverse, r * first, r * (r - 1.0) * first / x]
}

fn real_power(x: f64, r: f64) -> [f64; 3] {
    [libm::pow(x, r), r * libm::pow(x, r - 1.0), r * (r - 1.0) * libm::pow(x, r - 2.0)]
}

/// Returns f v′ for f = f′(v): 0 where v has overflowed and f is at its limit.
fn chain(f: f64, v: f64, x: f64) -> f64 {
    if f == 0.0 && v.is_infinite() { 0.0 } else { f * x }
}

/// Returns n/b for a derivative of a quotient: 0 where b has overflowed.
fn quotient(numerator: f64, b: f64) -> f64 {
    if b.is_infinite() { 0.0 } else { numerator / b }
}

/// A formula in u as a tape.
#[derive(Clone, Debug)]
pub(crate) struct Formula {
    text: String,
    tape: Vec<Op>,
    /// For each operation, how many of its derivatives are not 0 for every u, 2 at most.
    degrees: Vec<usize>,
}

/// Writes f, f′ and f″ of an activation at each number.
pub(crate) type Lanes<'a> = &'a dyn Fn(Activation, &[f64], [&mut [f64]; 3]);

impl Formula {
    /// The formula in `text`.
    ///
    /// # Errors
    /// [`crate::Error::Formula`] with the place of what is malformed.
    pub fn new(text: &str) -> Result<Self> {
        parse::parse(text)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns [h, h′, h″] at one number.
    pub fn derivatives(&self, u: f64) -> [f64; 3] {
        let mut h = [[0.0]; 3];
        let [a, b, c] = &mut h;
        let one_by_one = |activation: Activation, v: &[f64], out: [&mut [f64]; 3]| {
            each(v, out, |v| activation.derivatives(v));
        };
        self.fill(&[u], &mut [a, b, c], &mut self.scratch(), &one_by_one);
        h.map(|[h]| h)
    }

    /// Returns h(a) of a power series.
    ///
    /// # Errors
    /// Those of [`Activation::series`] for the functions it calls, which are built in and have none.
    pub fn series(&self, a: &Series) -> Result<Series> {
        let mut tape: Vec<Series> = Vec::with_capacity(self.tape.len());
        for op in &self.tape {
            let next = series(*op, &tape, a)?;
            tape.push(next);
        }
        Ok(tape.pop().unwrap_or_else(|| a.clone()))
    }

    /// Returns the memory that [`fill`](Self::fill) works in, with the constants in their places.
    pub fn scratch(&self) -> Vec<f64> {
        let mut scratch = vec![0.0; (self.tape.len() + 1) * 3 * LANES];
        for (slot, op) in scratch.chunks_mut(3 * LANES).zip(&self.tape) {
            match op {
                Op::Constant(c) => slot[..LANES].fill(*c),
                Op::Argument => slot[LANES..2 * LANES].fill(1.0),
                _ => {}
            }
        }
        scratch
    }

    /// Writes h, h′ … at up to [`LANES`] numbers, as many of them as there are slices in `out`.
    pub fn fill(&self, u: &[f64], out: &mut [&mut [f64]], scratch: &mut [f64], lanes: Lanes) {
        let n = u.len();
        let (tape, outer) = scratch.split_at_mut(self.tape.len() * 3 * LANES);
        for (i, op) in self.tape.iter().enumerate() {
            let (before, here) = tape.split_at_mut(3 * LANES * i);
            let operands = Operands { tape: before, degrees: &self.degrees, n };
            match op {
                Op::Argument => here[..n].copy_from_slice(u),
                Op::Constant(_) => {}
                _ => operands.step(*op, out.len(), here, outer, lanes),
            }
        }
        let last = self.tape.len() - 1;
        for (k, out) in out.iter_mut().enumerate() {
            if k <= self.degrees[last] {
                out.copy_from_slice(&tape[(3 * last + k) * LANES..][..n]);
            } else {
                out.fill(0.0);
            }
        }
    }
}

fn each(v: &[f64], [f, first, second]: [&mut [f64]; 3], h: impl Fn(f64) -> [f64; 3]) {
    for (i, &v) in v.iter().enumerate() {
        [f[i], first[i], second[i]] = h(v);
    }
}

/// Returns the result of one operation over series.
fn series(op: Op, tape: &[Series], u: &Series) -> Result<Series> {
    let first = |slot: usize| tape[slot].coefficients()[0];
    let constant = |c: f64| Series::constant(c, u.order());
    Ok(match op {
        Op::Argument => u.clone(),
        Op::Constant(c) => constant(c),
        Op::Add(a, b) => &tape[a] + &tape[b],
        Op::Subtract(a, b) => &tape[a] - &tape[b],
        Op::Multiply(a, b) => &tape[a] * &tape[b],
        Op::Divide(a, b) if first(b).is_infinite() => constant(first(a) / first(b)),
        Op::Divide(a, b) => &tape[a] / &tape[b],
        Op::Negate(a) => -&tape[a],
        Op::Integer(a, _) | Op::Power(a, _) | Op::Call(_, a) => {
            let v = first(a);
            let [f, slope, _] = match op {
                // The rule of `chain`.
                _ if v.is_finite() => [f64::NAN; 3],
                Op::Integer(_, n) => integer_power(v, n),
                Op::Power(_, r) => real_power(v, r),
                Op::Call(f, _) => f.derivatives(v),
                _ => [f64::NAN; 3],
            };
            match op {
                _ if slope == 0.0 => constant(f),
                Op::Integer(_, n) => tape[a].powf(f64::from(n)),
                Op::Power(_, r) => tape[a].powf(r),
                Op::Call(f, _) => return f.series(&tape[a]),
                _ => tape[a].clone(),
            }
        }
    })
}

/// The operations before one, over n numbers.
struct Operands<'a> {
    tape: &'a [f64],
    degrees: &'a [usize],
    n: usize,
}

impl<'a> Operands<'a> {
    /// Derivative k of an operation, unless it is 0 for every u.
    fn at(&self, slot: usize, k: usize) -> Option<&'a [f64]> {
        (k <= self.degrees[slot]).then(|| &self.tape[(3 * slot + k) * LANES..][..self.n])
    }

    fn value(&self, slot: usize) -> &'a [f64] {
        &self.tape[3 * slot * LANES..][..self.n]
    }

    /// The operation's value and derivatives, `orders` of them, into `here`.
    fn step(&self, op: Op, orders: usize, here: &mut [f64], outer: &mut [f64], lanes: Lanes) {
        let n = self.n;
        let (h, rest) = here.split_at_mut(LANES);
        let (h1, h2) = rest.split_at_mut(LANES);
        let (h, h1, h2) = (&mut h[..n], &mut h1[..n], &mut h2[..n]);
        let get = |x: Option<&[f64]>, i: usize| x.map_or(0.0, |x| x[i]);
        match op {
            Op::Argument | Op::Constant(_) => {}
            Op::Add(a, b) | Op::Subtract(a, b) => {
                let sign = if matches!(op, Op::Add(..)) { 1.0 } else { -1.0 };
                for (k, h) in [h, h1, h2].into_iter().take(orders).enumerate() {
                    let (a, b) = (self.at(a, k), self.at(b, k));
                    for (i, h) in h.iter_mut().enumerate() {
                        *h = get(a, i) + sign * get(b, i);
                    }
                }
            }
            Op::Negate(a) => {
                for (k, h) in [h, h1, h2].into_iter().take(orders).enumerate() {
                    let a = self.at(a, k);
                    for (i, h) in h.iter_mut().enumerate() {
                        *h = -get(a, i);
                    }
                }
            }
            Op::Multiply(a, b) => {
                let product = |x: Option<&[f64]>, y: Option<&[f64]>, i: usize| match (x, y) {
                    (Some(x), Some(y)) => x[i] * y[i],
                    _ => 0.0,
                };
                let ([a0, a1, a2], [b0, b1, b2]) =
                    ([0, 1, 2].map(|k| self.at(a, k)), [0, 1, 2].map(|k| self.at(b, k)));
                for (i, h) in h.iter_mut().enumerate() {
                    *h = product(a0, b0, i);
                }
                if orders > 1 {
                    for (i, h1) in h1.iter_mut().enumerate() {
                        *h1 = product(a1, b0, i) + product(a0, b1, i);
                    }
                }
                if orders > 2 {
                    for (i, h2) in h2.iter_mut().enumerate() {
                        let mixed = 2.0 * product(a1, b1, i);
                        *h2 = product(a2, b0, i) + mixed + product(a0, b2, i);
                    }
                }
            }
            Op::Divide(a, b) => {
                let (a0, b0) = (self.value(a), self.value(b));
                for (i, h) in h.iter_mut().enumerate() {
                    *h = a0[i] / b0[i];
                }
                let term = |x: f64, b: Option<&[f64]>, i: usize| b.map_or(0.0, |b| x * b[i]);
                let (b1, b2) = (self.at(b, 1), self.at(b, 2));
                if orders > 1 {
                    let a1 = self.at(a, 1);
                    for (i, h1) in h1.iter_mut().enumerate() {
                        *h1 = quotient(get(a1, i) - term(h[i], b1, i), b0[i]);
                    }
                }
                if orders > 2 {
                    let a2 = self.at(a, 2);
                    for (i, h2) in h2.iter_mut().enumerate() {
                        let rest = 2.0 * term(h1[i], b1, i) + term(h[i], b2, i);
                        *h2 = quotient(get(a2, i) - rest, b0[i]);
                    }
                }
            }
            Op::Integer(a, _) | Op::Power(a, _) | Op::Call(_, a) => {
                let v = self.value(a);
                let (f, rest) = outer.split_at_mut(LANES);
                let (f1, f2) = rest.split_at_mut(LANES);
                let (f, f1, f2) = (&mut f[..n], &mut f1[..n], &mut f2[..n]);
                let planes = [&mut *f, &mut *f1, &mut *f2];
                match op {
                    Op::Integer(_, r) => each(v, planes, |v| integer_power(v, r)),
                    Op::Power(_, r) => each(v, planes, |v| real_power(v, r)),
                    Op::Call(Function::Builtin(activation), _) => lanes(activation, v, planes),
                    Op::Call(f, _) => each(v, planes, |v| f.derivatives(v)),
                    _ => {}
                }
                h.copy_from_slice(f);
                let (v1, v2) = (self.at(a, 1), self.at(a, 2));
                if orders > 1 {
                    for (i, h1) in h1.iter_mut().enumerate() {
                        *h1 = chain(f1[i], v[i], get(v1, i));
                    }
                }
                if orders > 2 {
                    for (i, h2) in h2.iter_mut().enumerate() {
                        let slope = get(v1, i);
                        let rest = v2.map_or(0.0, |v2| chain(f1[i], v[i], v2[i]));
                        *h2 = chain(f2[i], v[i], slope * slope) + rest;
                    }
                }
            }
        }
    }
}
