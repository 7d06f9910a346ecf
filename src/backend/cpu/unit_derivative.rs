//! out[i, j, a] = ∂p/∂w_a or ∂p/∂z_a at (z_i, w_j).

use faer::Par;

use super::tasks::{parts, try_each};
use super::unit::{Calls, SAMPLES, row_in_f64};
use super::{Array, Real};
use crate::backend::kernel::{Argument, UnitDerivative};
use crate::error::Result;

pub(super) fn run<T: Real>(par: Par, kernel: UnitDerivative<Array<T>>) -> Result<()> {
    let UnitDerivative { units, with_respect_to, out } = kernel;
    let width = units.width_of(with_respect_to);
    Calls::guarded(&units, |calls| {
        let unit = calls.unit;
        try_each(par, parts(out, SAMPLES), |part| {
            let mut row = vec![0.0; width];
            for (local, i) in part.samples().enumerate() {
                let z = row_in_f64(&units.z, i);
                for j in 0..calls.count {
                    match with_respect_to {
                        Argument::Parameters => {
                            calls.fill("∂p/∂w", &z, j, &mut row, |w, phi| unit.d_w(&z, w, phi))
                        }
                        Argument::Inputs => {
                            calls.fill("∂p/∂z", &z, j, &mut row, |w, a| unit.d_z(&z, w, a))
                        }
                    }?;
                    let out = &mut part.numbers[part.layout.at(local, j, 0)..];
                    for (out, &v) in out.iter_mut().zip(&row) {
                        *out = T::from_f64(v);
                    }
                }
            }
            Ok(())
        })
    })
}
