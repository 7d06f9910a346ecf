//! Every way in which a request can fail, with the facts as fields.
//!
//! A wrong shape, a number that is not finite, a request that does not fit and a file that cannot be
//! read each have a variant; none of them panics. (The kernels of [`crate::backend`] trust the lengths
//! that the driver gives them.) `Display` says what was expected, what was found and what to do.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// The result of an operation that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A length or a shape is not what the operation needs.
    Shape {
        /// The array of the wrong shape.
        what: String,
        /// The lengths that are needed.
        expected: Vec<usize>,
        /// The lengths that were given.
        found: Vec<usize>,
    },
    /// A number is NaN or infinite.
    NonFinite {
        /// The quantity that holds the number.
        what: Quantity,
        /// Where: an index, or row and column; empty for a single number.
        at: Vec<usize>,
    },
    /// A value lies outside its domain.
    Invalid {
        /// The name of the argument or option.
        what: String,
        /// The reason, and the values that are allowed.
        why: String,
    },
    /// A name that is not known.
    Unknown {
        /// The kind of thing that was named.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A product of sizes does not fit the address space.
    TooLarge {
        /// The array that was being sized.
        what: String,
    },
    /// A formula is malformed, or of no use.
    Formula {
        /// Its text.
        formula: String,
        /// The character, from 1, at which it fails.
        column: usize,
        /// The size that is needed.
        why: String,
    },
    /// The request needs more memory than it may take.
    Memory {
        /// The operation.
        what: String,
        /// Bytes that it needs at the least.
        need: u64,
        /// Bytes that it may take.
        budget: u64,
        /// A request that needs less.
        advice: String,
    },
    /// The combination is meaningful, but not available.
    Unsupported {
        /// The request.
        what: String,
        /// Why not, and what to use instead.
        why: String,
    },
    /// A factorization met a matrix that is not positive definite.
    NotPositiveDefinite {
        /// Which matrix.
        what: String,
        /// The pivot (from 0) at which it failed.
        pivot: usize,
    },
    /// A flag or a time limit ended the computation before it had a result.
    Interrupted,
    /// An iteration that has no reason to fail did not converge.
    Numerical {
        /// The operation that failed, and where.
        what: String,
    },
    /// A user-defined part panicked, or does not do what its kind of part must.
    Part {
        /// Its kind: activation, unit, loss, penalty, function.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The fault that it showed.
        why: String,
    },
    /// A supplied derivative is not that of the function; see [`crate::check`].
    Derivative {
        /// The part.
        part: String,
        /// Which of its derivatives.
        derivative: String,
        /// The index of the entry; empty for a single number.
        at: Vec<usize>,
        /// The variables at which it was compared.
        point: Vec<f64>,
        /// The number that was supplied.
        given: f64,
        /// The number by differences.
        expected: f64,
        /// The estimated error of the latter.
        error: f64,
    },
    /// One of several processes could not do its part; see [`Team`](crate::Team).
    Rank {
        /// Its rank.
        rank: usize,
        /// Its reason.
        why: String,
    },
    /// An accelerator failed, or there is none.
    Gpu {
        /// The adapter, or what was asked for.
        adapter: String,
        /// The operation.
        operation: String,
        /// The reason.
        fault: Fault,
    },
    /// The operating system refused a file operation.
    Io {
        /// The file.
        path: PathBuf,
        /// The action that was attempted.
        action: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// A file's contents are not what they should be.
    Format {
        /// The file.
        path: PathBuf,
        /// Line, from 1, where known.
        line: Option<u64>,
        /// Column: its name, or its number from 1, where known.
        column: Option<String>,
        /// The reason, and the way out.
        why: String,
    },
}

/// The value of that name in a list, or [`Error::Unknown`] with the names that there are.
pub(crate) fn by_name<T: Copy>(
    kind: &'static str,
    name: &str,
    known: &[(&'static str, T)],
) -> Result<T> {
    (known.iter()).find(|(n, _)| *n == name).map(|(_, value)| *value).ok_or_else(|| {
        Error::Unknown {
            kind,
            name: name.to_string(),
            known: known.iter().map(|(n, _)| n.to_string()).collect(),
        }
    })
}

/// A quantity that has a number that is not finite.
///
/// `Display` names it: `the objective`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quantity {
    /// E(w), which was computed.
    Objective,
    /// Its gradient, which was computed.
    Gradient,
    /// Its Hessian or another curvature matrix, which was computed.
    Curvature,
    /// Another, by its name.
    Named(String),
}

impl From<String> for Quantity {
    fn from(name: String) -> Self {
        Quantity::Named(name)
    }
}

impl From<&str> for Quantity {
    fn from(name: &str) -> Self {
        Quantity::Named(name.into())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantity::Objective => "the objective",
            Quantity::Gradient => "the gradient",
            Quantity::Curvature => "the curvature",
            Quantity::Named(name) => name,
        })
    }
}

