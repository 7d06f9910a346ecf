//! Rows with what is to be predicted.

use ndarray::{Array2, Axis};
use secondo::io::Model;
use secondo::{Error, Loss};

use super::Part;
use crate::exit::Failure;
use crate::metrics::most_probable;
use crate::table::{Known, Rows, column};

/// So many rows of each part of the data are kept.
const KEPT: usize = 2000;

/// Rows of data: the inputs, and for each output what is to be predicted, in the units of the data.
pub struct Points {
    title: &'static str,
    pub x: Array2<f64>,
    y: Array2<f64>,
    pub weights: Option<Vec<f64>>,
}

impl Points {
    /// `y` is what the loss compares with the outputs, not standardised.
    pub fn new(title: &'static str, x: &Array2<f64>, y: Array2<f64>) -> Self {
        Points { title, x: x.clone(), y, weights: None }
    }

    /// The rows of a table.
    ///
    /// # Errors
    /// As [`Rows::encoded`].
    pub fn of_table(title: &'static str, model: &Model, rows: &Rows) -> Result<Self, Failure> {
        let y = match &rows.target {
            Some(Known::Numbers(y)) => column(y),
            _ => rows.encoded(model)?,
        };
        Ok(Points { weights: rows.weights.clone(), ..Points::new(title, &rows.x, y) })
    }

    /// The rows with their predictions, one of several where there are many.
    pub fn part(&self, model: &Model) -> Result<Part, Error> {
        let one_of = self.x.nrows().div_ceil(KEPT).max(1);
        let kept: Vec<usize> = (0..self.x.nrows()).step_by(one_of).collect();
        let x = self.x.select(Axis(0), &kept);
        let y = self.y.select(Axis(0), &kept);
        let lists = |array: &Array2<f64>| array.columns().into_iter().map(|c| c.to_vec()).collect();
        let actual = match model.loss {
            Loss::SoftmaxCrossEntropy => {
                let class =
                    |row: ndarray::ArrayView1<f64>| most_probable(row.iter().copied()) as f64;
                vec![y.rows().into_iter().map(class).collect()]
            }
            _ => lists(&y),
        };
        Ok(Part {
            name: self.title.into(),
            rows: self.x.nrows(),
            one_of,
            x: if x.ncols() == 1 { x.column(0).to_vec() } else { Vec::new() },
            actual,
            predicted: lists(&model.predict(&x)?),
        })
    }
}
