//! Several adapters that compute the samples of one problem together.
//!
//! ```text
//! n samples = L lanes (src/evaluate/lanes.rs)      adapter a: the lanes round(L c_a) … round(L c_{a+1}) − 1,    c_a = Σ_{b<a} v_b / Σ_b v_b
//! ```
//!
//! v_a is the flop a second of adapter a. It is measured in requests whose pipelines were built before, until each adapter has computed for half a second, and then kept; before that
//! all count as equally fast. The sums of lanes are added in a fixed tree, so that adapters that compute the same bits have
//! the same together, however many there are (from two on) and however they divide the lanes.
//!
//! An adapter that fails leaves its lanes to the others, which begin with them when all have ended. If it is lost, or did not answer in time, it is left out from then on; after
//! other faults it is there for the next request.
//!
//! At most 4,096 samples are computed at a time, and each lane's sums come to the host: that is what the fixed order costs.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::backend::gpu::Gpu;
use crate::error::{Error, Fault, Result};
use crate::sync::lock;

/// How long an adapter computes until its speed is known; a choice.
const LONG: Duration = Duration::from_millis(500);

/// Several adapters that compute the samples of one problem together; see [`Device::gpus`](crate::Device::gpus).
#[derive(Debug, Clone)]
pub struct Gpus(Arc<Vec<Member>>);

/// One of several adapters.
#[derive(Debug)]
pub(crate) struct Member {
    pub gpu: Gpu,
    measured: Mutex<Measured>,
    failure: OnceLock<Error>,
}

/// The flop that an adapter has computed, and the time that it took.
#[derive(Debug, Default)]
struct Measured {
    flops: f64,
    time: Duration,
}

impl Gpus {
    /// Returns adapters that compute together, each opened by itself.
    ///
    /// # Errors
    /// `Invalid` if there is none, if they differ in precision, or if one is there twice (it can be opened twice).
    pub fn new(adapters: Vec<Gpu>) -> Result<Self> {
        let invalid = |why| Err(Error::invalid("the adapters", why));
        let Some(first) = adapters.first() else {
            return invalid("at least one is needed");
        };
        for (at, gpu) in adapters.iter().enumerate() {
            if gpu.is_f64() != first.is_f64() {
                return invalid("all must compute in the same precision");
            }
            if adapters[..at].iter().any(|other| other.number() == gpu.number()) {
                return invalid("each must be opened by itself");
            }
        }
        let count = adapters.len();
        let member = |gpu: Gpu| Member {
            gpu: gpu.among(count),
            measured: Mutex::default(),
            failure: OnceLock::new(),
        };
        Ok(Gpus(Arc::new(adapters.into_iter().map(member).collect())))
    }

    /// Returns the adapters, with the error of each that is left out.
    pub fn adapters(&self) -> impl Iterator<Item = (&Gpu, Option<&Error>)> {
        self.0.iter().map(|member| (&member.gpu, member.failure.get()))
    }

    /// Whether they compute in f64.
    pub(crate) fn is_f64(&self) -> bool {
        self.0.iter().all(|member| member.gpu.is_f64())
    }

    /// How many there are, those that failed among them.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The adapters that are not left out.
    ///
    /// # Errors
    /// That of the last of them, if there is none.
    pub(crate) fn present(&self) -> Result<Vec<&Member>> {
        let works = |member: &&Member| member.failure.get().is_none();
        let present: Vec<_> = self.0.iter().filter(works).collect();
        match self.0.last().and_then(|member| member.failure.get()) {
            Some(failure) if present.is_empty() => Err(failure.clone()),
            _ => Ok(present),
        }
    }
}

/// Divides some lanes among adapters, in proportion to their speeds.
pub(crate) fn shares<'a>(
    among: &[&'a Member],
    lanes: Range<usize>,
) -> Vec<(&'a Member, Range<usize>)> {
    let measured: Option<Vec<f64>> = among.iter().map(|member| member.speed()).collect();
    let speeds = measured.unwrap_or_else(|| vec![1.0; among.len()]);
    let total: f64 = speeds.iter().sum();
    let (mut sum, mut from) = (0.0, lanes.start);
    let mut shares = Vec::new();
    for ((at, member), speed) in among.iter().enumerate().zip(speeds) {
        sum += speed;
        // Rounding may leave some of the last one's.
        let part = (lanes.len() as f64 * (sum / total)).round() as usize;
        let to = if at + 1 == among.len() { lanes.end } else { lanes.start + part };
        if to > from {
            shares.push((*member, from..to));
            from = to;
        }
    }
    shares
}

impl Member {
    /// Leaves it out from now on, if it would fail again.
    pub(crate) fn fail(&self, error: &Error) {
        if let Error::Gpu { fault: Fault::Lost { .. } | Fault::Timeout { .. }, .. } = error {
            let _ = self.failure.set(error.clone());
        }
    }

