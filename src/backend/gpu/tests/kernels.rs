//! Every kernel over views with offsets, gaps and any order of the axes, against plain loops. What stands between the numbers of a view stays
//! as it was.

use super::*;
use crate::backend::kernel::*;
use crate::network::Activation;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = (self.0.wrapping_mul(6_364_136_223_846_793_005))
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Between −1 and 1, and exact in f32.
    fn number(&mut self) -> f64 {
        (self.next() % 4096) as f64 / 2048.0 - 1.0
    }

    /// Any order of the axes, gaps, an offset.
    fn layout(&mut self, shape: [usize; 3]) -> Layout {
        let mut layout = Layout::dense(shape[0], shape[1], shape[2]);
        let mut axes = vec![0, 1, 2];
        let mut stride = 1 + self.below(2);
        while !axes.is_empty() {
            let axis = axes.remove(self.below(axes.len()));
            layout.strides[axis] = stride;
            stride = stride * shape[axis] + self.below(3);
        }
        layout.offset = self.below(7);
        layout
    }
}

/// Numbers here and there, with a view of them.
struct Numbers {
    here: Vec<f64>,
    there: Array,
    layout: Layout,
}

impl Numbers {
    fn new(gpu: &Gpu, random: &mut Random, layout: Layout) -> Self {
        let here: Vec<f64> =
            (0..layout.span() + random.below(4)).map(|_| random.number()).collect();
        let there = gpu.upload(&here).unwrap();
        Numbers { here, there, layout }
    }

    fn any(gpu: &Gpu, random: &mut Random, shape: [usize; 3]) -> Self {
        let layout = random.layout(shape);
        Numbers::new(gpu, random, layout)
    }

    fn at(&self, i: usize, r: usize, c: usize) -> f64 {
        self.here[self.layout.at(i, r, c)]
    }

    fn view(&self) -> View<'_, Array> {
        View::new(&self.there, self.layout)
    }

    fn view_mut(&mut self) -> ViewMut<'_, Array> {
        ViewMut::new(&mut self.there, self.layout)
    }

    /// Compares with f(i, r, c, the number before) in the view, and with what was there elsewhere.
    fn expect(&self, gpu: &Gpu, what: &str, f: impl Fn(usize, usize, usize, f64) -> f64) {
        let mut right = self.here.clone();
        let [n, rows, columns] = self.layout.shape;
        for i in 0..n {
            for r in 0..rows {
                for c in 0..columns {
                    let at = self.layout.at(i, r, c);
                    right[at] = f(i, r, c, self.here[at]);
                }
            }
        }
        close(what, &gpu.download(&self.there).unwrap(), &right);
    }
}

fn close(what: &str, found: &[f64], right: &[f64]) {
    assert_eq!(found.len(), right.len(), "{what}");
    let scale = right.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (at, (found, right)) in found.iter().zip(right).enumerate() {
        let error = (found - right).abs();
        assert!(error <= 3e-6 * scale, "{what} at {at}: {found}, not {right}");
    }
}

fn shapes(random: &mut Random) -> Vec<[usize; 3]> {
    let mut shapes = vec![[1, 1, 1], [70, 1, 5], [2, 3, 40], [5, 4, 1], [0, 3, 2]];
    shapes.extend((0..6).map(|_| [0; 3].map(|_| 1 + random.below(9))));
    shapes
}

/// The adapters with the variants of each kind, in both precisions.
fn each(test: impl Fn(&Gpu, &mut Random)) {
    for hardware in [false, true] {
        for f64 in [false, true] {
            let mut gpu = adapter();
            if hardware {
                gpu = testing::with_kernels_for_hardware(gpu);
            }
            if f64 {
                gpu = gpu.in_f64().unwrap();
            }
            test(&gpu, &mut Random(7));
        }
    }
}

