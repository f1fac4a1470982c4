//! Structural operators. Each one finds the places in a guest where it applies, and the edits there. For guests written
//! like the seed guest the result compiles; for others the compiler decides. Pure.

mod activation;
mod guest;
mod norm;
mod optimizer;
mod schedule;
mod sizes;
mod softcap;
mod table;
mod windows;

pub use guest::{Guest, Operator, Prior, Site};
pub use table::OPERATORS;
