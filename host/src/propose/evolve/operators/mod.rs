//! Structural operators: each finds the places of a guest where it applies and says what it would write there. They
//! propose what compiles for guests written like the seed guest; for others the compiler is the judge. Pure.

mod activation;
mod guest;
mod norm;
mod optimizer;
mod schedule;
mod sizes;
mod softcap;
mod table;
mod windows;

pub use guest::{Guest, Operator, Site};
pub use table::OPERATORS;
