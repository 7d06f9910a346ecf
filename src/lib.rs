//! Exact first and second derivatives of feed-forward networks, and Newton-type training with them.
//!
//! `secondo` starts from S. Iovleff, *Exact Calculus of First and Second Derivatives of Arbitrary Feed-Forward Neural
//! Networks* (2004), keeps the paper's matrix as one choice, and also computes the Hessian of the objective, which that
//! matrix is not. It computes on the CPU and, as compute shaders, on Vulkan, Metal and DX12 adapters.
//!
//! ```
//! use ndarray::array;
//! use secondo::{
//!     Activation, Auto, Curvature, Data, Loss, Method, Network, Penalty, Problem, Structure, silent,
//! };
//!
//! let x = array![[0.0], [0.5], [1.0], [1.5], [2.0]];
//! let y = x.mapv(f64::sin);
//! let net = Network::dense(&[1, 3, 1], Activation::Tanh)?;
//! let problem = Problem::new(net, Data::new(x, y)?, Loss::SquaredError)?.penalty(Penalty::ridge(1e-4))?;
//! let w = secondo::Initialization::Glorot.draw(problem.network(), 7);
//!
//! // Value and gradient come with every curvature.
//! let at = problem.curvature(&w, Curvature::Exact, Structure::Full)?;
//! assert_eq!(at.gradient.len(), problem.parameters());
//! let hessian = at.curvature.expect("it was asked for");
//! assert_eq!(hessian.shape(), (10, 10));
//!
//! let fit = Auto::default().fit(&problem, &w, &mut silent)?; // the method that suits loss and size
//! assert!(fit.converged() && fit.value < at.value);
//! println!("{fit}");
//! # Ok::<(), secondo::Error>(())
//! ```
//!
//! # Notation
//!
//! Samples i = 1 … n, layers k = 0 … m (0 is the input) with s_k units; src(k) are the layers that feed layer k.
//!
//! ```text
//! z_i^k = (x_i^t for t in src(k), 1)         p_ij^k = w_j^k · z_i^k  (linear units)   x_ij^k = h_j^k(p_ij^k)
//! E(W)  = Σ_i ω_i g(x_i^m, y_i) + pen(W)     e_i^k  = −∂(ω_i g)/∂x_i^k                δ_i^k  = −e_i^k ⊙ h′(p_i^k) = ∂(ω_i g)/∂p_i^k
//! ```
//!
//! **Sums, not means**; squared error is ½‖y − x‖². The mean is an explicit choice ([`Reduction::Mean`]) and never divides the
//! penalty. The flat parameter vector runs layer by layer, unit by unit, the bias last in each row. (R's nnet minimises
//! Σ (y − f)² + decay Σ w², which is 2 E with λ = decay, and puts biases first; PyTorch's default reductions are means.)
//!
//! # Which matrix is which
//!
//! Eq. 10 of the paper differentiates the Lagrangian twice in W with the states X and the multipliers E held fixed. That is
//! [`Curvature::Lagrangian`]: right as the W–W block of the Lagrangian, block-diagonal, cheap, and **not** the Hessian of E(W),
//! because moving W moves X and E too. By hand: x = 1, y = 0, f = w₂ tanh w₁ at w = (1, 1) has the Hessian
//! [[−0.31081, 0.63970], [0.63970, 0.58003]]; the paper's matrix is [[−0.48719, 0], [0, 0]]. [`Curvature::Exact`] is the Hessian of
//! E(W), whole with [`Structure::Full`]; [`Structure::RowBlocks`] are its blocks on the diagonal, one for each unit, which leave out
//! how units act together. [`Problem::operator`] multiplies with it and never forms it.
//!
//! # Where things are
//!
//! Each uses only what stands below it, but for links in its documentation and in tests. `docs/architecture.md` has a picture. The
//! program is a package of its own, `program/`.
//!
//! | folder | holds |
//! |---|---|
//! | `src/io/` | CSV tables, problem files, models, checkpoints (feature `io`) |
//! | [`inference`] | the Hessian as information matrix: standard errors, tests, effects, evidence, pruning |
//! | [`train`] | one loop, and its models: trust regions with formed and with multiplied matrices, block Newton, Levenberg–Marquardt; `auto`; the same for any function with two derivatives and any residuals |
//! | `src/problem.rs` | [`Problem`]: network, data, loss, penalty, device; the entry to everything below |
//! | `src/session/` | [`Session`]: the plans, data and buffers that requests of one problem share, and [`Point`], the linearization at one w |
//! | `src/evaluate/` | the mathematics of one chunk of samples, a file for each step: `states.rs` forward propagation, `chain.rs` what is carried back, `second.rs` second derivatives, `sums.rs` and `pairs.rs` the sums over samples, `products/` the R-operator, `tensor.rs` derivatives of any order, `plan.rs` the cost |
//! | `src/device.rs` | [`Device`]: what computes, and the test that an adapter must pass |
//! | [`backend`] | the kernels: a struct each in `kernel.rs`, one file in `backend/cpu/` and one shader in `shaders/`; memory and `run(kernel)` of each device |
//! | `src/objective/` | data, losses, penalties |
//! | `src/network/` | layers, units, activations, initial values, ties |
//! | `src/curvature/` | curvature × structure, result types: [`Matrix`], and [`SymmetricTensor`] for derivatives of any order |
//! | [`solve`] | factorizations of small symmetric matrices; knows no network |
//! | [`check`] | supplied derivatives against differences |
//! | [`verify`] | a problem's own derivatives against differences |
//! | `src/guard.rs` | calls into user-defined parts: a panic or NaN there ends as an error that names the part |
//! | `src/interrupt.rs` | [`Interrupt`]: what ends a fit inside a step |
//! | `src/error.rs` | [`Error`] |
//!
//! [`paper`] holds no code: it says where each equation of the paper is computed, and what of it is corrected.
//!
//! The mathematics is written once over [`backend::Backend`]. In a rehearsal a backend allocates and runs nothing but counts bytes and
//! flops, so a request that cannot fit is refused with the numbers before anything is allocated. The pages `docs/adding-….md` give the
//! steps to add a kernel, an activation, a loss or a unit. Users add their own as a formula (`src/network/activation/formula/`: parser,
//! tape, WGSL), as [`ActivationFunction`], [`LossFunction`] and [`PenaltyFunction`]; [`check`] compares derivatives with differences.
//!
//! # Features
//!
//! `gpu` (default) has the shaders and wgpu; `io` reads and writes files: CSV tables, problem files, models, checkpoints.
//!
//! # Accuracy
//!
//! In f64 the stored references agree to 1e-13 of the largest entry of each quantity. Activations are within 2 ULP, near interior
//! zeros of SiLU′, SiLU″, GELU′ and of all derivatives of third and higher order within 2⁻⁵² of the local scale. Sums over samples are taken over short blocks in the
//! backend's float and across blocks in f64, so that in f32 the error does not grow with n; no bit of a result depends on the
//! number of threads.
#![deny(unsafe_code, missing_docs)]

