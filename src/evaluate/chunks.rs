//! Chunks of samples, one after the other or several at once.
//!
//! Where the sums of a request are small, each chunk has sums of its own, and every thread takes the next chunk: its arrays stay
//! in the thread's cache from one kernel to the next, and no kernel waits for other threads. Where they are large, as those of a
//! whole Hessian, all chunks add to the same sums, one after the other, and the kernels divide their work among the threads.
//! Either way the sums of the chunks are added in their order: the bits of a result do not depend on the threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::backend::Backend;
use crate::backend::cpu::QUANTUM;
use crate::error::Result;

/// Numbers up to which each chunk has sums of its own: 2 MiB, a choice.
const OWN: usize = 1 << 18;
/// Numbers that may wait to be added, if that keeps the threads busy.
const WAITING: usize = 1 << 20;

/// Whether each chunk of samples has sums of its own on a backend that can compute several at once. Chunks that memory forces to
/// be shorter do not.
pub(super) fn is_apart(sums: usize, chunk: usize, n: usize) -> bool {
    (1..n).contains(&chunk) && chunk.is_multiple_of(QUANTUM) && sums <= OWN
}

/// How many chunks may wait to be added that leave so many numbers each.
pub(super) fn waiting(numbers: usize, threads: usize) -> usize {
    (WAITING / numbers.max(1)).max(2 * threads)
}

/// What `of` makes of all samples: of each chunk on its own, `add`ed in their order, or of all together. It sums up `sums` numbers
/// and leaves `kept` for each sample.
pub(super) fn over_samples<B: Backend, T: Send>(
    backend: &B,
    n: usize,
    chunk: usize,
    (sums, kept): (usize, usize),
    of: impl Fn(&B, Range<usize>) -> Result<T> + Sync,
    add: impl Fn(&mut T, T),
) -> Result<T> {
    if !is_apart(sums, chunk, n) || backend.part().is_none() {
        return of(backend, 0..n);
    }
    let chunks: Vec<_> = (0..n)
        .step_by(chunk)
        .map(|from| from..n.min(from + chunk))
        .collect();
    let threads = rayon::current_num_threads();
    let pools = pools(threads.min(chunks.len()));
    let mut total = None;
    for wave in chunks.chunks(waiting(sums + kept * chunk, threads)) {
        let done = Mutex::new(Vec::from_iter(wave.iter().map(|_| None)));
        let next = AtomicUsize::new(0);
        on_each(&pools, &|| {
            let Some(backend) = backend.part() else {
                return;
            };
            while let Some((at, rows)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                wave.get(at).map(|rows| (at, rows))
            } {
                let result = of(&backend, rows.clone());
                if result.is_err() {
                    // Chunks before this one have been taken: the first error is always the same.
                    next.store(wave.len(), Ordering::Relaxed);
                }
                done.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(result);
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        for result in done.into_iter().flatten() {
            match &mut total {
                None => total = Some(result?),
                Some(total) => add(total, result?),
            }
        }
    }
    match total {
        Some(total) => Ok(total),
        None => of(backend, 0..0),
    }
}

/// total += other, list by list.
pub(super) fn add_each<'a>(
    total: impl IntoIterator<Item = &'a mut Vec<f64>>,
    other: impl IntoIterator<Item = Vec<f64>>,
) {
    for (total, other) in total.into_iter().zip(other) {
        (total.iter_mut().zip(other)).for_each(|(total, v)| *total += v);
    }
}

/// Pools of one thread each, so that a kernel's work stays on the thread that computes the chunk; none where one thread is all.
fn pools(count: usize) -> Vec<Arc<ThreadPool>> {
    static POOLS: Mutex<Vec<Arc<ThreadPool>>> = Mutex::new(Vec::new());
    if count < 2 {
        return Vec::new();
    }
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    while pools.len() < count {
        match ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pools.push(Arc::new(pool)),
            // With the threads that there are.
            Err(_) => break,
        }
    }
    pools[..count.min(pools.len())].to_vec()
}

/// Runs `work` once in each pool, at the same time; here if there is none.
fn on_each(pools: &[Arc<ThreadPool>], work: &(impl Fn() + Sync)) {
    match pools {
        [] => work(),
        [pool] => pool.in_place_scope(|scope| scope.spawn(|_| work())),
        [pool, rest @ ..] => pool.in_place_scope(|scope| {
            scope.spawn(|_| work());
            on_each(rest, work);
        }),
    }
}
