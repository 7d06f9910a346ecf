//! Units that are not linear: as shaders where they bring their text in WGSL, else on the host, in f64, with copies to and fro.

use std::sync::Arc;

use super::gram;
use super::machine::{Bind, Launch};
use super::{Array, Form, Gpu, Sum, host, lock};
use crate::backend::{Backend, Columns, Direction, UnitDerivative, UnitGroup};
use crate::check;
use crate::error::{Error, Result};
use crate::guard;
use crate::network::{Network, Propagation, Unit};

/// Samples that a partial sum has at least, so that it is worth its thread.
const SHORTEST: usize = 32;
/// Numbers of a unit up to which its second derivatives are compared with the Rust form.
const COMPARED: usize = 1 << 20;
/// Points at which they are compared, at most.
const POINTS: usize = 8;

/// The unit's text, which is user code like the rest.
fn wgsl(unit: &dyn Unit) -> Result<Option<(&str, &str)>> {
    guard::named("unit", || unit.name(), |name| Some((name, unit.wgsl()?)))
}

/// A unit's kernel for some threads.
fn kernel(
    stem: &'static str,
    (name, text): (&str, &str),
    (inputs, parameters): (usize, usize),
    items: usize,
    flops: usize,
) -> Launch {
    Launch::items(stem, items as u64, flops as f64)
        .define("UNIT_NAME", name)
        .define("UNIT", text)
        .define("INPUTS", inputs)
        .define("PARAMETERS", parameters)
}

/// The same group with its parameters on the host.
fn hosted<'a>(group: &UnitGroup<'a, Array>, weights: &'a Vec<f64>) -> UnitGroup<'a, Vec<f64>> {
    UnitGroup {
        unit: group.unit,
        weights,
        first: group.first,
        units: group.units,
        layer: group.layer,
        inputs: group.inputs,
        width: group.width,
        row: group.row,
    }
}

/// A direction's arrays: ẇ, then ż, as far as it has them.
fn arrays<'a>(direction: &Direction<'a, Array>) -> impl Iterator<Item = &'a Array> {
    let inputs = direction.inputs.as_ref().map(|c| c.array);
    direction.weights.into_iter().chain(inputs)
}

/// The same direction with the numbers of its [`arrays`] on the host.
fn along<'a>(direction: &Direction<Array>, arrays: &'a [Vec<f64>]) -> Direction<'a, Vec<f64>> {
    let mut arrays = arrays.iter();
    Direction {
        weights: direction.weights.and_then(|_| arrays.next()),
        inputs: (direction.inputs.as_ref()).and_then(|c| {
            Some(Columns {
                array: arrays.next()?,
                stride: c.stride,
                first: c.first,
                width: c.width,
            })
        }),
    }
}

impl Gpu {
    /// Units without a text are computed on the host: `compute` gets the group with its parameters there and the arrays'
    /// numbers, and leaves the result.
    fn unit_on_host(
        &self,
        group: &UnitGroup<Array>,
        inputs: &[&Array],
        len: usize,
        compute: impl FnOnce(&UnitGroup<Vec<f64>>, &[Vec<f64>]) -> Result<Vec<f64>>,
    ) -> Result<Array> {
        let all: Vec<_> = [group.weights]
            .into_iter()
            .chain(inputs.iter().copied())
            .collect();
        self.on_host("unit", &all, len, |all| {
            compute(&hosted(group, &all[0]), &all[1..])
        })
    }

