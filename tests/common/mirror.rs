//! A backend that runs every kernel of another one again, on the very same inputs, in f64 and over absolute values.
//!
//! Each output must satisfy |tested − exact| ≤ u K A: A is the same expression over |inputs| (the previous contents of an
//! output that is added to belong to them), K the kernel's own roundings, written where it is called. The arrays are the
//! tested backend's, so that an error is met once, by the kernel that makes it, and the next is judged on what it was
//! given. Sums over samples are compared call by call; the running sum is kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use std::ops::Range;

use secondo::backend::{
    Backend, Columns, Cpu, Direction, Operand, Term, Then, UnitDerivative, UnitGroup,
};
use secondo::{
    Activation, Curvature, GroupView, Loss, Problem, Request, Result, Structure, SymmetricTensor,
    Unit,
};

use super::absolute::{Absolute, FLOOR, Pair, along, columns, pair, with};
use super::nets::random_problem;
use super::own::{self, Magnitude, of};
use super::ratio::{
    Case, DOUBLE, edges, half_line, requests, requests_up_to, sides, single, vectors,
};

/// Nothing is rounded: a neighbouring number is already off by u or more.
const COPY: usize = 1;
/// The own formulas of activations: 2 ULP, twice that in u, and as much again for what they are made of.
const ACTIVATION: usize = 8;
/// Losses are made of a few such, of quotients and of roots. WGSL grants 2.5 ULP to a quotient, and more to a root.
const LOSS: usize = 32;
/// δ²/ω, the quotient as above.
const FISHER: usize = 8;
/// Sums over samples run over a block of 512 in the backend's floats, then over the blocks.
fn samples(n: usize) -> usize {
    n.min(512) + n / 512
}

/// Problems in which every kernel meets the edges of its tiles, every activation, every loss, skips, and units that are
/// not linear.
pub fn problems() -> Vec<Case> {
    let random = |seed, radial| {
        let (problem, w) = random_problem(seed, radial);
        (format!("seed {seed} {}", problem.network()), problem, w)
    };
    let mut all = edges();
    all.extend(half_line());
    all.extend((0..12).map(|seed| random(seed, false)));
    all.extend((1000..1012).map(|seed| random(seed, true)));
    all.extend(own::problems());
    all
}

/// Evaluates everything for every problem on `backend`, with u its unit roundoff, and reports on its kernels.
pub fn mirror<B: Backend>(backend: &B, u: f64, problems: &[Case]) -> Report {
    mirror_of(backend, u, problems, Asked::All)
}

/// What is asked of each problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Every curvature in every structure, and products.
    All,
    /// Every curvature's blocks of units and its diagonal.
    Units,
    /// The Hessian, whole and by products.
    Coupled,
}

/// The same for a part of what can be asked.
pub fn mirror_of<B: Backend>(backend: &B, u: f64, problems: &[Case], asked: Asked) -> Report {
    let mut report = Report::default();
    for (at, (name, problem, w)) in problems.iter().enumerate() {
        let mirror = Mirror {
            backend,
            u,
            case: name,
            report: Mutex::new(report),
        };
        let (requests, products): (_, &[Curvature]) = match asked {
            Asked::All => (requests(problem), &Curvature::ALL),
            Asked::Units => (requests_up_to(problem, 0), &[]),
            Asked::Coupled => {
                let request = Request::curvature(Curvature::Exact, Structure::Full);
                (vec![request], &[Curvature::Exact])
            }
        };
        // The value alone, too: no derivative of an activation, no gradient of the loss.
        for request in [Request::default()].into_iter().chain(requests) {
            // All samples at once: that n is the kernels'.
            let result = problem.evaluate_on(&mirror, &single(w), request, problem.data().len());
            if let Err(error) = result {
                mirror.note("evaluation", f64::INFINITY, || error.to_string());
            }
        }
        for &curvature in products {
            let (n, v) = (problem.data().len(), vectors(problem));
            if let Err(error) = problem.products_on(&mirror, &single(w), curvature, &v, n) {
                mirror.note("products", f64::INFINITY, || error.to_string());
            }
        }
        if asked != Asked::Coupled {
            mirror.tensor_of(problem, w, at);
        }
        report = mirror.report.into_inner().unwrap();
    }
    report
}

