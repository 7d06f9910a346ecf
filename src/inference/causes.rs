//! Why a matrix is singular or a test invalid: each cause by its own cheap test, in words that tell what to do.

use ndarray::{Array1, Array2, Axis, s};

use super::laplace::is_odd;
use super::likelihood::Family;
use super::names::Names;
use super::spectrum::{Spectrum, scales};
use crate::error::Result;
use crate::network::{Activation, Network};
use crate::objective::Data;
use crate::problem::Problem;

/// A warning to a user before the tables are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// Its kind, such as `singular`.
    pub kind: &'static str,
    /// The cause, where it was found: such as `collinear-inputs`.
    pub cause: Option<&'static str>,
    /// The finding, and the advice.
    pub text: String,
}

impl Warning {
    pub(super) fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Warning { kind, cause: None, text: text.into() }
    }

    pub(super) fn because(cause: &'static str, text: impl Into<String>) -> Self {
        Warning { kind: "singular", cause: Some(cause), text: text.into() }
    }
}

/// A hidden unit whose p is linear in its weights.
struct HiddenUnit {
    layer: usize,
    row: usize,
    activation: Activation,
    /// The weights into it.
    incoming: Vec<f64>,
    /// The weights out of it, of units that are linear.
    outgoing: Vec<f64>,
    /// p in every row of positive weight.
    inputs: Array1<f64>,
}

/// Weights closer than this part of the largest are equal.
const EQUAL: f64 = 1e-6;
/// Slopes up to this are 0.
const FLAT: f64 = 1e-6;

/// Returns the hidden linear units, with the rows of positive weight.
fn hidden_units(problem: &Problem, w: &[f64], parameters: &[f64]) -> Result<Vec<HiddenUnit>> {
    let (network, data) = (problem.network(), problem.data()?);
    let rows: Vec<usize> = (0..data.len()).filter(|&i| data.weights()[i] > 0.0).collect();
    let configuration = problem.configuration(parameters)?;
    let mut states = vec![data.x()];
    states.extend(configuration.states.iter().map(|states| states.view()));
    let mut units = Vec::new();
    for (k, group) in
        network.groups().filter(|(k, g)| *k < network.depth() && g.propagation.is_linear())
    {
        let layer = &network.layers()[k - 1];
        let starts = group.range.clone().step_by(group.row);
        for ((row, activation), start) in group.units.clone().zip(group.activations()).zip(starts) {
            let incoming = w[start..start + group.row].to_vec();
            // p = w·z, source by source, and the bias.
            let mut inputs = Array1::from_elem(rows.len(), 0.0);
            let mut column = 0;
            for &t in &layer.sources {
                let of_source = Array1::from(incoming[column..column + network.width(t)].to_vec());
                inputs += &states[t].select(Axis(0), &rows).dot(&of_source);
                column += network.width(t);
            }
            if layer.bias {
                inputs += incoming[column];
            }
            let outgoing = outgoing(network, w, k, row);
            units.push(HiddenUnit { layer: k, row, activation, incoming, outgoing, inputs });
        }
    }
    Ok(units)
}

fn outgoing(network: &Network, w: &[f64], k: usize, row: usize) -> Vec<f64> {
    let mut all = Vec::new();
    for (r, column) in network.consumers(k) {
        for group in &network.layers()[r - 1].groups {
            if !group.propagation.is_linear() {
                all.push(f64::NAN);
                continue;
            }
            all.extend(group.range.clone().step_by(group.row).map(|start| w[start + column + row]));
        }
    }
    all
}

