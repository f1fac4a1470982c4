//! Structural operators. Each finds the places in a guest where it applies, by what the code does, and the edits there.
//! Where it cannot tell, it proposes nothing. Pure. Start with `table`; `draft` has the general edits, and `tree`,
//! `parameters`, `trunk`, `context` and `training` find the places.

mod activation;
mod adam;
mod arguments;
mod attention;
mod context;
mod draft;
mod guest;
mod head;
mod initial;
mod memory;
mod mlp;
mod muon;
mod norm;
mod optimizer;
mod parameters;
mod schedule;
mod sizes;
mod steps;
mod stream;
mod table;
mod training;
mod tree;
mod trunk;
mod windows;

pub use guest::{Guest, Operator, Prior, Site};
pub use table::OPERATORS;
