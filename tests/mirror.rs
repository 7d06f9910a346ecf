//! Every kernel on its own: `Cpu<f32>` against f64 on identical inputs, and backends with a fault, which must be found.

mod common;

use common::absolute::{Fault, Faulty};
use common::mirror::{mirror, problems};
use common::nets::random_problem;
use common::ratio::{Case, DOUBLE, SINGLE};
use secondo::backend::Cpu;

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
    let wrong: Vec<_> = (Fault::ALL.into_iter())
        .chain([Fault::None])
        .map(|fault| {
            let report = mirror(&Faulty(Cpu::<f32>::new(), fault), SINGLE, &problems);
            (fault, report.failing())
        })
        .filter(|(fault, failing)| *failing != fault.kernel().into_iter().collect())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Floats of fewer digits than the backend says it has: every kernel that rounds must show it.
#[test]
fn f32_does_not_pass_for_f64() {
    let copies = ["diagonal", "gather", "pairs", "transpose"];
    let failing = mirror(&Cpu::<f32>::new(), DOUBLE, &small()).failing();
    let missed: Vec<_> = Fault::ALL
        .into_iter()
        .filter_map(Fault::kernel)
        .filter(|kernel| !failing.contains(kernel) && !copies.contains(kernel))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}
