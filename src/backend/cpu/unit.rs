//! Units that are not linear: p, φ, A, and the second derivatives contracted with δ.
//!
//! The user's [`Unit`](crate::network::Unit) computes in f64 for one sample and unit at a time. A panic there, and a NaN made of
//! finite numbers, end as errors that name the unit.

use rayon::prelude::*;

use super::reduce::in_blocks;
use super::{BLOCK, Real};
use crate::backend::{Direction, UnitDerivative, UnitGroup};
use crate::error::Result;
use crate::guard;
use crate::network::exact;

/// Row i of z in f64.
fn z_f64<T: Real>(group: &UnitGroup<Vec<T>>, z: &[T], i: usize) -> Vec<f64> {
    to_f64(&z[i * group.width..][..group.inputs])
}

fn to_f64<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A group's calls with its parameters in f64.
struct Calls<'a> {
    name: &'a str,
    /// All units' parameters, t of each.
    weights: Vec<f64>,
    t: usize,
}

/// What `run` gives, or the error of a unit that panics or makes a NaN.
fn guarded<T: Real, R>(group: &UnitGroup<Vec<T>>, run: impl FnOnce(&Calls) -> R) -> Result<R> {
    let run = |name| {
        let weights = to_f64(group.weights);
        run(&Calls {
            name,
            weights,
            t: group.row,
        })
    };
    guard::named("unit", || group.unit.name(), run)
}

impl Calls<'_> {
    fn weights(&self, j: usize) -> &[f64] {
        &self.weights[j * self.t..(j + 1) * self.t]
    }

    /// Lets `fill` write and refuses a NaN that it makes of the finite z and w.
    fn fill(
        &self,
        what: &str,
        z: &[f64],
        j: usize,
        out: &mut [f64],
        fill: impl FnOnce(&[f64], &mut [f64]),
    ) {
        let w = self.weights(j);
        fill(w, out);
        guard::refuse_nan("unit", self.name, what, &[z, w], out);
    }
}

impl<T: Real> Direction<'_, Vec<T>> {
    /// ż of sample i in f64.
    fn inputs_of(&self, i: usize) -> Option<Vec<f64>> {
        Some(to_f64(self.inputs.as_ref()?.row(i)))
    }

    /// ẇ in f64, all units'.
    fn weights_f64(&self) -> Option<Vec<f64>> {
        Some(to_f64(self.weights?))
    }
}

pub(super) fn value<T: Real>(
    n: usize,
    group: &UnitGroup<Vec<T>>,
    z: &[T],
    p: &mut [T],
) -> Result<()> {
    debug_assert_eq!(p.len(), n * group.layer);
    let unit = group.unit;
    guarded(group, |calls| {
        p.par_chunks_mut(group.layer)
            .enumerate()
            .with_min_len(BLOCK / 8)
            .for_each(|(i, p)| {
                let z = z_f64(group, z, i);
                for j in 0..group.units {
                    let mut value = [0.0];
                    calls.fill("p", &z, j, &mut value, |w, p| p[0] = unit.value(&z, w));
                    p[group.first + j] = T::from_f64(value[0]);
                }
            });
    })
}

pub(super) fn derivative<T: Real>(
    n: usize,
    group: &UnitGroup<Vec<T>>,
    z: &[T],
    which: UnitDerivative,
) -> Result<Vec<T>> {
    let width = group.width_of(which);
    let unit = group.unit;
    let mut out = vec![T::ZERO; n * group.units * width];
    guarded(group, |calls| {
        out.par_chunks_mut((group.units * width).max(1))
            .enumerate()
            .with_min_len(BLOCK / 8)
            .for_each(|(i, out)| {
                let z = z_f64(group, z, i);
                let mut row = vec![0.0; width];
                for j in 0..group.units {
                    match which {
                        UnitDerivative::Parameters => {
                            calls.fill("∂p/∂w", &z, j, &mut row, |w, phi| unit.d_w(&z, w, phi));
                        }
                        UnitDerivative::Inputs => {
                            calls.fill("∂p/∂z", &z, j, &mut row, |w, a| unit.d_z(&z, w, a));
                        }
                    }
                    for (out, &v) in out[j * width..].iter_mut().zip(&row) {
                        *out = T::from_f64(v);
                    }
                }
            });
    })?;
    Ok(out)
}

