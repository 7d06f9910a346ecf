//! The triangle of the residuals of a squared error and their Jacobian, by a tree of QR factorizations (TSQR).
//!
//! ```text
//! [J, −r] = QR,   J_(io)l = √(ω_i v_o) ∂x_io/∂W_l,   r_io = √(ω_i v_o) (x_io − y_io)
//! ```
//!
//! R is all that a step of Levenberg–Marquardt needs of the samples: its first P columns give JᵀJ and the last one Jᵀr and ‖r‖. The rows never lie together.
//! Each chunk has a triangle, and two of them become one, [R; R′] = Q″R″: those of the chunks of a lane one after the other, those of lanes in their tree. Where triangles
//! are large, a chunk's rows are factorized below the triangle of those before it in the lane. JᵀJ is not formed, and the errors are, column by column, of the size of those of
//! one factorization of all rows.
//!
//! Source: Demmel, Grigori, Hoemmen and Langou, *Communication-optimal parallel and sequential QR and LU factorizations*, SIAM Journal on
//! Scientific Computing 34, 2012.

use super::chunks::Task;
use super::jacobian::write_rows;
use super::lanes::Additive;
use super::linear::{Linear, Need, Setting};
use super::samples::Batch;
use super::sizes::shape_product;
use super::states::download;
use super::{At, Division, Partial, Parts, Place, Rows};
use crate::backend::Backend;
use crate::curvature::triangle as packed_length;
use crate::error::{Error, Result};
use crate::interrupt::Limits;
use crate::memory::{bytes_of, zeros};
use crate::network::Network;
use crate::solve::{factorized, triangle};

/// Rows of a chunk for each column, if the longest chunk has so many: then about a tenth of the work is in the sums of triangles.
const TALL: usize = 16;

/// The triangle R over some samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factored {
    /// R by columns, a + 1 numbers of column a, and behind them Σ_io |r_io| (|r_io| + Σ_l |J_(io)l| s_l), s_l the size of W_l; nothing before the first rows.
    numbers: Vec<f64>,
}

impl Factored {
    /// Column a of R down to the diagonal.
    pub(crate) fn column(&self, a: usize) -> &[f64] {
        &self.numbers[packed_length(a)..packed_length(a + 1)]
    }

    /// Σ_io |r_io| (|r_io| + Σ_l |J_(io)l| s_l).
    pub(crate) fn uncertain(&self) -> f64 {
        self.numbers.last().copied().unwrap_or(0.0)
    }
}

impl Additive for Factored {
    fn arrays(&mut self) -> Vec<&mut Vec<f64>> {
        vec![&mut self.numbers]
    }

    fn add(&mut self, next: Self) {
        add(&mut self.numbers, &next.numbers);
    }
}

/// Replaces the numbers of R by those of the triangle of [R; R′].
pub(super) fn add(total: &mut Vec<f64>, next: &[f64]) {
    let (false, true) = (is_wrong(total) || is_wrong(next), total.len() == next.len()) else {
        return total.fill(f64::NAN);
    };
    let order = order_of(total.len());
    let rows = 2 * order;
    let mut stacked = vec![0.0; rows * order];
    write(total, rows, &mut stacked);
    write(next, rows, &mut stacked[order..]);
    let uncertain = total.last().zip(next.last()).map_or(0.0, |(a, b)| a + b).min(f64::MAX);
    *total = packed(&triangle(&mut stacked, rows, order), order, uncertain);
}

/// Whether some are NaN or infinite: a factorization would spread them.
fn is_wrong(numbers: &[f64]) -> bool {
    !numbers.iter().all(|v| v.is_finite())
}

/// The order of a triangle, of whose numbers with that behind them there are so many.
fn order_of(numbers: usize) -> usize {
    (8 * numbers.saturating_sub(1) + 1).isqrt().saturating_sub(1) / 2
}

/// Writes R to the columns, of so many rows each, of a matrix from its first number on.
fn write(numbers: &[f64], rows: usize, matrix: &mut [f64]) {
    for (a, out) in (0..order_of(numbers.len())).zip(matrix.chunks_mut(rows)) {
        out[..=a].copy_from_slice(&numbers[packed_length(a)..packed_length(a + 1)]);
    }
}

/// Returns the numbers of R, column by column down to the diagonal, with the one behind them.
fn packed(triangle: &[f64], order: usize, uncertain: f64) -> Vec<f64> {
    let mut numbers = Vec::with_capacity(packed_length(order) + 1);
    for (a, column) in triangle.chunks_exact(order).enumerate() {
        numbers.extend_from_slice(&column[..=a]);
    }
    numbers.push(uncertain);
    numbers
}

