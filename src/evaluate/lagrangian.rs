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

use super::sweep::{Chain, Parameters, States, Sums, back_propagated, propagate, upload_inputs};
use super::{Parts, Request, by_group, weights};
use crate::backend::{Backend, Cpu};
use crate::curvature::{Curvature, Matrix, Structure};
use crate::error::{Error, Result};

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
    let b = Cpu::<f64>::new();
    let parameters = Parameters::upload(&b, network, w)?;
    let mut states = vec![Vec::new(); network.depth()];
    let mut multipliers = vec![Vec::new(); network.depth()];
    each_chunk(parts, |n, x, y, omega, _| {
        let x = upload_inputs(&b, network, &x)?;
        let s = propagate(&b, network, &parameters, n, x, 1)?;
        let seed = b.loss(n, parts.loss, s.output(), &y, &omega, &mut vec![0.0], true)?;
        let chain = Chain::new(&b, network, &parameters, &s)?;
        let g_x = back_propagated(&chain, seed.unwrap_or_default())?;
        for k in 1..=network.depth() {
            states[k - 1].extend(s.outputs(network, k));
            multipliers[k - 1].extend(g_x[k - 1].iter().map(|g| 0.0 - g));
        }
        Ok(())
    })?;
    Ok(Configuration {
        states: by_layer(parts, states)?,
        multipliers: by_layer(parts, multipliers)?,
    })
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
                return Err(Error::non_finite(
                    format!("{what} of layer {}", index + 1),
                    &[i, j],
                ));
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
    let parameters = Parameters::upload(&b, network, w)?;
    let request = Request::curvature(Curvature::Lagrangian, Structure::RowBlocks);
    let mut sums = Sums::new(&b, network, request, 1)?;
    let mut constraints = 0.0;
    let (mut d_x, mut d_e) = (vec![Vec::new(); m], vec![Vec::new(); m]);
    each_chunk(parts, |n, x0, y, omega, rows| {
        let part = |arrays: &[Array2<f64>]| -> Vec<Vec<f64>> {
            arrays.iter().map(|a| rows_of(a, rows.clone())).collect()
        };
        let e = part(&at.multipliers);
        let mut x = vec![x0];
        x.extend(part(&at.states));
        let mut states = States::<Cpu<f64>>::new(n, x);
        for k in 1..=m {
            let h = states
                .advance(&b, network, &parameters, k, 2, false)?
                .unwrap_or_default();
            let residual: Vec<f64> = states.x[k].iter().zip(&h).map(|(x, h)| x - h).collect();
            constraints += e[k - 1]
                .iter()
                .zip(&residual)
                .map(|(e, r)| e * r)
                .sum::<f64>();
            d_e[k - 1].extend(residual);
        }
        let g_x = b.loss(
            n,
            parts.loss,
            states.output(),
            &y,
            &omega,
            &mut sums.value,
            true,
        )?;
        let chain = Chain::new(&b, network, &parameters, &states)?;
        // With −e in place of ∂g/∂x the sums are those of a sweep.
        let minus_e: Vec<Vec<f64>> = e.iter().map(|e| e.iter().map(|e| -e).collect()).collect();
        let mut delta = minus_e.clone();
        for k in 1..=m {
            chain.times_h1(1, k, &mut delta[k - 1])?;
        }
        for k in 1..=m {
            let mut d = chain.pull_back(1, k, false, |r| &delta[r - 1])?;
            d.iter_mut().zip(&e[k - 1]).for_each(|(d, e)| *d += e);
            if let Some(g_x) = g_x.as_ref().filter(|_| k == m) {
                d.iter_mut().zip(g_x).for_each(|(d, g)| *d += g);
            }
            d_x[k - 1].extend(d);
        }
        let c = (1..=m)
            .map(|k| chain.times_h2(&minus_e, k))
            .collect::<Result<Vec<_>>>()?;
        chain.add_gradient(&delta, &mut sums.gradient)?;
        chain.add_curvature(Structure::RowBlocks, &c, Some(&delta), &mut sums.curvature)
    })?;
    let mut d_w = sums.gradient.concat();
    let pen = parts.penalty.gradient(network, w)?;
    d_w.iter_mut().zip(pen).for_each(|(d, p)| *d += p);
    let mut d_ww = by_group(network, Structure::RowBlocks, sums.curvature);
    parts.penalty.hessian(network, w)?.add_to(&mut d_ww);
    Ok(LagrangianPoint {
        value: sums.value[0] + parts.penalty.value(network, w)? + constraints,
        d_w,
        d_x: by_layer(parts, d_x)?,
        d_e: by_layer(parts, d_e)?,
        d_ww,
    })
}

/// Calls `f(n, x, y, ω, rows)` for each chunk of samples.
pub(super) fn each_chunk(
    parts: Parts,
    mut f: impl FnMut(usize, Vec<f64>, Vec<f64>, Vec<f64>, Range<usize>) -> Result<()>,
) -> Result<()> {
    let data = parts.data;
    let omega = weights(data, parts.reduction);
    let (x, y) = (super::slice(data.x())?, super::slice(data.y())?);
    let (inputs, outputs) = (data.x().ncols(), data.y().ncols());
    for from in (0..data.len()).step_by(CHUNK) {
        let to = data.len().min(from + CHUNK);
        f(
            to - from,
            x[from * inputs..to * inputs].to_vec(),
            y[from * outputs..to * outputs].to_vec(),
            omega[from..to].to_vec(),
            from..to,
        )?;
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
