//! Rates of the weighted Gram kernel, as CSV lines `n,d,s,type,seconds`: the best of many calls for every shape asked for.
//!
//! Arguments: shapes as `n,d,s`. The number of threads is rayon's (`RAYON_NUM_THREADS`).

use std::time::Instant;

use secondo::Result;
use secondo::backend::cpu::Real;

#[path = "../benches/common/gram.rs"]
mod gram;

fn best<T: Real>(n: usize, d: usize, s: usize) -> Result<f64> {
    let number =
        |k: usize| (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12) as f64 / (1u64 << 51) as f64 - 1.0;
    let mut case = gram::Case::<T>::new(n, d, s, number)?;
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    let mut calls = 0;
    while calls < 3 || begin.elapsed().as_secs_f64() < 0.3 {
        let start = Instant::now();
        case.run()?;
        best = best.min(start.elapsed().as_secs_f64());
        calls += 1;
    }
    Ok(best)
}

fn main() -> Result<()> {
    for shape in std::env::args().skip(1).filter(|x| !x.starts_with('-')) {
        let sizes: Vec<usize> =
            shape.split(',').map(|x| x.parse().expect("shapes are n,d,s")).collect();
        let [n, d, s] = sizes[..] else { panic!("shapes are n,d,s") };
        println!("{n},{d},{s},f32,{:e}", best::<f32>(n, d, s)?);
        println!("{n},{d},{s},f64,{:e}", best::<f64>(n, d, s)?);
    }
    Ok(())
}
