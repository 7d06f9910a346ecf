//! Fixed and tied parameters: W = fixed + C θ.

use std::ops::Range;

use super::{Network, Propagation};
use crate::curvature::{Block, Matrix, Structure, triangle};
use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_large};
use crate::solve::finite;

/// The affine map W = fixed + C θ from free parameters θ to the flat vector W.
///
/// A parameter that no θ reaches is fixed; two parameters that one θ reaches are tied.
/// Derivatives follow by the chain rule: ∂E/∂θ = Cᵀ ∂E/∂W.
///
/// ```
/// use secondo::Constraint;
/// // W = (θ₀, 3, θ₀): the first and the last are tied, the second is fixed.
/// let c = Constraint::new(vec![0.0, 3.0, 0.0], 1, vec![(0, 0, 1.0), (2, 0, 1.0)])?;
/// assert_eq!(c.weights(&[2.0])?, [2.0, 3.0, 2.0]);
/// assert_eq!(c.pull_back(&[1.0, 10.0, 100.0])?, [101.0]);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    fixed: Vec<f64>,
    free: usize,
    /// The entries of C that are not 0, by row and then column, each place once.
    entries: Vec<(usize, usize, f64)>,
}

impl Constraint {
    /// `fixed` has the length of W; `entries` are (row, column, value) of C, rows numbering W and columns
    /// the `free` parameters θ. Entries at the same place add up.
    ///
    /// # Errors
    /// An index out of range, a number that is not finite, a θ that reaches no parameter.
    pub fn new(
        fixed: Vec<f64>,
        free: usize,
        mut entries: Vec<(usize, usize, f64)>,
    ) -> Result<Self> {
        if let Some(i) = fixed.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("constraint: fixed", &[i]));
        }
        if free > entries.len() {
            return Err(Error::invalid(
                "constraint: C",
                format!("{} entries cannot reach {free} parameters θ", entries.len()),
            ));
        }
        for &(row, column, value) in &entries {
            if row >= fixed.len() || column >= free {
                return Err(Error::invalid(
                    "constraint: C",
                    format!("entry ({row}, {column}) lies outside {} × {free}", fixed.len()),
                ));
            }
            if !value.is_finite() {
                return Err(Error::non_finite("constraint: C", &[row, column]));
            }
        }
        entries.sort_by_key(|e| (e.0, e.1));
        entries.dedup_by(|next, sum| {
            let same = (next.0, next.1) == (sum.0, sum.1);
            if same {
                sum.2 += next.2;
            }
            same
        });
        entries.retain(|e| e.2 != 0.0);
        let mut reached = vec![false; free];
        for &(row, column, value) in &entries {
            if !value.is_finite() {
                return Err(Error::non_finite("constraint: C", &[row, column]));
            }
            reached[column] = true;
        }
        if let Some(l) = reached.iter().position(|r| !r) {
            return Err(Error::invalid(
                "constraint: C",
                format!("θ[{l}] reaches no parameter; remove it"),
            ));
        }
        Ok(Constraint { fixed, free, entries })
    }

    /// The output `o` held at 0: the parameters of that unit of the last layer are 0, and all others free, in the order of W.
    ///
    /// ```
    /// use secondo::{Activation, Constraint, Network};
    /// // Rows of the last layer: (w, bias) of output 0, then of output 1.
    /// let network = Network::dense(&[1, 2], Activation::Identity)?;
    /// let second = Constraint::without_output(&network, 0)?;
    /// assert_eq!(second.weights(&[5.0, 7.0])?, [0.0, 0.0, 5.0, 7.0]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such output, a single one, or one without parameters.
    pub fn without_output(network: &Network, o: usize) -> Result<Self> {
        let p = network.parameters();
        let layer = network.layers().last();
        let rows = (layer.iter().flat_map(|layer| &layer.groups))
            .filter(|group| group.row > 0)
            .flat_map(|group| group.range.clone().step_by(group.row).map(|at| at..at + group.row));
        let rows: Vec<Range<usize>> = rows.collect();
        if rows.len() != network.outputs() || rows.len() < 2 {
            let why = "the last layer needs two outputs or more, each with parameters";
            return Err(Error::invalid("output held at 0", why));
        }
        let Some(held) = rows.get(o) else {
            let why = format!("there are {} outputs, and no output {o}", rows.len());
            return Err(Error::invalid("output held at 0", why));
        };
        let free = (0..p).filter(|l| !held.contains(l)).enumerate();
        let entries: Vec<_> = free.map(|(theta, l)| (l, theta, 1.0)).collect();
        Constraint::new(vec![0.0; p], entries.len(), entries)
    }

    /// One M for all radial units of the same form in layer k: W = Cθ with their parameters of M tied, unit by unit, and all
    /// other parameters free, in the order of W. For isotropic units, that is one σ shared by the layer.
    ///
    /// ```
    /// use secondo::{Activation, Constraint, Group, Layer, Network, Radial};
    /// let gaussians = Group::radial(3, Radial::IsotropicSigma, Activation::ExpNegHalf);
    /// let net = Network::new(1, vec![
    ///     Layer::of(vec![gaussians]),
    ///     Layer::dense(1, Activation::Identity).without_bias(),
    /// ])?;
    /// let shared = Constraint::shared_width(&net, 1)?;
    /// // θ: μ₀, σ, μ₁, μ₂, and three output weights; the σ of a start are averaged.
    /// let theta = shared.project(&[-1.0, 0.5, 0.0, 1.5, 1.0, 1.0, 7.0, 8.0, 9.0])?;
    /// assert_eq!(theta, [-1.0, 1.0, 0.0, 1.0, 7.0, 8.0, 9.0]);
    /// assert_eq!(shared.weights(&theta)?, [-1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 7.0, 8.0, 9.0]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// No such layer, or no radial unit with a centre in it; `Memory`.
    pub fn shared_width(network: &Network, k: usize) -> Result<Self> {
        let p = network.parameters();
        let mut leaders = Vec::new();
        let layer = network.layer(k).ok_or_else(|| {
            Error::invalid("layer", format!("{k} is not between 1 and {}", network.depth()))
        })?;
        let radial = |g: &crate::network::GroupView| match g.propagation {
            Propagation::Radial(form) if form.shape(layer.inputs) > 0 => Some(form),
            _ => None,
        };
        // Three numbers for each entry of C, its value in W, and how it is found.
        require_large("the ties of a layer", bytes_of(&[64, p]), "make the layers narrower")?;
        // For each parameter the first one that it is tied to.
        let mut leader: Vec<usize> = (0..p).collect();
        for g in &layer.groups {
            let Some(form) = radial(g) else { continue };
            let first = match leaders.iter().find(|(f, _)| *f == form) {
                Some((_, first)) => *first,
                None => {
                    leaders.push((form, g.range.start));
                    g.range.start
                }
            };
            for unit in g.range.clone().step_by(g.row) {
                for l in form.shape(layer.inputs)..g.row {
                    leader[unit + l] = first + l;
                }
            }
        }
        if leaders.is_empty() {
            return Err(Error::invalid(
                format!("layer {k}"),
                "it has no radial unit whose width could be shared",
            ));
        }
        let (mut column, mut free) = (vec![None; p], 0);
        let mut entries = Vec::with_capacity(p);
        for l in 0..p {
            let at = *column[leader[l]].get_or_insert_with(|| {
                free += 1;
                free - 1
            });
            entries.push((l, at, 1.0));
        }
        Self::new(vec![0.0; p], free, entries)
    }

    /// The θ whose W = fixed + Cθ is nearest to `w` in least squares: θ_l = Σ_a C_al (w_a − fixed_a) / Σ_a C_al².
    ///
    /// # Errors
    /// `w` has the wrong length; `Unsupported` if two θ reach the same parameter; `NonFinite` if `w` or a θ is not finite.
    pub fn project(&self, w: &[f64]) -> Result<Vec<f64>> {
        let mut owner = vec![None; self.fixed.len()];
        for &(row, column, _) in &self.entries {
            if *owner[row].get_or_insert(column) != column {
                return Err(Error::Unsupported {
                    what: "θ from W".into(),
                    why: format!("several θ reach parameter {row}; give θ itself"),
                });
            }
        }
        if w.len() != self.fixed.len() {
            return Err(Error::shape("parameters", &[self.fixed.len()], &[w.len()]));
        }
        let less: Vec<f64> = w.iter().zip(&self.fixed).map(|(w, f)| w - f).collect();
        if let Some(l) = less.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("parameters", &[l]));
        }
        // Each column in units of its largest entry, a power of two: its squares must not vanish or overflow.
        let mut units = vec![0.0_f64; self.free];
        for &(_, column, value) in &self.entries {
            units[column] = units[column].max(value.abs());
        }
        let units: Vec<i32> = units.into_iter().map(libm::ilogb).collect();
        let (mut theta, mut squares) = (vec![0.0; self.free], vec![0.0; self.free]);
        for &(row, column, value) in &self.entries {
            let value = libm::scalbn(value, -units[column]);
            theta[column] += value * less[row];
            squares[column] += value * value;
        }
        for ((theta, square), unit) in theta.iter_mut().zip(squares).zip(units) {
            *theta = libm::scalbn(*theta / square, -unit);
        }
        match theta.iter().position(|v| !v.is_finite()) {
            Some(l) => Err(Error::non_finite("θ from W", &[l])),
            None => Ok(theta),
        }
    }

    /// The number of free parameters, dim θ.
    pub fn free(&self) -> usize {
        self.free
    }

    /// The length of W.
    pub fn parameters(&self) -> usize {
        self.fixed.len()
    }

    /// W = fixed + C θ.
    ///
    /// # Errors
    /// θ has the wrong length; `NonFinite` with the index in W.
    pub fn weights(&self, theta: &[f64]) -> Result<Vec<f64>> {
        if theta.len() != self.free {
            return Err(Error::shape("θ", &[self.free], &[theta.len()]));
        }
        let mut w = self.fixed.clone();
        for &(row, column, value) in &self.entries {
            w[row] += value * theta[column];
        }
        finite("W = fixed + Cθ", &w)?;
        Ok(w)
    }

    /// The entries of C in some of its rows, row by row.
    fn within(&self, rows: Range<usize>) -> &[(usize, usize, f64)] {
        let place = |row| self.entries.partition_point(|e| e.0 < row);
        &self.entries[place(rows.start)..place(rows.end)]
    }

    /// Row l of C: columns and values.
    pub(crate) fn row(&self, l: usize) -> impl Iterator<Item = (usize, f64)> {
        self.within(l..l + 1).iter().map(|e| (e.1, e.2))
    }

    /// C v, the direction in W of a direction in θ.
    ///
    /// # Errors
    /// v has the wrong length; `NonFinite` with the index in W.
    pub fn push_forward(&self, v: &[f64]) -> Result<Vec<f64>> {
        if v.len() != self.free {
            return Err(Error::shape("direction in θ", &[self.free], &[v.len()]));
        }
        let mut out = vec![0.0; self.fixed.len()];
        for &(row, column, value) in &self.entries {
            out[row] += value * v[column];
        }
        finite("Cv", &out)?;
        Ok(out)
    }

    /// For each block of a structure the θ that it becomes a block of; C must keep each block to neighbouring θ of its own.
    ///
    /// # Errors
    /// `Unsupported` where a θ reaches two blocks, or other θ stand between those of a block.
    pub(crate) fn ranges(
        &self,
        structure: Structure,
        blocks: &[Block],
    ) -> Result<Vec<Range<usize>>> {
        let mut next = 0;
        let range = |block: &Block| {
            let columns = || self.within(block.range.clone()).iter().map(|e| e.1);
            let (Some(first), Some(last)) = (columns().min(), columns().max()) else {
                return Ok(next..next);
            };
            if first != next {
                return Err(Error::Unsupported {
                    what: format!("{} under W = fixed + Cθ", structure.name()),
                    why: format!(
                        "θ[{}] reaches several blocks, or stands apart from the others of {block}; \
                         the structures full and diagonal and products are available",
                        first.min(next)
                    ),
                });
            }
            next = last + 1;
            Ok(first..next)
        };
        blocks.iter().map(range).collect()
    }

    /// CᵀBC, the curvature in θ, in the blocks that B has.
    ///
    /// # Errors
    /// As [`ranges`](Constraint::ranges).
    pub(crate) fn congruence(&self, matrix: &Matrix) -> Result<Matrix> {
        let blocks: Vec<Block> = matrix.blocks().collect();
        let ranges = self.ranges(matrix.structure(), &blocks)?;
        let pairs = blocks.iter().zip(ranges).filter(|(_, r)| !r.is_empty());
        let parts = pairs.map(|(block, range)| {
            let entries = self.within(block.range.clone());
            let (from, first) = (block.range.start, range.start);
            let mut lower = vec![0.0; triangle(range.len())];
            for &(l, p, left) in entries {
                for &(m, q, right) in entries.iter().filter(|e| e.1 <= p) {
                    let entry = block.packed()[triangle(l.max(m) - from) + l.min(m) - from];
                    lower[triangle(p - first) + q - first] += left * entry * right;
                }
            }
            (Block::place(block.layer, block.unit, range), lower)
        });
        Ok(Matrix::by_range(matrix.structure(), parts.collect()))
    }

    /// The structure with the fewest numbers that holds all that the diagonal of CᵀBC needs: the entries of B between
    /// parameters that one θ reaches.
    pub(crate) fn of_diagonal(&self, network: &Network) -> Structure {
        // The first and the last parameter that each θ reaches.
        let mut spans = vec![(usize::MAX, 0); self.free];
        for &(l, q, _) in &self.entries {
            spans[q] = (spans[q].0.min(l), spans[q].1.max(l));
        }
        let within = |ends: Vec<usize>| {
            let block = |l: usize| ends.partition_point(|end| *end <= l);
            (spans.iter()).all(|(first, last)| block(*first) == block(*last))
        };
        if spans.iter().all(|(first, last)| first == last) {
            Structure::Diagonal
        } else if within(network.rows().map(|(_, _, range)| range.end).collect()) {
            Structure::RowBlocks
        } else if within(network.layers().iter().map(|l| l.range.end).collect()) {
            Structure::LayerBlocks
        } else {
            Structure::Full
        }
    }

    /// The diagonal of CᵀBC, for a B with the structure [`of_diagonal`](Constraint::of_diagonal), or a larger one.
    pub(crate) fn diagonal(&self, matrix: &Matrix) -> Result<Vec<f64>> {
        let mut by_column = self.entries.clone();
        by_column.sort_by_key(|e| e.1);
        let mut out = vec![0.0; self.free];
        for column in by_column.chunk_by(|a, b| a.1 == b.1) {
            for &(l, q, left) in column {
                for &(m, _, right) in column {
                    out[q] += left * matrix.entry(l, m)? * right;
                }
            }
        }
        Ok(out)
    }

    /// Cᵀ g, the derivative in θ from the derivative in W.
    ///
    /// # Errors
    /// g has the wrong length; `NonFinite` with the index in θ.
    pub fn pull_back(&self, g: &[f64]) -> Result<Vec<f64>> {
        if g.len() != self.fixed.len() {
            return Err(Error::shape("gradient", &[self.fixed.len()], &[g.len()]));
        }
        let mut out = vec![0.0; self.free];
        for &(row, column, value) in &self.entries {
            out[column] += value * g[row];
        }
        finite("Cᵀg", &out)?;
        Ok(out)
    }
}
