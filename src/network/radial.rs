//! Radial units p = (z − μ)ᵀ M (z − μ), with M given in ten ways, and the normalisation of a layer of them.
//!
//! With u = z − μ and the parameters v of M, p = q(u; v) = uᵀ M(v) u, and every derivative follows from those of q:
//!
//! ```text
//! ∂p/∂z = q_u   ∂p/∂μ = −q_u   ∂p/∂v = q_v     ∂²p/∂z² = ∂²p/∂μ² = q_uu = −∂²p/∂μ∂z
//! ∂²p/∂v∂z = q_vu = −∂²p/∂v∂μ                  ∂²p/∂v² = q_vv
//! ```
//!
//! The augmented form has no μ: u = (z, 1) and M = W.

use super::{ExactUnit, HigherUnit, Unit};
use crate::curvature::triangle;
use crate::error::Result;

/// The parameters of a radial unit p = (z − μ)ᵀ M (z − μ) with d inputs: the centre μ, then those of M.
///
/// There is no ½ in p: the activation [`ExpNegHalf`](crate::Activation::ExpNegHalf) makes it the Gaussian
/// exp(−(z − μ)ᵀ M (z − μ)/2) (Iovleff 2004, §4.2). In the forms with logarithms, and in that of the Cholesky factor, M is
/// positive definite whatever the parameters are; elsewhere training may take τ or M out of the cone, or σ through 0, where
/// p is not defined.
///
/// ```
/// use secondo::{Radial, Unit};
/// // p = ((3 − 1)/2)² = 1, ∂p/∂μ = −2(3 − 1)/2² = −1, ∂p/∂σ = −2(3 − 1)²/2³ = −1.
/// let (z, w) = ([3.0], [1.0, 2.0]);
/// assert_eq!(Radial::IsotropicSigma.value(&z, &w), 1.0);
/// let mut phi = [0.0; 2];
/// Radial::IsotropicSigma.d_w(&z, &w, &mut phi);
/// assert_eq!(phi, [-1.0, -1.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Radial {
    /// μ, then M row by row with all d² entries independent: p knows (M_ab + M_ba)/2 alone, and the d(d − 1)/2
    /// differences M_ab − M_ba are directions in which every derivative of E is 0.
    Full,
    /// μ, then the upper triangle of a symmetric M row by row.
    Symmetric,
    /// μ, then τ_a: M = diag(τ).
    DiagonalTau,
    /// μ, then σ_a: M = diag(1/σ²).
    DiagonalSigma,
    /// μ, then ln σ_a: M = diag(1/σ²).
    DiagonalLogSigma,
    /// μ, then τ: M = τ I.
    IsotropicTau,
    /// μ, then σ: M = I/σ².
    IsotropicSigma,
    /// μ, then ln σ: M = I/σ².
    IsotropicLogSigma,
    /// μ, then the lower triangle of L row by row, ln L_aa on its diagonal: M = L Lᵀ. With logarithms each M has one L, and
    /// none is singular (Pinheiro & Bates 1996).
    Cholesky,
    /// W row by row, all (d + 1)² entries independent, no μ: p = (z, 1) W (z, 1)ᵀ. A larger family than the others, with one
    /// constant more and d(d + 1)/2 null directions.
    Augmented,
}

/// The structure of M.
enum Metric {
    /// The entries themselves, or those of the upper triangle.
    Entries { packed: bool },
    /// diag(τ), each from a parameter, or all from one; with τ of the parameter, or a derivative of any order.
    Diagonal { shared: bool, tau: fn(f64, usize) -> f64 },
    /// L Lᵀ.
    Factor,
}

/// u and v of a unit at a sample.
struct Point<'a> {
    z: &'a [f64],
    /// μ; `None` if u = (z, 1).
    centre: Option<&'a [f64]>,
    v: &'a [f64],
}

