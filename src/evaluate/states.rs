//! The states of one chunk of samples: forward propagation.
//!
//! ```text
//! z^k = (x^t for t in src(k), 1),   p^k = P^k(z^k; W^k),   x^k = h(p^k)          (paper eq. 1)
//! ```
//!
//! Where the outputs of a layer are all the inputs of one other, they are written into z of that layer.

use crate::backend::kernel::{Activate, Copy, Fill, Product, UnitValue, Units};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::error::Result;
use crate::network::{GroupView, LayerView, Network};

/// W on the backend, one array in the order of the flat vector.
pub(crate) struct Parameters<B: Backend>(B::Array);

impl<B: Backend> Parameters<B> {
    /// Returns the parameters on the backend.
    ///
    /// # Errors
    /// Those of [`Backend::upload`].
    pub(crate) fn upload(b: &B, w: &[f64]) -> Result<Self> {
        let array = b.upload(w).map_err(|e| e.inside("the parameters"))?;
        Ok(Parameters(array))
    }

    /// Returns parameters without numbers, for a rehearsal.
    pub(super) fn blank(b: &B, network: &Network) -> Result<Self> {
        Ok(Parameters(b.alloc(network.parameters())?))
    }

    /// Gives the array back.
    pub(crate) fn recycle(self, b: &B) {
        b.recycle([self.0]);
    }

    /// The parameters of a group: n × units × parameters of a unit, shared by all samples.
    pub(super) fn of(&self, n: usize, g: &GroupView) -> View<'_, B::Array> {
        let mut layout = Layout::shared(n, g.units.len(), g.row);
        layout.offset = g.range.start;
        View::new(&self.0, layout)
    }

    /// A group that is not linear at z, n × 1 × d with or without the constant; `None` for linear units.
    pub(super) fn units<'a>(
        &'a self,
        layer: &LayerView,
        g: &'a GroupView,
        z: View<'a, B::Array>,
    ) -> Option<Units<'a, B::Array>> {
        Some(Units {
            unit: g.propagation.unit()?,
            weights: self.of(z.shape()[0], g),
            z: z.with(|l| l.columns(0..layer.inputs)),
        })
    }
}

/// The states of one chunk.
pub(crate) struct States<B: Backend> {
    n: usize,
    /// How many derivatives of h there are.
    pub(super) order: usize,
    /// z^k for k = 1 … m; none where it is X, or no longer needed.
    z: Vec<Option<B::Array>>,
    /// x^k for k = 0 … m; none for X, and where it stands in z of its only consumer.
    x: Vec<Option<B::Array>>,
    h1: Vec<B::Array>,
    h2: Vec<B::Array>,
}

impl<B: Backend> States<B> {
    fn empty(network: &Network, n: usize, order: usize) -> Self {
        let none = |len| (0..len).map(|_| None).collect();
        States {
            n,
            order,
            z: none(network.depth()),
            x: none(network.depth() + 1),
            h1: Vec::new(),
            h2: Vec::new(),
        }
    }

    /// Propagates `input` forward (eq. 1), with h′ and h″ up to `order`.
    pub(super) fn propagate(
        b: &B,
        network: &Network,
        parameters: &Parameters<B>,
        input: View<B::Array>,
        order: usize,
    ) -> Result<Self> {
        let mut states = States::empty(network, input.shape()[0], order);
        for k in 1..=network.depth() {
            let r = network.only_consumer(k);
            let h = states.advance(b, network, parameters, input, k, r)?;
            match r {
                Some(r) => states.z[r - 1] = Some(h),
                None => states.x[k] = Some(h),
            }
        }
        Ok(states)
    }

    /// Takes x^1 … x^m as they are given, n × s_k each: nothing but h(p^k) follows from them.
    pub(super) fn given(
        b: &B,
        network: &Network,
        input: View<B::Array>,
        x: Vec<B::Array>,
        order: usize,
    ) -> Result<Self> {
        let mut states = States::empty(network, input.shape()[0], order);
        for (kept, x) in states.x[1..].iter_mut().zip(x) {
            *kept = Some(x);
        }
        for (k, layer) in (1..).zip(network.layers()) {
            let x = |t| Some(states.x(network, input, t));
            states.z[k - 1] = Some(gather(b, network, layer, (states.n, 1), x, 1.0)?);
        }
        Ok(states)
    }

    /// Returns h(p^k), in z of layer `next` if there is one, with its constant; h′ and h″ are kept up to the order, and z^k is not
    /// needed again without them.
    pub(super) fn advance(
        &mut self,
        b: &B,
        network: &Network,
        parameters: &Parameters<B>,
        input: View<B::Array>,
        k: usize,
        next: Option<usize>,
    ) -> Result<B::Array> {
        let (n, layer) = (self.n, &network.layers()[k - 1]);
        let is_input = network.only_consumer(0) == Some(k);
        if self.z[k - 1].is_none() && !is_input {
            let x = |t| Some(self.x(network, input, t));
            self.z[k - 1] = Some(gather(b, network, layer, (n, 1), x, 1.0)?);
        }
        let z = self.z(network, input, k);
        let p = pre_activations(b, network, parameters, k, z)?;
        let rows = Layout::rows_of(n, layer.units);
        let mut h = match next {
            Some(r) => layer_inputs(b, &network.layers()[r - 1], n, 1, 1.0)?,
            None => b.alloc(n * layer.units)?,
        };
        let width = next.map_or(layer.units, |r| network.layers()[r - 1].width());
        let mut derivatives =
            (0..self.order).map(|_| b.alloc(n * layer.units)).collect::<Result<Vec<_>>>()?;
        let mut views = (derivatives.iter_mut()).map(|h| ViewMut::new(h, rows));
        b.run(
            Activate {
                runs: &layer.runs(),
                p: View::new(&p, rows),
                h: ViewMut::new(&mut h, Layout::rows_of(n, width).columns(0..layer.units)),
                h1: views.next(),
                h2: views.next(),
            }
            .into(),
        )?;
        let mut derivatives = derivatives.into_iter();
        self.h1.extend(derivatives.next());
        self.h2.extend(derivatives.next());
        b.recycle([p]);
        if self.order == 0 {
            b.recycle(self.z[k - 1].take());
        }
        Ok(h)
    }

