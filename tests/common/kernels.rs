//! The arrays that every kernel reads and writes, by type: a new kernel does not compile here until it is listed.

use secondo::backend::kernel::{self, Direction, Epilogue, Kernel, Term, Units};
use secondo::backend::{Backend, Layout, View, ViewMut};
use secondo::{Activation, Result};

/// The views that a kernel reads, in the order of its fields; of a direction, those that it has.
pub fn inputs<'k, 'a, A, S>(kernel: &'k mut Kernel<'a, A, S>) -> Vec<&'k mut View<'a, A>> {
    match kernel {
        Kernel::Fill(_) => vec![],
        Kernel::Copy(k) => vec![&mut k.from],
        Kernel::Scale(k) => vec![&mut k.by],
        Kernel::Multiply(k) => vec![&mut k.a, &mut k.b],
        Kernel::ScaledMatrix(k) => vec![&mut k.rows, &mut k.matrix, &mut k.columns],
        Kernel::Product(k) => vec![&mut k.x, &mut k.b],
        Kernel::ProductSum(k) => {
            let terms = k.terms.iter_mut().flat_map(|t| [&mut t.x, &mut t.b]);
            terms.chain(of_epilogue(&mut k.epilogue)).collect()
        }
        Kernel::ProductDiagonal(k) => vec![&mut k.x, &mut k.b],
        Kernel::Activate(k) => vec![&mut k.p],
        Kernel::LossValue(k) => vec![&mut k.x, &mut k.y, &mut k.omega],
        Kernel::LossHessian(k) => vec![&mut k.x, &mut k.y, &mut k.omega],
        Kernel::GaussNewtonDiagonal(k) => vec![&mut k.jacobian, &mut k.hessian],
        Kernel::SquaredGradient(k) => vec![&mut k.delta, &mut k.omega],
        Kernel::LowerTriangle(k) => vec![&mut k.a],
        Kernel::WeightedSum(k) => vec![&mut k.c, &mut k.phi],
        Kernel::Gram(k) => vec![&mut k.c, &mut k.phi],
        Kernel::GramDiagonal(k) => vec![&mut k.c, &mut k.phi],
        Kernel::PairBlock(k) => {
            let others = k.t_delta.iter_mut().flatten();
            [&mut k.s, &mut k.z_l, &mut k.z_k].into_iter().chain(others).collect()
        }
        Kernel::TensorSum(k) => vec![&mut k.c, &mut k.z],
        Kernel::UnitValue(k) => of_units(&mut k.units, None),
        Kernel::UnitDerivative(k) => of_units(&mut k.units, None),
        Kernel::UnitSlope(k) => of_units(&mut k.units, Some(&mut k.along)),
        Kernel::UnitDerivativeSlope(k) => of_units(&mut k.units, Some(&mut k.along)),
        Kernel::UnitInputHessian(k) => {
            let mut all = of_units(&mut k.units, None);
            all.push(&mut k.delta);
            all
        }
        Kernel::UnitParameterHessian(k) => {
            let mut all = of_units(&mut k.units, None);
            all.push(&mut k.delta);
            all
        }
    }
}

fn of_epilogue<'k, 'a, A>(epilogue: &'k mut Epilogue<'a, A>) -> Vec<&'k mut View<'a, A>> {
    match epilogue {
        Epilogue::None => vec![],
        Epilogue::Scale { by } => vec![by],
        Epilogue::ProductRule { h1, h2, g, p } => vec![h1, h2, g, p],
    }
}

fn of_units<'k, 'a, A>(
    units: &'k mut Units<'a, A>,
    along: Option<&'k mut Direction<'a, A>>,
) -> Vec<&'k mut View<'a, A>> {
    let mut all = vec![&mut units.weights, &mut units.z];
    if let Some(along) = along {
        all.extend(along.weights.iter_mut().chain(&mut along.inputs));
    }
    all
}

/// The output of a kernel.
pub struct Outputs<'k, A, S> {
    pub arrays: Vec<ViewMut<'k, A>>,
    pub sum: Option<&'k mut S>,
}

