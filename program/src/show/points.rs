//! Rows with what is to be predicted.

use ndarray::{Array2, ArrayRef2, Axis};
use secondo::io::Model;
use secondo::{Error, Loss};

use super::Part;
use super::extent::extent;
use crate::metrics::most_probable;
use crate::table::{Known, Rows};

/// So many rows of each part of the data are kept.
const KEPT: usize = 2000;

/// Rows of data, one of several where there are many: the inputs, and what is to be predicted, in the units of the data.
pub struct Points {
    title: &'static str,
    /// The number of all rows, of which one of so many is here.
    rows: usize,
    one_of: usize,
    pub x: Array2<f64>,
    /// Of classes one column with their numbers, or one indicator for each.
    y: Array2<f64>,
    pub weights: Option<Vec<f64>>,
    /// The ends of the input, of all rows, where there is one input.
    pub range: (f64, f64),
}

impl Points {
    /// Of rows of which `kept` are here; `y` is what the loss compares with the outputs, not standardised.
    fn of(
        title: &'static str,
        x: &ArrayRef2<f64>,
        kept: &[usize],
        y: Array2<f64>,
        weights: Option<&Vec<f64>>,
    ) -> Self {
        Points {
            title,
            rows: x.nrows(),
            one_of: one_of(x.nrows()),
            range: if x.ncols() == 1 { extent(x.iter().copied()) } else { (0.0, 1.0) },
            x: x.select(Axis(0), kept),
            y,
            weights: weights.map(|w| kept.iter().map(|&i| w[i]).collect()),
        }
    }

    /// The rows of data as a loss takes them.
    pub fn of_data(title: &'static str, x: &ArrayRef2<f64>, y: &Array2<f64>) -> Self {
        let kept = kept(x.nrows());
        Points::of(title, x, &kept, y.select(Axis(0), &kept), None)
    }

    /// The rows of a table; none without a target.
    pub fn of_table(title: &'static str, rows: &Rows) -> Option<Self> {
        let kept = kept(rows.x.nrows());
        let y = match rows.target.as_ref()? {
            Known::Numbers(y) => rows.rates(y).select(Axis(0), &kept),
            Known::Classes(index) => {
                Array2::from_shape_fn((kept.len(), 1), |(i, _)| index[kept[i]] as f64)
            }
        };
        Some(Points::of(title, &rows.x, &kept, y, rows.weights.as_ref()))
    }

    /// The rows with their predictions.
    pub fn part(&self, model: &Model) -> Result<Part, Error> {
        let lists = |array: &Array2<f64>| array.columns().into_iter().map(|c| c.to_vec()).collect();
        let actual = match model.loss {
            Loss::SoftmaxCrossEntropy if self.y.ncols() > 1 => {
                let rows = self.y.rows().into_iter();
                vec![rows.map(|row| most_probable(row.iter().copied()) as f64).collect()]
            }
            _ => lists(&self.y),
        };
        Ok(Part {
            name: self.title.into(),
            rows: self.rows,
            one_of: self.one_of,
            x: if self.x.ncols() == 1 { self.x.column(0).to_vec() } else { Vec::new() },
            actual,
            predicted: lists(&model.predict(&self.x)?),
        })
    }
}

/// Of how many rows one is kept.
fn one_of(rows: usize) -> usize {
    rows.div_ceil(KEPT).max(1)
}

fn kept(rows: usize) -> Vec<usize> {
    (0..rows).step_by(one_of(rows)).collect()
}
