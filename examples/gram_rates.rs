//! Rates of the weighted Gram kernel, as CSV lines `n,d,s,type,seconds`: the best of many calls for every shape asked for.
//!
//! Arguments: shapes as `n,d,s`. The number of threads is rayon's (`RAYON_NUM_THREADS`).

use std::hint::black_box;
use std::time::Instant;

use secondo::backend::cpu::{Real, gram::gram};

fn best<T: Real>(n: usize, d: usize, s: usize, to: impl Fn(f64) -> T) -> f64 {
    let value = |k: usize| {
        to((k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12) as f64 / (1u64 << 51) as f64 - 1.0)
    };
    let z: Vec<T> = (0..n * d).map(value).collect();
    let c: Vec<T> = (0..n * s).map(value).collect();
    let mut out = vec![0.0; s * d * (d + 1) / 2];
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    let mut calls = 0;
    while calls < 3 || begin.elapsed().as_secs_f64() < 0.3 {
        let start = Instant::now();
        gram(black_box(&z), d, black_box(&c), s, &mut out);
        best = best.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    black_box(&out);
    best
}

fn main() {
    for shape in std::env::args().skip(1).filter(|x| !x.starts_with('-')) {
        let sizes: Vec<usize> = shape
            .split(',')
            .map(|x| x.parse().expect("shapes are n,d,s"))
            .collect();
        let [n, d, s] = sizes[..] else {
            panic!("shapes are n,d,s")
        };
        println!("{n},{d},{s},f32,{:e}", best(n, d, s, |x| x as f32));
        println!("{n},{d},{s},f64,{:e}", best(n, d, s, |x| x));
    }
}
