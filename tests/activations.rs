//! The accuracy promised for the activations, against exact values.
//!
//! `data/activations.py` says what the columns of `data/activations.csv` are
//! and makes it.

mod common;

use std::collections::HashMap;

use common::kernels::activated;
use secondo::Activation;
use secondo::backend::Cpu;

/// The promise, in ULP, for normal and for subnormal values.
const BOUND: f64 = 2.0;
const BOUND_SUBNORMAL: f64 = 1.0;

/// An exact value, `hi + rest·ulp(hi)`.
struct Exact {
    hi: f64,
    rest: f64,
    /// the local scale near an interior zero, `2⁻⁵³ max |f|` in ULP, or 0
    scale: f64,
}

struct Row {
    u: f64,
    exact: [Exact; 3],
}

type Table = HashMap<String, Vec<Row>>;

fn parse(text: &str) -> Table {
    let mut table = Table::new();
    for line in text.lines() {
        let (name, numbers) = line.split_once(',').expect("a name");
        let numbers: Vec<f64> = numbers.split(',').map(|x| x.parse().expect("a number")).collect();
        let [u, h, dh, h1, dh1, h2, dh2, s, s1, s2] = numbers[..] else {
            panic!("eleven columns: {line}")
        };
        let exact = [(h, dh, s), (h1, dh1, s1), (h2, dh2, s2)].map(|(hi, rest, scale)| Exact {
            hi,
            rest,
            scale,
        });
        table.entry(name.to_owned()).or_default().push(Row { u, exact });
    }
    table
}

fn table() -> Table {
    parse(include_str!("data/activations.csv"))
}

/// The spacing of the doubles at `x`.
fn ulp(x: f64) -> f64 {
    let x = x.abs().min(f64::MAX);
    if x < f64::MIN_POSITIVE {
        f64::from_bits(1)
    } else {
        // 2⁻⁵² of the power of two at or below x, by way of its bits
        let power = f64::from_bits(x.to_bits() & (0x7ff << 52));
        f64::from_bits(1).max(power * f64::EPSILON)
    }
}

impl Exact {
    /// The error of `found` in ULP of the exact value.
    fn error(&self, found: f64) -> f64 {
        if found == self.hi {
            self.rest.abs() // infinities, too
        } else if found.is_finite() && self.hi.is_finite() {
            ((found - self.hi) / ulp(self.hi) - self.rest).abs()
        } else {
            f64::INFINITY
        }
    }

    fn bound(&self) -> f64 {
        if self.hi.abs() < f64::MIN_POSITIVE {
            BOUND_SUBNORMAL
        } else {
            BOUND.max(2.0 * self.scale)
        }
    }
}

/// `h` and so on up to the `order`, as the processor's kernel gives them for all
/// `u` at once.
fn kernel<const ORDERS: usize>(a: Activation, u: &[f64]) -> [Vec<f64>; ORDERS] {
    let h = activated(&Cpu::<f64>::new(), &[(a, 1)], u, ORDERS - 1);
    h.try_into().expect("an array for each order")
}

/// The largest error in ULP where that is the measure, the largest in parts
/// of the bound anywhere, and where the latter is.
#[derive(Clone, Copy, Default)]
struct Worst {
    ulp: f64,
    parts: f64,
    u: f64,
}

fn worst(rows: &[Row], order: usize, mut f: impl FnMut(f64) -> f64) -> Worst {
    let mut worst = Worst::default();
    for row in rows {
        let exact = &row.exact[order];
        let error = exact.error(f(row.u));
        let parts = error / exact.bound();
        if exact.bound() <= BOUND {
            worst.ulp = worst.ulp.max(error);
        }
        if parts > worst.parts {
            (worst.parts, worst.u) = (parts, row.u);
        }
    }
    worst
}

