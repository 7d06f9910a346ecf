//! The program `secondo`: exact derivatives of feed-forward networks and Newton-type training from the command line.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
