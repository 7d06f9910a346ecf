//! How the text of a table is written: what is given, and what is found.

use std::borrow::Cow;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::io::column::cell::{is_missing, numeric};

/// The byte order mark.
pub(crate) const MARK: &str = "\u{FEFF}";
/// The bytes that are looked through together: more than most pieces of a file have.
pub(crate) const LOOK: usize = 1 << 22;
/// The lines from which the delimiter is found.
pub(crate) const SAMPLE: usize = 200;
/// The characters between fields that are looked for; a blank is any number of blanks. Of two that fit as well, the first.
const DELIMITERS: [u8; 5] = [b',', b';', b'\t', b'|', b' '];

/// How the text of a table is written; what is not given is found.
///
/// ```
/// use secondo::io::{Dialect, Reading, Table, Target};
/// let german = "Weg;Zeit\n1,5;2\n1.003,5;4\n";
/// let table = Table::parse(german, "d.csv".as_ref(), &Dialect::default())?;
/// assert_eq!(table.found(), ["--delimiter ';'", "--decimal ',' --thousands '.'"]);
/// let data = table.dataset(&Reading::new("Weg"))?;
/// assert_eq!(data.target, Target::Numbers(ndarray::array![[1.5], [1003.5]]));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dialect {
    /// The character between fields; a blank stands for any number of blanks and tabs.
    pub delimiter: Option<u8>,
    /// The decimal mark: a point or a comma.
    pub decimal: Option<char>,
    /// The mark between thousands: a point, a comma, a blank or an apostrophe.
    pub thousands: Option<char>,
    /// The character with which lines begin that are comments.
    pub comment: Option<u8>,
    /// Whether the first line names the columns. Where it does not, they are `column1`, `column2`, ….
    pub header: Option<bool>,
    /// The column with the labels of the rows.
    pub row_names: RowNames,
    /// Further words for a missing value.
    pub missing: Vec<String>,
    /// The encoding, by a name of the WHATWG such as `windows-1252`.
    pub encoding: Option<String>,
}

/// The column with the labels of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RowNames {
    /// The first column, if it has no name, counts the rows, has whole numbers, each once, and a name such as `id` or `user_id`, or has
    /// another text in each row, with letters in nearly all.
    #[default]
    Found,
    /// None.
    None,
    /// The column of that name.
    Column(String),
}

impl Dialect {
    /// With this character between fields.
    pub fn delimited(delimiter: u8) -> Self {
        Dialect { delimiter: Some(delimiter), ..Dialect::default() }
    }

    /// # Errors
    /// Further words for a missing value.
    pub(crate) fn require_no_words(&self) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let why = "further words for a missing value are known to tables in memory alone";
        Err(Error::invalid("dialect", why))
    }

    pub(crate) fn check(&self) -> Result<()> {
        let line = |c: u8| !c.is_ascii() || matches!(c, b'"' | b'\n' | b'\r' | 0);
        if self.delimiter.is_some_and(line) {
            return Err(Error::invalid(
                "delimiter",
                "must be one ASCII character, not a quote and not the end of a line",
            ));
        }
        if self.comment.is_some_and(line) {
            return Err(Error::invalid("comment", "must be one ASCII character, not a quote"));
        }
        if self.decimal.is_some_and(|c| !matches!(c, '.' | ',')) {
            return Err(Error::invalid("decimal mark", "must be a point or a comma"));
        }
        if self.thousands.is_some_and(|c| !matches!(c, '.' | ',' | ' ' | '\'')) {
            let why = "must be a point, a comma, a blank or an apostrophe";
            return Err(Error::invalid("mark between thousands", why));
        }
        if self.decimal.is_some() && self.decimal == self.thousands {
            return Err(Error::invalid("mark between thousands", "must not be the decimal mark"));
        }
        Ok(())
    }
}

/// The text of a table with lines that end with LF and without marks and comments, each line where it was.
pub(crate) struct Prepared<'a> {
    pub text: Cow<'a, str>,
    /// The character between fields in the file: a blank for any number of blanks and tabs.
    pub delimiter: u8,
    /// The character between fields in `text`.
    pub fields: u8,
    /// Whether there are quotes.
    pub quotes: bool,
    /// The lines that were left out as comments.
    pub comments: usize,
}

/// # Errors
/// A text without a line.
pub(crate) fn prepare<'a>(
    text: Cow<'a, str>,
    path: &Path,
    dialect: &Dialect,
) -> Result<Prepared<'a>> {
    let (mut text, quotes) = cleaned(text);
    if text.trim().is_empty() {
        return Err(Error::Format {
            path: path.to_path_buf(),
            line: Some(1),
            column: None,
            why: "the file is empty: no header; the first line must name the columns".into(),
        });
    }
    let mut said = None;
    if let Some((delimiter, rest)) = stated(&text) {
        said = Some(delimiter);
        text = format!("\n{rest}").into();
    }
    let mut comments = 0;
    if let Some(mark) = dialect.comment {
        text = without_comments(&text, char::from(mark), &mut comments).into();
    } else if text.trim_start().starts_with('#') {
        text = without_preamble(&text, dialect.delimiter.or(said), &mut comments).into();
    }
    let delimiter = dialect.delimiter.or(said).unwrap_or_else(|| delimiter_of(&text));
    let mut fields = delimiter;
    if delimiter == b' ' {
        text = single_tabs(&text).into();
        fields = b'\t';
    }
    Ok(Prepared { text, delimiter, fields, quotes, comments })
}

