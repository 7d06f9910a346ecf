//! CSV tables with a header: reading, features and target, standardisation.
//!
//! # What is accepted
//!
//! UTF-8 text, with or without a byte order mark, lines ended by LF, CR LF or CR. The first line names the columns;
//! names are not empty and not repeated. Each further line has as many fields as the header; blank lines are skipped.
//! Fields may be quoted; blanks around a field do not count. Numbers are decimal with a point: `1`, `-.5`, `1e-3`.
//! NaN and infinities, written out or by overflow as in `1e400`, are refused. An empty field, `NA`, `null`, `NULL` and
//! `?` are missing values: an error, unless rows with them are to be dropped.
//!
//! # The task, when it is not given
//!
//! A target of text is a class; so are whole numbers of 2 to 20 different values, if there are at least five rows for
//! each value on average. Any other numbers are a regression. A target that mixes numbers and text is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::files;
use crate::error::{Error, Result};

/// The most different whole numbers that are taken for classes unless the task is given.
const GUESS_CLASSES: usize = 20;
/// The rows for each of them that the guess needs, on average.
const GUESS_ROWS: usize = 5;
/// Whole numbers beyond this are not exact in a 64-bit float.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// The text of a CSV file, cut into named columns; cells are kept as text until they are asked for.
///
/// ```
/// use secondo::io::{Missing, Reading, Table, Target};
/// let table = Table::parse("x,y\n1,2\n3,4\n", "small.csv".as_ref(), b',')?;
/// let data = table.dataset(&Reading::new("y"))?;
/// assert_eq!(data.features, ["x"]);
/// assert_eq!(data.target, Target::Numbers(vec![2.0, 4.0]));
/// let error = table.column("z").unwrap_err();
/// assert_eq!(error.to_string(), "small.csv: there is no column 'z'; the columns are: x, y");
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    names: Vec<String>,
    /// All cells one after the other, row by row, without the blanks around them.
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// The line, from 1, on which each row begins.
    lines: Vec<u64>,
}

/// What is to be predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A number.
    Regression,
    /// One of several classes.
    Classification,
}

impl Task {
    /// The name used by the program.
    pub fn name(self) -> &'static str {
        match self {
            Task::Regression => "regression",
            Task::Classification => "classification",
        }
    }

    /// The task of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        let all = [Task::Regression, Task::Classification];
        crate::named("task", name, &all.map(|t| (t.name(), t)))
    }
}

/// What to do with a row in which a value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Refuse the table and name the place.
    #[default]
    Error,
    /// Leave the row out and count it.
    Drop,
}

/// How a table becomes a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The column to predict.
    pub target: String,
    /// The task; guessed from the target unless given.
    pub task: Option<Task>,
    /// Columns that are not used.
    pub ignore: Vec<String>,
    /// The column of the sample weights.
    pub weights: Option<String>,
    /// What to do with missing values in the columns that are used.
    pub missing: Missing,
}

impl Reading {
    /// All other columns predict `target`; the task is guessed and missing values are errors.
    pub fn new(target: impl Into<String>) -> Self {
        Reading {
            target: target.into(),
            task: None,
            ignore: Vec::new(),
            weights: None,
            missing: Missing::Error,
        }
    }
}

/// What is predicted, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Numbers, for regression.
    Numbers(Vec<f64>),
    /// Classes.
    Classes {
        /// The labels: whole numbers in numerical order, text in the order of its characters.
        labels: Vec<String>,
        /// For each row the index of its label.
        index: Vec<usize>,
    },
}

/// The rows of a table as features and target.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Dataset {
    /// The names of the features, in the order of the columns of `x`.
    pub features: Vec<String>,
    /// rows × features.
    pub x: Array2<f64>,
    /// What is predicted.
    pub target: Target,
    /// The sample weights, where there is a column of them.
    pub weights: Option<Vec<f64>>,
    /// The line of each row in the file.
    pub lines: Vec<u64>,
    /// The rows left out because a value was missing.
    pub dropped: usize,
    /// Why the task was guessed so; `None` if it was given.
    pub guess: Option<String>,
}

