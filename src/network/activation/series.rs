//! Power series cut off after a power of t: arithmetic on Taylor coefficients.
//!
//! ```text
//! f(u + t) = c₀ + c₁t + … + c_q t^q + …      c_k = f⁽ᵏ⁾(u)/k!
//! ```
//!
//! The coefficients of a sum, product, quotient or elementary function follow from those of its
//! operands, one after the other, by the recurrences of its differential equation (Griewank and
//! Walther, *Evaluating Derivatives*, table 13.1): k(eᵃ)_k = Σ_{i=1}^k i a_i (eᵃ)_{k−i}, and so on, in
//! q² operations each. So a formula that is evaluated on series gives its derivatives of any order.
//!
//! # Accuracy
//!
//! The first coefficient, f(u), is that of the function itself. The recurrences lose no digits but where coefficients cancel: for
//! the elementary functions and the activations, at up to ten points each and up to order 8, the error of c_k is below 1e-14
//! of the larger of |c_k| and √|c_{k−1} c_{k+1}| (`tests/series.rs`; near a zero of f⁽ᵏ⁾ no digit of c_k itself is promised). Sums, products
//! and quotients of series add their rounding, as with numbers. f⁽ᵏ⁾ = k! c_k.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Activation;

/// A power series in t, known up to t^q: c₀ + c₁t + … + c_q t^q.
///
/// Operations on two series know as many coefficients as the shorter one. Outside the domain of a
/// function the coefficients are NaN, at its end infinite or NaN.
///
/// ```
/// use secondo::Series;
/// // 1 − (1 + u)⁻² at u = 1 and its derivatives 2(1 + u)⁻³, −6(1 + u)⁻⁴, 24(1 + u)⁻⁵
/// let u = Series::variable(1.0, 3);
/// let h = 1.0 - (1.0 + u).powf(-2.0);
/// assert_eq!(h.derivatives(), [0.75, 0.25, -0.375, 0.75]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// c₀ … c_q; never empty
    c: Vec<f64>,
}

/// The most coefficients of a series that is made from an order; operations take their square.
const MOST: usize = 1 << 16;

impl Series {
    /// u + t up to t^q: what a function is to be evaluated on for its derivatives at u. No series knows more than 2¹⁶ coefficients.
    pub fn variable(u: f64, order: usize) -> Self {
        let mut series = Self::constant(u, order);
        if let Some(first) = series.c.get_mut(1) {
            *first = 1.0;
        }
        series
    }

    /// The constant c up to t^q, of at most 2¹⁶ coefficients.
    pub fn constant(c: f64, order: usize) -> Self {
        let mut coefficients = vec![0.0; order.min(MOST - 1) + 1];
        coefficients[0] = c;
        Self { c: coefficients }
    }

    /// The series with these coefficients c₀ … c_q; without any it is the constant 0.
    pub fn new(coefficients: Vec<f64>) -> Self {
        if coefficients.is_empty() {
            return Self::constant(0.0, 0);
        }
        Self { c: coefficients }
    }

    /// q, the highest power that is known.
    pub fn order(&self) -> usize {
        self.c.len() - 1
    }

    /// c₀ … c_q.
    pub fn coefficients(&self) -> &[f64] {
        &self.c
    }

    /// f, f′ … f⁽q⁾: k! c_k.
    pub fn derivatives(&self) -> Vec<f64> {
        let factorial = |k: usize| (1..=k).fold(1.0, |product, i| product * i as f64);
        (self.c.iter().enumerate()).map(|(k, c)| c * factorial(k)).collect()
    }

    /// eᵃ.
    pub fn exp(&self) -> Self {
        self.exp_from(Activation::Exp.value(self.c[0]))
    }

    /// eᵃ − 1, without cancellation where a is small.
    pub fn expm1(&self) -> Self {
        self.exp().with_first(libm::expm1(self.c[0]))
    }

    /// ln a for a₀ > 0.
    pub fn log(&self) -> Self {
        self.log_from(libm::log(self.c[0]), self.c[0])
    }

    /// ln(1 + a) for a₀ > −1, without cancellation where a is small.
    pub fn log1p(&self) -> Self {
        self.log_from(libm::log1p(self.c[0]), 1.0 + self.c[0])
    }

    /// √a for a₀ ≥ 0.
    pub fn sqrt(&self) -> Self {
        let root = self.c[0].sqrt();
        self.grow(root, |a, c, k| {
            let mixed: f64 = (1..k).map(|i| c[i] * c[k - i]).sum();
            (a[k] - mixed) / (2.0 * root)
        })
    }

