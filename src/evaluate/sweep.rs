//! One chunk of samples: propagate, seed the loss, propagate back, accumulate.
//!
//! In the notation of the crate's front page, for each sample:
//!
//! ```text
//! forward    p^k = P^k(z^k; W^k),  x^k = h(p^k)                                             (paper eq. 1)
//! seed       ∂g/∂x^m = −e^m                                                                 (eq. 7)
//! backward   ∂g/∂x^k = Σ_{r: k ∈ src(r)} δ^r A^r[:, k] = −e^k,   δ^k = ∂g/∂x^k ⊙ h′(p^k)     (eq. 8)
//! gradient   Σ_i δ_ij φ_ij                                                                  (eq. 9)
//! blocks     Σ_i c_ij φ_ij φ_ijᵀ + δ_ij Ψ_ij  with c_ij = S_i^{kk}[j, j]        (what couples units: blocks.rs)
//! ```
//!
//! A^k = ∂p^k/∂z^k, φ_j = ∂p_j/∂w_j, Ψ_j = ∂²p_j/∂w_j²; for linear units W^k, z^k and 0. The curvatures differ in S alone:
//!
//! ```text
//! Lagrangian        c^k = ∂g/∂x^k ⊙ h″(p^k)                                                  (eq. 10)
//! EmpiricalFisher   c^k = δ^k ⊙ δ^k / ω
//! GaussNewton       J^m = diag h′,  J^k = Σ_r J^r A^r[:, k] diag h′(p^k),  c^k = diag(J^kᵀ (∂²g/∂x²) J^k)
//! Exact             S^{mm} = h′ (∂²g/∂x²) h′ + diag(∂g/∂x ⊙ h″)
//!                   S^{lk} = Σ_r (S^{lr} A^r[:, k] + T^{l,r}ᵀ Π^r[:, k]) diag h′(p^k) + [k = l] diag(∂g/∂x^k ⊙ h″)
//! ```
//!
//! with Π^r = Σ_j δ_j ∂²p_j/∂z² and T^{l,r} = ∂z^r/∂p^l, which S needs only for units that are not linear. Residual is Exact
//! with ∂²g/∂x² = 0: the recursion is linear in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{Backend, Cpu, Kind, Operand, Term, Then, UnitDerivative, UnitGroup};
use crate::curvature::{Curvature, Structure};
use crate::error::Result;
use crate::network::{GroupView, LayerView, Network};
use crate::objective::Loss;

use super::Request;
use super::blocks::{Couplings, PairSums, PairTotals, is_coupled};
use super::chunks::add_each;

/// The parameters on the backend.
pub(super) struct Parameters<B: Backend> {
    /// By layer and group.
    pub groups: Vec<Vec<B::Array>>,
}

impl<B: Backend> Parameters<B> {
    pub(super) fn upload(backend: &B, network: &Network, w: &[f64]) -> Result<Self> {
        let upload = |g: &GroupView| backend.upload(&w[g.range.clone()]);
        Self::with(network, upload).map_err(|e| e.inside("the parameters"))
    }

    /// Placeholders for a backend that only counts.
    pub(super) fn zeros(backend: &B, network: &Network) -> Result<Self> {
        Self::with(network, |g| backend.zeros(g.range.len()))
    }

    fn with(network: &Network, array: impl Fn(&GroupView) -> Result<B::Array>) -> Result<Self> {
        let groups = (network.layers().iter())
            .map(|layer| layer.groups.iter().map(&array).collect())
            .collect::<Result<_>>()?;
        Ok(Parameters { groups })
    }
}

/// A chunk of samples on the backend.
pub(super) struct Batch<B: Backend> {
    pub n: usize,
    pub x: B::Array,
    pub y: B::Array,
    pub omega: B::Array,
}

/// What is accumulated over all chunks: one sum for each group of units.
pub(super) struct Sums<B: Backend> {
    pub value: B::Sum,
    pub gradient: Vec<B::Sum>,
    pub curvature: Vec<B::Sum>,
    /// What couples units: one for each pair of groups; empty for row blocks and the diagonal.
    pub pairs: Vec<PairSums<B>>,
}

