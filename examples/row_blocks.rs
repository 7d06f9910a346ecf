//! What row blocks can and cannot do: the objective after 10, 50 and 200 steps of row-block Newton, for every curvature.
//!
//! `cargo run --release --example row_blocks` prints the table of the README: tanh units, ridge 1e-2, standardised
//! data, five starts; the median over the starts, and the range.

use std::path::Path;
use std::time::Instant;

use ndarray::Array2;
use secondo::io::{Reading, Standardization, Table, Target};
use secondo::{
    Activation, BlockNewton, Control, Curvature, Data, Initialization, Loss, Network, Penalty,
    Problem, Result,
};

const SEEDS: u64 = 5;
const STEPS: [usize; 3] = [10, 50, 200];

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    println!("| data, network | curvature | after 10 | after 50 | after 200 | ends | s |");
    println!("|---|---|---|---|---|---|---|");
    for (name, target, hidden) in [
        ("diabetes", "progression", 8),
        ("breast_cancer", "diagnosis", 5),
        ("iris", "species", 5),
        ("digits", "digit", 16),
    ] {
        let problem = read(&folder.join(format!("{name}.csv")), target, hidden)?;
        for curvature in Curvature::ALL {
            row(name, &problem, curvature)?;
        }
    }
    Ok(())
}

/// The whole file as a problem with one hidden layer.
fn read(path: &Path, target: &str, hidden: usize) -> Result<Problem> {
    let data = Table::from_path(path, b',')?.dataset(&Reading::new(target))?;
    let n = data.x.nrows();
    let (y, loss) = match &data.target {
        Target::Numbers(y) => {
            let y = Array2::from_shape_fn((n, 1), |(i, _)| y[i]);
            let (scale, _) = Standardization::none(0, 1).with_targets(&y, &[target.into()])?;
            (scale.targets(&y)?, Loss::SquaredError)
        }
        Target::Classes { labels, index } if labels.len() == 2 => {
            let y = Array2::from_shape_fn((n, 1), |(i, _)| index[i] as f64);
            (y, Loss::BinaryCrossEntropy)
        }
        Target::Classes { labels, index } => {
            let one = |(i, o)| if index[i] == o { 1.0 } else { 0.0 };
            (
                Array2::from_shape_fn((n, labels.len()), one),
                Loss::SoftmaxCrossEntropy,
            )
        }
    };
    let (scale, _) = Standardization::of_inputs(&data.x, &data.features, y.ncols())?;
    let x = scale.inputs(&data.x)?;
    let network = Network::dense(&[x.ncols(), hidden, y.ncols()], Activation::Tanh)?;
    Problem::new(network, Data::new(x, y)?, loss)?.penalty(Penalty::ridge(1e-2))
}

/// One line of the table.
fn row(name: &str, problem: &Problem, curvature: Curvature) -> Result<()> {
    let clock = Instant::now();
    let mut after = vec![Vec::new(); STEPS.len()];
    let mut reasons: Vec<&str> = Vec::new();
    for seed in 0..SEEDS {
        let start = Initialization::Glorot.draw(problem.network(), seed);
        let mut values = Vec::new();
        let method = BlockNewton {
            curvature,
            max_iter: STEPS[2],
            ..BlockNewton::default()
        };
        let fit = method.minimize(problem, &start, &mut |p| {
            values.push(p.value);
            Control::Continue
        })?;
        for (after, step) in after.iter_mut().zip(STEPS) {
            // A fit that ended earlier stays where it ended.
            after.push(values[step.min(values.len() - 1)]);
        }
        if !reasons.contains(&fit.reason.name()) {
            reasons.push(fit.reason.name());
        }
    }
    print!("| {name} {} | {} ", problem.network(), curvature.name());
    for values in &mut after {
        values.sort_by(f64::total_cmp);
        let (low, middle, high) = (
            values[0],
            values[values.len() / 2],
            values[values.len() - 1],
        );
        print!("| {middle:.4} ({low:.4} … {high:.4}) ");
    }
    let seconds = clock.elapsed().as_secs_f64() / SEEDS as f64;
    println!("| {} | {seconds:.2} |", reasons.join(", "));
    Ok(())
}