/// The worst of each kernel; those with several outputs have a line for each, the kernel's name first.
#[derive(Default)]
pub struct Report(BTreeMap<&'static str, Worst>);

#[derive(Default)]
struct Worst {
    ratio: f64,
    at: String,
}

impl Report {
    fn kernels(&self, of: impl Fn(&Worst) -> bool) -> BTreeSet<&'static str> {
        (self.0.iter())
            .filter(|(_, worst)| of(worst))
            .filter_map(|(name, _)| name.split(' ').next())
            .collect()
    }

    /// Kernels off by more than their bound.
    pub fn failing(&self) -> BTreeSet<&'static str> {
        let mut failing = self.kernels(|worst| worst.ratio >= 1.0);
        // It may be made of these.
        if ["contract", "scale", "multiply_add"]
            .iter()
            .any(|part| failing.contains(part))
        {
            failing.remove("contracted");
        }
        failing
    }

    /// Every kernel of the trait was run, and none is off.
    pub fn assert_passes(&self) {
        let text = include_str!("../../src/backend/mod.rs");
        let (_, text) = text
            .split_once("pub trait Backend: Sized + Sync {")
            .unwrap();
        let run = self.kernels(|_| true);
        let missing: Vec<_> = (text.lines())
            .filter_map(|line| line.strip_prefix("    fn ")?.split('(').next())
            // With these the others are looked at.
            .filter(|name| {
                !["download", "sums", "read", "recycle", "release"].contains(name)
                    && !name.starts_with("check_")
            })
            // Not kernels; and what is made of others here, as on every adapter.
            .filter(|name| !["part", "values"].contains(name))
            .filter(|name| {
                let composed = ["propagated", "multiplied", "coupled", "linked"];
                let inputs = ["upload_rows", "activated", "with_one", "with_zero"];
                !composed.contains(name) && !inputs.contains(name)
            })
            .filter(|name| !run.contains(name))
            .collect();
        assert!(missing.is_empty(), "not run: {missing:?}");
        assert!(self.failing().is_empty(), "off:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        (self.0.iter())
            .try_for_each(|(name, w)| writeln!(f, "{name:18} {:8.2e}  {}", w.ratio, w.at))
    }
}

struct Mirror<'a, B> {
    backend: &'a B,
    u: f64,
    case: &'a str,
    report: Mutex<Report>,
}

fn cpu() -> Cpu<f64> {
    Cpu::new()
}

fn zeros(len: usize) -> Pair {
    pair(vec![0.0; len])
}

