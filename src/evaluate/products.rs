//! Products of a curvature with vectors, without the matrix: the R-operator.
//!
//! The derivative of the gradient along v, carried through the same steps as the gradient itself (Pearlmutter 1994). With
//! ẋ for the derivative of x along v, per sample,
//!
//! ```text
//! forward    ṗ^k = φ·v^k + A^k ż^k,   ẋ^k = h′ ⊙ ṗ^k
//! seed       ġ^m = (∂²g/∂x²) ẋ^m                                             ġ^k: the derivative of ∂g/∂x^k
//! backward   δ̇^k = h′ ⊙ ġ^k + (∂g/∂x^k ⊙ h″) ⊙ ṗ^k,   ġ^k = Σ_r δ̇^r A^r[:, k] + δ^r Ȧ^r[:, k]
//! product    Σ_i δ̇_j φ_j + δ_j φ̇_j
//! ```
//!
//! and φ̇ = ż, Ȧ = V for linear units. The curvatures differ in what they leave out:
//!
//! ```text
//! Exact             nothing
//! Residual          (∂²g/∂x²): the seed is 0
//! GaussNewton       what stands behind a +: h″, Ȧ, φ̇
//! EmpiricalFisher   δ̇^k = δ^k (∂g/∂x^m · ẋ^m) / ω, no φ̇
//! Lagrangian        δ̇^k = (∂g/∂x^k ⊙ h″) ⊙ (φ·v^k), no ż; φ̇ = Ψ v for units that are not linear
//! ```
//!
//! Several vectors share the states; where a layer mixes groups of units, they go one after the other.

use super::blocks::{inverse, sampled, shared};
use super::chunks::add_each;
use super::sweep::{Batch, Chain, Parameters, back_propagate, index_of, linear, propagate};
use crate::backend::{Backend, Columns, Direction, Kind, Operand, Term, Then, UnitDerivative};
use crate::curvature::Curvature;
use crate::error::Result;
use crate::network::{GroupView, LayerView, Network};
use crate::objective::Loss;

/// Units of a layer, times vectors, that are comfortable: 0.5 MiB of f64 for 512 samples. Of 2, 4 and 8 vectors at once, 32 products
/// of [32-64-1] took 47, 50 and 65 ms on 2 cores of an Intel Xeon with AVX-512.
const COMFORTABLE: usize = 1 << 7;
/// Vectors that share a sweep, at least: of [64-256-10], 1, 2 took 777 and 672 ms there.
const LEAST: usize = 2;

/// How many of so many vectors share a sweep: as many as is comfortable where every layer is one group of linear units.
pub(super) fn together(network: &Network, vectors: usize) -> usize {
    let plain = |l: &LayerView| l.groups.len() == 1 && l.is_linear();
    let widest = (network.layers().iter())
        .map(|l| l.units)
        .max()
        .unwrap_or(1);
    let most = match network.layers().iter().all(plain) {
        true => (COMFORTABLE / widest.max(1)).max(LEAST),
        false => 1,
    };
    vectors.min(most)
}

/// Vectors on the backend.
pub(super) struct Vectors<B: Backend> {
    pub count: usize,
    /// V by layer and group, \[vector\]\[j\]\[a\].
    forward: Vec<Vec<B::Array>>,
    /// V of the linear groups by hidden source of their layer, \[j\]\[vector\]\[q\], with the source.
    #[allow(clippy::type_complexity)]
    backward: Vec<Vec<Vec<(usize, B::Array)>>>,
}

impl<B: Backend> Vectors<B> {
    /// # Errors
    /// What uploading reports.
    pub(super) fn new(b: &B, network: &Network, count: usize, v: &[f64]) -> Result<Self> {
        let p = network.parameters();
        let at = |(vector, index): (usize, usize)| v[vector * p + index];
        // `len` numbers of each vector; a backend that only counts must not be given any.
        let upload = |numbers: &mut dyn Iterator<Item = f64>, len: usize| match v.is_empty() {
            true => b.zeros(super::shape_product("the vectors", &[count, len])?),
            false => b.upload(&numbers.collect::<Vec<_>>()),
        };
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        for layer in network.layers() {
            let (mut rows, mut columns) = (Vec::new(), Vec::new());
            for g in &layer.groups {
                let numbers =
                    (0..count).flat_map(|vector| g.range.clone().map(move |index| (vector, index)));
                rows.push(upload(&mut numbers.map(at), g.range.len())?);
                if !g.propagation.is_linear() {
                    columns.push(Vec::new());
                    continue;
                }
                let (mut column, mut sources) = (0, Vec::new());
                for &t in &layer.sources {
                    let width = network.width(t);
                    if t > 0 {
                        let numbers = (g.range.clone().step_by(g.row))
                            .flat_map(|row| (0..count).map(move |vector| (row, vector)))
                            .flat_map(|(row, vector)| {
                                (0..width).map(move |q| (vector, row + column + q))
                            });
                        let len = g.units.len() * width;
                        sources.push((t, upload(&mut numbers.map(at), len)?));
                    }
                    column += width;
                }
                columns.push(sources);
            }
            forward.push(rows);
            backward.push(columns);
        }
        Ok(Vectors {
            count,
            forward,
            backward,
        })
    }
}

