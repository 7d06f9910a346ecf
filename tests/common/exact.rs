//! The results of kernels, by plain loops over the elements of its views, in f64: each number with a bound of what enters
//! it.
//!
//! The bound A is the same expression with every operand replaced by its absolute value; an activation's derivative enters as
//! |h⁽q⁾(p)| + |h⁽q⁺¹⁾(p)| Ā(p), because an error of p moves it so much. It is the A of the component-wise test
//! |computed − exact| ≤ u K A (Higham, Accuracy and Stability, ch. 3).

use std::borrow::Cow;

use secondo::backend::kernel::{
    Activate, Argument, Direction, Epilogue, Kernel, LossHessian, LossValue, PairBlock, ProductSum,
    SquaredGradient, Units,
};
use secondo::backend::{Layout, View, ViewMut};
use secondo::{Activation, Loss, Unit};

use super::own::Magnitude;

/// Products below this may underflow in f32, relative to u.
pub const FLOOR: f64 = 2e-31;

/// Numbers and the A of each.
#[derive(Clone)]
pub struct Pair {
    pub v: Vec<f64>,
    pub a: Vec<f64>,
}

/// Numbers that are exact, or rounded once.
pub fn pair(v: Vec<f64>) -> Pair {
    Pair { a: v.iter().map(|v| v.abs() + FLOOR).collect(), v }
}

/// Where the numbers of arrays come from.
pub trait Source<A> {
    /// Whether they are results of other kernels, and so not exact.
    const CHAINED: bool;

    fn pair<'k>(&self, array: &'k A) -> Cow<'k, Pair>;
}

/// The numbers that a kernel must have written: the elements of its arrays, those there before included where it adds, and what it adds to
/// its sum from a place on.
pub struct Exact {
    pub arrays: Vec<Pair>,
    pub sum: Option<(usize, Pair)>,
}

impl From<Pair> for Exact {
    fn from(array: Pair) -> Self {
        let (arrays, sum) = (vec![array], None);
        Exact { arrays, sum }
    }
}

fn added(at: usize, pair: Pair) -> Exact {
    let (arrays, sum) = (vec![], Some((at, pair)));
    Exact { arrays, sum }
}

/// The numbers of a view.
struct Numbers<'k> {
    pair: Cow<'k, Pair>,
    layout: Layout,
}

/// The values, or their bounds.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Value,
    Bound,
}

#[derive(Clone, Copy)]
struct Elements<'k> {
    numbers: &'k [f64],
    layout: Layout,
}

impl Elements<'_> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize, c: usize) -> f64 {
        self.numbers[self.layout.at(i, r, c)]
    }

    fn row(&self, i: usize, r: usize) -> Vec<f64> {
        (0..self.layout.shape[2]).map(|c| self.at(i, r, c)).collect()
    }
}

impl Numbers<'_> {
    fn of(&self, side: Side) -> Elements<'_> {
        Elements {
            numbers: match side {
                Side::Value => &self.pair.v,
                Side::Bound => &self.pair.a,
            },
            layout: self.layout,
        }
    }
}

struct Reader<'s, R>(&'s R);

impl<R> Reader<'_, R> {
    fn read<'k, A>(&self, view: View<'k, A>) -> Numbers<'k>
    where
        R: Source<A>,
    {
        let (pair, layout) = (self.0.pair(view.array), view.layout);
        Numbers { pair, layout }
    }

    /// The numbers that an output holds before, if the kernel adds to it.
    fn before<'k, A>(&self, out: &'k ViewMut<A>, adds: bool) -> Numbers<'k>
    where
        R: Source<A>,
    {
        if adds {
            return self.read(View::new(&*out.array, out.layout));
        }
        let (pair, layout) = (Cow::Owned(pair(vec![0.0])), out.layout);
        let (offset, strides) = (0, [0; 3]);
        let layout = Layout { offset, strides, ..layout };
        Numbers { pair, layout }
    }
}

/// The same expression over values and over bounds; products may have underflowed.
fn both(expression: impl Fn(Side) -> Vec<f64>) -> Pair {
    let (v, mut a) = (expression(Side::Value), expression(Side::Bound));
    a.iter_mut().for_each(|a| *a += FLOOR);
    Pair { v, a }
}

