//! Chunks of samples, one after the other or several at once.
//!
//! Where the sums of a request are small, each chunk has sums of its own, and every thread takes the next chunk: its arrays stay
//! in the thread's cache from one kernel to the next, and no kernel waits for other threads. Where they are large, as those of a
//! whole Hessian, all chunks add to the same sums, one after the other, and the kernels divide their work among the threads.
//! Either way the sums of the chunks are added in their order within a lane, and those of lanes in a tree: the bits of a result do not
//! depend on the threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::lanes::{self, Additive, Node, push};
use crate::backend::Backend;
use crate::backend::cpu::QUANTUM;
use crate::error::Result;

/// Numbers up to which each chunk has sums of its own: 2 MiB, a choice.
const OWN: usize = 1 << 18;
/// The same for products, which take more arithmetic for each of them: 32 exact ones of [64-256-10] with 10,000 samples took 0.58 to 0.73 s
/// where all threads added to the same sums, and 0.48 to 0.55 s since (2 threads, 2 cores of an AMD EPYC with AVX-512).
const OWN_OF_PRODUCTS: usize = 1 << 20;
/// Numbers that may wait to be added, if that keeps the threads busy.
const WAITING: usize = 1 << 20;

/// Whether chunks may have so many sums of their own.
pub(super) fn are_few(sums: usize, of_products: bool) -> bool {
    sums <= if of_products { OWN_OF_PRODUCTS } else { OWN }
}

/// Whether each chunk of samples has sums of its own on a backend that can compute several at once, if these are `few`. Chunks that
/// memory forces to be shorter do not.
pub(super) fn are_apart(few: bool, chunk: usize, n: usize) -> bool {
    (1..n).contains(&chunk) && chunk.is_multiple_of(QUANTUM) && few
}

/// The memory that the sums of a chunk take besides, in numbers: the heads of their arrays, and the allocator's own. An estimate.
const HEADS: usize = 64;

/// How a request divides the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Division {
    /// n.
    pub samples: usize,
    /// Samples in one chunk.
    pub chunk: usize,
    /// Numbers that are summed over them.
    pub sums: usize,
    /// Whether chunks may have sums of their own.
    pub few: bool,
    /// Numbers of the results for each sample.
    pub kept: usize,
    /// Lanes of the samples.
    pub lanes: usize,
    /// Those of them that are computed here.
    pub share: Share,
}

/// The lanes that are computed here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Share {
    /// Those of a process, by its rank and the number of processes.
    Rank(usize, usize),
    /// Those from one on, up to another: of an adapter among several.
    #[cfg(feature = "gpu")]
    Lanes(usize, usize),
}

impl Share {
    /// All of them.
    pub(crate) const ALL: Share = Share::Rank(0, 1);
}

/// Samples that a task adds to sums of its own.
pub(super) struct Task<'a, B> {
    pub b: &'a B,
    pub rows: Range<usize>,
    /// Numbers that add up to the value: one for each [`QUANTUM`] samples where several tasks are computed at once, so that the bits
    /// of E do not depend on the chunks.
    pub values: usize,
}

impl Division {
    /// Returns how many chunks may wait to be added, and how many numbers each of them holds: sums, results for each sample, and those that
    /// add up to the value.
    pub(super) fn waiting(&self, threads: usize) -> (usize, usize) {
        let each = self.sums + self.kept * self.chunk + self.chunk.div_ceil(QUANTUM) + HEADS;
        ((WAITING / each).max(2 * threads), each)
    }

    /// Returns the lanes that this process computes.
    fn lanes_here(&self) -> Range<usize> {
        match self.share {
            Share::Rank(rank, size) => lanes::share(self.lanes, rank, size),
            #[cfg(feature = "gpu")]
            Share::Lanes(from, to) => from..to,
        }
    }

    /// Returns the rows of these lanes.
    pub(crate) fn rows_here(&self) -> Range<usize> {
        lanes::rows(self.samples, self.lanes, &self.lanes_here())
    }

    /// Returns the rows of a lane.
    pub(super) fn lane(&self, lane: usize) -> Range<usize> {
        lanes::rows(self.samples, self.lanes, &(lane..lane + 1))
    }

    /// Returns the sums that `take` finds in what `of` makes of the samples of this process: of each chunk on its own, or of a lane together. `take` gets
    /// them in the order of the samples. Backends for one thread are taken from `idle`, and wait there with their arrays for the
    /// next request.
    pub(super) fn run<B: Backend, T: Send, S: Additive>(
        self,
        b: &B,
        idle: &Mutex<Vec<B>>,
        of: impl Fn(Task<B>) -> Result<T> + Sync,
        mut take: impl FnMut(T) -> S,
    ) -> Result<Vec<Node<S>>> {
        let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = || lock().pop().or_else(|| b.on_one_thread());
        let first = are_apart(self.few, self.chunk, self.samples).then(alone).flatten();
        if let Some(first) = first {
            lock().push(first);
            return self.apart(alone, |b| lock().push(b), of, take);
        }
        let mut tree = Vec::new();
        for lane in self.lanes_here() {
            let mut sum = take(of(Task { b, rows: self.lane(lane), values: 1 })?);
            sum.close();
            push(&mut tree, Node { lane, lanes: 1, sum });
        }
        Ok(tree)
    }

    /// [`run`](Self::run) for each chunk on its own, on backends that are taken from `alone` and given `back`.
    fn apart<B: Backend, T: Send, S: Additive>(
        self,
        alone: impl Fn() -> Option<B> + Sync,
        back: impl Fn(B) + Sync,
        of: impl Fn(Task<B>) -> Result<T> + Sync,
        mut take: impl FnMut(T) -> S,
    ) -> Result<Vec<Node<S>>> {
        let (chunk, rows) = (self.chunk, self.rows_here());
        let (mut tree, mut lane, mut total) = (Vec::new(), self.lanes_here().start, None::<S>);
        if rows.is_empty() {
            return Ok(tree);
        }
        let threads = rayon::current_num_threads();
        let chunks = rows.start / chunk..rows.end.div_ceil(chunk);
        let (wave, _) = self.waiting(threads);
        for start in chunks.clone().step_by(wave) {
            let end = chunks.end.min(start + wave);
            let done = Mutex::new(Vec::from_iter((start..end).map(|_| None)));
            let next = AtomicUsize::new(start);
            let work = || {
                let Some(b) = alone() else {
                    return;
                };
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= end {
                        break;
                    }
                    let rows = at * chunk..rows.end.min((at + 1) * chunk);
                    let values = rows.len().div_ceil(QUANTUM);
                    let result = of(Task { b: &b, rows, values });
                    if result.is_err() {
                        // Chunks before this one have been taken: the first error is always the same.
                        next.store(end, Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner)[at - start] = Some(result);
                }
                back(b);
            };
            on_threads(threads.min(end - start), &work);
            let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
            for (at, result) in (start..).zip(done.into_iter().flatten()) {
                let next = take(result?);
                match &mut total {
                    None => total = Some(next),
                    Some(total) => total.add(next),
                }
                if rows.end.min((at + 1) * chunk) == self.lane(lane).end
                    && let Some(mut sum) = total.take()
                {
                    sum.close();
                    push(&mut tree, Node { lane, lanes: 1, sum });
                    lane += 1;
                }
            }
        }
        Ok(tree)
    }
}

/// Runs `work` so many times at once, on the threads of the current rayon pool; here if once is all.
fn on_threads(count: usize, work: &(impl Fn() + Sync)) {
    if count < 2 {
        return work();
    }
    rayon::scope(|scope| {
        for _ in 1..count {
            scope.spawn(|_| work());
        }
        work();
    });
}
