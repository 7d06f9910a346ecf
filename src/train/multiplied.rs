//! A matrix that is not formed: its products, and conjugate gradients with them.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::certificate::{Downward, Promise, Question};
use super::evaluator::blocks;
use super::objective::{Ellipsoid, Quadratic, Short};
use crate::curvature::{LinearOperator, Matrix, Structure};
use crate::error::{Error, Result};
use crate::session::Operator;
use crate::solve::{ConjugateStep, Preconditioner, conjugate_gradients, dot, largest};

/// How much of the gradient conjugate gradients may leave when they are asked for Newton's decrement, …
const ALMOST: f64 = 1e-4;
/// … and where its size is enough.
const ROUGHLY: f64 = 0.1;

/// A matrix by its products.
pub(super) struct Multiplied<'a> {
    operator: Operator<'a>,
    /// The matrix from which the preconditioner is made, until it is.
    matrix: Option<Matrix>,
    /// Its diagonal.
    diagonal: Option<Vec<f64>>,
    preconditioner: Option<Preconditioner>,
    /// The most products for one step.
    most: usize,
    /// The unit roundoff of the products.
    roundoff: f64,
    /// Products since they were last counted.
    used: usize,
    /// A step along negative curvature, downhill, with its slope gᵀp ≤ 0 and curvature pᵀBp < 0.
    descent: Option<(Short, f64, f64)>,
}

impl<'a> Multiplied<'a> {
    /// The matrix of `operator`, with a preconditioner from `matrix`, and so many products for one step.
    pub fn new(operator: Operator<'a>, matrix: Option<Matrix>, most: usize, roundoff: f64) -> Self {
        Multiplied {
            operator,
            diagonal: matrix.as_ref().map(Matrix::diagonal),
            matrix,
            preconditioner: None,
            most,
            roundoff,
            used: 0,
            descent: None,
        }
    }

    /// Takes the products from another operator of the same matrix.
    pub fn go_on_with(&mut self, operator: Operator<'a>, roundoff: f64) {
        (self.operator, self.roundoff) = (operator, roundoff);
    }

    /// The products since they were last counted.
    pub fn take_used(&mut self) -> usize {
        std::mem::take(&mut self.used)
    }

    /// The roots of the diagonal, not below a millionth of the largest, in units R.
    pub fn roots(&self, scales: &[f64]) -> Vec<f64> {
        let relative = |(v, scale): (&f64, &f64)| v.abs().sqrt() / scale;
        let diagonal = self.diagonal.as_deref().unwrap_or_default();
        if diagonal.is_empty() {
            return scales.to_vec();
        }
        let roots: Vec<f64> = diagonal.iter().zip(scales).map(relative).collect();
        let least = 1e-6 * largest(&roots);
        let of = |(root, scale): (&f64, &f64)| match root.max(least) {
            0.0 => *scale,
            root => root * scale,
        };
        roots.iter().zip(scales).map(of).collect()
    }

    fn solve(
        &mut self,
        region: &Ellipsoid,
        gradient: &[f64],
        forcing: f64,
    ) -> Result<ConjugateStep> {
        let made = match (self.preconditioner.take(), self.matrix.take()) {
            (Some(made), _) => made,
            (None, None) => {
                Preconditioner::Diagonal(region.scales.iter().map(|scale| scale * scale).collect())
            }
            (None, Some(matrix)) if matrix.structure() == Structure::Diagonal => {
                Preconditioner::Diagonal(region.scaling.iter().map(|d| d * d).collect())
            }
            (None, Some(matrix)) => Preconditioner::blocks_in(blocks(&matrix), region.scales)?,
        };
        let found = self.solve_with(&made, region.radius, gradient, forcing);
        self.preconditioner = Some(made);
        found
    }

    fn solve_with(
        &mut self,
        preconditioner: &Preconditioner,
        radius: f64,
        gradient: &[f64],
        forcing: f64,
    ) -> Result<ConjugateStep> {
        let (most, used) = (self.most, &mut self.used);
        let product = |v: &[f64]| {
            *used += 1;
            self.operator.product(v)
        };
        conjugate_gradients(product, gradient, preconditioner, radius, forcing, most)
    }
}

impl From<ConjugateStep> for Short {
    fn from(found: ConjugateStep) -> Self {
        let ConjugateStep { step, reduction, length, boundary, .. } = found;
        Short { step, reduction, length, boundary }
    }
}

