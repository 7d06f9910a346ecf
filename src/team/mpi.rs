//! The processes that `mpirun` or `srun` started, over any library of MPI-3.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::{Process, SimpleCommunicator};
use mpi::traits::{Communicator, Destination, MatchedReceiveVec, Source};

use super::{Team, launched_processes};
use crate::error::{Error, Result};

/// Numbers of one message of MPI, which counts them by 32 bits: 2 GiB. Longer ones go in several.
const PART: usize = 1 << 28;

/// The time after which a process that waits lets others have its core.
const IMPATIENT: Duration = Duration::from_millis(2);
/// The time for which it sleeps then, between two looks.
const NAP: Duration = Duration::from_micros(50);

/// The processes that `mpirun` or `srun` started; see [`Team`].
///
/// ```no_run
/// use std::sync::Arc;
/// use ndarray::array;
/// use secondo::{Activation, Auto, Data, Loss, Method, Mpi, Network, Problem, silent};
///
/// let team = Arc::new(Mpi::start()?);
/// let problem = || {
///     let data = Data::new(array![[1.0], [2.0], [4.0]], array![[1.0], [2.5], [3.5]])?;
///     Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)
/// };
/// // The others have computed what the first one asked for when they come back, with nothing.
/// if let Some(problem) = Problem::across(team, problem)? {
///     println!("{}", Auto::default().fit(&problem, &[0.0, 0.0], &mut silent)?);
/// }
/// # Ok::<(), secondo::Error>(())
/// ```
///
/// Where a process panics or drops this before its part is done, it ends all of them (`MPI_Abort`), since the others would wait for ever.
pub struct Mpi {
    is_done: AtomicBool,
    /// Dropped last: it waits for the others.
    _universe: Universe,
}

impl Mpi {
    /// Starts MPI, once in a process.
    ///
    /// # Errors
    /// `Unsupported` where it was started before, where the library allows calls from one thread only, and where the launcher started
    /// more processes than the library knows: it is the launcher of another MPI, and each process would take itself for the only one.
    pub fn start() -> Result<Self> {
        let refuse = |why: String| Err(Error::Unsupported { what: "MPI".into(), why });
        let Some((universe, threading)) = ::mpi::initialize_with_threading(Threading::Serialized)
        else {
            return refuse("it was started before in this process".into());
        };
        // From here on an error ends this process properly.
        let mpi = Mpi { is_done: AtomicBool::new(true), _universe: universe };
        if threading < Threading::Serialized {
            return refuse("its library was built without threads (MPI_THREAD_SERIALIZED)".into());
        }
        let (launched, known) = (launched_processes(), mpi.size());
        if launched > known {
            let library = ::mpi::environment::library_version().unwrap_or_default();
            let library = library.lines().next().unwrap_or_default().trim();
            return refuse(format!(
                "the launcher started {launched} processes, and this one knows of {known}: it is linked with {library}; \
                 start it with the mpirun or srun of that library"
            ));
        }
        mpi.is_done.store(mpi.size() == 1, Ordering::Relaxed);
        Ok(mpi)
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi(rank {} of {})", self.rank(), self.size())
    }
}

fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

/// Waits for the next message, at first without pause.
fn next(from: &Process) -> Vec<f64> {
    let begin = Instant::now();
    loop {
        if let Some(message) = from.immediate_matched_probe() {
            return message.matched_receive_vec().0;
        }
        if begin.elapsed() < IMPATIENT {
            std::thread::yield_now();
        } else {
            std::thread::sleep(NAP);
        }
    }
}

impl Team for Mpi {
    fn rank(&self) -> usize {
        world().rank() as usize
    }

    fn size(&self) -> usize {
        world().size() as usize
    }

    fn send(&self, to: usize, numbers: &[f64]) -> Result<()> {
        // Another problem may have begun.
        self.is_done.store(false, Ordering::Relaxed);
        let world = world();
        let to = world.process_at_rank(to as i32);
        let whole = numbers.chunks_exact(PART);
        let rest = whole.remainder();
        whole.for_each(|part| to.send(part));
        // Its length, less than PART, says that it is the last.
        to.send(rest);
        Ok(())
    }

    fn receive(&self, from: usize) -> Result<Vec<f64>> {
        self.is_done.store(false, Ordering::Relaxed);
        let world = world();
        let from = world.process_at_rank(from as i32);
        let mut all = next(&from);
        let mut last = all.len();
        while last == PART {
            let part = next(&from);
            last = part.len();
            all.extend(part);
        }
        Ok(all)
    }

    fn done(&self) {
        self.is_done.store(true, Ordering::Relaxed);
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.is_done.load(Ordering::Relaxed) {
            world().abort(101);
        }
    }
}
