//! The Lagrangian of the paper (eq. 6) and its derivatives (eq. 7–10) at any configuration.
//!
//! ```text
//! L(W, X, E) = Σ_i ω_i g(x_i^m, y_i) + pen(W) + Σ_i Σ_k e_i^k · (x_i^k − h(P^k(z_i^k; W^k)))
//! ```
//!
//! Here X and E are independent variables: z is gathered from the given X, nothing is propagated. At a propagated
//! configuration with back-propagated multipliers ∂L/∂E = 0 and ∂L/∂X = 0, L is E(W), and ∂L/∂W is its gradient.

use std::ops::Range;

use ndarray::Array2;

use super::assemble::by_group;
use super::chain::{Chain, Sensitivities};
use super::counters::Counters;
use super::linear::{Extent, Linear, Need, Setting};
use super::samples::{Batch, Samples};
use super::sizes::finite;
use super::states::{Parameters, States};
use super::sums::Sums;
use super::{Parts, Request};
use crate::backend::kernel::Epilogue;
use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, Matrix, Structure};
use crate::error::{Error, Quantity, Result};
use crate::memory::{bytes_of, require_memory};

/// The variables of the Lagrangian besides W: for the layers k = 1 … m, n × s_k each.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// X: the outputs x^k, free of W.
    pub states: Vec<Array2<f64>>,
    /// E: the multipliers e^k.
    pub multipliers: Vec<Array2<f64>>,
}

/// The Lagrangian's value and derivatives at a configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LagrangianPoint {
    /// L(W, X, E).
    pub value: f64,
    /// ∂L/∂W = −Σ_i e_ij h′(p_ij) φ_ij + ∂pen/∂W (eq. 9), length P.
    pub d_w: Vec<f64>,
    /// ∂L/∂x^k = e^k + [k = m] ∂g/∂x − Σ_r (e^r ⊙ h′(p^r)) A^r\[:, k\] (eq. 7, 8), n × s_k for k = 1 … m.
    pub d_x: Vec<Array2<f64>>,
    /// ∂L/∂e^k = x^k − h(p^k) (eq. 1), n × s_k for k = 1 … m.
    pub d_e: Vec<Array2<f64>>,
    /// The row blocks of ∂²L/∂W² = −Σ_i e_ij (h″(p_ij) φ_ij φ_ijᵀ + h′(p_ij) Ψ_ij) + ∂²pen (eq. 10); all other second
    /// derivatives in W are the penalty's.
    pub d_ww: Matrix,
}

/// Samples at a time.
pub(super) const CHUNK: usize = 4096;

/// The configuration that W propagates, with its multipliers.
pub(crate) fn configuration(parts: Parts, w: &[f64]) -> Result<Configuration> {
    let network = parts.network;
    let units = (network.layers().iter()).fold(0, |sum: usize, l| sum.saturating_add(l.units));
    let need = bytes_of(&[16, parts.data.len(), units]);
    require_memory("the states and multipliers of all samples", need, "take fewer samples")?;
    let b = Cpu::<f64>::new();
    let parameters = Parameters::upload(&b, w)?;
    let counters = Counters::default();
    let setting = setting(&b, parts, &parameters, &counters);
    let mut states = vec![Vec::new(); network.depth()];
    let mut multipliers = vec![Vec::new(); network.depth()];
    each_chunk(&b, parts, |batch, _| {
        let need = Need { extent: Extent::Multipliers, order: 1 };
        let linear = Linear::new(setting, batch, need, None, None)?;
        if let Some(backward) = linear.backward() {
            for k in 1..=network.depth() {
                states[k - 1].extend(linear.download_states(setting, batch, k)?);
                let g_x = b.download(&backward.multipliers[k - 1])?;
                multipliers[k - 1].extend(g_x.iter().map(|g| 0.0 - g));
            }
        }
        linear.recycle(&b);
        Ok(())
    })?;
    Ok(Configuration {
        states: by_layer(parts, states)?,
        multipliers: by_layer(parts, multipliers)?,
    })
}

fn setting<'a, B: Backend>(
    b: &'a B,
    parts: Parts<'a>,
    parameters: &'a Parameters<B>,
    counters: &'a Counters,
) -> Setting<'a, B> {
    Setting { b, network: parts.network, loss: parts.loss, parameters, counters }
}

/// The configuration's arrays are n × s_k, and finite.
pub(super) fn check(parts: Parts, at: &Configuration) -> Result<()> {
    let (network, data, m) = (parts.network, parts.data, parts.network.depth());
    for (what, arrays) in [("states", &at.states), ("multipliers", &at.multipliers)] {
        if arrays.len() != m {
            return Err(Error::shape(what, &[m], &[arrays.len()]));
        }
        for (index, a) in arrays.iter().enumerate() {
            let want = [data.len(), network.width(index + 1)];
            if a.shape() != want {
                return Err(Error::shape(
                    format!("{what} of layer {}", index + 1),
                    &want,
                    a.shape(),
                ));
            }
            if let Some(((i, j), _)) = a.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return Err(Error::non_finite(format!("{what} of layer {}", index + 1), &[i, j]));
            }
        }
    }
    Ok(())
}

/// Some rows, one after the other.
pub(super) fn rows_of(a: &Array2<f64>, rows: Range<usize>) -> Vec<f64> {
    let rows = rows.start as isize..rows.end as isize;
    a.slice(ndarray::s![rows, ..]).iter().copied().collect()
}

