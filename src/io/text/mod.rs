//! Text as lines and cells: its encoding, the [`Dialect`] that it is written in, and its header.

mod cells;
mod cut;
mod dialect;
mod source;

pub(super) use cells::Cells;
pub(super) use cut::{Cut, Form, unclosed_quote, wrong};
pub use dialect::{Dialect, RowNames};
pub(super) use dialect::{MARK, cleaned, fields_of, prepare};
pub(super) use source::{plain, read};

/// The rows that show how numbers are written, where nothing speaks against points as decimal marks, and whether the first line is like the others.
pub(super) const SHOWN: usize = 10_000;

/// Advice on a first row with one field more than the header, which labels no rows.
pub(super) const NO_LABELS: &str =
    "; a decimal comma must be a point, and text with a comma needs quotes";

/// Why a column cannot be used.
pub(super) const NO_NAME: &str = "the column has no name; name it in the first line";
