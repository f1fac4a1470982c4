//! Compiles one source to one core module in the confined child.

use crate::guest::source::Source;
use crate::guest::toolchain::confine::{NOT_CONFINED, ORDER_VARIABLE, Order};
use crate::guest::toolchain::find::Toolchain;
use crate::guest::toolchain::rustc::{FLAGS, TARGET};
use crate::system::confinement::{Memory, Paths, Rlimits};
use crate::system::process::{self, End, Ended};
use crate::system::sanitize;
use serde::Deserialize;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Most bytes of compiler messages that are kept. A reader fixes the first errors anyway.
pub const MAX_DIAGNOSTIC_BYTES: usize = 16 << 10;

/// Libraries that every dynamically linked program reads, and harmless devices.
const SYSTEM_READ: [&str; 8] =
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom", "/dev/zero"];

/// Dynamic loaders of the supported systems. Starting a program also executes its loader.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// A compiler opens one or two libraries for each crate of the standard library.
const OPEN_FILES: u64 = 1024;

/// Why a source did not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The compiler's messages, at most [`MAX_DIAGNOSTIC_BYTES`], with positions as `train.rs:LINE:COL`.
    #[error("compile-error: {0}")]
    Rejected(String),
    /// Exceeded the time limit, most likely because of a loop in a constant or a type.
    #[error("compile-timeout: not compiled within {} s: is there a loop in a constant, a macro or a type?", .limit.as_secs())]
    Timeout {
        /// See [`crate::guest::toolchain::find::CompileLimits::time`].
        limit: Duration,
    },
    /// Exceeded the memory limit.
    #[error("compile-memory: the compiler needed more than {} MB: shrink constants and macros", .limit_bytes >> 20)]
    Memory {
        /// See [`crate::guest::toolchain::find::CompileLimits::memory_bytes`].
        limit_bytes: u64,
    },
    /// The module is too large.
    #[error(
        "compile-output: the module is larger than {limit_bytes} bytes: compute large tables instead of writing them"
    )]
    OutputTooLarge {
        /// See [`crate::guest::toolchain::find::CompileLimits::output_bytes`].
        limit_bytes: u64,
    },
    /// This system cannot confine a compiler. This says nothing about the source.
    #[error("the compiler was not started: {0}")]
    NotConfined(String),
    /// A file, a pipe or a process failed. This says nothing about the source.
    #[error("the compiler could not be run: {0}")]
    System(String),
}

impl CompileError {
    /// Whether this is a verdict about the source, and so the same on every try. Other errors may come from this
    /// machine or its load.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Memory { .. } | Self::OutputTooLarge { .. })
    }
}

impl Toolchain {
    /// Compiles a source to a core module for [`crate::guest::component::componentise`].
    pub fn compile(&self, source: &Source) -> Result<Vec<u8>, CompileError> {
        self.compile_text(source.text())
    }

    /// Compiles without the parser's checks, which are not part of the confinement.
    pub(super) fn compile_text(&self, text: &str) -> Result<Vec<u8>, CompileError> {
        let system = |e: std::io::Error| CompileError::System(e.to_string());
        let work = tempfile::tempdir().map_err(system)?;
        let root = work.path().canonicalize().map_err(system)?;
        let write = root.join("out");
        fs::create_dir(&write).map_err(system)?;
        fs::write(root.join("train.rs"), text).map_err(system)?;
        let order = serde_json::to_string(&self.order(&root, write.clone()))
            .map_err(|e| CompileError::System(format!("a path is not UTF-8: {e}")))?;
        let (program, args) = self.helper.split_first().ok_or_else(|| CompileError::System("no helper".into()))?;
        let mut command = Command::new(program);
        command.args(args).env_clear().env(ORDER_VARIABLE, order).current_dir(&root);
        let ended = process::run(command, self.limits.time).map_err(system)?;
        self.judge(&ended)?;
        let module = write.join("train.wasm");
        let bytes = fs::symlink_metadata(&module).map_err(system)?.len();
        if bytes > self.limits.output_bytes {
            return Err(CompileError::OutputTooLarge { limit_bytes: self.limits.output_bytes });
        }
        fs::read(&module).map_err(system)
    }

