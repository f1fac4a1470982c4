//! Checks a component's size, imports and exports, and computes its key.

use crate::guest::component::code::{self, CodeError};
use crate::guest::component::shape;
use crate::guest::component::strip::{self, StripError, without_custom_sections};
use crate::record::key::ComponentKey;
use crate::record::outcome::GuestFault;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};

/// Text of the contract that guests are written against.
pub const CONTRACT_WIT: &str = include_str!("../../../../guest-sdk/wit/0.2.0/lab.wit");

/// Largest core module or component, in bytes. Guests compiled from Rust have about 40 KB, or some hundreds of KB with
/// line tables; a Python interpreter has 18 MB. A policy may set a lower limit for components.
pub const MAX_COMPONENT_BYTES: usize = 32 << 20;

/// The interfaces that a guest may import.
const IMPORTS: [&str; 4] =
    ["lab:train/tensors@0.2.0", "lab:train/autograd@0.2.0", "lab:train/state@0.2.0", "lab:train/session@0.2.0"];

/// The interfaces of WASI that a guest of another toolchain may import, in any version 0.2. They are virtual: see the
/// sandbox's `wasi`.
const VIRTUAL: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The functions that a guest must export.
const EXPORTS: [&str; 2] = ["train", "forward"];

/// Stack of the thread that encodes and validates. Wasm types nest to a fixed depth, and encoders recurse over them.
const ENCODER_STACK_BYTES: usize = 64 << 20;

/// A valid component that imports only the contract and exports `train` and `forward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    bytes: Vec<u8>,
    /// Length of the bytes without custom sections.
    program_bytes: u64,
    has_runtime: bool,
    key: ComponentKey,
}

/// Why bytes are not a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Above [`MAX_COMPONENT_BYTES`].
    #[error("the component has {bytes} bytes; the limit is {MAX_COMPONENT_BYTES}")]
    TooLarge {
        /// Size of the input, or of its encoded component.
        bytes: usize,
    },
    /// More than is validated and compiled in a reasonable time.
    #[error("the component takes too long to validate and compile: {0}")]
    TooComplex(String),
    /// Not WebAssembly, or not an accepted kind.
    #[error("no valid component: {0}")]
    Invalid(String),
    /// Imports a power that guests do not have.
    #[error("imports `{name}`: a guest has no {power}; it may import lab:train@0.2.0 and a virtual WASI 0.2")]
    ForbiddenImport {
        /// The name as the component spells it.
        name: String,
        /// The power, in plain words.
        power: &'static str,
    },
    /// `train` or `forward` is missing, or the core module does not match the contract.
    #[error("does not fit the contract lab:train@0.2.0: {0}; a source has to end with `guest!(train, model);`")]
    WrongWorld(String),
}

impl ComponentError {
    /// The fault that the store records for this error.
    pub fn fault(&self) -> GuestFault {
        match self {
            Self::TooLarge { .. } | Self::TooComplex(_) => GuestFault::ComponentTooLarge,
            Self::Invalid(_) => GuestFault::InvalidComponent,
            Self::ForbiddenImport { .. } => GuestFault::ForbiddenImport,
            Self::WrongWorld(_) => GuestFault::WrongWorld,
        }
    }
}

impl Component {
    /// Checks untrusted bytes: a component, or a core module, which is made into a component.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ComponentError> {
        check_size(bytes)?;
        if Parser::is_component(bytes) {
            let owned = bytes.to_vec();
            return on_own_stack(move || accept(owned));
        }
        componentise(bytes)
    }

    /// Bytes of its data segments: the tables and texts that its memory begins with.
    ///
    /// # Errors
    /// A section does not read.
    pub fn data_bytes(&self) -> Result<u64, ComponentError> {
        let mut bytes = 0;
        for payload in Parser::new(0).parse_all(&self.bytes) {
            if let Payload::DataSection(segments) = payload? {
                for segment in segments {
                    bytes += segment?.data.len() as u64;
                }
            }
        }
        Ok(bytes)
    }

    /// Bytes of the component, with its names and line tables.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it imports WASI, as what other toolchains make does.
    pub fn has_runtime(&self) -> bool {
        self.has_runtime
    }

    /// Length of what the key hashes.
    pub fn program_bytes(&self) -> u64 {
        self.program_bytes
    }

    /// The key: a hash of the bytes without custom sections (names, line tables, producers). This includes nested
    /// modules and components, and section sizes use their shortest encoding.
    pub fn key(&self) -> ComponentKey {
        self.key
    }
}

