//! The quadratic model of E at a minimum, from which weights are taken one after another.
//!
//! Taking weight k out moves the others and leaves the model of those that remain,
//!
//! ```text
//! w ← w − (w_k/[A⁻¹]_kk) A⁻¹e_k,   A⁻¹ ← A⁻¹ − A⁻¹e_k e_kᵀA⁻¹/[A⁻¹]_kk
//! ```
//!
//! so that several weights in a row are taken as exactly as one set, not by saliencies that forget one another.

use std::ops::Range;

use ndarray::Array2;

use crate::curvature::{Curvature, LinearOperator, Matrix, Structure};
use crate::device::Device;
use crate::error::{Error, Result, by_name};
use crate::evaluate::Request;
use crate::problem::Problem;
use crate::session::Operator;
use crate::solve::{Preconditioner, conjugate_gradients};

/// The rule by which the next weight is chosen: the one with the smallest saliency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// w_k²/(2 [A⁻¹]_kk): the increase of E after the others have moved (optimal brain surgeon).
    Obs,
    /// ½ A_kk w_k²: the increase of E while the others stay (optimal brain damage).
    Obd,
    /// |w_k|.
    Magnitude,
    /// t_k², of Wald's test with the default covariance; 2/φ times that of `Obs` for φ A⁻¹.
    Wald,
}

impl Criterion {
    /// All of them.
    pub const ALL: [Criterion; 4] =
        [Criterion::Obs, Criterion::Obd, Criterion::Magnitude, Criterion::Wald];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Criterion::Obs => "obs",
            Criterion::Obd => "obd",
            Criterion::Magnitude => "magnitude",
            Criterion::Wald => "wald",
        }
    }

    /// The criterion of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("criterion", name, &Self::ALL.map(|c| (c.name(), c)))
    }
}

/// The part of A⁻¹ that pruning works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// All of it: P² numbers.
    Full,
    /// A is taken for its blocks, one for each layer.
    LayerBlocks,
    /// A is taken for its blocks, one for each unit.
    RowBlocks,
    /// Columns A⁻¹e_k by conjugate gradients, without a matrix, of the weights that the blocks of units suggest.
    Products,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 4] =
        [Scheme::Full, Scheme::LayerBlocks, Scheme::RowBlocks, Scheme::Products];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Full => "full",
            Scheme::LayerBlocks => "layer-blocks",
            Scheme::RowBlocks => "row-blocks",
            Scheme::Products => "products",
        }
    }

    /// The scheme of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("scheme", name, &Self::ALL.map(|s| (s.name(), s)))
    }

    /// The blocks that it forms.
    fn structure(self) -> Structure {
        match self {
            Scheme::Full => Structure::Full,
            Scheme::LayerBlocks => Structure::LayerBlocks,
            Scheme::RowBlocks | Scheme::Products => Structure::RowBlocks,
        }
    }
}

/// A block of A and its inverse.
#[derive(Debug, Clone)]
struct Part {
    range: Range<usize>,
    /// A_kk.
    diagonal: Vec<f64>,
    /// The inverse of the block among the weights that are left.
    inverse: Array2<f64>,
}

/// The quadratic model among the weights that are left.
#[derive(Debug)]
pub(super) struct Quadratic<'a> {
    parts: Vec<Part>,
    /// A as an operator, and its preconditioner.
    exact: Option<(Operator<'a>, Preconditioner)>,
    gone: Vec<bool>,
    /// The weights.
    pub w: Vec<f64>,
}

/// So many candidates of the blocks are judged by products.
const SHORTLIST: usize = 8;
/// Conjugate gradients end where the rest is this part of the right side.
const CLOSE: f64 = 1e-9;

impl<'a> Quadratic<'a> {
    /// The model with all of A and its inverse.
    pub fn new(w: &[f64], diagonal: Vec<f64>, inverse: Array2<f64>) -> Self {
        let part = Part { range: 0..w.len(), diagonal, inverse };
        Quadratic { parts: vec![part], exact: None, gone: vec![false; w.len()], w: w.to_vec() }
    }

    /// The model by blocks or products; none where a block is not positive definite.
    ///
    /// # Errors
    /// Those of the curvature: too little memory, units without second derivatives.
    pub fn by_blocks(
        problem: &'a Problem,
        w: &[f64],
        information: Curvature,
        scheme: Scheme,
    ) -> Result<Option<Self>> {
        let of = |curvature| -> Result<Matrix> {
            let request = Request::curvature(curvature, scheme.structure());
            let found = problem.evaluate_with(&Device::Cpu, w, request)?.curvature;
            found.ok_or_else(|| Error::Numerical { what: "no curvature was formed".into() })
        };
        let matrix = of(information)?;
        if let Err(Error::NotPositiveDefinite { .. }) = matrix.log_determinant() {
            return Ok(None);
        }
        let inverse = matrix.inverse()?;
        let part = |(block, inverse): (crate::Block, crate::Block)| Part {
            range: block.range.clone(),
            diagonal: block.diagonal(),
            inverse: inverse.dense(),
        };
        let parts = matrix.blocks().zip(inverse.blocks()).map(part).collect();
        let exact = match scheme {
            Scheme::Products => {
                let gauss_newton = of(Curvature::GaussNewton)?;
                let blocks = gauss_newton.blocks().map(|b| (b.packed(), b.order()));
                let preconditioner = Preconditioner::blocks(blocks)?;
                Some((problem.operator(w, information)?, preconditioner))
            }
            _ => None,
        };
        let gone = vec![false; w.len()];
        Ok(Some(Quadratic { parts, exact, gone, w: w.to_vec() }))
    }