#[test]
fn of_elements() {
    each(|gpu, random| {
        for shape in shapes(random) {
            let [n, rows, columns] = shape;
            let mut out = Numbers::any(gpu, random, shape);
            let value = random.number();
            gpu.run(Fill { value, out: out.view_mut() }.into()).unwrap();
            out.expect(gpu, "fill", |_, _, _, _| value);
            let (a, b) = (Numbers::any(gpu, random, shape), Numbers::any(gpu, random, shape));
            let mut out = Numbers::any(gpu, random, shape);
            gpu.run(Copy { from: a.view(), to: out.view_mut() }.into()).unwrap();
            out.expect(gpu, "copy", |i, r, c, _| a.at(i, r, c));
            let mut out = Numbers::any(gpu, random, shape);
            gpu.run(Scale { by: a.view(), out: out.view_mut() }.into()).unwrap();
            out.expect(gpu, "scale", |i, r, c, old| old * a.at(i, r, c));
            for accumulate in [false, true] {
                let mut out = Numbers::any(gpu, random, shape);
                let kernel = Multiply { a: a.view(), b: b.view(), out: out.view_mut(), accumulate };
                gpu.run(kernel.into()).unwrap();
                out.expect(gpu, "multiply", |i, r, c, old| {
                    let old = if accumulate { old } else { 0.0 };
                    old + a.at(i, r, c) * b.at(i, r, c)
                });
            }
            let (p, d) = (
                Numbers::any(gpu, random, [n, 1, rows]),
                Numbers::any(gpu, random, [n, 1, columns]),
            );
            let mut out = Numbers::any(gpu, random, shape);
            let kernel = ScaledMatrix {
                rows: p.view(),
                matrix: a.view(),
                columns: d.view(),
                out: out.view_mut(),
            };
            gpu.run(kernel.into()).unwrap();
            out.expect(gpu, "scaled_matrix", |i, q, j, _| {
                p.at(i, 0, q) * a.at(i, q, j) * d.at(i, 0, j)
            });
            let mut out = Numbers::any(gpu, random, [n, 1, columns]);
            let kernel = ProductDiagonal { x: a.view(), b: b.view(), out: out.view_mut() };
            gpu.run(kernel.into()).unwrap();
            out.expect(gpu, "product_diagonal", |i, _, q, old| {
                old + (0..rows).map(|j| a.at(i, j, q) * b.at(i, j, q)).sum::<f64>()
            });
            // With J = a, and columns as units.
            let hessian = Numbers::any(gpu, random, [n, rows, rows]);
            let mut out = Numbers::any(gpu, random, [n, 1, columns]);
            let kernel = GaussNewtonDiagonal {
                jacobian: a.view(),
                hessian: hessian.view(),
                out: out.view_mut(),
            };
            gpu.run(kernel.into()).unwrap();
            out.expect(gpu, "gauss_newton_diagonal", |i, _, j, _| {
                let of = |o: usize| -> f64 {
                    (0..rows).map(|q| hessian.at(i, o, q) * a.at(i, q, j)).sum()
                };
                (0..rows).map(|o| a.at(i, o, j) * of(o)).sum()
            });
            let mut omega = Numbers::any(gpu, random, [n, 1, 1]);
            let at = omega.layout.at(n / 2, 0, 0).min(omega.here.len().saturating_sub(1));
            if n > 0 {
                omega.here[at] = 0.0;
            }
            omega.there = gpu.upload(&omega.here).unwrap();
            let mut out = Numbers::any(gpu, random, [n, 1, columns]);
            let kernel =
                SquaredGradient { delta: d.view(), omega: omega.view(), out: out.view_mut() };
            gpu.run(kernel.into()).unwrap();
            out.expect(gpu, "squared_gradient", |i, _, j, _| match omega.at(i, 0, 0) {
                0.0 => 0.0,
                w => d.at(i, 0, j) * d.at(i, 0, j) / w,
            });
            let square = Numbers::any(gpu, random, [n, columns, columns]);
            let pairs = columns * (columns + 1) / 2;
            let mut out = Numbers::any(gpu, random, [n, 1, pairs]);
            let kernel = LowerTriangle { a: square.view(), out: out.view_mut() };
            gpu.run(kernel.into()).unwrap();
            out.expect(gpu, "lower_triangle", |i, _, pair, _| {
                let row = (0..columns).take_while(|r| r * (r + 1) / 2 <= pair).count() - 1;
                square.at(i, row, pair - row * (row + 1) / 2)
            });
        }
    });
}

