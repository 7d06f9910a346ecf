//! The axes of a figure.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::show::extent;

/// An axis.
#[derive(Clone)]
pub struct Scaling {
    pub name: String,
    pub range: Range<f64>,
    /// The distance of ticks.
    step: f64,
    pub ticks: Vec<f64>,
    /// Whether places are logarithms to base 10.
    log: bool,
    /// The names of the places 0, 1, …, where they have any.
    names: Vec<String>,
}

impl Scaling {
    fn new(name: &str, (low, high): (f64, f64), step: f64, margin: f64, log: bool) -> Self {
        let margin = margin * (high - low);
        let range = low - margin..high + margin;
        let (first, last) = ((range.start / step).ceil(), (range.end / step).floor());
        // A step is at least an eighth of the range. Adding 0 takes a sign from 0.
        let count = (last - first).clamp(0.0, 10.0) as usize;
        Scaling {
            name: name.into(),
            range,
            step,
            ticks: (0..=count).map(|k| (first + k as f64) * step + 0.0).collect(),
            log,
            names: Vec::new(),
        }
    }

    /// Even distances.
    pub fn linear(name: &str, values: impl Iterator<Item = f64>) -> Self {
        let ends = extent(values);
        Scaling::new(name, ends, step(ends), 0.04, false)
    }

    /// From 0, in whole numbers.
    pub fn counts(name: &str, values: impl Iterator<Item = usize>) -> Self {
        let ends = (0.0, values.max().unwrap_or(0).max(1) as f64);
        Scaling::new(name, ends, step(ends).max(1.0), 0.02, false)
    }

    /// Names at the places 0, 1, …; `reversed` from the top down.
    pub fn names(name: &str, names: &[String], reversed: bool) -> Self {
        let end = names.len() as f64 - 0.5;
        let range = if reversed { end..-0.5 } else { -0.5..end };
        // More would cover each other.
        let one_of = names.len().div_ceil(30).max(1);
        let ticks = (0..names.len()).step_by(one_of).map(|k| k as f64).collect();
        Scaling { name: name.into(), range, step: 1.0, ticks, log: false, names: names.to_vec() }
    }

    /// A range without a frame and ticks.
    pub fn bare(range: Range<f64>) -> Self {
        Scaling {
            name: String::new(),
            range,
            step: 1.0,
            ticks: Vec::new(),
            log: false,
            names: Vec::new(),
        }
    }

    /// Whole decades around logarithms.
    pub fn decades(name: &str, logarithms: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extent(logarithms);
        let ends = (low.floor(), high.ceil().max(low.floor() + 1.0));
        Scaling::new(name, ends, step(ends).max(1.0), 0.02, true)
    }
}

impl Ranged for Scaling {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        start + (part * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scaling {
    fn format_ext(&self, tick: &f64) -> String {
        let digits = |ratio: f64| ratio.log10().ceil().clamp(0.0, 15.0) as usize;
        let largest = self.range.start.abs().max(self.range.end.abs());
        if !self.names.is_empty() {
            self.names.get(tick.round() as usize).map_or(String::new(), |name| short(name, 10))
        } else if self.log {
            format!("1e{tick}")
        } else if *tick == 0.0 {
            "0".into()
        } else if self.step > 1e-4 && largest < 1e6 {
            format!("{tick:.*}", digits(0.999 / self.step))
        } else {
            format!("{tick:.*e}", digits(0.999 * tick.abs() / self.step))
        }
    }
}

/// 1, 2 or 5 times a power of ten, at most eight times within the range.
fn step((low, high): (f64, f64)) -> f64 {
    let least = (high - low) / 8.0;
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|m| m * power);
    steps.into_iter().find(|s| *s >= least).unwrap_or(10.0 * power)
}

/// A text of the data, short and without characters that XML has no place for.
pub fn short(text: &str, most: usize) -> String {
    let clean = |c: char| match c {
        '\u{FFFE}' | '\u{FFFF}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    if text.chars().count() <= most {
        return text.chars().map(clean).collect();
    }
    let kept = text.chars().take(most - 1);
    kept.map(clean).chain(['…']).collect()
}
