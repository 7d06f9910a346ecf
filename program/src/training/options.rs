//! The options of the method.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secondo::{
    Auto, BlockNewton, Curvature, Indefinite, Lbfgs, LevenbergMarquardt, NewtonCg, Preconditioning,
    Structure, TrustRegion,
};
use serde_json::{Map, Value, json};

use crate::exit::Failure;

/// How to minimise.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Training")]
pub struct Method {
    /// How to minimise [default: auto]
    ///
    /// auto: chosen by loss and size; the report says what and why
    /// trust-region: Newton within a trust region, the whole matrix formed
    /// newton-cg: the same by conjugate gradients, from products with the matrix alone
    /// lm: Levenberg–Marquardt, for squared errors and ridge penalties
    /// lbfgs: L-BFGS with 30 pairs on Gauss–Newton row blocks that are made anew from time to time
    /// newton-rows, newton-layers: damped steps with one block of the matrix for each unit or layer
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = Name::from_name, verbatim_doc_comment, hide_default_value = true)]
    method: Name,
    /// The curvature: exact, gauss-newton, empirical-fisher or lagrangian (the paper's matrix; not the Hessian) [default: exact]
    #[arg(long, value_name = "NAME", value_parser = trained_curvature)]
    curvature: Option<Curvature>,
    /// newton-rows, newton-layers: how indefinite blocks are made definite: shift, ldlt, absolute or clip [default: absolute]
    #[arg(long, value_name = "NAME", value_parser = indefinite)]
    indefinite: Option<Indefinite>,
    /// newton-cg: the preconditioner, lbfgs: the initial matrix: none, diagonal or row-blocks [default: row-blocks]
    #[arg(long, value_name = "NAME", value_parser = preconditioner)]
    preconditioner: Option<Preconditioning>,
    /// Stop after this many steps [default: 1000, ten times as many of L-BFGS; trust-region, newton-rows and newton-layers: 200]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_iter: Option<usize>,
    /// Stop when the largest gradient entry is below this, relative to the start where that is above 1 [default: 1e-8]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    gtol: Option<f64>,
    /// Stop when a step changes the objective by less than this part of it [default: by the method]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    ftol: Option<f64>,
    /// Stop when a step is shorter than this part of the parameters [default: by the method]
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    xtol: Option<f64>,
    /// When the adapter fails or f32 overflows there: continue on the CPU from the last accepted point, or stop (exit code 3)
    #[arg(long, value_name = "RULE", default_value = "continue")]
    device_failure: DeviceFailure,
    /// Stop after this time, all starts together
    #[arg(long, value_name = "SECONDS", value_parser = not_negative, allow_negative_numbers = true)]
    pub time_limit: Option<f64>,
    /// Keep the state of the fit here while it runs, and at its end; the one before stays as FILE.old
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The time between two checkpoints
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = not_negative, requires = "checkpoint")]
    pub checkpoint_every: f64,
    /// Go on from this checkpoint of the same fit; on the CPU to the same last bit
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
}

/// The methods.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    Auto,
    TrustRegion,
    NewtonCg,
    Lbfgs,
    LevenbergMarquardt,
    NewtonRows,
    NewtonLayers,
}

impl Name {
    const ALL: [(&'static str, Name); 7] = [
        ("auto", Name::Auto),
        ("trust-region", Name::TrustRegion),
        ("newton-cg", Name::NewtonCg),
        ("lbfgs", Name::Lbfgs),
        ("lm", Name::LevenbergMarquardt),
        ("newton-rows", Name::NewtonRows),
        ("newton-layers", Name::NewtonLayers),
    ];

    fn from_name(name: &str) -> Result<Self, String> {
        let found = Name::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, method)| *method).ok_or_else(|| {
            let known = Name::ALL.map(|(known, _)| known).join(", ");
            format!("unknown method '{name}'; known: {known}")
        })
    }

    fn name(self) -> &'static str {
        let found = Name::ALL.iter().find(|(_, method)| *method == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The behaviour where the adapter fails.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum DeviceFailure {
    Continue,
    Stop,
}

/// A tolerance or a similar number: finite and not negative.
pub fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && v >= 0.0 => Ok(v),
        Ok(_) => Err("must be finite and not negative".into()),
        Err(_) => Err("must be a number".into()),
    }
}

fn indefinite(name: &str) -> Result<Indefinite, String> {
    Indefinite::from_name(name).map_err(|e| e.to_string())
}

fn preconditioner(name: &str) -> Result<Preconditioning, String> {
    Preconditioning::from_name(name).map_err(|e| e.to_string())
}

/// The curvature of that name.
pub fn curvature(name: &str) -> Result<Curvature, String> {
    Curvature::from_name(name).map_err(|e| e.to_string())
}

/// A curvature that steps can be taken with.
fn trained_curvature(name: &str) -> Result<Curvature, String> {
    match curvature(name)? {
        Curvature::Residual => {
            Err("residual is what Gauss-Newton leaves out, and no curvature to train with".into())
        }
        other => Ok(other),
    }
}

