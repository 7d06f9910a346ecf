//! The sums that couple units: blocks of whole layers and of pairs of layers.
//!
//! For unit j of layer k and unit j′ of layer l ≥ k, for each sample (the sum over them is the block),
//!
//! ```text
//! H[(j′,b),(j,a)] = φ_ja^k ( S^{kl}[j,j′] φ_j′b^l + δ_j′^l Σ_c ∂²p_j′/∂w_b∂z_c T^{k,l}[c,j] ) + [k=l, j=j′] δ_j Ψ_j[a,b]
//! ```
//!
//! For linear units that is z_a^k (S^{kl}[j,j′] z_b^l + δ_j′^l T^{k,l}[b,j]). Per sample, it is a product of few numbers, so
//! that every sum over samples is one of three kernels:
//!
//! ```text
//! a group of linear units with itself    Gram           Σ_i S[j,j′] (z_a z_b), j ≥ j′, a ≥ b: a quarter of all pairs
//! two groups of linear units             PairBlock      Σ_i (S[j,j′] z_b^l + δ_j′ T[b,j]) z_a^k, or its first term
//! everything else                        WeightedSum    Σ_i S[j,j′] (φ_j′b^l φ_ja^k)  and  Σ_i δ_j′ (…)
//! ```
//!
//! with S or δ in the place of the weights and the products in brackets in the place of the inputs. T^{k,l} is diagonal, and its
//! term cheap, where layer k is the only layer from k on that feeds layer l.

use super::chain::{Backward, Chain, product_of};
use super::samples::inverse_weights;
use super::second::{InputDerivatives, Second};
use super::sizes::{finite, row_triangles, shape_product};
use crate::backend::kernel::{
    Argument, Direction, Gram, LowerTriangle, Multiply, PairBlock, UnitDerivativeSlope,
    UnitParameterHessian, WeightedSum,
};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::curvature::{Curvature, Structure, triangle};
use crate::error::{Quantity, Result};
use crate::network::{GroupView, Network};

/// Whether units are coupled: else the units' own blocks, or their diagonals, are all that there is.
pub(super) fn is_coupled(curvature: Curvature, structure: Structure) -> bool {
    matches!(structure, Structure::LayerBlocks | Structure::Full)
        && curvature != Curvature::Lagrangian
}

/// A group of units g of layer l with a group h of layer k ≤ l.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub l: usize,
    pub g: &'a GroupView,
    pub k: usize,
    pub h: &'a GroupView,
}

impl<'a> Pair<'a> {
    /// Every pair of groups that a structure couples, each once, in a fixed order.
    pub(super) fn all(
        network: &'a Network,
        structure: Structure,
    ) -> impl Iterator<Item = Pair<'a>> {
        (network.groups()).flat_map(move |(l, g)| {
            network
                .groups()
                .take_while(move |(_, h)| h.range.start <= g.range.start)
                .filter(move |(k, _)| structure == Structure::Full || *k == l)
                .map(move |(k, h)| Pair { l, g, k, h })
        })
    }

    /// Whether it is a group with itself.
    pub(super) fn is_same(&self) -> bool {
        self.g.range.start == self.h.range.start
    }

    /// Whether only the lower triangles of units and of inputs are formed.
    pub(super) fn is_packed(&self) -> bool {
        self.is_same() && self.g.propagation.is_linear()
    }

    /// The first column of layer k in the input of layer l, if T^{k,l} is diagonal: layer k is the only one from k on that feeds
    /// layer l, and both groups are linear. T's term is then Σ_i δ_j′ h′_j z_a at b = column + j.
    pub(super) fn column_of_diagonal(&self, network: &Network) -> Option<usize> {
        let sources = &network.layers()[self.l - 1].sources;
        let linear = self.g.propagation.is_linear() && self.h.propagation.is_linear();
        let alone = sources.iter().filter(|&&t| t >= self.k).eq([&self.k]);
        let column = || (network.consumers(self.k)).find_map(|(r, c)| (r == self.l).then_some(c));
        (linear && alone).then(column).flatten()
    }

    /// Whether T^{k,l} is neither 0 nor diagonal.
    fn is_dense(&self, network: &Network) -> bool {
        let sources = &network.layers()[self.l - 1].sources;
        let reached = sources.iter().any(|&t| t >= self.k);
        self.l > self.k && reached && self.column_of_diagonal(network).is_none()
    }
}