    fn part(&self, k: usize) -> usize {
        self.parts.partition_point(|part| part.range.end <= k)
    }

    /// [A⁻¹]_ab of the blocks.
    fn entry(&self, a: usize, b: usize) -> f64 {
        let part = &self.parts[self.part(a)];
        let inside = part.range.contains(&b);
        if inside { part.inverse[[a - part.range.start, b - part.range.start]] } else { 0.0 }
    }

    /// Returns the cost of removing a set of weights that are left, by a criterion other than Wald's; none where the blocks are singular
    /// there.
    pub fn saliency(&self, set: &[usize], criterion: Criterion) -> Result<Option<f64>> {
        let w = |k: usize| self.w[k];
        Ok(match criterion {
            Criterion::Magnitude => Some(set.iter().map(|&k| w(k) * w(k)).sum::<f64>().sqrt()),
            Criterion::Obd => {
                let curvature = |k: usize| {
                    let part = &self.parts[self.part(k)];
                    part.diagonal[k - part.range.start]
                };
                Some(set.iter().map(|&k| 0.5 * curvature(k) * w(k) * w(k)).sum())
            }
            Criterion::Obs | Criterion::Wald => self.form(set)?.map(|form| 0.5 * form),
        })
    }

    /// w_Sᵀ([A⁻¹]_SS)⁻¹w_S.
    pub fn form(&self, set: &[usize]) -> Result<Option<f64>> {
        if let [k] = *set {
            let entry = self.entry(k, k);
            return Ok((entry > 0.0).then(|| self.w[k] * self.w[k] / entry));
        }
        let lower = (0..set.len()).flat_map(|a| (0..=a).map(move |b| (a, b)));
        let lower = lower.map(|(a, b)| self.entry(set[a], set[b])).collect();
        let block = Matrix::full(set.len(), lower)?;
        let of_set: Vec<f64> = set.iter().map(|&k| self.w[k]).collect();
        match block.log_determinant() {
            Ok(_) => {
                let x = block.solve(&of_set)?;
                Ok(Some(x.iter().zip(&of_set).map(|(x, w)| x * w).sum()))
            }
            Err(Error::NotPositiveDefinite { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Of single weights those with the lowest saliencies by blocks, judged again by products: the best with its saliency; none where
    /// there are no products, or A is not positive definite along them.
    pub fn refined(&self, ranked: &[usize]) -> Result<Option<(usize, f64)>> {
        if self.exact.is_none() {
            return Ok(None);
        }
        let mut best: Option<(usize, f64)> = None;
        for &k in ranked.iter().take(SHORTLIST) {
            let Some(column) = self.column(k)? else { continue };
            let saliency = 0.5 * self.w[k] * self.w[k] / column[k];
            if best.is_none_or(|(_, lowest)| saliency < lowest) {
                best = Some((k, saliency));
            }
        }
        Ok(best)
    }

    /// A⁻¹e_k among the weights that are left, by conjugate gradients; none where A is not positive definite along the way.
    fn column(&self, k: usize) -> Result<Option<Vec<f64>>> {
        let Some((operator, preconditioner)) = &self.exact else {
            return Ok(None);
        };
        let keep = |v: &[f64]| -> Vec<f64> {
            v.iter().zip(&self.gone).map(|(v, gone)| if *gone { 0.0 } else { *v }).collect()
        };
        let mut unit = vec![0.0; self.w.len()];
        unit[k] = -1.0;
        let product = |v: &[f64]| Ok(keep(&operator.product(&keep(v))?));
        let most = 10 * self.w.len() + 100;
        let found = conjugate_gradients(product, &unit, preconditioner, 1e150, CLOSE, most)?;
        let column = keep(&found.step);
        Ok((!found.boundary && column[k] > 0.0).then_some(column))
    }

    /// Takes out the weights of a set, one after another.
    ///
    /// # Errors
    /// Those of the products.
    pub fn remove(&mut self, set: &[usize]) -> Result<()> {
        for &k in set {
            if let Some(column) = self.column(k)? {
                let step = self.w[k] / column[k];
                self.w.iter_mut().zip(&column).for_each(|(w, c)| *w -= step * c);
            }
            let by_products = self.exact.is_some();
            let at = self.part(k);
            let part = &mut self.parts[at];
            let (local, start) = (k - part.range.start, part.range.start);
            let column = part.inverse.column(local).to_vec();
            let pivot = column[local];
            if pivot > 0.0 {
                if !by_products {
                    let step = self.w[k] / pivot;
                    let moved = self.w[start..].iter_mut().zip(&column);
                    moved.for_each(|(w, c)| *w -= step * c);
                }
                for (mut row, c) in part.inverse.rows_mut().into_iter().zip(&column) {
                    let factor = c / pivot;
                    row.iter_mut().zip(&column).for_each(|(v, c)| *v -= factor * c);
                }
            }
            self.set_aside(&[k]);
        }
        Ok(())
    }

    /// Takes out weights without moving the others.
    pub fn set_aside(&mut self, set: &[usize]) {
        for &k in set {
            let at = self.part(k);
            let part = &mut self.parts[at];
            let local = k - part.range.start;
            part.inverse.row_mut(local).fill(0.0);
            part.inverse.column_mut(local).fill(0.0);
            self.gone[k] = true;
        }
        self.w.iter_mut().zip(&self.gone).filter(|(_, g)| **g).for_each(|(w, _)| *w = 0.0);
    }
}
