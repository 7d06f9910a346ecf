//! The model of a table before training, and where its training starts.

use ndarray::Array2;
use secondo::io::{Dataset, Model, Standardization, Target};
use secondo::{Activation, Error, Initialization, Loss, Network, Penalty, Problem, Reduction};

use super::loss;
use super::network::network;
use super::options::{NetworkOptions, Options, class_index};
use crate::exit::Failure;
use crate::table::{Known, Rows};

/// A failure in the table, or in a line of its target.
pub fn in_data(options: &Options, line: Option<u64>, why: String) -> Failure {
    let target = options.target.target().ok().map(String::from);
    Failure::from(Error::Format { path: options.data.clone(), line, column: line.and(target), why })
}

/// A network and a penalty to choose, and from how many starts they are fitted.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub network: NetworkOptions,
    pub ridge: f64,
    pub starts: u16,
}

/// The numbers of rows to train with, inputs and outputs of a table.
pub struct Sizes {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl Sizes {
    /// Returns those of `data` with so many rows to train with.
    ///
    /// # Errors
    /// A loss that does not suit the target.
    pub fn of(options: &Options, data: &Dataset, rows: usize) -> Result<Self, Failure> {
        let outputs = outputs(&loss_of(options, data)?, data);
        Ok(Sizes { rows, inputs: data.features.len(), outputs })
    }

