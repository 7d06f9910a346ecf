//! A symmetric matrix of blocks on its diagonal.

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{LinearOperator, Structure};
use crate::error::{Error, Quantity, Result};
use crate::memory::{bytes_of, require_memory, zeros};
use crate::solve::{self, Cholesky, U, check_packed, dot, eigen, finite};

/// A curvature matrix: symmetric, with blocks along its diagonal and 0 elsewhere.
///
/// | [`Structure`] | blocks |
/// |---|---|
/// | `Diagonal` | P of order 1 |
/// | `RowBlocks` | one for each unit, over its parameters |
/// | `LayerBlocks` | one for each layer, over its parameters |
/// | `Full` | one of order P |
///
/// Each block is stored once, as its lower triangle row by row, so it is symmetric to the last bit. Its numbers are finite:
/// whatever makes a matrix refuses others, and methods that take a vector refuse one that is not finite. What the methods
/// compute they compute block by block, in f64, on the cores of the current rayon pool where there are several blocks; a
/// result beyond the range of f64 is the error `NonFinite`.
///
/// ```
/// use secondo::Matrix;
/// let b = Matrix::full(2, vec![4.0, 2.0, 5.0])?; // [[4, 2], [2, 5]]
/// assert_eq!(b.product(&[1.0, 1.0])?, [6.0, 7.0]);
/// assert_eq!(b.trace(), 9.0);
/// assert!((b.log_determinant()? - 16.0_f64.ln()).abs() < 1e-15);
/// assert_eq!(b.solve(&[8.0, 12.0])?, [1.0, 2.0]);
/// let root = 17.0_f64.sqrt(); // the eigenvalues are (9 ± √17)/2
/// assert!((b.condition()? - (9.0 + root) / (9.0 - root)).abs() < 1e-14);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    structure: Structure,
    order: usize,
    runs: Vec<Run>,
    /// For each run, its blocks' packed lower triangles one after the other.
    parts: Vec<Vec<f64>>,
}

/// Neighbouring blocks of one order: a million blocks cost no more than one.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    layer: Option<usize>,
    /// The unit of the first block.
    unit: Option<usize>,
    /// The first parameter of the first block.
    start: usize,
    count: usize,
    order: usize,
}

/// One block of a [`Matrix`].
#[derive(Debug, Clone, PartialEq)]
pub struct Block<'a> {
    /// k, the layer, from 1; `None` where the block spans layers.
    pub layer: Option<usize>,
    /// j, the unit in its layer, from 0; `None` where the block spans units, and for an entry of a diagonal.
    pub unit: Option<usize>,
    /// Where the block's parameters stand in the flat vector.
    pub range: Range<usize>,
    packed: &'a [f64],
}

/// The length of a packed triangle; `usize::MAX` where that is too small.
pub(crate) fn triangle(order: usize) -> usize {
    // One of the two is even.
    match order % 2 {
        0 => (order / 2).saturating_mul(order + 1),
        _ => order.div_ceil(2).saturating_mul(order),
    }
}

impl Matrix {
    /// The matrix of one block: its lower triangle row by row, entry (a, b), a ≥ b, at a(a+1)/2 + b.
    ///
    /// # Errors
    /// `Shape` if there are not order·(order + 1)/2 numbers, `TooLarge` if that overflows, `NonFinite` with the index in
    /// `lower`.
    pub fn full(order: usize, lower: Vec<f64>) -> Result<Self> {
        check_packed(&lower, order)?;
        let run = Run { layer: None, unit: None, start: 0, count: 1, order };
        Ok(Self::of(Structure::Full, vec![(run, lower)]))
    }

    /// The matrix of these diagonal entries.
    ///
    /// # Errors
    /// `NonFinite` with the index.
    pub fn from_diagonal(entries: Vec<f64>) -> Result<Self> {
        let run = Run { layer: None, unit: None, start: 0, count: entries.len(), order: 1 };
        Self::of(Structure::Diagonal, vec![(run, entries)]).finite("diagonal")
    }

    /// The matrix itself if all its numbers are finite.
    pub(crate) fn finite(self, what: impl Into<Quantity>) -> Result<Self> {
        let what = what.into();
        (self.parts.iter()).try_for_each(|part| finite(what.clone(), part))?;
        Ok(self)
    }

