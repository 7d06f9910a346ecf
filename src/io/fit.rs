//! The end of a fit as JSON: the keys that every report of a fit has.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::json::{array, field, object, size, wrong};
use crate::device::Precision;
use crate::error::{Result, by_name};
use crate::train::{
    Certificate, Evaluations, Fit, Reason, Refinement, Stage, Times, Validated, Validation,
};

const REASONS: [Reason; 13] = [
    Reason::Gradient,
    Reason::Step,
    Reason::Function,
    Reason::Iterations,
    Reason::Time,
    Reason::Stalled,
    Reason::Unbounded,
    Reason::NonFinite,
    Reason::Indefinite,
    Reason::Singular,
    Reason::Validation,
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
    let by_stage = json!({
        "objective": seconds(fit.times.objective), "gradient": seconds(fit.times.gradient),
        "curvature": seconds(fit.times.curvature), "solve": seconds(fit.times.solve),
        "device": fit.times.device.map(seconds),
    });
    let entries = [
        ("value", json!(fit.value)),
        ("initial_value", json!(fit.initial_value)),
        ("gradient_norm", json!(fit.gradient_norm)),
        ("gradient_goal", json!(fit.gradient_goal)),
        ("iterations", json!(fit.iterations)),
        ("rejected", json!(fit.rejected)),
        ("evaluations", evaluations_to_json(&fit.evaluations)),
        ("modified_blocks", json!(fit.modified_blocks)),
        ("reason", json!(fit.reason.name())),
        ("fault", json!(fit.fault)),
        ("converged", json!(fit.converged())),
        ("certificate", json!(fit.certificate.as_ref().map(certificate_to_json))),
        ("early_stopping", json!(fit.validation.as_ref().map(validation_to_json))),
        ("stages", json!(fit.stages.iter().map(stage_to_json).collect::<Vec<_>>())),
        ("method", json!(fit.method)),
        ("choice", json!(fit.choice)),
        ("adapter", json!(fit.adapter)),
        ("device_failure", json!(fit.failure)),
        ("precision", json!(fit.precision.name())),
        ("refinement", json!(fit.refinement.map(|r| json!({"from": r.from, "share": r.share})))),
        ("seconds", seconds(fit.times.total)),
        ("seconds_by_stage", by_stage),
    ];
    (entries.into_iter()).map(|(key, value)| (key.to_string(), value)).collect()
}

fn evaluations_to_json(evaluations: &Evaluations) -> Value {
    json!({
        "objective": evaluations.objective, "gradient": evaluations.gradient,
        "curvature": evaluations.curvature, "products": evaluations.products,
    })
}

fn evaluations_from_json(value: &Value) -> Result<Evaluations> {
    let map = object(value, "evaluations")?;
    let count = |key: &str| size(field(map, key, "evaluations")?, key);
    Ok(Evaluations {
        objective: count("objective")?,
        gradient: count("gradient")?,
        curvature: count("curvature")?,
        products: count("products")?,
    })
}

fn certificate_to_json(certificate: &Certificate) -> Value {
    json!({
        "gain": certificate.gain, "allowed": certificate.allowed,
        "step": certificate.step, "settled": certificate.settled, "digits": certificate.digits(),
    })
}

/// A number, or NaN for null.
fn number(map: &Map<String, Value>, key: &str) -> Result<f64> {
    match field(map, key, "report")? {
        Value::Null => Ok(f64::NAN),
        value => value.as_f64().ok_or_else(|| wrong(key, "must be a number")),
    }
}

fn seconds(map: &Map<String, Value>, key: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(number(map, key)?)
        .map_err(|_| wrong(key, "must be a time in seconds"))
}

fn certificate_from_json(value: &Value) -> Result<Option<Certificate>> {
    if value.is_null() {
        return Ok(None);
    }
    let map = object(value, "certificate")?;
    let (gain, step) = (number(map, "gain")?, number(map, "step")?);
    // Infinite, where nothing depends on it.
    let allowed = number(map, "allowed")?;
    let allowed = if allowed.is_nan() { f64::INFINITY } else { allowed };
    let settled = field(map, "settled", "certificate")?.as_bool();
    let settled = settled.ok_or_else(|| wrong("settled", "must be true or false"))?;
    Ok(Some(Certificate { gain, allowed, step, settled }))
}

fn refinement_from_json(value: &Value) -> Result<Option<Refinement>> {
    if value.is_null() {
        return Ok(None);
    }
    let map = object(value, "refinement")?;
    let from = match field(map, "from", "refinement")? {
        Value::Null => None,
        step => Some(size(step, "from")?),
    };
    Ok(Some(Refinement { from, share: number(map, "share")? }))
}

