//! A table of numbers, read: from a file to features and target.
//!
//! `cargo bench --bench reading -- FILE…` prints the seconds of five readings of each, of which the last column is the target;
//! `benches/tables/reading.py` makes such files and has pandas beside.

use std::path::Path;
use std::time::Instant;

use secondo::io::{Dialect, Reading, Table};

/// The seconds of one reading.
fn seconds(path: &Path) -> Result<f64, secondo::Error> {
    let begin = Instant::now();
    let table = Table::from_path(path, &Dialect::default())?;
    let target = table.names().last().cloned().unwrap_or_default();
    let data = table.dataset(&Reading::new(target))?;
    std::hint::black_box(&data.x);
    Ok(begin.elapsed().as_secs_f64())
}

fn main() -> Result<(), secondo::Error> {
    // Cargo says --bench.
    for file in std::env::args().skip(1).filter(|arg| !arg.starts_with("--")) {
        let all = (0..5).map(|_| seconds(file.as_ref())).collect::<Result<Vec<f64>, _>>()?;
        let all: Vec<String> = all.iter().map(|s| format!("{s:.3}")).collect();
        println!("{file}: {}", all.join(" "));
    }
    Ok(())
}
