//! X, Y and ω on a backend: chunks of samples, uploaded for one request, or all samples once for many.

use std::ops::Range;

use ndarray::ArrayRef2;

use super::counters::Counters;
use super::sizes::shape_product;
use super::{Parts, weights};
use crate::backend::kernel::{self, Fill, SquaredGradient};
use crate::backend::{Backend, Layout, View, ViewMut};
use crate::error::{Error, Result};
use crate::network::Network;

/// Numbers of X that are uploaded at once where all samples stay: 32 MiB of f64.
const WINDOW: usize = 1 << 22;

/// Some samples on the backend.
pub(super) struct Batch<'a, B: Backend> {
    pub n: usize,
    /// X, n × 1 × inputs; with a column for the constant 1 behind it where it is z of its only consumer.
    pub x: View<'a, B::Array>,
    /// n × 1 × outputs.
    pub y: View<'a, B::Array>,
    /// n × 1 × 1.
    pub omega: View<'a, B::Array>,
}

// Not derived: a backend need not be `Copy`.
impl<B: Backend> Clone for Batch<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Batch<'_, B> {}

/// The columns of X on the backend: the inputs, and the constant where X is all that a layer has.
fn columns_of_x(network: &Network) -> usize {
    network.inputs() + usize::from(network.constant_behind(0))
}

/// The arrays of X, Y and ω.
pub(super) struct Arrays<B: Backend> {
    x: B::Array,
    y: B::Array,
    omega: B::Array,
}

impl<B: Backend> Arrays<B> {
    /// Returns arrays for n samples without their numbers, for a rehearsal.
    pub(super) fn blank(b: &B, network: &Network, n: usize) -> Result<Self> {
        let x = b.alloc(shape_product("the inputs", &[n, columns_of_x(network)])?)?;
        let step = n.min((WINDOW / network.inputs()).max(1));
        let window = b.alloc(shape_product("the inputs", &[step, network.inputs()])?)?;
        b.recycle([window]);
        let y = b.alloc(shape_product("the targets", &[n, network.outputs()])?)?;
        let omega = b.alloc(n)?;
        Ok(Arrays { x, y, omega })
    }

    fn upload(b: &B, parts: Parts, omega: &[f64], rows: Range<usize>) -> Result<Self> {
        let network = parts.network;
        let n = rows.len();
        let mut x = b.alloc(shape_product("the inputs", &[n, columns_of_x(network)])?)?;
        let step = (WINDOW / network.inputs()).max(1);
        for from in rows.clone().step_by(step) {
            let window = from..rows.end.min(from + step);
            let values =
                upload_rows(b, "X", slice(&parts.data.x())?, network.inputs(), window.clone())?;
            let window = window.start - rows.start..window.end - rows.start;
            set_inputs(b, network, n, window, &values, &mut x)?;
            b.recycle([values]);
        }
        let y = slice(parts.data.y())?;
        let y = upload_rows(b, "Y", y, network.outputs(), rows.clone())?;
        let omega = upload_rows(b, "the sample weights", omega, 1, rows)?;
        Ok(Arrays { x, y, omega })
    }

    /// Returns n samples from the one at `first` on.
    pub(super) fn batch(&self, network: &Network, first: usize, n: usize) -> Batch<'_, B> {
        fn rows<A>(array: &A, first: usize, n: usize, width: usize) -> View<'_, A> {
            View::new(array, Layout::rows_of(first + n, width).samples(first..first + n))
        }
        Batch {
            n,
            x: rows(&self.x, first, n, columns_of_x(network)),
            y: rows(&self.y, first, n, network.outputs()),
            omega: rows(&self.omega, first, n, 1),
        }
    }

    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        b.recycle([self.x, self.y, self.omega]);
    }
}

/// Writes the rows of a window of X, with the constant where it belongs to them.
fn set_inputs<B: Backend>(
    b: &B,
    network: &Network,
    n: usize,
    window: Range<usize>,
    values: &B::Array,
    x: &mut B::Array,
) -> Result<()> {
    let (inputs, width) = (network.inputs(), columns_of_x(network));
    let rows = Layout::rows_of(n, width).samples(window);
    let from = View::new(values, Layout::rows_of(rows.shape[0], inputs));
    let to = ViewMut::new(x, rows.columns(0..inputs));
    b.run(kernel::Copy { from, to }.into())?;
    if width > inputs {
        let out = ViewMut::new(x, rows.columns(inputs..width));
        b.run(kernel::Fill { value: 1.0, out }.into())?;
    }
    Ok(())
}