fn validation_to_json(validation: &Validation) -> Value {
    let of = |f: fn(&Validated) -> Value| validation.curve.iter().map(f).collect::<Vec<_>>();
    json!({
        "best": validation.best, "ended": validation.ended, "step": of(|v| json!(v.step)),
        "objective": of(|v| json!(v.objective)), "error": of(|v| json!(v.error)),
    })
}

fn validation_from_json(value: &Value) -> Result<Option<Validation>> {
    if value.is_null() {
        return Ok(None);
    }
    let what = "early_stopping";
    let map = object(value, what)?;
    let list = |key: &str| array(field(map, key, what)?, key);
    let real = |value: &Value, of_null: f64| match value {
        Value::Null => Ok(of_null),
        value => value.as_f64().ok_or_else(|| wrong(what, "must hold numbers")),
    };
    let columns = list("step")?.iter().zip(list("objective")?).zip(list("error")?);
    let curve: Vec<Validated> = columns
        .map(|((step, objective), error)| {
            Ok(Validated {
                step: size(step, "step")?,
                objective: real(objective, f64::NAN)?,
                error: real(error, f64::INFINITY)?,
            })
        })
        .collect::<Result<_>>()?;
    let best = size(field(map, "best", what)?, "best")?;
    if best >= curve.len() {
        return Err(wrong("best", "there is no such point"));
    }
    let ended = field(map, "ended", what)?.as_bool();
    let ended = ended.ok_or_else(|| wrong("ended", "must be true or false"))?;
    Ok(Some(Validation { curve, best, ended }))
}

fn stage_to_json(stage: &Stage) -> Value {
    json!({
        "method": stage.method, "end": stage.end, "steps": stage.steps,
        "evaluations": evaluations_to_json(&stage.evaluations), "seconds": stage.time.as_secs_f64(),
    })
}

fn stage_from_json(value: &Value) -> Result<Stage> {
    let map = object(value, "stages")?;
    let text = |key: &str| match field(map, key, "stages")? {
        Value::String(text) => Ok(text.clone()),
        _ => Err(wrong(key, "must be text")),
    };
    Ok(Stage {
        method: text("method")?,
        end: text("end")?,
        steps: size(field(map, "steps", "stages")?, "steps")?,
        evaluations: evaluations_from_json(field(map, "evaluations", "stages")?)?,
        time: seconds(map, "seconds")?,
    })
}

/// The end of a fit as [`fit_to_json`] writes it, with the parameters `w`. Other keys are ignored, and null is NaN.
///
/// # Errors
/// A key that is missing or has a wrong value.
pub fn fit_from_json(value: &Value, w: Vec<f64>) -> Result<Fit> {
    let report = object(value, "report")?;
    let times = object(field(report, "seconds_by_stage", "report")?, "seconds_by_stage")?;
    let count = |map, key: &str| size(field(map, key, "report")?, key);
    let text = |key: &str| match field(report, key, "report")? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(key, "must be text")),
    };
    let name = |key: &str| text(key)?.ok_or_else(|| wrong(key, "must be text"));
    let stages = match field(report, "stages", "report")? {
        Value::Array(stages) => stages.iter().map(stage_from_json).collect::<Result<_>>()?,
        _ => return Err(wrong("stages", "must be a list")),
    };
    Ok(Fit {
        w,
        value: number(report, "value")?,
        initial_value: number(report, "initial_value")?,
        gradient_norm: number(report, "gradient_norm")?,
        gradient_goal: number(report, "gradient_goal")?,
        iterations: count(report, "iterations")?,
        rejected: count(report, "rejected")?,
        evaluations: evaluations_from_json(field(report, "evaluations", "report")?)?,
        times: Times {
            objective: seconds(times, "objective")?,
            gradient: seconds(times, "gradient")?,
            curvature: seconds(times, "curvature")?,
            solve: seconds(times, "solve")?,
            total: seconds(report, "seconds")?,
            device: match times.get("device").unwrap_or(&Value::Null) {
                Value::Null => None,
                _ => Some(seconds(times, "device")?),
            },
        },
        modified_blocks: count(report, "modified_blocks")?,
        reason: Reason::from_name(&name("reason")?)?,
        validation: validation_from_json(report.get("early_stopping").unwrap_or(&Value::Null))?,
        certificate: certificate_from_json(field(report, "certificate", "report")?)?,
        stages,
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
        refinement: refinement_from_json(report.get("refinement").unwrap_or(&Value::Null))?,
    })
}
