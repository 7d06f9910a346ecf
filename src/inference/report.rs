//! Everything about a fit as one report, which prints.

use std::fmt;

use ndarray::Array2;

use super::causes::{self, Warning};
use super::likelihood::Family;
use super::names::{self, Names, Place};
use super::{
    Covariance, Distribution, Estimate, Inference, Laplace, LikelihoodRatio, Options, Prediction,
    Refusal, Residuals, Scale, ScoreTest, Summary, Wald,
};
use crate::error::Result;

/// The units of the data where the network sees others: output · y_scale + y_mean, input / x_scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// One for each input.
    pub x_scale: Vec<f64>,
    /// One for each output.
    pub y_scale: Vec<f64>,
    /// One for each output.
    pub y_mean: Vec<f64>,
}

/// A weight of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightRow {
    /// Which weight.
    pub place: Place,
    /// The weight.
    pub estimate: Estimate,
    /// The ends of its profile interval, if it was asked for.
    pub profile: Option<[Option<f64>; 2]>,
    /// 1 − λ_k [A⁻¹]_kk, the share of it that the data determine, where there is a Gaussian prior; below a half the penalty rules it,
    /// and its p-value has no meaning.
    pub share: Option<f64>,
}

/// The tests that an input has no weights.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTest {
    /// The name of the input.
    pub name: String,
    /// Wald's; none where units that are not linear see the input.
    pub wald: Option<Wald>,
    /// The likelihood ratio, if it was asked for.
    pub ratio: Option<LikelihoodRatio>,
}

/// The average slope of an output's mean response in an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The input, from 0.
    pub input: usize,
    /// The output, from 0.
    pub output: usize,
    /// The slope, in the units of the data.
    pub slope: Estimate,
    /// The partial effect of a step of one standard deviation of the input, if it was asked for; in the units of the output.
    pub partial: Option<Estimate>,
}

/// Everything about a fit; `Display` prints it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The names of inputs and outputs.
    pub names: Names,
    /// The network's widths.
    pub network: String,
    /// The options.
    pub options: Options,
    /// The numbers about the fit as a whole; with units likelihood, AIC and BIC are those of the targets in these.
    pub summary: Summary,
    /// The kind of the covariance.
    pub covariance_kind: Covariance,
    /// The covariance of the parameters.
    pub covariance: Option<Array2<f64>>,
    /// Why there is none.
    pub refused: Option<Refusal>,
    /// The warnings to know before the tables are read.
    pub warnings: Vec<Warning>,
    /// The scaled eigenvalues of the information, ascending.
    pub eigenvalues: Vec<f64>,
    /// The numbers of positive, zero and negative ones.
    pub inertia: (usize, usize, usize),
    /// max |λ| / min |λ| of those that are not zero.
    pub condition: f64,
    /// An orthonormal basis of the null space, a vector in each row.
    pub null_space: Array2<f64>,
    /// The weights of the network.
    pub weights: Vec<WeightRow>,
    /// θ, where there is a constraint.
    pub theta: Option<Vec<Estimate>>,
    /// The inputs' tests.
    pub inputs: Vec<InputTest>,
    /// The average slopes, output by output.
    pub effects: Vec<Effect>,
    /// The predictions, if rows were given.
    pub predictions: Vec<Prediction>,
    /// The leverage of each row.
    pub leverage: Option<Vec<f64>>,
    /// The residuals.
    pub residuals: Residuals,
    /// R² of a squared error with one output.
    pub r_squared: Option<f64>,
    /// The evidence, where there is a proper prior.
    pub laplace: Option<Laplace>,
    /// The score test for neglected non-linearity, where it is defined.
    pub score: Option<ScoreTest>,
    /// Whether `Display` prints the weights. Default no.
    pub prints_weights: bool,
    /// The scale of the outputs, for the residual standard error.
    pub y_scale: Vec<f64>,
}

/// The scaled condition from which a net with hidden layers is weakly identified.
const WEAK: f64 = 1e4;

