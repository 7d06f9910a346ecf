//! The methods for problems.

use super::fit::Fit;
use super::settings::Settings;
use super::state::{Observer, State};
use crate::error::Result;
use crate::problem::Problem;

/// A method for problems: options that fit from a start, or from where a fit was left.
///
/// ```
/// use ndarray::array;
/// use secondo::{Activation, Control, Data, Loss, Method, Network, Problem, TrustRegion, silent};
/// let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
/// let problem = Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)?;
/// let method = TrustRegion::default();
/// let fit = method.fit(&problem, &[0.0, 0.0], &mut silent)?; // y = 11/14 x + 1/2
/// assert!((fit.w[0] - 11.0 / 14.0).abs() + (fit.w[1] - 0.5).abs() < 1e-12);
///
/// // Stopped at its start and resumed, it is the same fit.
/// let mut kept = None;
/// method.fit(&problem, &[0.0, 0.0], &mut |p| {
///     kept = Some(p.state.clone());
///     Control::Stop
/// })?;
/// let Some(kept) = kept else { unreachable!() };
/// assert_eq!(method.resume(&problem, kept, &mut silent)?.w, fit.w);
/// # Ok::<(), secondo::Error>(())
/// ```
pub trait Method {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// The name with the options that the path depends on; limits are not among them.
    fn settings(&self) -> Settings;

    /// Goes on from where a fit of the same problem by the same method was left.
    ///
    /// # Errors
    /// As [`fit`](Method::fit); `Invalid` for a state of another method, or of other options.
    fn resume(&self, problem: &Problem, state: State, observe: Observer) -> Result<Fit>;

    /// Minimises the problem's objective from `start`. `observe` is called at the start and after every accepted step.
    ///
    /// Returns the best accepted point with the reason of the end. A step to where a user-defined part gives NaN is rejected;
    /// a panic of one ends the fit.
    ///
    /// # Errors
    /// An option out of range; a start with the wrong length or where objective or gradient are not finite; a curvature
    /// that the problem does not have (`Unsupported`); too little memory; a device that fails, without `fallback`.
    fn fit(&self, problem: &Problem, start: &[f64], observe: Observer) -> Result<Fit> {
        self.resume(problem, State::new(start, self.settings()), observe)
    }
}
