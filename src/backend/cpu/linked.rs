//! out[i, q, j] = p[i, q] A[j, column + q] d[i, j], with a 0 behind each row if `constant`.

use super::{Real, each_samples};
use crate::backend::Operand;

pub(super) fn linked<T: Real>(
    p: &[T],
    a: &Operand<Vec<T>>,
    column: usize,
    count: usize,
    d: &[T],
    constant: bool,
    out: &mut [T],
) {
    let (units, width) = (a.layer, a.layer + usize::from(constant));
    if count * units == 0 {
        return out.fill(T::ZERO);
    }
    // A's columns as rows.
    let turned: Vec<T> = (column..column + count)
        .flat_map(|q| a.array[q..].iter().step_by(a.width).copied())
        .collect();
    each_samples(
        count * width,
        out,
        #[inline(always)]
        |first, out| {
            let p = p[first * count..].chunks_exact(count);
            let d = d[first * units..].chunks_exact(units);
            for ((out, p), d) in out.chunks_exact_mut(count * width).zip(p).zip(d) {
                let rows = turned.chunks_exact(units);
                for ((out, a), &p) in out.chunks_exact_mut(width).zip(rows).zip(p) {
                    let (out, behind) = out.split_at_mut(units);
                    for ((out, &a), &d) in out.iter_mut().zip(a).zip(d) {
                        *out = a * d * p;
                    }
                    behind.fill(T::ZERO);
                }
            }
        },
    );
}