impl<B: Backend> Sums<B> {
    /// With `values` numbers for the value.
    pub(super) fn new(
        backend: &B,
        network: &Network,
        request: Request,
        values: usize,
    ) -> Result<Self> {
        let groups = || network.groups().map(|(_, g)| g);
        let mut sums = Sums {
            value: backend.sums(values)?,
            gradient: Vec::new(),
            curvature: Vec::new(),
            pairs: Vec::new(),
        };
        for g in groups().filter(|_| request.gradient) {
            sums.gradient.push(backend.sums(g.range.len())?);
        }
        match request.curvature {
            None => {}
            Some((curvature, structure)) if is_coupled(curvature, structure) => {
                sums.pairs = PairSums::all(backend, network, curvature, structure)?;
            }
            Some((_, structure)) => {
                for g in groups() {
                    let len = match structure {
                        Structure::Diagonal => g.range.len(),
                        _ => super::row_triangles(g)?,
                    };
                    sums.curvature.push(backend.sums(len)?);
                }
            }
        }
        Ok(sums)
    }

    pub(super) fn read(self, b: &B) -> Result<Totals> {
        let read = |sums: Vec<B::Sum>| -> Result<Vec<Vec<f64>>> {
            sums.into_iter().map(|sum| b.read(sum)).collect()
        };
        Ok(Totals {
            value: b.read(self.value)?,
            gradient: read(self.gradient)?,
            curvature: read(self.curvature)?,
            pairs: (self.pairs.into_iter())
                .map(|sums| sums.read(b))
                .collect::<Result<_>>()?,
        })
    }
}

/// [`Sums`] on the host.
pub(super) struct Totals {
    pub value: Vec<f64>,
    pub gradient: Vec<Vec<f64>>,
    pub curvature: Vec<Vec<f64>>,
    pub pairs: Vec<PairTotals>,
}

impl Totals {
    /// Adds the totals of other samples.
    pub(super) fn add(&mut self, other: Totals) {
        self.value.extend(other.value);
        add_each(&mut self.gradient, other.gradient);
        add_each(&mut self.curvature, other.curvature);
        for (pair, other) in self.pairs.iter_mut().zip(other.pairs) {
            pair.add(other);
        }
    }
}

/// The states of one chunk, by layer: index 0 is the input for `x`, layer 1 for the others.
pub(super) struct States<B: Backend> {
    n: usize,
    /// Empty where only one layer has them, as its only inputs: then they are in its z.
    pub x: Vec<B::Array>,
    /// z of layers yet to come.
    ready: Vec<Option<B::Array>>,
    pub z: Vec<B::Array>,
    pub h1: Vec<B::Array>,
    pub h2: Vec<B::Array>,
}

impl<B: Backend> States<B> {
    /// States that start with these x^0, x^1, …
    pub(super) fn new(n: usize, x: Vec<B::Array>) -> Self {
        let (ready, z, h1, h2) = Default::default();
        States {
            n,
            x,
            ready,
            z,
            h1,
            h2,
        }
    }

    /// x^k, or z of the layer that has it as its only inputs.
    fn keep(&mut self, b: &B, network: &Network, x: B::Array) -> Result<()> {
        self.ready.resize_with(network.depth(), || None);
        let x = match network.only_consumer(self.x.len()) {
            Some(r) => {
                self.ready[r - 1] = Some(x);
                b.zeros(0)?
            }
            None => x,
        };
        self.x.push(x);
        Ok(())
    }

    /// h(p^k) from the x of earlier layers, with the constant behind it where asked for; z, h′ and h″ are kept up to `order`.
    pub(super) fn advance(
        &mut self,
        b: &B,
        network: &Network,
        parameters: &Parameters<B>,
        k: usize,
        order: usize,
        constant: bool,
    ) -> Result<Option<B::Array>> {
        let (n, layer) = (self.n, &network.layers()[k - 1]);
        let z = match self.ready.get_mut(k - 1).and_then(Option::take) {
            Some(z) => z,
            None => layer_inputs(b, network, self, k)?,
        };
        let p = pre_activations(b, network, parameters, n, k, &z)?;
        let mut h = b
            .activated(n, &layer.runs(), &p, order, constant)?
            .into_iter();
        b.recycle([p]);
        let x = h.next();
        self.h1.extend(h.next());
        self.h2.extend(h.next());
        // z is needed again for derivatives in W only.
        match order {
            0 => b.recycle([z]),
            _ => self.z.push(z),
        }
        Ok(x)
    }

    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        b.recycle([self.x, self.z, self.h1, self.h2].into_iter().flatten());
    }

    /// x^m.
    pub(super) fn output(&self) -> &B::Array {
        &self.x[self.x.len() - 1]
    }
}

impl States<Cpu<f64>> {
    /// The numbers of x^k, wherever they are kept.
    pub(super) fn outputs(&self, network: &Network, k: usize) -> impl Iterator<Item = f64> {
        let (x, width) = match network.only_consumer(k) {
            Some(r) => (&self.z[r - 1], network.layers()[r - 1].width()),
            None => (&self.x[k], network.width(k)),
        };
        (x.chunks_exact(width)).flat_map(move |row| row[..network.width(k)].iter().copied())
    }
}

