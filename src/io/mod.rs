//! Files: networks as JSON, problem files, CSV tables, models, checkpoints.
//!
//! * [`Table`] reads a table as text, as programs and spreadsheets write it ([`Dialect`]), and makes a [`Dataset`] of it.
//! * [`Model`] is a fitted network with all that predictions need, stored as `.safetensors`.
//! * [`ProblemFile`] is a whole problem, network, data, loss, penalty and weights, in one JSON file.
//! * [`Checkpoint`] is the state of a fit, from which it can go on after an interruption.
//! * [`fit_to_json`] writes the end of a fit, and [`fit_from_json`] reads it back.
//! * [`inference_to_json`] writes what was inferred at a minimum.
//! * [`array_from_npy`] reads an array that NumPy wrote.
//! * [`FileSamples`] are rows of a file that need not fit in memory.
//! * [`Weights`] reads those of other programs, and a [`Model`] is written for them: as a state dict, as ONNX.
//! * [`write_file`] writes a file whole or not at all, [`check_writable`] tells before whether it can, and [`is_same_file`] whether
//!   two names are one file.
//!
//! Every error names the file, and the line and the column where there are any.

mod checkpoint;
mod column;
mod container;
mod files;
mod fit;
mod inference;
mod json;
mod model;
mod npy;
mod npz;
mod onnx;
mod problem_file;
mod protobuf;
mod rows;
mod spec;
mod standardization;
mod table;
mod text;
mod weights;

pub use checkpoint::{Checkpoint, Fingerprint};
pub use column::{Coding, Column, Fill};
pub use files::{check_writable, is_same_file, write_file};
pub use fit::{fit_from_json, fit_to_json};
pub use inference::{alpha_to_json, approximate_to_json, inference_to_json, laplace_to_json};
pub use model::{Model, TrainingRows};
pub use npy::array_from_npy;
pub use problem_file::{
    ProblemFile, loss_from_json, loss_to_json, penalty_from_json, penalty_to_json,
};
pub use rows::{FileSamples, ReadSoFar, read_so_far};
pub use spec::{network_from_json, network_from_path, network_to_json};
pub use standardization::Standardization;
#[cfg(feature = "parquet")]
pub use table::ParquetOfText;
pub use table::{
    Counted, Dataset, Encode, Exposure, Missing, Reading, Substitutes, Table, TableParts, Target,
    Task, Unknown, fill_gaps, impute,
};
pub use text::{Dialect, RowNames};
pub use weights::{NamedTensor, Weights};
