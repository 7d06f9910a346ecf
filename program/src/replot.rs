//! `secondo plot`.

use std::path::{Path, PathBuf};

use clap::Args;
use secondo::Error;

use crate::exit::Failure;
use crate::files::{self, Kind};
use crate::fit::Report;
use crate::output::has_extension;
use crate::plot::{self, Name};

/// Draws a figure of a fit again, or makes its page, from its JSON report
///
/// 'secondo fit --report FILE.json' keeps what the figures show: nothing is computed again, and neither model nor table is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  secondo plot fit.json --plot residuals -o residuals.svg
      one figure, as SVG or PNG
  secondo plot fit.json -o fit.html
      the page with all of them")]
pub struct Options {
    /// The report, as 'secondo fit --report FILE.json' wrote it
    report: PathBuf,
    /// The figure: convergence, fit, residuals, effects, confusion, spectrum, hessian or network [default: the fit above the convergence]
    #[arg(long, value_name = "NAME", value_parser = Name::from_name)]
    plot: Option<Name>,
    /// Write here: .svg or .png for a figure, .html for the page
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let (input, output): (&Path, &Path) = (&options.report, &options.output);
    let is_page = has_extension(output, "html") || has_extension(output, "htm");
    let kind = if is_page { Kind::Page } else { Kind::Plot };
    if is_page && options.plot.is_some() {
        return Err(Failure::usage(
            "a page has all figures; leave out --plot, or write .svg or .png",
        ));
    }
    if !is_page && plot::check([output]).is_err() {
        let why = "the extension must be .svg, .png or, for the page, .html";
        return Err(Failure::usage(format!("--output {}: {why}", output.display())));
    }
    files::check(&[input], None, &[(kind, output)])?;
    let unreadable = |reason: std::io::Error| Error::Io {
        path: input.to_path_buf(),
        action: "read",
        reason: reason.to_string(),
    };
    let bytes = std::fs::read(input).map_err(unreadable)?;
    // What is not text is no JSON either.
    let text = String::from_utf8_lossy(&bytes);
    let report = Report::from_json(&text).map_err(|error| Error::Format {
        path: input.to_path_buf(),
        line: None,
        column: None,
        why: format!("it is no report: {error}; 'secondo fit --report FILE.json' writes one"),
    })?;
    if is_page {
        return files::write(kind, output, |out| out.write_all(report.to_html().as_bytes()));
    }
    report.figures().write(options.plot, output)
}
