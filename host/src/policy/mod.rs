//! A policy: what a night is to do, as a TOML file. Shipped policies and profiles are embedded and go by name; a name
//! with `/` or `.toml` is a path. Unknown fields, wrong types and values out of range are errors with their line, the
//! reason and the nearest remedy.
//!
//! May import what a policy is made of: settings of `experiment` and `propose`, keys and limits of `record`. Start with
//! [`Policy`]; a new field is declared in `fields`, and bounded in `check`.

mod check;
mod diagnostic;
mod error;
mod fields;
mod load;
#[cfg(test)]
mod tests;

pub use diagnostic::Diagnostic;
pub use error::PolicyError;
pub use fields::{Budget, CapsPolicy, Policy, Search, TaskPolicy};
pub use load::load_profile;
