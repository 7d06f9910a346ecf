//! Tables whose columns have types: Parquet files and arrays of NumPy. Their cells become text, as those of other tables, in which
//! numbers keep their bits; of columns of text no cell is a number.

use std::path::Path;

use super::header::{self, is_identifier};
use super::{Missing, Outlined, Table};
use crate::error::Result;
use crate::io::column::cell::{Numerals, list};
use crate::io::column::digits;
use crate::io::json::format_error;
use crate::io::npy;
#[cfg(feature = "parquet")]
use crate::io::rows::cells::Files;
use crate::io::rows::folder::{Place, places};
use crate::io::rows::outline::{Outline, Seen};
use crate::io::rows::{is_text, outline};
use crate::io::text::{Cells, Dialect, RowNames};
use crate::io::{files, npz};
use crate::memory::{bytes_of, require_memory, shape_product};

/// Bytes of a cell as text, with its end: an estimate, which numbers with all digits exceed little.
const CELL: usize = 28;

/// Advice where all rows as text are too large.
const ADVICE: &str = "leave out columns or rows when it is written, or let 'secondo fit --stream' read the rows as they are needed";

/// The columns of a typed table.
struct Columns {
    names: Vec<String>,
    /// Whether each is text.
    texts: Vec<bool>,
    rows: usize,
    cells: Cells,
    warnings: Vec<String>,
}

impl Table {
    /// The table in a file whose name ends with `.parquet`, `.npy` or `.npz`, or in the files of a folder; none for another.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; arrays with other values than numbers, or of different lengths; names that are not
    /// distinct; too little memory for all cells.
    pub(super) fn typed(path: &Path, dialect: &Dialect) -> Result<Option<Self>> {
        let columns = if path.is_dir() { Some(of_folder(path)?) } else { of_file(path)? };
        let Some(columns) = columns else {
            return Ok(None);
        };
        Self::of_columns(columns, path, dialect).map(Some)
    }

    /// A small table in place of the one whose rows [`FileSamples`](crate::io::FileSamples) reads, from which [`dataset`](Self::dataset) finds the codings, classes and task of
    /// all rows. `dialect` says which column labels the rows, and how a text is written.
    ///
    /// Of a table of up to 5,000 rows (fewer of more than 838 columns, but 500) these come first; of another the different values of each column, one after
    /// the other, as many as a fifth of that number: a column with more is **crowded**, and is refused where its values are to be levels or classes. Behind stand further
    /// rows so that neither a value nor a gap is lost with a row that [`Missing`] leaves out. Rows of weight 0 are not left out: in the
    /// column `weights` all are 1. The first column holds labels where it is named so and each of its numbers is larger than the one before, or where it counts.
    ///
    /// The file is walked as far as columns have few values, and to its end where gaps matter; memory does not depend on its rows.
    ///
    /// ```
    /// use secondo::io::{Dialect, Missing, Reading, Table, Target, write_file};
    /// let folder = std::env::temp_dir().join("secondo-doc-outline");
    /// std::fs::create_dir_all(&folder).unwrap();
    /// let path = folder.join("long.csv");
    /// let rows: String = (0..9000).map(|i| format!("{},{}\n", i * i, if i < 8999 { "no" } else { "yes" })).collect();
    /// write_file(&path, |out| write!(out, "x,said\n{rows}"))?;
    /// let outline = Table::outline(&path, &Dialect::default(), None, Missing::Error)?;
    /// assert_eq!(outline.rows(), 5000);
    /// let data = outline.dataset(&Reading::new("said"))?;
    /// let Target::Classes { labels, .. } = data.target else { panic!() };
    /// assert_eq!(labels, ["no", "yes"]);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; files of a folder that differ in their columns; names that are not distinct.
    pub fn outline(
        path: &Path,
        dialect: &Dialect,
        weights: Option<&str>,
        missing: Missing,
    ) -> Result<Self> {
        let outline = outline::outline(path, dialect, missing != Missing::Error)?;
        Self::of_outline(outline, path, dialect, weights)
    }

