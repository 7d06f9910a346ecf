//! Penalties pen(W) with gradient and the parts of their Hessian that each structure can hold.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::check;
use crate::curvature::Matrix;
use crate::error::{Error, Result};
use crate::guard;
use crate::network::{Constraint, Network};

/// A user-defined penalty pen(W) over the whole flat vector, with its derivatives; in a problem as [`Penalty::Custom`].
///
/// It may couple any parameters, of different layers too. Products add its whole Hessian, and so does the structure `Full`;
/// blocks add the entries that they hold, and [`Evaluation::left_out`](crate::Evaluation::left_out) and the fit's method say
/// what they leave out. It is computed on the host in f64.
///
/// Its mistakes become errors that name it, as with [`LossFunction`](crate::LossFunction); in debug builds
/// [`Problem::penalty`](crate::Problem::penalty) compares the derivatives with differences.
///
/// ```
/// use ndarray::array;
/// use std::sync::Arc;
/// use secondo::{Activation, Curvature, Data, Loss, Network, Penalty, PenaltyFunction, Problem, Structure};
///
/// /// ½ λ (w_a w_b − 1)², whatever layers a and b are in.
/// #[derive(Debug)]
/// struct Product {
///     lambda: f64,
///     a: usize,
///     b: usize,
/// }
///
/// impl PenaltyFunction for Product {
///     fn name(&self) -> &str {
///         "product"
///     }
///     fn value(&self, w: &[f64]) -> f64 {
///         0.5 * self.lambda * (w[self.a] * w[self.b] - 1.0).powi(2)
///     }
///     fn gradient(&self, w: &[f64], out: &mut [f64]) {
///         let apart = self.lambda * (w[self.a] * w[self.b] - 1.0);
///         out[self.a] = apart * w[self.b];
///         out[self.b] = apart * w[self.a];
///     }
///     fn hessian(&self, w: &[f64], add: &mut dyn FnMut(usize, usize, f64)) {
///         add(self.a, self.a, self.lambda * w[self.b] * w[self.b]);
///         add(self.b, self.b, self.lambda * w[self.a] * w[self.a]);
///         add(self.a, self.b, self.lambda * (2.0 * w[self.a] * w[self.b] - 1.0));
///     }
/// }
///
/// let data = Data::new(array![[1.0]], array![[0.0]])?;
/// let problem = Problem::new(Network::dense(&[1, 1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let w = [2.0, 0.0, 0.0, 0.0]; // the output is 0, and so is the loss
/// let coupled = problem.penalty(Penalty::Custom(Arc::new(Product { lambda: 1.0, a: 0, b: 2 })))?;
/// let whole = coupled.curvature(&w, Curvature::GaussNewton, Structure::Full)?;
/// assert_eq!((whole.value, whole.left_out), (0.5, 0.0));
/// assert_eq!(whole.curvature.map(|m| m.entry(0, 2)), Some(Ok(-1.0)));
/// let rows = coupled.curvature(&w, Curvature::GaussNewton, Structure::RowBlocks)?;
/// assert_eq!(rows.left_out, 1.0);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait PenaltyFunction: fmt::Debug + Send + Sync {
    /// A short name for messages.
    fn name(&self) -> &str;
    /// Returns pen(W).
    fn value(&self, w: &[f64]) -> f64;
    /// Writes ∂pen/∂W, length P; `out` holds zeros before.
    fn gradient(&self, w: &[f64], out: &mut [f64]);
    /// Calls `add(a, b, entry)` with ∂²pen/∂W_a∂W_b for the entries that are not 0, once for (a, b) and (b, a) together. Entries
    /// at the same place add up.
    fn hessian(&self, w: &[f64], add: &mut dyn FnMut(usize, usize, f64));
}

/// Two penalties are equal if they are the same object.
impl PartialEq for dyn PenaltyFunction {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

/// The penalty pen(W), added once, never divided by the number of samples.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Penalty {
    /// No penalty, 0.
    #[default]
    None,
    /// ½ λ Σ_l w_l² (weight decay).
    Ridge {
        /// λ ≥ 0.
        lambda: f64,
        /// Whether the biases of linear units take part.
        include_bias: bool,
    },
    /// ½ Σ_l λ_l w_l².
    RidgeVec {
        /// λ_l ≥ 0, one for each parameter.
        lambda: Vec<f64>,
    },
    /// λ Σ_k ‖W^k‖, the norms not squared: the paper's penalty.
    ///
    /// Its Hessian λ(I/‖W^k‖ − W^k W^kᵀ/‖W^k‖³) couples all rows of a layer; row blocks hold the entries
    /// inside each row. At W^k = 0 it has no derivative: the subgradient of least norm, 0, is returned
    /// there, and 0 for the Hessian.
    GroupNorm {
        /// λ ≥ 0.
        lambda: f64,
        /// Whether the biases of linear units take part.
        include_bias: bool,
    },
    /// The sum of these.
    Sum(Vec<Penalty>),
    /// A user's.
    Custom(Arc<dyn PenaltyFunction>),
}

