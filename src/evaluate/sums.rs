//! The sums over the samples, and those of one chunk but for pairs of units.
//!
//! ```text
//! gradient   Σ_i δ_ij φ_ij                                                                 (paper eq. 9)
//! blocks     Σ_i c_ij φ_ij φ_ijᵀ + δ_ij Ψ_ij
//! ```
//!
//! φ_j = ∂p_j/∂w_j and Ψ_j = ∂²p_j/∂w_j²; for linear units z^k and 0. The curvatures differ in c alone:
//!
//! ```text
//! Lagrangian         c^k = ∂g/∂x^k ⊙ h″(p^k)                                                (eq. 10)
//! EmpiricalFisher    c^k = δ^k ⊙ δ^k / ω                                                    no Ψ
//! GaussNewton        c^k = diag(J^kᵀ (∂²g/∂x²) J^k)                                         no Ψ
//! Exact, Residual    c^k = diag(S^{kk})
//! ```

use super::Request;
use super::chain::{Backward, Chain};
use super::lanes::{Additive, add_each};
use super::pairs::{PairSums, PairTotals, is_coupled};
use super::sizes::{row_triangles, shape_product};
use crate::backend::kernel::{
    Fill, GaussNewtonDiagonal, Gram, GramDiagonal, Product, SquaredGradient, UnitParameterHessian,
    WeightedSum,
};
use crate::backend::{Backend, Layout, View, ViewMut};
use crate::curvature::{Curvature, Structure};
use crate::error::Result;
use crate::network::Network;

/// The sums over the samples: one for each group of units.
pub(super) struct Sums<B: Backend> {
    pub value: B::Sum,
    pub gradient: Vec<B::Sum>,
    pub curvature: Vec<B::Sum>,
    /// Of the row blocks, one for all units of a group; empty unless asked for.
    pub pooled: Vec<B::Sum>,
    /// The sums that couple units, for each pair of groups; empty for row blocks and the diagonal.
    pub pairs: Vec<PairSums<B>>,
}

impl<B: Backend> Sums<B> {
    /// Returns sums of 0, with `values` numbers for the value.
    pub(super) fn new(b: &B, network: &Network, request: Request, values: usize) -> Result<Self> {
        let groups = || network.groups().map(|(_, g)| g);
        let mut sums = Sums {
            value: b.sums(values)?,
            gradient: Vec::new(),
            curvature: Vec::new(),
            pooled: Vec::new(),
            pairs: Vec::new(),
        };
        for g in groups().filter(|_| request.gradient) {
            sums.gradient.push(b.sums(g.range.len())?);
        }
        match request.curvature {
            None => {}
            Some((curvature, structure)) if is_coupled(curvature, structure) => {
                sums.pairs = PairSums::all(b, network, curvature, structure)?;
            }
            Some((_, structure)) => {
                for g in groups() {
                    let len = match structure {
                        Structure::Diagonal => g.range.len(),
                        _ => row_triangles(g)?,
                    };
                    sums.curvature.push(b.sums(len)?);
                }
            }
        }
        for g in groups().filter(|_| request.is_pooled()) {
            sums.pooled
                .push(b.sums(shape_product("the sums of row blocks", &[g.row, g.row + 1])? / 2)?);
        }
        Ok(sums)
    }

    /// Returns the sums on the host.
    pub(super) fn read(self, b: &B) -> Result<Totals> {
        let read = |sums: Vec<B::Sum>| -> Result<Vec<Vec<f64>>> {
            sums.into_iter().map(|sum| b.read(sum)).collect()
        };
        Ok(Totals {
            value: b.read(self.value)?,
            gradient: read(self.gradient)?,
            curvature: read(self.curvature)?,
            pooled: read(self.pooled)?,
            pairs: (self.pairs.into_iter()).map(|sums| sums.read(b)).collect::<Result<_>>()?,
        })
    }
}

/// [`Sums`] on the host.
pub(crate) struct Totals {
    pub value: Vec<f64>,
    pub gradient: Vec<Vec<f64>>,
    pub curvature: Vec<Vec<f64>>,
    pub pooled: Vec<Vec<f64>>,
    pub pairs: Vec<PairTotals>,
}

impl Totals {
    /// Σ_i ω_i g_i; none of a backend that only counts.
    pub(super) fn value(&self) -> Option<f64> {
        self.value.iter().copied().reduce(|sum, v| sum + v)
    }
}

impl Additive for Totals {
    fn arrays(&mut self) -> Vec<&mut Vec<f64>> {
        let pairs = self.pairs.iter_mut().flat_map(PairTotals::arrays);
        let others = self
            .gradient
            .iter_mut()
            .chain(&mut self.curvature)
            .chain(&mut self.pooled)
            .chain(pairs);
        std::iter::once(&mut self.value).chain(others).collect()
    }

    fn close(&mut self) {
        let sum = self.value();
        self.value.clear();
        self.value.extend(sum);
    }

    fn add(&mut self, mut next: Totals) {
        // One after the other, whatever the chunks are.
        self.value.append(&mut next.value);
        self.close();
        add_each(self.arrays(), next.arrays());
    }
}

