//! The kernels as data: what is computed, from which numbers, into which.
//!
//! A kernel is a struct over [`View`]s. It says by its fields all that a backend needs, and knows its name, its cost and, where it
//! fuses several steps, how simpler kernels compute the same ([`ProductSum::lower`] and its like). The mathematics of
//! `evaluate/` makes kernels and hands them to [`Backend::run`]; it never sees a device.
//!
//! i is the sample, r and c rows and columns; n, s and d count samples, units and inputs. Unless a kernel says that it adds, it writes
//! every element of what it writes, whatever was there. Sums over samples are formed in the backend's floats over at most 512
//! samples, and added up in f64.

use crate::error::Result;
use crate::network::{Activation, Unit};
use crate::objective::Loss;

use super::view::{Layout, View, ViewMut};
use super::{Backend, product};

/// out\[i, r, c\] = value.
#[derive(Debug)]
pub struct Fill<'a, A> {
    /// The number.
    pub value: f64,
    /// Samples × rows × columns.
    pub out: ViewMut<'a, A>,
}

/// to\[i, r, c\] = from\[i, r, c\]: gathers columns, transposes, takes or sets diagonals, by the views alone.
#[derive(Debug)]
pub struct Copy<'a, A> {
    /// The numbers; any strides.
    pub from: View<'a, A>,
    /// The same shape.
    pub to: ViewMut<'a, A>,
}

/// out\[i, r, c\] *= by\[i, r, c\].
#[derive(Debug)]
pub struct Scale<'a, A> {
    /// The factors, in the shape of `out`.
    pub by: View<'a, A>,
    /// The numbers that are scaled.
    pub out: ViewMut<'a, A>,
}

/// out\[i, r, c\] = a\[i, r, c\] b\[i, r, c\], or += where it accumulates. With repeated rows and columns it forms outer products.
#[derive(Debug)]
pub struct Multiply<'a, A> {
    /// The first factors, in the shape of `out`.
    pub a: View<'a, A>,
    /// The second factors, in the shape of `out`.
    pub b: View<'a, A>,
    /// The products.
    pub out: ViewMut<'a, A>,
    /// Whether they are added to what is there.
    pub accumulate: bool,
}

/// out\[i, q, j\] = rows\[i, q\] m\[i, q, j\] columns\[i, j\]: a matrix scaled from both sides, diag(p) M diag(d).
#[derive(Debug)]
pub struct ScaledMatrix<'a, A> {
    /// p: n × 1 × rows.
    pub rows: View<'a, A>,
    /// M: n × rows × columns, usually shared by all samples.
    pub matrix: View<'a, A>,
    /// d: n × 1 × columns.
    pub columns: View<'a, A>,
    /// n × rows × columns.
    pub out: ViewMut<'a, A>,
}

/// out\[i, r, c\] = Σ_k x\[i, r, k\] b\[i, k, c\], or += where it accumulates.
///
/// With the transposed weights of a layer for b it propagates forward, p = z Wᵀ; with the weights themselves it is a step of a backward recursion.
#[derive(Debug)]
pub struct Product<'a, A> {
    /// n × rows × inner.
    pub x: View<'a, A>,
    /// n × inner × columns; shared by all samples (sample stride 0) or a matrix for each.
    pub b: View<'a, A>,
    /// n × rows × columns.
    pub out: ViewMut<'a, A>,
    /// Whether the products are added to what is there.
    pub accumulate: bool,
}

/// One product of a [`ProductSum`].
#[derive(Debug)]
pub struct Term<'a, A> {
    /// n × rows × inner.
    pub x: View<'a, A>,
    /// n × inner × columns. rows · columns numbers of each sample are those of the sum, whichever way both divide them.
    pub b: View<'a, A>,
}

/// The last operation of a [`ProductSum`].
#[derive(Debug)]
pub enum Epilogue<'a, A> {
    /// None: the sum itself.
    None,
    /// sum\[i, r, c\] d\[i, c\].
    Scale {
        /// d: n × 1 × columns.
        by: View<'a, A>,
    },
    /// h1\[i, c\] sum\[i, r, c\] + g\[i, c\] h2\[i, c\] p\[i, r, c\]: the derivative of g h′ along directions, by the product rule.
    ProductRule {
        /// h′: n × 1 × columns.
        h1: View<'a, A>,
        /// h″: n × 1 × columns.
        h2: View<'a, A>,
        /// g, which h′ was multiplied with: n × 1 × columns.
        g: View<'a, A>,
        /// The derivatives of the argument of h: n × rows × columns.
        p: View<'a, A>,
    },
}

