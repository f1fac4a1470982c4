//! The `host` binary: a thin shell around the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Children are this same binary, started again.
    nightlab::main_if_child().unwrap_or_else(cli::run)
}