    /// The width of the hidden layer where none is given: ten numbers to predict for each parameter, but 8 to 64 units.
    fn width(&self) -> usize {
        let per_unit = self.inputs + self.outputs + 1;
        (self.rows.saturating_mul(self.outputs) / (10 * per_unit)).clamp(8, 64)
    }
}

/// The most rows times parameters of all networks to choose from, and parameters of one, for which a penalty is chosen without being asked
/// for, by 35 fits of each: 1,438 rows with two networks of 1,435 parameters take less than half a minute.
const MOST_WORK: usize = 6_000_000;
const MOST_PARAMETERS: usize = 5000;
/// From so many starts each of them is fitted where rows times parameters are no more, for one alone may end in a poor minimum.
const STARTS: u16 = 3;
const MOST_WORK_FOR_STARTS: usize = 250_000;

/// The candidates that the options give: the one, or several. A penalty that is not given is chosen, too, unless the networks are large or there is another
/// hindrance; then a note says so. With it goes the choice between tanh units, SiLU units and a linear model, where nothing is said of the network.
///
/// # Errors
/// A network that there cannot be.
pub fn candidates(
    options: &Options,
    sizes: &Sizes,
    hindrance: &dyn Fn() -> Option<&'static str>,
) -> Result<(Vec<Candidate>, Option<String>), Failure> {
    let &Sizes { rows, inputs, outputs } = sizes;
    let mut networks = options.network.candidates(sizes.width());
    let given = networks.len();
    if options.objective.ridge.is_none() && options.network.is_default() {
        networks.push(networks[0].with(Activation::Silu));
        networks.push(options.network.linear());
    }
    let (mut work, mut most) = (0usize, 0);
    for of in &networks {
        let parameters = network(of, inputs, outputs)?.parameters();
        work = work.saturating_add(rows.saturating_mul(parameters));
        most = most.max(parameters);
    }
    let is_large = work > MOST_WORK || most > MOST_PARAMETERS;
    let large = "rows times the parameters of all networks to choose from are more than 6,000,000, or the parameters of one more than 5,000";
    let hindrance = if is_large { Some(large) } else { hindrance() };
    if hindrance.is_some() {
        networks.truncate(given);
    }
    let factors = options.objective.factors(rows, hindrance.is_none());
    let is_chosen = hindrance.is_none() && networks.len() * factors.len() > 1;
    let usual = if is_chosen && work <= MOST_WORK_FOR_STARTS { STARTS } else { 1 };
    let note = (hindrance.filter(|_| options.objective.ridge.is_none())).map(|why| {
        format!("the penalty is 1 and was not chosen, since {why}; --ridge gives another")
    });
    let with = |network: NetworkOptions| {
        let (factors, starts) = (factors.iter(), options.starts.count(&network, usual));
        factors.map(move |&ridge| Candidate { network: network.clone(), ridge, starts })
    };
    Ok((networks.into_iter().flat_map(with).collect(), note))
}

/// The start with this seed. Weights that the data do not determine begin, and stay, at 0.
pub fn start(
    model: &Model,
    problem: &Problem,
    rule: Initialization,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let x = problem.data()?.x();
    let mut start = rule.draw_from(problem.network(), &x, seed)?;
    let idle: Vec<usize> =
        (0..x.ncols()).filter(|&c| x.column(c).iter().all(|v| *v == 0.0)).collect();
    idle_weights(problem.network(), &idle).into_iter().for_each(|l| start[l] = 0.0);
    match model.ties()? {
        None => Ok(start),
        Some(ties) => ties.project(&start),
    }
}

/// The places of the weights of linear units behind inputs `idle` that are 0 in every row. The data do not determine them; at 0 they stay
/// there, and no prediction depends on such an input.
pub(super) fn idle_weights(network: &Network, idle: &[usize]) -> Vec<usize> {
    let fed = network.layers().iter().filter(|layer| layer.sources.first() == Some(&0));
    let groups = fed.flat_map(|layer| &layer.groups).filter(|g| g.propagation.is_linear());
    (groups.flat_map(|g| g.range.clone().step_by(g.row.max(1))))
        .flat_map(|row| idle.iter().map(move |c| row + c))
        .collect()
}

pub(super) fn loss_of(options: &Options, data: &Dataset) -> Result<Loss, Failure> {
    let objective = &options.objective;
    loss::choose(objective.loss.as_deref(), [objective.delta, objective.dispersion], data)
}

/// The number of outputs of a network that learns the target of `data`.
fn outputs(loss: &Loss, data: &Dataset) -> usize {
    match &data.target {
        _ if matches!(loss, Loss::BinaryCrossEntropy) => 1,
        Target::Numbers(y) => y.ncols(),
        Target::Classes { labels, .. } => labels.len(),
    }
}

/// The model before training, with what the user should know about the rows to train with.
pub fn model(
    options: &Options,
    data: &Dataset,
    candidate: &Candidate,
    train: &Rows,
) -> Result<(Model, Vec<String>), Failure> {
    let objective = &options.objective;
    let loss = loss_of(options, data)?;
    let classes = match &data.target {
        Target::Numbers(y) => {
            check_targets(options, data, &loss, y)?;
            Vec::new()
        }
        Target::Classes { labels, .. } => labels.clone(),
    };
    let network = network(&candidate.network, data.features.len(), outputs(&loss, data))?;
    let weights = vec![0.0; network.parameters()];
    let mut model = Model::new(network, weights, loss)?;
    model.features = data.features.clone();
    model.columns = data.columns.clone();
    model.targets = data.targets.clone();
    model.exposure = data.exposure.clone();
    let class = |name: &String| class_index("--reference-class", &classes, name);
    model.reference = objective.reference_class.as_ref().map(class).transpose()?;
    if let Some(weights) = &objective.class_weights {
        model.class_weights = weights.of(&classes, &class_sums(&classes, train))?;
    }
    model.classes = classes;
    let (standardization, warnings) = standardization(&model, train)?;
    model.standardization = standardization;
    if candidate.ridge > 0.0 {
        let include_bias = objective.includes_bias();
        model.penalty = Penalty::Ridge { lambda: candidate.ridge, include_bias };
    }
    if objective.mean {
        model.reduction = Reduction::Mean;
    }
    model.check()?;
    Ok((model, warnings))
}

/// That the loss is defined for all targets.
fn check_targets(
    options: &Options,
    data: &Dataset,
    loss: &Loss,
    y: &Array2<f64>,
) -> Result<(), Failure> {
    let refused = y.indexed_iter().find_map(|((i, _), y)| Some((i, *y, loss.refuses(*y)?)));
    match refused {
        None => Ok(()),
        Some((i, y, why)) => {
            let why = format!("{y} {why}; the loss {} is not defined there", loss.name());
            Err(in_data(options, Some(data.lines[i]), why))
        }
    }
}

/// The weight of the rows of each class.
fn class_sums(classes: &[String], rows: &Rows) -> Vec<f64> {
    let mut sums = vec![0.0; classes.len()];
    if let Some(Known::Classes(index)) = &rows.target {
        for (i, &class) in index.iter().enumerate() {
            sums[class] += rows.weights.as_ref().map_or(1.0, |w| w[i]);
        }
    }
    sums
}

/// Mean and scale of the rows to train with, and warnings on columns and classes.
fn standardization(model: &Model, train: &Rows) -> Result<(Standardization, Vec<String>), Failure> {
    let weights = train.weights.as_deref();
    let (mut standardization, mut warnings) =
        Standardization::of_inputs(&train.x, &model.features, model.targets.len(), weights)?;
    match &train.target {
        Some(Known::Numbers(y)) if loss::shifts(&model.loss) => {
            let more;
            (standardization, more) = standardization.with_targets(y, &model.targets, weights)?;
            warnings.extend(more);
        }
        Some(Known::Classes(index)) => {
            let mut counts = vec![0usize; model.classes.len()];
            index.iter().for_each(|&class| counts[class] += 1);
            let single: Vec<&str> = (model.classes.iter().zip(&counts))
                .filter(|(_, count)| **count == 1)
                .map(|(label, _)| label.as_str())
                .take(10)
                .collect();
            if !single.is_empty() {
                warnings.push(format!("there is only one row to train for: {}", single.join(", ")));
            }
        }
        _ => {}
    }
    Ok((standardization, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tables_have_wide_layers() {
        for (rows, inputs, outputs, width) in [
            (120, 4, 3, 8),
            (354, 10, 1, 8),
            (1438, 64, 10, 19),
            (16_000, 16, 26, 64),
            (1_000_000, 10, 1, 64),
            (usize::MAX, 1, 1, 64),
        ] {
            assert_eq!(Sizes { rows, inputs, outputs }.width(), width);
        }
    }
}
