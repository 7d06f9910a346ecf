//! Gathering at the end of a fit of what its figures show.

use ndarray::Array2;
use secondo::inference::{Inference, Names, Options, Scaling};
use secondo::io::{Exposure, Model};
use secondo::solve::spectral_density;
use secondo::{Curvature, Device, Error, Fit, LinearOperator, Problem, Structure};

use super::effects::{effects, shown};
use super::extent::extent;
use super::points::Points;
use super::{Course, Curve, Picture, Shown, Slope, Spectrum, Statistics};
use crate::objective::uncounted;
use crate::training::Trained;

/// The curve of a model goes through so many points.
const CURVE: usize = 601;
/// The Hessian is formed up to this order, and statistics are computed up to the other.
const FORMED: usize = 1000;
const STATISTICS: usize = 500;
/// Multiplications, roughly, that a figure may cost.
const COST: f64 = 2e10;
/// Steps and random vectors of the density of eigenvalues.
const STEPS: usize = 60;
const PROBES: usize = 2;
/// A picture has so many cells in a row at the most.
const CELLS: usize = 64;

/// The end of a fit.
pub struct Fitted<'a> {
    pub problem: &'a Problem,
    pub trained: &'a Trained,
    pub fit: &'a Fit,
    /// None, and why, where a model cannot hold the problem.
    pub model: Result<&'a Model, String>,
}

impl Fitted<'_> {
    /// All that figures show; `points` gives the rows, those to train with first. What cannot be computed, or would take long, is left out
    /// with the reason.
    pub fn shown(&self, points: &[Points]) -> Shown {
        let mut out = self.history();
        let rows = ["fit", "residuals", "effects"];
        match &self.model {
            Ok(model) => {
                if let Err(error) = of_model(&mut out, model, points) {
                    out.note(&rows, &error.to_string());
                }
            }
            Err(why) => out.note(&rows, why),
        }
        self.second_order(&mut out);
        match self.statistics() {
            Ok(statistics) => out.statistics = Some(statistics),
            Err(why) => out.note(&["statistics"], &why),
        }
        out
    }

    /// The history alone.
    fn history(&self) -> Shown {
        let history = self.trained.attempts.iter().map(|start| Course::of(&start.trace)).collect();
        Shown { history, ..Shown::default() }
    }

    /// Rows times the square of the parameters.
    fn cost(&self) -> f64 {
        let p = self.problem.parameters() as f64;
        self.problem.rows() as f64 * p * p
    }

    /// Spectrum and picture of the exact Hessian; of a large one a density alone.
    fn second_order(&self, out: &mut Shown) {
        let (p, problem) = (self.problem.parameters(), self.problem.clone().on(Device::Cpu));
        let formed = p <= FORMED && self.cost() <= COST;
        if formed {
            let hessian = || -> Result<_, Error> {
                let at = problem.curvature(&self.fit.w, Curvature::Exact, Structure::Full)?;
                let matrix = at.curvature.ok_or_else(|| Error::Unsupported {
                    what: "the Hessian".into(),
                    why: "it was not formed".into(),
                })?;
                let eigenvalues = matrix.eigenvalues()?;
                Ok((Spectrum { eigenvalues, weights: Vec::new() }, picture(&problem, &matrix)?))
            };
            match hessian() {
                Ok((spectrum, picture)) => {
                    out.spectrum = Some(spectrum);
                    out.hessian = Some(picture);
                }
                Err(error) => out.note(&["spectrum", "hessian"], &error.to_string()),
            }
            return;
        }
        let why = format!(
            "the Hessian of {p} parameters is not formed for it; 'secondo derivatives' can"
        );
        out.note(&["hessian"], &why);
        // A product is a few passes over the weights for each row.
        let products = 20.0 * (STEPS * PROBES) as f64 * self.cost() / p as f64;
        if products > COST {
            out.note(
                &["spectrum"],
                "it would take long; secondo derivatives --spectrum computes it",
            );
            return;
        }
        let density = problem
            .operator(&self.fit.w, Curvature::Exact)
            .and_then(|operator| spectral_density(p, STEPS, PROBES, 0, |v| operator.product(v)));
        match density {
            Ok(density) => {
                out.spectrum =
                    Some(Spectrum { eigenvalues: density.nodes, weights: density.weights });
            }
            Err(error) => out.note(&["spectrum"], &error.to_string()),
        }
    }

    fn statistics(&self) -> Result<Statistics, String> {
        let p = self.problem.parameters();
        if p > STATISTICS || self.cost() > COST {
            return Err(format!("{p} parameters are many; 'secondo infer' computes them"));
        }
        if let Some(what) = self.model.as_ref().ok().and_then(|model| uncounted(model)) {
            return Err(format!("no inference is drawn from a model with {what}"));
        }
        let problem = self.problem.clone().on(Device::Cpu);
        let (names, scaling) = match &self.model {
            Ok(model) => {
                let outputs = problem.network().outputs();
                let of_outputs = |values: &[f64], rest: f64| {
                    if values.len() == outputs { values.to_vec() } else { vec![rest; outputs] }
                };
                let s = &model.standardization;
                let scaling = Scaling {
                    x_scale: s.x_scale.clone(),
                    y_scale: of_outputs(&s.y_scale, 1.0),
                    y_mean: of_outputs(&s.y_mean, 0.0),
                };
                let names =
                    Names { inputs: model.features.clone(), outputs: model.outputs_named() };
                (names, Some(scaling))
            }
            Err(_) => (Names::numbered(problem.network()), None),
        };
        let report = Inference::with(&problem, &self.fit.w, Options::default())
            .and_then(|inference| inference.report_as(names, scaling.as_ref(), None))
            .map_err(|error| error.to_string())?;
        let finite = |v: f64| v.is_finite().then_some(v);
        let s = &report.summary;
        let facts = [
            ("effective parameters", finite(s.edf)),
            ("residual degrees of freedom", finite(s.df_residual)),
            ("log likelihood", s.log_likelihood.and_then(finite)),
            ("AIC", s.aic.and_then(finite)),
            ("BIC", s.bic.and_then(finite)),
            ("condition of the scaled Hessian", finite(report.condition)),
        ];
        let output = |o: usize| report.names.outputs.get(o).cloned().unwrap_or_default();
        Ok(Statistics {
            facts: facts.map(|(name, value)| (name.to_string(), value)).into(),
            covariance: report.covariance_kind.name().into(),
            refused: report.refused.map(|refusal| refusal.to_string()),
            slopes: (report.effects.iter())
                .map(|effect| Slope {
                    input: report.names.inputs[effect.input].clone(),
                    output: output(effect.output),
                    slope: finite(effect.slope.estimate),
                    std_error: effect.slope.std_error.and_then(finite),
                    lower: effect.slope.lower.and_then(finite),
                    upper: effect.slope.upper.and_then(finite),
                })
                .collect(),
            tests: (report.inputs.iter())
                .filter_map(|test| {
                    let wald = test.wald.as_ref()?;
                    Some((test.name.clone(), wald.p_f.or(wald.p_chi2)))
                })
                .collect(),
            warnings: report.warnings.iter().map(|warning| warning.text.clone()).collect(),
        })
    }
}