/// Whole arrays of zeros, which no shader fills.
#[test]
fn zeros() {
    let gpu = adapter();
    let mut array = gpu.upload(&[1.0; 77]).unwrap();
    let out = ViewMut::new(&mut array, Layout::rows_of(11, 7));
    gpu.run(Fill { value: 0.0, out }.into()).unwrap();
    assert_eq!(gpu.download(&array).unwrap(), [0.0; 77]);
    let out = ViewMut::new(&mut array, Layout::rows_of(11, 7).columns(2..3));
    gpu.run(Fill { value: 3.0, out }.into()).unwrap();
    let found = gpu.download(&array).unwrap();
    assert!((0..77).all(|i| found[i] == if i % 7 == 2 { 3.0 } else { 0.0 }));
    assert_eq!(gpu.download(&gpu.zeros(5).unwrap()).unwrap(), [0.0; 5]);
}

#[test]
fn products() {
    each(|gpu, random| {
        for (n, rows, inner, columns) in [
            (1, 1, 1, 1),
            (3, 1, 7, 5),
            (9, 2, 3, 17),
            (40, 3, 20, 33),
            (2, 33, 9, 40),
            (70, 1, 65, 70),
            (130, 2, 700, 9),
            (1, 5, 1200, 3),
            (2, 3, 0, 4),
            (12, 64, 5, 65),
        ] {
            let dense = |n, rows, columns| Layout::dense(n, rows, columns);
            let (x, out) = ([n, rows, inner], [n, rows, columns]);
            let shared = Layout::shared(n, inner, columns);
            let turned = Layout::shared(n, columns, inner).transposed();
            let wide = |columns, more| dense(n, rows, columns + more).columns(more..columns + more);
            let cases = [
                (random.layout(x), random.layout([n, inner, columns]), random.layout(out)),
                (dense(n, rows, inner), shared, dense(n, rows, columns)),
                (wide(inner, 2), turned, wide(columns, 3)),
                // Rows that cannot be those of one product.
                (dense(n, rows + 1, inner).rows(1..rows + 1), shared, random.layout(out)),
            ];
            for (x, b, out) in cases {
                for accumulate in [false, true] {
                    let x = Numbers::new(gpu, random, x);
                    let b = Numbers::new(gpu, random, b);
                    let mut out = Numbers::new(gpu, random, out);
                    let kernel =
                        Product { x: x.view(), b: b.view(), out: out.view_mut(), accumulate };
                    gpu.run(kernel.into()).unwrap();
                    out.expect(gpu, "product", |i, r, c, old| {
                        let old = if accumulate { old } else { 0.0 };
                        old + (0..inner).map(|k| x.at(i, r, k) * b.at(i, k, c)).sum::<f64>()
                    });
                }
            }
        }
    });
}

