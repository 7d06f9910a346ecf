//! The kernels that every backend supplies, and nothing else.
//!
//! The driver (`src/evaluate/`) is written once over [`Backend`]. [`Cpu<f64>`](Cpu) and [`Cpu<f32>`](Cpu)
//! run the kernels; [`Gpu`](gpu::Gpu) runs them as compute shaders; [`Meter`] runs nothing and counts bytes and flops, so that
//! a plan exists before anything is allocated. Each kernel is one method here; its code stands in `backend/cpu/` and in
//! `shaders/`, in the file of its name or of its family (`unit.rs` for what starts with `unit_`, `diagonal` and `loss` for
//! their two each).
//!
//! Arrays are row-major and hold the backend's floats. Per-sample arrays start with the sample index i:
//! n × s (outputs of a layer), n × a × s (for each sample, a vectors over the units of a layer). Sums over samples
//! are accumulated in f64 whatever the float, from partial sums of at most 512 samples.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
mod meter;
mod pool;

use std::ops::Range;

pub use cpu::Cpu;
pub(crate) use meter::product;
pub use meter::{Cost, Meter};

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::network::{Activation, Network, Unit};
use crate::objective::Loss;

/// The units of one group inside their layer, and the operand that stands for ∂p/∂z.
#[derive(Debug, Clone)]
pub struct Operand<'a, A> {
    /// The numbers; see [`Kind`].
    pub array: &'a A,
    /// Whether one matrix serves all samples or each sample has its own.
    pub kind: Kind,
    /// Which units of the layer the group holds.
    pub units: Range<usize>,
    /// The number of units of the layer.
    pub layer: usize,
    /// The number of columns of the matrix.
    pub width: usize,
}

/// Some columns of a per-sample array: n × `stride` numbers, of which `width` from `first` on count.
#[derive(Debug)]
pub struct Columns<'a, A> {
    /// The numbers.
    pub array: &'a A,
    /// Columns of the array.
    pub stride: usize,
    /// The first column.
    pub first: usize,
    /// How many there are.
    pub width: usize,
}

/// A term of a step of a backward recursion: what [`contract`](Backend::contract) adds. `vectors` · `count` numbers of each sample
/// are those of the sum, whichever way both divide them.
#[derive(Debug)]
pub struct Term<'a, A> {
    /// n × `vectors` × layer.
    pub m: &'a A,
    /// Rows of m for each sample.
    pub vectors: usize,
    /// The matrices.
    pub a: Operand<'a, A>,
    /// The first of their columns.
    pub column: usize,
    /// How many columns.
    pub count: usize,
}

/// What becomes of the sum of the [`Term`]s: n × vectors × units from arrays of n × units, but for p.
#[derive(Debug)]
pub enum Then<'a, A> {
    /// Nothing.
    Nothing,
    /// sum[i, v, j] d[i, j].
    Times(&'a A),
    /// h1[i, j] sum[i, v, j] + g[i, j] h2[i, j] p[i, v, j]: how a product with h′ changes.
    Bend {
        /// h′.
        h1: &'a A,
        /// h″.
        h2: &'a A,
        /// What h′ was multiplied with.
        g: &'a A,
        /// n × vectors × units.
        p: &'a A,
    },
}

/// Two groups of linear units, h of layer k and g of layer l > k, whose inputs move with the units of layer k: what their block of
/// a Hessian sums up.
#[derive(Debug)]
pub struct Coupled<'a, A> {
    /// S^{kl}: n × `rows` × `columns`.
    pub s: &'a A,
    /// T^{k,l}: n × `rows` × width of `z_l`.
    pub t: &'a A,
    /// δ^l: n × `columns`.
    pub delta: &'a A,
    /// The number of units of layer k.
    pub rows: usize,
    /// The number of units of layer l.
    pub columns: usize,
    /// The units of h.
    pub h: Range<usize>,
    /// The units of g.
    pub g: Range<usize>,
    /// z^l.
    pub z_l: Columns<'a, A>,
    /// z^k.
    pub z_k: Columns<'a, A>,
}

/// Where the matrices of an [`Operand`] stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// units × width, the same for every sample: the weights of linear units.
    Shared,
    /// n × units × width: one matrix for each sample.
    Sampled,
}

