//! What an op costs on the reference device: integers from shapes and dtypes alone.
//!
//! Price = max(⌈work / rate⌉, ⌈bytes / bandwidth⌉) + overhead in picoseconds, saturating; more elements never cost
//! less. Start at [`cost()`] in `demand`, then [`Prices::price`] in `profile`. May import `op`, `spec` and `fault`.

mod demand;
mod profile;
#[cfg(test)]
pub(crate) mod tests;
mod units;
mod workspace;

pub use crate::op::Class;
pub use demand::{cost, transfer};
pub use profile::{Prices, Profile, ProfileError, Rate};
pub use units::{BROADCAST_ROW, Cost, LANES, MOVED_ROW, SMALL_PRODUCT, TILE};
pub use workspace::{LOGIT_ROWS, workspace};
