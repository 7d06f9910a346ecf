//! Numbers of a curvature besides its entries: eigenvalues, condition, trace, determinant, solutions.

use std::path::PathBuf;

use clap::Args;
use ndarray::Array2;
use secondo::io::array_from_npy;
use secondo::solve::spectral_density;
use secondo::{Curvature, LinearOperator, Matrix, Problem};

use crate::exit::Failure;

/// The numbers to compute from the curvature.
#[derive(Debug, Args)]
#[command(next_help_heading = "From the curvature")]
pub struct Analysis {
    /// Add all eigenvalues, ascending, 'eigenvalues'
    #[arg(long)]
    eigenvalues: bool,
    /// Add a density of the eigenvalues by Lanczos steps, from products alone: 'spectrum_nodes' and 'spectrum_weights'
    ///
    /// The weights say how many eigenvalues each node stands for: their sum is the number of parameters, and the sum of weight times f(node) estimates the trace
    /// of f of the matrix. It needs no matrix, and so serves networks of any size.
    #[arg(long)]
    spectrum: bool,
    /// Lanczos steps for each random vector, with full reorthogonalisation
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..), requires = "spectrum")]
    steps: u32,
    /// Random vectors of the density
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..), requires = "spectrum")]
    probes: u32,
    /// The seed of the random vectors
    #[arg(long, value_name = "N", default_value = "0", requires = "spectrum")]
    seed: u64,
    /// Add the largest size of an eigenvalue over the smallest, 'condition'
    #[arg(long)]
    condition: bool,
    /// Add the sum of the diagonal, 'trace'
    #[arg(long)]
    trace: bool,
    /// Add the logarithm of the size of the determinant and its sign, 'logdet' and 'sign'
    #[arg(long)]
    logdet: bool,
    /// Add the solutions x of B x = b, 'solution', for an array of NumPy: one b, or one in each row
    #[arg(long, value_name = "FILE.npy")]
    pub solve: Option<PathBuf>,
}

/// A number, a list or rows, with its name in files.
pub struct Named {
    pub name: &'static str,
    /// None, one or two lengths.
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Named {
    fn number(name: &'static str, value: f64) -> Self {
        Named { name, shape: Vec::new(), values: vec![value] }
    }

    fn list(name: &'static str, values: Vec<f64>) -> Self {
        Named { name, shape: vec![values.len()], values }
    }
}

impl Analysis {
    /// Whether the matrix must be formed.
    pub fn needs_matrix(&self) -> bool {
        self.eigenvalues || self.condition || self.trace || self.logdet || self.solve.is_some()
    }

    /// Whether anything is asked for.
    pub fn any(&self) -> bool {
        self.needs_matrix() || self.spectrum
    }

    /// The number of arrays that are asked for.
    pub fn arrays(&self) -> usize {
        let pairs = [self.spectrum, self.logdet].map(usize::from);
        let single = [self.eigenvalues, self.condition, self.trace, self.solve.is_some()];
        2 * pairs.iter().sum::<usize>() + single.map(usize::from).iter().sum::<usize>()
    }

    /// The right-hand sides.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn right_hand_sides(&self) -> Result<Option<Array2<f64>>, Failure> {
        Ok(self.solve.as_deref().map(array_from_npy).transpose()?)
    }

    /// All that is asked for.
    ///
    /// # Errors
    /// Right-hand sides of another length, a singular matrix, what the device reports.
    pub fn compute(
        &self,
        problem: &Problem,
        w: &[f64],
        curvature: Curvature,
        matrix: Option<&Matrix>,
        sides: Option<Array2<f64>>,
    ) -> Result<Vec<Named>, Failure> {
        let mut out = Vec::new();
        if let Some(matrix) = matrix {
            if self.eigenvalues {
                out.push(Named::list("eigenvalues", matrix.eigenvalues()?));
            }
            if self.condition {
                out.push(Named::number("condition", matrix.condition()?));
            }
            if self.trace {
                out.push(Named::number("trace", matrix.trace()));
            }
            if self.logdet {
                let (sign, logarithm) = matrix.signed_log_determinant()?;
                out.push(Named::number("logdet", logarithm));
                out.push(Named::number("sign", sign));
            }
            if let Some(sides) = sides {
                let rows = sides.rows().into_iter().map(|b| matrix.solve(&b.to_vec()));
                let values = rows.collect::<Result<Vec<_>, _>>()?.concat();
                out.push(Named { name: "solution", shape: sides.shape().to_vec(), values });
            }
        }
        if self.spectrum {
            let operator = problem.operator(w, curvature)?;
            let (steps, probes) = (self.steps as usize, self.probes as usize);
            let density = spectral_density(operator.order(), steps, probes, self.seed, |v| {
                operator.product(v)
            })?;
            out.push(Named::list("spectrum_nodes", density.nodes));
            out.push(Named::list("spectrum_weights", density.weights));
        }
        Ok(out)
    }
}