    /// The parts of a group whose parameters kernels can see at once.
    fn parts<'a>(
        &self,
        group: &UnitGroup<'a, Array>,
    ) -> Result<Vec<(std::ops::Range<usize>, Bind<'a>)>> {
        self.rows_at_once(group.weights, group.units, group.row)
    }

    pub(super) fn value_of_units(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        p: &mut Array,
    ) -> Result<()> {
        let Some(text) = wgsl(group.unit)? else {
            let old = std::mem::replace(p, self.array(&[], "unit")?);
            *p = self.unit_on_host(group, &[z, &old], old.len, |group, inputs| {
                let mut p = inputs[1].clone();
                host().unit_value(n, group, &inputs[0], &mut p)?;
                Ok(p)
            })?;
            return Ok(());
        };
        let sizes = (group.inputs, group.row);
        for (units, weights) in self.parts(group)? {
            let items = n * units.len();
            let launch = kernel("unit/value", text, sizes, items, 2 * group.row).params([
                ("n", n),
                ("stride", group.width),
                ("units", units.len()),
                ("layer", group.layer),
                ("first", group.first + units.start),
            ]);
            self.launch(&launch, &[z.buffer.read(), weights, p.buffer.write()])?;
        }
        Ok(())
    }

    pub(super) fn derivative_of_units(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        which: UnitDerivative,
    ) -> Result<Array> {
        let width = group.width_of(which);
        let Some(text) = wgsl(group.unit)? else {
            return self.unit_on_host(group, &[z], n * group.units * width, |group, inputs| {
                host().unit_derivative(n, group, &inputs[0], which)
            });
        };
        let sizes = (group.inputs, group.row);
        let out = self.array(&[n, group.units, width], "unit_derivative")?;
        for (units, weights) in self.parts(group)? {
            let items = n * units.len() * width;
            let launch = kernel("unit/derivative", text, sizes, items, 2 * group.inputs)
                .define(
                    "OF_PARAMETERS",
                    usize::from(which == UnitDerivative::Parameters),
                )
                .params([
                    ("n", n),
                    ("stride", group.width),
                    ("units", units.len()),
                    ("all", group.units),
                    ("start", units.start),
                ]);
            self.launch(&launch, &[z.buffer.read(), weights, out.buffer.write()])?;
        }
        Ok(out)
    }

    /// Launches a kernel that takes a direction, with its arrays bound behind the group's.
    fn launch_along<const N: usize>(
        &self,
        launch: Launch,
        params: [(&'static str, usize); N],
        z: &Array,
        weights: Bind,
        direction: &Direction<Array>,
        out: Bind,
    ) -> Result<()> {
        let (stride, first) = (direction.inputs.as_ref()).map_or((0, 0), |c| (c.stride, c.first));
        let mut launch = launch
            .define("ALONG_W", usize::from(direction.weights.is_some()))
            .define("ALONG_Z", usize::from(direction.inputs.is_some()))
            .params(params);
        launch
            .params
            .extend([("dz_stride", stride as u32), ("dz_first", first as u32)]);
        // What is 0 is not read: any array may stand there.
        let dw = direction.weights.map_or(weights, |dw| Bind {
            buffer: &dw.buffer,
            ..weights
        });
        let dz = (direction.inputs.as_ref()).map_or(z, |c| c.array);
        let binds = [z.buffer.read(), weights, dw, dz.buffer.read(), out];
        self.launch(&launch, &binds)
    }

    pub(super) fn value_of_units_along(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        direction: &Direction<Array>,
        p: &mut Array,
    ) -> Result<()> {
        let Some(text) = wgsl(group.unit)? else {
            let old = std::mem::replace(p, self.array(&[], "unit")?);
            let inputs: Vec<_> = [z, &old].into_iter().chain(arrays(direction)).collect();
            *p = self.unit_on_host(group, &inputs, old.len, |group, inputs| {
                let mut p = inputs[1].clone();
                let direction = along(direction, &inputs[2..]);
                host().unit_value_along(n, group, &inputs[0], &direction, &mut p)?;
                Ok(p)
            })?;
            return Ok(());
        };
        let (sizes, flops) = ((group.inputs, group.row), 4 * group.row);
        for (units, weights) in self.parts(group)? {
            let launch = kernel("unit/value_along", text, sizes, n * units.len(), flops);
            let params = [
                ("n", n),
                ("stride", group.width),
                ("units", units.len()),
                ("layer", group.layer),
                ("first", group.first + units.start),
            ];
            self.launch_along(launch, params, z, weights, direction, p.buffer.write())?;
        }
        Ok(())
    }

    pub(super) fn units_along(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        direction: &Direction<Array>,
        which: UnitDerivative,
    ) -> Result<Array> {
        let width = group.width_of(which);
        let Some(text) = wgsl(group.unit)? else {
            let inputs: Vec<_> = [z].into_iter().chain(arrays(direction)).collect();
            return self.unit_on_host(group, &inputs, n * group.units * width, |group, inputs| {
                let direction = along(direction, &inputs[1..]);
                host().unit_along(n, group, &inputs[0], &direction, which)
            });
        };
        let (sizes, flops) = ((group.inputs, group.row), 4 * group.row);
        let out = self.array(&[n, group.units, width], "unit_along")?;
        for (units, weights) in self.parts(group)? {
            let of_parameters = usize::from(which == UnitDerivative::Parameters);
            let launch = kernel("unit/along", text, sizes, n * units.len() * width, flops)
                .define("OF_PARAMETERS", of_parameters);
            let params = [
                ("n", n),
                ("stride", group.width),
                ("units", units.len()),
                ("all", group.units),
                ("start", units.start),
            ];
            self.launch_along(launch, params, z, weights, direction, out.buffer.write())?;
        }
        Ok(out)
    }

    pub(super) fn units_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        delta: &Array,
        out: &mut Array,
    ) -> Result<()> {
        let Some(text) = wgsl(group.unit)? else {
            let old = std::mem::replace(out, self.array(&[], "unit")?);
            *out = self.unit_on_host(group, &[z, delta, &old], old.len, |group, inputs| {
                let mut out = inputs[2].clone();
                host().unit_d_zz(n, group, &inputs[0], &inputs[1], &mut out)?;
                Ok(out)
            })?;
            return Ok(());
        };
        let sizes = (group.inputs, group.row);
        for (units, weights) in self.parts(group)? {
            let items = n * group.inputs * group.inputs;
            let launch = kernel("unit/d_zz", text, sizes, items, 4 * units.len()).params([
                ("n", n),
                ("stride", group.width),
                ("units", units.len()),
                ("layer", group.layer),
                ("first", group.first + units.start),
            ]);
            let (z, delta) = (z.buffer.read(), delta.buffer.read());
            self.launch(&launch, &[z, weights, delta, out.buffer.write()])?;
        }
        Ok(())
    }

    pub(super) fn units_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Array>,
        z: &Array,
        delta: &Array,
        diagonal: bool,
        sum: &mut Sum,
    ) -> Result<()> {
        let Some(text) = wgsl(group.unit)? else {
            let weights = self.download(group.weights)?;
            let (z, delta) = (self.download(z)?, self.download(delta)?);
            if self.rehearses() {
                return Ok(());
            }
            let group = hosted(group, &weights);
            return host().unit_d_ww(n, &group, &z, &delta, diagonal, &mut sum.values);
        };
        let size = match diagonal {
            true => group.row,
            false => crate::backend::product(&[group.row, group.row + 1])? / 2,
        };
        let limits = self.sum_limits();
        for (units, weights) in self.parts(group)? {
            let entries = crate::backend::product(&[units.len(), size])?;
            let threads = (entries as u64).div_ceil(64);
            let wanted = (limits.target / threads.max(1)).max(1) as usize;
            let run = n.div_ceil(wanted).clamp(SHORTEST, gram::BLOCK as usize);
            let splits = n.div_ceil(run);
            let fits = |len| gram::within(limits, splits as u64, len);
            let most = gram::largest(entries as u64, fits) as usize;
            if entries > u32::MAX as usize || (most == 0 && entries > 0) {
                let reason = format!("{entries} second derivatives exceed what a kernel can index");
                return Err(self.too_large("unit_d_ww", reason));
            }
            for start in (0..entries).step_by(most.max(1)) {
                let len = most.min(entries - start);
                let partial = self.array(&[splits, len], "unit_d_ww")?;
                let (sizes, flops) = ((group.inputs, group.row), 4 * run);
                let launch = kernel("unit/d_ww", text, sizes, splits * len, flops)
                    .define("DIAGONAL", usize::from(diagonal))
                    .params([
                        ("n", n),
                        ("stride", group.width),
                        ("layer", group.layer),
                        ("first", group.first + units.start),
                        ("run", run),
                        ("splits", splits),
                        ("start", start),
                        ("entries", len),
                    ]);
                let (z, delta) = (z.buffer.read(), delta.buffer.read());
                self.launch(&launch, &[z, weights, delta, partial.buffer.write()])?;
                let at = units.start * size + start;
                let places = std::iter::once(at..at + len).collect();
                self.accumulate(sum, places, splits, partial, "unit_d_ww")?;
            }
        }
        Ok(())
    }

    /// Compares the texts of a network's units with their Rust forms, each once for an open adapter.
    ///
    /// # Errors
    /// `Part`: a text does not compile, or a number differs.
    pub(super) fn check_units(&self, network: &Network) -> Result<()> {
        for (k, g) in network.all_groups() {
            let Some(unit) = g.propagation.unit() else {
                continue;
            };
            let Some((name, text)) = wgsl(unit)? else {
                continue;
            };
            let inputs = network.layers()[k - 1].inputs;
            let own = match &g.propagation {
                Propagation::Unit(own) => Some(own),
                _ => None,
            };
            let form = Form {
                own: own.map(|own| Arc::as_ptr(own).addr()),
                name: name.into(),
                text: text.into(),
                sizes: (inputs, g.row),
                f64: self.f64,
            };
            if lock(&self.checked).forms.contains(&form) {
                continue;
            }
            self.compare(unit, (name, text), inputs, g.row)?;
            let mut checked = lock(&self.checked);
            checked.units.extend(own.map(Arc::downgrade));
            checked.forms.insert(form);
        }
        Ok(())
    }

    pub(super) fn compare(
        &self,
        unit: &dyn Unit,
        text: (&str, &str),
        d: usize,
        t: usize,
    ) -> Result<()> {
        let name = text.0;
        let call = |what: &mut dyn FnMut() -> Vec<Function>| guard::call("unit", name, what);
        let exact = guard::call("unit", name, || unit.exact())?;
        let first = 1 + t + d;
        let most = COMPARED.min((self.machine.limits().binding / self.float()) as usize);
        let all = (t.checked_mul(t))
            .and_then(|tt| match exact {
                None => first.checked_add(tt),
                Some(_) => first.checked_add(tt)?.checked_add(d.checked_mul(d + t)?),
            })
            .filter(|&all| all <= most);
        let numbers = all.unwrap_or(first);
        let count = (most / numbers).clamp(1, POINTS);
        // Every other point is positive, as widths are. Both forms get what f32 holds.
        let points: Vec<Vec<f64>> = (check::points(count, d + t, 1).into_iter().enumerate())
            .map(|(i, point)| {
                let number = |v: f64| if i % 2 == 1 { 0.25 + 0.5 * v.abs() } else { v };
                let round = |v: f64| f64::from(v as f32);
                point.into_iter().map(|v| round(number(v))).collect()
            })
            .collect();
        let part = |range: std::ops::Range<usize>| -> Vec<f64> {
            (points.iter())
                .flat_map(|p| p[range.clone()].to_vec())
                .collect()
        };
        let (z, w) = (
            self.store(&part(0..d), "unit")?,
            self.store(&part(d..d + t), "unit")?,
        );
        let out = self.array(&[count, numbers], "unit")?;
        let launch = kernel("check/unit", text, (d, t), count * numbers, 2 * t)
            .define("EXACT", usize::from(exact.is_some()))
            .params([("n", count), ("stride", d), ("numbers", numbers)]);
        let binds = [z.buffer.read(), w.buffer.read(), out.buffer.write()];
        self.launch(&launch, &binds)?;
        let found = self.download(&out)?;
        let tolerance = if self.f64 { 1e-10 } else { 1e-4 };
        for (found, point) in found.chunks(numbers).zip(&points) {
            let (z, w) = point.split_at(d);
            let mut functions = || {
                let mut all_of = vec![
                    Function::new(["unit_value", "value"], &[], |out| {
                        out[0] = unit.value(z, w)
                    }),
                    Function::new(["unit_d_w", "d_w"], &[t], |out| unit.d_w(z, w, out)),
                    Function::new(["unit_d_z", "d_z"], &[d], |out| unit.d_z(z, w, out)),
                ];
                if all.is_some() {
                    all_of.push(Function::new(["unit_d_ww", "d_ww"], &[t, t], |out| {
                        unit.d_ww(z, w, out)
                    }));
                }
                if let (Some(_), Some(exact)) = (all, exact) {
                    all_of.push(Function::new(["unit_d_zz", "d_zz"], &[d, d], |out| {
                        exact.d_zz(z, w, out)
                    }));
                    all_of.push(Function::new(["unit_d_wz", "d_wz"], &[t, d], |out| {
                        exact.d_wz(z, w, out)
                    }));
                }
                all_of
            };
            let functions = call(&mut functions)?;
            let slopes = functions[1].numbers.iter().chain(&functions[2].numbers);
            let moved: f64 = (slopes.zip(w.iter().chain(z)))
                .map(|(s, v)| (s * v).abs())
                .sum();
            let largest = functions.iter().map(Function::largest).fold(0.0, f64::max);
            let mut found = found;
            for (index, function) in functions.iter().enumerate() {
                let (own, rest) = found.split_at(function.numbers.len());
                found = rest;
                // The value may be a small difference of what moves it.
                let scale = function.largest() + if index == 0 { moved } else { 0.0 };
                let allowed = tolerance * scale.max(largest / 1024.0);
                let pairs = own.iter().zip(&function.numbers).enumerate();
                for (at, (&found, &right)) in pairs {
                    let error = (found - right).abs();
                    if right.is_finite() && (error.is_nan() || error > allowed) {
                        return Err(Error::Part {
                            kind: "unit",
                            name: name.into(),
                            why: format!(
                                "its WGSL and its Rust form differ: {} gives {found:e} on {} and {} {right:e} at z = {z:?}, w = {w:?}",
                                function.entry(at),
                                self.adapter.name,
                                function.names[1],
                            ),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The numbers of one of a unit's functions at a point, by the Rust form.
struct Function {
    /// In WGSL and in Rust.
    names: [&'static str; 2],
    /// The ranges of its arguments.
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

impl Function {
    fn new(names: [&'static str; 2], shape: &[usize], fill: impl FnOnce(&mut [f64])) -> Self {
        let mut numbers = vec![0.0; shape.iter().product()];
        fill(&mut numbers);
        Function {
            names,
            shape: shape.to_vec(),
            numbers,
        }
    }

    fn largest(&self) -> f64 {
        let finite = self.numbers.iter().filter(|v| v.is_finite());
        finite.fold(0.0, |m, v| m.max(v.abs()))
    }

    /// The call in WGSL that gives a number.
    fn entry(&self, at: usize) -> String {
        let arguments = match self.shape[..] {
            [] => String::new(),
            [_, columns] => format!("{}, {}", at / columns, at % columns),
            _ => at.to_string(),
        };
        format!("{}({arguments})", self.names[0])
    }
}
