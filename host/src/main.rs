//! The `host` binary: a thin layer around the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything that needs a larger one.
    if let Err(error) = nightlab::system::stack::ensure() {
        return cli::fail(&error);
    }
    // Child processes run this same binary.
    nightlab::main_if_child().unwrap_or_else(cli::run)
}