impl Point<'_> {
    /// The length of u.
    fn len(&self) -> usize {
        self.z.len() + usize::from(self.centre.is_none())
    }

    fn u(&self, a: usize) -> f64 {
        match self.centre {
            Some(centre) => self.z[a] - centre[a],
            None => self.z.get(a).copied().unwrap_or(1.0),
        }
    }

    /// All (a, b).
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let d = self.len();
        (0..d).flat_map(move |a| (0..d).map(move |b| (a, b)))
    }

    /// All (a, b) of the lower triangle, with the place of its entry.
    fn lower(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        (0..self.len()).flat_map(|a| (0..=a).map(move |b| (a, b, triangle(a) + b)))
    }

    /// L_ab.
    fn factor(&self, a: usize, b: usize) -> f64 {
        let v = self.v[triangle(a) + b];
        if a == b { libm::exp(v) } else { v }
    }

    /// ∂L_ab/∂v.
    fn factor_slope(&self, a: usize, b: usize) -> f64 {
        if a == b { self.factor(a, a) } else { 1.0 }
    }

    /// y_b = Σ_{a ≥ b} L_ab u_a: p = ‖y‖².
    fn y(&self, b: usize) -> f64 {
        (b..self.len()).map(|a| self.factor(a, b) * self.u(a)).sum()
    }

    /// The derivative of y_b in the u of `us` and the v of `vs`.
    fn y_derivative(&self, b: usize, us: &[usize], vs: &[usize]) -> f64 {
        let Some((&l, rest)) = vs.split_first() else {
            return match *us {
                [] => self.y(b),
                [a] if a >= b => self.factor(a, b),
                _ => 0.0,
            };
        };
        // Column b has an entry in each row a from b on.
        let Some(a) = (b..self.len()).find(|&a| triangle(a) + b == l) else {
            return 0.0;
        };
        // Entries beside the diagonal are parameters themselves.
        if rest.iter().any(|&m| m != l || a != b) {
            return 0.0;
        }
        match *us {
            [] => self.factor_slope(a, b) * self.u(a),
            [c] if c == a => self.factor_slope(a, b),
            _ => 0.0,
        }
    }
}

impl Metric {
    /// Returns the place of M_ab in v.
    fn place(packed: bool, d: usize, a: usize, b: usize) -> usize {
        if !packed {
            return a * d + b;
        }
        let (row, column) = (a.min(b), a.max(b));
        row * (2 * d - row - 1) / 2 + column
    }

    fn value(&self, at: &Point) -> f64 {
        let d = at.len();
        match self {
            Metric::Entries { packed } => (at.pairs())
                .map(|(a, b)| at.u(a) * at.v[Self::place(*packed, d, a, b)] * at.u(b))
                .sum(),
            Metric::Diagonal { shared, tau } => {
                (0..d).map(|a| tau(at.v[if *shared { 0 } else { a }], 0) * at.u(a) * at.u(a)).sum()
            }
            Metric::Factor => (0..d).map(|b| at.y(b) * at.y(b)).sum(),
        }
    }

    /// Gives the terms of ∂q/∂u_a.
    fn d_u(&self, at: &Point, mut add: impl FnMut(usize, f64)) {
        let d = at.len();
        match self {
            Metric::Entries { packed } => {
                for (a, b) in at.pairs() {
                    let m = at.v[Self::place(*packed, d, a, b)];
                    add(a, m * at.u(b));
                    add(b, m * at.u(a));
                }
            }
            Metric::Diagonal { shared, tau } => {
                for a in 0..d {
                    let t = tau(at.v[if *shared { 0 } else { a }], 0);
                    add(a, 2.0 * t * at.u(a));
                }
            }
            Metric::Factor => {
                for b in 0..d {
                    let y = at.y(b);
                    (b..d).for_each(|a| add(a, 2.0 * at.factor(a, b) * y));
                }
            }
        }
    }

    /// Gives the terms of ∂q/∂v_l.
    fn d_v(&self, at: &Point, mut add: impl FnMut(usize, f64)) {
        let d = at.len();
        match self {
            Metric::Entries { packed } => {
                for (a, b) in at.pairs() {
                    add(Self::place(*packed, d, a, b), at.u(a) * at.u(b));
                }
            }
            Metric::Diagonal { shared, tau } => {
                for a in 0..d {
                    let l = if *shared { 0 } else { a };
                    let t1 = tau(at.v[l], 1);
                    add(l, t1 * at.u(a) * at.u(a));
                }
            }
            Metric::Factor => {
                for b in 0..d {
                    let y = at.y(b);
                    for a in b..d {
                        add(triangle(a) + b, 2.0 * y * at.u(a) * at.factor_slope(a, b));
                    }
                }
            }
        }
    }