/// A group of units that are not linear.
#[derive(Debug)]
pub struct UnitGroup<'a, A> {
    /// How its units compute; not linear.
    pub unit: &'a dyn Unit,
    /// The parameters of all units of the group: units × t.
    pub weights: &'a A,
    /// Index of the group's first unit in its layer.
    pub first: usize,
    /// The number of units of the group.
    pub units: usize,
    /// The number of units of the layer.
    pub layer: usize,
    /// Length of z without the constant.
    pub inputs: usize,
    /// Stride of z: with the constant where the layer has one.
    pub width: usize,
    /// t, the number of parameters of one unit.
    pub row: usize,
}

/// A per-sample derivative of a group of units that are not linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitDerivative {
    /// φ = ∂p/∂w: n × units × t.
    Parameters,
    /// A = ∂p/∂z: n × units × inputs.
    Inputs,
}

impl<A> UnitGroup<'_, A> {
    /// The number of columns of φ or A.
    fn width_of(&self, which: UnitDerivative) -> usize {
        match which {
            UnitDerivative::Parameters => self.row,
            UnitDerivative::Inputs => self.inputs,
        }
    }
}

/// A direction in the parameters and in the inputs of a group of units that are not linear.
#[derive(Debug)]
pub struct Direction<'a, A> {
    /// ẇ, units × t; `None` where it is 0.
    pub weights: Option<&'a A>,
    /// ż, `inputs` columns; `None` where it is 0.
    pub inputs: Option<Columns<'a, A>>,
}

/// Refuses what is finite in f64 and infinite in f32.
fn check_f32(values: &[f64]) -> Result<()> {
    match (values.iter()).position(|&v| v.is_finite() && !(v as f32).is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(
            format!("number {i}"),
            format!("{:e} overflows f32; scale the data or use f64", values[i]),
        )),
    }
}

/// The arrays and kernels of one device and precision.
///
/// Every method can fail, because on an accelerator every call can. The kernels trust the lengths that the driver gives
/// them: a backend is for the driver, not for direct use.
pub trait Backend: Sized + Sync {
    /// A dense array of the backend's floats.
    type Array: Send + Sync;
    /// Sums over samples, in f64.
    type Sum;

    /// A backend of the same arrays for one of several chunks of samples that are computed at once, each by one thread; `None`
    /// where one chunk keeps the whole backend busy.
    fn part(&self) -> Option<Self> {
        None
    }
    /// Numbers that add up to the value over n samples: 1, or for a [`part`](Backend::part) one for each 64 samples, so that the
    /// bits of E do not depend on the chunks.
    fn values(&self, _n: usize) -> usize {
        1
    }

    /// Copies numbers to the backend, rounded to its floats.
    ///
    /// # Errors
    /// A finite number that is infinite in the backend's floats.
    fn upload(&self, values: &[f64]) -> Result<Self::Array>;
    /// Copies rows of `width` numbers to the backend, each with a 1 behind it if `constant`.
    ///
    /// # Errors
    /// As [`upload`](Backend::upload).
    fn upload_rows(&self, values: &[f64], width: usize, constant: bool) -> Result<Self::Array> {
        let x = self.upload(values)?;
        let n = values.len().checked_div(width).unwrap_or(0);
        self.with_one(n, width, x, constant)
    }
    /// An array of zeros.
    fn zeros(&self, len: usize) -> Result<Self::Array>;
    /// Takes back arrays that are no longer needed, for the next ones of their lengths.
    fn recycle(&self, _arrays: impl IntoIterator<Item = Self::Array>) {}
    /// Frees what was taken back.
    fn release(&self) {}
    /// Copies numbers back.
    fn download(&self, array: &Self::Array) -> Result<Vec<f64>>;
    /// Sums that start at 0.
    fn sums(&self, len: usize) -> Result<Self::Sum>;
    /// The sums' values.
    fn read(&self, sum: Self::Sum) -> Result<Vec<f64>>;

    /// z_i = (sources side by side, then 1 if `bias`): n × d from arrays n × width each.
    fn gather(
        &self,
        n: usize,
        sources: &[(&Self::Array, usize)],
        bias: bool,
    ) -> Result<Self::Array>;

