//! Whether the WGSL of the user's activations, losses and units is the same function as their Rust form.
//!
//! Each is compared once for an open adapter and precision, at fixed points.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use ndarray::ArrayRef2;

use super::launch::Launch;
use super::unit::{Text, text, with_text};
use super::{Array, Gpu};
use crate::backend::kernel::Activate;
use crate::backend::{Backend, Layout, View, ViewMut};
use crate::check;
use crate::error::{Error, Fault, Result};
use crate::guard;
use crate::network::{Activation, Custom, Network, Propagation, Unit};
use crate::objective::{Loss, LossFunction};
use crate::sync::lock;

/// Numbers of a unit up to which its second derivatives are compared with the Rust form.
const COMPARED: usize = 1 << 20;
/// Points at which they are compared, at most.
const POINTS: usize = 8;

/// The parts whose texts were compared.
#[derive(Debug, Default)]
pub(super) struct Checked {
    forms: BTreeSet<Form>,
    /// The user's own, whose memory is kept for them but not what they own: nothing else can stand there.
    units: Vec<Weak<dyn Unit>>,
    losses: Vec<Weak<dyn LossFunction>>,
}

/// A form that is compared once.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    kind: &'static str,
    /// Where the user's own stands: its fields may say another function under the same name and text. The crate's have none, and
    /// activations none but their name.
    own: Option<usize>,
    name: String,
    text: String,
    /// Inputs and parameters of a unit, outputs of a loss and 0.
    sizes: (usize, usize),
    f64: bool,
}

impl Form {
    fn refuse(&self, why: String) -> Error {
        Error::Part { kind: self.kind, name: self.name.clone(), why }
    }
}

/// Whether a number of the device is farther from the right one than allowed, or NaN.
fn differs(found: f64, right: f64, allowed: f64) -> bool {
    let error = (found - right).abs();
    error.is_nan() || error > allowed
}

fn largest<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> f64 {
    let finite = numbers.into_iter().filter(|v| v.is_finite());
    finite.fold(0.0, |m, v| m.max(v.abs()))
}

impl Gpu {
    fn is_checked(&self, form: &Form) -> bool {
        lock(&self.checked).forms.contains(form)
    }

    /// The numbers that the device's floats hold exactly.
    fn exact(&self, v: f64) -> f64 {
        if self.f64 { v } else { f64::from(v as f32) }
    }

    /// Before the first use of the user's WGSL: whether it is the same function as the Rust form.
    ///
    /// At 200 points between −6 and 6, h, h′ and h″ may differ by 2⁻¹² (f64: 2⁻²⁴) of their largest size within 1/8: a
    /// wrong formula is off by more, one that cancels is not.
    pub(super) fn check_activation(&self, custom: Custom) -> Result<()> {
        let form = Form {
            kind: "activation",
            own: None,
            name: custom.name().into(),
            text: custom.stem(),
            sizes: (0, 0),
            f64: self.f64,
        };
        if self.rehearses() || !custom.is_function() || self.is_checked(&form) {
            return Ok(());
        }
        let activation = Activation::Custom(custom);
        let points: Vec<f64> =
            (check::points(200, 1, 11).into_iter()).map(|u| self.exact(3.0 * u[0])).collect();
        let given = self.activated(activation, &points)?;
        // The neighbours of each point come behind it.
        let near = [0.0, -0.125, -0.0625, 0.0625, 0.125];
        let around: Vec<f64> = points.iter().flat_map(|u| near.map(|d| u + d)).collect();
        let right: Vec<[f64; 3]> = guard::call("activation", custom.name(), || {
            around.iter().map(|&u| activation.derivatives(u)).collect()
        })?;
        let tolerance = 0.5f64.powi(if self.f64 { 24 } else { 12 });
        for (k, what) in ["h", "h′", "h″"].into_iter().enumerate() {
            for (i, &u) in points.iter().enumerate() {
                let near = &right[i * near.len()..][..near.len()];
                let scale = near.iter().fold(0.0f64, |m, v| m.max(v[k].abs()));
                let (given, right) = (given[k][i], near[0][k]);
                // f32 holds no larger numbers, and few smaller ones; NaN is compared with nothing.
                let comparable = right.is_finite() && scale < 1e30;
                if comparable && differs(given, right, tolerance * scale + 1e-30) {
                    return Err(form.refuse(format!(
                        "at u = {u} its WGSL gives {what} = {given:e} on {}, its Rust form {right:e}",
                        self.adapter.name
                    )));
                }
            }
        }
        lock(&self.checked).forms.insert(form);
        Ok(())
    }

