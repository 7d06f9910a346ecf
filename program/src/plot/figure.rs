//! A figure as data: what is drawn where, for every backend and every place.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{Scaling, short};
use super::marks::{Area, Drawn, Mark, SCALE, chart, draw_line, draw_mark, font, head};
use crate::show::can_be_drawn;

/// The line or mark of each thing that is shown, with its name.
pub type Legend = Vec<(Mark, RGBColor, String)>;

/// Panels under one title.
pub struct Figure {
    pub title: String,
    pub legend: Legend,
    pub panels: Vec<Panel>,
    /// The height of a file that holds it alone, as wide as all.
    pub height: i32,
}

/// A pair of axes with what is drawn on them, in this order.
pub struct Panel {
    pub title: String,
    pub x: Scaling,
    pub y: Scaling,
    pub shapes: Vec<Shape>,
}

/// Something on the axes.
pub enum Shape {
    Line {
        colour: RGBColor,
        width: i32,
        points: Vec<(f64, f64)>,
    },
    Marks {
        mark: Mark,
        colour: RGBColor,
        points: Vec<(f64, f64)>,
    },
    /// A rectangle.
    Bar {
        colour: RGBColor,
        corners: [(f64, f64); 2],
    },
    /// A text around a place.
    Text {
        text: String,
        colour: RGBColor,
        at: (f64, f64),
        side: HPos,
    },
}

impl Panel {
    pub fn new(x: Scaling, y: Scaling) -> Self {
        Panel { title: String::new(), x, y, shapes: Vec::new() }
    }

    pub fn titled(self, title: &str) -> Self {
        Panel { title: title.into(), ..self }
    }

    pub fn line(&mut self, colour: RGBColor, width: i32, points: Vec<(f64, f64)>) {
        self.shapes.push(Shape::Line { colour, width, points });
    }

    pub fn marks(&mut self, mark: Mark, colour: RGBColor, points: Vec<(f64, f64)>) {
        self.shapes.push(Shape::Marks { mark, colour, points });
    }

    pub fn text(&mut self, text: impl Into<String>, colour: RGBColor, at: (f64, f64), side: HPos) {
        self.shapes.push(Shape::Text { text: text.into(), colour, at, side });
    }

    pub fn bar(&mut self, colour: RGBColor, corners: [(f64, f64); 2]) {
        self.shapes.push(Shape::Bar { colour, corners });
    }

    pub fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B, ()> {
        let mut area = area.clone();
        if !self.title.is_empty() {
            let (top, rest) = area.split_vertically(24 * SCALE);
            let middle = Pos::new(HPos::Left, VPos::Center);
            top.draw_text(
                &short(&self.title, 50),
                &font(14).pos(middle),
                (16 * SCALE, 14 * SCALE),
            )?;
            area = rest;
        }
        let mut chart = chart(&area, &self.x, &self.y)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { colour, width, points } => {
                    draw_line(&mut chart, *colour, *width, points.iter().copied())?;
                }
                Shape::Marks { mark, colour, points } => {
                    for at in points {
                        draw_mark(&mut chart, *mark, *colour, *at)?;
                    }
                }
                Shape::Bar { colour, corners } => {
                    if corners.iter().all(|(x, y)| can_be_drawn(*x) && can_be_drawn(*y)) {
                        chart.draw_series([Rectangle::new(*corners, colour.filled())])?;
                    }
                }
                Shape::Text { text, colour, at, side } => {
                    let style = font(12).color(colour).pos(Pos::new(*side, VPos::Center));
                    chart.draw_series([plotters::element::Text::new(
                        short(text, 24),
                        *at,
                        style,
                    )])?;
                }
            }
        }
        Ok(())
    }
}

impl Figure {
    /// The panels, two beside each other where there are several.
    pub fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B, ()> {
        let area = head(area, &self.title, &self.legend)?;
        let columns = self.panels.len().clamp(1, 2);
        let places = area.split_evenly((self.panels.len().div_ceil(columns), columns));
        (self.panels.iter().zip(&places)).try_for_each(|(panel, place)| panel.draw(place))
    }
}
