//! The `host` binary: a thin layer around the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Child processes run this same binary.
    nightlab::main_if_child().unwrap_or_else(cli::run)
}
