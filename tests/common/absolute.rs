//! Two backends over `Cpu` for the tests: one that carries the absolute values of everything, and one with a planted fault.
//!
//! `Absolute` evaluates the same expression with every operand replaced by its absolute value; an activation's derivative
//! enters as |h⁽q⁾(p)| + |h⁽q⁺¹⁾(p)| Ā(p), because an error of p moves it so much. What it returns is A in the component-wise
//! test |computed − exact| ≤ u K A (Higham, Accuracy and Stability, ch. 3).

use std::ops::Range;

use secondo::backend::cpu::Real;
use secondo::backend::{Backend, Columns, Cpu, Direction, Operand, UnitDerivative, UnitGroup};
use secondo::{Activation, Loss, Result};

use super::own::{Magnitude, of};

/// Products below this may underflow in f32, relative to u.
pub const FLOOR: f64 = 2e-31;

pub struct Absolute;

/// A number's value and its A.
#[derive(Clone)]
pub struct Pair {
    pub v: Vec<f64>,
    pub a: Vec<f64>,
}

impl Pair {
    /// Products that may have underflowed: absolute, however large what follows makes them.
    fn floor(&mut self) {
        self.a.iter_mut().for_each(|a| *a += FLOOR);
    }
}

fn cpu() -> Cpu<f64> {
    Cpu::new()
}

/// The same operand with its numbers elsewhere.
pub fn with<'a, X, Y>(o: &Operand<X>, array: &'a Y) -> Operand<'a, Y> {
    Operand {
        array,
        kind: o.kind,
        units: o.units.clone(),
        layer: o.layer,
        width: o.width,
    }
}

/// The same columns with their numbers elsewhere.
pub fn columns<'a, X, Y>(c: &Columns<X>, array: &'a Y) -> Columns<'a, Y> {
    Columns {
        array,
        stride: c.stride,
        first: c.first,
        width: c.width,
    }
}

fn values<'a>(o: &Operand<'a, Pair>) -> Operand<'a, Vec<f64>> {
    with(o, &o.array.v)
}

fn bounds<'a>(o: &Operand<'a, Pair>) -> Operand<'a, Vec<f64>> {
    with(o, &o.array.a)
}

/// Numbers that are exact, or rounded once.
pub fn pair(v: Vec<f64>) -> Pair {
    Pair {
        a: v.iter().map(|v| v.abs() + FLOOR).collect(),
        v,
    }
}

fn expand(runs: &[(Activation, usize)]) -> Vec<Activation> {
    runs.iter().flat_map(|&(h, units)| vec![h; units]).collect()
}

/// h‴ to the few digits that a bound needs.
fn third(h: Activation, u: f64) -> f64 {
    let step = 1e-4 * u.abs().max(1.0);
    let d = h.derivatives(u + step)[2] - h.derivatives(u - step)[2];
    if d.is_finite() { d / (2.0 * step) } else { 0.0 }
}

impl Backend for Absolute {
    type Array = Pair;
    type Sum = Pair;

