//! A backend that computes every number together with its A, the same expression over absolute values, by the plain loops of
//! `exact.rs`. A download gives A.

use std::borrow::Cow;

use secondo::Result;
use secondo::backend::{Backend, Kernel};

use super::exact::{Pair, Source, exact, pair};
use super::kernels::{Outputs, outputs, places};

pub struct Absolute;

impl Source<Pair> for Absolute {
    const CHAINED: bool = true;

    fn pair<'k>(&self, array: &'k Pair) -> Cow<'k, Pair> {
        Cow::Borrowed(array)
    }
}

impl Backend for Absolute {
    type Array = Pair;
    type Sum = Pair;

    fn alloc(&self, len: usize) -> Result<Pair> {
        let (v, a) = (vec![f64::NAN; len], vec![f64::NAN; len]);
        Ok(Pair { v, a })
    }
    fn upload(&self, values: &[f64]) -> Result<Pair> {
        Ok(pair(values.to_vec()))
    }
    fn download(&self, array: &Pair) -> Result<Vec<f64>> {
        Ok(array.a.clone())
    }
    fn recycle(&self, _: impl IntoIterator<Item = Pair>) {}
    fn release(&self) {}
    fn sums(&self, len: usize) -> Result<Pair> {
        let (v, a) = (vec![0.0; len], vec![0.0; len]);
        Ok(Pair { v, a })
    }
    fn read(&self, sum: Pair) -> Result<Vec<f64>> {
        Ok(sum.a)
    }
    fn run(&self, mut kernel: Kernel<Pair, Pair>) -> Result<()> {
        let exact = exact(&kernel, self);
        let Outputs { arrays, sum } = outputs(&mut kernel);
        for (out, exact) in arrays.into_iter().zip(exact.arrays) {
            for (e, at) in places(out.layout).enumerate() {
                (out.array.v[at], out.array.a[at]) = (exact.v[e], exact.a[e]);
            }
        }
        if let (Some(sum), Some((at, exact))) = (sum, exact.sum) {
            let add = |to: &mut [f64], v: &[f64]| to.iter_mut().zip(v).for_each(|(to, v)| *to += v);
            add(&mut sum.v[at..], &exact.v);
            add(&mut sum.a[at..], &exact.a);
        }
        Ok(())
    }
    fn on_one_thread(&self) -> Option<Self> {
        None
    }
}
