//! The partial dependence of predictions on the columns of a table.

use ndarray::Array2;
use secondo::Error;
use secondo::io::{Coding, Column, Model};

use super::Effect;
use super::points::Points;

/// So many values of a column of numbers.
const VALUES: usize = 21;
/// So many predictions in all, with so many rows at the least for each value.
const PREDICTIONS: usize = 400_000;
const ROWS: usize = 20;
/// The effects of more columns than this are not computed.
const COLUMNS: usize = 300;

/// The effects of all columns on the predictions, the largest first.
///
/// # Errors
/// Predictions that fail.
pub fn effects(model: &Model, points: &Points) -> Result<Vec<Effect>, Error> {
    let columns = model.table_columns();
    if columns.len() > COLUMNS || points.x.nrows() == 0 {
        return Ok(Vec::new());
    }
    let values: usize =
        columns.iter().map(|column| levels(column).map_or(VALUES, <[_]>::len)).sum();
    let most = (PREDICTIONS / values.max(1)).max(ROWS);
    let one_of = points.x.nrows().div_ceil(most);
    let rows: Vec<usize> = (0..points.x.nrows()).step_by(one_of).collect();
    let weight = |i: &usize| points.weights.as_ref().map_or(1.0, |w| w[*i]);
    let weights: Vec<f64> = rows.iter().map(weight).collect();
    let x = points.x.select(ndarray::Axis(0), &rows);
    let mut out = Vec::new();
    let mut first = 0;
    for column in &columns {
        let width = column.width();
        let inputs = first..first + width;
        first = inputs.end;
        let (names, at) = match levels(column) {
            Some(levels) => (levels.to_vec(), (0..levels.len()).map(|l| l as f64).collect()),
            None => (Vec::new(), grid(&points.x.column(inputs.start).to_vec())),
        };
        let mut response = vec![Vec::new(); shown(model)];
        for value in &at {
            let mut x = x.clone();
            for (c, v) in inputs.clone().zip(coded(column, *value, width)) {
                x.column_mut(c).fill(v);
            }
            let mean = mean(model, &x, &weights)?;
            response.iter_mut().zip(mean).for_each(|(list, v)| list.push(v));
        }
        out.push(Effect { column: titled(column), levels: names, at, response });
    }
    out.sort_by(|a, b| b.range().total_cmp(&a.range()));
    Ok(out)
}

/// The name of a column; of dates with their unit.
fn titled(column: &Column) -> String {
    match (&column.coding, column.in_words()) {
        (Coding::Time { .. }, Some(words)) => {
            words.split_once(", read as").map_or(words.clone(), |(unit, _)| unit.to_string())
        }
        _ => column.name.clone(),
    }
}

fn levels(column: &Column) -> Option<&[String]> {
    match &column.coding {
        Coding::Levels { levels, .. } => Some(levels),
        _ => None,
    }
}

/// The number of outputs that are shown: of two classes the second alone.
pub fn shown(model: &Model) -> usize {
    match model.classes.len() {
        2 => 1,
        0 => model.targets.len(),
        classes => classes,
    }
}

/// The inputs of a column at a number, or at the level of this place; never marked as missing.
fn coded(column: &Column, value: f64, width: usize) -> Vec<f64> {
    let mut out = match &column.coding {
        Coding::Levels { levels, reference } => (0..levels.len())
            .filter(|l| Some(*l) != *reference)
            .map(|l| f64::from(u8::from(l as f64 == value)))
            .collect(),
        _ => vec![value],
    };
    out.resize(width, 0.0);
    out
}

/// The values themselves where there are few, else even distances between their hundredth parts.
fn grid(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 100;
    let (low, high) = (sorted[cut], sorted[sorted.len() - 1 - cut]);
    sorted.dedup();
    if sorted.len() <= VALUES {
        return sorted;
    }
    let share = |k: usize| k as f64 / (VALUES - 1) as f64;
    (0..VALUES).map(|k| low * (1.0 - share(k)) + high * share(k)).collect()
}

/// The mean prediction of each shown output.
fn mean(model: &Model, x: &Array2<f64>, weights: &[f64]) -> Result<Vec<f64>, Error> {
    let predicted = model.predict(x)?;
    let total: f64 = weights.iter().sum();
    let first = predicted.ncols() - shown(model);
    let columns = predicted.columns().into_iter().skip(first);
    Ok(columns
        .map(|column| column.iter().zip(weights).map(|(v, w)| v * (w / total)).sum())
        .collect())
}
