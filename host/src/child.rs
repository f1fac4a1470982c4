//! Hidden modes of the binary: what a parent starts again, confined, to compile or to run a guest.

/// Runs the child's part and exits, if this process was started as a child; returns at once otherwise.
pub fn main_if_child() {
    crate::toolchain::main_if_child();
    crate::sandbox::main_if_child();
}
