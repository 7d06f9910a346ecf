//! Strided views of arrays: which numbers a kernel reads or writes.
//!
//! Every view has three axes, samples × rows × columns, and reaches element (i, r, c) at
//!
//! ```text
//! offset + i strides[0] + r strides[1] + c strides[2]
//! ```
//!
//! A stride of 0 repeats the same numbers along its axis: the weights of a layer are a matrix for every sample, the
//! inputs z of linear units are the row φ of each of them. Columns of a wider array, blocks of a matrix, its diagonal and its transpose
//! are views, too, and so need neither a copy nor a kernel.

use std::ops::Range;

/// The places of the elements of a view in their array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The place of element (0, 0, 0).
    pub offset: usize,
    /// The numbers of samples, rows and columns.
    pub shape: [usize; 3],
    /// The distances of neighbours along each axis; 0 where all are the same number.
    pub strides: [usize; 3],
}

impl Layout {
    /// An array of samples × rows × columns without gaps, row-major.
    pub fn dense(samples: usize, rows: usize, columns: usize) -> Self {
        Layout { offset: 0, shape: [samples, rows, columns], strides: [rows * columns, columns, 1] }
    }

    /// One row for each sample, without gaps.
    pub fn rows_of(samples: usize, columns: usize) -> Self {
        Layout::dense(samples, 1, columns)
    }

    /// A matrix of rows × columns without gaps that every sample shares.
    pub fn shared(samples: usize, rows: usize, columns: usize) -> Self {
        Layout { offset: 0, shape: [samples, rows, columns], strides: [0, columns, 1] }
    }

    /// The samples of a range.
    pub fn samples(self, range: Range<usize>) -> Self {
        self.part(0, range)
    }

    /// The rows of a range.
    pub fn rows(self, range: Range<usize>) -> Self {
        self.part(1, range)
    }

    /// The columns of a range.
    pub fn columns(self, range: Range<usize>) -> Self {
        self.part(2, range)
    }

    fn part(mut self, axis: usize, range: Range<usize>) -> Self {
        self.offset += range.start * self.strides[axis];
        self.shape[axis] = range.len();
        self
    }

    /// Rows as columns and columns as rows.
    pub fn transposed(mut self) -> Self {
        self.shape.swap(1, 2);
        self.strides.swap(1, 2);
        self
    }

    /// The diagonals of square matrices, as one row for each sample.
    pub fn diagonal(mut self) -> Self {
        self.shape = [self.shape[0], 1, self.shape[2].min(self.shape[1])];
        self.strides = [self.strides[0], 0, self.strides[1] + self.strides[2]];
        self
    }

    /// The same row so many times for each sample, from a view with one row.
    pub fn repeated_rows(mut self, rows: usize) -> Self {
        (self.shape[1], self.strides[1]) = (rows, 0);
        self
    }

    /// The same column so many times for each row, from a view with one column.
    pub fn repeated_columns(mut self, columns: usize) -> Self {
        (self.shape[2], self.strides[2]) = (columns, 0);
        self
    }

    /// The number of elements, repeated ones counted each time.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length that an array must have at least.
    pub fn span(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let last: usize =
            (self.shape.iter().zip(&self.strides)).map(|(n, stride)| (n - 1) * stride).sum();
        self.offset + last + 1
    }

    /// The numbers that are read at least once: axes of stride 0 count once.
    pub fn distinct(&self) -> usize {
        (self.shape.iter().zip(&self.strides))
            .map(|(&n, &stride)| if stride == 0 { n.min(1) } else { n })
            .product()
    }

    /// The place of element (i, r, c).
    pub fn at(&self, i: usize, r: usize, c: usize) -> usize {
        self.offset + i * self.strides[0] + r * self.strides[1] + c * self.strides[2]
    }

    /// Whether the elements stand one behind the other in their order.
    pub fn is_dense(&self) -> bool {
        let [_, rows, columns] = self.shape;
        let fits =
            |axis: usize, stride: usize| self.shape[axis] <= 1 || self.strides[axis] == stride;
        fits(2, 1) && fits(1, columns) && fits(0, rows * columns)
    }
}

/// Numbers that a kernel reads.
#[derive(Debug)]
pub struct View<'a, A> {
    /// The array.
    pub array: &'a A,
    /// Their places in it.
    pub layout: Layout,
}

// Not derived: an array need not be `Copy`.
impl<A> Clone for View<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for View<'_, A> {}

impl<'a, A> View<'a, A> {
    /// The numbers of an array at the places of a layout.
    pub fn new(array: &'a A, layout: Layout) -> Self {
        View { array, layout }
    }

    /// The view that `change` makes of this one's layout.
    pub fn with(self, change: impl FnOnce(Layout) -> Layout) -> Self {
        View::new(self.array, change(self.layout))
    }

    /// Samples, rows and columns.
    pub fn shape(&self) -> [usize; 3] {
        self.layout.shape
    }
}

/// Numbers that a kernel writes, or adds to. No two elements share a place.
#[derive(Debug)]
pub struct ViewMut<'a, A> {
    /// The array.
    pub array: &'a mut A,
    /// Their places in it.
    pub layout: Layout,
}

impl<'a, A> ViewMut<'a, A> {
    /// The numbers of an array at the places of a layout.
    pub fn new(array: &'a mut A, layout: Layout) -> Self {
        ViewMut { array, layout }
    }

    /// Samples, rows and columns.
    pub fn shape(&self) -> [usize; 3] {
        self.layout.shape
    }

    /// The same numbers for another kernel, while this view waits.
    pub fn reborrow(&mut self) -> ViewMut<'_, A> {
        ViewMut::new(self.array, self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    fn places(layout: Layout) -> Vec<usize> {
        let [n, rows, columns] = layout.shape;
        let all = (0..n).flat_map(|i| {
            (0..rows).flat_map(move |r| (0..columns).map(move |c| layout.at(i, r, c)))
        });
        all.collect()
    }

    #[test]
    fn parts_of_an_array() {
        let dense = Layout::dense(2, 2, 3);
        assert_eq!(places(dense), (0..12).collect::<Vec<_>>());
        assert!(dense.is_dense() && dense.span() == 12);
        assert_eq!(places(dense.columns(1..3)), [1, 2, 4, 5, 7, 8, 10, 11]);
        assert!(!dense.columns(1..3).is_dense());
        assert_eq!(places(dense.rows(1..2).samples(1..2)), [9, 10, 11]);
        assert_eq!(places(dense.transposed()), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert_eq!(places(Layout::dense(2, 2, 2).diagonal()), [0, 3, 4, 7]);
        assert_eq!(places(Layout::shared(2, 1, 2)), [0, 1, 0, 1]);
        assert_eq!(Layout::shared(5, 3, 2).distinct(), 6);
        assert_eq!(places(Layout::rows_of(2, 2).repeated_rows(2)), [0, 1, 0, 1, 2, 3, 2, 3]);
        assert_eq!(places(Layout::rows_of(2, 1).repeated_columns(2)), [0, 0, 1, 1]);
        assert_eq!((Layout::dense(0, 2, 3).span(), Layout::dense(0, 2, 3).len()), (0, 0));
    }
}
