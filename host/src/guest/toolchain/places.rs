//! Paths of a toolchain's parts in the cache.

use crate::guest::toolchain::error::ToolchainError;
use crate::guest::toolchain::rustc::{FLAGS, Rustc, sdk_hash};
use crate::record::key::Hash;
use std::path::{Path, PathBuf};

pub(super) fn cache_folder() -> Result<PathBuf, ToolchainError> {
    Ok(crate::system::cache::cache_dir()?)
}

/// Folder of the standard library built from this compiler's sources.
pub(super) fn built_sysroot(rustc: &Rustc, cache: &Path) -> PathBuf {
    let id = Hash::of(format!("std 1\n{}\n{}", rustc.sysroot.display(), rustc.version).as_bytes());
    cache.join("toolchain").join(format!("std-{}", id.short()))
}

/// Folder of the SDK compiled by this compiler.
pub(super) fn sdk_folder(rustc: &Rustc, cache: &Path) -> PathBuf {
    let built = !rustc.has_target();
    let id = Hash::of(format!("sdk 1\n{built}\n{}\n{FLAGS:?}\n{}", rustc.version, sdk_hash()).as_bytes());
    cache.join("toolchain").join(format!("sdk-{}", id.short()))
}
