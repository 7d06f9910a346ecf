//! A symmetric tensor of any order, each number stored once.

use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, Result};

/// C(n, k), or `None` where it overflows.
fn binomial(n: usize, k: usize) -> Option<usize> {
    if n < k {
        return Some(0);
    }
    let k = k.min(n - k);
    (0..k).try_fold(1, |c: usize, i| {
        let next = c as u128 * (n - i) as u128 / (i + 1) as u128;
        usize::try_from(next).ok()
    })
}

/// A symmetric tensor T_{a₁…a_q} with indices below d: C(d + q − 1, q) numbers.
///
/// They are stored for a₁ ≥ a₂ ≥ … ≥ a_q, a₁ growing slowest and a_q fastest, so that entry (a₁, …, a_q) stands at
///
/// ```text
/// Σ_r C(a_r + q − r, q − r + 1)        q = 1: a₁        q = 2: a₁(a₁ + 1)/2 + a₂, the packed lower triangle
/// ```
///
/// [`Problem::lagrangian_tensor`](crate::Problem::lagrangian_tensor) makes them.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricTensor {
    dimension: usize,
    order: usize,
    packed: Vec<f64>,
}

impl SymmetricTensor {
    /// C(d + q − 1, q), the number of entries that are stored.
    ///
    /// ```
    /// assert_eq!(secondo::SymmetricTensor::length(4, 3)?, 20);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooLarge` where it overflows.
    pub fn length(dimension: usize, order: usize) -> Result<usize> {
        (dimension.checked_add(order))
            .and_then(|sum| match sum {
                0 => Some(1),
                _ => binomial(sum - 1, order),
            })
            .filter(|&len| len <= isize::MAX as usize / 8)
            .ok_or_else(|| Error::TooLarge {
                what: format!("a symmetric tensor of order {order} in {dimension} dimensions"),
            })
    }

    /// The tensor of these numbers, of which there are as many as [`length`](Self::length) says.
    pub(crate) fn new(dimension: usize, order: usize, packed: Vec<f64>) -> Result<Self> {
        match packed.iter().position(|v| !v.is_finite()) {
            Some(at) => {
                let indices = Indices::new(dimension, order).nth(at).unwrap_or_default();
                Err(Error::non_finite("the tensor", &indices))
            }
            None => Ok(SymmetricTensor { dimension, order, packed }),
        }
    }

    /// d: indices run from 0 to d − 1.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// q, the number of indices.
    pub fn order(&self) -> usize {
        self.order
    }

    /// The numbers in the order of storage.
    pub fn packed(&self) -> &[f64] {
        &self.packed
    }

    /// T_{a₁…a_q}, the indices in any order.
    ///
    /// # Errors
    /// `Shape` for another number of indices than q, `Invalid` for an index that is not below d.
    pub fn entry(&self, indices: &[usize]) -> Result<f64> {
        if indices.len() != self.order {
            return Err(Error::shape("indices", &[self.order], &[indices.len()]));
        }
        if let Some(bad) = indices.iter().find(|&&a| a >= self.dimension) {
            let why = format!("{bad} is not below the dimension {}", self.dimension);
            return Err(Error::invalid("index", why));
        }
        Ok(self.packed[self.place(indices.to_vec())])
    }

    fn place(&self, mut indices: Vec<usize>) -> usize {
        indices.sort_unstable_by(|a, b| b.cmp(a));
        // With a₁ below d each of these is below the length, which did not overflow.
        (indices.iter().zip((1..=self.order).rev()))
            .filter(|(a, _)| **a > 0)
            .map(|(a, left)| binomial(a + left - 1, left).unwrap_or(0))
            .sum()
    }

    /// Each stored number with its indices a₁ ≥ … ≥ a_q, in the order of storage.
    pub fn entries(&self) -> impl Iterator<Item = (Vec<usize>, f64)> + '_ {
        Indices::new(self.dimension, self.order).zip(self.packed.iter().copied())
    }

    /// All d^q numbers, as an array with q axes.
    ///
    /// # Errors
    /// `Memory` with the numbers if it would take more than the memory that is available.
    pub fn dense(&self) -> Result<ArrayD<f64>> {
        let need = 8.0 * (self.dimension as f64).powi(self.order as i32);
        let budget = crate::available_memory();
        if need > budget as f64 {
            return Err(Error::Memory {
                what: format!(
                    "the dense form of a tensor of order {} in {} dimensions",
                    self.order, self.dimension
                ),
                need: need as u64,
                budget,
                advice: format!(
                    "use its entries: {} are stored, the others follow by symmetry",
                    self.packed.len()
                ),
            });
        }
        let shape = IxDyn(&vec![self.dimension; self.order]);
        Ok(ArrayD::from_shape_fn(shape, |at| {
            let indices = (0..self.order).map(|r| at[r]).collect();
            self.packed[self.place(indices)]
        }))
    }
}

/// The indices a₁ ≥ … ≥ a_q below d, in the order of storage.
pub(crate) struct Indices {
    dimension: usize,
    next: Option<Vec<usize>>,
}

impl Indices {
    pub(crate) fn new(dimension: usize, order: usize) -> Self {
        Indices { dimension, next: (dimension > 0).then(|| vec![0; order]) }
    }
}

impl Iterator for Indices {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let now = self.next.take()?;
        // The last index that may grow does, and those behind it start again.
        let limit = |r: usize| {
            if r == 0 { self.dimension - 1 } else { now[r - 1] }
        };
        self.next = (0..now.len()).rev().find(|&r| now[r] < limit(r)).map(|r| {
            let mut next = now.clone();
            next[r] += 1;
            next[r + 1..].fill(0);
            next
        });
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_stands_where_its_indices_say() {
        for dimension in 1..6 {
            for order in 1..6 {
                let len = SymmetricTensor::length(dimension, order).unwrap();
                let packed: Vec<f64> = (0..len).map(|i| i as f64).collect();
                let t = SymmetricTensor::new(dimension, order, packed).unwrap();
                assert_eq!(t.entries().count(), len);
                let dense = t.dense().unwrap();
                assert_eq!(dense.len(), dimension.pow(order as u32));
                for (mut indices, v) in t.entries() {
                    assert!(indices.windows(2).all(|p| p[0] >= p[1]));
                    assert_eq!(dense[IxDyn(&indices)], v);
                    indices.reverse();
                    assert_eq!((t.entry(&indices).unwrap(), dense[IxDyn(&indices)]), (v, v));
                }
            }
        }
    }

    #[test]
    fn sizes_that_overflow_are_errors() {
        assert_eq!(binomial(5, 2), Some(10));
        assert_eq!(binomial(2, 5), Some(0));
        assert_eq!(binomial(67, 33), Some(14_226_520_737_620_288_370));
        assert_eq!(binomial(68, 34), None);
        assert_eq!(SymmetricTensor::length(1, usize::MAX - 1), Ok(1));
        assert_eq!(SymmetricTensor::length(0, 3), Ok(0));
        for (d, q) in [(1000, 9), (usize::MAX, 1), (2, usize::MAX), (100, 100)] {
            let error = SymmetricTensor::length(d, q).unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
        let t = SymmetricTensor::new(2, 40, vec![1.0; 41]).unwrap();
        let error = t.dense().unwrap_err();
        assert!(error.to_string().contains("8.00 TiB"), "{error}");
        assert!(t.entry(&[0; 39]).is_err() && t.entry(&[2; 40]).is_err());
    }
}
