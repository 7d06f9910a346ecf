//! A backend with one planted fault in one kernel: the comparisons must find it.

use std::fmt;

use secondo::Result;
use secondo::backend::kernel::{Epilogue, Kernel};
use secondo::backend::{Backend, Layout, View};

use super::kernels::{inputs, on_copies, outputs, places};

/// The fault.
#[derive(Clone, Copy)]
pub struct Fault {
    /// The kernel that is wrong, by its name.
    pub kernel: &'static str,
    /// How, in words.
    pub words: &'static str,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// Nothing is.
    Right,
    /// The kernel is not run.
    Skipped,
    /// The last sample is left out.
    LastSample,
    /// An input has other numbers, or an output afterwards, at the elements of its view: values and their shape.
    Input(usize, Change),
    Output(usize, Change),
    /// An input is read at other places.
    Layout(usize, fn(Layout) -> Layout),
    /// Something is written between the elements of an output.
    Gap(usize),
    /// The kernel overwrites where it should add, or adds where it should overwrite.
    Accumulate(bool),
    /// The sum begins at the place of the first number.
    AtStart,
    /// A sum of products has no last term.
    Terms,
    /// The last term of a sum of products begins at another column.
    TermShifted,
    /// The last term's rows are read as if they had no gaps.
    TermStride,
    /// The last term's first factors are 1.
    TermFactor,
    /// The sum itself is returned.
    NoEpilogue,
    /// h′ and h″ take each other's places.
    Swapped,
    /// p is left out of the product rule.
    NoSecondTerm,
}

type Change = fn(&mut [f64], [usize; 3]);

impl Fault {
    /// Whether numbers that nobody wrote come into the results, so that what is computed from them is off, too.
    pub fn spreads(&self) -> bool {
        matches!(self.how, How::Accumulate(true))
    }

    pub const NONE: Fault = fault("", "nothing", How::Right);