impl Dataset {
    /// Regression or classification.
    pub fn task(&self) -> Task {
        match self.target {
            Target::Numbers(_) => Task::Regression,
            Target::Classes { .. } => Task::Classification,
        }
    }
}

impl Table {
    /// The table in the file at `path`, its fields separated by `delimiter`.
    ///
    /// # Errors
    /// A file that cannot be read, is not UTF-8 text, has no header or no row, an empty or repeated name, a row with
    /// another number of fields than the header, a quote that is not closed: each with its line.
    pub fn from_path(path: &Path, delimiter: u8) -> Result<Self> {
        Table::parse(&files::read_text(path)?, path, delimiter)
    }

    /// The table in `text`; `path` is for messages.
    ///
    /// # Errors
    /// As [`from_path`](Self::from_path).
    pub fn parse(text: &str, path: &Path, delimiter: u8) -> Result<Self> {
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\n' | b'\r' | 0) {
            return Err(Error::invalid(
                "delimiter",
                "must be one ASCII character, not a quote and not the end of a line",
            ));
        }
        let wrong = |line: u64, column: Option<String>, why: String| Error::Format {
            path: path.to_path_buf(),
            line: Some(line),
            column,
            why,
        };
        if text.trim().is_empty() {
            return Err(wrong(
                1,
                None,
                "the file is empty: no header; the first line must name the columns".into(),
            ));
        }
        // With one kind of line end the lines can be counted.
        let normal;
        let text = match text.contains('\r') {
            false => text,
            true => {
                normal = text.replace("\r\n", "\n").replace('\r', "\n");
                &normal
            }
        };
        if let Some(line) = unclosed_quote(text, delimiter) {
            return Err(wrong(
                line,
                None,
                "a quote (\") that opens on this line is never closed".into(),
            ));
        }

        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let mut table = Table {
            path: path.to_path_buf(),
            names: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
        };
        loop {
            let more = (reader.read_record(&mut record)).map_err(|e| {
                wrong(
                    table.lines.last().copied().unwrap_or(1),
                    None,
                    e.to_string(),
                )
            })?;
            if !more {
                break;
            }
            let line = line_of(&record, text);
            if table.names.is_empty() {
                table.names = header(&record, line, delimiter, path)?;
                continue;
            }
            if record.len() != table.names.len() {
                let (found, expected) = (record.len(), table.names.len());
                let hint = if found == expected + 1 && record.iter().next_back() == Some("") {
                    "; the line ends with a delimiter"
                } else if found > expected && delimiter == b',' {
                    "; a decimal comma must be a point, and text with a comma needs quotes"
                } else {
                    ""
                };
                return Err(wrong(
                    line,
                    None,
                    format!(
                        "found {found} {}, but the header has {expected}{hint}",
                        plural(found, "field")
                    ),
                ));
            }
            for cell in &record {
                table.text.push_str(cell.trim());
                table.ends.push(table.text.len());
            }
            table.lines.push(line);
        }
        if table.lines.is_empty() {
            return Err(wrong(1, None, "there are 0 rows below the header".into()));
        }
        Ok(table)
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows, without the header.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The line, from 1, on which each row begins.
    pub fn lines(&self) -> &[u64] {
        &self.lines
    }

