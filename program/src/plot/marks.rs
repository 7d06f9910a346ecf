//! Tools for drawing figures: colours, texts, legends, charts, dots and lines.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{Scaling, short};
use crate::show::can_be_drawn;

/// Pixels for each unit of length: the backends round to pixels, so a figure has two for each that it is meant to show.
pub const SCALE: i32 = 2;
pub const WIDTH: i32 = 960;

/// Colours that the colour-blind can tell apart (Okabe and Ito).
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
pub const GREY: RGBColor = RGBColor(150, 150, 150);
pub const CHOSEN: RGBColor = COLOURS[0];
pub const GOAL: RGBColor = COLOURS[1];

/// The texts of a PNG are drawn with this font, and those of an SVG measured.
pub static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
pub const FAMILY: &str = "sans-serif";

/// How something is shown.
#[derive(Clone, Copy, PartialEq)]
pub enum Mark {
    Line,
    Dot,
    Ring,
    /// A line with dots.
    Steps,
}

pub type Area<B> = DrawingArea<B, Shift>;
pub type Drawn<B, T> = Result<T, DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;
pub type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Scaling, Scaling>>;

pub fn font(size: i32) -> TextStyle<'static> {
    (FAMILY, size * SCALE).into_font().color(&BLACK)
}

/// Writes the title and the legend, and returns what is left of the area.
pub fn head<B: DrawingBackend>(
    area: &Area<B>,
    title: &str,
    legend: &[(Mark, RGBColor, String)],
) -> Drawn<B, Area<B>> {
    let left = 16 * SCALE;
    let middle = Pos::new(HPos::Left, VPos::Center);
    area.draw_text(&short(title, 100), &font(18).pos(middle), (left, 20 * SCALE))?;
    let style = font(14).pos(middle);
    let (mut x, mut y) = (left, 46 * SCALE);
    for (mark, colour, text) in legend {
        let text = short(text, 60);
        let width = 36 * SCALE + area.estimate_text_size(&text, &style)?.0 as i32;
        if x > left && x + width > area.dim_in_pixel().0 as i32 {
            (x, y) = (left, y + 22 * SCALE);
        }
        let at = y - SCALE;
        if matches!(mark, Mark::Line | Mark::Steps) {
            let ends = [(x, at), (x + 24 * SCALE, at)];
            area.draw(&PathElement::new(ends, colour.stroke_width(2 * SCALE as u32)))?;
        }
        if *mark != Mark::Line {
            area.draw(&dot(*mark, *colour, (x + 12 * SCALE, at)))?;
        }
        area.draw_text(&text, &style, (x + 30 * SCALE, y))?;
        x += width + 20 * SCALE;
    }
    Ok(area.split_vertically(y + 16 * SCALE).1)
}

/// A chart with axes, or where there are no ticks without.
pub fn chart<'a, B: DrawingBackend>(
    area: &'a Area<B>,
    x: &Scaling,
    y: &Scaling,
) -> Drawn<B, Chart<'a, B>> {
    if x.ticks.is_empty() && y.ticks.is_empty() {
        return ChartBuilder::on(area).margin(10 * SCALE).build_cartesian_2d(x.clone(), y.clone());
    }
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

pub fn draw_mark<B: DrawingBackend>(
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
pub fn draw_line<B: DrawingBackend>(
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
