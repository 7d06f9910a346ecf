//! Cells as numbers, and text for messages.

/// Whole numbers beyond this are not exact in a 64-bit float.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Blanks within numbers, as French and Swedish spreadsheets write them: also those that do not break.
const BLANKS: [char; 3] = [' ', '\u{A0}', '\u{202F}'];

/// How numbers are written: the decimal mark, and the mark between thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numerals {
    pub decimal: char,
    /// A blank stands for every kind of blank.
    pub thousands: Option<char>,
}

impl Numerals {
    pub const PLAIN: Numerals = Numerals { decimal: '.', thousands: None };

    /// The ways in which numbers are written, the simplest first.
    const ALL: [Numerals; 8] = [
        Numerals::PLAIN,
        Numerals { decimal: ',', thousands: None },
        Numerals { decimal: '.', thousands: Some(',') },
        Numerals { decimal: ',', thousands: Some('.') },
        Numerals { decimal: '.', thousands: Some(' ') },
        Numerals { decimal: ',', thousands: Some(' ') },
        Numerals { decimal: '.', thousands: Some('\'') },
        Numerals { decimal: ',', thousands: Some('\'') },
    ];

    /// The way that reads most of `cells`, of those with the marks that are given; and another that reads as many, but to other
    /// numbers. Of several ways the simplest is taken; where commas separate fields, a comma in quotes is rather between
    /// thousands than a decimal mark.
    pub fn of<'a>(
        cells: impl Iterator<Item = &'a str> + Clone,
        [decimal, thousands]: [Option<char>; 2],
        delimiter: u8,
    ) -> (Numerals, Option<Numerals>) {
        let allowed = |n: &&Numerals| {
            decimal.is_none_or(|d| d == n.decimal)
                && thousands.is_none_or(|t| Some(t) == n.thousands)
        };
        let mut ways: Vec<(Numerals, usize)> =
            Numerals::ALL.iter().filter(allowed).map(|&n| (n, 0)).collect();
        if delimiter == b',' {
            ways.sort_by_key(|(n, _)| *n == Numerals { decimal: ',', thousands: None });
        }
        let cells = cells.filter(|cell| marked(cell));
        for cell in cells.clone() {
            for (way, count) in &mut ways {
                *count += usize::from(way.parse(cell).is_some());
            }
        }
        let most = ways.iter().map(|(_, count)| *count).max().unwrap_or(0);
        ways.retain(|(_, count)| *count == most);
        let first = ways.first().map_or(Numerals::PLAIN, |(way, _)| *way);
        // A point is a decimal mark nearly everywhere but in files of spreadsheets.
        let doubtful = delimiter == b';' || first != Numerals::PLAIN;
        let differs = |way: &Numerals| cells.clone().any(|c| way.parse(c) != first.parse(c));
        let other = ways.iter().map(|(way, _)| *way).find(|way| doubtful && differs(way));
        (first, other)
    }

    /// The number that a cell is, infinite where it is too large; `None` for other text.
    pub fn parse(self, cell: &str) -> Option<f64> {
        if self == Numerals::PLAIN {
            return cell.parse().ok();
        }
        let blank = |c: char| if BLANKS.contains(&c) { ' ' } else { c };
        let (whole, rest) = match cell.find([self.decimal, 'e', 'E']) {
            Some(at) => cell.split_at(at),
            None => (cell, ""),
        };
        let mut plain = String::with_capacity(cell.len());
        let digits = whole.trim_start_matches(['+', '-']);
        let groups: Vec<&str> = match self.thousands {
            Some(mark) => digits.split(|c| blank(c) == mark).collect(),
            None => vec![digits],
        };
        let well = |(at, group): (usize, &&str)| match at {
            0 => (1..=3).contains(&group.len()) && *group != "0",
            _ => group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()),
        };
        if groups.len() > 1 && !groups.iter().enumerate().all(well) {
            return None;
        }
        if whole.contains('.') && self.thousands != Some('.') {
            return None;
        }
        plain.push_str(&whole[..whole.len() - digits.len()]);
        groups.iter().for_each(|group| plain.push_str(group));
        match rest.strip_prefix(self.decimal) {
            Some(decimals) if decimals.is_empty() || decimals.contains(['.', ',']) => return None,
            Some(decimals) => {
                plain.push('.');
                plain.push_str(decimals);
            }
            None => plain.push_str(rest),
        }
        plain.parse().ok()
    }

    /// A finite number.
    pub fn number(self, cell: &str) -> Result<f64, String> {
        let found = self.parse(cell);
        if let Some(v) = found.filter(|v| v.is_finite()) {
            return Ok(v);
        }
        let shown = short(cell);
        match found {
            Some(_) if cell.bytes().any(|b| b.is_ascii_digit()) => {
                Err(format!("'{shown}' is too large for a 64-bit float"))
            }
            Some(_) => {
                Err(format!("'{shown}' is not a finite number; a missing value is written NA"))
            }
            None => Err(format!("'{shown}' is not a number{}", self.advice(cell))),
        }
    }

    /// How a cell that is no number here might be one.
    fn advice(self, cell: &str) -> String {
        let others = Numerals::ALL.iter().filter(|n| n.parse(cell).is_some());
        let other = others.copied().next();
        match other {
            Some(Numerals { decimal, thousands: None }) if self.thousands.is_none() => {
                let name = |mark| if mark == '.' { "point" } else { "comma" };
                format!(
                    "; the decimal mark must be a {}, or say --decimal '{decimal}'",
                    name(self.decimal)
                )
            }
            Some(other) => format!("; it would be one with {}", other.options()),
            None if cell.contains('\u{2212}') => {
                "; its minus sign is the character U+2212: write '-'".into()
            }
            None => String::new(),
        }
    }

    /// The options that choose this.
    pub fn options(self) -> String {
        let decimal = format!("--decimal '{}'", self.decimal);
        match self.thousands {
            None => decimal,
            Some('\'') => format!("{decimal} --thousands \"'\""),
            Some(mark) => format!("{decimal} --thousands '{mark}'"),
        }
    }
}