impl Penalty {
    /// The names used in files.
    pub const NAMES: [&'static str; 4] = ["ridge", "ridge_vec", "group_norm", "sum"];

    /// ½ λ |w|² over all parameters, biases included.
    pub fn ridge(lambda: f64) -> Self {
        Penalty::Ridge { lambda, include_bias: true }
    }

    /// The name used in files; files do not hold a user's penalty.
    pub fn name(&self) -> &str {
        match self {
            Penalty::None => "none",
            Penalty::Ridge { .. } => "ridge",
            Penalty::RidgeVec { .. } => "ridge_vec",
            Penalty::GroupNorm { .. } => "group_norm",
            Penalty::Sum(_) => "sum",
            Penalty::Custom(custom) => custom.name(),
        }
    }

    /// Returns the result of `f`, which gets the penalty's name; a panic of a user's penalty that it calls is an error.
    pub(crate) fn guarded<'a, T>(&'a self, f: impl FnOnce(&'a str) -> T) -> Result<T> {
        guard::named("penalty", || self.name(), f)
    }

    /// The name of a user's penalty, or of the first in a sum.
    #[cfg(feature = "io")]
    pub(crate) fn custom(&self) -> Result<Option<&str>> {
        match self {
            Penalty::Custom(_) => self.guarded(Some),
            Penalty::Sum(terms) => {
                (terms.iter()).find_map(|term| term.custom().transpose()).transpose()
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        let one = |l: f64| {
            if l.is_finite() && l >= 0.0 {
                return Ok(());
            }
            let why = format!("{l} must be finite and not negative");
            Err(Error::invalid("penalty: lambda", why))
        };
        match self {
            Penalty::None | Penalty::Custom(_) => Ok(()),
            Penalty::Sum(terms) => terms.iter().try_for_each(|term| term.check(network)),
            Penalty::Ridge { lambda, .. } | Penalty::GroupNorm { lambda, .. } => one(*lambda),
            Penalty::RidgeVec { lambda } if lambda.len() != network.parameters() => {
                Err(Error::shape("penalty: lambda", &[network.parameters()], &[lambda.len()]))
            }
            Penalty::RidgeVec { lambda } => lambda.iter().try_for_each(|&l| one(l)),
        }
    }

    /// Compares the derivatives of a user's penalty with differences: in every parameter, or of many along random directions.
    pub(crate) fn verify(&self, network: &Network) -> Result<()> {
        match self {
            Penalty::Custom(_) => {}
            Penalty::Sum(terms) => return terms.iter().try_for_each(|term| term.verify(network)),
            _ => return Ok(()),
        }
        let p = network.parameters();
        let unit = |a: usize| (0..p).map(|b| f64::from(u8::from(a == b))).collect();
        let (directions, along): (Vec<Vec<f64>>, _) = match p {
            0..=100 => ((0..p).map(unit).collect(), ""),
            _ => (check::points(4, p, 2), " along a random direction"),
        };
        let width = directions.len();
        for w in check::points(2, p, 1) {
            let moved = |t: &[f64]| {
                let mut w = w.clone();
                for (v, t) in directions.iter().zip(t) {
                    w.iter_mut().zip(v).for_each(|(w, v)| *w += t * v);
                }
                w
            };
            // Where it is not finite there is nothing to compare; anything else is the end.
            let fault = Cell::new(None);
            let finite = |done: Result<()>, out: &mut [f64]| {
                if let Err(error) = done {
                    out.fill(f64::NAN);
                    if !matches!(error, Error::NonFinite { .. }) {
                        fault.set(Some(error));
                    }
                }
            };
            let value = |t: &[f64], out: &mut [f64]| {
                let done = self.value(network, &moved(t));
                finite(done.map(|v| out[0] = v), out);
            };
            let gradient = |t: &[f64], out: &mut [f64]| {
                let done = self.gradient(network, &moved(t));
                finite(done.map(|g| out.copy_from_slice(&g)), out);
            };
            let slopes = |t: &[f64], out: &mut [f64]| {
                let mut g = vec![0.0; p];
                gradient(t, &mut g);
                for (v, out) in directions.iter().zip(out) {
                    *out = g.iter().zip(v).map(|(g, v)| g * v).sum();
                }
            };
            let images = |t: &[f64], out: &mut [f64]| {
                let done = self.hessian(network, &moved(t)).map(|hessian| {
                    for (column, v) in directions.iter().enumerate() {
                        let mut image = vec![0.0; p];
                        hessian.add_product(v, &mut image);
                        (0..p).for_each(|a| out[a * width + column] = image[a]);
                    }
                });
                finite(done, out);
            };
            let (first, second) = (format!("the gradient{along}"), format!("the Hessian{along}"));
            let origin = vec![0.0; width];
            let compare = |name: &str| {
                let part = format!("the penalty '{name}'");
                check::jacobian(&part, &first, 1, value, slopes, &origin)?;
                check::jacobian(&part, &second, p, gradient, images, &origin)
            };
            let mut checked = self.guarded(compare)?;
            if let Some(error) = fault.take() {
                return Err(error);
            }
            if let Err(Error::Derivative { point, .. }) = &mut checked {
                *point = w;
            }
            checked?;
        }
        Ok(())
    }

    /// Returns pen(W).
    pub(crate) fn value(&self, network: &Network, w: &[f64]) -> Result<f64> {
        Ok(match self {
            Penalty::Sum(terms) => {
                (terms.iter()).map(|term| term.value(network, w)).sum::<Result<f64>>()?
            }
            Penalty::Custom(custom) => self.guarded(|name| {
                let value = custom.value(w);
                guard::refuse_nan("penalty", name, "the value", &[w], &[value])?;
                Ok(value)
            })??,
            Penalty::GroupNorm { lambda, .. } => {
                let scale = self.scale(network);
                let norm = |r: Range<usize>| masked_norm(&w[r.clone()], &scale[r]);
                lambda * network.layers().iter().map(|l| norm(l.range.clone())).sum::<f64>()
            }
            _ => 0.5 * w.iter().zip(self.scale(network)).map(|(w, l)| l * w * w).sum::<f64>(),
        })
    }

    /// Returns ∂pen/∂W, length P.
    pub(crate) fn gradient(&self, network: &Network, w: &[f64]) -> Result<Vec<f64>> {
        match self {
            Penalty::Sum(terms) => {
                let mut out = vec![0.0; w.len()];
                for term in terms {
                    let gradient = term.gradient(network, w)?;
                    out.iter_mut().zip(gradient).for_each(|(out, g)| *out += g);
                }
                Ok(out)
            }
            Penalty::Custom(custom) => self.guarded(|name| {
                let mut out = vec![0.0; w.len()];
                custom.gradient(w, &mut out);
                guard::refuse_nan("penalty", name, "the gradient", &[w], &out)?;
                Ok(out)
            })?,
            _ => {
                let mut out = self.hessian(network, w)?.diagonal;
                out.iter_mut().zip(w).for_each(|(d, w)| *d *= w);
                Ok(out)
            }
        }
    }

    /// Returns ∂²pen/∂W² as a diagonal, less one rank-one term for each layer, and single entries.
    pub(crate) fn hessian(&self, network: &Network, w: &[f64]) -> Result<PenaltyHessian> {
        let mut diagonal = self.scale(network);
        let (mut rank_one, mut entries) = (Vec::new(), Vec::new());
        if let Penalty::Sum(terms) = self {
            for term in terms {
                let hessian = term.hessian(network, w)?;
                (diagonal.iter_mut().zip(hessian.diagonal)).for_each(|(sum, d)| *sum += d);
                rank_one.extend(hessian.rank_one);
                entries.extend(hessian.entries);
            }
        }
        if let Penalty::Custom(custom) = self {
            let p = w.len();
            let mut add = |name: &str, a: usize, b: usize, entry: f64| {
                guard::refuse_nan("penalty", name, "the Hessian", &[w], &[entry])?;
                match a.max(b) {
                    outside if outside >= p => {
                        return Err(Error::Part {
                            kind: "penalty",
                            name: name.into(),
                            why: format!("its Hessian has no entry ({a}, {b}) with {p} parameters"),
                        });
                    }
                    high if a == b => diagonal[high] += entry,
                    high => entries.push((high, a.min(b), entry)),
                }
                Ok(())
            };
            // The first fault; what comes after it does not count.
            let mut fault = Ok(());
            self.guarded(|name| {
                custom.hessian(w, &mut |a, b, entry| {
                    if fault.is_ok() {
                        fault = add(name, a, b, entry);
                    }
                });
            })?;
            fault?;
        }
        merge(&mut entries);
        if let Penalty::GroupNorm { lambda, .. } = *self {
            for layer in network.layers() {
                let (part, w) = (&mut diagonal[layer.range.clone()], &w[layer.range.clone()]);
                let norm = masked_norm(w, part);
                let coefficient = if norm > 0.0 { lambda / norm } else { 0.0 };
                let direction = (w.iter().zip(part.iter()))
                    .map(|(w, &l)| if l > 0.0 && norm > 0.0 { w / norm } else { 0.0 })
                    .collect();
                part.iter_mut().for_each(|l| *l = if *l > 0.0 { coefficient } else { 0.0 });
                rank_one.push(RankOne { range: layer.range.clone(), coefficient, direction });
            }
        }
        Ok(PenaltyHessian { diagonal, rank_one, entries })
    }

    /// Returns λ for each parameter, 0 where the penalty does not reach.
    fn scale(&self, network: &Network) -> Vec<f64> {
        match self {
            Penalty::None | Penalty::Sum(_) | Penalty::Custom(_) => vec![0.0; network.parameters()],
            Penalty::RidgeVec { lambda } => lambda.clone(),
            Penalty::Ridge { lambda, include_bias }
            | Penalty::GroupNorm { lambda, include_bias } => (network.is_bias().iter())
                .map(|&bias| if bias && !include_bias { 0.0 } else { *lambda })
                .collect(),
        }
    }
}

/// Sorts entries by place and adds up those at the same.
fn merge(entries: &mut Vec<(usize, usize, f64)>) {
    entries.sort_by_key(|e| (e.0, e.1));
    entries.dedup_by(|next, sum| {
        let same = (next.0, next.1) == (sum.0, sum.1);
        if same {
            sum.2 += next.2;
        }
        same
    });
}

/// ∂²pen/∂W² = diag(D) − Σ_k c_k u_k u_kᵀ + single entries; u_k has entries in layer k only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PenaltyHessian {
    /// D, length P.
    pub diagonal: Vec<f64>,
    /// The layers' terms c_k u_k u_kᵀ; none for penalties that couple no parameters.
    pub rank_one: Vec<RankOne>,
    /// (a, b, entry) with a > b, by a and then b, each place once.
    pub entries: Vec<(usize, usize, f64)>,
}

/// c u uᵀ, with u on a range of the flat vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RankOne {
    /// The place of u in the flat vector.
    pub range: Range<usize>,
    /// c.
    pub coefficient: f64,
    /// u on the range.
    pub direction: Vec<f64>,
}

impl PenaltyHessian {
    /// Adds the product of the matrix and v to `out`, both of length P.
    pub fn add_product(&self, v: &[f64], out: &mut [f64]) {
        for ((out, d), v) in out.iter_mut().zip(&self.diagonal).zip(v) {
            *out += d * v;
        }
        for term in &self.rank_one {
            let (v, out) = (&v[term.range.clone()], &mut out[term.range.clone()]);
            let along: f64 = term.direction.iter().zip(v).map(|(u, v)| u * v).sum();
            for (out, u) in out.iter_mut().zip(&term.direction) {
                *out -= term.coefficient * along * u;
            }
        }
        for &(a, b, entry) in &self.entries {
            out[a] += entry * v[b];
            out[b] += entry * v[a];
        }
    }

