//! X, Y and ω on a backend: chunks of samples, uploaded for one request, or all samples once for many.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use super::Parts;
use super::counters::Counters;
use super::sizes::shape_product;
use crate::backend::kernel::{self, Fill, SquaredGradient};
use crate::backend::{Backend, Layout, View, ViewMut};
use crate::error::Result;
use crate::memory::with_room;
use crate::network::Network;
use crate::objective::{Ahead, Rows, Source, Stream, with_rows};

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

    /// Uploads some samples, whose ω is divided by `divisor`, if there is one.
    fn upload(b: &B, network: &Network, rows: Rows, divisor: Option<f64>) -> Result<Self> {
        let n = rows.count();
        let mut x = b.alloc(shape_product("the inputs", &[n, columns_of_x(network)])?)?;
        add_inputs(b, network, n, rows.first, rows, &mut x)?;
        Ok(Arrays {
            x,
            y: upload_rows(b, "Y", rows.y, network.outputs(), rows.first)?,
            omega: upload_rows(b, WEIGHTS, &divided(rows.omega, divisor), 1, rows.first)?,
        })
    }

    /// Uploads all of these samples.
    fn upload_all(b: &B, parts: Parts, divisor: Option<f64>, range: &Range<usize>) -> Result<Self> {
        let (network, n) = (parts.network, range.len());
        let stream = match parts.data {
            Source::Memory(data) => return Self::upload(b, network, data.some(range)?, divisor),
            Source::Stream(stream) => stream,
        };
        let mut x = b.alloc(shape_product("the inputs", &[n, columns_of_x(network)])?)?;
        let mut y = with_room("Y", shape_product("Y", &[n, network.outputs()])?)?;
        let mut omega = with_room(WEIGHTS, n)?;
        stream.each_window(range.clone(), |rows| {
            y.extend_from_slice(rows.y);
            omega.extend_from_slice(&divided(rows.omega, divisor));
            add_inputs(b, network, n, range.start, rows, &mut x)
        })?;
        let y = upload_rows(b, "Y", &y, network.outputs(), range.start)?;
        Ok(Arrays { x, y, omega: upload_rows(b, WEIGHTS, &omega, 1, range.start)? })
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

/// The name of ω in messages.
const WEIGHTS: &str = "the sample weights";

/// Writes X of some samples to its place among n from number `first` on, a window at a time.
fn add_inputs<B: Backend>(
    b: &B,
    network: &Network,
    n: usize,
    first: usize,
    rows: Rows,
    x: &mut B::Array,
) -> Result<()> {
    let inputs = network.inputs();
    let step = (WINDOW / inputs).max(1);
    let mut at = rows.first;
    for values in rows.x.chunks(step * inputs) {
        let count = values.len() / inputs;
        let values = upload_rows(b, "X", values, inputs, at)?;
        set_inputs(b, network, n, at - first..at - first + count, &values, x)?;
        b.recycle([values]);
        at += count;
    }
    Ok(())
}

fn upload_rows<B: Backend>(
    b: &B,
    what: &str,
    values: &[f64],
    width: usize,
    first: usize,
) -> Result<B::Array> {
    let place = || format!("{what} from row {first} on, {width} numbers a row");
    b.upload(values).map_err(|e| e.inside(&place()))
}

/// ω as the reduction uses it.
fn divided(omega: &[f64], divisor: Option<f64>) -> Cow<'_, [f64]> {
    match divisor {
        None => Cow::Borrowed(omega),
        Some(divisor) => omega.iter().map(|omega| omega / divisor).collect(),
    }
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

/// The samples of a problem, as the chunks of a request find them.
pub(crate) struct Samples<B: Backend> {
    /// The divisor of ω by the reduction.
    divisor: Option<f64>,
    /// The samples in one chunk.
    chunk: usize,
    /// Which samples they are.
    rows: Range<usize>,
    /// All of them, where they stay on the backend.
    resident: Option<Arrays<B>>,
    /// Those that are read, where they do not: from the first chunk on.
    ahead: OnceLock<Ahead>,
}

impl<B: Backend> Samples<B> {
    /// Returns some samples of which each chunk is uploaded when it is needed: each once, in their order.
    pub(crate) fn in_windows(parts: Parts, chunk: usize, rows: Range<usize>) -> Self {
        let divisor = parts.data.divisor(parts.reduction);
        Samples { divisor, chunk, rows, resident: None, ahead: OnceLock::new() }
    }

    /// Whether they are those.
    pub(crate) fn are(&self, rows: &Range<usize>) -> bool {
        self.rows == *rows
    }

    /// Uploads all samples, which stay until these are dropped.
    ///
    /// # Errors
    /// Those of the backend: its memory, or numbers that its floats do not hold; those of reading.
    pub(crate) fn make_resident(&mut self, b: &B, parts: Parts, counters: &Counters) -> Result<()> {
        counters.uploaded(self.rows.len());
        self.resident = Some(Arrays::upload_all(b, parts, self.divisor, &self.rows)?);
        Ok(())
    }

    /// Whether all samples stay on the backend.
    pub(crate) fn is_resident(&self) -> bool {
        self.resident.is_some()
    }

    /// Returns what a chunk came to; where that is an error, nobody waits for the rows that it did not take.
    pub(super) fn ended<T>(&self, done: Result<T>) -> Result<T> {
        if let (Err(error), Some(ahead)) = (&done, self.ahead.get()) {
            ahead.end(error.clone());
        }
        done
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
            let first = rows.start.saturating_sub(self.rows.start);
            return f(all.batch(parts.network, first, rows.len()));
        }
        let n = rows.len();
        counters.uploaded(n);
        let ahead = |stream: &Stream| {
            self.ahead.get_or_init(|| stream.ahead(self.chunk, self.rows.clone()))
        };
        let upload = |rows: Rows| Arrays::upload(b, parts.network, rows, self.divisor);
        let arrays = with_rows(parts.data, ahead, rows, upload)??;
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
