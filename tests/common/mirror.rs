//! A backend that runs every kernel of another one again, on the very same inputs, in f64 and over absolute values.
//!
//! Each output must satisfy |tested − exact| ≤ u K A: A is the same expression over |inputs| (the previous contents of an
//! output that is added to belong to them), K the kernel's own roundings ([`roundings`]). The arrays are the
//! tested backend's, so that an error is met once, by the kernel that makes it, and the next is judged on what it was
//! given. What a kernel must overwrite is NaN before, and what lies between the elements of an output must stay as it was. Sums
//! over samples are compared call by call; the running sum is kept here. Fused kernels are compared as a whole, and once more
//! through the kernels that they are made of.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use secondo::backend::kernel::{Kernel, Units};
use secondo::backend::{Backend, Layout};
use secondo::{Curvature, GroupView, Problem, Request, Result, Structure, SymmetricTensor};

use super::exact::{Exact, FLOOR, Pair, Source, exact, pair};
use super::kernels::{Outputs, on_copies, outputs, places};
use super::nets::random_problem;
use super::own;
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

/// The requests to each problem.
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
        let mirror = Mirror { backend, u, case: name, report: Mutex::new(report) };
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
            let result = problem.evaluate_on(&mirror, &single(w), request, problem.rows());
            if let Err(error) = result {
                mirror.note("evaluation", f64::INFINITY, || error.to_string());
            }
        }
        for &curvature in products {
            let (n, v) = (problem.rows(), vectors(problem));
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
pub struct Report(BTreeMap<String, Worst>);

#[derive(Default)]
struct Worst {
    ratio: f64,
    at: String,
}

impl Report {
    fn kernels(&self, of: impl Fn(&Worst) -> bool) -> BTreeSet<&str> {
        (self.0.iter())
            .filter(|(_, worst)| of(worst))
            .filter_map(|(name, _)| name.split(' ').next())
            .collect()
    }

    /// Kernels off by more than their bound.
    pub fn off(&self) -> BTreeSet<&str> {
        self.kernels(|worst| worst.ratio >= 1.0)
    }

    /// The same without fused kernels where one that they are made of is off.
    pub fn failing(&self) -> BTreeSet<&str> {
        let off = self.off();
        let explained = |name: &str| made_of(name).iter().any(|kernel| off.contains(kernel));
        off.iter().copied().filter(|name| !explained(name)).collect()
    }

    /// Every kernel was run, and none is off.
    pub fn assert_passes(&self) {
        let run = self.kernels(|_| true);
        let names = Kernel::<(), ()>::NAMES.iter();
        let missing: Vec<_> = names.filter(|name| !run.contains(**name)).collect();
        assert!(missing.is_empty(), "not run: {missing:?}");
        assert!(self.failing().is_empty(), "off:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        (self.0.iter())
            .try_for_each(|(name, w)| writeln!(f, "{name:24} {:8.2e}  {}", w.ratio, w.at))
    }
}

/// The kernels that a fused one is lowered to.
fn made_of(name: &str) -> &'static [&'static str] {
    match name {
        "product_sum" => &["fill", "product", "scale", "multiply"],
        "scaled_matrix" => &["multiply", "scale"],
        "pair_block" => &["multiply", "weighted_sum"],
        _ => &[],
    }
}

/// K of the arrays that a kernel writes, and of its sum.
fn roundings<A, S>(kernel: &Kernel<A, S>) -> (usize, usize) {
    let array = |k: usize| (k, 0);
    let sum = |n: usize, k: usize| (0, samples(n) + k);
    match kernel {
        Kernel::Fill(_) | Kernel::Copy(_) | Kernel::LowerTriangle(_) => array(COPY),
        Kernel::Scale(_) => array(1),
        Kernel::Multiply(k) => array(1 + usize::from(k.accumulate)),
        Kernel::ScaledMatrix(_) => array(2),
        Kernel::Product(k) => array(k.x.shape()[2] + 1 + usize::from(k.accumulate)),
        Kernel::ProductSum(k) => {
            let products: usize = k.terms.iter().map(|t| t.x.shape()[2] + 1).sum();
            array(products + 5)
        }
        Kernel::ProductDiagonal(k) => array(k.x.shape()[1] + 2),
        Kernel::Activate(_) => array(ACTIVATION),
        Kernel::LossValue(k) => {
            let [n, _, outputs] = k.x.shape();
            (LOSS + outputs, LOSS + outputs + samples(n))
        }
        Kernel::LossHessian(k) => array(LOSS + k.x.shape()[2]),
        Kernel::GaussNewtonDiagonal(k) => {
            let outputs = k.hessian.shape()[1];
            array(outputs * outputs + 2)
        }
        Kernel::SquaredGradient(_) => array(FISHER),
        Kernel::WeightedSum(k) => sum(k.c.shape()[0], 1),
        Kernel::Gram(k) => sum(k.c.shape()[0], 2),
        Kernel::GramDiagonal(k) => sum(k.c.shape()[0], 2),
        Kernel::PairBlock(k) => sum(k.s.shape()[0], 4),
        Kernel::TensorSum(k) => sum(k.z.shape()[0], k.order),
        Kernel::UnitValue(k) => array(of_unit(&k.units)),
        Kernel::UnitDerivative(k) => array(of_unit(&k.units)),
        Kernel::UnitSlope(k) => array(of_unit(&k.units) + terms(&k.units)),
        Kernel::UnitDerivativeSlope(k) => array(of_unit(&k.units) + terms(&k.units)),
        Kernel::UnitInputHessian(k) => array(of_unit(&k.units) + k.units.units() + 1),
        Kernel::UnitParameterHessian(k) => sum(k.units.samples(), of_unit(&k.units) + 1),
    }
}

/// Roundings of a number of a unit.
fn of_unit<A>(units: &Units<A>) -> usize {
    match units.unit.wgsl() {
        None => 1,
        Some(_) => 16 + 2 * units.inputs() * units.inputs(),
    }
}

/// Roundings of a sum over a unit's parameters and inputs.
fn terms<A>(units: &Units<A>) -> usize {
    match units.unit.wgsl() {
        None => 1,
        Some(_) => units.parameters() + units.inputs(),
    }
}

/// A kernel's lines in the report: one for each array that it writes, and one for its sum.
fn lines<A, S>(kernel: &Kernel<A, S>) -> ([&'static str; 3], &'static str) {
    match kernel {
        Kernel::Activate(_) => ([" h", " h1", " h2"], ""),
        Kernel::LossValue(_) => ([" gradient", "", ""], " value"),
        _ => ([""; 3], ""),
    }
}

struct Mirror<'a, B> {
    backend: &'a B,
    u: f64,
    case: &'a str,
    report: Mutex<Report>,
}

impl<B: Backend> Source<B::Array> for Mirror<'_, B> {
    const CHAINED: bool = false;

    fn pair<'k>(&self, array: &'k B::Array) -> Cow<'k, Pair> {
        let numbers = self.backend.download(array).expect("a kernel's inputs");
        Cow::Owned(pair(numbers))
    }
}

