//! Losses g(x, y) of one sample, with gradient and Hessian in the output x.
//!
//! Losses with a link (logistic, softmax, exponential) take the linear predictor: the output layer is
//! linear and the link stands inside the loss. The forms neither overflow nor cancel where the result
//! does not. No weight is included: the sample's ω multiplies all three.
//!
//! Each built-in loss has a file here with all that the crate knows of it, its shader of the same name in `shaders/lib/loss`, and
//! its entry in the registry below. `docs/adding-a-loss.md` gives the steps.

mod bce_logits;
mod custom;
mod gamma;
mod logcosh;
mod negative_binomial;
mod poisson;
mod pseudo_huber;
mod softmax_ce;
mod sos;
mod wsos;

use std::sync::Arc;

use crate::check;
use crate::error::{Error, Result};
use crate::guard;
use crate::memory::{shape_product, zeros};

pub use custom::LossFunction;

/// The facts about a built-in loss, beside its name and its WGSL, and its functions of one or, where it does not couple the
/// outputs, many samples.
trait Definition {
    /// The names that users know it by beside its own.
    const ALIASES: &'static [&'static str] = &[];
    /// Its plural in words, as in "the sum of half the squared errors".
    const WORDS: &'static str;
    /// Whether the targets are classes: class probabilities, not numbers.
    const IS_CLASSIFICATION: bool = false;
    /// Whether it depends on y − x alone: targets may be shifted and scaled without changing what it means.
    const IS_LOCATION: bool = false;
    /// Whether ∂²g/∂x² has entries beside its diagonal.
    const COUPLES: bool = false;
    /// Whether it has [`many`](Self::many): where one sample after the other takes much longer.
    const HAS_MANY: bool = false;

    /// Returns the error of a parameter that is not allowed.
    fn check_parameter(_v: Parameter, _outputs: usize) -> Result<()> {
        Ok(())
    }

    /// Returns why it is not defined for the target y of one output.
    fn refuses(_y: f64) -> Option<&'static str> {
        None
    }

    /// Returns why it is not defined for the targets y of one sample.
    fn refuses_sample(_y: &[f64]) -> Option<String> {
        None
    }

    /// Returns the mean of the target that an output x stands for: the inverse of the link.
    fn mean(x: f64) -> f64 {
        x
    }

    /// Returns g(x, y).
    fn value(x: &[f64], y: &[f64], v: Parameter) -> f64;

    /// Writes ∂g/∂x_o.
    fn gradient(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]);

    /// Writes ∂²g/∂x_o². A loss that couples outputs has its own `hessian` instead.
    #[inline(always)]
    fn second(_x: &[f64], _y: &[f64], _v: Parameter, out: &mut [f64]) {
        out.fill(f64::NAN);
    }

    /// Writes ∂²g/∂x_o∂x_q, outputs × outputs row-major; `out` holds zeros before.
    #[inline(always)]
    fn hessian(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64]) {
        let outputs = x.len();
        Self::second(x, y, v, &mut out[..outputs]);
        for o in 1..outputs {
            out[o * outputs + o] = std::mem::take(&mut out[o]);
        }
    }

    /// Writes g of each of many samples, which lie side by side, and ∂g/∂x_o to `out` if `with_gradient`, which has room for a number
    /// of each output in any case.
    #[inline(always)]
    fn many(_x: &[f64], _y: &[f64], values: &mut [f64], _out: &mut [f64], _with_gradient: bool) {
        values.fill(f64::NAN);
    }
}

/// The parameter v of a loss, such as δ; 1 where it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Parameter<'a> {
    /// One number for all outputs.
    All(f64),
    /// One for each output.
    Each(&'a [f64]),
}

impl Parameter<'_> {
    #[inline(always)]
    fn at(self, o: usize) -> f64 {
        match self {
            Parameter::All(v) => v,
            Parameter::Each(v) => v[o],
        }
    }
}

