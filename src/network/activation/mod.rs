//! Activation functions with their first and second derivatives.
//!
//! # Promises
//!
//! For every activation and every finite `u` of its domain, `h(u)`, `h′(u)`
//! and `h″(u)` are each within 2 ULP of the exact value for that very `u`,
//! and within one smallest subnormal where the exact value is subnormal. The
//! one exception is the neighbourhood of an interior zero of SiLU′, SiLU″,
//! GELU′, Mish′ and Mish″, where the bound is 2⁻⁵² times the largest size of that function
//! within 1/4 of `u`: no bound relative to the value itself is promised there.
//!
//! Nothing overflows, or turns into NaN, unless the exact value does: the
//! ends of the range hold like the middle, and `±∞` give the limits, where
//! limits exist. NaN gives NaN in all three places, and so does a `u` outside
//! the domain. Odd and even functions are so to the last bit.
//!
//! # How it is reached
//!
//! The forms with exponentials are evaluated on pairs of doubles ([`numeric::Dd`]),
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
//!
//! # Higher orders
//!
//! Closed forms and recurrences, on pairs of doubles where terms can cancel. The promise is the same; the neighbourhood of an
//! interior zero of any derivative is held to 2⁻⁵² times its largest size within 1/4 of `u` instead. It was measured for orders
//! 3 to 8, 16 and 32 (`tests/orders.rs`): the largest error was 0.73 ULP, or that share of 2⁻⁵³ times the local scale.
//!
//! # Where things are
//!
//! Each built-in activation has a file here with all that the crate knows of it, its shader of the same name in
//! `shaders/lib/activation`, and its line in the registry below. `docs/adding-an-activation.md` gives the steps.

mod atan;
mod cos;
mod custom;
mod elliot;
mod elu;
mod exp;
mod exp_neg_half;
mod formula;
mod gauss;
mod gauss_half;
mod gelu;
mod identity;
mod leaky_relu;
mod log;
mod logistic;
mod mish;
mod numeric;
mod one_minus_exp_neg;
mod reciprocal;
mod relu;
mod series;
mod silu;
mod sin;
mod softplus;
mod sqrt;
mod tanh;

use std::fmt;

pub use custom::{ActivationFunction, Custom};
pub use series::Series;

use super::Initialization;
use crate::error::{Error, Result};

/// The facts about a built-in activation h(u), beside its name and its WGSL.
trait Definition {
    /// The names that users know it by beside its own.
    const ALIASES: &'static [&'static str] = &[];
    /// The arguments for which it is defined, in words; others give NaN.
    const DOMAIN: &'static str = "all real u";
    /// Whether h″(u) = 0 for every u.
    const SECOND_IS_ZERO: bool = false;
    /// The rule for the initial weights of units that have it.
    const INITIALIZATION: Initialization = Initialization::Glorot;

    /// Returns `[h(u), h′(u), h″(u)]`. It is inlined into loops over many u: `#[inline(always)]`, selections rather than branches.
    fn derivatives(u: f64) -> [f64; 3];

    /// Returns h(a) of a power series a.
    fn series(a: &Series) -> Series;

    /// Returns h⁽q⁾(u) for 3 ≤ q ≤ [`Activation::MAX_ORDER`], where u is not NaN.
    fn derivative(u: f64, q: usize) -> f64;
}

