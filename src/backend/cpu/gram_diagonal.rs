//! out[j, a] += Σ_i c[i, j] φ[i, a]².

use super::Real;
use super::gradient::gradient;
use crate::backend::Operand;

pub(super) fn gram_diagonal<T: Real>(
    n: usize,
    block: usize,
    c: &[T],
    phi: &Operand<Vec<T>>,
    out: &mut [f64],
) {
    let squares: Vec<T> = phi.array.iter().map(|&v| v * v).collect();
    let squared = Operand {
        array: &squares,
        units: phi.units.clone(),
        ..*phi
    };
    gradient(n, block, c, &squared, out);
}
