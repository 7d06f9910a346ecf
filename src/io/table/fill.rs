//! Substitutes for missing values: means and most frequent levels, learnt from rows of inputs.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, s};

use super::{Coding, Column, Fill};

/// Learns the substitutes of those `columns` that have one from rows of inputs, and puts them in.
///
/// Of numbers it is the mean Σ_i ω_i x_i / Σ_i ω_i over the rows i with a value, of levels the one of the largest Σ_i ω_i, the first of
/// several. `x`, rows × inputs, holds the inputs of `columns` in their order; `weights` are the ω_i, 1 where there are none. Where no row has
/// a value, the substitute remains.
pub fn impute(columns: &mut [Column], x: &mut Array2<f64>, weights: Option<&[f64]>) {
    let largest = weights.map_or(1.0, |w| w.iter().fold(0.0, |m: f64, w| m.max(*w)));
    let weight = |i: usize| weights.map_or(1.0, |w| w[i] / largest);
    for (at, inputs) in filled(columns) {
        let (column, x) = (&mut columns[at], x.slice_mut(s![.., inputs]));
        let mark = x.ncols() - 1;
        let known: Vec<usize> = (0..x.nrows()).filter(|&i| x[(i, mark)] == 0.0).collect();
        if known.is_empty() {
            continue;
        }
        column.fill = Some(match &column.coding {
            Coding::Levels { levels, reference } => {
                let mut counts = vec![0.0; levels.len()];
                for &i in &known {
                    let input = (0..mark).find(|&c| x[(i, c)] == 1.0);
                    if let Some(level) = level(input, *reference) {
                        counts[level] += weight(i);
                    }
                }
                let most = counts.iter().copied().fold(0.0, f64::max);
                Fill::Level(counts.iter().position(|c| *c == most).unwrap_or(0))
            }
            _ => {
                let total: f64 = known.iter().map(|&i| weight(i)).sum();
                Fill::Number(known.iter().map(|&i| weight(i) / total * x[(i, 0)]).sum())
            }
        });
        put(column, x);
    }
}

/// Puts the substitutes of `columns` into further rows of their inputs.
pub fn fill_gaps(columns: &[Column], x: &mut Array2<f64>) {
    for (at, inputs) in filled(columns) {
        put(&columns[at], x.slice_mut(s![.., inputs]));
    }
}

/// The indices of the columns that have a substitute, with those of their inputs, of which the last marks the rows without a value.
fn filled(columns: &[Column]) -> Vec<(usize, Range<usize>)> {
    let mut begin = 0;
    let ranges = columns.iter().enumerate().map(|(at, column)| {
        let range = begin..begin + column.inputs().len();
        begin = range.end;
        (at, range)
    });
    ranges.filter(|(at, _)| columns[*at].fill.is_some()).collect()
}

fn put(column: &Column, mut x: ArrayViewMut2<f64>) {
    let mark = x.ncols() - 1;
    for mut row in x.rows_mut() {
        if row[mark] == 0.0 {
            continue;
        }
        for at in 0..mark {
            row[at] = match (&column.fill, &column.coding) {
                (Some(Fill::Number(mean)), _) => *mean,
                (Some(Fill::Level(fill)), Coding::Levels { reference, .. }) => {
                    f64::from(u8::from(level(Some(at), *reference) == Some(*fill)))
                }
                _ => row[at],
            };
        }
    }
}

/// The level of the input `at`, of all but the reference; the reference without one.
fn level(at: Option<usize>, reference: Option<usize>) -> Option<usize> {
    match (at, reference) {
        (Some(at), Some(reference)) => Some(at + usize::from(at >= reference)),
        (at, reference) => at.or(reference),
    }
}
