//! out[i, v, j] += a[i, j] b[i, v, j]; or = where it replaces, with a 0 behind each row if `constant`.

use super::{Real, each_row, each_samples};

pub(super) fn multiply_add<T: Real>(vectors: usize, units: usize, a: &[T], b: &[T], out: &mut [T]) {
    each(
        vectors,
        units,
        units,
        a,
        b,
        out,
        #[inline(always)]
        |out, ab| *out += ab,
    );
}

pub(super) fn multiply<T: Real>(
    vectors: usize,
    units: usize,
    constant: bool,
    a: &[T],
    b: &[T],
    out: &mut [T],
) {
    let width = units + usize::from(constant);
    each(
        vectors,
        units,
        width,
        a,
        b,
        out,
        #[inline(always)]
        |out, ab| *out = ab,
    );
}

/// `width` numbers in a row of out: what is behind the units becomes 0.
#[inline(always)]
fn each<T: Real>(
    vectors: usize,
    units: usize,
    width: usize,
    a: &[T],
    b: &[T],
    out: &mut [T],
    put: impl Fn(&mut T, T) + Sync,
) {
    if units == 0 {
        return out.fill(T::ZERO);
    }
    let (size, wide) = (vectors * units, vectors * width);
    each_samples(
        wide,
        out,
        #[inline(always)]
        |first, out| {
            let (a, b) = (&a[first * units..], &b[first * size..]);
            each_row(
                vectors,
                units,
                width,
                out,
                #[inline(always)]
                |out, row, sample| {
                    for ((out, &b), &a) in out.iter_mut().zip(&b[row]).zip(&a[sample]) {
                        put(out, a * b);
                    }
                },
            );
        },
    );
}
