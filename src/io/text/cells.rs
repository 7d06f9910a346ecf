//! The cells of a table: ranges of text, and the numbers among them.

use crate::error::{Error, Result};

/// Cells, row by row. Each cell begins one byte after the end of the one before in its row, so that the text of a piece of a file needs no copy.
/// Blanks around a cell stand in the text and do not count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    /// The cells of each row.
    width: usize,
    parts: Vec<Part>,
    /// The first row of each part.
    firsts: Vec<usize>,
}

/// Rows that were read together, and their text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub text: String,
    /// Where each row begins in the text.
    starts: Vec<usize>,
    /// Where each cell ends, from the beginning of its row.
    ends: Vec<u32>,
    /// The number that each cell is, with a point as decimal mark; NaN for other text. Empty once numbers are written otherwise.
    numbers: Vec<f64>,
}

impl Part {
    /// No rows yet, with room for so many of so many cells.
    pub fn with_room(rows: usize, width: usize) -> Self {
        let cells = rows.saturating_mul(width);
        Part {
            text: String::new(),
            starts: Vec::with_capacity(rows),
            ends: Vec::with_capacity(cells),
            numbers: Vec::with_capacity(cells),
        }
    }

    /// Adds a cell of a row that has just begun: where it ends from the beginning of the row, and its number.
    pub fn add(&mut self, end: usize, number: f64) {
        // Where this does not hold it, the row is refused at its end.
        self.ends.push(end as u32);
        self.numbers.push(number);
    }

    /// Ends a row that stands in the text from `begin` on and has this length.
    ///
    /// # Errors
    /// A row of 4 GiB or more.
    pub fn end_row(&mut self, begin: usize, length: usize) -> Result<()> {
        if u32::try_from(length).is_err() {
            let why = "a row must have less than 4 GiB of text; leave out columns";
            return Err(Error::invalid("table", why));
        }
        self.starts.push(begin);
        Ok(())
    }

    /// Whether each cell is a plain number.
    pub fn are_numbers(&self) -> bool {
        self.numbers.iter().all(|number| !number.is_nan())
    }

    /// The number of cells.
    pub fn cells(&self) -> usize {
        self.ends.len()
    }

    /// Takes back all cells after the first `cells`, of a row that has not ended.
    pub fn take_back(&mut self, cells: usize) {
        self.ends.truncate(cells);
        self.numbers.truncate(cells);
    }

    /// Adds a row that stands in the text from `begin` on.
    ///
    /// # Errors
    /// A row of 4 GiB or more.
    pub fn push<'a>(&mut self, begin: usize, row: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut length = 0;
        for (end, number) in places(row) {
            self.add(end, number);
            length = end;
        }
        self.end_row(begin, length)
    }
}

impl Cells {
    /// No cells yet, with room for those of so many rows of so many columns.
    pub fn with_room(rows: usize, width: usize) -> Self {
        Cells { width, parts: vec![Part::with_room(rows, width)], firsts: vec![0] }
    }

    /// The bytes that so many rows with so many cells in all take besides their text.
    pub fn bytes(rows: u64, cells: u64) -> u64 {
        cells.saturating_mul(12).saturating_add(rows.saturating_mul(8))
    }

    /// The cell in `row` and `column`; `None` outside the table.
    pub fn get(&self, row: usize, column: usize) -> Option<&str> {
        let (part, row, index) = self.place(row, column)?;
        let begin = *part.starts.get(row)?;
        let start = if column == 0 { 0 } else { *part.ends.get(index - 1)? as usize + 1 };
        let end = *part.ends.get(index)? as usize;
        part.text.get(begin + start..begin + end).map(trimmed)
    }

    /// The finite number that a cell is, where it is known to be one.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        let (part, _, index) = self.place(row, column)?;
        part.numbers.get(index).copied().filter(|v| !v.is_nan())
    }

    /// The numbers of the cells of each of `rows`, NaN where a cell is other text; empty where they are forgotten.
    pub fn numbers_of<'a>(&'a self, rows: &'a [usize]) -> impl Iterator<Item = &'a [f64]> {
        let mut at = 0;
        rows.iter().map(move |row| {
            // The next row is nearly always in the same part.
            let is_there =
                |part: &Part| (self.firsts[at]..self.firsts[at] + part.starts.len()).contains(row);
            if !self.parts.get(at).is_some_and(is_there) {
                at = self.firsts.partition_point(|first| first <= row).saturating_sub(1);
            }
            let numbers = self.parts.get(at).and_then(|part| {
                let index = (row - self.firsts[at]) * self.width;
                part.numbers.get(index..index + self.width)
            });
            numbers.unwrap_or_default()
        })
    }

    /// The part in which a cell is, its row there, and its index.
    fn place(&self, row: usize, column: usize) -> Option<(&Part, usize, usize)> {
        if column >= self.width {
            return None;
        }
        let at = self.firsts.partition_point(|&first| first <= row).checked_sub(1)?;
        let row = row - self.firsts[at];
        Some((&self.parts[at], row, row * self.width + column))
    }

    /// Forgets the numbers, where cells mean others or none.
    pub fn forget_numbers(&mut self) {
        self.parts.iter_mut().for_each(|part| part.numbers = Vec::new());
    }

    /// The bytes of all text.
    pub fn text_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.text.len()).sum()
    }

    /// Adds a row and its text; all rows have as many cells as the first.
    ///
    /// # Errors
    /// A row of 4 GiB or more.
    pub fn append<'a>(&mut self, row: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        if self.parts.is_empty() {
            *self = Cells::with_room(0, 0);
        }
        if self.parts[0].starts.is_empty() {
            self.width = row.clone().count();
        }
        let last = self.parts.len() - 1;
        let part = &mut self.parts[last];
        let begin = part.text.len();
        for cell in row.clone() {
            part.text.push_str(cell);
            part.text.push('\n');
        }
        part.push(begin, row)
    }

    /// Adds rows below.
    pub fn extend(&mut self, part: Part) {
        let rows = match (self.firsts.last(), self.parts.last()) {
            (Some(first), Some(last)) => first + last.starts.len(),
            _ => 0,
        };
        self.firsts.push(rows);
        self.parts.push(part);
    }

    /// Leaves out the columns of which `keep` is false.
    ///
    /// # Errors
    /// A row of 4 GiB or more.
    pub fn retain(&mut self, keep: &[bool]) -> Result<()> {
        let rows = self.parts.iter().map(|part| part.starts.len()).sum();
        let mut kept = Cells::with_room(rows, self.width);
        for row in 0..rows {
            let columns = (0..keep.len()).filter(|&c| keep[c]);
            kept.append(columns.filter_map(|c| self.get(row, c)))?;
        }
        *self = kept;
        Ok(())
    }
}