impl<B: Backend> Chain<'_, B> {
    /// sums += Σ_i δ_ij φ_ij (eq. 9), group by group.
    pub(super) fn add_gradient(&self, delta: &[B::Array], sums: &mut [B::Sum]) -> Result<()> {
        for ((k, g), sum) in self.network.groups().zip(sums) {
            let c = self.view(&delta[k - 1], 1, k).with(|l| l.columns(g.units.clone()));
            self.with_phi(k, g, |phi| self.b.run(WeightedSum { c, phi, sum, at: 0 }.into()))?;
        }
        Ok(())
    }

    /// sums += Σ_i c_ij φ_ij φ_ijᵀ, and + δ_ij Ψ_ij where δ is given, group by group.
    pub(super) fn add_blocks(
        &self,
        structure: Structure,
        c: &[B::Array],
        delta: Option<&[B::Array]>,
        sums: &mut [B::Sum],
    ) -> Result<()> {
        let diagonal = structure == Structure::Diagonal;
        for ((k, g), sum) in self.network.groups().zip(sums) {
            let of_units = |array| self.view(array, 1, k).with(|l| l.columns(g.units.clone()));
            let c = of_units(&c[k - 1]);
            self.with_phi(k, g, |phi| {
                let sum = &mut *sum;
                if diagonal {
                    self.b.run(GramDiagonal { c, phi, sum }.into())
                } else {
                    self.b.run(Gram { c, phi, sum }.into())
                }
            })?;
            if let (Some(units), Some(delta)) = (self.units(k, g), delta) {
                let delta = of_units(&delta[k - 1]);
                let kernel = UnitParameterHessian { units, delta, diagonal, sum };
                self.b.run(kernel.into())?;
            }
        }
        Ok(())
    }

    /// sums += Σ_i (Σ_j c_ij) z_i z_iᵀ, group by group: over the units j of each that is linear.
    pub(super) fn add_pooled(&self, c: &[B::Array], sums: &mut [B::Sum]) -> Result<()> {
        let (b, n) = (self.b, self.n);
        for ((k, g), sum) in self.network.groups().zip(sums) {
            if self.units(k, g).is_some() {
                continue;
            }
            let (units, one) = (g.units.len(), Layout::rows_of(n, 1));
            let (mut ones, mut total) = (b.alloc(units)?, b.alloc(n)?);
            let out = ViewMut::new(&mut ones, Layout::dense(1, units, 1));
            b.run(Fill { value: 1.0, out }.into())?;
            let sum_of_units = Product {
                x: self.view(&c[k - 1], 1, k).with(|l| l.columns(g.units.clone())),
                b: View::new(&ones, Layout::shared(n, units, 1)),
                out: ViewMut::new(&mut total, one),
                accumulate: false,
            };
            b.run(sum_of_units.into())?;
            b.run(
                Gram {
                    c: View::new(&total, one),
                    phi: self.z(k).with(|l| l.repeated_rows(1)),
                    sum,
                }
                .into(),
            )?;
            b.recycle([ones, total]);
        }
        Ok(())
    }

    /// Returns c^k for k = 1 … m, n × s_k each; `hessian` is ∂²g/∂x², where the curvature has it.
    pub(super) fn coefficients(
        &self,
        curvature: Curvature,
        structure: Structure,
        hessian: Option<&B::Array>,
        backward: &Backward<B>,
    ) -> Result<Vec<B::Array>> {
        let layers = 1..=self.network.depth();
        match (curvature, hessian) {
            (Curvature::GaussNewton, Some(hessian)) => self.gauss_newton_diagonals(hessian),
            (_, Some(hessian)) => {
                let s = self.second(hessian, backward, structure)?;
                let c = self.diagonals(&s, &backward.multipliers)?;
                self.b.recycle(s.into_values());
                Ok(c)
            }
            (Curvature::EmpiricalFisher, _) => {
                layers.map(|k| self.squared_gradient(k, &backward.delta[k - 1])).collect()
            }
            _ => layers.map(|k| self.times_h2(&backward.multipliers, k)).collect(),
        }
    }

    fn squared_gradient(&self, k: usize, delta: &B::Array) -> Result<B::Array> {
        let mut c = self.alloc(1, k)?;
        let kernel = SquaredGradient {
            delta: self.view(delta, 1, k),
            omega: self.batch.omega,
            out: ViewMut::new(&mut c, self.layout(1, k)),
        };
        self.b.run(kernel.into())?;
        Ok(c)
    }

    /// Returns diag(J^kᵀ (∂²g/∂x²) J^k) for k = 1 … m.
    fn gauss_newton_diagonals(&self, hessian: &B::Array) -> Result<Vec<B::Array>> {
        let outputs = self.network.outputs();
        let jacobians = self.jacobians()?;
        let mut all = Vec::with_capacity(jacobians.len());
        for (k, jacobian) in (1..).zip(&jacobians) {
            let mut c = self.alloc(1, k)?;
            let kernel = GaussNewtonDiagonal {
                jacobian: self.view(jacobian, outputs, k),
                hessian: self.view(hessian, outputs, self.network.depth()),
                out: ViewMut::new(&mut c, self.layout(1, k)),
            };
            self.b.run(kernel.into())?;
            all.push(c);
        }
        self.b.recycle(jacobians);
        Ok(all)
    }
}
