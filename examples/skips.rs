//! Exclusive or with one hidden unit: it takes connections that skip the hidden layer.
//!
//! `cargo run --release --example skips` prints the best of ten fits for a network without and one with them. Without, the
//! output is a monotone function of one sum of the inputs, and E cannot fall below 1/3: three of the four answers coincide.

use ndarray::array;
use secondo::{
    Activation, Auto, Data, Initialization, Layer, Loss, Method, Network, Problem, Result, silent,
};

fn main() -> Result<()> {
    let x = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
    let y = array![[0.0], [1.0], [1.0], [0.0]];
    for (name, sources) in [("without skips", vec![1]), ("with skips", vec![0, 1])] {
        let network = Network::new(
            2,
            vec![
                Layer::dense(1, Activation::Tanh),
                // Layer 0 is the input, layer 1 the hidden one.
                Layer::dense(1, Activation::Identity).sources(sources),
            ],
        )?;
        let problem = Problem::new(network, Data::new(x.clone(), y.clone())?, Loss::SquaredError)?;
        let mut best: Option<secondo::Fit> = None;
        for seed in 0..10 {
            let start = Initialization::Glorot.draw(problem.network(), seed);
            let fit = Auto::default().fit(&problem, &start, &mut silent)?;
            best = best.filter(|b| b.value <= fit.value).or(Some(fit));
        }
        let Some(fit) = best else { continue };
        let answers = problem.predict(&fit.w, &x)?;
        println!("{name:<14} E = {:.2e}, answers {:.3}", fit.value, answers.column(0));
    }
    Ok(())
}
