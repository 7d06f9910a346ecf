//! Samples that are not held in memory: where they come from, and how they are walked.

use std::fmt;
use std::ops::Range;

use crate::error::{Error, Result};

/// Samples that are read when they are needed, in a fixed order and as often as they are needed: a file, a data base, a generator.
///
/// [`Problem::over`](crate::Problem::over) takes them in place of [`Data`](crate::Data). What is computed has the same bits as from
/// the same rows in memory, and takes memory that does not depend on their number, unless a session's budget has room to keep them: a thread
/// reads up to two windows of rows ahead of those that are computed with.
///
/// Every walk must give the same rows: what is computed from them is compared and kept. A source that cannot promise that, since a
/// file changed, returns an error.
///
/// ```
/// use std::sync::Arc;
///
/// use secondo::{Activation, Loss, Network, Problem, Result, Samples, Walk, Window};
///
/// /// The points (t, 2t) for t = 0 … n − 1.
/// #[derive(Debug)]
/// struct Line(usize);
///
/// impl Samples for Line {
///     fn rows(&self) -> usize { self.0 }
///     fn inputs(&self) -> usize { 1 }
///     fn outputs(&self) -> usize { 1 }
///     fn walk(&self, first: usize) -> Result<Box<dyn Walk>> { Ok(Box::new(At(first))) }
/// }
///
/// struct At(usize);
///
/// impl Walk for At {
///     fn next(&mut self, rows: usize, window: &mut Window) -> Result<()> {
///         for t in self.0..self.0 + rows {
///             window.x.push(t as f64);
///             window.y.push(2.0 * t as f64);
///             window.weights.push(1.0);
///         }
///         self.0 += rows;
///         Ok(())
///     }
/// }
///
/// let network = Network::dense(&[1, 1], Activation::Tanh)?;
/// let problem = Problem::over(network, Arc::new(Line(3)), Loss::SquaredError)?;
/// // ½ (2² + 4²) at w = 0.
/// assert_eq!(problem.objective(&[0.0, 0.0])?, 10.0);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait Samples: fmt::Debug + Send + Sync {
    /// Returns n, the number of samples.
    fn rows(&self) -> usize;

    /// Returns the number of columns of X.
    fn inputs(&self) -> usize;

    /// Returns the number of columns of Y.
    fn outputs(&self) -> usize;

    /// Returns a walk whose first row is `first`, from 0. Several may be under way at once.
    ///
    /// # Errors
    /// Those of opening the source.
    fn walk(&self, first: usize) -> Result<Box<dyn Walk>>;

    /// Returns the bytes that one walk holds besides the window that it fills; plans count them. Default 0.
    fn held(&self) -> u64 {
        0
    }

    /// Returns the error for a number that no sample may have: one that is not finite, or a negative weight. `column` counts those
    /// of X, then those of Y, then the weight.
    fn refuse(&self, row: usize, column: usize, value: f64) -> Error {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        if column < inputs {
            Error::non_finite("X", &[row, column])
        } else if column < inputs + outputs {
            Error::non_finite("Y", &[row, column - inputs])
        } else if value.is_finite() {
            let why = format!("weight {row} is {value}; weights must not be negative");
            Error::invalid("sample weights", why)
        } else {
            Error::non_finite("sample weights", &[row])
        }
    }
}

/// A walk over [`Samples`].
pub trait Walk: Send {
    /// Appends the next `rows` samples to a window. No more are asked for than there are.
    ///
    /// Threads of the rayon pool wait for it: it must not wait for that pool, nor ask this crate to evaluate there.
    ///
    /// # Errors
    /// Those of reading.
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<()>;
}

/// Some samples, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// Rows of X.
    pub x: Vec<f64>,
    /// Rows of Y.
    pub y: Vec<f64>,
    /// ω.
    pub weights: Vec<f64>,
}

impl Window {
    /// Takes all samples out; the room for them stays.
    pub(super) fn clear(&mut self) {
        self.x.clear();
        self.y.clear();
        self.weights.clear();
    }

    /// The samples.
    pub(super) fn all(&self, first: usize) -> Rows<'_> {
        Rows { first, x: &self.x, y: &self.y, omega: &self.weights }
    }
}

/// Samples where they lie in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The number of the first, from 0.
    pub first: usize,
    /// Rows of X.
    pub x: &'a [f64],
    /// Rows of Y.
    pub y: &'a [f64],
    /// ω.
    pub omega: &'a [f64],
}

impl<'a> Rows<'a> {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.omega.len()
    }

    /// Those of them with these numbers; none where they are not there.
    pub(super) fn part(&self, rows: &Range<usize>) -> Option<Rows<'a>> {
        let places = rows.start.checked_sub(self.first)?..rows.end.checked_sub(self.first)?;
        let of = |all: &'a [f64]| {
            let width = all.len() / self.count().max(1);
            all.get(places.start * width..places.end * width)
        };
        let omega = self.omega.get(places.clone())?;
        Some(Rows { first: rows.start, x: of(self.x)?, y: of(self.y)?, omega })
    }
}
