//! Hidden modes of the binary: what a parent starts again, to compile or to run a guest, confined, or to watch over a
//! program.

use std::process::ExitCode;

/// Runs the child's part, if this process was started as a child. Comes before anything else in `main`: confinement must
/// precede threads.
pub fn main_if_child() -> Option<ExitCode> {
    if std::env::args_os().nth(1).is_some_and(|mode| mode == "__compile") {
        crate::toolchain::compile_child_main();
    }
    crate::command::main_if_supervisor().or_else(crate::sandbox::child::main_if_child)
}
