//! The compiler for guests: finds one, installs missing parts, and compiles a source in a confined child. Uses the file
//! system and processes. May import `record`, `system` and [`crate::guest::source`].
//!
//! A guest is one file. `rustc` compiles it directly (no cargo, build scripts or procedural macros) against the SDK,
//! whose sources are part of this binary. The standard library for `wasm32-unknown-unknown` comes with the toolchain,
//! or is built once from its sources into the cache (`$HOST_CACHE`, else `$XDG_CACHE_HOME/host`, else `~/.cache/host`).

mod compile;
mod confine;
mod diagnostics;
mod error;
mod find;
mod install;
mod language;
mod places;
mod rustc;
#[cfg(test)]
mod tests;

pub use compile::CompileError;
pub use confine::compile_child_main;
pub use diagnostics::MAX_DIAGNOSTIC_BYTES;
pub use error::ToolchainError;
pub use find::{CompileLimits, Toolchain};
pub use language::{Language, LanguageError, Tool};
pub(crate) use rustc::SDK;
pub use rustc::sdk_hash;
