//! The derivative of φ or A along a direction.
//!
//! ```text
//! φ:  out[i, j, a] = Σ_b ∂²p/∂w_a∂w_b ẇ_jb + Σ_c ∂²p/∂w_a∂z_c ż_ic
//! A:  out[i, j, a] = Σ_b ∂²p/∂z_a∂w_b ẇ_jb + Σ_c ∂²p/∂z_a∂z_c ż_ic
//! ```

use faer::Par;

use super::tasks::{parts, try_each};
use super::unit::{Along, Calls, SAMPLES, dot, row_in_f64};
use super::{Array, Real};
use crate::backend::kernel::{Argument, UnitDerivativeSlope};
use crate::error::Result;
use crate::network::{ExactUnit, exact};

pub(super) fn run<T: Real>(par: Par, kernel: UnitDerivativeSlope<Array<T>>) -> Result<()> {
    let UnitDerivativeSlope { units, along, with_respect_to, out } = kernel;
    // Along the parameters alone, φ needs no derivative in the inputs.
    let exact = if with_respect_to == Argument::Parameters && along.inputs.is_none() {
        None
    } else {
        Some(exact(units.unit)?)
    };
    let along = Along::new(&along, units.parameters());
    let width = units.width_of(with_respect_to);
    Calls::guarded(&units, |calls| {
        try_each(par, parts(out, SAMPLES), |part| {
            let mut second = Second::new(calls, exact, with_respect_to, units.inputs());
            let mut total = vec![0.0; width];
            for (local, i) in part.samples().enumerate() {
                let z = row_in_f64(&units.z, i);
                let dz = along.inputs(i);
                for j in 0..calls.count {
                    total.fill(0.0);
                    second.add(&z, j, along.weights(j), dz.as_deref(), &mut total)?;
                    let out = &mut part.numbers[part.layout.at(local, j, 0)..];
                    for (out, &total) in out.iter_mut().zip(&total) {
                        *out = T::from_f64(total);
                    }
                }
            }
            Ok(())
        })
    })
}

/// The second derivatives of one unit at one sample.
struct Second<'a> {
    calls: &'a Calls<'a>,
    exact: Option<&'a dyn ExactUnit>,
    of: Argument,
    d: usize,
    /// ∂²p/∂w² or ∂²p/∂z².
    same: Vec<f64>,
    /// ∂²p/∂w∂z.
    mixed: Vec<f64>,
}

impl<'a> Second<'a> {
    fn new(calls: &'a Calls<'a>, exact: Option<&'a dyn ExactUnit>, of: Argument, d: usize) -> Self {
        let width = match of {
            Argument::Parameters => calls.t,
            Argument::Inputs => d,
        };
        Second {
            calls,
            exact,
            of,
            d,
            same: vec![0.0; width * width],
            mixed: vec![0.0; calls.t * d],
        }
    }

    /// Adds the products with ẇ and ż.
    fn add(
        &mut self,
        z: &[f64],
        j: usize,
        dw: Option<&[f64]>,
        dz: Option<&[f64]>,
        total: &mut [f64],
    ) -> Result<()> {
        let Second { calls, d, .. } = *self;
        let (same, mixed) = (&mut self.same, &mut self.mixed);
        let (along, across) = match self.of {
            Argument::Parameters => (dw, dz),
            Argument::Inputs => (dz, dw),
        };
        if let Some(along) = along {
            match (self.of, self.exact) {
                (Argument::Inputs, Some(exact)) => {
                    calls.fill("∂²p/∂z²", z, j, same, |w, out| exact.d_zz(z, w, out))
                }
                _ => calls.fill("∂²p/∂w²", z, j, same, |w, psi| calls.unit.d_ww(z, w, psi)),
            }?;
            for (total, row) in total.iter_mut().zip(same.chunks(along.len().max(1))) {
                *total += dot(row, along);
            }
        }
        if let (Some(across), Some(exact)) = (across, self.exact) {
            calls.fill("∂²p/∂w∂z", z, j, mixed, |w, out| exact.d_wz(z, w, out))?;
            for (a, total) in total.iter_mut().enumerate() {
                *total += match self.of {
                    Argument::Parameters => dot(&mixed[a * d..(a + 1) * d], across),
                    Argument::Inputs => (0..calls.t).map(|b| mixed[b * d + a] * across[b]).sum(),
                };
            }
        }
        Ok(())
    }
}
