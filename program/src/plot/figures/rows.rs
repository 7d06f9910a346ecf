//! Figures of the rows and their predictions.

use plotters::style::BLACK;

use super::super::axis::Scaling;
use super::super::figure::{Figure, Legend, Panel};
use super::super::marks::{COLOURS, GREY, Mark};
use super::{PAIR, ROWS, colour, of_outputs, of_rows};
use crate::show::{Curve, Part, Shown, extent};

/// Those that are told from each other by it.
const MARKS: [Mark; 3] = [Mark::Dot, Mark::Ring, Mark::Ring];
/// The bars of a histogram.
const BARS: usize = 20;

/// The model over its input, or predictions against what was observed, or what probability the right class has.
pub fn fit(shown: &Shown) -> Option<Figure> {
    match &shown.curve {
        _ if shown.parts.is_empty() => None,
        Some(curve) => Some(over_input(shown, curve)),
        None if shown.classes.is_empty() => Some(against_observed(shown)),
        None => Some(of_right_class(shown)),
    }
}

/// Data and curves.
fn over_input(shown: &Shown, curve: &Curve) -> Figure {
    let (output, names) = of_outputs(shown);
    let several = names.len() > 1;
    // One curve is told from its points by its own colour.
    let colours =
        |c: usize| if several { (colour(c), colour(c)) } else { (COLOURS[1], COLOURS[0]) };
    // Of several classes the points of class c are a row below 0, as there is no number to draw them at.
    let below = shown.classes.len() > 2;
    let mut legend: Legend =
        names.iter().enumerate().map(|(c, n)| (Mark::Line, colours(c).0, n.clone())).collect();
    let mut dots = Vec::new();
    for (part, mark) in shown.parts.iter().zip(MARKS) {
        for (i, &x) in part.x.iter().enumerate() {
            for (o, actual) in part.actual.iter().enumerate() {
                let (c, y) = if below {
                    let class = actual[i] as usize;
                    let distance = (0.4 / names.len() as f64).min(0.05);
                    (class, -distance * (class as f64 + 1.0))
                } else {
                    (o, actual[i])
                };
                dots.push((mark, colours(c).1, (x, y)));
            }
        }
        legend.push((mark, if several { BLACK } else { colours(0).1 }, of_rows(part)));
    }
    let input = shown.inputs.join(", ");
    let x = Scaling::linear(&input, curve.x.iter().copied());
    let ends = dots.iter().map(|(.., (_, y))| *y);
    let mut y = Scaling::linear(&output, ends.chain(curve.y.iter().flatten().copied()));
    if below {
        y.ticks.retain(|tick| (0.0..=1.0).contains(tick));
    }
    let mut panel = Panel::new(x, y);
    for (mark, colour, at) in dots {
        panel.marks(mark, colour, vec![at]);
    }
    for (c, y) in curve.y.iter().enumerate() {
        panel.line(colours(c).0, 2, curve.x.iter().copied().zip(y.iter().copied()).collect());
    }
    let title = format!("Fit: {output} against {input}");
    Figure { title, legend, panels: vec![panel], height: ROWS }
}

fn legend(shown: &Shown) -> Legend {
    let parts = shown.parts.iter().zip(MARKS).enumerate();
    parts.map(|(c, (part, mark))| (mark, colour(c), of_rows(part))).collect()
}

/// Predictions against what was observed, a panel for each target.
fn against_observed(shown: &Shown) -> Figure {
    let panel = |(o, target): (usize, &String)| {
        let values = |part: &Part| [part.actual[o].clone(), part.predicted[o].clone()].concat();
        let all: Vec<f64> = shown.parts.iter().flat_map(values).collect();
        let axis = |name: &str| Scaling::linear(&format!("{target}, {name}"), all.iter().copied());
        let mut panel = Panel::new(axis("observed"), axis("predicted"));
        let (low, high) = extent(all.iter().copied());
        panel.line(GREY, 1, vec![(low, low), (high, high)]);
        for (c, (part, mark)) in shown.parts.iter().zip(MARKS).enumerate() {
            let points = part.actual[o].iter().copied().zip(part.predicted[o].iter().copied());
            panel.marks(mark, colour(c), points.collect());
        }
        panel
    };
    let panels: Vec<Panel> = shown.targets.iter().enumerate().map(panel).collect();
    let mut legend = legend(shown);
    legend.push((Mark::Line, GREY, "predicted as observed".into()));
    let height = ROWS * panels.len().div_ceil(2) as i32;
    Figure { title: "Fit: predicted against observed".into(), legend, panels, height }
}

