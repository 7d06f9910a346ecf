//! The sums of products over the samples: Σ_i δ̇_j φ_j + δ_j φ̇_j.

use super::Along;
use super::forward::Forward;
use crate::backend::kernel::{Argument, Direction, UnitDerivativeSlope, WeightedSum};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::curvature::Curvature;
use crate::error::Result;
use crate::evaluate::lanes::Additive;
use crate::evaluate::sizes::shape_product;
use crate::network::{GroupView, Network};

/// The sums of the products: one of each for each group of units.
pub(crate) struct ProductSums<B: Backend> {
    /// Σ_i δ̇_j φ_j, \[vector\]\[j\]\[a\].
    main: Vec<B::Sum>,
    /// Σ_i δ_j φ̇_j, \[j\]\[vector\]\[a\] over the parameters that [`moving`] counts.
    of_slopes: Vec<Option<B::Sum>>,
}

/// How many of a unit's φ_a change along a vector: the inputs of a linear unit that move, all of other units.
fn moving(network: &Network, k: usize, g: &GroupView, curvature: Curvature) -> usize {
    let layer = &network.layers()[k - 1];
    let linear = g.propagation.is_linear();
    match curvature {
        Curvature::Exact | Curvature::Residual if linear && layer.has_hidden_sources() => {
            layer.inputs
        }
        Curvature::Exact | Curvature::Residual | Curvature::Lagrangian if !linear => g.row,
        _ => 0,
    }
}

impl<B: Backend> ProductSums<B> {
    /// Returns sums of 0 for `count` vectors.
    pub(crate) fn new(
        b: &B,
        network: &Network,
        curvature: Curvature,
        count: usize,
    ) -> Result<Self> {
        let (mut main, mut of_slopes) = (Vec::new(), Vec::new());
        for (k, g) in network.groups() {
            main.push(b.sums(shape_product("the products", &[count, g.range.len()])?)?);
            let len = [count, g.units.len(), moving(network, k, g, curvature)];
            let len = shape_product("the products", &len)?;
            of_slopes.push((len > 0).then(|| b.sums(len)).transpose()?);
        }
        Ok(ProductSums { main, of_slopes })
    }

    /// Returns the sums on the host.
    pub(crate) fn read(self, b: &B) -> Result<ProductTotals> {
        let main = self.main.into_iter().map(|sum| b.read(sum));
        let of_slopes =
            (self.of_slopes.into_iter()).map(|sum| sum.map(|sum| b.read(sum)).transpose());
        Ok(ProductTotals {
            main: main.collect::<Result<_>>()?,
            of_slopes: of_slopes.collect::<Result<_>>()?,
        })
    }
}

/// [`ProductSums`] on the host.
pub(crate) struct ProductTotals {
    main: Vec<Vec<f64>>,
    of_slopes: Vec<Option<Vec<f64>>>,
}

impl ProductTotals {
    /// Adds the sums to the products, `count` rows of length P.
    pub(crate) fn add_to(&self, network: &Network, count: usize, out: &mut [f64]) {
        let p = network.parameters();
        for (((_, g), main), of_slopes) in network.groups().zip(&self.main).zip(&self.of_slopes) {
            let (len, units) = (g.range.len(), g.units.len());
            for vector in 0..count {
                let out = &mut out[vector * p..][g.range.clone()];
                let main = &main[vector * len..][..len];
                (out.iter_mut().zip(main)).for_each(|(out, v)| *out += v);
                let Some(sums) = of_slopes else {
                    continue;
                };
                let moving = sums.len() / (count * units);
                for (j, out) in out.chunks_mut(g.row).enumerate() {
                    let sums = &sums[(j * count + vector) * moving..][..moving];
                    (out.iter_mut().zip(sums)).for_each(|(out, v)| *out += v);
                }
            }
        }
    }
}

impl Additive for Vec<ProductTotals> {
    fn arrays(&mut self) -> Vec<&mut Vec<f64>> {
        (self.iter_mut())
            .flat_map(|totals| totals.main.iter_mut().chain(totals.of_slopes.iter_mut().flatten()))
            .collect()
    }
}

impl<B: Backend> Along<'_, '_, B> {
    /// The vectors' numbers of a group of layer k, the units of one vector after those of another: n × 1 × (vectors · units).
    pub(super) fn of_group(&self, k: usize, g: &GroupView) -> Layout {
        // Where there are several groups, there is one vector.
        let (count, first) = (self.vectors.count, g.units.start);
        Layout::rows_of(self.chain.n, count * self.chain.network.width(k))
            .columns(first..first + count * g.units.len())
    }

    /// sums += Σ_i δ̇_j φ_j and Σ_i δ_j φ̇_j; `d` is δ̇.
    pub(super) fn add(
        &self,
        d: &[B::Array],
        forward: &Forward<B>,
        sums: &mut ProductSums<B>,
    ) -> Result<()> {
        let (chain, n, count) = (self.chain, self.chain.n, self.vectors.count);
        let groups = chain.network.groups().zip(&mut sums.main).zip(&mut sums.of_slopes);
        for (((k, g), sum), of_slopes) in groups {
            let c = View::new(&d[k - 1], self.of_group(k, g));
            chain.with_phi(k, g, |phi| {
                let phi = phi.with(|phi| {
                    if count > 1 { phi.repeated_rows(count * g.units.len()) } else { phi }
                });
                chain.b.run(WeightedSum { c, phi, sum, at: 0 }.into())
            })?;
            let Some(sum) = of_slopes else {
                continue;
            };
            let c = (chain.view(&self.delta()[k - 1], 1, k)).with(|l| l.columns(g.units.clone()));
            let z_dot = self.z_dot(forward, k);
            let Some(units) = chain.units(k, g) else {
                let Some(z) = z_dot else { continue };
                let [_, _, inputs] = z.shape();
                let rows = Layout::rows_of(n, count * inputs).repeated_rows(g.units.len());
                let phi = z.with(|_| rows);
                chain.b.run(WeightedSum { c, phi, sum, at: 0 }.into())?;
                continue;
            };
            let layout = Layout::dense(n, g.units.len(), g.row);
            let mut slope = chain.b.alloc(product(&layout.shape)?)?;
            let kernel = UnitDerivativeSlope {
                units,
                along: Direction { weights: Some(self.vectors.rows(n, k, g)), inputs: z_dot },
                with_respect_to: Argument::Parameters,
                out: ViewMut::new(&mut slope, layout),
            };
            chain.b.run(kernel.into())?;
            let phi = View::new(&slope, layout);
            chain.b.run(WeightedSum { c, phi, sum, at: 0 }.into())?;
            chain.b.recycle([slope]);
        }
        Ok(())
    }
}