/// The steps of a backward recursion and the blocks of pairs, by simpler kernels.
#[test]
fn fusions() {
    each(|gpu, random| {
        let (n, rows, columns) = (6, 3, 4);
        let x = Numbers::any(gpu, random, [n, rows, 5]);
        let b = Numbers::new(gpu, random, Layout::shared(n, 5, columns));
        let vector = |random: &mut Random| Numbers::any(gpu, random, [n, 1, columns]);
        let (h1, h2, g) = (vector(random), vector(random), vector(random));
        let p = Numbers::any(gpu, random, [n, rows, columns]);
        let product = |i, r, c| (0..5).map(|k| x.at(i, r, k) * b.at(i, k, c)).sum::<f64>();
        let mut out = Numbers::new(gpu, random, Layout::dense(n, rows, columns));
        let terms = || vec![Term { x: x.view(), b: b.view() }, Term { x: x.view(), b: b.view() }];
        let epilogue =
            Epilogue::ProductRule { h1: h1.view(), h2: h2.view(), g: g.view(), p: p.view() };
        gpu.run(ProductSum { terms: terms(), epilogue, out: out.view_mut() }.into()).unwrap();
        out.expect(gpu, "product_sum", |i, r, c, _| {
            h1.at(i, 0, c) * 2.0 * product(i, r, c) + g.at(i, 0, c) * h2.at(i, 0, c) * p.at(i, r, c)
        });
        let epilogue = Epilogue::Scale { by: h1.view() };
        gpu.run(ProductSum { terms: terms(), epilogue, out: out.view_mut() }.into()).unwrap();
        out.expect(gpu, "product_sum", |i, r, c, _| h1.at(i, 0, c) * 2.0 * product(i, r, c));
        let epilogue = Epilogue::None;
        gpu.run(ProductSum { terms: Vec::new(), epilogue, out: out.view_mut() }.into()).unwrap();
        out.expect(gpu, "product_sum", |_, _, _, _| 0.0);

        let (s_h, s_g, l, k) = (2, 3, 4, 5);
        let s = Numbers::any(gpu, random, [n, s_h, s_g]);
        let t = Numbers::any(gpu, random, [n, s_h, l]);
        let delta = Numbers::any(gpu, random, [n, 1, s_g]);
        let (z_l, z_k) =
            (Numbers::any(gpu, random, [n, 1, l]), Numbers::any(gpu, random, [n, 1, k]));
        let mut sum = gpu.sums(s_h * s_g * l * k).unwrap();
        let kernel = PairBlock {
            s: s.view(),
            t_delta: Some([t.view(), delta.view()]),
            z_l: z_l.view(),
            z_k: z_k.view(),
            sum: &mut sum,
        };
        gpu.run(kernel.into()).unwrap();
        let mut right = Vec::new();
        for (j, q, b, a) in indices([s_h, s_g, l, k]) {
            right.push(
                (0..n)
                    .map(|i| {
                        let both =
                            s.at(i, j, q) * z_l.at(i, 0, b) + delta.at(i, 0, q) * t.at(i, j, b);
                        both * z_k.at(i, 0, a)
                    })
                    .sum::<f64>(),
            );
        }
        close("pair_block", &gpu.read(sum).unwrap(), &right);
    });
}

fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |at| (at / d / c / b, at / d / c % b, at / d % c, at % d))
}

#[test]
fn activations_and_losses() {
    each(|gpu, random| {
        let runs = [(Activation::Tanh, 3), (Activation::Softplus, 1), (Activation::Relu, 2)];
        let n = 23;
        let all: Vec<Activation> = runs.iter().flat_map(|&(a, units)| vec![a; units]).collect();
        let p = Numbers::any(gpu, random, [n, 1, 6]);
        for order in 0..3 {
            let [mut h, mut h1, mut h2] = [(); 3].map(|()| Numbers::any(gpu, random, [n, 1, 6]));
            let kernel = Activate {
                runs: &runs,
                p: p.view(),
                h: h.view_mut(),
                h1: (order > 0).then(|| h1.view_mut()),
                h2: (order > 1).then(|| h2.view_mut()),
            };
            gpu.run(kernel.into()).unwrap();
            for (q, found) in [h, h1, h2].iter().enumerate() {
                found.expect(gpu, "activate", |i, _, j, old| {
                    let right = all[j].derivatives(p.at(i, 0, j));
                    if q <= order { right[q] } else { old }
                });
            }
        }
        let loss = Loss::WeightedSquaredError { output_weights: vec![0.5, 1.0, 2.0] };
        let x = Numbers::any(gpu, random, [n, 1, 3]);
        let y = Numbers::any(gpu, random, [n, 1, 3]);
        let omega = Numbers::any(gpu, random, [n, 1, 1]);
        let v = [0.5, 1.0, 2.0];
        let d = |i: usize, o: usize| x.at(i, 0, o) - y.at(i, 0, o);
        let mut gradient = Numbers::any(gpu, random, [n, 1, 3]);
        let mut value = gpu.sums(1).unwrap();
        let kernel = LossValue {
            loss: &loss,
            x: x.view(),
            y: y.view(),
            omega: omega.view(),
            value: &mut value,
            gradient: Some(gradient.view_mut()),
        };
        gpu.run(kernel.into()).unwrap();
        gradient.expect(gpu, "loss_value", |i, _, o, _| omega.at(i, 0, 0) * v[o] * d(i, o));
        let of = |i: usize| (0..3).map(|o| 0.5 * v[o] * d(i, o) * d(i, o)).sum::<f64>();
        let right: f64 = (0..n).map(|i| omega.at(i, 0, 0) * of(i)).sum();
        close("loss_value", &gpu.read(value).unwrap(), &[right]);
        let mut out = Numbers::any(gpu, random, [n, 3, 3]);
        let kernel = LossHessian {
            loss: &loss,
            x: x.view(),
            y: y.view(),
            omega: omega.view(),
            out: out.view_mut(),
        };
        gpu.run(kernel.into()).unwrap();
        out.expect(
            gpu,
            "loss_hessian",
            |i, o, q, _| {
                if o == q { omega.at(i, 0, 0) * v[o] } else { 0.0 }
            },
        );
    });
}

