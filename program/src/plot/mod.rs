//! `--plot`: a figure of the convergence and, where there is one input, of the fit, as SVG or PNG.

mod axis;
mod marks;

use std::path::{Path, PathBuf};
use std::sync::Once;

use ndarray::{Array2, ArrayRef2, Axis};
use plotters::prelude::*;
use plotters::style::register_font;
use secondo::io::Model;
use secondo::{Error, Fit, Loss};

use crate::exit::Failure;
use crate::files::{self, Kind, PNG_MARK, SVG_MARK};
use crate::metrics::most_probable;
use crate::output::has_extension;
use crate::table::{Known, Rows, column};
use crate::training::{Stand, Trained};
use axis::{Scaling, extent};
use marks::{
    Area, CHOSEN, COLOURS, Drawn, FAMILY, FONT, GOAL, GREY, Mark, SCALE, WIDTH, chart, draw_line,
    draw_mark, head,
};

/// The height of the upper figure, the fit, and of the lower one.
const FIT_HEIGHT: i32 = 500;
const CONVERGENCE_HEIGHT: i32 = 400;
/// So many points are drawn of each part of the data.
const DRAWN: usize = 2000;
/// The curve of a model is drawn through so many points.
const CURVE: usize = 601;

/// Refuses a file whose extension names no format.
///
/// # Errors
/// A usage error that names the file.
pub fn check(paths: &[PathBuf]) -> Result<(), Failure> {
    let known = |path: &Path| has_extension(path, "svg") || has_extension(path, "png");
    match paths.iter().find(|path| !known(path)) {
        None => Ok(()),
        Some(path) => Err(Failure::usage(format!(
            "--plot {}: the extension must be .svg or .png",
            path.display()
        ))),
    }
}

/// Rows of data: the input, and for each output what is to be predicted, in the units of the data.
pub struct Points {
    title: &'static str,
    x: Vec<f64>,
    y: Array2<f64>,
}

impl Points {
    /// `y` is what the loss compares with the outputs, not standardised.
    pub fn new(title: &'static str, x: &ArrayRef2<f64>, y: Array2<f64>) -> Self {
        let x = x.iter().copied().collect();
        Points { title, x, y }
    }

    /// The rows of a table.
    ///
    /// # Errors
    /// As [`Rows::encoded`].
    pub fn of_table(title: &'static str, model: &Model, rows: &Rows) -> Result<Self, Failure> {
        let y = match &rows.target {
            Some(Known::Numbers(y)) => column(y),
            _ => rows.encoded(model)?,
        };
        Ok(Points::new(title, &rows.x, y))
    }
}

/// The model, if plots are asked for and can show its curve; where they cannot, a note says why.
pub fn curve(
    paths: &[PathBuf],
    model: Result<Model, Error>,
    notes: &mut Vec<String>,
) -> Option<Model> {
    if paths.is_empty() {
        return None;
    }
    let why = match model {
        Ok(model) if model.network.inputs() == 1 => return Some(model),
        Ok(model) => {
            format!("a curve of the fit needs one input, and there are {}", model.network.inputs())
        }
        Err(error) => error.to_string(),
    };
    notes.push(format!("the plot shows the convergence alone: {why}"));
    None
}

/// Writes the figure to every path, in the format of its extension: the convergence, and, if there is a `model`, its curve
/// with the data.
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    paths: &[PathBuf],
    trained: &Trained,
    model: Option<&Model>,
    points: impl FnOnce(&Model) -> Result<Vec<Points>, Failure>,
) -> Result<(), Failure> {
    if paths.is_empty() {
        return Ok(());
    }
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // Without it drawing fails, and says so.
        let _ = register_font(FAMILY, FontStyle::Normal, FONT);
    });
    let fitted = match model {
        None => None,
        Some(model) => {
            let points = points(model)?;
            Some((Curves::new(model, &points)?, points))
        }
    };
    let (best, fit) = trained.best()?;
    let figure = Figure { trained, best, fit, fitted };
    for path in paths {
        let bytes = figure.bytes(path).map_err(|reason| Error::Io {
            path: path.clone(),
            action: "draw",
            reason,
        })?;
        files::write(Kind::Plot, path, |out| out.write_all(&bytes))?;
    }
    Ok(())
}

/// A model over the range of its input.
struct Curves {
    input: String,
    output: String,
    /// One for each curve.
    names: Vec<String>,
    x: Vec<f64>,
    y: Array2<f64>,
    /// Whether the points of class c are a row below 0, as there is no number to draw them at.
    classes_below: bool,
}