/// Whether a cell has digits and marks alone, so that it matters which marks numbers have.
fn marked(cell: &str) -> bool {
    let sign = cell.trim_start_matches(['+', '-']);
    sign.starts_with(|c: char| c.is_ascii_digit() || c == ',' || c == '.')
        && sign.chars().any(|c| matches!(c, ',' | '.' | '\'') || BLANKS.contains(&c))
        && sign.chars().all(|c| {
            c.is_ascii_digit()
                || matches!(c, ',' | '.' | '\'' | 'e' | 'E' | '+' | '-')
                || BLANKS.contains(&c)
        })
}

/// Whether some way of writing numbers makes a number of the cell.
pub(crate) fn numeric(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
        || (marked(cell) && Numerals::ALL.iter().any(|n| n.parse(cell).is_some()))
}

/// A whole number that a 64-bit float holds exactly.
pub(crate) fn whole(cell: &str) -> Option<i64> {
    whole_number(cell.parse::<f64>().ok()?)
}

/// The whole number that a number is, where a 64-bit float holds it exactly.
pub(crate) fn whole_number(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < WHOLE).then_some(value as i64)
}

/// The words for a missing value that R, pandas, spreadsheets, SAS and the UCI repository write.
pub(crate) fn is_missing(cell: &str) -> bool {
    match cell.as_bytes().last() {
        None => true,
        // Most cells are numbers, and none of the words ends in a digit.
        Some(end) if end.is_ascii_digit() => false,
        Some(_) => matches!(
            cell,
            "NA" | "N/A"
                | "n/a"
                | "#N/A"
                | "#NA"
                | "<NA>"
                | "#N/A N/A"
                | "NaN"
                | "nan"
                | "-NaN"
                | "-nan"
                | "1.#IND"
                | "1.#QNAN"
                | "-1.#IND"
                | "-1.#QNAN"
                | "null"
                | "NULL"
                | "?"
                | "."
        ),
    }
}

/// Whether more than a tenth of the cells have letters or no digit; others are numbers with signs, dates or codes.
pub(crate) fn are_words<'a>(cells: impl Iterator<Item = &'a str>) -> bool {
    let (mut words, mut all) = (0, 0);
    for cell in cells {
        let is_word =
            cell.chars().any(char::is_alphabetic) || !cell.bytes().any(|b| b.is_ascii_digit());
        words += usize::from(is_word);
        all += 1;
    }
    10 * words > all
}

pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{word}{}", if count == 1 { "" } else { "s" })
}

/// Names for a message: the first 30.
pub(crate) fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(30).map(|name| short(name)).collect();
    if names.len() > 30 {
        format!("{}, … ({} in all)", shown.join(", "), names.len())
    } else {
        shown.join(", ")
    }
}

/// Text for a message: one line of at most 40 characters, in which invisible ones are written out, as `\u{feff}`.
pub(crate) fn short(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(40) {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cells: &[&str], delimiter: u8) -> (Numerals, bool) {
        let (way, other) = Numerals::of(cells.iter().copied(), [None, None], delimiter);
        (way, other.is_some())
    }

    #[test]
    fn marks_are_found_from_all_numbers_together() {
        let way = |decimal, thousands| Numerals { decimal, thousands };
        for (cells, delimiter, expected) in [
            (&["1.5", "2"][..], b',', way('.', None)),
            (&["0,4", "1034,74"], b';', way(',', None)),
            (&["0,4", "1.034,74"], b';', way(',', Some('.'))),
            (&["1,545", "795,810"], b',', way('.', Some(','))),
            (&["1,545.5", "2"], b';', way('.', Some(','))),
            (&["1 034,5", "0,2"], b';', way(',', Some(' '))),
            (&["1\u{202f}034,5", "1\u{a0}034"], b';', way(',', Some(' '))),
            (&["1'034.5"], b';', way('.', Some('\''))),
            (&["31.01.2024", "2,5"], b';', way(',', None)),
        ] {
            assert_eq!(found(cells, delimiter).0, expected, "{cells:?}");
        }
        // Whether these are thousands cannot be told.
        assert!(found(&["1,545", "2,355"], b',').1);
        assert!(found(&["1.545", "2.355"], b';').1);
        assert!(!found(&["1.545", "2.35"], b';').1);
        assert!(!found(&["0,545", "2,355"], b';').1);
    }

    #[test]
    fn only_whole_groups_are_thousands() {
        let german = Numerals { decimal: ',', thousands: Some('.') };
        for (cell, value) in
            [("1.034,74", 1034.74), ("-1.234.567", -1234567.0), ("12,5e-3", 0.0125), ("7", 7.0)]
        {
            assert_eq!(german.parse(cell), Some(value), "{cell}");
        }
        for cell in ["1.03", "1.0345,2", "0.123", "1,2,3", "1.5e3", "", "a", "1..234"] {
            assert_eq!(german.parse(cell), None, "{cell}");
        }
    }
}