    fn of(structure: Structure, parts: Vec<(Run, Vec<f64>)>) -> Self {
        let (runs, parts): (Vec<Run>, Vec<_>) = parts.into_iter().unzip();
        Matrix {
            structure,
            order: runs.last().map_or(0, |r| r.start + r.count * r.order),
            runs,
            parts,
        }
    }

    /// Blocks of units or entries of the diagonal: for each group of units its layer, units, parameters and packed numbers, in
    /// the order of the flat vector.
    pub(crate) fn by_group(
        structure: Structure,
        groups: impl Iterator<Item = (usize, Range<usize>, Range<usize>, Vec<f64>)>,
    ) -> Self {
        let runs = groups.map(|(layer, units, range, packed)| {
            let (unit, count, order) = match structure {
                Structure::Diagonal => (None, range.len(), 1),
                _ => (Some(units.start), units.len(), range.len() / units.len().max(1)),
            };
            let run = Run { layer: Some(layer), unit, start: range.start, count, order };
            (run, packed)
        });
        Self::of(structure, runs.collect())
    }

    /// Blocks over these ranges, one after the other.
    pub(crate) fn by_range(structure: Structure, parts: Vec<(Block, Vec<f64>)>) -> Self {
        let parts = parts.into_iter().map(|(block, packed)| {
            let run = Run {
                layer: block.layer,
                unit: block.unit,
                start: block.range.start,
                count: 1,
                order: block.range.len(),
            };
            (run, packed)
        });
        Self::of(structure, parts.collect())
    }

    /// Which blocks it has.
    pub fn structure(&self) -> Structure {
        self.structure
    }

    /// P, the number of rows and of columns.
    pub fn order(&self) -> usize {
        self.order
    }

    /// (P, P).
    pub fn shape(&self) -> (usize, usize) {
        (self.order, self.order)
    }

