//! Every kernel on views of any kind against its equation, with numbers whose sums are exact; and fused kernels against their steps.

use faer::Par;

use super::{Array, Cpu, Real, Sum};
use crate::backend::kernel::{
    Activate, Copy, Epilogue, Fill, Gram, GramDiagonal, LowerTriangle, Multiply, Product,
    ProductDiagonal, ProductSum, Scale, ScaledMatrix, SquaredGradient, TensorSum, Term,
    WeightedSum,
};
use crate::backend::{Backend, Layout, View, ViewMut};
use crate::network::Activation;

/// x, y and ω for any loss; the first x is NaN and has no weight.
pub(super) fn samples_of_losses<T: Real>(n: usize, outputs: usize) -> [Array<T>; 3] {
    let numbers = |len: usize, salt: usize| -> Vec<f64> {
        (0..len).map(|i| ((i * 37 + salt) % 11) as f64 / 11.0).collect()
    };
    let mut x = numbers(n * outputs, 1);
    // Some losses take positive targets alone.
    let y = numbers(n * outputs, 4).into_iter().map(|y| y.max(0.05)).collect();
    let mut omega = numbers(n, 2);
    (x[0], omega[0]) = (f64::NAN, 0.0);
    [x, y, omega].map(|v: Vec<f64>| v.into_iter().map(T::from_f64).collect::<Vec<T>>().into())
}

/// Pseudo-random choices with a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = (self.0).wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    /// Integers from −4 to 4.
    fn array(&mut self, len: usize) -> Array<f64> {
        let numbers: Vec<f64> = (0..len).map(|_| self.below(9) as f64 - 4.0).collect();
        numbers.into()
    }

    /// Numbers whose products and sums are rounded.
    fn rough(&mut self, len: usize) -> Array<f64> {
        let numbers: Vec<f64> = (0..len).map(|_| self.below(1 << 30) as f64 / 3e8 - 1.7).collect();
        numbers.into()
    }

    /// A view's layout: the first five kinds can be written.
    fn layout(&mut self, kinds: usize, [n, r, c]: [usize; 3]) -> Layout {
        let (offset, strides) = match self.below(kinds) {
            0 => (0, [r * c, c, 1]),
            1 => (2, [r * (c + 3) + 1, c + 3, 1]),
            2 => (1, [r * c, 1, r]),
            3 => (0, [(r + 2) * c + 1, 1, r + 2]),
            4 => (3, [2 * r * c, 2 * c, 2]),
            5 => (1, [c, 0, 1]),
            6 => (0, [r, 1, 0]),
            7 => (4, [0, c + 1, 1]),
            8 => (0, [0, 1, r]),
            _ => (5, [1, 0, 0]),
        };
        Layout { offset, shape: [n, r, c], strides }
    }

    fn input(&mut self, shape: [usize; 3]) -> (Array<f64>, Layout) {
        let layout = self.layout(10, shape);
        (self.array(layout.span()), layout)
    }
}

const WRITTEN: usize = 5;

type Out<'a> = ViewMut<'a, Array<f64>>;

/// Past the edges of tasks, tiles and rows.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [3, 2, 5],
    [700, 1, 7],
    [67, 9, 33],
    [2, 40, 70],
    [600, 3, 1],
    [1, 17, 1],
    [5, 1, 1100],
    [0, 2, 3],
];

fn backends() -> [Cpu<f64>; 3] {
    let on_one_thread = Cpu::new().on_one_thread().unwrap();
    [Cpu::new(), Cpu::sequential(), on_one_thread]
}

fn get((array, layout): &(Array<f64>, Layout), i: usize, r: usize, c: usize) -> f64 {
    array.numbers[layout.at(i, r, c)]
}

fn view((array, layout): &(Array<f64>, Layout)) -> View<'_, Array<f64>> {
    View::new(array, *layout)
}

