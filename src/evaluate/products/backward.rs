//! The derivatives δ̇ of δ along vectors.

use std::ops::Range;

use super::Along;
use super::forward::Forward;
use crate::backend::kernel::{
    Argument, Direction, Epilogue, Multiply, Scale, Term, UnitDerivativeSlope,
};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::error::Result;
use crate::evaluate::chain::product_of;
use crate::evaluate::samples::inverse_weights;

/// Ȧ^r of a group of units that are not linear.
struct SensitivitySlope<B: Backend> {
    r: usize,
    units: Range<usize>,
    /// The first of the columns that count.
    column: usize,
    /// n × units × inputs.
    array: B::Array,
}

impl<B: Backend> Along<'_, '_, B> {
    /// Returns δ̇^k = (∂g/∂x^k ⊙ h″) ⊙ ṗ^k, n × vectors × s_k, for k = 1 … m.
    pub(super) fn lagrangian(&self, forward: &Forward<B>) -> Result<Vec<B::Array>> {
        let (chain, count) = (self.chain, self.vectors.count);
        let of_layer = |(k, p): (usize, &B::Array)| {
            let c = chain.times_h2(self.multipliers(), k)?;
            let mut d = chain.alloc(count, k)?;
            let kernel = Multiply {
                a: chain.view(&c, 1, k).with(|l| l.repeated_rows(count)),
                b: chain.view(p, count, k),
                out: ViewMut::new(&mut d, chain.layout(count, k)),
                accumulate: false,
            };
            chain.b.run(kernel.into())?;
            chain.b.recycle([c]);
            Ok(d)
        };
        (1..).zip(&forward.p).map(of_layer).collect()
    }

    /// Returns δ̇^k = δ^k (∂g/∂x^m · ẋ^m) / ω for k = 1 … m.
    pub(super) fn fisher(&self, forward: &Forward<B>) -> Result<Vec<B::Array>> {
        let (chain, count) = (self.chain, self.vectors.count);
        let (b, n, m) = (chain.b, chain.n, chain.network.depth());
        let Some(x) = self.output(forward) else {
            return Ok(Vec::new());
        };
        let seed = &self.multipliers()[m - 1];
        let seed = View::new(seed, Layout::dense(n, chain.network.outputs(), 1));
        let mut slope = product_of(b, x, seed)?;
        let inverse = inverse_weights(b, chain.batch.omega)?;
        let by = View::new(&inverse, Layout::rows_of(n, 1)).with(|l| l.repeated_rows(count));
        let layout = Layout::dense(n, count, 1);
        let out = ViewMut::new(&mut slope, layout);
        b.run(Scale { by, out }.into())?;
        let mut all = Vec::with_capacity(m);
        for (k, delta) in (1..).zip(self.delta()) {
            let mut d = chain.alloc(count, k)?;
            let units = chain.network.width(k);
            let kernel = Multiply {
                a: View::new(&slope, layout.repeated_columns(units)),
                b: chain.view(delta, 1, k).with(|l| l.repeated_rows(count)),
                out: ViewMut::new(&mut d, chain.layout(count, k)),
                accumulate: false,
            };
            b.run(kernel.into())?;
            all.push(d);
        }
        b.recycle([slope, inverse]);
        Ok(all)
    }