/// A type of the fields of [`Loss`].
trait Field: Sized {
    fn view(&self) -> Parameter<'_>;
    #[cfg(feature = "io")]
    fn read(source: &dyn ParameterSource, name: &'static str) -> Result<Self>;
    #[cfg(test)]
    fn example(outputs: usize) -> Self;
}

impl Field for f64 {
    fn view(&self) -> Parameter<'_> {
        Parameter::All(*self)
    }
    #[cfg(feature = "io")]
    fn read(source: &dyn ParameterSource, name: &'static str) -> Result<Self> {
        source.number(name)
    }
    #[cfg(test)]
    fn example(_: usize) -> Self {
        0.5
    }
}

impl Field for Vec<f64> {
    fn view(&self) -> Parameter<'_> {
        Parameter::Each(self)
    }
    #[cfg(feature = "io")]
    fn read(source: &dyn ParameterSource, name: &'static str) -> Result<Self> {
        source.numbers(name)
    }
    #[cfg(test)]
    fn example(outputs: usize) -> Self {
        (1..=outputs).map(|o| o as f64 / 2.0).collect()
    }
}

/// A file's parameters of a loss, by their names.
#[cfg(feature = "io")]
pub(crate) trait ParameterSource {
    fn number(&self, name: &'static str) -> Result<f64>;
    fn numbers(&self, name: &'static str) -> Result<Vec<f64>>;
}

/// The facts about a kind of built-in loss.
///
/// ```
/// use secondo::LossKind;
/// let kind = LossKind::from_name("log_cosh")?;
/// assert_eq!((kind.name, kind.parameters), ("logcosh", &["delta"][..]));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossKind {
    /// The name used in files.
    pub name: &'static str,
    /// The names beside it by which [`from_name`](Self::from_name) and files know it.
    pub aliases: &'static [&'static str],
    /// Its plural in words, such as "half the squared errors".
    pub words: &'static str,
    /// The names of its parameters in files.
    pub parameters: &'static [&'static str],
    /// Whether the targets are classes: class probabilities, not numbers.
    pub is_classification: bool,
    /// Whether it depends on y − x alone: targets may be shifted and scaled without changing what it means.
    pub is_location: bool,
}

impl LossKind {
    /// The kind of that name or alias.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<&'static Self> {
        (Loss::KINDS.iter())
            .find(|kind| kind.name == name || kind.aliases.contains(&name))
            .ok_or_else(|| Error::Unknown {
                kind: "loss",
                name: name.into(),
                known: Loss::NAMES.map(str::to_string).into(),
            })
    }
}

