//! A file that the user wants tried: a Rust source, or a component.

use anyhow::{Context, Result};
use nightlab::community::Content;
use nightlab::guest::component::MAX_COMPONENT_BYTES;
use nightlab::guest::source::MAX_SOURCE_BYTES;
use nightlab::system::user_file;
use std::path::Path;

/// Reads a mutation. A file whose name ends with `.wasm` is a component.
pub fn read(file: &Path) -> Result<Content> {
    let cannot = || format!("cannot read {}", file.display());
    Ok(if file.extension().is_some_and(|end| end == "wasm") {
        Content::Component(user_file::read_bytes(file, MAX_COMPONENT_BYTES as u64).with_context(cannot)?)
    } else {
        Content::Source(user_file::read(file, MAX_SOURCE_BYTES as u64).with_context(cannot)?)
    })
}
