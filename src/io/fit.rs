//! The end of a fit as JSON: the keys that every report of a fit has.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::json::{field, object, size, wrong};
use crate::device::Precision;
use crate::error::{Result, by_name};
use crate::train::{Evaluations, Fit, Reason, Times};

const REASONS: [Reason; 11] = [
    Reason::Gradient,
    Reason::Step,
    Reason::Function,
    Reason::Iterations,
    Reason::Time,
    Reason::Stalled,
    Reason::NonFinite,
    Reason::Indefinite,
    Reason::Singular,
    Reason::Interrupted,
    Reason::Part,
];

impl Reason {
    /// The reason of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        by_name("reason", name, &REASONS.map(|r| (r.name(), r)))
    }
}

/// The end of a fit without its parameters. A number that is not finite is null.
pub fn fit_to_json(fit: &Fit) -> Map<String, Value> {
    let seconds = |d: Duration| json!(d.as_secs_f64());
    let evaluations = json!({
        "objective": fit.evaluations.objective, "gradient": fit.evaluations.gradient,
        "curvature": fit.evaluations.curvature, "products": fit.evaluations.products,
    });
    let by_stage = json!({
        "objective": seconds(fit.times.objective), "gradient": seconds(fit.times.gradient),
        "curvature": seconds(fit.times.curvature), "solve": seconds(fit.times.solve),
    });
    let entries = [
        ("value", json!(fit.value)),
        ("initial_value", json!(fit.initial_value)),
        ("gradient_norm", json!(fit.gradient_norm)),
        ("gradient_goal", json!(fit.gradient_goal)),
        ("iterations", json!(fit.iterations)),
        ("rejected", json!(fit.rejected)),
        ("evaluations", evaluations),
        ("modified_blocks", json!(fit.modified_blocks)),
        ("reason", json!(fit.reason.name())),
        ("fault", json!(fit.fault)),
        ("converged", json!(fit.converged())),
        ("method", json!(fit.method)),
        ("choice", json!(fit.choice)),
        ("adapter", json!(fit.adapter)),
        ("device_failure", json!(fit.failure)),
        ("precision", json!(fit.precision.name())),
        ("seconds", seconds(fit.times.total)),
        ("seconds_by_stage", by_stage),
    ];
    (entries.into_iter()).map(|(key, value)| (key.to_string(), value)).collect()
}

/// The end of a fit as [`fit_to_json`] writes it, with the parameters `w`. Other keys are ignored, and null is NaN.
///
/// # Errors
/// A key that is missing or has a wrong value.
pub fn fit_from_json(value: &Value, w: Vec<f64>) -> Result<Fit> {
    let report = object(value, "report")?;
    let evaluations = object(field(report, "evaluations", "report")?, "evaluations")?;
    let times = object(field(report, "seconds_by_stage", "report")?, "seconds_by_stage")?;
    let count = |map, key: &str| size(field(map, key, "report")?, key);
    let text = |key: &str| match field(report, key, "report")? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(key, "must be text")),
    };
    let name = |key: &str| text(key)?.ok_or_else(|| wrong(key, "must be text"));
    let number = |map, key: &str| match field(map, key, "report")? {
        Value::Null => Ok(f64::NAN),
        value => value.as_f64().ok_or_else(|| wrong(key, "must be a number")),
    };
    let seconds = |map, key: &str| {
        Duration::try_from_secs_f64(number(map, key)?)
            .map_err(|_| wrong(key, "must be a time in seconds"))
    };
    Ok(Fit {
        w,
        value: number(report, "value")?,
        initial_value: number(report, "initial_value")?,
        gradient_norm: number(report, "gradient_norm")?,
        gradient_goal: number(report, "gradient_goal")?,
        iterations: count(report, "iterations")?,
        rejected: count(report, "rejected")?,
        evaluations: Evaluations {
            objective: count(evaluations, "objective")?,
            gradient: count(evaluations, "gradient")?,
            curvature: count(evaluations, "curvature")?,
            products: count(evaluations, "products")?,
        },
        times: Times {
            objective: seconds(times, "objective")?,
            gradient: seconds(times, "gradient")?,
            curvature: seconds(times, "curvature")?,
            solve: seconds(times, "solve")?,
            total: seconds(report, "seconds")?,
        },
        modified_blocks: count(report, "modified_blocks")?,
        reason: Reason::from_name(&name("reason")?)?,
        fault: text("fault")?,
        method: name("method")?,
        choice: text("choice")?,
        adapter: name("adapter")?,
        failure: text("device_failure")?,
        precision: match name("precision")?.as_str() {
            "f32" => Precision::F32,
            "f64" => Precision::F64,
            _ => return Err(wrong("precision", "must be f32 or f64")),
        },
    })
}