#[test]
fn units() {
    each(|gpu, random| {
        let (n, s, d) = (70, 3, 4);
        let weights = Numbers::new(gpu, random, Layout { offset: 5, ..Layout::shared(n, s, 1) });
        let z = Numbers::any(gpu, random, [n, 1, d]);
        let units = Units { unit: &Own, weights: weights.view(), z: z.view() };
        let w = |j: usize| weights.at(0, j, 0);
        let square = |i: usize| (0..d).map(|c| z.at(i, 0, c) * z.at(i, 0, c)).sum::<f64>();
        let mut out = Numbers::any(gpu, random, [n, 1, s]);
        gpu.run(UnitValue { units, out: out.view_mut() }.into()).unwrap();
        out.expect(gpu, "unit_value", |i, _, j, _| w(j) * square(i));
        let dw = Numbers::new(gpu, random, Layout { offset: 2, ..Layout::shared(n, s, 1) });
        let dz = Numbers::any(gpu, random, [n, 1, d]);
        let dot = |i: usize| (0..d).map(|c| z.at(i, 0, c) * dz.at(i, 0, c)).sum::<f64>();
        for (has_w, has_z) in [(true, true), (true, false), (false, true)] {
            let along = || Direction {
                weights: has_w.then(|| dw.view()),
                inputs: has_z.then(|| dz.view()),
            };
            let (of_w, of_z) = (f64::from(u8::from(has_w)), f64::from(u8::from(has_z)));
            let mut out = Numbers::any(gpu, random, [n, 1, s]);
            gpu.run(UnitSlope { units, along: along(), out: out.view_mut() }.into()).unwrap();
            out.expect(gpu, "unit_slope", |i, _, j, old| {
                old + of_w * square(i) * dw.at(0, j, 0) + of_z * 2.0 * w(j) * dot(i)
            });
            for with_respect_to in [Argument::Parameters, Argument::Inputs] {
                let mut out = Numbers::any(gpu, random, [n, s, units.width_of(with_respect_to)]);
                let kernel = UnitDerivativeSlope {
                    units,
                    along: along(),
                    with_respect_to,
                    out: out.view_mut(),
                };
                gpu.run(kernel.into()).unwrap();
                out.expect(gpu, "unit_derivative_slope", |i, j, a, _| match with_respect_to {
                    Argument::Parameters => of_z * 2.0 * dot(i),
                    Argument::Inputs => {
                        2.0 * (of_w * z.at(i, 0, a) * dw.at(0, j, 0) + of_z * w(j) * dz.at(i, 0, a))
                    }
                });
            }
        }
        for with_respect_to in [Argument::Parameters, Argument::Inputs] {
            let mut out = Numbers::any(gpu, random, [n, s, units.width_of(with_respect_to)]);
            let kernel = UnitDerivative { units, with_respect_to, out: out.view_mut() };
            gpu.run(kernel.into()).unwrap();
            out.expect(gpu, "unit_derivative", |i, j, a, _| match with_respect_to {
                Argument::Parameters => square(i),
                Argument::Inputs => 2.0 * w(j) * z.at(i, 0, a),
            });
        }
        let delta = Numbers::any(gpu, random, [n, 1, s]);
        let mut out = Numbers::any(gpu, random, [n, d, d]);
        gpu.run(UnitInputHessian { units, delta: delta.view(), out: out.view_mut() }.into())
            .unwrap();
        out.expect(gpu, "unit_input_hessian", |i, a, b, old| {
            let sum: f64 = (0..s).map(|j| delta.at(i, 0, j) * 2.0 * w(j)).sum();
            if a == b { old + sum } else { old }
        });
        for diagonal in [false, true] {
            let mut sum = gpu.sums(s).unwrap();
            let kernel =
                UnitParameterHessian { units, delta: delta.view(), diagonal, sum: &mut sum };
            gpu.run(kernel.into()).unwrap();
            close("unit_parameter_hessian", &gpu.read(sum).unwrap(), &[0.0; 3]);
        }
    });
}

