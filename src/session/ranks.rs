//! One problem that several processes compute together: the first asks, the others add up their rows.

use std::sync::Arc;

use super::point::{Evaluate, Products, Triangle};
use super::{Job, Point, Session};
use crate::backend::cpu::Level;
use crate::device::Device;
use crate::error::{Error, Result, bytes};
use crate::evaluate::{Node, Share, Work};
use crate::guard;
use crate::objective::digest;
use crate::problem::Problem;
use crate::team::{Asked, Ranks, Team, flat};

impl Problem {
    /// Returns the problem that `make` makes in every process of a team, whose requests they compute together: in the process of rank 0;
    /// in the others nothing, once rank 0 has dropped it.
    ///
    /// ```text
    /// rank 0      make, compare;  w, request → all;  Σ over its lanes;  + those of the others;  penalty, results
    /// rank r      make, compare;       rows ⌈rL/R⌉ … ⌈(r + 1)L/R⌉ of L lanes;  sums → rank 0;  …            L ≤ 64
    /// ```
    ///
    /// All processes call it, and again only after rank 0 has dropped the problem and all its clones. Value, gradient, curvatures, products and tensors, and so fits, have the bits that one process has, for any
    /// number of processes and threads. Each process computes with its share of the rows, and reads no others after `make`; that of rank 0 reads all once more for a fit (the scales of inputs and targets) and for standard errors. One request is computed at a
    /// time. What has a number for each row, such as the Jacobian, is computed by rank 0 alone. The processor computes, also for
    /// [`Device::auto`]. Up to 64 processes have a share, and need 4,096 rows each.
    ///
    /// The processes compare versions, instruction sets, network, loss, reduction and all rows; network and loss by what `Debug` writes of them, which for
    /// parts of one's own must be the same in every process. Penalty, constraint and memory budget are those of
    /// each process, and rank 0 may change the first two; where it changes the reduction, it computes alone.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ndarray::array;
    /// use secondo::{Activation, Data, Error, Loss, Network, Problem, Result, Team};
    ///
    /// /// One process; several would send each other numbers.
    /// #[derive(Debug)]
    /// struct Alone;
    ///
    /// impl Team for Alone {
    ///     fn rank(&self) -> usize { 0 }
    ///     fn size(&self) -> usize { 1 }
    ///     fn send(&self, _: usize, _: &[f64]) -> Result<()> { Ok(()) }
    ///     fn receive(&self, from: usize) -> Result<Vec<f64>> {
    ///         Err(Error::Rank { rank: from, why: "there is no other process".into() })
    ///     }
    /// }
    ///
    /// let problem = Problem::across(Arc::new(Alone), || {
    ///     let data = Data::new(array![[1.0], [2.0]], array![[2.0], [4.0]])?;
    ///     Problem::new(Network::dense(&[1, 1], Activation::Tanh)?, data, Loss::SquaredError)
    /// })?;
    /// // ½ (2² + 4²) at w = 0.
    /// assert_eq!(problem.map(|problem| problem.objective(&[0.0, 0.0])), Some(Ok(10.0)));
    /// # Ok::<(), secondo::Error>(())
    /// ```
    ///
    /// # Errors
    /// In every process: `Rank` for the first process where `make` fails, or which has another problem than rank 0 (in the process itself, the
    /// error of `make`). Later a failure of another process, a panic too, is `Rank` at rank 0. `Unsupported` for an adapter, and at rank 0 while
    /// there is a problem of the same `Arc`.
    pub fn across(
        team: Arc<dyn Team>,
        make: impl FnOnce() -> Result<Problem>,
    ) -> Result<Option<Problem>> {
        Ranks::require_free(&team)?;
        let made = make().and_then(Problem::on_processor);
        let facts = made.as_ref().map_err(Error::clone).and_then(Problem::facts);
        let agreed = match &facts {
            Ok(facts) => team.agree(Ok(facts)),
            Err(error) => team.agree(Err(&error.to_string())),
        };
        facts?;
        agreed?;
        let problem = made?;
        if team.rank() > 0 {
            problem.unconstrained().serve(&team)?;
            return Ok(None);
        }
        let ranks = (team.size() > 1).then(|| Arc::new(Ranks::new(team)));
        Ok(Some(problem.with_ranks(ranks)))
    }

