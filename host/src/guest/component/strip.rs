//! Removes custom sections from binaries. Looks only at section boundaries. Pure.

use crate::guest::component::shape::MOST_DEPTH;
use wasmparser::{BinaryReader, BinaryReaderError};

/// Length of magic and version in bytes.
const HEADER_BYTES: usize = 8;

/// Offset of the byte that tells the kind: 1 in components, 0 in core modules.
const LAYER: usize = 6;

const CUSTOM: u8 = 0;
/// Section ids of a component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// Why a binary could not be parsed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StripError {
    #[error("{0}")]
    Malformed(#[from] BinaryReaderError),
    #[error("components are nested deeper than {MOST_DEPTH}")]
    TooDeep,
}

/// The binary without custom sections, in nested modules and components too.
pub(super) fn without_custom_sections(binary: &[u8]) -> Result<Vec<u8>, StripError> {
    strip(binary, 0, &|_| false)
}

/// The core module without the custom sections that declare a world.
pub(super) fn without_world(module: &[u8]) -> Result<Vec<u8>, StripError> {
    strip(module, 0, &|name| !name.starts_with("component-type"))
}

fn strip(binary: &[u8], depth: u64, keep: &dyn Fn(&str) -> bool) -> Result<Vec<u8>, StripError> {
    if depth > MOST_DEPTH {
        return Err(StripError::TooDeep);
    }
    let mut reader = BinaryReader::new(binary, 0);
    let header = reader.read_bytes(HEADER_BYTES)?;
    let is_component = header.get(LAYER) == Some(&1);
    let mut out = header.to_vec();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let len = reader.read_var_u32()?;
        let body = reader.read_bytes(len as usize)?;
        match id {
            CUSTOM if !keep(BinaryReader::new(body, 0).read_string()?) => {}
            CORE_MODULE | COMPONENT if is_component => push_section(&mut out, id, &strip(body, depth + 1, keep)?),
            _ => push_section(&mut out, id, body),
        }
    }
    Ok(out)
}

fn push_section(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    wasm_encoder::Section::append_to(&wasm_encoder::RawSection { id, data: body }, out);
}