/// The sums of a pair of groups.
pub(super) struct PairSums<B: Backend> {
    /// \[(j, j′), (a, b)\], j ≥ j′, a ≥ b, packed, for a linear group with itself; else \[j of h\]\[j′ of g\]\[b\]\[a\].
    main: B::Sum,
    /// The term of a diagonal T, \[j′ of g\]\[j of h\]\[a\].
    diagonal: Option<B::Sum>,
    /// Σ_i δ_j Ψ_j of units that are not linear, packed unit by unit.
    own: Option<B::Sum>,
}

impl<B: Backend> PairSums<B> {
    /// Returns sums of 0 for all pairs that a structure couples.
    pub(super) fn all(
        b: &B,
        network: &Network,
        curvature: Curvature,
        structure: Structure,
    ) -> Result<Vec<Self>> {
        let exact = curvature.is_exact();
        let of_pair = |pair: Pair| {
            let Pair { g, h, .. } = pair;
            let (units, rows) = (g.units.len(), h.units.len());
            let main = if pair.is_packed() {
                [triangle(units), triangle(g.row), 1, 1]
            } else {
                [rows, units, g.row, h.row]
            };
            let main = b.sums(shape_product("the blocks of layers", &main)?)?;
            let diagonal = (exact && pair.column_of_diagonal(network).is_some())
                .then(|| shape_product("the blocks of layers", &[units, rows, h.row]))
                .transpose()?;
            let own = (exact && pair.is_same() && !g.propagation.is_linear())
                .then(|| row_triangles(g))
                .transpose()?;
            Ok(PairSums {
                main,
                diagonal: diagonal.map(|len| b.sums(len)).transpose()?,
                own: own.map(|len| b.sums(len)).transpose()?,
            })
        };
        Pair::all(network, structure).map(of_pair).collect()
    }

    /// Returns the sums on the host.
    pub(super) fn read(self, b: &B) -> Result<PairTotals> {
        let read = |sum: Option<B::Sum>| sum.map(|sum| b.read(sum)).transpose();
        Ok(PairTotals {
            main: b.read(self.main)?,
            diagonal: read(self.diagonal)?,
            own: read(self.own)?,
        })
    }
}

/// [`PairSums`] on the host.
pub(crate) struct PairTotals {
    pub main: Vec<f64>,
    pub diagonal: Option<Vec<f64>>,
    pub own: Option<Vec<f64>>,
}

impl PairTotals {
    /// Refuses sums that are not finite.
    pub(super) fn check(&self) -> Result<()> {
        let others = [&self.diagonal, &self.own];
        (std::iter::once(&self.main).chain(others.into_iter().flatten()))
            .try_for_each(|v| finite(Quantity::Curvature, v))
    }

    /// All arrays, in a fixed order.
    pub(super) fn arrays(&mut self) -> impl Iterator<Item = &mut Vec<f64>> {
        let others = [&mut self.diagonal, &mut self.own];
        std::iter::once(&mut self.main).chain(others.into_iter().flatten())
    }
}

/// S^{kl} of one curvature for all pairs of layers.
pub(super) enum Couplings<'a, B: Backend> {
    /// S^{kl} = J_kᵀ G J_l: by layer, J_kᵀ (n × s_k × outputs) and G J_l (n × outputs × s_l).
    LowRank { outputs: usize, left: Vec<B::Array>, right: Vec<B::Array> },
    /// S^{lk}, l ≥ k, with δ for the terms of T and Ψ.
    Exact { s: Second<B>, delta: &'a [B::Array] },
}