#[test]
fn tensors() {
    each(|gpu, random| {
        let (n, d) = (600, 3);
        let (c, z) = (Numbers::any(gpu, random, [n, 1, 1]), Numbers::any(gpu, random, [n, 1, d]));
        for order in 1..=4 {
            let mut tuples = vec![vec![]];
            for q in 0..order {
                let grown = tuples.iter().flat_map(|t: &Vec<usize>| {
                    let end = if q == 0 { d } else { t[q - 1] + 1 };
                    (0..end).map(|a| [t.clone(), vec![a]].concat()).collect::<Vec<_>>()
                });
                tuples = grown.collect();
            }
            let mut sum = gpu.sums(tuples.len()).unwrap();
            gpu.run(TensorSum { order, c: c.view(), z: z.view(), sum: &mut sum }.into()).unwrap();
            let right: Vec<f64> = (tuples.iter())
                .map(|t| {
                    let term = |i: usize| t.iter().map(|&a| z.at(i, 0, a)).product::<f64>();
                    (0..n).map(|i| c.at(i, 0, 0) * term(i)).sum()
                })
                .collect();
            close("tensor_sum", &gpu.read(sum).unwrap(), &right);
        }
    });
}

/// Matrices and parameters larger than what a kernel can see at once.
#[test]
fn windows() {
    let mut limits = adapter().adapter().limits;
    limits.binding = 1 << 10;
    let gpu = &opened(testing::Setup { limits: Some(limits), patch: None });
    let random = &mut Random(3);
    let (n, inner, columns) = (3, 40, 30);
    for b in [
        Layout { offset: 3, ..Layout::shared(n, inner, columns) },
        Layout { offset: 3, ..Layout::shared(n, columns, inner).transposed() },
    ] {
        for accumulate in [false, true] {
            let x = Numbers::any(gpu, random, [n, 1, inner]);
            let b = Numbers::new(gpu, random, b);
            let mut out = Numbers::any(gpu, random, [n, 1, columns]);
            gpu.run(Product { x: x.view(), b: b.view(), out: out.view_mut(), accumulate }.into())
                .unwrap();
            out.expect(gpu, "product", |i, r, c, old| {
                let old = if accumulate { old } else { 0.0 };
                old + (0..inner).map(|k| x.at(i, r, k) * b.at(i, k, c)).sum::<f64>()
            });
        }
    }
    // A part of a large array.
    let resident = Numbers::new(gpu, random, Layout::rows_of(500, 9).samples(300..320));
    let mut out = Numbers::any(gpu, random, [20, 1, 9]);
    gpu.run(Copy { from: resident.view(), to: out.view_mut() }.into()).unwrap();
    out.expect(gpu, "copy", |i, r, c, _| resident.at(i, r, c));
    let x = Numbers::any(gpu, random, [1, inner, 5]);
    let b = Numbers::new(gpu, random, Layout::shared(1, inner, columns).columns(7..12));
    let mut out = Numbers::any(gpu, random, [1, 1, 5]);
    gpu.run(ProductDiagonal { x: x.view(), b: b.view(), out: out.view_mut() }.into()).unwrap();
    out.expect(gpu, "product_diagonal", |i, _, q, old| {
        old + (0..inner).map(|j| x.at(i, j, q) * b.at(i, j, q)).sum::<f64>()
    });
    // More numbers than a kernel sees in one sample.
    let from = Numbers::new(gpu, random, Layout::rows_of(2, 300));
    let mut to = Numbers::new(gpu, random, Layout::rows_of(2, 300));
    let refused = gpu.run(Copy { from: from.view(), to: to.view_mut() }.into());
    let Err(Error::Gpu { fault: Fault::Limit { need, have, .. }, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(need > have);
}