    /// The blocks in the order of the flat vector.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        self.runs.iter().zip(&self.parts).flat_map(|(run, part)| {
            let size = triangle(run.order);
            (0..run.count).map(move |i| {
                let start = run.start + i * run.order;
                Block {
                    layer: run.layer,
                    unit: run.unit.map(|u| u + i),
                    range: start..start + run.order,
                    packed: &part[i * size..(i + 1) * size],
                }
            })
        })
    }

    /// The packed triangles, for what is added to them block by block.
    pub(crate) fn blocks_mut(&mut self) -> impl Iterator<Item = (Range<usize>, &mut [f64])> {
        (self.runs.iter().zip(&mut self.parts)).flat_map(|(run, part)| {
            part.chunks_mut(triangle(run.order).max(1)).enumerate().map(move |(i, packed)| {
                let start = run.start + i * run.order;
                (start..start + run.order, packed)
            })
        })
    }

    /// The block of unit `unit` (from 0) of `layer` (from 1), of a whole layer where `unit` is `None`, or `None` if there
    /// is no such block, as in a diagonal.
    pub fn block(&self, layer: usize, unit: Option<usize>) -> Option<Block<'_>> {
        (self.blocks())
            .filter(|_| self.structure != Structure::Diagonal)
            .find(|b| b.layer == Some(layer) && b.unit == unit)
    }

    /// The lower triangle of the only block: that of a `Full` matrix.
    pub(crate) fn into_lower(mut self) -> Result<Vec<f64>> {
        match (self.structure, self.parts.pop()) {
            (Structure::Full, Some(lower)) => Ok(lower),
            _ if self.order == 0 => Ok(Vec::new()),
            _ => Err(Error::invalid(
                "the matrix",
                format!("it is {}, where one block is needed", self.structure.name()),
            )),
        }
    }

    /// Entry (a, b); 0 outside the blocks.
    ///
    /// # Errors
    /// `Invalid` for an index that is not below the order.
    pub fn entry(&self, a: usize, b: usize) -> Result<f64> {
        let (high, low) = (a.max(b), a.min(b));
        if high >= self.order {
            let why = format!("({a}, {b}) lies outside a matrix of order {}", self.order);
            return Err(Error::invalid("entry", why));
        }
        let run = self.runs.partition_point(|r| r.start + r.count * r.order <= high);
        let Run { start, order, .. } = self.runs[run];
        if low < start || (low - start) / order != (high - start) / order {
            return Ok(0.0);
        }
        let at = (high - start) / order;
        let (a, b) = ((high - start) % order, (low - start) % order);
        Ok(self.parts[run][at * triangle(order) + triangle(a) + b])
    }

    /// The whole matrix, P × P.
    ///
    /// # Errors
    /// `Memory` if it would take more than the memory that is available.
    pub fn dense(&self) -> Result<Array2<f64>> {
        let p = self.order;
        let what = format!("the dense form of a matrix of order {p}");
        require_memory(&what, bytes_of(&[8, p, p]), "use the blocks, or products")?;
        let mut out = Array2::zeros((p, p));
        for block in self.blocks() {
            let start = block.range.start;
            for a in 0..block.order() {
                for (b, &v) in block.row(a).iter().enumerate() {
                    out[[start + a, start + b]] = v;
                    out[[start + b, start + a]] = v;
                }
            }
        }
        Ok(out)
    }

    /// B v, length P.
    ///
    /// # Errors
    /// v has the wrong length; v or the product is not finite.
    pub fn product(&self, v: &[f64]) -> Result<Vec<f64>> {
        self.check(v)?;
        let mut out = vec![0.0; self.order];
        for block in self.blocks() {
            block.times(&v[block.range.clone()], &mut out[block.range.clone()]);
        }
        finite("the product", &out)?;
        Ok(out)
    }

    /// vᵀBv.
    ///
    /// # Errors
    /// As [`product`](Matrix::product).
    pub fn quadratic_form(&self, v: &[f64]) -> Result<f64> {
        self.check(v)?;
        let of_block = |b: Block| solve::quadratic_form(b.packed, &v[b.range.clone()]);
        let form: f64 = self.blocks().map(of_block).sum();
        if form.is_finite() { Ok(form) } else { Err(Error::non_finite("the quadratic form", &[])) }
    }

    /// The diagonal, length P.
    pub fn diagonal(&self) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.order);
        for block in self.blocks() {
            out.extend((0..block.order()).map(|a| block.packed[triangle(a) + a]));
        }
        out
    }

    /// Σ_a B_aa; infinite beyond the range of f64.
    pub fn trace(&self) -> f64 {
        self.diagonal().iter().sum()
    }

    /// ln det B.
    ///
    /// # Errors
    /// `NotPositiveDefinite` with block and pivot; for other matrices there are the [`eigenvalues`](Matrix::eigenvalues).
    pub fn log_determinant(&self) -> Result<f64> {
        let parts = self.by_block(|b| Ok(b.cholesky()?.log_determinant()))?;
        Ok(parts.into_iter().sum())
    }

    /// The sign of det B, 0 where an eigenvalue is 0, and ln |det B| = Σ_i ln |λ_i|.
    ///
    /// ```
    /// use secondo::Matrix;
    /// let b = Matrix::full(2, vec![1.0, 2.0, 1.0])?; // [[1, 2], [2, 1]], eigenvalues −1 and 3
    /// let (sign, logarithm) = b.signed_log_determinant()?;
    /// assert!(sign == -1.0 && (logarithm - 3.0_f64.ln()).abs() < 1e-15);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`eigenvalues`](Matrix::eigenvalues).
    pub fn signed_log_determinant(&self) -> Result<(f64, f64)> {
        match self.log_determinant() {
            Ok(logarithm) => return Ok((1.0, logarithm)),
            Err(Error::NotPositiveDefinite { .. }) => {}
            Err(other) => return Err(other),
        }
        let values = self.eigenvalues()?;
        let sign = |v: &f64| if *v == 0.0 { 0.0 } else { v.signum() };
        Ok((values.iter().map(sign).product(), values.iter().map(|v| v.abs().ln()).sum()))
    }

    /// B⁻¹b, length P, by Cholesky factors, or by eigenvectors where a block is not positive definite.
    ///
    /// # Errors
    /// b has the wrong length; b or the solution is not finite; `Numerical` where B is singular to rounding, with the block
    /// and the sizes of its eigenvalues.
    pub fn solve(&self, b: &[f64]) -> Result<Vec<f64>> {
        self.check(b)?;
        let parts = self.by_block(|block| {
            let mut x = b[block.range.clone()].to_vec();
            match block.factors()? {
                Factors::Cholesky(factor) => factor.solve(&mut x)?,
                Factors::Spectrum(values, vectors) => {
                    let vectors = || vectors.chunks_exact(block.order());
                    let along: Vec<f64> =
                        (vectors().zip(&values)).map(|(v, value)| dot(v, &x) / value).collect();
                    x.fill(0.0);
                    for (v, along) in vectors().zip(along) {
                        x.iter_mut().zip(v).for_each(|(x, v)| *x += along * v);
                    }
                }
            }
            Ok(x)
        })?;
        let x = parts.concat();
        finite("the solution", &x)?;
        Ok(x)
    }

    /// B⁻¹, in the same blocks.
    ///
    /// # Errors
    /// As [`solve`](Matrix::solve).
    pub fn inverse(&self) -> Result<Matrix> {
        let inverses = self.by_block(|block| {
            Ok(match block.factors()? {
                Factors::Cholesky(factor) => factor.inverse()?,
                Factors::Spectrum(values, vectors) => {
                    let d = block.order();
                    let mut out = zeros("an inverse", triangle(d))?;
                    for (v, value) in vectors.chunks_exact(d).zip(values) {
                        for a in 0..d {
                            let factor = v[a] / value;
                            let row = &mut out[triangle(a)..triangle(a + 1)];
                            row.iter_mut().zip(v).for_each(|(x, v)| *x += factor * v);
                        }
                    }
                    out
                }
            })
        })?;
        let mut inverses = inverses.into_iter();
        let parts = (self.runs.iter())
            .map(|run| inverses.by_ref().take(run.count).flatten().collect())
            .collect();
        let inverse =
            Matrix { structure: self.structure, order: self.order, runs: self.runs.clone(), parts };
        inverse.finite("the inverse")
    }

    /// The eigenvalues, ascending, P numbers.
    ///
    /// # Errors
    /// `NonFinite` where one exceeds the range of f64; `Numerical` should the iteration not converge.
    pub fn eigenvalues(&self) -> Result<Vec<f64>> {
        let parts = self.by_block(|b| solve::eigenvalues(b.packed, b.order()))?;
        let mut all = parts.concat();
        all.sort_by(f64::total_cmp);
        Ok(all)
    }

    /// max |λ| / min |λ|, the condition in the 2-norm; infinite where an eigenvalue is 0, 1 for order 0.
    ///
    /// # Errors
    /// As [`eigenvalues`](Matrix::eigenvalues).
    pub fn condition(&self) -> Result<f64> {
        let values = self.eigenvalues()?;
        let size = |fold: fn(f64, f64) -> f64| values.iter().map(|v| v.abs()).reduce(fold);
        Ok(match (size(f64::max), size(f64::min)) {
            (Some(high), Some(low)) if low > 0.0 => high / low,
            (Some(_), _) => f64::INFINITY,
            _ => 1.0,
        })
    }

    /// Calls `f` for every block, on all cores; of several errors the first block's is returned.
    fn by_block<T: Send>(&self, f: impl Fn(Block) -> Result<T> + Send + Sync) -> Result<Vec<T>> {
        let blocks: Vec<Block> = self.blocks().collect();
        let done: Vec<Result<T>> = blocks.into_par_iter().map(f).collect();
        done.into_iter().collect()
    }

    fn check(&self, v: &[f64]) -> Result<()> {
        if v.len() == self.order {
            finite("vector", v)
        } else {
            Err(Error::shape("vector", &[self.order], &[v.len()]))
        }
    }
}