/// The numbers of the sum.
pub(super) fn numbers(network: &Network) -> usize {
    packed_length(network.parameters().saturating_add(1)).saturating_add(1)
}

/// Returns how many samples have [`TALL`] rows for each column, as a power of two.
pub(super) fn chunk(network: &Network) -> usize {
    let rows = TALL.saturating_mul(network.parameters() + 1);
    let samples = rows.div_ceil(network.outputs().max(1));
    samples.checked_next_power_of_two().unwrap_or(usize::MAX)
}

/// Bytes that the host holds for a chunk of n samples: its rows, as they are computed and below the triangle, what they are made of, and three squares.
pub(super) fn host_bytes(network: &Network, n: usize) -> u64 {
    let order = network.parameters().saturating_add(1);
    let rows = n.saturating_mul(network.outputs());
    let units = network.layers().iter().map(|layer| layer.units).max().unwrap_or(0);
    let widest = network.layers().iter().map(|layer| layer.width()).max().unwrap_or(0);
    [
        bytes_of(&[8, rows, 2 * order + units + 3]),
        bytes_of(&[8, n, widest]),
        bytes_of(&[24, order, order]),
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// Multiplications of the factorizations, n·outputs rows of P + 1 numbers.
pub(super) fn multiplications(network: &Network, n: usize) -> f64 {
    let order = network.parameters() as f64 + 1.0;
    2.0 * n as f64 * network.outputs() as f64 * order * order
}

/// The triangle of the rows of some chunks, one after the other.
pub(super) struct FactorSum<'a> {
    /// s_l.
    sizes: &'a [f64],
    /// v_o.
    factors: &'a [f64],
    limits: &'a Limits,
    numbers: Vec<f64>,
}

impl FactorSum<'_> {
    /// Adds the rows of a chunk: ∂x_io/∂W row by row, x, y and ω.
    ///
    /// # Errors
    /// `Interrupted` at a limit, too little memory.
    fn add(&mut self, jacobian: &[f64], [x, y, omega]: [Vec<f64>; 3]) -> Result<()> {
        let (p, outputs) = (self.sizes.len(), self.factors.len());
        let order = p + 1;
        let above = if self.numbers.is_empty() { 0 } else { order };
        let rows = above + x.len();
        let mut stacked = zeros("rows to factorize", shape_product("rows", &[rows, order])?)?;
        write(&self.numbers, rows, &mut stacked);
        let mut uncertain = self.numbers.last().copied().unwrap_or(0.0);
        for (row, (x, y)) in x.iter().zip(&y).enumerate() {
            let root = (omega[row / outputs] * self.factors[row % outputs]).sqrt();
            let residual = root * (x - y);
            let mut moved = 0.0;
            let mut at = above + row;
            for (j, size) in jacobian[row * p..][..p].iter().zip(self.sizes) {
                stacked[at] = root * j;
                moved += (stacked[at] * size).abs();
                at += rows;
            }
            stacked[at] = -residual;
            uncertain += (residual.abs() * (residual.abs() + moved)).min(f64::MAX);
        }
        if is_wrong(&stacked) {
            self.numbers = vec![f64::NAN; packed_length(order) + 1];
            return Ok(());
        }
        let found = factorized(self.limits, stacked, rows, order)?;
        // An overflow of this sum says no more than a large number.
        self.numbers = packed(&found, order, uncertain.min(f64::MAX));
        Ok(())
    }
}

/// Writes ∂x_io^m/∂W of a chunk to `jacobian`, row by row, and returns x^m, y and ω. A backend that only counts has no numbers.
pub(super) fn linearize<B: Backend>(
    setting: Setting<B>,
    batch: Batch<B>,
    jacobian: &mut [f64],
) -> Result<[Vec<f64>; 3]> {
    let Setting { b, network, .. } = setting;
    // Nothing is kept for it: kept chunks would be propagated back further than it needs.
    let linear = Linear::new(setting, batch, Need::of_jacobian(), None, None)?;
    if let Some(chain) = linear.chain(setting, batch) {
        write_rows(&chain, jacobian)?;
    }
    let x = linear.download_states(setting, batch, network.depth())?;
    linear.recycle(b);
    Ok([x, download(b, batch.y)?, download(b, batch.omega)?])
}

