//! Kernels of parts without WGSL: their arrays are copied to the host, computed there in f64, and copied back.

use super::{Array, Gpu, Sum, covers};
use crate::backend::kernel::{
    Activate, Direction, LossHessian, LossValue, UnitDerivative, UnitDerivativeSlope,
    UnitInputHessian, UnitParameterHessian, UnitSlope, UnitValue, Units,
};
use crate::backend::{Backend, Cpu, View, ViewMut};
use crate::error::Result;

type Numbers = <Cpu<f64> as Backend>::Array;

/// The host's twin.
fn host() -> Cpu<f64> {
    Cpu::new()
}

/// The arrays of [`Units`] on the host.
struct Hosted {
    weights: Numbers,
    z: Numbers,
}

impl Hosted {
    fn of<'a>(&'a self, units: &Units<'a, Array>) -> Units<'a, Numbers> {
        Units {
            unit: units.unit,
            weights: View::new(&self.weights, units.weights.layout),
            z: View::new(&self.z, units.z.layout),
        }
    }
}

/// The same places in the array on the host.
fn with<'a>(view: &View<Array>, numbers: &'a Numbers) -> View<'a, Numbers> {
    View::new(numbers, view.layout)
}

fn with_mut<'a>(view: &ViewMut<Array>, numbers: &'a mut Numbers) -> ViewMut<'a, Numbers> {
    ViewMut::new(numbers, view.layout)
}

impl Gpu {
    /// A copy on the host; of a rehearsal, of no numbers.
    fn to_host(&self, array: &Array) -> Result<Numbers> {
        host().upload(&self.download(array)?)
    }

    /// An array for a kernel's results. Where it adds, or writes not everywhere, it begins with what is there.
    fn out_to_host(&self, out: &ViewMut<Array>, adds: bool) -> Result<Numbers> {
        if adds || !covers(out) {
            return self.to_host(out.array);
        }
        host().alloc(if self.rehearses() { 0 } else { out.array.len })
    }

    fn units_to_host(&self, units: &Units<Array>) -> Result<Hosted> {
        Ok(Hosted { weights: self.to_host(units.weights.array)?, z: self.to_host(units.z.array)? })
    }

    fn along_to_host(&self, along: &Direction<Array>) -> Result<[Option<Numbers>; 2]> {
        let copy = |view: &Option<View<Array>>| {
            view.as_ref().map(|view| self.to_host(view.array)).transpose()
        };
        Ok([copy(&along.weights)?, copy(&along.inputs)?])
    }

    /// Takes a copy back.
    fn to_device(&self, array: &mut Array, numbers: &Numbers, operation: &str) -> Result<()> {
        self.overwrite(array, &host().download(numbers)?, operation)
    }

    pub(super) fn activate_on_host(&self, k: Activate<Array>) -> Result<()> {
        let p = self.to_host(k.p.array)?;
        let mut h = self.out_to_host(&k.h, false)?;
        let derivative = |out: &Option<ViewMut<Array>>| {
            (out.as_ref()).map(|out| self.out_to_host(out, false)).transpose()
        };
        let (mut h1, mut h2) = (derivative(&k.h1)?, derivative(&k.h2)?);
        if self.rehearses() {
            return Ok(());
        }
        let kernel = Activate {
            runs: k.runs,
            p: with(&k.p, &p),
            h: with_mut(&k.h, &mut h),
            h1: (k.h1.as_ref().zip(h1.as_mut())).map(|(out, h1)| with_mut(out, h1)),
            h2: (k.h2.as_ref().zip(h2.as_mut())).map(|(out, h2)| with_mut(out, h2)),
        };
        host().run(kernel.into())?;
        self.to_device(k.h.array, &h, "activate")?;
        for (out, numbers) in [(k.h1, h1), (k.h2, h2)] {
            if let (Some(out), Some(numbers)) = (out, numbers) {
                self.to_device(out.array, &numbers, "activate")?;
            }
        }
        Ok(())
    }

    pub(super) fn loss_value_on_host(&self, k: LossValue<Array, Sum>) -> Result<()> {
        let [x, y, omega] = [&k.x, &k.y, &k.omega].map(|view| self.to_host(view.array));
        let (x, y, omega) = (x?, y?, omega?);
        let gradient = (k.gradient.as_ref()).map(|out| self.out_to_host(out, false));
        let mut gradient = gradient.transpose()?;
        if self.rehearses() {
            return Ok(());
        }
        let mut value = host().sums(k.value.len())?;
        let kernel = LossValue {
            loss: k.loss,
            x: with(&k.x, &x),
            y: with(&k.y, &y),
            omega: with(&k.omega, &omega),
            value: &mut value,
            gradient: (k.gradient.as_ref().zip(gradient.as_mut()))
                .map(|(out, numbers)| with_mut(out, numbers)),
        };
        host().run(kernel.into())?;
        k.value.add(&host().read(value)?);
        match (k.gradient, gradient) {
            (Some(out), Some(numbers)) => self.to_device(out.array, &numbers, "loss_value"),
            _ => Ok(()),
        }
    }