/// A fault of an accelerator.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// No adapter fits what was asked for.
    NoAdapter {
        /// The adapters that there are.
        known: Vec<String>,
    },
    /// The adapter cannot compute in f64.
    NoF64,
    /// The driver gave the device up: a hang, an update, an unplugged card.
    Lost {
        /// The driver's words.
        reason: String,
    },
    /// The device's memory is exhausted.
    OutOfMemory {
        /// Bytes that were asked for.
        need: u64,
        /// Bytes that the crate already held there.
        in_use: u64,
    },
    /// The device did not finish in time.
    Timeout {
        /// Seconds that were waited.
        after: f64,
    },
    /// Work was reported as done that did not run to its end.
    Incomplete,
    /// One object is larger than the device allows.
    Limit {
        /// The limit's name.
        limit: &'static str,
        /// The size that is needed.
        need: u64,
        /// The limit of the device.
        have: u64,
    },
    /// The sizes exceed what a kernel can index or hold.
    TooLarge {
        /// Which, with the numbers.
        reason: String,
    },
    /// A shader was refused.
    Shader {
        /// The compiler's words.
        reason: String,
    },
    /// The adapter computes wrongly.
    SelfTest {
        /// The computed number and the right one.
        found: String,
    },
    /// The driver refused a call that should be valid.
    Refused {
        /// The driver's words.
        reason: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoAdapter { known } if known.is_empty() => {
                write!(f, "this machine has no adapter with Vulkan, Metal or DX12; use the CPU")
            }
            Fault::NoAdapter { known } => {
                write!(
                    f,
                    "none found; there is {}; choose one by its number (gpu:0), or use the CPU",
                    known.join("; ")
                )
            }
            Fault::NoF64 => {
                write!(f, "the adapter does not compute in f64; use f32 there or f64 on the CPU")
            }
            Fault::Lost { reason } => write!(f, "the device was lost ({reason})"),
            Fault::OutOfMemory { need, in_use } => write!(
                f,
                "out of device memory: {} more were needed, {} were held; lower the device's memory budget",
                bytes(*need),
                bytes(*in_use)
            ),
            Fault::Timeout { after } => {
                write!(f, "not finished after {after:.3} s; raise the time limit or use the CPU")
            }
            Fault::Incomplete => {
                write!(f, "the device reported work as done that did not run to its end")
            }
            Fault::Limit { limit, need, have } => {
                write!(f, "{limit} is {have} and {need} is needed; use narrower layers or the CPU")
            }
            Fault::TooLarge { reason } => write!(f, "{reason}; use narrower layers or the CPU"),
            Fault::Shader { reason } => write!(f, "the shader was refused: {reason}"),
            Fault::SelfTest { found } => write!(f, "the adapter computes wrongly: {found}"),
            Fault::Refused { reason } => write!(f, "refused by the driver: {reason}"),
        }
    }
}

impl Error {
    /// A fault of an accelerator.
    #[cfg(feature = "gpu")]
    pub(crate) fn gpu(
        adapter: impl Into<String>,
        operation: impl Into<String>,
        fault: Fault,
    ) -> Self {
        Error::Gpu { adapter: adapter.into(), operation: operation.into(), fault }
    }

    /// A wrong shape.
    pub(crate) fn shape(what: impl Into<String>, expected: &[usize], found: &[usize]) -> Self {
        Error::Shape { what: what.into(), expected: expected.to_vec(), found: found.to_vec() }
    }

    /// A value outside its domain.
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Invalid { what: what.into(), why: why.into() }
    }

    /// The same error with the name of what holds the offending number.
    pub(crate) fn inside(self, holder: &str) -> Self {
        match self {
            Error::Invalid { what, why } => {
                Error::Invalid { what: format!("{holder}, {what}"), why }
            }
            other => other,
        }
    }

    /// A number that is not finite.
    pub(crate) fn non_finite(what: impl Into<Quantity>, at: &[usize]) -> Self {
        Error::NonFinite { what: what.into(), at: at.to_vec() }
    }
}

/// Bytes for people: `640 B`, `1.50 GiB`.
pub(crate) fn bytes(b: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = b as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{b} B") } else { format!("{value:.2} {}", UNITS[unit]) }
}

