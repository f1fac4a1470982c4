//! A component as it may run: its size, its imports and exports, and its key.

use crate::guest::component::strip::{self, StripError, without_custom_sections};
use crate::record::key::ComponentKey;
use crate::record::outcome::GuestFault;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload, Validator, WasmFeatures};
use wit_component::{ComponentEncoder, StringEncoding};

/// The contract that guests are written against, as text.
pub const CONTRACT_WIT: &str = include_str!("../../../../guest-sdk/wit/0.2.0/lab.wit");

/// Bytes of a core module or a component. Guests compiled from Rust have about 40 KB, some hundreds of KB with line
/// tables. The policy's own limit on a component may be lower.
pub const MAX_COMPONENT_BYTES: usize = 8 << 20;

/// What a guest may import.
const IMPORTS: [&str; 4] =
    ["lab:train/tensors@0.2.0", "lab:train/autograd@0.2.0", "lab:train/state@0.2.0", "lab:train/session@0.2.0"];

/// What a guest must export.
const EXPORTS: [&str; 2] = ["train", "forward"];

/// Stack of the thread that encodes and validates: wasm types nest to a fixed depth, encoders recurse over them.
const ENCODER_STACK_BYTES: usize = 64 << 20;

/// WebAssembly 2.0 with what compilers switch on by default: what the engine of [`crate::sandbox`] accepts. No relaxed
/// SIMD, threads, 64-bit or several memories, tail calls, garbage collection or exceptions.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::COMPONENT_MODEL
}

/// A valid component that imports only the contract and exports `train` and `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    bytes: Vec<u8>,
    key: ComponentKey,
}

/// Why bytes are no guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Above [`MAX_COMPONENT_BYTES`].
    #[error("the component has {bytes} bytes; the limit is {MAX_COMPONENT_BYTES}")]
    TooLarge {
        /// Of the input or of what it encodes to.
        bytes: usize,
    },
    /// Not WebAssembly, or not of the kind that is taken.
    #[error("no valid component: {0}")]
    Invalid(String),
    /// Asks for a power that guests don't have.
    #[error("imports `{name}`: a guest has no {power}; only the interfaces of lab:train@0.2.0 are there")]
    ForbiddenImport {
        /// As the component spells it.
        name: String,
        /// In plain words.
        power: &'static str,
    },
    /// `train` or `forward` is missing, or the core module differs from the contract.
    #[error("does not fit the contract lab:train@0.2.0: {0}; a source has to end with `guest!(train, model);`")]
    WrongWorld(String),
}

impl ComponentError {
    /// The fault that this is recorded as.
    pub fn fault(&self) -> GuestFault {
        match self {
            Self::TooLarge { .. } => GuestFault::ComponentTooLarge,
            Self::Invalid(_) => GuestFault::InvalidComponent,
            Self::ForbiddenImport { .. } => GuestFault::ForbiddenImport,
            Self::WrongWorld(_) => GuestFault::WrongWorld,
        }
    }
}

impl Component {
    /// Checks bytes from anywhere: a component, or a core module to make one of.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ComponentError> {
        check_size(bytes)?;
        if Parser::is_component(bytes) {
            let owned = bytes.to_vec();
            return on_own_stack(move || accept(owned));
        }
        componentise(bytes)
    }

    /// The component, with its names and line tables.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its key: that of its bytes without custom sections (names, line tables, producers), those of nested modules and
    /// components too, section sizes in their shortest encoding.
    pub fn key(&self) -> ComponentKey {
        self.key
    }
}

/// Makes a component of a core module that was compiled against the contract.
///
/// The world is the host's own text of the contract; what the module's custom sections say of its world is dropped, so
/// that no hostile metadata is ever decoded.
pub fn componentise(core: &[u8]) -> Result<Component, ComponentError> {
    check_size(core)?;
    let owned = core.to_vec();
    on_own_stack(move || accept(encode(&owned)?))
}

fn check_size(bytes: &[u8]) -> Result<(), ComponentError> {
    match bytes.len() {
        ..=MAX_COMPONENT_BYTES => Ok(()),
        bytes => Err(ComponentError::TooLarge { bytes }),
    }
}