    /// out[i, v, j] += Σ_c A[j, c] z[i, v, c] for the operand's units j; z: n × vectors × `stride`, of which the first
    /// columns count; out: n × vectors × layer.
    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        z: &Self::Array,
        stride: usize,
        a: &Operand<Self::Array>,
        out: &mut Self::Array,
    ) -> Result<()>;

    /// What [`propagate`](Backend::propagate) adds to zeros.
    fn propagated(
        &self,
        n: usize,
        vectors: usize,
        z: &Self::Array,
        stride: usize,
        a: &Operand<Self::Array>,
    ) -> Result<Self::Array> {
        let mut out = self.zeros(product(&[n, vectors, a.layer])?)?;
        self.propagate(n, vectors, z, stride, a, &mut out)?;
        Ok(out)
    }

    /// h, h′ … up to the `order` ≤ 2 at p (n × units), an array each; `runs` gives the activations with the number of
    /// units that share each.
    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Self::Array,
        order: usize,
    ) -> Result<Vec<Self::Array>>;

    /// What [`activate`](Backend::activate) gives, h with a 1 behind each row if `constant`.
    fn activated(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &Self::Array,
        order: usize,
        constant: bool,
    ) -> Result<Vec<Self::Array>> {
        let units = runs.iter().map(|r| r.1).sum();
        let mut all = self.activate(n, runs, p, order)?;
        let h = all.remove(0);
        all.insert(0, self.with_one(n, units, h, constant)?);
        Ok(all)
    }

    /// n rows of `width` numbers, each with a 1 behind them if `constant`.
    fn with_one(
        &self,
        n: usize,
        width: usize,
        a: Self::Array,
        constant: bool,
    ) -> Result<Self::Array> {
        if !constant {
            return Ok(a);
        }
        let out = self.gather(n, &[(&a, width)], true)?;
        self.recycle([a]);
        Ok(out)
    }

    /// Refuses units and losses whose WGSL does not compute what their Rust does; a loss at points around the first rows of
    /// `y`.
    ///
    /// # Errors
    /// `Part` with the numbers, or with the compiler's words.
    fn check_parts(&self, _network: &Network, _loss: &Loss, _y: &Array2<f64>) -> Result<()> {
        Ok(())
    }

    /// value += Σ_i ω_i g(x_i, y_i); returns ω_i ∂g/∂x_i, n × outputs, when asked for. `value` has
    /// as many numbers as [`values`](Backend::values) says.
    #[allow(clippy::too_many_arguments)]
    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &Self::Array,
        y: &Self::Array,
        omega: &Self::Array,
        value: &mut Self::Sum,
        gradient: bool,
    ) -> Result<Option<Self::Array>>;

    /// ω_i ∂²g/∂x_i², n × outputs × outputs.
    fn loss_hessian(
        &self,
        n: usize,
        loss: &Loss,
        x: &Self::Array,
        y: &Self::Array,
        omega: &Self::Array,
    ) -> Result<Self::Array>;

    /// out[i, v, q] += Σ_j m[i, v, j] A[j, column + q] for the operand's units j and q < `count`;
    /// m: n × vectors × layer, out: n × vectors × count. The one kernel of every backward recursion.
    #[allow(clippy::too_many_arguments)]
    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &Self::Array,
        a: &Operand<Self::Array>,
        column: usize,
        count: usize,
        out: &mut Self::Array,
    ) -> Result<()>;

    /// The sum of what [`contract`](Backend::contract) adds for each of the terms, n × vectors × units, and what `then` makes of it.
    fn contracted(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        terms: &[Term<Self::Array>],
        then: &Then<Self::Array>,
    ) -> Result<Self::Array> {
        let mut out = self.zeros(product(&[n, vectors, units])?)?;
        for term in terms {
            let Term {
                m,
                vectors,
                ref a,
                column,
                count,
            } = *term;
            self.contract(n, vectors, m, a, column, count, &mut out)?;
        }
        match *then {
            Then::Nothing => {}
            Then::Times(d) => self.scale(n, vectors, units, d, &mut out)?,
            Then::Bend { h1, h2, g, p } => {
                self.scale(n, vectors, units, h1, &mut out)?;
                let c = self.multiplied(n, 1, units, g, h2, false)?;
                self.multiply_add(n, vectors, units, &c, p, &mut out)?;
                self.recycle([c]);
            }
        }
        Ok(out)
    }

    /// n rows of `width` numbers, each with a 0 behind them if `constant`.
    fn with_zero(
        &self,
        n: usize,
        width: usize,
        a: Self::Array,
        constant: bool,
    ) -> Result<Self::Array> {
        if !constant {
            return Ok(a);
        }
        let zero = self.zeros(n)?;
        let out = self.gather(n, &[(&a, width), (&zero, 1)], false)?;
        self.recycle([a, zero]);
        Ok(out)
    }

    /// out[i, q, j] = p[i, q] A[j, column + q] d[i, j] for q < `count` and all units j of a layer, whose operand is `Shared`; p: n ×
    /// count, d: n × layer; each row with a 0 behind it, for the constant, if asked for.
    #[allow(clippy::too_many_arguments)]
    fn linked(
        &self,
        n: usize,
        p: &Self::Array,
        a: &Operand<Self::Array>,
        column: usize,
        count: usize,
        d: &Self::Array,
        constant: bool,
    ) -> Result<Self::Array> {
        let mut diagonal = self.zeros(product(&[n, a.layer, a.layer])?)?;
        self.add_diagonal(n, a.layer, d, &mut diagonal)?;
        let mut turned = self.zeros(product(&[n, a.layer, count])?)?;
        self.contract(n, a.layer, &diagonal, a, column, count, &mut turned)?;
        self.scale(n, a.layer, count, p, &mut turned)?;
        let out = self.transpose(n, a.layer, count, &turned)?;
        self.recycle([diagonal, turned]);
        self.with_zero(product(&[n, count])?, a.layer, out, constant)
    }

    /// out[i, q] += Σ_j m[i, j, q] A[j, column + q] for the operand's units j: the diagonal of what
    /// [`contract`](Backend::contract) gives for mᵀ; m: n × layer × count, out: n × count.
    fn contract_diagonal(
        &self,
        n: usize,
        m: &Self::Array,
        a: &Operand<Self::Array>,
        column: usize,
        count: usize,
        out: &mut Self::Array,
    ) -> Result<()>;

    /// a[i, v, j] *= d[i, j]; a: n × vectors × units, d: n × units.
    fn scale(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        d: &Self::Array,
        a: &mut Self::Array,
    ) -> Result<()>;

    /// out[i, v, j] += a[i, j] b[i, v, j]; a: n × units, b and out: n × vectors × units.
    fn multiply_add(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &Self::Array,
        b: &Self::Array,
        out: &mut Self::Array,
    ) -> Result<()>;

    /// What [`multiply_add`](Backend::multiply_add) adds to zeros; each row with a 0 behind it, for the constant, if asked for.
    fn multiplied(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &Self::Array,
        b: &Self::Array,
        constant: bool,
    ) -> Result<Self::Array> {
        let mut out = self.zeros(product(&[n, vectors, units])?)?;
        self.multiply_add(n, vectors, units, a, b, &mut out)?;
        self.with_zero(product(&[n, vectors])?, units, out, constant)
    }

    /// a[i, j, j] += d[i, j]; a: n × units × units, d: n × units.
    fn add_diagonal(
        &self,
        n: usize,
        units: usize,
        d: &Self::Array,
        a: &mut Self::Array,
    ) -> Result<()>;

    /// a[i, j, j] as n × units; a: n × units × units.
    fn diagonal(&self, n: usize, units: usize, a: &Self::Array) -> Result<Self::Array>;

    /// a[i, q, r] as n × q × r from a: n × r × q.
    fn transpose(
        &self,
        n: usize,
        rows: usize,
        columns: usize,
        a: &Self::Array,
    ) -> Result<Self::Array>;

    /// c_ij = Σ_oq J[i, o, j] G[i, o, q] J[i, q, j]; J: n × outputs × units, G: n × outputs × outputs.
    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        jacobian: &Self::Array,
        hessian: &Self::Array,
    ) -> Result<Self::Array>;

    /// c_ij = δ_ij²/ω_i, 0 where ω_i = 0: squared gradients of single losses, weighted once.
    fn fisher(
        &self,
        n: usize,
        units: usize,
        delta: &Self::Array,
        omega: &Self::Array,
    ) -> Result<Self::Array>;

    /// out[at + (j, a)] += Σ_i δ[i, j] φ[i, a] for the operand's units; the operand is z (n × width, `Shared` by all units)
    /// or φ (n × units × width, `Sampled`).
    fn gradient(
        &self,
        n: usize,
        delta: &Self::Array,
        phi: &Operand<Self::Array>,
        out: &mut Self::Sum,
        at: usize,
    ) -> Result<()>;

    /// out[(j, j′, b), a] += Σ_i (S[i, j, j′] z^l[i, b] + δ[i, j′] T[i, j, b]) z^k[i, a] for the units j of h and j′ of g.
    fn coupled(&self, n: usize, pair: &Coupled<Self::Array>, out: &mut Self::Sum) -> Result<()> {
        let Coupled {
            s,
            t,
            delta,
            rows,
            columns,
            ref h,
            ref g,
            ref z_l,
            ref z_k,
        } = *pair;
        let size = product(&[z_l.width, z_k.width])?;
        let sum =
            |weights: &Self::Array, layer, units, array: &Self::Array, at, out: &mut Self::Sum| {
                let products = Operand {
                    array,
                    kind: Kind::Shared,
                    units,
                    layer,
                    width: size,
                };
                self.gradient(n, weights, &products, out, at)
            };
        let z = self.outer(n, z_l, z_k)?;
        for (at, j) in h.clone().enumerate() {
            let at = at * g.len() * size;
            let of_j = j * columns + g.start..j * columns + g.end;
            sum(s, rows * columns, of_j, &z, at, out)?;
            let t_j = Columns {
                array: t,
                stride: rows * z_l.width,
                first: j * z_l.width,
                width: z_l.width,
            };
            let t_z = self.outer(n, &t_j, z_k)?;
            sum(delta, columns, g.clone(), &t_z, at, out)?;
            self.recycle([t_z]);
        }
        self.recycle([z]);
        Ok(())
    }

    /// The products y[i, b] z[i, a]: n × (columns of y) × (columns of z).
    fn outer(
        &self,
        n: usize,
        y: &Columns<Self::Array>,
        z: &Columns<Self::Array>,
    ) -> Result<Self::Array>;

    /// a[i, j, j′], j ≥ j′, for the units of a range, packed row by row; a: n × layer × layer.
    fn pairs(
        &self,
        n: usize,
        layer: usize,
        units: Range<usize>,
        a: &Self::Array,
    ) -> Result<Self::Array>;

    /// out[j, (a, b)] += Σ_i c[i, j] φ[i, a] φ[i, b], a ≥ b packed row by row; operand as in
    /// [`gradient`](Backend::gradient).
    fn gram(
        &self,
        n: usize,
        c: &Self::Array,
        phi: &Operand<Self::Array>,
        out: &mut Self::Sum,
    ) -> Result<()>;

    /// out[j, a] += Σ_i c[i, j] φ[i, a]²; operand as in [`gradient`](Backend::gradient).
    fn gram_diagonal(
        &self,
        n: usize,
        c: &Self::Array,
        phi: &Operand<Self::Array>,
        out: &mut Self::Sum,
    ) -> Result<()>;

    /// out[(a₁, …, a_q)] += Σ_i c_i z[i, a₁] … z[i, a_q], a₁ ≥ … ≥ a_q, packed with a₁ growing slowest; c: n, z: n × `width`.
    fn tensor(
        &self,
        n: usize,
        order: usize,
        c: &Self::Array,
        z: &Self::Array,
        width: usize,
        out: &mut Self::Sum,
    ) -> Result<()>;

    /// p of a group that is not linear, into its columns of p: n × layer.
    fn unit_value(
        &self,
        n: usize,
        group: &UnitGroup<Self::Array>,
        z: &Self::Array,
        p: &mut Self::Array,
    ) -> Result<()>;

    /// φ or A of a group that is not linear.
    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<Self::Array>,
        z: &Self::Array,
        which: UnitDerivative,
    ) -> Result<Self::Array>;

    /// p[i, j] += φ_j · ẇ_j + a_j · ż for the columns of a group that is not linear; p: n × layer.
    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<Self::Array>,
        z: &Self::Array,
        direction: &Direction<Self::Array>,
        p: &mut Self::Array,
    ) -> Result<()>;

    /// The derivative of φ or A of a group that is not linear along a direction: Ψ_j ẇ_j + Σ_c ∂²p_j/∂w∂z_c ż_c, or
    /// Σ_b ∂²p_j/∂z∂w_b ẇ_jb + Σ_c ∂²p_j/∂z∂z_c ż_c; the shape is that of [`unit_derivative`](Backend::unit_derivative).
    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<Self::Array>,
        z: &Self::Array,
        direction: &Direction<Self::Array>,
        which: UnitDerivative,
    ) -> Result<Self::Array>;

    /// out[i, a, b] += Σ_j δ_ij ∂²p_j/∂z_a∂z_b (Π); out: n × inputs × inputs, delta: n × layer.
    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<Self::Array>,
        z: &Self::Array,
        delta: &Self::Array,
        out: &mut Self::Array,
    ) -> Result<()>;

    /// out[j, (a, b)] += Σ_i δ_ij ∂²p_j/∂w_a∂w_b, packed, or its diagonal a = b alone.
    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<Self::Array>,
        z: &Self::Array,
        delta: &Self::Array,
        diagonal: bool,
        out: &mut Self::Sum,
    ) -> Result<()>;
}