    /// The cell in `row` and `column`, both from 0, as text; `None` outside the table.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        if column >= self.names.len() {
            return None;
        }
        let index = row.checked_mul(self.names.len())?.checked_add(column)?;
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end)
    }

    /// The index of the column of that name.
    ///
    /// # Errors
    /// There is none; the error lists the names.
    pub fn column(&self, name: &str) -> Result<usize> {
        if let Some(index) = self.names.iter().position(|n| n == name) {
            return Ok(index);
        }
        let mut why = format!(
            "there is no column '{name}'; the columns are: {}",
            list(&self.names)
        );
        let alike = self
            .names
            .iter()
            .find(|n| n.to_lowercase() == name.trim().to_lowercase());
        if let Some(alike) = alike {
            why = format!("{why}; did you mean '{alike}'?");
        } else if self.names.iter().all(|n| n.parse::<f64>().is_ok()) {
            why = format!("{why}; the first line must name the columns, and it holds only numbers");
        }
        Err(Error::Format {
            path: self.path.clone(),
            line: None,
            column: None,
            why,
        })
    }

    /// The rows with a value in each of `columns`, and the number of the others.
    ///
    /// # Errors
    /// A missing value, unless such rows are to be dropped; no row is left.
    pub fn complete_rows(
        &self,
        columns: &[usize],
        missing: Missing,
    ) -> Result<(Vec<usize>, usize)> {
        let mut rows = Vec::with_capacity(self.rows());
        for row in 0..self.rows() {
            let gap = columns.iter().find(|&&c| is_missing(self.text_at(row, c)));
            match (gap, missing) {
                (None, _) => rows.push(row),
                (Some(_), Missing::Drop) => {}
                (Some(&column), Missing::Error) => {
                    return Err(self.wrong(
                        row,
                        column,
                        format!(
                            "the value is missing ('{}'); fill it in, or leave such rows out with --missing drop",
                            self.text_at(row, column)
                        ),
                    ));
                }
            }
        }
        if rows.is_empty() {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: None,
                why: format!(
                    "each of the {} rows has a missing value; no row is left",
                    self.rows()
                ),
            });
        }
        let dropped = self.rows() - rows.len();
        Ok((rows, dropped))
    }

    /// The numbers in `columns` of `rows`, rows × columns.
    ///
    /// # Errors
    /// A cell that is not a finite number, with line and column.
    pub fn matrix(&self, columns: &[usize], rows: &[usize]) -> Result<Array2<f64>> {
        let shape = (rows.len(), columns.len());
        let size = crate::evaluate::shape_product("the table", &[shape.0, shape.1])?;
        let mut values = Vec::with_capacity(size);
        for &row in rows {
            for &column in columns {
                values.push(number(self.text_at(row, column)).map_err(|why| {
                    let name = self.names.get(column).map_or("", String::as_str);
                    self.wrong(
                        row,
                        column,
                        format!("{why}; a fit leaves the column out with --ignore '{name}'"),
                    )
                })?);
            }
        }
        Array2::from_shape_vec(shape, values)
            .map_err(|_| Error::shape("the table", &[shape.0, shape.1], &[size]))
    }

    /// The numbers in one column.
    ///
    /// # Errors
    /// A cell that is not a finite number, with line and column.
    pub fn numbers(&self, column: usize, rows: &[usize]) -> Result<Vec<f64>> {
        (rows.iter())
            .map(|&row| {
                number(self.text_at(row, column)).map_err(|why| self.wrong(row, column, why))
            })
            .collect()
    }

    /// Sample weights.
    ///
    /// # Errors
    /// A weight that is not a number or is negative, with its line; all weights 0.
    pub fn weights(&self, column: usize, rows: &[usize]) -> Result<Vec<f64>> {
        let weights = self.numbers(column, rows)?;
        if let Some((&row, w)) = rows.iter().zip(&weights).find(|(_, w)| **w < 0.0) {
            return Err(self.wrong(row, column, format!("{w} is negative; weights must not be")));
        }
        if weights.iter().all(|&w| w == 0.0) {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: self.names.get(column).cloned(),
                why: "all weights are 0".into(),
            });
        }
        Ok(weights)
    }

    /// The class of each row among `labels`.
    ///
    /// # Errors
    /// A label that is not among them, with its line.
    pub fn class_index(
        &self,
        column: usize,
        rows: &[usize],
        labels: &[String],
    ) -> Result<Vec<usize>> {
        let known: HashMap<&str, usize> = (labels.iter().enumerate())
            .map(|(i, l)| (l.as_str(), i))
            .collect();
        (rows.iter())
            .map(|&row| {
                let cell = self.text_at(row, column);
                let whole = || whole(cell).and_then(|v| known.get(v.to_string().as_str()));
                known.get(cell).or_else(whole).copied().ok_or_else(|| {
                    self.wrong(
                        row,
                        column,
                        format!(
                            "the class '{}' is unknown; known: {}",
                            short(cell),
                            list(labels)
                        ),
                    )
                })
            })
            .collect()
    }

    /// Features, target and weights as `reading` says.
    ///
    /// # Errors
    /// A column that is missing or used twice, no feature, a cell that is not what its column needs, a missing value,
    /// fewer than two classes.
    pub fn dataset(&self, reading: &Reading) -> Result<Dataset> {
        let target = self.column(&reading.target)?;
        let mut used = vec![true; self.names.len()];
        used[target] = false;
        for name in &reading.ignore {
            let column = self.column(name)?;
            if column == target {
                return Err(Error::invalid(
                    name,
                    "the column is the target and cannot be ignored",
                ));
            }
            used[column] = false;
        }
        let weights = match &reading.weights {
            None => None,
            Some(name) => {
                let column = self.column(name)?;
                if column == target {
                    return Err(Error::invalid(
                        name,
                        "the column cannot be both target and weights",
                    ));
                }
                if !used[column] {
                    return Err(Error::invalid(
                        name,
                        "the column cannot be both ignored and weights",
                    ));
                }
                used[column] = false;
                Some(column)
            }
        };
        let columns: Vec<usize> = (0..used.len()).filter(|&c| used[c]).collect();
        if columns.is_empty() {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: None,
                why: "no column is left to predict from".into(),
            });
        }
        let needed: Vec<usize> = (columns.iter().copied())
            .chain([target])
            .chain(weights)
            .collect();
        let (rows, dropped) = self.complete_rows(&needed, reading.missing)?;
        let (task, guess) = match reading.task {
            Some(task) => (task, None),
            None => {
                let (task, guess) = self.guess(target, &rows)?;
                (task, Some(guess))
            }
        };
        let x = self.matrix(&columns, &rows)?;
        let target = match task {
            Task::Regression => Target::Numbers(self.numbers(target, &rows)?),
            Task::Classification => self.classes(target, &rows)?,
        };
        Ok(Dataset {
            features: columns.iter().map(|&c| self.names[c].clone()).collect(),
            x,
            target,
            weights: weights.map(|c| self.weights(c, &rows)).transpose()?,
            lines: rows.iter().map(|&r| self.lines[r]).collect(),
            dropped,
            guess,
        })
    }

    /// The task that the target column suggests, and why.
    fn guess(&self, column: usize, rows: &[usize]) -> Result<(Task, String)> {
        let cells = || rows.iter().map(|&row| (row, self.text_at(row, column)));
        // NaN and infinities count as numbers here; they are refused when they are read as such.
        let numeric = |cell: &str| cell.parse::<f64>().is_ok();
        let numbers = cells().filter(|(_, cell)| numeric(cell)).count();
        if numbers == 0 {
            return Ok((Task::Classification, "the target is text".into()));
        }
        if let Some((row, cell)) = cells().find(|(_, cell)| !numeric(cell)) {
            let (cell, others) = (short(cell), plural(numbers, "other value"));
            return Err(self.wrong(
                row,
                column,
                format!(
                    "'{cell}' is not a number, but {numbers} {others} of the target {}; correct it, or say \
                     --task classification to take every value as the name of a class",
                    if numbers == 1 { "is" } else { "are" }
                ),
            ));
        }
        let mut values = HashSet::new();
        for (_, cell) in cells() {
            let Some(v) = whole(cell) else {
                return Ok((
                    Task::Regression,
                    "the target has numbers that are not whole".into(),
                ));
            };
            values.insert(v);
        }
        let different = values.len();
        Ok(
            if (2..=GUESS_CLASSES).contains(&different) && rows.len() >= GUESS_ROWS * different {
                (
                    Task::Classification,
                    format!("the target has only {different} different whole numbers"),
                )
            } else {
                (
                    Task::Regression,
                    format!(
                        "the target has {different} different {}",
                        plural(different, "number")
                    ),
                )
            },
        )
    }

    /// The target as classes, the labels sorted.
    fn classes(&self, column: usize, rows: &[usize]) -> Result<Target> {
        let cells = || rows.iter().map(|&row| self.text_at(row, column));
        let mut labels: Vec<String>;
        if cells().all(|cell| cell.parse::<f64>().is_ok()) {
            let mut values = BTreeMap::new();
            for (&row, cell) in rows.iter().zip(cells()) {
                let value = whole(cell).ok_or_else(|| {
                    self.wrong(
                        row,
                        column,
                        format!(
                            "'{}' is not a class: classes are text or whole numbers below 2^53; use --task regression \
                             for a number",
                            short(cell)
                        ),
                    )
                })?;
                values.insert(value, ());
            }
            labels = values.keys().map(i64::to_string).collect();
        } else {
            labels = cells()
                .map(String::from)
                .collect::<HashSet<_>>()
                .into_iter()
                .collect();
            labels.sort_unstable();
        }
        if labels.len() < 2 {
            return Err(Error::Format {
                path: self.path.clone(),
                line: None,
                column: Some(self.names[column].clone()),
                why: format!(
                    "one class only ('{}'); a classification needs two or more",
                    labels.first().map_or("", String::as_str)
                ),
            });
        }
        let index = self.class_index(column, rows, &labels)?;
        Ok(Target::Classes { labels, index })
    }

    fn text_at(&self, row: usize, column: usize) -> &str {
        self.cell(row, column).unwrap_or_default()
    }

    fn wrong(&self, row: usize, column: usize, why: String) -> Error {
        Error::Format {
            path: self.path.clone(),
            line: self.lines.get(row).copied(),
            column: self.names.get(column).cloned(),
            why,
        }
    }
}