/// Runs `kernel` into a view of some kind, on all backends: each element must be what `want` makes of the one before, and the gaps
/// must stay untouched.
fn check(
    random: &mut Random,
    shape: [usize; 3],
    kernel: impl Fn(&Cpu<f64>, Out),
    want: impl Fn(usize, usize, usize, f64) -> f64,
) {
    let layout = random.layout(WRITTEN, shape);
    let before = random.array(layout.span() + 3).numbers;
    let mut expected = before.clone();
    for i in 0..shape[0] {
        for r in 0..shape[1] {
            for c in 0..shape[2] {
                let at = layout.at(i, r, c);
                expected[at] = want(i, r, c, before[at]);
            }
        }
    }
    for b in backends() {
        let mut array: Array<f64> = before.clone().into();
        kernel(&b, ViewMut::new(&mut array, layout));
        assert!(array.numbers == expected, "{layout:?}");
    }
}

#[test]
fn elementwise_kernels_are_their_equations() {
    let mut random = Random(1);
    for shape in SHAPES.into_iter().flat_map(|shape| [shape; 12]) {
        let [a, b] = [random.input(shape), random.input(shape)];
        let fill = |on: &Cpu<f64>, out: Out| on.run(Fill { value: 2.5, out }.into()).unwrap();
        check(&mut random, shape, fill, |_, _, _, _| 2.5);
        let copy = |on: &Cpu<f64>, to: Out| on.run(Copy { from: view(&a), to }.into()).unwrap();
        check(&mut random, shape, copy, |i, r, c, _| get(&a, i, r, c));
        let scale = |on: &Cpu<f64>, out: Out| on.run(Scale { by: view(&a), out }.into()).unwrap();
        check(&mut random, shape, scale, |i, r, c, v| v * get(&a, i, r, c));
        for accumulate in [false, true] {
            let multiply = |on: &Cpu<f64>, out: Out| {
                let (a, b) = (view(&a), view(&b));
                on.run(Multiply { a, b, out, accumulate }.into()).unwrap();
            };
            check(&mut random, shape, multiply, |i, r, c, v| {
                let start = if accumulate { v } else { 0.0 };
                start + get(&a, i, r, c) * get(&b, i, r, c)
            });
        }
        let [n, rows, columns] = shape;
        let (p, d) = (random.input([n, 1, rows]), random.input([n, 1, columns]));
        let scaled = |on: &Cpu<f64>, out: Out| {
            let (rows, columns) = (view(&p), view(&d));
            let matrix = view(&a);
            on.run(ScaledMatrix { rows, matrix, columns, out }.into()).unwrap();
        };
        check(&mut random, shape, scaled, |i, r, c, _| {
            get(&a, i, r, c) * get(&d, i, 0, c) * get(&p, i, 0, r)
        });
    }
}

#[test]
fn products_are_their_equations() {
    let mut random = Random(2);
    let sizes = SHAPES.into_iter().zip([1, 4, 2, 5, 21, 1, 9, 3, 2, 0]);
    for ([n, rows, columns], inner) in sizes.flat_map(|size| [size; 16]) {
        let x = random.input([n, rows, inner]);
        let b = random.input([n, inner, columns]);
        for accumulate in [false, true] {
            let product = |on: &Cpu<f64>, out: Out| {
                let (x, b) = (view(&x), view(&b));
                on.run(Product { x, b, out, accumulate }.into()).unwrap();
            };
            check(&mut random, [n, rows, columns], product, |i, r, c, v| {
                let sum = (0..inner).map(|k| get(&x, i, r, k) * get(&b, i, k, c));
                sum.sum::<f64>() + if accumulate { v } else { 0.0 }
            });
        }
        let shape = [n, inner, columns];
        let (x, b) = (random.input(shape), random.input(shape));
        let diagonal = |on: &Cpu<f64>, out: Out| {
            let (x, b) = (view(&x), view(&b));
            on.run(ProductDiagonal { x, b, out }.into()).unwrap();
        };
        check(&mut random, [n, 1, columns], diagonal, |i, _, c, v| {
            v + (0..inner).map(|j| get(&x, i, j, c) * get(&b, i, j, c)).sum::<f64>()
        });
    }
}

