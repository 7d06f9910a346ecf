//! The derivatives of the states along vectors: ṗ^k = φ·v^k + A^k ż^k, ẋ^k = h′ ⊙ ṗ^k.

use super::Along;
use crate::backend::kernel::{Direction, Fill, Multiply, Product, UnitSlope};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::curvature::Curvature;
use crate::error::Result;
use crate::evaluate::states::copy_sources;
use crate::network::LayerView;

/// The derivatives of the states along vectors.
pub(super) struct Forward<B: Backend> {
    /// ṗ^k for k = 1 … m, n × vectors × s_k.
    pub p: Vec<B::Array>,
    /// ż^k without the constant, n × vectors × inputs of layer k; none where it is 0.
    z: Vec<Option<B::Array>>,
    /// ẋ^k for k = 1 … m; none where it is 0 or stands in ż of its only consumer.
    x: Vec<Option<B::Array>>,
}

impl<B: Backend> Forward<B> {
    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        let others = self.z.into_iter().chain(self.x).flatten();
        b.recycle(others.chain(self.p));
    }
}

impl<B: Backend> Along<'_, '_, B> {
    /// Returns the derivatives of the states along the vectors.
    pub(super) fn forward(&self) -> Result<Forward<B>> {
        let (chain, count) = (self.chain, self.vectors.count);
        let (b, network) = (chain.b, chain.network);
        // At fixed states nothing but p follows the parameters.
        let follows = self.curvature != Curvature::Lagrangian;
        let none = || network.layers().iter().map(|_| None).collect();
        let mut forward = Forward::<B> { p: Vec::new(), z: none(), x: none() };
        for (k, layer) in (1..).zip(network.layers()) {
            if follows && layer.has_hidden_sources() && forward.z[k - 1].is_none() {
                let mut z = b.alloc(product(&[chain.n, count, layer.inputs])?)?;
                let x =
                    |t: usize| Some(chain.view(forward.x[t.checked_sub(1)?].as_ref()?, count, t));
                let all = Layout::dense(chain.n, count, layer.inputs);
                copy_sources(b, network, layer, x, ViewMut::new(&mut z, all))?;
                forward.z[k - 1] = Some(z);
            }
            let p = self.pre_activations(k, layer, forward.z[k - 1].as_ref())?;
            if follows {
                let mut x = chain.alloc(count, k)?;
                let kernel = Multiply {
                    a: chain.h1(k).with(|l| l.repeated_rows(count)),
                    b: chain.view(&p, count, k),
                    out: ViewMut::new(&mut x, chain.layout(count, k)),
                    accumulate: false,
                };
                b.run(kernel.into())?;
                match network.only_consumer(k) {
                    Some(r) => forward.z[r - 1] = Some(x),
                    None => forward.x[k - 1] = Some(x),
                }
            }
            forward.p.push(p);
        }
        Ok(forward)
    }

    /// Returns ṗ^k, n × vectors × s_k; `z` is ż^k.
    fn pre_activations(
        &self,
        k: usize,
        layer: &LayerView,
        z: Option<&B::Array>,
    ) -> Result<B::Array> {
        let (chain, count) = (self.chain, self.vectors.count);
        let (b, n) = (chain.b, chain.n);
        let z_dot = z.map(|z| View::new(z, Layout::dense(n, count, layer.inputs)));
        let mut p = chain.alloc(count, k)?;
        for g in &layer.groups {
            let v = self.vectors.rows(n, k, g);
            let out = ViewMut::new(&mut p, self.of_group(k, g));
            let Some(units) = chain.units(k, g) else {
                let (x, v) = (chain.z(k), v.with(Layout::transposed));
                b.run(Product { x, b: v, out, accumulate: false }.into())?;
                let Some(x) = z_dot else { continue };
                let w =
                    (chain.parameters.of(n, g)).with(|l| l.columns(0..layer.inputs).transposed());
                let layout = chain.layout(count, k).columns(g.units.clone());
                let out = ViewMut::new(&mut p, layout);
                b.run(Product { x, b: w, out, accumulate: true }.into())?;
                continue;
            };
            let mut out = out;
            b.run(Fill { value: 0.0, out: out.reborrow() }.into())?;
            let along = Direction { weights: Some(v), inputs: z_dot };
            b.run(UnitSlope { units, along, out }.into())?;
        }
        Ok(p)
    }

    /// ż^k, n × vectors × inputs of layer k; none where it is 0.
    pub(super) fn z_dot<'f>(
        &self,
        forward: &'f Forward<B>,
        k: usize,
    ) -> Option<View<'f, B::Array>> {
        let inputs = self.chain.network.layers()[k - 1].inputs;
        let layout = Layout::dense(self.chain.n, self.vectors.count, inputs);
        (forward.z[k - 1].as_ref()).map(|z| View::new(z, layout))
    }

    /// ẋ^m, n × vectors × outputs; none at fixed states.
    pub(super) fn output<'f>(&self, forward: &'f Forward<B>) -> Option<View<'f, B::Array>> {
        let m = self.chain.network.depth();
        (forward.x[m - 1].as_ref()).map(|x| self.chain.view(x, self.vectors.count, m))
    }
}
