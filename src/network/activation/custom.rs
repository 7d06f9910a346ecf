//! Activations that are not built in: a formula, or the user's own code.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::formula::{Formula, LANES, Lanes};
use super::{Activation, Series};
use crate::error::{Error, Result};
use crate::{check, guard};

/// An elementwise function h(u) with its derivatives; [`Activation::register`] makes an [`Activation`] of it.
///
/// ```
/// use secondo::{Activation, ActivationFunction};
///
/// /// ln cosh u
/// struct LogCosh;
///
/// impl ActivationFunction for LogCosh {
///     fn name(&self) -> &str {
///         "log_cosh"
///     }
///     fn derivatives(&self, u: f64) -> [f64; 3] {
///         let [h, first, _] = Activation::Tanh.derivatives(u);
///         [u.abs() + (-2.0 * u.abs()).exp().ln_1p() - 2f64.ln(), h, first]
///     }
/// }
///
/// let log_cosh = Activation::register(LogCosh)?;
/// assert_eq!(log_cosh.derivatives(0.0), [0.0, 0.0, 1.0]);
/// assert_eq!(Activation::from_name("log_cosh"), Ok(log_cosh));
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait ActivationFunction: Send + Sync + 'static {
    /// The name in files, on the command line and in messages: letters, digits and underscores.
    fn name(&self) -> &str;

    /// The arguments for which it is defined, in words; others give NaN.
    fn domain(&self) -> &str {
        "all real u"
    }

    /// `[h(u), h′(u), h″(u)]`.
    fn derivatives(&self, u: f64) -> [f64; 3];

    /// h(a) of a power series, which gives h⁽q⁾ for any q; `None`, the default, leaves the orders 0, 1 and 2.
    fn series(&self, _a: &Series) -> Option<Series> {
        None
    }

    /// WGSL that defines `fn activation(u: real) -> vec3<real>` with h, h′ and h″, `real` being f32 or f64.
    ///
    /// It may `#include` the files of `shaders/lib`, each on a line of its own: `#include "lib/exp.wgsl"` has `exp_(x)`;
    /// others are `lib/log.wgsl` (`log_`, `log1p_`), `lib/sin_cos.wgsl`, `lib/atan.wgsl`, `lib/sigmoid.wgsl` and
    /// `lib/activation/NAME.wgsl` (`activation_NAME`). The built-in `exp`, `log`, `tanh` and `sin` of WGSL are inaccurate on many adapters.
    /// An adapter compares it with [`derivatives`](Self::derivatives) before its first use. Without WGSL the activation is
    /// computed on the host, and the numbers are copied to and fro.
    fn wgsl(&self) -> Option<&str> {
        None
    }
}

/// A registered activation, which lives as long as the program.
#[derive(Clone, Copy)]
pub struct Custom(&'static Entry);

struct Entry {
    id: usize,
    name: &'static str,
    domain: &'static str,
    definition: Definition,
    #[cfg(feature = "gpu")]
    wgsl: Option<String>,
}

enum Definition {
    Formula(Formula),
    Function {
        function: Box<dyn ActivationFunction>,
        #[cfg(feature = "gpu")]
        wgsl: Option<String>,
    },
}

static REGISTRY: Mutex<Vec<Custom>> = Mutex::new(Vec::new());

fn registry() -> MutexGuard<'static, Vec<Custom>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

const KIND: &str = "activation";

impl Custom {
    /// The registered activation of that name.
    pub(super) fn find(name: &str) -> Option<Self> {
        registry().iter().copied().find(|c| c.0.name == name)
    }

    pub(super) fn names() -> Vec<&'static str> {
        registry().iter().map(|c| c.0.name).collect()
    }

    pub(super) fn formula(text: &str) -> Result<Self> {
        let formula = Formula::new(text)?;
        let name = formula.text().to_string();
        let mut registry = registry();
        if let Some(known) = registry.iter().find(|c| c.0.name == name) {
            return Ok(*known);
        }
        let domain = "where the formula is a real number".to_string();
        Ok(enter(&mut registry, name, domain, Definition::Formula(formula)))
    }

    pub(super) fn register(function: Box<dyn ActivationFunction>) -> Result<Self> {
        let ask = |f: &dyn Fn() -> String| guard::call(KIND, "to be registered", f);
        let name = ask(&|| function.name().to_string())?;
        let domain = ask(&|| function.domain().to_string())?;
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let refuse =
            |why: &str| Err(Error::Part { kind: KIND, name: name.clone(), why: why.into() });
        if name.is_empty() || !name.chars().all(letter) {
            return refuse("a name has letters, digits and underscores");
        }
        if Activation::builtin(&name).is_some() || name == "u" {
            return refuse("a built-in activation has that name");
        }
        if cfg!(debug_assertions) {
            guard::call(KIND, &name, || check_function(&name, &*function))??;
        }
        #[cfg(feature = "gpu")]
        let wgsl = guard::call(KIND, &name, || function.wgsl().map(str::to_string))?;
        let mut registry = registry();
        if registry.iter().any(|c| c.0.name == name) {
            return refuse("it is registered already; Activation::from_name gives it");
        }
        let definition = Definition::Function {
            function,
            #[cfg(feature = "gpu")]
            wgsl,
        };
        Ok(enter(&mut registry, name, domain, definition))
    }

    /// The name: a formula's is its text.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// The arguments for which it is defined, in words.
    pub const fn domain(self) -> &'static str {
        self.0.domain
    }

    pub(super) fn derivatives(self, u: f64) -> [f64; 3] {
        match &self.0.definition {
            Definition::Formula(formula) => formula.derivatives(u),
            Definition::Function { function, .. } => function.derivatives(u),
        }
    }

    pub(super) fn series(self, a: &Series) -> Result<Series> {
        match &self.0.definition {
            Definition::Formula(formula) => formula.series(a),
            Definition::Function { function, .. } => guard::call(KIND, self.name(), || {
                composed(&**function, a)
            })?
            .ok_or_else(|| Error::Unsupported {
                what: format!("derivative {} of the activation '{}'", a.order(), self.name()),
                why: "it gives the orders 0, 1 and 2; ActivationFunction::series gives the others"
                    .into(),
            }),
        }
    }

    /// Writes h, h′ … at each number, as many of them as there are slices in `out`; `lanes` computes a formula's functions.
    ///
    /// # Errors
    /// A panic of the user's code, NaN that it makes of finite numbers.
    pub(crate) fn fill(self, u: &[f64], out: &mut [&mut [f64]], lanes: Lanes) -> Result<()> {
        guard::call(KIND, self.name(), || {
            match &self.0.definition {
                Definition::Formula(formula) => {
                    let mut scratch = formula.scratch();
                    for from in (0..u.len()).step_by(LANES) {
                        let to = u.len().min(from + LANES);
                        let mut out: Vec<&mut [f64]> =
                            out.iter_mut().map(|h| &mut h[from..to]).collect();
                        formula.fill(&u[from..to], &mut out, &mut scratch, lanes);
                    }
                }
                Definition::Function { function, .. } => {
                    for (i, &u) in u.iter().enumerate() {
                        for (out, h) in out.iter_mut().zip(function.derivatives(u)) {
                            out[i] = h;
                        }
                    }
                }
            }
            for (what, h) in ["h", "h′", "h″"].into_iter().zip(out.iter()) {
                guard::refuse_nan(KIND, self.name(), what, &[u], h)?;
            }
            Ok(())
        })?
    }
}

