//! The first line and the first column: names of columns and labels of rows.

use std::collections::HashSet;
use std::path::Path;

use super::Table;
use crate::error::Result;
use crate::io::column::cell::{are_words, numeric, short, whole};
use crate::io::column::time;
use crate::io::text::{Cut, Dialect, NO_LABELS, NO_NAME, RowNames, SHOWN, wrong};

/// The warning on columns that spreadsheets append.
pub(super) const NAMELESS: &str = "columns without name and contents were left out";

/// Leaves out columns without name and contents, which spreadsheets append, and checks labels that have no name.
///
/// # Errors
/// Another column without a name; labels that are none.
pub(super) fn settle(cut: &mut Cut, path: &Path) -> Result<()> {
    let rows = cut.lines.len();
    if cut.labelled {
        let distinct: HashSet<&str> = (0..rows).map(|row| cut.cell(row, 0)).collect();
        let text = (0..rows).all(|row| !numeric(cut.cell(row, 0)));
        if rows < 2 || distinct.len() < rows || !(text || counts(rows, |row| cut.cell(row, 0))) {
            return Err(cut.wrong_width(cut.names.len(), cut.lines[0], NO_LABELS, path));
        }
    }
    let empty = |column: usize| (0..rows).all(|row| cut.cell(row, column).is_empty());
    let keep: Vec<bool> =
        (0..cut.names.len()).map(|c| !cut.names[c].is_empty() || !empty(c)).collect();
    if keep.contains(&false) {
        cut.retain(&keep)?;
    }
    // The first may be the labels of the rows.
    if let Some(at) = cut.names.iter().skip(1).position(String::is_empty) {
        let column = Some((at + 2).to_string());
        return Err(wrong(path, cut.header, column, NO_NAME.into()));
    }
    Ok(())
}

/// Whether cells are the numbers of the rows, from 0 or from 1.
fn counts<'a>(rows: usize, cell: impl Fn(usize) -> &'a str) -> bool {
    let first = whole(cell(0)).filter(|first| (0..=1).contains(first));
    first.is_some_and(|first| {
        (0..rows).all(|row| whole(cell(row)).is_some_and(|v| v - first == row as i64))
    })
}

/// Whether a name says that a column tells rows, or what they belong to, apart: one that ends with the word `id`, or is a word for it.
pub(super) fn is_identifier(name: &str) -> bool {
    const WORDS: [&str; 7] = ["case", "customer", "idx", "nr", "obs", "patient", "subject"];
    let name = name.trim();
    // `id`, `user id`, `user_id`, `userId`, and not `acid` or `PAID`.
    let ends_with = |id: &str| {
        name.strip_suffix(id).is_some_and(|before| match before.chars().last() {
            Some(last) if last.is_alphanumeric() => last.is_lowercase() && id != "id",
            _ => true,
        })
    };
    ["ID", "Id", "id"].into_iter().any(ends_with) || WORDS.contains(&name.to_lowercase().as_str())
}

/// That the first line names the columns: numbers are no names without a word.
///
/// # Errors
/// A first line that is like the others.
pub(super) fn check_names(table: &mut Table, dialect: &Dialect) -> Result<()> {
    let is_number = |text: &str| numeric(text);
    let numbers: Vec<&String> = table.names.iter().filter(|name| is_number(name)).collect();
    if dialect.header.is_some() || table.names.iter().all(String::is_empty) {
        return Ok(());
    }
    let like_its_column = |column: usize| {
        let name = table.names[column].as_str();
        let rows = table.rows().min(SHOWN);
        let mut cells = (0..rows).map(|row| table.text_at(row, column));
        if is_number(name) {
            cells.all(|cell| is_number(cell) || table.is_missing(cell))
        } else {
            !name.is_empty() && cells.any(|cell| cell == name)
        }
    };
    if (0..table.names.len()).all(like_its_column) {
        let why = "the first line must name the columns, and it holds values as the other lines do; put names above it, say \
                   --header no (the columns are then column1, column2, …), or --header yes if these are the names";
        return Err(wrong(&table.path, 1, None, why.into()));
    }
    if let Some(name) = numbers.first() {
        let warning = format!(
            "the first line gives a column the name '{}'; if it holds no names, say --header no",
            short(name)
        );
        table.warnings.push(warning);
    }
    Ok(())
}

/// The column with the labels of the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Labels {
    pub column: usize,
    /// Why it is that; given by the user without a reason.
    pub why: Option<&'static str>,
}

impl Table {
    pub(super) fn find_labels(&mut self, dialect: &Dialect, labelled: bool) -> Result<()> {
        self.labels = match &dialect.row_names {
            RowNames::None => None,
            RowNames::Column(name) => Some(Labels { column: self.column(name)?, why: None }),
            RowNames::Found => {
                let why = if labelled || self.names.first().is_some_and(String::is_empty) {
                    Some("it has no name")
                } else {
                    self.labels_by_their_values()
                };
                why.map(|why| Labels { column: 0, why: Some(why) })
            }
        };
        Ok(())
    }

    /// Why the first column, which has a name, holds labels.
    fn labels_by_their_values(&self) -> Option<&'static str> {
        let cell = |row: usize| self.text_at(row, 0);
        let rows = self.rows();
        let mut seen = HashSet::new();
        let digits = |cell: &str| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
        let is_id = |row: usize| {
            (digits(cell(row)) || whole(cell(row)).is_some()) && seen.insert(cell(row))
        };
        // Rows to predict may be few.
        if self.names.len() > 1 && is_identifier(&self.names[0]) && (0..rows).all(is_id) {
            return Some("by its name, and no number occurs twice");
        }
        if rows < 3 || self.names.len() < 3 {
            return None;
        }
        if counts(rows, cell) {
            return Some("it counts the rows");
        }
        seen.clear();
        let label = |row: usize| {
            !self.is_missing(cell(row)) && !numeric(cell(row)) && seen.insert(cell(row))
        };
        let different = (0..rows).all(label);
        let cells = || (0..rows).map(cell);
        // Numbers with units and dates, of which one may be broken, say something.
        let is_label = different && are_words(cells()) && time::formats(cells).is_empty();
        (is_label && time::broken(cells).is_none()).then_some("it has another text in each row")
    }
}