impl Inference<'_> {
    /// Everything, with predictions for the rows of `x`, in the network's units and with numbered names.
    ///
    /// # Errors
    /// As [`predictions`](Self::predictions) and [`slopes`](Self::slopes).
    pub fn report(&self, x: Option<&Array2<f64>>) -> Result<Report> {
        self.report_as(Names::numbered(self.problem.network()), None, x)
    }

    /// Everything, with these names, and effects and predictions in the units of the data.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn report_as(
        &self,
        names: Names,
        scaling: Option<&Scaling>,
        x: Option<&Array2<f64>>,
    ) -> Result<Report> {
        let network = self.problem.network();
        let places = names::places(network, &names);
        let rows = places.into_iter().zip(self.weights()?);
        let inputs = (names.inputs.iter().enumerate())
            .map(|(j, name)| {
                Ok(InputTest { name: name.clone(), wald: self.input(j)?, ratio: None })
            })
            .collect::<Result<_>>()?;
        let mut effects = Vec::new();
        for (output, slopes) in self.slopes()?.into_iter().enumerate() {
            effects.extend(slopes.into_iter().enumerate().map(|(input, slope)| {
                let factor = scaling.map_or(1.0, |s| s.y_scale[output] / s.x_scale[input]);
                Effect { input, output, slope: slope.times(factor, 0.0), partial: None }
            }));
        }
        let mut predictions = x.map_or(Ok(Vec::new()), |x| self.predictions(x))?;
        if let Some(scaling) = scaling {
            predictions.iter_mut().for_each(|p| p.rescale(scaling));
        }
        let residuals = self.residuals();
        Ok(Report {
            network: network.to_string(),
            options: self.options.clone(),
            summary: match scaling {
                Some(scaling) => self.summary.clone().in_units(&scaling.y_scale),
                None => self.summary.clone(),
            },
            covariance_kind: self.kind,
            covariance: self.covariance().cloned(),
            refused: self.refused(),
            warnings: self.warnings(&names, &residuals)?,
            eigenvalues: self.eigenvalues().to_vec(),
            inertia: self.inertia(),
            condition: self.condition(),
            null_space: self.null.clone(),
            weights: rows
                .enumerate()
                .map(|(l, (place, estimate))| WeightRow {
                    place,
                    estimate,
                    profile: None,
                    share: self.share(l),
                })
                .collect(),
            theta: self.problem.ties().map(|_| self.parameters()).transpose()?,
            inputs,
            effects,
            predictions,
            leverage: self.leverage().map(<[f64]>::to_vec),
            residuals,
            r_squared: self.r_squared(),
            laplace: self.laplace()?,
            score: self.neglected_nonlinearity()?,
            prints_weights: false,
            y_scale: scaling.map_or(vec![1.0; self.summary.outputs], |s| s.y_scale.clone()),
            names,
        })
    }

    /// Adds the likelihood ratios of all inputs, by refitting, with the law by `replicates` simulations if that is not 0.
    ///
    /// # Errors
    /// As [`likelihood_ratio`](Self::likelihood_ratio).
    pub fn add_ratios(&self, report: &mut Report, replicates: usize) -> Result<()> {
        for (j, test) in report.inputs.iter_mut().enumerate() {
            let Some(set) = names::of_input(self.problem.network(), j) else { continue };
            test.ratio = self.likelihood_ratio(&set)?;
            if let Some(ratio) = test.ratio.as_mut().filter(|_| replicates > 0) {
                ratio.p_bootstrap = Some(self.bootstrap(&set, ratio, replicates, 0)?);
            }
            if test.ratio.as_ref().is_some_and(|r| r.is_lower) {
                let text = format!(
                    "without input {} the fit is lower than with it: the full fit is not the lowest minimum; \
                     fit it again from more starts",
                    test.name
                );
                report.warnings.push(Warning::new("not-lowest", text));
            }
        }
        Ok(())
    }

    /// Adds the partial effects of all inputs, in the units of the outputs.
    ///
    /// # Errors
    /// As [`partial_effects`](Self::partial_effects).
    pub fn add_partial_effects(&self, report: &mut Report) -> Result<()> {
        for output in 0..self.summary.outputs {
            let factor = report.y_scale[output];
            for (input, partial) in self.partial_effects(output)?.iter().enumerate() {
                let of = |e: &&mut Effect| e.input == input && e.output == output;
                if let Some(effect) = report.effects.iter_mut().find(of) {
                    effect.partial = Some(partial.times(factor, 0.0));
                }
            }
        }
        Ok(())
    }

    /// The share of weight l that the data determine; none without a Gaussian prior, or under a constraint.
    fn share(&self, l: usize) -> Option<f64> {
        let (lambda, _) = self.prior.gaussian.as_ref().filter(|_| self.problem.ties().is_none())?;
        (self.inertia().0 == self.w.len()).then(|| 1.0 - lambda[l] * self.inverse[[l, l]])
    }

    /// Adds the profile intervals of all weights, by refitting.
    ///
    /// # Errors
    /// As [`profile`](Self::profile).
    pub fn add_profiles(&self, report: &mut Report) -> Result<()> {
        for (l, row) in report.weights.iter_mut().enumerate() {
            row.profile = self.profile(l)?;
        }
        Ok(())
    }

    /// 1 − RSS/TSS of a squared error with one output.
    fn r_squared(&self) -> Option<f64> {
        let rss = self.summary.rss.filter(|_| self.summary.outputs == 1)?;
        let Family::Gaussian(v) = &self.family else { return None };
        let (y, omega) = (self.data.y(), self.data.weights());
        let total: f64 = omega.iter().sum();
        let mean = y.iter().zip(omega).map(|(y, w)| w * y).sum::<f64>() / total;
        let tss: f64 = y.iter().zip(omega).map(|(y, w)| v[0] * w * (y - mean).powi(2)).sum();
        (tss > 0.0).then(|| 1.0 - rss / tss)
    }

    fn warnings(&self, names: &Names, residuals: &Residuals) -> Result<Vec<Warning>> {
        let summary = &self.summary;
        let (_, zero, negative) = self.inertia();
        let mut all = Vec::new();
        if let Some(refusal) = self.refused() {
            all.push(Warning::new("refused", refusal.to_string()));
        }
        if negative > 0 {
            let direction = self.direction(&self.chosen.lowest(), names);
            let text = format!("the function falls along the direction {direction}");
            all.push(Warning::new("indefinite", text));
        }
        if zero > 0 {
            all.extend(self.singular(names)?);
        }
        all.extend(causes::of_units(self.problem, &self.w, names)?);
        let has_hidden = self.problem.network().depth() > 1;
        if has_hidden && zero == 0 && self.condition() > WEAK {
            let text = format!(
                "the parameters are weakly identified (condition {:.1e}): the net may have more units than the data \
                 support, and tests by tables are then wrong; use fewer units or a penalty, or compare held-out errors",
                self.condition()
            );
            all.push(Warning::new("weakly-identified", text));
        }
        if self.prior.is_none {
            all.extend(causes::of_separation(
                self.problem,
                self.data,
                &self.family,
                &self.at.outputs,
            ));
        } else {
            let text = format!(
                "the estimates are pulled towards 0 by the penalty ({:.1} effective of {} parameters): p-values have \
                 their usual meaning only where it has little weight",
                summary.edf, summary.parameters
            );
            all.push(Warning::new("penalised", text));
        }
        if let Some(ratio) = summary.overdispersion.filter(|r| *r > 1.5)
            && matches!(self.family, Family::Poisson | Family::NegativeBinomial(_))
        {
            let text = format!(
                "Pearson's χ² is {ratio:.1} times its degrees of freedom: the model's standard errors are too small; \
                 take the covariance hc0 or hc1"
            );
            all.push(Warning::new("overdispersed", text));
        }
        if summary.df_residual < summary.edf && summary.df_residual > 0.0 {
            let text = format!(
                "{} observations are few for {:.1} effective parameters: laws for large samples are rough",
                summary.observations, summary.edf
            );
            all.push(Warning::new("few-rows", text));
        }
        all.extend(self.unequal_variance(names, residuals));
        all.extend(self.correlated_outputs());
        Ok(all)
    }

    /// The causes of a null space; its directions where none is found.
    fn singular(&self, names: &Names) -> Result<Vec<Warning>> {
        let mut all = causes::of_inputs(self.problem, names)?;
        let last = self.problem.network().layers().last();
        if self.family == Family::Categorical && last.is_some_and(|l| l.is_linear()) {
            let text = "softmax has an output for each class, of which one is free to choose: only differences between \
                        classes are identified; take one class as reference";
            all.push(Warning::because("softmax-outputs", text));
        }
        let explained = !all.is_empty();
        let (_, zero, _) = self.inertia();
        let mut text = format!(
            "the information is singular: {zero} of {} directions are not identified",
            self.summary.parameters
        );
        if !explained {
            let directions = self.null.rows().into_iter().take(3);
            let words: Vec<String> =
                directions.map(|d| self.direction(&d.to_vec(), names)).collect();
            text.push_str(&format!(" ({})", words.join("; ")));
        }
        all.insert(0, Warning::new("singular", text));
        Ok(all)
    }

    /// The largest entries of a direction, in words.
    fn direction(&self, direction: &[f64], names: &Names) -> String {
        let network = self.problem.network();
        let name = |a: usize| match self.problem.ties() {
            None => names::places(network, names)[a].name.clone(),
            Some(_) => format!("θ[{a}]"),
        };
        let size = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
        let mut order: Vec<usize> = (0..direction.len()).collect();
        order.sort_by(|&a, &b| direction[b].abs().total_cmp(&direction[a].abs()));
        let words =
            order.iter().take(4).map(|&a| format!("{:.3} of {}", direction[a] / size, name(a)));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Whether the sizes of the residuals go with an input.
    fn unequal_variance(&self, names: &Names, residuals: &Residuals) -> Option<Warning> {
        let is_model_based = matches!(self.kind, Covariance::Model | Covariance::Posterior);
        if !is_model_based
            || !matches!(self.family, Family::Gaussian(_))
            || self.summary.outputs > 1
        {
            return None;
        }
        let sizes: Vec<f64> = residuals.pearson.iter().map(|e| e.abs()).collect();
        let x = self.data.x();
        let limit = 3.5 / (sizes.len() as f64).sqrt();
        let (j, r) = (0..x.ncols())
            .map(|j| (j, correlation(&x.column(j).to_vec(), &sizes)))
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
            .filter(|(_, r)| r.abs() > limit)?;
        let text = format!(
            "the sizes of the residuals go with input {} (correlation {r:.2}): the variance is not constant; take the \
             covariance hc3",
            names.inputs[j]
        );
        Some(Warning::new("unequal-variance", text))
    }

    /// Whether the residuals of several outputs are correlated.
    fn correlated_outputs(&self) -> Option<Warning> {
        let m = self.summary.outputs;
        let is_pooled = matches!(self.summary.dispersion, Some(Scale::One(_)));
        if m == 1 || !is_pooled || !matches!(self.family, Family::Gaussian(_)) {
            return None;
        }
        let e = self.data.y() - &self.at.outputs;
        let pairs = (0..m).flat_map(|o| (0..o).map(move |q| (o, q)));
        let (pair, r) = pairs
            .map(|(o, q)| ((o, q), correlation(&e.column(o).to_vec(), &e.column(q).to_vec())))
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
            .filter(|(_, r)| r.abs() > 0.3)?;
        let text = format!(
            "the residuals of outputs {} and {} have the correlation {r:.2}: tests with one pooled dispersion are \
             wrong; take --dispersion matrix or the covariance hc0",
            pair.1 + 1,
            pair.0 + 1
        );
        Some(Warning::new("correlated-outputs", text))
    }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum::<f64>();
    let size = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if size > 0.0 { sum(&|a, b| a * b) / size } else { 0.0 }
}

