//! Builds this package for another processor: with the standard library that a compiler brings for it, one that rustup
//! can add, or one built from the sources of Debian's compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs aarch64 programs.
pub const QEMU: &str = "qemu-aarch64-static";
/// Where Debian puts the C library for aarch64.
pub const AARCH64_LIBRARIES: &str = "/usr/aarch64-linux-gnu";
const AARCH64_LINKER: &str = "aarch64-linux-gnu-gcc";
/// Debian's compiler, whose library's sources are a package.
const DEBIAN: &str = "/usr/bin";
/// All that any of this needs, on Debian and Ubuntu.
const ADVICE: &str = "apt-get install --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static \
    rustc-web cargo-web rust-web-src lld";

/// What is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A program for Linux.
    Aarch64,
    /// A module without imports.
    Wasm,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Wasm => "wasm32-unknown-unknown",
        }
    }
}

/// The file that was built, or what went wrong and how to mend it.
pub fn build(target: Target) -> Result<PathBuf, String> {
    if target == Target::Aarch64 {
        for program in [AARCH64_LINKER, QEMU] {
            output(Command::new(program).arg("--version")).map_err(|_| format!("no {program}: {ADVICE}"))?;
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bits");
    let mut cargo = compiler(target).ok_or_else(|| format!("no library for {}: {ADVICE}", target.name()))?;
    match target {
        Target::Aarch64 => cargo.args(["build", "--bin", "bits"]),
        Target::Wasm => cargo.args(["rustc", "--lib", "--crate-type", "cdylib"]),
    };
    cargo.args([
        "--release",
        "--target",
        target.name(),
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    cargo.env("CARGO_TARGET_DIR", &folder);
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", AARCH64_LINKER);
    output(&mut cargo)?;
    let file = if target == Target::Wasm { "bits.wasm" } else { "bits" };
    Ok(folder.join(target.name()).join("release").join(file))
}

/// Cargo with a library for the target.
fn compiler(target: Target) -> Option<Command> {
    let has = || {
        let folder = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target.name()]));
        folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
    };
    if has() || (output(Command::new("rustup").args(["target", "add", target.name()])).is_ok() && has()) {
        return Some(Command::new("cargo"));
    }
    let rustc = Path::new(DEBIAN).join("rustc");
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"])).ok()?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").is_dir() {
        return None;
    }
    let mut cargo = Command::new(Path::new(DEBIAN).join("cargo"));
    cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
    Some(cargo)
}

/// What a program prints, or the end of what it complains of.
pub fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&done.stderr);
    let end: Vec<&str> = complaint.lines().rev().take(8).collect();
    Err(format!("{:?} failed: {}", command.get_program(), end.into_iter().rev().collect::<Vec<_>>().join(" | ")))
}