/// Makes the enum [`Activation`] of lines `Variant = name`: `name::Variant` is the [`Definition`], `shaders/lib/activation/name.wgsl`
/// the WGSL.
macro_rules! registry {
    (
        $(#[$about:meta])*
        pub enum Activation {
            $($(#[$formula:meta])* $Variant:ident = $name:ident,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Activation {
            $($(#[$formula])* $Variant,)*
            /// A [`formula`](Self::formula) or the user's [own code](Self::register)
            Custom(Custom),
        }

        impl Activation {
            /// Every built-in activation, in the order of the variants.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$Variant),*];

            /// The name used in files, such as `one_minus_exp_neg`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => stringify!($name),)*
                    Self::Custom(custom) => custom.name(),
                }
            }

            /// The names beside [`name`](Self::name) by which [`from_name`](Self::from_name) and formulas know it.
            pub const fn aliases(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Variant => $name::$Variant::ALIASES,)*
                    Self::Custom(_) => &[],
                }
            }

            /// The arguments for which the function is defined, in words; others give NaN.
            pub const fn domain(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name::$Variant::DOMAIN,)*
                    Self::Custom(custom) => custom.domain(),
                }
            }

            /// Whether `h″` is zero for every `u`, as for the identity and ReLU.
            pub const fn second_is_zero(self) -> bool {
                match self {
                    $(Self::$Variant => $name::$Variant::SECOND_IS_ZERO,)*
                    Self::Custom(_) => false,
                }
            }

            /// The rule for the initial weights of units that have it.
            pub(super) const fn initialization(self) -> Initialization {
                match self {
                    $(Self::$Variant => $name::$Variant::INITIALIZATION,)*
                    Self::Custom(_) => Initialization::Glorot,
                }
            }

            /// Calls `to` with the formula of `[h, h′, h″]`: it is compiled for each activation, and its loops choose between
            /// none. With all inlined, the entries that `to` does not use are not computed.
            #[inline(always)]
            pub(crate) fn with_formula<F: FormulaUse>(self, to: F) -> F::Output {
                match self {
                    // Functions handed over by their names would be called, not inlined.
                    $(Self::$Variant => to.with(
                        #[inline(always)]
                        |u| $name::$Variant::derivatives(u),
                    ),)*
                    Self::Custom(custom) => to.with(
                        #[inline(always)]
                        |u| custom.derivatives(u),
                    ),
                }
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
                match self {
                    $(Self::$Variant => Ok($name::$Variant::series(a)),)*
                    Self::Custom(custom) => custom.series(a),
                }
            }

            /// Returns h⁽q⁾(u) for 3 ≤ q ≤ [`MAX_ORDER`](Self::MAX_ORDER), where u is not NaN.
            fn higher(self, u: f64, q: usize) -> Result<f64> {
                match self {
                    $(Self::$Variant => Ok($name::$Variant::derivative(u, q)),)*
                    // q! c_q of its own series.
                    Self::Custom(custom) => {
                        let h = custom.series(&Series::variable(u, q))?;
                        Ok(h.derivatives().get(q).copied().unwrap_or(f64::NAN))
                    }
                }
            }

            /// The WGSL text of the file `shaders/lib/activation/{stem}.wgsl`: that of one that is not built in was written when it
            /// was defined.
            #[cfg(feature = "gpu")]
            pub(crate) fn wgsl(stem: &str) -> Option<&'static str> {
                match stem {
                    $(stringify!($name) => Some(include_str!(concat!(
                        "../../../shaders/lib/activation/",
                        stringify!($name),
                        ".wgsl"
                    ))),)*
                    _ => Custom::of_stem(stem)?.wgsl(),
                }
            }
        }
    };
}

registry! {
    /// An elementwise function `h` applied to a pre-activation `u`.
    ///
    /// The variants give the formula; [`domain`](Self::domain) says where it
    /// holds. Values and derivatives are good to 2 ULP over the whole range of
    /// `f64`, subnormals and the neighbourhood of overflow included; close to an
    /// interior zero of SiLU′, SiLU″, GELU′, Mish′ and Mish″ the bound is 2⁻⁵² times the
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
    pub enum Activation {
        /// `u`
        Identity = identity,
        /// `tanh u`
        Tanh = tanh,
        /// `1 / (1 + e⁻ᵘ)`
        Logistic = logistic,
        /// `ln(1 + eᵘ)`
        Softplus = softplus,
        /// `eᵘ`
        Exp = exp,
        /// `exp(−u/2)`
        ExpNegHalf = exp_neg_half,
        /// `exp(−u²)`
        Gauss = gauss,
        /// `exp(−u²/2)`
        GaussHalf = gauss_half,
        /// `1 − e⁻ᵘ`
        OneMinusExpNeg = one_minus_exp_neg,
        /// `sin u`; no limit at `±∞`, NaN there
        Sin = sin,
        /// `cos u`; no limit at `±∞`, NaN there
        Cos = cos,
        /// `ln u` for `u > 0`; the one-sided limits `−∞, ∞, −∞` at 0, NaN below
        Log = log,
        /// `√u` for `u ≥ 0`; the derivatives at 0 are the limits `∞, −∞`, NaN below
        Sqrt = sqrt,
        /// `1/u`; at `±0` the limits from the side of the zero's sign
        Reciprocal = reciprocal,
        /// `arctan u`
        Atan = atan,
        /// `max(u, 0)`; the derivative at the kink `u = 0` is 0, the second
        /// derivative is 0 everywhere, at the kink too
        Relu = relu,
        /// `u / (1 + e⁻ᵘ)`
        Silu = silu,
        /// `u Φ(u) = (u/2) erfc(−u/√2)`, the exact form, with the normal
        /// distribution function `Φ`
        Gelu = gelu,
        /// `u / (1 + |u|)`; the second derivative, which jumps at 0, is 0 there
        Elliot = elliot,
        /// `u` for `u > 0`, `eᵘ − 1` for `u ≤ 0`; the second derivative at 0 is 1
        Elu = elu,
        /// `u` for `u > 0`, `u/100` for `u ≤ 0`; the second derivative is 0 everywhere
        LeakyRelu = leaky_relu,
        /// `u tanh ln(1 + eᵘ)`
        Mish = mish,
    }
}

