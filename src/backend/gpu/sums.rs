//! Sums over samples: partial sums on the device, their reduction there, and the way to the f64 sums of the host.

use std::ops::Range;

use super::gram;
use super::launch::Launch;
use super::machine::Staged;
use super::{Array, Gpu};
use crate::backend::counter::Held;
use crate::backend::kernel::{Gram, GramDiagonal, TensorSum, WeightedSum};
use crate::backend::{Layout, View};
use crate::error::{Error, Result};

/// Bytes of results that may be on their way to the host at once.
const AT_ONCE: u64 = 256 << 20;

/// The highest order of a tensor that `shaders/tensor_sum.wgsl` is launched for.
const TENSOR_ORDER: usize = 4;

/// Sums on the host, and what is still on its way to them.
#[derive(Debug)]
pub struct Sum {
    /// None in a rehearsal.
    values: Vec<f64>,
    len: usize,
    /// Copies, with where their numbers belong.
    pending: Vec<(Staged, Vec<Range<usize>>)>,
    _held: Option<Held>,
}

impl Sum {
    pub(super) fn new(gpu: &Gpu, len: usize) -> Self {
        let rehearsed = gpu.rehearsed();
        Sum {
            values: vec![0.0; if rehearsed.is_some() { 0 } else { len }],
            len,
            pending: Vec::new(),
            _held: rehearsed.map(|rehearsed| rehearsed.host.hold(8 * len as u64)),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds numbers that are on the host.
    pub(super) fn add(&mut self, numbers: &[f64]) {
        (self.values.iter_mut().zip(numbers)).for_each(|(sum, v)| *sum += v);
    }
}

impl Gpu {
    /// The values, with all that is on its way.
    pub(super) fn total(&self, mut sum: Sum) -> Result<Vec<f64>> {
        self.drain(&mut sum, "reading the sums")?;
        Ok(sum.values)
    }

    /// Adds what is on its way.
    pub(super) fn drain(&self, sum: &mut Sum, operation: &str) -> Result<()> {
        for (staged, places) in std::mem::take(&mut sum.pending) {
            let values = &mut sum.values;
            self.machine.fetch(&staged, operation, &mut |bytes| {
                let mut rest = bytes;
                for place in &places {
                    let (part, after) = rest.split_at(place.len() * self.float() as usize);
                    self.numbers(part, &mut values[place.clone()], |sum, v| *sum += v);
                    rest = after;
                }
            })?;
        }
        Ok(())
    }

    /// Σ_r a[r, l] of `rows` rows, 16 at a time, pairwise.
    fn reduced(&self, mut rows: usize, len: usize, mut a: Array) -> Result<Array> {
        while rows > 1 {
            let fewer = rows.div_ceil(gram::FAN as usize);
            let out = self.array(&[fewer, len], "reduce")?;
            let launch = Launch::elements("device/reduce", [fewer, 1, len], 16.0)
                .param("count", rows as u64);
            let binds = [
                self.bind("partial", &a, Layout::rows_of(rows, len), false),
                self.bind("out", &out, Layout::rows_of(fewer, len), true),
            ];
            self.launch(&launch, &binds)?;
            (rows, a) = (fewer, out);
        }
        Ok(a)
    }

    /// Adds the sums over `splits` rows of partial sums at these places, once they are read back.
    pub(super) fn accumulate(
        &self,
        sum: &mut Sum,
        places: Vec<Range<usize>>,
        splits: usize,
        partial: Array,
        operation: &str,
    ) -> Result<()> {
        let len = partial.len / splits.max(1);
        let result = self.reduced(splits, len, partial)?;
        let bytes = result.len as u64 * self.float();
        let staged = self.machine.stage(&result.buffer, bytes, operation)?;
        sum.pending.push((staged, places));
        // Copies of large results must not pile up on the host.
        let waiting: u64 = sum.pending.iter().map(|(copy, _)| copy.bytes()).sum();
        if waiting > AT_ONCE {
            self.drain(sum, operation)?;
        }
        Ok(())
    }

    /// Returns the limits of the partial sums of a sum over samples.
    pub(super) fn sum_limits(&self) -> gram::Limits {
        gram::Limits {
            float: self.float(),
            binding: self.machine.limits().binding,
            scratch: self.options.memory / 4,
            target: gram::TARGET[usize::from(!self.hardware_kernels)],
        }
    }

    pub(super) fn weighted_sum(&self, k: WeightedSum<Array, Sum>) -> Result<()> {
        self.sum_of(gram::Sum::Weighted, k.c, k.phi, k.sum, k.at)
    }

    pub(super) fn gram(&self, k: Gram<Array, Sum>) -> Result<()> {
        self.sum_of(gram::Sum::Gram, k.c, k.phi, k.sum, 0)
    }

    pub(super) fn gram_diagonal(&self, k: GramDiagonal<Array, Sum>) -> Result<()> {
        self.sum_of(gram::Sum::Diagonal, k.c, k.phi, k.sum, 0)
    }

    /// sum += Σ_i of what `kind` says, window by window of the result.
    fn sum_of(
        &self,
        kind: gram::Sum,
        c: View<Array>,
        phi: View<Array>,
        sum: &mut Sum,
        at: usize,
    ) -> Result<()> {
        // Earlier parts are added first, so that copies do not pile up; but the parts of one sum wait together: to wait
        // for each would cost a turn to the device and back.
        if at == 0 {
            self.drain(sum, kind.name())?;
        }
        let [n, units, width] = phi.shape().map(|length| length as u64);
        let shape = gram::Shape {
            sum: kind,
            n,
            units,
            width,
            own: units > 1 && phi.layout.strides[1] != 0,
        };
        let adapter = if self.hardware_kernels {
            gram::Adapter::Hardware
        } else {
            let broadcast = self.adapter.eight_lanes;
            gram::Adapter::Software { broadcast }
        };
        let form = gram::choose(shape, self.float(), adapter);
        self.sum_by(form, shape, (c, phi), sum, at)
    }

    /// The same by a given form.
    pub(super) fn sum_by(
        &self,
        form: gram::Form,
        shape: gram::Shape,
        (c, phi): (View<Array>, View<Array>),
        sum: &mut Sum,
        at: usize,
    ) -> Result<()> {
        let operation = shape.sum.name();
        let large = |reason| self.too_large(operation, reason);
        for window in gram::windows(shape, form, self.sum_limits()).map_err(large)? {
            let (launch, splits, entries) = gram::launch(shape, form, window).map_err(large)?;
            let units = window.units.0 as usize..window.units.1 as usize;
            let sums = Layout::dense(splits, units.len(), entries);
            let partial = self.array(&sums.shape, operation)?;
            let binds = [
                self.reads("c", &c.with(|l| l.columns(units.clone()))),
                self.reads("phi", &phi.with(|l| l.rows(units))),
                self.bind("partial", &partial, sums, true),
            ];
            self.launch(&launch, &binds)?;
            let places = (gram::places(shape, window).into_iter())
                .map(|place| at + place.start..at + place.end)
                .collect();
            self.accumulate(sum, places, splits, partial, operation)?;
        }
        Ok(())
    }

    /// The entries in windows.
    pub(super) fn tensor_sum(&self, k: TensorSum<Array, Sum>) -> Result<()> {
        if k.order > TENSOR_ORDER {
            return Err(Error::Unsupported {
                what: format!("a tensor of order {} on an adapter", k.order),
                why: format!("its kernel goes to order {TENSOR_ORDER}; use the CPU"),
            });
        }
        let [n, _, width] = k.z.shape();
        let (splits, len) = (n.div_ceil(gram::BLOCK as usize), k.sum.len());
        if splits == 0 || len == 0 {
            return Ok(());
        }
        let limits = self.sum_limits();
        let fits = |len| gram::within(limits, splits as u64, len);
        let window = gram::largest(len as u64, fits) as usize;
        let counted = len.checked_mul(k.order);
        if window == 0 || counted.is_none_or(|v| u32::try_from(v).is_err()) {
            let reason = format!(
                "{len} entries of order {} over {n} samples of {width} inputs are too many for one call",
                k.order
            );
            return Err(self.too_large("tensor_sum", reason));
        }
        self.drain(k.sum, "tensor_sum")?;
        for first in (0..len).step_by(window) {
            let size = window.min(len - first);
            let sums = Layout::rows_of(splits, size);
            let partial = self.array(&sums.shape, "tensor_sum")?;
            let flops = (2 * k.order * n.min(gram::BLOCK as usize)) as f64;
            let launch = Launch::elements("tensor_sum", sums.shape, flops)
                .define("ORDER", k.order)
                .param("n", n as u64)
                .param("width", width as u64)
                .param("first", first as u64);
            let binds = [
                self.reads("c", &k.c),
                self.reads("z", &k.z),
                self.bind("partial", &partial, sums, true),
            ];
            self.launch(&launch, &binds)?;
            let places = std::iter::once(first..first + size).collect();
            self.accumulate(k.sum, places, splits, partial, "tensor_sum")?;
        }
        Ok(())
    }
}