impl LinearOperator for Matrix {
    fn order(&self) -> usize {
        self.order
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Result<Array2<f64>> {
        if vectors.ncols() != self.order {
            return Err(Error::shape("vectors", &[self.order], &[vectors.ncols()]));
        }
        let mut out = Array2::zeros(vectors.raw_dim());
        for (v, mut out) in vectors.rows().into_iter().zip(out.rows_mut()) {
            out.assign(&ndarray::Array1::from(self.product(&v.to_vec())?));
        }
        Ok(out)
    }

    fn product(&self, v: &[f64]) -> Result<Vec<f64>> {
        Matrix::product(self, v)
    }
}

/// The decomposition that solves a system with a block.
enum Factors {
    Cholesky(Cholesky),
    /// Eigenvalues, none of them 0 to rounding, and eigenvectors.
    Spectrum(Vec<f64>, Vec<f64>),
}

impl<'a> Block<'a> {
    /// A place without numbers.
    pub(crate) fn place(layer: Option<usize>, unit: Option<usize>, range: Range<usize>) -> Self {
        Block { layer, unit, range, packed: &[] }
    }

    /// The number of the block's parameters.
    pub fn order(&self) -> usize {
        self.range.len()
    }

    /// The lower triangle row by row: entry (a, b), a ≥ b, stands at a(a+1)/2 + b.
    pub fn packed(&self) -> &'a [f64] {
        self.packed
    }

