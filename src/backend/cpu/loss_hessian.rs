//! out[i, o, q] = ω_i ∂²g/∂x_o∂x_q. Evaluated in f64 and rounded once.

use faer::Par;

use super::loss_value::to_f64;
use super::tasks::{parts, try_each};
use super::{Array, BLOCK, Real, bytes};
use crate::backend::kernel::LossHessian;
use crate::error::Result;
use crate::level::in_lanes;

pub(super) fn run<T: Real>(par: Par, kernel: LossHessian<Array<T>>) -> Result<()> {
    let LossHessian { loss, x, y, omega, out } = kernel;
    let outputs = x.shape()[2];
    let (x, y, omega) = (x.dense(), y.dense(), omega.dense());
    loss.guarded(|| {
        try_each(par, parts(out, BLOCK), |part| {
            let mut buffers = vec![0.0; 2 * outputs + outputs * outputs];
            let (xi, rest) = buffers.split_at_mut(outputs);
            let (yi, h) = rest.split_at_mut(outputs);
            for (i, out) in (part.samples()).zip(part.numbers.chunks_exact_mut(outputs * outputs)) {
                let omega = omega[i].to_f64();
                if omega == 0.0 {
                    out.fill(T::ZERO);
                    continue;
                }
                to_f64(&x[i * outputs..(i + 1) * outputs], xi);
                to_f64(&y[i * outputs..(i + 1) * outputs], yi);
                in_lanes(
                    #[inline(always)]
                    || loss.hessian(xi, yi, h),
                );
                loss.refuse_nan("the Hessian", xi, yi, h)?;
                for (out, &v) in out.iter_mut().zip(&*h) {
                    *out = T::from_f64(omega * v);
                }
            }
            Ok(())
        })
    })?
}

/// Bytes of the numbers in f64.
pub(super) fn scratch<T: Real>(threads: usize, kernel: &LossHessian<Array<T>>) -> u64 {
    let outputs = kernel.x.shape()[2];
    bytes(&[8, threads, outputs, outputs.saturating_add(2)])
}