/// The outputs of a kernel, in the order of its fields.
pub fn outputs<'k, A, S>(kernel: &'k mut Kernel<'_, A, S>) -> Outputs<'k, A, S> {
    fn array<'k, A, S>(out: &'k mut ViewMut<'_, A>) -> Outputs<'k, A, S> {
        let (arrays, sum) = (vec![out.reborrow()], None);
        Outputs { arrays, sum }
    }
    fn sum<A, S>(sum: &mut S) -> Outputs<'_, A, S> {
        let (arrays, sum) = (vec![], Some(sum));
        Outputs { arrays, sum }
    }
    match kernel {
        Kernel::Fill(k) => array(&mut k.out),
        Kernel::Copy(k) => array(&mut k.to),
        Kernel::Scale(k) => array(&mut k.out),
        Kernel::Multiply(k) => array(&mut k.out),
        Kernel::ScaledMatrix(k) => array(&mut k.out),
        Kernel::Product(k) => array(&mut k.out),
        Kernel::ProductSum(k) => array(&mut k.out),
        Kernel::ProductDiagonal(k) => array(&mut k.out),
        Kernel::Activate(k) => {
            let derivatives = k.h1.iter_mut().chain(&mut k.h2);
            let all = [&mut k.h].into_iter().chain(derivatives);
            let (arrays, sum) = (all.map(ViewMut::reborrow).collect(), None);
            Outputs { arrays, sum }
        }
        Kernel::LossValue(k) => Outputs {
            arrays: k.gradient.iter_mut().map(ViewMut::reborrow).collect(),
            sum: Some(k.value),
        },
        Kernel::LossHessian(k) => array(&mut k.out),
        Kernel::GaussNewtonDiagonal(k) => array(&mut k.out),
        Kernel::SquaredGradient(k) => array(&mut k.out),
        Kernel::LowerTriangle(k) => array(&mut k.out),
        Kernel::WeightedSum(k) => sum(k.sum),
        Kernel::Gram(k) => sum(k.sum),
        Kernel::GramDiagonal(k) => sum(k.sum),
        Kernel::PairBlock(k) => sum(k.sum),
        Kernel::TensorSum(k) => sum(k.sum),
        Kernel::UnitValue(k) => array(&mut k.out),
        Kernel::UnitDerivative(k) => array(&mut k.out),
        Kernel::UnitSlope(k) => array(&mut k.out),
        Kernel::UnitDerivativeSlope(k) => array(&mut k.out),
        Kernel::UnitInputHessian(k) => array(&mut k.out),
        Kernel::UnitParameterHessian(k) => sum(k.sum),
    }
}

/// Whether a kernel adds to the arrays that it writes, or scales them.
pub fn adds<A, S>(kernel: &Kernel<A, S>) -> bool {
    match kernel {
        Kernel::Multiply(k) => k.accumulate,
        Kernel::Product(k) => k.accumulate,
        Kernel::Scale(_)
        | Kernel::ProductDiagonal(_)
        | Kernel::UnitSlope(_)
        | Kernel::UnitInputHessian(_) => true,
        _ => false,
    }
}

/// The kernel with the listed fields of another one, and with others for what it writes.
macro_rules! like {
    ($k:ident: $kernel:ident { $($kept:ident),* } $($written:ident = $to:expr),*) => {
        kernel::$kernel { $($kept: $k.$kept,)* $($written: $to,)* }.into()
    };
}

/// The same kernel that writes to other arrays, at the same places, and to another sum.
pub fn redirected<'k, A, S, T>(
    kernel: &'k Kernel<'_, A, S>,
    arrays: &'k mut [A],
    sum: &'k mut T,
) -> Kernel<'k, A, T> {
    let mut arrays = arrays.iter_mut();
    let mut to = |out: &ViewMut<A>| ViewMut::new(arrays.next().unwrap(), out.layout);
    match kernel {
        Kernel::Fill(k) => like!(k: Fill { value } out = to(&k.out)),
        Kernel::Copy(k) => like!(k: Copy { from } to = to(&k.to)),
        Kernel::Scale(k) => like!(k: Scale { by } out = to(&k.out)),
        Kernel::Multiply(k) => like!(k: Multiply { a, b, accumulate } out = to(&k.out)),
        Kernel::ScaledMatrix(k) => {
            like!(k: ScaledMatrix { rows, matrix, columns } out = to(&k.out))
        }
        Kernel::Product(k) => like!(k: Product { x, b, accumulate } out = to(&k.out)),
        Kernel::ProductSum(k) => {
            let terms = k.terms.iter().map(|t| Term { x: t.x, b: t.b }).collect();
            let epilogue = same_epilogue(&k.epilogue);
            like!(k: ProductSum {} terms = terms, epilogue = epilogue, out = to(&k.out))
        }
        Kernel::ProductDiagonal(k) => like!(k: ProductDiagonal { x, b } out = to(&k.out)),
        Kernel::Activate(k) => {
            let (h, h1, h2) = (to(&k.h), k.h1.as_ref().map(&mut to), k.h2.as_ref().map(&mut to));
            like!(k: Activate { runs, p } h = h, h1 = h1, h2 = h2)
        }
        Kernel::LossValue(k) => {
            let gradient = k.gradient.as_ref().map(to);
            like!(k: LossValue { loss, x, y, omega } value = sum, gradient = gradient)
        }
        Kernel::LossHessian(k) => like!(k: LossHessian { loss, x, y, omega } out = to(&k.out)),
        Kernel::GaussNewtonDiagonal(k) => {
            like!(k: GaussNewtonDiagonal { jacobian, hessian } out = to(&k.out))
        }
        Kernel::SquaredGradient(k) => like!(k: SquaredGradient { delta, omega } out = to(&k.out)),
        Kernel::LowerTriangle(k) => like!(k: LowerTriangle { a } out = to(&k.out)),
        Kernel::WeightedSum(k) => like!(k: WeightedSum { c, phi, at } sum = sum),
        Kernel::Gram(k) => like!(k: Gram { c, phi } sum = sum),
        Kernel::GramDiagonal(k) => like!(k: GramDiagonal { c, phi } sum = sum),
        Kernel::PairBlock(k) => like!(k: PairBlock { s, t_delta, z_l, z_k } sum = sum),
        Kernel::TensorSum(k) => like!(k: TensorSum { order, c, z } sum = sum),
        Kernel::UnitValue(k) => like!(k: UnitValue { units } out = to(&k.out)),
        Kernel::UnitDerivative(k) => {
            like!(k: UnitDerivative { units, with_respect_to } out = to(&k.out))
        }
        Kernel::UnitSlope(k) => {
            like!(k: UnitSlope { units } along = same_direction(&k.along), out = to(&k.out))
        }
        Kernel::UnitDerivativeSlope(k) => {
            let along = same_direction(&k.along);
            like!(k: UnitDerivativeSlope { units, with_respect_to } along = along, out = to(&k.out))
        }
        Kernel::UnitInputHessian(k) => like!(k: UnitInputHessian { units, delta } out = to(&k.out)),
        Kernel::UnitParameterHessian(k) => {
            like!(k: UnitParameterHessian { units, delta, diagonal } sum = sum)
        }
    }
}