    pub const ALL: &[Fault] = &[
        fault("fill", "writes 0", How::Output(0, zero)),
        fault("fill", "writes into a gap", How::Gap(0)),
        fault("copy", "drops the last column", How::Output(0, last_column)),
        fault("copy", "is off by one", How::Output(0, rotate)),
        fault("copy", "reads without gaps", How::Layout(0, without_gaps)),
        fault("copy", "reads from the start", How::Layout(0, from_start)),
        fault("copy", "writes into a gap", How::Gap(0)),
        fault("scale", "is forgotten", How::Skipped),
        fault("scale", "has factors off by one", How::Input(0, rotate)),
        fault("multiply", "forgets a factor", How::Input(1, one)),
        fault("multiply", "reads from the start", How::Layout(0, from_start)),
        fault("multiply", "drops the last number", How::Output(0, last)),
        fault("multiply", "overwrites", How::Accumulate(false)),
        fault("scaled_matrix", "forgets p", How::Input(0, one)),
        fault("scaled_matrix", "forgets d", How::Input(2, one)),
        fault("scaled_matrix", "has factors off by one", How::Input(0, rotate)),
        fault("scaled_matrix", "reads M from its start", How::Layout(1, from_start)),
        fault("scaled_matrix", "reads M without gaps", How::Layout(1, without_gaps)),
        fault("scaled_matrix", "drops the last column", How::Output(0, last_column)),
        fault("product", "drops the last inner column", How::Input(0, last_column)),
        fault("product", "reads b from its start", How::Layout(1, from_start)),
        fault("product", "reads b without gaps", How::Layout(1, without_gaps)),
        fault("product", "overwrites", How::Accumulate(false)),
        fault("product", "adds", How::Accumulate(true)),
        fault("product", "writes into a gap", How::Gap(0)),
        fault("product_sum", "drops the last term", How::Terms),
        fault("product_sum", "shifts a term's columns", How::TermShifted),
        fault("product_sum", "reads a term without gaps", How::TermStride),
        fault("product_sum", "forgets a factor", How::TermFactor),
        fault("product_sum", "forgets its epilogue", How::NoEpilogue),
        fault("product_sum", "swaps h′ and h″", How::Swapped),
        fault("product_sum", "forgets g h″ p", How::NoSecondTerm),
        fault("product_sum", "drops the last column", How::Output(0, last_column)),
        fault("product_diagonal", "is forgotten", How::Skipped),
        fault("product_diagonal", "drops the last row", How::Input(0, last_row)),
        fault("activate", "flips h′", How::Output(1, negate)),
        fault("activate", "flips h″", How::Output(2, negate)),
        fault("activate", "is off by one unit", How::Output(0, rotate)),
        fault("activate", "writes into a gap", How::Gap(0)),
        fault("loss_value", "flips the gradient", How::Output(0, negate)),
        fault("loss_value", "forgets the weights", How::Input(2, one)),
        fault("loss_value", "drops the last sample", How::Input(2, last)),
        fault("loss_hessian", "is 0", How::Output(0, zero)),
        fault("loss_hessian", "is diagonal", How::Output(0, diagonal)),
        fault("loss_hessian", "forgets the weights", How::Input(2, one)),
        fault("gauss_newton_diagonal", "uncouples outputs", How::Input(1, diagonal)),
        fault("squared_gradient", "multiplies by the weight", How::Input(1, invert)),
        fault("squared_gradient", "forgets the weight", How::Input(1, one)),
        fault("lower_triangle", "is off by one", How::Output(0, rotate)),
        fault("weighted_sum", "drops the last sample", How::LastSample),
        fault("weighted_sum", "adds at the start", How::AtStart),
        fault("gram", "drops the last sample", How::LastSample),
        fault("gram", "swaps entries", How::Input(1, rotate)),
        fault("gram", "shifts units", How::Input(0, rotate)),
        fault("gram_diagonal", "does not square", How::Input(1, root)),
        fault("gram_diagonal", "drops the last sample", How::LastSample),
        fault("pair_block", "forgets S z", How::Input(0, zero)),
        fault("pair_block", "forgets δ T", How::Input(3, zero)),
        fault("pair_block", "reads S without gaps", How::Layout(0, without_gaps)),
        fault("pair_block", "reads T from its start", How::Layout(3, from_start)),
        fault("pair_block", "shifts z of the later layer", How::Input(1, rotate)),
        fault("pair_block", "drops a column of the earlier layer", How::Input(2, last_column)),
        fault("pair_block", "drops the last sample", How::LastSample),
        fault("tensor_sum", "drops the last sample", How::LastSample),
        fault("tensor_sum", "is off by one", How::Input(1, rotate)),
        fault("unit_value", "is 0", How::Output(0, zero)),
        fault("unit_value", "writes into a gap", How::Gap(0)),
        fault("unit_derivative", "flips a number", How::Output(0, negate_first)),
        fault("unit_slope", "is forgotten", How::Skipped),
        fault("unit_derivative_slope", "forgets a direction", How::Input(2, zero)),
        fault("unit_derivative_slope", "is flipped", How::Output(0, negate)),
        fault("unit_input_hessian", "is forgotten", How::Skipped),
        fault("unit_parameter_hessian", "is forgotten", How::Skipped),
    ];

    /// The faults of one kernel.
    pub fn of(kernel: &str) -> impl Iterator<Item = Fault> {
        (Fault::ALL.iter()).copied().filter(move |fault| fault.kernel == kernel)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.kernel, self.words)
    }
}

const fn fault(kernel: &'static str, words: &'static str, how: How) -> Fault {
    Fault { kernel, words, how }
}

fn zero(numbers: &mut [f64], _: [usize; 3]) {
    numbers.fill(0.0);
}

fn one(numbers: &mut [f64], _: [usize; 3]) {
    numbers.fill(1.0);
}

fn negate(numbers: &mut [f64], _: [usize; 3]) {
    numbers.iter_mut().for_each(|v| *v = -*v);
}

fn negate_first(numbers: &mut [f64], shape: [usize; 3]) {
    negate(&mut numbers[..1], shape);
}

fn invert(numbers: &mut [f64], _: [usize; 3]) {
    numbers.iter_mut().filter(|v| **v != 0.0).for_each(|v| *v = 1.0 / *v);
}