impl Shown {
    /// Notes why something is not there.
    fn note(&mut self, names: &[&str], why: &str) {
        names.iter().for_each(|name| drop(self.missing.insert(name.to_string(), why.into())));
    }
}

/// Names, rows with predictions, curve and effects.
fn of_model(out: &mut Shown, model: &Model, rows: &[Points]) -> Result<(), Error> {
    out.inputs = model.features.clone();
    // With an exposure both the actual and the predicted numbers are rates.
    let per = match &model.exposure {
        None => String::new(),
        Some(Exposure { column, is_log: true }) => format!(" per exp({column})"),
        Some(Exposure { column, .. }) => format!(" per {column}"),
    };
    out.targets = model.targets.iter().map(|target| format!("{target}{per}")).collect();
    out.classes = model.classes.clone();
    let rows: Vec<&Points> = rows.iter().filter(|points| points.x.nrows() > 0).collect();
    out.parts = rows.iter().map(|points| points.part(model)).collect::<Result<_, _>>()?;
    if model.network.inputs() == 1 {
        let (low, high) = extent(rows.iter().flat_map(|points| [points.range.0, points.range.1]));
        let share = |i: usize| i as f64 / (CURVE - 1) as f64;
        let x: Vec<f64> = (0..CURVE).map(|i| low * (1.0 - share(i)) + high * share(i)).collect();
        let y = model.predict(&Array2::from_shape_fn((CURVE, 1), |(i, _)| x[i]))?;
        let first = y.ncols() - shown(model);
        let y = y.columns().into_iter().skip(first).map(|column| column.to_vec()).collect();
        out.curve = Some(Curve { x, y });
    }
    if let Some(points) = rows.first() {
        out.effects = effects(model, points)?;
    }
    Ok(())
}

/// The matrix in cells.
fn picture(problem: &Problem, matrix: &secondo::Matrix) -> Result<Picture, Error> {
    let order = matrix.order();
    let side = order.div_ceil(CELLS).max(1);
    let cells = order.div_ceil(side);
    let mut largest = vec![0.0; cells * cells];
    for a in 0..order {
        for b in 0..order {
            let (v, cell) = (matrix.entry(a, b)?, &mut largest[a / side * cells + b / side]);
            if f64::abs(v) > f64::abs(*cell) {
                *cell = v;
            }
        }
    }
    // Under a constraint parameters belong to no layer.
    let network = problem.network();
    let layers = if network.parameters() == order {
        network.layers().iter().map(|layer| layer.range.start).collect()
    } else {
        Vec::new()
    };
    Ok(Picture { order, side, cells: largest, layers })
}
