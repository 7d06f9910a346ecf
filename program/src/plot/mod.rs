//! Figures of a fit, as SVG or PNG, for files and pages.

mod axis;
mod figure;
mod figures;
mod marks;
pub mod panels;
mod render;

use std::path::{Path, PathBuf};

use plotters::prelude::*;
use secondo::{Fit, Network};

use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::output::has_extension;
use crate::show::Shown;
pub use figure::{Figure, Panel};
pub use marks::Mark;
use marks::{Area, Drawn, SCALE, WIDTH};
use render::Drawing;

/// The figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Name {
    Convergence,
    Fit,
    Residuals,
    Effects,
    Confusion,
    Spectrum,
    Hessian,
    Network,
}

impl Name {
    pub const ALL: [(&'static str, Name); 8] = [
        ("convergence", Name::Convergence),
        ("fit", Name::Fit),
        ("residuals", Name::Residuals),
        ("effects", Name::Effects),
        ("confusion", Name::Confusion),
        ("spectrum", Name::Spectrum),
        ("hessian", Name::Hessian),
        ("network", Name::Network),
    ];

    pub fn from_name(name: &str) -> Result<Self, String> {
        let found = Name::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, name)| *name).ok_or_else(|| {
            let known = Name::ALL.map(|(known, _)| known).join(", ");
            format!("unknown figure '{name}'; known: {known}")
        })
    }

    pub fn name(self) -> &'static str {
        Name::ALL.iter().find(|(_, name)| *name == self).map_or("", |(name, _)| name)
    }
}

/// A figure that is asked for as `FILE` or `NAME=FILE`; without a name it is the convergence, below the fit where there is one.
#[derive(Debug, Clone)]
pub struct Asked {
    pub name: Option<Name>,
    pub path: PathBuf,
}

impl Asked {
    /// The figure that a text asks for. A file's name may hold the character =.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = |(name, path): (&str, &str)| {
            let plain = name.chars().all(|c| c.is_ascii_alphabetic());
            plain.then(|| (Name::from_name(name), PathBuf::from(path)))
        };
        Ok(match text.split_once('=').and_then(named) {
            None => Asked { name: None, path: text.into() },
            Some((name, path)) => Asked { name: Some(name?), path },
        })
    }
}

/// Refuses a file whose extension names no format.
///
/// # Errors
/// A usage error that names the file.
pub fn check<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    let known = |path: &Path| has_extension(path, "svg") || has_extension(path, "png");
    match paths.into_iter().find(|path| !known(path)) {
        None => Ok(()),
        Some(path) => Err(Failure::usage(format!(
            "--plot {}: the extension must be .svg or .png",
            path.display()
        ))),
    }
}

/// All that figures are made of.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub shown: &'a Shown,
    pub fit: &'a Fit,
    /// The index of the start that was chosen.
    pub best: usize,
    pub train: Option<&'a Metrics>,
    pub test: Option<&'a Metrics>,
    pub network: &'a Network,
    pub weights: &'a [f64],
}

impl Facts<'_> {
    /// The figure of this name.
    ///
    /// # Errors
    /// Why there is none.
    pub fn figure(&self, name: Name) -> Result<Figure, String> {
        let found = match name {
            Name::Convergence => figures::convergence(self),
            Name::Fit => figures::fit(self.shown),
            Name::Residuals => figures::residuals(self.shown),
            Name::Effects => figures::effects(self.shown),
            Name::Confusion => figures::confusion(self),
            Name::Spectrum => figures::spectrum(self.shown),
            Name::Hessian => figures::hessian(self.shown),
            Name::Network => Some(figures::network(self)),
        };
        found.ok_or_else(|| match self.shown.missing.get(name.name()) {
            Some(why) => why.clone(),
            None => name.absent().into(),
        })
    }

    /// The note on a figure that shows the convergence alone.
    pub fn note(&self, asked: &[Asked]) -> Option<String> {
        if asked.iter().all(|asked| asked.name.is_some()) {
            return None;
        }
        let why = self.figure(Name::Fit).err()?;
        Some(format!("the plot shows the convergence alone: {why}"))
    }

    /// Writes the figure in the format of the path's extension.
    ///
    /// # Errors
    /// A figure that there is not, a file that cannot be written.
    pub fn write(&self, name: Option<Name>, path: &Path) -> Result<(), Failure> {
        let figures = match name {
            Some(name) => {
                let why = |why| Failure::usage(format!("no figure '{}': {why}", name.name()));
                vec![self.figure(name).map_err(why)?]
            }
            None => {
                let all = [Name::Fit, Name::Convergence].map(|name| self.figure(name));
                all.into_iter().flatten().collect()
            }
        };
        render::write(&[path.to_path_buf()], &Stack(figures))
    }
}

impl Name {
    /// Why there may be none.
    fn absent(self) -> &'static str {
        match self {
            Name::Residuals => "classes have no residuals; 'confusion' shows their errors",
            Name::Confusion => "it is for classes; 'residuals' shows the errors of numbers",
            Name::Effects => {
                "there are no columns, or more than 300, or the report is of an older version"
            }
            _ => "the report does not hold what it shows; fit again with this version",
        }
    }
}

/// Figures one below the other.
struct Stack(Vec<Figure>);

impl Drawing for Stack {
    fn size(&self) -> (i32, i32) {
        (WIDTH, self.0.iter().map(|figure| figure.height).sum())
    }

    fn draw<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B, ()> {
        root.fill(&WHITE)?;
        let mut area = root.clone();
        for figure in &self.0 {
            let (upper, rest) = area.split_vertically(figure.height * SCALE);
            figure.draw(&upper)?;
            area = rest;
        }
        root.present()
    }
}

impl Panel {
    /// The panel as an element of a page, as wide as its place.
    ///
    /// # Errors
    /// Drawing that fails.
    pub fn svg(&self, (width, height): (i32, i32)) -> Result<String, String> {
        render::register();
        let size = ((width * SCALE) as u32, (height * SCALE) as u32);
        let mut text = String::new();
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        self.draw(&root).and_then(|()| root.present()).map_err(|e| e.to_string())?;
        drop(root);
        let start = text.find('>').map_or(0, |at| at + 1);
        Ok(format!("<svg viewBox=\"0 0 {} {}\" role=\"img\">{}", size.0, size.1, &text[start..]))
    }
}
