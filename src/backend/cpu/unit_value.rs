//! out[i, j] = p(z_i; w_j).

use faer::Par;

use super::tasks::{parts, try_each};
use super::unit::{Calls, SAMPLES, row_in_f64};
use super::{Array, Real};
use crate::backend::kernel::UnitValue;
use crate::error::Result;

pub(super) fn run<T: Real>(par: Par, kernel: UnitValue<Array<T>>) -> Result<()> {
    let UnitValue { units, out } = kernel;
    Calls::guarded(&units, |calls| {
        try_each(par, parts(out, SAMPLES), |part| {
            for (local, i) in part.samples().enumerate() {
                let z = row_in_f64(&units.z, i);
                for j in 0..calls.count {
                    let mut value = [0.0];
                    calls.fill("p", &z, j, &mut value, |w, p| {
                        p[0] = calls.unit.value(&z, w);
                    })?;
                    part.numbers[part.layout.at(local, 0, j)] = T::from_f64(value[0]);
                }
            }
            Ok(())
        })
    })
}
