//! From an op to its plan. Start at `rules`, which has a line for each op; the other files have the ops that take more
//! than one launch, by the `.cu` file that they use.
//!
//! Imports `plan`, and of `kernels` what the ops are.

mod builder;
mod fused;
mod reduce;
mod rules;
mod walk;

pub use fused::NormRope;
pub use rules::lower;
