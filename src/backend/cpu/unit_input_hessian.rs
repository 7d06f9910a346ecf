//! out[i, a, b] += Σ_j δ[i, j] ∂²p_j/∂z_a∂z_b.

use faer::Par;

use super::tasks::{parts, try_each};
use super::unit::{Calls, SAMPLES, number, row_in_f64};
use super::{Array, Real};
use crate::backend::kernel::UnitInputHessian;
use crate::error::Result;
use crate::network::exact;

pub(super) fn run<T: Real>(par: Par, kernel: UnitInputHessian<Array<T>>) -> Result<()> {
    let UnitInputHessian { units, delta, out } = kernel;
    let exact = exact(units.unit)?;
    let size = units.inputs() * units.inputs();
    Calls::guarded(&units, |calls| {
        try_each(par, parts(out, SAMPLES), |part| {
            let mut second = vec![0.0; size];
            for (local, i) in part.samples().enumerate() {
                let z = row_in_f64(&units.z, i);
                let out = &mut part.numbers[part.layout.at(local, 0, 0)..];
                for j in 0..calls.count {
                    calls.fill("∂²p/∂z²", &z, j, &mut second, |w, out| {
                        exact.d_zz(&z, w, out);
                    })?;
                    let delta = number(&delta, i, j);
                    for (out, &v) in out.iter_mut().zip(&second) {
                        *out += delta * T::from_f64(v);
                    }
                }
            }
            Ok(())
        })
    })
}