    /// The number of processes that compute its requests; see [`across`](Self::across).
    pub fn processes(&self) -> usize {
        self.ranks().map_or(1, Ranks::size)
    }

    /// The same problem on the processor.
    fn on_processor(self) -> Result<Problem> {
        match self.device().clone() {
            device @ (Device::Cpu | Device::CpuF32) => Ok(self.on(device)),
            #[cfg(feature = "gpu")]
            Device::Auto(_) => Ok(self.on(Device::Cpu)),
            #[cfg(feature = "gpu")]
            Device::Gpu(_) | Device::Gpus(_) => Err(Error::Unsupported {
                what: "a problem of several processes on an adapter".into(),
                why: "they compute on the processor; choose Device::Cpu".into(),
            }),
        }
    }

    /// The facts that must be the same in all processes, a line for each.
    fn facts(&self) -> Result<String> {
        let (parts, network) = (self.parts(), self.network());
        let debug = format!("{network:?} {:?}", parts.loss);
        let described = digest(0, debug.bytes().map(f64::from));
        let widest = Level::available().last().unwrap_or(Level::Plain);
        let [x, y, omega] = parts.data.digest()?;
        Ok(format!(
            "version {}\ninstructions {} of {}\nnetwork {network}\n{} rows\ndetails of network and loss {described:x}\n\
             reduction {:?}\ncontents of X {x:x}\ncontents of Y {y:x}\nweights {omega:x}",
            env!("CARGO_PKG_VERSION"),
            Level::in_use()?.name(),
            widest.name(),
            self.rows(),
            parts.reduction,
        ))
    }

    /// Adds up the rows of this process for what rank 0 asks, until that asks for nothing more.
    fn serve(&self, team: &Arc<dyn Team>) -> Result<()> {
        let session = self.session();
        let share = Share::Rank(team.rank(), team.size());
        let mut point: Option<Result<Point>> = None;
        while let Some((asked, w)) = Asked::from_numbers(&team.broadcast(Vec::new())?)? {
            if let Some(w) = w {
                // First the arrays of the one before go.
                drop(point.take());
                point = Some(session.at(&w));
            }
            let nodes = || match &point {
                Some(Ok(point)) => session.nodes(point, &asked, share),
                Some(Err(error)) => Err(error.clone()),
                None => Err(Error::invalid("a message of rank 0", "it names no point")),
            };
            let own = guard::call("share of rank", &team.rank().to_string(), nodes);
            team.contribute(asked.work, own.and_then(|own| own))?;
        }
        team.done();
        Ok(())
    }
}

impl Session<'_> {
    /// Returns the sums of a share of the rows for what rank 0 asks.
    fn nodes(&self, point: &Point, asked: &Asked, share: Share) -> Result<Vec<Node<Vec<f64>>>> {
        match asked.work {
            Work::Evaluate(request) => {
                self.share_of(point, asked, share, &Evaluate { request, in_network: request })
            }
            Work::Products(curvature, count) => {
                let job = Products { curvature, vectors: &asked.vectors, count };
                self.share_of(point, asked, share, &job)
            }
            Work::Tensor(of) => self.share_of(point, asked, share, &of),
            Work::Factor => self.share_of(point, asked, share, &Triangle { sizes: &asked.vectors }),
        }
    }

    fn share_of<J: Job>(
        &self,
        point: &Point,
        asked: &Asked,
        share: Share,
        job: &J,
    ) -> Result<Vec<Node<Vec<f64>>>> {
        let device = if asked.float == 4 { Device::CpuF32 } else { Device::Cpu };
        let (target, planned) = self.planned(&device, asked.work)?;
        let plan = &planned.plan;
        if plan.chunk < asked.chunk {
            return Err(Error::Unsupported {
                what: format!("a chunk of {} rows, as rank 0 takes it,", asked.chunk),
                why: format!(
                    "{} of memory are enough for {} rows; give every process the same memory",
                    bytes(self.problem().budget()),
                    plan.chunk
                ),
            });
        }
        let stores = point.stores();
        let mut nodes = self.compute(&target, &planned, stores, job, asked.chunk, share)?.nodes;
        Ok(flat(&mut nodes))
    }
}
