//! out[j, a] += Σ_i δ[i, j] φ[i, a].

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::Real;
use super::reduce::in_blocks;
use crate::backend::{Kind, Operand};

pub(super) fn gradient<T: Real>(n: usize, delta: &[T], phi: &Operand<Vec<T>>, out: &mut [f64]) {
    match phi.kind {
        Kind::Shared => weighted_sum(
            n,
            delta,
            phi.layer,
            phi.units.start,
            phi.array,
            phi.width,
            out,
        ),
        Kind::Sampled => {
            let (units, width) = (phi.units.len(), phi.width);
            let size = units * width;
            in_blocks(n, out, |from, to, out: &mut [T]| {
                for i in from..to {
                    for j in 0..units {
                        let d = delta[i * phi.layer + phi.units.start + j];
                        let row = &phi.array[i * size + j * width..][..width];
                        for (out, &v) in out[j * width..].iter_mut().zip(row) {
                            *out += d * v;
                        }
                    }
                }
            });
        }
    }
}

/// out[j, a] += Σ_i m[i, first + j] z[i, a]; m: n × stride, z: n × width, out: units × width.
pub(super) fn weighted_sum<T: Real>(
    n: usize,
    m: &[T],
    stride: usize,
    first: usize,
    z: &[T],
    width: usize,
    out: &mut [f64],
) {
    let Some(units) = out.len().checked_div(width) else {
        return;
    };
    in_blocks(n, out, |from, to, out| {
        matmul(
            MatMut::from_row_major_slice_mut(out, units, width),
            Accum::Replace,
            MatRef::from_row_major_slice(&m[from * stride..to * stride], to - from, stride)
                .subcols(first, units)
                .transpose(),
            MatRef::from_row_major_slice(&z[from * width..to * width], to - from, width),
            T::ONE,
            Par::Seq,
        );
    });
}
