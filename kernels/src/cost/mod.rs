//! What an op costs on the reference device: integers from shapes and dtypes alone.
//!
//! Price = max(⌈work / rate⌉, ⌈bytes / bandwidth⌉) + overhead in picoseconds, saturating; more elements never cost
//! less. Start at [`cost()`] in `demand`, then [`Prices::price`] in `profile`. May import `op`, `spec` and `fault`.

mod class;
mod demand;
mod profile;
#[cfg(test)]
pub(crate) mod tests;
mod workspace;

pub use class::{BROADCAST_ROW, Class, Cost, LANES, MOVED_ROW, SMALL_PRODUCT, TILE};
pub use demand::{cost, transfer};
pub use profile::{Prices, Profile, ProfileError, Rate};
pub use workspace::{LOGIT_ROWS, workspace};