    /// aʳ for a₀ > 0, and for any a₀ where r is an integer.
    ///
    /// At a₀ = 0 the coefficients below tʳ are 0; from there on they are NaN, unless r is an integer.
    pub fn powf(&self, r: f64) -> Self {
        let first = libm::pow(self.c[0], r);
        if self.c[0] != 0.0 {
            return self.grow(first, |a, c, k| {
                let sum: f64 =
                    (1..=k).map(|i| (i as f64 * r - (k - i) as f64) * a[i] * c[k - i]).sum();
                sum / (k as f64 * a[0])
            });
        }
        if r < 0.0 || r.fract() != 0.0 {
            return self.grow(first, |_, _, k| if (k as f64) < r { 0.0 } else { f64::NAN });
        }
        if r > self.order() as f64 {
            return Self::constant(first, self.order());
        }
        let one = Self::constant(1.0, self.order());
        (0..r as usize).fold(one, |product, _| product * self)
    }

    /// (sin a, cos a).
    pub fn sin_cos(&self) -> (Self, Self) {
        self.pair(libm::sincos(self.c[0]), -1.0)
    }

    /// tan a.
    pub fn tan(&self) -> Self {
        // t′ = d a′ with d = 1 + t², d′ = 2 t t′
        let t = libm::tan(self.c[0]);
        let (mut t, mut d) = (vec![t], vec![1.0 + t * t]);
        for k in 1..self.c.len() {
            t.push(rate(&self.c, &d, k));
            d.push(2.0 * rate(&t, &t, k));
        }
        Self { c: t }
    }

    /// (sinh a, cosh a).
    pub fn sinh_cosh(&self) -> (Self, Self) {
        let a = self.c[0];
        self.pair((libm::sinh(a), libm::cosh(a)), 1.0)
    }

    /// tanh a = 2 s(2a) − 1 with the logistic function s.
    pub fn tanh(&self) -> Self {
        let s = (self * 2.0).logistic() * 2.0;
        s.with_first(Activation::Tanh.value(self.c[0]))
    }

    /// s(a) = 1/(1 + e⁻ᵃ).
    pub fn logistic(&self) -> Self {
        // s′ = d a′ with d = s(1 − s), d′ = (1 − 2s) s′; far out neither d nor 1 − 2s = −tanh(a/2) is a difference.
        let a = self.c[0];
        let [s, d, _] = Activation::Logistic.derivatives(a);
        let (mut s, mut d) = (vec![s], vec![d]);
        let mut less = vec![-Activation::Tanh.value(0.5 * a)];
        for k in 1..self.c.len() {
            s.push(rate(&self.c, &d, k));
            d.push(rate(&s, &less, k));
            less.push(-2.0 * s[k]);
        }
        Self { c: s }
    }

    /// ln(1 + eᵃ).
    pub fn softplus(&self) -> Self {
        self.integral(Activation::Softplus.value(self.c[0]), &self.logistic())
    }

    /// arctan a.
    pub fn atan(&self) -> Self {
        self.integral(libm::atan(self.c[0]), &(1.0 / (1.0 + self * self)))
    }

    /// exp(−a²).
    pub fn gauss(&self) -> Self {
        // The rounding of a² would count in the exponent.
        (-(self * self)).exp_from(Activation::Gauss.value(self.c[0]))
    }

    /// exp(−a²/2).
    pub fn gauss_half(&self) -> Self {
        (self * self * -0.5).exp_from(Activation::GaussHalf.value(self.c[0]))
    }

    /// erf a = 2/√π ∫₀ᵃ e^(−t²) dt.
    pub fn erf(&self) -> Self {
        self.integral(libm::erf(self.c[0]), &(self.gauss() * FRAC_2_SQRT_PI))
    }

    /// Φ(a), the distribution function of the normal distribution.
    pub fn normal_cdf(&self) -> Self {
        let a = self.c[0];
        let phi = match a {
            0.0 => 0.5,
            // aΦ(a) is good far out, too.
            _ if a.is_finite() => Activation::Gelu.value(a) / a,
            _ => 0.5 * libm::erfc(-a),
        };
        self.integral(phi, &(self.gauss_half() * (1.0 / (2.0 * PI).sqrt())))
    }

    /// |a|; the derivatives at the kink a₀ = 0 are 0.
    pub fn abs(&self) -> Self {
        match self.c[0] {
            a if a > 0.0 => self.clone(),
            0.0 => Self::constant(0.0, self.order()),
            _ => -self, // NaN, too
        }
    }

    /// max(a, 0); the derivatives at the kink a₀ = 0 are 0.
    pub fn relu(&self) -> Self {
        match self.c[0] {
            a if a <= 0.0 => Self::constant(0.0, self.order()),
            _ => self.clone(), // NaN, too
        }
    }

    /// The same series with another c₀.
    fn with_first(mut self, c: f64) -> Self {
        self.c[0] = c;
        self
    }

