//! A report of inference as JSON.

use ndarray::Array2;
use serde_json::{Map, Value, json};

use crate::inference::{
    Alpha, Approximate, Distribution, Estimate, Laplace, LikelihoodRatio, Prediction, Report,
    Residuals, Scale, ScoreTest,
};

/// A number, null where it is not finite.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}

fn optional(value: Option<f64>) -> Value {
    value.map_or(Value::Null, number)
}

fn numbers<'a>(values: impl IntoIterator<Item = &'a f64>) -> Value {
    values.into_iter().map(|v| number(*v)).collect()
}

fn matrix(matrix: &Array2<f64>) -> Value {
    matrix.rows().into_iter().map(numbers).collect()
}

/// A list over rows: of numbers for one output, else of lists.
fn by_row(values: &Array2<f64>) -> Value {
    match values.ncols() {
        1 => numbers(values),
        _ => matrix(values),
    }
}

/// A list over outputs, null where all of it is.
fn by_output(values: impl Iterator<Item = Value>) -> Value {
    let all: Vec<Value> = values.collect();
    if all.iter().all(Value::is_null) { Value::Null } else { Value::Array(all) }
}

fn estimate(e: &Estimate) -> Map<String, Value> {
    let entries = [
        ("estimate", number(e.estimate)),
        ("identified", json!(e.identified)),
        ("std_error", optional(e.std_error)),
        ("statistic", optional(e.statistic)),
        ("p_value", optional(e.p_value)),
        ("lower", optional(e.lower)),
        ("upper", optional(e.upper)),
    ];
    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

fn ratio(r: &LikelihoodRatio) -> Value {
    json!({
        "df": r.df, "value_reduced": number(r.value_reduced), "chi2": number(r.chi2),
        "p_chi2": number(r.p_chi2), "f": optional(r.f), "p_f": optional(r.p_f),
        "p_bootstrap": optional(r.p_bootstrap),
    })
}

fn score(s: &ScoreTest) -> Value {
    json!({
        "terms": s.terms, "df": s.df, "chi2": number(s.chi2), "p_chi2": number(s.p_chi2),
        "f": number(s.f), "p_f": number(s.p_f),
    })
}

/// Returns an approximation of the posterior as JSON; its name is under `approximation`.
pub fn approximate_to_json(found: &Approximate, predictions: &[Prediction]) -> Map<String, Value> {
    let entries = [
        ("approximation", json!(found.approximation().to_string())),
        ("value", number(found.value())),
        ("refused", json!(found.refused().map(|r| r.name()))),
        ("edf", number(found.gamma())),
        ("dispersion", number(found.phi())),
        ("distribution", json!(found.distribution().name())),
        ("predictions", predictions.iter().map(prediction).collect()),
        ("laplace", json!(found.laplace().as_ref().map(laplace_to_json))),
    ];
    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

fn prediction(p: &Prediction) -> Value {
    let of = |f: fn(&Estimate) -> Option<f64>| by_output(p.outputs.iter().map(|e| optional(f(e))));
    let end = |f: fn((f64, f64)) -> f64| {
        by_output(p.observation.iter().flatten().map(|ends| optional(ends.map(f))))
    };
    json!({
        "mean": of(|e| Some(e.estimate)), "std_error": of(|e| e.std_error),
        "lower": of(|e| e.lower), "upper": of(|e| e.upper),
        "pred_lower": end(|e| e.0), "pred_upper": end(|e| e.1),
        "moderated": p.moderated.as_ref().map(numbers),
        "estimable": p.outputs.iter().map(|e| e.identified).collect::<Vec<_>>(),
    })
}

fn residuals(r: &Residuals) -> Value {
    json!({
        "raw": by_row(&r.raw), "pearson": by_row(&r.pearson), "standardized": by_row(&r.standardized),
        "cooks_distance": r.cooks_distance.as_ref().map(numbers),
    })
}

/// The evidence as JSON.
pub fn laplace_to_json(l: &Laplace) -> Value {
    json!({
        "alpha": alpha_to_json(&l.alpha), "beta": number(l.beta), "gamma": number(l.gamma),
        "log_evidence": number(l.log_evidence), "log_symmetry": number(l.log_symmetry),
    })
}

/// α as JSON: a number, or a list.
pub fn alpha_to_json(alpha: &Alpha) -> Value {
    match alpha {
        Alpha::One(alpha) => number(*alpha),
        Alpha::Each(alpha) => numbers(alpha),
    }
}

/// The report as JSON; what is not identified, not defined or refused is null.
pub fn inference_to_json(report: &Report) -> Map<String, Value> {
    let s = &report.summary;
    let (positive, zero, negative) = report.inertia;
    let weights: Vec<Value> = (report.weights.iter())
        .map(|row| {
            let place = &row.place;
            let mut map = Map::new();
            map.insert("layer".into(), json!(place.layer));
            map.insert("row".into(), json!(place.row));
            map.insert("column".into(), json!(place.column));
            map.insert("name".into(), json!(place.name));
            map.extend(estimate(&row.estimate));
            if let Some(share) = row.share {
                map.insert("edf_share".into(), number(share));
            }
            if let Some([lower, upper]) = row.profile {
                map.insert("profile_lower".into(), optional(lower));
                map.insert("profile_upper".into(), optional(upper));
            }
            Value::Object(map)
        })
        .collect();
    let inputs: Vec<Value> = (report.inputs.iter())
        .map(|test| {
            let w = test.wald.as_ref();
            json!({
                "name": test.name, "size": w.map(|w| w.size), "df": w.map(|w| w.df),
                "chi2": optional(w.and_then(|w| w.chi2)), "p_chi2": optional(w.and_then(|w| w.p_chi2)),
                "f": optional(w.and_then(|w| w.f)), "p_f": optional(w.and_then(|w| w.p_f)),
                "likelihood_ratio": test.ratio.as_ref().map(ratio),
            })
        })
        .collect();
    let effects: Vec<Value> = (report.effects.iter())
        .map(|e| {
            json!({
                "input": e.input, "output": e.output, "name": report.names.inputs[e.input],
                "slope": number(e.slope.estimate), "std_error": optional(e.slope.std_error),
                "lower": optional(e.slope.lower), "upper": optional(e.slope.upper),
                "partial": e.partial.as_ref().map(estimate),
            })
        })
        .collect();
    let warnings: Vec<Value> = (report.warnings.iter())
        .map(|w| json!({"kind": w.kind, "cause": w.cause, "text": w.text}))
        .collect();
    let dispersion = match &s.dispersion {
        None => Value::Null,
        Some(Scale::One(phi)) => number(*phi),
        Some(Scale::Matrix(sigma)) => matrix(sigma),
    };
    let is_known = s.distribution == Distribution::Normal;
    let kind = if is_known { "known" } else { report.options.dispersion.name() };
    let entries = [
        ("samples", json!(s.samples)),
        ("observations", number(s.observations)),
        ("outputs", json!(s.outputs)),
        ("parameters", json!(s.parameters)),
        ("edf", number(s.edf)),
        ("df_residual", number(s.df_residual)),
        ("value", number(s.value)),
        ("rss", optional(s.rss)),
        ("gradient_norm", number(s.gradient_norm)),
        ("newton_decrement", number(s.newton_decrement)),
        ("stationary", json!(s.stationary)),
        ("dispersion", dispersion),
        ("dispersion_kind", json!(kind)),
        ("log_likelihood", optional(s.log_likelihood)),
        ("df_model", number(s.df_model)),
        ("aic", optional(s.aic)),
        ("bic", optional(s.bic)),
        ("overdispersion", optional(s.overdispersion)),
        ("nonlinearity", number(s.nonlinearity)),
        ("r_squared", optional(report.r_squared)),
        ("covariance_kind", json!(report.covariance_kind.name())),
        ("covariance", report.covariance.as_ref().map_or(Value::Null, matrix)),
        ("distribution", json!(s.distribution.name())),
        ("refused", json!(report.refused.map(|r| r.name()))),
        ("warnings", json!(warnings)),
        (
            "information",
            json!({
                "kind": report.options.information.name(), "rank": positive + negative,
                "positive": positive, "zero": zero, "negative": negative,
                "eigenvalues": numbers(&report.eigenvalues), "condition": number(report.condition),
                "null_space": matrix(&report.null_space),
            }),
        ),
        ("weights", json!(weights)),
        ("theta", json!(report.theta.as_ref().map(|t| t.iter().map(estimate).collect::<Vec<_>>()))),
        ("inputs", json!(inputs)),
        ("predictions", report.predictions.iter().map(prediction).collect()),
        ("effects", json!(effects)),
        ("leverage", json!(report.leverage.as_ref().map(numbers))),
        ("residuals", residuals(&report.residuals)),
        ("score_test", json!(report.score.as_ref().map(score))),
        ("laplace", json!(report.laplace.as_ref().map(laplace_to_json))),
    ];
    entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}
