//! A compiler on this machine, what it can do, and what every guest is compiled with.

use crate::record::key::Hash;
use crate::system::process;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// What every guest is compiled with. Line tables stay, so that faults name a line; one codegen unit, so that the
/// bytes don't depend on how work is split.
pub(super) const FLAGS: &[&str] =
    &["-Copt-level=2", "-Cpanic=abort", "-Ccodegen-units=1", "-Cdebuginfo=line-tables-only", "-Cstrip=none"];

/// The SDK's sources, carried along: file name under `src/` and text.
pub(crate) const SDK: &[(&str, &str)] = &[
    ("bindings.rs", include_str!("../../../../guest-sdk/src/bindings.rs")),
    ("grad.rs", include_str!("../../../../guest-sdk/src/grad.rs")),
    ("index.rs", include_str!("../../../../guest-sdk/src/index.rs")),
    ("lab.rs", include_str!("../../../../guest-sdk/src/lab.rs")),
    ("lib.rs", include_str!("../../../../guest-sdk/src/lib.rs")),
    ("math.rs", include_str!("../../../../guest-sdk/src/math.rs")),
    ("net.rs", include_str!("../../../../guest-sdk/src/net.rs")),
    ("nn.rs", include_str!("../../../../guest-sdk/src/nn.rs")),
    ("operators.rs", include_str!("../../../../guest-sdk/src/operators.rs")),
    ("optim.rs", include_str!("../../../../guest-sdk/src/optim.rs")),
    ("random.rs", include_str!("../../../../guest-sdk/src/random.rs")),
    ("reduce.rs", include_str!("../../../../guest-sdk/src/reduce.rs")),
    ("rt.rs", include_str!("../../../../guest-sdk/src/rt.rs")),
    ("shape.rs", include_str!("../../../../guest-sdk/src/shape.rs")),
    ("tensor.rs", include_str!("../../../../guest-sdk/src/tensor.rs")),
];

/// Asking a compiler its name takes milliseconds; a rustup shim may take longer.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// A `rustc` and what it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Rustc {
    pub(super) path: PathBuf,
    pub(super) sysroot: PathBuf,
    /// All of `rustc -vV`.
    pub(super) version: String,
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
    pub(super) fn all() -> Vec<Self> {
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

    /// What `rustc -vV` says behind a key; empty where it does not have it, as a compiler built without git.
    pub(super) fn line(&self, key: &str) -> &str {
        self.version.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim()
    }

    pub(super) fn has_target(&self) -> bool {
        has_std(&self.sysroot)
    }

    pub(super) fn library_sources(&self) -> Option<PathBuf> {
        let sources = self.sysroot.join("lib/rustlib/src/rust/library");
        sources.join("std/Cargo.toml").is_file().then_some(sources)
    }

    pub(super) fn cargo(&self) -> Option<PathBuf> {
        let cargo = self.sysroot.join("bin/cargo");
        cargo.is_file().then_some(cargo)
    }

    pub(super) fn linker(&self) -> Option<PathBuf> {
        let own = self.sysroot.join("lib/rustlib").join(self.line("host:")).join("bin/rust-lld");
        let beside = own.is_file().then_some(own);
        beside
            .or_else(|| ["wasm-ld", "rust-lld"].into_iter().find_map(|name| process::on_path(name).into_iter().next()))
    }
}

pub(super) fn library_folder(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

pub(super) fn has_std(sysroot: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(library_folder(sysroot)) else {
        return false;
    };
    files.flatten().any(|f| {
        let name = f.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// Hash of the SDK's sources: each name and text, each preceded by its length.
pub fn sdk_hash() -> Hash {
    let mut encoder = crate::record::encoding::Encoder::new();
    for (name, text) in SDK {
        encoder.str(name);
        encoder.str(text);
    }
    Hash::of(&encoder.finish())
}