/// z^k from the x of earlier layers.
pub(super) fn layer_inputs<B: Backend>(
    b: &B,
    network: &Network,
    states: &States<B>,
    k: usize,
) -> Result<B::Array> {
    let layer = &network.layers()[k - 1];
    let sources: Vec<_> = (layer.sources.iter())
        .map(|&t| (&states.x[t], network.width(t)))
        .collect();
    b.gather(states.n, &sources, layer.bias)
}

/// p^k from z^k.
pub(super) fn pre_activations<B: Backend>(
    b: &B,
    network: &Network,
    parameters: &Parameters<B>,
    n: usize,
    k: usize,
    z: &B::Array,
) -> Result<B::Array> {
    let layer = &network.layers()[k - 1];
    if let ([g], [w]) = (&layer.groups[..], &parameters.groups[k - 1][..])
        && g.propagation.is_linear()
    {
        return b.propagated(n, 1, z, layer.width(), &linear(layer, g, w));
    }
    let mut p = b.zeros(n * layer.units)?;
    for (g, w) in layer.groups.iter().zip(&parameters.groups[k - 1]) {
        match unit_group(layer, g, w) {
            None => b.propagate(n, 1, z, layer.width(), &linear(layer, g, w), &mut p)?,
            Some(unit) => b.unit_value(n, &unit, z, &mut p)?,
        }
    }
    Ok(p)
}

/// What a sweep leaves on the backend.
pub(super) struct Swept<B: Backend> {
    pub output: B::Array,
    /// ∂g/∂x^k = −e^k for k = 1 … m; empty unless propagated back.
    pub multipliers: Vec<B::Array>,
}

/// X on the backend, as [`propagate`] takes it: with the constant where it is all of a layer's inputs.
pub(super) fn upload_inputs<B: Backend>(
    b: &B,
    network: &Network,
    values: &[f64],
) -> Result<B::Array> {
    b.upload_rows(values, network.inputs(), network.constant_behind(0))
}

/// The forward propagation (eq. 1), with h′ and h″ up to `order`.
pub(super) fn propagate<B: Backend>(
    b: &B,
    network: &Network,
    parameters: &Parameters<B>,
    n: usize,
    input: B::Array,
    order: usize,
) -> Result<States<B>> {
    let mut states = States::new(n, Vec::new());
    states.keep(b, network, input)?;
    for k in 1..=network.depth() {
        let constant = network.constant_behind(k);
        if let Some(x) = states.advance(b, network, parameters, k, order, constant)? {
            states.keep(b, network, x)?;
        }
    }
    Ok(states)
}

/// Everything that `request` asks for, for one chunk.
pub(super) fn sweep<B: Backend>(
    b: &B,
    network: &Network,
    loss: &Loss,
    parameters: &Parameters<B>,
    batch: Batch<B>,
    request: Request,
    sums: &mut Sums<B>,
) -> Result<Swept<B>> {
    let Batch { n, x, y, omega } = batch;
    let order = match request.curvature {
        Some((Curvature::Lagrangian | Curvature::Exact | Curvature::Residual, _)) => 2,
        _ => usize::from(request.backward()),
    };
    let mut states = propagate(b, network, parameters, n, x, order)?;
    let seed = b.loss(
        n,
        loss,
        states.output(),
        &y,
        &omega,
        &mut sums.value,
        order > 0,
    )?;
    let Some(seed) = seed else {
        return Ok(Swept {
            output: states.x.swap_remove(network.depth()),
            multipliers: Vec::new(),
        });
    };
    let hessian = match request.curvature {
        Some((Curvature::GaussNewton | Curvature::Exact, _)) => {
            Some(b.loss_hessian(n, loss, states.output(), &y, &omega)?)
        }
        Some((Curvature::Residual, _)) => Some(b.zeros(n * network.outputs() * network.outputs())?),
        _ => None,
    };
    let chain = Chain::new(b, network, parameters, &states)?;
    let bent =
        |(curvature, _): (Curvature, _)| curvature.is_exact() || curvature == Curvature::Lagrangian;
    let keep = request.multipliers || request.curvature.is_some_and(bent);
    let (multipliers, delta) = back_propagate(&chain, seed, keep, |_| true)?;

    if request.gradient {
        chain.add_gradient(&delta, &mut sums.gradient)?;
    }
    match request.curvature {
        None => {}
        Some((curvature, structure)) if is_coupled(curvature, structure) => {
            let couplings = match (curvature, hessian) {
                (Curvature::EmpiricalFisher, _) => Couplings::fisher(&chain, &delta, &omega)?,
                (Curvature::GaussNewton, Some(hessian)) => {
                    Couplings::gauss_newton(&chain, hessian)?
                }
                (_, hessian) => {
                    let needed = needed_pairs(network, structure);
                    let s = second(&chain, hessian, &multipliers, &delta, &needed)?;
                    Couplings::Exact { s, delta: &delta }
                }
            };
            chain.add_pairs(structure, couplings, &mut sums.pairs)?;
        }
        Some((curvature, structure)) => {
            let (c, bent) = match (curvature, hessian) {
                (Curvature::GaussNewton, Some(hessian)) => (gauss_newton(&chain, &hessian)?, false),
                (curvature, hessian) if curvature.is_exact() => {
                    let needed = needed_pairs(network, structure);
                    let s = second(&chain, hessian, &multipliers, &delta, &needed)?;
                    let c = diagonals(&chain, &s, &multipliers)?;
                    b.recycle(s.into_values());
                    (c, true)
                }
                (Curvature::EmpiricalFisher, _) => (fisher(&chain, &delta, &omega)?, false),
                _ => (lagrangian(&chain, &multipliers)?, true),
            };
            let delta = bent.then_some(&delta[..]);
            chain.add_curvature(structure, &c, delta, &mut sums.curvature)?;
            b.recycle(c);
        }
    }
    drop(chain);
    b.recycle(delta);
    let output = states.x.swap_remove(network.depth());
    states.recycle(b);
    Ok(Swept {
        output,
        multipliers,
    })
}

