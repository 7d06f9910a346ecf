//! Weighted Gram matrices over inputs, units and number types; rates count 2 n d² s flops.

mod common;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use secondo::backend::cpu::{Level, Real};

use common::gram::Case;
use common::number;

fn shape<T: Real>(criterion: &mut Criterion, kind: &str, d: usize, s: usize) {
    // About 2 Gflop a call; wide layers with many units get fewer samples, since their output alone is hundreds of megabytes.
    let n = (1_000_000_000 / (d * d * s)).clamp(256, 1_000_000);
    let mut case = Case::<T>::new(n, d, s, number).expect("memory");
    let mut group = criterion.benchmark_group(format!("gram/{kind}"));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(200));
    group.throughput(Throughput::Elements(2 * (n * d * d * s) as u64));
    group.bench_function(BenchmarkId::from_parameter(format!("n{n} d{d} s{s}")), |bencher| {
        bencher.iter(|| case.run().expect("a result"));
    });
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let level = Level::in_use().expect("SECONDO_SIMD names an instruction set of this machine");
    println!("instruction set {} ({})", level.name(), level.instructions());
    for d in [9, 33, 65, 129, 257, 785] {
        for s in [1, 4, 16, 64, 256] {
            shape::<f32>(criterion, "f32", d, s);
            shape::<f64>(criterion, "f64", d, s);
        }
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
