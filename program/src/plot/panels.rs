//! Panels of lines, dots, bands and intervals: the figures of inference.

use std::path::PathBuf;

use plotters::prelude::*;

use super::axis::Scaling;
use super::marks::{Area, COLOURS, Drawn, GREY, Mark, WIDTH, chart, draw_line, draw_mark, head};
use super::render::{self, Drawing};
use crate::exit::Failure;

/// The height of a panel.
const HEIGHT: i32 = 320;

/// A sequence of points.
pub struct Series {
    pub name: String,
    pub mark: Mark,
    pub points: Vec<(f64, f64)>,
    /// Lower and upper ends at the points: thin lines around a line, bars at dots; empty for none.
    pub ends: Vec<(f64, f64)>,
}

/// One chart.
pub struct Panel {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
    /// Whether 0 is marked.
    pub zero: bool,
}

/// Charts one below the other, two in a row where there are several.
pub struct Panels(pub Vec<Panel>);

impl Panels {
    /// Writes the figure to every path.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, paths: &[PathBuf]) -> Result<(), Failure> {
        if paths.is_empty() || self.0.is_empty() {
            return Ok(());
        }
        render::write(paths, self)
    }

    fn columns(&self) -> usize {
        self.0.len().min(2)
    }
}

impl Drawing for Panels {
    fn size(&self) -> (i32, i32) {
        (WIDTH, HEIGHT * self.0.len().div_ceil(self.columns().max(1)) as i32)
    }

    fn draw<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B, ()> {
        root.fill(&WHITE)?;
        let rows = self.0.len().div_ceil(self.columns().max(1));
        let areas = root.split_evenly((rows, self.columns()));
        for (panel, area) in self.0.iter().zip(&areas) {
            panel.draw(area)?;
        }
        root.present()
    }
}

impl Panel {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B, ()> {
        let colour = |i: usize| COLOURS[i % COLOURS.len()];
        let legend: Vec<(Mark, RGBColor, String)> = (self.series.iter().enumerate())
            .filter(|_| self.series.len() > 1)
            .map(|(i, s)| (s.mark, colour(i), s.name.clone()))
            .collect();
        let area = head(area, &self.title, &legend)?;
        let all = || self.series.iter().flat_map(|s| s.points.iter());
        let ends = self.series.iter().flat_map(|s| s.ends.iter()).flat_map(|e| [e.0, e.1]);
        let zero = self.zero.then_some(0.0);
        let x = Scaling::linear(&self.x, all().map(|p| p.0));
        let y = Scaling::linear(&self.y, all().map(|p| p.1).chain(ends).chain(zero));
        let mut chart = chart(&area, &x, &y)?;
        if self.zero {
            let line = [x.range.start, x.range.end].map(|x| (x, 0.0));
            draw_line(&mut chart, GREY, 1, line.into_iter())?;
        }
        for (i, series) in self.series.iter().enumerate() {
            let place = || series.points.iter().zip(&series.ends);
            if series.mark == Mark::Line && !series.ends.is_empty() {
                let lower = place().map(|(p, e)| (p.0, e.0));
                let upper = place().map(|(p, e)| (p.0, e.1));
                draw_line(&mut chart, colour(i), 1, lower)?;
                draw_line(&mut chart, colour(i), 1, upper)?;
            } else {
                for (p, e) in place() {
                    draw_line(&mut chart, colour(i), 1, [(p.0, e.0), (p.0, e.1)].into_iter())?;
                }
            }
            if matches!(series.mark, Mark::Line | Mark::Steps) {
                draw_line(&mut chart, colour(i), 2, series.points.iter().copied())?;
            }
            if series.mark != Mark::Line {
                for at in &series.points {
                    draw_mark(&mut chart, series.mark, colour(i), *at)?;
                }
            }
        }
        Ok(())
    }
}
