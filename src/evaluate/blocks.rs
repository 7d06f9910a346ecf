//! What couples units: the blocks of whole layers and of pairs of layers.
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
//! a group of linear units with itself    gram       Σ_i S[j,j′] (z_a z_b), j ≥ j′, a ≥ b: a quarter of all pairs
//! linear groups with a dense T           coupled    Σ_i (S[j,j′] z_b^l + δ_j′ T[b,j]) z_a^k
//! everything else                        gradient   Σ_i S[j,j′] (z_b^l z_a^k)  and  Σ_i δ_j′ (…)
//! ```
//!
//! with S or δ in the place of the weights and the products in brackets in the place of the inputs. T^{k,l} is diagonal, and its
//! term cheap, where layer k is the only layer from k on that feeds layer l.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use super::chunks::add_each;
use super::sweep::{Chain, jacobians};
use super::{by_group, row_triangles, shape_product};
use crate::backend::{
    Backend, Columns, Coupled, Direction, Kind, Operand, Term, Then, UnitDerivative,
};
use crate::curvature::{Block, Curvature, Matrix, Structure, triangle};
use crate::error::{Quantity, Result};
use crate::network::{GroupView, LayerView, Network};

/// Whether units are coupled: else the units' own blocks, or their diagonals, are all that there is.
pub(super) fn is_coupled(curvature: Curvature, structure: Structure) -> bool {
    matches!(structure, Structure::LayerBlocks | Structure::Full)
        && curvature != Curvature::Lagrangian
}

/// A group of units g of layer l with a group h of layer k ≤ l.
#[derive(Clone, Copy)]
struct Pair<'a> {
    l: usize,
    g: &'a GroupView,
    k: usize,
    h: &'a GroupView,
}

impl<'a> Pair<'a> {
    /// Every pair of groups that a structure couples, each once, in a fixed order.
    fn all(network: &'a Network, structure: Structure) -> impl Iterator<Item = Pair<'a>> {
        (network.groups()).flat_map(move |(l, g)| {
            network
                .groups()
                .take_while(move |(_, h)| h.range.start <= g.range.start)
                .filter(move |(k, _)| structure == Structure::Full || *k == l)
                .map(move |(k, h)| Pair { l, g, k, h })
        })
    }

    /// Whether it is a group with itself.
    fn is_same(&self) -> bool {
        self.g.range.start == self.h.range.start
    }

    /// Whether only the lower triangles of units and of inputs are formed.
    fn is_packed(&self) -> bool {
        self.is_same() && self.g.propagation.is_linear()
    }

    /// The first column of layer k in the input of layer l, if layer k is the only one from k on that feeds it and both
    /// groups are linear: T's term is then Σ_i δ_j′ h′_j z_a at b = column + j.
    fn adjacent(&self, network: &Network) -> Option<usize> {
        let sources = &network.layers()[self.l - 1].sources;
        let linear = self.g.propagation.is_linear() && self.h.propagation.is_linear();
        let alone = sources.iter().filter(|&&t| t >= self.k).eq([&self.k]);
        let column = || (network.consumers(self.k)).find_map(|(r, c)| (r == self.l).then_some(c));
        (linear && alone).then(column).flatten()
    }

    /// Whether T^{k,l} is not 0 but not diagonal either.
    fn is_bent(&self, network: &Network) -> bool {
        let sources = &network.layers()[self.l - 1].sources;
        let reached = sources.iter().any(|&t| t >= self.k);
        self.l > self.k && reached && self.adjacent(network).is_none()
    }
}

/// The sums of a pair of groups.
pub(super) struct PairSums<B: Backend> {
    /// \[(j, j′), (a, b)\], j ≥ j′, a ≥ b, packed, for a linear group with itself; else \[j of h\]\[j′ of g\]\[b\]\[a\].
    main: B::Sum,
    /// The diagonal T's term, \[j′ of g\]\[j of h\]\[a\].
    adjacent: Option<B::Sum>,
    /// Σ_i δ_j Ψ_j of units that are not linear, packed unit by unit.
    bend: Option<B::Sum>,
}

impl<B: Backend> PairSums<B> {
    pub(super) fn all(
        backend: &B,
        network: &Network,
        curvature: Curvature,
        structure: Structure,
    ) -> Result<Vec<Self>> {
        let exact = curvature.is_exact();
        Pair::all(network, structure)
            .map(|pair| {
                let Pair { g, h, .. } = pair;
                let (units, rows) = (g.units.len(), h.units.len());
                let main = match pair.is_packed() {
                    true => [triangle(units), triangle(g.row), 1, 1],
                    false => [rows, units, g.row, h.row],
                };
                let main = backend.sums(shape_product("the blocks of layers", &main)?)?;
                let adjacent = (exact && pair.adjacent(network).is_some())
                    .then(|| shape_product("the blocks of layers", &[units, rows, h.row]))
                    .transpose()?;
                let bend = (exact && pair.is_same() && !g.propagation.is_linear())
                    .then(|| row_triangles(g))
                    .transpose()?;
                Ok(PairSums {
                    main,
                    adjacent: adjacent.map(|len| backend.sums(len)).transpose()?,
                    bend: bend.map(|len| backend.sums(len)).transpose()?,
                })
            })
            .collect()
    }