/// The states with the sensitivities A^k = ∂p^k/∂z^k, through which every backward recursion steps.
pub(super) struct Chain<'a, B: Backend> {
    pub b: &'a B,
    pub n: usize,
    pub network: &'a Network,
    pub parameters: &'a Parameters<B>,
    pub states: &'a States<B>,
    /// A of the groups that are not linear, by layer and group.
    sampled: Vec<Vec<Option<B::Array>>>,
}

impl<'a, B: Backend> Chain<'a, B> {
    pub(super) fn new(
        b: &'a B,
        network: &'a Network,
        parameters: &'a Parameters<B>,
        states: &'a States<B>,
    ) -> Result<Self> {
        let sampled = (network.layers().iter())
            .zip(&parameters.groups)
            .zip(&states.z)
            .map(|((layer, groups), z)| {
                // Nothing is propagated back into the input.
                let hidden = layer.has_hidden_sources();
                (layer.groups.iter().zip(groups))
                    .map(|(g, w)| {
                        unit_group(layer, g, w)
                            .filter(|_| hidden)
                            .map(|u| b.unit_derivative(states.n, &u, z, UnitDerivative::Inputs))
                            .transpose()
                    })
                    .collect()
            })
            .collect::<Result<_>>()?;
        Ok(Chain {
            b,
            n: states.n,
            network,
            parameters,
            states,
            sampled,
        })
    }

