//! out[i, j] += φ[i, j] · ẇ_j + A[i, j] · ż_i: the derivative of p along a direction.

use faer::Par;

use super::tasks::{parts, try_each};
use super::unit::{Along, Calls, SAMPLES, dot, row_in_f64};
use super::{Array, Real};
use crate::backend::kernel::UnitSlope;
use crate::error::Result;

pub(super) fn run<T: Real>(par: Par, kernel: UnitSlope<Array<T>>) -> Result<()> {
    let UnitSlope { units, along, out } = kernel;
    let (t, d) = (units.parameters(), units.inputs());
    let along = Along::new(&along, t);
    Calls::guarded(&units, |calls| {
        let unit = calls.unit;
        try_each(par, parts(out, SAMPLES), |part| {
            let (mut phi, mut a) = (vec![0.0; t], vec![0.0; d]);
            for (local, i) in part.samples().enumerate() {
                let z = row_in_f64(&units.z, i);
                let dz = along.inputs(i);
                for j in 0..calls.count {
                    let mut slope = 0.0;
                    if let Some(dw) = along.weights(j) {
                        calls.fill("∂p/∂w", &z, j, &mut phi, |w, phi| unit.d_w(&z, w, phi))?;
                        slope += dot(&phi, dw);
                    }
                    if let Some(dz) = &dz {
                        calls.fill("∂p/∂z", &z, j, &mut a, |w, a| unit.d_z(&z, w, a))?;
                        slope += dot(&a, dz);
                    }
                    part.numbers[part.layout.at(local, 0, j)] += T::from_f64(slope);
                }
            }
            Ok(())
        })
    })
}
