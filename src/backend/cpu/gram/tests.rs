use pulp::Arch;

use super::*;
use crate::level::tests::all as levels;

/// Uniform in (−1, 1), from a linear congruential generator.
fn numbers<T>(len: usize, seed: u64, to: impl Fn(f64) -> T) -> Vec<T> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| to(next())).collect()
}

struct Case<T> {
    z: Vec<T>,
    c: Vec<T>,
    n: usize,
    d: usize,
    s: usize,
    /// The sums, and the sums of absolute values, both on top of the initial output.
    exact: Vec<f64>,
    size: Vec<f64>,
    initial: Vec<f64>,
    unit: f64,
}

impl<T: Lanes> Case<T> {
    fn new(n: usize, d: usize, s: usize, unit: f64, to: impl Fn(f64) -> T) -> Self {
        let z = numbers(n * d, 1 + n as u64, &to);
        let c = numbers(n * s, 2 + d as u64, &to);
        let initial = numbers(s * triangle(d), 3, |x| x);
        let (mut exact, mut size) =
            (initial.clone(), initial.iter().map(|x| x.abs()).collect::<Vec<_>>());
        for (z, c) in z.chunks(d).zip(c.chunks(s)) {
            for (j, c) in c.iter().enumerate() {
                for a in 0..d {
                    for b in 0..=a {
                        let term = c.widen() * z[a].widen() * z[b].widen();
                        exact[j * triangle(d) + triangle(a) + b] += term;
                        size[j * triangle(d) + triangle(a) + b] += term.abs();
                    }
                }
            }
        }
        Case { z, c, n, d, s, exact, size, initial, unit }
    }

    /// The largest error as a multiple of the bound in the module's description, the reference's own error included.
    fn ratio(&self, out: &[f64]) -> f64 {
        let bound = (self.n.min(BLOCK) + 2) as f64 * self.unit + (self.n + 4) as f64 * 1.2e-16;
        let errors = out
            .iter()
            .zip(&self.exact)
            .zip(&self.size)
            .map(|((x, y), size)| (x - y).abs() / (bound * size + 1e-300));
        // `max` would let a NaN pass.
        errors.map(|x| if x.is_nan() { f64::INFINITY } else { x }).fold(0.0, f64::max)
    }

    fn run(&self, arch: Arch, form: Option<Form>) -> Vec<f64> {
        struct Call<'a, T>(&'a Case<T>, Option<Form>, Vec<f64>);
        impl<T: Lanes> WithSimd for Call<'_, T> {
            type Output = Vec<f64>;
            fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
                let Call(case, form, mut out) = self;
                run_as(simd, form, Par::rayon(0), &case.z, case.d, &case.c, case.s, &mut out);
                out
            }
        }
        arch.dispatch(Call(self, form, self.initial.clone()))
    }

    fn check(&self) {
        for form in [None, Some(Form::KhatriRao), Some(Form::RankUpdate)] {
            for (level, arch) in levels() {
                let ratio = self.ratio(&self.run(arch, form));
                assert!(
                    ratio <= 1.0,
                    "n {} d {} s {} {form:?} {}: error {ratio} of its bound",
                    self.n,
                    self.d,
                    self.s,
                    level.name()
                );
            }
        }
    }
}

fn check(n: usize, d: usize, s: usize) {
    Case::new(n, d, s, f32::EPSILON as f64 / 2.0, |x| x as f32).check();
    Case::new(n, d, s, f64::EPSILON / 2.0, |x| x).check();
}

#[test]
fn inputs_past_every_tile_edge() {
    for d in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 47, 48, 49, 65, 130, 257] {
        check(if d < 60 { 70 } else { 9 }, d, 3);
    }
}

#[test]
fn units_past_every_tile_edge() {
    for s in [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 65] {
        for d in [1, 9, 17] {
            check(31, d, s);
        }
    }
}

/// Rows so wide that all tasks read a copy of them, and that few of them are a task; more coefficients than are copied at once.
#[test]
fn what_tasks_share_past_every_edge() {
    for (n, d, s) in [(9, 256, 4), (257, 257, 4), (9, 300, 9), (300, 170, 5), (3_700, 2, 600)] {
        check(n, d, s);
    }
}

#[test]
fn samples_past_every_block_edge() {
    for n in [
        1,
        2,
        127,
        128,
        129,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        2 * BLOCK + 1,
        511,
        512,
        513,
        1025,
        5000,
        9001,
    ] {
        for (d, s) in [(1, 1), (3, 2), (9, 8), (17, 5)] {
            check(n, d, s);
        }
    }
}

#[test]
fn nothing_to_do() {
    for (n, d, s) in [(0, 3, 2), (5, 0, 2), (5, 3, 0), (0, 0, 0)] {
        let mut out = vec![7.0; s * triangle(d)];
        gram(&vec![1.0f32; n * d], d, &vec![1.0; n * s], s, &mut out);
        assert!(out.iter().all(|&x| x == 7.0));
    }
}

#[test]
fn the_comparison_notices_one_wrong_entry() {
    let case = Case::new(300, 9, 3, f32::EPSILON as f64 / 2.0, |x| x as f32);
    let mut out = case.exact.clone();
    assert!(case.ratio(&out) == 0.0);
    out[50] += 1e-3 * case.size[50];
    assert!(case.ratio(&out) > 1.0);
    out[50] = f64::NAN;
    assert!(case.ratio(&out) > 1.0);
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    fn bits<T: Lanes>(n: usize, d: usize, s: usize, form: Form, to: fn(f64) -> T) {
        let (z, c) = (numbers(n * d, 1, to), numbers(n * s, 2, to));
        let outputs = [1, 2, 3, 4].map(|threads| {
            let mut out = numbers(s * triangle(d), 3, |x| x);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gram_as(Some(form), Par::rayon(0), &z, d, &c, s, &mut out));
            out.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        });
        assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "n {n} d {d} s {s} {form:?}");
    }
    for (n, d, s) in [(50_000, 9, 8), (30_000, 1, 20), (9000, 33, 7), (700, 130, 9), (300, 300, 2)]
    {
        for form in [Form::KhatriRao, Form::RankUpdate] {
            bits(n, d, s, form, |x| x as f32);
            bits(n, d, s, form, |x| x);
        }
    }
}

/// A million terms: summed in f32 throughout, the error would be some hundred times larger.
#[test]
fn the_error_does_not_grow_with_the_samples() {
    let unit = f32::EPSILON as f64 / 2.0;
    let error = |n| {
        let case = Case::new(n, 3, 2, unit, |x| x.abs() as f32);
        let mut out = case.initial.clone();
        gram(&case.z, 3, &case.c, 2, &mut out);
        out.iter().zip(&case.exact).map(|(x, y)| ((x - y) / y).abs()).fold(0.0, f64::max)
    };
    assert!(error(1_000_000) <= 8.0 * unit, "{}", error(1_000_000) / unit);
    assert!(error(1_000_000) <= 2.0 * error(1000));
}

#[test]
fn rows_of_slabs_are_planned_at_every_level() {
    struct Across;
    impl WithSimd for Across {
        type Output = [usize; 2];
        fn with_simd<S: Simd>(self, _: S) -> [usize; 2] {
            [lanes::<S, f32>(), lanes::<S, f64>()].map(|lanes| slab_vectors::<S>() * lanes)
        }
    }
    for (level, arch) in levels() {
        for across in arch.dispatch(Across) {
            assert!(ACROSS.contains(&across), "{}: {across}", level.name());
        }
    }
}