#[cfg(feature = "gpu")]
impl Custom {
    /// The name of its WGSL function after `activation_`, and of its file in `shaders/lib/activation`.
    pub(crate) fn stem(self) -> String {
        format!("custom_{}", self.0.id)
    }

    /// The activation that [`stem`](Self::stem) stands for.
    pub(crate) fn of_stem(stem: &str) -> Option<Self> {
        let id: usize = stem.strip_prefix("custom_")?.parse().ok()?;
        registry().get(id).copied()
    }

    pub(crate) fn wgsl(self) -> Option<&'static str> {
        self.0.wgsl.as_deref()
    }

    /// Whether WGSL and Rust were written by hand, each on its own.
    pub(crate) fn is_function(self) -> bool {
        matches!(self.0.definition, Definition::Function { .. })
    }
}

fn enter(
    registry: &mut Vec<Custom>,
    name: String,
    domain: String,
    definition: Definition,
) -> Custom {
    let id = registry.len();
    #[cfg(feature = "gpu")]
    let wgsl = match &definition {
        Definition::Formula(formula) => Some(formula.wgsl(&format!("activation_custom_{id}"))),
        Definition::Function { wgsl, .. } => wgsl.as_ref().map(|text| {
            format!(
                "{text}\n\nfn activation_custom_{id}(u: real) -> vec3<real> {{\n    return activation(u);\n}}\n"
            )
        }),
    };
    let entry = Entry {
        id,
        name: name.leak(),
        domain: domain.leak(),
        definition,
        #[cfg(feature = "gpu")]
        wgsl,
    };
    let custom = Custom(Box::leak(Box::new(entry)));
    registry.push(custom);
    custom
}

/// Returns h(a): by the function's own series, or up to order 2 from h, h′ and h″.
fn composed(function: &dyn ActivationFunction, a: &Series) -> Option<Series> {
    function.series(a).or_else(|| {
        let u = a.coefficients()[0];
        let [h, first, second] = function.derivatives(u);
        let t = a - u;
        (a.order() <= 2).then(|| (&t * (0.5 * second) + first) * &t + h)
    })
}

/// Checks that h′ and h″ are the derivatives of h, and that the series has them, too.
fn check_function(name: &str, function: &dyn ActivationFunction) -> Result<()> {
    let points: Vec<f64> = check::points(40, 1, 5)
        .into_iter()
        .zip([0.5, 1.0, 3.0, 8.0].into_iter().cycle())
        .map(|(u, scale)| u[0] * scale)
        .collect();
    check::derivatives(name, |u| function.derivatives(u), &points)?;
    for u in points {
        let Some(series) = function.series(&Series::variable(u, 2)) else {
            return Ok(());
        };
        let (given, found) = (function.derivatives(u), series.derivatives());
        for (k, (given, found)) in given.into_iter().zip(found).enumerate() {
            let off = (given - found).abs() > 1e-9 * given.abs().max(1e-3);
            if off && given.is_finite() || found.is_nan() != given.is_nan() {
                let why = format!(
                    "its series gives {found:e} for derivative {k} at u = {u}, where derivatives gives {given:e}"
                );
                return Err(Error::Part { kind: KIND, name: name.into(), why });
            }
        }
    }
    Ok(())
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.name)
    }
}