    pub(super) fn read(self, backend: &B) -> Result<PairTotals> {
        let read = |sum: Option<B::Sum>| sum.map(|sum| backend.read(sum)).transpose();
        Ok(PairTotals {
            main: backend.read(self.main)?,
            adjacent: read(self.adjacent)?,
            bend: read(self.bend)?,
        })
    }
}

/// S^{kl} of one curvature for all pairs of layers.
pub(super) enum Couplings<'a, B: Backend> {
    /// S^{kl} = J_kᵀ G J_l: by layer, J_kᵀ (n × s_k × outputs) and G J_l (n × outputs × s_l).
    LowRank {
        outputs: usize,
        left: Vec<B::Array>,
        right: Vec<B::Array>,
    },
    /// S^{lk}, l ≥ k, with δ for the terms of T and Ψ.
    Exact {
        s: BTreeMap<(usize, usize), B::Array>,
        delta: &'a [B::Array],
    },
}

impl<'a, B: Backend> Couplings<'a, B> {
    /// J = ∂x^m/∂p, G = ∂²g/∂x².
    pub(super) fn gauss_newton(chain: &Chain<B>, hessian: B::Array) -> Result<Self> {
        let outputs = chain.network.outputs();
        let jacobians = jacobians(chain)?;
        Self::low_rank(chain, outputs, &jacobians, &hessian)
    }

    /// J = δᵀ, G = 1/ω: δ carries the sample's weight once, and so must its square.
    pub(super) fn fisher(chain: &Chain<B>, delta: &[B::Array], omega: &B::Array) -> Result<Self> {
        Self::low_rank(chain, 1, delta, &inverse(chain.b, chain.n, omega)?)
    }

    /// δ, where the terms of T and Ψ are wanted.
    fn delta(&self) -> Option<&'a [B::Array]> {
        match self {
            Couplings::LowRank { .. } => None,
            Couplings::Exact { delta, .. } => Some(delta),
        }
    }

    fn low_rank(chain: &Chain<B>, outputs: usize, j: &[B::Array], g: &B::Array) -> Result<Self> {
        let (b, n) = (chain.b, chain.n);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (j, layer) in j.iter().zip(chain.network.layers()) {
            left.push(b.transpose(n, outputs, layer.units, j)?);
            let j = sampled(j, outputs, layer.units);
            right.push(of_samples(b, n, outputs, g, j, layer.units)?);
        }
        Ok(Couplings::LowRank {
            outputs,
            left,
            right,
        })
    }

    /// Takes S^{kl} for l ≥ k, n × s_k × s_l, which is asked for once.
    fn take(&mut self, chain: &Chain<B>, k: usize, l: usize) -> Result<B::Array> {
        let (b, n) = (chain.b, chain.n);
        let (rows, columns) = (chain.network.width(k), chain.network.width(l));
        match self {
            Couplings::LowRank {
                outputs,
                left,
                right,
            } => {
                if *outputs == 1 {
                    return b.outer(
                        n,
                        &all_of(&left[k - 1], rows),
                        &all_of(&right[l - 1], columns),
                    );
                }
                let right = sampled(&right[l - 1], *outputs, columns);
                of_samples(b, n, rows, &left[k - 1], right, columns)
            }
            // S^{kk} is symmetric.
            Couplings::Exact { s, .. } => match s.remove(&(k, l)) {
                Some(found) => Ok(found),
                None => b.transpose(n, columns, rows, &s[&(l, k)]),
            },
        }
    }

    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        match self {
            Couplings::LowRank { left, right, .. } => b.recycle(left.into_iter().chain(right)),
            Couplings::Exact { s, .. } => b.recycle(s.into_values()),
        }
    }
}

