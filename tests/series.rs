//! Truncated power series against Taylor coefficients to 60 digits (data/series.csv, made by data/series.py).

mod common;

use secondo::{Activation, Series};

/// The function that the table calls `name`.
fn series(name: &str, u: &Series) -> Series {
    match name {
        "expm1" => u.expm1(),
        "log1p" => u.log1p(),
        "power -2" => u.powf(-2.0),
        "power 5" => u.powf(5.0),
        "power 2.5" => u.powf(2.5),
        "tan" => u.tan(),
        "sinh" => u.sinh_cosh().0,
        "cosh" => u.sinh_cosh().1,
        "erf" => u.erf(),
        "normal_cdf" => u.normal_cdf(),
        activation => Activation::from_name(activation).unwrap().series(u).unwrap(),
    }
}

struct Row {
    name: String,
    u: f64,
    /// c₀ … c₉
    exact: Vec<f64>,
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(common::data_dir().join("series.csv")).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',');
        let name = cells.next().unwrap().to_string();
        let mut numbers = cells.map(|c| c.parse::<f64>().unwrap());
        Row { name, u: numbers.next().unwrap(), exact: numbers.collect() }
    };
    text.lines().map(row).collect()
}

/// The error of c₀ … c₈, each relative to the larger of |c_k| and what its neighbours are at the distance over which
/// the coefficients fall: near a zero of f⁽ᵏ⁾ no digit of c_k itself is promised.
fn errors(row: &Row, found: &[f64]) -> Vec<f64> {
    let c = &row.exact;
    (0..found.len())
        .map(|k| {
            let near = match k {
                0 => 0.0, // the function itself
                _ => (c[k - 1] * c[k + 1]).abs().sqrt(),
            };
            let scale = c[k].abs().max(near).max(1e-290);
            (found[k] - c[k]).abs() / scale
        })
        .collect()
}

#[test]
fn all_functions_to_order_8() {
    let mut worst = std::collections::BTreeMap::<String, (f64, f64, usize)>::new();
    for row in table() {
        let found = series(&row.name, &Series::variable(row.u, 8));
        for (k, error) in errors(&row, found.coefficients()).into_iter().enumerate() {
            let entry = worst.entry(row.name.clone()).or_default();
            if error.is_nan() || error > entry.0 {
                *entry = (error, row.u, k);
            }
        }
    }
    for (name, (error, u, k)) in &worst {
        println!("{name:18} {error:8.1e} at u = {u:e}, order {k}");
    }
    for (name, (error, u, k)) in worst {
        assert!(error < 1e-14, "{name}: {error:e} at u = {u}, order {k}");
    }
}