fn upload_rows<B: Backend>(
    b: &B,
    what: &str,
    values: &[f64],
    width: usize,
    rows: Range<usize>,
) -> Result<B::Array> {
    let first = rows.start;
    let place = || format!("{what} from row {first} on, {width} numbers a row");
    let values = &values[first * width..rows.end * width];
    b.upload(values).map_err(|e| e.inside(&place()))
}

/// Returns other inputs on the backend as [`Batch::x`] has them.
pub(super) fn upload_inputs<B: Backend>(
    b: &B,
    network: &Network,
    values: &[f64],
) -> Result<B::Array> {
    let n = values.len() / network.inputs();
    let mut x = b.alloc(n * columns_of_x(network))?;
    let values = b.upload(values)?;
    set_inputs(b, network, n, 0..n, &values, &mut x)?;
    b.recycle([values]);
    Ok(x)
}

/// Returns the view of what [`upload_inputs`] made of n rows.
pub(super) fn inputs_view<'a, A>(network: &Network, n: usize, x: &'a A) -> View<'a, A> {
    View::new(x, Layout::rows_of(n, columns_of_x(network)))
}

/// The numbers of an array row by row; data keep their arrays in standard layout.
pub(super) fn slice(a: &ArrayRef2<f64>) -> Result<&[f64]> {
    a.as_slice().ok_or_else(|| Error::invalid("data", "the rows are not contiguous"))
}

/// The samples of a problem, as the chunks of a request find them.
pub(crate) struct Samples<B: Backend> {
    /// ω as the reduction uses it.
    omega: Vec<f64>,
    /// All samples, where they stay on the backend.
    resident: Option<Arrays<B>>,
}

impl<B: Backend> Samples<B> {
    /// Returns samples of which each chunk is uploaded when it is needed.
    pub(crate) fn in_windows(parts: Parts) -> Self {
        Samples { omega: weights(parts.data, parts.reduction), resident: None }
    }

    /// Uploads all samples, which stay until these are dropped.
    ///
    /// # Errors
    /// Those of the backend: its memory, or numbers that its floats do not hold.
    pub(crate) fn make_resident(&mut self, b: &B, parts: Parts, counters: &Counters) -> Result<()> {
        counters.uploaded(parts.data.len());
        self.resident = Some(Arrays::upload(b, parts, &self.omega, 0..parts.data.len())?);
        Ok(())
    }

    /// Calls `f` with some samples on the backend.
    pub(super) fn with<R>(
        &self,
        b: &B,
        parts: Parts,
        rows: Range<usize>,
        counters: &Counters,
        f: impl FnOnce(Batch<B>) -> Result<R>,
    ) -> Result<R> {
        if let Some(all) = &self.resident {
            return f(all.batch(parts.network, rows.start, rows.len()));
        }
        let n = rows.len();
        counters.uploaded(n);
        let arrays = Arrays::upload(b, parts, &self.omega, rows)?;
        let done = f(arrays.batch(parts.network, 0, n));
        arrays.recycle(b);
        done
    }
}

/// Bytes of X, Y and ω of n samples on a backend with floats of so many bytes.
pub(crate) fn resident_bytes(network: &Network, n: usize, float: usize) -> u64 {
    let numbers = columns_of_x(network) + network.outputs() + 1;
    (n as u64).saturating_mul((float * numbers) as u64)
}

/// Returns 1/ω, 0 where ω = 0, n × 1.
pub(super) fn inverse_weights<B: Backend>(b: &B, omega: View<B::Array>) -> Result<B::Array> {
    let n = omega.shape()[0];
    let layout = Layout::rows_of(n, 1);
    let (mut ones, mut inverse) = (b.alloc(n)?, b.alloc(n)?);
    let out = ViewMut::new(&mut ones, layout);
    b.run(Fill { value: 1.0, out }.into())?;
    let kernel = SquaredGradient {
        delta: View::new(&ones, layout),
        omega,
        out: ViewMut::new(&mut inverse, layout),
    };
    b.run(kernel.into())?;
    b.recycle([ones]);
    Ok(inverse)
}
