//! The loss that suits a table.

use secondo::Loss;
use secondo::io::{Dataset, Target};

use super::options::ObjectiveOptions;
use crate::exit::Failure;

/// The loss that the options or the task of the data choose.
///
/// # Errors
/// One that does not fit the task, or takes no `--delta`.
pub fn choose(options: &ObjectiveOptions, data: &Dataset) -> Result<Loss, Failure> {
    let name = options.loss.as_deref();
    let delta = options.delta.unwrap_or(1.0);
    if options.delta.is_some() && !matches!(name, Some("logcosh" | "pseudo_huber")) {
        return Err(Failure::usage(
            "--delta is for --loss logcosh and --loss pseudo_huber",
        ));
    }
    let wrong = |known: &str| {
        Err(Failure::usage(format!(
            "--loss {} does not fit a {}; losses for it: {known}",
            name.unwrap_or_default(),
            data.task()
        )))
    };
    match &data.target {
        Target::Numbers(_) => match name {
            None | Some("sos") => Ok(Loss::SquaredError),
            Some("logcosh") => Ok(Loss::LogCosh { delta }),
            Some("pseudo_huber") => Ok(Loss::PseudoHuber { delta }),
            Some("poisson") => Ok(Loss::Poisson),
            Some(_) => wrong("sos, logcosh, pseudo_huber, poisson"),
        },
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

/// Whether the target may be shifted and scaled without changing what the loss means.
pub fn shifts(loss: &Loss) -> bool {
    matches!(
        loss,
        Loss::SquaredError | Loss::LogCosh { .. } | Loss::PseudoHuber { .. }
    )
}

/// The loss in words, with its name.
pub fn in_words(loss: &Loss) -> String {
    let words = match loss {
        Loss::SquaredError => "half the squared errors",
        Loss::WeightedSquaredError { .. } => "half the weighted squared errors",
        Loss::BinaryCrossEntropy => "the logistic losses",
        Loss::SoftmaxCrossEntropy => "the cross-entropies",
        Loss::Poisson => "the Poisson losses",
        Loss::LogCosh { .. } => "the log-cosh losses",
        Loss::PseudoHuber { .. } => "the pseudo-Huber losses",
        _ => "the losses",
    };
    format!("{words} ({})", loss.name())
}