    pub(super) fn loss_hessian_on_host(&self, k: LossHessian<Array>) -> Result<()> {
        let [x, y, omega] = [&k.x, &k.y, &k.omega].map(|view| self.to_host(view.array));
        let (x, y, omega, mut out) = (x?, y?, omega?, self.out_to_host(&k.out, false)?);
        if self.rehearses() {
            return Ok(());
        }
        let kernel = LossHessian {
            loss: k.loss,
            x: with(&k.x, &x),
            y: with(&k.y, &y),
            omega: with(&k.omega, &omega),
            out: with_mut(&k.out, &mut out),
        };
        host().run(kernel.into())?;
        self.to_device(k.out.array, &out, "loss_hessian")
    }

    pub(super) fn unit_value_on_host(&self, k: UnitValue<Array>) -> Result<()> {
        let units = self.units_to_host(&k.units)?;
        let mut out = self.out_to_host(&k.out, false)?;
        if self.rehearses() {
            return Ok(());
        }
        let kernel = UnitValue { units: units.of(&k.units), out: with_mut(&k.out, &mut out) };
        host().run(kernel.into())?;
        self.to_device(k.out.array, &out, "unit_value")
    }

    pub(super) fn unit_derivative_on_host(&self, k: UnitDerivative<Array>) -> Result<()> {
        let units = self.units_to_host(&k.units)?;
        let mut out = self.out_to_host(&k.out, false)?;
        if self.rehearses() {
            return Ok(());
        }
        let kernel = UnitDerivative {
            units: units.of(&k.units),
            with_respect_to: k.with_respect_to,
            out: with_mut(&k.out, &mut out),
        };
        host().run(kernel.into())?;
        self.to_device(k.out.array, &out, "unit_derivative")
    }

    pub(super) fn unit_slope_on_host(&self, k: UnitSlope<Array>) -> Result<()> {
        let units = self.units_to_host(&k.units)?;
        let mut out = self.out_to_host(&k.out, true)?;
        let along = self.along_to_host(&k.along)?;
        if self.rehearses() {
            return Ok(());
        }
        let kernel = UnitSlope {
            units: units.of(&k.units),
            along: direction(&k.along, &along),
            out: with_mut(&k.out, &mut out),
        };
        host().run(kernel.into())?;
        self.to_device(k.out.array, &out, "unit_slope")
    }

    pub(super) fn unit_derivative_slope_on_host(
        &self,
        k: UnitDerivativeSlope<Array>,
    ) -> Result<()> {
        let units = self.units_to_host(&k.units)?;
        let mut out = self.out_to_host(&k.out, false)?;
        let along = self.along_to_host(&k.along)?;
        if self.rehearses() {
            return Ok(());
        }
        let kernel = UnitDerivativeSlope {
            units: units.of(&k.units),
            along: direction(&k.along, &along),
            with_respect_to: k.with_respect_to,
            out: with_mut(&k.out, &mut out),
        };
        host().run(kernel.into())?;
        self.to_device(k.out.array, &out, "unit_derivative_slope")
    }

    pub(super) fn unit_input_hessian_on_host(&self, k: UnitInputHessian<Array>) -> Result<()> {
        let units = self.units_to_host(&k.units)?;
        let mut out = self.out_to_host(&k.out, true)?;
        let delta = self.to_host(k.delta.array)?;
        if self.rehearses() {
            return Ok(());
        }
        let kernel = UnitInputHessian {
            units: units.of(&k.units),
            delta: with(&k.delta, &delta),
            out: with_mut(&k.out, &mut out),
        };
        host().run(kernel.into())?;
        self.to_device(k.out.array, &out, "unit_input_hessian")
    }

    pub(super) fn unit_parameter_hessian_on_host(
        &self,
        k: UnitParameterHessian<Array, Sum>,
    ) -> Result<()> {
        let (units, delta) = (self.units_to_host(&k.units)?, self.to_host(k.delta.array)?);
        if self.rehearses() {
            return Ok(());
        }
        let mut sum = host().sums(k.sum.len())?;
        let kernel = UnitParameterHessian {
            units: units.of(&k.units),
            delta: with(&k.delta, &delta),
            diagonal: k.diagonal,
            sum: &mut sum,
        };
        host().run(kernel.into())?;
        k.sum.add(&host().read(sum)?);
        Ok(())
    }
}

/// The same direction in arrays on the host.
fn direction<'a>(
    along: &Direction<Array>,
    numbers: &'a [Option<Numbers>; 2],
) -> Direction<'a, Numbers> {
    let [weights, inputs] = numbers;
    Direction {
        weights: (along.weights.as_ref().zip(weights.as_ref())).map(|(view, n)| with(view, n)),
        inputs: (along.inputs.as_ref().zip(inputs.as_ref())).map(|(view, n)| with(view, n)),
    }
}