fn same_epilogue<'a, A>(epilogue: &Epilogue<'a, A>) -> Epilogue<'a, A> {
    match *epilogue {
        Epilogue::None => Epilogue::None,
        Epilogue::Scale { by } => Epilogue::Scale { by },
        Epilogue::ProductRule { h1, h2, g, p } => Epilogue::ProductRule { h1, h2, g, p },
    }
}

fn same_direction<'a, A>(along: &Direction<'a, A>) -> Direction<'a, A> {
    let Direction { weights, inputs } = *along;
    Direction { weights, inputs }
}

/// The places of a layout's elements in their order.
pub fn places(layout: Layout) -> impl Iterator<Item = usize> {
    let [n, rows, columns] = layout.shape;
    (0..n).flat_map(move |i| {
        (0..rows).flat_map(move |r| (0..columns).map(move |c| layout.at(i, r, c)))
    })
}

/// Lets `run` have the kernel over copies of the arrays that it writes and a fresh sum, and returns these. Numbers that must be
/// written whatever they were are NaN before.
pub fn on_copies<B: Backend>(
    backend: &B,
    kernel: &mut Kernel<B::Array, Vec<f64>>,
    run: impl FnOnce(Kernel<B::Array, B::Sum>) -> Result<()>,
) -> Result<(Vec<B::Array>, Vec<f64>)> {
    let adds = adds(kernel);
    let Outputs { arrays, sum } = outputs(kernel);
    let len = sum.map_or(0, |sum| sum.len());
    let mut copies = Vec::new();
    for out in arrays {
        let mut numbers = backend.download(out.array)?;
        if !adds {
            places(out.layout).for_each(|at| numbers[at] = f64::NAN);
        }
        copies.push(backend.upload(&numbers)?);
    }
    let mut sum = backend.sums(len.max(1))?;
    run(redirected(kernel, &mut copies, &mut sum))?;
    let mut sum = backend.read(sum)?;
    sum.truncate(len);
    Ok((copies, sum))
}

/// h … of the `order` ≤ 2 as a backend computes them at p, the samples' units one behind the other; an array for each order.
pub fn activated<B: Backend>(
    backend: &B,
    runs: &[(Activation, usize)],
    p: &[f64],
    order: usize,
) -> Vec<Vec<f64>> {
    let units: usize = runs.iter().map(|run| run.1).sum();
    let layout = Layout::rows_of(p.len().checked_div(units).unwrap_or(0), units);
    let array = backend.upload(p).unwrap();
    let mut all: Vec<_> = (0..=order).map(|_| backend.alloc(p.len()).unwrap()).collect();
    let mut outputs = all.iter_mut().map(|out| ViewMut::new(out, layout));
    let kernel = kernel::Activate {
        runs,
        p: View::new(&array, layout),
        h: outputs.next().unwrap(),
        h1: outputs.next(),
        h2: outputs.next(),
    };
    backend.run(kernel.into()).unwrap();
    all.iter().map(|out| backend.download(out).unwrap()).collect()
}