fn elements([n, rows, columns]: [usize; 3], f: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
    let mut out = Vec::with_capacity(n * rows * columns);
    for i in 0..n {
        for r in 0..rows {
            out.extend((0..columns).map(|c| f(i, r, c)));
        }
    }
    out
}

/// Sums over samples, block by block of 512: a long sum has few roundings, too.
fn summed(n: usize, len: usize, mut add: impl FnMut(usize, &mut [f64])) -> Vec<f64> {
    let mut total = vec![0.0; len];
    for first in (0..n).step_by(512) {
        let mut block = vec![0.0; len];
        (first..n.min(first + 512)).for_each(|i| add(i, &mut block));
        total.iter_mut().zip(block).for_each(|(t, b)| *t += b);
    }
    total
}

/// The numbers that a kernel must write, from the numbers of its inputs.
pub fn exact<A, S, R: Source<A>>(kernel: &Kernel<A, S>, source: &R) -> Exact {
    let from = Reader(source);
    match kernel {
        Kernel::Fill(k) => pair(vec![k.value; k.out.layout.len()]).into(),
        Kernel::Copy(k) => {
            let x = from.read(k.from);
            let copied = |s| elements(k.to.shape(), |i, r, c| x.of(s).at(i, r, c));
            both(copied).into()
        }
        Kernel::Scale(k) => {
            let (x, by) = (from.before(&k.out, true), from.read(k.by));
            let scaled = |s| {
                let (x, by) = (x.of(s), by.of(s));
                elements(k.out.shape(), |i, r, c| x.at(i, r, c) * by.at(i, r, c))
            };
            both(scaled).into()
        }
        Kernel::Multiply(k) => {
            let (a, b) = (from.read(k.a), from.read(k.b));
            let before = from.before(&k.out, k.accumulate);
            let multiplied = |s| {
                let (a, b, before) = (a.of(s), b.of(s), before.of(s));
                elements(k.out.shape(), |i, r, c| {
                    before.at(i, r, c) + a.at(i, r, c) * b.at(i, r, c)
                })
            };
            both(multiplied).into()
        }
        Kernel::ScaledMatrix(k) => {
            let [p, m, d] = [k.rows, k.matrix, k.columns].map(|view| from.read(view));
            let scaled = |s| {
                let [p, m, d] = [p.of(s), m.of(s), d.of(s)];
                elements(k.out.shape(), |i, q, j| p.at(i, 0, q) * m.at(i, q, j) * d.at(i, 0, j))
            };
            both(scaled).into()
        }
        Kernel::Product(k) => {
            let (x, b) = (from.read(k.x), from.read(k.b));
            let before = from.before(&k.out, k.accumulate);
            let product = |s| {
                let (x, b, before) = (x.of(s), b.of(s), before.of(s));
                elements(k.out.shape(), |i, r, c| {
                    let inner = 0..x.layout.shape[2];
                    let sum: f64 = inner.map(|k| x.at(i, r, k) * b.at(i, k, c)).sum();
                    before.at(i, r, c) + sum
                })
            };
            both(product).into()
        }
        Kernel::ProductSum(k) => product_sum(k, &from).into(),
        Kernel::ProductDiagonal(k) => {
            let (x, b, before) = (from.read(k.x), from.read(k.b), from.before(&k.out, true));
            let diagonal = |s| {
                let (x, b, before) = (x.of(s), b.of(s), before.of(s));
                elements(k.out.shape(), |i, r, q| {
                    let inner = 0..x.layout.shape[1];
                    let sum: f64 = inner.map(|j| x.at(i, j, q) * b.at(i, j, q)).sum();
                    before.at(i, r, q) + sum
                })
            };
            both(diagonal).into()
        }
        Kernel::Activate(k) => Exact { arrays: activate(k, &from), sum: None },
        Kernel::LossValue(k) => loss_value(k, &from),
        Kernel::LossHessian(k) => loss_hessian(k, &from).into(),
        Kernel::GaussNewtonDiagonal(k) => {
            let (j, g) = (from.read(k.jacobian), from.read(k.hessian));
            let [_, outputs, _] = k.jacobian.shape();
            let diagonal = |s| {
                let (j, g) = (j.of(s), g.of(s));
                elements(k.out.shape(), |i, _, c| {
                    let pairs = (0..outputs).flat_map(|o| (0..outputs).map(move |q| (o, q)));
                    pairs.map(|(o, q)| j.at(i, o, c) * g.at(i, o, q) * j.at(i, q, c)).sum()
                })
            };
            both(diagonal).into()
        }
        Kernel::SquaredGradient(k) => squared_gradient(k, &from).into(),
        Kernel::LowerTriangle(k) => {
            let a = from.read(k.a);
            let [n, order, _] = k.a.shape();
            let packed = |s| {
                let rows = (0..n).flat_map(|i| (0..order).map(move |r| (i, r)));
                rows.flat_map(|(i, r)| a.of(s).row(i, r).into_iter().take(r + 1)).collect()
            };
            both(packed).into()
        }
        Kernel::WeightedSum(k) => {
            let (c, phi) = (from.read(k.c), from.read(k.phi));
            added(k.at, weighted(&c, &phi, |row| row.to_vec()))
        }
        Kernel::Gram(k) => {
            let (c, phi) = (from.read(k.c), from.read(k.phi));
            added(0, weighted(&c, &phi, |row| packed_powers(row, 2)))
        }
        Kernel::GramDiagonal(k) => {
            let (c, phi) = (from.read(k.c), from.read(k.phi));
            added(0, weighted(&c, &phi, |row| row.iter().map(|v| v * v).collect()))
        }
        Kernel::PairBlock(k) => added(0, pair_block(k, &from)),
        Kernel::TensorSum(k) => {
            let (c, z) = (from.read(k.c), from.read(k.z));
            added(0, weighted(&c, &z, |row| packed_powers(row, k.order)))
        }
        Kernel::UnitValue(k) => {
            let units = Calls::new(&k.units, &from);
            let value = |s| units.each(s, |unit, z, w, _, _| vec![unit.value(z, w)]);
            both(value).into()
        }
        Kernel::UnitDerivative(k) => {
            let units = Calls::new(&k.units, &from);
            let of = k.with_respect_to;
            both(|s| units.each(s, |unit, z, w, _, _| first(unit, of, z, w))).into()
        }
        Kernel::UnitSlope(k) => {
            let (units, before) = (Calls::new(&k.units, &from), from.before(&k.out, true));
            let along = Along::new(&k.along, &from);
            let slope = |s| {
                units.each(s, |unit, z, w, i, j| {
                    let slopes = along
                        .directions(s, i, j)
                        .map(|(of, direction)| dot(&first(unit, of, z, w), &direction));
                    vec![before.of(s).at(i, 0, j) + slopes.sum::<f64>()]
                })
            };
            both(slope).into()
        }
        Kernel::UnitDerivativeSlope(k) => {
            let (units, along) = (Calls::new(&k.units, &from), Along::new(&k.along, &from));
            let slope = |s| {
                units.each(s, |unit, z, w, i, j| {
                    let mut total = vec![0.0; k.units.width_of(k.with_respect_to)];
                    for (of, direction) in along.directions(s, i, j) {
                        let matrix = second(unit, k.with_respect_to, of, z, w);
                        for (total, row) in
                            total.iter_mut().zip(matrix.chunks(direction.len().max(1)))
                        {
                            *total += dot(row, &direction);
                        }
                    }
                    total
                })
            };
            both(slope).into()
        }
        Kernel::UnitInputHessian(k) => {
            let (units, before) = (Calls::new(&k.units, &from), from.before(&k.out, true));
            let (delta, d) = (from.read(k.delta), k.units.inputs());
            let hessian = |s| {
                let mut out = elements(k.out.shape(), |i, a, b| before.of(s).at(i, a, b));
                units.each(s, |unit, z, w, i, j| {
                    let of_unit = second(unit, Argument::Inputs, Argument::Inputs, z, w);
                    let out = &mut out[i * d * d..(i + 1) * d * d];
                    let c = delta.of(s).at(i, 0, j);
                    out.iter_mut().zip(of_unit).for_each(|(out, v)| *out += c * v);
                    vec![]
                });
                out
            };
            both(hessian).into()
        }
        Kernel::UnitParameterHessian(k) => {
            let (units, delta) = (Calls::new(&k.units, &from), from.read(k.delta));
            let (n, s, t) = (k.units.samples(), k.units.units(), k.units.parameters());
            let entries: Vec<usize> = (0..t)
                .flat_map(|a| (if k.diagonal { a } else { 0 }..=a).map(move |b| a * t + b))
                .collect();
            let hessian = |side| {
                summed(n, s * entries.len(), |i, out| {
                    for j in 0..s {
                        let of_unit = units.at(side, i, j, |unit, z, w| {
                            second(unit, Argument::Parameters, Argument::Parameters, z, w)
                        });
                        let c = delta.of(side).at(i, 0, j);
                        let out = &mut out[j * entries.len()..];
                        (out.iter_mut().zip(&entries)).for_each(|(out, &e)| *out += c * of_unit[e]);
                    }
                })
            };
            added(0, both(hessian))
        }
    }
}

