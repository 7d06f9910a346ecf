//! Activation functions with their first and second derivatives.
//!
//! # What is promised
//!
//! For every activation and every finite `u` of its domain, `h(u)`, `h′(u)`
//! and `h″(u)` are each within 2 ULP of the exact value for that very `u`,
//! and within one smallest subnormal where the exact value is subnormal. The
//! one exception is the neighbourhood of an interior zero of SiLU′, SiLU″ and
//! GELU′, where the bound is 2⁻⁵² times the largest size of that function
//! within 1/4 of `u`: no bound relative to the value itself is promised there.
//!
//! Nothing overflows, or turns into NaN, unless the exact value does: the
//! ends of the range hold like the middle, and `±∞` give the limits, where
//! limits exist. NaN gives NaN in all three places, and so does a `u` outside
//! the domain. Odd and even functions are so to the last bit.
//!
//! # How it is reached
//!
//! The forms with exponentials are evaluated on pairs of doubles (`Dd` below),
//! which add next to nothing to the error of the exponential, 2⁻⁵⁴·⁵, and are
//! rounded once; tanh″ is a product of two of these. Only sums, products, quotients, masks and fused multiply-adds
//! are used: an instruction of every ARM of 64 bits and every x86 with AVX2,
//! elsewhere a call that is slow, but gives the same digits. The rest is the
//! `libm` crate's, whose logarithms, trigonometric functions and arctangent are
//! good to one ULP, with the same digits on every IEEE platform.
//!
//! Those forms, but for GELU's, know neither tables nor calls nor branches, only
//! selections of one number or another: of a loop over many `u` the compiler
//! makes lanes of the widest registers, each with the digits of a single `u`.

mod orders;

use std::f64::consts::LOG2_E;
use std::fmt;
use std::sync::LazyLock;

use crate::error::{Error, Result};

use super::Series;
use super::custom::{ActivationFunction, Custom};

/// An elementwise function `h` applied to a pre-activation `u`.
///
/// The variants give the formula; [`domain`](Self::domain) says where it
/// holds. Values and derivatives are good to 2 ULP over the whole range of
/// `f64`, subnormals and the neighbourhood of overflow included; close to an
/// interior zero of SiLU′, SiLU″ and GELU′ the bound is 2⁻⁵² times the
/// function's largest size within 1/4 of `u` instead.
///
/// NaN, and any `u` outside the domain, gives NaN; `±∞` gives the limits.
///
/// ```
/// use secondo::Activation;
///
/// // The logistic function at 0: s = 1/2, s′ = s(1 − s) = 1/4, s″ = s′(1 − 2s) = 0.
/// assert_eq!(Activation::Logistic.derivatives(0.0), [0.5, 0.25, 0.0]);
/// // No digit is lost far out, where 1 − tanh² would be 0: tanh′ → 4e⁻²ᵘ.
/// assert_eq!(Activation::Tanh.derivatives(300.0)[1], 1.060_158_621_201_724_3e-260);
/// assert_eq!(Activation::Softplus.value(1000.0), 1000.0);
/// assert_eq!(Activation::from_name("softplus"), Ok(Activation::Softplus));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `u`
    Identity,
    /// `tanh u`
    Tanh,
    /// `1 / (1 + e⁻ᵘ)`
    Logistic,
    /// `ln(1 + eᵘ)`
    Softplus,
    /// `eᵘ`
    Exp,
    /// `exp(−u/2)`
    ExpNegHalf,
    /// `exp(−u²)`
    Gauss,
    /// `exp(−u²/2)`
    GaussHalf,
    /// `1 − e⁻ᵘ`
    OneMinusExpNeg,
    /// `sin u`; no limit at `±∞`, NaN there
    Sin,
    /// `cos u`; no limit at `±∞`, NaN there
    Cos,
    /// `ln u` for `u > 0`; the one-sided limits `−∞, ∞, −∞` at 0, NaN below
    Log,
    /// `√u` for `u ≥ 0`; the derivatives at 0 are the limits `∞, −∞`, NaN below
    Sqrt,
    /// `1/u`; at `±0` the limits from the side of the zero's sign
    Reciprocal,
    /// `arctan u`
    Atan,
    /// `max(u, 0)`; the derivative at the kink `u = 0` is 0, the second
    /// derivative is 0 everywhere, at the kink too
    Relu,
    /// `u / (1 + e⁻ᵘ)`
    Silu,
    /// `u Φ(u) = (u/2) erfc(−u/√2)`, the exact form, with the normal
    /// distribution function `Φ`
    Gelu,
    /// A [`formula`](Self::formula) or the user's [own code](Self::register)
    Custom(Custom),
}

