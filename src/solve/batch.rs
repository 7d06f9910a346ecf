//! Many blocks at once: the step of block-diagonal Newton.

use rayon::prelude::*;

use super::factor::{Decomposition, check_damping};
use super::{Indefinite, Modification, Workspace, packed};
use crate::error::{Error, Result};

/// The blocks of a block-diagonal curvature matrix, made ready for solving with several dampings μ.
///
/// ```text
/// p_j = −(B̃_j + μI)⁻¹ g_j
/// ```
///
/// Block j is a packed lower triangle of order d_j; the orders may differ. Gradient and step are the
/// g_j and p_j one after the other, Σ_j d_j numbers. Blocks are shared out over the cores; no
/// result depends on their number. Memory: 8d² bytes for each thread, and 8d_j² for each indefinite
/// block under `absolute` and `clip`.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., §3.4, block by block.
///
/// ```
/// use secondo::solve::{Batch, Indefinite};
///
/// // B₁ = [2], B₂ = diag(1, 4), g = (2; 1, 8): p = (−1; −1, −2).
/// let blocks: [(&[f64], usize); 2] = [(&[2.0], 1), (&[1.0, 0.0, 4.0], 2)];
/// let batch = Batch::new(blocks, Indefinite::Absolute)?;
/// let newton = batch.step(0.0, &[2.0, 1.0, 8.0])?;
/// assert_eq!(newton.step, [-1.0, -1.0, -2.0]);
/// assert_eq!(newton.reduction(), 0.5 * (2.0 + 1.0 + 16.0));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    blocks: Vec<(&'a [f64], usize)>,
    decompositions: Decompositions,
}

/// A [`Batch`] without its blocks, of which it may outlive a borrow.
#[derive(Debug, Clone)]
pub(crate) struct Decompositions(Vec<Decomposition>);

/// The steps of all blocks, as [`Batch::step`] found them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Steps {
    /// The p_j one after the other.
    pub step: Vec<f64>,
    /// g_jᵀp_j of each block, negative unless g_j = 0.
    pub slope: Vec<f64>,
    /// p_jᵀB_jp_j of each block, with B_j as it was given.
    pub curvature: Vec<f64>,
    /// How many blocks are indefinite (see [`Modification::indefinite`]).
    pub indefinite: usize,
    /// The largest [`Modification::change`].
    pub change: f64,
    /// The most negative eigenvalue that had to be computed (see [`Modification::lowest`]).
    pub lowest: Option<f64>,
}

impl Steps {
    /// The reduction that the quadratic model with the given B_j predicts.
    ///
    /// ```text
    /// Σ_j (−g_jᵀp_j − ½ p_jᵀB_jp_j)
    /// ```
    ///
    /// At least ½ Σ_j |g_jᵀp_j|, since B̃_j + μI − B_j is positive semidefinite.
    pub fn reduction(&self) -> f64 {
        let terms = self.slope.iter().zip(&self.curvature);
        terms.map(|(slope, curvature)| -slope - 0.5 * curvature).sum()
    }
}

impl<'a> Batch<'a> {
    /// Takes blocks as packed lower triangles with their orders.
    ///
    /// # Errors
    /// those of [`Factor::new`](super::Factor::new), of the first block that has one.
    pub fn new(
        blocks: impl IntoIterator<Item = (&'a [f64], usize)>,
        policy: Indefinite,
    ) -> Result<Self> {
        let blocks: Vec<_> = blocks.into_iter().collect();
        let decompositions = Decompositions::new(&blocks, policy)?;
        Ok(Batch { blocks, decompositions })
    }

    /// The number of rows of all blocks, Σ_j d_j.
    pub fn order(&self) -> usize {
        self.blocks.iter().map(|(_, d)| d).sum()
    }

    /// The steps with damping μ at a gradient of Σ_j d_j numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NonFinite`] for the gradient, [`Error::Invalid`] for
    /// μ < 0 or not finite, [`Error::Numerical`] if a step is beyond the range of f64.
    pub fn step(&self, mu: f64, gradient: &[f64]) -> Result<Steps> {
        self.decompositions.step(&self.blocks, mu, gradient)
    }
}

impl Decompositions {
    /// Decomposes the blocks over the cores.
    pub fn new(blocks: &[(&[f64], usize)], policy: Indefinite) -> Result<Self> {
        let made: Vec<_> = blocks
            .par_iter()
            .map_init(Workspace::new, |work, &(lower, d)| {
                Decomposition::new(work, lower, d, policy)
            })
            .collect();
        Ok(Decompositions(made.into_iter().collect::<Result<_>>()?))
    }

    /// The steps with damping μ for the blocks that were decomposed.
    pub fn step(&self, blocks: &[(&[f64], usize)], mu: f64, gradient: &[f64]) -> Result<Steps> {
        let order = blocks.iter().map(|(_, d)| d).sum();
        if gradient.len() != order {
            return Err(Error::shape("gradient", &[order], &[gradient.len()]));
        }
        packed::finite("gradient", gradient)?;
        check_damping(mu)?;
        let mut step = gradient.to_vec();
        let mut jobs = Vec::with_capacity(blocks.len());
        let (mut g, mut p) = (gradient, step.as_mut_slice());
        for (made, &(lower, d)) in self.0.iter().zip(blocks) {
            let (g_j, p_j);
            (g_j, g) = g.split_at(d);
            (p_j, p) = p.split_at_mut(d);
            jobs.push((made, lower, g_j, p_j));
        }
        let blocks: Vec<Result<Block>> = jobs
            .into_par_iter()
            .map_init(Workspace::new, |work, (made, lower, g, p)| {
                Block::solve(work, made, lower, mu, g, p)
            })
            .collect();
        let mut steps = Steps {
            step,
            slope: Vec::with_capacity(blocks.len()),
            curvature: Vec::with_capacity(blocks.len()),
            indefinite: 0,
            change: 0.0,
            lowest: None,
        };
        for block in blocks {
            let Block { slope, curvature, modification } = block?;
            steps.slope.push(slope);
            steps.curvature.push(curvature);
            steps.indefinite += usize::from(modification.indefinite);
            steps.change = steps.change.max(modification.change);
            if let Some(value) = modification.lowest {
                steps.lowest = Some(steps.lowest.map_or(value, |l| l.min(value)));
            }
        }
        Ok(steps)
    }
}

/// The scalars of one block's step.
struct Block {
    slope: f64,
    curvature: f64,
    modification: Modification,
}

impl Block {
    /// `p` holds g on entry and the step on return.
    fn solve(
        work: &mut Workspace,
        made: &Decomposition,
        lower: &[f64],
        mu: f64,
        g: &[f64],
        p: &mut [f64],
    ) -> Result<Self> {
        let modification = made.solve(work, lower, mu, p)?;
        p.iter_mut().for_each(|v| *v = -*v);
        let slope = packed::dot(g, p);
        let curvature = packed::quadratic_form(lower, p);
        if slope.is_finite() && curvature.is_finite() {
            Ok(Block { slope, curvature, modification })
        } else {
            Err(Error::Numerical {
                what: "the reduction predicted for a step is beyond the range of f64; \
                       use a larger damping"
                    .to_string(),
            })
        }
    }
}