    /// Returns CᵀHC, the Hessian in θ; a term then has the range from the first θ to the last that its layer reaches.
    pub fn congruence(&self, constraint: &Constraint) -> Result<Self> {
        let mut diagonal = vec![0.0; constraint.free()];
        let mut entries = Vec::new();
        let own = (self.diagonal.iter().enumerate()).map(|(a, &d)| (a, a, d));
        for (a, b, entry) in own.chain(self.entries.iter().copied()) {
            for (q, left) in constraint.row(a) {
                for (r, right) in constraint.row(b) {
                    let entry = left * entry * right;
                    if q == r {
                        // (a, b) stands for (b, a), too.
                        diagonal[q] += if a == b { entry } else { 2.0 * entry };
                    } else if a != b || q > r {
                        entries.push((q.max(r), q.min(r), entry));
                    }
                }
            }
        }
        merge(&mut entries);
        let rank_one = (self.rank_one.iter()).map(|term| {
            let mut direction = vec![0.0; constraint.parameters()];
            direction[term.range.clone()].copy_from_slice(&term.direction);
            let direction = constraint.pull_back(&direction)?;
            let reached = |u: &f64| *u != 0.0;
            let first = direction.iter().position(reached).unwrap_or(0);
            let range = first..direction.iter().rposition(reached).map_or(0, |last| last + 1);
            Ok(RankOne {
                direction: direction[range.clone()].to_vec(),
                coefficient: term.coefficient,
                range,
            })
        });
        Ok(PenaltyHessian { rank_one: rank_one.collect::<Result<_>>()?, diagonal, entries })
    }