impl Activation {
    /// Every built-in activation, in the order of the variants.
    pub const ALL: [Self; 18] = [
        Self::Identity,
        Self::Tanh,
        Self::Logistic,
        Self::Softplus,
        Self::Exp,
        Self::ExpNegHalf,
        Self::Gauss,
        Self::GaussHalf,
        Self::OneMinusExpNeg,
        Self::Sin,
        Self::Cos,
        Self::Log,
        Self::Sqrt,
        Self::Reciprocal,
        Self::Atan,
        Self::Relu,
        Self::Silu,
        Self::Gelu,
    ];

    /// The name used in files, such as `one_minus_exp_neg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Tanh => "tanh",
            Self::Logistic => "logistic",
            Self::Softplus => "softplus",
            Self::Exp => "exp",
            Self::ExpNegHalf => "exp_neg_half",
            Self::Gauss => "gauss",
            Self::GaussHalf => "gauss_half",
            Self::OneMinusExpNeg => "one_minus_exp_neg",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
            Self::Reciprocal => "reciprocal",
            Self::Atan => "atan",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::Custom(custom) => custom.name(),
        }
    }

    /// The activation of that name: built in, [registered](Self::register), or a [formula](Self::formula).
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones. What is no name must be a formula.
    pub fn from_name(name: &str) -> Result<Self> {
        let builtin = Self::ALL.into_iter().find(|a| a.name() == name);
        if let Some(known) = builtin.or_else(|| Custom::named(name).map(Self::Custom)) {
            return Ok(known);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name == "u" || !name.chars().all(word) {
            return Self::formula(name);
        }
        let mut known: Vec<String> = Self::ALL.map(|a| a.name().to_string()).into();
        known.extend(Custom::names().into_iter().map(str::to_string));
        known.push("or a formula in u such as 1-(1+u)^-2".into());
        Err(Error::Unknown {
            kind: "activation",
            name: name.into(),
            known,
        })
    }

    /// The activation h(u) that a formula in u defines; its name is the text.
    ///
    /// Numbers, `u`, `pi`, `e`, `+ - * / ^`, parentheses, the built-in activations as functions (`tanh(u)`, `exp(u)`, `log` or
    /// `ln`, `sqrt`, `logistic`, `softplus`, `gauss` …) and `abs`, `cosh`, `erf`, `expm1`, `log1p`, `sinh`, `tan`. `-u^2` is
    /// −(u²) and `u^2^3` is u^(2³). A power that varies, or is no whole number, needs a positive base.
    ///
    /// It is differentiated exactly: h′ and h″ by the rules of the operations, on the CPU and, as WGSL, on an adapter, any
    /// further order by [`series`](Self::series). The accuracy is that of the formula as written: each operation adds a few ULP,
    /// and differences of nearly equal numbers lose what they lose. `1-exp(-u)` has the absolute error 2⁻⁵³
    /// near 0; `-expm1(-u)` has all its digits. Where a denominator or the argument of a function overflows, the
    /// derivatives are those of the limit, 0.
    ///
    /// Outside its domain a formula gives NaN, and an evaluation ends with [`Error::NonFinite`]. Formulas are kept
    /// for the life of the program.
    ///
    /// ```
    /// use secondo::Activation;
    /// // 1 − (1 + u)⁻², 2(1 + u)⁻³, −6(1 + u)⁻⁴
    /// let h = Activation::formula("1-(1+u)^-2")?;
    /// assert_eq!(h.derivatives(1.0), [0.75, 0.25, -0.375]);
    /// let error = Activation::formula("1-(1+u)^").unwrap_err();
    /// assert_eq!(error.to_string(), "\
    /// the formula, column 9: a number, u, a function or '(' is needed where it ends
    ///   1-(1+u)^
    ///           ^");
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Formula`], which points at the place of what is malformed; a formula that is constant, or finite nowhere.
    pub fn formula(text: &str) -> Result<Self> {
        Custom::formula(text).map(Self::Custom)
    }

    /// The activation that the user's own code defines, kept for the life of the program.
    ///
    /// In debug builds the derivatives are compared with differences of high order ([`crate::check`]). See
    /// [`ActivationFunction`] for an example.
    ///
    /// # Errors
    /// [`Error::Part`] for a name that is taken or has other characters than letters, digits and underscores, and for a panic;
    /// in debug builds [`Error::Derivative`].
    pub fn register(function: impl ActivationFunction) -> Result<Self> {
        Custom::register(Box::new(function)).map(Self::Custom)
    }

    /// The arguments for which the function is defined, in words; others give NaN.
    pub const fn domain(self) -> &'static str {
        match self {
            Self::Log => "u > 0 (−∞ at 0)",
            Self::Sqrt => "u ≥ 0 (infinite derivatives at 0)",
            Self::Reciprocal => "u ≠ 0 (±∞ at ±0)",
            Self::Custom(custom) => custom.domain(),
            _ => "all real u",
        }
    }

    /// Whether `h(u) = u`.
    pub const fn is_identity(self) -> bool {
        matches!(self, Self::Identity)
    }

    /// Whether `h″` is zero for every `u`: the identity and ReLU.
    pub const fn second_is_zero(self) -> bool {
        matches!(self, Self::Identity | Self::Relu)
    }

    /// `h(u)`, bit for bit the first entry of [`derivatives`](Self::derivatives).
    ///
    /// ```
    /// # use secondo::Activation;
    /// assert_eq!(Activation::Gelu.value(-1.0), -0.158_655_253_931_457_05);
    /// assert!(Activation::Log.value(-1.0).is_nan());
    /// ```
    pub fn value(self, u: f64) -> f64 {
        self.evaluate(u)[0]
    }

    /// `[h(u), h′(u), h″(u)]`.
    ///
    /// ```
    /// # use secondo::Activation;
    /// // (1/u, −1/u², 2/u³)
    /// assert_eq!(Activation::Reciprocal.derivatives(-2.0), [-0.5, -0.25, -0.25]);
    /// // The kink of ReLU belongs to its flat side.
    /// assert_eq!(Activation::Relu.derivatives(0.0), [0.0, 0.0, 0.0]);
    /// ```
    pub fn derivatives(self, u: f64) -> [f64; 3] {
        self.evaluate(u)
    }

    /// h(a) of a power series a: with [`Series::variable`], h⁽q⁾(u) for any q.
    ///
    /// ```
    /// use secondo::{Activation, Series};
    /// // ln u at u = 2: the q-th derivative is (−1)^{q−1} (q − 1)!/u^q.
    /// let h = Activation::Log.series(&Series::variable(2.0, 4))?;
    /// assert_eq!(h.derivatives()[1..], [0.5, -0.25, 0.25, -0.375]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// For a user's alone: [`Error::Unsupported`] beyond order 2 without a series, [`Error::Part`] where its code panics.
    pub fn series(self, a: &Series) -> Result<Series> {
        Ok(match self {
            Self::Identity => a.clone(),
            Self::Tanh => a.tanh(),
            Self::Logistic => a.logistic(),
            Self::Softplus => a.softplus(),
            Self::Exp => a.exp(),
            Self::ExpNegHalf => (a * -0.5).exp(),
            Self::Gauss => a.gauss(),
            Self::GaussHalf => a.gauss_half(),
            Self::OneMinusExpNeg => -(-a).expm1(),
            Self::Sin => a.sin_cos().0,
            Self::Cos => a.sin_cos().1,
            Self::Log => a.log(),
            Self::Sqrt => a.sqrt(),
            Self::Reciprocal => 1.0 / a,
            Self::Atan => a.atan(),
            Self::Relu => a.relu(),
            Self::Silu => a * a.logistic(),
            Self::Gelu => a * a.normal_cdf(),
            Self::Custom(custom) => return custom.series(a),
        })
    }

    #[inline(always)]
    fn evaluate(self, u: f64) -> [f64; 3] {
        struct At(f64);
        impl FormulaUse for At {
            type Output = [f64; 3];
            #[inline(always)]
            fn with(self, h: impl Fn(f64) -> [f64; 3]) -> [f64; 3] {
                h(self.0)
            }
        }
        self.with_formula(At(u))
    }

    /// Calls `to` with the formula of `[h, h′, h″]`: it is compiled for each
    /// activation, and its loops choose between none. With all inlined, what
    /// `to` leaves of the three unused is not computed.
    #[inline(always)]
    pub(crate) fn with_formula<F: FormulaUse>(self, to: F) -> F::Output {
        // A function handed over by its name would be called, not inlined.
        macro_rules! with {
            (|$u:ident| $h:expr) => {
                to.with(
                    #[inline(always)]
                    |$u| $h,
                )
            };
        }
        match self {
            Self::Identity => with!(|u| or_nan(u, [u, 1.0, 0.0])),
            Self::Tanh => with!(|u| tanh(u)),
            Self::Logistic => with!(|u| logistic(u)),
            Self::Softplus => with!(|u| softplus(u)),
            Self::Exp => with!(|u| exp_rate(u, 1.0)),
            Self::ExpNegHalf => with!(|u| exp_rate(u, -0.5)),
            Self::Gauss => with!(|u| gauss(u, 1.0)),
            Self::GaussHalf => with!(|u| gauss(u, 0.5)),
            Self::OneMinusExpNeg => with!(|u| one_minus_exp_neg(u)),
            Self::Sin => with!(|u| {
                let (s, c) = libm::sincos(u);
                [s, c, -s]
            }),
            Self::Cos => with!(|u| {
                let (s, c) = libm::sincos(u);
                [c, -s, -c]
            }),
            Self::Log => with!(|u| log(u)),
            Self::Sqrt => with!(|u| sqrt(u)),
            Self::Reciprocal => with!(|u| reciprocal(u)),
            Self::Atan => with!(|u| atan(u)),
            Self::Relu => with!(|u| or_nan(u, if u > 0.0 { [u, 1.0, 0.0] } else { [0.0; 3] })),
            Self::Silu => with!(|u| silu(u)),
            Self::Gelu => with!(|u| gelu(u)),
            Self::Custom(custom) => with!(|u| custom.derivatives(u)),
        }
    }
}

