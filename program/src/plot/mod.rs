//! `--plot`: a figure of the convergence and, where there is one input, of the fit, as SVG or PNG.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Once;

use ndarray::{Array2, Axis};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use secondo::io::{Model, write_file};
use secondo::{Error, Fit, Loss};

use crate::exit::Failure;
use crate::metrics::most_probable;
use crate::output::has_extension;
use crate::table::{Known, Rows, column};
use crate::training::{Stand, Trained};

/// Pixels for each unit of length: the backends round to pixels, so a figure has two for each that it is meant to show.
const SCALE: i32 = 2;
const WIDTH: i32 = 960;
const FIT_HEIGHT: i32 = 500;
const CONVERGENCE_HEIGHT: i32 = 400;
/// So many points are drawn of each part of the data, and of each start.
const DRAWN: usize = 2000;
/// The curve of a model is drawn through so many points.
const CURVE: usize = 601;

/// Colours that the colour-blind can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const GREY: RGBColor = RGBColor(150, 150, 150);
const CHOSEN: RGBColor = COLOURS[0];
const GOAL: RGBColor = COLOURS[1];

/// The texts of a PNG are drawn with this font, and those of an SVG measured.
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
const FAMILY: &str = "sans-serif";

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
    pub fn new(title: &'static str, x: &Array2<f64>, y: Array2<f64>) -> Self {
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
        Ok(model) => format!(
            "a curve of the fit needs one input, and there are {}",
            model.network.inputs()
        ),
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
    let figure = Figure {
        trained,
        best,
        fit,
        fitted,
    };
    for path in paths {
        let bytes = figure.bytes(path).map_err(|reason| Error::Io {
            path: path.clone(),
            action: "draw",
            reason,
        })?;
        write_file(path, |out| out.write_all(&bytes))?;
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
        let x: Vec<f64> = (0..CURVE)
            .map(|i| low * (1.0 - share(i)) + high * share(i))
            .collect();
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
        match self.classes_below {
            true => {
                let class = most_probable(row.iter().copied());
                let distance = (0.4 / self.names.len() as f64).min(0.05);
                vec![(class, -distance * (class + 1) as f64)]
            }
            false => row.iter().copied().enumerate().collect(),
        }
    }
}

/// How something is shown.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Line,
    Dot,
    Ring,
    /// A line with dots.
    Steps,
}

struct Figure<'a> {
    trained: &'a Trained,
    best: usize,
    fit: &'a Fit,
    fitted: Option<(Curves, Vec<Points>)>,
}

type Area<B> = DrawingArea<B, Shift>;
type Drawn<B, T> = Result<T, DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;
type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Scaling, Scaling>>;

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
            let shown = format!("width=\"{}\" height=\"{}\"", shown.0, shown.1);
            return Ok(text.replacen(&drawn, &shown, 1).into_bytes());
        }
        let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
        let root = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        self.draw(&root).map_err(|e| e.to_string())?;
        drop(root);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
        encoder.set_color(png::ColorType::Rgb);
        (encoder.write_header())
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
            name += &format!(
                " of the chosen start ({} of {})",
                self.best + 1,
                starts.len()
            );
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
        let (name, height): (_, &dyn Fn(&Stand) -> f64) = match all().any(|s| above(s) > 0.0) {
            true => ("objective above its lowest", &above),
            false => ("objective", &|s| s.value),
        };
        let (left, right) = area.split_horizontally(WIDTH * SCALE / 2);
        self.draw_steps(&left, &traces, name, height, None)?;
        let goal = Some(goal).filter(|goal| *goal > 0.0);
        self.draw_steps(
            &right,
            &traces,
            "largest gradient entry",
            &|s| s.gradient,
            goal,
        )
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
        let y = match log {
            true => Scaling::decades(name, values),
            false => Scaling::linear(name, values),
        };
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

/// Whether a figure has a place for the number. (Of two that are larger the difference could overflow.)
fn can_be_drawn(v: f64) -> bool {
    v.abs() < 1e300
}

/// The smallest and the largest of the numbers that can be drawn; some range where they are one, or none.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = (values.filter(|v| can_be_drawn(*v)))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
            (a.min(v), b.max(v))
        });
    let size = low.abs().max(high.abs());
    match high - low {
        _ if low > high => (0.0, 1.0),
        width if width > 1e-9 * size && width > 1e-290 => (low, high),
        _ if size > 1e-290 => (low - 0.1 * size, high + 0.1 * size),
        _ => (-1.0, 1.0),
    }
}

/// An axis.
#[derive(Clone)]
struct Scaling {
    name: String,
    range: Range<f64>,
    /// The distance of ticks.
    step: f64,
    ticks: Vec<f64>,
    /// Whether places are logarithms to base 10.
    log: bool,
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
            ticks: (0..=count)
                .map(|k| (first + k as f64) * step + 0.0)
                .collect(),
            log,
        }
    }

    fn linear(name: &str, values: impl Iterator<Item = f64>) -> Self {
        let ends = extent(values);
        Scaling::new(name, ends, step(ends), 0.04, false)
    }

    /// From 0, in whole numbers.
    fn counts(name: &str, values: impl Iterator<Item = usize>) -> Self {
        let ends = (0.0, values.max().unwrap_or(0).max(1) as f64);
        Scaling::new(name, ends, step(ends).max(1.0), 0.02, false)
    }

    /// Whole decades around logarithms.
    fn decades(name: &str, logarithms: impl Iterator<Item = f64>) -> Self {
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
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scaling {
    fn format_ext(&self, tick: &f64) -> String {
        let digits = |ratio: f64| ratio.log10().ceil().clamp(0.0, 15.0) as usize;
        let largest = self.range.start.abs().max(self.range.end.abs());
        match self.log {
            true => format!("1e{tick}"),
            false if *tick == 0.0 => "0".into(),
            false if self.step > 1e-4 && largest < 1e6 => {
                format!("{tick:.*}", digits(0.999 / self.step))
            }
            false => format!("{tick:.*e}", digits(0.999 * tick.abs() / self.step)),
        }
    }
}

/// 1, 2 or 5 times a power of ten, at most eight times within the range.
fn step((low, high): (f64, f64)) -> f64 {
    let least = (high - low) / 8.0;
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|m| m * power);
    steps
        .into_iter()
        .find(|s| *s >= least)
        .unwrap_or(10.0 * power)
}