impl Estimate {
    /// The estimate of `factor` times the number plus `shift`.
    fn times(&self, factor: f64, shift: f64) -> Self {
        let ends = [self.lower, self.upper].map(|e| e.map(|e| e * factor + shift));
        let [lower, upper] = if factor < 0.0 { [ends[1], ends[0]] } else { ends };
        Estimate {
            estimate: self.estimate * factor + shift,
            std_error: self.std_error.map(|e| e * factor.abs()),
            lower,
            upper,
            ..self.clone()
        }
    }
}

impl Prediction {
    /// Turns the prediction into the units of the data; the mean response where the loss has a link.
    pub fn rescale(&mut self, scaling: &Scaling) {
        if let Some(response) = self.response.take() {
            self.outputs = response;
            return;
        }
        let scales = || scaling.y_scale.iter().zip(&scaling.y_mean);
        for (output, (scale, mean)) in self.outputs.iter_mut().zip(scales()) {
            *output = output.times(*scale, *mean);
        }
        for (ends, (scale, mean)) in self.observation.iter_mut().flatten().zip(scales()) {
            *ends = ends.map(|(l, u)| (l * scale + mean, u * scale + mean));
        }
    }
}

/// A number in few digits, or a dash.
fn short(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(v) if v == 0.0 || (1e-4..1e6).contains(&v.abs()) => {
            let digits = (4 - v.abs().max(1e-4).log10().floor() as i32).clamp(0, 8) as usize;
            format!("{v:.digits$}")
        }
        Some(v) => format!("{v:.4e}"),
    }
}