/// Runs work on foreign bytes where a panic or deep recursion of a library stays an error of these bytes.
fn on_own_stack<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ComponentError> + Send + 'static,
) -> Result<T, ComponentError> {
    std::thread::Builder::new()
        .name("component".into())
        .stack_size(ENCODER_STACK_BYTES)
        .spawn(work)
        .map_err(|e| ComponentError::Invalid(format!("no thread to check it on: {e}")))?
        .join()
        .unwrap_or_else(|_| Err(ComponentError::Invalid("the encoder failed on it".into())))
}

fn encode(core: &[u8]) -> Result<Vec<u8>, ComponentError> {
    Validator::new_with_features(features()).validate_all(core).map_err(invalid)?;
    check_core_imports(core)?;
    let mut module = strip::without_world(core).map_err(|e| ComponentError::Invalid(e.to_string()))?;
    let wrong_world = |e: anyhow::Error| ComponentError::WrongWorld(format!("{e:#}"));
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_source("lab.wit", CONTRACT_WIT).map_err(wrong_world)?;
    let world = resolve.select_world(&[package], Some("guest")).map_err(wrong_world)?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(wrong_world)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(wrong_world)
}

/// Names a forbidden import before the encoder does, in its own words.
fn check_core_imports(core: &[u8]) -> Result<(), ComponentError> {
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::ImportSection(imports) = payload.map_err(invalid)? {
            for import in imports.into_imports() {
                let import = import.map_err(invalid)?;
                check_import(import.module)?;
            }
        }
    }
    Ok(())
}

fn check_import(name: &str) -> Result<(), ComponentError> {
    if IMPORTS.contains(&name) {
        return Ok(());
    }
    const POWERS: [(&str, &str); 11] = [
        ("wasi:sockets", "network"),
        ("wasi:http", "network"),
        ("wasi:filesystem", "files"),
        ("wasi:clocks", "clock"),
        ("wasi:random", "randomness of its own (use `uniform` and `normal`)"),
        ("wasi:cli", "environment"),
        ("wasi:io", "streams"),
        ("wasi_snapshot_preview1", "system interface"),
        ("wasi_unstable", "system interface"),
        ("lab:train", "such interface in this version of the contract"),
        ("env", "symbols from outside (an undefined function was linked)"),
    ];
    let power = POWERS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("such power", |(_, power)| power);
    Err(ComponentError::ForbiddenImport { name: shorten(name), power })
}

/// A foreign name as it may appear in a message: capped and without control characters.
fn shorten(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn invalid(error: wasmparser::BinaryReaderError) -> ComponentError {
    ComponentError::Invalid(error.to_string())
}

fn accept(bytes: Vec<u8>) -> Result<Component, ComponentError> {
    check_size(&bytes)?;
    check_outside(&bytes)?;
    Validator::new_with_features(features()).validate_all(&bytes).map_err(invalid)?;
    let stripped = without_custom_sections(&bytes).map_err(|e: StripError| ComponentError::Invalid(e.to_string()))?;
    Ok(Component { bytes, key: ComponentKey::of(&stripped) })
}

/// Imports, exports and start of the outermost component; what is nested can only be wired to these.
fn check_outside(bytes: &[u8]) -> Result<(), ComponentError> {
    let mut depth = 0usize;
    let mut missing = EXPORTS.to_vec();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding != Encoding::Component {
                    return Err(ComponentError::Invalid("a core module where a component belongs".into()));
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentStartSection { .. } => {
                return Err(ComponentError::WrongWorld(
                    "it has a start function; `train` is where a guest starts".into(),
                ));
            }
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    let import = import.map_err(invalid)?;
                    // A type that equals another one carries no power: the contract's `tensor` by its short name.
                    if !matches!(import.ty, ComponentTypeRef::Type(wasmparser::TypeBounds::Eq(_))) {
                        check_import(import.name.name)?;
                    }
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let export = export.map_err(invalid)?;
                    if export.kind == ComponentExternalKind::Func {
                        missing.retain(|name| *name != export.name.name);
                    }
                }
            }
            _ => {}
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(ComponentError::WrongWorld(format!("no `{name}` is exported"))),
    }
}
