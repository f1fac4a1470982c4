//! A file that the user wants tried: a Rust source, a component, or a source in another language, which is built here.

use anyhow::{Context, Result};
use nightlab::community::Content;
use nightlab::guest::component::MAX_COMPONENT_BYTES;
use nightlab::guest::source::MAX_SOURCE_BYTES;
use nightlab::guest::toolchain::Language;
use nightlab::system::user_file;
use std::path::Path;

/// Reads a mutation. A file whose name ends with `.wasm` is a component; one in another language is built.
pub fn read(file: &Path) -> Result<Content> {
    let cannot = || format!("cannot read {}", file.display());
    if let Some(language) = Language::of(file) {
        let text = user_file::read(file, MAX_SOURCE_BYTES as u64).with_context(cannot)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let component = language.find(folder)?.build(&text, None)?;
        return Ok(Content::Component(component.bytes().to_vec()));
    }
    Ok(if file.extension().is_some_and(|end| end == "wasm") {
        Content::Component(user_file::read_bytes(file, MAX_COMPONENT_BYTES as u64).with_context(cannot)?)
    } else {
        Content::Source(user_file::read(file, MAX_SOURCE_BYTES as u64).with_context(cannot)?)
    })
}