impl Activation {
    /// The highest order that [`derivative`](Self::derivative) knows: 170! is the last factorial that `f64` holds, and beyond it
    /// most derivatives leave its range.
    pub const MAX_ORDER: usize = 170;

    /// `h⁽q⁾(u)` for any order `q` up to [`MAX_ORDER`](Self::MAX_ORDER): `h` itself for 0.
    ///
    /// Orders 0 to 2 are those of [`derivatives`](Self::derivatives), bit for bit. The others of the built-in activations keep to 2 ULP as well, or, near an
    /// interior zero of the derivative, to 2⁻⁵² times its largest size within 1/4 of `u`. NaN, and any `u` outside the
    /// [`domain`](Self::domain), gives NaN; ReLU's are 0 from `q = 2` on, at the kink, too; a value beyond the range of `f64` is infinite.
    ///
    /// ```
    /// use secondo::Activation;
    /// assert_eq!(Activation::Exp.derivative(1.0, 7)?, 1.0_f64.exp());
    /// assert_eq!(Activation::Tanh.derivative(0.0, 5)?, 16.0); // tanh u = u − u³/3 + 2u⁵/15 − …
    /// assert_eq!(Activation::Log.derivative(2.0, 4)?, -6.0 / 16.0);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` for an order beyond [`MAX_ORDER`](Self::MAX_ORDER); of an activation that is not built in, what its
    /// [`series`](Self::series) reports.
    pub fn derivative(self, u: f64, order: usize) -> Result<f64> {
        let q = order;
        if q <= 2 {
            return Ok(self.derivatives(u)[q]);
        }
        if q > Self::MAX_ORDER {
            let why =
                format!("{q} is beyond {}, the last whose factorial f64 holds", Self::MAX_ORDER);
            return Err(Error::invalid("order", why));
        }
        if u.is_nan() {
            return Ok(u);
        }
        self.higher(u, q)
    }

    /// The built-in activation of that name or alias.
    pub(super) fn builtin(name: &str) -> Option<Self> {
        (Self::ALL.into_iter()).find(|a| a.name() == name || a.aliases().contains(&name))
    }

    /// The activation of that name: built in, [registered](Self::register), or a [formula](Self::formula).
    ///
    /// Built-in ones have [aliases](Self::aliases), too: `sigmoid` is [`Logistic`](Self::Logistic).
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones. What is no name must be a formula.
    pub fn from_name(name: &str) -> Result<Self> {
        let registered = || Custom::find(name).map(Self::Custom);
        if let Some(known) = Self::builtin(name).or_else(registered) {
            return Ok(known);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name == "u" || !name.chars().all(word) {
            return Self::formula(name);
        }
        let mut known: Vec<String> = Self::ALL.map(|a| a.name().to_string()).into();
        known.extend(Custom::names().into_iter().map(str::to_string));
        known.push("or a formula in u such as 1-(1+u)^-2".into());
        Err(Error::Unknown { kind: "activation", name: name.into(), known })
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

    /// Whether `h(u) = u`.
    pub const fn is_identity(self) -> bool {
        matches!(self, Self::Identity)
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

    /// [`derivatives`](Self::derivatives), inlined: of a known activation in a loop that is compiled for wide registers, lanes of them.
    #[inline(always)]
    pub(crate) fn evaluate(self, u: f64) -> [f64; 3] {
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
}

/// A computation with a formula; see [`Activation::with_formula`].
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

/// Returns `h`, or NaN for a `u` that is NaN, which other formulas pass on by themselves.
#[inline(always)]
fn or_nan(u: f64, h: [f64; 3]) -> [f64; 3] {
    if u.is_nan() { [u; 3] } else { h }
}

impl Initialization {
    /// Returns the rule that suits a hidden activation: He for ReLU and its like, Glorot otherwise.
    pub fn suited_to(activation: Activation) -> Self {
        activation.initialization()
    }
}