    /// Gives the terms of ∂²q/∂u_a∂u_b.
    fn d_uu(&self, at: &Point, mut add: impl FnMut(usize, usize, f64)) {
        let d = at.len();
        match self {
            Metric::Entries { packed } => {
                for (a, b) in at.pairs() {
                    let m = at.v[Self::place(*packed, d, a, b)];
                    add(a, b, m);
                    add(b, a, m);
                }
            }
            Metric::Diagonal { shared, tau } => {
                for a in 0..d {
                    let t = tau(at.v[if *shared { 0 } else { a }], 0);
                    add(a, a, 2.0 * t);
                }
            }
            Metric::Factor => {
                for (a, b, _) in at.lower() {
                    let l = 2.0 * at.factor(a, b);
                    (b..d).for_each(|c| add(a, c, l * at.factor(c, b)));
                }
            }
        }
    }

    /// Gives the terms of ∂²q/∂u_a∂v_l.
    fn d_uv(&self, at: &Point, mut add: impl FnMut(usize, usize, f64)) {
        let d = at.len();
        match self {
            Metric::Entries { packed } => {
                for (a, b) in at.pairs() {
                    let l = Self::place(*packed, d, a, b);
                    add(a, l, at.u(b));
                    add(b, l, at.u(a));
                }
            }
            Metric::Diagonal { shared, tau } => {
                for a in 0..d {
                    let l = if *shared { 0 } else { a };
                    let t1 = tau(at.v[l], 1);
                    add(a, l, 2.0 * t1 * at.u(a));
                }
            }
            Metric::Factor => {
                for (a, b, l) in at.lower() {
                    let slope = 2.0 * at.factor_slope(a, b);
                    add(a, l, slope * at.y(b));
                    (b..d).for_each(|c| add(c, l, slope * at.factor(c, b) * at.u(a)));
                }
            }
        }
    }

    /// Gives the terms of ∂²q/∂v_l∂v_m.
    fn d_vv(&self, at: &Point, mut add: impl FnMut(usize, usize, f64)) {
        let d = at.len();
        match self {
            Metric::Entries { .. } => {}
            Metric::Diagonal { shared, tau } => {
                for a in 0..d {
                    let l = if *shared { 0 } else { a };
                    let t2 = tau(at.v[l], 2);
                    add(l, l, t2 * at.u(a) * at.u(a));
                }
            }
            Metric::Factor => {
                for (a, b, l) in at.lower() {
                    let slope = 2.0 * at.u(a) * at.factor_slope(a, b);
                    for c in b..d {
                        let m = triangle(c) + b;
                        add(l, m, slope * at.u(c) * at.factor_slope(c, b));
                    }
                    if a == b {
                        // L_aa″ = L_aa.
                        add(l, l, slope * at.y(b));
                    }
                }
            }
        }
    }

    /// The derivative of q in the u of `us` (at most two: q is quadratic in u) and the v of `vs`, in all at least three.
    fn higher(&self, at: &Point, us: &[usize], vs: &[usize]) -> f64 {
        let d = at.len();
        match self {
            // Linear in v.
            Metric::Entries { packed } => match (us, vs) {
                (&[a, b], &[l]) => (at.pairs())
                    .filter(|&(c, e)| Self::place(*packed, d, c, e) == l)
                    .map(|(c, e)| f64::from((a, b) == (c, e)) + f64::from((b, a) == (c, e)))
                    .sum(),
                _ => 0.0,
            },
            Metric::Diagonal { shared, tau } => {
                let Some((&l, rest)) = vs.split_first() else {
                    return 0.0;
                };
                if rest.iter().any(|&m| m != l) {
                    return 0.0;
                }
                let square = |a: usize| match us {
                    [] => at.u(a) * at.u(a),
                    &[c] if c == a => 2.0 * at.u(a),
                    &[c, e] if c == a && e == a => 2.0,
                    _ => 0.0,
                };
                let of_l = (0..d).filter(|&a| *shared || a == l);
                tau(at.v[l], vs.len()) * of_l.map(square).sum::<f64>()
            }
            // Leibniz's rule for p = Σ_b y_b²: each index goes to one of the two factors.
            Metric::Factor => {
                let side = |indices: &[usize], set: usize| -> Vec<usize> {
                    let taken = |r: &usize| set >> r & 1 == 1;
                    (0..indices.len()).filter(taken).map(|r| indices[r]).collect()
                };
                let half = |b, of_u, of_v| at.y_derivative(b, &side(us, of_u), &side(vs, of_v));
                let (all_u, all_v) = ((1usize << us.len()) - 1, (1usize << vs.len()) - 1);
                (0..d)
                    .flat_map(|b| (0..=all_u).map(move |of_u| (b, of_u)))
                    .flat_map(|(b, of_u)| (0..=all_v).map(move |of_v| (b, of_u, of_v)))
                    .map(|(b, u, v)| half(b, u, v) * half(b, all_u ^ u, all_v ^ v))
                    .sum()
            }
        }
    }
}

