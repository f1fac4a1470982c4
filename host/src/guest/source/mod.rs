//! A guest's Rust source: parsed, checked and identified by a key. Pure (no I/O). Depends on `syn` and, within the
//! host, on `record` for the key and `system` for sanitizing text. Every parse of Rust in the host happens in `syntax`,
//! behind its checks of size and depth. The other checks only give early errors with a line.
//! Safety against untrusted sources comes from the confined compiler ([`crate::guest::toolchain`]).

mod carried;
mod change;
mod depth;
mod error;
mod key;
mod limits;
mod parse;
mod piece;
mod refuse;
mod syntax;
#[cfg(test)]
mod tests;
mod token;

pub use carried::Carried;
pub use change::Change;
pub use error::{Position, SourceError};
pub use limits::MAX_SOURCE_BYTES;
pub use parse::Source;
pub use piece::{ITEMS, Piece, pieces};
pub use syntax::{Syntax, look};
