//! The chain rule through the layers of one chunk of samples.
//!
//! ```text
//! A^k = ∂p^k/∂z^k                                         W^k for linear units
//! ∂g/∂x^k = Σ_{r: k ∈ src(r)} δ^r A^r[:, k] = −e^k        δ^k = ∂g/∂x^k ⊙ h′(p^k)          (paper eq. 7, 8)
//! J^k = Σ_r J^r A^r[:, k] diag h′(p^k)                    J^m = diag h′(p^m),  J^k = ∂x^m/∂p^k
//! ```

use std::ops::Range;

use super::samples::Batch;
use super::states::{Parameters, States};
use crate::backend::kernel::{
    Argument, Copy, Epilogue, Multiply, ProductSum, Scale, Term, UnitDerivative, Units,
};
use crate::backend::{Backend, Layout, View, ViewMut, product};
use crate::error::Result;
use crate::network::{GroupView, Network};

/// A^k of the groups that are not linear, by layer and group; none where nothing is propagated back.
pub(crate) struct Sensitivities<B: Backend>(Vec<Vec<Option<B::Array>>>);

impl<B: Backend> Sensitivities<B> {
    /// Returns the sensitivities at the states of a chunk.
    pub(super) fn new(
        b: &B,
        network: &Network,
        parameters: &Parameters<B>,
        states: &States<B>,
        batch: &Batch<B>,
    ) -> Result<Self> {
        let mut all = Vec::with_capacity(network.depth());
        for (k, layer) in (1..).zip(network.layers()) {
            let z = states.z(network, batch.x, k);
            let mut of_layer = Vec::new();
            for g in &layer.groups {
                // Nothing is propagated back into the input.
                let units = (parameters.units(layer, g, z)).filter(|_| layer.has_hidden_sources());
                let a = units.map(|units| unit_derivative(b, units, Argument::Inputs));
                of_layer.push(a.transpose()?);
            }
            all.push(of_layer);
        }
        Ok(Sensitivities(all))
    }

    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        b.recycle(self.0.into_iter().flatten().flatten());
    }
}

/// Returns φ or A of a group that is not linear.
fn unit_derivative<B: Backend>(
    b: &B,
    units: Units<B::Array>,
    with_respect_to: Argument,
) -> Result<B::Array> {
    let shape = [units.samples(), units.units(), units.width_of(with_respect_to)];
    let mut array = b.alloc(product(&shape)?)?;
    let out = ViewMut::new(&mut array, Layout::dense(shape[0], shape[1], shape[2]));
    let kernel = UnitDerivative { units, with_respect_to, out };
    b.run(kernel.into())?;
    Ok(array)
}

/// Returns the products of matrices, one for each sample.
pub(super) fn product_of<B: Backend>(
    b: &B,
    x: View<B::Array>,
    matrix: View<B::Array>,
) -> Result<B::Array> {
    let ([n, rows, _], [_, _, columns]) = (x.shape(), matrix.shape());
    let mut array = b.alloc(product(&[n, rows, columns])?)?;
    let kernel = ProductSum {
        terms: vec![Term { x, b: matrix }],
        epilogue: Epilogue::None,
        out: ViewMut::new(&mut array, Layout::dense(n, rows, columns)),
    };
    b.run(kernel.into())?;
    Ok(array)
}

/// The states of a chunk with the sensitivities A^k, through which every recursion steps.
pub(super) struct Chain<'a, B: Backend> {
    pub b: &'a B,
    pub n: usize,
    pub network: &'a Network,
    pub parameters: &'a Parameters<B>,
    pub states: &'a States<B>,
    pub batch: Batch<'a, B>,
    pub sensitivities: &'a Sensitivities<B>,
}

