//! out[i, r, c] *= by[i, r, c].

use faer::Par;

use super::tasks::{each, parts, worth};
use super::walk::Walk;
use super::{Array, Real};
use crate::backend::kernel::Scale;
use crate::level::in_lanes;

pub(super) fn run<T: Real>(par: Par, kernel: Scale<Array<T>>) {
    let Scale { by, out } = kernel;
    let [_, rows, columns] = out.shape();
    each(par, parts(out, worth(rows * columns)), |part| {
        let walk = Walk::new([part.layout, by.samples(part.samples()).layout]);
        in_lanes(
            #[inline(always)]
            || walk.each(part.numbers, &by.array.numbers, |out, by| *out *= by),
        );
    });
}