/// A probability as it is printed.
fn probability(p: Option<f64>) -> String {
    match p {
        None => "-".into(),
        Some(p) if p < 2e-16 => "<2e-16".into(),
        Some(p) if p < 1e-4 => format!("{p:.1e}"),
        Some(p) => format!("{p:.4}"),
    }
}

/// Columns of equal width, the first to the left.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| length(c).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (c, (text, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - text.chars().count());
            line.push_str(&if c == 0 { format!("{text}{pad}") } else { format!("  {pad}{text}") });
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    writeln!(f)
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_string()).collect()
}

impl Report {
    /// Degrees of freedom, fit and information: two lines each.
    fn write_fit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.summary;
        writeln!(
            f,
            "network      {}, {} parameters, {:.2} effective",
            self.network, s.parameters, s.edf
        )?;
        writeln!(f, "rows         {} ({} observations)", s.samples, s.observations)?;
        let law = match s.distribution {
            Distribution::T(df) => format!("t with {df:.1} degrees of freedom"),
            Distribution::Normal => "normal law".into(),
        };
        let information = match self.options.information {
            crate::Curvature::Exact => "exact Hessian",
            _ => "Gauss–Newton matrix",
        };
        writeln!(
            f,
            "inference    {information}, {} covariance, {law}",
            self.covariance_kind.name()
        )?;
        let (positive, zero, negative) = self.inertia;
        writeln!(
            f,
            "information  {positive} positive, {zero} zero, {negative} negative eigenvalues; condition {:.2e}; ‖H − G‖/‖G‖ {:.2e}",
            self.condition, s.nonlinearity
        )?;
        write!(f, "fit          objective {}", short(Some(s.value)))?;
        if s.rss.is_some() && s.outputs == 1 {
            let error = s.phi.sqrt() * self.y_scale[0];
            write!(f, ", residual standard error {}", short(Some(error)))?;
        }
        if let Some(r) = self.r_squared {
            write!(f, ", R² {r:.4}")?;
        }
        writeln!(f)?;
        if let (Some(l), Some(aic), Some(bic)) = (s.log_likelihood, s.aic, s.bic) {
            writeln!(
                f,
                "likelihood   log {l:.4}, AIC {aic:.4}, BIC {bic:.4}, {:.2} degrees of freedom",
                s.df_model
            )?;
        }
        if let Some(score) = &self.score {
            writeln!(
                f,
                "neglected    non-linearity, score test of {} {} terms: F {}, p {}",
                score.df,
                score.terms,
                short(Some(score.f)),
                probability(Some(score.p_f))
            )?;
        }
        self.write_residuals(f)?;
        writeln!(f)
    }

    /// Five numbers, and the rows that stand out.
    fn write_residuals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.residuals.standardized;
        let mut sorted: Vec<f64> = r.iter().copied().filter(|v| v.is_finite()).collect();
        if sorted.is_empty() || self.summary.outputs > 1 {
            return Ok(());
        }
        sorted.sort_by(f64::total_cmp);
        let five = [0.0, 0.25, 0.5, 0.75, 1.0].map(|p: f64| {
            // R's quantile of type 7.
            let at = p * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
            format!("{:.3}", low + (at - at.floor()) * (high - low))
        });
        let largest = r.iter().enumerate().filter(|(_, v)| v.is_finite());
        let largest = largest.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        write!(f, "residuals    standardised: {}", five.join(" "))?;
        if let Some((row, _)) = largest {
            write!(f, "; largest in row {}", row + 1)?;
        }
        let limit = 3.0 * self.summary.edf / self.summary.rows;
        let high: Vec<usize> = (self.leverage.iter().flatten().enumerate())
            .filter(|(_, h)| **h > limit)
            .map(|(row, _)| row + 1)
            .collect();
        if !high.is_empty() {
            let shown: Vec<String> = high.iter().take(8).map(usize::to_string).collect();
            let more = if high.len() > 8 { ", …" } else { "" };
            write!(
                f,
                "; leverage above {limit:.3} in {} of them: {}{more}",
                high.len(),
                shown.join(", ")
            )?;
        }
        writeln!(f)
    }

    fn write_inputs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_ratio = self.inputs.iter().any(|i| i.ratio.is_some());
        let has_partial = self.effects.iter().any(|e| e.partial.is_some());
        let mut head = header(&[
            "input",
            "slope",
            "std error",
            "lower",
            "upper",
            "χ²",
            "df",
            "p(χ²)",
            "F",
            "p(F)",
        ]);
        if has_ratio {
            head.extend(header(&["ratio χ²", "p", "ratio F", "p", "p (bootstrap)"]));
        }
        if has_partial {
            head.extend(header(&["effect of 1 sd", "std error", "lower", "upper"]));
        }
        for output in 0..self.summary.outputs {
            if self.summary.outputs > 1 {
                writeln!(f, "output {}", self.names.outputs[output])?;
            }
            let mut rows = vec![head.clone()];
            for effect in self.effects.iter().filter(|e| e.output == output) {
                let (slope, test) = (&effect.slope, &self.inputs[effect.input]);
                let wald = test.wald.as_ref();
                let mut row = vec![
                    test.name.clone(),
                    short(Some(slope.estimate)),
                    short(slope.std_error),
                    short(slope.lower),
                    short(slope.upper),
                    short(wald.and_then(|w| w.chi2)),
                    wald.map_or("-".into(), |w| w.df.to_string()),
                    probability(wald.and_then(|w| w.p_chi2)),
                    short(wald.and_then(|w| w.f)),
                    probability(wald.and_then(|w| w.p_f)),
                ];
                if has_ratio {
                    let r = test.ratio.as_ref();
                    row.push(short(r.map(|r| r.chi2)));
                    row.push(probability(r.map(|r| r.p_chi2)));
                    row.push(short(r.and_then(|r| r.f)));
                    row.push(probability(r.and_then(|r| r.p_f)));
                    row.push(probability(r.and_then(|r| r.p_bootstrap)));
                }
                if has_partial {
                    let e = effect.partial.as_ref();
                    row.push(short(e.map(|e| e.estimate)));
                    row.push(short(e.and_then(|e| e.std_error)));
                    row.push(short(e.and_then(|e| e.lower)));
                    row.push(short(e.and_then(|e| e.upper)));
                }
                rows.push(row);
            }
            table(f, &rows)?;
        }
        Ok(())
    }

    fn write_weights(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head =
            header(&["weight", "estimate", "std error", "statistic", "p", "lower", "upper"]);
        let has_profile = self.weights.iter().any(|row| row.profile.is_some());
        if has_profile {
            head.extend(header(&["profile lower", "profile upper"]));
        }
        let mut rows = vec![head];
        for WeightRow { place, estimate: e, profile, share } in &self.weights {
            let mark = match share {
                _ if !e.identified => " (not identified)",
                Some(share) if *share < 0.5 => " (ruled by the penalty)",
                _ => "",
            };
            let name = format!("{}{mark}", place.name);
            let mut row = vec![
                name,
                short(Some(e.estimate)),
                short(e.std_error),
                short(e.statistic),
                probability(e.p_value),
                short(e.lower),
                short(e.upper),
            ];
            if has_profile {
                row.extend(profile.unwrap_or_default().map(short));
            }
            rows.push(row);
        }
        table(f, &rows)
    }

    fn write_predictions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![header(&[
            "row",
            "output",
            "mean",
            "std error",
            "lower",
            "upper",
            "new lower",
            "new upper",
        ])];
        for (i, prediction) in self.predictions.iter().enumerate() {
            for (o, e) in prediction.outputs.iter().enumerate() {
                let new = prediction.observation.as_ref().and_then(|p| p[o]);
                rows.push(vec![
                    (i + 1).to_string(),
                    self.names.outputs[o].clone(),
                    short(Some(e.estimate)),
                    if e.identified { short(e.std_error) } else { "not estimable".into() },
                    short(e.lower),
                    short(e.upper),
                    short(new.map(|n| n.0)),
                    short(new.map(|n| n.1)),
                ]);
            }
        }
        table(f, &rows)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fit(f)?;
        for warning in &self.warnings {
            writeln!(f, "warning      {}", warning.text)?;
        }
        if !self.warnings.is_empty() {
            writeln!(f)?;
        }
        self.write_inputs(f)?;
        if self.prints_weights {
            self.write_weights(f)?;
        }
        if !self.predictions.is_empty() {
            self.write_predictions(f)?;
        }
        if let Some(l) = &self.laplace {
            writeln!(
                f,
                "evidence     log {:.4} (symmetries {:.4} not added), γ {:.2} of {}, β {}",
                l.log_evidence,
                l.log_symmetry,
                l.gamma,
                self.summary.parameters,
                short(Some(l.beta))
            )?;
        }
        Ok(())
    }
}
