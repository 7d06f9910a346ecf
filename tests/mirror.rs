//! Every kernel on its own: `Cpu<f32>` against f64 on identical inputs, and backends with a fault, which must be found.

mod common;

use common::faulty::{Fault, Faulty};
use common::fixtures;
use common::mirror::{mirror, problems};
use common::nets::random_problem;
use common::own;
use common::ratio::{Case, DOUBLE, SINGLE, half_line};
use secondo::backend::{Cpu, Kernel};

/// Small problems, half of them with units that are not linear.
fn small() -> Vec<Case> {
    (0..12)
        .map(|seed| (seed, false))
        .chain((1000..1012).map(|seed| (seed, true)))
        .map(|(seed, radial)| {
            let (problem, w) = random_problem(seed, radial);
            (format!("seed {seed}"), problem, w)
        })
        .collect()
}

#[test]
fn every_kernel_rounds_as_it_may() {
    let report = mirror(&Cpu::<f32>::new(), SINGLE, &problems());
    println!("{report}");
    report.assert_passes();
}

#[test]
fn a_fault_is_found_in_the_kernel_that_has_it() {
    let problems = small();
    // Weights with a constant behind several hidden layers are in these.
    let others: Vec<Case> = (fixtures("derivs").iter())
        .map(|f| (f.name.clone(), f.without_penalty(), f.w.clone()))
        .collect();
    assert!(Fault::ALL.len() >= 70);
    let mut wrong = Vec::new();
    // Here all samples are one chunk, and no copy begins inside an array: oracle.rs finds that one.
    let here = |fault: &&Fault| (fault.kernel, fault.words) != ("copy", "reads from the start");
    for fault in [Fault::NONE].iter().chain(Fault::ALL).filter(here) {
        let backend = Faulty(Cpu::<f32>::new(), *fault);
        let mut report = mirror(&backend, SINGLE, &problems);
        if report.failing().is_empty() && !fault.kernel.is_empty() {
            report = mirror(&backend, SINGLE, &others);
        }
        let named: Vec<_> = report.failing().into_iter().collect();
        let found = if fault.spreads() {
            named.contains(&fault.kernel)
        } else {
            named.join(" ") == fault.kernel
        };
        if !found {
            wrong.push(format!("{fault:?}: {named:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Floats of fewer digits than the backend says it has: every kernel that rounds must show it.
#[test]
fn f32_does_not_pass_for_f64() {
    let copies = ["fill", "copy", "lower_triangle"];
    let report = mirror(&Cpu::<f32>::new(), DOUBLE, &small());
    let off = report.off();
    let missed: Vec<_> = (Kernel::<(), ()>::NAMES.iter())
        .filter(|kernel| !off.contains(**kernel) && !copies.contains(kernel))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// The other float, and so the oracle, which is in f64 as well: no more than twice the bound apart.
#[test]
fn f64_rounds_as_it_may() {
    let mut problems = small();
    problems.extend(half_line());
    problems.extend(own::problems());
    let report = mirror(&Cpu::<f64>::new(), DOUBLE, &problems);
    println!("{report}");
    report.assert_passes();
}