/// What to do with a formula; see [`Activation::with_formula`].
pub(crate) trait FormulaUse {
    type Output;
    fn with(self, h: impl Fn(f64) -> [f64; 3]) -> Self::Output;
}

/// The [`name`](Activation::name).
impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// ---------------------------------------------------------------------------
// The activations
// ---------------------------------------------------------------------------

/// `h`, or NaN for NaN, which the other formulas hand on by themselves.
#[inline(always)]
fn or_nan(u: f64, h: [f64; 3]) -> [f64; 3] {
    if u.is_nan() { [u; 3] } else { h }
}

/// With `s` the logistic function, `tanh u = 2 s(2u) − 1 = (1 − z)/(1 + z)`.
#[inline(always)]
fn tanh(u: f64) -> [f64; 3] {
    let s = Sigmoid::new(u.abs() + u.abs());
    let twice = s.large.twice();
    let (value, slope) = (s.less.product(s.large), s.z.mul(twice).product(twice));
    [
        value.copysign(u),
        ldexp(slope, s.k),
        // −2 h h′: three roundings, half an ULP each.
        -ldexp((value + value) * slope, s.k).copysign(u),
    ]
}

#[inline(always)]
fn logistic(u: f64) -> [f64; 3] {
    let s = Sigmoid::new(u.abs());
    [
        s.logistic(u),
        ldexp(s.small.product(s.large), s.k),
        -ldexp(s.tanh().product(s.first()), s.k).copysign(u),
    ]
}