/// out\[i, r, c\] = epilogue(Σ_terms Σ_k x\[i, r, k\] b\[i, k, c\]): a whole step of a backward recursion.
#[derive(Debug)]
pub struct ProductSum<'a, A> {
    /// The products; the sum of none is 0.
    pub terms: Vec<Term<'a, A>>,
    /// The operation on their sum.
    pub epilogue: Epilogue<'a, A>,
    /// n × rows × columns, without gaps.
    pub out: ViewMut<'a, A>,
}

/// out\[i, q\] += Σ_j x\[i, j, q\] b\[i, j, q\]: the diagonals of the products xᵀ b.
#[derive(Debug)]
pub struct ProductDiagonal<'a, A> {
    /// n × inner × columns.
    pub x: View<'a, A>,
    /// n × inner × columns.
    pub b: View<'a, A>,
    /// n × 1 × columns.
    pub out: ViewMut<'a, A>,
}

/// h(p), and h′(p), h″(p) where they are asked for.
#[derive(Debug)]
pub struct Activate<'a, A> {
    /// The activations of the units in their order, each with the number of units that share it: s in all.
    pub runs: &'a [(Activation, usize)],
    /// p: n × 1 × s, without gaps.
    pub p: View<'a, A>,
    /// h: n × 1 × s.
    pub h: ViewMut<'a, A>,
    /// h′: n × 1 × s, without gaps.
    pub h1: Option<ViewMut<'a, A>>,
    /// h″: n × 1 × s, without gaps; only with h′.
    pub h2: Option<ViewMut<'a, A>>,
}

/// value += Σ_i ω_i g(x_i, y_i), and ω_i ∂g/∂x_i where it is asked for.
#[derive(Debug)]
pub struct LossValue<'a, A, S> {
    /// g.
    pub loss: &'a Loss,
    /// x: n × 1 × outputs, without gaps.
    pub x: View<'a, A>,
    /// y: n × 1 × outputs, without gaps.
    pub y: View<'a, A>,
    /// ω: n × 1 × 1, without gaps. A sample with ω = 0 counts for nothing, whatever its loss is.
    pub omega: View<'a, A>,
    /// One number, or one for each 64 samples, so that the bits of their sum do not depend on how the samples were cut into chunks.
    pub value: &'a mut S,
    /// n × 1 × outputs, without gaps.
    pub gradient: Option<ViewMut<'a, A>>,
}

/// out\[i, o, q\] = ω_i ∂²g/∂x_o∂x_q.
#[derive(Debug)]
pub struct LossHessian<'a, A> {
    /// g.
    pub loss: &'a Loss,
    /// x: n × 1 × outputs, without gaps.
    pub x: View<'a, A>,
    /// y: n × 1 × outputs, without gaps.
    pub y: View<'a, A>,
    /// ω: n × 1 × 1, without gaps.
    pub omega: View<'a, A>,
    /// n × outputs × outputs, without gaps.
    pub out: ViewMut<'a, A>,
}

/// out\[i, j\] = Σ_oq J\[i, o, j\] G\[i, o, q\] J\[i, q, j\]: the diagonals of Jᵀ G J.
#[derive(Debug)]
pub struct GaussNewtonDiagonal<'a, A> {
    /// J: n × outputs × s, without gaps.
    pub jacobian: View<'a, A>,
    /// G: n × outputs × outputs, symmetric, without gaps: a backend may read one triangle alone.
    pub hessian: View<'a, A>,
    /// n × 1 × s, without gaps.
    pub out: ViewMut<'a, A>,
}

/// out\[i, j\] = δ\[i, j\]² / ω_i, 0 where ω_i = 0: squared gradients of single losses, weighted once.
#[derive(Debug)]
pub struct SquaredGradient<'a, A> {
    /// δ: n × 1 × s.
    pub delta: View<'a, A>,
    /// ω: n × 1 × 1.
    pub omega: View<'a, A>,
    /// n × 1 × s, without gaps.
    pub out: ViewMut<'a, A>,
}

