//! Where a fit starts.

use ndarray::ArrayRef2;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Normal, Uniform};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::{GroupView, LayerView, Network, Propagation, Radial};
use crate::error::{Error, Result};

/// The most multiplications that a start from the data may take: minutes.
const MULTIPLICATIONS: f64 = 1e10;
/// Steps of Lloyd's iteration after k-means++: the centres need not be the best, only spread well.
const LLOYD: usize = 10;

/// How initial parameters are drawn, by the name of the rule. The fan-in d is the width of z without the
/// constant, the fan-out s the number of units of the layer. Biases start at 0 unless said otherwise.
/// The same seed gives the same numbers on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Initialization {
    /// Uniform on ±√(6/(d+s)) (Glorot & Bengio 2010): for tanh, logistic and their like.
    #[default]
    Glorot,
    /// Normal with variance 2/d (He et al. 2015): for ReLU, SiLU, GELU.
    He,
    /// Normal with variance 1/d (LeCun et al. 1998).
    LeCun,
    /// Uniform on ±0.5, biases too: `rang = 0.5`, the start of R's nnet.
    Uniform,
    /// Normal with standard deviation 0.1, biases too.
    Normal,
    /// All zero: a saddle of most networks, useful in tests.
    Zero,
}

impl Initialization {
    /// All rules.
    pub const ALL: [Initialization; 6] = [
        Initialization::Glorot,
        Initialization::He,
        Initialization::LeCun,
        Initialization::Uniform,
        Initialization::Normal,
        Initialization::Zero,
    ];