pub(super) fn value_along<T: Real>(
    n: usize,
    group: &UnitGroup<Vec<T>>,
    z: &[T],
    direction: &Direction<Vec<T>>,
    p: &mut [T],
) -> Result<()> {
    debug_assert_eq!(p.len(), n * group.layer);
    let (t, d, unit) = (group.row, group.inputs, group.unit);
    let dw = direction.weights_f64();
    guarded(group, |calls| {
        p.par_chunks_mut(group.layer)
            .enumerate()
            .with_min_len(BLOCK / 8)
            .for_each(|(i, p)| {
                let z = z_f64(group, z, i);
                let dz = direction.inputs_of(i);
                let (mut phi, mut a) = (vec![0.0; t], vec![0.0; d]);
                for j in 0..group.units {
                    let mut along = 0.0;
                    if let Some(dw) = &dw {
                        calls.fill("∂p/∂w", &z, j, &mut phi, |w, phi| unit.d_w(&z, w, phi));
                        along += dot(&phi, &dw[j * t..(j + 1) * t]);
                    }
                    if let Some(dz) = &dz {
                        calls.fill("∂p/∂z", &z, j, &mut a, |w, a| unit.d_z(&z, w, a));
                        along += dot(&a, dz);
                    }
                    p[group.first + j] += T::from_f64(along);
                }
            });
    })
}

pub(super) fn along<T: Real>(
    n: usize,
    group: &UnitGroup<Vec<T>>,
    z: &[T],
    direction: &Direction<Vec<T>>,
    which: UnitDerivative,
) -> Result<Vec<T>> {
    let (t, d, unit) = (group.row, group.inputs, group.unit);
    let of_parameters = which == UnitDerivative::Parameters;
    // Along the parameters alone, φ needs no derivative in the inputs.
    let exact = match of_parameters && direction.inputs.is_none() {
        true => None,
        false => Some(exact(unit)?),
    };
    let width = group.width_of(which);
    let dw = direction.weights_f64();
    let mut out = vec![T::ZERO; n * group.units * width];
    guarded(group, |calls| {
        out.par_chunks_mut((group.units * width).max(1))
            .enumerate()
            .with_min_len(BLOCK / 8)
            .for_each(|(i, out)| {
                let z = z_f64(group, z, i);
                let dz = direction.inputs_of(i);
                // ∂²p/∂w² or ∂²p/∂z², and ∂²p/∂w∂z.
                let (mut same, mut mixed) = (vec![0.0; width * width], vec![0.0; t * d]);
                for j in 0..group.units {
                    let dw = dw.as_ref().map(|dw| &dw[j * t..(j + 1) * t]);
                    let (along, across) = match of_parameters {
                        true => (dw, dz.as_deref()),
                        false => (dz.as_deref(), dw),
                    };
                    let mut total = vec![0.0; width];
                    if let Some(along) = along {
                        match exact.filter(|_| !of_parameters) {
                            None => calls.fill("∂²p/∂w²", &z, j, &mut same, |w, psi| {
                                unit.d_ww(&z, w, psi)
                            }),
                            Some(exact) => {
                                calls.fill("∂²p/∂z²", &z, j, &mut same, |w, out| {
                                    exact.d_zz(&z, w, out)
                                })
                            }
                        }
                        for (total, row) in total.iter_mut().zip(same.chunks(width.max(1))) {
                            *total += dot(row, along);
                        }
                    }
                    if let (Some(across), Some(exact)) = (across, exact) {
                        calls.fill("∂²p/∂w∂z", &z, j, &mut mixed, |w, out| {
                            exact.d_wz(&z, w, out)
                        });
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
    })?;
    Ok(out)
}

pub(super) fn d_zz<T: Real>(
    n: usize,
    group: &UnitGroup<Vec<T>>,
    z: &[T],
    delta: &[T],
    out: &mut [T],
) -> Result<()> {
    let exact = exact(group.unit)?;
    let size = group.inputs * group.inputs;
    debug_assert_eq!(out.len(), n * size);
    guarded(group, |calls| {
        out.par_chunks_mut(size.max(1))
            .enumerate()
            .with_min_len(BLOCK / 8)
            .for_each(|(i, out)| {
                let z = z_f64(group, z, i);
                let mut second = vec![0.0; size];
                for j in 0..group.units {
                    calls.fill("∂²p/∂z²", &z, j, &mut second, |w, out| {
                        exact.d_zz(&z, w, out)
                    });
                    let delta = delta[i * group.layer + group.first + j];
                    for (out, &v) in out.iter_mut().zip(&second) {
                        *out += delta * T::from_f64(v);
                    }
                }
            });
    })
}

pub(super) fn d_ww<T: Real>(
    n: usize,
    block: usize,
    group: &UnitGroup<Vec<T>>,
    z: &[T],
    delta: &[T],
    diagonal: bool,
    out: &mut [f64],
) -> Result<()> {
    let (t, unit) = (group.row, group.unit);
    let size = if diagonal { t } else { t * (t + 1) / 2 };
    guarded(group, |calls| {
        in_blocks(n, block, out, |from, to, out: &mut [T]| {
            let mut psi = vec![0.0; t * t];
            for i in from..to {
                let z = z_f64(group, z, i);
                for j in 0..group.units {
                    calls.fill("∂²p/∂w²", &z, j, &mut psi, |w, psi| {
                        unit.d_ww(&z, w, psi)
                    });
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
    })
}