/// `ln(1 + eᵘ) = max(u, 0) + ln(1 + z)`, `z = e^{−|u|}`.
#[inline(always)]
fn softplus(u: f64) -> [f64; 3] {
    let s = Sigmoid::new(u.abs());
    // Below 2⁻⁶⁰, ln(1 + z) is z, and this form has its smallest ones, too.
    let tail = if s.k < -60.0 {
        ldexp(s.z.round(), s.k)
    } else {
        s.ln_one_plus()
    };
    [
        u.max(0.0) + tail,
        s.logistic(u),
        ldexp(s.small.product(s.large), s.k),
    ]
}

/// `u s(u)`, `h′ = s + u s′` and `h″ = s′(2 − u tanh(u/2))`. Here and below, what
/// holds far out is chosen last: a selection then, no branch.
#[inline(always)]
fn silu(u: f64) -> [f64; 3] {
    let x = u.abs();
    let s = Sigmoid::new(x);
    let first = s.first();
    let second = first.product(Dd::from(2.0).sub(s.tanh().times(x)));
    let slope = first.times(u); // u s′
    let (value, slope, k) = if u < 0.0 {
        (s.small, slope, s.k)
    } else {
        (s.large, slope.scale(tame(s.k)), 0.0)
    };
    if x > EXP_MAX {
        return if u > 0.0 { [u, 1.0, 0.0] } else { [-0.0; 3] };
    }
    [
        ldexp(value.by(u), k).copysign(u), // the product loses the sign of −0
        ldexp(value.add(slope).round(), k),
        ldexp(second, s.k),
    ]
}

/// `e^{cu}` for a power of two `c`, up to its sign.
#[inline(always)]
fn exp_rate(u: f64, c: f64) -> [f64; 3] {
    let (m, k) = exp(Dd::from(c * u));
    let m = m.round();
    [ldexp(m, k), ldexp(m * c, k), ldexp(m * (c * c), k)]
}

/// `exp(−c u²)` for a power of two `c`: the rounding error of `u²`, up to
/// 2⁻⁴⁴ where the result is small, is carried into the exponent.
#[inline(always)]
fn gauss(u: f64, c: f64) -> [f64; 3] {
    let square = Dd::square(u);
    let (m, k) = exp(square.scale(-c));
    let d = 2.0 * c;
    if u.abs() > GAUSS_MAX {
        return [0.0, -0.0_f64.copysign(u), 0.0];
    }
    [
        ldexp(m.round(), k),
        -ldexp(m.by(d * u), k),
        ldexp(square.scale(d).sub(Dd::ONE).product(m) * d, k),
    ]
}

#[inline(always)]
fn one_minus_exp_neg(u: f64) -> [f64; 3] {
    let e = Exp::new(Dd::from(-u));
    let m = e.value();
    let z = ldexp(m.round(), e.k);
    // Beyond 2⁵³ the 1 is half an ULP at most.
    let h = if e.k > 53.0 {
        -z
    } else {
        e.beside_one(-1.0, m).round().copysign(u)
    };
    [h, z, -z]
}

#[inline(always)]
fn log(u: f64) -> [f64; 3] {
    if u < 0.0 {
        return [f64::NAN; 3];
    }
    let inverse = 1.0 / u.abs(); // −0 counts as 0
    [libm::log(u), inverse, -inverse / u.abs()]
}