impl Curves {
    fn new(model: &Model, points: &[Points]) -> Result<Self, Error> {
        let (low, high) = extent(points.iter().flat_map(|part| part.x.iter().copied()));
        let share = |i: usize| i as f64 / (CURVE - 1) as f64;
        let x: Vec<f64> = (0..CURVE).map(|i| low * (1.0 - share(i)) + high * share(i)).collect();
        let mut y = model.predict(&Array2::from_shape_fn((CURVE, 1), |(i, _)| x[i]))?;
        let target = model.targets.join(", ");
        let (output, names) = match (&model.loss, model.classes.as_slice()) {
            (Loss::BinaryCrossEntropy, [_, class]) => {
                y = y.select(Axis(1), &[1]);
                let output = format!("probability of {target} = {class}");
                (output, vec!["model".into()])
            }
            (_, []) if model.targets.len() == 1 => (target, vec!["model".into()]),
            (_, []) => (target, model.targets.clone()),
            (_, classes) => (format!("probability of each {target}"), classes.to_vec()),
        };
        Ok(Curves {
            input: model.features.join(", "),
            output,
            names,
            x,
            y,
            classes_below: matches!(model.loss, Loss::SoftmaxCrossEntropy),
        })
    }

    /// The colour of curve c, and that of its points: one curve is told from its points by its own.
    fn colours(&self, c: usize) -> (RGBColor, RGBColor) {
        match self.names.len() {
            1 => (COLOURS[1], COLOURS[0]),
            _ => (COLOURS[c % COLOURS.len()], COLOURS[c % COLOURS.len()]),
        }
    }

    /// Curve and place of the points of row i.
    fn places(&self, part: &Points, i: usize) -> Vec<(usize, f64)> {
        let row = part.y.row(i);
        if !self.classes_below {
            return row.iter().copied().enumerate().collect();
        }
        let class = most_probable(row.iter().copied());
        let distance = (0.4 / self.names.len() as f64).min(0.05);
        vec![(class, -distance * (class + 1) as f64)]
    }
}

struct Figure<'a> {
    trained: &'a Trained,
    best: usize,
    fit: &'a Fit,
    fitted: Option<(Curves, Vec<Points>)>,
}

