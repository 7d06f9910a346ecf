//! Units that are not linear: p, φ, A, and the second derivatives contracted with δ.
//!
//! The user's [`Unit`](crate::network::Unit) computes in f64 for one sample and unit at a time.

use rayon::prelude::*;

use super::reduce::in_blocks;
use super::{BLOCK, Real};
use crate::backend::{Direction, UnitDerivative, UnitGroup};
use crate::error::Result;
use crate::network::exact;

/// Row i of z in f64, and the parameters of unit j.
fn z_f64<T: Real>(group: &UnitGroup, z: &[T], i: usize) -> Vec<f64> {
    (z[i * group.width..][..group.inputs].iter())
        .map(|v| v.to_f64())
        .collect()
}

fn weights<'a>(group: &UnitGroup<'a>, j: usize) -> &'a [f64] {
    &group.weights[j * group.row..(j + 1) * group.row]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl<T: Real> Direction<'_, Vec<T>> {
    /// ż of sample i in f64.
    fn inputs_of(&self, i: usize) -> Option<Vec<f64>> {
        let row = self.inputs.as_ref()?.row(i);
        Some(row.iter().map(|v| v.to_f64()).collect())
    }

    /// ẇ of unit j, which has t parameters.
    fn weights_of(&self, j: usize, t: usize) -> Option<&[f64]> {
        Some(&self.weights?[j * t..(j + 1) * t])
    }
}

pub(super) fn value<T: Real>(n: usize, group: &UnitGroup, z: &[T], p: &mut [T]) {
    debug_assert_eq!(p.len(), n * group.layer);
    p.par_chunks_mut(group.layer)
        .enumerate()
        .with_min_len(BLOCK / 8)
        .for_each(|(i, p)| {
            let z = z_f64(group, z, i);
            for j in 0..group.units {
                p[group.first + j] = T::from_f64(group.unit.value(&z, weights(group, j)));
            }
        });
}

pub(super) fn derivative<T: Real>(
    n: usize,
    group: &UnitGroup,
    z: &[T],
    which: UnitDerivative,
) -> Vec<T> {
    let width = match which {
        UnitDerivative::Parameters => group.row,
        UnitDerivative::Inputs => group.inputs,
    };
    let mut out = vec![T::ZERO; n * group.units * width];
    out.par_chunks_mut((group.units * width).max(1))
        .enumerate()
        .with_min_len(BLOCK / 8)
        .for_each(|(i, out)| {
            let z = z_f64(group, z, i);
            let mut row = vec![0.0; width];
            for j in 0..group.units {
                let w = weights(group, j);
                match which {
                    UnitDerivative::Parameters => group.unit.d_w(&z, w, &mut row),
                    UnitDerivative::Inputs => group.unit.d_z(&z, w, &mut row),
                }
                for (out, &v) in out[j * width..].iter_mut().zip(&row) {
                    *out = T::from_f64(v);
                }
            }
        });
    out
}

pub(super) fn value_along<T: Real>(
    n: usize,
    group: &UnitGroup,
    z: &[T],
    direction: &Direction<Vec<T>>,
    p: &mut [T],
) {
    debug_assert_eq!(p.len(), n * group.layer);
    let (t, d) = (group.row, group.inputs);
    p.par_chunks_mut(group.layer)
        .enumerate()
        .with_min_len(BLOCK / 8)
        .for_each(|(i, p)| {
            let z = z_f64(group, z, i);
            let dz = direction.inputs_of(i);
            let (mut phi, mut a) = (vec![0.0; t], vec![0.0; d]);
            for j in 0..group.units {
                let w = weights(group, j);
                let mut along = 0.0;
                if let Some(dw) = direction.weights_of(j, t) {
                    group.unit.d_w(&z, w, &mut phi);
                    along += dot(&phi, dw);
                }
                if let Some(dz) = &dz {
                    group.unit.d_z(&z, w, &mut a);
                    along += dot(&a, dz);
                }
                p[group.first + j] += T::from_f64(along);
            }
        });
}

