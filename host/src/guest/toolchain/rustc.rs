//! A `rustc` on this machine, its abilities, and the flags for guests.

use crate::record::key::Hash;
use crate::system::process;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// The variable by which a user names the compiler for guests, as cargo does for its own.
const NAME: &str = "RUSTC";

/// Flags for every guest. Line tables stay, so that faults name a line. One codegen unit makes the bytes independent of
/// how the work is split.
pub(super) const FLAGS: &[&str] =
    &["-Copt-level=2", "-Cpanic=abort", "-Ccodegen-units=1", "-Cdebuginfo=line-tables-only", "-Cstrip=none"];

/// The SDK's sources: file name under `src/`, and text.
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

/// Time limit of a version query. It takes milliseconds; a rustup shim may take longer.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// A `rustc`, with the version and the sysroot that it reports.
#[derive(Clone, Debug)]
pub(super) struct Rustc {
    pub(super) path: PathBuf,
    pub(super) sysroot: PathBuf,
    /// Full output of `rustc -vV`.
    pub(super) version: String,
}

/// What a program prints. `None` if it cannot be executed or fails for a reason of its own.
///
/// # Errors
/// The system refused something: a process, a descriptor, memory.
fn answer(command: std::process::Command) -> Result<Option<String>, String> {
    let ended = match process::run(command, PROBE_LIMIT) {
        Ok(ended) => ended,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match ended.end {
        process::End::Exited(status) if status.success() => Ok(Some(ended.stdout.text())),
        _ if ended.stderr.text().contains("(os error ") => Err(process::last_lines(&ended.stderr.text(), 3)),
        _ => Ok(None),
    }
}

impl Rustc {
    fn probe(path: &Path) -> Result<Option<Self>, String> {
        let ask = |args: &[&str]| {
            let mut command = process::command(path);
            command.args(args);
            answer(command)
        };
        let Some(version) = ask(&["-vV"])? else { return Ok(None) };
        let Some(sysroot) = ask(&["--print", "sysroot"])? else { return Ok(None) };
        let sysroot = PathBuf::from(sysroot.trim());
        // A rustup shim only forwards; the real compiler needs no environment.
        let real = sysroot.join("bin/rustc");
        let path = if real.is_file() { real } else { path.to_owned() };
        Ok(Some(Self { path, sysroot, version }))
    }

    /// The compiler that the user named, if any.
    pub(super) fn named() -> Option<PathBuf> {
        std::env::var_os(NAME).filter(|name| !name.is_empty()).map(PathBuf::from)
    }

    /// The compiler that the user named; otherwise every `rustc` on the path, and the system's.
    ///
    /// # Errors
    /// One could not be asked. It may be sound, so none should be installed in its place.
    pub(super) fn all() -> Result<Vec<Self>, String> {
        if let Some(path) = Self::named() {
            let named = || format!("{NAME} names {}", path.display());
            let probed = Self::probe(&path).map_err(|why| format!("{}: {why}", named()))?;
            return probed.map(|rustc| vec![rustc]).ok_or_else(|| format!("{}, which is not a compiler", named()));
        }
        let mut found: Vec<Self> = Vec::new();
        for path in process::on_path("rustc") {
            let probed = Self::probe(&path).map_err(|why| format!("{}: {why}", path.display()));
            if let Some(rustc) = probed?
                && found.iter().all(|other| other.sysroot != rustc.sysroot)
            {
                found.push(rustc);
            }
        }
        Ok(found)
    }

    /// The value of a key in `rustc -vV`; empty if it is missing, as in a compiler built without git.
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

/// Hash of the SDK's sources: each name and text, preceded by its length.
pub fn sdk_hash() -> Hash {
    let mut encoder = crate::record::encoding::Encoder::new();
    for (name, text) in SDK {
        encoder.str(name);
        encoder.str(text);
    }
    Hash::of(&encoder.finish())
}