/// Every activation of `all` against the table; what is wrong, if anything is.
fn check(table: &Table, all: &[Activation]) -> Result<(), String> {
    let mut wrong = String::new();
    println!("{:18} {:>6}   ULP of h, h′, h″ (parts of the bound, at u)", "", "points");
    for &a in all {
        let Some(rows) = table.get(a.name()) else {
            wrong += &format!("{a} has no table\n");
            continue;
        };
        print!("{:18} {:6}", a.name(), rows.len());
        let u: Vec<f64> = rows.iter().map(|row| row.u).collect();
        for (order, h) in kernel::<3>(a, &u).into_iter().enumerate() {
            let mut h = h.into_iter();
            let w = worst(rows, order, |_| h.next().expect("as many"));
            print!("   {:.3} ({:.2}, {:?})", w.ulp, w.parts, w.u);
            if w.parts > 1.0 {
                wrong += &format!("{a}, order {order}: {} of the bound at {:?}\n", w.parts, w.u);
            }
        }
        println!();
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

#[test]
fn within_the_promised_bounds() {
    check(&table(), &Activation::ALL).unwrap();
}

#[test]
fn an_activation_without_a_table_is_noticed() {
    let mut table = table();
    table.remove("tanh");
    let wrong = check(&table, &Activation::ALL).unwrap_err();
    assert_eq!(wrong, "tanh has no table\n");
}

#[test]
fn every_table_is_of_some_size_and_of_an_activation() {
    for (name, rows) in table() {
        assert!(rows.len() > 150, "{name}: {}", rows.len());
        assert!(Activation::from_name(&name).is_ok(), "{name}");
    }
}

/// The measure must tell naive formulas from good ones.
#[test]
fn naive_formulas_exceed_the_bounds() {
    let table = table();
    let at = |name: &str, u: f64, order: usize, f: &dyn Fn(f64) -> f64| {
        let row: Vec<Row> = table[name]
            .iter()
            .filter(|row| row.u == u)
            .map(|row| Row { u, exact: row.exact.each_ref().map(|e| Exact { ..*e }) })
            .collect();
        assert_eq!(row.len(), 1, "{name} at {u}");
        worst(&row, order, f).parts
    };
    let naive_tanh1 = |u| (1.0 - libm::tanh(u)) * (1.0 + libm::tanh(u));
    assert!(at("tanh", 5.0, 1, &naive_tanh1) > 100.0);
    let naive_softplus = |u| libm::log(1.0 + libm::exp(u));
    assert!(at("softplus", -40.0, 0, &naive_softplus) > 1e10);
    let naive_gauss = |u: f64| libm::exp(-u * u);
    assert!(worst(&table["gauss"], 0, naive_gauss).parts > 10.0);
    let naive_gelu = |u: f64| 0.5 * u * (1.0 + libm::erf(u * std::f64::consts::FRAC_1_SQRT_2));
    assert!(at("gelu", -5.0, 0, &naive_gelu) > 100.0);
    // The scale itself: two ULP off are 2 ULP, less the rest or more by it.
    let row = table["logistic"].iter().find(|row| row.u == 1.0).unwrap();
    let Exact { hi, rest, .. } = row.exact[0];
    let off = |n: f64| row.exact[0].error(hi + n * ulp(hi));
    assert_eq!([off(2.0), off(-2.0)], [2.0 - rest, 2.0 + rest]);
}

/// Numbers of every kind: any bits at all, the ranges where most happens, and the table's.
fn numbers() -> Vec<f64> {
    let mut state = 1_u64;
    let mut bits = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state ^ state >> 32
    };
    let mut found: Vec<f64> = (0..40_000).map(|_| f64::from_bits(bits())).collect();
    for size in [1e-3, 1.0, 20.0, 800.0, 1600.0] {
        found.extend((0..20_000).map(|_| size * (bits() as i64 as f64 / (1_u64 << 63) as f64)));
    }
    found.extend(table().values().flatten().map(|row| row.u));
    found.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]);
    found
}

/// The same number or NaN both, to the sign of zero.
fn assert_same(found: &[f64], wanted: impl IntoIterator<Item = f64>, what: &str) {
    let wanted: Vec<f64> = wanted.into_iter().collect();
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            found.to_bits() == wanted.to_bits() || found.is_nan() && wanted.is_nan(),
            "{what}, number {i}: {found:?} for {wanted:?}"
        );
    }
}

#[test]
fn the_kernel_has_the_digits_of_the_scalar() {
    let u = numbers();
    assert!(u.len() > 140_000);
    for a in Activation::ALL {
        let h: Vec<[f64; 3]> = u.iter().map(|&u| a.derivatives(u)).collect();
        let same = |found: &[Vec<f64>], len: usize| {
            for (order, found) in found.iter().enumerate() {
                let what = format!("{a}, order {order} of {len}");
                assert_same(found, h[..len].iter().map(|h| h[order]), &what);
            }
        };
        same(&kernel::<1>(a, &u), u.len());
        same(&kernel::<2>(a, &u), u.len());
        same(&kernel::<3>(a, &u), u.len());
        // Past every edge of lanes and of tasks.
        for len in (0..70).chain(4090..4100) {
            same(&kernel::<1>(a, &u[..len]), len);
            same(&kernel::<3>(a, &u[..len]), len);
        }
        let single: Vec<f64> = u.iter().map(|&u| f64::from(u as f32)).collect();
        let found = activated(&Cpu::<f32>::new(), &[(a, 1)], &single, 2);
        for (order, found) in found.iter().enumerate() {
            let wanted = (single.iter()).map(|&u| f64::from(a.derivatives(u)[order] as f32));
            assert_same(found, wanted, &format!("{a} in f32, order {order}"));
        }
    }
}