/// The sums of the products: one of each for each group of units.
pub(super) struct ProductSums<B: Backend> {
    /// Σ_i δ̇_j φ_j, \[vector\]\[j\]\[a\].
    main: Vec<B::Sum>,
    /// Σ_i δ_j φ̇_j, \[j\]\[vector\]\[a\].
    turned: Vec<Option<B::Sum>>,
}

/// Whether a group's φ changes along a vector.
fn turns(network: &Network, k: usize, g: &GroupView, curvature: Curvature) -> bool {
    let hidden = network.layers()[k - 1].has_hidden_sources();
    match curvature {
        Curvature::Exact | Curvature::Residual => hidden || !g.propagation.is_linear(),
        Curvature::Lagrangian => !g.propagation.is_linear(),
        _ => false,
    }
}

impl<B: Backend> ProductSums<B> {
    pub(super) fn new(
        b: &B,
        network: &Network,
        curvature: Curvature,
        count: usize,
    ) -> Result<Self> {
        let (mut main, mut turned) = (Vec::new(), Vec::new());
        for (k, g) in network.groups() {
            let len = super::shape_product("the products", &[count, g.range.len()])?;
            main.push(b.sums(len)?);
            let turns = turns(network, k, g, curvature);
            turned.push(turns.then(|| b.sums(len)).transpose()?);
        }
        Ok(ProductSums { main, turned })
    }

    pub(super) fn read(self, b: &B) -> Result<ProductTotals> {
        let main = self.main.into_iter().map(|sum| b.read(sum));
        let turned = (self.turned.into_iter()).map(|sum| sum.map(|sum| b.read(sum)).transpose());
        Ok(ProductTotals {
            main: main.collect::<Result<_>>()?,
            turned: turned.collect::<Result<_>>()?,
        })
    }
}

/// [`ProductSums`] on the host.
pub(super) struct ProductTotals {
    main: Vec<Vec<f64>>,
    turned: Vec<Option<Vec<f64>>>,
}

impl ProductTotals {
    /// Adds the totals of other samples.
    pub(super) fn add(&mut self, other: ProductTotals) {
        add_each(&mut self.main, other.main);
        add_each(
            self.turned.iter_mut().flatten(),
            other.turned.into_iter().flatten(),
        );
    }

    /// Adds the sums to the products, `count` rows of length P.
    pub(super) fn spread(&self, network: &Network, count: usize, out: &mut [f64]) {
        let p = network.parameters();
        for (((_, g), main), turned) in network.groups().zip(&self.main).zip(&self.turned) {
            for vector in 0..count {
                for (local, index) in g.range.clone().enumerate() {
                    let (j, a) = (local / g.row, local % g.row);
                    let sum = &mut out[vector * p + index];
                    *sum += main[vector * g.range.len() + local];
                    if let Some(turned) = turned {
                        *sum += turned[(j * count + vector) * g.row + a];
                    }
                }
            }
        }
    }
}

/// A sweep along the vectors: the states that it is taken at, and what the curvature needs of them.
struct Along<'a, 'b, B: Backend> {
    chain: &'a Chain<'b, B>,
    vectors: &'a Vectors<B>,
    curvature: Curvature,
    /// ∂g/∂x^k and δ^k; empty for Gauss–Newton.
    multipliers: &'a [B::Array],
    delta: &'a [B::Array],
}

/// The derivatives of the states along the vectors.
struct Derived<B: Backend> {
    /// ṗ^k, k = 1 … m, n × vectors × s_k.
    p: Vec<B::Array>,
    /// ż^k with a 0 for the constant, n × vectors × d_k; `None` where it is 0.
    z: Vec<Option<B::Array>>,
    /// ẋ^m.
    output: B::Array,
}

