//! The `host` binary: a thin shell around the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
<<<<<<< HEAD
    // Children are this same binary, started again.
    host::child::main_if_child().unwrap_or_else(cli::run)
=======
    if let Some(exit) = host::sandbox::child::main_if_child() {
        return exit;
    }
    if std::env::args().nth(1).as_deref() == Some("__compile") {
        host::toolchain::compile_child_main();
    }
    ExitCode::SUCCESS
>>>>>>> s
}
