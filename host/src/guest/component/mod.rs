//! From untrusted bytes to a component of the contract's world, its key, and the card that stands for it among sources.
//! Pure (no I/O). Depends on the wasm tools, on `record` for fault kinds and keys, and on `system` for sanitizing text.

mod card;
mod check;
mod code;
mod shape;
mod strip;
#[cfg(test)]
mod tests;

pub use card::Card;
pub use check::{CONTRACT_WIT, Component, ComponentError, MAX_COMPONENT_BYTES, componentise};
