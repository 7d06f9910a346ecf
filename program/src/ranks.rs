//! The processes of a fit that `mpirun` or `srun` started: rank 0 is the program, the others add up their rows for it.

use std::sync::Arc;

use secondo::{Error, Problem, Team, launched_processes};

use crate::exit::Failure;
use crate::output::say_warning;
use crate::signals;

/// The processes that share the rows; none where this one is alone.
pub struct Ranks(Option<Arc<dyn Team>>);

impl Ranks {
    /// Starts MPI, if that is asked for, and warns where a launcher started several processes and it is not.
    pub fn start(is_asked: bool) -> Result<Self, Failure> {
        if is_asked {
            return mpi().map(|team| Ranks(Some(team)));
        }
        let launched = launched_processes();
        if launched > 1 {
            say_warning(&format!(
                "{launched} processes were started, and each of them fits alone and writes the same files; with --mpi they share the rows"
            ));
        }
        Ok(Ranks(None))
    }

    /// Whether this process is the only one, or the first.
    pub fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(|team| team.rank() == 0)
    }

    /// Returns what every process has prepared, with its problem as one of all of them: in the process of rank 0. In the others nothing, after
    /// they computed what rank 0 asked for, or where the preparation failed anywhere: rank 0 says it.
    pub fn share<T>(
        self,
        prepared: Result<T, Failure>,
        problem: impl Fn(&mut T) -> &mut Problem,
    ) -> Result<Option<T>, Failure> {
        let Some(team) = self.0 else {
            return prepared.map(Some);
        };
        let is_first = team.rank() == 0;
        if !is_first {
            signals::ignore_interrupts();
        }
        let (prepared, made) = match prepared {
            Ok(mut all) => {
                let own = problem(&mut all).clone();
                (Ok(all), Ok(own))
            }
            Err(failure) => {
                let error = Error::Numerical { what: failure.message.clone() };
                (Err(failure), Err(error))
            }
        };
        let shared = Problem::across(team, || made);
        if !is_first {
            return Ok(None);
        }
        let mut prepared = prepared?;
        if let Some(shared) = shared? {
            *problem(&mut prepared) = shared;
        }
        Ok(Some(prepared))
    }
}

#[cfg(feature = "mpi")]
fn mpi() -> Result<Arc<dyn Team>, Failure> {
    Ok(Arc::new(secondo::Mpi::start()?))
}

#[cfg(not(feature = "mpi"))]
fn mpi() -> Result<Arc<dyn Team>, Failure> {
    Err(Failure::resources(
        "this program was built without MPI; build it with --features mpi, where mpicc and libclang are",
    ))
}
