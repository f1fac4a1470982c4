//! Compiles one source to one core module in the confined child.

use crate::guest::source::Source;
use crate::guest::toolchain::confine::{NOT_CONFINED, Order};
use crate::guest::toolchain::diagnostics::{Diagnostics, printable};
use crate::guest::toolchain::find::Toolchain;
use crate::guest::toolchain::rustc::{FLAGS, TARGET};
use crate::system::confinement::{Memory, Paths, Rlimits};
use crate::system::process::{End, Ended};
use crate::system::scratch::Scratch;
use crate::system::untrusted_folder::{Folder, UntrustedFileError};
use crate::system::walls::Walls;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What every dynamically linked program reads, beside its libraries.
const SYSTEM_READ: [&str; 2] = ["/etc/ld.so.cache", "/dev/null"];

/// Dynamic loaders of the supported systems. Starting a program also executes its loader.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// A compiler opens one or two libraries for each crate of the standard library.
const OPEN_FILES: u64 = 1024;

/// A source that every sound toolchain compiles. While it fails, no other source can be blamed.
const CONTROL: &str = crate::guest::seed::SEED_GUEST;

/// Wall time of a compilation, as a multiple of its processor time. A compiler that uses neither up waits for the
/// machine.
const WALL: u32 = 3;

/// Why a source did not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The compiler's messages, at most [`crate::guest::toolchain::MAX_DIAGNOSTIC_BYTES`], with positions as
    /// `train.rs:LINE:COL`.
    #[error("compile-error: {0}")]
    Rejected(String),
    /// Used up its processor time, most likely because of a loop in a constant or a type.
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
    /// Whether this is a verdict about the source. Otherwise it says something about this machine.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Rejected(_) | Self::Timeout { .. } | Self::Memory { .. } | Self::OutputTooLarge { .. } => true,
            Self::NotConfined(_) | Self::System(_) => false,
        }
    }
}

/// A compilation that failed.
struct Failure {
    error: CompileError,
    /// The error alone proves whose fault it is.
    is_proved: bool,
}

impl Failure {
    fn proved(error: CompileError) -> Self {
        Self { error, is_proved: true }
    }

    /// The error of a second failure, after a control source has compiled.
    fn settled(self) -> CompileError {
        match self.error {
            CompileError::Rejected(said) if !self.is_proved && tells_of_the_machine(&said) => {
                CompileError::System(said)
            }
            error => error,
        }
    }

    /// A file or a process failed.
    fn system(what: &str, error: &std::io::Error) -> Self {
        Self::proved(CompileError::System(format!("{what}: {error}{}", remedy(error))))
    }
}

/// Whether a message that points to no line of the source has words of the system: an error number, or a signal that
/// ended the linker.
fn tells_of_the_machine(said: &str) -> bool {
    !said.contains("--> train.rs:") && (names_an_error_of_the_system(said) || said.contains("signal: "))
}

fn names_an_error_of_the_system(said: &str) -> bool {
    ["(os error ", "No space left"].iter().any(|words| said.contains(words))
}

/// What the owner of the machine can do.
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space there",
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; point TMPDIR to a folder that can be written"
        }
        ErrorKind::OutOfMemory => "; free some memory, or raise `ulimit -v`",
        _ => "",
    }
}

impl Toolchain {
    /// Compiles a source to a core module for [`crate::guest::component::componentise`].
    ///
    /// # Errors
    /// A verdict about the source only if it is proved: the compiler names a line of it, or the source used up a limit
    /// that this machine could give, or it fails twice while another source compiles.
    pub fn compile(&self, source: &Source) -> Result<Vec<u8>, CompileError> {
        self.compile_text(source.text(), &|| false)
    }

    /// Like [`Toolchain::compile`]. If `stopped` becomes true, the compiler is ended; that is no verdict.
    pub fn compile_unless(&self, source: &Source, stopped: &dyn Fn() -> bool) -> Result<Vec<u8>, CompileError> {
        self.compile_text(source.text(), stopped)
    }

    /// Whether this toolchain can still compile.
    ///
    /// # Errors
    /// What is wrong with it or with the machine.
    pub fn check(&self) -> Result<(), CompileError> {
        match self.attempt(CONTROL, &|| false) {
            Ok(_) => Ok(()),
            Err(Failure { error, .. }) if !error.is_verdict() => Err(error),
            Err(Failure { error, .. }) => Err(CompileError::System(format!("the toolchain is damaged: {error}"))),
        }
    }

    /// Tests which walls work around the compiler on this machine, and whether it can open any of `files`.
    ///
    /// # Errors
    /// No process could be started or confined.
    pub fn walls(&self, files: &[PathBuf]) -> Result<Walls, CompileError> {
        self.probe(files).map_err(|failure| failure.error)
    }

    fn probe(&self, files: &[PathBuf]) -> Result<Walls, Failure> {
        let places = |e: std::io::Error| Failure::system("temporary files", &e);
        let work = Scratch::new().map_err(places)?;
        let root = work.path().canonicalize().map_err(places)?;
        let order = Order { probe: Some(files.to_vec()), ..self.order(&root, root.join("out")) };
        let ended = self.run(&order, &root, &|| false)?;
        self.judge(&order, &ended)?;
        let unreadable =
            |e| Failure::proved(CompileError::System(format!("the compiler's process said nonsense: {e}")));
        serde_json::from_str(&ended.stderr.text()).map_err(unreadable)
    }

