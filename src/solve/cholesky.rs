//! B = LLᵀ.

use std::sync::Mutex;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Accum, Auto, MatMut, MatRef, Par, Spec};

use super::{U, Workspace, packed, stack};
use crate::error::{Error, Result};
use crate::level::in_lanes;
use crate::memory::{is_address_space_limited, with_room, zeros};
use crate::sync::lock;

/// The Cholesky factor of a positive definite matrix.
///
/// ```text
/// B = LLᵀ,   L lower triangular, L_aa > 0
/// ```
///
/// Source: Golub and Van Loan, *Matrix Computations*, 4th ed., §4.2; the factorization is faer's.
///
/// ```
/// use secondo::solve::Cholesky;
///
/// // B = [[4, 2], [2, 5]] has L = [[2, 0], [1, 2]] and determinant 16.
/// let b = Cholesky::new(&[4.0, 2.0, 5.0], 2)?;
/// assert_eq!(b.lower(), [2.0, 1.0, 2.0]);
/// assert!((b.log_determinant() - 16.0_f64.ln()).abs() < 1e-15);
/// let mut x = [8.0, 12.0];
/// b.solve(&mut x)?;
/// assert_eq!(x, [1.0, 2.0]);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    d: usize,
    /// L, column-major d×d, in units of √scale; zero above the diagonal.
    l: Vec<f64>,
    /// A power of 4, so that its root is exact as well.
    scale: f64,
}

impl Cholesky {
    /// Factorizes a packed lower triangle of order `d`: d³/3 multiplications and additions.
    ///
    /// # Errors
    /// [`Error::NotPositiveDefinite`] with the pivot (from 0) that is not positive,
    /// [`Error::Shape`] for a wrong length, [`Error::NonFinite`] with the index in `lower`.
    pub fn new(lower: &[f64], d: usize) -> Result<Self> {
        packed::check(lower, d)?;
        let mut work = Workspace::new();
        work.reserve(d)?;
        let scale = packed::power_of_two(packed::power_of_two(packed::largest(lower)).sqrt());
        let scale = scale * scale;
        packed::unpack(lower, d, scale, 0.0, &mut work.matrix);
        match factorize(&mut work, d, 0.0) {
            Ok(()) => Ok(Cholesky { d, l: work.matrix, scale }),
            Err(pivot) => {
                Err(Error::NotPositiveDefinite { what: format!("matrix of order {d}"), pivot })
            }
        }
    }

    /// The order d.
    pub fn order(&self) -> usize {
        self.d
    }

    /// L as a packed lower triangle, d(d+1)/2 numbers.
    pub fn lower(&self) -> Vec<f64> {
        let root = self.scale.sqrt();
        packed::pack(&self.l, self.d).map(|v| v * root).collect()
    }

    /// Replaces b (`rhs`, d numbers) by the solution x of Bx = b.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong length, [`Error::NonFinite`] for a `rhs` or an x that is not finite.
    pub fn solve(&self, rhs: &mut [f64]) -> Result<()> {
        if rhs.len() != self.d {
            return Err(Error::shape("right-hand side", &[self.d], &[rhs.len()]));
        }
        packed::finite("right-hand side", rhs)?;
        // Dividing by the root before and after keeps both halves in range.
        let root = self.scale.sqrt();
        rhs.iter_mut().for_each(|v| *v /= root);
        substitute(&self.l, self.d, rhs);
        rhs.iter_mut().for_each(|v| *v /= root);
        packed::finite("the solution", rhs)
    }

