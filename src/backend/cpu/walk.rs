//! Elementwise operations on strided views: row by row, and rows without gaps joined.

use super::Real;
use crate::backend::Layout;

/// How views of one shape are walked through together, the first of them written.
pub(super) struct Walk<const N: usize> {
    shape: [usize; 3],
    /// The first place in each view.
    offsets: [usize; N],
    strides: [[usize; N]; 3],
}

impl<const N: usize> Walk<N> {
    /// Joins an axis with the one outside it wherever all views allow it, so that the innermost loop is as long as can be.
    pub fn new(layouts: [Layout; N]) -> Self {
        let mut walk = Walk {
            shape: [1; 3],
            offsets: layouts.map(|layout| layout.offset),
            strides: [[0; N]; 3],
        };
        debug_assert!(layouts.iter().all(|l| l.shape == layouts[0].shape));
        // From the innermost axis outwards.
        let mut at = 2;
        for axis in (0..3).rev() {
            let (len, strides) = (layouts[0].shape[axis], layouts.map(|l| l.strides[axis]));
            if len == 1 {
                continue;
            }
            let inner = (walk.shape[at], walk.strides[at]);
            let joined = (0..N).all(|k| strides[k] == inner.0 * inner.1[k]);
            if inner.0 == 1 {
                (walk.shape[at], walk.strides[at]) = (len, strides);
            } else if joined {
                walk.shape[at] *= len;
            } else {
                at -= 1;
                (walk.shape[at], walk.strides[at]) = (len, strides);
            }
        }
        walk
    }

    /// Calls `f` with the first places of each row.
    #[inline(always)]
    fn rows(&self, mut f: impl FnMut([usize; N])) {
        let [outer, middle, _] = self.shape;
        let mut first = self.offsets;
        for _ in 0..outer {
            let mut at = first;
            for _ in 0..middle {
                f(at);
                (at.iter_mut().zip(self.strides[1])).for_each(|(at, stride)| *at += stride);
            }
            (first.iter_mut().zip(self.strides[0])).for_each(|(at, stride)| *at += stride);
        }
    }

    /// The number of elements of a row, and their distances in each view.
    fn row(&self) -> (usize, [usize; N]) {
        (self.shape[2], self.strides[2])
    }
}

impl Walk<1> {
    /// Puts a value into each place.
    pub fn fill<T: Real>(&self, out: &mut [T], value: T) {
        let (len, [step]) = self.row();
        self.rows(|[o]| match step {
            1 => out[o..][..len].fill(value),
            _ => (0..len).for_each(|c| out[o + c * step] = value),
        });
    }
}

impl Walk<2> {
    /// Whether the rows have no gaps.
    pub fn is_in_rows(&self) -> bool {
        matches!(self.row(), (0 | 1, _) | (_, [1, 1]))
    }

    /// Copies rows that have no gaps.
    pub fn copy<T: Real>(&self, out: &mut [T], from: &[T]) {
        let (len, _) = self.row();
        self.rows(|[o, x]| match len {
            1 => out[o] = from[x],
            _ => out[o..][..len].copy_from_slice(&from[x..][..len]),
        });
    }

    /// Calls `put(out, a)` for each element.
    #[inline(always)]
    pub fn each<T: Real>(&self, out: &mut [T], a: &[T], put: impl Fn(&mut T, T)) {
        let (len, steps) = self.row();
        self.rows(
            #[inline(always)]
            |[o, x]| match steps {
                [1, 1] => {
                    for (out, &a) in out[o..][..len].iter_mut().zip(&a[x..][..len]) {
                        put(out, a);
                    }
                }
                [1, 0] => {
                    let a = a[x];
                    out[o..][..len].iter_mut().for_each(|out| put(out, a));
                }
                [step, of_a] => {
                    (0..len).for_each(|c| put(&mut out[o + c * step], a[x + c * of_a]));
                }
            },
        );
    }
}

impl Walk<3> {
    /// Calls `put(out, a, b)` for each element.
    #[inline(always)]
    pub fn each<T: Real>(&self, out: &mut [T], a: &[T], b: &[T], put: impl Fn(&mut T, T, T)) {
        let (len, steps) = self.row();
        self.rows(
            #[inline(always)]
            |[o, x, y]| match steps {
                [1, 1, 1] => {
                    let pairs = a[x..][..len].iter().zip(&b[y..][..len]);
                    for (out, (&a, &b)) in out[o..][..len].iter_mut().zip(pairs) {
                        put(out, a, b);
                    }
                }
                [1, 0, 1] => {
                    let a = a[x];
                    for (out, &b) in out[o..][..len].iter_mut().zip(&b[y..][..len]) {
                        put(out, a, b);
                    }
                }
                [1, 1, 0] => {
                    let b = b[y];
                    for (out, &a) in out[o..][..len].iter_mut().zip(&a[x..][..len]) {
                        put(out, a, b);
                    }
                }
                [step, of_a, of_b] => (0..len).for_each(|c| {
                    put(&mut out[o + c * step], a[x + c * of_a], b[y + c * of_b]);
                }),
            },
        );
    }
}

impl Walk<4> {
    /// Calls `put(out, a, b, c)` for each element.
    #[inline(always)]
    pub fn each<T: Real>(
        &self,
        out: &mut [T],
        a: &[T],
        b: &[T],
        c: &[T],
        put: impl Fn(&mut T, T, T, T),
    ) {
        let (len, steps) = self.row();
        self.rows(
            #[inline(always)]
            |[o, x, y, z]| match steps {
                [1, 1, 1, 0] => {
                    let (c, pairs) = (c[z], a[x..][..len].iter().zip(&b[y..][..len]));
                    for (out, (&a, &b)) in out[o..][..len].iter_mut().zip(pairs) {
                        put(out, a, b, c);
                    }
                }
                [step, of_a, of_b, of_c] => (0..len).for_each(|k| {
                    let (a, b, c) = (a[x + k * of_a], b[y + k * of_b], c[z + k * of_c]);
                    put(&mut out[o + k * step], a, b, c);
                }),
            },
        );
    }
}

impl Walk<5> {
    /// Calls `put(out, [a, b, c, d])` for each element.
    #[inline(always)]
    pub fn each<T: Real>(
        &self,
        out: &mut [T],
        [a, b, c, d]: [&[T]; 4],
        put: impl Fn(&mut T, [T; 4]),
    ) {
        let (len, steps) = self.row();
        self.rows(
            #[inline(always)]
            |[o, at_a, at_b, at_c, at_d]| match steps {
                [1, 1, 1, 1, 1] => {
                    let first = a[at_a..][..len].iter().zip(&b[at_b..][..len]);
                    let last = c[at_c..][..len].iter().zip(&d[at_d..][..len]);
                    for (out, ((&a, &b), (&c, &d))) in
                        out[o..][..len].iter_mut().zip(first.zip(last))
                    {
                        put(out, [a, b, c, d]);
                    }
                }
                [step, of_a, of_b, of_c, of_d] => (0..len).for_each(|k| {
                    let (a, b) = (a[at_a + k * of_a], b[at_b + k * of_b]);
                    let (c, d) = (c[at_c + k * of_c], d[at_d + k * of_d]);
                    put(&mut out[o + k * step], [a, b, c, d]);
                }),
            },
        );
    }
}
