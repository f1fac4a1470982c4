//! Hidden modes of the binary: what a parent starts again, confined, to compile or to run a guest.

/// Runs the child's part and exits, if this process was started as a child; returns at once otherwise. Comes before
/// anything else in `main`: confinement must precede threads.
pub fn main_if_child() {
    match std::env::args_os().nth(1) {
        Some(mode) if mode == "__compile" => crate::toolchain::compile_child_main(),
        Some(mode) if mode == "__child" => crate::sandbox::child_main(),
        _ => {}
    }
}