/// out\[i, (r, c)\] = a\[i, r, c\], c ≤ r: the lower triangles of square matrices, packed row by row.
#[derive(Debug)]
pub struct LowerTriangle<'a, A> {
    /// n × s × s.
    pub a: View<'a, A>,
    /// n × 1 × s(s + 1)/2, without gaps.
    pub out: ViewMut<'a, A>,
}

/// sum\[at + (j, a)\] += Σ_i c\[i, j\] φ\[i, j, a\].
#[derive(Debug)]
pub struct WeightedSum<'a, A, S> {
    /// n × 1 × s.
    pub c: View<'a, A>,
    /// n × s × width; a row for each unit, or one that all share (row stride 0).
    pub phi: View<'a, A>,
    /// The sums.
    pub sum: &'a mut S,
    /// The place of the first of them.
    pub at: usize,
}

/// sum\[j, (a, b)\] += Σ_i c\[i, j\] φ\[i, j, a\] φ\[i, j, b\], a ≥ b, packed row by row, unit after unit.
#[derive(Debug)]
pub struct Gram<'a, A, S> {
    /// n × 1 × s.
    pub c: View<'a, A>,
    /// n × s × width; a row for each unit, or one that all share (row stride 0).
    pub phi: View<'a, A>,
    /// s triangles.
    pub sum: &'a mut S,
}

/// sum\[j, a\] += Σ_i c\[i, j\] φ\[i, j, a\]²: the diagonals of [`Gram`].
#[derive(Debug)]
pub struct GramDiagonal<'a, A, S> {
    /// n × 1 × s.
    pub c: View<'a, A>,
    /// n × s × width; a row for each unit, or one that all share (row stride 0).
    pub phi: View<'a, A>,
    /// s rows.
    pub sum: &'a mut S,
}

/// sum\[(j, j′, b), a\] += Σ_i (S\[i, j, j′\] z^l\[i, b\] + δ\[i, j′\] T\[i, j, b\]) z^k\[i, a\]: the block of two groups of linear
/// units, h of layer k and g of layer l ≥ k.
#[derive(Debug)]
pub struct PairBlock<'a, A, S> {
    /// S^{kl}: n × units of h × units of g.
    pub s: View<'a, A>,
    /// z^l: n × 1 × width.
    pub z_l: View<'a, A>,
    /// z^k: n × 1 × width.
    pub z_k: View<'a, A>,
    /// T^{k,l} = ∂z^l/∂p^k, n × units of h × width of z^l, and δ^l, n × 1 × units of g; `None` leaves their term out.
    pub t_delta: Option<[View<'a, A>; 2]>,
    /// The entries.
    pub sum: &'a mut S,
}

/// sum\[(a₁, …, a_q)\] += Σ_i c_i z\[i, a₁\] … z\[i, a_q\], a₁ ≥ … ≥ a_q, packed with a₁ growing slowest.
#[derive(Debug)]
pub struct TensorSum<'a, A, S> {
    /// q.
    pub order: usize,
    /// n × 1 × 1, without gaps.
    pub c: View<'a, A>,
    /// n × 1 × d.
    pub z: View<'a, A>,
    /// C(d + q − 1, q) numbers.
    pub sum: &'a mut S,
}

/// A group of units that are not linear in their inputs and parameters, at their inputs.
#[derive(Debug)]
pub struct Units<'a, A> {
    /// Their propagation p(z; w).
    pub unit: &'a dyn Unit,
    /// The parameters: n × s × t, shared by all samples, without gaps.
    pub weights: View<'a, A>,
    /// z: n × 1 × d.
    pub z: View<'a, A>,
}

impl<A> Clone for Units<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> std::marker::Copy for Units<'_, A> {}

impl<A> Units<'_, A> {
    /// n, the number of samples.
    pub fn samples(&self) -> usize {
        self.z.shape()[0]
    }

    /// s, the number of units.
    pub fn units(&self) -> usize {
        self.weights.shape()[1]
    }

    /// t, the number of parameters of one unit.
    pub fn parameters(&self) -> usize {
        self.weights.shape()[2]
    }

    /// d, the number of inputs.
    pub fn inputs(&self) -> usize {
        self.z.shape()[2]
    }

    /// t or d.
    pub fn width_of(&self, with_respect_to: Argument) -> usize {
        match with_respect_to {
            Argument::Parameters => self.parameters(),
            Argument::Inputs => self.inputs(),
        }
    }
}

