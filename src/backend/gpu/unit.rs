//! Units that are not linear: as shaders where they bring their text in WGSL, else on the host.
//!
//! Their parameters are taken in windows of units where they exceed what a kernel can see at once.

use std::ops::Range;

use super::gram;
use super::launch::Launch;
use super::machine::Bind;
use super::{Array, Gpu, Sum};
use crate::backend::kernel::{
    Argument, Direction, UnitDerivative, UnitDerivativeSlope, UnitInputHessian,
    UnitParameterHessian, UnitSlope, UnitValue, Units,
};
use crate::backend::{Layout, product};
use crate::error::Result;
use crate::guard;
use crate::network::Unit;

/// Samples that a partial sum has at least, so that it is worth its thread.
const SHORTEST: usize = 32;

/// A unit's name and its WGSL.
pub(super) type Text<'a> = (&'a str, &'a str);

/// The unit's text, which is user code like the rest.
pub(super) fn text(unit: &dyn Unit) -> Result<Option<Text<'_>>> {
    guard::named("unit", || unit.name(), |name| Some((name, unit.wgsl()?)))
}

/// A launch of a shader that calls a unit's text.
pub(super) fn with_text(
    launch: Launch,
    (name, text): Text,
    inputs: usize,
    parameters: usize,
) -> Launch {
    launch
        .define("UNIT_NAME", name)
        .define("UNIT", text)
        .define("INPUTS", inputs)
        .define("PARAMETERS", parameters)
}

/// Some of a group's units, with what their kernels read.
struct Window<'a> {
    units: Range<usize>,
    inputs: Bind<'a>,
    weights: Bind<'a>,
}

impl Gpu {
    /// Launches a kernel for each window of the units.
    fn for_windows(
        &self,
        units: &Units<Array>,
        mut launch: impl FnMut(Window) -> Result<()>,
    ) -> Result<()> {
        for range in self.windows(&units.weights, 1)? {
            let weights = units.weights.with(|l| l.rows(range.clone()));
            launch(Window {
                units: range,
                inputs: self.reads("inputs", &units.z),
                weights: self.reads("weights", &weights),
            })?;
        }
        Ok(())
    }

    /// A thread for each element of the shape.
    fn unit_launch(
        &self,
        stem: &'static str,
        shape: [usize; 3],
        flops: usize,
        text: Text,
        units: &Units<Array>,
    ) -> Launch {
        let launch = Launch::elements(stem, shape, flops as f64);
        with_text(launch, text, units.inputs(), units.parameters())
    }

    pub(super) fn unit_value(&self, k: UnitValue<Array>) -> Result<()> {
        let Some(text) = text(k.units.unit)? else {
            return self.unit_value_on_host(k);
        };
        self.for_windows(&k.units, |window| {
            let shape = [k.units.samples(), 1, window.units.len()];
            let flops = 2 * k.units.parameters();
            let launch = self.unit_launch("unit_value", shape, flops, text, &k.units);
            let layout = k.out.layout.columns(window.units);
            let out = self.bind("out", k.out.array, layout, true);
            self.launch(&launch, &[window.inputs, window.weights, out])
        })
    }

    pub(super) fn unit_derivative(&self, k: UnitDerivative<Array>) -> Result<()> {
        let Some(text) = text(k.units.unit)? else {
            return self.unit_derivative_on_host(k);
        };
        let width = k.units.width_of(k.with_respect_to);
        self.for_windows(&k.units, |window| {
            let shape = [k.units.samples(), window.units.len(), width];
            let flops = 2 * k.units.inputs();
            let launch = self
                .unit_launch("unit_derivative", shape, flops, text, &k.units)
                .define("OF_PARAMETERS", of_parameters(k.with_respect_to));
            let layout = k.out.layout.rows(window.units);
            let out = self.bind("out", k.out.array, layout, true);
            self.launch(&launch, &[window.inputs, window.weights, out])
        })
    }

    /// Launches a kernel that takes a direction, with its arrays bound behind those of the units.
    fn launch_along(
        &self,
        launch: Launch,
        window: Window,
        along: &Direction<Array>,
        out: Bind,
    ) -> Result<()> {
        let launch = launch
            .define("ALONG_W", usize::from(along.weights.is_some()))
            .define("ALONG_Z", usize::from(along.inputs.is_some()));
        let weights = (along.weights).map(|view| view.with(|l| l.rows(window.units.clone())));
        // A direction that is 0 is not read: any array may stand there.
        let dw = weights.as_ref().map_or(window.weights, |v| self.reads("dw", v));
        let dz = along.inputs.as_ref().map_or(window.inputs, |v| self.reads("dz", v));
        let binds = [
            window.inputs,
            window.weights,
            Bind { name: "dw", ..dw },
            Bind { name: "dz", ..dz },
            out,
        ];
        self.launch(&launch, &binds)
    }