    /// z^k, n × 1 × d_k.
    pub(super) fn z<'a>(
        &'a self,
        network: &Network,
        input: View<'a, B::Array>,
        k: usize,
    ) -> View<'a, B::Array> {
        match &self.z[k - 1] {
            Some(z) => View::new(z, Layout::rows_of(self.n, network.layers()[k - 1].width())),
            None => input,
        }
    }

    /// x^k, n × 1 × s_k, wherever it stands.
    pub(super) fn x<'a>(
        &'a self,
        network: &Network,
        input: View<'a, B::Array>,
        k: usize,
    ) -> View<'a, B::Array> {
        let columns = 0..network.width(k);
        match (&self.x[k], network.only_consumer(k)) {
            (Some(x), _) => View::new(x, Layout::rows_of(self.n, columns.end)),
            (None, Some(r)) if k > 0 => self.z(network, input, r).with(|l| l.columns(columns)),
            _ => input.with(|l| l.columns(columns)),
        }
    }

    /// h′(p^k), n × 1 × s_k.
    pub(super) fn h1(&self, network: &Network, k: usize) -> View<'_, B::Array> {
        View::new(&self.h1[k - 1], Layout::rows_of(self.n, network.width(k)))
    }

    /// h″(p^k), n × 1 × s_k.
    pub(super) fn h2(&self, network: &Network, k: usize) -> View<'_, B::Array> {
        View::new(&self.h2[k - 1], Layout::rows_of(self.n, network.width(k)))
    }

    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        let arrays = self.z.into_iter().chain(self.x).flatten();
        b.recycle(arrays.chain(self.h1).chain(self.h2));
    }
}

/// Returns p^k at z^k, n × s_k.
pub(super) fn pre_activations<B: Backend>(
    b: &B,
    network: &Network,
    parameters: &Parameters<B>,
    k: usize,
    z: View<B::Array>,
) -> Result<B::Array> {
    let (n, layer) = (z.shape()[0], &network.layers()[k - 1]);
    let mut p = b.alloc(product(&[n, layer.units])?)?;
    for g in &layer.groups {
        let out = ViewMut::new(&mut p, Layout::rows_of(n, layer.units).columns(g.units.clone()));
        match parameters.units(layer, g, z) {
            None => {
                let w = parameters.of(n, g).with(Layout::transposed);
                let accumulate = false;
                b.run(Product { x: z, b: w, out, accumulate }.into())?;
            }
            Some(units) => b.run(UnitValue { units, out }.into())?,
        }
    }
    Ok(p)
}

/// Returns an array for inputs of a layer, `vectors` rows for each sample, in which only the constant's column is written.
pub(super) fn layer_inputs<B: Backend>(
    b: &B,
    layer: &LayerView,
    n: usize,
    vectors: usize,
    constant: f64,
) -> Result<B::Array> {
    let mut z = b.alloc(product(&[n, vectors, layer.width()])?)?;
    if layer.bias {
        let all = Layout::dense(n, vectors, layer.width());
        let out = ViewMut::new(&mut z, all.columns(layer.inputs..layer.width()));
        b.run(Fill { value: constant, out }.into())?;
    }
    Ok(z)
}

/// Returns the numbers x^t of a layer's sources side by side, n × `vectors` × s_t each, with the constant behind them.
pub(super) fn gather<'x, B: Backend>(
    b: &B,
    network: &Network,
    layer: &LayerView,
    (n, vectors): (usize, usize),
    x: impl Fn(usize) -> Option<View<'x, B::Array>>,
    constant: f64,
) -> Result<B::Array>
where
    B::Array: 'x,
{
    let mut z = layer_inputs(b, layer, n, vectors, constant)?;
    let all = Layout::dense(n, vectors, layer.width());
    copy_sources(b, network, layer, x, ViewMut::new(&mut z, all))?;
    Ok(z)
}

/// Writes the numbers x^t of a layer's sources side by side into the first columns; 0 where there are none.
pub(super) fn copy_sources<'x, B: Backend>(
    b: &B,
    network: &Network,
    layer: &LayerView,
    x: impl Fn(usize) -> Option<View<'x, B::Array>>,
    z: ViewMut<B::Array>,
) -> Result<()>
where
    B::Array: 'x,
{
    let mut column = 0;
    for &t in &layer.sources {
        let columns = column..column + network.width(t);
        column = columns.end;
        let to = ViewMut::new(&mut *z.array, z.layout.columns(columns));
        match x(t) {
            Some(from) => b.run(Copy { from, to }.into())?,
            None => b.run(Fill { value: 0.0, out: to }.into())?,
        }
    }
    Ok(())
}

/// Returns the numbers of a view.
pub(super) fn download<B: Backend>(b: &B, from: View<B::Array>) -> Result<Vec<f64>> {
    let [n, rows, columns] = from.shape();
    let mut copy = b.alloc(product(&[n, rows, columns])?)?;
    let to = ViewMut::new(&mut copy, Layout::dense(n, rows, columns));
    b.run(Copy { from, to }.into())?;
    let numbers = b.download(&copy);
    b.recycle([copy]);
    numbers
}