/// 1/ω, 0 where ω = 0.
pub(super) fn inverse<B: Backend>(b: &B, n: usize, omega: &B::Array) -> Result<B::Array> {
    let ones = b.gather(n, &[], true)?;
    b.fisher(n, 1, &ones, omega)
}

/// A matrix of `rows` × `columns` for each sample.
pub(super) fn sampled<A>(array: &A, rows: usize, columns: usize) -> Operand<'_, A> {
    Operand {
        array,
        kind: Kind::Sampled,
        units: 0..rows,
        layer: rows,
        width: columns,
    }
}

/// Inputs that `units` out of `layer` columns of weights share.
pub(super) fn shared<A>(
    array: &A,
    units: Range<usize>,
    layer: usize,
    width: usize,
) -> Operand<'_, A> {
    Operand {
        array,
        kind: Kind::Shared,
        units,
        layer,
        width,
    }
}

/// φ of one unit of an operand.
fn row_of<'a, A>(phi: &Operand<'a, A>, j: usize) -> Columns<'a, A> {
    let (stride, first) = match phi.kind {
        Kind::Shared => (phi.width, 0),
        Kind::Sampled => (phi.units.len() * phi.width, j * phi.width),
    };
    Columns {
        array: phi.array,
        stride,
        first,
        width: phi.width,
    }
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
            let mut t: Option<Vec<Option<B::Array>>> = None;
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

    fn add_pair(
        &self,
        pair: Pair,
        s: &B::Array,
        delta: Option<&[B::Array]>,
        t: &mut Option<Vec<Option<B::Array>>>,
        sums: &mut PairSums<B>,
    ) -> Result<()> {
        let Pair { l, g, k, h } = pair;
        let linear = g.propagation.is_linear() && h.propagation.is_linear();
        if let (Some(delta), true) = (delta, linear && pair.is_bent(self.network)) {
            let t = self.sensitivities_once(t, k)?;
            if let Some(t) = &t[l] {
                return self.add_coupled(pair, s, t, &delta[l - 1], &mut sums.main);
            }
        }
        self.with_phi(l, g, |phi_l| {
            self.with_phi(k, h, |phi_k| {
                self.add_s(pair, s, phi_l, phi_k, &mut sums.main)
            })
        })?;
        let Some(delta) = delta else {
            return Ok(());
        };
        let delta = &delta[l - 1];
        if let (Some(unit), Some(sum)) = (self.unit(l, g), &mut sums.bend) {
            let z = &self.states.z[l - 1];
            self.b.unit_d_ww(self.n, &unit, z, delta, false, sum)?;
        }
        if let Some(sum) = &mut sums.adjacent {
            return self.add_adjacent(pair, delta, sum);
        }
        if !pair.is_bent(self.network) {
            return Ok(());
        }
        let Some(t) = &self.sensitivities_once(t, k)?[l] else {
            return Ok(());
        };
        self.with_phi(k, h, |phi_k| {
            self.add_t(pair, t, delta, phi_k, &mut sums.main)
        })
    }

    /// T^{k,r} for all r, computed when it is asked for first.
    fn sensitivities_once<'t>(
        &self,
        t: &'t mut Option<Vec<Option<B::Array>>>,
        k: usize,
    ) -> Result<&'t [Option<B::Array>]> {
        Ok(match t {
            Some(t) => t,
            None => t.insert(self.sensitivities(k, self.network.depth())?),
        })
    }

    /// Σ_i (S[j,j′] z_b + δ_j′ T[b,j]) z_a, for linear units; `t` is T^{k,l}.
    fn add_coupled(
        &self,
        pair: Pair,
        s: &B::Array,
        t: &B::Array,
        delta: &B::Array,
        sum: &mut B::Sum,
    ) -> Result<()> {
        let Pair { l, g, k, h } = pair;
        let coupled = Coupled {
            s,
            t,
            delta,
            rows: self.network.width(k),
            columns: self.network.width(l),
            h: h.units.clone(),
            g: g.units.clone(),
            z_l: inputs_of(self, l, g),
            z_k: inputs_of(self, k, h),
        };
        self.b.coupled(self.n, &coupled, sum)
    }

    /// Σ_i S[j,j′] φ_j′b φ_ja.
    fn add_s(
        &self,
        pair: Pair,
        s: &B::Array,
        phi_l: &Operand<B::Array>,
        phi_k: &Operand<B::Array>,
        sum: &mut B::Sum,
    ) -> Result<()> {
        let (b, n) = (self.b, self.n);
        let (Pair { g, h, .. }, columns) = (pair, self.network.width(pair.l));
        let layer = self.network.width(pair.k) * columns;
        if pair.is_packed() {
            let c = b.pairs(n, columns, g.units.clone(), s)?;
            let units = triangle(g.units.len());
            b.gram(n, &c, &shared(phi_l.array, 0..units, units, g.row), sum)?;
            b.recycle([c]);
            return Ok(());
        }
        let size = g.row * h.row;
        let (one_l, one_k) = (phi_l.kind == Kind::Shared, phi_k.kind == Kind::Shared);
        let products = |j: usize, j2: usize| b.outer(n, &row_of(phi_l, j2), &row_of(phi_k, j));
        if one_l && one_k {
            let products = products(0, 0)?;
            if g.units.len() == columns && h.units.len() * columns == layer {
                b.gradient(n, s, &shared(&products, 0..layer, layer, size), sum, 0)?;
                b.recycle([products]);
                return Ok(());
            }
            for (at, j) in h.units.clone().enumerate() {
                let from = j * columns + g.units.start;
                let row = shared(&products, from..from + g.units.len(), layer, size);
                b.gradient(n, s, &row, sum, at * g.units.len() * size)?;
            }
            b.recycle([products]);
            return Ok(());
        }
        for (at, j) in h.units.clone().enumerate() {
            // A group with itself needs j′ ≥ j alone.
            let from = if pair.is_same() { at } else { 0 };
            for at2 in from..g.units.len() {
                let products = products(at, at2)?;
                let c = j * columns + g.units.start + at2;
                let one = shared(&products, c..c + 1, layer, size);
                b.gradient(n, s, &one, sum, (at * g.units.len() + at2) * size)?;
                b.recycle([products]);
            }
        }
        Ok(())
    }

    /// Σ_i δ_j′ h′_j z_a.
    fn add_adjacent(&self, pair: Pair, delta: &B::Array, sum: &mut B::Sum) -> Result<()> {
        let (b, n) = (self.b, self.n);
        let Pair { l, g, k, h } = pair;
        let h1 = Columns {
            array: &self.states.h1[k - 1],
            stride: self.network.width(k),
            first: h.units.start,
            width: h.units.len(),
        };
        let products = b.outer(n, &h1, &inputs_of(self, k, h))?;
        let width = h.units.len() * h.row;
        let all = shared(&products, g.units.clone(), self.network.width(l), width);
        b.gradient(n, delta, &all, sum, 0)?;
        b.recycle([products]);
        Ok(())
    }

    /// Σ_i δ_j′ Σ_c ∂²p_j′/∂w_b∂z_c T^{k,l}[c,j] φ_ja where one of the groups is not linear; `t` is T^{k,l}.
    fn add_t(
        &self,
        pair: Pair,
        t: &B::Array,
        delta: &B::Array,
        phi_k: &Operand<B::Array>,
        sum: &mut B::Sum,
    ) -> Result<()> {
        let (b, n) = (self.b, self.n);
        let Pair { l, g, k, h } = pair;
        let (layer, rows): (&LayerView, _) = (&self.network.layers()[l - 1], self.network.width(k));
        let size = g.row * h.row;
        let unit = self.unit(l, g);
        for (at, j) in h.units.clone().enumerate() {
            let t_j = Columns {
                array: t,
                stride: rows * layer.width(),
                first: j * layer.width(),
                // The constant's column is 0, so that b runs as in the row of a linear unit.
                width: if unit.is_none() {
                    layer.width()
                } else {
                    layer.inputs
                },
            };
            let Some(unit) = &unit else {
                let products = b.outer(n, &t_j, &row_of(phi_k, at))?;
                let all = shared(&products, g.units.clone(), layer.units, size);
                b.gradient(n, delta, &all, sum, at * g.units.len() * size)?;
                b.recycle([products]);
                continue;
            };
            let direction = Direction {
                weights: None,
                inputs: Some(t_j),
            };
            let z = &self.states.z[l - 1];
            let along = b.unit_along(n, unit, z, &direction, UnitDerivative::Parameters)?;
            let along = sampled(&along, g.units.len(), g.row);
            for (at2, j2) in g.units.clone().enumerate() {
                let products = b.outer(n, &row_of(&along, at2), &row_of(phi_k, at))?;
                let one = shared(&products, j2..j2 + 1, layer.units, size);
                b.gradient(n, delta, &one, sum, (at * g.units.len() + at2) * size)?;
                b.recycle([products]);
            }
        }
        Ok(())
    }
}

