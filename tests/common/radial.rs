//! Radial units p = (z − μ)ᵀ M (z − μ) that the crate does not have: they show that a unit is one `impl`.

use secondo::{ExactUnit, HigherUnit, Unit};

/// Parameters μ, then M row by row with all entries independent.
#[derive(Debug)]
pub struct Full;

fn split(z: &[f64], w: &[f64]) -> (Vec<f64>, usize) {
    let d = z.len();
    ((0..d).map(|a| z[a] - w[a]).collect(), d)
}

impl Unit for Full {
    fn name(&self) -> &str {
        "rbf_full"
    }
    fn parameters(&self, d: usize) -> usize {
        d + d * d
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        let (u, d) = split(z, w);
        let m = &w[d..];
        (0..d)
            .flat_map(|a| (0..d).map(move |b| (a, b)))
            .map(|(a, b)| u[a] * m[a * d + b] * u[b])
            .sum()
    }
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]) {
        let (u, d) = split(z, w);
        self.d_z(z, w, &mut phi[..d]);
        phi[..d].iter_mut().for_each(|v| *v = -*v);
        for a in 0..d {
            for b in 0..d {
                phi[d + a * d + b] = u[a] * u[b];
            }
        }
    }
    fn d_z(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (u, d) = split(z, w);
        let m = &w[d..];
        for a in 0..d {
            out[a] = (0..d).map(|b| (m[a * d + b] + m[b * d + a]) * u[b]).sum();
        }
    }
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]) {
        let (u, d) = split(z, w);
        let m = &w[d..];
        let t = d + d * d;
        psi.fill(0.0);
        for a in 0..d {
            for b in 0..d {
                psi[a * t + b] = m[a * d + b] + m[b * d + a];
                // ∂²p/∂μ_c ∂M_ab = −[a = c] u_b − [b = c] u_a
                let ab = d + a * d + b;
                psi[a * t + ab] -= u[b];
                psi[ab * t + a] -= u[b];
                psi[b * t + ab] -= u[a];
                psi[ab * t + b] -= u[a];
            }
        }
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
    fn higher(&self) -> Option<&dyn HigherUnit> {
        Some(self)
    }
}

impl ExactUnit for Full {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let d = z.len();
        let m = &w[d..];
        for a in 0..d {
            for b in 0..d {
                out[a * d + b] = m[a * d + b] + m[b * d + a];
            }
        }
    }
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (u, d) = split(z, w);
        let m = &w[d..];
        out.fill(0.0);
        for a in 0..d {
            for b in 0..d {
                out[a * d + b] = -(m[a * d + b] + m[b * d + a]);
                let ab = d + a * d + b;
                out[ab * d + a] += u[b];
                out[ab * d + b] += u[a];
            }
        }
    }
}

/// Parameters μ, then σ: p = Σ_a ((z_a − μ_a)/σ_a)².
#[derive(Debug)]
pub struct DiagonalSigma;

impl Unit for DiagonalSigma {
    fn name(&self) -> &str {
        "rbf_diag_sigma"
    }
    fn parameters(&self, d: usize) -> usize {
        2 * d
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        let (u, d) = split(z, w);
        (0..d).map(|a| (u[a] / w[d + a]).powi(2)).sum()
    }
    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]) {
        let (u, d) = split(z, w);
        for a in 0..d {
            let s = w[d + a];
            phi[a] = -2.0 * u[a] / (s * s);
            phi[d + a] = -2.0 * u[a] * u[a] / (s * s * s);
        }
    }
    fn d_z(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (u, d) = split(z, w);
        for a in 0..d {
            out[a] = 2.0 * u[a] / (w[d + a] * w[d + a]);
        }
    }
    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]) {
        let (u, d) = split(z, w);
        let t = 2 * d;
        psi.fill(0.0);
        for a in 0..d {
            let s = w[d + a];
            psi[a * t + a] = 2.0 / (s * s);
            psi[(d + a) * t + d + a] = 6.0 * u[a] * u[a] / s.powi(4);
            psi[a * t + d + a] = 4.0 * u[a] / (s * s * s);
            psi[(d + a) * t + a] = 4.0 * u[a] / (s * s * s);
        }
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
    fn higher(&self) -> Option<&dyn HigherUnit> {
        Some(self)
    }
}

impl ExactUnit for DiagonalSigma {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let d = z.len();
        out.fill(0.0);
        for a in 0..d {
            out[a * d + a] = 2.0 / (w[d + a] * w[d + a]);
        }
    }
    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (u, d) = split(z, w);
        out.fill(0.0);
        for a in 0..d {
            let s = w[d + a];
            out[a * d + a] = -2.0 / (s * s);
            out[(d + a) * d + a] = -4.0 * u[a] / (s * s * s);
        }
    }
}

impl HigherUnit for Full {
    /// Of third order only ∂³p/∂μ_a∂μ_b∂M_cd = [a = c][b = d] + [a = d][b = c]; nothing beyond.
    fn derivative(&self, z: &[f64], _: &[f64], indices: &[usize]) -> f64 {
        let d = z.len();
        let (mut mu, m): (Vec<usize>, Vec<usize>) = indices.iter().partition(|&&a| a < d);
        let [cd] = m[..] else { return 0.0 };
        let (c, d) = ((cd - d) / d, (cd - d) % d);
        let once = |mu: &[usize]| f64::from(u8::from(*mu == [c, d]));
        let straight = once(&mu);
        mu.reverse();
        straight + once(&mu)
    }
}

impl HigherUnit for DiagonalSigma {
    /// (z_a − μ_a)² and σ_a^−2 each on their own; 0 for indices of different a.
    fn derivative(&self, z: &[f64], w: &[f64], indices: &[usize]) -> f64 {
        let (u, d) = split(z, w);
        let a = indices[0] % d;
        if indices.iter().any(|at| at % d != a) {
            return 0.0;
        }
        let of_mu = indices.iter().filter(|at| **at < d).count();
        let square = [u[a] * u[a], -2.0 * u[a], 2.0];
        let power = (of_mu..indices.len())
            .enumerate()
            .fold(w[d + a].powi(-2), |v, (r, _)| -v * (r + 2) as f64 / w[d + a]);
        square.get(of_mu).map_or(0.0, |v| v * power)
    }
}