#[test]
fn rows_of_samples_are_their_equations() {
    let mut random = Random(3);
    for [n, _, units] in SHAPES {
        let delta = random.input([n, 1, units]);
        let layout = random.layout(WRITTEN, [n, 1, 1]);
        let mut omega = (random.array(layout.span()), layout);
        omega.0.numbers.iter_mut().for_each(|v| *v = [0.0, 1.0, 2.0][*v as usize % 3]);
        let squared = |on: &Cpu<f64>, out: Out| {
            let (delta, omega) = (view(&delta), view(&omega));
            on.run(SquaredGradient { delta, omega, out }.into()).unwrap();
        };
        check(&mut random, [n, 1, units], squared, |i, _, c, _| {
            let (d, omega) = (get(&delta, i, 0, c), get(&omega, i, 0, 0));
            if omega == 0.0 { 0.0 } else { d * d / omega }
        });
        if units > 100 {
            continue;
        }
        let a = random.input([n, units, units]);
        let size = units * (units + 1) / 2;
        for b in backends() {
            let mut out: Array<f64> = vec![f64::NAN; n * size].into();
            let out_view = ViewMut::new(&mut out, Layout::rows_of(n, size));
            b.run(LowerTriangle { a: view(&a), out: out_view }.into()).unwrap();
            let want = (0..n).flat_map(|i| {
                let a = &a;
                (0..units).flat_map(move |r| (0..=r).map(move |c| get(a, i, r, c)))
            });
            assert!(want.eq(out.numbers.iter().copied()));
        }
    }
}

/// h goes into rows with gaps, and is the same there.
#[test]
fn activations_leave_gaps_alone() {
    let mut random = Random(4);
    for [n, _, units] in SHAPES {
        let p = random.rough(n * units);
        let some = units / 2;
        for runs in [
            vec![(Activation::Tanh, units)],
            vec![(Activation::Tanh, some), (Activation::Gelu, units - some)],
        ] {
            let h = |k: usize, i: usize, c: usize| {
                let a = if c < runs[0].1 { runs[0].0 } else { runs[1].0 };
                a.derivatives(p.numbers[i * units + c])[k]
            };
            for order in 0..=2 {
                let activate = |on: &Cpu<f64>, out: Out| {
                    let layout = Layout::rows_of(n, units);
                    let mut others = [0, 1].map(|_| Array::from(vec![f64::NAN; n * units]));
                    let [h1, h2] = &mut others;
                    let kernel = Activate {
                        runs: &runs,
                        p: View::new(&p, layout),
                        h: out,
                        h1: (order > 0).then(|| ViewMut::new(h1, layout)),
                        h2: (order > 1).then(|| ViewMut::new(h2, layout)),
                    };
                    on.run(kernel.into()).unwrap();
                    for (k, other) in (1..=order).zip(&others) {
                        let all = other.numbers.iter().enumerate();
                        let right = |(at, &v): (usize, &f64)| v == h(k, at / units, at % units);
                        assert!(all.into_iter().all(right));
                    }
                };
                check(&mut random, [n, 1, units], activate, |i, _, c, _| h(0, i, c));
            }
        }
    }
}