    /// Replaces right-hand sides, one after the other, by their solutions: as [`solve`](Self::solve), but for rounding.
    pub(crate) fn solve_all(&self, rhs: &mut [f64]) -> Result<()> {
        let d = self.d.max(1);
        if !rhs.len().is_multiple_of(d) {
            return Err(Error::shape("right-hand sides", &[d], &[rhs.len()]));
        }
        packed::finite("right-hand side", rhs)?;
        let root = self.scale.sqrt();
        rhs.iter_mut().for_each(|v| *v /= root);
        let l = MatRef::from_column_major_slice(&self.l, self.d, self.d);
        let mut x = MatMut::from_column_major_slice_mut(rhs, self.d, rhs.len() / d);
        solve_lower_triangular_in_place(l, x.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(l.transpose(), x, Par::Seq);
        rhs.iter_mut().for_each(|v| *v /= root);
        packed::finite("the solution", rhs)
    }

    /// Whether a pivot is 0 to rounding: L_aa² ≤ 8·d·u·B_aa, B_aa = Σ_b L_ab². Scaling rows and columns of B changes nothing.
    pub(crate) fn is_singular(&self) -> bool {
        let d = self.d;
        let mut diagonal = vec![0.0; d];
        for b in 0..d {
            let column = &self.l[b * d + b..(b + 1) * d];
            (diagonal[b..].iter_mut().zip(column)).for_each(|(s, l)| *s += l * l);
        }
        (0..d).any(|a| self.l[a * d + a].powi(2) <= 8.0 * d as f64 * U * diagonal[a])
    }

    /// ln det B = 2 Σ_a ln L_aa; 0 for order 0.
    pub fn log_determinant(&self) -> f64 {
        let d = self.d;
        let units = d as f64 * self.scale.ln();
        units + 2.0 * (0..d).map(|a| self.l[a * d + a].ln()).sum::<f64>()
    }

    /// B⁻¹ = L⁻ᵀL⁻¹ as a packed lower triangle; 2d³/3 multiplications and additions more. Entries beyond the range of f64 are infinite or
    /// NaN.
    ///
    /// # Errors
    /// [`Error::Memory`] where there is no room for two more matrices of d × d numbers.
    pub fn inverse(&self) -> Result<Vec<f64>> {
        let d = self.d;
        if d == 0 {
            return Ok(Vec::new());
        }
        let mut square = zeros("an inverse", d * d)?;
        let mut work = Workspace::new();
        let need = llt::inverse::inverse_scratch::<f64>(d, Par::Seq);
        llt::inverse::inverse(
            MatMut::from_column_major_slice_mut(&mut square, d, d),
            MatRef::from_column_major_slice(&self.l, d, d),
            Par::Seq,
            stack(&mut work.stack, need)?,
        );
        let mut inverse = with_room("an inverse", d * (d + 1) / 2)?;
        inverse.extend(packed::pack(&square, d).map(|v| v / self.scale));
        Ok(inverse)
    }
}

/// L over the lower triangle of `work.matrix`, or the first pivot L_aa² that is not above `floor`.
pub(super) fn factorize(
    work: &mut Workspace,
    d: usize,
    floor: f64,
) -> std::result::Result<(), usize> {
    // Up to here the plain loop is faster than a blocked one, at order 33 four times.
    const SMALL: usize = 96;
    let matrix = &mut work.matrix[..d * d];
    if d <= SMALL {
        return factorize_small(matrix, d, floor);
    }
    // Up to here short blocks are faster than the library's own.
    const MIDDLING: usize = 512;
    // Up to here one thread does it, in one step: others would take memory, and there may be many such blocks.
    const ALONE: usize = 1024;
    let tile = if d <= ALONE { d } else { TILE };
    let mut params = <llt::factor::LltParams as Auto<f64>>::auto();
    if tile <= MIDDLING {
        (params.block_size, params.recursion_threshold) = (32, 32);
    }
    let params = Spec::new(params);
    // One column of a tile.
    let mut buffer =
        MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(tile, Par::Seq, params));
    let stack = MemStack::new(&mut buffer);
    for from in (0..d).step_by(tile) {
        let n = tile.min(d - from);
        let (left, right) = matrix.split_at_mut((from + n) * d);
        let columns = &mut left[from * d + from..];
        let columns = MatMut::from_column_major_slice_with_stride_mut(columns, d - from, n, d);
        let (mut square, below) = columns.split_at_row_mut(n);
        llt::factor::cholesky_in_place(
            square.as_mut(),
            Default::default(),
            Par::Seq,
            stack,
            params,
        )
        .map_err(|llt::factor::LltError::NonPositivePivot { index }| from + index)?;
        finish_columns(square.as_ref(), below, right, from + n);
    }
    let positive = |a: usize| matrix[a * d + a] * matrix[a * d + a] > floor;
    match (0..d).find(|&a| !positive(a)) {
        Some(a) => Err(a),
        None => Ok(()),
    }
}

/// The columns of one step, whose tiles different threads compute: that changes no bit.
const TILE: usize = 256;