/// Σ_i c[i, j] f(φ[i, j]) for every j.
fn weighted(c: &Numbers, phi: &Numbers, f: impl Fn(&[f64]) -> Vec<f64>) -> Pair {
    let [n, units, width] = phi.layout.shape;
    let size = f(&vec![0.0; width]).len();
    let shared = phi.layout.strides[1] == 0;
    both(|s| {
        let (c, phi) = (c.of(s), phi.of(s));
        summed(n, units * size, |i, out| {
            let mut row = vec![];
            for j in 0..units {
                if j == 0 || !shared {
                    row = f(&phi.row(i, j));
                }
                let (c, out) = (c.at(i, 0, j), &mut out[j * size..]);
                out.iter_mut().zip(&row).for_each(|(out, v)| *out += c * v);
            }
        })
    })
}

/// z_{a₁} … z_{a_q}, a₁ ≥ … ≥ a_q, with a₁ growing slowest.
pub fn packed_powers(z: &[f64], order: usize) -> Vec<f64> {
    match order {
        0 => return vec![1.0],
        1 => return z.to_vec(),
        _ => {}
    }
    let mut out = Vec::new();
    // All of one order less: those of z₁ … z_a are the first of them.
    let less = packed_powers(z, order - 1);
    for (a, v) in z.iter().enumerate() {
        out.extend(less[..monomials(a + 1, order - 1)].iter().map(|u| v * u));
    }
    out
}