    /// Adds what its blocks hold to a matrix.
    pub fn add_to(&self, matrix: &mut Matrix) {
        for (range, packed) in matrix.blocks_mut() {
            self.add_block(range, packed);
        }
    }

    /// Returns the largest size of an entry that a matrix with these blocks does not hold; where several terms reach the same
    /// parameters, the sum of their largest is a bound for it.
    pub fn left_out(&self, matrix: &Matrix) -> Result<f64> {
        let ends: Vec<usize> = matrix.blocks().map(|b| b.range.end).collect();
        let block = |a: usize| ends.partition_point(|&end| end <= a);
        // Entry (a, b) of the terms.
        let of_terms = |a: usize, b: usize| -> f64 {
            let at = |term: &RankOne, a: usize| {
                if term.range.contains(&a) { term.direction[a - term.range.start] } else { 0.0 }
            };
            let terms = self.rank_one.iter();
            terms.map(|t| t.coefficient * at(t, a) * at(t, b)).sum()
        };
        let apart = |e: &&(usize, usize, f64)| block(e.0) != block(e.1);
        let mut largest = (self.entries.iter().filter(apart))
            .fold(0.0f64, |m, e| m.max((e.2 - of_terms(e.0, e.1)).abs()));
        let mut terms: Vec<&RankOne> = self.rank_one.iter().collect();
        terms.sort_by_key(|term| term.range.start);
        let (mut end, mut sum) = (0, 0.0);
        for term in terms {
            // The two blocks with the largest |u|.
            let (mut first, mut second, mut last) = (0.0f64, 0.0f64, None);
            let mut within = 0.0f64;
            for (a, u) in term.range.clone().zip(&term.direction) {
                if last != Some(block(a)) {
                    (first, second) = (first.max(within), second.max(first.min(within)));
                    (within, last) = (0.0, Some(block(a)));
                }
                within = within.max(u.abs());
            }
            (first, second) = (first.max(within), second.max(first.min(within)));
            if term.range.start >= end {
                sum = 0.0;
            }
            end = end.max(term.range.end);
            sum += term.coefficient * first * second;
            largest = largest.max(sum);
        }
        let what = "the part of the penalty's second derivative that is left out";
        if largest.is_finite() { Ok(largest) } else { Err(Error::non_finite(what, &[])) }
    }