/// Ȧ^r of a group of units that are not linear, and which columns of it count.
struct Turned<B: Backend> {
    r: usize,
    group: usize,
    column: usize,
    array: B::Array,
}

/// Adds the products of one chunk of samples with each group of vectors.
#[allow(clippy::too_many_arguments)]
pub(super) fn sweep_products<'b, B: Backend>(
    b: &'b B,
    network: &'b Network,
    loss: &Loss,
    parameters: &'b Parameters<B>,
    batch: Batch<B>,
    curvature: Curvature,
    vectors: &[Vectors<B>],
    sums: &mut [ProductSums<B>],
) -> Result<()> {
    let Batch { n, x, y, omega } = batch;
    let order = match curvature {
        Curvature::GaussNewton | Curvature::EmpiricalFisher => 1,
        _ => 2,
    };
    let states = propagate(b, network, parameters, n, x, order)?;
    let hessian = match curvature {
        Curvature::Exact | Curvature::GaussNewton => {
            Some(b.loss_hessian(n, loss, states.output(), &y, &omega)?)
        }
        _ => None,
    };
    let seed = match curvature {
        Curvature::GaussNewton => None,
        _ => b.loss(n, loss, states.output(), &y, &omega, &mut b.sums(1)?, true)?,
    };
    let chain = Chain::new(b, network, parameters, &states)?;
    let (multipliers, delta) = match seed {
        Some(seed) => {
            // Of units that turn, or that others are propagated back through.
            let wanted = |k: usize| {
                let layer = &network.layers()[k - 1];
                let fisher = curvature == Curvature::EmpiricalFisher;
                fisher || layer.has_hidden_sources() || !layer.is_linear()
            };
            back_propagate(&chain, seed, true, wanted)?
        }
        None => Default::default(),
    };
    for (vectors, sums) in vectors.iter().zip(sums) {
        let along = Along {
            chain: &chain,
            vectors,
            curvature,
            multipliers: &multipliers,
            delta: &delta,
        };
        let derived = along.forward()?;
        let d = match curvature {
            Curvature::Lagrangian => along.lagrangian(&derived)?,
            Curvature::EmpiricalFisher => along.fisher(&derived, &omega)?,
            _ => along.backward(&derived, hessian.as_ref())?,
        };
        along.add(&d, &derived, sums)?;
        let Derived { p, z, output } = derived;
        b.recycle(p.into_iter().chain(z.into_iter().flatten()).chain(d));
        b.recycle([output]);
    }
    drop(chain);
    b.recycle(multipliers.into_iter().chain(delta));
    states.recycle(b);
    Ok(())
}

impl<B: Backend> Along<'_, '_, B> {
    fn forward(&self) -> Result<Derived<B>> {
        let (chain, vectors) = (self.chain, self.vectors);
        let (b, n, network, count) = (chain.b, chain.n, chain.network, vectors.count);
        // At fixed states nothing but p follows the parameters.
        let follows = self.curvature != Curvature::Lagrangian;
        let mut p = Vec::new();
        let mut z: Vec<Option<B::Array>> = network.layers().iter().map(|_| None).collect();
        // The inputs do not move; their zeros are needed only beside what does.
        let mixed =
            (network.layers().iter()).any(|l| l.sources.contains(&0) && l.sources.len() > 1);
        let inputs = if mixed { network.inputs() } else { 0 };
        let mut x = vec![b.zeros(n * count * inputs)?];
        for (k, layer) in (1..).zip(network.layers()) {
            let states = &chain.states.z[k - 1];
            let hidden = follows && layer.has_hidden_sources();
            if hidden && z[k - 1].is_none() {
                z[k - 1] = Some(chain.gather(count, layer, &x, layer.bias)?);
            }
            let z_k = z[k - 1].as_ref();
            let mut groups = &layer.groups[..];
            let mut p_k = match (groups, &vectors.forward[k - 1][..]) {
                ([g], [v]) if g.propagation.is_linear() => {
                    groups = &[];
                    b.propagated(n, 1, states, layer.width(), &self.stacked(layer, g, v))?
                }
                _ => b.zeros(n * count * layer.units)?,
            };
            for (g, v) in groups.iter().zip(&vectors.forward[k - 1]) {
                match chain.unit(k, g) {
                    None => {
                        let rows = self.stacked(layer, g, v);
                        b.propagate(n, 1, states, layer.width(), &rows, &mut p_k)?;
                    }
                    Some(unit) => {
                        let direction = direction(layer, v, z_k);
                        b.unit_value_along(n, &unit, states, &direction, &mut p_k)?;
                    }
                }
            }
            if let Some(z_k) = z_k {
                for (g, w) in layer.groups.iter().zip(&chain.parameters.groups[k - 1]) {
                    if g.propagation.is_linear() {
                        let w = linear(layer, g, w);
                        b.propagate(n, count, z_k, layer.width(), &w, &mut p_k)?;
                    }
                }
            }
            let h1 = &chain.states.h1[k - 1];
            // Where the next layer has no other inputs, they are computed in their place.
            let next = network.only_consumer(k).filter(|_| follows);
            let constant = network.constant_behind(k);
            let x_k = match follows {
                true => b.multiplied(n, count, layer.units, h1, &p_k, constant)?,
                false => b.zeros(0)?,
            };
            match next {
                Some(r) => {
                    z[r - 1] = Some(x_k);
                    x.push(b.zeros(0)?);
                }
                None => x.push(x_k),
            }
            p.push(p_k);
        }
        let output = x.swap_remove(network.depth());
        b.recycle(x);
        Ok(Derived { p, z, output })
    }

