//! Several processes that compute one problem together: the messages between them.
//!
//! A message goes down from the first process, or up to it, along a binomial tree: the parent of rank r is r without its lowest bit. In
//! the rounds b = 0, 1, … a rank takes what r + 2^b has of the ranks r + 2^b … r + 2^(b+1) − 1, so that each rank adds up the lanes of
//! a stretch of ranks in their order.

mod message;
#[cfg(feature = "mpi")]
mod mpi;

use std::fmt;
use std::sync::{Arc, Mutex, TryLockError};

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
use crate::error::{Error, Result};
use crate::evaluate::{Additive, Node, Work, push_by, root};
use crate::sync::lock;
pub(crate) use message::Asked;
use message::{Failed, Nodes, from_text, to_text};

/// Several processes, of which this is one: how they send each other numbers.
///
/// [`Problem::across`](crate::Problem::across) takes it, for one problem after the other. With the feature `mpi`, `Mpi` is the one of the processes that `mpirun` or `srun`
/// started. One's own must deliver the messages from one process to another whole and in their order, and must not wait for ever
/// for a process that ended.
pub trait Team: fmt::Debug + Send + Sync {
    /// Returns the number of this process, its rank, from 0.
    fn rank(&self) -> usize;

    /// Returns the number of processes.
    fn size(&self) -> usize;

    /// Sends numbers to another process. It may return before they arrive.
    ///
    /// # Errors
    /// That process ended.
    fn send(&self, to: usize, numbers: &[f64]) -> Result<()>;

    /// Returns the next numbers that another process sent, once they are there.
    ///
    /// # Errors
    /// That process ended before it sent any.
    fn receive(&self, from: usize) -> Result<Vec<f64>>;

    /// Called when nothing more will be sent or received, and nobody waits for this process. A process that ends without it failed.
    fn done(&self) {}
}

impl dyn Team {
    /// Compares facts that must be the same in every process: all of them call it, with a line for each fact, or with the reason why they
    /// cannot go on.
    ///
    /// # Errors
    /// `Rank`, in every process the same, for the first that cannot go on, or else for the first whose facts are not those of rank 0.
    pub(crate) fn agree(&self, mine: std::result::Result<&str, &str>) -> Result<()> {
        let own = self.verdict(mine)?;
        let told = self.broadcast(Failed::to_numbers(own.as_ref()))?;
        let Some(failed) = Failed::from_numbers(&told) else {
            return Ok(());
        };
        self.done();
        Err(failed.error())
    }

    /// Returns the fault that rank 0 finds in the facts of all; the others send theirs.
    fn verdict(&self, mine: std::result::Result<&str, &str>) -> Result<Option<Failed>> {
        if self.rank() > 0 {
            let (is_wrong, text) = match mine {
                Ok(facts) => (0.0, facts),
                Err(why) => (1.0, why),
            };
            let message: Vec<f64> = std::iter::once(is_wrong).chain(to_text(text)).collect();
            self.send(0, &message)?;
            return Ok(None);
        }
        let (mut failed, mut differs) = (None, None);
        if let Err(why) = mine {
            failed = Some(Failed { rank: 0, why: why.into() });
        }
        for rank in 1..self.size() {
            let message = self.receive(rank)?;
            let Some((is_wrong, text)) = message.split_first() else {
                continue;
            };
            let text = from_text(text);
            if *is_wrong > 0.0 {
                failed.get_or_insert(Failed { rank, why: text });
            } else if let Some(why) = mine.ok().and_then(|mine| difference(mine, &text)) {
                differs.get_or_insert(Failed { rank, why });
            }
        }
        Ok(failed.or(differs))
    }

    /// Returns what rank 0 tells all; that of the others does not count.
    pub(crate) fn broadcast(&self, mut message: Vec<f64>) -> Result<Vec<f64>> {
        if let Some(parent) = parent(self.rank()) {
            message = self.receive(parent)?;
        }
        // First the one that has most to hand on.
        let children: Vec<usize> = children(self.rank(), self.size()).collect();
        children.into_iter().rev().try_for_each(|child| self.send(child, &message))?;
        Ok(message)
    }

    /// Adds what all have up to rank 0: there it returns the sum over all lanes, or the failure of the lowest rank that failed, which may be
    /// its own; elsewhere nothing.
    fn add_up(&self, work: Work, mut own: Nodes) -> Result<Option<Nodes>> {
        for child in children(self.rank(), self.size()) {
            let next = message::decode(&self.receive(child)?);
            own = match (own, next) {
                (Ok(mut held), Ok(next)) => {
                    let add = |total: &mut _, next| work.add(total, next);
                    next.into_iter().for_each(|node| push_by(&mut held, node, add));
                    Ok(held)
                }
                (Err(failed), _) | (_, Err(failed)) => Err(failed),
            };
        }
        match parent(self.rank()) {
            None => Ok(Some(own)),
            Some(parent) => {
                self.send(parent, &message::encode(own))?;
                Ok(None)
            }
        }
    }

    /// Adds up what another rank than 0 has.
    ///
    /// # Errors
    /// Those of sending.
    pub(crate) fn contribute(&self, work: Work, own: Result<Vec<Node<Vec<f64>>>>) -> Result<()> {
        let failed = |error: Error| Failed { rank: self.rank(), why: error.to_string() };
        self.add_up(work, own.map_err(failed)).map(drop)
    }
}

/// Takes all numbers out of `nodes`, and returns them as one list for each.
pub(crate) fn flat<S: Additive>(nodes: &mut [Node<S>]) -> Vec<Node<Vec<f64>>> {
    let of = |node: &mut Node<S>| {
        let arrays = node.sum.arrays();
        let mut sum = Vec::with_capacity(arrays.iter().map(|array| array.len()).sum());
        arrays.into_iter().for_each(|array| sum.append(&mut std::mem::take(array)));
        Node { lane: node.lane, lanes: node.lanes, sum }
    };
    nodes.iter_mut().map(of).collect()
}

