//! `secondo infer`, `secondo prune`, `secondo evidence`: what they share.

pub mod evidence;
pub mod infer;
mod intervals;
pub mod prune;
mod source;

pub use intervals::Intervals;

use clap::Args;
use secondo::Curvature;
use secondo::inference::{Dispersion, Options, RowWeights};

/// The rules of an inference.
#[derive(Debug, Args)]
#[command(next_help_heading = "Inference")]
pub struct Rules {
    /// The information matrix: exact (the Hessian) or gauss-newton
    #[arg(long, value_name = "NAME", default_value = "exact", value_parser = information)]
    information: Curvature,
    /// The dispersion of the targets: residual, ml, matrix (of several outputs) or a known number
    #[arg(long, value_name = "RULE", default_value = "residual", value_parser = dispersion, allow_negative_numbers = true)]
    dispersion: Dispersion,
    /// The meaning of the rows' weights: precision or frequency (a row stands for so many equal ones)
    #[arg(long, value_name = "NAME", default_value = "precision", value_parser = row_weights)]
    weights_are: RowWeights,
}

pub fn information(name: &str) -> Result<Curvature, String> {
    match Curvature::from_name(name) {
        Ok(known @ (Curvature::Exact | Curvature::GaussNewton)) => Ok(known),
        _ => Err(format!("'{name}' is no information matrix; known: exact, gauss-newton")),
    }
}

fn dispersion(name: &str) -> Result<Dispersion, String> {
    Dispersion::from_name(name).map_err(|e| e.to_string())
}

fn row_weights(name: &str) -> Result<RowWeights, String> {
    RowWeights::from_name(name).map_err(|e| e.to_string())
}

/// A number between 0 and 1.
pub fn level(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v > 0.0 && v < 1.0 => Ok(v),
        _ => Err("must be a number between 0 and 1".into()),
    }
}

/// A positive number.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v > 0.0 && v.is_finite() => Ok(v),
        _ => Err("must be a positive number".into()),
    }
}

impl Rules {
    /// The options with these rules.
    pub fn options(&self) -> Options {
        Options {
            information: self.information,
            dispersion: self.dispersion,
            weights_are: self.weights_are,
            ..Options::default()
        }
    }
}