/// An argument of p(z; w).
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq)]
pub enum Argument {
    /// w.
    Parameters,
    /// z.
    Inputs,
}

/// A direction in the parameters and in the inputs of [`Units`].
#[derive(Debug)]
pub struct Direction<'a, A> {
    /// ẇ: n × s × t, shared by all samples, without gaps; none where it is 0.
    pub weights: Option<View<'a, A>>,
    /// ż: n × 1 × d; none where it is 0.
    pub inputs: Option<View<'a, A>>,
}

/// out\[i, j\] = p(z_i; w_j).
#[derive(Debug)]
pub struct UnitValue<'a, A> {
    /// The units.
    pub units: Units<'a, A>,
    /// n × 1 × s.
    pub out: ViewMut<'a, A>,
}

/// out\[i, j, a\] = ∂p/∂w_a or ∂p/∂z_a at (z_i, w_j): φ or A.
#[derive(Debug)]
pub struct UnitDerivative<'a, A> {
    /// The units.
    pub units: Units<'a, A>,
    /// w or z.
    pub with_respect_to: Argument,
    /// n × s × (t or d), without gaps.
    pub out: ViewMut<'a, A>,
}

/// out\[i, j\] += φ\[i, j\] · ẇ_j + A\[i, j\] · ż_i: the derivative of p along a direction.
#[derive(Debug)]
pub struct UnitSlope<'a, A> {
    /// The units.
    pub units: Units<'a, A>,
    /// ẇ and ż.
    pub along: Direction<'a, A>,
    /// n × 1 × s.
    pub out: ViewMut<'a, A>,
}

/// The derivative of φ or A along a direction.
///
/// ```text
/// φ:  out[i, j, a] = Σ_b ∂²p/∂w_a∂w_b ẇ_jb + Σ_c ∂²p/∂w_a∂z_c ż_ic
/// A:  out[i, j, a] = Σ_b ∂²p/∂z_a∂w_b ẇ_jb + Σ_c ∂²p/∂z_a∂z_c ż_ic
/// ```
#[derive(Debug)]
pub struct UnitDerivativeSlope<'a, A> {
    /// The units.
    pub units: Units<'a, A>,
    /// ẇ and ż.
    pub along: Direction<'a, A>,
    /// w or z.
    pub with_respect_to: Argument,
    /// n × s × (t or d), without gaps.
    pub out: ViewMut<'a, A>,
}

/// out\[i, a, b\] += Σ_j δ\[i, j\] ∂²p_j/∂z_a∂z_b.
#[derive(Debug)]
pub struct UnitInputHessian<'a, A> {
    /// The units.
    pub units: Units<'a, A>,
    /// δ: n × 1 × s.
    pub delta: View<'a, A>,
    /// n × d × d, without gaps.
    pub out: ViewMut<'a, A>,
}

/// sum\[j, (a, b)\] += Σ_i δ\[i, j\] ∂²p_j/∂w_a∂w_b, a ≥ b, packed row by row, unit after unit; or its diagonal a = b alone.
#[derive(Debug)]
pub struct UnitParameterHessian<'a, A, S> {
    /// The units.
    pub units: Units<'a, A>,
    /// δ: n × 1 × s.
    pub delta: View<'a, A>,
    /// Whether only the diagonal is summed.
    pub diagonal: bool,
    /// s triangles, or s rows.
    pub sum: &'a mut S,
}