    fn upload(&self, values: &[f64]) -> Result<Pair> {
        Ok(pair(values.to_vec()))
    }
    fn zeros(&self, len: usize) -> Result<Pair> {
        Ok(Pair {
            v: vec![0.0; len],
            a: vec![0.0; len],
        })
    }
    fn download(&self, array: &Pair) -> Result<Vec<f64>> {
        Ok(array.a.clone())
    }
    fn sums(&self, len: usize) -> Result<Pair> {
        self.zeros(len)
    }
    fn read(&self, sum: Pair) -> Result<Vec<f64>> {
        Ok(sum.a)
    }
    fn gather(&self, n: usize, sources: &[(&Pair, usize)], bias: bool) -> Result<Pair> {
        let v: Vec<_> = sources.iter().map(|(p, s)| (&p.v, *s)).collect();
        let a: Vec<_> = sources.iter().map(|(p, s)| (&p.a, *s)).collect();
        Ok(Pair {
            v: cpu().gather(n, &v, bias)?,
            a: cpu().gather(n, &a, bias)?,
        })
    }
    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        z: &Pair,
        stride: usize,
        a: &Operand<Pair>,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().propagate(n, vectors, &z.v, stride, &values(a), &mut out.v)?;
        cpu().propagate(n, vectors, &z.a, stride, &bounds(a), &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Pair,
        order: usize,
    ) -> Result<Vec<Pair>> {
        let h = cpu().activate(n, runs, &p.v, 2)?;
        let units = expand(runs);
        Ok((0..=order)
            .map(|q| {
                let a = (0..p.v.len())
                    .map(|i| {
                        let next = match q {
                            2 => third(units[i % units.len()], p.v[i]),
                            _ => h[q + 1][i],
                        };
                        h[q][i].abs() + next.abs() * p.a[i] + FLOOR
                    })
                    .collect();
                Pair { v: h[q].clone(), a }
            })
            .collect())
    }
    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &Pair,
        y: &Pair,
        omega: &Pair,
        value: &mut Pair,
        gradient: bool,
    ) -> Result<Option<Pair>> {
        let outputs = x.v.len() / n;
        let g = cpu()
            .loss(n, loss, &x.v, &y.v, &omega.v, &mut value.v, true)?
            .unwrap();
        let hessian = cpu().loss_hessian(n, loss, &x.v, &y.v, &omega.v)?;
        let mut a = vec![0.0; g.len()];
        for i in 0..n {
            let row = i * outputs..(i + 1) * outputs;
            let mut bound = omega.v[i]
                * loss
                    .derivatives(&x.v[row.clone()], &y.v[row.clone()])?
                    .0
                    .abs();
            for o in 0..outputs {
                // y is rounded as well.
                let at = row.start + o;
                bound += g[at].abs() * (x.a[at] + y.a[at]);
                a[at] = g[at].abs() + FLOOR;
                for q in 0..outputs {
                    let h = hessian[(i * outputs + o) * outputs + q].abs();
                    a[at] += h * (x.a[row.start + q] + y.a[row.start + q]);
                }
            }
            value.a[0] += bound;
        }
        Ok(gradient.then_some(Pair { v: g, a }))
    }
    fn loss_hessian(
        &self,
        n: usize,
        loss: &Loss,
        x: &Pair,
        y: &Pair,
        omega: &Pair,
    ) -> Result<Pair> {
        let outputs = x.v.len() / n;
        let at = |x: &Vec<f64>| cpu().loss_hessian(n, loss, x, &y.v, &omega.v);
        let v = at(&x.v)?;
        let mut a: Vec<f64> = v.iter().map(|v| v.abs() + FLOOR).collect();
        // ∂³g by differences, one output at a time.
        for o in 0..outputs {
            let step = 1e-4;
            let shifted = |by: f64| {
                let mut x = x.v.clone();
                (0..n).for_each(|i| x[i * outputs + o] += by);
                x
            };
            let (up, down) = (at(&shifted(step))?, at(&shifted(-step))?);
            for i in 0..n {
                let error = x.a[i * outputs + o] + y.a[i * outputs + o];
                for e in 0..outputs * outputs {
                    let at = i * outputs * outputs + e;
                    a[at] += (up[at] - down[at]).abs() / (2.0 * step) * error;
                }
            }
        }
        Ok(Pair { v, a })
    }
    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &Pair,
        a: &Operand<Pair>,
        column: usize,
        count: usize,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().contract(n, vectors, &m.v, &values(a), column, count, &mut out.v)?;
        cpu().contract(n, vectors, &m.a, &bounds(a), column, count, &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn contract_diagonal(
        &self,
        n: usize,
        m: &Pair,
        a: &Operand<Pair>,
        column: usize,
        count: usize,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().contract_diagonal(n, &m.v, &values(a), column, count, &mut out.v)?;
        cpu().contract_diagonal(n, &m.a, &bounds(a), column, count, &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn scale(&self, n: usize, vectors: usize, units: usize, d: &Pair, a: &mut Pair) -> Result<()> {
        cpu().scale(n, vectors, units, &d.v, &mut a.v)?;
        cpu().scale(n, vectors, units, &d.a, &mut a.a)?;
        a.floor();
        Ok(())
    }
    fn multiply_add(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &Pair,
        b: &Pair,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().multiply_add(n, vectors, units, &a.v, &b.v, &mut out.v)?;
        cpu().multiply_add(n, vectors, units, &a.a, &b.a, &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn add_diagonal(&self, n: usize, units: usize, d: &Pair, a: &mut Pair) -> Result<()> {
        cpu().add_diagonal(n, units, &d.v, &mut a.v)?;
        cpu().add_diagonal(n, units, &d.a, &mut a.a)
    }
    fn diagonal(&self, n: usize, units: usize, a: &Pair) -> Result<Pair> {
        Ok(Pair {
            v: cpu().diagonal(n, units, &a.v)?,
            a: cpu().diagonal(n, units, &a.a)?,
        })
    }
    fn transpose(&self, n: usize, rows: usize, columns: usize, a: &Pair) -> Result<Pair> {
        Ok(Pair {
            v: cpu().transpose(n, rows, columns, &a.v)?,
            a: cpu().transpose(n, rows, columns, &a.a)?,
        })
    }
    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        j: &Pair,
        g: &Pair,
    ) -> Result<Pair> {
        let mut c = Pair {
            v: cpu().gauss_newton(n, outputs, units, &j.v, &g.v)?,
            a: cpu().gauss_newton(n, outputs, units, &j.a, &g.a)?,
        };
        c.floor();
        Ok(c)
    }
    fn fisher(&self, n: usize, units: usize, delta: &Pair, omega: &Pair) -> Result<Pair> {
        let v = cpu().fisher(n, units, &delta.v, &omega.v)?;
        let a = (0..v.len())
            .map(|at| match omega.v[at / units] {
                0.0 => 0.0,
                omega => 2.0 * delta.v[at].abs() * delta.a[at] / omega + FLOOR,
            })
            .collect();
        Ok(Pair { v, a })
    }
    fn gradient(
        &self,
        n: usize,
        delta: &Pair,
        phi: &Operand<Pair>,
        out: &mut Pair,
        at: usize,
    ) -> Result<()> {
        cpu().gradient(n, &delta.v, &values(phi), &mut out.v, at)?;
        cpu().gradient(n, &delta.a, &bounds(phi), &mut out.a, at)?;
        out.floor();
        Ok(())
    }
    fn outer(&self, n: usize, y: &Columns<Pair>, z: &Columns<Pair>) -> Result<Pair> {
        let mut out = Pair {
            v: cpu().outer(n, &columns(y, &y.array.v), &columns(z, &z.array.v))?,
            a: cpu().outer(n, &columns(y, &y.array.a), &columns(z, &z.array.a))?,
        };
        out.floor();
        Ok(out)
    }
    fn pairs(&self, n: usize, layer: usize, units: Range<usize>, a: &Pair) -> Result<Pair> {
        Ok(Pair {
            v: cpu().pairs(n, layer, units.clone(), &a.v)?,
            a: cpu().pairs(n, layer, units, &a.a)?,
        })
    }
    fn gram(&self, n: usize, c: &Pair, phi: &Operand<Pair>, out: &mut Pair) -> Result<()> {
        cpu().gram(n, &c.v, &values(phi), &mut out.v)?;
        cpu().gram(n, &c.a, &bounds(phi), &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn gram_diagonal(&self, n: usize, c: &Pair, phi: &Operand<Pair>, out: &mut Pair) -> Result<()> {
        cpu().gram_diagonal(n, &c.v, &values(phi), &mut out.v)?;
        cpu().gram_diagonal(n, &c.a, &bounds(phi), &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn tensor(
        &self,
        n: usize,
        order: usize,
        c: &Pair,
        z: &Pair,
        width: usize,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().tensor(n, order, &c.v, &z.v, width, &mut out.v)?;
        cpu().tensor(n, order, &c.a, &z.a, width, &mut out.a)?;
        out.floor();
        Ok(())
    }
    fn unit_value(&self, n: usize, group: &UnitGroup<Pair>, z: &Pair, p: &mut Pair) -> Result<()> {
        cpu().unit_value(n, &own(group), &z.v, &mut p.v)?;
        bounded(group, |g| cpu().unit_value(n, g, &z.a, &mut p.a))?;
        p.floor();
        Ok(())
    }
    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<Pair>,
        z: &Pair,
        which: UnitDerivative,
    ) -> Result<Pair> {
        let mut out = Pair {
            v: cpu().unit_derivative(n, &own(group), &z.v, which)?,
            a: bounded(group, |g| cpu().unit_derivative(n, g, &z.a, which))?,
        };
        out.floor();
        Ok(out)
    }
    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<Pair>,
        z: &Pair,
        direction: &Direction<Pair>,
        p: &mut Pair,
    ) -> Result<()> {
        let (v, a) = (along(direction, |p| &p.v), along(direction, |p| &p.a));
        cpu().unit_value_along(n, &own(group), &z.v, &v, &mut p.v)?;
        bounded(group, |g| cpu().unit_value_along(n, g, &z.a, &a, &mut p.a))?;
        p.floor();
        Ok(())
    }
    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<Pair>,
        z: &Pair,
        direction: &Direction<Pair>,
        which: UnitDerivative,
    ) -> Result<Pair> {
        let (v, a) = (along(direction, |p| &p.v), along(direction, |p| &p.a));
        let mut out = Pair {
            v: cpu().unit_along(n, &own(group), &z.v, &v, which)?,
            a: bounded(group, |g| cpu().unit_along(n, g, &z.a, &a, which))?,
        };
        out.floor();
        Ok(out)
    }
    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Pair>,
        z: &Pair,
        delta: &Pair,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().unit_d_zz(n, &own(group), &z.v, &delta.v, &mut out.v)?;
        bounded(group, |g| cpu().unit_d_zz(n, g, &z.a, &delta.a, &mut out.a))?;
        out.floor();
        Ok(())
    }
    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Pair>,
        z: &Pair,
        delta: &Pair,
        diagonal: bool,
        out: &mut Pair,
    ) -> Result<()> {
        cpu().unit_d_ww(n, &own(group), &z.v, &delta.v, diagonal, &mut out.v)?;
        bounded(group, |g| {
            cpu().unit_d_ww(n, g, &z.a, &delta.a, diagonal, &mut out.a)
        })?;
        out.floor();
        Ok(())
    }
}

fn own<'a>(group: &UnitGroup<'a, Pair>) -> UnitGroup<'a, Vec<f64>> {
    of(group, group.unit, &group.weights.v)
}