/// Products of matrices, one for each sample: m with `rows` rows, and a with so many columns.
fn of_samples<B: Backend>(
    b: &B,
    n: usize,
    rows: usize,
    m: &B::Array,
    a: Operand<B::Array>,
    columns: usize,
) -> Result<B::Array> {
    let term = Term {
        m,
        vectors: rows,
        a,
        column: 0,
        count: columns,
    };
    b.contracted(n, rows, columns, &[term], &Then::Nothing)
}

/// All columns of an array of that width.
fn all_of<A>(array: &A, width: usize) -> Columns<'_, A> {
    Columns {
        array,
        stride: width,
        first: 0,
        width,
    }
}

/// z of a group of linear units.
fn inputs_of<'a, B: Backend>(
    chain: &'a Chain<B>,
    k: usize,
    h: &GroupView,
) -> Columns<'a, B::Array> {
    all_of(&chain.states.z[k - 1], h.row)
}

/// The sums of a pair of groups, on the host.
pub(super) struct PairTotals {
    main: Vec<f64>,
    adjacent: Option<Vec<f64>>,
    bend: Option<Vec<f64>>,
}

impl PairTotals {
    fn all(&self) -> impl Iterator<Item = &[f64]> {
        let others = [&self.adjacent, &self.bend];
        (std::iter::once(&self.main))
            .chain(others.into_iter().flatten())
            .map(|v| &v[..])
    }