/// L and its derivatives at W and a configuration.
pub(crate) fn lagrangian(parts: Parts, w: &[f64], at: &Configuration) -> Result<LagrangianPoint> {
    let (network, m) = (parts.network, parts.network.depth());
    check(parts, at)?;
    let b = Cpu::<f64>::new();
    let parameters = Parameters::upload(&b, w)?;
    let counters = Counters::default();
    let setting = setting(&b, parts, &parameters, &counters);
    let request = Request::curvature(Curvature::Lagrangian, Structure::RowBlocks);
    let mut sums = Sums::new(&b, network, request, 1)?;
    let mut constraints = 0.0;
    let (mut d_x, mut d_e) = (vec![Vec::new(); m], vec![Vec::new(); m]);
    each_chunk(&b, parts, |batch, rows| {
        let given = |arrays: &[Array2<f64>]| -> Vec<Vec<f64>> {
            arrays.iter().map(|a| rows_of(a, rows.clone())).collect()
        };
        let (x, e) = (given(&at.states), given(&at.multipliers));
        let arrays = x.iter().map(|x| b.upload(x)).collect::<Result<_>>()?;
        let mut states = States::given(&b, network, batch.x, arrays, 2)?;
        for k in 1..=m {
            let h = states.advance(&b, network, &parameters, batch.x, k, None)?;
            let h = b.download(&h)?;
            let residual: Vec<f64> = x[k - 1].iter().zip(&h).map(|(x, h)| x - h).collect();
            let products = e[k - 1].iter().zip(&residual).map(|(e, r)| e * r);
            constraints += products.sum::<f64>();
            d_e[k - 1].extend(residual);
        }
        let g_x = setting.loss(batch, &states, Some(&mut sums.value), true)?;
        let g_x = g_x.map(|g_x| b.download(&g_x)).transpose()?;
        let sensitivities = Sensitivities::new(&b, network, &parameters, &states, &batch)?;
        let chain = Chain {
            b: &b,
            n: batch.n,
            network,
            parameters: &parameters,
            states: &states,
            batch,
            sensitivities: &sensitivities,
        };
        // With −e in place of ∂g/∂x the sums are those of a sweep.
        let minus = |e: &Vec<f64>| b.upload(&e.iter().map(|e| -e).collect::<Vec<_>>());
        let minus_e = e.iter().map(minus).collect::<Result<Vec<_>>>()?;
        let delta = |k: usize| chain.times(k, chain.view(&minus_e[k - 1], 1, k), chain.h1(k));
        let delta = (1..=m).map(delta).collect::<Result<Vec<_>>>()?;
        for k in 1..=m {
            let of_consumer = |r: usize| chain.view(&delta[r - 1], 1, r);
            let mut d = b.download(&chain.pull_back(1, k, Epilogue::None, of_consumer)?)?;
            d.iter_mut().zip(&e[k - 1]).for_each(|(d, e)| *d += e);
            if let Some(g_x) = g_x.as_ref().filter(|_| k == m) {
                d.iter_mut().zip(g_x).for_each(|(d, g)| *d += g);
            }
            d_x[k - 1].extend(d);
        }
        let c = (1..=m).map(|k| chain.times_h2(&minus_e, k)).collect::<Result<Vec<_>>>()?;
        chain.add_gradient(&delta, &mut sums.gradient)?;
        chain.add_blocks(Structure::RowBlocks, &c, Some(&delta), &mut sums.curvature)
    })?;
    let totals = sums.read(&b)?;
    let mut d_w = totals.gradient.concat();
    let pen = parts.penalty.gradient(network, w)?;
    d_w.iter_mut().zip(pen).for_each(|(d, p)| *d += p);
    let mut d_ww = by_group(network, Structure::RowBlocks, totals.curvature);
    parts.penalty.hessian(network, w)?.add_to(&mut d_ww);
    let value = totals.value[0] + parts.penalty.value(network, w)? + constraints;
    finite("the Lagrangian", &[value])?;
    finite("∂L/∂W", &d_w)?;
    for (k, (x, e)) in (1..).zip(d_x.iter().zip(&d_e)) {
        finite(format!("∂L/∂x of layer {k}"), x)?;
        finite(format!("∂L/∂e of layer {k}"), e)?;
    }
    Ok(LagrangianPoint {
        value,
        d_w,
        d_x: by_layer(parts, d_x)?,
        d_e: by_layer(parts, d_e)?,
        d_ww: d_ww.finite(Quantity::Curvature)?,
    })
}

/// Calls `f` with each chunk of samples and their places.
pub(super) fn each_chunk<B: Backend>(
    b: &B,
    parts: Parts,
    mut f: impl FnMut(Batch<B>, Range<usize>) -> Result<()>,
) -> Result<()> {
    let samples = Samples::in_windows(parts, CHUNK, 0..parts.data.len());
    for from in (0..parts.data.len()).step_by(CHUNK) {
        let rows = from..parts.data.len().min(from + CHUNK);
        let counters = Counters::default();
        samples.with(b, parts, rows.clone(), &counters, |batch| f(batch, rows))?;
    }
    Ok(())
}

/// The layers' numbers as n × s_k.
fn by_layer(parts: Parts, values: Vec<Vec<f64>>) -> Result<Vec<Array2<f64>>> {
    let n = parts.data.len();
    (values.into_iter().enumerate())
        .map(|(index, v)| {
            let shape = (n, parts.network.width(index + 1));
            let len = v.len();
            Array2::from_shape_vec(shape, v)
                .map_err(|_| Error::shape("layer", &[shape.0, shape.1], &[len]))
        })
        .collect()
}