/// What `run` makes of the group's units over absolute values.
fn bounded<R>(group: &UnitGroup<Pair>, run: impl FnOnce(&UnitGroup<Vec<f64>>) -> R) -> R {
    let unit = Magnitude {
        unit: group.unit,
        apart: true,
    };
    run(&of(group, &unit, &group.weights.v))
}

/// A direction with these numbers of its pairs.
pub fn along<'a>(
    direction: &Direction<'a, Pair>,
    part: impl Fn(&Pair) -> &Vec<f64>,
) -> Direction<'a, Vec<f64>> {
    Direction {
        weights: direction.weights.map(&part),
        inputs: (direction.inputs.as_ref()).map(|c| columns(c, part(c.array))),
    }
}

/// What is wrong with a [`Faulty`] backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    GatherDropsBias,
    GatherDropsLastSource,
    PropagateDropsLastColumn,
    ActivateFlipsFirst,
    ActivateFlipsSecond,
    ActivateSwapsUnits,
    LossFlipsGradient,
    LossForgetsWeight,
    LossHessianZero,
    LossHessianDiagonalOnly,
    ContractFromColumnZero,
    ContractDropsUnit,
    ContractDiagonalZero,
    ScaleForgotten,
    MultiplyForgotten,
    DiagonalForgotten,
    TransposeForgotten,
    FisherMultipliesWeight,
    FisherForgetsWeight,
    GradientDropsLastSample,
    GramDropsLastSample,
    GramSwapsEntries,
    GramShiftsUnits,
    GramDiagonalNotSquared,
    DiagonalShifted,
    GaussNewtonUncoupled,
    UnitValueForgotten,
    UnitPsiForgotten,
    UnitPiForgotten,
    UnitPhiFlipped,
    GradientAtStart,
    OuterFromColumnZero,
    OuterDropsLast,
    PairsShifted,
    UnitAlongInputsAlone,
    UnitAlongFlipped,
    UnitValueAlongForgotten,
    TensorDropsLastSample,
    TensorShifted,
}

