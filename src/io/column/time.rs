//! Dates and times as numbers.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// The forms that are looked for.
const FORMATS: [&str; 22] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%d %H:%M:%S%.f%:z",
    "%Y-%m-%dT%H:%M:%S%.f%:z",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d %b %Y",
    "%H:%M",
    "%H:%M:%S%.f",
];
const SECONDS: f64 = 86_400.0;

/// The forms of [`FORMATS`] that all cells have; none without a cell.
pub(crate) fn formats<'a, I: Iterator<Item = &'a str>>(cells: impl Fn() -> I) -> Vec<&'static str> {
    match cells().next() {
        // Most text is no date at its first cell.
        Some(first) if first.starts_with(|c: char| c.is_ascii_digit()) => (FORMATS.into_iter())
            .filter(|format| cells().all(|cell| number(cell, format).is_some()))
            .collect(),
        _ => Vec::new(),
    }
}

/// The form of [`FORMATS`] that nine of ten cells have but not all, and the index of the first other cell.
pub(crate) fn broken<'a, I: Iterator<Item = &'a str>>(
    cells: impl Fn() -> I,
) -> Option<(&'static str, usize)> {
    let all = cells().count();
    let of = |format: &str| cells().filter(|cell| number(cell, format).is_some()).count();
    let is_usual = |format: &&str| 10 * of(format) >= 9 * all;
    // Text that begins with a digit may be a date.
    let digit = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit());
    let format = (10 * cells().filter(|cell| digit(cell)).count() >= 9 * all)
        .then(|| FORMATS.into_iter().find(is_usual))
        .flatten()?;
    cells().position(|cell| number(cell, format).is_none()).map(|at| (format, at))
}

/// Days since 1970-01-01 for a date, with or without a time; hours since midnight for a time alone.
pub(crate) fn number(cell: &str, format: &str) -> Option<f64> {
    let seconds =
        |t: NaiveTime| f64::from(t.num_seconds_from_midnight()) + f64::from(t.nanosecond()) * 1e-9;
    let origin = DateTime::UNIX_EPOCH.naive_utc().date();
    let days = |at: NaiveDateTime| {
        at.date().signed_duration_since(origin).num_days() as f64 + seconds(at.time()) / SECONDS
    };
    if format.contains("%:z") || format.contains("%z") {
        return DateTime::parse_from_str(cell, format).ok().map(|at| days(at.naive_utc()));
    }
    let (date, time) = (format.contains("%d"), format.contains("%H"));
    match (date, time) {
        (true, true) => NaiveDateTime::parse_from_str(cell, format).ok().map(days),
        (true, false) => {
            let date = NaiveDate::parse_from_str(cell, format).ok()?;
            Some(days(date.and_time(NaiveTime::MIN)))
        }
        _ => NaiveTime::parse_from_str(cell, format).ok().map(|t| seconds(t) / 3600.0),
    }
}

/// The unit and the origin of such numbers.
pub(crate) fn unit(format: &str) -> &'static str {
    if format.contains("%d") { "days since 1970-01-01" } else { "hours since midnight" }
}