    /// Row a up to the diagonal.
    fn row(&self, a: usize) -> &'a [f64] {
        &self.packed[triangle(a)..triangle(a + 1)]
    }

    /// Entry (a, b), counted inside the block.
    ///
    /// # Errors
    /// `Invalid` for an index that is not below the order.
    pub fn entry(&self, a: usize, b: usize) -> Result<f64> {
        let (high, low) = (a.max(b), a.min(b));
        if high >= self.order() {
            let why = format!("({a}, {b}) lies outside a block of order {}", self.order());
            return Err(Error::invalid("entry", why));
        }
        Ok(self.packed[triangle(high) + low])
    }

    /// The block as a square matrix.
    pub fn dense(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.order(), self.order()), |(a, b)| {
            self.packed[triangle(a.max(b)) + a.min(b)]
        })
    }

    /// The diagonal.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.order()).map(|a| self.packed[triangle(a) + a]).collect()
    }

    /// out = B v for a vector of the block's order.
    fn times(&self, v: &[f64], out: &mut [f64]) {
        for a in 0..v.len() {
            let row = self.row(a);
            out[a] += dot(row, &v[..=a]);
            let (before, factor) = (&mut out[..a], v[a]);
            before.iter_mut().zip(row).for_each(|(x, r)| *x += factor * r);
        }
    }

    fn cholesky(&self) -> Result<Cholesky> {
        Cholesky::new(self.packed, self.order()).map_err(|e| match e {
            Error::NotPositiveDefinite { pivot, .. } => {
                Error::NotPositiveDefinite { what: self.to_string(), pivot }
            }
            other => other.inside(&self.to_string()),
        })
    }

    /// # Errors
    /// `Numerical` where the block is singular to rounding.
    fn factors(&self) -> Result<Factors> {
        match self.cholesky() {
            Ok(factor) if !factor.is_singular() => return Ok(Factors::Cholesky(factor)),
            // A pivot that is all rounding: the eigenvalues tell how small it is.
            Ok(_) | Err(Error::NotPositiveDefinite { .. }) => {}
            Err(other) => return Err(other),
        }
        let (values, vectors) = eigen(self.packed, self.order())?;
        let sizes = || values.iter().map(|v| v.abs());
        let high = sizes().fold(0.0, f64::max);
        let low = sizes().fold(f64::MAX, f64::min);
        if low / high > self.order() as f64 * U {
            return Ok(Factors::Spectrum(values, vectors));
        }
        Err(Error::Numerical {
            what: format!(
                "{self} is singular to rounding: its eigenvalues' sizes go from {low:.1e} to {high:.1e}; \
                 add a penalty, or remove parameters that do not matter"
            ),
        })
    }
}

impl fmt::Display for Block<'_> {
    /// Which block it is, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.layer, self.unit) {
            (Some(layer), Some(unit)) => write!(f, "the block of unit {unit} of layer {layer}"),
            (Some(layer), None) if self.order() > 1 => write!(f, "the block of layer {layer}"),
            _ if self.order() == 1 => write!(f, "diagonal entry {}", self.range.start),
            _ => write!(f, "the matrix of order {}", self.order()),
        }
    }
}
