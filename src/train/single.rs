//! Fits whose value and gradient are in f32 at first.
//!
//! On a device in f32 a fit computes everything there, as long as f32 decides: value, gradient, curvature and products. The processor
//! then takes over value and gradient in f64 for the rest of the fit; the device goes on with the curvature, which sets the rate of
//! convergence alone. [`State::exact`] and [`Fit::refinement`](super::Fit::refinement) say from which step.
//!
//! **What is promised.** No end that the function decides is in f32 (a limit, the observer, early stopping and a part that fails end a fit
//! where it is): where a fit in f32 would stop by a value or a derivative, it goes on in f64 from
//! its best point. So `converged` is said of numbers in f64 alone, and the end is what a fit in f64 from that point reaches.
//!
//! **When f32 does not decide.** A step is judged by the reduction that it predicts, Δ, and a point by its gradient. Their errors are
//! not estimated but measured, at the first step and rarely afterwards: at the best point x and the trial point x₊
//!
//! ```text
//! ε = |(E₃₂(x) − E₃₂(x₊)) − (E(x) − E(x₊))|,   γ = ‖g₃₂(x) − g(x)‖∞
//! ```
//!
//! What f32 does to X, Y and ω is in both values and cancels in ε, as it does in the gain ratio. f32 decides while Δ > 20ε and ‖g‖∞ > 20γ:
//! it then changes a gain ratio by at most 1/20, and the gradient by as much. They are measured again where Δ or ‖g‖∞ has fallen to a
//! tenth of what it was, or to 10ε or 10γ: as long as the errors do not grow, and none was small by chance, they are below a tenth of all
//! that is decided by them. Should they be larger, steps are accepted or rejected by chance until the next measurement, or until no
//! step is found; the promise above does not depend on them.

use super::state::State;
use crate::error::Result;

/// f32 decides where its errors are below one part of so many.
const PARTS: f64 = 20.0;
/// They are measured again once what they are a part of has fallen to this.
const FALLEN: f64 = 0.1;

/// A function in f32 that can be had in f64.
pub(super) trait Single {
    /// The rounding errors ε of f(x) − f(x₊), which is `fall` in f32, and γ of the gradient at x; none where f32 fails.
    fn errors(&mut self, x: &[f64], trial: &[f64], fall: f64) -> Result<Option<[f64; 2]>>;

    /// Whether the device failed, so that values are in f64 that are compared with others in f32.
    fn is_lost(&self) -> bool;

    /// Computes value and gradient in f64 from here on.
    fn refine(&mut self);
}

/// Whether f32 decides on a step from the best point that promises `reduction`, and on its end; the errors are measured where it is
/// time.
///
/// # Errors
/// Those of `errors`.
pub(super) fn decides(
    state: &mut State,
    reduction: f64,
    errors: impl FnOnce(&[f64]) -> Result<Option<[f64; 2]>>,
) -> Result<bool> {
    let sizes = [reduction, state.gradient_norm];
    let is_new = state.compared == [0.0, 0.0];
    if !is_new && sizes.iter().zip(&state.compared).all(|(size, below)| size > below) {
        return Ok(true);
    }
    let Some(errors) = errors(&state.x)? else {
        return Ok(false);
    };
    let both = || sizes.into_iter().zip(errors);
    // Not where one is NaN.
    if !both().all(|(size, error)| size > PARTS * error && size < f64::INFINITY) {
        return Ok(false);
    }
    let below = |(size, error): (f64, f64)| (FALLEN * size).max(0.5 * PARTS * error);
    state.compared = [below((sizes[0], errors[0])), below((sizes[1], errors[1]))];
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Settings;

    fn state(gradient_norm: f64) -> State {
        State { gradient_norm, ..State::new(&[1.0], Settings::default()) }
    }

    /// Whether f32 decides on a step, and whether the errors were measured.
    fn decided(state: &mut State, reduction: f64, errors: Option<[f64; 2]>) -> (bool, bool) {
        let mut measured = false;
        let decides = decides(state, reduction, |_| {
            measured = true;
            Ok(errors)
        });
        (decides.unwrap(), measured)
    }

    #[test]
    fn errors_below_a_twentieth_decide() {
        for (errors, right) in [
            ([0.049, 0.049], true),
            ([0.051, 0.0], false),
            ([0.0, 0.051], false),
            ([f64::NAN, 0.0], false),
            ([0.0, f64::NAN], false),
        ] {
            assert_eq!(decided(&mut state(1.0), 1.0, Some(errors)), (right, true), "{errors:?}");
        }
        assert_eq!(decided(&mut state(1.0), 1.0, None), (false, true));
        // A step that promises nothing, or nothing that is a number.
        for reduction in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(decided(&mut state(1.0), reduction, Some([0.0, 0.0])), (false, true));
        }
    }

    /// Errors of 0 are measured again at each tenth, others before they are a tenth.
    #[test]
    fn the_errors_are_measured_where_it_is_time() {
        let mut state = state(1.0);
        assert_eq!(decided(&mut state, 8.0, Some([0.0, 0.02])), (true, true));
        assert_eq!(decided(&mut state, 0.81, Some([9.0, 9.0])), (true, false));
        assert_eq!(decided(&mut state, 0.79, Some([0.0, 0.02])), (true, true));
        assert_eq!(state.compared, [0.1 * 0.79, 10.0 * 0.02]);
        state.gradient_norm = 0.201;
        assert_eq!(decided(&mut state, 8.0, Some([9.0, 9.0])), (true, false));
        state.gradient_norm = 0.199;
        assert_eq!(decided(&mut state, 8.0, Some([0.0, 0.02])), (false, true));
    }
}
