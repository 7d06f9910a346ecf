//! Texts as classes and levels: which there are, in which order, and which a cell is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Table;
use super::cell::{list, plural, short, whole};
use super::dataset::{Target, Task};
use crate::error::{Error, Result};

/// The most different whole numbers that are taken for classes unless the task is given.
const GUESS_CLASSES: usize = 20;
/// The rows for each of them that the guess needs, on average.
const GUESS_ROWS: usize = 5;

/// Whether the text is a code, not a quantity: digits with a 0 before them, or a plus sign, which a number would lose.
fn is_code(cell: &str) -> bool {
    let digits = cell.trim_start_matches(['+', '-']);
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all && ((digits.len() > 1 && digits.starts_with('0')) || cell.starts_with('+'))
}

/// The different values of cells: whole numbers in numerical order, where `1` and `1.0` are one value, but for codes such as `01`;
/// text in the order of its characters. Each has the text that it is written with, or the plain number if there are several.
pub(super) fn values<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<String> {
    let texts: BTreeSet<&str> = cells.collect();
    if !texts.iter().all(|text| whole(text).is_some()) {
        return texts.into_iter().map(String::from).collect();
    }
    if texts.iter().any(|text| is_code(text)) {
        let mut codes: Vec<&str> = texts.into_iter().collect();
        codes.sort_by_key(|code| whole(code));
        return codes.into_iter().map(String::from).collect();
    }
    let mut of: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (value, text) in texts.iter().filter_map(|text| Some((whole(text)?, *text))) {
        of.entry(value).or_default().push(text);
    }
    let label = |(value, texts): (i64, Vec<&str>)| match texts.as_slice() {
        [one] => one.to_string(),
        _ => value.to_string(),
    };
    of.into_iter().map(label).collect()
}

/// Finds the index of a cell among values.
pub(super) struct Index<'a> {
    texts: HashMap<&'a str, usize>,
    numbers: HashMap<i64, usize>,
}

impl<'a> Index<'a> {
    pub fn of(values: &'a [String]) -> Self {
        let number = |(i, text): (usize, &String)| Some((whole(text)?, i));
        let codes = values.iter().any(|text| is_code(text));
        Index {
            texts: values.iter().enumerate().map(|(i, text)| (text.as_str(), i)).collect(),
            numbers: match codes {
                true => HashMap::new(),
                false => values.iter().enumerate().filter_map(number).collect(),
            },
        }
    }

    pub fn find(&self, cell: &str) -> Option<usize> {
        let number = || self.numbers.get(&whole(cell).filter(|_| !is_code(cell))?);
        self.texts.get(cell).or_else(number).copied()
    }
}

impl Table {
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
        let index = Index::of(labels);
        (rows.iter())
            .map(|&row| {
                let cell = self.text_at(row, column);
                index.find(cell).ok_or_else(|| {
                    let (cell, known) = (short(cell), list(labels));
                    let why = format!("the class '{cell}' is unknown; known: {known}");
                    self.wrong(row, column, why)
                })
            })
            .collect()
    }

    /// The task that the target column suggests, and why.
    pub(super) fn guess(&self, column: usize, rows: &[usize]) -> Result<(Task, String)> {
        let cells = || rows.iter().map(|&row| (row, self.text_at(row, column)));
        // NaN and infinities count as numbers here; they are refused when they are read as such.
        let numeric = |cell: &str| self.numerals.parse(cell).is_some();
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
        if cells().any(|(_, cell)| is_code(cell)) {
            let why = "the target has codes with zeros before the digits";
            return Ok((Task::Classification, why.into()));
        }
        let mut values = HashSet::new();
        for (_, cell) in cells() {
            let value = self.numerals.parse(cell).unwrap_or(f64::NAN);
            if value.fract() != 0.0 {
                return Ok((Task::Regression, "the target has numbers that are not whole".into()));
            }
            values.insert(value.to_bits());
        }
        let different = values.len();
        Ok(if (2..=GUESS_CLASSES).contains(&different) && rows.len() >= GUESS_ROWS * different {
            let why = format!("the target has only {different} different whole numbers");
            (Task::Classification, why)
        } else {
            let why = format!("the target has {different} different {}", plural(different, "number"));
            (Task::Regression, why)
        })
    }

    /// The target as classes.
    pub(super) fn classes(&self, column: usize, rows: &[usize]) -> Result<Target> {
        let cells = || rows.iter().map(|&row| self.text_at(row, column));
        if cells().all(|cell| cell.parse::<f64>().is_ok())
            && let Some((&row, cell)) = rows.iter().zip(cells()).find(|(_, c)| whole(c).is_none())
        {
            let why = format!(
                "'{}' is not a class: classes are text or whole numbers below 2^53; use --task regression for a number",
                short(cell)
            );
            return Err(self.wrong(row, column, why));
        }
        let labels = values(cells());
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
}