impl Fault {
    pub const ALL: [Fault; 39] = [
        Fault::GatherDropsBias,
        Fault::GatherDropsLastSource,
        Fault::PropagateDropsLastColumn,
        Fault::ActivateFlipsFirst,
        Fault::ActivateFlipsSecond,
        Fault::ActivateSwapsUnits,
        Fault::LossFlipsGradient,
        Fault::LossForgetsWeight,
        Fault::LossHessianZero,
        Fault::LossHessianDiagonalOnly,
        Fault::ContractFromColumnZero,
        Fault::ContractDropsUnit,
        Fault::ContractDiagonalZero,
        Fault::ScaleForgotten,
        Fault::MultiplyForgotten,
        Fault::DiagonalForgotten,
        Fault::TransposeForgotten,
        Fault::FisherMultipliesWeight,
        Fault::FisherForgetsWeight,
        Fault::GradientDropsLastSample,
        Fault::GramDropsLastSample,
        Fault::GramSwapsEntries,
        Fault::GramShiftsUnits,
        Fault::GramDiagonalNotSquared,
        Fault::DiagonalShifted,
        Fault::GaussNewtonUncoupled,
        Fault::UnitValueForgotten,
        Fault::UnitPsiForgotten,
        Fault::UnitPiForgotten,
        Fault::UnitPhiFlipped,
        Fault::GradientAtStart,
        Fault::OuterFromColumnZero,
        Fault::OuterDropsLast,
        Fault::PairsShifted,
        Fault::UnitAlongInputsAlone,
        Fault::UnitAlongFlipped,
        Fault::UnitValueAlongForgotten,
        Fault::TensorDropsLastSample,
        Fault::TensorShifted,
    ];
    /// The kernel that is wrong.
    pub fn kernel(self) -> Option<&'static str> {
        Some(match self {
            Fault::None => return None,
            Fault::GatherDropsBias | Fault::GatherDropsLastSource => "gather",
            Fault::PropagateDropsLastColumn => "propagate",
            Fault::ActivateFlipsFirst | Fault::ActivateFlipsSecond | Fault::ActivateSwapsUnits => {
                "activate"
            }
            Fault::LossFlipsGradient | Fault::LossForgetsWeight => "loss",
            Fault::LossHessianZero | Fault::LossHessianDiagonalOnly => "loss_hessian",
            Fault::ContractFromColumnZero | Fault::ContractDropsUnit => "contract",
            Fault::ContractDiagonalZero => "contract_diagonal",
            Fault::ScaleForgotten => "scale",
            Fault::MultiplyForgotten => "multiply_add",
            Fault::DiagonalForgotten => "add_diagonal",
            Fault::TransposeForgotten => "transpose",
            Fault::FisherMultipliesWeight | Fault::FisherForgetsWeight => "fisher",
            Fault::GradientDropsLastSample | Fault::GradientAtStart => "gradient",
            Fault::OuterFromColumnZero | Fault::OuterDropsLast => "outer",
            Fault::PairsShifted => "pairs",
            Fault::TensorDropsLastSample | Fault::TensorShifted => "tensor",
            Fault::UnitValueAlongForgotten => "unit_value_along",
            Fault::UnitAlongInputsAlone | Fault::UnitAlongFlipped => "unit_along",
            Fault::GramDropsLastSample | Fault::GramSwapsEntries | Fault::GramShiftsUnits => "gram",
            Fault::GramDiagonalNotSquared => "gram_diagonal",
            Fault::DiagonalShifted => "diagonal",
            Fault::GaussNewtonUncoupled => "gauss_newton",
            Fault::UnitValueForgotten => "unit_value",
            Fault::UnitPsiForgotten => "unit_d_ww",
            Fault::UnitPiForgotten => "unit_d_zz",
            Fault::UnitPhiFlipped => "unit_derivative",
        })
    }
}