impl<B: Backend> Mirror<'_, B> {
    /// A kernel's input, or what its output holds before.
    fn input(&self, array: &B::Array) -> Result<Pair> {
        Ok(pair(self.backend.download(array)?))
    }

    /// The tensor of one unit, if it is linear and the tensor is not large: which unit and which order differ from case to case.
    fn tensor_of(&self, problem: &Problem, w: &[f64], case: usize) {
        let (network, order, n) = (problem.network(), case % 4 + 1, problem.data().len());
        let layer = case / 4 % network.depth() + 1;
        let row = case % network.width(layer);
        let group = (network.layers()[layer - 1].groups.iter())
            .find(|g| g.units.contains(&row) && g.propagation.is_linear());
        let small = |g: &GroupView| SymmetricTensor::length(g.row, order).unwrap() <= 10_000;
        if group.is_some_and(small) {
            let t = problem.lagrangian_tensor_on(self, &single(w), layer, row, order, n);
            if let Err(error) = t {
                self.note("lagrangian tensor", f64::INFINITY, || error.to_string());
            }
        }
    }

    /// A direction's numbers: ẇ and ż.
    fn along(&self, direction: &Direction<B::Array>) -> Result<[Option<Pair>; 2]> {
        let inputs = direction.inputs.as_ref().map(|c| c.array);
        let [dw, dz] = [direction.weights, inputs].map(|a| a.map(|a| self.input(a)).transpose());
        Ok([dw?, dz?])
    }

    fn note(&self, kernel: &'static str, ratio: f64, at: impl Fn() -> String) {
        let worst = &mut self.report.lock().unwrap().0;
        let worst = worst.entry(kernel).or_default();
        if ratio > worst.ratio {
            let at = format!("{}: {}", self.case, at());
            *worst = Worst { ratio, at };
        }
    }

    fn compare(&self, kernel: &'static str, k: usize, tested: &[f64], exact: &Pair) {
        self.note(kernel, 0.0, String::new);
        if tested.len() != exact.v.len() {
            self.note(kernel, f64::INFINITY, || {
                format!("{} numbers, not {}", tested.len(), exact.v.len())
            });
        }
        for (i, ((&t, &e), &a)) in tested.iter().zip(&exact.v).zip(&exact.a).enumerate() {
            let allowed = sides(self.u) * self.u * k as f64 * (a + FLOOR);
            let ratio = self.ratio(t, e, a, allowed);
            self.note(kernel, ratio, || {
                format!("[{i}] is {t:e}, should be {e:e} within {allowed:.1e}")
            });
        }
    }

    fn ratio(&self, tested: f64, exact: f64, a: f64, allowed: f64) -> f64 {
        let largest = if self.u > DOUBLE {
            f32::MAX.into()
        } else {
            f64::MAX
        };
        let ratio = (tested - exact).abs() / allowed;
        // Equal, infinities included; both NaN; or f64 has room for what the tested float has not.
        if tested == exact
            || tested.is_nan() && exact.is_nan()
            || !tested.is_finite() && exact.is_finite() && a > largest
        {
            0.0
        } else if ratio.is_nan() {
            f64::INFINITY
        } else {
            ratio
        }
    }

    fn check(&self, kernel: &'static str, k: usize, tested: &B::Array, exact: &Pair) -> Result<()> {
        self.compare(kernel, k, &self.backend.download(tested)?, exact);
        Ok(())
    }

    /// A kernel's result, after the comparison.
    fn checked(
        &self,
        kernel: &'static str,
        k: usize,
        tested: B::Array,
        exact: Pair,
    ) -> Result<B::Array> {
        self.check(kernel, k, &tested, &exact)?;
        Ok(tested)
    }

    /// What `run` adds to a fresh sum, compared and added to the running one.
    fn sum<R>(
        &self,
        kernel: &'static str,
        k: usize,
        total: &mut [f64],
        exact: &Pair,
        run: impl FnOnce(&mut B::Sum) -> Result<R>,
    ) -> Result<R> {
        let mut fresh = self.backend.sums(total.len())?;
        let result = run(&mut fresh)?;
        let tested = self.backend.read(fresh)?;
        self.compare(kernel, k, &tested, exact);
        total.iter_mut().zip(tested).for_each(|(sum, v)| *sum += v);
        Ok(result)
    }
}

