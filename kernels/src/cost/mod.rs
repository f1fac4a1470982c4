//! What an op costs on the reference device: integers from shapes and dtypes alone.
//!
//! Price = max(⌈work / rate⌉, ⌈bytes beyond the cache / bandwidth⌉) + jumps · price of a miss + overhead, in
//! picoseconds, saturating; a larger tensor of the same layout never costs less. Start at [`Rules::cost`] in `rules`,
//! then [`Prices::price`] in `profile`; what each op demands is in `rules_2`, and in `rules_1` for profiles of before.
//! May import `op`, `spec` and `fault`.

mod demand;
mod profile;
mod rules;
mod rules_1;
mod rules_2;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod workspace;

pub use crate::op::Class;
pub use demand::Cost;
pub use profile::{Instructions, Memory, Prices, Profile, ProfileError, Rate, SMALL_PRODUCT};
pub use rules::{NoSuchRules, Rules};
pub use tables::{KEPT_TABLES, Table, TableKey, Tables};
pub use workspace::{LOGIT_ROWS, workspace};
