//! The figures of a fit.

mod matrices;
mod network;
mod rows;

use plotters::style::{BLACK, RGBColor};

use super::Facts;
use super::axis::Scaling;
use super::figure::{Figure, Panel};
use super::marks::{CHOSEN, COLOURS, GOAL, GREY, Mark};
use crate::show::{Course, Effect, Part, Shown};
pub use matrices::{confusion, hessian, spectrum};
pub use network::network;
pub use rows::{fit, residuals};

/// The height of a figure of the rows, of two panels, and of one row of several.
const ROWS: i32 = 500;
const PAIR: i32 = 400;
const SEVERAL: i32 = 300;
/// The effects of so many columns are drawn.
const EFFECTS: usize = 12;

fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// The name of the axis of a curve of the model, and the names of its curves.
fn of_outputs(shown: &Shown) -> (String, Vec<String>) {
    let target = shown.targets.join(", ");
    match shown.classes.as_slice() {
        [] if shown.targets.len() == 1 => (target, vec!["model".into()]),
        [] => (target, shown.targets.clone()),
        [_, class] => (format!("probability of {target} = {class}"), vec!["model".into()]),
        classes => (format!("probability of each {target}"), classes.to_vec()),
    }
}

/// The rows of a part in a legend.
fn of_rows(part: &Part) -> String {
    match part.one_of {
        1 => part.name.clone(),
        one_of => format!("{}, one of {one_of}", part.name),
    }
}

/// Objective and gradient norm against steps.
pub fn convergence(facts: &Facts) -> Option<Figure> {
    let history = &facts.shown.history;
    let chosen = history.get(facts.best)?;
    let mut name = "accepted steps".to_string();
    if history.len() > 1 {
        name += &format!(" of the chosen start ({} of {})", facts.best + 1, history.len());
    }
    if chosen.one_of > 1 {
        name += &format!(", one of {}", chosen.one_of);
    }
    let mut legend = vec![(Mark::Steps, CHOSEN, name)];
    if history.len() > 1 {
        legend.push((Mark::Line, GREY, "other starts".into()));
    }
    let goal = Some(facts.fit.gradient_goal).filter(|goal| *goal > 0.0);
    if goal.is_some() {
        legend.push((Mark::Line, GOAL, "goal of the gradient".into()));
    }
    let values = || history.iter().flat_map(|course| &course.value);
    let lowest = values().copied().fold(f64::INFINITY, f64::min);
    // Where nothing was gained, 0 is all that is above the lowest.
    let (name, base) = if values().any(|v| *v > lowest) {
        ("objective above its lowest", lowest)
    } else {
        ("objective", 0.0)
    };
    let value = |course: &Course| course.value.iter().map(|v| v - base).collect();
    let gradient = |course: &Course| course.gradient.clone();
    let panels = vec![
        steps(facts, name, &value, None),
        steps(facts, "largest gradient entry", &gradient, goal),
    ];
    let title = format!("Convergence: {}", facts.fit.method);
    Some(Figure { title, legend, panels, height: PAIR })
}

/// One quantity against steps, on a logarithmic scale unless it is negative somewhere; what the scale has no place for is left out.
fn steps(facts: &Facts, name: &str, of: &dyn Fn(&Course) -> Vec<f64>, goal: Option<f64>) -> Panel {
    let history = &facts.shown.history;
    let all: Vec<Vec<f64>> = history.iter().map(of).collect();
    // The chosen start may have tried in vain after its last accepted step.
    let tried = facts.fit.iterations + facts.fit.rejected;
    let counts = history.iter().flat_map(|course| &course.tried).copied();
    let x = Scaling::counts("steps tried", counts.chain([tried]));
    let numbers = || all.iter().flatten().copied();
    let log = numbers().any(|v| v > 0.0) && !numbers().any(|v| v < 0.0);
    let place = |v: f64| if log { v.log10() } else { v };
    let values = numbers().chain(goal).map(place);
    let y = if log { Scaling::decades(name, values) } else { Scaling::linear(name, values) };
    let ends = [x.range.start, x.range.end];
    let mut panel = Panel::new(x, y);
    if let Some(goal) = goal {
        panel.line(GOAL, 1, ends.map(|x| (x, place(goal))).into());
    }
    let points = |index: usize| -> Vec<(f64, f64)> {
        let tried = history[index].tried.iter().map(|tried| *tried as f64);
        tried.zip(all[index].iter().map(|v| place(*v))).collect()
    };
    for index in (0..history.len()).filter(|index| *index != facts.best) {
        panel.line(GREY, 1, points(index));
    }
    panel.line(CHOSEN, 2, points(facts.best));
    panel.marks(Mark::Dot, CHOSEN, points(facts.best));
    panel
}

/// Partial dependence, a panel for each column, all with one vertical axis.
pub fn effects(shown: &Shown) -> Option<Figure> {
    if shown.effects.is_empty() {
        return None;
    }
    let (output, names) = of_outputs(shown);
    let drawn = &shown.effects[..shown.effects.len().min(EFFECTS)];
    let all = drawn.iter().flat_map(|effect| effect.response.iter().flatten().copied());
    let y = Scaling::linear(&output, all);
    let curves = |effect: &Effect| {
        let x = match effect.levels.as_slice() {
            [] => Scaling::linear(&effect.column, effect.at.iter().copied()),
            levels => Scaling::names(&effect.column, levels, false),
        };
        let mut panel = Panel::new(x, y.clone());
        for (c, response) in effect.response.iter().enumerate() {
            let points: Vec<_> = effect.at.iter().copied().zip(response.iter().copied()).collect();
            if effect.levels.is_empty() && effect.at.len() > 2 {
                panel.line(colour(c), 2, points);
            } else {
                panel.marks(Mark::Dot, colour(c), points);
            }
        }
        panel
    };
    let panels: Vec<Panel> = drawn.iter().map(curves).collect();
    let mut title = format!("Effects: mean of {output} with one column varied");
    if drawn.len() < shown.effects.len() {
        title += &format!(", {} of {}", drawn.len(), shown.effects.len());
    }
    let legend = match names.len() {
        1 => Vec::new(),
        _ => names.into_iter().enumerate().map(|(c, n)| (Mark::Line, colour(c), n)).collect(),
    };
    let height = match panels.len() {
        1 => ROWS,
        count => 60 + SEVERAL * count.div_ceil(2) as i32,
    };
    Some(Figure { title, legend, panels, height })
}

/// Black or white, whichever can be read on this colour.
fn readable(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let light = 0.3 * f64::from(r) + 0.59 * f64::from(g) + 0.11 * f64::from(b);
    if light > 140.0 { BLACK } else { RGBColor(255, 255, 255) }
}

/// White for 0, the colour for 1.
fn shade(RGBColor(r, g, b): RGBColor, share: f64) -> RGBColor {
    let mix = |c: u8| (255.0 + (f64::from(c) - 255.0) * share.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mix(r), mix(g), mix(b))
}
