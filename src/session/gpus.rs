//! Requests that several adapters compute together.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::point::Stores;
use super::{Job, Session};
use crate::device::Device;
use crate::error::{Error, Fault, Result};
use crate::evaluate::{
    Additive, Partial, Planned, Rows, Share, Target, lane_count, push_by, root, rows_of_lanes,
};
use crate::gpus::{Gpus, Member, shares};
use crate::guard;

/// The plans of a request on some adapters, with the number of samples at a time that suits all of them.
struct Common {
    plans: Vec<(u64, Arc<Planned>)>,
    chunk: usize,
}

impl Session<'_> {
    /// Does a job on several adapters, each with a share of the lanes; what has a number for each sample, and few samples, on the
    /// first one that works. Where one fails the others compute its share.
    ///
    /// # Errors
    /// That of an adapter, if all have failed.
    pub(super) fn run_on_gpus<J: Job>(
        &self,
        gpus: &Gpus,
        stores: &Stores,
        job: &J,
    ) -> Result<J::Done> {
        let (parts, weights) = (self.problem.parts(), stores.weights());
        let common = self.common(gpus, job)?;
        let is_shared = gpus.count() > 1 && !job.work().has_rows();
        let lanes = if is_shared { lane_count(parts.data.len()) } else { 1 };
        let mut present = gpus.present()?;
        let (mut nodes, mut rows) = (Vec::new(), Rows::default());
        let mut left = Vec::from([Range { start: 0, end: lanes }]);
        while let Some(range) = left.pop() {
            let shares = match lanes {
                1 => present.iter().take(1).map(|member| (*member, range.clone())).collect(),
                _ => shares(&present, range),
            };
            // By threads of the current pool, which wait for their adapters: others would divide their work in the global pool.
            let compute = |(member, range): &(&Member, Range<usize>)| {
                let part = Share::Lanes(range.start, range.end);
                let share = if lanes == 1 { Share::ALL } else { part };
                self.share(member, stores, job, &common, share)
            };
            let done: Vec<_> = shares.par_iter().with_max_len(1).map(compute).collect();
            for ((member, range), done) in shares.into_iter().zip(done) {
                match done {
                    Ok(partial) => {
                        nodes.extend(partial.nodes);
                        rows = partial.rows;
                    }
                    Err(error @ Error::Gpu { .. }) => {
                        member.fail(&error);
                        present.retain(|other| other.gpu.number() != member.gpu.number());
                        if present.is_empty() {
                            return Err(error);
                        }
                        left.push(range);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        nodes.sort_by_key(|node| node.lane);
        let mut tree = Vec::new();
        nodes.into_iter().for_each(|node| push_by(&mut tree, node, J::Total::add));
        job.finish(parts, weights, root(tree)?, rows)
    }

    /// Plans a job on all adapters, also on those that are left out: its chunks do not depend on which are.
    fn common<J: Job>(&self, gpus: &Gpus, job: &J) -> Result<Common> {
        let mut common = Common { plans: Vec::new(), chunk: usize::MAX };
        for (gpu, _) in gpus.adapters() {
            let device = Device::Gpu(gpu.clone());
            let (_, planned) = self.planned(&device, job.work())?;
            common.chunk = common.chunk.min(self.chunk(&device, job.work(), &planned));
            common.plans.push((gpu.number(), planned));
        }
        Ok(common)
    }

    /// Computes the share of one adapter.
    fn share<J: Job>(
        &self,
        member: &Member,
        stores: &Stores,
        job: &J,
        common: &Common,
        share: Share,
    ) -> Result<Partial<J::Total>> {
        let gpu = &member.gpu;
        let of_it = |(number, _): &&(u64, Arc<Planned>)| *number == gpu.number();
        let none = || Error::invalid("the adapters", "this one is not among them");
        let (_, planned) = common.plans.iter().find(of_it).ok_or_else(none)?;
        // Pipelines are built in the first request.
        let is_prepared = planned.prepared.get().is_some();
        let clock = Instant::now();
        let compute = || {
            let target = Target::Gpu(gpu.clone());
            self.compute(&target, planned, stores, job, common.chunk, share)
        };
        let partial = guard::call("share of adapter", &gpu.adapter().name, compute)
            // What wgpu does where a device is lost; parts of the user's are guarded where they are called.
            .map_err(|panic| {
                let reason = panic.to_string();
                Error::gpu(&gpu.adapter().name, "computing a share", Fault::Lost { reason })
            })
            .flatten()?;
        if let (true, Share::Lanes(from, to)) = (is_prepared, share) {
            let n = self.problem.rows();
            let part = rows_of_lanes(n, lane_count(n), &(from..to)).len() as f64 / n as f64;
            member.measure(part * planned.plan.flops, clock.elapsed());
        }
        Ok(partial)
    }
}