impl<A> ProductSum<'_, A> {
    /// Computes the same by [`Product`], [`Scale`] and [`Multiply`].
    ///
    /// # Errors
    /// Those of the backend.
    pub fn lower<B: Backend<Array = A>>(self, b: &B) -> Result<()> {
        let ProductSum { terms, epilogue, mut out } = self;
        let [n, rows, columns] = out.shape();
        if terms.is_empty() {
            b.run(Fill { value: 0.0, out: out.reborrow() }.into())?;
        }
        for (at, Term { x, b: matrix }) in terms.into_iter().enumerate() {
            let mut out = out.reborrow();
            // The same numbers, divided as the term divides them.
            out.layout = Layout {
                offset: out.layout.offset,
                ..Layout::dense(n, x.shape()[1], matrix.shape()[2])
            };
            let accumulate = at > 0;
            b.run(Product { x, b: matrix, out, accumulate }.into())?;
        }
        match epilogue {
            Epilogue::None => Ok(()),
            Epilogue::Scale { by } => {
                let by = by.with(|l| l.repeated_rows(rows));
                b.run(Scale { by, out }.into())
            }
            Epilogue::ProductRule { h1, h2, g, p } => {
                let by = h1.with(|l| l.repeated_rows(rows));
                b.run(Scale { by, out: out.reborrow() }.into())?;
                let layout = Layout::rows_of(n, columns);
                let mut c = b.alloc(product(&[n, columns])?)?;
                let to = ViewMut::new(&mut c, layout);
                b.run(Multiply { a: g, b: h2, out: to, accumulate: false }.into())?;
                let a = View::new(&c, layout.repeated_rows(rows));
                b.run(Multiply { a, b: p, out, accumulate: true }.into())?;
                b.recycle([c]);
                Ok(())
            }
        }
    }
}

impl<A> ScaledMatrix<'_, A> {
    /// Computes the same by [`Multiply`] and [`Scale`].
    ///
    /// # Errors
    /// Those of the backend.
    pub fn lower<B: Backend<Array = A>>(self, b: &B) -> Result<()> {
        let ScaledMatrix { rows, matrix, columns, mut out } = self;
        let [_, height, width] = out.shape();
        let columns = columns.with(|l| l.repeated_rows(height));
        let to = out.reborrow();
        b.run(Multiply { a: matrix, b: columns, out: to, accumulate: false }.into())?;
        let by = rows.with(|l| l.transposed().repeated_columns(width));
        b.run(Scale { by, out }.into())
    }
}

impl<A, S> PairBlock<'_, A, S> {
    /// Computes the same by [`Multiply`] and [`WeightedSum`].
    ///
    /// # Errors
    /// Those of the backend.
    pub fn lower<B: Backend<Array = A, Sum = S>>(self, b: &B) -> Result<()> {
        let PairBlock { s, t_delta, z_l, z_k, sum } = self;
        let ([n, rows, columns], [_, _, l], [_, _, k]) = (s.shape(), z_l.shape(), z_k.shape());
        let outer = |y: View<A>| -> Result<A> {
            let mut out = b.alloc(product(&[n, l, k])?)?;
            b.run(
                Multiply {
                    a: y.with(|layout| layout.transposed().repeated_columns(k)),
                    b: z_k.with(|layout| layout.repeated_rows(l)),
                    out: ViewMut::new(&mut out, Layout::dense(n, l, k)),
                    accumulate: false,
                }
                .into(),
            )?;
            Ok(out)
        };
        // Adds Σ_i c[i, j′] products[i, b, a] to the entries from those of unit j on.
        let mut add = |c: View<A>, products: &A, j: usize| {
            let layout = Layout::rows_of(n, l * k).repeated_rows(c.shape()[2]);
            let (phi, at) = (View::new(products, layout), j * columns * l * k);
            b.run(WeightedSum { c, phi, sum: &mut *sum, at }.into())
        };
        let z = outer(z_l)?;
        if s.layout.is_dense() {
            let all = Layout::rows_of(n, rows * columns);
            add(s.with(|s| Layout { offset: s.offset, ..all }), &z, 0)?;
        } else {
            (0..rows).try_for_each(|j| add(s.with(|s| s.rows(j..j + 1)), &z, j))?;
        }
        b.recycle([z]);
        if let Some([t, delta]) = t_delta {
            for j in 0..rows {
                let t_z = outer(t.with(|layout| layout.rows(j..j + 1)))?;
                add(delta, &t_z, j)?;
                b.recycle([t_z]);
            }
        }
        Ok(())
    }
}

fn volume(factors: &[usize]) -> f64 {
    factors.iter().map(|&f| f as f64).product()
}

/// Floating-point operations and numbers read or written, of each kernel.
macro_rules! costs {
    ($($kernel:ident<$($parameter:tt),*> |$k:pat_param| $flops:expr, $numbers:expr;)*) => {
        $(impl<$($parameter),*> $kernel<'_, $($parameter),*> {
            // Kernels that only move numbers look at none of their fields.
            #[allow(unused_variables)]
            fn flops(&self) -> f64 {
                let $k = self;
                $flops
            }

            fn numbers(&self) -> usize {
                let $k = self;
                $numbers
            }
        })*
    };
}