/// The names of the columns.
fn header(
    record: &csv::StringRecord,
    line: u64,
    delimiter: u8,
    path: &Path,
) -> Result<Vec<String>> {
    let wrong = |column: Option<String>, why: String| Error::Format {
        path: path.to_path_buf(),
        line: Some(line),
        column,
        why,
    };
    let names: Vec<String> = record.iter().map(|name| name.trim().to_string()).collect();
    if let [only] = names.as_slice() {
        let other = [(b';', ";"), (b'\t', "tab"), (b',', ","), (b'|', "|")];
        if let Some((_, name)) = other
            .iter()
            .find(|(c, _)| *c != delimiter && only.contains(char::from(*c)))
        {
            return Err(wrong(
                None,
                format!(
                    "the header is one field ('{}'); try --delimiter '{name}'",
                    short(only)
                ),
            ));
        }
    }
    let mut seen = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        let number = (index + 1).to_string();
        if name.is_empty() {
            let last = index + 1 == names.len();
            let hint = if last {
                "; remove the delimiter at the end of the lines"
            } else {
                ""
            };
            return Err(wrong(Some(number), format!("the column has no name{hint}")));
        }
        if let Some(first) = seen.insert(name.as_str(), index + 1) {
            return Err(wrong(
                Some(number),
                format!("the name '{name}' is already that of column {first}; names must differ"),
            ));
        }
    }
    Ok(names)
}