    /// The vectors' rows of a group as so many units more.
    fn stacked<'v>(
        &self,
        layer: &LayerView,
        g: &GroupView,
        array: &'v B::Array,
    ) -> Operand<'v, B::Array> {
        let count = self.vectors.count;
        Operand {
            array,
            kind: Kind::Shared,
            units: g.units.start..g.units.start + count * g.units.len(),
            layer: count * layer.units,
            width: g.row,
        }
    }

    fn lagrangian(&self, derived: &Derived<B>) -> Result<Vec<B::Array>> {
        let (chain, count) = (self.chain, self.vectors.count);
        (1..)
            .zip(&derived.p)
            .map(|(k, p)| {
                let c = chain.times_h2(self.multipliers, k)?;
                let d = chain
                    .b
                    .multiplied(chain.n, count, chain.network.width(k), &c, p, false)?;
                chain.b.recycle([c]);
                Ok(d)
            })
            .collect()
    }

    fn fisher(&self, derived: &Derived<B>, omega: &B::Array) -> Result<Vec<B::Array>> {
        let (chain, count) = (self.chain, self.vectors.count);
        let (b, n, network) = (chain.b, chain.n, chain.network);
        // ∂g/∂x^m · ẋ^m for each vector, over ω.
        let mut slope = b.zeros(n * count)?;
        let outputs = network.outputs();
        let seed = sampled(&self.multipliers[network.depth() - 1], outputs, 1);
        b.contract(n, count, &derived.output, &seed, 0, 1, &mut slope)?;
        b.scale(n, count, 1, &inverse(b, n, omega)?, &mut slope)?;
        (self.delta.iter().zip(network.layers()))
            .map(|(delta, layer)| {
                let mut d = b.zeros(n * count * layer.units)?;
                let delta = sampled(delta, 1, layer.units);
                b.contract(n, count, &slope, &delta, 0, layer.units, &mut d)?;
                Ok(d)
            })
            .collect()
    }

    fn backward(&self, derived: &Derived<B>, hessian: Option<&B::Array>) -> Result<Vec<B::Array>> {
        let (chain, count) = (self.chain, self.vectors.count);
        let (b, n, network) = (chain.b, chain.n, chain.network);
        let (m, outputs) = (network.depth(), network.outputs());
        // From the last layer to the first, then turned round.
        let mut d: Vec<B::Array> = Vec::with_capacity(m);
        for k in (1..=m).rev() {
            let bent = self.curvature.is_exact();
            let mut terms = match hessian {
                Some(hessian) if k == m => vec![Term {
                    m: &derived.output,
                    vectors: count,
                    a: sampled(hessian, outputs, outputs),
                    column: 0,
                    count: outputs,
                }],
                _ => chain.terms(count, k, |r| &d[m - r]),
            };
            let (h1, mut turned) = (&chain.states.h1[k - 1], Vec::new());
            let then = match bent {
                false => Then::Times(h1),
                true => {
                    turned = self.turned(k, derived)?;
                    terms.extend(self.turned_terms(k, &turned));
                    Then::Bend {
                        h1,
                        h2: &chain.states.h2[k - 1],
                        g: &self.multipliers[k - 1],
                        p: &derived.p[k - 1],
                    }
                }
            };
            let d_k = b.contracted(n, count, network.width(k), &terms, &then)?;
            drop(terms);
            b.recycle(turned.into_iter().map(|t| t.array));
            d.push(d_k);
        }
        d.reverse();
        Ok(d)
    }

    /// Ȧ^r of the groups of units that are not linear among the consumers r of layer k; all at once.
    fn turned(&self, k: usize, derived: &Derived<B>) -> Result<Vec<Turned<B>>> {
        let (chain, mut turned) = (self.chain, Vec::new());
        for (r, column) in chain.network.consumers(k) {
            let layer = &chain.network.layers()[r - 1];
            let Some(z) = &derived.z[r - 1] else { continue };
            for (group, g) in layer.groups.iter().enumerate() {
                if let Some(unit) = chain.unit(r, g) {
                    let direction = direction(layer, &self.vectors.forward[r - 1][group], Some(z));
                    let (states, inputs) = (&chain.states.z[r - 1], UnitDerivative::Inputs);
                    let array = (chain.b).unit_along(chain.n, &unit, states, &direction, inputs)?;
                    turned.push(Turned {
                        r,
                        group,
                        column,
                        array,
                    });
                }
            }
        }
        Ok(turned)
    }

    /// δ^r Ȧ^r[:, k].
    fn turned_terms<'t>(
        &'t self,
        k: usize,
        turned: &'t [Turned<B>],
    ) -> impl Iterator<Item = Term<'t, B::Array>> {
        let (network, units) = (self.chain.network, self.chain.network.width(k));
        let linear = (network.consumers(k)).flat_map(move |(r, _)| {
            let layer = &network.layers()[r - 1];
            let groups = layer.groups.iter().zip(&self.vectors.backward[r - 1]);
            groups.filter_map(move |(g, sources)| {
                let (_, columns) = sources.iter().find(|(t, _)| *t == k)?;
                let width = self.vectors.count * units;
                Some(Term {
                    m: &self.delta[r - 1],
                    vectors: 1,
                    a: shared(columns, g.units.clone(), layer.units, width),
                    column: 0,
                    count: width,
                })
            })
        });
        linear.chain(turned.iter().map(move |t| {
            let layer = &network.layers()[t.r - 1];
            Term {
                m: &self.delta[t.r - 1],
                vectors: 1,
                a: Operand {
                    array: &t.array,
                    kind: Kind::Sampled,
                    units: layer.groups[t.group].units.clone(),
                    layer: layer.units,
                    width: layer.inputs,
                },
                column: t.column,
                count: units,
            }
        }))
    }

    /// sums += Σ_i δ̇_j φ_j and Σ_i δ_j φ̇_j.
    fn add(&self, d: &[B::Array], derived: &Derived<B>, sums: &mut ProductSums<B>) -> Result<()> {
        let (chain, vectors) = (self.chain, self.vectors);
        let (b, n, network) = (chain.b, chain.n, chain.network);
        let groups = network.groups().zip(&mut sums.main).zip(&mut sums.turned);
        for (((k, g), main), turned) in groups {
            let layer = &network.layers()[k - 1];
            chain.with_phi(k, g, |phi| match phi.kind {
                Kind::Shared => {
                    b.gradient(n, &d[k - 1], &self.stacked(layer, g, phi.array), main, 0)
                }
                Kind::Sampled => b.gradient(n, &d[k - 1], phi, main, 0),
            })?;
            let Some(turned) = turned else {
                continue;
            };
            let (delta, z) = (&self.delta[k - 1], derived.z[k - 1].as_ref());
            let Some(unit) = chain.unit(k, g) else {
                let Some(z) = z else { continue };
                let rows = shared(z, g.units.clone(), layer.units, vectors.count * g.row);
                b.gradient(n, delta, &rows, turned, 0)?;
                continue;
            };
            let v = &vectors.forward[k - 1][index_of(layer, g)];
            let direction = direction(layer, v, z);
            let states = &chain.states.z[k - 1];
            let phi = b.unit_along(n, &unit, states, &direction, UnitDerivative::Parameters)?;
            let rows = Operand {
                array: &phi,
                kind: Kind::Sampled,
                units: g.units.clone(),
                layer: layer.units,
                width: g.row,
            };
            b.gradient(n, delta, &rows, turned, 0)?;
        }
        Ok(())
    }
}

/// A direction in the parameters and inputs of a group.
fn direction<'v, A>(layer: &LayerView, weights: &'v A, z: Option<&'v A>) -> Direction<'v, A> {
    Direction {
        weights: Some(weights),
        inputs: z.map(|array| Columns {
            array,
            stride: layer.width(),
            first: 0,
            width: layer.inputs,
        }),
    }
}
