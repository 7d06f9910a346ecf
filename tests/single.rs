//! Fits whose value and gradient are in f32 at first, on the processor in f32: their ends, their share in f64, their repeats.

mod common;

use common::datasets;
use ndarray::{ArrayView2, s};
use secondo::{
    BlockNewton, Control, Data, Device, Fit, Lbfgs, Method, NewtonCg, Penalty, Precision, Problem,
    Progress, Reason, State, TrustRegion, silent,
};

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m: f64, v| m.max(v.abs()))
}

/// A method under each name, which stop where f64 does.
fn methods() -> [Box<dyn Method>; 4] {
    [
        Box::new(TrustRegion::default()),
        Box::new(NewtonCg::default()),
        Box::new(Lbfgs::default()),
        Box::new(BlockNewton { max_iter: 3000, gtol: 1e-6, ..BlockNewton::default() }),
    ]
}

/// Checks that a fit ended in f64 at a minimum of the processor's; returns the step from which it was in f64.
#[track_caller]
fn at_the_minimum(problem: &Problem, method: &dyn Method, fit: &Fit) -> usize {
    assert!(fit.converged() && fit.precision == Precision::F32 && fit.failure.is_none(), "{fit}");
    // Bit for bit the processor's numbers.
    assert_eq!(problem.objective(&fit.w).unwrap(), fit.value);
    let norm = largest(&problem.gradient(&fit.w).unwrap());
    assert!(norm <= fit.gradient_goal && (norm - fit.gradient_norm).abs() < 1e-3 * norm, "{fit}");
    // The processor finds no lower point from there.
    let on = method.fit(problem, &fit.w, &mut silent).unwrap();
    assert!(fit.value - on.value <= 1e-10 * fit.value, "{fit}\n{on}");
    fit.refinement.unwrap().from.unwrap()
}

/// Checks fits from some seeds; returns how many there were, and how many ended at the minimum of the fit in f64.
fn fits(name: &str, hidden: usize, seeds: u64, method: &dyn Method) -> [usize; 2] {
    let problem = datasets::problem(name, hidden);
    let single = problem.clone().on(Device::CpuF32);
    let mut same = 0;
    for seed in 0..seeds {
        let start = datasets::start(&problem, seed);
        let fit = method.fit(&single, &start, &mut silent).unwrap();
        let step = at_the_minimum(&problem, method, &fit);
        let right = method.fit(&problem, &start, &mut silent).unwrap();
        let share = fit.refinement.unwrap().share;
        println!("{name} {}, seed {seed}: f64 from step {step}, {share:.3}", method.name());
        println!(
            "    {} and {}, {:e} and {:e}",
            fit.iterations, right.iterations, fit.value, right.value
        );
        assert!(step > 5 && step < fit.iterations + fit.rejected, "{name}: {fit}");
        // Steps by products are all but free of f64.
        assert!(share < if method.name() == "newton-cg" { 0.08 } else { 0.9 }, "{name}: {fit}");
        same += usize::from((fit.value - right.value).abs() < 1e-9 * right.value);
    }
    [seeds as usize, same]
}

#[test]
fn fits_in_f32_end_at_minima_of_f64() {
    let [mut all, mut same] = [0, 0];
    let mut add = |found: [usize; 2]| (all, same) = (all + found[0], same + found[1]);
    for method in methods() {
        add(fits("diabetes", 4, 3, &*method));
        add(fits("breast_cancer", 3, 2, &*method));
    }
    add(fits("digits", 6, 1, &NewtonCg::default()));
    println!("{same} of {all} at the minimum of the fit in f64");
    // There are several, and a step that differs in the seventh digit can lead to another.
    assert!(3 * same > all, "{same} of {all}");
}

/// Some letters with 64 hidden units: in a fit by products the processor's f64 is a small part of the work.
#[test]
fn letters_leave_the_processor_a_seventh_of_the_work() {
    let rows = 400;
    let whole = datasets::problem("letter", 64);
    let data = whole.data().unwrap();
    let part = |a: ArrayView2<f64>| a.slice(s![..rows, ..]).to_owned();
    let data = Data::new(part(data.x().view()), part(data.y().view())).unwrap();
    let problem = Problem::new(whole.network().clone(), data, whole.loss().clone()).unwrap();
    let problem = problem.penalty(Penalty::ridge(1e-2)).unwrap();
    let method = NewtonCg::default();
    let single = problem.clone().on(Device::CpuF32);
    let fit = method.fit(&single, &datasets::start(&problem, 1), &mut silent).unwrap();
    println!("{fit}");
    at_the_minimum(&problem, &method, &fit);
    let share = fit.refinement.unwrap().share;
    // Most of that is the certificate at the end, which more rows make no larger a part.
    assert!(share > 0.0 && share < 1.0 / 7.0, "{share}");
}

/// The states after each step, and the fit.
fn states(method: &dyn Method, problem: &Problem, start: &[f64]) -> (Vec<State>, Fit) {
    let mut states = Vec::new();
    let keep = &mut |p: &Progress| {
        states.push(p.state.clone());
        Control::Continue
    };
    let fit = method.fit(problem, start, keep).unwrap();
    (states, fit)
}

#[test]
fn a_fit_goes_on_from_any_state_to_the_same_bits() {
    let problem = datasets::problem("diabetes", 4);
    let single = problem.clone().on(Device::CpuF32);
    let start = datasets::start(&problem, 1);
    for method in methods() {
        let (states, fit) = states(&*method, &single, &start);
        let from = fit.refinement.unwrap().from;
        let before = states.iter().filter(|state| state.exact.is_none()).count();
        assert!(before > 5 && before < states.len(), "{}: {before}", method.name());
        assert_eq!(states[before].exact, from);
        for at in [0, 1, before / 2, before - 1, before, states.len() - 1] {
            let again = method.resume(&single, states[at].clone(), &mut silent).unwrap();
            assert_eq!((&again.w, again.reason), (&fit.w, fit.reason), "{} {at}", method.name());
            assert_eq!(again.refinement.unwrap().from, from);
            // On the processor in f64 it goes on from there, too.
            let right = method.resume(&problem, states[at].clone(), &mut silent).unwrap();
            assert!(right.converged() && right.refinement.is_none(), "{right}");
        }
    }
}

/// A limit ends a fit where it is, in f32, and says so.
#[test]
fn a_limit_ends_a_fit_in_f32() {
    let problem = datasets::problem("diabetes", 4).on(Device::CpuF32);
    let short = NewtonCg {
        region: TrustRegion { max_iter: 5, ..TrustRegion::default() },
        ..NewtonCg::default()
    };
    let fit = short.fit(&problem, &datasets::start(&problem, 0), &mut silent).unwrap();
    assert_eq!((fit.reason, fit.refinement.unwrap().from), (Reason::Iterations, None));
    assert!(fit.to_string().contains("(f32, value and gradient too)"), "{fit}");
    let stop = &mut |_: &Progress| Control::Stop;
    let fit = short.fit(&problem, &datasets::start(&problem, 0), stop).unwrap();
    assert_eq!((fit.reason, fit.refinement.unwrap().from), (Reason::Interrupted, None));
}