    /// Adds the sums over other samples.
    pub(super) fn add(&mut self, other: PairTotals) {
        let total = [&mut self.adjacent, &mut self.bend];
        let total = std::iter::once(&mut self.main).chain(total.into_iter().flatten());
        let other = [Some(other.main), other.adjacent, other.bend];
        add_each(total, other.into_iter().flatten());
    }

    /// Row b of unit j′ of g over the parameters of h, as far as they are on or below the diagonal.
    fn row(&self, pair: Pair, column: Option<usize>, j2: usize, b: usize, out: &mut [f64]) {
        let Pair { g, h, .. } = pair;
        let units = if pair.is_same() {
            j2 + 1
        } else {
            h.units.len()
        };
        for (j, out) in out.chunks_mut(h.row).enumerate().take(units) {
            if pair.is_packed() {
                let part = &self.main[(triangle(j2) + j) * triangle(g.row)..][..triangle(g.row)];
                for (a, out) in out.iter_mut().enumerate() {
                    *out = part[triangle(a.max(b)) + a.min(b)];
                }
                continue;
            }
            let from = ((j * g.units.len() + j2) * g.row + b) * h.row;
            out.copy_from_slice(&self.main[from..from + out.len()]);
            if let (Some(adjacent), Some(column)) = (&self.adjacent, column)
                && b == column + h.units.start + j
            {
                let part = &adjacent[(j2 * h.units.len() + j) * h.row..][..h.row];
                out.iter_mut().zip(part).for_each(|(out, v)| *out += v);
            }
            if let (Some(bend), true) = (&self.bend, j == j2) {
                let row = &bend[j * triangle(g.row) + triangle(b)..][..=b];
                out.iter_mut().zip(row).for_each(|(out, v)| *out += v);
            }
        }
    }
}

