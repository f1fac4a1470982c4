//! `cargo xtask cuda [--accept]`: compiles the CUDA kernels for the common cards and compares what they take of a card
//! with what is committed. Start at `check`; `toolkit` brings the compiler, `resources` reads what it tells.

mod check;
mod resources;
mod toolkit;

pub use check::run;
