//! The shaders' activations keep the promises at the heads of their files, which this test reads: in f32 against the processor in
//! f64, in f64 against the 50-digit table.
#![cfg(feature = "gpu")]

mod common;

use common::adapter::{double, single};
use common::kernels::activated;
use secondo::Activation;
use secondo::backend::gpu::Gpu;

/// The text of the activation's shader, its comments in one line each.
fn head(activation: Activation) -> String {
    let file = format!("{}/shaders/lib/activation/{activation}.wgsl", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&file).unwrap().replace("\n//", "")
}

/// "h, h′ and h″ are within 3, 3 and 4 ULP" in the activation's shader; 0 where it says exact.
fn promise(activation: Activation) -> [f64; 3] {
    let words = head(activation);
    if words.contains("h, h′ and h″ are exact") {
        return [0.0; 3];
    }
    let (_, after) = words
        .split_once("h, h′ and h″ are within ")
        .unwrap_or_else(|| panic!("{activation} promises nothing"));
    let (numbers, _) = after.split_once(" ULP").unwrap();
    let numbers: Vec<f64> =
        numbers.split([',', ' ']).filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{activation}: three numbers"))
}

fn on(gpu: &Gpu, activation: Activation, points: &[f64]) -> Vec<Vec<f64>> {
    activated(gpu, &[(activation, 1)], points, 2)
}

/// 65,536 numbers of f32 in each of six ranges, and the ends of the range.
fn points() -> Vec<f64> {
    let mut state = 1u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut all = vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    for end in [f32::MIN_POSITIVE, f32::MAX, 1.0, 88.0, 104.0] {
        all.extend([f64::from(end), -f64::from(end)]);
    }
    for width in [1e-3, 1.0, 10.0, 100.0, 1e5] {
        all.extend((0..65_536).map(|_| width * (2.0 * next() - 1.0)));
    }
    // The whole range, each power of two as often.
    all.extend((0..65_536).map(|_| {
        let sign = if next() < 0.5 { -1.0 } else { 1.0 };
        sign * (1.0 + next()) * (252.0 * next() - 125.0).floor().exp2()
    }));
    all.iter().map(|&v| f64::from(v as f32)).collect()
}

/// The spacing of f32 at x.
fn ulp32(x: f64) -> f64 {
    let x = x.abs().max(f64::from(f32::MIN_POSITIVE));
    x.log2().floor().exp2() * f64::from(f32::EPSILON)
}

/// Whether h, h′ and h″ have interior zeros, which cost their own digits there: "Near its interior zero h′ is within" at
/// the head of the shader.
fn zeros(activation: Activation) -> [bool; 3] {
    let words = head(activation);
    let Some((_, after)) = words.split_once("interior zero") else {
        return [false; 3];
    };
    let (named, _) = after.split_once("within").unwrap();
    [false, named.contains("h′"), named.contains("h″")]
}

/// The largest size within ¼ of u.
fn local(activation: Activation, order: usize, u: f64) -> f64 {
    (-8..=8)
        .map(|k| activation.derivatives(u + f64::from(k) / 32.0)[order].abs())
        .fold(0.0, f64::max)
}

/// The largest error in parts of the promise, and where.
fn worst_in_f32(
    activation: Activation,
    promise: [f64; 3],
    points: &[f64],
    found: &[Vec<f64>],
) -> [(f64, f64); 3] {
    let mut worst = [(0.0, 0.0); 3];
    let zeros = zeros(activation);
    for (i, &u) in points.iter().enumerate() {
        let exact = activation.derivatives(u);
        for order in 0..3 {
            let (found, exact) = (found[order][i], exact[order]);
            let largest = f64::from(f32::MAX);
            let parts = if exact.is_nan() || found.is_nan() {
                if exact.is_nan() && found.is_nan() { 0.0 } else { f64::INFINITY }
            } else if exact.abs() > largest || found.is_infinite() {
                // Overflow within the promise of the largest number is right as well.
                let close = exact.abs() >= largest * (1.0 - 4.0 * f64::from(f32::EPSILON));
                if found.abs() >= largest * (1.0 - 4.0 * f64::from(f32::EPSILON))
                    && close
                    && found.signum() == exact.signum()
                {
                    0.0
                } else {
                    f64::INFINITY
                }
            } else {
                // Subnormal results may be 0.
                let floor = f64::from(f32::MIN_POSITIVE)
                    * if exact.abs() < f64::from(f32::MIN_POSITIVE) { 1.0 } else { 0.0 };
                let local = if zeros[order] { local(activation, order, u) } else { 0.0 };
                let unit = ulp32(exact).max(local * f64::from(f32::EPSILON) / 2.0);
                // The rounding of the exact value to f64 is nothing beside this.
                let allowed = promise[order] * unit + floor;
                let error = (found - exact).abs();
                if error == 0.0 { 0.0 } else { error / allowed }
            };
            if parts > worst[order].0 {
                worst[order] = (parts, u);
            }
        }
    }
    worst
}