#[inline(always)]
fn sqrt(u: f64) -> [f64; 3] {
    let root = u.sqrt();
    let mut first = 0.5 / root.abs(); // −0 counts as 0
    // Three roundings would be too many for h″. Take out the first two with
    // the residuals of the root and of the quotient, where none of these
    // underflow; h″ overflows long before they do.
    if (1e-250..f64::INFINITY).contains(&u) {
        let square = Dd::square(root);
        let of_root = ((u - square.hi) - square.lo) / u;
        let quotient = Dd::from(first).times(root);
        let of_quotient = (0.5 - quotient.hi) - quotient.lo;
        first += first * (2.0 * of_quotient - 0.5 * of_root);
    }
    [root, first, -0.5 * first / u.abs()]
}

#[inline(always)]
fn reciprocal(u: f64) -> [f64; 3] {
    let inverse = 1.0 / u;
    if inverse == 0.0 || u == 0.0 {
        return [inverse, -(inverse * inverse), inverse * inverse * inverse];
    }
    let (m, e) = libm::frexp(u);
    let w = Dd::from(m).recip();
    let square = w.mul(w);
    [
        inverse,
        -libm::scalbn(square.round(), -2 * e),
        libm::scalbn(square.mul(w).round(), 1 - 3 * e),
    ]
}

#[inline(always)]
fn atan(u: f64) -> [f64; 3] {
    let [first, second] = if u.abs() > 1e30 {
        // 1 + u² = u² here, and u² may overflow.
        let [_, a, b] = reciprocal(u);
        [-a, -b]
    } else {
        let w = Dd::square(u).add(Dd::ONE).recip();
        [w.round(), w.mul(w).times(-2.0 * u).round()]
    };
    [libm::atan(u), first, second]
}

/// `u Φ(u)`. With the density `φ` and Mills' ratio `R`, `Φ(−x) = φ(x) R(x)`,
/// so for `x = |u|`, `h(−x) = −x R φ`, `h′(−x) = (R − x) φ`, and then
/// `h(x) = x + h(−x)`, `h′(x) = 1 − h′(−x)`, `h″(x) = h″(−x) = (2 − x²) φ`.
#[inline(always)]
fn gelu(u: f64) -> [f64; 3] {
    let x = u.abs();
    if x > GAUSS_MAX {
        return if u > 0.0 { [u, 1.0, -0.0] } else { [-0.0; 3] };
    }
    let square = Dd::square(u);
    let (m, k) = exp(square.scale(-0.5));
    let phi = m.mul(INV_SQRT_TAU);
    let ratio = mills(x.min(GAUSS_MAX)); // for NaN, too
    let (tail, slope) = (phi.mul(ratio), phi.mul(ratio.sub(Dd::from(x))));
    let second = phi.mul(Dd::from(2.0).sub(square));
    let (normal, first, e) = if u < 0.0 {
        (tail, slope, k)
    } else {
        let from_one = |x: Dd| Dd::ONE.sub(x.scale(tame(k)));
        (from_one(tail), from_one(slope), 0.0)
    };
    [
        ldexp(normal.by(u), e).copysign(u), // as in `silu`
        ldexp(first.round(), e),
        ldexp(second.round(), k),
    ]
}

// ---------------------------------------------------------------------------
// The logistic function and its kin
// ---------------------------------------------------------------------------

/// What tanh, the logistic function, softplus and SiLU are made of, for
/// `x ≥ 0` and `z = e⁻ˣ`. The fields marked `2ᵏ` are to be multiplied by it.
struct Sigmoid {
    k: f64,
    /// `z`, `2ᵏ`
    z: Dd,
    /// `1 − z`
    less: Dd,
    /// `s(x) = 1/(1 + z)`
    large: Dd,
    /// `s(−x) = z/(1 + z)`, `2ᵏ`: never `1 − s(x)`, which cancels
    small: Dd,
}

impl Sigmoid {
    #[inline(always)]
    fn new(x: f64) -> Self {
        let e = Exp::new(Dd::from(-x));
        let z = e.value();
        let large = e.beside_one(1.0, z).recip();
        Self {
            k: e.k,
            z,
            less: e.beside_one(-1.0, z),
            large,
            small: z.mul(large),
        }
    }

    /// `tanh(x/2) = (1 − z)/(1 + z)`
    #[inline(always)]
    fn tanh(&self) -> Dd {
        self.less.mul(self.large)
    }

    /// `s′(x) = z/(1 + z)²`, `2ᵏ`
    #[inline(always)]
    fn first(&self) -> Dd {
        self.small.mul(self.large)
    }

    /// `s(u)` for `x = |u|`.
    #[inline(always)]
    fn logistic(&self, u: f64) -> f64 {
        if u < 0.0 {
            ldexp(self.small.round(), self.k)
        } else {
            self.large.round()
        }
    }