impl Method {
    /// Refuses options that the method does not have.
    ///
    /// # Errors
    /// A usage error that names them.
    pub fn check(&self) -> Result<(), Failure> {
        let blocks = matches!(self.method, Name::NewtonRows | Name::NewtonLayers);
        let preconditioned = matches!(self.method, Name::NewtonCg | Name::Lbfgs);
        let curved = !matches!(self.method, Name::LevenbergMarquardt | Name::Lbfgs);
        let allowed = [
            ("--curvature", self.curvature.is_some(), curved),
            ("--indefinite", self.indefinite.is_some(), blocks),
            ("--preconditioner", self.preconditioner.is_some(), preconditioned),
        ];
        let idle: Vec<&str> = (allowed.iter())
            .filter(|(_, given, allowed)| *given && !allowed)
            .map(|(name, ..)| *name)
            .collect();
        if idle.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "--method {} does not take {}; name another method, or leave it out",
            self.method.name(),
            idle.join(", ")
        )))
    }

    /// The method for fits that are compared: with so many steps at most where no option says another number.
    pub fn shortened(&self, max_iter: usize) -> Self {
        Method { max_iter: Some(self.max_iter.unwrap_or(max_iter)), ..self.clone() }
    }

    /// The method with its options, and with so much time.
    pub fn solver(&self, time_limit: Option<Duration>) -> Box<dyn secondo::Method> {
        let curvature = self.curvature.unwrap_or(Curvature::Exact);
        let fallback = self.device_failure == DeviceFailure::Continue;
        match self.method {
            Name::TrustRegion => {
                Box::new(self.region(TrustRegion::default(), curvature, time_limit))
            }
            Name::NewtonCg => {
                let default = NewtonCg::default();
                Box::new(NewtonCg {
                    region: self.region(default.region, curvature, time_limit),
                    preconditioning: self.preconditioner.unwrap_or(default.preconditioning),
                    ..default
                })
            }
            Name::Lbfgs => {
                let default = Lbfgs::default();
                Box::new(Lbfgs {
                    initial: self.preconditioner.unwrap_or(default.initial),
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    gtol: self.gtol.unwrap_or(default.gtol),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit,
                    fallback,
                    ..default
                })
            }
            Name::LevenbergMarquardt => {
                let default = LevenbergMarquardt::default();
                Box::new(LevenbergMarquardt {
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    goal: self.gtol.unwrap_or(1e-8),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit,
                    ..default
                })
            }
            Name::Auto => {
                let default = Auto::default();
                Box::new(Auto {
                    curvature,
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    gtol: self.gtol.unwrap_or(default.gtol),
                    time_limit,
                    fallback,
                })
            }
            Name::NewtonRows | Name::NewtonLayers => {
                let default = BlockNewton::default();
                Box::new(BlockNewton {
                    curvature,
                    structure: if self.method == Name::NewtonLayers {
                        Structure::LayerBlocks
                    } else {
                        Structure::RowBlocks
                    },
                    indefinite: self.indefinite.unwrap_or(default.indefinite),
                    max_iter: self.max_iter.unwrap_or(default.max_iter),
                    gtol: self.gtol.unwrap_or(default.gtol),
                    ftol: self.ftol.unwrap_or(default.ftol),
                    xtol: self.xtol.unwrap_or(default.xtol),
                    time_limit,
                    fallback,
                    ..default
                })
            }
        }
    }

    /// A trust region with the options that stand on the command line.
    fn region(
        &self,
        default: TrustRegion,
        curvature: Curvature,
        time_limit: Option<Duration>,
    ) -> TrustRegion {
        TrustRegion {
            curvature,
            max_iter: self.max_iter.unwrap_or(default.max_iter),
            gtol: self.gtol.unwrap_or(default.gtol),
            ftol: self.ftol.unwrap_or(default.ftol),
            xtol: self.xtol.unwrap_or(default.xtol),
            time_limit,
            fallback: self.device_failure == DeviceFailure::Continue,
            ..default
        }
    }

    /// The options in effect, for a report.
    pub fn json(&self) -> Map<String, Value> {
        let device_failure = match self.device_failure {
            DeviceFailure::Continue => "continue",
            DeviceFailure::Stop => "stop",
        };
        let options = [
            ("method", json!(self.method.name())),
            ("in_effect", json!(self.solver(None).settings().to_string())),
            ("curvature", json!(self.curvature.map(Curvature::name))),
            ("indefinite", json!(self.indefinite.map(Indefinite::name))),
            ("preconditioner", json!(self.preconditioner.map(Preconditioning::name))),
            ("max_iter", json!(self.max_iter)),
            ("gtol", json!(self.gtol)),
            ("ftol", json!(self.ftol)),
            ("xtol", json!(self.xtol)),
            ("time_limit", json!(self.time_limit)),
            ("device_failure", json!(device_failure)),
        ];
        (options.into_iter()).map(|(key, value)| (key.to_string(), value)).collect()
    }
}
