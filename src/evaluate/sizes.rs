//! Lengths of arrays, and checks of their numbers.

use crate::error::{Error, Quantity, Result};
pub(crate) use crate::memory::shape_product;
use crate::network::GroupView;

/// Returns the number of entries in the lower triangles of a group's units.
pub(super) fn row_triangles(g: &GroupView) -> Result<usize> {
    let lengths = [g.range.len(), g.row.saturating_add(1)];
    Ok(shape_product("the row blocks", &lengths)? / 2)
}

/// Refuses numbers that are not finite.
///
/// # Errors
/// `NonFinite` with the place of the first.
pub(super) fn finite(what: impl Into<Quantity>, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::non_finite(what, &[i])),
        None => Ok(()),
    }
}
