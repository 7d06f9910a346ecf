//! Figures of matrices: confusion, the Hessian and its eigenvalues.

use plotters::style::text_anchor::HPos;

use super::super::Facts;
use super::super::axis::Scaling;
use super::super::figure::{Figure, Panel};
use super::super::marks::{CHOSEN, GOAL, GREY, Mark};
use super::{PAIR, ROWS, readable, shade};
use crate::metrics::Metrics;
use crate::show::Shown;

/// Cells of more classes have no number.
const NUMBERED: usize = 15;
/// The picture of the Hessian spans so many decades.
const DECADES: f64 = 6.0;

/// How many rows of each class are predicted as each, a panel for each part of the data.
pub fn confusion(facts: &Facts) -> Option<Figure> {
    let mut panels = Vec::new();
    for (part, metrics) in [("training rows", facts.train), ("test rows", facts.test)] {
        let Some(Metrics::Classification { classes, .. }) = metrics else {
            continue;
        };
        if classes.is_empty() {
            continue;
        }
        let names: Vec<String> = classes.iter().map(|class| class.class.clone()).collect();
        let x = Scaling::names("predicted", &names, false);
        let mut panel = Panel::new(x, Scaling::names("true", &names, true)).titled(part);
        for (a, class) in classes.iter().enumerate() {
            let total: f64 = class.predicted_as.iter().sum();
            for (b, &count) in class.predicted_as.iter().enumerate().filter(|(_, c)| **c > 0.0) {
                let (x, y) = (b as f64, a as f64);
                let ink = shade(if a == b { CHOSEN } else { GOAL }, 0.15 + 0.85 * count / total);
                panel.bar(ink, [(x - 0.48, y - 0.48), (x + 0.48, y + 0.48)]);
                if classes.len() <= NUMBERED {
                    let text = format!("{}", (count * 100.0).round() / 100.0);
                    panel.text(text, readable(ink), (x, y), HPos::Center);
                }
            }
        }
        panels.push(panel);
    }
    let height = if panels.len() == 1 { ROWS } else { PAIR };
    let title = "Confusion: true classes against predicted ones".into();
    (!panels.is_empty()).then_some(Figure { title, legend: Vec::new(), panels, height })
}

/// The sizes of the eigenvalues, the largest first.
pub fn spectrum(shown: &Shown) -> Option<Figure> {
    let spectrum = shown.spectrum.as_ref()?;
    let weight = |k: usize| spectrum.weights.get(k).copied().unwrap_or(1.0);
    let mut sorted: Vec<(f64, f64)> =
        spectrum.eigenvalues.iter().enumerate().map(|(k, v)| (*v, weight(k))).collect();
    sorted.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    let mut rank = 0.0;
    let places: Vec<(f64, f64)> = (sorted.iter())
        .map(|(value, weight)| {
            rank += weight;
            (rank, *value)
        })
        .collect();
    let x = Scaling::counts("rank", [rank.round() as usize].into_iter());
    // Smaller entries are rounding.
    let least = sorted.first().map_or(0.0, |(v, _)| v.abs() * 1e-18);
    let logarithms = places.iter().filter(|(_, v)| v.abs() > least).map(|(_, v)| v.abs().log10());
    let mut panel = Panel::new(x, Scaling::decades("size of the eigenvalue", logarithms));
    let of_sign = |negative: bool| {
        let kept = places.iter().filter(|(_, v)| v.abs() > least && (*v < 0.0) == negative);
        kept.map(|(rank, v)| (*rank, v.abs().log10())).collect::<Vec<_>>()
    };
    let (positive, negative) = (of_sign(false), of_sign(true));
    let mut legend = vec![(Mark::Dot, CHOSEN, format!("{} positive", positive.len()))];
    if !negative.is_empty() {
        legend.push((Mark::Ring, GOAL, format!("{} negative", negative.len())));
    }
    let title = match spectrum.weights.as_slice() {
        [] => {
            let zero = places.len() - positive.len() - negative.len();
            if zero > 0 {
                legend.push((Mark::Dot, GREY, format!("{zero} zero, not shown")));
            }
            "Spectrum: the eigenvalues of the exact Hessian"
        }
        _ => {
            legend[0].2 = "nodes of the density, positive".into();
            legend.iter_mut().skip(1).for_each(|entry| entry.2 = "negative".into());
            "Spectrum: density of the eigenvalues of the exact Hessian (Lanczos)"
        }
    };
    panel.marks(Mark::Dot, CHOSEN, positive);
    panel.marks(Mark::Ring, GOAL, negative);
    Some(Figure { title: title.into(), legend, panels: vec![panel], height: PAIR })
}

/// The entries of the Hessian by their size.
pub fn hessian(shown: &Shown) -> Option<Figure> {
    let picture = shown.hessian.as_ref()?;
    let cells = picture.order.div_ceil(picture.side.max(1)).max(1);
    let largest = picture.cells.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let end = (cells * picture.side) as f64;
    let axis = |reversed: bool| {
        let mut axis = Scaling::counts("parameter", [picture.order].into_iter());
        axis.range = if reversed { end..0.0 } else { 0.0..end };
        axis.ticks.retain(|tick| (0.0..=end).contains(tick));
        axis
    };
    let mut panel = Panel::new(axis(false), axis(true));
    let side = picture.side as f64;
    for (at, v) in picture.cells.iter().enumerate() {
        let share = 1.0 + (v.abs() / largest).log10() / DECADES;
        if share > 0.02 {
            let (x, y) = ((at % cells) as f64 * side, (at / cells) as f64 * side);
            let ink = shade(if *v > 0.0 { CHOSEN } else { GOAL }, share);
            panel.bar(ink, [(x, y), (x + side, y + side)]);
        }
    }
    for &start in picture.layers.iter().skip(1) {
        let at = start as f64;
        panel.line(GREY, 1, vec![(at, 0.0), (at, end)]);
        panel.line(GREY, 1, vec![(0.0, at), (end, at)]);
    }
    let title = format!("Hessian: its entries by size, down to 1e-{DECADES} of the largest");
    let legend = vec![
        (Mark::Dot, CHOSEN, "positive".into()),
        (Mark::Dot, GOAL, "negative".into()),
        (Mark::Line, GREY, "between layers".into()),
    ];
    Some(Figure { title, legend, panels: vec![panel], height: ROWS })
}