    /// h, h′ and h″ at some points, by the shader.
    fn activated(&self, activation: Activation, points: &[f64]) -> Result<[Vec<f64>; 3]> {
        let layout = Layout::rows_of(points.len(), 1);
        let p = self.store(points, "activate")?;
        let out = || self.array(&[points.len()], "activate");
        let [mut h, mut h1, mut h2] = [out()?, out()?, out()?];
        self.activate_by_shader(&Activate {
            runs: &[(activation, 1)],
            p: View::new(&p, layout),
            h: ViewMut::new(&mut h, layout),
            h1: Some(ViewMut::new(&mut h1, layout)),
            h2: Some(ViewMut::new(&mut h2, layout)),
        })?;
        Ok([self.download(&h)?, self.download(&h1)?, self.download(&h2)?])
    }

    /// Compares a loss's text with its Rust form at points around the first targets.
    ///
    /// # Errors
    /// `Part`: its text does not compile, or a number differs.
    pub(super) fn check_loss(&self, loss: &Loss, y: &ArrayRef2<f64>) -> Result<()> {
        let (Loss::Custom(custom), Some(text), false) = (loss, loss.wgsl()?, y.is_empty()) else {
            return Ok(());
        };
        let outputs = y.ncols();
        let form = Form {
            kind: "loss",
            own: Some(Arc::as_ptr(custom).addr()),
            name: loss.guarded(|| custom.name())?.into(),
            text: text.into(),
            sizes: (outputs, 0),
            f64: self.f64,
        };
        if self.is_checked(&form) {
            return Ok(());
        }
        let points = check::points(16, outputs, 1);
        let n = points.len();
        let rows = (0..n).flat_map(|i| y.row(i % y.nrows()));
        let y: Vec<f64> = rows.map(|&v| self.exact(v)).collect();
        let apart = points.iter().flatten();
        let x: Vec<f64> = (y.iter().zip(apart)).map(|(y, d)| self.exact(y + d)).collect();
        let right = self.loss_by_rust(loss, custom, &x, &y, n)?;
        let found = self.loss_by_shader(loss, &x, &y, n);
        let found = found.map_err(|error| match error {
            Error::Gpu { fault: Fault::Shader { reason }, adapter, .. } => {
                form.refuse(format!("its WGSL is refused by {adapter}: {reason}"))
            }
            other => other,
        })?;
        let tolerance = if self.f64 { 1e-9 } else { 1e-3 };
        for (k, words) in ["the value", "the gradient", "the Hessian"].into_iter().enumerate() {
            let allowed = tolerance * largest(right.iter().flatten().flat_map(|all| &all[k]));
            let each = found[k].len() / n;
            for (i, found) in found[k].chunks(each).enumerate() {
                let Some(right) = &right[i] else {
                    continue;
                };
                for (entry, (&found, &right)) in found.iter().zip(&right[k]).enumerate() {
                    if differs(found, right, allowed) {
                        let (x, y) = (&x[i * outputs..][..outputs], &y[i * outputs..][..outputs]);
                        return Err(form.refuse(format!(
                            "its WGSL gives {found:e} for {words}, entry {entry} at x = {x:?}, y = {y:?}, where its Rust gives {right:e}"
                        )));
                    }
                }
            }
        }
        let mut checked = lock(&self.checked);
        checked.losses.push(Arc::downgrade(custom));
        checked.forms.insert(form);
        Ok(())
    }