fn read<A>(views: &[&View<A>]) -> usize {
    views.iter().map(|view| view.layout.distinct()).sum()
}

fn optional<A>(view: &Option<ViewMut<A>>) -> usize {
    view.as_ref().map_or(0, |view| view.layout.len())
}

fn along<A>(direction: &Direction<A>) -> usize {
    let views = direction.weights.iter().chain(&direction.inputs);
    views.map(|view| view.layout.distinct()).sum()
}

costs! {
    Fill<A> |k| 0.0, k.out.layout.len();
    Copy<A> |k| 0.0, 2 * k.to.layout.len();
    Scale<A> |k| volume(&k.out.shape()), 2 * k.out.layout.len() + read(&[&k.by]);
    Multiply<A> |k| volume(&k.out.shape()) * if k.accumulate { 2.0 } else { 1.0 },
        k.out.layout.len() + read(&[&k.a, &k.b]);
    ScaledMatrix<A> |k| 2.0 * volume(&k.out.shape()),
        k.out.layout.len() + read(&[&k.rows, &k.matrix, &k.columns]);
    Product<A> |k| 2.0 * volume(&k.out.shape()) * k.x.shape()[2] as f64,
        k.out.layout.len() + read(&[&k.x, &k.b]);
    ProductSum<A> |k| {
        let products = k.terms.iter().map(|t| 2.0 * volume(&t.x.shape()) * t.b.shape()[2] as f64);
        let each = match k.epilogue {
            Epilogue::None => 0.0,
            Epilogue::Scale { .. } => 1.0,
            Epilogue::ProductRule { .. } => 5.0,
        };
        products.sum::<f64>() + each * volume(&k.out.shape())
    }, {
        let terms: usize = k.terms.iter().map(|t| read(&[&t.x, &t.b])).sum();
        let last = match &k.epilogue {
            Epilogue::None => 0,
            Epilogue::Scale { by } => read(&[by]),
            Epilogue::ProductRule { h1, h2, g, p } => read(&[h1, h2, g, p]),
        };
        terms + last + k.out.layout.len()
    };
    ProductDiagonal<A> |k| 2.0 * volume(&k.x.shape()), 2 * k.out.layout.len() + read(&[&k.x, &k.b]);
    Activate<A> |k| 20.0 * volume(&k.p.shape()),
        2 * k.p.layout.len() + optional(&k.h1) + optional(&k.h2);
    LossValue<A, S> |k| 20.0 * volume(&k.x.shape()), read(&[&k.x, &k.y, &k.omega]) + optional(&k.gradient);
    LossHessian<A> |k| 20.0 * volume(&k.x.shape()), read(&[&k.x, &k.y, &k.omega]) + k.out.layout.len();
    GaussNewtonDiagonal<A> |k| 3.0 * volume(&k.jacobian.shape()) * k.hessian.shape()[2] as f64,
        read(&[&k.jacobian, &k.hessian]) + k.out.layout.len();
    SquaredGradient<A> |k| 2.0 * volume(&k.out.shape()), read(&[&k.delta, &k.omega]) + k.out.layout.len();
    LowerTriangle<A> |k| 0.0, 2 * k.out.layout.len();
    WeightedSum<A, S> |k| 2.0 * volume(&k.phi.shape()), read(&[&k.c, &k.phi]);
    // Forming c φ is counted with the products.
    Gram<A, S> |k| volume(&k.phi.shape()) * (k.phi.shape()[2] + 1) as f64, read(&[&k.c, &k.phi]);
    // Numbers that units share are squared once.
    GramDiagonal<A, S> |k| 2.0 * volume(&k.phi.shape()) + k.phi.layout.distinct() as f64,
        read(&[&k.c, &k.phi]);
    PairBlock<A, S> |k| {
        let (l, width) = (k.z_l.shape()[2] as f64, k.z_k.shape()[2] as f64);
        let forming = if k.t_delta.is_some() { 3.0 } else { 1.0 };
        volume(&k.s.shape()) * l * (2.0 * width + forming)
    }, {
        let others = k.t_delta.iter().flatten().map(|view| read(&[view])).sum::<usize>();
        read(&[&k.s, &k.z_l, &k.z_k]) + others
    };
    TensorSum<A, S> |k| {
        // C(d + q − 1, q) entries.
        let d = k.z.shape()[2] as f64;
        let entries: f64 = (0..k.order).map(|q| (d + q as f64) / (q + 1) as f64).product();
        2.0 * k.z.shape()[0] as f64 * entries
    }, read(&[&k.c, &k.z]);
    UnitValue<A> |k| 2.0 * volume(&k.units.weights.shape()), k.units.numbers() + k.out.layout.len();
    UnitDerivative<A> |k| 2.0 * volume(&k.out.shape()), k.units.numbers() + k.out.layout.len();
    UnitSlope<A> |k| 4.0 * volume(&k.units.weights.shape()),
        k.units.numbers() + along(&k.along) + 2 * k.out.layout.len();
    UnitDerivativeSlope<A> |k| 4.0 * volume(&k.units.weights.shape()) * k.units.inputs() as f64,
        k.units.numbers() + along(&k.along) + k.out.layout.len();
    UnitInputHessian<A> |k| 4.0 * volume(&k.out.shape()) * k.units.units() as f64,
        k.units.numbers() + read(&[&k.delta]) + 2 * k.out.layout.len();
    UnitParameterHessian<A, S> |k| 4.0 * volume(&k.units.weights.shape()) * k.units.parameters() as f64,
        k.units.numbers() + read(&[&k.delta]);
}