impl Figure<'_> {
    /// The file, in the format of the path's extension.
    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        let shown = match self.fitted {
            Some(_) => (WIDTH, FIT_HEIGHT + CONVERGENCE_HEIGHT),
            None => (WIDTH, CONVERGENCE_HEIGHT),
        };
        let size = ((shown.0 * SCALE) as u32, (shown.1 * SCALE) as u32);
        if has_extension(path, "svg") {
            let mut text = String::new();
            let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
            self.draw(&root).map_err(|e| e.to_string())?;
            drop(root);
            // The view box stays; what is shown has its length.
            let drawn = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
            let shown = format!("width=\"{}\" height=\"{}\" {SVG_MARK}", shown.0, shown.1);
            return Ok(text.replacen(&drawn, &shown, 1).into_bytes());
        }
        let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
        let root = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        self.draw(&root).map_err(|e| e.to_string())?;
        drop(root);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
        encoder.set_color(png::ColorType::Rgb);
        (encoder.add_text_chunk(PNG_MARK.0.into(), PNG_MARK.1.into()))
            .and_then(|()| encoder.write_header())
            .and_then(|mut image| image.write_image_data(&pixels))
            .map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    fn draw<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B, ()> {
        root.fill(&WHITE)?;
        let mut area = root.clone();
        if let Some((curves, points)) = &self.fitted {
            let upper;
            (upper, area) = area.split_vertically(FIT_HEIGHT * SCALE);
            draw_fit(&upper, curves, points)?;
        }
        self.draw_convergence(&area)?;
        root.present()
    }

    /// Objective and gradient norm against steps.
    fn draw_convergence<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B, ()> {
        let starts = &self.trained.attempts;
        let mut name = "accepted steps".to_string();
        if starts.len() > 1 {
            name += &format!(" of the chosen start ({} of {})", self.best + 1, starts.len());
        }
        match starts[self.best].trace.one_of() {
            1 => {}
            one_of => name += &format!(", one of {one_of}"),
        }
        let mut legend = vec![(Mark::Steps, CHOSEN, name)];
        if starts.len() > 1 {
            legend.push((Mark::Line, GREY, "other starts".into()));
        }
        let goal = self.fit.gradient_goal;
        if goal > 0.0 {
            legend.push((Mark::Line, GOAL, "goal of the gradient".into()));
        }
        let title = format!("Convergence: {}", self.fit.method);
        let area = head(area, &title, &legend)?;

        let traces: Vec<Vec<Stand>> = (starts.iter()).map(|s| s.trace.all().collect()).collect();
        let all = || traces.iter().flatten();
        let lowest = all().map(|s| s.value).fold(f64::INFINITY, f64::min);
        let above = |s: &Stand| s.value - lowest;
        // Where nothing was gained, 0 is all that is above the lowest.
        let (name, height): (_, &dyn Fn(&Stand) -> f64) = if all().any(|s| above(s) > 0.0) {
            ("objective above its lowest", &above)
        } else {
            ("objective", &|s| s.value)
        };
        let (left, right) = area.split_horizontally(WIDTH * SCALE / 2);
        self.draw_steps(&left, &traces, name, height, None)?;
        let goal = Some(goal).filter(|goal| *goal > 0.0);
        self.draw_steps(&right, &traces, "largest gradient entry", &|s| s.gradient, goal)
    }

    /// One quantity against steps, on a logarithmic scale unless it is negative somewhere; what the scale has no place for is left out.
    fn draw_steps<B: DrawingBackend>(
        &self,
        area: &Area<B>,
        traces: &[Vec<Stand>],
        name: &str,
        of: &dyn Fn(&Stand) -> f64,
        goal: Option<f64>,
    ) -> Drawn<B, ()> {
        let all = || traces.iter().flatten();
        // The chosen start may have tried in vain after its last accepted step.
        let tried = self.fit.iterations + self.fit.rejected;
        let x = Scaling::counts("steps tried", all().map(|s| s.tried).chain([tried]));
        let log = all().any(|s| of(s) > 0.0) && !all().any(|s| of(s) < 0.0);
        let place = |v: f64| if log { v.log10() } else { v };
        let values = all().map(of).chain(goal).map(place);
        let y = if log { Scaling::decades(name, values) } else { Scaling::linear(name, values) };
        let mut chart = chart(area, &x, &y)?;
        if let Some(goal) = goal {
            let ends = [x.range.start, x.range.end].map(|x| (x, place(goal)));
            draw_line(&mut chart, GOAL, 1, ends.into_iter())?;
        }
        let at = |s: &Stand| (s.tried as f64, place(of(s)));
        for (_, trace) in (traces.iter().enumerate()).filter(|(i, _)| *i != self.best) {
            draw_line(&mut chart, GREY, 1, trace.iter().map(at))?;
        }
        draw_line(&mut chart, CHOSEN, 2, traces[self.best].iter().map(at))?;
        for at in traces[self.best].iter().map(at) {
            draw_mark(&mut chart, Mark::Dot, CHOSEN, at)?;
        }
        Ok(())
    }
}

/// Data and curves.
fn draw_fit<B: DrawingBackend>(area: &Area<B>, curves: &Curves, points: &[Points]) -> Drawn<B, ()> {
    let several = curves.names.len() > 1;
    let mut legend: Vec<_> = (curves.names.iter().enumerate())
        .map(|(c, name)| (Mark::Line, curves.colours(c).0, name.clone()))
        .collect();
    let mut dots = Vec::new();
    for (part, mark) in points.iter().zip([Mark::Dot, Mark::Ring]) {
        let one_of = part.x.len().div_ceil(DRAWN).max(1);
        for i in (0..part.x.len()).step_by(one_of) {
            for (c, y) in curves.places(part, i) {
                dots.push((mark, curves.colours(c).1, (part.x[i], y)));
            }
        }
        let title = match one_of {
            1 => part.title.to_string(),
            _ => format!("{}, one of {one_of}", part.title),
        };
        let colour = if several { BLACK } else { curves.colours(0).1 };
        if !part.x.is_empty() {
            legend.push((mark, colour, title));
        }
    }

    let title = format!("Fit: {} against {}", curves.output, curves.input);
    let area = head(area, &title, &legend)?;
    let x = Scaling::linear(&curves.input, curves.x.iter().copied());
    let ends = dots.iter().map(|(.., (_, y))| *y);
    let mut y = Scaling::linear(&curves.output, ends.chain(curves.y.iter().copied()));
    if curves.classes_below {
        y.ticks.retain(|tick| (0.0..=1.0).contains(tick));
    }
    let mut chart = chart(&area, &x, &y)?;
    for (mark, colour, at) in dots {
        draw_mark(&mut chart, mark, colour, at)?;
    }
    for (c, column) in curves.y.axis_iter(Axis(1)).enumerate() {
        let points = curves.x.iter().copied().zip(column.iter().copied());
        draw_line(&mut chart, curves.colours(c).0, 2, points)?;
    }
    Ok(())
}