    /// Adds what it has computed, until its speed is known.
    pub(crate) fn measure(&self, flops: f64, time: Duration) {
        let mut measured = lock(&self.measured);
        if measured.time < LONG {
            measured.flops += flops;
            measured.time += time;
        }
    }

    /// Its flop a second, if that is known.
    fn speed(&self) -> Option<f64> {
        let measured = lock(&self.measured);
        let speed = measured.flops / measured.time.as_secs_f64();
        (measured.time >= LONG && speed > 0.0).then_some(speed)
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (gpu, failure)) in self.adapters().enumerate() {
            write!(f, "{}{}", if at > 0 { " + " } else { "" }, gpu.adapter())?;
            if let Some(Error::Gpu { operation, fault, .. }) = failure {
                write!(f, " (failed: {operation}: {fault})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::gpu::Options;
    use crate::{Activation, Curvature, Data, Device, Loss, Network, Problem, Request, Structure};
    use ndarray::Array2;

    /// The test adapter, opened so many times.
    fn gpus(count: usize) -> Gpus {
        let options = Options { pipeline_cache: None, ..Options::default() };
        let name = std::env::var("SECONDO_TEST_ADAPTER").unwrap_or("llvmpipe".into());
        let open = |_| Gpu::open(Some(&name), options.clone()).expect("mesa-vulkan-drivers");
        Gpus::new((0..count).map(open).collect()).unwrap()
    }

    fn lengths(gpus: &Gpus, lanes: Range<usize>) -> Vec<usize> {
        let shares = shares(&gpus.present().unwrap(), lanes.clone());
        let mut from = lanes.start;
        for (_, share) in &shares {
            assert!(share.start == from && share.end > from);
            from = share.end;
        }
        assert_eq!(from, lanes.end);
        shares.into_iter().map(|(_, share)| share.len()).collect()
    }

    fn fault(fault: Fault) -> Error {
        Error::gpu("a", "test", fault)
    }

    #[test]
    fn shares_follow_the_speeds_once_all_are_known() {
        let gpus = gpus(3);
        assert_eq!(lengths(&gpus, 0..64), [21, 22, 21]);
        // Fewer than adapters.
        assert_eq!(lengths(&gpus, 4..6), [1, 1]);
        for (at, flops) in [(0, 3e9), (1, 1e9)] {
            gpus.0[at].measure(flops, LONG);
            // It is known already.
            gpus.0[at].measure(1e20, LONG);
        }
        gpus.0[2].measure(0.0, LONG / 2);
        assert_eq!(lengths(&gpus, 0..64), [21, 22, 21]);
        gpus.0[2].measure(1e6, LONG / 2);
        assert_eq!(lengths(&gpus, 0..64), [48, 16]);
        // Other faults than these leave none out.
        gpus.0[0].fail(&fault(Fault::Incomplete));
        assert_eq!(lengths(&gpus, 0..64), [48, 16]);
        gpus.0[0].fail(&fault(Fault::Lost { reason: "first".into() }));
        assert_eq!(lengths(&gpus, 8..64), [56]);
        gpus.0[2].fail(&fault(Fault::Lost { reason: "third".into() }));
        gpus.0[1].fail(&fault(Fault::Lost { reason: "second".into() }));
        let last = fault(Fault::Lost { reason: "third".into() });
        assert_eq!(gpus.present().err(), Some(last));
    }

    /// However the lanes are divided; in one session, whose samples and linearizations must follow the shares.
    #[test]
    fn the_bits_do_not_depend_on_the_division() {
        let n = 11 * 4096 + 5;
        let value = |i: usize, j: usize| ((3 * i + 7 * j + i * j) % 17) as f64 / 16.0 - 0.5;
        let x = Array2::from_shape_fn((n, 3), |(i, j)| value(i, j));
        let y = Array2::from_shape_fn((n, 1), |(i, _)| value(i, 5));
        let network = Network::dense(&[3, 4, 1], Activation::Tanh).unwrap();
        let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
        let w: Vec<f64> = (0..problem.parameters()).map(|l| value(l, 2)).collect();
        let gpus = gpus(3);
        let problem = problem.on(Device::Gpus(gpus.clone()));
        let session = problem.session();
        let point = session.at(&w).unwrap();
        let request = Request::curvature(Curvature::Exact, Structure::Full);
        let even = point.evaluate(request).unwrap();
        for (flops, division) in [([1e9, 6e9, 1e9], 1), ([5e9, 1e9, 2e9], 5)] {
            for (member, flops) in gpus.0.iter().zip(flops) {
                *lock(&member.measured) = Measured { flops, time: LONG };
            }
            assert_eq!(lengths(&gpus, 0..8)[0], division);
            assert!(point.evaluate(request).unwrap() == even);
            assert!(session.at(&w).unwrap().evaluate(request).unwrap() == even);
        }
    }
}
