//! A guest's Rust source: parsed, checked and named by a key. Pure (no I/O); depends on `syn` and on nothing of the
//! host. The refusals here are courtesy, early and with a line; the promise that a stranger's source can't read this
//! machine is the confined compiler's ([`crate::guest::toolchain`]).

mod error;
mod limits;
mod parse;
mod refuse;
#[cfg(test)]
mod tests;

pub use error::{Position, SourceError};
pub use limits::MAX_SOURCE_BYTES;
pub use parse::Source;