impl Quadratic for Multiplied<'_> {
    fn diagonal(&self) -> Option<Vec<f64>> {
        self.diagonal.clone()
    }

    fn step(&mut self, region: &Ellipsoid) -> Result<Short> {
        let Some((descent, slope, curvature)) = self.descent.as_ref().filter(|_| region.leaving)
        else {
            return Ok(self.solve(region, region.gradient, region.forcing)?.into());
        };
        let t = region.radius / descent.length;
        Ok(Short {
            step: descent.step.iter().map(|v| t * v).collect(),
            reduction: -t * (slope + 0.5 * t * curvature),
            length: region.radius,
            boundary: true,
        })
    }

    /// Whether there is negative curvature; how much a step would gain is a question to [`Multiplied::promise`].
    fn examine(&mut self, region: &Ellipsoid) -> Result<Promise> {
        Ok(Promise { curvature: self.downward(region, None)?, ..Promise::UNKNOWN })
    }
}

impl Multiplied<'_> {
    /// The promise of the model, by conjugate gradients: what they gained, and what is left of the gradient over the smallest
    /// eigenvalue that they have seen. Roughly, where that is enough.
    pub fn promise(&mut self, region: &Ellipsoid, question: Question) -> Result<Promise> {
        let mut promise = Promise::UNKNOWN;
        let is_open = question.enough < f64::INFINITY;
        for forcing in [ROUGHLY, ALMOST].into_iter().skip(usize::from(!is_open)) {
            let wide = Ellipsoid { radius: f64::MAX, ..*region };
            let found = match question.preconditioner {
                Some(own) => self.solve_with(own, wide.radius, region.gradient, forcing),
                None => self.solve(&wide, region.gradient, forcing),
            };
            let found = match found {
                // Negative curvature leads beyond any radius.
                Err(Error::Numerical { .. }) => {
                    return Ok(Promise { curvature: Downward::LeadsOn, ..Promise::UNKNOWN });
                }
                found => found?,
            };
            let rest = if found.rest > 0.0 { 0.5 * found.rest / found.lowest()? } else { 0.0 };
            let gain = found.reduction + rest;
            promise = Promise::of_step(gain, &found.step, region.x, region.scales);
            if found.reduction > question.enough && !promise.settled {
                return Ok(promise);
            }
        }
        let judge = question.preconditioner.filter(|_| question.is_whole);
        let curvature = self.downward(region, judge)?;
        Ok(Promise { curvature, ..promise })
    }

    /// Whether conjugate gradients from a fixed random vector meet negative curvature, with a preconditioner if it is not to be the
    /// matrix's own.
    fn downward(
        &mut self,
        region: &Ellipsoid,
        preconditioner: Option<&Preconditioner>,
    ) -> Result<Downward> {
        let mut random = Pcg64::seed_from_u64(1);
        // So small beside the radius that the way to the boundary is all that is left of the step.
        let probe: Vec<f64> = (region.scaling.iter())
            .map(|d| d * region.radius * 1e-12 * (2.0 * random.random::<f64>() - 1.0))
            .collect();
        let found = match preconditioner {
            Some(judge) => self.solve_with(judge, region.radius, &probe, 1e-8)?,
            None => self.solve(region, &probe, 1e-8)?,
        };
        let mut found = Short::from(found);
        if !found.boundary {
            return Ok(Downward::Nowhere);
        }
        let image = self.operator.product(&found.step)?;
        self.used += 1;
        let curvature = dot(&found.step, &image);
        // Rounding errors have the size of B's entries, even where B takes the vector to 0.
        let entries: f64 = (self.diagonal.iter().flatten().zip(&found.step))
            .map(|(entry, v)| entry.abs() * v * v)
            .sum();
        let size = (dot(&found.step, &found.step) * dot(&image, &image)).sqrt().max(entries);
        if curvature >= -20.0 * probe.len() as f64 * self.roundoff * size {
            return Ok(Downward::Nowhere);
        }
        let mut slope = dot(&found.step, region.gradient);
        if slope > 0.0 {
            slope = -slope;
            found.step.iter_mut().for_each(|v| *v = -*v);
        }
        self.descent = Some((found, slope, curvature));
        Ok(Downward::LeadsOn)
    }
}
