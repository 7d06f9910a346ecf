//! A backend that runs nothing and counts: bytes that live at once, and floating-point operations.
//!
//! The driver runs on it as on any other backend, so the plan cannot drift from what is done.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::Pool;
use super::{
    Backend, Columns, Coupled, Direction, Kind, Operand, Term, Then, UnitDerivative, UnitGroup, cpu,
};
use crate::error::{Error, Result};
use crate::network::Activation;
use crate::objective::Loss;

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Bytes of arrays and sums that live now.
    pub live: u64,
    /// The most that lived at once, scratch space of the kernels included.
    pub peak: u64,
    /// Floating-point operations; a multiplication with an addition counts as two, an activation or loss as 20.
    pub flops: f64,
}

/// Counts for a CPU backend whose floats have a given size.
#[derive(Debug, Clone)]
pub struct Meter {
    float: u64,
    threads: u64,
    /// As of a [`Backend::part`].
    part: bool,
    cost: Shared,
    pool: Arc<Pool<Counted>>,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Cost>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An array of which only the size exists.
#[derive(Debug)]
pub struct Counted {
    len: usize,
    bytes: u64,
    cost: Shared,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.cost.lock().live -= self.bytes;
    }
}

impl Meter {
    /// A meter for floats of `float` bytes on `threads` threads.
    pub fn new(float: usize, threads: usize) -> Self {
        Meter {
            float: float as u64,
            threads: threads as u64,
            part: false,
            cost: Shared::default(),
            pool: Arc::default(),
        }
    }

    /// A meter for one of several chunks that are computed at once, each by one thread.
    pub(crate) fn of_part(float: usize) -> Self {
        Meter {
            part: true,
            ..Meter::new(float, 1)
        }
    }

    /// What has been counted so far.
    pub fn cost(&self) -> Cost {
        *self.cost.lock()
    }

    fn hold(&self, len: usize, size: u64) -> Result<Counted> {
        let bytes = (len as u64)
            .checked_mul(size)
            .filter(|&b| b <= isize::MAX as u64)
            .ok_or_else(|| Error::TooLarge {
                what: "an intermediate array".into(),
            })?;
        let mut cost = self.cost.lock();
        cost.live = cost.live.saturating_add(bytes);
        cost.peak = cost.peak.max(cost.live);
        Ok(Counted {
            len,
            bytes,
            cost: self.cost.clone(),
        })
    }

    fn array(&self, lengths: &[usize]) -> Result<Counted> {
        let len = product(lengths)?;
        match self.pool.take(len) {
            Some(array) => Ok(array),
            None => self.hold(len, self.float),
        }
    }

    /// An array that the processor does not take from its pool.
    fn fresh(&self, lengths: &[usize]) -> Result<Counted> {
        self.hold(product(lengths)?, self.float)
    }

    fn flops(&self, factors: &[usize]) {
        self.cost.lock().flops += factors.iter().map(|&f| f as f64).product::<f64>();
    }

    /// Scratch space that a kernel holds while it runs.
    fn scratch(&self, bytes: u64) {
        let mut cost = self.cost.lock();
        cost.peak = cost.peak.max(cost.live.saturating_add(bytes));
    }

    /// The partial sums of a reduction with `len` results.
    fn partials(&self, n: usize, len: usize) {
        let held = n
            .div_ceil(cpu::block(n, self.part).max(1))
            .min(cpu::PARTIALS) as u64;
        self.scratch(held.saturating_mul(len as u64).saturating_mul(self.float));
    }
}

impl Meter {
    /// What the CPU's sums of weighted inputs hold: partial results, or a tile for each thread.
    fn weighted_sums(&self, n: usize, phi: &Operand<Counted>) -> Result<()> {
        let len = product(&[phi.units.len(), phi.width])?;
        let tile = match phi.kind {
            Kind::Shared => cpu::tile_of(cpu::block(n, self.part), phi.units.len(), phi.width),
            Kind::Sampled => None,
        };
        match tile {
            Some(tile) => self.scratch((self.threads * self.float).saturating_mul(tile as u64)),
            None => self.partials(n, len),
        }
        Ok(())
    }
}

/// A product of lengths, or an error where it overflows.
pub(crate) fn product(lengths: &[usize]) -> Result<usize> {
    (lengths.iter())
        .try_fold(1usize, |p, &l| p.checked_mul(l))
        .ok_or_else(|| Error::TooLarge {
            what: "an intermediate array".into(),
        })
}

impl Backend for Meter {
    type Array = Counted;
    type Sum = Counted;

    fn upload(&self, values: &[f64]) -> Result<Counted> {
        self.fresh(&[values.len()])
    }

