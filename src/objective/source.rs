//! The samples of a problem, wherever they are.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayView2, aview2};

use super::ahead::{self, Ahead};
use super::samples::{Rows, Samples};
use super::{Data, Reduction};
use crate::error::{Error, Result};
use crate::memory::bytes_of;

/// Numbers of a window of rows: 1 MiB of f64, a choice. Larger ones leave the cache between being read and being computed with.
const WINDOW: usize = 1 << 17;

/// The samples of a problem.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In memory.
    Memory(Data),
    /// Read a window at a time.
    Stream(Stream),
}

/// Samples that are read, and what a first walk found out about them.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    samples: Arc<dyn Samples>,
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// Σ_i ω_i.
    total: f64,
    digest: Digest,
}

/// A hash of rows, by which they are compared with those of other processes.
#[derive(Debug, Clone, Copy, Default)]
struct Digest([u64; 3]);

impl Digest {
    /// Adds the next rows; where they are divided does not matter.
    fn add(&mut self, rows: &Rows) {
        for (hash, numbers) in self.0.iter_mut().zip([rows.x, rows.y, rows.omega]) {
            *hash = digest(*hash, numbers.iter().copied());
        }
    }
}

/// Returns a hash of numbers behind those of another hash.
pub(crate) fn digest(hash: u64, numbers: impl IntoIterator<Item = f64>) -> u64 {
    let add = |hash: u64, v: f64| {
        (hash ^ v.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    };
    numbers.into_iter().fold(hash, add)
}

impl Stream {
    /// Walks all samples once and calls `of` with them, window by window.
    ///
    /// # Errors
    /// No rows, a number that is not finite, weights that are negative or all 0; those of reading and of `of`.
    pub fn new(samples: Arc<dyn Samples>, of: impl FnMut(Rows) -> Result<()>) -> Result<Self> {
        let (rows, inputs, outputs) = (samples.rows(), samples.inputs(), samples.outputs());
        if rows == 0 {
            return Err(Error::invalid("data", "there are no rows"));
        }
        let mut stream =
            Stream { samples, rows, inputs, outputs, total: 0.0, digest: Digest::default() };
        let (mut total, mut is_weighted, mut of) = (0.0, false, of);
        let mut digest = Digest::default();
        stream.each_window(0..rows, |window| {
            // One after the other, as the sum over all in memory has them.
            total = window.omega.iter().fold(total, |sum, omega| sum + omega);
            digest.add(&window);
            is_weighted = is_weighted || window.omega.iter().any(|omega| *omega > 0.0);
            of(window)
        })?;
        if !is_weighted {
            return Err(Error::invalid("sample weights", "all are 0"));
        }
        (stream.total, stream.digest) = (total, digest);
        Ok(stream)
    }

    /// Numbers of a sample.
    fn numbers(&self) -> usize {
        self.inputs.saturating_add(self.outputs).saturating_add(1)
    }

    /// Rows of a window from which chunks of so many are taken: whole chunks.
    fn window(&self, chunk: usize) -> usize {
        let chunk = chunk.clamp(1, self.rows);
        let chunks = (WINDOW / self.numbers() / chunk).max(1);
        chunks.saturating_mul(chunk).min(self.rows)
    }

    /// Bytes that are held while chunks of so many rows are computed with.
    pub fn held(&self, chunk: usize) -> u64 {
        let windows = bytes_of(&[8, ahead::WINDOWS, self.window(chunk), self.numbers()]);
        windows.saturating_add(self.samples.held())
    }

    /// Begins to read some samples, of which chunks of so many are taken in their order.
    pub fn ahead(&self, chunk: usize, rows: Range<usize>) -> Ahead {
        Ahead::start(self.samples.clone(), rows, [self.inputs, self.outputs], self.window(chunk))
    }

    /// Calls `f` with some samples, in their order, a window at a time.
    ///
    /// # Errors
    /// Those of reading, and of `f`.
    pub fn each_window(
        &self,
        rows: Range<usize>,
        mut f: impl FnMut(Rows) -> Result<()>,
    ) -> Result<()> {
        let step = self.window(1);
        let ahead = self.ahead(step, rows.clone());
        for first in rows.clone().step_by(step) {
            ahead.with(first..rows.end.min(first + step), &mut f)??;
        }
        Ok(())
    }
}

impl Source {
    /// n.
    pub fn len(&self) -> usize {
        match self {
            Source::Memory(data) => data.len(),
            Source::Stream(stream) => stream.rows,
        }
    }

    /// The samples, where they are in memory.
    ///
    /// # Errors
    /// `Unsupported` where they are read.
    pub fn data(&self) -> Result<&Data> {
        match self {
            Source::Memory(data) => Ok(data),
            Source::Stream(_) => Err(Error::Unsupported {
                what: "a request that needs all rows in memory".into(),
                why: "the rows of this problem are read a window at a time; read them into Data first, or fewer of them, or \
                      ask for what is summed over the rows: value, gradient, curvature, products"
                    .into(),
            }),
        }
    }

    /// The samples that are read, where they are.
    pub fn stream(&self) -> Option<&Stream> {
        match self {
            Source::Memory(_) => None,
            Source::Stream(stream) => Some(stream),
        }
    }

    /// The divisor of ω by the reduction.
    pub fn divisor(&self, reduction: Reduction) -> Option<f64> {
        (reduction == Reduction::Mean).then(|| self.total_weight())
    }

    /// Σ_i ω_i.
    pub fn total_weight(&self) -> f64 {
        match self {
            Source::Memory(data) => data.weights().iter().sum(),
            Source::Stream(stream) => stream.total,
        }
    }

    /// Returns hashes of X, Y and ω.
    ///
    /// # Errors
    /// Those of [`each`](Self::each).
    pub fn digest(&self) -> Result<[u64; 3]> {
        if let Source::Stream(stream) = self {
            return Ok(stream.digest.0);
        }
        let mut digest = Digest::default();
        self.each(|rows| {
            digest.add(&rows);
            Ok(())
        })?;
        Ok(digest.0)
    }

    /// Calls `f` with all samples, in their order, as many at a time as are there.
    ///
    /// # Errors
    /// Those of reading, and of `f`.
    pub fn each(&self, mut f: impl FnMut(Rows) -> Result<()>) -> Result<()> {
        match self {
            Source::Memory(data) => f(data.all()?),
            Source::Stream(stream) => stream.each_window(0..stream.rows, f),
        }
    }

    /// Calls `f` with the targets of the first samples: of all, where they are in memory.
    ///
    /// # Errors
    /// Those of reading, and of `f`.
    pub fn first_targets(&self, f: impl FnOnce(ArrayView2<f64>) -> Result<()>) -> Result<()> {
        match self {
            Source::Memory(data) => f(data.y().view()),
            Source::Stream(stream) => {
                let rows = 0..stream.window(1);
                stream
                    .ahead(rows.end, rows.clone())
                    .with(rows, |rows| f(targets(&rows, stream.outputs)))?
            }
        }
    }
}

/// The targets of some rows.
pub(crate) fn targets<'a>(rows: &Rows<'a>, outputs: usize) -> ArrayView2<'a, f64> {
    const NONE: [[f64; 1]; 0] = [];
    ArrayView2::from_shape((rows.count(), outputs), rows.y).unwrap_or(aview2(&NONE))
}

impl Data {
    /// All samples, row by row.
    pub(crate) fn all(&self) -> Result<Rows<'_>> {
        let wrong = || Error::invalid("data", "the rows are not contiguous");
        Ok(Rows {
            first: 0,
            x: self.x().to_slice().ok_or_else(wrong)?,
            y: self.y().as_slice().ok_or_else(wrong)?,
            omega: self.weights(),
        })
    }

    /// Some samples, row by row.
    pub(crate) fn some(&self, rows: &Range<usize>) -> Result<Rows<'_>> {
        let part = self.all()?.part(rows);
        part.ok_or_else(|| Error::shape("rows", &[self.len()], &[rows.end]))
    }
}

/// Calls `f` with some rows of data in memory, or of those that are read ahead.
///
/// # Errors
/// Those of reading.
pub(crate) fn with_rows<'a, R>(
    source: &Source,
    ahead: impl FnOnce(&Stream) -> &'a Ahead,
    rows: Range<usize>,
    f: impl FnOnce(Rows) -> R,
) -> Result<R> {
    match source {
        Source::Stream(stream) => ahead(stream).with(rows, f),
        Source::Memory(data) => Ok(f(data.some(&rows)?)),
    }
}