    /// Compiles without the parser's checks, which are not part of the confinement.
    pub(super) fn compile_text(&self, text: &str, stopped: &dyn Fn() -> bool) -> Result<Vec<u8>, CompileError> {
        match self.attempt(text, stopped) {
            Err(failure) if !failure.is_proved => {
                self.check()?;
                self.attempt(text, stopped).map_err(Failure::settled)
            }
            attempt => attempt.map_err(|failure| failure.error),
        }
    }

    fn attempt(&self, text: &str, stopped: &dyn Fn() -> bool) -> Result<Vec<u8>, Failure> {
        let places = |e: std::io::Error| Failure::system("temporary files", &e);
        let work = Scratch::new().map_err(places)?;
        let root = work.path().canonicalize().map_err(places)?;
        let write = root.join("out");
        fs::create_dir(&write).map_err(places)?;
        fs::write(root.join("train.rs"), text).map_err(places)?;
        let order = self.order(&root, write.clone());
        let ended = self.run(&order, &root, stopped)?;
        self.judge(&order, &ended)?;
        let limit_bytes = self.limits.output_bytes;
        let built = Folder::open(&write).map_err(places)?.read_bytes(Path::new("train.wasm"), limit_bytes);
        built.map_err(|error| match error {
            UntrustedFileError::TooLarge { .. } => Failure::proved(CompileError::OutputTooLarge { limit_bytes }),
            error => Failure::proved(CompileError::System(format!("what was compiled: {error}"))),
        })
    }

    fn run(&self, order: &Order, root: &Path, stopped: &dyn Fn() -> bool) -> Result<Ended, Failure> {
        order
            .carry_out(&self.helper, root, self.limits.time * WALL, stopped)
            .map_err(|e| Failure::system("the compiler's process", &e))
    }

    pub(super) fn order(&self, root: &Path, write: PathBuf) -> Order {
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
        read.extend(self.libraries.iter().cloned());
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
            is_other_language: false,
            probe: None,
        }
    }

    fn judge(&self, order: &Order, ended: &Ended) -> Result<(), Failure> {
        let machine = |what: String| Failure::proved(CompileError::System(what));
        let status = match ended.end {
            End::Exited(status) => status,
            End::Stopped => return Err(machine("it was stopped".into())),
            End::TimedOut => {
                let seconds = (self.limits.time * WALL).as_secs();
                return Err(machine(format!("it did not end in {seconds} s; is this machine overloaded?")));
            }
        };
        let said = &ended.stderr.text();
        if status.success() {
            return Ok(());
        }
        if status.code() == Some(NOT_CONFINED) {
            return Err(Failure::proved(CompileError::NotConfined(printable(said, ""))));
        }
        // A limit says something about the source only if it is ours.
        let of_limit = |error: CompileError, is_proved: bool| match order.limits.beyond_this_process() {
            Some(lower) => machine(format!("{lower}; the compiler ran out of it")),
            None => Failure { error, is_proved },
        };
        match status.signal() {
            Some(libc::SIGXCPU) => {
                return Err(of_limit(CompileError::Timeout { limit: self.limits.time }, true));
            }
            Some(signal @ (libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT)) => {
                return Err(machine(format!(
                    "signal {signal} ended it: the system is short of memory, or a person did"
                )));
            }
            _ => {}
        }
        let said = said.replace(&*self.rustc.sysroot.to_string_lossy(), "<toolchain>");
        let diagnostics = Diagnostics::read(&said);
        if diagnostics.tell_of_no_memory(&said) {
            return Err(of_limit(CompileError::Memory { limit_bytes: self.limits.memory_bytes }, false));
        }
        let linker = diagnostics.linker_failure();
        if status.signal() == Some(libc::SIGXFSZ) || linker.is_some_and(|end| end.contains("SIGXFSZ")) {
            return Err(of_limit(CompileError::OutputTooLarge { limit_bytes: self.limits.output_bytes }, true));
        }
        if let Some(end) = linker {
            let end = printable(end, "");
            // Data beyond the address space makes a linker fail, as a full disk does. A control tells them apart.
            if end.starts_with("exit status") && !names_an_error_of_the_system(&said) {
                let text = format!("the linker ended with {end}: does the data of the source fit into 4 GB?");
                return Err(of_limit(CompileError::Rejected(text), false));
            }
            let folder = std::env::temp_dir();
            return Err(machine(format!(
                "the linker ended with {end}: is {} full, memory short, or a limit of `ulimit` low?",
                folder.display()
            )));
        }
        let text = diagnostics.text().unwrap_or_else(|| format!("the compiler failed ({status})"));
        match diagnostics.blame_the_source() {
            true => Err(Failure::proved(CompileError::Rejected(text))),
            false => Err(of_limit(CompileError::Rejected(text), false)),
        }
    }
}
