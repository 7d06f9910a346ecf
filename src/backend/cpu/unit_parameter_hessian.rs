//! sum[j, (a, b)] += Σ_i δ[i, j] ∂²p_j/∂w_a∂w_b, a ≥ b, packed; or its diagonal a = b alone.

use faer::Par;

use super::reduce::{self, try_in_blocks};
use super::unit::{Calls, number, row_in_f64};
use super::{Array, Real, Sum};
use crate::backend::kernel::UnitParameterHessian;
use crate::error::Result;

/// In blocks of so many samples.
pub(super) fn run<T: Real>(
    par: Par,
    block: usize,
    kernel: UnitParameterHessian<Array<T>, Sum>,
) -> Result<()> {
    let UnitParameterHessian { units, delta, diagonal, sum } = kernel;
    let (n, t) = (units.samples(), units.parameters());
    let size = if diagonal { t } else { t * (t + 1) / 2 };
    Calls::guarded(&units, |calls| {
        try_in_blocks(par, n, block, &mut sum.numbers, |from, to, out: &mut [T]| {
            let mut psi = vec![0.0; t * t];
            for i in from..to {
                let z = row_in_f64(&units.z, i);
                for j in 0..calls.count {
                    calls.fill("∂²p/∂w²", &z, j, &mut psi, |w, psi| {
                        calls.unit.d_ww(&z, w, psi);
                    })?;
                    let delta = number(&delta, i, j);
                    let mut out = out[j * size..(j + 1) * size].iter_mut();
                    for (a, row) in psi.chunks_exact(t.max(1)).enumerate() {
                        let first = if diagonal { a } else { 0 };
                        for (&v, out) in row[first..=a].iter().zip(&mut out) {
                            *out += delta * T::from_f64(v);
                        }
                    }
                }
            }
            Ok(())
        })
    })
}

/// Bytes of the partial sums, and of what all kernels of units take.
pub(super) fn scratch<T: Real>(
    threads: usize,
    block: usize,
    kernel: &UnitParameterHessian<Array<T>, Sum>,
) -> u64 {
    let UnitParameterHessian { units, sum, .. } = kernel;
    let partial = reduce::scratch::<T>(units.samples(), block, sum.len());
    partial.saturating_add(super::unit::scratch(threads, units))
}
