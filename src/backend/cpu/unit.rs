//! Units that are not linear: p, its derivatives φ and A, and its second derivatives.
//!
//! The user's [`Unit`](crate::network::Unit) computes in f64 for one sample and unit at a time. A panic there, and a NaN made of
//! finite numbers, end as errors that name the unit.

use super::array::Input;
use super::{Array, BLOCK, Real, bytes};
use crate::backend::kernel::{Direction, Units};
use crate::error::Result;
use crate::guard;
use crate::network::Unit;

/// Samples of a task.
pub(super) const SAMPLES: usize = BLOCK / 8;

/// A row of a view in f64.
pub(super) fn row_in_f64<T: Real>(view: &Input<T>, i: usize) -> Vec<f64> {
    let mut row = vec![T::ZERO; view.shape()[2]];
    view.copy_row(i, 0, &mut row);
    in_f64(&row)
}

pub(super) fn in_f64<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The number of a view with one row for each sample.
pub(super) fn number<T: Real>(view: &Input<T>, i: usize, c: usize) -> T {
    view.array.numbers[view.layout.at(i, 0, c)]
}

/// Parameters that all samples share, or a direction in them, in f64: t of each unit.
pub(super) fn shared_in_f64<T: Real>(weights: &Input<T>) -> Vec<f64> {
    in_f64(&weights.with(|layout| layout.samples(0..1)).gathered())
}

/// A group of units with its parameters in f64.
pub(super) struct Calls<'a> {
    pub(super) unit: &'a dyn Unit,
    pub(super) name: &'a str,
    /// All units' parameters, t of each.
    pub(super) weights: Vec<f64>,
    /// The number of units.
    pub(super) count: usize,
    pub(super) t: usize,
}

impl<'a> Calls<'a> {
    /// Returns what `run` returns.
    ///
    /// # Errors
    /// Those of `run`, and that of a unit that panics.
    pub(super) fn guarded<T: Real, R>(
        units: &Units<'a, Array<T>>,
        run: impl FnOnce(&Calls) -> Result<R>,
    ) -> Result<R> {
        let run = |name| {
            run(&Calls {
                unit: units.unit,
                name,
                weights: shared_in_f64(&units.weights),
                count: units.units(),
                t: units.parameters(),
            })
        };
        guard::named("unit", || units.unit.name(), run)?
    }

    /// Lets `fill` write and refuses a NaN that it makes of the finite z and w.
    pub(super) fn fill(
        &self,
        what: &str,
        z: &[f64],
        j: usize,
        out: &mut [f64],
        fill: impl FnOnce(&[f64], &mut [f64]),
    ) -> Result<()> {
        let w = &self.weights[j * self.t..(j + 1) * self.t];
        fill(w, out);
        guard::refuse_nan("unit", self.name, what, &[z, w], out)
    }
}

/// A direction in the parameters of all units, in f64, and in the inputs.
pub(super) struct Along<'a, T> {
    pub(super) weights: Option<Vec<f64>>,
    pub(super) inputs: Option<Input<'a, T>>,
    pub(super) t: usize,
}

impl<'a, T: Real> Along<'a, T> {
    pub(super) fn new(direction: &Direction<'a, Array<T>>, t: usize) -> Self {
        Along {
            weights: direction.weights.as_ref().map(shared_in_f64),
            inputs: direction.inputs,
            t,
        }
    }

    /// ẇ_j.
    pub(super) fn weights(&self, j: usize) -> Option<&[f64]> {
        let weights = self.weights.as_ref()?;
        Some(&weights[j * self.t..(j + 1) * self.t])
    }

    /// ż of sample i in f64.
    pub(super) fn inputs(&self, i: usize) -> Option<Vec<f64>> {
        Some(row_in_f64(self.inputs.as_ref()?, i))
    }
}

/// Bytes of the parameters and a direction in f64, and of the derivatives that each thread holds, at the most.
pub(super) fn scratch<T: Real>(threads: usize, units: &Units<Array<T>>) -> u64 {
    let (s, t, d) = (units.units(), units.parameters(), units.inputs());
    let all = bytes(&[8, 2, s, t]);
    let width = t.max(d);
    let each = bytes(&[8, threads, width.saturating_add(6), width.saturating_mul(2)]);
    all.saturating_add(each)
}