impl<B: Backend> Backend for Mirror<'_, B> {
    type Array = B::Array;
    type Sum = Vec<f64>;

    fn upload(&self, values: &[f64]) -> Result<B::Array> {
        let array = self.backend.upload(values)?;
        self.checked("upload", 1, array, pair(values.to_vec()))
    }
    fn zeros(&self, len: usize) -> Result<B::Array> {
        self.checked("zeros", COPY, self.backend.zeros(len)?, zeros(len))
    }
    fn recycle(&self, arrays: impl IntoIterator<Item = B::Array>) {
        self.backend.recycle(arrays);
    }
    fn release(&self) {
        self.backend.release();
    }
    fn download(&self, array: &B::Array) -> Result<Vec<f64>> {
        self.backend.download(array)
    }
    fn sums(&self, len: usize) -> Result<Vec<f64>> {
        Ok(vec![0.0; len])
    }
    fn read(&self, sum: Vec<f64>) -> Result<Vec<f64>> {
        Ok(sum)
    }
    fn gather(&self, n: usize, sources: &[(&B::Array, usize)], bias: bool) -> Result<B::Array> {
        let inputs: Vec<_> = (sources.iter())
            .map(|(x, width)| Ok((self.input(x)?, *width)))
            .collect::<Result<_>>()?;
        let inputs: Vec<_> = inputs.iter().map(|(x, width)| (x, *width)).collect();
        let exact = Absolute.gather(n, &inputs, bias)?;
        self.checked(
            "gather",
            COPY,
            self.backend.gather(n, sources, bias)?,
            exact,
        )
    }
    fn propagate(
        &self,
        n: usize,
        vectors: usize,
        z: &B::Array,
        stride: usize,
        a: &Operand<B::Array>,
        out: &mut B::Array,
    ) -> Result<()> {
        let (matrix, mut exact) = (self.input(a.array)?, self.input(out)?);
        Absolute.propagate(
            n,
            vectors,
            &self.input(z)?,
            stride,
            &with(a, &matrix),
            &mut exact,
        )?;
        self.backend.propagate(n, vectors, z, stride, a, out)?;
        self.check("propagate", a.width + 1, out, &exact)
    }
    fn activate(
        &self,
        n: usize,
        runs: &[(Activation, usize)],
        p: &B::Array,
        order: usize,
    ) -> Result<Vec<B::Array>> {
        let mut input = self.input(p)?;
        // What is promised is ULPs, or the local scale near a zero: a large p excuses no more than p = 1 does.
        input.a.iter_mut().for_each(|a| *a = a.min(1.0));
        let exact = Absolute.activate(n, runs, &input, order)?;
        let tested = self.backend.activate(n, runs, p, order)?;
        for ((name, h), exact) in ["activate h", "activate h1", "activate h2"]
            .into_iter()
            .zip(&tested)
            .zip(&exact)
        {
            self.check(name, ACTIVATION, h, exact)?;
        }
        if tested.len() != exact.len() {
            self.note("activate", f64::INFINITY, || {
                format!("{} arrays", tested.len())
            });
        }
        Ok(tested)
    }
    fn loss(
        &self,
        n: usize,
        loss: &Loss,
        x: &B::Array,
        y: &B::Array,
        omega: &B::Array,
        value: &mut Vec<f64>,
        gradient: bool,
    ) -> Result<Option<B::Array>> {
        let (x_in, y_in, omega_in) = (self.input(x)?, self.input(y)?, self.input(omega)?);
        let k = LOSS + x_in.v.len() / n;
        let mut sum = zeros(value.len());
        let exact = Absolute.loss(n, loss, &x_in, &y_in, &omega_in, &mut sum, gradient)?;
        let tested = self.sum("loss value", k + samples(n), value, &sum, |value| {
            self.backend.loss(n, loss, x, y, omega, value, gradient)
        })?;
        match (&tested, &exact) {
            (Some(tested), Some(exact)) => self.check("loss gradient", k, tested, exact)?,
            (None, None) => {}
            _ => self.note("loss gradient", f64::INFINITY, || "there or not".into()),
        }
        Ok(tested)
    }
    fn loss_hessian(
        &self,
        n: usize,
        loss: &Loss,
        x: &B::Array,
        y: &B::Array,
        omega: &B::Array,
    ) -> Result<B::Array> {
        let (x_in, y_in, omega_in) = (self.input(x)?, self.input(y)?, self.input(omega)?);
        let exact = Absolute.loss_hessian(n, loss, &x_in, &y_in, &omega_in)?;
        let tested = self.backend.loss_hessian(n, loss, x, y, omega)?;
        self.checked("loss_hessian", LOSS + x_in.v.len() / n, tested, exact)
    }
    fn contract(
        &self,
        n: usize,
        vectors: usize,
        m: &B::Array,
        a: &Operand<B::Array>,
        column: usize,
        count: usize,
        out: &mut B::Array,
    ) -> Result<()> {
        let (matrix, mut exact) = (self.input(a.array)?, self.input(out)?);
        let operand = with(a, &matrix);
        Absolute.contract(
            n,
            vectors,
            &self.input(m)?,
            &operand,
            column,
            count,
            &mut exact,
        )?;
        self.backend
            .contract(n, vectors, m, a, column, count, out)?;
        self.check("contract", a.units.len() + 2, out, &exact)
    }
    fn contracted(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        terms: &[Term<B::Array>],
        then: &Then<B::Array>,
    ) -> Result<B::Array> {
        // By its parts, and as a whole.
        let mut parts = self.zeros(n * vectors * units)?;
        for t in terms {
            self.contract(n, t.vectors, t.m, &t.a, t.column, t.count, &mut parts)?;
        }
        match *then {
            Then::Nothing => {}
            Then::Times(d) => self.scale(n, vectors, units, d, &mut parts)?,
            Then::Bend { h1, h2, g, p } => {
                self.scale(n, vectors, units, h1, &mut parts)?;
                let c = self.multiplied(n, 1, units, g, h2, false)?;
                self.multiply_add(n, vectors, units, &c, p, &mut parts)?;
            }
        }
        self.recycle([parts]);
        let inputs = (terms.iter())
            .map(|t| Ok((self.input(t.m)?, self.input(t.a.array)?)))
            .collect::<Result<Vec<_>>>()?;
        let exact: Vec<Term<Pair>> = (terms.iter().zip(&inputs))
            .map(|(t, (m, matrix))| Term {
                m,
                vectors: t.vectors,
                a: with(&t.a, matrix),
                column: t.column,
                count: t.count,
            })
            .collect();
        let of_then = match *then {
            Then::Nothing => vec![],
            Then::Times(d) => vec![d],
            Then::Bend { h1, h2, g, p } => vec![h1, h2, g, p],
        };
        let of_then = (of_then.into_iter().map(|a| self.input(a))).collect::<Result<Vec<_>>>()?;
        let exactly = match &of_then[..] {
            [d] => Then::Times(d),
            [h1, h2, g, p] => Then::Bend { h1, h2, g, p },
            _ => Then::Nothing,
        };
        let exact = Absolute.contracted(n, vectors, units, &exact, &exactly)?;
        let out = (self.backend).contracted(n, vectors, units, terms, then)?;
        let operations = terms.iter().map(|t| t.a.units.len() + 1).sum::<usize>();
        self.check("contracted", operations + 5, &out, &exact)?;
        Ok(out)
    }
    fn contract_diagonal(
        &self,
        n: usize,
        m: &B::Array,
        a: &Operand<B::Array>,
        column: usize,
        count: usize,
        out: &mut B::Array,
    ) -> Result<()> {
        let (matrix, mut exact) = (self.input(a.array)?, self.input(out)?);
        let operand = with(a, &matrix);
        Absolute.contract_diagonal(n, &self.input(m)?, &operand, column, count, &mut exact)?;
        self.backend
            .contract_diagonal(n, m, a, column, count, out)?;
        self.check("contract_diagonal", a.units.len() + 2, out, &exact)
    }
    fn scale(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        d: &B::Array,
        a: &mut B::Array,
    ) -> Result<()> {
        let mut exact = self.input(a)?;
        Absolute.scale(n, vectors, units, &self.input(d)?, &mut exact)?;
        self.backend.scale(n, vectors, units, d, a)?;
        self.check("scale", 1, a, &exact)
    }
    fn multiply_add(
        &self,
        n: usize,
        vectors: usize,
        units: usize,
        a: &B::Array,
        b: &B::Array,
        out: &mut B::Array,
    ) -> Result<()> {
        let (mut exact, a_in) = (self.input(out)?, self.input(a)?);
        Absolute.multiply_add(n, vectors, units, &a_in, &self.input(b)?, &mut exact)?;
        (self.backend).multiply_add(n, vectors, units, a, b, out)?;
        self.check("multiply_add", 2, out, &exact)
    }
    fn add_diagonal(&self, n: usize, units: usize, d: &B::Array, a: &mut B::Array) -> Result<()> {
        let mut exact = self.input(a)?;
        Absolute.add_diagonal(n, units, &self.input(d)?, &mut exact)?;
        self.backend.add_diagonal(n, units, d, a)?;
        self.check("add_diagonal", 1, a, &exact)
    }
    fn diagonal(&self, n: usize, units: usize, a: &B::Array) -> Result<B::Array> {
        let exact = Absolute.diagonal(n, units, &self.input(a)?)?;
        self.checked("diagonal", COPY, self.backend.diagonal(n, units, a)?, exact)
    }
    fn transpose(&self, n: usize, rows: usize, columns: usize, a: &B::Array) -> Result<B::Array> {
        let exact = Absolute.transpose(n, rows, columns, &self.input(a)?)?;
        let tested = self.backend.transpose(n, rows, columns, a)?;
        self.checked("transpose", COPY, tested, exact)
    }
    fn gauss_newton(
        &self,
        n: usize,
        outputs: usize,
        units: usize,
        jacobian: &B::Array,
        hessian: &B::Array,
    ) -> Result<B::Array> {
        let (j, g) = (self.input(jacobian)?, self.input(hessian)?);
        let exact = Absolute.gauss_newton(n, outputs, units, &j, &g)?;
        let tested = (self.backend).gauss_newton(n, outputs, units, jacobian, hessian)?;
        self.checked("gauss_newton", outputs * outputs + 2, tested, exact)
    }
    fn fisher(
        &self,
        n: usize,
        units: usize,
        delta: &B::Array,
        omega: &B::Array,
    ) -> Result<B::Array> {
        let exact = Absolute.fisher(n, units, &self.input(delta)?, &self.input(omega)?)?;
        let tested = self.backend.fisher(n, units, delta, omega)?;
        self.checked("fisher", FISHER, tested, exact)
    }
    fn gradient(
        &self,
        n: usize,
        delta: &B::Array,
        phi: &Operand<B::Array>,
        out: &mut Vec<f64>,
        at: usize,
    ) -> Result<()> {
        let (mut exact, array) = (zeros(out.len()), self.input(phi.array)?);
        Absolute.gradient(n, &self.input(delta)?, &with(phi, &array), &mut exact, at)?;
        let run = |out: &mut B::Sum| self.backend.gradient(n, delta, phi, out, at);
        self.sum("gradient", samples(n) + 1, out, &exact, run)
    }
    fn outer(&self, n: usize, y: &Columns<B::Array>, z: &Columns<B::Array>) -> Result<B::Array> {
        let (y_in, z_in) = (self.input(y.array)?, self.input(z.array)?);
        let exact = Absolute.outer(n, &columns(y, &y_in), &columns(z, &z_in))?;
        self.checked("outer", 1, self.backend.outer(n, y, z)?, exact)
    }
    fn pairs(&self, n: usize, layer: usize, units: Range<usize>, a: &B::Array) -> Result<B::Array> {
        let exact = Absolute.pairs(n, layer, units.clone(), &self.input(a)?)?;
        let tested = self.backend.pairs(n, layer, units, a)?;
        self.checked("pairs", COPY, tested, exact)
    }
    fn gram(
        &self,
        n: usize,
        c: &B::Array,
        phi: &Operand<B::Array>,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let (mut exact, array) = (zeros(out.len()), self.input(phi.array)?);
        Absolute.gram(n, &self.input(c)?, &with(phi, &array), &mut exact)?;
        let run = |out: &mut B::Sum| self.backend.gram(n, c, phi, out);
        self.sum("gram", samples(n) + 2, out, &exact, run)
    }
    fn gram_diagonal(
        &self,
        n: usize,
        c: &B::Array,
        phi: &Operand<B::Array>,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let (mut exact, array) = (zeros(out.len()), self.input(phi.array)?);
        Absolute.gram_diagonal(n, &self.input(c)?, &with(phi, &array), &mut exact)?;
        let run = |out: &mut B::Sum| self.backend.gram_diagonal(n, c, phi, out);
        self.sum("gram_diagonal", samples(n) + 2, out, &exact, run)
    }
    fn tensor(
        &self,
        n: usize,
        order: usize,
        c: &B::Array,
        z: &B::Array,
        width: usize,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let (mut exact, c_in) = (zeros(out.len()), self.input(c)?);
        Absolute.tensor(n, order, &c_in, &self.input(z)?, width, &mut exact)?;
        let run = |out: &mut B::Sum| self.backend.tensor(n, order, c, z, width, out);
        self.sum("tensor", samples(n) + order, out, &exact, run)
    }
    fn unit_value(
        &self,
        n: usize,
        group: &UnitGroup<B::Array>,
        z: &B::Array,
        p: &mut B::Array,
    ) -> Result<()> {
        let (w, z_in) = (self.input(group.weights)?.v, self.backend.download(z)?);
        let mut exact = self.input(p)?;
        cpu().unit_value(n, &of(group, group.unit, &w), &z_in, &mut exact.v)?;
        let unit = magnitude(group);
        cpu().unit_value(n, &of(group, &unit, &w), &z_in, &mut exact.a)?;
        self.backend.unit_value(n, group, z, p)?;
        self.check("unit_value", roundings(group), p, &exact)
    }
    fn unit_derivative(
        &self,
        n: usize,
        group: &UnitGroup<B::Array>,
        z: &B::Array,
        which: UnitDerivative,
    ) -> Result<B::Array> {
        let (w, z_in) = (self.input(group.weights)?.v, self.backend.download(z)?);
        let run = |unit: &dyn Unit| cpu().unit_derivative(n, &of(group, unit, &w), &z_in, which);
        let exact = Pair {
            v: run(group.unit)?,
            a: run(&magnitude(group))?,
        };
        let tested = self.backend.unit_derivative(n, group, z, which)?;
        self.checked("unit_derivative", roundings(group), tested, exact)
    }
    fn unit_value_along(
        &self,
        n: usize,
        group: &UnitGroup<B::Array>,
        z: &B::Array,
        direction: &Direction<B::Array>,
        p: &mut B::Array,
    ) -> Result<()> {
        let (w, z_in) = (self.input(group.weights)?.v, self.backend.download(z)?);
        let (mut exact, pairs) = (self.input(p)?, self.along(direction)?);
        let moved = with_pairs(direction, &pairs);
        let d = along(&moved, |p| &p.v);
        cpu().unit_value_along(n, &of(group, group.unit, &w), &z_in, &d, &mut exact.v)?;
        let (d, unit) = (along(&moved, |p| &p.a), magnitude(group));
        cpu().unit_value_along(n, &of(group, &unit, &w), &z_in, &d, &mut exact.a)?;
        self.backend.unit_value_along(n, group, z, direction, p)?;
        let k = roundings(group) + terms(group);
        self.check("unit_value_along", k, p, &exact)
    }
    fn unit_along(
        &self,
        n: usize,
        group: &UnitGroup<B::Array>,
        z: &B::Array,
        direction: &Direction<B::Array>,
        which: UnitDerivative,
    ) -> Result<B::Array> {
        let (w, z_in) = (self.input(group.weights)?.v, self.backend.download(z)?);
        let pairs = self.along(direction)?;
        let moved = with_pairs(direction, &pairs);
        let run = |unit: &dyn Unit, d: &Direction<Vec<f64>>| {
            cpu().unit_along(n, &of(group, unit, &w), &z_in, d, which)
        };
        let exact = Pair {
            v: run(group.unit, &along(&moved, |p| &p.v))?,
            a: run(&magnitude(group), &along(&moved, |p| &p.a))?,
        };
        let tested = self.backend.unit_along(n, group, z, direction, which)?;
        let k = roundings(group) + terms(group);
        self.checked("unit_along", k, tested, exact)
    }
    fn unit_d_zz(
        &self,
        n: usize,
        group: &UnitGroup<B::Array>,
        z: &B::Array,
        delta: &B::Array,
        out: &mut B::Array,
    ) -> Result<()> {
        let (w, z_in) = (self.input(group.weights)?.v, self.backend.download(z)?);
        let (d, mut exact) = (self.input(delta)?, self.input(out)?);
        cpu().unit_d_zz(n, &of(group, group.unit, &w), &z_in, &d.v, &mut exact.v)?;
        let unit = magnitude(group);
        cpu().unit_d_zz(n, &of(group, &unit, &w), &z_in, &d.a, &mut exact.a)?;
        self.backend.unit_d_zz(n, group, z, delta, out)?;
        let k = roundings(group) + group.units + 1;
        self.check("unit_d_zz", k, out, &exact)
    }
    fn unit_d_ww(
        &self,
        n: usize,
        group: &UnitGroup<B::Array>,
        z: &B::Array,
        delta: &B::Array,
        diagonal: bool,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let (w, z_in) = (self.input(group.weights)?.v, self.backend.download(z)?);
        let (d, mut exact) = (self.input(delta)?, zeros(out.len()));
        let own = of(group, group.unit, &w);
        cpu().unit_d_ww(n, &own, &z_in, &d.v, diagonal, &mut exact.v)?;
        let unit = magnitude(group);
        let bound = of(group, &unit, &w);
        cpu().unit_d_ww(n, &bound, &z_in, &d.a, diagonal, &mut exact.a)?;
        let run = |out: &mut B::Sum| self.backend.unit_d_ww(n, group, z, delta, diagonal, out);
        let k = roundings(group) + samples(n) + 1;
        self.sum("unit_d_ww", k, out, &exact, run)
    }
}

/// The same direction with its numbers on the host.
fn with_pairs<'a, A>(
    direction: &Direction<A>,
    [dw, dz]: &'a [Option<Pair>; 2],
) -> Direction<'a, Pair> {
    let inputs = direction.inputs.as_ref().zip(dz.as_ref());
    Direction {
        weights: dw.as_ref(),
        inputs: inputs.map(|(c, dz)| columns(c, dz)),
    }
}

/// Units with a text may be computed by it: then their own sums count, too. Others are computed in f64 and rounded once.
fn magnitude<'a, A>(group: &UnitGroup<'a, A>) -> Magnitude<'a> {
    Magnitude {
        unit: group.unit,
        apart: group.unit.wgsl().is_some(),
    }
}

/// Of a number of a unit.
fn roundings<A>(group: &UnitGroup<A>) -> usize {
    match group.unit.wgsl() {
        None => 1,
        Some(_) => 16 + 2 * group.inputs * group.inputs,
    }
}

/// Of a sum over a unit's parameters and inputs.
fn terms<A>(group: &UnitGroup<A>) -> usize {
    match group.unit.wgsl() {
        None => 1,
        Some(_) => group.row + group.inputs,
    }
}