impl Radial {
    /// All forms.
    pub const ALL: [Self; 10] = [
        Self::Full,
        Self::Symmetric,
        Self::DiagonalTau,
        Self::DiagonalSigma,
        Self::DiagonalLogSigma,
        Self::IsotropicTau,
        Self::IsotropicSigma,
        Self::IsotropicLogSigma,
        Self::Cholesky,
        Self::Augmented,
    ];

    /// The name used by the program and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "rbf_full",
            Self::Symmetric => "rbf_full_sym",
            Self::DiagonalTau => "rbf_diag_tau",
            Self::DiagonalSigma => "rbf_diag_sigma",
            Self::DiagonalLogSigma => "rbf_diag_log_sigma",
            Self::IsotropicTau => "rbf_iso_tau",
            Self::IsotropicSigma => "rbf_iso_sigma",
            Self::IsotropicLogSigma => "rbf_iso_log_sigma",
            Self::Cholesky => "rbf_cholesky",
            Self::Augmented => "rbf_aug",
        }
    }

    /// The form of that name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        crate::error::by_name("radial unit", name, &Self::ALL.map(|r| (r.name(), r)))
    }

    /// The parameters with which p = ‖z − μ‖²/σ², for a centre μ of length d and a width σ > 0.
    ///
    /// ```
    /// use secondo::{Radial, Unit};
    /// let w = Radial::Augmented.weights(&[1.0], 2.0);
    /// assert_eq!(w, [0.25, -0.25, -0.25, 0.25]); // (z, 1) W (z, 1)ᵀ = (z − 1)²/4
    /// assert_eq!(Radial::IsotropicLogSigma.weights(&[1.0, 3.0], 1.0), [1.0, 3.0, 0.0]);
    /// ```
    pub fn weights(self, centre: &[f64], sigma: f64) -> Vec<f64> {
        let (d, tau) = (centre.len(), 1.0 / (sigma * sigma));
        let mut w = match self {
            Self::Augmented => Vec::new(),
            _ => centre.to_vec(),
        };
        match self {
            Self::Full => {
                w.extend((0..d * d).map(|ab| if ab / d == ab % d { tau } else { 0.0 }));
            }
            Self::Symmetric => {
                (0..d).for_each(|a| w.extend((a..d).map(|b| if a == b { tau } else { 0.0 })));
            }
            Self::DiagonalTau => w.extend(std::iter::repeat_n(tau, d)),
            Self::DiagonalSigma => w.extend(std::iter::repeat_n(sigma, d)),
            Self::DiagonalLogSigma => w.extend(std::iter::repeat_n(libm::log(sigma), d)),
            Self::IsotropicTau => w.push(tau),
            Self::IsotropicSigma => w.push(sigma),
            Self::IsotropicLogSigma => w.push(libm::log(sigma)),
            Self::Cholesky => {
                let log = -libm::log(sigma);
                (0..d).for_each(|a| w.extend((0..=a).map(|b| if a == b { log } else { 0.0 })));
            }
            Self::Augmented => {
                for (a, m) in centre.iter().enumerate() {
                    w.extend((0..d).map(|b| if a == b { tau } else { 0.0 }));
                    w.push(-tau * m);
                }
                w.extend(centre.iter().map(|m| -tau * m));
                w.push(tau * centre.iter().map(|m| m * m).sum::<f64>());
            }
        }
        w
    }

    /// Returns the place of the first parameter of M, for units with `inputs` inputs.
    pub(crate) fn shape(self, inputs: usize) -> usize {
        match self {
            Self::Augmented => 0,
            _ => inputs,
        }
    }

    fn metric(self) -> Metric {
        let diagonal = |shared, tau: fn(f64, usize) -> f64| Metric::Diagonal { shared, tau };
        let of_tau = |tau: f64, order: usize| match order {
            0 => tau,
            1 => 1.0,
            _ => 0.0,
        };
        // σ⁻², −2σ⁻³, 6σ⁻⁴ …
        let of_sigma = |sigma: f64, order: usize| {
            let r = 1.0 / sigma;
            (0..order).fold(r * r, |t, k| -t * (k + 2) as f64 * r)
        };
        let of_log_sigma =
            |v: f64, order: usize| (0..order).fold(libm::exp(-2.0 * v), |t, _| -2.0 * t);
        match self {
            Self::Full | Self::Augmented => Metric::Entries { packed: false },
            Self::Symmetric => Metric::Entries { packed: true },
            Self::DiagonalTau => diagonal(false, of_tau),
            Self::DiagonalSigma => diagonal(false, of_sigma),
            Self::DiagonalLogSigma => diagonal(false, of_log_sigma),
            Self::IsotropicTau => diagonal(true, of_tau),
            Self::IsotropicSigma => diagonal(true, of_sigma),
            Self::IsotropicLogSigma => diagonal(true, of_log_sigma),
            Self::Cholesky => Metric::Factor,
        }
    }

    fn at<'a>(self, z: &'a [f64], w: &'a [f64]) -> Point<'a> {
        let (centre, v) = w.split_at(self.shape(z.len()));
        Point { z, centre: (self != Self::Augmented).then_some(centre), v }
    }
}