    /// The table of an outline.
    pub(super) fn of_outline(
        outline: Outline,
        path: &Path,
        dialect: &Dialect,
        weights: Option<&str>,
    ) -> Result<Self> {
        let seen = &outline.columns;
        let (names, texts) = seen.iter().map(|seen| (seen.name.clone(), seen.is_text)).unzip();
        let advice = "leave out columns when it is written";
        let rows = outline.rows + outline.more;
        let mut columns = Columns::with_room(path, names, texts, rows, advice)?;
        columns.warnings.extend(left_out(&outline.left_out));
        let append = |cells: &mut Cells, row: usize| {
            cells.append((0..seen.len()).map(|c| match weights {
                Some(name) if name == seen[c].name => "1",
                _ => outline.cell(c, row),
            }))
        };
        (0..outline.rows).try_for_each(|row| append(&mut columns.cells, row))?;
        columns.rows = outline.rows;
        let may_label = outline.is_whole() || seen.first().is_some_and(is_label);
        let row_names = match &dialect.row_names {
            RowNames::Found if !may_label => RowNames::None,
            other => other.clone(),
        };
        let dialect = Dialect { row_names, ..dialect.clone() };
        let mut table = Self::of_columns(columns, path, &dialect)?;
        if let Some(text) = &outline.text {
            table.tell_delimiter(&dialect, text.delimiter);
            table.set_numerals(&dialect, text.numerals, text.other);
            table.tell_comments(&dialect, text.comments);
            header::check_names(&mut table, &dialect)?;
            if outline.nameless {
                table.warnings.push(header::NAMELESS.into());
            }
        }
        for row in outline.rows..rows {
            append(&mut table.cells, row)?;
            table.lines.push(row as u64 + 1);
        }
        if !outline.is_exact() {
            let crowded = outline.columns.iter().map(|seen| seen.is_crowded).collect();
            table.outlined = Some(Outlined { rows: outline.rows, crowded });
        }
        Ok(table)
    }

    /// The table of these columns.
    fn of_columns(columns: Columns, path: &Path, dialect: &Dialect) -> Result<Self> {
        if columns.rows == 0 {
            return Err(format_error(path, "there are no rows"));
        }
        let mut names = columns.names.clone();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let why = format!("two columns have the name '{}'; names must differ", pair[0]);
            return Err(format_error(path, why));
        }
        let mut table = Table {
            path: path.to_path_buf(),
            names: columns.names,
            cells: columns.cells,
            lines: (1..=columns.rows as u64).collect(),
            numerals: Numerals::PLAIN,
            missing: dialect.missing.clone(),
            labels: None,
            texts: Some(columns.texts),
            outlined: None,
            is_part: false,
            found: Vec::new(),
            warnings: columns.warnings,
        };
        table.forget_other_numbers();
        table.find_labels(dialect, false)?;
        Ok(table)
    }

    /// Whether the cells of a column are text by their type.
    pub(super) fn is_text(&self, column: usize) -> bool {
        self.texts.as_ref().is_some_and(|texts| texts.get(column) == Some(&true))
    }
}

impl Columns {
    /// No cells yet, with room for those of so many rows.
    fn with_room(
        path: &Path,
        names: Vec<String>,
        texts: Vec<bool>,
        rows: usize,
        advice: &str,
    ) -> Result<Self> {
        if names.is_empty() {
            return Err(format_error(path, "there are no columns"));
        }
        let cells = shape_product("the table", &[rows, names.len()])?;
        let what = format!("{}, {rows} rows as text,", path.display());
        let lines = bytes_of(&[8, rows]);
        require_memory(&what, bytes_of(&[CELL, cells]).saturating_add(lines), advice)?;
        let cells = Cells::with_room(rows, names.len());
        Ok(Columns { names, texts, rows, cells, warnings: Vec::new() })
    }
}

/// The columns of a file whose name says that it has types; none of another.
fn of_file(path: &Path) -> Result<Option<Columns>> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    Ok(Some(match extension.as_deref() {
        #[cfg(feature = "parquet")]
        Some("parquet") => of_parquet(path)?,
        Some("npy") => {
            let array = npy::table(&files::read(path)?, path)?;
            of_arrays(path, vec![("column".into(), array)])?
        }
        Some("npz") => {
            let arrays = npz::files_of(path)?.into_iter().map(|(name, bytes)| {
                let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
                Ok((name, npy::table(&bytes, path)?))
            });
            of_arrays(path, arrays.collect::<Result<_>>()?)?
        }
        _ => return Ok(None),
    }))
}

