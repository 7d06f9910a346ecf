//! Dots on a logarithmic axis, as SVG.
//!
//! A PNG would need a rasterizer and a font file that cannot be taken for granted; an SVG is a page of text that every browser
//! draws with its own fonts.

use std::fmt::Write;

/// Colours that the colour-blind can tell apart (Okabe and Ito).
const COLOURS: [&str; 7] =
    ["#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#000000"];
const LEFT: f64 = 230.0;
const WIDTH: f64 = 520.0;
const STEP: f64 = 30.0;

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = (words.replace('&', "&amp;").replace('<', "&lt;")).replace('>', "&gt;");
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

fn dot(out: &mut String, x: f64, y: f64, series: usize) {
    let colour = COLOURS[series % COLOURS.len()];
    let _ = writeln!(
        out,
        r#"<circle cx="{x:.1}" cy="{y:.1}" r="6" fill="{colour}" fill-opacity="0.8"/>"#
    );
}

/// One line for each of `rows`, with a dot for each pair of a series (its number in `series`) and a positive value.
pub fn dots(
    title: &str,
    axis: &str,
    series: &[String],
    rows: &[(String, Vec<(usize, f64)>)],
) -> String {
    let values = || rows.iter().flat_map(|(_, dots)| dots.iter().map(|d| d.1));
    let low = values().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    if !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    let at = |value: f64| LEFT + WIDTH * (value.log10() - low) / (high - low);
    let top = 50.0 + 20.0 * series.len() as f64;
    let bottom = top + STEP * rows.len() as f64;
    let (width, height) = (LEFT + WIDTH + 40.0, bottom + 60.0);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut out, LEFT, 25.0, "start", title);
    for (i, name) in series.iter().enumerate() {
        let y = 48.0 + 20.0 * i as f64;
        dot(&mut out, LEFT + 6.0, y - 4.0, i);
        text(&mut out, LEFT + 20.0, y, "start", name);
    }
    for decade in low as i32..=high as i32 {
        let x = at(10f64.powi(decade));
        let _ = writeln!(out, r##"<path d="M{x:.1} {top}V{bottom}" stroke="#bbb"/>"##);
        text(&mut out, x, bottom + 20.0, "middle", &10f64.powi(decade).to_string());
    }
    text(&mut out, LEFT + WIDTH / 2.0, bottom + 45.0, "middle", axis);
    for (i, (name, dots)) in rows.iter().enumerate() {
        let y = top + STEP * (i as f64 + 0.5);
        text(&mut out, LEFT - 15.0, y + 4.0, "end", name);
        let _ = writeln!(out, r##"<path d="M{LEFT} {y}H{}" stroke="#eee"/>"##, LEFT + WIDTH);
        for &(series, value) in dots {
            dot(&mut out, at(value), y, series);
        }
    }
    out + "</svg>\n"
}