/// One step of a factorization by blocks: P = A L⁻ᵀ in the rows `below` the square L, and B − P Pᵀ in the columns at the right, which begin at
/// `first`.
fn finish_columns(l: MatRef<f64>, mut below: MatMut<f64>, right: &mut [f64], first: usize) {
    let d = first + below.nrows();
    let (mut tiles, mut rest) = (Vec::new(), below.as_mut());
    while rest.nrows() > 0 {
        let n = TILE.min(rest.nrows());
        let (tile, after) = rest.split_at_row_mut(n);
        tiles.push(tile);
        rest = after;
    }
    side_by_side(tiles, |tile| {
        solve_lower_triangular_in_place(l, tile.transpose_mut(), Par::Seq);
    });
    let p = below.as_ref();
    let tiles = right.chunks_mut(TILE * d).enumerate().collect();
    side_by_side(tiles, |(index, tile): (usize, &mut [f64])| {
        let (top, n) = (index * TILE, tile.len() / d);
        let tile = &mut tile[first + top..];
        let tile = MatMut::from_column_major_slice_with_stride_mut(tile, d - first - top, n, d);
        let (diagonal, below) = tile.split_at_row_mut(n);
        let (mine, others) = p.split_at_row(top + n);
        let mine = mine.subrows(top, n);
        let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        let across = mine.transpose();
        triangular::matmul(diagonal, lower, Accum::Add, mine, full, across, full, -1.0, Par::Seq);
        matmul(below, Accum::Add, others, across, -1.0, Par::Seq);
    });
}

/// Does `work` for each part, on this thread and on others that are started for it: those of a pool may all wait for this one.
fn side_by_side<T: Send>(parts: Vec<T>, work: impl Fn(T) + Sync) {
    // Each thread of its own would reserve address space for products.
    let threads = if is_address_space_limited() { 1 } else { rayon::current_num_threads() };
    let threads = threads.min(parts.len());
    let queue = Mutex::new(parts.into_iter());
    let run = || {
        let next = || lock(&queue).next();
        while let Some(part) = next() {
            work(part);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where none can be started, this one does it all.
            let _ = std::thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
}

/// Column by column: L_ab = (B_ab − Σ_{c<b} L_ac L_bc) / L_bb.
fn factorize_small(matrix: &mut [f64], d: usize, floor: f64) -> std::result::Result<(), usize> {
    for b in 0..d {
        let (left, right) = matrix.split_at_mut(b * d);
        let column = &mut right[b..d];
        let n = column.len();
        // Four earlier columns at a time: the column is read and written a quarter as often.
        let mut fours = left.chunks_exact(4 * d);
        for four in &mut fours {
            let l: [&[f64]; 4] = std::array::from_fn(|c| &four[c * d + b..][..n]);
            let w = l.map(|l| l[0]);
            for a in 0..n {
                let sum = (l[0][a] * w[0] + l[1][a] * w[1]) + (l[2][a] * w[2] + l[3][a] * w[3]);
                column[a] -= sum;
            }
        }
        for l in fours.remainder().chunks_exact(d) {
            let l = &l[b..];
            for (v, l_a) in column.iter_mut().zip(l) {
                *v -= l_a * l[0];
            }
        }
        let positive = column[0] > floor;
        if !positive {
            return Err(b);
        }
        column[0] = column[0].sqrt();
        let inverse = 1.0 / column[0];
        column[1..].iter_mut().for_each(|v| *v *= inverse);
    }
    Ok(())
}

/// x = L⁻¹x.
#[inline(always)]
pub(super) fn forward(l: &[f64], d: usize, x: &mut [f64]) {
    for b in 0..d {
        let column = &l[b * d + b..(b + 1) * d];
        x[b] /= column[0];
        let pivot = x[b];
        for (v, l) in x[b + 1..].iter_mut().zip(&column[1..]) {
            *v -= l * pivot;
        }
    }
}

/// x = L⁻ᵀL⁻¹x.
pub(super) fn substitute(l: &[f64], d: usize, x: &mut [f64]) {
    in_lanes(
        #[inline(always)]
        || {
            forward(l, d, x);
            for b in (0..d).rev() {
                let column = &l[b * d + b..(b + 1) * d];
                x[b] = (x[b] - packed::inlined_dot(&column[1..], &x[b + 1..])) / column[0];
            }
        },
    );
}
