//! out[i, j] = δ[i, j]² / ω_i: δ carries the sample's weight once, and so must its square.

use faer::Par;

use super::tasks::{each, parts, worth};
use super::walk::Walk;
use super::{Array, Real};
use crate::backend::kernel::SquaredGradient;

pub(super) fn run<T: Real>(par: Par, kernel: SquaredGradient<Array<T>>) {
    let SquaredGradient { delta, omega, out } = kernel;
    let [_, _, units] = out.shape();
    let omega = omega.with(|layout| layout.repeated_columns(units));
    each(par, parts(out, worth(units)), |part| {
        let [delta, omega] = [delta, omega].map(|view| view.samples(part.samples()));
        let walk = Walk::new([part.layout, delta.layout, omega.layout]);
        let [delta, omega] = [delta, omega].map(|view| &view.array.numbers[..]);
        walk.each(part.numbers, delta, omega, |out, d, omega| {
            *out = if omega == T::ZERO { T::ZERO } else { d * (d / omega) };
        });
    });
}
