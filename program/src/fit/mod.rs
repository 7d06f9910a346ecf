//! `secondo fit`.

mod data;
mod division;
mod evidence;
mod hidden;
mod job;
mod loss;
mod model;
mod network;
mod options;
mod page;
mod part;
mod problem;
mod report;
mod run;
mod spent;
mod spread;
mod stream;
mod stream_folds;
mod stream_source;
mod validation;

pub use options::Options;
pub use report::{Report, Subject};
pub use run::run;