    /// `ln(1 + z)`: with `c` that or, beyond √2, half of it,
    /// `ln c = y + y³/12 + y⁵/80 + …`, `y = 2 (c − 1)/(c + 1)`, where `|y| < 0.344`
    /// and the first term left out is below 2⁻⁶⁴ of the sum.
    #[inline(always)]
    fn ln_one_plus(&self) -> f64 {
        const SERIES: [f64; 11] = {
            let (mut terms, mut n, mut power) = ([0.0; 11], 0, 1.0);
            while n < terms.len() {
                power *= 4.0;
                terms[n] = 1.0 / ((2 * n + 3) as f64 * power);
                n += 1;
            }
            terms
        };
        let z = self.z.scale(tame(self.k));
        let (ln, above, below) = if z.hi > 0.414 {
            (LN_2, self.less.scale(-1.0), 1.5)
        } else {
            (Dd::from(0.0), z, 1.0)
        };
        let y = above.mul(Dd::from(below).add_less(z.scale(0.5)).recip());
        let y = Dd::ordered(y.hi, y.lo);
        let square = y.hi * y.hi;
        let sum = Dd::ordered(ln.hi, y.hi);
        sum.hi + (sum.lo + (ln.lo + (y.lo + y.hi * square * polynomial(square, SERIES))))
    }
}

// ---------------------------------------------------------------------------
// The exponential
// ---------------------------------------------------------------------------

/// Beyond this, `u e^{−|u|}` and the like are 0 and `e^{|u|/2}/4` is infinite,
/// for doubles with room to spare. Exponents are clamped to it.
const EXP_MAX: f64 = 1000.0;

/// Beyond this, `(u² + 1) exp(−u²/2)` is below a quarter of the smallest subnormal.
const GAUSS_MAX: f64 = 40.0;

const LN_2: Dd = Dd {
    hi: std::f64::consts::LN_2,
    lo: 2.319_046_813_846_299_6e-17,
};

/// The spacing of doubles there is 1: adding it leaves the nearest integer, in
/// two's complement in the low bits.
const INTEGER: f64 = 1.5 * (1_u64 << 52) as f64;

/// `eˣ = 2ᵏ (1 + r + rest)`, `|r| < 0.347`, `|rest| < 0.07`
struct Exp {
    k: f64,
    r: f64,
    rest: f64,
}

impl Exp {
    /// Relative error of `value` below 2⁻⁵⁴·⁵.
    #[inline(always)]
    fn new(x: Dd) -> Self {
        // ln 2 in two parts: 41 bits, whose products with k < 2¹² are exact, and 53 more.
        const HIGH: f64 = f64::from_bits(LN_2.hi.to_bits() & (u64::MAX << 12));
        const LOW: f64 = (LN_2.hi - HIGH) + LN_2.lo;
        // (eʳ − 1 − r)/r², interpolated at the 11 nodes of Chebyshev of |r| < 0.347: off by less than 2⁻⁶¹ of eʳ.
        const SERIES: [f64; 11] = [
            0.5,
            0.166_666_666_666_666_7,
            0.041_666_666_666_666_67,
            0.008_333_333_333_326_136,
            0.001_388_888_888_888_374_8,
            0.000_198_412_698_748_206_27,
            2.480_158_732_554_774_3e-5,
            2.755_725_540_020_642_2e-6,
            2.755_727_364_311_03e-7,
            2.510_521_700_472_074_5e-8,
            2.091_468_696_808_687_6e-9,
        ];
        let hi = x.hi.clamp(-EXP_MAX, EXP_MAX);
        let k = hi.mul_add(LOG2_E, INTEGER) - INTEGER;
        let (r, low) = (k.mul_add(-HIGH, hi), k.mul_add(-LOW, x.lo));
        let t = r + low;
        Self {
            k,
            r,
            rest: (t * t).mul_add(polynomial(t, SERIES), low),
        }
    }

    /// `2⁻ᵏ eˣ`
    #[inline(always)]
    fn value(&self) -> Dd {
        let one = Dd::ordered(1.0, self.r);
        Dd::ordered(one.hi, one.lo + self.rest)
    }

    /// `1 + c eˣ` for `c = ±1`, `z` its `value` and `k ≤ 53`. For `k ≤ 0`, `hi` and what it lacks are exact, and where `hi`
    /// cancels, `lo` has the digits: a relative error below 2⁻⁵³·⁴; for others below 2⁻⁵².
    #[inline(always)]
    fn beside_one(&self, c: f64, z: Dd) -> Dd {
        let power = c * tame(self.k);
        let hi = power.mul_add(z.hi, 1.0);
        let rest = power.mul_add(z.hi, 1.0 - hi);
        Dd {
            hi,
            lo: power.mul_add(z.lo, rest),
        }
    }
}