impl Unit for Radial {
    fn name(&self) -> &str {
        Radial::name(*self)
    }

    fn parameters(&self, d: usize) -> usize {
        // Saturated, so that the check of the sizes sees it.
        match self {
            Self::Full => d.saturating_mul(d.saturating_add(1)),
            Self::Symmetric | Self::Cholesky => d.saturating_add(triangle(d)),
            Self::DiagonalTau | Self::DiagonalSigma | Self::DiagonalLogSigma => d.saturating_mul(2),
            Self::IsotropicTau | Self::IsotropicSigma | Self::IsotropicLogSigma => {
                d.saturating_add(1)
            }
            Self::Augmented => d.saturating_add(1).saturating_mul(d.saturating_add(1)),
        }
    }

    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        self.metric().value(&self.at(z, w))
    }

    fn d_w(&self, z: &[f64], w: &[f64], phi: &mut [f64]) {
        let (at, metric) = (self.at(z, w), self.metric());
        let (mu, v) = phi.split_at_mut(self.shape(z.len()));
        mu.fill(0.0);
        v.fill(0.0);
        if !mu.is_empty() {
            metric.d_u(&at, |a, q| mu[a] -= q);
        }
        metric.d_v(&at, |l, q| v[l] += q);
    }

    fn d_z(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        // The constant of the augmented form is no input.
        self.metric().d_u(&self.at(z, w), |a, q| {
            if let Some(out) = out.get_mut(a) {
                *out += q;
            }
        });
    }

    fn d_ww(&self, z: &[f64], w: &[f64], psi: &mut [f64]) {
        let (at, metric, t, s) = (self.at(z, w), self.metric(), w.len(), self.shape(z.len()));
        psi.fill(0.0);
        if s > 0 {
            metric.d_uu(&at, |a, b, q| psi[a * t + b] += q);
            metric.d_uv(&at, |a, l, q| {
                psi[a * t + s + l] -= q;
                psi[(s + l) * t + a] -= q;
            });
        }
        metric.d_vv(&at, |l, m, q| psi[(s + l) * t + s + m] += q);
    }

    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }

    fn wgsl(&self) -> Option<&str> {
        macro_rules! text {
            ($name:literal) => {
                concat!("#include \"lib/unit/", $name, ".wgsl\"")
            };
        }
        Some(match self {
            Self::Full => text!("rbf_full"),
            Self::Symmetric => text!("rbf_full_sym"),
            Self::DiagonalTau => text!("rbf_diag_tau"),
            Self::DiagonalSigma => text!("rbf_diag_sigma"),
            Self::DiagonalLogSigma => text!("rbf_diag_log_sigma"),
            Self::IsotropicTau => text!("rbf_iso_tau"),
            Self::IsotropicSigma => text!("rbf_iso_sigma"),
            Self::IsotropicLogSigma => text!("rbf_iso_log_sigma"),
            Self::Cholesky => text!("rbf_cholesky"),
            Self::Augmented => text!("rbf_aug"),
        })
    }

    fn higher(&self) -> Option<&dyn HigherUnit> {
        Some(self)
    }
}

