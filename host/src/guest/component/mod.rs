//! From bytes that anyone may have made to a component of the contract's world, and its key. Pure (no I/O); depends on
//! the wasm tools and on [`crate::record::outcome`] for the kinds of fault.

mod check;
mod strip;
#[cfg(test)]
mod tests;

pub use check::{CONTRACT_WIT, Component, ComponentError, MAX_COMPONENT_BYTES, componentise};
