//! How often tests at 5 % reject a true null hypothesis, and how often 95 % intervals cover: simulated tables.
//!
//! ```sh
//! cargo run --release --example calibration -- 10000
//! ```
//!
//! Designs A and B are a [3-2-1] net of tanh units whose third input has no weights; fits start at the truth. Without a hidden layer
//! F and t are exact at any number of rows, so there right formulas must stay in the band and wrong ones must not. The argument is the
//! number of tables for each design, 1000 unless given. The exit code is 1 where a size that theory gives falls out of its band.

mod designs;

use std::process::ExitCode;

use designs::{LINEAR, REGULAR, Regular, linear, regular};
use rayon::prelude::*;
use secondo::Result;

/// A size in percent with its verdict.
struct Row<'a> {
    name: &'a str,
    percent: f64,
    /// The size that it should have, or none where theory promises nothing.
    nominal: Option<f64>,
    /// Whether it should be out of the band.
    is_fault: bool,
}

/// Prints a row, and returns whether it is as it should be.
fn print(row: &Row, count: f64) -> bool {
    let Some(nominal) = row.nominal else {
        println!("  {:<22} {:6.2}", row.name, row.percent);
        return true;
    };
    // 2.75 standard errors: one false alarm in 170.
    let half = 2.75 * (nominal * (100.0 - nominal) / count).sqrt();
    let inside = (row.percent - nominal).abs() <= half;
    let verdict = match (inside, row.is_fault) {
        (true, false) => "in the band",
        (false, false) => "OUT of the band",
        (true, true) => "a wrong formula, NOT found",
        (false, true) => "a wrong formula, found",
    };
    println!("  {:<22} {:6.2}   {:.1} ± {half:.2}: {verdict}", row.name, row.percent, nominal);
    inside != row.is_fault
}

fn main() -> Result<ExitCode> {
    let count: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    println!("{count} tables each; rejections at 5 %, and coverage of 95 % intervals, in percent");
    let mut is_good = true;
    for (name, n, sigma) in [("A, σ 0.25, n 500", 500, 0.25), ("B, σ 0.75, n 500", 500, 0.75)] {
        let all: Vec<Option<Regular>> = (0..count)
            .into_par_iter()
            .map(|seed| regular(n, sigma, seed, true))
            .collect::<Result<_>>()?;
        let all: Vec<Regular> = all.into_iter().flatten().collect();
        let mut conditions: Vec<f64> = all.iter().map(|r| r.condition).collect();
        conditions.sort_by(f64::total_cmp);
        let median = conditions.get(conditions.len() / 2).copied().unwrap_or(f64::NAN);
        println!(
            "\n{name}: {} fits ended at a regular minimum; median scaled condition {median:.0}",
            all.len()
        );
        for (i, column) in REGULAR.into_iter().enumerate() {
            let percent =
                100.0 * all.iter().filter(|r| r.found[i]).count() as f64 / all.len() as f64;
            // Wald's tests of the input are conservative where the signal is moderate.
            let promised = if n == 500 && sigma < 0.5 { i < 5 } else { matches!(i, 2 | 4) };
            let nominal = match i {
                5 => Some(95.0),
                _ => promised.then_some(5.0),
            };
            is_good &=
                print(&Row { name: column, percent, nominal, is_fault: false }, count as f64);
        }
    }
    let all: Vec<[bool; 5]> = (0..count).into_par_iter().map(linear).collect::<Result<_>>()?;
    println!("\nno hidden layer, n 12");
    for (i, column) in LINEAR.into_iter().enumerate() {
        let percent = 100.0 * all.iter().filter(|r| r[i]).count() as f64 / count as f64;
        let row = Row { name: column, percent, nominal: Some(5.0), is_fault: i >= 2 };
        is_good &= print(&row, count as f64);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
