//! The program `secondo`: exact derivatives of feed-forward networks and Newton-type training from the command line.

fn main() -> std::process::ExitCode {
    secondo_cli::main()
}