/// Where cells end that stand one byte apart, and their numbers.
fn places<'a>(cells: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (usize, f64)> {
    cells.scan(0, |next, cell| {
        let end = *next + cell.len();
        *next = end + 1;
        // Not by fast_float2: with a second caller the compiler no longer writes it into `field`.
        let number = trimmed(cell).parse().ok().filter(|v: &f64| v.is_finite());
        Some((end, number.unwrap_or(f64::NAN)))
    })
}

/// The end of the field that begins at `at`, and its number. Where the delimiter cannot be part of a number and a field is a number
/// and nothing else, one pass finds both.
pub(crate) fn field(text: &[u8], at: usize, delimiter: u8, quick: bool) -> (usize, f64) {
    let rest = text.get(at..).unwrap_or_default();
    let blanks = rest.iter().take_while(|&&b| b == b' ').count();
    if quick && let Ok((number, length)) = fast_float2::parse_partial::<f64, _>(&rest[blanks..]) {
        let end = at + blanks + length;
        let ends = text.get(end).is_none_or(|&b| b == delimiter || b == b'\n');
        if ends && number.is_finite() {
            return (end, number);
        }
    }
    let end = memchr::memchr2(delimiter, b'\n', rest).map_or(text.len(), |length| at + length);
    (end, f64::NAN)
}

/// Whether a delimiter cannot be part of a number.
pub(crate) fn is_outside_numbers(delimiter: u8) -> bool {
    !delimiter.is_ascii_alphanumeric() && !matches!(delimiter, b'+' | b'-' | b'.' | b' ')
}

/// The cell without the blanks around it, which most have not.
fn trimmed(cell: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_none_or(|b| b.is_ascii_graphic());
    let bytes = cell.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) { cell } else { cell.trim() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strings of the characters of numbers, all of up to five and others at random.
    fn candidates() -> impl Iterator<Item = String> {
        let letters = ['0', '1', '9', '.', 'e', 'E', '-', '+', ' '];
        let all = (1..=5u32).flat_map(move |length| {
            (0..letters.len().pow(length)).map(move |code| {
                (0..length).map(|k| letters[code / letters.len().pow(k) % letters.len()]).collect()
            })
        });
        let words =
            ["inf", "nan", "NaN", "infinity", "1e400", "-1e-400", "1_0", "0x1", "1.5f", "\u{661}"];
        let mut state = 7u64;
        let long = (0..20_000).map(move |_| {
            let mut digits = String::new();
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let point = state % 21;
            for at in 0..20 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                if at == point {
                    digits.push('.');
                }
                digits.push(char::from(b'0' + (state >> 60) as u8 % 10));
            }
            format!("{digits}e{}", (state >> 20) as i64 % 320 - 160)
        });
        all.chain(words.map(String::from)).chain(long)
    }

    #[test]
    fn a_number_is_what_the_standard_library_reads() {
        for cell in candidates() {
            let expected = cell.trim().parse::<f64>().ok().filter(|v| v.is_finite());
            let (end, number) = places([cell.as_str()].into_iter()).next().unwrap();
            assert_eq!(end, cell.len());
            assert_eq!(
                (!number.is_nan()).then_some(number.to_bits()),
                expected.map(f64::to_bits),
                "{cell}"
            );
            let text = format!("x,{cell},y");
            let (end, number) = field(text.as_bytes(), 2, b',', true);
            assert_eq!(end, 2 + cell.len(), "{cell}");
            // A blank behind a number is left to the longer way.
            if !number.is_nan() || !cell.ends_with(' ') {
                assert_eq!(
                    (!number.is_nan()).then_some(number.to_bits()),
                    expected.map(f64::to_bits),
                    "{cell}"
                );
            }
        }
    }
}