/// Returns what is wrong with single hidden units: dead, saturated, equal or opposite.
pub(super) fn of_units(
    problem: &Problem,
    parameters: &[f64],
    names: &Names,
) -> Result<Vec<Warning>> {
    let network = problem.network();
    let weights = problem.network_weights(parameters)?;
    let units = hidden_units(problem, &weights, parameters)?;
    let name = |unit: &HiddenUnit| names.unit(network, unit.layer, unit.row);
    let mut warnings = Vec::new();
    for unit in &units {
        if largest(&unit.outgoing) <= 1e-10 {
            let text = format!(
                "unit {} is dead: nothing uses it, so its incoming weights are not identified; remove it",
                name(unit)
            );
            warnings.push(Warning::new("dead-unit", text));
        }
        if unit.inputs.iter().all(|&p| unit.activation.derivatives(p)[1].abs() < FLAT) {
            let text = format!(
                "unit {} is saturated: it is the same constant for all rows, so its incoming weights are not \
                 identified; remove it and move its constant into the biases behind it, or fit with a penalty",
                name(unit)
            );
            warnings.push(Warning::new("saturated-unit", text));
        }
    }
    let mut joined = vec![false; units.len()];
    for (i, a) in units.iter().enumerate() {
        if joined[i] {
            continue;
        }
        let mut others = Vec::new();
        for (j, b) in units.iter().enumerate().skip(i + 1) {
            if let Some(how) = alike(a, b) {
                joined[j] = true;
                others.push((name(b), how));
            }
        }
        let text = match others.as_slice() {
            [] => continue,
            [(other, how)] => format!("units {} and {other} are {how}", name(a)),
            _ => {
                let all: Vec<&str> = others.iter().map(|(other, _)| other.as_str()).collect();
                format!("units {} and {} are equal or opposite", name(a), all.join(", "))
            }
        };
        let text = format!(
            "{text}: only a combination of their outgoing weights is identified; merge them, or start the fit elsewhere"
        );
        warnings.push(Warning::new("equal-units", text));
    }
    Ok(warnings)
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m: f64, v| m.max(v.abs()))
}

/// How two units of a layer are the same but for a factor behind them, if they are.
fn alike(a: &HiddenUnit, b: &HiddenUnit) -> Option<&'static str> {
    if a.layer != b.layer || a.activation != b.activation {
        return None;
    }
    let size = largest(&a.incoming).max(largest(&b.incoming));
    let apart = |sign: f64| {
        let pairs = a.incoming.iter().zip(&b.incoming);
        pairs.fold(0.0, |m: f64, (a, b)| m.max((a - sign * b).abs())) <= EQUAL * size
    };
    // An opposite logistic unit is one minus the other.
    let mirrored = is_odd(a.activation) || a.activation == Activation::Logistic;
    match (apart(1.0), mirrored && apart(-1.0)) {
        (true, _) => Some("equal"),
        (_, true) => Some("opposite"),
        _ => None,
    }
}

/// Returns the linear relations between the inputs that a layer sees.
pub(super) fn of_inputs(problem: &Problem, names: &Names) -> Result<Vec<Warning>> {
    let (network, data) = (problem.network(), problem.data()?);
    let Some(layer) = network.layers().iter().find(|l| l.sources.first() == Some(&0)) else {
        return Ok(Vec::new());
    };
    let rows: Vec<usize> = (0..data.len()).filter(|&i| data.weights()[i] > 0.0).collect();
    let (inputs, bias) = (network.inputs(), usize::from(layer.bias));
    let mut root = Array2::ones((rows.len(), inputs + bias));
    root.slice_mut(s![.., ..inputs]).assign(&data.x().select(Axis(0), &rows));
    let squares =
        Array2::from_diag(&root.columns().into_iter().map(|c| c.dot(&c)).collect::<Array1<f64>>());
    let null = Spectrum::of_root(&root, scales(&squares))?.null_space();
    Ok(relations(null, inputs)
        .into_iter()
        .map(|(lead, terms)| relation(lead, &terms, names))
        .collect())
}

