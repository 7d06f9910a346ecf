//! Row blocks of whole networks: forward and backward propagation, coefficients and Gram matrices together.
//!
//! `cargo bench --bench row_blocks`; the throughput is in the flops that `Plan` counts. The last group shows how the time
//! grows with n.

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use secondo::{Curvature, Device, Problem, Request, Structure};

use common::problem;

fn bench(c: &mut Criterion, group: &str, name: String, p: &(Problem, Vec<f64>), request: Request) {
    let mut group = c.benchmark_group(group);
    group.sample_size(10);
    group.throughput(Throughput::Elements(p.0.plan(request).expect("a plan").flops as u64));
    group.bench_function(BenchmarkId::from_parameter(name), |b| {
        b.iter(|| p.0.evaluate(black_box(&p.1), request).expect("an evaluation"));
    });
    group.finish();
}

/// [d-s-1] over widths, both precisions; n so that each call takes some tens of milliseconds.
fn shapes(c: &mut Criterion) {
    for (d, s, n) in [
        (8, 1, 200_000),
        (8, 8, 200_000),
        (32, 1, 100_000),
        (32, 64, 20_000),
        (128, 16, 5_000),
        (256, 64, 2_000),
        (784, 1, 2_000),
        (784, 64, 500),
        (32, 256, 5_000),
    ] {
        for device in [Device::Cpu, Device::CpuF32] {
            let p = problem(&[d, s, 1], n, device.clone());
            let name = format!("[{d}-{s}-1] n={n} {}", device.precision());
            let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
            bench(c, "exact row blocks", name, &p, request);
        }
    }
}

/// The four curvatures and the gradient on one network.
fn curvatures(c: &mut Criterion) {
    let p = problem(&[64, 32, 10], 2_000, Device::Cpu);
    bench(c, "digits-like", "gradient".into(), &p, Request::gradient());
    for curvature in Curvature::ALL {
        for structure in Structure::ALL {
            let name = format!("{} {}", structure.name(), curvature.name());
            bench(c, "digits-like", name, &p, Request::curvature(curvature, structure));
        }
    }
}

fn growth(c: &mut Criterion) {
    for n in [62_500, 125_000, 250_000, 500_000, 1_000_000] {
        let p = problem(&[32, 64, 1], n, Device::Cpu);
        let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
        bench(c, "growth with n, [32-64-1]", format!("n={n}"), &p, request);
    }
}

criterion_group!(benches, shapes, curvatures, growth);
criterion_main!(benches);
