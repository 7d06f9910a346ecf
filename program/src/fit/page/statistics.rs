//! The section of statistics.

use super::html::{cells, escaped, table};
use crate::show::{Shown, Slope, Statistics};

/// The statistics by the Hessian as information matrix, or why there are none.
pub fn section(shown: &Shown) -> String {
    match &shown.statistics {
        Some(statistics) => tables(statistics),
        None => {
            let why =
                shown.missing.get("statistics").map_or("the report holds none", String::as_str);
            format!("<p class=\"absent\">Not shown: {}.</p>\n", escaped(why))
        }
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(v) if v != 0.0 && !(1e-3..1e6).contains(&v.abs()) => format!("{v:.3e}"),
        Some(v) => format!("{v:.4}"),
    }
}

fn probability(p: Option<f64>) -> String {
    match p {
        None => "–".into(),
        Some(p) if p < 1e-4 => "< 0.0001".into(),
        Some(p) => format!("{p:.4}"),
    }
}

fn tables(statistics: &Statistics) -> String {
    let mut out = String::new();
    if let Some(why) = &statistics.refused {
        out += &format!("<p class=\"absent\">No standard errors: {}.</p>\n", escaped(why));
    }
    let facts = statistics.facts.iter().filter(|(_, value)| value.is_some());
    out += &table(["", "value"], facts.map(|(name, value)| cells(name, [number(*value)])));
    if !statistics.slopes.is_empty() {
        let several = statistics.slopes.iter().any(|s| s.output != statistics.slopes[0].output);
        let name = |s: &Slope| {
            if several { format!("{}, {}", s.output, s.input) } else { s.input.clone() }
        };
        let rows = statistics
            .slopes
            .iter()
            .map(|s| cells(&name(s), [s.slope, s.std_error, s.lower, s.upper].map(number)));
        let head = ["input", "slope", "standard error", "lower 95 %", "upper 95 %"];
        out += &format!(
            "<h3>Average slopes, in the units of the data (covariance: {})</h3>\n{}",
            escaped(&statistics.covariance),
            table(head, rows)
        );
    }
    let tests: Vec<_> = statistics.tests.iter().filter(|(_, p)| p.is_some()).collect();
    if !tests.is_empty() {
        let rows = tests.into_iter().map(|(name, p)| cells(name, [probability(*p)]));
        out += &format!(
            "<h3>Wald tests that an input has no effect</h3>\n{}",
            table(["input", "p"], rows)
        );
    }
    if !statistics.warnings.is_empty() {
        let items = statistics.warnings.iter().map(|text| format!("<li>{}</li>\n", escaped(text)));
        out += &format!("<ul class=\"notes\">\n{}</ul>\n", items.collect::<String>());
    }
    out
}
