//! A compiler that is ready to use, and the compile key.

use crate::guest::source::Source;
use crate::guest::toolchain::error::ToolchainError;
use crate::guest::toolchain::places;
use crate::guest::toolchain::rustc::{FLAGS, PROBE_LIMIT, Rustc, TARGET, has_std, sdk_hash};
use crate::record::key::CompileKey;
use crate::system::process;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where systems keep shared libraries.
const LIBRARY_FOLDERS: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

#[derive(Clone, Debug)]
pub struct Toolchain {
    pub(super) rustc: Rustc,
    /// Set if the standard library was built into the cache.
    pub(super) built_sysroot: Option<PathBuf>,
    pub(super) linker: PathBuf,
    linker_version: String,
    /// Shared libraries of compiler and linker, outside the sysroot.
    pub(super) libraries: Vec<PathBuf>,
    /// Folder that holds `libguest_sdk.rlib`.
    pub(super) sdk: PathBuf,
    /// The command that re-executes the host as the confined child.
    pub(super) helper: Vec<PathBuf>,
    pub(super) limits: CompileLimits,
}

/// Limits of one compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Limit of processor time; three times as much may pass on the clock. A guest takes about half a second.
    pub time: Duration,
    /// Limit of address space, for the compiler and for the linker each.
    pub memory_bytes: u64,
    /// Largest core module in bytes.
    pub output_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory_bytes: 4 << 30, output_bytes: 8 << 20 }
    }
}

impl Toolchain {
    /// Finds a toolchain that is ready to use. Installs nothing.
    pub fn find() -> Result<Option<Self>, ToolchainError> {
        let cache = places::cache_folder()?;
        Ok(Rustc::all().map_err(ToolchainError::unasked)?.into_iter().find_map(|rustc| Self::ready(rustc, &cache)))
    }

    pub(super) fn ready(rustc: Rustc, cache: &Path) -> Option<Self> {
        let built = places::built_sysroot(&rustc, cache);
        let built_sysroot = match rustc.has_target() {
            true => None,
            false => Some(built).filter(|sysroot| has_std(sysroot)),
        };
        if built_sysroot.is_none() && !rustc.has_target() {
            return None;
        }
        let sdk = places::sdk_folder(&rustc, cache);
        if !sdk.join("libguest_sdk.rlib").is_file() {
            return None;
        }
        let linker = rustc.linker()?;
        let linker_version = linker_version(&linker)?;
        let libraries = [&rustc.path, &linker].into_iter().flat_map(|program| libraries_of(program)).collect();
        let helper = vec![PathBuf::from(process::THIS_PROGRAM), PathBuf::from("__compile")];
        let limits = CompileLimits::default();
        Some(Self { rustc, built_sysroot, linker, linker_version, libraries, sdk, helper, limits })
    }

    /// Uses this `host` binary as the confined helper instead of the running one.
    #[must_use]
    pub fn with_helper(mut self, host: PathBuf) -> Self {
        self.helper = vec![host, PathBuf::from("__compile")];
        self
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: CompileLimits) -> Self {
        self.limits = limits;
        self
    }

    /// A description in one line: `rustc 1.96.0, wasm32-unknown-unknown, std built from source (cached)`.
    pub fn describe(&self) -> String {
        let library =
            if self.built_sysroot.is_some() { "std built from source (cached)" } else { "std of the toolchain" };
        format!("rustc {}, {TARGET}, {library}", self.rustc.line("release:"))
    }

    /// Compiler and linker, as part of [`CompileKey`] and of an experiment's record.
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

    /// The key under which the result of compiling `source` is cached.
    pub fn compile_key(&self, source: &Source) -> CompileKey {
        CompileKey::new(&source.key(), &sdk_hash(), &self.version(), FLAGS)
    }
}

/// The shared libraries that a program loads, as the system's loader lists them. If it lists none, the folders that
/// hold libraries.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let mut command = process::command(program);
    command.env("LD_TRACE_LOADED_OBJECTS", "1");
    let listed = process::output(command, PROBE_LIMIT).unwrap_or_default();
    let paths = listed.lines().filter_map(|line| line.split_once(" => ")?.1.split_whitespace().next());
    let libraries: Vec<PathBuf> = paths.filter(|path| path.starts_with('/')).map(PathBuf::from).collect();
    if libraries.is_empty() { LIBRARY_FOLDERS.map(PathBuf::from).into() } else { libraries }
}

fn linker_version(linker: &Path) -> Option<String> {
    let mut command = process::command(linker);
    if linker.file_name().is_some_and(|name| name == "rust-lld") {
        command.args(["-flavor", "wasm"]);
    }
    command.arg("--version");
    Some(process::output(command, PROBE_LIMIT).ok()?.trim().to_owned())
}
