//! From untrusted bytes to a component of the contract's world, and its key. Pure (no I/O). Depends on the wasm tools
//! and, for fault kinds and keys, on `record`.

mod check;
mod strip;
#[cfg(test)]
mod tests;

pub use check::{CONTRACT_WIT, Component, ComponentError, MAX_COMPONENT_BYTES, componentise};
