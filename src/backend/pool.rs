//! Large arrays that wait for their next use.
//!
//! A chunk of samples takes dozens of arrays of some megabytes, and the next chunk the same lengths again. Fresh memory costs a
//! page fault for every 4 KiB and a pass that clears it: faults alone were a sixth of a profile of the exact Hessian of [8-64-64-1].

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Arrays shorter than this are left to the allocator: to clear them takes no longer than to look for one that waits.
const SMALL: usize = 1 << 6;

/// Arrays that were given back, by their lengths.
#[derive(Debug)]
pub(super) struct Pool<A>(Mutex<BTreeMap<usize, Shelf<A>>>);

#[derive(Debug)]
struct Shelf<A> {
    free: Vec<A>,
    /// Arrays that were asked for and not given back: no more are kept than there were.
    out: usize,
}

impl<A> Default for Pool<A> {
    fn default() -> Self {
        Pool(Mutex::default())
    }
}

impl<A> Pool<A> {
    /// An array of this very length, with whatever it held; `None` where a new one must be made.
    pub fn take(&self, len: usize) -> Option<A> {
        if len < SMALL {
            return None;
        }
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(len).or_insert(Shelf { free: Vec::new(), out: 0 });
        shelf.out += 1;
        shelf.free.pop()
    }

    /// Keeps an array for the next one of its length.
    pub fn keep(&self, len: usize, array: A) {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = shelves.get_mut(&len).filter(|shelf| shelf.out > 0) {
            shelf.out -= 1;
            shelf.free.push(array);
        }
    }

    /// Frees all arrays.
    pub fn clear(&self) {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, SMALL};

    #[test]
    fn what_was_asked_for_and_given_back_is_used_again() {
        let pool = Pool::default();
        assert_eq!(pool.take(SMALL), None);
        pool.keep(SMALL, 'a');
        assert_eq!(pool.take(SMALL + 1), None);
        assert_eq!((pool.take(SMALL), pool.take(SMALL)), (Some('a'), None));
        pool.keep(SMALL, 'a');
        pool.clear();
        assert_eq!(pool.take(SMALL), None);
    }

    #[test]
    fn no_more_is_kept_than_was_asked_for() {
        let pool = Pool::default();
        pool.keep(SMALL, 'x');
        assert_eq!(pool.take(SMALL), None);
        pool.keep(SMALL, 'a');
        pool.keep(SMALL, 'b');
        assert_eq!((pool.take(SMALL), pool.take(SMALL)), (Some('a'), None));
        pool.take(SMALL - 1);
        pool.keep(SMALL - 1, 'c');
        assert_eq!(pool.take(SMALL - 1), None);
    }
}
