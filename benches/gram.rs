//! Weighted Gram matrices over inputs, units and number types; rates count 2 n d² s flops.

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use secondo::backend::cpu::{Real, gram::gram};

use common::number;

fn shape<T: Real>(
    criterion: &mut Criterion,
    kind: &str,
    d: usize,
    s: usize,
    to: impl Fn(f64) -> T,
) {
    // About 2 Gflop a call; wide layers with many units get fewer samples, since their output alone is hundreds of megabytes.
    let n = (1_000_000_000 / (d * d * s)).clamp(256, 1_000_000);
    let numbers = |len: usize| (0..len).map(|k| to(number(k))).collect::<Vec<T>>();
    let (z, c) = (numbers(n * d), numbers(n * s));
    let mut out = vec![0.0; s * d * (d + 1) / 2];
    let mut group = criterion.benchmark_group(format!("gram/{kind}"));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(200));
    group.throughput(Throughput::Elements(2 * (n * d * d * s) as u64));
    group.bench_function(
        BenchmarkId::from_parameter(format!("n{n} d{d} s{s}")),
        |bencher| {
            bencher.iter(|| gram(black_box(&z), d, black_box(&c), s, &mut out));
        },
    );
    group.finish();
}

fn all(criterion: &mut Criterion) {
    for d in [9, 33, 65, 129, 257, 785] {
        for s in [1, 4, 16, 64, 256] {
            shape(criterion, "f32", d, s, |x| x as f32);
            shape(criterion, "f64", d, s, |x| x);
        }
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
