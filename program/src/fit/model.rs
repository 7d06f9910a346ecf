//! The model of a table before training, and where its training starts.

use ndarray::{ArrayRef2, Axis};
use secondo::io::{Dataset, Model, Standardization, Target};
use secondo::{Error, Initialization, Loss, Network, Penalty, Problem, Reduction};

use super::loss;
use super::network::network;
use super::options::Options;
use crate::exit::Failure;
use crate::table::column;

/// A failure in the table, or in a line of its target.
pub fn in_data(options: &Options, line: Option<u64>, why: String) -> Failure {
    let target = options.target.target().ok().map(String::from);
    Failure::from(Error::Format { path: options.data.clone(), line, column: line.and(target), why })
}

/// The start with this seed. Weights that the data do not determine begin, and stay, at 0.
pub fn start(problem: &Problem, rule: Initialization, seed: u64) -> Result<Vec<f64>, Error> {
    let x = problem.data().x();
    let mut start = rule.draw_from(problem.network(), &x, seed)?;
    idle_weights(problem.network(), &x).into_iter().for_each(|l| start[l] = 0.0);
    Ok(start)
}

/// The places of the weights of linear units behind inputs that are 0 in every row. The data do not determine them; at 0 they stay
/// there, and no prediction depends on such an input.
fn idle_weights(network: &Network, x: &ArrayRef2<f64>) -> Vec<usize> {
    let idle: Vec<usize> =
        (0..x.ncols()).filter(|&c| x.column(c).iter().all(|v| *v == 0.0)).collect();
    let fed = network.layers().iter().filter(|layer| layer.sources.first() == Some(&0));
    let groups = fed.flat_map(|layer| &layer.groups).filter(|g| g.propagation.is_linear());
    (groups.flat_map(|g| g.range.clone().step_by(g.row.max(1))))
        .flat_map(|row| idle.iter().map(move |c| row + c))
        .collect()
}

/// The model before training, with what the user should know about the data.
pub fn model(
    options: &Options,
    data: &Dataset,
    target: &str,
    train_rows: &[usize],
    lambda: f64,
) -> Result<(Model, Vec<String>), Failure> {
    let objective = &options.objective;
    let given = [objective.delta, objective.dispersion];
    let loss = loss::choose(objective.loss.as_deref(), given, data)?;
    if let Target::Numbers(y) = &data.target {
        let refused = |(i, y): (usize, &f64)| Some((i, loss.refuses(*y)?));
        if let Some((i, why)) = y.iter().enumerate().find_map(refused) {
            let why = format!("{} {why}; the loss {} is not defined there", y[i], loss.name());
            return Err(in_data(options, Some(data.lines[i]), why));
        }
    }
    let classes = match &data.target {
        Target::Numbers(_) => Vec::new(),
        Target::Classes { labels, .. } => labels.clone(),
    };
    let outputs = match loss {
        Loss::SoftmaxCrossEntropy => classes.len(),
        _ => 1,
    };
    let (standardization, warnings) = standardization(data, &loss, target, train_rows)?;
    let network = network(&options.network, data.features.len(), outputs)?;
    let weights = vec![0.0; network.parameters()];
    let mut model = Model::new(network, weights, loss)?;
    model.features = data.features.clone();
    model.columns = data.columns.clone();
    model.targets = vec![target.to_string()];
    model.classes = classes;
    model.standardization = standardization;
    if lambda > 0.0 {
        model.penalty =
            Penalty::Ridge { lambda, include_bias: options.objective.ridge_bias.unwrap_or(true) };
    }
    if options.objective.mean {
        model.reduction = Reduction::Mean;
    }
    model.check()?;
    Ok((model, warnings))
}

/// Mean and scale of the rows to train with, and warnings on columns and classes.
fn standardization(
    data: &Dataset,
    loss: &Loss,
    target: &str,
    train_rows: &[usize],
) -> Result<(Standardization, Vec<String>), Failure> {
    let x = data.x.select(Axis(0), train_rows);
    let weights: Option<Vec<f64>> =
        data.weights.as_ref().map(|w| train_rows.iter().map(|&i| w[i]).collect());
    let weights = weights.as_deref();
    let (mut standardization, mut warnings) =
        Standardization::of_inputs(&x, &data.features, 1, weights)?;
    match &data.target {
        Target::Numbers(y) if loss::shifts(loss) => {
            let y: Vec<f64> = train_rows.iter().map(|&i| y[i]).collect();
            let more;
            (standardization, more) =
                standardization.with_targets(&column(&y), &[target.to_string()], weights)?;
            warnings.extend(more);
        }
        Target::Numbers(_) => {}
        Target::Classes { labels, index } => {
            let mut counts = vec![0usize; labels.len()];
            train_rows.iter().for_each(|&i| counts[index[i]] += 1);
            let single: Vec<&str> = (labels.iter().zip(&counts))
                .filter(|(_, count)| **count == 1)
                .map(|(label, _)| label.as_str())
                .take(10)
                .collect();
            if !single.is_empty() {
                warnings.push(format!("there is only one row to train for: {}", single.join(", ")));
            }
        }
    }
    Ok((standardization, warnings))
}