    fn upload_rows(&self, values: &[f64], width: usize, constant: bool) -> Result<Counted> {
        let n = values.len().checked_div(width).unwrap_or(0);
        self.array(&[n, width.saturating_add(usize::from(constant))])
    }

    fn zeros(&self, len: usize) -> Result<Counted> {
        self.array(&[len])
    }

    fn recycle(&self, arrays: impl IntoIterator<Item = Counted>) {
        (arrays.into_iter()).for_each(|array| self.pool.keep(array.len, array));
    }

    fn release(&self) {
        self.pool.clear();
    }

    fn download(&self, _: &Counted) -> Result<Vec<f64>> {
        Ok(Vec::new())
    }

    fn sums(&self, len: usize) -> Result<Counted> {
        self.hold(len, 8)
    }

    fn read(&self, _: Counted) -> Result<Vec<f64>> {
        Ok(Vec::new())
    }

    fn gather(&self, n: usize, sources: &[(&Counted, usize)], bias: bool) -> Result<Counted> {
        let width = sources.iter().map(|s| s.1).sum::<usize>() + usize::from(bias);
        self.array(&[n, width])
    }

    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        _: &Counted,
        _: usize,
        a: &Operand<Counted>,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[2, n, vectors, a.units.len(), a.width]);
        Ok(())
    }

    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Counted,
        order: usize,
    ) -> Result<Vec<Counted>> {
        self.activated(n, runs, p, order, false)
    }

    fn activated(
        &self,
        n: usize,
        _: &[(Activation, usize)],
        p: &Counted,
        order: usize,
        constant: bool,
    ) -> Result<Vec<Counted>> {
        let ones = if constant { n } else { 0 };
        self.flops(&[20, p.len]);
        (0..=order)
            .map(|q| self.array(&[p.len.saturating_add(if q == 0 { ones } else { 0 })]))
            .collect()
    }

    /// The rows are written at once.
    fn with_one(&self, n: usize, width: usize, a: Counted, constant: bool) -> Result<Counted> {
        match constant {
            false => Ok(a),
            true => {
                drop(a);
                self.array(&[n, width.saturating_add(1)])
            }
        }
    }

    fn loss(
        &self,
        n: usize,
        _: &Loss,
        x: &Counted,
        _: &Counted,
        _: &Counted,
        _: &mut Counted,
        gradient: bool,
    ) -> Result<Option<Counted>> {
        self.flops(&[20, x.len]);
        let outputs = x.len.checked_div(n).unwrap_or(0) as u64;
        self.scratch((24 * cpu::QUANTUM as u64 * self.threads).saturating_mul(outputs));
        gradient.then(|| self.fresh(&[x.len])).transpose()
    }

    fn loss_hessian(
        &self,
        n: usize,
        _: &Loss,
        x: &Counted,
        _: &Counted,
        _: &Counted,
    ) -> Result<Counted> {
        let outputs = x.len.checked_div(n).unwrap_or(0);
        self.flops(&[20, x.len]);
        self.fresh(&[x.len, outputs])
    }

    fn contract(
        &self,
        n: usize,
        vectors: usize,
        _: &Counted,
        a: &Operand<Counted>,
        _: usize,
        count: usize,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[2, n, vectors, a.units.len(), count]);
        Ok(())
    }

    fn contracted(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        terms: &[Term<Counted>],
        then: &Then<Counted>,
    ) -> Result<Counted> {
        for term in terms {
            self.flops(&[2, n, term.vectors, term.a.units.len(), term.count]);
        }
        let each = match then {
            Then::Nothing => 0,
            Then::Times(_) => 1,
            Then::Bend { .. } => 5,
        };
        self.flops(&[each, n, vectors, units]);
        self.array(&[n, vectors, units])
    }

    fn linked(
        &self,
        n: usize,
        _: &Counted,
        a: &Operand<Counted>,
        _: usize,
        count: usize,
        _: &Counted,
        constant: bool,
    ) -> Result<Counted> {
        self.flops(&[2, n, count, a.layer]);
        self.array(&[n, count, a.layer.saturating_add(usize::from(constant))])
    }

    fn contract_diagonal(
        &self,
        n: usize,
        _: &Counted,
        a: &Operand<Counted>,
        _: usize,
        count: usize,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[2, n, a.units.len(), count]);
        Ok(())
    }

    fn scale(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        _: &Counted,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[n, vectors, units]);
        Ok(())
    }

    fn multiply_add(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        _: &Counted,
        _: &Counted,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[2, n, vectors, units]);
        Ok(())
    }

    fn multiplied(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        _: &Counted,
        _: &Counted,
        constant: bool,
    ) -> Result<Counted> {
        self.flops(&[n, vectors, units]);
        self.array(&[n, vectors, units.saturating_add(usize::from(constant))])
    }

    fn add_diagonal(&self, n: usize, units: usize, _: &Counted, _: &mut Counted) -> Result<()> {
        self.flops(&[n, units]);
        Ok(())
    }

    fn diagonal(&self, n: usize, units: usize, _: &Counted) -> Result<Counted> {
        self.fresh(&[n, units])
    }

    fn transpose(&self, n: usize, rows: usize, columns: usize, _: &Counted) -> Result<Counted> {
        self.array(&[n, rows, columns])
    }

    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        _: &Counted,
        _: &Counted,
    ) -> Result<Counted> {
        self.flops(&[3, n, outputs, outputs, units]);
        self.fresh(&[n, units])
    }

    fn fisher(&self, n: usize, units: usize, _: &Counted, _: &Counted) -> Result<Counted> {
        self.flops(&[2, n, units]);
        self.fresh(&[n, units])
    }

    fn gradient(
        &self,
        n: usize,
        _: &Counted,
        phi: &Operand<Counted>,
        _: &mut Counted,
        _: usize,
    ) -> Result<()> {
        self.flops(&[2, n, phi.units.len(), phi.width]);
        self.weighted_sums(n, phi)
    }

    fn coupled(&self, n: usize, pair: &Coupled<Counted>, out: &mut Counted) -> Result<()> {
        self.flops(&[2, n, out.len]);
        self.flops(&[3, n, pair.h.len(), pair.g.len(), pair.z_l.width]);
        let widths = (pair.z_l.width, pair.z_k.width);
        let task = cpu::scratch_of_coupled(n, pair.g.len(), widths, self.float as usize);
        self.scratch(self.threads.saturating_mul(task as u64));
        Ok(())
    }

    fn outer(&self, n: usize, y: &Columns<Counted>, z: &Columns<Counted>) -> Result<Counted> {
        self.flops(&[n, y.width, z.width]);
        self.array(&[n, y.width, z.width])
    }

    fn pairs(&self, n: usize, _: usize, units: Range<usize>, _: &Counted) -> Result<Counted> {
        let s = units.len();
        self.array(&[n, product(&[s, s.saturating_add(1)])? / 2])
    }

    fn gram(&self, n: usize, _: &Counted, phi: &Operand<Counted>, out: &mut Counted) -> Result<()> {
        // A multiplication and an addition for each unit and pair; forming c z zᵀ is counted with them.
        self.flops(&[2, n, out.len]);
        let units = match phi.kind {
            Kind::Shared => phi.units.len(),
            Kind::Sampled => 1,
        };
        let (d, float) = (phi.width, self.float as usize);
        self.scratch(cpu::gram::scratch_bytes(n, d, units, float, self.threads as usize) as u64);
        Ok(())
    }

    fn gram_diagonal(
        &self,
        n: usize,
        _: &Counted,
        phi: &Operand<Counted>,
        _: &mut Counted,
    ) -> Result<()> {
        let squares = self.fresh(&[phi.array.len])?;
        self.flops(&[1, squares.len]);
        self.flops(&[2, n, phi.units.len(), phi.width]);
        self.weighted_sums(n, phi)
    }

    fn tensor(
        &self,
        n: usize,
        _: usize,
        _: &Counted,
        _: &Counted,
        _: usize,
        out: &mut Counted,
    ) -> Result<()> {
        self.flops(&[2, n, out.len]);
        self.partials(n, out.len);
        Ok(())
    }

    fn unit_value(
        &self,
        n: usize,
        group: &UnitGroup<Counted>,
        _: &Counted,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[2, n, group.units, group.row]);
        Ok(())
    }

    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<Counted>,
        _: &Counted,
        which: UnitDerivative,
    ) -> Result<Counted> {
        let width = group.width_of(which);
        self.flops(&[2, n, group.units, width]);
        self.fresh(&[n, group.units, width])
    }

    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<Counted>,
        _: &Counted,
        _: &Direction<Counted>,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[4, n, group.units, group.row]);
        Ok(())
    }

    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<Counted>,
        z: &Counted,
        _: &Direction<Counted>,
        which: UnitDerivative,
    ) -> Result<Counted> {
        self.flops(&[4, n, group.units, group.row, group.inputs]);
        self.unit_derivative(n, group, z, which)
    }

    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Counted>,
        _: &Counted,
        _: &Counted,
        _: &mut Counted,
    ) -> Result<()> {
        self.flops(&[4, n, group.units, group.inputs, group.inputs]);
        Ok(())
    }

    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Counted>,
        _: &Counted,
        _: &Counted,
        _: bool,
        out: &mut Counted,
    ) -> Result<()> {
        self.flops(&[4, n, group.units, group.row, group.row]);
        self.partials(n, out.len);
        Ok(())
    }
}