/// `eˣ = 2ᵏ m` as `(m, k)`.
#[inline(always)]
fn exp(x: Dd) -> (Dd, f64) {
    let e = Exp::new(x);
    (e.value(), e.k)
}

/// `Σ cₙ tⁿ`, in fours (Estrin): lanes wait for one chain of operations only,
/// which Horner's would make long.
#[inline(always)]
fn polynomial<const N: usize>(t: f64, c: [f64; N]) -> f64 {
    let t2 = t * t;
    let t4 = t2 * t2;
    let two = |n: usize| {
        if n + 1 < N {
            t.mul_add(c[n + 1], c[n])
        } else {
            c[n]
        }
    };
    let four = |n: usize| {
        if n + 2 < N {
            t2.mul_add(two(n + 2), two(n))
        } else {
            two(n)
        }
    };
    let last = (N - 1) / 4;
    (0..last)
        .rev()
        .fold(four(4 * last), |sum, n| sum.mul_add(t4, four(4 * n)))
}

/// `2ᵏ` for `|k| ≤ 1022`.
#[inline(always)]
fn pow2(k: f64) -> f64 {
    f64::from_bits((k + (INTEGER + 1023.0)).to_bits() << 52)
}

/// The nearest to `k` of what both [`pow2`] and pairs can do.
#[inline(always)]
fn within(k: f64) -> f64 {
    k.clamp(-750.0, 750.0)
}

/// `2ᵏ`, but for terms beside which nothing of it matters where it is too small.
#[inline(always)]
fn tame(k: f64) -> f64 {
    pow2(within(k))
}

/// `2ᵏ x` for `|k| ≤ 1500`, subnormal or infinite if need be: only the last
/// of the products can round.
#[inline(always)]
fn ldexp(x: f64, k: f64) -> f64 {
    x * tame(k) * pow2(k - within(k))
}

// ---------------------------------------------------------------------------
// Mills' ratio
// ---------------------------------------------------------------------------

/// π to 107 bits less the 53 of the double.
const PI_LOW: f64 = 1.224_646_799_147_353_2e-16;
const SQRT_HALF_PI: Dd = Dd {
    hi: 1.253_314_137_315_500_3,
    lo: -9.164_289_990_229_583e-17,
};
const INV_SQRT_TAU: Dd = Dd {
    hi: 0.398_942_280_401_432_7,
    lo: -2.492_327_202_277_73e-17,
};

/// `R(x) = e^{x²/2} ∫ₓ^∞ e^{−t²/2} dt` for `0 ≤ x ≤ 40`, relative error below
/// 2⁻⁵⁵: a Taylor series to degree 14 about the nearest of 55 nodes, the
/// doubles with 5 significant bits less 4. The steps between them are 1/4 at
/// first and 2 at last; the next term is below 2⁻⁶⁴ of the sum.
#[inline(always)]
fn mills(x: f64) -> Dd {
    let nearest = ((x + 4.0).to_bits() + (1 << (NODE_SHIFT - 1))) >> NODE_SHIFT;
    let node = &NODES[(nearest - FIRST_NODE) as usize];
    let t = x - node_at(nearest); // exact
    let [mut even, mut odd] = [0.0; 2];
    for pair in node.terms.chunks_exact(2).rev() {
        even = even * (t * t) + pair[0];
        odd = odd * (t * t) + pair[1];
    }
    // The series less its first term is below 1/8 of it: so is its error.
    let sum = Dd::ordered(node.value.hi, t * (even + t * odd));
    Dd::ordered(sum.hi, sum.lo + node.value.lo)
}

/// `R` at a node, and the Taylor coefficients of degrees 1 to 14 there.
#[derive(Clone, Copy)]
struct Node {
    value: Dd,
    terms: [f64; TERMS],
}

const TERMS: usize = 14;
const NODE_SHIFT: u32 = 52 - 4;
const FIRST_NODE: u64 = 4.0_f64.to_bits() >> NODE_SHIFT;

const fn node_at(bits: u64) -> f64 {
    f64::from_bits(bits << NODE_SHIFT) - 4.0
}

static NODES: LazyLock<[Node; 55]> =
    LazyLock::new(|| std::array::from_fn(|i| Node::new(node_at(FIRST_NODE + i as u64))));

