//! Rows of a file that need not fit in memory: time and memory of value, gradient, row blocks and a fit, as they are read or held.
//!
//! ```sh
//! cargo run --release --features parquet --example larger_than_memory -- make ROWS FILE.npy
//! cargo run --release --features parquet --example larger_than_memory -- read|hold FILE.npy|FILE.parquet [BUDGET_MIB]
//! ```
//!
//! The first writes ten columns of random numbers and a target that is a sine of them. The second prints for each request the plan and
//! the resident memory (on Linux), and the bits of the results: those of rows in memory and of rows that are read are the same.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use secondo::io::{FileSamples, write_file};
use secondo::{
    Activation, Curvature, Data, Initialization, Lbfgs, Loss, Method, Network, NewtonCg, Problem,
    Request, Samples, Structure, TrustRegion, Window, silent,
};

const INPUTS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["make", rows, file] => make(rows.parse()?, Path::new(file)),
        ["read", file, ref rest @ ..] => measure(Path::new(file), true, rest.first().copied()),
        ["hold", file, ref rest @ ..] => measure(Path::new(file), false, rest.first().copied()),
        _ => {
            // A small file, both ways.
            let folder = std::env::temp_dir().join("secondo-larger-than-memory");
            std::fs::create_dir_all(&folder)?;
            let file = folder.join("rows.npy");
            make(50_000, &file)?;
            measure(&file, true, Some("16"))?;
            measure(&file, false, None)?;
            Ok(std::fs::remove_dir_all(&folder)?)
        }
    }
}

/// Writes rows as numpy.save does.
fn make(rows: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    let columns = INPUTS + 1;
    let shape = format!("({rows}, {columns})");
    let head = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    let mut random = Pcg64::seed_from_u64(1);
    write_file(file, |out| {
        out.write_all(b"\x93NUMPY\x01\x00\x76\x00")?;
        out.write_all(format!("{head:<117}\n").as_bytes())?;
        let mut row = Vec::with_capacity(8 * columns);
        for _ in 0..rows {
            let x: [f64; INPUTS] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
            let y = (x[0] + 2.0 * x[1]).sin() + x[2] * x[3] + 0.1 * x[4..].iter().sum::<f64>();
            row.clear();
            x.iter().chain([&y]).for_each(|v| row.extend(v.to_le_bytes()));
            out.write_all(&row)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// MiB of this process: what is resident now, and at its peak.
fn resident() -> [f64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1024.0
    })
}

/// All rows in memory.
fn held(samples: &dyn Samples) -> secondo::Result<Data> {
    let rows = samples.rows();
    let mut all = Window::default();
    samples.walk(0)?.next(rows, &mut all)?;
    let array = |columns: usize, v: Vec<f64>| {
        Array2::from_shape_vec((rows, columns), v).unwrap_or_default()
    };
    Data::new(array(samples.inputs(), all.x), array(samples.outputs(), all.y))
}

fn measure(file: &Path, read: bool, budget: Option<&str>) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let names = FileSamples::columns(file)?;
    let (target, inputs) = names.split_last().ok_or("a file without columns")?;
    let samples = FileSamples::open(file, inputs, std::slice::from_ref(target), None)?;
    let network = Network::dense(&[inputs.len(), 16, 1], Activation::Tanh)?;
    let rows = samples.rows();
    let mut problem = if read {
        Problem::over(network, Arc::new(samples), Loss::SquaredError)?
    } else {
        Problem::new(network, held(&samples)?, Loss::SquaredError)?
    };
    if let Some(mib) = budget {
        problem = problem.memory_budget(mib.parse::<u64>()? << 20);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let [now, peak] = resident();
    println!(
        "{}: {rows} rows, opened in {seconds:.2} s, {now:.0} MiB resident (peak {peak:.0})",
        file.display()
    );
    let w = Initialization::Glorot.draw(problem.network(), 1);
    for (name, request) in [
        ("value", Request::default()),
        ("gradient", Request::gradient()),
        ("row blocks", Request::curvature(Curvature::Exact, Structure::RowBlocks)),
        ("full exact", Request::curvature(Curvature::Exact, Structure::Full)),
    ] {
        let plan = problem.plan(request)?;
        let begin = Instant::now();
        let found = problem.evaluate(&w, request)?;
        line(name, begin, Some(plan.bytes()), found.value);
    }
    let region = TrustRegion { max_iter: 5, ..TrustRegion::default() };
    let methods: [(&str, Box<dyn Method>); 2] = [
        ("L-BFGS, 20 steps", Box::new(Lbfgs { max_iter: 20, ..Lbfgs::default() })),
        ("Newton-CG, 5 steps", Box::new(NewtonCg { region, ..NewtonCg::default() })),
    ];
    for (name, method) in methods {
        let begin = Instant::now();
        let fit = method.fit(&problem, &w, &mut silent)?;
        line(name, begin, None, fit.value);
    }
    Ok(std::io::stdout().flush()?)
}

fn line(name: &str, begin: Instant, plan: Option<u64>, value: f64) {
    let seconds = begin.elapsed().as_secs_f64();
    let plan = plan.map_or("-".into(), |bytes| format!("{:.1}", bytes as f64 / 1048576.0));
    let [now, peak] = resident();
    let bits = value.to_bits();
    println!(
        "{name:<20}{seconds:8.2} s   plan {plan:>6} MiB   resident {now:.0} (peak {peak:.0}) MiB   {value:.9e} {bits:016x}"
    );
}
