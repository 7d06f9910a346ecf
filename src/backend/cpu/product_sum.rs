//! out[i, r, c] = epilogue(Σ_terms Σ_k x[i, r, k] b[i, k, c]), in one pass.

use faer::Par;

use super::array::Input;
use super::product::{is_small, put, samples_of_task};
use super::tasks::{Part, each, parts};
use super::walk::Walk;
use super::{Array, Real};
use crate::backend::Layout;
use crate::backend::kernel::{Epilogue, ProductSum, Term};
use crate::level::in_lanes;

pub(super) fn run<T: Real>(par: Par, kernel: ProductSum<Array<T>>) {
    let ProductSum { terms, epilogue, out } = kernel;
    let [_, rows, columns] = out.shape();
    let small = terms.iter().all(|term| is_small(&term.x, &term.b));
    each(par, parts(out, samples_of_task(small, rows * columns)), |mut part| {
        let whole = part.layout;
        let mut begun = false;
        for Term { x, b } in terms.iter().filter(|term| term.x.shape()[2] > 0) {
            // The same numbers, divided as the term divides them.
            part.layout = Layout::dense(whole.shape[0], x.shape()[1], b.shape()[2]);
            put(x, b, begun, &mut part);
            begun = true;
        }
        part.layout = whole;
        if !begun {
            part.numbers.fill(T::ZERO);
        }
        in_lanes(
            #[inline(always)]
            || finish(&epilogue, &mut part),
        );
    });
}

/// Applies the operation that comes after the sum.
#[inline(always)]
fn finish<T: Real>(epilogue: &Epilogue<Array<T>>, part: &mut Part<T>) {
    let (samples, out) = (part.samples(), part.layout);
    let [_, rows, _] = out.shape;
    let of_samples = |view: &Input<T>| view.layout.samples(samples.clone());
    let in_each_row = |view: &Input<T>| of_samples(view).repeated_rows(rows);
    match epilogue {
        Epilogue::None => {}
        Epilogue::Scale { by } => {
            let walk = Walk::new([out, in_each_row(by)]);
            walk.each(part.numbers, &by.array.numbers, |out, by| *out *= by);
        }
        Epilogue::ProductRule { h1, h2, g, p } => {
            let [of_h1, of_h2, of_g] = [h1, h2, g].map(in_each_row);
            let walk = Walk::new([out, of_samples(p), of_h1, of_h2, of_g]);
            let [p, h1, h2, g] = [p, h1, h2, g].map(|view| &view.array.numbers[..]);
            walk.each(part.numbers, [p, h1, h2, g], |out, [p, h1, h2, g]| {
                *out = h1 * *out + g * h2 * p;
            });
        }
    }
}