/// How many products of `order` numbers among d there are.
fn monomials(d: usize, order: usize) -> usize {
    (0..order).fold(1, |count, k| count * (d + k) / (k + 1))
}

fn product_sum<A, R: Source<A>>(k: &ProductSum<A>, from: &Reader<R>) -> Pair {
    let terms: Vec<_> = (k.terms.iter()).map(|t| (from.read(t.x), from.read(t.b))).collect();
    let last: Vec<_> = match k.epilogue {
        Epilogue::None => vec![],
        Epilogue::Scale { by } => vec![by],
        Epilogue::ProductRule { h1, h2, g, p } => vec![h1, h2, g, p],
    };
    let last: Vec<_> = last.into_iter().map(|view| from.read(view)).collect();
    let [_, _, columns] = k.out.shape();
    both(|s| {
        let terms: Vec<_> = terms.iter().map(|(x, b)| (x.of(s), b.of(s))).collect();
        let last: Vec<_> = last.iter().map(|v| v.of(s)).collect();
        elements(k.out.shape(), |i, r, c| {
            let sum: f64 = (terms.iter())
                .map(|(x, b)| {
                    // The same number where the term divides them otherwise.
                    let (at, width) = (r * columns + c, b.layout.shape[2]);
                    let (r, c) = (at / width, at % width);
                    let inner = 0..x.layout.shape[2];
                    inner.map(|k| x.at(i, r, k) * b.at(i, k, c)).sum::<f64>()
                })
                .sum();
            match &last[..] {
                [by] => sum * by.at(i, 0, c),
                [h1, h2, g, p] => {
                    h1.at(i, 0, c) * sum + g.at(i, 0, c) * h2.at(i, 0, c) * p.at(i, r, c)
                }
                _ => sum,
            }
        })
    })
}