    /// The series that starts with c₀ = `first`; `next` gives c_k from the coefficients of this one
    /// and c₀ … c_{k−1}.
    fn grow(&self, first: f64, next: impl Fn(&[f64], &[f64], usize) -> f64) -> Self {
        let mut c = Vec::with_capacity(self.c.len());
        c.push(first);
        for k in 1..self.c.len() {
            c.push(next(&self.c, &c, k));
        }
        Self { c }
    }

    /// eᵃ for a value of e^{a₀}: y′ = y a′.
    fn exp_from(&self, first: f64) -> Self {
        self.grow(first, rate)
    }

    /// y′ = a′/b, where b is a but for b₀.
    fn log_from(&self, first: f64, b: f64) -> Self {
        self.grow(first, |a, y, k| {
            let sum: f64 = (1..k).map(|i| i as f64 * y[i] * a[k - i]).sum();
            (a[k] - sum / k as f64) / b
        })
    }

    /// y′ = g(a) a′ from y₀ on.
    fn integral(&self, first: f64, g: &Self) -> Self {
        self.grow(first, |a, _, k| rate(a, &g.c, k))
    }

    /// s′ = c a′ and c′ = ±s a′: the circular or the hyperbolic functions.
    fn pair(&self, (s, c): (f64, f64), sign: f64) -> (Self, Self) {
        let (mut s, mut c) = (vec![s], vec![c]);
        for k in 1..self.c.len() {
            s.push(rate(&self.c, &c, k));
            c.push(sign * rate(&self.c, &s, k));
        }
        (Self { c: s }, Self { c })
    }
}

/// y_k for y′ = g a′: (1/k) Σ_{i=1}^k i a_i g_{k−i}.
fn rate(a: &[f64], g: &[f64], k: usize) -> f64 {
    (1..=k).map(|i| i as f64 * a[i] * g[k - i]).sum::<f64>() / k as f64
}

fn zip(a: &Series, b: &Series, op: impl Fn(f64, f64) -> f64) -> Series {
    Series { c: a.c.iter().zip(&b.c).map(|(a, b)| op(*a, *b)).collect() }
}

fn product(a: &Series, b: &Series) -> Series {
    let n = a.c.len().min(b.c.len());
    let at = |k| (0..=k).map(|i| a.c[i] * b.c[k - i]).sum();
    Series { c: (0..n).map(at).collect() }
}

fn quotient(a: &Series, b: &Series) -> Series {
    let n = a.c.len().min(b.c.len());
    let a = Series { c: a.c[..n].to_vec() };
    a.grow(a.c[0] / b.c[0], |a, c, k| {
        let sum: f64 = (1..=k).map(|i| b.c[i] * c[k - i]).sum();
        (a[k] - sum) / b.c[0]
    })
}

fn scaled(a: &Series, op: impl Fn(f64) -> f64) -> Series {
    Series { c: a.c.iter().map(|a| op(*a)).collect() }
}

fn shifted(a: &Series, by: f64) -> Series {
    a.clone().with_first(a.c[0] + by)
}

/// An operator between series, between a series and a number, and the other way round.
macro_rules! operator {
    ($Trait:ident $method:ident: $series:expr, $right:expr, $left:expr) => {
        operator!(@series $Trait $method $series; Series, Series; Series, &Series; &Series, Series; &Series, &Series);
        operator!(@number $Trait $method $right, $left; Series; &Series);
    };
    (@series $Trait:ident $method:ident $series:expr; $($A:ty, $B:ty);*) => {$(
        impl $Trait<$B> for $A {
            type Output = Series;
            fn $method(self, other: $B) -> Series {
                #[allow(clippy::needless_borrow)]
                $series(&self, &other)
            }
        }
    )*};
    (@number $Trait:ident $method:ident $right:expr, $left:expr; $($A:ty);*) => {$(
        impl $Trait<f64> for $A {
            type Output = Series;
            fn $method(self, number: f64) -> Series {
                #[allow(clippy::needless_borrow)]
                $right(&self, number)
            }
        }
        impl $Trait<$A> for f64 {
            type Output = Series;
            fn $method(self, series: $A) -> Series {
                #[allow(clippy::needless_borrow)]
                $left(self, &series)
            }
        }
    )*};
}

operator!(Add add: |a, b| zip(a, b, |a, b| a + b), shifted, |n, a| shifted(a, n));
operator!(Sub sub: |a, b| zip(a, b, |a, b| a - b), |a, n: f64| shifted(a, -n), |n, a: &Series| shifted(&-a, n));
operator!(Mul mul: product, |a, n| scaled(a, |a| a * n), |n, a| scaled(a, |a| n * a));
operator!(Div div: quotient, |a, n| scaled(a, |a| a / n), |n, a: &Series| quotient(&Series::constant(n, a.order()), a));

impl Neg for &Series {
    type Output = Series;
    fn neg(self) -> Series {
        scaled(self, |a| -a)
    }
}

impl Neg for Series {
    type Output = Series;
    fn neg(self) -> Series {
        -&self
    }
}