#[test]
fn f32_keeps_the_promises() {
    let (gpu, points) = (single(), points());
    let mut wrong = Vec::new();
    for activation in Activation::ALL {
        let promise = promise(activation);
        let worst = worst_in_f32(activation, promise, &points, &on(&gpu, activation, &points));
        println!("{activation:18} promises {promise:?}, largest in parts of it, at u: {worst:?}");
        if worst.iter().any(|w| w.0 > 1.0) {
            wrong.push((activation, worst));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_measure_sees_a_wrong_digit() {
    let (gpu, points) = (single(), points());
    let mut found = on(&gpu, Activation::Tanh, &points);
    for order in 0..3 {
        let mut disturbed = found.clone();
        disturbed[order].iter_mut().for_each(|v| *v *= 1.0 + 1e-6);
        let worst = worst_in_f32(Activation::Tanh, [3.0, 3.0, 4.0], &points, &disturbed);
        assert!(worst[order].0 > 1.0, "{worst:?}");
    }
    found[1][77] = f64::NAN;
    let worst = worst_in_f32(Activation::Tanh, [3.0, 3.0, 4.0], &points, &found);
    assert_eq!(worst[1].0, f64::INFINITY);
}

#[test]
fn f64_keeps_the_promises() {
    let gpu = double();
    // name, u, then hi and the rest in ULP for h, h′, h″, and their local scales in ULP, halved.
    let table = include_str!("data/activations.csv");
    let ulp = |x: f64| {
        let x = x.abs().max(f64::MIN_POSITIVE);
        f64::from_bits(x.to_bits() & (0x7ff << 52)) * f64::EPSILON
    };
    let mut wrong = Vec::new();
    for activation in Activation::ALL {
        let rows: Vec<Vec<f64>> = (table.lines())
            .filter_map(|line| line.strip_prefix(activation.name())?.strip_prefix(','))
            .map(|line| line.split(',').map(|v| v.parse().unwrap()).collect())
            .filter(|row: &Vec<f64>| row[0] == 0.0 || row[0].abs() >= f64::MIN_POSITIVE)
            .collect();
        assert!(rows.len() > 100, "{activation}");
        let points: Vec<f64> = rows.iter().map(|row| row[0]).collect();
        let found = on(&gpu, activation, &points);
        let promise = promise(activation);
        let mut worst = [(0.0, 0.0); 3];
        for (i, row) in rows.iter().enumerate() {
            for order in 0..3 {
                let (found, hi, rest, scale) =
                    (found[order][i], row[1 + 2 * order], row[2 + 2 * order], row[7 + order]);
                let small = hi.abs() < f64::MIN_POSITIVE;
                let error = if found == hi {
                    rest.abs()
                } else if found.is_finite() && hi.is_finite() {
                    ((found - hi) / ulp(hi) - rest).abs()
                } else if found.is_nan() && hi.is_nan() {
                    0.0
                } else {
                    f64::INFINITY
                };
                // Subnormal results may be 0, and exact values that are no doubles are rounded once.
                let allowed = promise[order] * scale.max(1.0)
                    + if small { f64::EPSILON.recip() } else { 0.5 };
                let parts = error / allowed;
                if parts > worst[order].0 {
                    worst[order] = (parts, row[0]);
                }
            }
        }
        println!("{activation:18} promises {promise:?}, largest in parts of it, at u: {worst:?}");
        if worst.iter().any(|w| w.0 > 1.0) {
            wrong.push((activation, worst));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Numbers that f32 cannot hold are infinite or 0 there, in an exponent, too.
#[test]
fn exponents_beyond_f32() {
    let gpu = single();
    for (formula, value) in [("u^1e39", 0.0), ("u^1e-50", 1.0)] {
        let h = on(&gpu, Activation::formula(formula).unwrap(), &[0.5]);
        assert_eq!(h[0], [value], "{formula}");
    }
}