impl Node {
    /// By `R′ = xR − 1` the Taylor coefficients `(−1)ⁿ bₙ` of `R` have
    /// `bₙ₋₁ = x bₙ + (n + 1) bₙ₊₁`, `b₋₁ = 1`. They are the least solution of
    /// that recurrence, hence their ratios `ρₙ = bₙ/bₙ₋₁` are found downwards,
    /// `ρₙ = 1/(x + (n + 1) ρₙ₊₁)`: the start is forgotten like
    /// `exp(−2x√n)`, which 600/x² steps bring to 2⁻⁷⁰. At 0, where it never
    /// is, `b₀ = √(π/2)` starts them upwards.
    fn new(x: f64) -> Self {
        let mut ratios = [Dd::ONE; TERMS + 1];
        if x == 0.0 {
            ratios[0] = SQRT_HALF_PI;
            let mut n = 0;
            while n < TERMS {
                ratios[n + 1] = ratios[n].times((n + 1) as f64).recip();
                n += 1;
            }
        } else {
            let mut n = 60 + (600.0 / (x * x)) as usize;
            let mut ratio = Dd::from(0.0);
            while n > 0 {
                n -= 1;
                // here `ratio` is ρₙ₊₁, to become ρₙ
                ratio = ratio.times((n + 1) as f64).add(Dd::from(x)).recip();
                if n <= TERMS {
                    ratios[n] = ratio;
                }
            }
        }
        let mut terms = [0.0; TERMS];
        let (mut b, mut n) = (ratios[0], 0);
        while n < TERMS {
            b = b.mul(ratios[n + 1]).scale(-1.0);
            terms[n] = b.round();
            n += 1;
        }
        Self {
            value: ratios[0],
            terms,
        }
    }
}

// ---------------------------------------------------------------------------
// Pairs of doubles
// ---------------------------------------------------------------------------

/// The unevaluated sum `hi + lo`, with `|lo| < 2⁻²⁰ |hi|` unless `hi` has
/// cancelled: [`Dd::round`] is the double nearest. Sums, products and
/// reciprocals are good to 2⁻⁷⁰ (sums: of the larger term), ample for what is to
/// be rounded to 53 bits. All want finite numbers below 2¹⁰⁰⁰ and lose digits
/// only to underflow.
#[derive(Clone, Copy)]
struct Dd {
    hi: f64,
    lo: f64,
}

impl Dd {
    const ONE: Self = Self::from(1.0);

    /// −0 is the zero that any sum may leave out, and the compiler does.
    const fn from(hi: f64) -> Self {
        Self { hi, lo: -0.0 }
    }

    #[inline(always)]
    const fn round(self) -> f64 {
        self.hi + self.lo
    }

    /// `a + b`, exact (Knuth).
    #[inline(always)]
    fn sum(a: f64, b: f64) -> Self {
        let hi = a + b;
        let of_b = hi - a;
        Self {
            hi,
            lo: (a - (hi - of_b)) + (b - of_b),
        }
    }

    /// `a + b`, exact if `|a| ≥ |b|` (Dekker).
    #[inline(always)]
    const fn ordered(a: f64, b: f64) -> Self {
        let hi = a + b;
        Self {
            hi,
            lo: b - (hi - a),
        }
    }

    /// `u²`, exact.
    #[inline(always)]
    fn square(u: f64) -> Self {
        let hi = u * u;
        Self {
            hi,
            lo: u.mul_add(u, -hi),
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let s = Self::sum(self.hi, other.hi);
        Self::ordered(s.hi, s.lo + (self.lo + other.lo))
    }

    /// The sum with what is not larger in size, at half the cost.
    #[inline(always)]
    fn add_less(self, other: Self) -> Self {
        let s = Self::ordered(self.hi, other.hi);
        Self {
            hi: s.hi,
            lo: s.lo + (self.lo + other.lo),
        }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.add(other.scale(-1.0))
    }

    /// All of the product but that of the two `lo`.
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let hi = self.hi * other.hi;
        let mixed = self.hi.mul_add(other.lo, self.lo * other.hi);
        Self {
            hi,
            lo: self.hi.mul_add(other.hi, -hi) + mixed,
        }
    }

    /// The product, rounded once.
    #[inline(always)]
    fn product(self, other: Self) -> f64 {
        let mixed = self.hi.mul_add(other.lo, self.lo * other.hi);
        self.hi.mul_add(other.hi, mixed)
    }

    /// The product, rounded once.
    #[inline(always)]
    fn by(self, f: f64) -> f64 {
        self.product(Self::from(f))
    }

    #[inline(always)]
    fn twice(self) -> Self {
        Self {
            hi: self.hi + self.hi,
            lo: self.lo + self.lo,
        }
    }

    #[inline(always)]
    fn times(self, f: f64) -> Self {
        self.mul(Self::from(f))
    }

    /// Multiplies by a power of two, up to its sign: exact.
    #[inline(always)]
    const fn scale(self, f: f64) -> Self {
        Self {
            hi: self.hi * f,
            lo: self.lo * f,
        }
    }

    /// One step of Newton from the double nearest.
    #[inline(always)]
    fn recip(self) -> Self {
        let w = 1.0 / self.round();
        Self {
            hi: w,
            lo: w * (-self.lo).mul_add(w, (-self.hi).mul_add(w, 1.0)),
        }
    }

    /// Between 1 and 8: Newton's steps until they double
    /// no more digits.
    fn sqrt(self) -> Self {
        let (mut root, mut step) = (self, 0);
        while step < 9 {
            root = root.add(self.mul(root.recip())).scale(0.5);
            step += 1;
        }
        root
    }
}
