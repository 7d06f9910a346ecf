//! Second derivatives of one chunk: S^{lk} = ∂δ^l/∂p^k and T^{l,r} = ∂z^r/∂p^l.
//!
//! Eq. 8 of the paper differentiated once more:
//!
//! ```text
//! S^{mm} = h′ (∂²g/∂x²) h′ + diag(∂g/∂x ⊙ h″)
//! S^{lk} = Σ_r (S^{lr} A^r[:, k] + T^{l,r}ᵀ Π^r[:, k]) diag h′(p^k) + [k = l] diag(∂g/∂x^k ⊙ h″)
//! T^{l,r} = (∂x^t/∂p^l for t in src(r)),   ∂x^l/∂p^l = diag h′(p^l),   ∂x^t/∂p^l = diag h′(p^t) A^t T^{l,t}
//! ```
//!
//! with Π^r = Σ_j δ_j ∂²p_j/∂z², which is 0 for linear units. For the residual curvature ∂²g/∂x² = 0: the recursion is linear in it.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{Backward, Chain};
use super::states::{gather, layer_inputs};
use crate::backend::kernel::{
    Copy, Epilogue, Fill, Multiply, Product, ProductDiagonal, Scale, ScaledMatrix, Term,
    UnitInputHessian,
};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::curvature::Structure;
use crate::error::Result;
use crate::network::Network;

/// S^{lk} by (l, k), n × s_l × s_k each.
pub(super) type Second<B> = BTreeMap<(usize, usize), <B as Backend>::Array>;

/// The (l, k), l ≥ k, whose S^{lk} a structure needs, with what these need in turn.
///
/// For the diagonals of all S^{kk} these are S^{rk} for the consumers r of k; S^{kk} itself is needed only if another
/// hidden layer feeds layer k, or if a consumer is not linear.
fn needed_pairs(network: &Network, structure: Structure) -> BTreeSet<(usize, usize)> {
    let m = network.depth();
    let mut open = vec![(m, m)];
    for k in 1..m {
        match structure {
            Structure::Full => open.extend((k..=m).map(|l| (l, k))),
            Structure::LayerBlocks => open.push((k, k)),
            _ => {}
        }
        for (r, _) in network.consumers(k) {
            open.push((r, k));
            if !network.layers()[r - 1].is_linear() {
                open.push((k, k));
            }
        }
    }
    let mut needed = BTreeSet::new();
    while let Some((l, k)) = open.pop() {
        if needed.insert((l, k)) {
            open.extend(network.consumers(k).map(|(r, _)| (l.max(r), l.min(r))));
        }
    }
    needed
}

/// T^{l,r} by r = 0 … m, n × s_l × d_r each, transposed; the constant's derivative is 0.
pub(super) type InputDerivatives<B> = Vec<Option<<B as Backend>::Array>>;