impl<A> Units<'_, A> {
    fn numbers(&self) -> usize {
        read(&[&self.weights, &self.z])
    }
}

/// Declares the enum of all kernels.
macro_rules! kernels {
    ($($kernel:ident<$($parameter:tt),*> $name:literal)*) => {
        /// Any kernel, over arrays `A` and sums `S` of a backend.
        #[derive(Debug)]
        #[allow(missing_docs)]
        pub enum Kernel<'a, A, S> {
            $($kernel($kernel<$($parameter),*>),)*
        }

        impl<A, S> Kernel<'_, A, S> {
            /// The names of all kernels.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The kernel's name: that of its files.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Kernel::$kernel(_) => $name,)*
                }
            }

            /// Floating-point operations: a multiplication with an addition counts as two, an activation or a loss as 20 for each number.
            pub fn flops(&self) -> f64 {
                match self {
                    $(Kernel::$kernel(kernel) => kernel.flops(),)*
                }
            }

            /// Bytes that are read or written at least, for floats of so many bytes.
            pub fn bytes(&self, float: usize) -> f64 {
                let numbers = match self {
                    $(Kernel::$kernel(kernel) => kernel.numbers(),)*
                };
                numbers as f64 * float as f64
            }
        }

        $(impl<'a, A, S> From<$kernel<$($parameter),*>> for Kernel<'a, A, S> {
            fn from(kernel: $kernel<$($parameter),*>) -> Self {
                Kernel::$kernel(kernel)
            }
        })*
    };
}

kernels! {
    Fill<'a, A> "fill"
    Copy<'a, A> "copy"
    Scale<'a, A> "scale"
    Multiply<'a, A> "multiply"
    ScaledMatrix<'a, A> "scaled_matrix"
    Product<'a, A> "product"
    ProductSum<'a, A> "product_sum"
    ProductDiagonal<'a, A> "product_diagonal"
    Activate<'a, A> "activate"
    LossValue<'a, A, S> "loss_value"
    LossHessian<'a, A> "loss_hessian"
    GaussNewtonDiagonal<'a, A> "gauss_newton_diagonal"
    SquaredGradient<'a, A> "squared_gradient"
    LowerTriangle<'a, A> "lower_triangle"
    WeightedSum<'a, A, S> "weighted_sum"
    Gram<'a, A, S> "gram"
    GramDiagonal<'a, A, S> "gram_diagonal"
    PairBlock<'a, A, S> "pair_block"
    TensorSum<'a, A, S> "tensor_sum"
    UnitValue<'a, A> "unit_value"
    UnitDerivative<'a, A> "unit_derivative"
    UnitSlope<'a, A> "unit_slope"
    UnitDerivativeSlope<'a, A> "unit_derivative_slope"
    UnitInputHessian<'a, A> "unit_input_hessian"
    UnitParameterHessian<'a, A, S> "unit_parameter_hessian"
}