fn root(numbers: &mut [f64], _: [usize; 3]) {
    numbers.iter_mut().for_each(|v| *v = v.abs().sqrt());
}

fn rotate(numbers: &mut [f64], _: [usize; 3]) {
    numbers.rotate_right(1);
}

fn last(numbers: &mut [f64], _: [usize; 3]) {
    *numbers.last_mut().unwrap() = 0.0;
}

fn last_column(numbers: &mut [f64], [_, _, columns]: [usize; 3]) {
    numbers.chunks_exact_mut(columns).for_each(|row| row[columns - 1] = 0.0);
}

fn last_row(numbers: &mut [f64], [_, rows, columns]: [usize; 3]) {
    let of_sample = numbers.chunks_exact_mut(rows * columns);
    of_sample.for_each(|matrix| matrix[(rows - 1) * columns..].fill(0.0));
}

fn diagonal(numbers: &mut [f64], [_, rows, columns]: [usize; 3]) {
    for (at, v) in numbers.iter_mut().enumerate() {
        if at / columns % rows != at % columns {
            *v = 0.0;
        }
    }
}

fn from_start(layout: Layout) -> Layout {
    Layout { offset: 0, ..layout }
}

/// Rows and samples one behind the other; what is repeated stays so.
fn without_gaps(layout: Layout) -> Layout {
    let mut dense = Layout { offset: layout.offset, strides: [0; 3], ..layout };
    let mut next = 1;
    for axis in [2, 1, 0] {
        if layout.strides[axis] > 0 {
            dense.strides[axis] = next;
            next *= layout.shape[axis];
        }
    }
    dense
}

/// The elements that a view reads, without repetitions.
fn distinct(mut layout: Layout) -> Layout {
    for axis in 0..3 {
        if layout.strides[axis] == 0 {
            layout.shape[axis] = layout.shape[axis].min(1);
        }
    }
    layout
}

/// Lets `change` have the elements of a layout.
fn changed(numbers: &mut [f64], layout: Layout, change: Change) {
    let layout = distinct(layout);
    let mut elements: Vec<f64> = places(layout).map(|at| numbers[at]).collect();
    if !elements.is_empty() {
        change(&mut elements, layout.shape);
    }
    places(layout).zip(elements).for_each(|(at, v)| numbers[at] = v);
}

/// The first place in an array that a layout leaves out.
fn gap(layout: Layout, len: usize) -> Option<usize> {
    let mut written = vec![false; len];
    places(layout).for_each(|at| written[at] = true);
    written.iter().position(|w| !w)
}

impl How {
    /// Changes what can be changed without numbers; what else is wrong, [`Faulty`] does.
    fn tamper<A, S>(self, kernel: &mut Kernel<A, S>) {
        match (self, kernel) {
            (How::Layout(input, change), kernel) => {
                if let Some(view) = inputs(kernel).into_iter().nth(input) {
                    view.layout = change(view.layout);
                }
            }
            (How::LastSample, kernel) => {
                for view in inputs(kernel) {
                    view.layout = view.layout.samples(0..view.shape()[0].max(2) - 1);
                }
            }
            (How::Accumulate(add), Kernel::Product(k)) => k.accumulate = add,
            (How::Accumulate(add), Kernel::Multiply(k)) => k.accumulate = add,
            (How::AtStart, Kernel::WeightedSum(k)) => k.at = 0,
            (How::Terms, Kernel::ProductSum(k)) => {
                k.terms.pop();
            }
            (How::TermShifted, Kernel::ProductSum(k)) => {
                (k.terms.iter_mut()).for_each(|t| t.b.layout = from_start(t.b.layout));
            }
            (How::TermStride, Kernel::ProductSum(k)) => {
                (k.terms.iter_mut()).for_each(|t| t.b.layout = without_gaps(t.b.layout));
            }
            (How::NoEpilogue, Kernel::ProductSum(k)) => k.epilogue = Epilogue::None,
            (How::Swapped, Kernel::ProductSum(k)) => {
                if let Epilogue::ProductRule { h1, h2, .. } = &mut k.epilogue {
                    std::mem::swap(h1, h2);
                }
            }
            (How::NoSecondTerm, Kernel::ProductSum(k)) => {
                if let Epilogue::ProductRule { h1, .. } = k.epilogue {
                    k.epilogue = Epilogue::Scale { by: h1 };
                }
            }
            _ => {}
        }
    }