impl<'a, B: Backend> Couplings<'a, B> {
    /// Returns the couplings of a curvature at the states of a chunk; `hessian` is ∂²g/∂x², where the curvature has it.
    pub(super) fn new(
        chain: &Chain<B>,
        curvature: Curvature,
        structure: Structure,
        hessian: Option<&B::Array>,
        backward: &'a Backward<B>,
    ) -> Result<Self> {
        match (curvature, hessian) {
            // J = ∂x^m/∂p, G = ∂²g/∂x².
            (Curvature::GaussNewton, Some(hessian)) => {
                let jacobians = chain.jacobians()?;
                let made = Self::low_rank(chain, chain.network.outputs(), &jacobians, hessian)?;
                chain.b.recycle(jacobians);
                Ok(made)
            }
            (_, Some(hessian)) => Ok(Couplings::Exact {
                s: chain.second(hessian, backward, structure)?,
                delta: &backward.delta,
            }),
            // J = δᵀ, G = 1/ω: δ carries the sample's weight once, and so must its square.
            (_, None) => {
                let inverse = inverse_weights(chain.b, chain.batch.omega)?;
                let made = Self::low_rank(chain, 1, &backward.delta, &inverse)?;
                chain.b.recycle([inverse]);
                Ok(made)
            }
        }
    }

    /// δ, where the terms of T and Ψ are wanted.
    fn delta(&self) -> Option<&'a [B::Array]> {
        match self {
            Couplings::LowRank { .. } => None,
            Couplings::Exact { delta, .. } => Some(delta),
        }
    }

    fn low_rank(chain: &Chain<B>, outputs: usize, j: &[B::Array], g: &B::Array) -> Result<Self> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (k, j) in (1..).zip(j) {
            left.push(chain.transposed(j, outputs, chain.network.width(k))?);
            let g = View::new(g, Layout::dense(chain.n, outputs, outputs));
            right.push(product_of(chain.b, g, chain.view(j, outputs, k))?);
        }
        Ok(Couplings::LowRank { outputs, left, right })
    }

    /// Takes S^{kl} for l ≥ k, n × s_k × s_l, which is asked for once.
    fn take(&mut self, chain: &Chain<B>, k: usize, l: usize) -> Result<B::Array> {
        let (rows, columns) = (chain.network.width(k), chain.network.width(l));
        match self {
            Couplings::LowRank { outputs, left, right } => {
                let left = View::new(&left[k - 1], Layout::dense(chain.n, rows, *outputs));
                let right = View::new(&right[l - 1], Layout::dense(chain.n, *outputs, columns));
                if *outputs == 1 {
                    return outer(chain.b, left.with(Layout::transposed), right);
                }
                product_of(chain.b, left, right)
            }
            // S^{kk} is symmetric.
            Couplings::Exact { s, .. } => match s.remove(&(k, l)) {
                Some(found) => Ok(found),
                None => chain.transposed(&s[&(l, k)], columns, rows),
            },
        }
    }

    /// Gives all arrays back.
    fn recycle(self, b: &B) {
        match self {
            Couplings::LowRank { left, right, .. } => b.recycle(left.into_iter().chain(right)),
            Couplings::Exact { s, .. } => b.recycle(s.into_values()),
        }
    }
}

/// Returns the products y_b z_a of two rows for each sample: n × (columns of y) × (columns of z).
fn outer<B: Backend>(b: &B, y: View<B::Array>, z: View<B::Array>) -> Result<B::Array> {
    let ([n, _, rows], [_, _, columns]) = (y.shape(), z.shape());
    let mut array = b.alloc(product(&[n, rows, columns])?)?;
    let kernel = Multiply {
        a: y.with(|l| l.transposed().repeated_columns(columns)),
        b: z.with(|l| l.repeated_rows(rows)),
        out: ViewMut::new(&mut array, Layout::dense(n, rows, columns)),
        accumulate: false,
    };
    b.run(kernel.into())?;
    Ok(array)
}

/// sum\[at + (j, (b, a))\] += Σ_i c\[i, j\] products\[i, b, a\], products that all j share.
fn add_products<B: Backend>(
    b: &B,
    c: View<B::Array>,
    products: &B::Array,
    size: usize,
    sum: &mut B::Sum,
    at: usize,
) -> Result<()> {
    let [n, _, units] = c.shape();
    let phi = View::new(products, Layout::rows_of(n, size).repeated_rows(units));
    b.run(WeightedSum { c, phi, sum, at }.into())
}

