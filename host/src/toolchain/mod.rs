//! The compiler for guests: finds one, installs what is missing, compiles a source in a confined child. Talks to the
//! file system and to processes; knows nothing of policies, stores or wasmtime.
//!
//! A guest is one file, compiled by `rustc` itself (no cargo, build scripts or procedural macros) against the SDK whose
//! sources this binary carries. The standard library for `wasm32-unknown-unknown` is the toolchain's own, or is built
//! once from its sources into the cache (`$HOST_CACHE`, else `$XDG_CACHE_HOME/host`, else `~/.cache/host`).

mod compile;
mod confine;
mod install;
mod process;

pub use compile::{CompileError, MAX_DIAGNOSTIC_BYTES};
pub use confine::compile_child_main;

use crate::key::{CompileKey, Hash};
use crate::source::Source;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TARGET: &str = "wasm32-unknown-unknown";

/// What every guest is compiled with. Line tables stay, so that faults name a line; one codegen unit, so that the
/// bytes don't depend on how work is split.
const FLAGS: &[&str] =
    &["-Copt-level=2", "-Cpanic=abort", "-Ccodegen-units=1", "-Cdebuginfo=line-tables-only", "-Cstrip=none"];

/// The SDK's sources, carried along: file name under `src/` and text.
pub(crate) const SDK: &[(&str, &str)] = &[
    ("bindings.rs", include_str!("../../../guest-sdk/src/bindings.rs")),
    ("grad.rs", include_str!("../../../guest-sdk/src/grad.rs")),
    ("index.rs", include_str!("../../../guest-sdk/src/index.rs")),
    ("lab.rs", include_str!("../../../guest-sdk/src/lab.rs")),
    ("lib.rs", include_str!("../../../guest-sdk/src/lib.rs")),
    ("math.rs", include_str!("../../../guest-sdk/src/math.rs")),
    ("net.rs", include_str!("../../../guest-sdk/src/net.rs")),
    ("nn.rs", include_str!("../../../guest-sdk/src/nn.rs")),
    ("operators.rs", include_str!("../../../guest-sdk/src/operators.rs")),
    ("optim.rs", include_str!("../../../guest-sdk/src/optim.rs")),
    ("random.rs", include_str!("../../../guest-sdk/src/random.rs")),
    ("reduce.rs", include_str!("../../../guest-sdk/src/reduce.rs")),
    ("rt.rs", include_str!("../../../guest-sdk/src/rt.rs")),
    ("shape.rs", include_str!("../../../guest-sdk/src/shape.rs")),
    ("tensor.rs", include_str!("../../../guest-sdk/src/tensor.rs")),
];

/// Asking a compiler its name takes milliseconds; a rustup shim may take longer.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// A compiler that is ready to use.
#[derive(Clone, Debug)]
pub struct Toolchain {
    rustc: Rustc,
    /// Set where the library was built into the cache.
    built_sysroot: Option<PathBuf>,
    linker: PathBuf,
    linker_version: String,
    /// Folder that holds `libguest_sdk.rlib`.
    sdk: PathBuf,
    /// What re-executes as the confined child.
    helper: Vec<PathBuf>,
    limits: CompileLimits,
    unconfined: bool,
}

/// What bounds one compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Wall clock and processor time. A guest takes about half a second.
    pub time: Duration,
    /// Address space of the compiler and of the linker, each.
    pub memory_bytes: u64,
    /// The core module.
    pub output_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory_bytes: 4 << 30, output_bytes: 8 << 20 }
    }
}

/// Why there is no compiler.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Nothing found and nothing could be installed.
    #[error("no compiler for {TARGET}: {tried}. {advice}")]
    Missing {
        /// What was tried, and how it ended.
        tried: String,
        /// Commands to run.
        advice: &'static str,
    },
    /// A step of the installation failed.
    #[error("{step} failed: {output}")]
    Failed {
        /// In words.
        step: String,
        /// The end of what it said.
        output: String,
    },
    /// The cache could not be used.
    #[error("{path}: {source}; set HOST_CACHE to a folder that can be written")]
    Cache {
        /// Which part.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No folder for the cache.
    #[error(transparent)]
    NoCache(#[from] crate::cache::CacheError),
}

/// A `rustc` and what it says of itself.
#[derive(Clone, Debug)]
struct Rustc {
    path: PathBuf,
    sysroot: PathBuf,
    /// All of `rustc -vV`.
    version: String,
}

impl Rustc {
    fn probe(path: &Path) -> Option<Self> {
        let ask = |args: &[&str]| {
            let mut command = process::command(path);
            command.args(args);
            process::output(command, PROBE_LIMIT).ok()
        };
        let version = ask(&["-vV"])?;
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        // Behind a rustup shim stands the real compiler, which needs no environment.
        let real = sysroot.join("bin/rustc");
        let path = if real.is_file() { real } else { path.to_owned() };
        Some(Self { path, sysroot, version })
    }

    /// Every `rustc` on the path, and the system's.
    fn all() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for path in process::on_path("rustc") {
            if let Some(rustc) = Self::probe(&path)
                && found.iter().all(|other| other.sysroot != rustc.sysroot)
            {
                found.push(rustc);
            }
        }
        found
    }

    fn line(&self, key: &str) -> &str {
        self.version.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim()
    }

    fn has_target(&self) -> bool {
        has_std(&self.sysroot)
    }

    fn library_sources(&self) -> Option<PathBuf> {
        let sources = self.sysroot.join("lib/rustlib/src/rust/library");
        sources.join("std/Cargo.toml").is_file().then_some(sources)
    }

    fn cargo(&self) -> Option<PathBuf> {
        let cargo = self.sysroot.join("bin/cargo");
        cargo.is_file().then_some(cargo)
    }

    fn linker(&self) -> Option<PathBuf> {
        let own = self.sysroot.join("lib/rustlib").join(self.line("host:")).join("bin/rust-lld");
        let beside = own.is_file().then_some(own);
        beside
            .or_else(|| ["wasm-ld", "rust-lld"].into_iter().find_map(|name| process::on_path(name).into_iter().next()))
    }
}