    /// The name used by the program and in files.
    pub fn name(self) -> &'static str {
        match self {
            Initialization::Glorot => "glorot",
            Initialization::He => "he",
            Initialization::LeCun => "lecun",
            Initialization::Uniform => "uniform",
            Initialization::Normal => "normal",
            Initialization::Zero => "zero",
        }
    }

    /// The rule of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::error::by_name("initialization", name, &Self::ALL.map(|rule| (rule.name(), rule)))
    }

    /// Initial parameters of `network` in the order of its flat vector. Radial units take their centres from the rule as if
    /// they were weights, and the width 1; the user's own units take every parameter from it.
    pub fn draw(self, network: &Network, seed: u64) -> Vec<f64> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut w = Vec::with_capacity(network.parameters());
        for layer in network.layers() {
            let (d, s) = (layer.inputs.max(1) as f64, layer.units as f64);
            for group in &layer.groups {
                let from = w.len();
                for index in 0..group.range.len() {
                    let bias =
                        layer.bias && group.propagation.is_linear() && (index + 1) % group.row == 0;
                    w.push(match self {
                        Initialization::Zero => 0.0,
                        Initialization::Uniform => uniform(&mut rng, 0.5),
                        Initialization::Normal => normal(&mut rng, 0.1),
                        _ if bias => 0.0,
                        Initialization::Glorot => uniform(&mut rng, (6.0 / (d + s)).sqrt()),
                        Initialization::He => normal(&mut rng, (2.0 / d).sqrt()),
                        Initialization::LeCun => normal(&mut rng, (1.0 / d).sqrt()),
                    });
                }
                if let Propagation::Radial(form) = group.propagation {
                    for row in w[from..].chunks_mut(group.row) {
                        let start = form.weights(&row[..layer.inputs], 1.0);
                        row.copy_from_slice(&start);
                    }
                }
            }
        }
        w
    }

    /// Initial parameters as [`draw`](Self::draw) gives them, but for the radial units that the inputs alone feed: their
    /// centres are spread over the rows of `x` and their widths follow from the distances between them.
    ///
    /// The centres of a layer are those of k-means++ (Arthur & Vassilvitskii 2007) and ten steps of Lloyd's iteration; where
    /// there are fewer different rows than units, the others stand at a tenth of the data's spread from a row. The width σ of
    /// a unit is the root mean square of the distances to its two nearest neighbours (Moody & Darken 1989), at least a tenth
    /// of the median over the units; the spread of the data for a single unit. For n rows, k units and d inputs
    /// that takes at most (11 n + k) k d multiplications, the centres the first part and their distances the second.
    ///
    /// ```
    /// use ndarray::array;
    /// use secondo::{Activation, Group, Initialization, Layer, Network, Radial};
    /// let net = Network::new(1, vec![
    ///     Layer::of(vec![Group::radial(2, Radial::IsotropicSigma, Activation::ExpNegHalf)]),
    ///     Layer::dense(1, Activation::Identity),
    /// ])?;
    /// let x = array![[0.0], [1.0], [9.0], [10.0]];
    /// let w = Initialization::Glorot.draw_from(&net, &x, 7)?;
    /// let (mut centres, widths) = ([w[0], w[2]], [w[1], w[3]]);
    /// centres.sort_by(f64::total_cmp);
    /// assert_eq!((centres, widths), ([0.5, 9.5], [9.0, 9.0])); // one centre for each pair of rows
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `x` has no row, not the network's inputs, or a number that is not finite, or rows too far apart; `Unsupported` beyond 10¹⁰ multiplications.
    pub fn draw_from(self, network: &Network, x: &ArrayRef2<f64>, seed: u64) -> Result<Vec<f64>> {
        if x.ncols() != network.inputs() {
            return Err(Error::shape("columns of X", &[network.inputs()], &[x.ncols()]));
        }
        if x.nrows() == 0 {
            return Err(Error::invalid("X", "at least one row is needed"));
        }
        if let Some(((i, a), _)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::non_finite("X", &[i, a]));
        }
        let radial = |layer| radial_groups(layer).map(|(_, g)| g.units.len()).sum::<usize>();
        let placed = || {
            let layers = network.layers().iter().filter(|l| l.sources == [0]);
            layers.map(|l| (l, radial(l))).filter(|(_, count)| *count > 0)
        };
        let (n, d) = (x.nrows() as f64, x.ncols() as f64);
        for (_, count) in placed() {
            let k = count as f64;
            let work = ((1 + LLOYD) as f64 * n + k) * k * d;
            if work > MULTIPLICATIONS {
                return Err(Error::Unsupported {
                    what: format!("a start of {count} radial units from the data"),
                    why: format!(
                        "with {n} rows of {d} numbers it takes {work:.1e} multiplications, more than {MULTIPLICATIONS:e}; \
                         take fewer units or rows, or a start that does not look at the data (Initialization::draw)"
                    ),
                });
            }
        }
        let mut w = self.draw(network, seed);
        for (layer, count) in placed() {
            // Another stream than that of the weights.
            let mut rng = Pcg64::seed_from_u64(seed ^ 0xce47_7e55_ce47_7e55);
            let rows: Vec<Vec<f64>> = x.outer_iter().map(|row| row.to_vec()).collect();
            let spread = spread(&rows);
            let centres = centres(&rows, count, spread, &mut rng);
            let mut placed = centres.iter().zip(widths(&centres, spread));
            for (form, g) in radial_groups(layer) {
                for (row, (centre, width)) in w[g.range.clone()].chunks_mut(g.row).zip(&mut placed)
                {
                    row.copy_from_slice(&form.weights(centre, width));
                }
            }
        }
        if w.iter().any(|v| !v.is_finite()) {
            let why = "its rows are so far apart that squares of their distances are beyond the range of f64; standardise it";
            return Err(Error::invalid("X", why));
        }
        Ok(w)
    }
}