/// The triangle over the samples of this process.
///
/// # Errors
/// `Unsupported` for a loss that is no squared error.
pub(crate) fn factors<B: Backend>(
    place: &Place<B>,
    parts: Parts,
    at: &At<B>,
    sizes: &[f64],
    division: Division,
) -> Result<Partial<Factored>> {
    let chunk = division.positive_chunk()?;
    let factors = parts.loss.square_factors(parts.network.outputs());
    let factors = factors.ok_or_else(|| Error::Unsupported {
        what: "the residuals of this loss".into(),
        why: "only squared errors are sums of squares".into(),
    })?;
    if sizes.len() != parts.network.parameters() {
        return Err(Error::shape("sizes", &[parts.network.parameters()], &[sizes.len()]));
    }
    let of_task = |task: Task<B>| -> Result<Factored> {
        let (factors, limits) = (&factors[..], place.limits);
        let mut sum = FactorSum { sizes, factors, limits, numbers: Vec::new() };
        let width = parts.network.parameters();
        place.each_chunk(&task, parts, at, chunk, |setting, batch, _| {
            let rows = [batch.n, parts.network.outputs(), width];
            let mut jacobian = zeros("the Jacobian", shape_product("the Jacobian", &rows)?)?;
            let outputs = linearize(setting, batch, &mut jacobian)?;
            sum.add(&jacobian, outputs)
        })?;
        Ok(Factored { numbers: sum.numbers })
    };
    let of = |task: Task<B>| place.samples.ended(of_task(task));
    let nodes = division.run(place.backend, place.idle, of, |found| found)?;
    place.release(place.is_warm);
    Ok(Partial { nodes, rows: Rows::default() })
}

/// Returns the triangle over all samples.
///
/// # Errors
/// `NonFinite` where a row was not finite, or the triangle is not.
pub(crate) fn finish_factor(total: Factored) -> Result<Factored> {
    if is_wrong(&total.numbers) {
        return Err(Error::non_finite("the Jacobian", &[]));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of three columns, of which the second is a million times as large as the others.
    fn row(i: usize) -> [f64; 3] {
        let t = i as f64;
        [(t + 0.5).sin(), 1e6 * (0.3 * t).cos(), 1.0 + 0.01 * t]
    }

    fn of_rows(rows: std::ops::Range<usize>) -> Vec<f64> {
        let count = rows.len();
        let mut columns = vec![0.0; 3 * count];
        for (at, i) in rows.enumerate() {
            for (a, v) in row(i).into_iter().enumerate() {
                columns[a * count + at] = v;
            }
        }
        packed(&triangle(&mut columns, count, 3), 3, count as f64)
    }

    /// RᵀR of the numbers, in units of the columns.
    fn square(numbers: &[f64]) -> Vec<f64> {
        let factored = Factored { numbers: numbers.to_vec() };
        let unit = [1.0, 1e6, 1.0];
        let entry = |a: usize, b: usize| -> f64 {
            let both = factored.column(a).iter().zip(factored.column(b));
            both.map(|(x, y)| x * y).sum::<f64>() / unit[a] / unit[b]
        };
        (0..3).flat_map(|a| (0..=a).map(move |b| (a, b))).map(|(a, b)| entry(a, b)).collect()
    }

    #[test]
    fn triangles_of_parts_add_up_to_that_of_all() {
        let all = square(&of_rows(0..40));
        for parts in [vec![0..20, 20..40], vec![0..1, 1..3, 3..40], vec![0..38, 38..39, 39..40]] {
            let mut parts = parts.into_iter().map(of_rows);
            let mut total = parts.next().unwrap();
            parts.for_each(|next| add(&mut total, &next));
            assert_eq!(total.last(), Some(&40.0));
            for (found, right) in square(&total).iter().zip(&all) {
                assert!((found - right).abs() < 40.0 * 40.0 * f64::EPSILON, "{found} {right}");
            }
        }
        // Rows that are left out are seen.
        assert!((square(&of_rows(0..39))[0] - all[0]).abs() > 0.01);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for wrong in [f64::NAN, f64::INFINITY] {
            let (mut total, mut next) = (of_rows(0..5), of_rows(5..9));
            next[2] = wrong;
            add(&mut total, &next);
            assert!(total.iter().all(|v| v.is_nan()));
            assert!(finish_factor(Factored { numbers: total }).is_err());
        }
        for order in 1..40 {
            assert_eq!(order_of(packed_length(order) + 1), order);
        }
        let mut total = of_rows(0..5);
        add(&mut total, &[1.0]);
        assert!(total[0].is_nan());
    }
}
