//! Samples: inputs X, targets Y and optional weights ω.

use std::fmt;
use std::sync::Arc;

use ndarray::{Array2, ArrayRef2, ArrayView2, aview2};

use crate::error::{Error, Result};

/// n samples: X (n × inputs), Y (n × outputs) and the weights ω (all 1 unless given).
///
/// Every number is finite and every weight is not negative: both are checked on construction. Clones share X.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    x: Rows,
    y: Array2<f64>,
    weights: Vec<f64>,
}

/// Rows of numbers where their owner holds them.
#[derive(Clone)]
struct Rows {
    owner: Arc<dyn AsRef<[f64]> + Send + Sync>,
    shape: (usize, usize),
}

/// The owner of an array in standard layout.
struct Own(Array2<f64>);

impl AsRef<[f64]> for Own {
    fn as_ref(&self) -> &[f64] {
        self.0.as_slice().unwrap_or_default()
    }
}

impl Rows {
    fn view(&self) -> ArrayView2<'_, f64> {
        // The length was checked on construction; of an owner that has fewer numbers now there are no rows.
        const NONE: [[f64; 1]; 0] = [];
        ArrayView2::from_shape(self.shape, (*self.owner).as_ref()).unwrap_or(aview2(&NONE))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Data {
    /// Samples with the weight 1 each.
    ///
    /// # Errors
    /// X and Y differ in their number of rows; no row; a number that is not finite.
    pub fn new(x: Array2<f64>, y: Array2<f64>) -> Result<Self> {
        let shape = x.dim();
        // The kernels read rows as slices: a transposed array is copied once, here.
        let x = if x.is_standard_layout() { x } else { x.as_standard_layout().into_owned() };
        Self::of(Rows { owner: Arc::new(Own(x)), shape }, y)
    }

    /// Samples with the weight 1 each, whose X, rows of `inputs` numbers one after the other, is held where it lies and not copied:
    /// a mapped file, an array of another language.
    ///
    /// The numbers must not change while the data live: what is computed from them is kept.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use ndarray::array;
    /// use secondo::Data;
    /// let x: Arc<Vec<f64>> = Arc::new(vec![1.0, 2.0, 3.0, 4.0]);
    /// let data = Data::sharing(x.clone(), 2, array![[0.0], [1.0]])?;
    /// assert_eq!(data.x()[[1, 0]], 3.0);
    /// assert_eq!(data.x().as_ptr(), x.as_ptr());
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new); numbers that are no whole rows.
    pub fn sharing(
        x: Arc<dyn AsRef<[f64]> + Send + Sync>,
        inputs: usize,
        y: Array2<f64>,
    ) -> Result<Self> {
        let count = (*x).as_ref().len();
        if inputs == 0 || !count.is_multiple_of(inputs) {
            let why = format!("{count} numbers are no rows of {inputs}");
            return Err(Error::invalid("X", why));
        }
        Self::of(Rows { owner: x, shape: (count / inputs, inputs) }, y)
    }

    fn of(x: Rows, y: Array2<f64>) -> Result<Self> {
        let n = x.shape.0;
        if n != y.nrows() {
            return Err(Error::shape("rows of Y", &[n], &[y.nrows()]));
        }
        if n == 0 {
            return Err(Error::invalid("data", "there are no rows"));
        }
        finite("X", &x.view())?;
        finite("Y", &y)?;
        Ok(Data { weights: vec![1.0; n], x, y: y.as_standard_layout().into_owned() })
    }

    /// The same samples with weights ω_i ≥ 0.
    ///
    /// # Errors
    /// A wrong length, a negative weight or one that is not finite, or all weights 0.
    pub fn weighted(mut self, weights: Vec<f64>) -> Result<Self> {
        if weights.len() != self.len() {
            return Err(Error::shape("sample weights", &[self.len()], &[weights.len()]));
        }
        if let Some(i) = weights.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("sample weights", &[i]));
        }
        if let Some(i) = weights.iter().position(|&v| v < 0.0) {
            return Err(Error::invalid(
                "sample weights",
                format!("weight {i} is {}; weights must not be negative", weights[i]),
            ));
        }
        if weights.iter().all(|&v| v == 0.0) {
            return Err(Error::invalid("sample weights", "all are 0"));
        }
        self.weights = weights;
        Ok(self)
    }

    /// Returns n, the number of samples.
    pub fn len(&self) -> usize {
        self.x.shape.0
    }

    /// Returns false: data have at least one row.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns X, n × inputs.
    pub fn x(&self) -> ArrayView2<'_, f64> {
        self.x.view()
    }

    /// Returns Y, n × outputs.
    pub fn y(&self) -> &Array2<f64> {
        &self.y
    }

    /// Returns ω, length n.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }
}

fn finite(what: &str, values: &ArrayRef2<f64>) -> Result<()> {
    match values.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), _)) => Err(Error::non_finite(what, &[row, column])),
        None => Ok(()),
    }
}