fn pair_block<A, S, R: Source<A>>(k: &PairBlock<A, S>, from: &Reader<R>) -> Pair {
    let views = [k.s, k.z_l, k.z_k].map(|view| from.read(view));
    let t_delta = k.t_delta.map(|views| views.map(|view| from.read(view)));
    let ([n, h, g], l, width) = (k.s.shape(), k.z_l.shape()[2], k.z_k.shape()[2]);
    both(|side| {
        let [s, z_l, z_k] = views.each_ref().map(|view| view.of(side));
        let t_delta = t_delta.as_ref().map(|views| views.each_ref().map(|view| view.of(side)));
        summed(n, h * g * l * width, |i, out| {
            let z_k = z_k.row(i, 0);
            let mut entries = out.chunks_exact_mut(width);
            for j in 0..h {
                for q in 0..g {
                    for b in 0..l {
                        let second = (t_delta.as_ref())
                            .map_or(0.0, |[t, delta]| delta.at(i, 0, q) * t.at(i, j, b));
                        let c = s.at(i, j, q) * z_l.at(i, 0, b) + second;
                        let out = entries.next().unwrap();
                        out.iter_mut().zip(&z_k).for_each(|(out, z)| *out += c * z);
                    }
                }
            }
        })
    })
}

fn squared_gradient<A, R: Source<A>>(k: &SquaredGradient<A>, from: &Reader<R>) -> Pair {
    let (delta, omega) = (from.read(k.delta), from.read(k.omega));
    let each = |f: &dyn Fn(f64, f64, f64) -> f64| {
        let ([v, a], omega) =
            ([Side::Value, Side::Bound].map(|s| delta.of(s)), omega.of(Side::Value));
        elements(k.out.shape(), |i, r, c| match omega.at(i, 0, 0) {
            0.0 => 0.0,
            omega => f(v.at(i, r, c), a.at(i, r, c), omega),
        })
    };
    Pair {
        v: each(&|delta, _, omega| delta * delta / omega),
        a: each(&|delta, a, omega| 2.0 * delta.abs() * a / omega + FLOOR),
    }
}

/// h‴ to the few digits that a bound needs.
fn third(h: Activation, u: f64) -> f64 {
    let step = 1e-4 * u.abs().max(1.0);
    let d = h.derivatives(u + step)[2] - h.derivatives(u - step)[2];
    if d.is_finite() { d / (2.0 * step) } else { 0.0 }
}

fn activate<A, R: Source<A>>(k: &Activate<A>, from: &Reader<R>) -> Vec<Pair> {
    let units: Vec<_> =
        (k.runs.iter()).flat_map(|&(h, units)| std::iter::repeat_n(h, units)).collect();
    let p = from.read(k.p);
    let (v, a) = (p.of(Side::Value), p.of(Side::Bound));
    let order = usize::from(k.h1.is_some()) + usize::from(k.h2.is_some());
    let number = |i: usize, c: usize| {
        let (h, v, a) = (units[c], v.at(i, 0, c), a.at(i, 0, c));
        // The promise is in ULPs, or the local scale near a zero: a large p excuses no more than p = 1 does.
        let a = if R::CHAINED { a } else { a.min(1.0) };
        let [h0, h1, h2] = h.derivatives(v);
        // Only the bound of h″ needs it, and it takes two more evaluations.
        let h3 = if order == 2 { third(h, v) } else { 0.0 };
        [(h0, h1), (h1, h2), (h2, h3)].map(|(h, next)| (h, h.abs() + next.abs() * a + FLOOR))
    };
    let mut pairs = vec![Pair { v: vec![], a: vec![] }; order + 1];
    let [n, _, columns] = k.p.shape();
    for (i, c) in (0..n).flat_map(|i| (0..columns).map(move |c| (i, c))) {
        for (pair, (v, a)) in pairs.iter_mut().zip(number(i, c)) {
            pair.v.push(v);
            pair.a.push(a);
        }
    }
    pairs
}

/// The loss of single samples: x and y with their bounds, ω.
struct Losses<'k> {
    loss: &'k Loss,
    x: Numbers<'k>,
    y: Numbers<'k>,
    omega: Numbers<'k>,
}