/// The groups of radial units.
fn radial_groups(layer: &LayerView) -> impl Iterator<Item = (Radial, &GroupView)> {
    (layer.groups.iter()).filter_map(|g| match g.propagation {
        Propagation::Radial(form) => Some((form, g)),
        _ => None,
    })
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The root mean square of the rows' distances to their mean, in one direction; of rows that are all the same the largest
/// number, or 1.
fn spread(rows: &[Vec<f64>]) -> f64 {
    let (n, d, first) = (rows.len() as f64, rows[0].len(), &rows[0]);
    // From the first row, so that equal rows have no distance from rounding.
    let mean: Vec<f64> = (0..d)
        .map(|a| first[a] + rows.iter().map(|r| (r[a] - first[a]) / n).sum::<f64>())
        .collect();
    let square: f64 = rows.iter().map(|r| squared_distance(r, &mean) / n).sum();
    let largest = first.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    [(square / d as f64).sqrt(), largest]
        .into_iter()
        .find(|s| *s > 0.0 && s.is_finite())
        .unwrap_or(1.0)
}

/// `count` centres: k-means++, then steps of Lloyd's iteration.
fn centres(rows: &[Vec<f64>], count: usize, spread: f64, rng: &mut Pcg64) -> Vec<Vec<f64>> {
    let mut centres: Vec<Vec<f64>> = Vec::with_capacity(count);
    let mut nearest = vec![f64::INFINITY; rows.len()];
    while centres.len() < count {
        let total: f64 = nearest.iter().sum();
        let row = if total.is_finite() && total > 0.0 {
            // With the probability of its squared distance to the nearest centre.
            let mut rest = total * unit(rng);
            let chosen = nearest.iter().position(|d| {
                rest -= d;
                rest < 0.0
            });
            chosen.or_else(|| nearest.iter().rposition(|&d| d > 0.0))
        } else {
            None
        };
        let centre = match row {
            Some(row) => rows[row].clone(),
            // The first; or every row has its centre: one more there would never move apart from it.
            None => {
                let row = &rows[(unit(rng) * rows.len() as f64) as usize % rows.len()];
                let off = if centres.is_empty() { 0.0 } else { 0.1 * spread };
                row.iter().map(|v| v + off * normal(rng, 1.0)).collect()
            }
        };
        (nearest.par_iter_mut().zip(rows))
            .for_each(|(near, row)| *near = near.min(squared_distance(row, &centre)));
        centres.push(centre);
    }
    for _ in 0..LLOYD {
        let home: Vec<usize> = (rows.par_iter())
            .map(|row| {
                let distance = |c: usize| squared_distance(row, &centres[c]);
                // The first of the nearest.
                (0..count).fold((0, f64::INFINITY), |best, c| match distance(c) {
                    d if d < best.1 => (c, d),
                    _ => best,
                })
            })
            .map(|(c, _)| c)
            .collect();
        let mut sums = vec![(0.0, vec![0.0; rows[0].len()]); count];
        for (row, &c) in rows.iter().zip(&home) {
            let (members, sum) = &mut sums[c];
            *members += 1.0;
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
        let mut moved = false;
        for (centre, (members, sum)) in centres.iter_mut().zip(sums) {
            if members > 0.0 {
                let mean: Vec<f64> = sum.iter().map(|s| s / members).collect();
                moved |= *centre != mean;
                *centre = mean;
            }
        }
        if !moved {
            break;
        }
    }
    centres
}

/// σ for each centre.
fn widths(centres: &[Vec<f64>], spread: f64) -> Vec<f64> {
    let mut widths: Vec<f64> = (centres.par_iter().enumerate())
        .map(|(j, centre)| {
            // Centres at the same place say nothing about the width.
            let mut near = [f64::INFINITY; 2];
            for (c, other) in centres.iter().enumerate() {
                let d = squared_distance(centre, other);
                if c != j && d > 0.0 && d < near[1] {
                    near = [near[0].min(d), near[0].max(d)];
                }
            }
            match near {
                [d, _] if d.is_infinite() => spread,
                [d, e] if e.is_infinite() => d.sqrt(),
                [d, e] => (0.5 * (d + e)).sqrt(),
            }
        })
        .collect();
    let mut sorted = widths.clone();
    sorted.sort_by(f64::total_cmp);
    let least = 0.1 * sorted.get(sorted.len() / 2).copied().unwrap_or(spread);
    widths.iter_mut().for_each(|w| *w = w.max(least));
    widths
}

/// Uniform on [0, 1).
fn unit(rng: &mut Pcg64) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn uniform(rng: &mut Pcg64, half_width: f64) -> f64 {
    // The bounds are finite and ordered, so the distribution exists; 0 would be a valid start as well.
    Uniform::new(-half_width, half_width).map_or(0.0, |u| u.sample(rng))
}

fn normal(rng: &mut Pcg64, deviation: f64) -> f64 {
    Normal::new(0.0, deviation).map_or(0.0, |n| n.sample(rng))
}