/// Sums over samples, on top of what was there.
#[test]
fn sums_are_their_equations() {
    let mut random = Random(5);
    let all = |run: &dyn Fn(&Cpu<f64>, &mut Sum), want: &[f64]| {
        for b in backends() {
            let mut sum = b.sums(want.len()).unwrap();
            sum.numbers.fill(7.0);
            run(&b, &mut sum);
            let want = want.iter().map(|v| v + 7.0);
            assert!(want.eq(sum.numbers.iter().copied()));
        }
    };
    for (n, units, d) in [(1, 1, 1), (3, 2, 5), (700, 7, 9), (600, 1, 70), (513, 70, 40), (0, 2, 3)]
    {
        for own in [false, true, false, true] {
            let c = random.input([n, 1, units]);
            let mut phi = random.input([n, if own { units } else { 1 }, d]);
            if !own {
                phi.1 = phi.1.repeated_rows(units);
            }
            let sum = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>();
            let each = || (0..units).flat_map(|j| (0..d).map(move |a| (j, a)));
            let want: Vec<f64> =
                each().map(|(j, a)| sum(&|i| get(&c, i, 0, j) * get(&phi, i, j, a))).collect();
            let weighted = |b: &Cpu<f64>, sum: &mut Sum| {
                let (c, phi) = (view(&c), view(&phi));
                b.run(WeightedSum { c, phi, sum, at: 0 }.into()).unwrap();
            };
            all(&weighted, &want);
            let want: Vec<f64> = each()
                .map(|(j, a)| sum(&|i| get(&c, i, 0, j) * get(&phi, i, j, a).powi(2)))
                .collect();
            let diagonal = |b: &Cpu<f64>, sum: &mut Sum| {
                let (c, phi) = (view(&c), view(&phi));
                b.run(GramDiagonal { c, phi, sum }.into()).unwrap();
            };
            all(&diagonal, &want);
            let want: Vec<f64> = each()
                .flat_map(|(j, a)| (0..=a).map(move |b| (j, a, b)))
                .map(|(j, a, b)| {
                    sum(&|i| get(&c, i, 0, j) * get(&phi, i, j, a) * get(&phi, i, j, b))
                })
                .collect();
            let gram = |b: &Cpu<f64>, sum: &mut Sum| {
                let (c, phi) = (view(&c), view(&phi));
                b.run(Gram { c, phi, sum }.into()).unwrap();
            };
            all(&gram, &want);
        }
        if d > 10 {
            continue;
        }
        let (c, z) = (random.array(n), random.input([n, 1, d]));
        let want: Vec<f64> = (0..d)
            .flat_map(|a| (0..=a).flat_map(move |b| (0..=b).map(move |c| [a, b, c])))
            .map(|at| {
                let product = |i: usize| at.iter().map(|&a| get(&z, i, 0, a)).product::<f64>();
                (0..n).map(|i| c.numbers[i] * product(i)).sum()
            })
            .collect();
        let tensor = |b: &Cpu<f64>, sum: &mut Sum| {
            let (c, z) = (View::new(&c, Layout::rows_of(n, 1)), view(&z));
            b.run(TensorSum { order: 3, c, z, sum }.into()).unwrap();
        };
        all(&tensor, &want);
    }
}

/// A step in one pass is what its parts give one after the other, to the last bit: with a matrix for all samples and one for each,
/// few numbers and many, past the edges of the tasks.
#[test]
fn a_sum_of_products_is_its_steps() {
    let mut random = Random(6);
    for (n, rows, inner, columns) in [
        (1, 1, 1, 1),
        (700, 3, 5, 4),
        (600, 9, 33, 21),
        (3, 140, 70, 150),
        (700, 1, 5, 64),
        (700, 2, 1, 64),
    ] {
        let len = n * rows * columns;
        let (layer, width) = (inner + 2, columns + 3);
        let x = random.rough(n * rows * layer);
        let (all, each) = (random.rough(inner * width), random.rough(n * inner * width));
        // Two rows of one vector, that reach over all of the vectors.
        let (wide, two) = (random.rough(2 * rows * columns), random.rough(n * 2));
        let factors = [(); 3].map(|()| random.rough(n * columns));
        let p = random.rough(len);
        let of_columns = Layout::rows_of(n, columns);
        let [h1, h2, g] = factors.each_ref().map(|array| View::new(array, of_columns));
        let x = View::new(&x, Layout::dense(n, rows, layer).columns(1..inner + 1));
        let columns_of = |layout: Layout| layout.columns(2..columns + 2);
        let shared = || Term { x, b: View::new(&all, columns_of(Layout::shared(n, inner, width))) };
        let own = || Term { x, b: View::new(&each, columns_of(Layout::dense(n, inner, width))) };
        let turned = || Term {
            x: View::new(&two, Layout::rows_of(n, 2)),
            b: View::new(&wide, Layout::shared(n, 2, rows * columns)),
        };
        for terms in 0..4 {
            for epilogue in 0..3 {
                let run = |b: &Cpu<f64>, fused: bool, out: &mut Array<f64>| {
                    let kernel = ProductSum {
                        terms: match terms {
                            0 => vec![],
                            1 => vec![shared()],
                            2 => vec![own()],
                            _ => vec![own(), shared(), turned()],
                        },
                        epilogue: match epilogue {
                            0 => Epilogue::None,
                            1 => Epilogue::Scale { by: h1 },
                            _ => Epilogue::ProductRule {
                                h1,
                                h2,
                                g,
                                p: View::new(&p, Layout::dense(n, rows, columns)),
                            },
                        },
                        out: ViewMut::new(out, Layout::dense(n, rows, columns)),
                    };
                    if fused {
                        b.run(kernel.into()).unwrap();
                    } else {
                        kernel.lower(b).unwrap();
                    }
                };
                for b in backends() {
                    // The old contents of an array do not count.
                    let [mut fast, mut slow] =
                        [f64::NAN, f64::INFINITY].map(|v| Array::from(vec![v; len]));
                    run(&b, true, &mut fast);
                    run(&b, false, &mut slow);
                    assert!(
                        fast.numbers == slow.numbers,
                        "{n} {rows} {inner} {columns}: {terms} {epilogue}"
                    );
                }
            }
        }
    }
}