impl Losses<'_> {
    fn shape(&self) -> [usize; 3] {
        self.x.layout.shape
    }

    fn omega(&self, i: usize) -> f64 {
        self.omega.of(Side::Value).at(i, 0, 0)
    }

    /// The loss with its derivatives where x\[o\] is moved, none of a sample that does not count.
    fn at(&self, i: usize, o: usize, by: f64) -> Option<(f64, Vec<f64>, Vec<f64>)> {
        let (mut x, y) = (self.x.of(Side::Value).row(i, 0), self.y.of(Side::Value).row(i, 0));
        x[o] += by;
        let counts = self.omega(i) != 0.0;
        counts.then(|| self.loss.derivatives(&x, &y).expect("a loss with its derivatives"))
    }

    /// How far x may be off, and y, which is rounded as well.
    fn moved(&self, i: usize) -> Vec<f64> {
        let (x, y) = (self.x.of(Side::Bound).row(i, 0), self.y.of(Side::Bound).row(i, 0));
        x.iter().zip(y).map(|(x, y)| x + y).collect()
    }
}

fn loss_value<A, S, R: Source<A>>(k: &LossValue<A, S>, from: &Reader<R>) -> Exact {
    let losses =
        Losses { loss: k.loss, x: from.read(k.x), y: from.read(k.y), omega: from.read(k.omega) };
    let [n, _, outputs] = losses.shape();
    let len = if k.gradient.is_some() { n * outputs } else { 0 };
    let (mut g, mut a) = (vec![0.0; len], vec![0.0; len]);
    let (mut value, mut bound) = (0.0, FLOOR);
    for i in 0..n {
        let Some((of_sample, gradient, hessian)) = losses.at(i, 0, 0.0) else {
            continue;
        };
        let (omega, moved) = (losses.omega(i), losses.moved(i));
        value += omega * of_sample;
        let error: f64 = gradient.iter().zip(&moved).map(|(g, m)| g.abs() * m).sum();
        bound += omega * (of_sample.abs() + error);
        for o in (0..outputs).filter(|_| len > 0) {
            let row = &hessian[o * outputs..(o + 1) * outputs];
            let error: f64 = row.iter().zip(&moved).map(|(h, m)| h.abs() * m).sum();
            g[i * outputs + o] = omega * gradient[o];
            a[i * outputs + o] = omega * (gradient[o].abs() + error) + FLOOR;
        }
    }
    let (v, a_value) = (vec![value], vec![bound]);
    Exact {
        arrays: k.gradient.iter().map(|_| Pair { v: g.clone(), a: a.clone() }).collect(),
        sum: Some((0, Pair { v, a: a_value })),
    }
}

