//! Substitutes for missing values: means and most frequent levels, learnt from rows of inputs.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, s};

use super::{Coding, Column, Fill};
use crate::error::{Error, Result};

/// Learns the substitutes of those `columns` that have one from rows of inputs, and puts them in.
///
/// Of numbers it is the mean Σ_i ω_i x_i / Σ_i ω_i over the rows i with a value, of levels the one of the largest Σ_i ω_i, the first of
/// several, where no row has a value 0 or the first. `x`, rows × inputs, holds the inputs of `columns` in their order; `weights` are the ω_i, 1
/// where there are none.
///
/// # Errors
/// `Shape` where `x` has not the inputs of `columns`, or `weights` not its rows.
pub fn impute(columns: &mut [Column], x: &mut Array2<f64>, weights: Option<&[f64]>) -> Result<()> {
    check(columns, x)?;
    if let Some(weights) = weights.filter(|w| w.len() != x.nrows()) {
        return Err(Error::shape("weights", &[x.nrows()], &[weights.len()]));
    }
    let largest = weights.map_or(1.0, |w| w.iter().fold(0.0, |m: f64, w| m.max(*w)));
    let weight = |i: usize| weights.map_or(1.0, |w| w[i] / largest);
    for (at, inputs) in filled(columns) {
        let (column, x) = (&mut columns[at], x.slice_mut(s![.., inputs]));
        let mark = x.ncols() - 1;
        let known: Vec<usize> = (0..x.nrows()).filter(|&i| x[(i, mark)] == 0.0).collect();
        column.fill = Some(match &column.coding {
            Coding::Levels { levels, reference } => {
                let mut counts = vec![0.0; levels.len()];
                for &i in &known {
                    let input = (0..mark).find(|&c| x[(i, c)] == 1.0);
                    let level = level(input, *reference).and_then(|level| counts.get_mut(level));
                    if let Some(count) = level {
                        *count += weight(i);
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
    Ok(())
}

/// Puts the substitutes of `columns` into further rows of their inputs.
///
/// # Errors
/// `Shape` where `x` has not the inputs of `columns`.
pub fn fill_gaps(columns: &[Column], x: &mut Array2<f64>) -> Result<()> {
    check(columns, x)?;
    for (at, inputs) in filled(columns) {
        put(&columns[at], x.slice_mut(s![.., inputs]));
    }
    Ok(())
}

fn check(columns: &[Column], x: &Array2<f64>) -> Result<()> {
    let width = columns.iter().map(|column| column.inputs().len()).sum();
    if x.ncols() == width {
        return Ok(());
    }
    Err(Error::shape("the inputs of the columns", &[x.nrows(), width], &[x.nrows(), x.ncols()]))
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

/// Puts the substitute of a column into its inputs, of which the last marks the rows without a value.
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// A column of three levels and its inputs in rows of the levels c, a, a, b, and in a last row without one.
    fn column(reference: Option<usize>) -> (Column, Array2<f64>) {
        let levels = ["a", "b", "c"].map(String::from).to_vec();
        let coding = Coding::Levels { levels, reference };
        let column = Column { name: "k".into(), coding, fill: Some(Fill::Level(0)) };
        let one_hot = array![
            [0.0, 0.0, 1.0, 0.0],
            [1.0, 0.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [9.0, 9.0, 9.0, 1.0]
        ];
        let kept: Vec<usize> = (0..4).filter(|c| Some(*c) != reference).collect();
        (column, one_hot.select(ndarray::Axis(1), &kept))
    }

    #[test]
    fn the_most_frequent_level_is_filled_in_whatever_the_reference() {
        for reference in [None, Some(0), Some(1), Some(2)] {
            for (weights, most) in [(None, 0), (Some([1.0, 1.0, 1.0, 4.0, 50.0]), 1)] {
                let (column, mut x) = column(reference);
                let expected: Vec<f64> = (0..3)
                    .filter(|level| Some(*level) != reference)
                    .map(|level| f64::from(u8::from(level == most)))
                    .chain([1.0])
                    .collect();
                let mut columns = [Column::number("x"), column];
                // A column of numbers before shifts the others.
                let first = Array2::from_elem((5, 1), 7.0);
                x = ndarray::concatenate![ndarray::Axis(1), first, x];
                impute(&mut columns, &mut x, weights.as_ref().map(|w| &w[..])).unwrap();
                assert_eq!(columns[1].fill, Some(Fill::Level(most)));
                assert_eq!(x.row(4).to_vec()[1..], expected, "{reference:?}");
                assert_eq!(x.column(0).sum(), 35.0);
                // Further rows have the same; known ones stay.
                let mut more = x.clone();
                let mark = more.ncols() - 1;
                more.row_mut(4).slice_mut(s![1..mark]).fill(3.0);
                fill_gaps(&columns, &mut more).unwrap();
                assert_eq!(more, x);
            }
        }
    }

    #[test]
    fn rows_without_any_value_give_0_and_shapes_are_checked() {
        let fill = Some(Fill::Number(5.0));
        let mut columns = [Column { fill, ..Column::number("x") }];
        let mut x = array![[8.0, 1.0], [9.0, 1.0]];
        impute(&mut columns, &mut x, None).unwrap();
        assert_eq!(
            (&columns[0].fill, x),
            (&Some(Fill::Number(0.0)), array![[0.0, 1.0], [0.0, 1.0]])
        );
        let mut x = array![[8.0, 0.0], [2.0, 0.0], [9.0, 1.0]];
        assert!(impute(&mut columns, &mut x, Some(&[1.0])).is_err());
        assert!(fill_gaps(&columns, &mut array![[1.0], [2.0]]).is_err());
        impute(&mut columns, &mut x, Some(&[3.0, 1.0, 2.0])).unwrap();
        assert_eq!(x.row(2).to_vec(), [6.5, 1.0]);
    }
}