pub mod backend;
pub mod check;
mod clock;
mod curvature;
mod device;
mod error;
mod evaluate;
#[cfg(feature = "gpu")]
mod gpus;
mod guard;
pub mod inference;
mod interrupt;
#[cfg(feature = "io")]
pub mod io;
mod level;
mod memory;
mod network;
mod objective;
pub mod paper;
mod problem;
mod scratch;
mod session;
pub mod solve;
mod sync;
mod team;
pub mod train;
pub mod verify;

pub use curvature::{Block, Curvature, LinearOperator, Matrix, Structure, SymmetricTensor};
pub use device::{Device, Precision};
#[cfg(feature = "gpu")]
pub use device::{Hardware, self_test};
use error::by_name as named;
pub use error::{Error, Fault, Quantity, Result, legible};
pub use evaluate::{Configuration, Counts, Evaluation, LagrangianPoint, Plan, Request};
#[cfg(feature = "gpu")]
pub use gpus::Gpus;
pub use inference::Inference;
pub use interrupt::Interrupt;
pub use memory::{available_memory, is_address_space_limited, limit_memory, require_memory};
pub use network::{
    Activation, ActivationFunction, Constraint, Custom, ExactUnit, Group, GroupView, HigherUnit,
    Initialization, Layer, LayerView, Network, Normalized, Propagation, Radial, Series, Unit,
};
pub use objective::{
    Data, Loss, LossFunction, LossKind, Penalty, PenaltyFunction, Reduction, Samples, Walk, Window,
};
pub use problem::Problem;
pub use scratch::{reserve_scratch, scratch_of_thread};
pub use session::{Operator, Point, Session};
pub use solve::Indefinite;
#[cfg(feature = "mpi")]
pub use team::Mpi;
pub use team::{Team, launched_processes};
pub use train::{
    Auto, BlockNewton, Certificate, Control, EarlyStopping, Evaluations, Fit, Lbfgs,
    LevenbergMarquardt, Method, NewtonCg, Observer, Preconditioning, Progress, Reason, Refinement,
    Settings, Stage, State, Times, TrustRegion, Validated, Validation, silent,
};

// The examples of these pages are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
mod guide {}
#[cfg(doctest)]
#[doc = include_str!("../docs/statistics.md")]
mod statistics {}