/// Makes a component from a core module that was compiled against the contract.
///
/// The world is the host's own text of the contract. The module's custom sections about its world are removed, so
/// hostile metadata is never decoded.
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

/// Processes untrusted bytes on a thread of its own. A panic or deep recursion in a library becomes an error about
/// these bytes.
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
    shape::check(core)?;
    code::validate(core)?;
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

/// Reports a forbidden import before the encoder does, with a better message.
fn check_core_imports(core: &[u8]) -> Result<(), ComponentError> {
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                let import = import?;
                check_import(import.module)?;
            }
        }
    }
    Ok(())
}

fn check_import(name: &str) -> Result<(), ComponentError> {
    let is_virtual = name.contains("@0.2.") && VIRTUAL.iter().any(|package| name.starts_with(package));
    if is_virtual || IMPORTS.contains(&name) {
        return Ok(());
    }
    const POWERS: [(&str, &str); 6] = [
        ("wasi:http", "network"),
        ("wasi:", "such interface (of WASI there are cli, clocks, filesystem, io, random and sockets, all 0.2)"),
        ("wasi_snapshot_preview1", "system interface"),
        ("wasi_unstable", "system interface"),
        ("lab:train", "such interface in this version of the contract"),
        ("env", "symbols from outside (an undefined function was linked)"),
    ];
    let power = POWERS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("such power", |(_, power)| power);
    Err(ComponentError::ForbiddenImport { name: shorten(name), power })
}

/// Prepares an untrusted name for a message: capped, and without control characters.
fn shorten(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl From<CodeError> for ComponentError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Invalid(error) => error.into(),
            CodeError::TooComplex(what) => Self::TooComplex(what),
        }
    }
}

impl From<wasmparser::BinaryReaderError> for ComponentError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error.to_string())
    }
}

fn accept(bytes: Vec<u8>) -> Result<Component, ComponentError> {
    check_size(&bytes)?;
    shape::check(&bytes)?;
    let has_runtime = check_outside(&bytes)?;
    code::validate(&bytes)?;
    let stripped = without_custom_sections(&bytes).map_err(|e: StripError| ComponentError::Invalid(e.to_string()))?;
    Ok(Component { bytes, program_bytes: stripped.len() as u64, has_runtime, key: ComponentKey::of(&stripped) })
}

/// Checks imports, exports and start of the outermost component. Nested ones can only be wired to these. Returns
/// whether WASI is imported.
fn check_outside(bytes: &[u8]) -> Result<bool, ComponentError> {
    let (mut depth, mut has_runtime) = (0usize, false);
    let mut missing = EXPORTS.to_vec();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
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
                    let import = import?;
                    // A type that equals another type carries no power: it is the contract's `tensor` under its short
                    // name.
                    if !matches!(import.ty, ComponentTypeRef::Type(wasmparser::TypeBounds::Eq(_))) {
                        check_import(import.name.name)?;
                        has_runtime |= !IMPORTS.contains(&import.name.name);
                    }
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Func {
                        missing.retain(|name| *name != export.name.name);
                    }
                }
            }
            _ => {}
        }
    }
    match missing.first() {
        None => Ok(has_runtime),
        Some(name) => Err(ComponentError::WrongWorld(format!("no `{name}` is exported"))),
    }
}