/// The line on which a record begins. The reader's position stands before the blank lines that it skips.
fn line_of(record: &csv::StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else {
        return 1;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    position.line() + rest.iter().take_while(|&&b| b == b'\n').count() as u64
}

/// The line of a quote that opens a field and is never closed.
fn unclosed_quote(text: &str, delimiter: u8) -> Option<u64> {
    let mut line = 1;
    let mut field_start = true;
    // The line where the open quote stands.
    let mut quoted: Option<u64> = None;
    for &byte in text.as_bytes() {
        // A doubled quote closes and opens again, which comes to the same.
        match quoted {
            Some(_) if byte == b'"' => {
                quoted = None;
                field_start = true;
            }
            Some(_) => {}
            None if byte == b'"' && field_start => quoted = Some(line),
            None => field_start = byte == delimiter || byte == b'\n',
        }
        line += u64::from(byte == b'\n');
    }
    quoted
}

/// A decimal number that is finite.
fn number(cell: &str) -> std::result::Result<f64, String> {
    let shown = short(cell);
    match cell.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        Ok(_) if cell.bytes().any(|b| b.is_ascii_digit()) => {
            Err(format!("'{shown}' is too large for a 64-bit float"))
        }
        Ok(_) => Err(format!(
            "'{shown}' is not a finite number; a missing value is written NA"
        )),
        Err(_) if cell.replacen(',', ".", 1).parse::<f64>().is_ok() => Err(format!(
            "'{shown}' is not a number; the decimal mark must be a point"
        )),
        Err(_) => Err(format!("'{shown}' is not a number")),
    }
}