/// Makes the enum [`Loss`] of entries `Variant = name`: `name::Variant` is the [`Definition`], `shaders/lib/loss/name.wgsl` the WGSL.
macro_rules! registry {
    (
        $(#[$about:meta])*
        pub enum Loss {
            $(
                $(#[$formula:meta])*
                $Variant:ident $({ $(#[$meaning:meta])* $field:ident: $T:ty })? = $name:ident,
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Loss {
            $($(#[$formula])* $Variant $({ $(#[$meaning])* $field: $T })?,)*
            /// A user's.
            Custom(Arc<dyn LossFunction>),
        }

        // Evaluates the first expression with `D` for the definition of a built-in loss, or the second with a user's.
        macro_rules! dispatch {
            ($loss:expr, $D:ident => $with:expr, $custom:ident => $own:expr) => {
                match $loss {
                    $(Loss::$Variant { .. } => {
                        type $D = $name::$Variant;
                        $with
                    })*
                    Loss::Custom($custom) => $own,
                }
            };
        }

        impl Loss {
            /// The names used in files, without parameters.
            pub const NAMES: [&'static str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            /// The facts about every built-in loss, in the order of the variants.
            pub const KINDS: &'static [LossKind] = &[$(LossKind {
                name: stringify!($name),
                aliases: $name::$Variant::ALIASES,
                words: $name::$Variant::WORDS,
                parameters: &[$(stringify!($field))?],
                is_classification: $name::$Variant::IS_CLASSIFICATION,
                is_location: $name::$Variant::IS_LOCATION,
            }),*];

            /// The name used in files; files do not hold a user's loss.
            pub fn name(&self) -> &str {
                match self {
                    $(Loss::$Variant { .. } => stringify!($name),)*
                    Loss::Custom(custom) => custom.name(),
                }
            }

            /// The parameter, and its name where there is one.
            pub(crate) fn parameter(&self) -> (Option<&'static str>, Parameter<'_>) {
                match self {
                    $($(Loss::$Variant { $field } => (Some(stringify!($field)), $field.view()),)?)*
                    _ => (None, Parameter::All(1.0)),
                }
            }

            /// The loss of that name or alias, with the parameters from `source`.
            ///
            /// # Errors
            /// An unknown name, what `source` reports.
            #[cfg(feature = "io")]
            pub(crate) fn read(name: &str, source: &dyn ParameterSource) -> Result<Self> {
                let kind = LossKind::from_name(name)?;
                $(if kind.name == stringify!($name) {
                    return Ok(Loss::$Variant { $($field: Field::read(source, stringify!($field))?)? });
                })*
                Err(Error::invalid("loss", name))
            }

            /// One loss of every kind.
            #[cfg(test)]
            pub(crate) fn examples(outputs: usize) -> Vec<Self> {
                vec![$(Loss::$Variant { $($field: Field::example(outputs))? }),*]
            }

            /// The WGSL text of the file `shaders/lib/loss/{name}.wgsl`.
            #[cfg(feature = "gpu")]
            pub(crate) fn wgsl_of(name: &str) -> Option<&'static str> {
                match name {
                    $(stringify!($name) => Some(include_str!(concat!(
                        "../../../shaders/lib/loss/",
                        stringify!($name),
                        ".wgsl"
                    ))),)*
                    _ => None,
                }
            }
        }
    };
}

registry! {
    /// The loss g(x, y) of one sample; sums over the outputs o.
    ///
    /// ```
    /// use secondo::Loss;
    /// let (value, gradient, hessian) = Loss::SquaredError.derivatives(&[3.0], &[1.0])?;
    /// assert_eq!((value, gradient, hessian), (2.0, vec![2.0], vec![1.0])); // ½(1 − 3)²
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub enum Loss {
        /// ½ Σ_o (y_o − x_o)².
        SquaredError = sos,
        /// ½ Σ_o v_o (y_o − x_o)², v_o ≥ 0.
        WeightedSquaredError {
            /// v, one for each output.
            output_weights: Vec<f64>
        } = wsos,
        /// Σ_o softplus(x_o) − y_o x_o with 0 ≤ y_o ≤ 1: the negative log likelihood of independent Bernoulli
        /// outputs with probability logistic(x_o).
        BinaryCrossEntropy = bce_logits,
        /// log Σ_o exp x_o − Σ_o y_o x_o with y_o ≥ 0, Σ_o y_o = 1: the negative log likelihood of one of the
        /// outputs' classes with probabilities softmax(x).
        SoftmaxCrossEntropy = softmax_ce,
        /// Σ_o exp x_o − y_o x_o with y_o ≥ 0: the negative log likelihood of Poisson counts with mean exp x_o,
        /// without the constant log y_o!.
        Poisson = poisson,
        /// Σ_o δ² log cosh((y_o − x_o)/δ).
        LogCosh {
            /// δ > 0: squared error well inside it, absolute error well outside.
            delta: f64
        } = logcosh,
        /// Σ_o δ² (√(1 + ((y_o − x_o)/δ)²) − 1).
        PseudoHuber {
            /// δ > 0: squared error well inside it, absolute error well outside.
            delta: f64
        } = pseudo_huber,
        /// Σ_o y_o e^(−x_o) − 1 − log(y_o e^(−x_o)) with y_o > 0: half the unit deviance of gamma variables with mean exp x_o,
        /// constants included, 0 at exp x_o = y_o.
        Gamma = gamma,
        /// Σ_o (y_o + 1/α) log(1 + α exp x_o) − y_o x_o with y_o ≥ 0: the negative log likelihood of counts with mean
        /// μ = exp x_o and variance μ + αμ², without what depends on y_o and α alone.
        NegativeBinomial {
            /// α > 0, which is known: for α → 0 it is the Poisson loss.
            dispersion: f64
        } = negative_binomial,
    }
}

impl Loss {
    /// v of squared errors ½ Σ_o v_o (x_o − y_o)², a number for each output; none of other losses.
    pub(crate) fn square_factors(&self, outputs: usize) -> Option<Vec<f64>> {
        match self {
            Loss::SquaredError => Some(vec![1.0; outputs]),
            Loss::WeightedSquaredError { output_weights } => Some(output_weights.clone()),
            _ => None,
        }
    }

    /// The facts about its kind; none of a user's loss.
    pub fn kind(&self) -> Option<&'static LossKind> {
        match self {
            Loss::Custom(_) => None,
            builtin => LossKind::from_name(builtin.name()).ok(),
        }
    }

    /// The text of a user's loss for an adapter, empty for a built-in one, none where the processor computes it.
    #[cfg(feature = "gpu")]
    pub(crate) fn wgsl(&self) -> Result<Option<&str>> {
        match self {
            Loss::Custom(custom) => self.guarded(|| custom.wgsl()),
            _ => Ok(Some("")),
        }
    }

    /// Returns the result of `f`; a panic of a user's loss that it calls is an error.
    pub(crate) fn guarded<T>(&self, f: impl FnOnce() -> T) -> Result<T> {
        match self {
            Loss::Custom(custom) => guard::named("loss", || custom.name(), |_| f()),
            _ => Ok(f()),
        }
    }

    /// Compares the derivatives of a user's loss with differences at points around the first targets.
    pub(crate) fn verify(&self, y: &ndarray::ArrayRef2<f64>) -> Result<()> {
        let Loss::Custom(custom) = self else {
            return Ok(());
        };
        let outputs = y.ncols();
        let points = y.outer_iter().zip(check::points(4, outputs, 1));
        let one = |y: Vec<f64>, apart: Vec<f64>| {
            let x: Vec<f64> = y.iter().zip(apart).map(|(y, d)| y + d).collect();
            let part = format!("the loss '{}'", custom.name());
            let value = |x: &[f64], out: &mut [f64]| out[0] = custom.value(x, &y);
            let gradient = |x: &[f64], out: &mut [f64]| custom.gradient(x, &y, out);
            let hessian = |x: &[f64], out: &mut [f64]| {
                out.fill(0.0);
                custom.hessian(x, &y, out);
                if custom.hessian_is_diagonal() {
                    (0..outputs * outputs)
                        .filter(|i| i % (outputs + 1) > 0)
                        .for_each(|i| out[i] = 0.0);
                }
            };
            check::jacobian(&part, "the gradient", 1, value, gradient, &x)?;
            check::jacobian(&part, "the Hessian", outputs, gradient, hessian, &x)
        };
        self.guarded(|| points.into_iter().try_for_each(|(y, apart)| one(y.to_vec(), apart)))?
    }

    /// Whether ∂²g/∂x² is diagonal: the outputs do not couple.
    pub fn hessian_is_diagonal(&self) -> bool {
        dispatch!(self, D => !D::COUPLES, custom => custom.hessian_is_diagonal())
    }

    /// Whether ∂g/∂x_o is one function of x_o and y_o alone, the same for all outputs.
    pub(crate) fn is_elementwise(&self) -> bool {
        let same = matches!(self.parameter().1, Parameter::All(_));
        dispatch!(self, D => same && !D::COUPLES, _custom => false)
    }

    /// Returns the mean of the target that an output x stands for: the inverse of the link, x without one.
    pub fn mean(&self, x: f64) -> f64 {
        dispatch!(self, D => D::mean(x), _custom => x)
    }

    /// Returns why a built-in loss is not defined for the target y of one output, such as "is negative".
    pub fn refuses(&self, y: f64) -> Option<&'static str> {
        dispatch!(self, D => D::refuses(y), _custom => None)
    }

    /// Checks that the loss is defined for its parameters and the targets, those of the samples from number `first` on.
    pub(crate) fn check(
        &self,
        outputs: usize,
        first: usize,
        y: &ndarray::ArrayRef2<f64>,
    ) -> Result<()> {
        let (_, v) = self.parameter();
        dispatch!(self, D => D::check_parameter(v, outputs)?, _custom => {});
        for ((i, o), &y) in y.indexed_iter() {
            if let Some(why) = self.refuses(y) {
                let name = format!("target of sample {}, output {o}", first + i);
                return Err(Error::invalid(name, format!("{y} {why}")));
            }
        }
        for (i, row) in y.outer_iter().enumerate() {
            let row = row.to_vec();
            let refused = dispatch!(self,
                D => D::refuses_sample(&row),
                custom => self.guarded(|| custom.check(&row))?.err());
            if let Some(why) = refused {
                return Err(Error::invalid(format!("targets of sample {}", first + i), why));
            }
        }
        Ok(())
    }

    /// Returns g(x, y) with ∂g/∂x_o (length outputs) and ∂²g/∂x_o∂x_q (outputs × outputs, row-major), without a weight.
    ///
    /// # Errors
    /// x and y are empty or differ in length, or have not the length of the output weights; a user's loss panics or gives NaN.
    pub fn derivatives(&self, x: &[f64], y: &[f64]) -> Result<(f64, Vec<f64>, Vec<f64>)> {
        let outputs = self.outputs_of(x, y)?;
        let entries = shape_product("the Hessian of a loss", &[outputs, outputs])?;
        let (mut g, mut h) = (vec![0.0; outputs], zeros("the Hessian of a loss", entries)?);
        let value = self.guarded(|| {
            self.gradient(x, y, &mut g);
            self.refuse_nan("the gradient", x, y, &g)?;
            self.hessian(x, y, &mut h);
            self.refuse_nan("the Hessian", x, y, &h)?;
            self.checked_value(x, y)
        })??;
        Ok((value, g, h))
    }

    /// Returns g(x, y) alone, without a weight.
    ///
    /// ```
    /// use secondo::Loss;
    /// // log(e⁰ + e⁰) − 0
    /// let value = Loss::SoftmaxCrossEntropy.value_at(&[0.0, 0.0], &[1.0, 0.0])?;
    /// assert!((value - 2f64.ln()).abs() < 1e-15);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`derivatives`](Self::derivatives).
    pub fn value_at(&self, x: &[f64], y: &[f64]) -> Result<f64> {
        self.outputs_of(x, y)?;
        self.guarded(|| self.checked_value(x, y))?
    }

    fn checked_value(&self, x: &[f64], y: &[f64]) -> Result<f64> {
        let value = self.value(x, y);
        self.refuse_nan("the value", x, y, &[value])?;
        Ok(value)
    }

    /// The number of outputs, of which there must be as many as targets.
    fn outputs_of(&self, x: &[f64], y: &[f64]) -> Result<usize> {
        let outputs = x.len();
        if outputs == 0 {
            return Err(Error::invalid("outputs", "at least one is needed"));
        }
        if y.len() != outputs {
            return Err(Error::shape("targets", &[outputs], &[y.len()]));
        }
        self.check(outputs, 0, &ndarray::Array2::zeros((0, outputs)))?;
        Ok(outputs)
    }

    /// Refuses a NaN that a user's loss made of finite numbers.
    ///
    /// # Errors
    /// `NonFinite` with its name.
    #[inline]
    pub(crate) fn refuse_nan(&self, what: &str, x: &[f64], y: &[f64], made: &[f64]) -> Result<()> {
        match self {
            Loss::Custom(custom) => guard::refuse_nan("loss", custom.name(), what, &[x, y], made),
            _ => Ok(()),
        }
    }

    /// Returns g(x, y). Inlined like those below: called in lanes, losses that are inlined as well are compiled for them.
    #[inline(always)]
    pub(crate) fn value(&self, x: &[f64], y: &[f64]) -> f64 {
        let (_, v) = self.parameter();
        dispatch!(self, D => D::value(x, y, v), custom => custom.value(x, y))
    }

    /// Whether it has [`many`](Self::many).
    pub(crate) fn has_many(&self) -> bool {
        dispatch!(self, D => D::HAS_MANY, _custom => false)
    }

    /// Writes g of each of many samples, and ∂g/∂x_o to `out`, scratch otherwise, if `with_gradient`; nothing unless it
    /// [`has_many`](Self::has_many).
    #[inline(always)]
    pub(crate) fn many(
        &self,
        x: &[f64],
        y: &[f64],
        values: &mut [f64],
        out: &mut [f64],
        with_gradient: bool,
    ) {
        dispatch!(self, D => D::many(x, y, values, out, with_gradient), _custom => {});
    }

    /// Writes ∂g/∂x_o, length outputs.
    #[inline(always)]
    pub(crate) fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let (_, v) = self.parameter();
        dispatch!(self, D => D::gradient(x, y, v, out), custom => custom.gradient(x, y, out));
    }

    /// Writes ∂²g/∂x_o² of many samples where [`is_elementwise`](Self::is_elementwise) holds.
    #[inline(always)]
    pub(crate) fn second(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let (_, v) = self.parameter();
        dispatch!(self, D => D::second(x, y, v, out), _custom => {});
    }

    /// Writes ∂²g/∂x_o∂x_q, outputs × outputs row-major, whole.
    #[inline(always)]
    pub(crate) fn hessian(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let (_, v) = self.parameter();
        out.fill(0.0);
        dispatch!(self, D => D::hessian(x, y, v, out), custom => custom.hessian(x, y, out));
    }
}

/// Returns Σ_o g(x_o, y_o, v_o).
#[inline(always)]
fn sum(x: &[f64], y: &[f64], v: Parameter, g: impl Fn(f64, f64, f64) -> f64) -> f64 {
    let mut sum = 0.0;
    for (o, (&x, &y)) in x.iter().zip(y).enumerate() {
        sum += g(x, y, v.at(o));
    }
    sum
}

/// Writes g(x_o, y_o, v_o) for each output. In a loop that is written out: the closure of an iterator's may be compiled apart, for narrow
/// registers.
#[inline(always)]
fn each(x: &[f64], y: &[f64], v: Parameter, out: &mut [f64], g: impl Fn(f64, f64, f64) -> f64) {
    match v {
        Parameter::All(v) => {
            for (out, (&x, &y)) in out.iter_mut().zip(x.iter().zip(y)) {
                *out = g(x, y, v);
            }
        }
        Parameter::Each(v) => {
            for (out, ((&x, &y), &v)) in out.iter_mut().zip(x.iter().zip(y).zip(v)) {
                *out = g(x, y, v);
            }
        }
    }
}

/// Returns the error of a parameter that is not positive.
fn positive(name: &str, v: Parameter) -> Result<()> {
    match v {
        Parameter::All(v) if !v.is_finite() || v <= 0.0 => {
            Err(Error::invalid(name, format!("{v} is not positive")))
        }
        _ => Ok(()),
    }
}