#[test]
fn every_unit_has_its_own_activation() {
    use Activation::*;
    let runs = [(Tanh, 3), (Relu, 1), (Gelu, 2), (Softplus, 17), (Tanh, 1)];
    let own: Vec<Activation> =
        runs.iter().flat_map(|&(a, units)| std::iter::repeat_n(a, units)).collect();
    let u = numbers();
    for n in [0, 1, 2, 170, 171, 341, 1000] {
        let p = u[..n * own.len()].to_vec();
        let found = activated(&Cpu::<f64>::new(), &runs, &p, 2);
        for (order, found) in found.iter().enumerate() {
            let h = p.iter().zip(own.iter().cycle());
            let wanted = h.map(|(&u, a)| a.derivatives(u)[order]);
            assert_same(found, wanted, &format!("{n} samples, order {order}"));
        }
    }
    let none = activated(&Cpu::<f64>::new(), &[], &[], 2);
    assert_eq!(none, vec![Vec::<f64>::new(); 3]);
}

#[test]
fn values_are_the_first_of_the_derivatives() {
    for (name, rows) in table() {
        let a = Activation::from_name(&name).unwrap();
        for row in rows {
            assert_eq!(a.value(row.u).to_bits(), a.derivatives(row.u)[0].to_bits());
        }
    }
}

#[test]
fn odd_and_even_functions_are_so_exactly() {
    use Activation::*;
    for (a, h_is_odd) in [
        (Identity, true),
        (Tanh, true),
        (Sin, true),
        (Atan, true),
        (Reciprocal, true),
        (Elliot, true),
        (Gauss, false),
        (GaussHalf, false),
        (Cos, false),
    ] {
        for row in &table()[a.name()] {
            let (plus, minus) = (a.derivatives(row.u), a.derivatives(-row.u));
            for order in 0..3 {
                let sign = if h_is_odd == (order % 2 == 0) { -1.0 } else { 1.0 };
                assert_eq!(plus[order], sign * minus[order], "{a} at {:?}", row.u);
            }
        }
    }
}

#[test]
fn relations_between_activations_hold_exactly() {
    use Activation::*;
    for row in &table()["logistic"] {
        let (u, s) = (row.u, Logistic.derivatives(row.u));
        assert_eq!(Softplus.derivatives(u)[1..], s[..2]);
        assert_eq!(Logistic.derivatives(-u)[1], s[1]);
        assert_eq!(Logistic.derivatives(-u)[2], -s[2]);
        assert_eq!(Silu.derivatives(-u)[2], Silu.derivatives(u)[2]);
        assert_eq!(Gelu.derivatives(-u)[2], Gelu.derivatives(u)[2]);
        assert_eq!(Exp.value(-u), OneMinusExpNeg.derivatives(u)[1]);
    }
}

#[test]
fn signs_of_zeros_are_kept_by_odd_functions() {
    use Activation::*;
    for a in [Identity, Tanh, Sin, Atan, OneMinusExpNeg, Silu, Gelu, Elliot, Elu, LeakyRelu, Mish] {
        for zero in [0.0_f64, -0.0] {
            assert_eq!(a.value(zero).to_bits(), zero.to_bits(), "{a}");
        }
    }
}