/// Characters of a text that a message shows from its beginning and from its end.
const SHOWN: (usize, usize) = (600, 200);

/// Returns the text as a message may show it: control characters, and others that change what is seen around them, are escaped,
/// and the middle of a very long text is left out.
///
/// ```
/// assert_eq!(secondo::legible("a\u{1b}[2Jb"), r"a\u{1b}[2Jb");
/// assert!(secondo::legible(&"name".repeat(1_000_000)).len() < 1000);
/// ```
pub fn legible(text: &str) -> Cow<'_, str> {
    let (head, tail) = SHOWN;
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.len() <= head + tail && !text.contains(hides) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut add = |part: &str| {
        for c in part.chars() {
            if hides(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
    };
    let length = text.chars().count();
    let at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    if length <= head + tail {
        add(text);
    } else {
        add(&text[..at(head)]);
        add(&format!(" … ({} characters) … ", length - head - tail));
        add(&text[at(length - tail)..]);
    }
    Cow::Owned(out)
}

/// Writes every part of a message as [`legible`] has it: names in it may be anything.
struct Legible<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Legible<'_, '_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0.write_str(&legible(part))
    }
}

fn product(f: &mut Legible, lengths: &[usize]) -> fmt::Result {
    for (i, l) in lengths.iter().enumerate() {
        write!(f, "{}{l}", if i == 0 { "" } else { " × " })?;
    }
    Ok(())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut Legible(f);
        match self {
            Error::Shape { what, expected, found } => {
                write!(f, "{what}: expected ")?;
                product(f, expected)?;
                write!(f, ", found ")?;
                product(f, found)
            }
            Error::NonFinite { what, at } => {
                write!(f, "{what} is not a finite number")?;
                match at.as_slice() {
                    [] => Ok(()),
                    [i] => write!(f, " at index {i}"),
                    [i, j] => write!(f, " at row {i}, column {j}"),
                    more => write!(f, " at {more:?}"),
                }
            }
            Error::Invalid { what, why } => write!(f, "{what}: {why}"),
            Error::Unknown { kind, name, known } => {
                write!(f, "unknown {kind} '{name}'; known: {}", known.join(", "))
            }
            Error::Formula { formula, column, why } => {
                write!(f, "the formula, column {column}: {why}")?;
                if formula.len() <= SHOWN.0 && legible(formula) == *formula {
                    // The lines are the message's own.
                    write!(f.0, "\n  {formula}\n{:>width$}", '^', width = column + 2)?;
                }
                Ok(())
            }
            Error::TooLarge { what } => {
                write!(f, "{what}: too large to address; use narrower layers")
            }
            Error::Memory { what, need, budget, advice } => {
                write!(f, "{what} needs {} and may take {}; {advice}", bytes(*need), bytes(*budget))
            }
            Error::Unsupported { what, why } => write!(f, "{what} is not available: {why}"),
            Error::NotPositiveDefinite { what, pivot } => {
                write!(f, "{what} is not positive definite (pivot {pivot})")
            }
            Error::Interrupted => {
                write!(f, "interrupted before there was a result; give it more time")
            }
            Error::Numerical { what } => write!(f, "{what}"),
            Error::Part { kind, name, why } => write!(f, "the {kind} '{name}': {why}"),
            Error::Derivative { part, derivative, at, point, given, expected, error } => {
                write!(f, "{part}: {derivative}")?;
                if !at.is_empty() {
                    write!(f, ", entry {at:?},")?;
                }
                beginning(f, given, point)?;
                write!(f, ", where differences give {expected:e} ± {error:.1e}")
            }
            Error::Rank { rank, why } => write!(f, "the process of rank {rank}: {why}"),
            Error::Gpu { adapter, operation, fault } => {
                write!(f, "{adapter}, {operation}: {fault}")
            }
            Error::Io { path, action, reason } => {
                write!(f, "cannot {action} {}: {reason}", path.display())
            }
            Error::Format { path, line, column, why } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ", line {line}")?;
                }
                if let Some(column) = column {
                    write!(f, ", column {column}")?;
                }
                write!(f, ": {why}")
            }
        }
    }
}

/// Writes what is given at a point, of which only the first numbers are shown.
fn beginning(f: &mut Legible, given: &f64, point: &[f64]) -> fmt::Result {
    let some = &point[..point.len().min(8)];
    let more = if point.len() > 8 { ", and so on" } else { "" };
    write!(f, " is {given:e} at {some:?}{more}")
}

impl std::error::Error for Error {}