    /// The operands A of layer r, one for each group.
    pub(super) fn operands(&self, r: usize) -> impl Iterator<Item = Operand<'_, B::Array>> {
        let layer = &self.network.layers()[r - 1];
        (layer.groups.iter())
            .zip(&self.parameters.groups[r - 1])
            .zip(&self.sampled[r - 1])
            .filter_map(move |((g, w), sampled)| match sampled {
                None if g.propagation.is_linear() => Some(linear(layer, g, w)),
                sampled => Some(Operand {
                    array: sampled.as_ref()?,
                    kind: Kind::Sampled,
                    units: g.units.clone(),
                    layer: layer.units,
                    width: layer.inputs,
                }),
            })
    }

    /// M^r A^r[:, k] for the consumers r of layer k, with `vectors` rows of M^r for each sample.
    pub(super) fn terms<'m>(
        &'m self,
        vectors: usize,
        k: usize,
        m: impl Fn(usize) -> &'m B::Array,
    ) -> Vec<Term<'m, B::Array>> {
        let count = self.network.width(k);
        let of_layer = |(r, column): (usize, usize)| {
            let m = m(r);
            self.operands(r).map(move |a| Term {
                m,
                vectors,
                a,
                column,
                count,
            })
        };
        self.network.consumers(k).flat_map(of_layer).collect()
    }

    /// Σ_r M^r A^r[:, k] over the consumers r of layer k, for `vectors` rows of M^r for each sample, times h′(p^k) where
    /// `curved`: one step of eq. 8.
    pub(super) fn pull_back<'m>(
        &'m self,
        vectors: usize,
        k: usize,
        curved: bool,
        m: impl Fn(usize) -> &'m B::Array,
    ) -> Result<B::Array> {
        let then = match curved {
            true => Then::Times(&self.states.h1[k - 1]),
            false => Then::Nothing,
        };
        let (terms, units) = (self.terms(vectors, k, m), self.network.width(k));
        self.b.contracted(self.n, vectors, units, &terms, &then)
    }

    /// a ⊙ h′(p^k) for `vectors` rows over the units of layer k.
    pub(super) fn times_h1(&self, vectors: usize, k: usize, a: &mut B::Array) -> Result<()> {
        let (units, h1) = (self.network.width(k), &self.states.h1[k - 1]);
        self.b.scale(self.n, vectors, units, h1, a)
    }

    /// ∂g/∂x^k ⊙ h″(p^k) = −e^k ⊙ h″(p^k).
    pub(super) fn times_h2(&self, multipliers: &[B::Array], k: usize) -> Result<B::Array> {
        let units = self.network.width(k);
        let h2 = &self.states.h2[k - 1];
        (self.b).multiplied(self.n, 1, units, &multipliers[k - 1], h2, false)
    }

    /// sums += Σ_i δ_ij φ_ij (eq. 9), group by group.
    pub(super) fn add_gradient(&self, delta: &[B::Array], sums: &mut [B::Sum]) -> Result<()> {
        for ((k, g), sum) in self.network.groups().zip(sums) {
            self.with_phi(k, g, |phi| {
                self.b.gradient(self.n, &delta[k - 1], phi, sum, 0)
            })?;
        }
        Ok(())
    }

    /// sums += Σ_i c_ij φ_ij φ_ijᵀ, and + δ_ij Ψ_ij where δ is given, group by group.
    pub(super) fn add_curvature(
        &self,
        structure: Structure,
        c: &[B::Array],
        delta: Option<&[B::Array]>,
        sums: &mut [B::Sum],
    ) -> Result<()> {
        let (b, n) = (self.b, self.n);
        for ((k, g), sum) in self.network.groups().zip(sums) {
            let diagonal = structure == Structure::Diagonal;
            self.with_phi(k, g, |phi| match diagonal {
                false => b.gram(n, &c[k - 1], phi, sum),
                true => b.gram_diagonal(n, &c[k - 1], phi, sum),
            })?;
            if let (Some(unit), Some(delta)) = (self.unit(k, g), delta) {
                let (z, delta) = (&self.states.z[k - 1], &delta[k - 1]);
                b.unit_d_ww(n, &unit, z, delta, diagonal, sum)?;
            }
        }
        Ok(())
    }

    /// A group of layer k that is not linear; `None` for linear units.
    pub(super) fn unit<'g>(
        &'g self,
        k: usize,
        g: &'g GroupView,
    ) -> Option<UnitGroup<'g, B::Array>> {
        let layer = &self.network.layers()[k - 1];
        unit_group(layer, g, &self.parameters.groups[k - 1][index_of(layer, g)])
    }

    /// Calls `f` with φ of a group of layer k.
    pub(super) fn with_phi<R>(
        &self,
        k: usize,
        g: &GroupView,
        f: impl FnOnce(&Operand<B::Array>) -> Result<R>,
    ) -> Result<R> {
        let layer = &self.network.layers()[k - 1];
        let z = &self.states.z[k - 1];
        let computed = (self.unit(k, g))
            .map(|u| {
                self.b
                    .unit_derivative(self.n, &u, z, UnitDerivative::Parameters)
            })
            .transpose()?;
        f(&Operand {
            array: computed.as_ref().unwrap_or(z),
            kind: match computed {
                Some(_) => Kind::Sampled,
                None => Kind::Shared,
            },
            units: g.units.clone(),
            layer: layer.units,
            width: g.row,
        })
    }
}

