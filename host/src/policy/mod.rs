//! A policy: the settings of a night, as a TOML file. Shipped policies and profiles are embedded and have names; a name
//! with `/` or `.toml` is a path. Unknown fields, wrong types and values out of range are errors with a line, a reason
//! and the nearest remedy.
//!
//! May import `experiment` and `propose` for their settings, and `record` and `system`. Start with [`Policy`]. A new
//! field is declared in `fields`, and its range in `check`; `schema` tells editors of both.

mod check;
mod diagnostic;
mod error;
mod fields;
mod load;
mod schema;
#[cfg(test)]
mod tests;

pub use diagnostic::Diagnostic;
pub use error::PolicyError;
pub use fields::{Budget, CapsPolicy, Choice, Notify, Occasion, Policy, Search, TaskPolicy};
pub use load::{DEFAULT_PROFILE, load_profile};