/// A whole number that a 64-bit float holds exactly.
fn whole(cell: &str) -> Option<i64> {
    let value = cell.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() < WHOLE).then_some(value as i64)
}

fn is_missing(cell: &str) -> bool {
    matches!(cell, "" | "NA" | "null" | "NULL" | "?")
}

fn plural(count: usize, word: &str) -> String {
    format!("{word}{}", if count == 1 { "" } else { "s" })
}

/// Names for a message: the first 30.
fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(30).map(String::as_str).collect();
    match names.len() > 30 {
        false => shown.join(", "),
        true => format!("{}, … ({} in all)", shown.join(", "), names.len()),
    }
}

/// Text for a message: one line of at most 40 characters.
fn short(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(40)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out
}

/// Mean and scale of every input and of every target: (x − mean)/scale has mean 0 and standard deviation 1.
///
/// The scale is the standard deviation with n, not n − 1, in the denominator; a column that is constant has scale 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardization {
    /// The mean of each input.
    pub x_mean: Vec<f64>,
    /// The scale of each input, positive.
    pub x_scale: Vec<f64>,
    /// The mean of each target; 0 where targets are not standardised.
    pub y_mean: Vec<f64>,
    /// The scale of each target, positive; 1 where targets are not standardised.
    pub y_scale: Vec<f64>,
}

impl Standardization {
    /// Means 0 and scales 1.
    pub fn none(inputs: usize, targets: usize) -> Self {
        Standardization {
            x_mean: vec![0.0; inputs],
            x_scale: vec![1.0; inputs],
            y_mean: vec![0.0; targets],
            y_scale: vec![1.0; targets],
        }
    }

    /// Mean and scale of the columns of `x`, and remarks on columns that are constant or nearly so. Targets stay as
    /// they are.
    ///
    /// # Errors
    /// Values so large that their spread overflows.
    pub fn of_inputs(
        x: &Array2<f64>,
        names: &[String],
        targets: usize,
    ) -> Result<(Self, Vec<String>)> {
        let mut out = Standardization::none(x.ncols(), targets);
        let mut remarks = Vec::new();
        for (c, column) in x.columns().into_iter().enumerate() {
            let values = column.to_vec();
            let name = names.get(c).map_or("", String::as_str);
            (out.x_mean[c], out.x_scale[c]) = spread(&values, name, &mut remarks)?;
        }
        Ok((out, remarks))
    }

    /// The same with the targets' mean and scale, and remarks as above.
    ///
    /// # Errors
    /// As [`of_inputs`](Self::of_inputs); as many columns as there are targets are needed.
    pub fn with_targets(
        mut self,
        y: &Array2<f64>,
        names: &[String],
    ) -> Result<(Self, Vec<String>)> {
        if y.ncols() != self.y_mean.len() {
            return Err(Error::shape("targets", &[self.y_mean.len()], &[y.ncols()]));
        }
        let mut remarks = Vec::new();
        for (c, column) in y.columns().into_iter().enumerate() {
            let values = column.to_vec();
            let name = names.get(c).map_or("", String::as_str);
            (self.y_mean[c], self.y_scale[c]) = spread(&values, name, &mut remarks)?;
        }
        Ok((self, remarks))
    }

