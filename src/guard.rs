//! Calls into user-defined parts: a panic there ends as an error that names the part.
//!
//! rayon hands a panic of any of its threads on to who waits for them, so that one [`call`] around a kernel guards every sample,
//! and costs nothing by the sample. What stands deep inside a loop reports its own error by [`throw`].

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result};

/// What `f` gives, or the error that it threw, or the message of its panic as [`Error::Part`].
pub(crate) fn call<T>(kind: &'static str, name: &str, f: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| match payload.downcast::<Error>() {
        Ok(error) => *error,
        Err(payload) => {
            let message = match payload.downcast::<String>() {
                Ok(message) => *message,
                Err(payload) => match payload.downcast::<&'static str>() {
                    Ok(message) => message.to_string(),
                    Err(_) => "no message".into(),
                },
            };
            Error::Part {
                kind,
                name: name.into(),
                why: format!("it panicked: {message}"),
            }
        }
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

/// Ends the [`call`] around it with this error; no panic is reported.
pub(crate) fn throw(error: Error) -> ! {
    resume_unwind(Box::new(error))
}

/// Throws [`Error::NonFinite`] with the part's name for a NaN that it made of finite numbers.
pub(crate) fn refuse_nan(
    kind: &'static str,
    name: &str,
    what: &str,
    from: &[&[f64]],
    made: &[f64],
) {
    let Some(at) = made.iter().position(|v| v.is_nan()) else {
        return;
    };
    if from.iter().flat_map(|v| v.iter()).all(|v| v.is_finite()) {
        throw(Error::NonFinite {
            what: format!("{what} of the {kind} '{name}'").into(),
            at: if made.len() == 1 { vec![] } else { vec![at] },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn part(why: &str) -> Error {
        Error::Part {
            kind: "loss",
            name: "mine".into(),
            why: why.into(),
        }
    }

    #[test]
    fn panics_of_any_thread_name_the_part() {
        assert_eq!(call("loss", "mine", || 3), Ok(3));
        let worker = || {
            (0..1000)
                .into_par_iter()
                .for_each(|i| assert!(i != 637, "at {i}"))
        };
        assert_eq!(
            call("loss", "mine", worker),
            Err(part("it panicked: at 637"))
        );
        let odd = call("loss", "mine", || std::panic::panic_any(5u8));
        assert_eq!(odd, Err(part("it panicked: no message")));
    }

    #[test]
    fn errors_pass_threads_and_guards() {
        let nan = || {
            (0..100).into_par_iter().for_each(|i| {
                refuse_nan(
                    "unit",
                    "inner",
                    "p",
                    &[&[f64::from(i)]],
                    &[f64::from(i - 7).sqrt()],
                );
            });
        };
        let found = call("loss", "mine", nan);
        let expected = Error::non_finite("p of the unit 'inner'", &[]);
        assert_eq!(found, Err(expected));
        // What was not finite before is no fault of the part.
        assert!(
            call("loss", "mine", || refuse_nan(
                "unit",
                "u",
                "p",
                &[&[f64::INFINITY]],
                &[f64::NAN]
            ))
            .is_ok()
        );
    }
}