/// A kernel's outputs: their layouts, what their arrays held before, and what they hold.
struct Written<'w> {
    layouts: &'w [Layout],
    before: &'w [Vec<f64>],
    after: Vec<Vec<f64>>,
    sum: Vec<f64>,
}

impl<B: Backend> Mirror<'_, B> {
    /// The tensor of one unit, if it is linear and the tensor is not large: which unit and which order differ from case to case.
    fn tensor_of(&self, problem: &Problem, w: &[f64], case: usize) {
        let (network, order, n) = (problem.network(), case % 4 + 1, problem.rows());
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

    fn note(&self, line: &str, ratio: f64, at: impl FnOnce() -> String) {
        let worst = &mut self.report.lock().unwrap().0;
        if !worst.contains_key(line) {
            worst.insert(line.into(), Worst::default());
        }
        let worst = worst.get_mut(line).unwrap();
        if ratio > worst.ratio {
            let at = format!("{}: {}", self.case, at());
            *worst = Worst { ratio, at };
        }
    }

    /// Notes the worst number of one output.
    fn compare(&self, line: &str, k: usize, tested: impl Iterator<Item = f64>, exact: &Pair) {
        let mut worst = (0.0, String::new());
        for (i, ((t, &e), &a)) in tested.zip(&exact.v).zip(&exact.a).enumerate() {
            let allowed = sides(self.u) * self.u * k as f64 * (a + FLOOR);
            let ratio = self.ratio(t, e, a, allowed);
            if ratio > worst.0 {
                worst = (ratio, format!("[{i}] is {t:e}, should be {e:e} within {allowed:.1e}"));
            }
        }
        self.note(line, worst.0, || worst.1);
    }

    fn ratio(&self, tested: f64, exact: f64, a: f64, allowed: f64) -> f64 {
        let largest = if self.u > DOUBLE { f32::MAX.into() } else { f64::MAX };
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

    /// Compares all that a kernel wrote, and what it must not have written.
    fn judge<S>(&self, kernel: &Kernel<B::Array, S>, how: &str, exact: &Exact, written: Written) {
        let ((k_array, k_sum), (arrays, of_sum)) = (roundings(kernel), lines(kernel));
        let name = kernel.name();
        let outputs = written.layouts.iter().zip(written.before).zip(&written.after);
        for (((&layout, before), after), (exact, line)) in
            outputs.zip(exact.arrays.iter().zip(arrays))
        {
            let line = format!("{name}{line}{how}");
            assert_eq!(layout.len(), exact.v.len(), "{line}");
            self.compare(&line, k_array, places(layout).map(|at| after[at]), exact);
            let mut is_element = vec![false; before.len()];
            places(layout).for_each(|at| is_element[at] = true);
            let touched = |at: usize| !is_element[at] && !same(before[at], after[at]);
            if let Some(at) = (0..before.len()).find(|&at| touched(at)) {
                self.note(&line, f64::INFINITY, || {
                    format!("writes {:e} over {:e} between its elements", after[at], before[at])
                });
            }
        }
        if let Some((at, exact)) = &exact.sum {
            let line = format!("{name}{of_sum}{how}");
            let inside = *at..at + exact.v.len();
            self.compare(&line, k_sum, written.sum[inside.clone()].iter().copied(), exact);
            let outside = |(at, v): (usize, &f64)| !inside.contains(&at) && *v != 0.0;
            if written.sum.iter().enumerate().any(outside) {
                self.note(&line, f64::INFINITY, || "adds beyond its numbers".into());
            }
        }
    }

    fn numbers(&self, arrays: &[B::Array]) -> Result<Vec<Vec<f64>>> {
        arrays.iter().map(|array| self.backend.download(array)).collect()
    }
}

/// Equal, or both NaN.
fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

impl<B: Backend> Backend for Mirror<'_, B> {
    type Array = B::Array;
    type Sum = Vec<f64>;

    fn alloc(&self, len: usize) -> Result<B::Array> {
        self.backend.alloc(len)
    }
    fn upload(&self, values: &[f64]) -> Result<B::Array> {
        let array = self.backend.upload(values)?;
        let numbers = self.backend.download(&array)?;
        assert_eq!(numbers.len(), values.len());
        self.compare("upload", 1, numbers.into_iter(), &pair(values.to_vec()));
        Ok(array)
    }
    fn download(&self, array: &B::Array) -> Result<Vec<f64>> {
        self.backend.download(array)
    }
    fn recycle(&self, arrays: impl IntoIterator<Item = B::Array>) {
        self.backend.recycle(arrays);
    }
    fn release(&self) {
        self.backend.release();
    }
    fn sums(&self, len: usize) -> Result<Vec<f64>> {
        Ok(vec![0.0; len])
    }
    fn read(&self, sum: Vec<f64>) -> Result<Vec<f64>> {
        Ok(sum)
    }
    fn run(&self, mut kernel: Kernel<B::Array, Vec<f64>>) -> Result<()> {
        let exact = exact(&kernel, self);
        let written = outputs(&mut kernel).arrays;
        let layouts: Vec<Layout> = written.iter().map(|out| out.layout).collect();
        let before = (written.iter())
            .map(|out| self.backend.download(out.array))
            .collect::<Result<Vec<_>>>()?;
        let judge = |kernel: &Kernel<_, _>, how: &str, copies: &[B::Array], sum: &[f64]| {
            let (layouts, before) = (&layouts[..], &before[..]);
            let (after, sum) = (self.numbers(copies)?, sum.to_vec());
            let written = Written { layouts, before, after, sum };
            self.judge(kernel, how, &exact, written);
            Ok::<_, secondo::Error>(())
        };
        if !made_of(kernel.name()).is_empty() {
            let (copies, sum) = on_copies(self, &mut kernel, |kernel| match kernel {
                Kernel::ProductSum(k) => k.lower(self),
                Kernel::ScaledMatrix(k) => k.lower(self),
                Kernel::PairBlock(k) => k.lower(self),
                other => panic!("{} has no lowering", other.name()),
            })?;
            judge(&kernel, " lowered", &copies, &sum)?;
            self.backend.recycle(copies);
        }
        let (copies, sum) = on_copies(self.backend, &mut kernel, |k| self.backend.run(k))?;
        judge(&kernel, "", &copies, &sum)?;
        let Outputs { arrays, sum: total } = outputs(&mut kernel);
        for (out, copy) in arrays.into_iter().zip(copies) {
            self.backend.recycle([std::mem::replace(out.array, copy)]);
        }
        (total.into_iter().flatten().zip(sum)).for_each(|(total, v)| *total += v);
        Ok(())
    }
    fn on_one_thread(&self) -> Option<Self> {
        None
    }
}
