//! out[i, r, c] = a[i, r, c] b[i, r, c], or += where it accumulates.

use faer::Par;

use super::tasks::{each, parts, worth};
use super::walk::Walk;
use super::{Array, Real};
use crate::backend::kernel::Multiply;
use crate::level::in_lanes;

pub(super) fn run<T: Real>(par: Par, kernel: Multiply<Array<T>>) {
    let Multiply { a, b, out, accumulate } = kernel;
    let [_, rows, columns] = out.shape();
    each(par, parts(out, worth(rows * columns)), |part| {
        let (samples, out) = (part.samples(), part.numbers);
        let walk =
            Walk::new([part.layout, a.samples(samples.clone()).layout, b.samples(samples).layout]);
        let (a, b) = (&a.array.numbers, &b.array.numbers);
        in_lanes(
            #[inline(always)]
            || {
                if accumulate {
                    walk.each(out, a, b, |out, a, b| *out += a * b);
                } else {
                    walk.each(out, a, b, |out, a, b| *out = a * b);
                }
            },
        );
    });
}
