//! The Jacobian of the outputs, row by row.

use rayon::prelude::*;

use super::chain::Chain;
use super::linear::{Linear, Need, Setting};
use super::samples::Samples;
use super::sizes::{finite, shape_product};
use super::states::{Parameters, download};
use super::{Counters, Parts};
use crate::backend::Backend;
use crate::error::Result;
use crate::memory::zeros;

/// Writes ∂x_io^m/∂W of a chunk: rows (i, o), P columns. A backend that only counts has none.
pub(super) fn write_rows<B: Backend>(chain: &Chain<B>, rows: &mut [f64]) -> Result<()> {
    let (b, network) = (chain.b, chain.network);
    let (p, outputs) = (network.parameters(), network.outputs());
    let jacobians = chain.jacobians()?;
    for (k, g) in network.groups() {
        let units = network.width(k);
        let j = b.download(&jacobians[k - 1])?;
        // Linear units share φ.
        let (phi, is_shared) = chain.with_phi(k, g, |phi| {
            let is_shared = phi.layout.strides[1] == 0;
            let phi = phi.with(|phi| if is_shared { phi.rows(0..1) } else { phi });
            Ok((download(b, phi)?, is_shared))
        })?;
        rows.par_chunks_mut(p.max(1)).enumerate().for_each(|(row, out)| {
            let i = row / outputs;
            for (local, out) in out[g.range.clone()].chunks_mut(g.row.max(1)).enumerate() {
                let at = if is_shared { i } else { i * g.units.len() + local };
                let phi = &phi[at * g.row..(at + 1) * g.row];
                let j = j[row * units + g.units.start + local];
                (out.iter_mut().zip(phi)).for_each(|(out, phi)| *out = j * phi);
            }
        });
    }
    b.recycle(jacobians);
    Ok(())
}

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
    let mut rows = zeros("the Jacobian", shape_product("the Jacobian", &[n, outputs, p])?)?;
    let mut all = Vec::with_capacity(n * outputs);
    let parameters = Parameters::upload(backend, w)?;
    let (samples, counters) = (Samples::in_windows(parts, chunk, 0..n), Counters::default());
    let setting = Setting {
        b: backend,
        network,
        loss: parts.loss,
        parameters: &parameters,
        counters: &counters,
    };
    for from in (0..n).step_by(chunk.max(1)) {
        let count = chunk.min(n - from);
        let rows = &mut rows[from * outputs * p..(from + count) * outputs * p];
        samples.with(backend, parts, from..from + count, &counters, |batch| {
            let linear = Linear::new(setting, batch, Need::of_jacobian(), None, None)?;
            all.extend(linear.download_states(setting, batch, network.depth())?);
            if let Some(chain) = linear.chain(setting, batch) {
                write_rows(&chain, rows)?;
            }
            linear.recycle(backend);
            Ok(())
        })?;
    }
    finite("the Jacobian", &rows)?;
    Ok((rows, all))
}