/// Returns for each vector of a null space the last input in it, with its terms in the others: x_lead = Σ c_j x_j, the constant
/// last.
fn relations(mut null: Array2<f64>, inputs: usize) -> Vec<(usize, Vec<f64>)> {
    let (count, width) = null.dim();
    let mut found = Vec::new();
    let mut next = 0;
    for lead in (0..inputs).rev() {
        let Some(pivot) =
            (next..count).max_by(|&a, &b| null[[a, lead]].abs().total_cmp(&null[[b, lead]].abs()))
        else {
            break;
        };
        if null[[pivot, lead]].abs() < 1e-7 {
            continue;
        }
        for column in 0..width {
            null.swap([pivot, column], [next, column]);
        }
        let by = null[[next, lead]];
        null.row_mut(next).mapv_inplace(|v| v / by);
        let row = null.row(next).to_owned();
        for other in (0..count).filter(|&other| other != next) {
            let factor = null[[other, lead]];
            null.row_mut(other).scaled_add(-factor, &row);
        }
        found.push(lead);
        next += 1;
    }
    let terms = |(row, lead): (usize, usize)| {
        let of = |(j, v): (usize, &f64)| if j == lead { 0.0 } else { -v };
        (lead, null.row(row).iter().enumerate().map(of).collect())
    };
    found.into_iter().enumerate().map(terms).collect()
}

fn relation(lead: usize, terms: &[f64], names: &Names) -> Warning {
    let largest = terms.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let mut sum = String::new();
    let mut inputs = 0;
    for (j, &c) in terms.iter().enumerate().filter(|(_, c)| c.abs() > 1e-6 * largest) {
        let name = names.inputs.get(j).map(String::as_str);
        inputs += usize::from(name.is_some());
        let digits = format!("{:.6}", c.abs());
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        let sign = match (sum.is_empty(), c < 0.0) {
            (true, true) => "-",
            (true, false) => "",
            (false, true) => " - ",
            (false, false) => " + ",
        };
        sum.push_str(sign);
        sum.push_str(&match (name, digits) {
            (Some(name), "1") => name.to_string(),
            (Some(name), digits) => format!("{digits} {name}"),
            (None, digits) => digits.to_string(),
        });
    }
    let lead = &names.inputs[lead];
    if inputs == 0 {
        let value = if sum.is_empty() { "0" } else { &sum };
        let text = format!(
            "input {lead} is constant ({value}): its weights cannot be told from the biases; leave it out"
        );
        return Warning::because("constant-input", text);
    }
    let text = format!(
        "inputs are collinear: {lead} = {sum}; their weights are not identified; leave one of them out"
    );
    Warning::because("collinear-inputs", text)
}

/// Returns whether a classifier without penalty separates its classes, so that no finite minimum exists.
pub(super) fn of_separation(
    problem: &Problem,
    data: &Data,
    family: &Family,
    outputs: &Array2<f64>,
) -> Option<Warning> {
    let last = problem.network().layers().last()?;
    let is_linear = last.is_linear() && last.runs().iter().all(|(a, _)| *a == Activation::Identity);
    let rows: Vec<usize> = (0..data.len()).filter(|&i| data.weights()[i] > 0.0).collect();
    let (x, y) = (outputs.select(Axis(0), &rows), data.y().select(Axis(0), &rows));
    let separated = match family {
        Family::Bernoulli => (x.columns().into_iter().zip(y.columns())).any(|(x, y)| {
            x.iter().zip(y).all(|(x, y)| (2.0 * y - 1.0) * x > 0.0 && (*y == 0.0 || *y == 1.0))
        }),
        Family::Categorical => x.outer_iter().zip(y.outer_iter()).all(|(x, y)| {
            let Some(class) = y.iter().position(|v| *v == 1.0) else { return false };
            x.iter().enumerate().all(|(o, v)| o == class || *v < x[class])
        }),
        _ => return None,
    };
    if separated && is_linear && problem.ties().is_none() {
        let text = "the network separates the classes: the loss has no minimum, larger output weights always lower it, \
                    and estimates and standard errors have no meaning; fit with a penalty (--ridge)";
        return Some(Warning::new("separation", text));
    }
    let extreme = (x.outer_iter())
        .any(|x| family.mean(&x.to_vec()).iter().any(|p| *p < 1e-8 || *p > 1.0 - 1e-8));
    extreme.then(|| {
        let text = "fitted probabilities are 0 or 1 to 8 digits: the classes may be separated in part; consider a penalty \
                    (--ridge)";
        Warning::new("separation", text)
    })
}