/// Eq. 7 and 8: ∂g/∂x^k = −e^k, where they are to be kept, and δ^k for k = 1 … m. Kept ones can do without a δ^k: it is empty
/// where it is not `wanted`.
#[allow(clippy::type_complexity)]
pub(super) fn back_propagate<B: Backend>(
    chain: &Chain<B>,
    seed: B::Array,
    keep: bool,
    wanted: impl Fn(usize) -> bool,
) -> Result<(Vec<B::Array>, Vec<B::Array>)> {
    let (network, m) = (chain.network, chain.network.depth());
    // From the last layer to the first, then turned round.
    let mut multipliers = Vec::with_capacity(m);
    let mut delta: Vec<B::Array> = Vec::with_capacity(m);
    let mut seed = Some(seed);
    for k in (1..=m).rev() {
        let seeded = seed.take();
        if keep {
            let g_x = match seeded {
                Some(seed) => seed,
                None => chain.pull_back(1, k, false, |r| &delta[m - r])?,
            };
            let (b, h1) = (chain.b, &chain.states.h1[k - 1]);
            delta.push(match wanted(k) {
                true => b.multiplied(chain.n, 1, network.width(k), h1, &g_x, false)?,
                false => b.zeros(0)?,
            });
            multipliers.push(g_x);
        } else {
            delta.push(match seeded {
                Some(mut seed) => {
                    chain.times_h1(1, m, &mut seed)?;
                    seed
                }
                None => chain.pull_back(1, k, true, |r| &delta[m - r])?,
            });
        }
    }
    multipliers.reverse();
    delta.reverse();
    Ok((multipliers, delta))
}

/// ∂g/∂x^k = −e^k alone, for k = 1 … m.
pub(super) fn back_propagated<B: Backend>(
    chain: &Chain<B>,
    seed: B::Array,
) -> Result<Vec<B::Array>> {
    // What others are propagated back through.
    let wanted = |r: usize| chain.network.layers()[r - 1].has_hidden_sources();
    Ok(back_propagate(chain, seed, true, wanted)?.0)
}

/// The paper's coefficients, eq. 10: states and multipliers held fixed.
fn lagrangian<B: Backend>(chain: &Chain<B>, multipliers: &[B::Array]) -> Result<Vec<B::Array>> {
    (1..=chain.network.depth())
        .map(|k| chain.times_h2(multipliers, k))
        .collect()
}

fn fisher<B: Backend>(
    chain: &Chain<B>,
    delta: &[B::Array],
    omega: &B::Array,
) -> Result<Vec<B::Array>> {
    (delta.iter().enumerate())
        .map(|(index, d)| {
            chain
                .b
                .fisher(chain.n, chain.network.width(index + 1), d, omega)
        })
        .collect()
}

/// J^k = ∂x^m/∂p^k (outputs × s_k for each sample) for k = 1 … m, carried back from the last.
pub(super) fn jacobians<B: Backend>(chain: &Chain<B>) -> Result<Vec<B::Array>> {
    let (network, b, n) = (chain.network, chain.b, chain.n);
    let (m, outputs) = (network.depth(), network.outputs());
    // From the last layer to the first, then turned round.
    let mut jacobians: Vec<B::Array> = Vec::with_capacity(m);
    for k in (1..=m).rev() {
        jacobians.push(if k == m {
            let mut j = b.zeros(n * outputs * outputs)?;
            b.add_diagonal(n, outputs, &chain.states.h1[m - 1], &mut j)?;
            j
        } else {
            chain.pull_back(outputs, k, true, |r| &jacobians[m - r])?
        });
    }
    jacobians.reverse();
    Ok(jacobians)
}

/// c^k = diag(J^kᵀ G J^k).
fn gauss_newton<B: Backend>(chain: &Chain<B>, hessian: &B::Array) -> Result<Vec<B::Array>> {
    let outputs = chain.network.outputs();
    (jacobians(chain)?.iter().enumerate())
        .map(|(index, j)| {
            let units = chain.network.width(index + 1);
            chain.b.gauss_newton(chain.n, outputs, units, j, hessian)
        })
        .collect()
}

/// S^{lk}, l ≥ k, n × s_l × s_k, for the pairs that are `needed`, and the S^{kl} that were on the way: eq. 8 differentiated
/// once more.
fn second<B: Backend>(
    chain: &Chain<B>,
    mut hessian: Option<B::Array>,
    multipliers: &[B::Array],
    delta: &[B::Array],
    needed: &BTreeSet<(usize, usize)>,
) -> Result<BTreeMap<(usize, usize), B::Array>> {
    let (network, b, n) = (chain.network, chain.b, chain.n);
    let m = network.depth();
    let mut s: BTreeMap<(usize, usize), B::Array> = BTreeMap::new();
    for k in (1..=m).rev() {
        let units = network.width(k);
        for l in (k..=m).rev().filter(|&l| needed.contains(&(l, k))) {
            let mut block = match hessian.take() {
                // S^{mm} starts as h′ G h′: G is symmetric, so (G h′)ᵀ = h′ G.
                Some(mut g) => {
                    chain.times_h1(units, m, &mut g)?;
                    let mut block = b.transpose(n, units, units, &g)?;
                    b.recycle([g]);
                    chain.times_h1(units, m, &mut block)?;
                    block
                }
                None => chain.second_step(l, k, &mut s, delta)?,
            };
            if l == k {
                let bent = chain.times_h2(multipliers, k)?;
                b.add_diagonal(n, units, &bent, &mut block)?;
                b.recycle([bent]);
            }
            s.insert((l, k), block);
        }
    }
    Ok(s)
}

