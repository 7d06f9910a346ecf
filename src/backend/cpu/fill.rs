//! out[i, r, c] = value.

use faer::Par;

use super::tasks::{each, parts, worth};
use super::walk::Walk;
use super::{Array, Real};
use crate::backend::kernel::Fill;

pub(super) fn run<T: Real>(par: Par, kernel: Fill<Array<T>>) {
    let Fill { value, out } = kernel;
    let [_, rows, columns] = out.shape();
    each(par, parts(out, worth(rows * columns)), |part| {
        Walk::new([part.layout]).fill(part.numbers, T::from_f64(value));
    });
}