fn library_folder(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

fn has_std(sysroot: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(library_folder(sysroot)) else {
        return false;
    };
    files.flatten().any(|f| {
        let name = f.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

impl Toolchain {
    /// What is ready to use, without installing anything.
    pub fn find() -> Result<Option<Self>, ToolchainError> {
        let cache = install::cache_folder()?;
        Ok(Rustc::all().into_iter().find_map(|rustc| Self::ready(rustc, &cache)))
    }

    /// What is ready to use, or what can be made ready: the target by rustup, Debian's packages as root, the standard
    /// library from its sources. `progress` hears one line for each step that takes time.
    pub fn find_or_install(progress: &mut dyn FnMut(&str)) -> Result<Self, ToolchainError> {
        if let Some(ready) = Self::find()? {
            return Ok(ready);
        }
        install::install(progress)
    }

    fn ready(rustc: Rustc, cache: &Path) -> Option<Self> {
        let built = install::built_sysroot(&rustc, cache);
        let built_sysroot = match rustc.has_target() {
            true => None,
            false => Some(built).filter(|sysroot| has_std(sysroot)),
        };
        if built_sysroot.is_none() && !rustc.has_target() {
            return None;
        }
        let sdk = install::sdk_folder(&rustc, cache);
        if !sdk.join("libguest_sdk.rlib").is_file() {
            return None;
        }
        let linker = rustc.linker()?;
        let linker_version = linker_version(&linker)?;
        let helper = vec![std::env::current_exe().ok()?, PathBuf::from("__compile")];
        let limits = CompileLimits::default();
        Some(Self { rustc, built_sysroot, linker, linker_version, sdk, helper, limits, unconfined: false })
    }

    /// Re-executes this `host` binary as the confined helper instead of the running one.
    #[must_use]
    pub fn with_helper(mut self, host: PathBuf) -> Self {
        self.helper = vec![host, PathBuf::from("__compile")];
        self
    }

    /// Other limits than the defaults.
    #[must_use]
    pub fn with_limits(mut self, limits: CompileLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Compiles without the second wall. Only for sources that the user wrote or trusts, on systems that have none.
    #[must_use]
    pub fn trusting_sources(mut self) -> Self {
        self.unconfined = true;
        self
    }

    /// One line for people: `rustc 1.96.0, wasm32-unknown-unknown, std built from source (cached)`.
    pub fn describe(&self) -> String {
        let library =
            if self.built_sysroot.is_some() { "std built from source (cached)" } else { "std of the toolchain" };
        format!("rustc {}, {TARGET}, {library}", self.rustc.line("release:"))
    }

    /// Compiler and linker, as they enter [`CompileKey`] and an experiment's record.
    pub fn version(&self) -> String {
        let rustc = &self.rustc;
        format!(
            "rustc {} {} llvm {}, {}, {TARGET}",
            rustc.line("release:"),
            rustc.line("commit-hash:"),
            rustc.line("LLVM version:"),
            self.linker_version
        )
    }

    /// The memo key of compiling a source with this toolchain.
    pub fn compile_key(&self, source: &Source) -> CompileKey {
        CompileKey::new(&source.key(), &sdk_hash(), &self.version(), FLAGS)
    }
}

fn linker_version(linker: &Path) -> Option<String> {
    let mut command = process::command(linker);
    if linker.file_name().is_some_and(|name| name == "rust-lld") {
        command.args(["-flavor", "wasm"]);
    }
    command.arg("--version");
    Some(process::output(command, PROBE_LIMIT).ok()?.trim().to_owned())
}

/// Hash of the SDK's sources: each name and text, each preceded by its length.
pub fn sdk_hash() -> Hash {
    let mut encoder = crate::encoding::Encoder::new();
    for (name, text) in SDK {
        encoder.str(name);
        encoder.str(text);
    }
    Hash::of(&encoder.finish())
}

#[cfg(test)]
mod tests;
