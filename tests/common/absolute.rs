//! Two backends over `Cpu<f64>` for the tests: one that carries the absolute values of everything, and one with a
//! planted fault.
//!
//! `Absolute` evaluates the same expression with every operand replaced by its absolute value; an activation's derivative
//! enters as |h⁽q⁾(p)| + |h⁽q⁺¹⁾(p)| Ā(p), because an error of p moves it so much. What it returns is A in the component-wise
//! test |computed − exact| ≤ u K A (Higham, Accuracy and Stability, ch. 3).

use secondo::backend::{Backend, Cpu, Operand, UnitDerivative, UnitGroup};
use secondo::{Activation, Loss, Result};

/// Products below this may underflow in f32, relative to u.
const FLOOR: f64 = 2e-31;

pub struct Absolute;

/// A number's value and its A.
#[derive(Clone)]
pub struct Pair {
    v: Vec<f64>,
    a: Vec<f64>,
}

fn cpu() -> Cpu<f64> {
    Cpu::new()
}

fn with<'a>(o: &Operand<Pair>, array: &'a Vec<f64>) -> Operand<'a, Vec<f64>> {
    Operand {
        array,
        kind: o.kind,
        units: o.units.clone(),
        layer: o.layer,
        width: o.width,
    }
}

fn values<'a>(o: &Operand<'a, Pair>) -> Operand<'a, Vec<f64>> {
    with(o, &o.array.v)
}

fn bounds<'a>(o: &Operand<'a, Pair>) -> Operand<'a, Vec<f64>> {
    with(o, &o.array.a)
}