pub(super) fn along<T: Real>(
    n: usize,
    group: &UnitGroup,
    z: &[T],
    direction: &Direction<Vec<T>>,
    which: UnitDerivative,
) -> Result<Vec<T>> {
    let (t, d) = (group.row, group.inputs);
    let of_parameters = which == UnitDerivative::Parameters;
    // Along the parameters alone, φ needs no derivative in the inputs.
    let exact = match of_parameters && direction.inputs.is_none() {
        true => None,
        false => Some(exact(group.unit)?),
    };
    let width = match which {
        UnitDerivative::Parameters => t,
        UnitDerivative::Inputs => d,
    };
    let mut out = vec![T::ZERO; n * group.units * width];
    out.par_chunks_mut((group.units * width).max(1))
        .enumerate()
        .with_min_len(BLOCK / 8)
        .for_each(|(i, out)| {
            let z = z_f64(group, z, i);
            let dz = direction.inputs_of(i);
            // ∂²p/∂w² or ∂²p/∂z², and ∂²p/∂w∂z.
            let (mut same, mut mixed) = (vec![0.0; width * width], vec![0.0; t * d]);
            for j in 0..group.units {
                let (w, dw) = (weights(group, j), direction.weights_of(j, t));
                let (along, across) = match of_parameters {
                    true => (dw, dz.as_deref()),
                    false => (dz.as_deref(), dw),
                };
                let mut total = vec![0.0; width];
                if let Some(along) = along {
                    match exact.filter(|_| !of_parameters) {
                        None => group.unit.d_ww(&z, w, &mut same),
                        Some(exact) => exact.d_zz(&z, w, &mut same),
                    }
                    for (total, row) in total.iter_mut().zip(same.chunks(width)) {
                        *total += dot(row, along);
                    }
                }
                if let (Some(across), Some(exact)) = (across, exact) {
                    exact.d_wz(&z, w, &mut mixed);
                    for (a, total) in total.iter_mut().enumerate() {
                        *total += match of_parameters {
                            true => dot(&mixed[a * d..(a + 1) * d], across),
                            false => (0..t).map(|b| mixed[b * d + a] * across[b]).sum(),
                        };
                    }
                }
                for (out, total) in out[j * width..(j + 1) * width].iter_mut().zip(total) {
                    *out = T::from_f64(total);
                }
            }
        });
    Ok(out)
}

pub(super) fn d_zz<T: Real>(
    n: usize,
    group: &UnitGroup,
    z: &[T],
    delta: &[T],
    out: &mut [T],
) -> Result<()> {
    let exact = exact(group.unit)?;
    let size = group.inputs * group.inputs;
    debug_assert_eq!(out.len(), n * size);
    out.par_chunks_mut(size.max(1))
        .enumerate()
        .with_min_len(BLOCK / 8)
        .for_each(|(i, out)| {
            let z = z_f64(group, z, i);
            let mut second = vec![0.0; size];
            for j in 0..group.units {
                exact.d_zz(&z, weights(group, j), &mut second);
                let delta = delta[i * group.layer + group.first + j];
                for (out, &v) in out.iter_mut().zip(&second) {
                    *out += delta * T::from_f64(v);
                }
            }
        });
    Ok(())
}

pub(super) fn d_ww<T: Real>(
    n: usize,
    group: &UnitGroup,
    z: &[T],
    delta: &[T],
    diagonal: bool,
    out: &mut [f64],
) {
    let t = group.row;
    let size = if diagonal { t } else { t * (t + 1) / 2 };
    in_blocks(n, out, |from, to, out: &mut [T]| {
        let mut psi = vec![0.0; t * t];
        for i in from..to {
            let z = z_f64(group, z, i);
            for j in 0..group.units {
                group.unit.d_ww(&z, weights(group, j), &mut psi);
                let delta = delta[i * group.layer + group.first + j];
                let out = &mut out[j * size..(j + 1) * size];
                let mut at = 0;
                for a in 0..t {
                    for b in if diagonal { a..a + 1 } else { 0..a + 1 } {
                        out[at] += delta * T::from_f64(psi[a * t + b]);
                        at += 1;
                    }
                }
            }
        }
    });
}
