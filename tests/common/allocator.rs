//! An allocator that counts the bytes that are held, and the most that were.
#![allow(unsafe_code)] // it cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The alignment of whole pages.
const PAGE: usize = 4096;

/// The bytes that are held.
pub fn live() -> i64 {
    LIVE.load(Relaxed)
}

/// A result, and the bytes that were held at the peak besides those that were held before.
pub fn peak_of<R>(run: impl FnOnce() -> R) -> (R, i64) {
    let before = live();
    PEAK.store(before, Relaxed);
    let result = run();
    (result, PEAK.load(Relaxed) - before)
}

/// Counts bytes, but for whole pages: these are what the library of matrix products reserves for each thread, hardly any of which it touches
/// (twice the third-level cache, which is 1 GB on some machines).
fn count(layout: Layout, bytes: i64) {
    if layout.align() >= PAGE {
        return;
    }
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, layout.size() as i64);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout, layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout, -(layout.size() as i64));
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout, size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