/// c^k = diag(S^{kk}), k = 1 … m; S^{kk} itself need not have been formed.
fn diagonals<B: Backend>(
    chain: &Chain<B>,
    s: &BTreeMap<(usize, usize), B::Array>,
    multipliers: &[B::Array],
) -> Result<Vec<B::Array>> {
    let (network, b, n) = (chain.network, chain.b, chain.n);
    let coefficient = |k: usize| {
        let units = network.width(k);
        if let Some(block) = s.get(&(k, k)) {
            return b.diagonal(n, units, block);
        }
        let mut c = b.zeros(n * units)?;
        for (r, column) in network.consumers(k) {
            for a in chain.operands(r) {
                b.contract_diagonal(n, &s[&(r, k)], &a, column, units, &mut c)?;
            }
        }
        chain.times_h1(1, k, &mut c)?;
        b.multiply_add(
            n,
            1,
            units,
            &multipliers[k - 1],
            &chain.states.h2[k - 1],
            &mut c,
        )?;
        Ok(c)
    };
    (1..=network.depth()).map(coefficient).collect()
}

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

impl<B: Backend> Chain<'_, B> {
    /// Σ_r (S^{lr} A^r[:, k] + T^{l,r}ᵀ Π^r[:, k]) diag h′(p^k) over the consumers r of layer k.
    fn second_step(
        &self,
        l: usize,
        k: usize,
        s: &mut BTreeMap<(usize, usize), B::Array>,
        delta: &[B::Array],
    ) -> Result<B::Array> {
        let (network, b, n) = (self.network, self.b, self.n);
        let (vectors, units) = (network.width(l), network.width(k));
        let above = || network.consumers(k).filter(|(r, _)| *r > l);
        for (r, _) in above() {
            if !s.contains_key(&(l, r)) {
                let turned = b.transpose(n, network.width(r), vectors, &s[&(r, l)])?;
                s.insert((l, r), turned);
            }
        }
        let bent = above().any(|(r, _)| !network.layers()[r - 1].is_linear());
        let mut out = self.pull_back(vectors, k, !bent, |r| &s[&(l, r)])?;
        if !bent {
            return Ok(out);
        }
        for (r, column) in above() {
            let layer = &network.layers()[r - 1];
            if layer.is_linear() {
                continue;
            }
            let bend = self.bend(r, &delta[r - 1])?;
            let pi = Operand {
                array: &bend,
                kind: Kind::Sampled,
                units: 0..layer.inputs,
                layer: layer.width(),
                width: layer.inputs,
            };
            let t = self.sensitivities(l, r)?;
            if let Some(t) = &t[r] {
                b.contract(n, vectors, t, &pi, column, units, &mut out)?;
            }
            b.recycle(t.into_iter().flatten().chain([bend]));
        }
        self.times_h1(vectors, k, &mut out)?;
        Ok(out)
    }

    /// Π^r = Σ_j δ_j ∂²p_j/∂z², n × inputs × inputs.
    fn bend(&self, r: usize, delta: &B::Array) -> Result<B::Array> {
        let layer = &self.network.layers()[r - 1];
        let mut out = self.b.zeros(self.n * layer.inputs * layer.inputs)?;
        for unit in layer.groups.iter().filter_map(|g| self.unit(r, g)) {
            self.b
                .unit_d_zz(self.n, &unit, &self.states.z[r - 1], delta, &mut out)?;
        }
        Ok(out)
    }

    /// Whether layer l, or one behind it, feeds layer r.
    fn reaches(&self, l: usize, r: usize) -> bool {
        self.network.layers()[r - 1].sources.iter().any(|&t| t >= l)
    }

    /// T^{l,r} = ∂z^r/∂p^l by r = 0 … `end`, n × s_l × d_r (transposed, with the constant's 0); `None` where it is 0, or diagonal
    /// between linear groups: ∂x^t/∂p^l is diag h′ for t = l and h′ A^t T^{l,t} for t > l.
    pub(super) fn sensitivities(&self, l: usize, end: usize) -> Result<Vec<Option<B::Array>>> {
        let (network, b, n) = (self.network, self.b, self.n);
        let vectors = network.width(l);
        // Layers where T is diag h′, from linear units to linear units: there A^t is scaled, not multiplied by a diagonal matrix.
        let linked = |t: usize| {
            let layer = &network.layers()[t - 1];
            let alone = layer.sources.iter().filter(|&&s| s >= l).eq([&l]);
            let linear = layer.is_linear() && network.layers()[l - 1].is_linear();
            alone && linear && layer.groups.len() == 1
        };
        let gathered = |t: usize| t > l && self.reaches(l, t) && !linked(t);
        // Whether ∂x^t/∂p^l is a part of some T.
        let needed = |t: usize| (network.consumers(t)).any(|(r, _)| r <= end && gathered(r));
        let h1 = |t: usize| &self.states.h1[t - 1];
        let mut x: Vec<B::Array> = Vec::with_capacity(end);
        let mut z: Vec<Option<B::Array>> = (0..=end).map(|_| None).collect();
        for t in 0..=end {
            let layer = gathered(t).then(|| &network.layers()[t - 1]);
            if let (None, Some(layer)) = (&z[t], layer) {
                z[t] = Some(self.gather(vectors, layer, &x, layer.bias)?);
            }
            if !needed(t) {
                x.push(b.zeros(0)?);
                continue;
            }
            // Where the next layer has no other inputs, they are written in their place.
            let (units, constant) = (network.width(t), network.constant_behind(t));
            let rows = n * vectors;
            let column = (network.consumers(l)).find_map(|(r, c)| (r == t).then_some(c));
            let x_t = match (column, &z[t], layer) {
                (Some(column), ..) if linked(t) => match self.operands(t).next() {
                    Some(a) => b.linked(n, h1(l), &a, column, vectors, h1(t), constant)?,
                    None => b.zeros(rows * (units + usize::from(constant)))?,
                },
                (_, Some(z_t), Some(layer)) => {
                    let mut operands = self.operands(t);
                    let mut p_t = match operands.next() {
                        Some(a) => b.propagated(n, vectors, z_t, layer.width(), &a)?,
                        None => b.zeros(rows * units)?,
                    };
                    for a in operands {
                        b.propagate(n, vectors, z_t, layer.width(), &a, &mut p_t)?;
                    }
                    let x_t = b.multiplied(n, vectors, units, h1(t), &p_t, constant)?;
                    b.recycle([p_t]);
                    x_t
                }
                _ if t == l => {
                    let mut x_t = b.zeros(rows * units)?;
                    b.add_diagonal(n, vectors, h1(l), &mut x_t)?;
                    b.with_zero(rows, units, x_t, constant)?
                }
                // Out of reach, or the inputs.
                _ => b.zeros(rows * (units + usize::from(constant)))?,
            };
            match network.only_consumer(t) {
                Some(r) => {
                    z[r] = Some(x_t);
                    x.push(b.zeros(0)?);
                }
                None => x.push(x_t),
            }
        }
        b.recycle(x);
        Ok(z)
    }

    /// The derivatives `x` of a layer's sources side by side, `vectors` rows for each sample, with a column of zeros for
    /// the constant's derivative where asked for.
    pub(super) fn gather(
        &self,
        vectors: usize,
        layer: &LayerView,
        x: &[B::Array],
        constant: bool,
    ) -> Result<B::Array> {
        let rows = self.n * vectors;
        let zero = self.b.zeros(if constant { rows } else { 0 })?;
        let mut sources: Vec<_> = (layer.sources.iter())
            .map(|&t| (&x[t], self.network.width(t)))
            .collect();
        if constant {
            sources.push((&zero, 1));
        }
        let z = self.b.gather(rows, &sources, false)?;
        self.b.recycle([zero]);
        Ok(z)
    }
}

/// Which of its layer's groups a group is.
pub(super) fn index_of(layer: &LayerView, g: &GroupView) -> usize {
    let units = |other: &GroupView| other.units.start == g.units.start;
    layer.groups.iter().position(units).unwrap_or_default()
}

/// A of a linear group: its weights.
pub(super) fn linear<'a, A>(layer: &LayerView, g: &GroupView, w: &'a A) -> Operand<'a, A> {
    Operand {
        array: w,
        kind: Kind::Shared,
        units: g.units.clone(),
        layer: layer.units,
        width: layer.width(),
    }
}

/// A group that is not linear, with its parameters; `None` for linear units.
fn unit_group<'a, A>(
    layer: &LayerView,
    g: &'a GroupView,
    weights: &'a A,
) -> Option<UnitGroup<'a, A>> {
    Some(UnitGroup {
        unit: g.propagation.unit()?,
        weights,
        first: g.units.start,
        units: g.units.len(),
        layer: layer.units,
        inputs: layer.inputs,
        width: layer.width(),
        row: g.row,
    })
}
