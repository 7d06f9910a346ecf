//! PBPᵀ = LDLᵀ with the blocks of D made positive definite.

use faer::diag::DiagMut;
use faer::linalg::cholesky::lblt::factor::{
    LbltParams, PivotingStrategy, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::{Auto, MatMut, Par, Spec};

use super::{Workspace, packed, stack};
use crate::error::Result;

/// Solves with PᵀLD̃LᵀP in place; `work.matrix` holds the matrix. Returns the largest change of an
/// eigenvalue of D.
///
/// # Errors
/// `Memory` where there is no room.
pub(super) fn solve(work: &mut Workspace, d: usize, floor: f64, rhs: &mut [f64]) -> Result<f64> {
    let (mut below, mut order, mut inverse) = (vec![0.0; d], vec![0; d], vec![0; d]);
    // Rook pivoting bounds |L_ab| by 2.79, and with it ‖B̃ − B‖ (Cheng and Higham, §2).
    let mut params = <LbltParams as Auto<f64>>::auto();
    params.pivoting = PivotingStrategy::Rook;
    let params = Spec::new(params);
    let l = &mut work.matrix[..d * d];
    cholesky_in_place::<usize, f64>(
        MatMut::from_column_major_slice_mut(l, d, d),
        DiagMut::from_slice_mut(&mut below),
        &mut order,
        &mut inverse,
        Par::Seq,
        stack(&mut work.stack, cholesky_in_place_scratch::<usize, f64>(d, Par::Seq, params))?,
        params,
    );

    let mut x: Vec<f64> = order.iter().map(|&from| rhs[from]).collect();
    for b in 0..d {
        let (pivot, column) = (x[b], &l[b * d + b + 1..(b + 1) * d]);
        for (v, l) in x[b + 1..].iter_mut().zip(column) {
            *v -= l * pivot;
        }
    }
    let mut change: f64 = 0.0;
    let mut positive = |value: f64| {
        let new = value.abs().max(floor);
        change = change.max(new - value);
        new
    };
    let mut a = 0;
    while a < d {
        if below[a] == 0.0 {
            x[a] /= positive(l[a * d + a]);
            a += 1;
        } else {
            // [[p, q], [q, r]] has eigenvalues m ± h with vectors at the angle θ and at right angles.
            let (p, q, r) = (l[a * d + a], below[a], l[(a + 1) * d + a + 1]);
            let (m, e) = (0.5 * (p + r), 0.5 * (p - r));
            let h = e.hypot(q);
            let (sin, cos) = (0.5 * q.atan2(e)).sin_cos();
            let along = (cos * x[a] + sin * x[a + 1]) / positive(m + h);
            let across = (cos * x[a + 1] - sin * x[a]) / positive(m - h);
            x[a] = cos * along - sin * across;
            x[a + 1] = sin * along + cos * across;
            a += 2;
        }
    }
    for b in (0..d).rev() {
        x[b] -= packed::dot(&l[b * d + b + 1..(b + 1) * d], &x[b + 1..]);
    }
    for (&to, v) in order.iter().zip(x) {
        rhs[to] = v;
    }
    Ok(change)
}
