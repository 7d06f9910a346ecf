//! How a kernel's work is divided into tasks, and where these run.

use std::convert::Infallible;

use faer::Par;
use rayon::prelude::*;

use super::Real;
use super::array::Output;
use crate::backend::Layout;

/// Numbers that are worth waking another thread for; a choice, not a measurement.
const TASK: usize = 1 << 14;

/// Returns that work is shared by so many threads, or with 0 by those of the current rayon pool; on the calling thread alone where there are none.
pub(super) fn on_threads(count: usize) -> Par {
    #[cfg(not(target_family = "wasm"))]
    return Par::rayon(count);
    #[cfg(target_family = "wasm")]
    {
        let _ = count;
        Par::Seq
    }
}

/// Samples of `size` numbers each that are worth waking another thread for.
pub(super) fn worth(size: usize) -> usize {
    (TASK / size.max(1)).max(1)
}

/// Calls `f` with each task: in their order on the calling thread, or on the threads of the current rayon pool.
///
/// # Errors
/// One of those that `f` returns.
pub(super) fn try_each<I: Send, E: Send>(
    par: Par,
    tasks: impl Iterator<Item = I>,
    f: impl Fn(I) -> Result<(), E> + Sync + Send,
) -> Result<(), E> {
    let mut tasks = tasks;
    if matches!(par, Par::Seq) {
        return tasks.try_for_each(f);
    }
    let tasks: Vec<I> = tasks.collect();
    if tasks.len() == 1 {
        tasks.into_iter().try_for_each(f)
    } else {
        // Each of them is worth a thread.
        (tasks.into_par_iter().with_max_len(1)).try_for_each(f)
    }
}

/// [`try_each`] for what cannot fail.
pub(super) fn each<I: Send>(par: Par, tasks: impl Iterator<Item = I>, f: impl Fn(I) + Sync + Send) {
    let Ok(()) = try_each(par, tasks, |task| {
        f(task);
        Ok::<(), Infallible>(())
    });
}

/// Some samples of a view that a kernel writes.
pub(super) struct Part<'a, T> {
    /// Which sample of the view is the first.
    pub first: usize,
    /// The places of the samples in `numbers`.
    pub layout: Layout,
    pub numbers: &'a mut [T],
}

impl<T> Part<'_, T> {
    /// Which samples of the view they are.
    pub fn samples(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.layout.shape[0]
    }
}

/// A view in parts of so many samples; in one part where samples do not stand one behind the other.
pub(super) fn parts<'a, T: Real>(
    out: Output<'a, T>,
    samples: usize,
) -> impl Iterator<Item = Part<'a, T>> {
    let layout = out.layout;
    let [n, rows, columns] = layout.shape;
    let numbers = if layout.is_empty() {
        &mut []
    } else {
        &mut out.array.numbers[layout.offset..layout.span()]
    };
    let [stride, of_row, of_column] = layout.strides;
    let sample = rows.saturating_sub(1) * of_row + columns.saturating_sub(1) * of_column + 1;
    let (samples, size) = if samples < n && stride >= sample {
        (samples, samples * stride)
    } else {
        (n, numbers.len().max(1))
    };
    (numbers.chunks_mut(size).enumerate()).map(move |(task, numbers)| {
        let first = task * samples;
        Part {
            first,
            layout: Layout { offset: 0, shape: [samples.min(n - first), rows, columns], ..layout },
            numbers,
        }
    })
}