    /// Value, gradient and Hessian of each sample; none where the loss is not defined.
    fn loss_by_rust(
        &self,
        loss: &Loss,
        custom: &Arc<dyn LossFunction>,
        x: &[f64],
        y: &[f64],
        n: usize,
    ) -> Result<Vec<Option<[Vec<f64>; 3]>>> {
        let outputs = x.len() / n;
        let numbers = |i: usize| {
            let (x, y) = (&x[i * outputs..][..outputs], &y[i * outputs..][..outputs]);
            let mut all = [1, outputs, outputs * outputs].map(|each| vec![0.0; each]);
            all[0][0] = custom.value(x, y);
            custom.gradient(x, y, &mut all[1]);
            custom.hessian(x, y, &mut all[2]);
            let finite = all.iter().flatten().all(|&v| self.exact(v).is_finite());
            finite.then_some(all)
        };
        loss.guarded(|| (0..n).map(numbers).collect())
    }

    /// The values, gradients and Hessians of all samples.
    fn loss_by_shader(&self, loss: &Loss, x: &[f64], y: &[f64], n: usize) -> Result<[Vec<f64>; 3]> {
        let outputs = x.len() / n;
        let (x, y) = (self.store(x, "loss")?, self.store(y, "loss")?);
        let ones = self.store(&vec![1.0; n], "loss")?;
        let of_outputs = Layout::rows_of(n, outputs);
        let omega = View::new(&ones, Layout::rows_of(n, 1));
        let (x, y) = (View::new(&x, of_outputs), View::new(&y, of_outputs));
        let samples = self.samples(loss, x, y, omega)?;
        let run = |stem, gradient, shape: [usize; 3], layout: Layout| {
            let mut out = self.array(&layout.shape, stem)?;
            let view = ViewMut::new(&mut out, layout);
            self.loss(stem, shape, gradient, &samples, &view)?;
            self.download(&out)
        };
        let whole = Layout::dense(n, outputs, outputs);
        Ok([
            run("loss_value", false, [n, 1, 1], Layout::rows_of(n, 1))?,
            run("loss_value", true, of_outputs.shape, of_outputs)?,
            run("loss_hessian", false, [n, outputs, 1], whole)?,
        ])
    }

    /// Compares the texts of a network's units with their Rust forms.
    ///
    /// # Errors
    /// `Part`: a text does not compile, or a number differs.
    pub(super) fn check_units(&self, network: &Network) -> Result<()> {
        for (k, g) in network.all_groups() {
            let Some(unit) = g.propagation.unit() else {
                continue;
            };
            let Some((name, text)) = text(unit)? else {
                continue;
            };
            let inputs = network.layers()[k - 1].inputs;
            let own = match &g.propagation {
                Propagation::Unit(own) => Some(own),
                _ => None,
            };
            let form = Form {
                kind: "unit",
                own: own.map(|own| Arc::as_ptr(own).addr()),
                name: name.into(),
                text: text.into(),
                sizes: (inputs, g.row),
                f64: self.f64,
            };
            if self.is_checked(&form) {
                continue;
            }
            self.compare(unit, (name, text), inputs, g.row)?;
            let mut checked = lock(&self.checked);
            checked.units.extend(own.map(Arc::downgrade));
            checked.forms.insert(form);
        }
        Ok(())
    }

    /// Compares a unit of d inputs and t parameters.
    pub(super) fn compare(&self, unit: &dyn Unit, text: Text, d: usize, t: usize) -> Result<()> {
        let name = text.0;
        let exact = guard::call("unit", name, || unit.exact())?.is_some();
        let first = 1 + t + d;
        let most = COMPARED.min((self.machine.limits().binding / self.float()) as usize);
        let all = (t.checked_mul(t))
            .and_then(|tt| {
                let exact = if exact { d.checked_mul(d + t)? } else { 0 };
                first.checked_add(tt)?.checked_add(exact)
            })
            .filter(|&all| all <= most);
        let numbers = all.unwrap_or(first);
        let points = unit_points((most / numbers).clamp(1, POINTS), d, t);
        let found = self.unit_by_shader(text, (d, t), &points, numbers, exact)?;
        for (found, point) in found.chunks(numbers).zip(&points) {
            let functions =
                guard::call("unit", name, || functions(unit, point.split_at(d), all.is_some()))?;
            self.agree(name, point.split_at(d), &functions, found)?;
        }
        Ok(())
    }

