//! Arrays and sums of the processor.

use std::borrow::Cow;
use std::ops::Range;

use super::{Real, bytes};
use crate::backend::counter::{Counter, Held};
use crate::backend::{Layout, View, ViewMut};
use crate::error::{Error, Result};
use crate::memory::zeros;

/// Numbers on the processor; in a rehearsal their length alone.
#[derive(Debug)]
pub struct Array<T> {
    pub(super) numbers: Vec<T>,
    len: usize,
    _held: Option<Held>,
}

/// Sums over samples in f64; in a rehearsal their length alone.
#[derive(Debug)]
pub struct Sum {
    pub(super) numbers: Vec<f64>,
    len: usize,
    _held: Option<Held>,
}

/// Counts so many numbers of a rehearsal; nothing is counted without a counter.
fn held(counter: Option<&Counter>, len: usize, size: usize) -> Result<Option<Held>> {
    let bytes = (len.checked_mul(size).filter(|&b| b <= isize::MAX as usize))
        .ok_or_else(|| Error::TooLarge { what: "an intermediate array".into() })?;
    Ok(counter.map(|counter| counter.hold(bytes as u64)))
}

impl<T: Real> Array<T> {
    /// Returns zeros, or what a rehearsal counts for them.
    pub(super) fn new(counter: Option<&Counter>, len: usize) -> Result<Self> {
        let held = held(counter, len, size_of::<T>())?;
        let numbers = zeros("an intermediate array", if held.is_some() { 0 } else { len })?;
        Ok(Array { numbers, len, _held: held })
    }
}

impl<T> Array<T> {
    /// Returns the length.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the length is 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the numbers; a rehearsal has none.
    pub fn numbers(&self) -> &[T] {
        &self.numbers
    }

    /// Returns the numbers to be changed; a rehearsal has none.
    pub fn numbers_mut(&mut self) -> &mut [T] {
        &mut self.numbers
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(numbers: Vec<T>) -> Self {
        Array { len: numbers.len(), numbers, _held: None }
    }
}

impl Sum {
    /// Returns sums whose memory may not be touched yet, or what a rehearsal counts for them.
    pub(super) fn new(counter: Option<&Counter>, len: usize) -> Result<Self> {
        let held = held(counter, len, size_of::<f64>())?;
        let numbers = zeros("the sums over samples", if held.is_some() { 0 } else { len })?;
        Ok(Sum { numbers, len, _held: held })
    }

    /// Returns the length.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the length is 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the sums to be changed; a rehearsal has none.
    pub fn numbers_mut(&mut self) -> &mut [f64] {
        &mut self.numbers
    }
}

/// Numbers that a kernel reads.
pub(super) type Input<'a, T> = View<'a, Array<T>>;
/// Numbers that a kernel writes.
pub(super) type Output<'a, T> = ViewMut<'a, Array<T>>;

impl<'a, T: Real> Input<'a, T> {
    /// The numbers of a view without gaps.
    pub(super) fn dense(&self) -> &'a [T] {
        debug_assert!(self.layout.is_dense());
        match self.layout.len() {
            0 => &[],
            len => &self.array.numbers[self.layout.offset..][..len],
        }
    }

    /// The numbers in their order: in their place, or copied where there are gaps.
    pub(super) fn gathered(&self) -> Cow<'a, [T]> {
        if self.layout.is_dense() {
            return Cow::Borrowed(self.dense());
        }
        let [_, rows, columns] = self.layout.shape;
        let mut numbers = vec![T::ZERO; self.layout.len()];
        for (at, to) in numbers.chunks_exact_mut(columns.max(1)).enumerate() {
            self.copy_row(at / rows, at % rows, to);
        }
        Cow::Owned(numbers)
    }

    /// Bytes that [`gathered`](Self::gathered) copies.
    pub(super) fn gathered_bytes(&self) -> u64 {
        let copied = usize::from(!self.layout.is_dense());
        bytes(&[copied, self.layout.len(), size_of::<T>()])
    }

    /// Whether the numbers of each row stand one behind the other.
    fn is_in_rows(&self) -> bool {
        self.layout.strides[2] == 1 || self.layout.shape[2] <= 1
    }

    /// A view whose rows have no gaps: this one, or that of a copy.
    pub(super) fn in_rows<'c>(self, copy: &'c mut Option<Array<T>>) -> Input<'c, T>
    where
        'a: 'c,
    {
        if self.is_in_rows() {
            return self;
        }
        let [n, rows, columns] = self.layout.shape;
        let copy = copy.insert(self.gathered().into_owned().into());
        View::new(copy, Layout::dense(n, rows, columns))
    }

    /// Bytes that [`in_rows`](Self::in_rows) copies.
    pub(super) fn copied_bytes(&self) -> u64 {
        let copied = usize::from(!self.is_in_rows());
        bytes(&[copied, self.layout.distinct(), size_of::<T>()])
    }

    /// Copies row r of sample i.
    pub(super) fn copy_row(&self, i: usize, r: usize, to: &mut [T]) {
        let from = &self.array.numbers[self.layout.at(i, r, 0)..];
        match self.layout.strides[2] {
            1 => to.copy_from_slice(&from[..to.len()]),
            step => (to.iter_mut().enumerate()).for_each(|(c, to)| *to = from[c * step]),
        }
    }

    /// The view of row r of each sample.
    pub(super) fn one_row(self, r: usize) -> Self {
        self.with(|layout| layout.rows(r..r + 1))
    }

    /// The view of some samples alone.
    pub(super) fn samples(self, samples: Range<usize>) -> Self {
        self.with(|layout| layout.samples(samples))
    }
}

impl<'a, T: Real> Output<'a, T> {
    /// The numbers of a view without gaps.
    pub(super) fn dense(self) -> &'a mut [T] {
        debug_assert!(self.layout.is_dense());
        match self.layout.len() {
            0 => &mut [],
            len => &mut self.array.numbers[self.layout.offset..][..len],
        }
    }
}