/// The probability that each row's own class has, class by class.
fn of_right_class(shown: &Shown) -> Figure {
    let x = Scaling::linear("probability of the row's own class", [0.0, 1.0].into_iter());
    let y = Scaling::names(&shown.targets.join(", "), &shown.classes, true);
    let mut panel = Panel::new(x, y);
    for (c, (part, mark)) in shown.parts.iter().zip(MARKS).enumerate() {
        let actual = part.actual.first().into_iter().flatten();
        let point = |(i, class): (usize, &f64)| {
            let p = part.predicted.get(*class as usize)?.get(i)?;
            // Spread over the height of the class, evenly and always the same way.
            let share = (i as f64 * 0.618_033_988_749_895).fract();
            Some((*p, class - 0.35 + 0.7 * share))
        };
        panel.marks(mark, colour(c), actual.enumerate().filter_map(point).collect());
    }
    let title = "Fit: what probability the right class has".into();
    Figure { title, legend: legend(shown), panels: vec![panel], height: ROWS }
}

/// Residuals against predictions, and how they are distributed.
pub fn residuals(shown: &Shown) -> Option<Figure> {
    if !shown.classes.is_empty() || shown.parts.is_empty() {
        return None;
    }
    let mut panels = Vec::new();
    for (o, target) in shown.targets.iter().enumerate() {
        let residuals: Vec<Vec<f64>> = (shown.parts.iter())
            .map(|part| part.actual[o].iter().zip(&part.predicted[o]).map(|(y, f)| y - f).collect())
            .collect();
        let all = || residuals.iter().flatten().copied();
        let predicted = shown.parts.iter().flat_map(|part| part.predicted[o].iter().copied());
        let name = format!("{target}, observed − predicted");
        let x = Scaling::linear(&format!("{target}, predicted"), predicted);
        let ends = [x.range.start, x.range.end];
        let mut panel = Panel::new(x, Scaling::linear(&name, all().chain([0.0])));
        panel.line(GREY, 1, ends.map(|x| (x, 0.0)).into());
        for (c, (part, mark)) in shown.parts.iter().zip(MARKS).enumerate() {
            let points = part.predicted[o].iter().copied().zip(residuals[c].iter().copied());
            panel.marks(mark, colour(c), points.collect());
        }
        panels.push(panel);
        panels.push(histogram(&name, &residuals));
    }
    let height = PAIR * panels.len().div_ceil(2) as i32;
    let title = "Residuals: against predictions, and their distribution".into();
    Some(Figure { title, legend: legend(shown), panels, height })
}

/// The share of each part's rows in intervals of equal length.
fn histogram(name: &str, values: &[Vec<f64>]) -> Panel {
    let (low, high) = extent(values.iter().flatten().copied());
    let width = (high - low) / BARS as f64;
    let shares = |values: &Vec<f64>| {
        let mut counts = [0.0; BARS];
        for v in values.iter().filter(|v| v.is_finite()) {
            counts[(((v - low) / width) as usize).min(BARS - 1)] += 1.0 / values.len() as f64;
        }
        counts
    };
    let all: Vec<[f64; BARS]> = values.iter().map(shares).collect();
    let x = Scaling::linear(name, [low, high].into_iter());
    let top = all.iter().flatten().copied();
    let mut panel = Panel::new(x, Scaling::linear("share of the rows", top.chain([0.0])));
    let end = |k: usize| low + width * k as f64;
    for (c, shares) in all.iter().enumerate() {
        if c == 0 {
            for (k, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                panel.bar(colour(c), [(end(k), 0.0), (end(k + 1), *share)]);
            }
            continue;
        }
        // The outline of the other parts.
        let outline = shares.iter().enumerate().flat_map(|(k, v)| [(end(k), *v), (end(k + 1), *v)]);
        panel.line(colour(c), 2, outline.collect());
    }
    panel
}