    /// Inputs as the network sees them.
    ///
    /// # Errors
    /// Another number of columns than there are inputs.
    pub fn inputs(&self, x: &Array2<f64>) -> Result<Array2<f64>> {
        map("inputs", x, &self.x_mean, &self.x_scale, standard)
    }

    /// Targets as the network sees them.
    ///
    /// # Errors
    /// Another number of columns than there are targets.
    pub fn targets(&self, y: &Array2<f64>) -> Result<Array2<f64>> {
        map("targets", y, &self.y_mean, &self.y_scale, standard)
    }

    /// The network's outputs in the units of the targets.
    ///
    /// # Errors
    /// Another number of columns than there are targets.
    pub fn original(&self, outputs: &Array2<f64>) -> Result<Array2<f64>> {
        map(
            "outputs",
            outputs,
            &self.y_mean,
            &self.y_scale,
            |v, mean, scale| v * scale + mean,
        )
    }
}

/// (v − mean)/scale; the difference of huge numbers may overflow where the quotient does not.
fn standard(v: f64, mean: f64, scale: f64) -> f64 {
    let difference = v - mean;
    match difference.is_finite() {
        true => difference / scale,
        false => v / scale - mean / scale,
    }
}

fn map(
    what: &str,
    values: &Array2<f64>,
    mean: &[f64],
    scale: &[f64],
    f: impl Fn(f64, f64, f64) -> f64,
) -> Result<Array2<f64>> {
    if values.ncols() != mean.len() || mean.len() != scale.len() {
        return Err(Error::shape(
            format!("columns of the {what}"),
            &[mean.len()],
            &[values.ncols()],
        ));
    }
    let mut out = values.clone();
    for mut row in out.rows_mut() {
        for ((v, &mean), &scale) in row.iter_mut().zip(mean).zip(scale) {
            *v = f(*v, mean, scale);
        }
    }
    Ok(out)
}

/// Mean and standard deviation in two passes; the scale 1 for a constant.
fn spread(values: &[f64], name: &str, remarks: &mut Vec<String>) -> Result<(f64, f64)> {
    let n = values.len() as f64;
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|&v| v == first) {
        remarks.push(format!(
            "the column '{name}' is constant ({first}); it is only centred, with scale 1"
        ));
        return Ok((first, 1.0));
    }
    // Both sums are over values of size 1 at most: they neither overflow nor vanish.
    let size = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let rough = values.iter().map(|v| v / size).sum::<f64>() / n * size;
    let deviation = values
        .iter()
        .fold(0.0, |m: f64, v| m.max((v - rough).abs()));
    let unit = |v: &f64| (v - rough) / deviation;
    let shift = values.iter().map(unit).sum::<f64>() / n;
    let mean = rough + deviation * shift;
    let variance = values
        .iter()
        .map(|v| (unit(v) - shift).powi(2))
        .sum::<f64>()
        / n;
    let scale = deviation * variance.sqrt();
    if !mean.is_finite() || !scale.is_finite() || scale <= 0.0 {
        return Err(Error::invalid(
            format!("column '{name}'"),
            "its spread is beyond the range of a 64-bit float; rescale it",
        ));
    }
    if scale < 1e-9 * mean.abs() {
        let digits = (scale / (mean.abs() * f64::EPSILON))
            .log10()
            .max(0.0)
            .floor();
        remarks.push(format!(
            "the column '{name}' varies by {scale:.1e} around {mean:.6e}: about {digits} digits of its variation are \
             left; subtract a constant in the file to keep more"
        ));
    }
    Ok((mean, scale))
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