#[test]
fn infinities_give_the_limits_and_nan_gives_nan() {
    use Activation::*;
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const HALF_PI: f64 = std::f64::consts::FRAC_PI_2;
    for a in Activation::ALL {
        let (minus, plus) = match a {
            Identity => ([-INF, 1.0, 0.0], [INF, 1.0, 0.0]),
            Tanh => ([-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
            Logistic => ([0.0; 3], [1.0, 0.0, 0.0]),
            Softplus => ([0.0; 3], [INF, 1.0, 0.0]),
            Exp => ([0.0; 3], [INF; 3]),
            ExpNegHalf => ([INF, -INF, INF], [0.0; 3]),
            Gauss | GaussHalf => ([0.0; 3], [0.0; 3]),
            OneMinusExpNeg => ([-INF, INF, -INF], [1.0, 0.0, 0.0]),
            Sin | Cos => ([NAN; 3], [NAN; 3]),
            Log => ([NAN; 3], [INF, 0.0, 0.0]),
            Sqrt => ([NAN; 3], [INF, 0.0, 0.0]),
            Reciprocal => ([0.0; 3], [0.0; 3]),
            Atan => ([-HALF_PI, 0.0, 0.0], [HALF_PI, 0.0, 0.0]),
            Relu => ([0.0; 3], [INF, 1.0, 0.0]),
            Silu | Gelu => ([0.0; 3], [INF, 1.0, 0.0]),
            Elliot => ([-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
            Elu => ([-1.0, 0.0, 0.0], [INF, 1.0, 0.0]),
            LeakyRelu => ([-INF, 0.01, 0.0], [INF, 1.0, 0.0]),
            Mish => ([0.0; 3], [INF, 1.0, 0.0]),
            _ => panic!("{a} has no limits here"),
        };
        for (u, limits) in [(-INF, minus), (INF, plus), (NAN, [NAN; 3])] {
            for (found, limit) in a.derivatives(u).into_iter().zip(limits) {
                assert!(
                    found == limit || found.is_nan() && limit.is_nan(),
                    "{a} at {u}: {found} for {limit}"
                );
            }
        }
    }
}

#[test]
fn edges_of_the_domains() {
    use Activation::*;
    const INF: f64 = f64::INFINITY;
    for zero in [0.0, -0.0] {
        assert_eq!(Log.derivatives(zero), [-INF, INF, -INF]);
        assert_eq!(Sqrt.derivatives(zero), [0.0, INF, -INF]);
    }
    assert_eq!(Reciprocal.derivatives(0.0), [INF, -INF, INF]);
    assert_eq!(Reciprocal.derivatives(-0.0), [-INF, -INF, -INF]);
    for u in [-5e-324, -1.0, -1e300] {
        assert!(Log.derivatives(u).iter().all(|x| x.is_nan()));
        assert!(Sqrt.derivatives(u).iter().all(|x| x.is_nan()));
    }
    for a in [Log, Sqrt, Reciprocal] {
        assert_ne!(a.domain(), Identity.domain());
    }
}

#[test]
fn ends_of_the_range_by_hand() {
    use Activation::*;
    const INF: f64 = f64::INFINITY;
    assert_eq!(Softplus.derivatives(1000.0), [1000.0, 1.0, 0.0]);
    assert_eq!(Softplus.value(-745.0), 5e-324);
    assert_eq!(Gauss.derivatives(1e200), [0.0; 3]);
    assert_eq!(Gelu.derivatives(1e300), [1e300, 1.0, 0.0]);
    assert_eq!(Gelu.derivatives(-1e300), [0.0; 3]);
    assert_eq!(Silu.derivatives(1e308), [1e308, 1.0, 0.0]);
    assert_eq!(Silu.derivatives(-800.0), [0.0; 3]);
    assert_eq!(Reciprocal.derivatives(1e-120), [1e120, -1e240, INF]);
    assert_eq!(ExpNegHalf.derivatives(-1420.0)[0], INF);
    assert!(ExpNegHalf.derivatives(-1420.0)[2] < INF); // a quarter of it
    assert_eq!(Relu.derivatives(-0.0), [0.0; 3]);
    assert_eq!(Relu.derivatives(5e-324), [5e-324, 1.0, 0.0]);
}

#[test]
fn names_round_trip() {
    let mut names = std::collections::BTreeSet::new();
    for a in Activation::ALL {
        assert_eq!(a.to_string(), a.name());
        for &name in [a.name()].iter().chain(a.aliases()) {
            assert_eq!(Activation::from_name(name), Ok(a));
            assert!(names.insert(name), "{name} stands for two");
        }
    }
    for (alias, a) in [
        ("sigmoid", Activation::Logistic),
        ("linear", Activation::Identity),
        ("swish", Activation::Silu),
        ("ln", Activation::Log),
    ] {
        assert_eq!(Activation::from_name(alias), Ok(a));
    }
    for unknown in ["", "Tanh", "tanh ", "swishy", "sigmoids"] {
        assert!(Activation::from_name(unknown).is_err());
    }
}

#[test]
fn facts() {
    for a in Activation::ALL {
        let rows = &table()[a.name()];
        assert_eq!(a.is_identity(), rows.iter().all(|r| a.value(r.u) == r.u));
        assert_eq!(a.second_is_zero(), rows.iter().all(|r| a.derivatives(r.u)[2] == 0.0));
    }
}