/// The same for a scaled matrix, whose rows may have gaps.
#[test]
fn a_scaled_matrix_is_its_steps() {
    let mut random = Random(7);
    for [n, rows, columns] in SHAPES {
        for _ in 0..6 {
            let matrix = random.layout(10, [n, rows, columns]);
            let matrix = (random.rough(matrix.span()), matrix);
            let (p, d) = (random.rough(n * rows), random.rough(n * columns));
            let to = random.layout(WRITTEN, [n, rows, columns]);
            let run = |b: &Cpu<f64>, fused: bool, out: &mut Array<f64>| {
                let kernel = ScaledMatrix {
                    rows: View::new(&p, Layout::rows_of(n, rows)),
                    matrix: view(&matrix),
                    columns: View::new(&d, Layout::rows_of(n, columns)),
                    out: ViewMut::new(out, to),
                };
                if fused {
                    b.run(kernel.into()).unwrap();
                } else {
                    kernel.lower(b).unwrap();
                }
            };
            for b in backends() {
                let [mut fast, mut slow] = [0, 1].map(|_| Array::from(vec![0.0; to.span()]));
                run(&b, true, &mut fast);
                run(&b, false, &mut slow);
                assert!(fast.numbers == slow.numbers, "{:?} to {to:?}", matrix.1);
            }
        }
    }
}

/// A rehearsal counts what lives at once, by the policy of the pool, and what kernels take.
#[test]
fn a_rehearsal_counts() {
    let (b, counter) = Cpu::<f64>::rehearsal(2);
    let large = 1 << 13;
    let array = b.alloc(large).unwrap();
    assert_eq!((array.len(), array.numbers.len()), (large, 0));
    b.recycle([array]);
    // Arrays that wait for their next use live on; short ones do not.
    drop(b.alloc(large).unwrap());
    b.recycle([b.alloc(3).unwrap()]);
    assert_eq!(counter.cost().live, 0);
    let arrays = [b.alloc(large).unwrap(), b.alloc(large).unwrap()];
    b.recycle(arrays);
    assert_eq!(counter.cost().live, 16 * large as u64);
    b.release();
    assert_eq!((counter.cost().live, counter.cost().peak), (0, 16 * large as u64));
    assert_eq!(counter.cost().flops, 0.0);

    let (x, mut sum) = (b.alloc(100).unwrap(), b.sums(10).unwrap());
    let c = View::new(&x, Layout::rows_of(100, 1));
    let phi = View::new(&x, Layout::dense(100, 1, 1).repeated_columns(10));
    let sum = &mut sum;
    b.run(WeightedSum { c, phi, sum, at: 0 }.into()).unwrap();
    assert_eq!(counter.cost().flops, 2000.0);
    assert!(b.alloc(usize::MAX / 4).is_err());
    let chunk = b.on_one_thread().unwrap();
    assert!(matches!(chunk.par, Par::Seq) && chunk.alloc(10).unwrap().numbers.is_empty());
    assert_eq!(b.download(&x), Ok(vec![]));
}
