//! Cells as numbers, and text for messages.

/// Whole numbers beyond this are not exact in a 64-bit float.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A decimal number that is finite.
pub(super) fn number(cell: &str) -> Result<f64, String> {
    let shown = short(cell);
    match cell.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        Ok(_) if cell.bytes().any(|b| b.is_ascii_digit()) => {
            Err(format!("'{shown}' is too large for a 64-bit float"))
        }
        Ok(_) => Err(format!("'{shown}' is not a finite number; a missing value is written NA")),
        Err(_) if cell.replacen(',', ".", 1).parse::<f64>().is_ok() => {
            Err(format!("'{shown}' is not a number; the decimal mark must be a point"))
        }
        Err(_) => Err(format!("'{shown}' is not a number")),
    }
}

/// A whole number that a 64-bit float holds exactly.
pub(super) fn whole(cell: &str) -> Option<i64> {
    let value = cell.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() < WHOLE).then_some(value as i64)
}

pub(super) fn is_missing(cell: &str) -> bool {
    matches!(cell, "" | "NA" | "null" | "NULL" | "?")
}

pub(super) fn plural(count: usize, word: &str) -> String {
    format!("{word}{}", if count == 1 { "" } else { "s" })
}

/// Names for a message: the first 30.
pub(super) fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(30).map(String::as_str).collect();
    if names.len() > 30 {
        format!("{}, … ({} in all)", shown.join(", "), names.len())
    } else {
        shown.join(", ")
    }
}

/// Text for a message: one line of at most 40 characters.
pub(super) fn short(text: &str) -> String {
    let mut out: String =
        text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out
}
