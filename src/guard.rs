//! Calls into user-defined parts: a panic there ends as an error that names the part.
//!
//! rayon hands a panic of any of its threads on to who waits for them, so that one [`call`] around a kernel guards every sample,
//! and costs nothing by the sample. Only the user's own panics end here: errors are returned.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Returns what `f` returns, or the message of its panic as [`Error::Part`].
pub(crate) fn call<T>(kind: &'static str, name: &str, f: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let message = match payload.downcast::<String>() {
            Ok(message) => *message,
            Err(payload) => match payload.downcast::<&'static str>() {
                Ok(message) => message.to_string(),
                Err(_) => "no message".into(),
            },
        };
        Error::Part { kind, name: name.into(), why: format!("it panicked: {message}") }
    })
}

/// [`call`] with the part's name, which is the user's code like the rest.
pub(crate) fn named<'a, T>(
    kind: &'static str,
    name: impl FnOnce() -> &'a str,
    f: impl FnOnce(&'a str) -> T,
) -> Result<T> {
    let name = call(kind, "without a name", name)?;
    call(kind, name, || f(name))
}

/// Refuses a NaN that a part made of finite numbers.
///
/// # Errors
/// `NonFinite` with the part's name.
pub(crate) fn refuse_nan(
    kind: &'static str,
    name: &str,
    what: &str,
    from: &[&[f64]],
    made: &[f64],
) -> Result<()> {
    let Some(at) = made.iter().position(|v| v.is_nan()) else {
        return Ok(());
    };
    // A number that was not finite before is no fault of the part.
    if from.iter().flat_map(|v| v.iter()).any(|v| !v.is_finite()) {
        return Ok(());
    }
    Err(Error::NonFinite {
        what: format!("{what} of the {kind} '{name}'").into(),
        at: if made.len() == 1 { vec![] } else { vec![at] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn part(why: &str) -> Error {
        Error::Part { kind: "loss", name: "mine".into(), why: why.into() }
    }

    #[test]
    fn panics_of_any_thread_name_the_part() {
        assert_eq!(call("loss", "mine", || 3), Ok(3));
        let worker = || (0..1000).into_par_iter().for_each(|i| assert!(i != 637, "at {i}"));
        assert_eq!(call("loss", "mine", worker), Err(part("it panicked: at 637")));
        let odd = call("loss", "mine", || std::panic::panic_any(5u8));
        assert_eq!(odd, Err(part("it panicked: no message")));
    }

    #[test]
    fn nan_of_finite_numbers_is_refused() {
        let refuse = |from: f64, made: &[f64]| refuse_nan("unit", "inner", "p", &[&[from]], made);
        assert_eq!(refuse(1.0, &[2.0, f64::INFINITY]), Ok(()));
        let (alone, second) = ([f64::NAN], [0.0, f64::NAN]);
        let name = "p of the unit 'inner'";
        assert_eq!(refuse(1.0, &alone), Err(Error::non_finite(name, &[])));
        assert_eq!(refuse(1.0, &second), Err(Error::non_finite(name, &[1])));
        // A number that was not finite before is no fault of the part.
        assert_eq!(refuse(f64::INFINITY, &alone), Ok(()));
    }
}
