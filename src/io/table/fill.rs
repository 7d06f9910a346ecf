//! Substitutes for missing values: means and most frequent levels, learnt from rows of inputs.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

use crate::error::{Error, Result};
use crate::io::column::{Coding, Column, Fill};

/// Learns the substitutes of those `columns` that have one from rows of inputs, and puts them in: see [`Substitutes`].
///
/// `x`, rows × inputs, holds the inputs of `columns` in their order; `weights` are the ω_i, 1 where there are none.
///
/// # Errors
/// `Shape` where `x` has not the inputs of `columns`, or `weights` not its rows.
pub fn impute(columns: &mut [Column], x: &mut Array2<f64>, weights: Option<&[f64]>) -> Result<()> {
    let mut found = Substitutes::of(columns);
    let largest = weights.map_or(1.0, |w| w.iter().fold(0.0, |m: f64, w| m.max(*w)));
    let weights = weights.map(|w| w.iter().map(|w| w / largest).collect::<Vec<f64>>());
    found.add(x.view(), weights.as_deref())?;
    found.put(columns);
    fill_gaps(columns, x)
}

/// The substitutes for missing values, learnt from rows of inputs that may come some at a time.
///
/// Of numbers it is the mean Σ_i ω_i x_i / Σ_i ω_i over the rows i with a value, of levels the one of the largest Σ_i ω_i, the first of
/// several; where no row has a value, 0 or the first.
///
/// ```
/// use ndarray::array;
/// use secondo::io::{Column, Fill, Substitutes};
/// let mut columns = [Column { fill: Some(Fill::Number(0.0)), ..Column::number("x") }];
/// let mut found = Substitutes::of(&columns);
/// // The value, and whether it is missing.
/// found.add(array![[1.0, 0.0], [0.0, 1.0]].view(), None)?;
/// found.add(array![[4.0, 0.0]].view(), Some(&[2.0]))?;
/// found.put(&mut columns);
/// // (1 + 2 · 4) / 3.
/// assert_eq!(columns[0].fill, Some(Fill::Number(3.0)));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Substitutes {
    /// The number of inputs of all columns.
    width: usize,
    found: Vec<Found>,
}

/// The values of one column that were there.
#[derive(Debug, Clone)]
struct Found {
    /// The index of the column, and those of its inputs, of which the last marks the rows without a value.
    column: usize,
    inputs: Range<usize>,
    reference: Option<usize>,
    /// Σ ω of each level; none of numbers.
    levels: Option<Vec<f64>>,
    /// Σ ω, and the mean of the numbers.
    total: f64,
    mean: f64,
}

impl Substitutes {
    /// Nothing is known yet of `columns`, of which those with a fill are learnt.
    pub fn of(columns: &[Column]) -> Self {
        let found = filled(columns).into_iter().map(|(column, inputs)| {
            let (levels, reference) = match &columns[column].coding {
                Coding::Levels { levels, reference } => (Some(vec![0.0; levels.len()]), *reference),
                _ => (None, None),
            };
            Found { column, inputs, reference, levels, total: 0.0, mean: 0.0 }
        });
        Substitutes { width: width(columns), found: found.collect() }
    }

    /// Adds rows, rows × inputs, with the weights ω_i, 1 where there are none.
    ///
    /// # Errors
    /// `Shape` where there are other inputs, or `weights` has not the rows.
    pub fn add(&mut self, x: ArrayView2<f64>, weights: Option<&[f64]>) -> Result<()> {
        check(self.width, x.dim())?;
        if let Some(weights) = weights.filter(|w| w.len() != x.nrows()) {
            return Err(Error::shape("weights", &[x.nrows()], &[weights.len()]));
        }
        for found in &mut self.found {
            let x = x.slice(s![.., found.inputs.clone()]);
            let mark = x.ncols() - 1;
            for (i, row) in x.rows().into_iter().enumerate().filter(|(_, row)| row[mark] == 0.0) {
                let weight = weights.map_or(1.0, |w| w[i]);
                match &mut found.levels {
                    Some(counts) => {
                        let input = (0..mark).find(|&c| row[c] == 1.0);
                        let level = level(input, found.reference);
                        if let Some(count) = level.and_then(|level| counts.get_mut(level)) {
                            *count += weight;
                        }
                    }
                    None if weight > 0.0 => {
                        found.total += weight;
                        let share = weight / found.total;
                        // Neither term leaves the range of the numbers.
                        found.mean += share * row[0] - share * found.mean;
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Gives `columns`, those of the beginning, the substitutes.
    pub fn put(&self, columns: &mut [Column]) {
        for found in &self.found {
            columns[found.column].fill = Some(match &found.levels {
                None => Fill::Number(found.mean),
                Some(counts) => {
                    let most = counts.iter().copied().fold(0.0, f64::max);
                    Fill::Level(counts.iter().position(|c| *c == most).unwrap_or(0))
                }
            });
        }
    }
}

/// Puts the substitutes of `columns` into further rows of their inputs.
///
/// # Errors
/// `Shape` where `x` has not the inputs of `columns`.
pub fn fill_gaps(columns: &[Column], x: &mut Array2<f64>) -> Result<()> {
    check(width(columns), x.dim())?;
    for (at, inputs) in filled(columns) {
        put(&columns[at], x.slice_mut(s![.., inputs]));
    }
    Ok(())
}

fn check(width: usize, found: (usize, usize)) -> Result<()> {
    if found.1 == width {
        return Ok(());
    }
    Err(Error::shape("the inputs of the columns", &[found.0, width], &[found.0, found.1]))
}

/// The number of inputs of all columns.
fn width(columns: &[Column]) -> usize {
    columns.iter().map(Column::width).sum()
}

/// The indices of the columns that have a substitute, with those of their inputs, of which the last marks the rows without a value.
fn filled(columns: &[Column]) -> Vec<(usize, Range<usize>)> {
    let mut begin = 0;
    let ranges = columns.iter().enumerate().map(|(at, column)| {
        let range = begin..begin + column.width();
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
