//! Intervals for the network's output and for new observations.

use ndarray::{Array1, Array2, ArrayView1};

use super::likelihood::{Family, MeanResponse};
use super::summary::Scale;
use super::{Estimate, Inference, laplace};
use crate::error::Result;
use crate::network::Activation;
use crate::objective::{Data, Loss, LossFunction};
use crate::problem::Problem;

/// The prediction for one row of inputs, on the scale of the network's outputs: the linear predictor where the loss has a link.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Each output with its interval for the mean.
    pub outputs: Vec<Estimate>,
    /// The mean response of each output where the loss has a link: standard errors by the delta method, intervals with transformed
    /// ends.
    pub response: Option<Vec<Estimate>>,
    /// The interval for a new observation of each output, of squared errors; `None` where it is not estimable.
    pub observation: Option<Vec<Option<(f64, f64)>>>,
    /// The probabilities with the spread of the outputs taken in, of classifiers.
    pub moderated: Option<Vec<f64>>,
}

pub(super) fn predictions(
    inference: &Inference,
    posterior: Option<&Array2<f64>>,
    x: &Array2<f64>,
) -> Result<Vec<Prediction>> {
    let problem = inference.problem;
    let m = problem.network().outputs();
    let data = Data::new(x.clone(), Array2::zeros((x.nrows(), m)))?;
    // Outputs and Jacobian do not depend on the loss, and no target is known.
    let mut there = Problem::new(problem.network().clone(), data, Loss::SquaredError)?;
    if let Some(constraint) = problem.ties() {
        there = there.constraint(constraint.clone())?;
    }
    let (outputs, jacobian) = there.linearization(&inference.w)?;
    let judge = inference.judge();
    let quantile = judge.quantile();
    let noise = noise(inference);
    let mut all = Vec::with_capacity(x.nrows());
    for (i, x) in outputs.chunks(m).enumerate() {
        let rows = || (0..m).map(|o| jacobian.row(i * m + o));
        let estimates: Vec<Estimate> =
            rows().zip(x).map(|(c, &mean)| judge.estimate(mean, c, quantile)).collect();
        let observation = noise.as_ref().map(|noise| {
            let interval = |(e, noise): (&Estimate, &f64)| {
                let half = quantile * (e.std_error?.powi(2) + noise).sqrt();
                Some((e.estimate - half, e.estimate + half))
            };
            estimates.iter().zip(noise).map(interval).collect()
        });
        let is_estimable = estimates.iter().all(|e| e.identified);
        let moderated = posterior.filter(|_| is_estimable).and_then(|v| {
            let variances: Vec<f64> = rows().map(|c| c.dot(&v.dot(&c))).collect();
            laplace::moderated(&inference.family, x, &variances)
        });
        let response = response(&inference.family, x, &estimates, quantile, |c| {
            judge.std_error(combined(c, rows()).view())
        });
        all.push(Prediction { outputs: estimates, response, observation, moderated });
    }
    Ok(all)
}

/// Returns Σ c_o J_o.
fn combined<'a>(c: &[f64], rows: impl Iterator<Item = ArrayView1<'a, f64>>) -> Array1<f64> {
    let mut sum = Array1::zeros(0);
    for (row, c) in rows.zip(c) {
        sum = if sum.is_empty() { &row * *c } else { sum + &row * *c };
    }
    sum
}

/// Returns the mean responses; `std_error` gives the standard error of a combination of the outputs.
fn response(
    family: &Family,
    x: &[f64],
    outputs: &[Estimate],
    quantile: f64,
    std_error: impl Fn(&[f64]) -> Option<f64>,
) -> Option<Vec<Estimate>> {
    if family.is_identity() {
        return None;
    }
    let means = family.mean(x);
    let of_output = |(o, output): (usize, &Estimate)| {
        let mut slopes = vec![0.0; x.len()];
        MeanResponse { family: family.clone(), output: o }.gradient(x, &[], &mut slopes);
        let (mean, std_error) = (means[o], std_error(&slopes));
        let ends = match family {
            // On the scale of the log odds of this class against all others.
            Family::Categorical => std_error.map(|e| {
                let (odds, half) =
                    ((mean / (1.0 - mean)).ln(), quantile * e / (mean * (1.0 - mean)));
                let back = |x: f64| Activation::Logistic.value(x);
                (back(odds - half), back(odds + half))
            }),
            _ => {
                let back = |x: f64| family.mean(&[x])[0];
                output.lower.zip(output.upper).map(|(l, u)| (back(l), back(u)))
            }
        };
        Estimate {
            estimate: mean,
            identified: std_error.is_some() || output.identified,
            std_error,
            statistic: None,
            p_value: None,
            lower: ends.map(|e| e.0),
            upper: ends.map(|e| e.1),
        }
    };
    Some(outputs.iter().enumerate().map(of_output).collect())
}

/// The variance of a new observation of weight 1 about its mean, for each output of a squared error.
fn noise(inference: &Inference) -> Option<Vec<f64>> {
    let Family::Gaussian(v) = &inference.family else {
        return None;
    };
    Some(match &inference.summary.dispersion {
        Some(Scale::Matrix(sigma)) => sigma.diag().to_vec(),
        _ => v.iter().map(|v| inference.summary.phi / v).collect(),
    })
}