impl<B: Backend> Chain<'_, B> {
    /// Returns S^{lk} for l ≥ k as far as a structure needs them, and the S^{kl} that were on the way; `hessian` is ∂²g/∂x².
    pub(super) fn second(
        &self,
        hessian: &B::Array,
        backward: &Backward<B>,
        structure: Structure,
    ) -> Result<Second<B>> {
        let m = self.network.depth();
        let needed = needed_pairs(self.network, structure);
        let (mut s, mut hessian) = (Second::<B>::new(), Some(hessian));
        for k in (1..=m).rev() {
            for l in (k..=m).rev().filter(|&l| needed.contains(&(l, k))) {
                let mut block = match hessian.take() {
                    Some(hessian) => self.second_of_outputs(hessian)?,
                    None => self.second_step(l, k, &mut s, &backward.delta)?,
                };
                if l == k {
                    let kernel = Multiply {
                        a: self.view(&backward.multipliers[k - 1], 1, k),
                        b: self.h2(k),
                        out: ViewMut::new(&mut block, self.square(k).diagonal()),
                        accumulate: true,
                    };
                    self.b.run(kernel.into())?;
                }
                s.insert((l, k), block);
            }
        }
        Ok(s)
    }

    /// The layout of n × s_k × s_k numbers.
    fn square(&self, k: usize) -> Layout {
        self.layout(self.network.width(k), k)
    }

    /// Returns h′ (∂²g/∂x²) h′.
    fn second_of_outputs(&self, hessian: &B::Array) -> Result<B::Array> {
        let (m, outputs) = (self.network.depth(), self.network.outputs());
        let mut block = self.alloc(outputs, m)?;
        let kernel = Multiply {
            a: View::new(hessian, self.square(m).transposed()),
            b: self.h1(m).with(|l| l.transposed().repeated_columns(outputs)),
            out: ViewMut::new(&mut block, self.square(m)),
            accumulate: false,
        };
        self.b.run(kernel.into())?;
        self.times_h1(outputs, m, &mut block)?;
        Ok(block)
    }

    /// Returns Σ_r (S^{lr} A^r\[:, k\] + T^{l,r}ᵀ Π^r\[:, k\]) diag h′(p^k) over the consumers r of layer k.
    fn second_step(
        &self,
        l: usize,
        k: usize,
        s: &mut Second<B>,
        delta: &[B::Array],
    ) -> Result<B::Array> {
        let (network, b) = (self.network, self.b);
        let rows = network.width(l);
        for (r, _) in network.consumers(k).filter(|(r, _)| *r > l) {
            if !s.contains_key(&(l, r)) {
                let transposed = self.transposed(&s[&(r, l)], network.width(r), rows)?;
                s.insert((l, r), transposed);
            }
        }
        let mut products = Vec::new();
        for (r, column) in network.consumers(k).filter(|(r, _)| *r > l) {
            if network.layers()[r - 1].is_linear() {
                continue;
            }
            let pi = self.input_hessian(r, &delta[r - 1])?;
            let mut t = self.input_derivatives(l, r)?;
            let of_r = t[r].take();
            b.recycle(t.into_iter().flatten());
            match of_r {
                Some(t) => products.push((r, column, t, pi)),
                None => b.recycle([pi]),
            }
        }
        let mut terms = self.terms(k, |r| self.view(&s[&(l, r)], rows, r));
        for (r, column, t, pi) in &products {
            let layer = &network.layers()[r - 1];
            let t_layout = Layout::dense(self.n, rows, layer.width());
            let pi_layout = Layout::dense(self.n, layer.inputs, layer.inputs);
            terms.push(Term {
                x: View::new(t, t_layout.columns(0..layer.inputs)),
                b: View::new(pi, pi_layout.columns(*column..column + network.width(k))),
            });
        }
        let out = self.step_back(rows, k, terms, Epilogue::Scale { by: self.h1(k) })?;
        b.recycle(products.into_iter().flat_map(|(_, _, t, pi)| [t, pi]));
        Ok(out)
    }

    /// Returns matrices of n × columns × rows from those of n × rows × columns.
    pub(super) fn transposed(
        &self,
        array: &B::Array,
        rows: usize,
        columns: usize,
    ) -> Result<B::Array> {
        let mut out = self.b.alloc(product(&[self.n, rows, columns])?)?;
        let from = View::new(array, Layout::dense(self.n, rows, columns).transposed());
        let to = ViewMut::new(&mut out, Layout::dense(self.n, columns, rows));
        self.b.run(Copy { from, to }.into())?;
        Ok(out)
    }

    /// Returns Π^r = Σ_j δ_j ∂²p_j/∂z², n × inputs × inputs.
    fn input_hessian(&self, r: usize, delta: &B::Array) -> Result<B::Array> {
        let layer = &self.network.layers()[r - 1];
        let mut hessian = self.b.zeros(product(&[self.n, layer.inputs, layer.inputs])?)?;
        for g in &layer.groups {
            let Some(units) = self.units(r, g) else {
                continue;
            };
            let delta = self.view(delta, 1, r).with(|l| l.columns(g.units.clone()));
            let layout = Layout::dense(self.n, layer.inputs, layer.inputs);
            let out = ViewMut::new(&mut hessian, layout);
            self.b.run(UnitInputHessian { units, delta, out }.into())?;
        }
        Ok(hessian)
    }

    /// Returns c^k = diag(S^{kk}), n × s_k, for k = 1 … m; S^{kk} itself need not have been formed.
    pub(super) fn diagonals(
        &self,
        s: &Second<B>,
        multipliers: &[B::Array],
    ) -> Result<Vec<B::Array>> {
        let coefficient = |k: usize| {
            if let Some(block) = s.get(&(k, k)) {
                let mut c = self.alloc(1, k)?;
                let from = View::new(block, self.square(k).diagonal());
                let to = ViewMut::new(&mut c, self.layout(1, k));
                self.b.run(Copy { from, to }.into())?;
                return Ok(c);
            }
            let mut c = self.b.zeros(product(&[self.n, self.network.width(k)])?)?;
            for (r, units, b) in self.steps(k) {
                let x = View::new(&s[&(r, k)], self.layout(self.network.width(r), k));
                let x = x.with(|l| l.rows(units));
                let out = ViewMut::new(&mut c, self.layout(1, k));
                self.b.run(ProductDiagonal { x, b, out }.into())?;
            }
            self.times_h1(1, k, &mut c)?;
            let kernel = Multiply {
                a: self.view(&multipliers[k - 1], 1, k),
                b: self.h2(k),
                out: ViewMut::new(&mut c, self.layout(1, k)),
                accumulate: true,
            };
            self.b.run(kernel.into())?;
            Ok(c)
        };
        (1..=self.network.depth()).map(coefficient).collect()
    }

    /// Whether layer l, or one behind it, feeds layer r.
    fn reaches(&self, l: usize, r: usize) -> bool {
        self.network.layers()[r - 1].sources.iter().any(|&t| t >= l)
    }

    /// Whether T^{l,t} is diag h′(p^l), from linear units to one group of linear units: there A^t is scaled, not multiplied by a
    /// diagonal matrix.
    fn follows_alone(&self, l: usize, t: usize) -> bool {
        let layer = &self.network.layers()[t - 1];
        let alone = layer.sources.iter().filter(|&&s| s >= l).eq([&l]);
        let linear = layer.is_linear() && self.network.layers()[l - 1].is_linear();
        alone && linear && layer.groups.len() == 1
    }

    /// Returns T^{l,r} for r = 0 … `end`; none where it is 0, or diagonal between linear groups.
    pub(super) fn input_derivatives(&self, l: usize, end: usize) -> Result<InputDerivatives<B>> {
        let (network, b) = (self.network, self.b);
        let rows = network.width(l);
        let is_formed = |t: usize| t > l && self.reaches(l, t) && !self.follows_alone(l, t);
        // Whether ∂x^t/∂p^l stands in some T.
        let is_needed = |t: usize| network.consumers(t).any(|(r, _)| r <= end && is_formed(r));
        let mut x: Vec<Option<B::Array>> = Vec::with_capacity(end);
        let mut z: InputDerivatives<B> = (0..=end).map(|_| None).collect();
        for t in 0..=end {
            if z[t].is_none() && is_formed(t) {
                let of_source = |t: usize| x[t].as_ref().map(|x| self.view(x, rows, t));
                let layer = &network.layers()[t - 1];
                let gathered = gather(b, network, layer, (self.n, rows), of_source, 0.0)?;
                z[t] = Some(gathered);
            }
            if !is_needed(t) {
                x.push(None);
                continue;
            }
            // Where the next layer has no other inputs, they are written in their place.
            let next = network.only_consumer(t);
            let (mut array, width) = match next {
                Some(r) => {
                    let layer = &network.layers()[r - 1];
                    (layer_inputs(b, layer, self.n, rows, 0.0)?, layer.width())
                }
                None => (self.alloc(rows, t)?, network.width(t)),
            };
            let layout = Layout::dense(self.n, rows, width).columns(0..network.width(t));
            self.output_derivative(l, t, z[t].as_ref(), ViewMut::new(&mut array, layout))?;
            match next {
                Some(r) => {
                    z[r] = Some(array);
                    x.push(None);
                }
                None => x.push(Some(array)),
            }
        }
        b.recycle(x.into_iter().flatten());
        Ok(z)
    }

    /// Writes ∂x^t/∂p^l, n × s_l × s_t, transposed; `z` is T^{l,t}, where it is formed.
    fn output_derivative(
        &self,
        l: usize,
        t: usize,
        z: Option<&B::Array>,
        mut out: ViewMut<B::Array>,
    ) -> Result<()> {
        let (network, b, rows) = (self.network, self.b, self.network.width(l));
        if t > l && self.follows_alone(l, t) {
            let column = network.consumers(l).find_map(|(r, c)| (r == t).then_some(c));
            if let (Some(column), Some((_, a))) = (column, self.forward(t).next()) {
                let kernel = ScaledMatrix {
                    rows: self.h1(l),
                    matrix: a.with(|a| a.rows(column..column + rows)),
                    columns: self.h1(t),
                    out,
                };
                return b.run(kernel.into());
            }
        }
        if let Some(z) = z {
            let layer = &network.layers()[t - 1];
            let z = View::new(z, Layout::dense(self.n, rows, layer.width()));
            let x = z.with(|z| z.columns(0..layer.inputs));
            for (units, matrix) in self.forward(t) {
                let mut group = out.reborrow();
                group.layout = group.layout.columns(units);
                let kernel = Product { x, b: matrix, out: group, accumulate: false };
                b.run(kernel.into())?;
            }
            let by = self.h1(t).with(|h| h.repeated_rows(rows));
            return b.run(Scale { by, out }.into());
        }
        b.run(Fill { value: 0.0, out: out.reborrow() }.into())?;
        if t == l {
            out.layout = out.layout.diagonal();
            b.run(Copy { from: self.h1(l), to: out }.into())?;
        }
        Ok(())
    }
}