fn loss_hessian<A, R: Source<A>>(k: &LossHessian<A>, from: &Reader<R>) -> Pair {
    let losses =
        Losses { loss: k.loss, x: from.read(k.x), y: from.read(k.y), omega: from.read(k.omega) };
    let [n, _, outputs] = losses.shape();
    let size = outputs * outputs;
    let (mut v, mut a) = (vec![0.0; n * size], vec![FLOOR; n * size]);
    for i in 0..n {
        let Some((_, _, hessian)) = losses.at(i, 0, 0.0) else {
            continue;
        };
        let (omega, moved) = (losses.omega(i), losses.moved(i));
        let (v, a) = (&mut v[i * size..], &mut a[i * size..]);
        for (e, h) in hessian.iter().enumerate() {
            v[e] = omega * h;
            a[e] += omega * h.abs();
        }
        // ∂³g by differences, one output at a time.
        for (o, moved) in moved.iter().enumerate() {
            let step = 1e-4;
            let (up, down) = (losses.at(i, o, step).unwrap().2, losses.at(i, o, -step).unwrap().2);
            for e in 0..size {
                a[e] += omega * (up[e] - down[e]).abs() / (2.0 * step) * moved;
            }
        }
    }
    Pair { v, a }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ∂p/∂w or ∂p/∂z.
fn first(unit: &dyn Unit, of: Argument, z: &[f64], w: &[f64]) -> Vec<f64> {
    let (mut d_w, mut d_z) = (vec![0.0; w.len()], vec![0.0; z.len()]);
    match of {
        Argument::Parameters => {
            unit.d_w(z, w, &mut d_w);
            d_w
        }
        Argument::Inputs => {
            unit.d_z(z, w, &mut d_z);
            d_z
        }
    }
}

/// ∂²p/∂a∂b, row-major.
fn second(unit: &dyn Unit, a: Argument, b: Argument, z: &[f64], w: &[f64]) -> Vec<f64> {
    let (t, d) = (w.len(), z.len());
    let exact = || unit.exact().expect("a unit with all second derivatives");
    let mut out;
    match (a, b) {
        (Argument::Parameters, Argument::Parameters) => {
            out = vec![0.0; t * t];
            unit.d_ww(z, w, &mut out);
        }
        (Argument::Inputs, Argument::Inputs) => {
            out = vec![0.0; d * d];
            exact().d_zz(z, w, &mut out);
        }
        (Argument::Parameters, Argument::Inputs) => {
            out = vec![0.0; t * d];
            exact().d_wz(z, w, &mut out);
        }
        (Argument::Inputs, Argument::Parameters) => {
            let mixed = second(unit, b, a, z, w);
            out = (0..d * t).map(|at| mixed[at % t * d + at / t]).collect();
        }
    }
    out
}

/// Units with their numbers: as they are, and without their signs.
struct Calls<'k> {
    unit: &'k dyn Unit,
    magnitude: Magnitude<'k>,
    weights: Numbers<'k>,
    z: Numbers<'k>,
    chained: bool,
}

impl<'k> Calls<'k> {
    fn new<A, R: Source<A>>(units: &Units<'k, A>, from: &Reader<R>) -> Self {
        Calls {
            unit: units.unit,
            magnitude: Magnitude {
                unit: units.unit,
                // Units with a text may be computed by it: then their own sums count, too. Others are computed in f64 and
                // rounded once.
                apart: R::CHAINED || units.unit.wgsl().is_some(),
            },
            weights: from.read(units.weights),
            z: from.read(units.z),
            chained: R::CHAINED,
        }
    }

    /// The results of `f` for one unit at the inputs of one sample.
    fn at<T>(
        &self,
        side: Side,
        i: usize,
        j: usize,
        f: impl FnOnce(&dyn Unit, &[f64], &[f64]) -> T,
    ) -> T {
        let w = self.weights.of(Side::Value).row(i, j);
        if side == Side::Value {
            return f(self.unit, &self.z.of(Side::Value).row(i, 0), &w);
        }
        // Exact inputs keep their signs, unless the magnitude takes them off.
        let z = if self.chained { Side::Bound } else { Side::Value };
        f(&self.magnitude, &self.z.of(z).row(i, 0), &w)
    }

    /// The results of `f` for every unit at the inputs of every sample, one behind the other.
    fn each(
        &self,
        side: Side,
        mut f: impl FnMut(&dyn Unit, &[f64], &[f64], usize, usize) -> Vec<f64>,
    ) -> Vec<f64> {
        let [n, units, _] = self.weights.layout.shape;
        let mut out = Vec::new();
        for i in 0..n {
            for j in 0..units {
                out.extend(self.at(side, i, j, |unit, z, w| f(unit, z, w, i, j)));
            }
        }
        out
    }
}

/// The numbers of a direction.
struct Along<'k>([(Argument, Option<Numbers<'k>>); 2]);

impl<'k> Along<'k> {
    fn new<A, R: Source<A>>(along: &Direction<'k, A>, from: &Reader<R>) -> Self {
        let read = |view: Option<View<'k, A>>| view.map(|view| from.read(view));
        Along([(Argument::Parameters, read(along.weights)), (Argument::Inputs, read(along.inputs))])
    }

    /// ẇ_j and ż_i, as far as there are.
    fn directions(
        &self,
        side: Side,
        i: usize,
        j: usize,
    ) -> impl Iterator<Item = (Argument, Vec<f64>)> {
        self.0.iter().filter_map(move |(of, numbers)| {
            let numbers = numbers.as_ref()?.of(side);
            let j = if *of == Argument::Parameters { j } else { 0 };
            Some((*of, numbers.row(i, j)))
        })
    }
}
