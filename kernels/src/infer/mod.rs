//! Shapes and dtypes of an op's outputs, or the reason why it cannot take its operands. Every size is checked before
//! anything is allocated.
//!
//! Start at [`infer()`] in `rules`. Pure; may import `op`, `spec` and `fault`.

mod call;
mod fused;
mod rules;
mod shapes;
#[cfg(test)]
mod tests;

pub use call::Specs;
pub use rules::{MAX_NEWTON_SCHULZ_STEPS, infer};
pub use shapes::broadcast;