/// `Cpu` with one fault.
pub struct Faulty<T>(pub Cpu<T>, pub Fault);

type Sum = Vec<f64>;

/// Of matrices of this order, one after the other.
fn keep_diagonal<T: Real>(matrices: &mut [T], order: usize) {
    for (at, v) in matrices.iter_mut().enumerate() {
        if at / order % order != at % order {
            *v = T::ZERO;
        }
    }
}

fn minus<T: Real>(v: T) -> T {
    T::from_f64(-v.to_f64())
}

impl<T: Real> Backend for Faulty<T> {
    type Array = Vec<T>;
    type Sum = Sum;

    fn upload(&self, values: &[f64]) -> Result<Vec<T>> {
        self.0.upload(values)
    }
    fn zeros(&self, len: usize) -> Result<Vec<T>> {
        self.0.zeros(len)
    }
    fn download(&self, array: &Vec<T>) -> Result<Vec<f64>> {
        self.0.download(array)
    }
    fn sums(&self, len: usize) -> Result<Sum> {
        self.0.sums(len)
    }
    fn read(&self, sum: Sum) -> Result<Vec<f64>> {
        self.0.read(sum)
    }
    fn gather(&self, n: usize, sources: &[(&Vec<T>, usize)], bias: bool) -> Result<Vec<T>> {
        let mut z = self.0.gather(n, sources, bias)?;
        let width = z.len() / n.max(1);
        for row in z.chunks_exact_mut(width.max(1)) {
            match self.1 {
                Fault::GatherDropsBias if bias => row[width - 1] = T::ZERO,
                Fault::GatherDropsLastSource if sources.len() > 1 => {
                    row[width - usize::from(bias) - 1] = T::ZERO;
                }
                _ => {}
            }
        }
        Ok(z)
    }
    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        z: &Vec<T>,
        stride: usize,
        a: &Operand<Vec<T>>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        let width = match self.1 {
            Fault::PropagateDropsLastColumn => a.width - 1,
            _ => a.width,
        };
        let narrowed: Vec<T> = a
            .array
            .chunks(a.width)
            .flat_map(|row| row[..width].to_vec())
            .collect();
        let a = Operand {
            array: &narrowed,
            units: a.units.clone(),
            width,
            ..*a
        };
        self.0.propagate(n, vectors, z, stride, &a, out)
    }
    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Vec<T>,
        order: usize,
    ) -> Result<Vec<Vec<T>>> {
        let mut swapped = runs.to_vec();
        if self.1 == Fault::ActivateSwapsUnits {
            swapped.reverse();
        }
        let mut h = self.0.activate(n, &swapped, p, order)?;
        let flipped = match self.1 {
            Fault::ActivateFlipsFirst => 1,
            Fault::ActivateFlipsSecond => 2,
            _ => 9,
        };
        if let Some(h) = h.get_mut(flipped) {
            h.iter_mut().for_each(|h| *h = minus(*h));
        }
        Ok(h)
    }
    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &Vec<T>,
        y: &Vec<T>,
        omega: &Vec<T>,
        value: &mut Sum,
        gradient: bool,
    ) -> Result<Option<Vec<T>>> {
        let ones = vec![T::ONE; n];
        let omega = if self.1 == Fault::LossForgetsWeight {
            &ones
        } else {
            omega
        };
        let mut g = self.0.loss(n, loss, x, y, omega, value, gradient)?;
        if self.1 == Fault::LossFlipsGradient {
            g.iter_mut().flatten().for_each(|g| *g = minus(*g));
        }
        Ok(g)
    }
    fn loss_hessian(
        &self,
        n: usize,
        loss: &Loss,
        x: &Vec<T>,
        y: &Vec<T>,
        omega: &Vec<T>,
    ) -> Result<Vec<T>> {
        let mut h = self.0.loss_hessian(n, loss, x, y, omega)?;
        let outputs = x.len() / n.max(1);
        match self.1 {
            Fault::LossHessianZero => h.fill(T::ZERO),
            Fault::LossHessianDiagonalOnly => keep_diagonal(&mut h, outputs),
            _ => {}
        }
        Ok(h)
    }
    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &Vec<T>,
        a: &Operand<Vec<T>>,
        column: usize,
        count: usize,
        out: &mut Vec<T>,
    ) -> Result<()> {
        let column = if self.1 == Fault::ContractFromColumnZero {
            0
        } else {
            column
        };
        let mut m = m.clone();
        if self.1 == Fault::ContractDropsUnit && a.units.len() > 1 {
            m.chunks_exact_mut(a.layer)
                .for_each(|row| row[a.units.end - 1] = T::ZERO);
        }
        self.0.contract(n, vectors, &m, a, column, count, out)
    }
    fn contract_diagonal(
        &self,
        n: usize,
        m: &Vec<T>,
        a: &Operand<Vec<T>>,
        column: usize,
        count: usize,
        out: &mut Vec<T>,
    ) -> Result<()> {
        match self.1 {
            Fault::ContractDiagonalZero => Ok(()),
            _ => self.0.contract_diagonal(n, m, a, column, count, out),
        }
    }
    fn scale(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        d: &Vec<T>,
        a: &mut Vec<T>,
    ) -> Result<()> {
        match self.1 {
            Fault::ScaleForgotten => Ok(()),
            _ => self.0.scale(n, vectors, units, d, a),
        }
    }
    fn multiply_add(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &Vec<T>,
        b: &Vec<T>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        let ones = vec![T::ONE; b.len()];
        self.0.multiply_add(
            n,
            vectors,
            units,
            a,
            if self.1 == Fault::MultiplyForgotten {
                &ones
            } else {
                b
            },
            out,
        )
    }
    fn add_diagonal(&self, n: usize, units: usize, d: &Vec<T>, a: &mut Vec<T>) -> Result<()> {
        match self.1 {
            Fault::DiagonalForgotten => Ok(()),
            _ => self.0.add_diagonal(n, units, d, a),
        }
    }
    fn diagonal(&self, n: usize, units: usize, a: &Vec<T>) -> Result<Vec<T>> {
        let mut d = self.0.diagonal(n, units, a)?;
        if self.1 == Fault::DiagonalShifted {
            d.rotate_right(1);
        }
        Ok(d)
    }
    fn transpose(&self, n: usize, rows: usize, columns: usize, a: &Vec<T>) -> Result<Vec<T>> {
        match self.1 {
            Fault::TransposeForgotten => Ok(a.clone()),
            _ => self.0.transpose(n, rows, columns, a),
        }
    }
    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        j: &Vec<T>,
        g: &Vec<T>,
    ) -> Result<Vec<T>> {
        let mut g = g.clone();
        if self.1 == Fault::GaussNewtonUncoupled {
            keep_diagonal(&mut g, outputs);
        }
        self.0.gauss_newton(n, outputs, units, j, &g)
    }
    fn fisher(&self, n: usize, units: usize, delta: &Vec<T>, omega: &Vec<T>) -> Result<Vec<T>> {
        let omega: Vec<T> = (omega.iter())
            .map(|&w| match self.1 {
                Fault::FisherMultipliesWeight if w != T::ZERO => T::from_f64(1.0 / w.to_f64()),
                Fault::FisherForgetsWeight if w != T::ZERO => T::ONE,
                _ => w,
            })
            .collect();
        self.0.fisher(n, units, delta, &omega)
    }
    fn gradient(
        &self,
        n: usize,
        delta: &Vec<T>,
        phi: &Operand<Vec<T>>,
        out: &mut Sum,
        at: usize,
    ) -> Result<()> {
        let n = if self.1 == Fault::GradientDropsLastSample {
            n - 1
        } else {
            n
        };
        let at = if self.1 == Fault::GradientAtStart {
            0
        } else {
            at
        };
        self.0.gradient(n, delta, phi, out, at)
    }
    fn outer(&self, n: usize, y: &Columns<Vec<T>>, z: &Columns<Vec<T>>) -> Result<Vec<T>> {
        let mut first = columns(y, y.array);
        if self.1 == Fault::OuterFromColumnZero {
            first.first = 0;
        }
        let mut out = self.0.outer(n, &first, z)?;
        if self.1 == Fault::OuterDropsLast {
            let size = y.width * z.width;
            out.chunks_exact_mut(size)
                .for_each(|row| row[size - 1] = T::ZERO);
        }
        Ok(out)
    }
    fn pairs(&self, n: usize, layer: usize, units: Range<usize>, a: &Vec<T>) -> Result<Vec<T>> {
        let mut out = self.0.pairs(n, layer, units, a)?;
        if self.1 == Fault::PairsShifted {
            out.rotate_right(1);
        }
        Ok(out)
    }
    fn gram(&self, n: usize, c: &Vec<T>, phi: &Operand<Vec<T>>, out: &mut Sum) -> Result<()> {
        let n = if self.1 == Fault::GramDropsLastSample {
            n - 1
        } else {
            n
        };
        let mut c = c.clone();
        if self.1 == Fault::GramShiftsUnits {
            c.rotate_right(1);
        }
        self.0.gram(n, &c, phi, out)?;
        if self.1 == Fault::GramSwapsEntries {
            let size = out.len() / phi.units.len();
            out.chunks_exact_mut(size)
                .filter(|b| b.len() > 1)
                .for_each(|b| b.swap(0, 1));
        }
        Ok(())
    }
    fn gram_diagonal(
        &self,
        n: usize,
        c: &Vec<T>,
        phi: &Operand<Vec<T>>,
        out: &mut Sum,
    ) -> Result<()> {
        match self.1 {
            Fault::GramDiagonalNotSquared => self.0.gradient(n, c, phi, out, 0),
            _ => self.0.gram_diagonal(n, c, phi, out),
        }
    }
    fn tensor(
        &self,
        n: usize,
        order: usize,
        c: &Vec<T>,
        z: &Vec<T>,
        width: usize,
        out: &mut Sum,
    ) -> Result<()> {
        let n = if self.1 == Fault::TensorDropsLastSample {
            n - 1
        } else {
            n
        };
        self.0.tensor(n, order, c, z, width, out)?;
        if self.1 == Fault::TensorShifted {
            out.rotate_right(1);
        }
        Ok(())
    }
    fn unit_value(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        p: &mut Vec<T>,
    ) -> Result<()> {
        match self.1 {
            Fault::UnitValueForgotten => Ok(()),
            _ => self.0.unit_value(n, group, z, p),
        }
    }
    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        which: UnitDerivative,
    ) -> Result<Vec<T>> {
        let mut out = self.0.unit_derivative(n, group, z, which)?;
        if self.1 == Fault::UnitPhiFlipped && which == UnitDerivative::Parameters {
            out[0] = minus(out[0]);
        }
        Ok(out)
    }
    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        direction: &Direction<Vec<T>>,
        p: &mut Vec<T>,
    ) -> Result<()> {
        match self.1 {
            Fault::UnitValueAlongForgotten => Ok(()),
            _ => self.0.unit_value_along(n, group, z, direction, p),
        }
    }
    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        direction: &Direction<Vec<T>>,
        which: UnitDerivative,
    ) -> Result<Vec<T>> {
        let direction = Direction {
            weights: (direction.weights).filter(|_| self.1 != Fault::UnitAlongInputsAlone),
            inputs: (direction.inputs.as_ref()).map(|c| columns(c, c.array)),
        };
        let mut out = self.0.unit_along(n, group, z, &direction, which)?;
        if self.1 == Fault::UnitAlongFlipped && which == UnitDerivative::Parameters {
            out.iter_mut().for_each(|v| *v = minus(*v));
        }
        Ok(out)
    }
    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        delta: &Vec<T>,
        out: &mut Vec<T>,
    ) -> Result<()> {
        match self.1 {
            Fault::UnitPiForgotten => Ok(()),
            _ => self.0.unit_d_zz(n, group, z, delta, out),
        }
    }
    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Vec<T>>,
        z: &Vec<T>,
        delta: &Vec<T>,
        diagonal: bool,
        out: &mut Sum,
    ) -> Result<()> {
        match self.1 {
            Fault::UnitPsiForgotten => Ok(()),
            _ => self.0.unit_d_ww(n, group, z, delta, diagonal, out),
        }
    }
}