/// The first line that differs.
fn difference(first: &str, other: &str) -> Option<String> {
    let mut lines = first.lines().zip(other.lines());
    let (first, other) = lines.find(|(first, other)| first != other)?;
    Some(format!(
        "it has '{other}' where rank 0 has '{first}'; every process needs the same program, options and rows"
    ))
}

fn parent(rank: usize) -> Option<usize> {
    (rank > 0).then(|| rank & (rank - 1))
}

fn children(rank: usize, size: usize) -> impl Iterator<Item = usize> {
    let below = if rank == 0 { usize::BITS } else { rank.trailing_zeros() };
    (0..below).map_while(move |b| rank.checked_add(1 << b)).take_while(move |child| *child < size)
}

/// Returns how many processes the launcher of this one says that it started; 1 without a launcher.
///
/// Known are the variables of Open MPI (`OMPI_COMM_WORLD_SIZE`), of MPICH and its kin (`PMI_SIZE`) and of Slurm's `srun`
/// (`SLURM_STEP_NUM_TASKS`).
pub fn launched_processes() -> usize {
    let read = |name| std::env::var(name).ok()?.trim().parse::<usize>().ok();
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    names.into_iter().filter_map(read).max().unwrap_or(1).max(1)
}

/// The first process of several, while the others wait for what it asks.
#[derive(Debug)]
pub(crate) struct Ranks {
    team: Arc<dyn Team>,
    known: Mutex<Known>,
}

/// The facts on the others that the next request needs.
#[derive(Debug, Default)]
struct Known {
    /// The last W that they got.
    w: Vec<f64>,
    /// Whether a message was lost, so that nobody knows who waits for what.
    is_lost: bool,
}

/// The teams, by their addresses, whose other processes wait for this one.
static ASKED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

fn address(team: &Arc<dyn Team>) -> usize {
    Arc::as_ptr(team).cast::<()>() as usize
}

impl Ranks {
    /// Returns what asks the others, which wait for it.
    pub fn new(team: Arc<dyn Team>) -> Self {
        lock(&ASKED).push(address(&team));
        Ranks { team, known: Mutex::default() }
    }

    /// That the others wait for no problem of this team.
    ///
    /// # Errors
    /// `Unsupported` while there is one: they would never hear of another.
    pub fn require_free(team: &Arc<dyn Team>) -> Result<()> {
        if !lock(&ASKED).contains(&address(team)) {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a second problem of a team".into(),
            why: "its processes wait for the requests of the first; drop that with all its clones before".into(),
        })
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.team.size()
    }

    /// Lets all processes compute a request at W, this one by `own`, and returns the sums over all lanes.
    ///
    /// # Errors
    /// That of `own`; `Rank` for one of another process; `Unsupported` while another request is computed, or after one panicked or could not be
    /// sent or received.
    pub fn ask<S: Additive>(
        &self,
        asked: Asked,
        w: &[f64],
        own: impl FnOnce() -> Result<Vec<Node<S>>>,
    ) -> Result<S> {
        let mut known = match self.known.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(_)) => {
                return Err(Error::Unsupported {
                    what: "a request after one in which this process panicked".into(),
                    why: "the others wait for what did not come; begin anew".into(),
                });
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Unsupported {
                    what: "a request while another one is computed by several processes".into(),
                    why: "they compute one at a time; ask one after the other".into(),
                });
            }
        };
        if known.is_lost {
            return Err(Error::Unsupported {
                what: "a request after one whose messages were lost".into(),
                why: "the processes are no longer in step; begin anew".into(),
            });
        }
        // The zeros have two signs.
        let bits = |w: &f64| w.to_bits();
        let is_new = known.w.iter().map(bits).ne(w.iter().map(bits));
        if is_new {
            known.w.clear();
            known.w.extend(w);
        }
        // Until all that belongs to this request has come.
        known.is_lost = true;
        self.team.broadcast(asked.to_numbers(is_new.then_some(w)))?;
        // Whatever comes of it, the others send what they have.
        let (mut own, error) = match own() {
            Ok(nodes) => (nodes, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut lengths = Vec::new();
        if let Some(first) = own.first_mut() {
            lengths.extend(first.sum.arrays().iter().map(|array| array.len()));
        }
        let mine = match &error {
            None => Ok(flat(&mut own)),
            Some(error) => Err(Failed { rank: 0, why: error.to_string() }),
        };
        let total = self.team.add_up(asked.work, mine)?;
        known.is_lost = false;
        if let Some(error) = error {
            return Err(error);
        }
        let numbers = root(total.unwrap_or(Ok(Vec::new())).map_err(Failed::error)?)?;
        let missing = || Error::Numerical { what: "rank 0 has no rows".into() };
        let mut sum = own.into_iter().next().ok_or_else(missing)?.sum;
        let mut at = 0;
        for (array, length) in sum.arrays().into_iter().zip(lengths) {
            array.extend_from_slice(numbers.get(at..at + length).ok_or_else(missing)?);
            at += length;
        }
        Ok(sum)
    }
}

impl Drop for Ranks {
    /// The others go on. After a panic or a lost message they must not, since a sum may be under way.
    fn drop(&mut self) {
        let own = address(&self.team);
        lock(&ASKED).retain(|team| *team != own);
        let is_in_step = self.known.get_mut().is_ok_and(|known| !known.is_lost);
        if is_in_step && !std::thread::panicking() && self.team.broadcast(Asked::end()).is_ok() {
            self.team.done();
        }
    }
}