    pub(super) fn unit_slope(&self, k: UnitSlope<Array>) -> Result<()> {
        let Some(text) = text(k.units.unit)? else {
            return self.unit_slope_on_host(k);
        };
        self.for_windows(&k.units, |window| {
            let shape = [k.units.samples(), 1, window.units.len()];
            let flops = 4 * k.units.parameters();
            let launch = self.unit_launch("unit_slope", shape, flops, text, &k.units);
            let layout = k.out.layout.columns(window.units.clone());
            let out = self.bind("out", k.out.array, layout, true);
            self.launch_along(launch, window, &k.along, out)
        })
    }

    pub(super) fn unit_derivative_slope(&self, k: UnitDerivativeSlope<Array>) -> Result<()> {
        let Some(text) = text(k.units.unit)? else {
            return self.unit_derivative_slope_on_host(k);
        };
        let width = k.units.width_of(k.with_respect_to);
        self.for_windows(&k.units, |window| {
            let shape = [k.units.samples(), window.units.len(), width];
            let flops = 4 * k.units.parameters();
            let launch = self
                .unit_launch("unit_derivative_slope", shape, flops, text, &k.units)
                .define("OF_PARAMETERS", of_parameters(k.with_respect_to));
            let layout = k.out.layout.rows(window.units.clone());
            let out = self.bind("out", k.out.array, layout, true);
            self.launch_along(launch, window, &k.along, out)
        })
    }

    pub(super) fn unit_input_hessian(&self, k: UnitInputHessian<Array>) -> Result<()> {
        let Some(text) = text(k.units.unit)? else {
            return self.unit_input_hessian_on_host(k);
        };
        self.for_windows(&k.units, |window| {
            let flops = 4 * window.units.len();
            let launch = self
                .unit_launch("unit_input_hessian", k.out.shape(), flops, text, &k.units)
                .param("units", window.units.len() as u64);
            let delta = k.delta.with(|l| l.columns(window.units));
            let binds = [
                window.inputs,
                window.weights,
                self.reads("delta", &delta),
                self.writes("out", &k.out),
            ];
            self.launch(&launch, &binds)
        })
    }

    /// The entries of a window of units in windows of their own.
    pub(super) fn unit_parameter_hessian(&self, k: UnitParameterHessian<Array, Sum>) -> Result<()> {
        let Some(text) = text(k.units.unit)? else {
            return self.unit_parameter_hessian_on_host(k);
        };
        let operation = "unit_parameter_hessian";
        let (n, t) = (k.units.samples(), k.units.parameters());
        let size = if k.diagonal { t } else { product(&[t, t + 1])? / 2 };
        let limits = self.sum_limits();
        let sum = k.sum;
        self.for_windows(&k.units, |window| {
            let entries = product(&[window.units.len(), size])?;
            let threads = (entries as u64).div_ceil(64);
            let wanted = (limits.target / threads.max(1)).max(1) as usize;
            let run = n.div_ceil(wanted).clamp(SHORTEST, gram::BLOCK as usize);
            let splits = n.div_ceil(run);
            let fits = |len| gram::within(limits, splits as u64, len);
            let most = gram::largest(entries as u64, fits) as usize;
            if entries > u32::MAX as usize || (most == 0 && entries > 0) {
                let reason = format!("{entries} second derivatives exceed what a kernel can index");
                return Err(self.too_large(operation, reason));
            }
            let delta = k.delta.with(|l| l.columns(window.units.clone()));
            for start in (0..entries).step_by(most.max(1)) {
                let sums = Layout::rows_of(splits, most.min(entries - start));
                let partial = self.array(&sums.shape, operation)?;
                let launch = self
                    .unit_launch(operation, sums.shape, 4 * run, text, &k.units)
                    .define("DIAGONAL", usize::from(k.diagonal))
                    .param("n", n as u64)
                    .param("run", run as u64)
                    .param("start", start as u64);
                let binds = [
                    window.inputs,
                    window.weights,
                    self.reads("delta", &delta),
                    self.bind("partial", &partial, sums, true),
                ];
                self.launch(&launch, &binds)?;
                let at = window.units.start * size + start;
                let places = std::iter::once(at..at + sums.shape[2]).collect();
                self.accumulate(sum, places, splits, partial, operation)?;
            }
            Ok(())
        })
    }
}

fn of_parameters(with_respect_to: Argument) -> usize {
    usize::from(with_respect_to == Argument::Parameters)
}
