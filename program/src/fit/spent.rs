//! The cost of a fit: the work of all starts, and the time of all parts.

use std::fmt;
use std::time::Duration;

use secondo::{Evaluations, Times};
use serde::{Deserialize, Serialize};

use crate::output::plural;
use crate::training::{Attempt, Trained};

/// The steps, evaluations and seconds of all starts together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub steps: usize,
    pub objectives: usize,
    pub gradients: usize,
    pub curvatures: usize,
    pub products: usize,
    pub objective_seconds: f64,
    pub gradient_seconds: f64,
    pub curvature_seconds: f64,
    pub solve_seconds: f64,
    /// Wall time of each, added up; starts may have run side by side.
    pub seconds: f64,
}

impl Spent {
    /// That of these starts, but for those that failed.
    pub fn of(trained: &Trained) -> Self {
        let mut out = Spent::default();
        for fit in trained.attempts.iter().filter_map(|Attempt { end, .. }| end.as_ref().ok()) {
            let Evaluations { objective, gradient, curvature, products } = fit.evaluations;
            out.steps += fit.iterations + fit.rejected;
            out.objectives += objective;
            out.gradients += gradient;
            out.curvatures += curvature;
            out.products += products;
            let Times { objective, gradient, curvature, solve, total, device: _ } = fit.times;
            out.objective_seconds += objective.as_secs_f64();
            out.gradient_seconds += gradient.as_secs_f64();
            out.curvature_seconds += curvature.as_secs_f64();
            out.solve_seconds += solve.as_secs_f64();
            out.seconds += total.as_secs_f64();
        }
        out
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tried, {} alone, {}, {}, {}; {:.3} s (objective {:.3} s, gradient {:.3} s, curvature {:.3} s, solve {:.3} s)",
            plural(self.steps, "step"),
            plural(self.objectives, "objective"),
            plural(self.gradients, "gradient"),
            plural(self.curvatures, "curvature"),
            plural(self.products, "product"),
            self.seconds,
            self.objective_seconds,
            self.gradient_seconds,
            self.curvature_seconds,
            self.solve_seconds
        )
    }
}

/// The seconds of the parts of a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    pub reading: f64,
    /// Cross-validation, or the search for the penalty of the largest evidence.
    pub choosing: f64,
    pub training: f64,
    /// Figures of the fit, and of the linear model beside.
    pub judging: f64,
}

impl Parts {
    /// From the times of the parts.
    pub fn of([reading, choosing, training, judging]: [Duration; 4]) -> Self {
        let [reading, choosing, training, judging] =
            [reading, choosing, training, judging].map(|time| time.as_secs_f64());
        Parts { reading, choosing, training, judging }
    }

    /// The parts that took time, of `total` seconds.
    pub fn in_words(&self, total: f64) -> String {
        let all = [
            ("reading", self.reading),
            ("choosing", self.choosing),
            ("training", self.training),
            ("judging", self.judging),
        ];
        let shown = all.iter().filter(|(_, seconds)| *seconds > 0.0);
        let shown: Vec<String> =
            shown.map(|(name, seconds)| format!("{name} {seconds:.3} s")).collect();
        format!("{total:.3} s ({})", shown.join(", "))
    }
}