fn pair(v: Vec<f64>) -> Pair {
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
        cpu().propagate(n, vectors, &z.a, stride, &bounds(a), &mut out.a)
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
        cpu().contract(n, vectors, &m.a, &bounds(a), column, count, &mut out.a)
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
        cpu().contract_diagonal(n, &m.a, &bounds(a), column, count, &mut out.a)
    }
    fn scale(&self, n: usize, vectors: usize, units: usize, d: &Pair, a: &mut Pair) -> Result<()> {
        cpu().scale(n, vectors, units, &d.v, &mut a.v)?;
        cpu().scale(n, vectors, units, &d.a, &mut a.a)
    }
    fn multiply_add(&self, a: &Pair, b: &Pair, out: &mut Pair) -> Result<()> {
        cpu().multiply_add(&a.v, &b.v, &mut out.v)?;
        cpu().multiply_add(&a.a, &b.a, &mut out.a)
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
        Ok(Pair {
            v: cpu().gauss_newton(n, outputs, units, &j.v, &g.v)?,
            a: cpu().gauss_newton(n, outputs, units, &j.a, &g.a)?,
        })
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
    fn gradient(&self, n: usize, delta: &Pair, phi: &Operand<Pair>, out: &mut Pair) -> Result<()> {
        cpu().gradient(n, &delta.a, &bounds(phi), &mut out.a)
    }
    fn gram(&self, n: usize, c: &Pair, phi: &Operand<Pair>, out: &mut Pair) -> Result<()> {
        cpu().gram(n, &c.a, &bounds(phi), &mut out.a)
    }
    fn gram_diagonal(&self, n: usize, c: &Pair, phi: &Operand<Pair>, out: &mut Pair) -> Result<()> {
        cpu().gram_diagonal(n, &c.a, &bounds(phi), &mut out.a)
    }
    // The ratio test is for linear units.
    fn unit_value(&self, _: usize, _: &UnitGroup, _: &Pair, _: &mut Pair) -> Result<()> {
        unreachable!()
    }
    fn unit_derivative(
        &self,
        _: usize,
        _: &UnitGroup,
        _: &Pair,
        _: UnitDerivative,
    ) -> Result<Pair> {
        unreachable!()
    }
    fn unit_d_zz(&self, _: usize, _: &UnitGroup, _: &Pair, _: &Pair, _: &mut Pair) -> Result<()> {
        unreachable!()
    }
    fn unit_d_ww(
        &self,
        _: usize,
        _: &UnitGroup,
        _: &Pair,
        _: &Pair,
        _: bool,
        _: &mut Pair,
    ) -> Result<()> {
        unreachable!()
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
    UnitPsiForgotten,
    UnitPiForgotten,
    UnitPhiFlipped,
}

impl Fault {
    pub const ALL: [Fault; 27] = [
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
        Fault::UnitPsiForgotten,
        Fault::UnitPiForgotten,
        Fault::UnitPhiFlipped,
    ];
}

/// `Cpu<f64>` with one fault.
pub struct Faulty(pub Fault);

type A = Vec<f64>;

impl Backend for Faulty {
    type Array = A;
    type Sum = A;

    fn upload(&self, values: &[f64]) -> Result<A> {
        cpu().upload(values)
    }
    fn zeros(&self, len: usize) -> Result<A> {
        cpu().zeros(len)
    }
    fn download(&self, array: &A) -> Result<Vec<f64>> {
        cpu().download(array)
    }
    fn sums(&self, len: usize) -> Result<A> {
        cpu().sums(len)
    }
    fn read(&self, sum: A) -> Result<Vec<f64>> {
        cpu().read(sum)
    }
    fn gather(&self, n: usize, sources: &[(&A, usize)], bias: bool) -> Result<A> {
        let mut z = cpu().gather(n, sources, bias)?;
        let width = z.len() / n.max(1);
        for row in z.chunks_exact_mut(width.max(1)) {
            match self.0 {
                Fault::GatherDropsBias if bias => row[width - 1] = 0.0,
                Fault::GatherDropsLastSource if sources.len() > 1 => {
                    row[width - usize::from(bias) - 1] = 0.0;
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
        z: &A,
        stride: usize,
        a: &Operand<A>,
        out: &mut A,
    ) -> Result<()> {
        let width = match self.0 {
            Fault::PropagateDropsLastColumn => a.width - 1,
            _ => a.width,
        };
        let narrowed: A = a
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
        cpu().propagate(n, vectors, z, stride, &a, out)
    }
    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &A,
        order: usize,
    ) -> Result<Vec<A>> {
        let mut swapped = runs.to_vec();
        if self.0 == Fault::ActivateSwapsUnits {
            swapped.reverse();
        }
        let mut h = cpu().activate(n, &swapped, p, order)?;
        let flipped = match self.0 {
            Fault::ActivateFlipsFirst => 1,
            Fault::ActivateFlipsSecond => 2,
            _ => 9,
        };
        if let Some(h) = h.get_mut(flipped) {
            h.iter_mut().for_each(|h| *h = -*h);
        }
        Ok(h)
    }
    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &A,
        y: &A,
        omega: &A,
        value: &mut A,
        gradient: bool,
    ) -> Result<Option<A>> {
        let ones = vec![1.0; n];
        let omega = if self.0 == Fault::LossForgetsWeight {
            &ones
        } else {
            omega
        };
        let mut g = cpu().loss(n, loss, x, y, omega, value, gradient)?;
        if self.0 == Fault::LossFlipsGradient {
            g.iter_mut().flatten().for_each(|g| *g = -*g);
        }
        Ok(g)
    }
    fn loss_hessian(&self, n: usize, loss: &Loss, x: &A, y: &A, omega: &A) -> Result<A> {
        let mut h = cpu().loss_hessian(n, loss, x, y, omega)?;
        let outputs = x.len() / n.max(1);
        for (at, h) in h.iter_mut().enumerate() {
            let (o, q) = (at / outputs % outputs, at % outputs);
            if self.0 == Fault::LossHessianZero
                || self.0 == Fault::LossHessianDiagonalOnly && o != q
            {
                *h = 0.0;
            }
        }
        Ok(h)
    }
    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &A,
        a: &Operand<A>,
        column: usize,
        count: usize,
        out: &mut A,
    ) -> Result<()> {
        let column = if self.0 == Fault::ContractFromColumnZero {
            0
        } else {
            column
        };
        let mut m = m.clone();
        if self.0 == Fault::ContractDropsUnit && a.units.len() > 1 {
            m.chunks_exact_mut(a.layer)
                .for_each(|row| row[a.units.end - 1] = 0.0);
        }
        cpu().contract(n, vectors, &m, a, column, count, out)
    }
    fn contract_diagonal(
        &self,
        n: usize,
        m: &A,
        a: &Operand<A>,
        column: usize,
        count: usize,
        out: &mut A,
    ) -> Result<()> {
        match self.0 {
            Fault::ContractDiagonalZero => Ok(()),
            _ => cpu().contract_diagonal(n, m, a, column, count, out),
        }
    }
    fn scale(&self, n: usize, vectors: usize, units: usize, d: &A, a: &mut A) -> Result<()> {
        match self.0 {
            Fault::ScaleForgotten => Ok(()),
            _ => cpu().scale(n, vectors, units, d, a),
        }
    }
    fn multiply_add(&self, a: &A, b: &A, out: &mut A) -> Result<()> {
        let ones = vec![1.0; b.len()];
        cpu().multiply_add(
            a,
            if self.0 == Fault::MultiplyForgotten {
                &ones
            } else {
                b
            },
            out,
        )
    }
    fn add_diagonal(&self, n: usize, units: usize, d: &A, a: &mut A) -> Result<()> {
        match self.0 {
            Fault::DiagonalForgotten => Ok(()),
            _ => cpu().add_diagonal(n, units, d, a),
        }
    }
    fn diagonal(&self, n: usize, units: usize, a: &A) -> Result<A> {
        cpu().diagonal(n, units, a)
    }
    fn transpose(&self, n: usize, rows: usize, columns: usize, a: &A) -> Result<A> {
        match self.0 {
            Fault::TransposeForgotten => Ok(a.clone()),
            _ => cpu().transpose(n, rows, columns, a),
        }
    }
    fn gauss_newton(&self, n: usize, outputs: usize, units: usize, j: &A, g: &A) -> Result<A> {
        cpu().gauss_newton(n, outputs, units, j, g)
    }
    fn fisher(&self, n: usize, units: usize, delta: &A, omega: &A) -> Result<A> {
        let omega: A = (omega.iter())
            .map(|&w| match self.0 {
                Fault::FisherMultipliesWeight if w != 0.0 => 1.0 / w,
                Fault::FisherForgetsWeight if w != 0.0 => 1.0,
                _ => w,
            })
            .collect();
        cpu().fisher(n, units, delta, &omega)
    }
    fn gradient(&self, n: usize, delta: &A, phi: &Operand<A>, out: &mut A) -> Result<()> {
        let n = if self.0 == Fault::GradientDropsLastSample {
            n - 1
        } else {
            n
        };
        cpu().gradient(n, delta, phi, out)
    }
    fn gram(&self, n: usize, c: &A, phi: &Operand<A>, out: &mut A) -> Result<()> {
        let n = if self.0 == Fault::GramDropsLastSample {
            n - 1
        } else {
            n
        };
        let mut c = c.clone();
        if self.0 == Fault::GramShiftsUnits {
            c.rotate_right(1);
        }
        cpu().gram(n, &c, phi, out)?;
        if self.0 == Fault::GramSwapsEntries {
            let size = out.len() / phi.units.len();
            out.chunks_exact_mut(size)
                .filter(|b| b.len() > 1)
                .for_each(|b| b.swap(0, 1));
        }
        Ok(())
    }
    fn gram_diagonal(&self, n: usize, c: &A, phi: &Operand<A>, out: &mut A) -> Result<()> {
        match self.0 {
            Fault::GramDiagonalNotSquared => cpu().gradient(n, c, phi, out),
            _ => cpu().gram_diagonal(n, c, phi, out),
        }
    }
    fn unit_value(&self, n: usize, group: &UnitGroup, z: &A, p: &mut A) -> Result<()> {
        cpu().unit_value(n, group, z, p)
    }
    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup,
        z: &A,
        which: UnitDerivative,
    ) -> Result<A> {
        let mut out = cpu().unit_derivative(n, group, z, which)?;
        if self.0 == Fault::UnitPhiFlipped && which == UnitDerivative::Parameters {
            out[0] = -out[0];
        }
        Ok(out)
    }
    fn unit_d_zz(&self, n: usize, group: &UnitGroup, z: &A, delta: &A, out: &mut A) -> Result<()> {
        match self.0 {
            Fault::UnitPiForgotten => Ok(()),
            _ => cpu().unit_d_zz(n, group, z, delta, out),
        }
    }
    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup,
        z: &A,
        delta: &A,
        diagonal: bool,
        out: &mut A,
    ) -> Result<()> {
        match self.0 {
            Fault::UnitPsiForgotten => Ok(()),
            _ => cpu().unit_d_ww(n, group, z, delta, diagonal, out),
        }
    }
}