/// The text without byte order marks and with lines that end with LF, and whether there are quotes.
pub(crate) fn cleaned(mut text: Cow<str>) -> (Cow<str>, bool) {
    // The first byte of a mark, which may stand wherever files were joined, and of other letters.
    if !holds(&text, [MARK.as_bytes()[0], b'\r', b'"']) {
        return (text, false);
    }
    if memchr::memmem::find(text.as_bytes(), MARK.as_bytes()).is_some() {
        text = text.replace(MARK, "").into();
    }
    // With one kind of line end the lines can be counted.
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n").into();
    }
    let quotes = text.contains('"');
    (text, quotes)
}

/// The character between fields of a cleaned text that begins so, where it needs no other preparation.
pub(crate) fn fields_of(head: &str, dialect: &Dialect) -> Option<u8> {
    let begin = head.trim_start();
    if begin.is_empty() || begin.starts_with('#') || stated(head).is_some() {
        return None;
    }
    let delimiter = dialect.delimiter.unwrap_or_else(|| delimiter_of(head));
    (delimiter != b' ').then_some(delimiter)
}

/// Whether one of three bytes is in a text.
fn holds(text: &str, [a, b, c]: [u8; 3]) -> bool {
    text.as_bytes().par_chunks(LOOK).any(|part| memchr::memchr3(a, b, c, part).is_some())
}

/// The delimiter that a first line such as `sep=;` states, and the lines below.
fn stated(text: &str) -> Option<(u8, &str)> {
    let (first, rest) = text.split_once('\n')?;
    let first = first.trim_matches(['"', ' ']);
    let said = first.strip_prefix("sep=").or_else(|| first.strip_prefix("SEP="))?;
    match said.as_bytes() {
        [one] if one.is_ascii() && !matches!(one, b'"' | 0) => Some((*one, rest)),
        _ => None,
    }
}

fn without_comments(text: &str, mark: char, count: &mut usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.trim_start().starts_with(mark) {
            *count += 1;
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// The text without the lines before the table that begin with `#`; where the last of them names the columns, as NumPy writes
/// them, with this line as the first.
fn without_preamble(text: &str, delimiter: Option<u8>, count: &mut usize) -> String {
    let comment = |line: &str| line.trim_start().starts_with('#') || line.trim().is_empty();
    let above: Vec<&str> = text.lines().take_while(|line| comment(line)).collect();
    let below: Vec<&str> = text.lines().skip(above.len()).collect();
    let sample = below.get(..below.len().min(SAMPLE)).unwrap_or_default().join("\n");
    let delimiter = delimiter.unwrap_or_else(|| delimiter_of(&sample));
    let fields = |line: &str| records(line, delimiter).into_iter().next().unwrap_or_default();
    let first = fields(&sample);
    let last = above.iter().rposition(|line| !line.trim().is_empty());
    let names = last.and_then(|at| above.get(at)).map(|l| l.trim_start().trim_start_matches('#'));
    let are_names = first.iter().all(|f| numeric(f) || is_missing(f))
        && names.is_some_and(|names| fields(names.trim()).len() == first.len());
    let mut out = String::with_capacity(text.len());
    for (at, line) in above.iter().enumerate() {
        match names.filter(|_| are_names && Some(at) == last) {
            Some(names) => out.push_str(names.trim()),
            None => *count += usize::from(!line.trim().is_empty()),
        }
        out.push('\n');
    }
    out + &below.join("\n")
}

/// The delimiter by which the first lines have all the same number of fields, two or more, and most of them are numbers. Row
/// labels may have no name, as R writes them.
fn delimiter_of(text: &str) -> u8 {
    let end = text.match_indices('\n').nth(SAMPLE).map_or(text.len(), |(at, _)| at);
    let sample = &text[..end];
    let mut best = (b',', 0.0);
    for delimiter in DELIMITERS {
        let rows = records(sample, delimiter);
        let Some((header, rows)) = rows.split_first() else {
            continue;
        };
        let same = |width: usize| rows.iter().filter(|row| row.len() == width).count();
        let (names, labelled) = (header.len(), header.len() + 1);
        // A header that another character divides is no single name above labels and a column.
        let is_one = names > 1
            || !DELIMITERS.iter().any(|d| *d != delimiter && header[0].contains(char::from(*d)));
        let fitting = if is_one && rows.len() > 1 && same(labelled) == rows.len() {
            rows.len()
        } else if names > 1 {
            same(names)
        } else {
            0
        };
        let cells = rows.iter().flatten();
        let typed = cells.clone().filter(|cell| numeric(cell) || is_missing(cell)).count();
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        // Without rows, the names alone must tell.
        let fit =
            if rows.is_empty() { share(names - 1, names) } else { share(fitting, rows.len()) };
        // A line with a field too many or too few is no reason to take another that divides text.
        let score = 2.0 * fit + share(typed, cells.count());
        if score > best.1 && fit > 0.0 {
            best = (delimiter, score);
        }
    }
    best.0
}

/// The fields of each line that is not blank.
fn records(text: &str, delimiter: u8) -> Vec<Vec<String>> {
    let spaced;
    let (text, delimiter) = match delimiter {
        b' ' => {
            spaced = single_tabs(text);
            (spaced.as_str(), b'\t')
        }
        _ => (text, delimiter),
    };
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    (reader.into_records().map_while(|record| record.ok()))
        .map(|record| record.iter().map(|field| field.trim().to_string()).collect())
        .filter(|row: &Vec<String>| row.iter().any(|field| !field.is_empty()))
        .collect()
}

/// The text with a tab for the blanks between fields, and without those at the ends of lines. Blanks in quotes stay.
fn single_tabs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut begun, mut blank) = (false, false, false);
    for c in text.chars() {
        match c {
            ' ' | '\t' if !quoted => {
                blank = true;
                continue;
            }
            '\n' if !quoted => begun = false,
            _ => {
                if blank && begun {
                    out.push('\t');
                }
                begun = true;
                quoted ^= c == '"';
            }
        }
        blank = false;
        out.push(c);
    }
    out
}