    /// Returns δ̇^k = h′ ⊙ ġ^k + (∂g/∂x^k ⊙ h″) ⊙ ṗ^k for k = 1 … m, or its first term alone for Gauss–Newton.
    pub(super) fn backward(
        &self,
        forward: &Forward<B>,
        hessian: Option<&B::Array>,
    ) -> Result<Vec<B::Array>> {
        let (chain, count) = (self.chain, self.vectors.count);
        let (m, outputs) = (chain.network.depth(), chain.network.outputs());
        // From the last layer to the first, then turned round.
        let mut d: Vec<B::Array> = Vec::with_capacity(m);
        for k in (1..=m).rev() {
            let h1 = chain.h1(k);
            let mut terms = match (hessian, self.output(forward)) {
                (Some(hessian), Some(x)) if k == m => {
                    vec![Term { x, b: chain.view(hessian, outputs, m) }]
                }
                _ => chain.terms(k, |r| chain.view(&d[m - r], count, r)),
            };
            let mut slopes = Vec::new();
            let mut epilogue = Epilogue::Scale { by: h1 };
            if self.curvature.is_exact() {
                slopes = self.sensitivity_slopes(k, forward)?;
                self.push_slopes(k, &slopes, &mut terms);
                epilogue = Epilogue::ProductRule {
                    h1,
                    h2: chain.h2(k),
                    g: chain.view(&self.multipliers()[k - 1], 1, k),
                    p: chain.view(&forward.p[k - 1], count, k),
                };
            }
            let d_k = chain.step_back(count, k, terms, epilogue)?;
            chain.b.recycle(slopes.into_iter().map(|slope| slope.array));
            d.push(d_k);
        }
        d.reverse();
        Ok(d)
    }

    /// ∂g/∂x^k for k = 1 … m.
    fn multipliers(&self) -> &[B::Array] {
        self.backward.map_or(&[], |backward| &backward.multipliers)
    }

    /// δ^k for k = 1 … m.
    pub(super) fn delta(&self) -> &[B::Array] {
        self.backward.map_or(&[], |backward| &backward.delta)
    }

    /// Returns Ȧ^r of the groups of units that are not linear among the consumers r of layer k.
    fn sensitivity_slopes(
        &self,
        k: usize,
        forward: &Forward<B>,
    ) -> Result<Vec<SensitivitySlope<B>>> {
        let (chain, mut slopes) = (self.chain, Vec::new());
        for (r, column) in chain.network.consumers(k) {
            let layer = &chain.network.layers()[r - 1];
            let z_dot = self.z_dot(forward, r);
            for g in &layer.groups {
                let (Some(units), true) = (chain.units(r, g), z_dot.is_some()) else {
                    continue;
                };
                let shape = [chain.n, g.units.len(), layer.inputs];
                let mut array = chain.b.alloc(product(&shape)?)?;
                let kernel = UnitDerivativeSlope {
                    units,
                    along: Direction {
                        weights: Some(self.vectors.rows(chain.n, r, g)),
                        inputs: z_dot,
                    },
                    with_respect_to: Argument::Inputs,
                    out: ViewMut::new(&mut array, Layout::dense(shape[0], shape[1], shape[2])),
                };
                chain.b.run(kernel.into())?;
                slopes.push(SensitivitySlope { r, units: g.units.clone(), column, array });
            }
        }
        Ok(slopes)
    }

    /// Adds the terms δ^r Ȧ^r\[:, k\].
    fn push_slopes<'t>(
        &'t self,
        k: usize,
        slopes: &'t [SensitivitySlope<B>],
        terms: &mut Vec<Term<'t, B::Array>>,
    ) {
        let (chain, n) = (self.chain, self.chain.n);
        let width = chain.network.width(k);
        let delta =
            |r: usize, units| chain.view(&self.delta()[r - 1], 1, r).with(|l| l.columns(units));
        for (r, _) in chain.network.consumers(k) {
            for g in &chain.network.layers()[r - 1].groups {
                if let Some(b) = self.vectors.columns(n, r, g, (k, width)) {
                    terms.push(Term { x: delta(r, g.units.clone()), b });
                }
            }
        }
        for slope in slopes {
            let inputs = chain.network.layers()[slope.r - 1].inputs;
            let layout = Layout::dense(n, slope.units.len(), inputs);
            let columns = slope.column..slope.column + width;
            let b = View::new(&slope.array, layout.columns(columns));
            terms.push(Term { x: delta(slope.r, slope.units.clone()), b });
        }
    }
}