impl HigherUnit for Radial {
    fn derivative(&self, z: &[f64], w: &[f64], indices: &[usize]) -> f64 {
        let s = self.shape(z.len());
        let (us, vs): (Vec<usize>, Vec<usize>) = indices.iter().partition(|&&a| a < s);
        if us.len() > 2 {
            return 0.0;
        }
        let vs: Vec<usize> = vs.iter().map(|a| a - s).collect();
        let q = self.metric().higher(&self.at(z, w), &us, &vs);
        // ∂/∂μ = −∂/∂u
        if us.len() == 1 { -q } else { q }
    }
}

impl ExactUnit for Radial {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let d = z.len();
        out.fill(0.0);
        self.metric().d_uu(&self.at(z, w), |a, b, q| {
            if a < d && b < d {
                out[a * d + b] += q;
            }
        });
    }

    fn d_wz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        let (at, metric, d, s) = (self.at(z, w), self.metric(), z.len(), self.shape(z.len()));
        out.fill(0.0);
        if s > 0 {
            metric.d_uu(&at, |a, b, q| out[a * d + b] -= q);
        }
        metric.d_uv(&at, |a, l, q| {
            if a < d {
                out[(s + l) * d + a] += q;
            }
        });
    }
}

/// A unit without parameters: e^(−z_j/2) / Σ_c e^(−z_c/2), the Gaussian of unit j of the layer before over the sum of all.
///
/// Made by [`Layer::normalized`](crate::Layer::normalized).
///
/// ```
/// use secondo::{Normalized, Unit};
/// // e⁰/(e⁰ + e^(−ln 3)) = 3/4; the values may be as large as they are.
/// let z = [1e4, 1e4 + 2.0 * 3.0_f64.ln()];
/// assert!((Normalized(0).value(&z, &[]) - 0.75).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Normalized(
    /// j, the place in z.
    pub usize,
);

impl Normalized {
    /// The name used in files.
    pub const NAME: &'static str = "normalized";

    /// s_c for all c.
    fn shares(z: &[f64]) -> Vec<f64> {
        // The nearest centre has the exponent 0: some term is 1, and none overflows.
        let least = z.iter().copied().fold(f64::INFINITY, f64::min);
        let mut s: Vec<f64> = z.iter().map(|z| libm::exp(-0.5 * (z - least))).collect();
        let total: f64 = s.iter().sum();
        s.iter_mut().for_each(|s| *s /= total);
        s
    }
}

impl Unit for Normalized {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn parameters(&self, _: usize) -> usize {
        0
    }

    fn value(&self, z: &[f64], _: &[f64]) -> f64 {
        Self::shares(z)[self.0]
    }

    fn d_w(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}

    /// −½ s_j ([j = c] − s_c).
    fn d_z(&self, z: &[f64], _: &[f64], out: &mut [f64]) {
        let s = Self::shares(z);
        for (c, out) in out.iter_mut().enumerate() {
            *out = -0.5 * s[self.0] * (f64::from(self.0 == c) - s[c]);
        }
    }

    fn d_ww(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}

    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
}

impl ExactUnit for Normalized {
    /// ¼ s_j (([j = b] − s_b)([j = c] − s_c) − s_b ([b = c] − s_c)).
    fn d_zz(&self, z: &[f64], _: &[f64], out: &mut [f64]) {
        let (s, d) = (Self::shares(z), z.len());
        let less = |b: usize, c: usize| f64::from(b == c) - s[c];
        for (at, out) in out.iter_mut().enumerate() {
            let (b, c) = (at / d, at % d);
            *out = 0.25 * s[self.0] * (less(self.0, b) * less(self.0, c) - s[b] * less(b, c));
        }
    }

    fn d_wz(&self, _: &[f64], _: &[f64], _: &mut [f64]) {}
}
