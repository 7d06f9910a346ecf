//! The Jacobian of the outputs, row by row.

use rayon::prelude::*;

use super::sweep::{Chain, Parameters, jacobians, propagate, upload_inputs};
use super::{Parts, slice};
use crate::backend::{Backend, Kind};
use crate::error::Result;

/// ∂x_io^m/∂W: rows (i, o), P columns; with the outputs x_i^m, n × outputs.
///
/// Per sample it is J^k[o, j] φ_ja with J^k = ∂x^m/∂p^k.
pub(crate) fn jacobian<B: Backend>(
    backend: &B,
    parts: Parts,
    w: &[f64],
    chunk: usize,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let Parts { network, data, .. } = parts;
    network.check(w)?;
    let (n, p, outputs) = (data.len(), network.parameters(), network.outputs());
    let mut rows = vec![0.0; super::shape_product("the Jacobian", &[n, outputs, p])?];
    let mut all = Vec::with_capacity(n * outputs);
    let parameters = Parameters::upload(backend, network, w)?;
    let x = slice(data.x())?;
    for from in (0..n).step_by(chunk.max(1)) {
        let count = chunk.min(n - from);
        let input = &x[from * network.inputs()..(from + count) * network.inputs()];
        let input = upload_inputs(backend, network, input)?;
        let states = propagate(backend, network, &parameters, count, input, 1)?;
        all.extend(backend.download(states.output())?);
        let chain = Chain::new(backend, network, &parameters, &states)?;
        let by_layer: Vec<Vec<f64>> = (jacobians(&chain)?.iter())
            .map(|j| backend.download(j))
            .collect::<Result<_>>()?;
        let rows = &mut rows[from * outputs * p..(from + count) * outputs * p];
        for (k, g) in network.groups() {
            let units = network.width(k);
            let (phi, sampled) = chain.with_phi(k, g, |phi| {
                Ok((backend.download(phi.array)?, phi.kind == Kind::Sampled))
            })?;
            let j = &by_layer[k - 1];
            rows.par_chunks_mut(p).enumerate().for_each(|(row, out)| {
                let i = row / outputs;
                for (local, out) in out[g.range.clone()].chunks_mut(g.row).enumerate() {
                    let at = if sampled {
                        i * g.units.len() + local
                    } else {
                        i
                    };
                    let phi = &phi[at * g.row..(at + 1) * g.row];
                    let j = j[row * units + g.units.start + local];
                    out.iter_mut()
                        .zip(phi)
                        .for_each(|(out, phi)| *out = j * phi);
                }
            });
        }
    }
    super::finite("the Jacobian", &rows)?;
    Ok((rows, all))
}