    /// The numbers of a unit at each point: value, first derivatives, and second ones as far as `numbers` reach.
    fn unit_by_shader(
        &self,
        text: Text,
        (d, t): (usize, usize),
        points: &[Vec<f64>],
        numbers: usize,
        exact: bool,
    ) -> Result<Vec<f64>> {
        let count = points.len();
        let side = |range: std::ops::Range<usize>| -> Vec<f64> {
            (points.iter()).flat_map(|p| p[range.clone()].to_vec()).collect()
        };
        let (z, w) = (self.store(&side(0..d), "unit")?, self.store(&side(d..d + t), "unit")?);
        let out: Array = self.array(&[count, numbers], "unit")?;
        let shape = Layout::rows_of(count, numbers);
        let launch = Launch::elements("device/unit", shape.shape, 2.0 * t as f64)
            .define("EXACT", usize::from(exact));
        let launch = with_text(launch, text, d, t);
        let binds = [
            self.bind("inputs", &z, Layout::rows_of(count, d), false),
            // Each point has parameters of its own.
            self.bind("weights", &w, Layout::shared(count, count, t), false),
            self.bind("out", &out, shape, true),
        ];
        self.launch(&launch, &binds)?;
        self.download(&out)
    }

    /// Whether the device's numbers at a point are those of the Rust form.
    fn agree(
        &self,
        name: &str,
        (z, w): (&[f64], &[f64]),
        functions: &[Function],
        mut found: &[f64],
    ) -> Result<()> {
        let tolerance = if self.f64 { 1e-10 } else { 1e-4 };
        let slopes = functions[1].numbers.iter().chain(&functions[2].numbers);
        let moved: f64 = (slopes.zip(w.iter().chain(z))).map(|(s, v)| (s * v).abs()).sum();
        let all = largest(functions.iter().flat_map(|f| &f.numbers));
        for (index, function) in functions.iter().enumerate() {
            let (own, rest) = found.split_at(function.numbers.len());
            found = rest;
            // The value may be a small difference of what moves it.
            let scale = largest(&function.numbers) + if index == 0 { moved } else { 0.0 };
            let allowed = tolerance * scale.max(all / 1024.0);
            for (at, (&found, &right)) in own.iter().zip(&function.numbers).enumerate() {
                if right.is_finite() && differs(found, right, allowed) {
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
        Ok(())
    }
}

/// Points of inputs and parameters. Every other one is positive, as widths are. Both forms get what f32 holds.
fn unit_points(count: usize, d: usize, t: usize) -> Vec<Vec<f64>> {
    (check::points(count, d + t, 1).into_iter().enumerate())
        .map(|(i, point)| {
            let number = |v: f64| if i % 2 == 1 { 0.25 + 0.5 * v.abs() } else { v };
            let round = |v: f64| f64::from(v as f32);
            point.into_iter().map(|v| round(number(v))).collect()
        })
        .collect()
}

/// The numbers of one of a unit's functions at a point, by the Rust form.
struct Function {
    /// In WGSL and in Rust.
    names: [&'static str; 2],
    /// The ranges of its arguments.
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

/// All functions of a unit, in the order of the shader; the second derivatives where asked for.
fn functions(unit: &dyn Unit, (z, w): (&[f64], &[f64]), second: bool) -> Vec<Function> {
    let (d, t) = (z.len(), w.len());
    let mut all = vec![
        Function::new(["unit_value", "value"], &[], |out| out[0] = unit.value(z, w)),
        Function::new(["unit_d_w", "d_w"], &[t], |out| unit.d_w(z, w, out)),
        Function::new(["unit_d_z", "d_z"], &[d], |out| unit.d_z(z, w, out)),
    ];
    if second {
        all.push(Function::new(["unit_d_ww", "d_ww"], &[t, t], |out| unit.d_ww(z, w, out)));
    }
    if let (true, Some(exact)) = (second, unit.exact()) {
        all.push(Function::new(["unit_d_zz", "d_zz"], &[d, d], |out| exact.d_zz(z, w, out)));
        all.push(Function::new(["unit_d_wz", "d_wz"], &[t, d], |out| exact.d_wz(z, w, out)));
    }
    all
}

impl Function {
    fn new(names: [&'static str; 2], shape: &[usize], fill: impl FnOnce(&mut [f64])) -> Self {
        let mut numbers = vec![0.0; shape.iter().product()];
        fill(&mut numbers);
        Function { names, shape: shape.to_vec(), numbers }
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