    /// The change of an input's numbers.
    fn of_input(self) -> Option<(usize, Change)> {
        match self {
            How::Input(at, change) => Some((at, change)),
            How::TermFactor => Some((0, one)),
            _ => None,
        }
    }

    /// Changes an output's numbers; whether it did.
    fn spoil(self, at: usize, layout: Layout, numbers: &mut [f64]) -> bool {
        match self {
            How::Output(output, change) if output == at => changed(numbers, layout, change),
            How::Gap(output) if output == at => match gap(layout, numbers.len()) {
                Some(place) => numbers[place] = 0.75,
                None => return false,
            },
            _ => return false,
        }
        true
    }
}

/// A backend with one fault. What is allocated holds NaN: a driver that reads what nobody wrote is found, too.
pub struct Faulty<B>(pub B, pub Fault);

impl<B: Backend> Faulty<B> {
    /// Runs a kernel with the fault.
    fn wrong<'a>(&self, how: How, kernel: Kernel<'a, B::Array, Vec<f64>>) -> Result<()>
    where
        B: 'a,
    {
        let b = &self.0;
        let mut kernel = kernel;
        how.tamper(&mut kernel);
        let input = how.of_input().and_then(|(at, change)| {
            let view = *inputs(&mut kernel).into_iter().nth(at)?;
            Some((at, change, view))
        });
        let Some((at, change, view)) = input else {
            return self.spoiled(how, kernel);
        };
        let mut numbers = b.download(view.array)?;
        changed(&mut numbers, view.layout, change);
        let array = b.upload(&numbers)?;
        let mut kernel: Kernel<'_, B::Array, Vec<f64>> = kernel;
        *inputs(&mut kernel)[at] = View::new(&array, view.layout);
        self.spoiled(how, kernel)
    }

    /// Runs a kernel and changes what it wrote.
    fn spoiled(&self, how: How, mut kernel: Kernel<B::Array, Vec<f64>>) -> Result<()> {
        let b = &self.0;
        let (mut copies, sum) = on_copies(b, &mut kernel, |kernel| match how {
            How::Skipped => Ok(()),
            _ => b.run(kernel),
        })?;
        let written = outputs(&mut kernel);
        for (at, (out, copy)) in written.arrays.iter().zip(&mut copies).enumerate() {
            let mut numbers = b.download(copy)?;
            if how.spoil(at, out.layout, &mut numbers) {
                *copy = b.upload(&numbers)?;
            }
        }
        for (out, copy) in written.arrays.into_iter().zip(copies) {
            b.recycle([std::mem::replace(out.array, copy)]);
        }
        for (total, v) in written.sum.into_iter().flatten().zip(sum) {
            *total += v;
        }
        Ok(())
    }
}

impl<B: Backend> Backend for Faulty<B> {
    type Array = B::Array;
    type Sum = Vec<f64>;

    fn alloc(&self, len: usize) -> Result<B::Array> {
        self.0.upload(&vec![f64::NAN; len])
    }
    fn upload(&self, values: &[f64]) -> Result<B::Array> {
        self.0.upload(values)
    }
    fn download(&self, array: &B::Array) -> Result<Vec<f64>> {
        self.0.download(array)
    }
    fn recycle(&self, arrays: impl IntoIterator<Item = B::Array>) {
        self.0.recycle(arrays);
    }
    fn release(&self) {
        self.0.release();
    }
    fn sums(&self, len: usize) -> Result<Vec<f64>> {
        Ok(vec![0.0; len])
    }
    fn read(&self, sum: Vec<f64>) -> Result<Vec<f64>> {
        Ok(sum)
    }
    fn run(&self, kernel: Kernel<B::Array, Vec<f64>>) -> Result<()> {
        if kernel.name() == self.1.kernel {
            self.wrong(self.1.how, kernel)
        } else {
            self.spoiled(How::Right, kernel)
        }
    }
    fn on_one_thread(&self) -> Option<Self> {
        None
    }
}