impl<B: Backend> Chain<'_, B> {
    /// Adds the blocks of all pairs that the structure couples.
    pub(super) fn add_pairs(
        &self,
        structure: Structure,
        mut couplings: Couplings<B>,
        sums: &mut [PairSums<B>],
    ) -> Result<()> {
        let network = self.network;
        for k in 1..=network.depth() {
            // T^{k,r} for all r, once it is needed.
            let mut t: Option<InputDerivatives<B>> = None;
            for l in k..=network.depth() {
                let mut pairs = (Pair::all(network, structure).zip(&mut *sums))
                    .filter(|(pair, _)| (pair.k, pair.l) == (k, l))
                    .peekable();
                if pairs.peek().is_none() {
                    continue;
                }
                let s = couplings.take(self, k, l)?;
                for (pair, sums) in pairs {
                    self.add_pair(pair, &s, couplings.delta(), &mut t, sums)?;
                }
                self.b.recycle([s]);
            }
            self.b.recycle(t.into_iter().flatten().flatten());
        }
        couplings.recycle(self.b);
        Ok(())
    }

    /// Adds the block of a pair; s is S^{kl}, n × s_k × s_l.
    fn add_pair(
        &self,
        pair: Pair,
        s: &B::Array,
        delta: Option<&[B::Array]>,
        t: &mut Option<InputDerivatives<B>>,
        sums: &mut PairSums<B>,
    ) -> Result<()> {
        let Pair { l, g, k, h } = pair;
        let (is_dense, linear) =
            (pair.is_dense(self.network), g.propagation.is_linear() && h.propagation.is_linear());
        let s = View::new(s, self.layout(self.network.width(k), l));
        let s = s.with(|s| s.rows(h.units.clone()).columns(g.units.clone()));
        let delta = delta.map(|delta| {
            (self.view(&delta[l - 1], 1, l)).with(|delta| delta.columns(g.units.clone()))
        });
        if linear && !pair.is_packed() {
            let t = if delta.is_some() && is_dense {
                self.input_derivatives_once(t, pair)?
            } else {
                None
            };
            let t_delta = t.zip(delta).map(|(t, delta)| [t, delta]);
            let (z_l, z_k, sum) = (self.z(l), self.z(k), &mut sums.main);
            self.b.run(PairBlock { s, z_l, z_k, t_delta, sum }.into())?;
        } else {
            self.with_phi(l, g, |phi_l| {
                self.with_phi(k, h, |phi_k| self.add_s(pair, s, phi_l, phi_k, &mut sums.main))
            })?;
        }
        let Some(delta) = delta else {
            return Ok(());
        };
        if let (Some(units), Some(sum)) = (self.units(l, g), &mut sums.own) {
            let kernel = UnitParameterHessian { units, delta, diagonal: false, sum };
            self.b.run(kernel.into())?;
        }
        if let Some(sum) = &mut sums.diagonal {
            return self.add_diagonal_t(pair, delta, sum);
        }
        if is_dense
            && !linear
            && let Some(t) = self.input_derivatives_once(t, pair)?
        {
            return self.with_phi(k, h, |phi_k| self.add_t(pair, t, delta, phi_k, &mut sums.main));
        }
        Ok(())
    }

    /// T^{k,l} over the units of h, n × units × d_l; all T^{k,r} are computed when one is asked for first.
    fn input_derivatives_once<'t>(
        &self,
        t: &'t mut Option<InputDerivatives<B>>,
        pair: Pair,
    ) -> Result<Option<View<'t, B::Array>>> {
        let Pair { l, k, h, .. } = pair;
        let t = match t {
            Some(t) => t,
            None => t.insert(self.input_derivatives(k, self.network.depth())?),
        };
        let width = self.network.layers()[l - 1].width();
        let layout = Layout::dense(self.n, self.network.width(k), width).rows(h.units.clone());
        Ok(t[l].as_ref().map(|t| View::new(t, layout)))
    }

    /// Σ_i S[j,j′] φ_j′b φ_ja where one of the groups is not linear, or for the triangle of a linear one.
    fn add_s(
        &self,
        pair: Pair,
        s: View<B::Array>,
        phi_l: View<B::Array>,
        phi_k: View<B::Array>,
        sum: &mut B::Sum,
    ) -> Result<()> {
        let (b, n, Pair { g, h, .. }) = (self.b, self.n, pair);
        if pair.is_packed() {
            let units = triangle(g.units.len());
            let mut c = b.alloc(product(&[n, units])?)?;
            let layout = Layout::rows_of(n, units);
            let out = ViewMut::new(&mut c, layout);
            b.run(LowerTriangle { a: s, out }.into())?;
            let phi = phi_l.with(|l| l.rows(0..1).repeated_rows(units));
            b.run(Gram { c: View::new(&c, layout), phi, sum }.into())?;
            b.recycle([c]);
            return Ok(());
        }
        let size = g.row * h.row;
        let row = |phi: View<'_, B::Array>, j: usize| phi.layout.rows(j..j + 1);
        let products = |j: usize, j2: usize| {
            let y = View::new(phi_l.array, row(phi_l, j2));
            outer(b, y, View::new(phi_k.array, row(phi_k, j)))
        };
        for j in 0..h.units.len() {
            // A group with itself needs j′ ≥ j alone.
            for j2 in if pair.is_same() { j } else { 0 }..g.units.len() {
                let products = products(j, j2)?;
                let c = s.with(|s| s.rows(j..j + 1).columns(j2..j2 + 1));
                add_products(b, c, &products, size, sum, (j * g.units.len() + j2) * size)?;
                b.recycle([products]);
            }
        }
        Ok(())
    }

    /// Σ_i δ_j′ h′_j z_a.
    fn add_diagonal_t(&self, pair: Pair, delta: View<B::Array>, sum: &mut B::Sum) -> Result<()> {
        let Pair { k, h, .. } = pair;
        let h1 = self.h1(k).with(|l| l.columns(h.units.clone()));
        let products = outer(self.b, h1, self.z(k))?;
        add_products(self.b, delta, &products, h.units.len() * h.row, sum, 0)?;
        self.b.recycle([products]);
        Ok(())
    }

    /// Σ_i δ_j′ Σ_c ∂²p_j′/∂w_b∂z_c T^{k,l}[c,j] φ_ja where one of the groups is not linear; `t` is T^{k,l} over the units of h.
    fn add_t(
        &self,
        pair: Pair,
        t: View<B::Array>,
        delta: View<B::Array>,
        phi_k: View<B::Array>,
        sum: &mut B::Sum,
    ) -> Result<()> {
        let (b, n) = (self.b, self.n);
        let Pair { l, g, h, .. } = pair;
        let inputs = self.network.layers()[l - 1].inputs;
        let size = g.row * h.row;
        let units = self.units(l, g);
        for j in 0..h.units.len() {
            let t_j = t.with(|t| t.rows(j..j + 1));
            let phi_j = phi_k.with(|phi| phi.rows(j..j + 1));
            let at = j * g.units.len() * size;
            let Some(units) = units else {
                // The constant's column is 0, so that b runs as in the row of a linear unit.
                let products = outer(b, t_j, phi_j)?;
                add_products(b, delta, &products, size, sum, at)?;
                b.recycle([products]);
                continue;
            };
            let layout = Layout::dense(n, g.units.len(), g.row);
            let mut slope = b.alloc(product(&[n, g.units.len(), g.row])?)?;
            let along =
                Direction { weights: None, inputs: Some(t_j.with(|t| t.columns(0..inputs))) };
            let with_respect_to = Argument::Parameters;
            let out = ViewMut::new(&mut slope, layout);
            b.run(UnitDerivativeSlope { units, along, with_respect_to, out }.into())?;
            for j2 in 0..g.units.len() {
                let products = outer(b, View::new(&slope, layout.rows(j2..j2 + 1)), phi_j)?;
                let c = delta.with(|delta| delta.columns(j2..j2 + 1));
                add_products(b, c, &products, size, sum, at + j2 * size)?;
                b.recycle([products]);
            }
            b.recycle([slope]);
        }
        Ok(())
    }
}