/// The matrix from the sums of all pairs.
pub(super) fn assemble(
    network: &Network,
    structure: Structure,
    values: Vec<PairTotals>,
) -> Result<Matrix> {
    for value in &values {
        value
            .all()
            .try_for_each(|v| super::finite(Quantity::Curvature, v))?;
    }
    let pairs: Vec<Pair> = Pair::all(network, structure).collect();
    let columns: Vec<_> = pairs.iter().map(|pair| pair.adjacent(network)).collect();
    let parts = places(network, structure).into_iter().map(|place| {
        let start = place.range.start;
        let mut lower = vec![0.0; triangle(place.range.len())];
        // The rows of each unit, from the first row to the last.
        let mut tasks = Vec::new();
        let mut rest = &mut lower[..];
        for (_, _, range) in network.rows().filter(|r| place.range.contains(&r.2.start)) {
            let len = triangle(range.end - start) - triangle(range.start - start);
            let rows;
            (rows, rest) = std::mem::take(&mut rest).split_at_mut(len);
            tasks.push((range, rows));
        }
        tasks.into_par_iter().for_each(|(range, mut rows)| {
            for at in range.clone() {
                let row;
                (row, rows) = std::mem::take(&mut rows).split_at_mut(at - start + 1);
                for ((pair, value), column) in pairs.iter().zip(&values).zip(&columns) {
                    let g = &pair.g.range;
                    if g.contains(&at) {
                        let local = at - g.start;
                        let from = pair.h.range.start - start;
                        let to = (pair.h.range.end - start).min(row.len());
                        let (j2, b) = (local / pair.g.row, local % pair.g.row);
                        value.row(*pair, *column, j2, b, &mut row[from..to]);
                    }
                }
            }
        });
        (place, lower)
    });
    Ok(Matrix::by_range(structure, parts.collect()))
}

/// The matrix from the blocks of units, or from the diagonals: in their own structure, or in a larger one whose other
/// entries are 0.
pub(super) fn expand(network: &Network, structure: Structure, groups: Vec<Vec<f64>>) -> Matrix {
    let rows = match structure {
        Structure::RowBlocks | Structure::Diagonal => {
            return by_group(network, structure, groups);
        }
        _ => by_group(network, Structure::RowBlocks, groups),
    };
    let mut blocks = rows.blocks().peekable();
    let parts = places(network, structure).into_iter().map(|place| {
        let start = place.range.start;
        let mut lower = vec![0.0; triangle(place.range.len())];
        while let Some(block) = blocks.next_if(|b| b.range.end <= place.range.end) {
            for (a, row) in block.range.clone().enumerate() {
                let at = triangle(row - start) + block.range.start - start;
                lower[at..=at + a].copy_from_slice(&block.packed()[triangle(a)..triangle(a + 1)]);
            }
        }
        (place, lower)
    });
    Matrix::by_range(structure, parts.collect())
}

/// The blocks of a structure but for a diagonal, in the order of the flat vector.
pub(crate) fn places(network: &Network, structure: Structure) -> Vec<Block<'static>> {
    let layers = || (1..).zip(network.layers());
    match structure {
        Structure::Full => vec![Block::place(None, None, 0..network.parameters())],
        Structure::LayerBlocks => layers()
            .filter(|(_, l)| !l.range.is_empty())
            .map(|(k, l)| Block::place(Some(k), None, l.range.clone()))
            .collect(),
        _ => (network.rows())
            .map(|(k, unit, range)| Block::place(Some(k), Some(unit), range))
            .collect(),
    }
}
