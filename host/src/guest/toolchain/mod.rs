//! The compiler for guests: finds one, installs what is missing, compiles a source in a confined child. Talks to the
//! file system and to processes; knows nothing of policies, stores or wasmtime.
//!
//! A guest is one file, compiled by `rustc` itself (no cargo, build scripts or procedural macros) against the SDK whose
//! sources this binary carries. The standard library for `wasm32-unknown-unknown` is the toolchain's own, or is built
//! once from its sources into the cache (`$HOST_CACHE`, else `$XDG_CACHE_HOME/host`, else `~/.cache/host`).

mod compile;
mod confine;
mod error;
mod find;
mod install;
mod places;
mod rustc;
#[cfg(test)]
mod tests;

pub use compile::{CompileError, MAX_DIAGNOSTIC_BYTES};
pub use confine::compile_child_main;
pub use error::ToolchainError;
pub use find::{CompileLimits, Toolchain};
pub(crate) use rustc::SDK;
pub use rustc::sdk_hash;
