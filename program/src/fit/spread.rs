//! Means, scales, classes and substitutes of rows that are read as they are needed: sums over walks.

use ndarray::ArrayView2;
use secondo::io::{Column, Dataset, Standardization, Substitutes};
use secondo::{Error, Loss, Samples};

use super::loss;
use super::part::{Part, class_of, rows};

/// The sums over the rows to train with, from one walk.
pub struct Spread {
    pub standardization: Standardization,
    /// The inputs that are constant.
    pub idle: Vec<usize>,
    /// The weight of the rows of each class.
    pub class_sums: Vec<f64>,
    /// On constant columns and classes without rows.
    pub warnings: Vec<String>,
}

/// The sums of one column.
#[derive(Clone)]
struct Sums {
    mean: f64,
    /// Σ ω (v − mean)².
    squares: f64,
    first: Option<f64>,
    /// Whether all values are the first.
    is_constant: bool,
}

impl Sums {
    /// Adds a value, of which the weight is so large a share of all until now (Welford's sums, with the weights of West 1979).
    fn add(&mut self, value: f64, omega: f64, total: f64) {
        let before = value - self.mean;
        self.mean += before * (omega / total);
        self.squares += omega * before * (value - self.mean);
        self.is_constant = self.is_constant && value == *self.first.get_or_insert(value);
    }
}

impl Spread {
    /// Walks the rows to train with, those of `data` with so many classes; targets are standardised where `loss` allows it.
    ///
    /// # Errors
    /// Those of reading; a column whose spread no number holds.
    pub fn of(
        train: &Part,
        data: &Dataset,
        loss: &Loss,
        classes: &[String],
    ) -> Result<Self, Error> {
        let (inputs, outputs) = (train.inputs(), train.outputs());
        let numbers = if classes.is_empty() { outputs } else { 0 };
        let none = Sums { mean: 0.0, squares: 0.0, first: None, is_constant: true };
        let mut sums = vec![none; inputs + numbers];
        let (mut class_sums, mut counts) = (vec![0.0; classes.len()], vec![0; classes.len()]);
        let mut total = 0.0;
        train.each(|window| {
            for (x, y, omega) in rows(window, [inputs, outputs]).filter(|(.., omega)| *omega > 0.0)
            {
                total += omega;
                let values = x.iter().chain(&y[..numbers]);
                values.zip(&mut sums).for_each(|(value, sums)| sums.add(*value, omega, total));
                if !classes.is_empty() {
                    class_sums[class_of(y)] += omega;
                    counts[class_of(y)] += 1;
                }
            }
            Ok(())
        })?;
        let targets = data.targets.len();
        let mut out = Spread {
            standardization: Standardization::none(inputs, targets),
            idle: Vec::new(),
            class_sums,
            warnings: Vec::new(),
        };
        for (c, (sums, name)) in
            sums.iter().zip(data.features.iter().chain(&data.targets)).enumerate()
        {
            let (mean, scale) = out.of_column(sums, total, name)?;
            let of = &mut out.standardization;
            if c < inputs {
                (of.x_mean[c], of.x_scale[c]) = (mean, scale);
                out.idle.extend(sums.is_constant.then_some(c));
            } else if loss::shifts(loss) {
                (of.y_mean[c - inputs], of.y_scale[c - inputs]) = (mean, scale);
            }
        }
        for (few, said) in [(0, "no row"), (1, "only one row")] {
            let of_few = classes.iter().zip(&counts).filter(|(_, count)| **count == few);
            let names: Vec<&str> = of_few.map(|(class, _)| class.as_str()).take(10).collect();
            if !names.is_empty() {
                out.warnings.push(format!("there is {said} to train for: {}", names.join(", ")));
            }
        }
        Ok(out)
    }

    /// The mean and the scale of a column.
    fn of_column(&mut self, sums: &Sums, total: f64, name: &str) -> Result<(f64, f64), Error> {
        if sums.is_constant {
            let mean = sums.first.unwrap_or(0.0);
            self.warnings.push(format!(
                "the column '{name}' is constant ({mean}); it is only centred, with scale 1"
            ));
            return Ok((mean, 1.0));
        }
        let (mean, scale) = (sums.mean, f64::sqrt(sums.squares / total));
        if mean.is_finite() && scale.is_finite() && scale > 0.0 {
            return Ok((mean, scale));
        }
        Err(Error::Invalid {
            what: format!("column '{name}'"),
            why: "its spread is beyond the range of a 64-bit float; rescale it".into(),
        })
    }
}

/// Learns the substitutes of `columns` for missing values from the rows to train with, if any has one; whether any has.
///
/// # Errors
/// Those of reading.
pub fn substitute(columns: &mut [Column], train: &Part) -> Result<bool, Error> {
    if columns.iter().all(|column| column.fill.is_none()) {
        return Ok(false);
    }
    let mut found = Substitutes::of(columns);
    train.each(|window| {
        let shape = (window.weights.len(), train.inputs());
        let x = ArrayView2::from_shape(shape, &window.x)
            .map_err(|e| Error::Numerical { what: e.to_string() })?;
        found.add(x, Some(&window.weights))
    })?;
    found.put(columns);
    Ok(true)
}