impl<'a, B: Backend> Chain<'a, B> {
    /// z^k, n × 1 × d_k.
    pub(super) fn z(&self, k: usize) -> View<'a, B::Array> {
        self.states.z(self.network, self.batch.x, k)
    }

    /// x^m, n × 1 × outputs.
    pub(super) fn output(&self) -> View<'a, B::Array> {
        (self.states).x(self.network, self.batch.x, self.network.depth())
    }

    /// h′(p^k), n × 1 × s_k.
    pub(super) fn h1(&self, k: usize) -> View<'a, B::Array> {
        self.states.h1(self.network, k)
    }

    /// h″(p^k), n × 1 × s_k.
    pub(super) fn h2(&self, k: usize) -> View<'a, B::Array> {
        self.states.h2(self.network, k)
    }

    /// The layout of n × `vectors` × s_k numbers without gaps.
    pub(super) fn layout(&self, vectors: usize, k: usize) -> Layout {
        Layout::dense(self.n, vectors, self.network.width(k))
    }

    /// The numbers of an array as n × `vectors` × s_k.
    pub(super) fn view<'v>(
        &self,
        array: &'v B::Array,
        vectors: usize,
        k: usize,
    ) -> View<'v, B::Array> {
        View::new(array, self.layout(vectors, k))
    }

    /// Returns an array for n × `vectors` × s_k numbers.
    pub(super) fn alloc(&self, vectors: usize, k: usize) -> Result<B::Array> {
        self.b.alloc(product(&[self.n, vectors, self.network.width(k)])?)
    }

    /// A of each group of layer r, n × units × inputs, with the units' places in the layer.
    fn sensitivities(&self, r: usize) -> impl Iterator<Item = (Range<usize>, View<'a, B::Array>)> {
        let layer = &self.network.layers()[r - 1];
        let (n, parameters) = (self.n, self.parameters);
        (layer.groups.iter()).zip(&self.sensitivities.0[r - 1]).filter_map(move |(g, computed)| {
            let a = match computed {
                None if g.propagation.is_linear() => {
                    parameters.of(n, g).with(|l| l.columns(0..layer.inputs))
                }
                computed => {
                    let layout = Layout::dense(n, g.units.len(), layer.inputs);
                    View::new(computed.as_ref()?, layout)
                }
            };
            Some((g.units.clone(), a))
        })
    }

    /// A^r\[:, k\] of each group of the consumers r of layer k: r, the units' places in layer r, and n × units × s_k numbers.
    pub(super) fn steps(
        &self,
        k: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>, View<'a, B::Array>)> {
        let width = self.network.width(k);
        self.network.consumers(k).flat_map(move |(r, column)| {
            (self.sensitivities(r))
                .map(move |(units, a)| (r, units, a.with(|l| l.columns(column..column + width))))
        })
    }

    /// A of each group of layer r for vectors forward: the units' places, and n × inputs × units numbers.
    pub(super) fn forward(
        &self,
        r: usize,
    ) -> impl Iterator<Item = (Range<usize>, View<'a, B::Array>)> {
        self.sensitivities(r).map(|(units, a)| (units, a.with(Layout::transposed)))
    }

    /// The terms M^r A^r\[:, k\] for the consumers r of layer k; M^r is n × vectors × s_r.
    pub(super) fn terms<'m>(
        &self,
        k: usize,
        m: impl Fn(usize) -> View<'m, B::Array>,
    ) -> Vec<Term<'m, B::Array>>
    where
        'a: 'm,
    {
        let term = |(r, units, b): (usize, Range<usize>, View<'m, B::Array>)| Term {
            x: m(r).with(|l| l.columns(units)),
            b,
        };
        self.steps(k).map(term).collect()
    }

    /// Returns Σ_r M^r A^r\[:, k\] over the consumers r of layer k for `vectors` rows of M^r for each sample: one step of eq. 8.
    pub(super) fn pull_back<'m>(
        &self,
        vectors: usize,
        k: usize,
        epilogue: Epilogue<'m, B::Array>,
        m: impl Fn(usize) -> View<'m, B::Array>,
    ) -> Result<B::Array>
    where
        'a: 'm,
    {
        self.step_back(vectors, k, self.terms(k, m), epilogue)
    }

    /// Returns the sum of these terms over the units of layer k, with its epilogue.
    pub(super) fn step_back(
        &self,
        vectors: usize,
        k: usize,
        terms: Vec<Term<B::Array>>,
        epilogue: Epilogue<B::Array>,
    ) -> Result<B::Array> {
        let mut sum = self.alloc(vectors, k)?;
        let out = ViewMut::new(&mut sum, self.layout(vectors, k));
        self.b.run(ProductSum { terms, epilogue, out }.into())?;
        Ok(sum)
    }

    /// a ⊙= h′(p^k) for `vectors` rows over the units of layer k.
    pub(super) fn times_h1(&self, vectors: usize, k: usize, a: &mut B::Array) -> Result<()> {
        let by = self.h1(k).with(|l| l.repeated_rows(vectors));
        let out = ViewMut::new(a, self.layout(vectors, k));
        self.b.run(Scale { by, out }.into())
    }

    /// Returns a ⊙ b for two arrays of n × s_k numbers.
    pub(super) fn times(&self, k: usize, a: View<B::Array>, b: View<B::Array>) -> Result<B::Array> {
        let mut product = self.alloc(1, k)?;
        let out = ViewMut::new(&mut product, self.layout(1, k));
        self.b.run(Multiply { a, b, out, accumulate: false }.into())?;
        Ok(product)
    }

    /// Returns ∂g/∂x^k ⊙ h″(p^k) = −e^k ⊙ h″(p^k): the paper's coefficients (eq. 10), states and multipliers held fixed.
    pub(super) fn times_h2(&self, multipliers: &[B::Array], k: usize) -> Result<B::Array> {
        self.times(k, self.view(&multipliers[k - 1], 1, k), self.h2(k))
    }

    /// A group of layer k that is not linear; `None` for linear units.
    pub(super) fn units<'g>(&self, k: usize, g: &'g GroupView) -> Option<Units<'g, B::Array>>
    where
        'a: 'g,
    {
        self.parameters.units(&self.network.layers()[k - 1], g, self.z(k))
    }

    /// Calls `f` with φ of a group of layer k, n × units × parameters of a unit: z, which linear units share, or computed.
    pub(super) fn with_phi<R>(
        &self,
        k: usize,
        g: &GroupView,
        f: impl FnOnce(View<B::Array>) -> Result<R>,
    ) -> Result<R> {
        let units = g.units.len();
        let Some(group) = self.units(k, g) else {
            return f(self.z(k).with(|l| l.repeated_rows(units)));
        };
        let phi = unit_derivative(self.b, group, Argument::Parameters)?;
        let done = f(View::new(&phi, Layout::dense(self.n, units, g.row)));
        self.b.recycle([phi]);
        done
    }

    /// Propagates ∂g/∂x^m back (eq. 7 and 8); the multipliers of all layers are kept where they are asked for.
    pub(super) fn back_propagate(&self, seed: B::Array, keep: bool) -> Result<Backward<B>> {
        let m = self.network.depth();
        // From the last layer to the first, then turned round.
        let mut multipliers = Vec::with_capacity(m);
        let mut delta: Vec<B::Array> = Vec::with_capacity(m);
        let mut seed = Some(seed);
        for k in (1..=m).rev() {
            let of_consumer = |r: usize| self.view(&delta[m - r], 1, r);
            let d = match (seed.take(), keep) {
                (Some(mut seed), false) => {
                    self.times_h1(1, k, &mut seed)?;
                    seed
                }
                (None, false) => {
                    let by = self.h1(k);
                    self.pull_back(1, k, Epilogue::Scale { by }, of_consumer)?
                }
                (seed, true) => {
                    let e = match seed {
                        Some(seed) => seed,
                        None => self.pull_back(1, k, Epilogue::None, of_consumer)?,
                    };
                    let d = self.times(k, self.h1(k), self.view(&e, 1, k))?;
                    multipliers.push(e);
                    d
                }
            };
            delta.push(d);
        }
        multipliers.reverse();
        delta.reverse();
        Ok(Backward { multipliers, delta })
    }

    /// Returns J^k, n × outputs × s_k, for k = 1 … m.
    pub(super) fn jacobians(&self) -> Result<Vec<B::Array>> {
        let (b, m) = (self.b, self.network.depth());
        let outputs = self.network.outputs();
        // From the last layer to the first, then turned round.
        let mut jacobians: Vec<B::Array> = Vec::with_capacity(m);
        for k in (1..=m).rev() {
            let j = if k == m {
                let mut j = b.zeros(product(&[self.n, outputs, outputs])?)?;
                let to = ViewMut::new(&mut j, self.layout(outputs, m).diagonal());
                b.run(Copy { from: self.h1(m), to }.into())?;
                j
            } else {
                let by = self.h1(k);
                let of_consumer = |r: usize| self.view(&jacobians[m - r], outputs, r);
                self.pull_back(outputs, k, Epilogue::Scale { by }, of_consumer)?
            };
            jacobians.push(j);
        }
        jacobians.reverse();
        Ok(jacobians)
    }
}

/// The errors propagated back, for k = 1 … m, n × s_k each.
pub(crate) struct Backward<B: Backend> {
    /// ∂g/∂x^k = −e^k; empty unless they were asked for.
    pub(super) multipliers: Vec<B::Array>,
    /// δ^k = ∂g/∂p^k.
    pub(super) delta: Vec<B::Array>,
}

impl<B: Backend> Backward<B> {
    /// Gives all arrays back.
    pub(super) fn recycle(self, b: &B) {
        b.recycle(self.multipliers.into_iter().chain(self.delta));
    }
}
