//! The loss that suits a table.

use secondo::io::{Dataset, Target, Task, loss_from_json};
use secondo::{Loss, LossKind};
use serde_json::json;

use crate::exit::Failure;

/// The options that are parameters of losses.
const PARAMETERS: [&str; 2] = ["delta", "dispersion"];

/// The help of `--loss`: the losses that tables can have.
pub fn help() -> String {
    format!(
        "{}; {} [default: sos; bce_logits for two classes, softmax_ce for more]",
        names(of_numbers()),
        names(Loss::KINDS.iter().filter(|kind| kind.is_classification))
    )
}

fn names(kinds: impl Iterator<Item = &'static LossKind>) -> String {
    kinds.map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// The losses for numbers whose parameters are options.
fn of_numbers() -> impl Iterator<Item = &'static LossKind> {
    (Loss::KINDS.iter())
        .filter(|kind| !kind.is_classification)
        .filter(|kind| kind.parameters.iter().all(|p| PARAMETERS.contains(p)))
}

/// Returns the loss of that name with the given `delta` and `dispersion`, or the one that the task of the data chooses.
///
/// # Errors
/// One that does not fit the task, or does not take a parameter that is given.
pub fn choose(
    name: Option<&str>,
    given: [Option<f64>; PARAMETERS.len()],
    data: &Dataset,
) -> Result<Loss, Failure> {
    let wrong = |known: &str| {
        Err(Failure::usage(format!(
            "--loss {} does not fit a {}; losses for it: {known}",
            name.unwrap_or_default(),
            data.task()
        )))
    };
    let parameters = parameters(name, given)?;
    match &data.target {
        Target::Numbers(_) => {
            let name = name.unwrap_or("sos");
            if of_numbers().all(|kind| kind.name != name) {
                return wrong(&names(of_numbers()));
            }
            let mut form = json!({"type": name});
            let of_loss = LossKind::from_name(name)?.parameters;
            for (parameter, value) in parameters.into_iter().filter(|p| of_loss.contains(&p.0)) {
                form[parameter] = value.into();
            }
            Ok(loss_from_json(&form)?)
        }
        Target::Classes { labels, .. } => match (name, labels.len()) {
            (None | Some("bce_logits"), 2) => Ok(Loss::BinaryCrossEntropy),
            (None | Some("softmax_ce"), _) => Ok(Loss::SoftmaxCrossEntropy),
            (Some("bce_logits"), classes) => Err(Failure::usage(format!(
                "--loss bce_logits is for two classes, and there are {classes}; use softmax_ce"
            ))),
            (Some(_), 2) => wrong("bce_logits, softmax_ce"),
            (Some(_), _) => wrong("softmax_ce"),
        },
    }
}

/// Whether the targets could be learnt by the other task, too.
pub fn other_task_possible(target: &Target) -> bool {
    match target {
        Target::Numbers(y) => y.iter().all(|v| v.fract() == 0.0),
        Target::Classes { labels, .. } => labels.iter().all(|l| l.parse::<f64>().is_ok()),
    }
}

/// Regression for the name of a loss for numbers.
pub fn task(name: Option<&str>) -> Option<Task> {
    let kind = LossKind::from_name(name?).ok()?;
    (!kind.is_classification).then_some(Task::Regression)
}

/// The parameters of losses, 1 unless they are given, which only those of the chosen loss may be.
fn parameters(
    name: Option<&str>,
    given: [Option<f64>; PARAMETERS.len()],
) -> Result<[(&'static str, f64); PARAMETERS.len()], Failure> {
    for (parameter, _) in PARAMETERS.iter().zip(given).filter(|p| p.1.is_some()) {
        let has_it = |kind: &&LossKind| kind.parameters.contains(parameter);
        let mut losses = Loss::KINDS.iter().filter(has_it);
        if losses.all(|kind| Some(kind.name) != name) {
            let losses = names(Loss::KINDS.iter().filter(has_it)).replace(", ", " and --loss ");
            return Err(Failure::usage(format!("--{parameter} is for --loss {losses}")));
        }
    }
    Ok(std::array::from_fn(|at| (PARAMETERS[at], given[at].unwrap_or(1.0))))
}

/// Whether the target may be shifted and scaled without changing what the loss means.
pub fn shifts(loss: &Loss) -> bool {
    loss.kind().is_some_and(|kind| kind.is_location)
}

/// The loss in words, with its name.
pub fn in_words(loss: &Loss) -> String {
    let words = loss.kind().map_or("the losses", |kind| kind.words);
    format!("{words} ({})", loss.name())
}