    fn order(&self, root: &Path, write: PathBuf) -> Order {
        let mut args: Vec<String> = ["train.rs", "--crate-name=train", "--crate-type=cdylib", "--edition=2024"]
            .into_iter()
            .chain(["--target", TARGET, "--error-format=json", "--out-dir", "out", "-Clinker-flavor=wasm-ld"])
            .chain(FLAGS.iter().copied())
            .map(str::to_owned)
            .collect();
        args.push(format!("-Clinker={}", self.linker.display()));
        args.push(format!("--extern=guest_sdk={}", self.sdk.join("libguest_sdk.rlib").display()));
        args.push(format!("--remap-path-prefix={}=", root.display()));
        if let Some(sysroot) = &self.built_sysroot {
            args.push(format!("--sysroot={}", sysroot.display()));
        }
        let mut read: Vec<PathBuf> = SYSTEM_READ.iter().map(PathBuf::from).collect();
        read.extend([self.rustc.sysroot.join("lib"), self.sdk.clone(), root.to_owned()]);
        read.extend(self.built_sysroot.clone());
        // A linker from rustup keeps its libraries in its own toolchain: .../lib/rustlib/TARGET/bin/rust-lld.
        read.extend(self.linker.ancestors().nth(4).filter(|lib| lib.ends_with("lib")).map(Path::to_owned));
        let mut execute = vec![self.rustc.path.clone(), self.linker.clone()];
        execute.extend(LOADERS.iter().map(PathBuf::from));
        Order {
            program: self.rustc.path.clone(),
            args,
            temporary: write.clone(),
            paths: Paths { read, write: vec![write], execute },
            limits: Rlimits {
                memory: Memory::Addresses(self.limits.memory_bytes),
                // Intermediate object files are larger than the module.
                file_bytes: self.limits.output_bytes.saturating_mul(8),
                files: OPEN_FILES,
                cpu_seconds: Some(self.limits.time.as_secs().max(1)),
            },
            parent: std::process::id(),
        }
    }

    fn judge(&self, ended: &Ended) -> Result<(), CompileError> {
        let timeout = CompileError::Timeout { limit: self.limits.time };
        let status = match ended.end {
            End::Exited(status) => status,
            End::TimedOut | End::Stopped => return Err(timeout),
        };
        let said = &ended.stderr.text();
        if status.success() {
            return Ok(());
        }
        if status.code() == Some(NOT_CONFINED) {
            return Err(CompileError::NotConfined(printable(said, "")));
        }
        match status.signal() {
            Some(libc::SIGXCPU) => return Err(timeout),
            Some(libc::SIGKILL) => {
                return Err(CompileError::System("it was killed, by the system or by hand".into()));
            }
            _ => {}
        }
        const STARVED: [&str; 5] = [
            "memory allocation of",
            "more memory than available",
            "out of memory",
            "Cannot allocate memory",
            "std::bad_alloc",
        ];
        if STARVED.iter().any(|words| said.contains(words)) {
            return Err(CompileError::Memory { limit_bytes: self.limits.memory_bytes });
        }
        if status.signal() == Some(libc::SIGXFSZ) || said.contains("SIGXFSZ") {
            return Err(CompileError::OutputTooLarge { limit_bytes: self.limits.output_bytes });
        }
        // If the linker fails, the message contains its whole command line.
        let said = said.replace(&*self.rustc.sysroot.to_string_lossy(), "<toolchain>");
        Err(CompileError::Rejected(diagnostics(&said).unwrap_or_else(|| format!("the compiler failed ({status})"))))
    }
}

/// A line of `--error-format=json`.
#[derive(Deserialize)]
struct Message {
    rendered: Option<String>,
    level: String,
}

/// The compiler's rendered errors, then its warnings.
fn diagnostics(said: &str) -> Option<String> {
    let messages: Vec<Message> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let (errors, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(|m| m.level.starts_with("error"));
    let text: String = errors.into_iter().chain(others).filter_map(|m| m.rendered).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| printable(text, "\n[more was said]"))
}

/// Caps and escapes a text.
fn printable(text: &str, note: &str) -> String {
    let clean = sanitize::printable(text.trim());
    if clean.len() <= MAX_DIAGNOSTIC_BYTES {
        return clean;
    }
    format!("{}{note}", sanitize::cut_bytes(&clean, MAX_DIAGNOSTIC_BYTES - note.len()))
}