/// The columns of all files in a folder, one below the other, with those in the names of its folders.
fn of_folder(path: &Path) -> Result<Columns> {
    let mut all: Option<Columns> = None;
    for Place { path, constants } in places(path)? {
        let mut next = of_file(&path)?.ok_or_else(|| {
            format_error(
                &path,
                "it is read with the feature parquet alone, which this program lacks",
            )
        })?;
        let (names, values): (Vec<String>, Vec<String>) = constants.into_iter().unzip();
        next.names.extend(names);
        next.texts.extend(values.iter().map(|value| is_text(value)));
        let all = all.get_or_insert_with(|| Columns {
            names: next.names.clone(),
            texts: vec![false; next.texts.len()],
            rows: 0,
            cells: Cells::with_room(0, 0),
            warnings: Vec::new(),
        });
        if next.names != all.names {
            let [has, needs] = [&next.names, &all.names].map(|names| list(names));
            let why = format!("its columns are {has}, where those of the first file are {needs}");
            return Err(format_error(&path, why));
        }
        all.texts.iter_mut().zip(next.texts).for_each(|(text, next)| *text |= next);
        let width = all.names.len() - values.len();
        // Both are held while the one is added to the other.
        let text = (all.cells.text_bytes() + next.cells.text_bytes()) as u64;
        let count = (all.rows + next.rows) as u64;
        let need =
            Cells::bytes(count, count.saturating_mul(all.names.len() as u64)).saturating_add(text);
        require_memory(
            &path.display().to_string(),
            need,
            "read fewer files, or let 'secondo fit --stream' read the rows",
        )?;
        for row in 0..next.rows {
            let cells = (0..width).filter_map(|column| next.cells.get(row, column));
            all.cells.append(cells.chain(values.iter().map(String::as_str)))?;
        }
        all.rows += next.rows;
        next.warnings.retain(|warning| !all.warnings.contains(warning));
        all.warnings.append(&mut next.warnings);
    }
    all.ok_or_else(|| format_error(path, "there are no files"))
}

/// The columns of arrays of one or two dimensions: those of the second have the array's name with their number.
fn of_arrays(path: &Path, arrays: Vec<(String, npy::Columns)>) -> Result<Columns> {
    let rows = arrays.first().map_or(0, |(_, array)| array.rows);
    let mut names = Vec::new();
    for (name, array) in &arrays {
        if array.rows != rows || rows == 0 {
            let why =
                format!("the array '{name}' has {} rows, where {rows} are needed", array.rows);
            return Err(format_error(
                path,
                if rows == 0 { "there are no rows".into() } else { why },
            ));
        }
        if array.is_flat {
            names.push(name.clone());
        } else {
            names.extend((1..=array.columns).map(|c| format!("{name}{c}")));
        }
    }
    let texts = vec![false; names.len()];
    let mut columns = Columns::with_room(path, names, texts, rows, ADVICE)?;
    for row in 0..rows {
        let arrays = arrays.iter().map(|(_, array)| array);
        let of_row = arrays.flat_map(|a| &a.numbers[row * a.columns..(row + 1) * a.columns]);
        let of_row: Vec<String> = of_row.map(|v| digits(*v)).collect();
        columns.cells.append(of_row.iter().map(String::as_str))?;
    }
    Ok(columns)
}

/// Whether the first column of a table of many rows holds their labels, if its first cells look so.
fn is_label(seen: &Seen) -> bool {
    seen.name.is_empty() || (seen.may_label() && (is_identifier(&seen.name) || seen.counts()))
}

/// The warning on columns that are not read.
fn left_out(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| {
        format!(
            "columns that are lists, structures or an index of pandas were left out: {}",
            names.join(", ")
        )
    })
}

#[cfg(feature = "parquet")]
fn of_parquet(path: &Path) -> Result<Columns> {
    let files = Files::of(path)?;
    let (names, texts, not_read) = files.columns();
    let rows = files.rows(0);
    let mut out = Columns::with_room(path, names, texts, rows, ADVICE)?;
    out.warnings.extend(left_out(&not_read));
    let mut walk = files.walk(0, &out.names)?;
    walk.next(rows, usize::MAX, &mut out.cells, &mut Vec::new())?;
    Ok(out)
}