/// A text of the data, short and without characters that XML has no place for.
fn short(text: &str, most: usize) -> String {
    let clean = |c: char| match c {
        '\u{FFFE}' | '\u{FFFF}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    match text.chars().count() > most {
        true => text
            .chars()
            .take(most - 1)
            .map(clean)
            .chain(['…'])
            .collect(),
        false => text.chars().map(clean).collect(),
    }
}

fn font(size: i32) -> TextStyle<'static> {
    (FAMILY, size * SCALE).into_font().color(&BLACK)
}

/// Writes the title and the legend, and returns what is left of the area.
fn head<B: DrawingBackend>(
    area: &Area<B>,
    title: &str,
    legend: &[(Mark, RGBColor, String)],
) -> Drawn<B, Area<B>> {
    let left = 16 * SCALE;
    let middle = Pos::new(HPos::Left, VPos::Center);
    area.draw_text(
        &short(title, 100),
        &font(18).pos(middle),
        (left, 20 * SCALE),
    )?;
    let style = font(14).pos(middle);
    let (mut x, mut y) = (left, 46 * SCALE);
    for (mark, colour, text) in legend {
        let text = short(text, 60);
        let width = 36 * SCALE + area.estimate_text_size(&text, &style)?.0 as i32;
        if x > left && x + width > WIDTH * SCALE {
            (x, y) = (left, y + 22 * SCALE);
        }
        let at = y - SCALE;
        if matches!(mark, Mark::Line | Mark::Steps) {
            let ends = [(x, at), (x + 24 * SCALE, at)];
            area.draw(&PathElement::new(
                ends,
                colour.stroke_width(2 * SCALE as u32),
            ))?;
        }
        if *mark != Mark::Line {
            area.draw(&dot(*mark, *colour, (x + 12 * SCALE, at)))?;
        }
        area.draw_text(&text, &style, (x + 30 * SCALE, y))?;
        x += width + 20 * SCALE;
    }
    Ok(area.split_vertically(y + 16 * SCALE).1)
}

fn chart<'a, B: DrawingBackend>(
    area: &'a Area<B>,
    x: &Scaling,
    y: &Scaling,
) -> Drawn<B, Chart<'a, B>> {
    let mut chart = ChartBuilder::on(area)
        .margin(10 * SCALE)
        .margin_right(20 * SCALE)
        .x_label_area_size(44 * SCALE)
        .y_label_area_size(76 * SCALE)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .axis_style(BLACK.stroke_width(SCALE as u32))
        .bold_line_style(BLACK.mix(0.15).stroke_width(SCALE as u32))
        .light_line_style(TRANSPARENT)
        .label_style(font(13))
        .axis_desc_style(font(15))
        .x_desc(short(&x.name, 80))
        .y_desc(short(&y.name, 45))
        .draw()?;
    Ok(chart)
}

/// A dot or a ring.
fn dot<C>(mark: Mark, colour: RGBColor, at: C) -> Circle<C, i32> {
    match mark {
        Mark::Ring => Circle::new(at, 4 * SCALE, colour.stroke_width(SCALE as u32)),
        _ => Circle::new(at, 3 * SCALE, colour.mix(0.7).filled()),
    }
}

fn draw_mark<B: DrawingBackend>(
    chart: &mut Chart<'_, B>,
    mark: Mark,
    colour: RGBColor,
    at: (f64, f64),
) -> Drawn<B, ()> {
    if can_be_drawn(at.0) && can_be_drawn(at.1) {
        chart.draw_series([dot(mark, colour, at)])?;
    }
    Ok(())
}

/// A line with gaps where a number cannot be drawn.
fn draw_line<B: DrawingBackend>(
    chart: &mut Chart<'_, B>,
    colour: RGBColor,
    width: i32,
    points: impl Iterator<Item = (f64, f64)>,
) -> Drawn<B, ()> {
    // The joint of a line that turns back would be drawn as a long spike: it ends there, and another begins.
    let back = |a, b, c| {
        let [a, b, c] = [a, b, c].map(|at| chart.backend_coord(&at));
        let (first, second) = ((b.0 - a.0, b.1 - a.1), (c.0 - b.0, c.1 - b.1));
        first.0 * second.0 + first.1 * second.1 < 0
    };
    let mut parts = vec![Vec::new()];
    for at in points {
        let drawn = can_be_drawn(at.0) && can_be_drawn(at.1);
        match parts.last().map_or(&[][..], Vec::as_slice) {
            _ if !drawn => parts.push(Vec::new()),
            &[.., a, b] if back(a, b, at) => parts.push(vec![b, at]),
            _ => parts.last_mut().into_iter().for_each(|part| part.push(at)),
        }
    }
    let style = colour.stroke_width((width * SCALE) as u32);
    let parts = parts.into_iter().filter(|part| part.len() > 1);
    chart.draw_series(parts.map(|part| PathElement::new(part, style)))?;
    Ok(())
}
