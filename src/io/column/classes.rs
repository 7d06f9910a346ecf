//! Texts as classes and levels: which there are, in which order, and which a cell is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::cell::{whole, whole_number};
use super::digits;

/// Whether the text is a code, not a quantity: digits with a 0 before them, or a plus sign, which a number would lose.
pub(crate) fn is_code(cell: &str) -> bool {
    let digits = cell.trim_start_matches(['+', '-']);
    is_padded(digits) || (cell.starts_with('+') && is_digits(digits))
}

/// Whether the text is digits with a 0 before others.
pub(crate) fn is_padded(cell: &str) -> bool {
    cell.len() > 1 && cell.starts_with('0') && is_digits(cell)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The different values of cells: whole numbers in numerical order, where `1` and `1.0` are one value, but for codes such as `01`;
/// text in the order of its characters. Each has the text that it is written with, or the plain number if there are several.
pub(crate) fn values<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<String> {
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
#[derive(Debug, Clone)]
pub(crate) struct Index {
    texts: HashMap<String, usize>,
    numbers: HashMap<i64, usize>,
}

impl Index {
    pub fn of(values: &[String]) -> Self {
        let number = |(i, text): (usize, &String)| Some((whole(text)?, i));
        let codes = values.iter().any(|text| is_code(text));
        Index {
            texts: values.iter().enumerate().map(|(i, text)| (text.clone(), i)).collect(),
            numbers: (values.iter().enumerate().filter(|_| !codes)).filter_map(number).collect(),
        }
    }

    pub fn find(&self, cell: &str) -> Option<usize> {
        let number = || self.numbers.get(&whole(cell).filter(|_| !is_code(cell))?);
        self.texts.get(cell).or_else(number).copied()
    }

    /// The index of a number, as of its text.
    pub fn find_number(&self, number: f64) -> Option<usize> {
        // Of most labels that are numbers no text is made.
        let known = whole_number(number).and_then(|whole| self.numbers.get(&whole).copied());
        known.or_else(|| self.find(&digits(number)))
    }
}