    /// Adds the entries inside `range` to a packed lower triangle, row by row.
    fn add_block(&self, range: Range<usize>, packed: &mut [f64]) {
        for (a, d) in self.diagonal[range.clone()].iter().enumerate() {
            packed[a * (a + 1) / 2 + a] += d;
        }
        for term in &self.rank_one {
            let from = range.start.max(term.range.start);
            let to = range.end.min(term.range.end);
            for a in from..to {
                let row = (a - range.start) * (a - range.start + 1) / 2;
                for b in from..=a {
                    let (a, b) = (a - term.range.start, b - term.range.start);
                    let (u, v) = (term.direction[a], term.direction[b]);
                    packed[row + b + term.range.start - range.start] -= term.coefficient * u * v;
                }
            }
        }
        let from = self.entries.partition_point(|e| e.0 < range.start);
        let inside = self.entries[from..].iter().take_while(|e| e.0 < range.end);
        for &(a, b, entry) in inside.filter(|e| e.1 >= range.start) {
            let (a, b) = (a - range.start, b - range.start);
            packed[a * (a + 1) / 2 + b] += entry;
        }
    }
}

/// The norm of the entries of w where the scale is not 0, without overflow or underflow on the way.
fn masked_norm(w: &[f64], scale: &[f64]) -> f64 {
    let reached = || w.iter().zip(scale).filter(|(_, l)| **l > 0.0).map(|(w, _)| w.abs());
    let top = reached().fold(0.0, f64::max);
    if top == 0.0 {
        return 0.0;
    }
    top * reached().map(|w| (w / top) * (w / top)).sum::<f64>().sqrt()
}
