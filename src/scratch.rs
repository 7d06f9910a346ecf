//! The memory that the library of matrix products reserves for itself, once for each thread: it cannot be told to ask first.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock, PoisonError};

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

use crate::error::{Error, Result};
use crate::memory::{ask_for, available_memory, is_address_space_limited};

/// Returns the bytes of address space that the library of matrix products reserves for each thread at its first product, hardly any of
/// which it touches: twice the third-level cache; 0 where the system does not tell its size.
pub fn scratch_of_thread() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let size = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size");
        let kibibytes = |text: String| text.trim().strip_suffix('K')?.parse::<usize>().ok();
        size.ok().and_then(kibibytes).unwrap_or(0).saturating_mul(2048)
    })
}

/// Reserves that memory for the threads of the current rayon pool and for this one, where the address space is limited: a product that
/// finds no room would end the process. Requests of a [`Problem`](crate::Problem) do so themselves.
///
/// # Errors
/// `Memory` where there is no room.
pub fn reserve_scratch() -> Result<()> {
    if !is_address_space_limited() {
        return Ok(());
    }
    rayon::broadcast(|_| of_this_thread()).into_iter().collect::<Result<Vec<()>>>()?;
    of_this_thread()
}

/// The same for this thread alone.
///
/// # Errors
/// As [`reserve_scratch`].
pub(crate) fn of_this_thread() -> Result<()> {
    thread_local!(static IS_RESERVED: Cell<bool> = const { Cell::new(false) });
    // One thread asks, and takes, at a time: two could be promised the same room.
    static ASKING: Mutex<()> = Mutex::new(());
    if IS_RESERVED.get() || !is_address_space_limited() {
        return Ok(());
    }
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    ask_for::<u8>("", scratch_of_thread()).map_err(|_| Error::Memory {
        what: "the library of matrix products, for each thread,".into(),
        need: scratch_of_thread() as u64,
        budget: available_memory(),
        advice: "raise the limit of the address space (ulimit -v), or take fewer threads".into(),
    })?;
    // Large enough for the library to pack it.
    let a = Mat::<f64>::zeros(SIDE, SIDE);
    let mut product = Mat::<f64>::zeros(SIDE, SIDE);
    matmul(product.as_mut(), Accum::Replace, a.as_ref(), a.as_ref(), 1.0, Par::Seq);
    IS_RESERVED.set(true);
    Ok(())
}

/// The order of the matrices of the first product.
const SIDE: usize = 128;
