//! The corpus `rust-src`: sources of this project's dependencies, as cargo unpacked them for the build. It is real text
//! without a download, for a machine without network. Reads only cargo's registry folder.

use crate::data::corpus::{Corpus, Document};
use crate::data::error::DataError;
use crate::data::local;
use std::fs;
use std::path::{Path, PathBuf};

pub const NAME: &str = "rust-src";
/// Hash of its manifest.
pub const MANIFEST: &str = "2938459b5e8c97b442bd713cf7130a0661b69ad8336eceae91ddf5e07da6f052";

/// Crates whose `src` folders form the corpus, at the versions in Cargo.lock.
const CRATES: [&str; 12] = [
    "blake3-1.8.7",
    "cranelift-codegen-0.135.8",
    "gimli-0.33.0",
    "indexmap-2.14.2",
    "object-0.39.1",
    "rusqlite-0.41.1",
    "rustix-1.1.6",
    "serde-1.0.229",
    "serde_json-1.0.154",
    "statrs-0.19.1",
    "syn-3.0.10",
    "wasmparser-0.254.2",
];

/// Collects the crates' `.rs` files from `$CARGO_HOME/registry/src`, else from `~/.cargo/registry/src`.
pub fn rust_src(progress: &mut dyn FnMut(&str)) -> Result<Corpus, DataError> {
    progress("rust-src: reading the sources of this project's dependencies");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let home = home.ok_or_else(|| unavailable("neither CARGO_HOME nor HOME is set".to_owned()))?;
    collect(&home.join("registry").join("src"))
}

fn unavailable(why: String) -> DataError {
    let why = format!("{why}; it needs the sources that cargo unpacked: run `cargo fetch --locked` in this project");
    DataError::Unavailable { name: NAME.to_owned(), why }
}

fn collect(sources: &Path) -> Result<Corpus, DataError> {
    let failed = |e| unavailable(format!("{}: {e}", sources.display()));
    let entries: Result<Vec<_>, _> = fs::read_dir(sources).map_err(failed)?.collect();
    let mut registries: Vec<PathBuf> = entries.map_err(failed)?.iter().map(|e| e.path()).collect();
    registries.sort();
    let mut documents = Vec::new();
    for name in CRATES {
        let mut folders = registries.iter().map(|registry| registry.join(name).join("src"));
        let folder = folders.find(|folder| folder.is_dir());
        let folder = folder.ok_or_else(|| unavailable(format!("{name} is not in {}", sources.display())))?;
        let files = local::documents(NAME, &folder)?;
        documents.extend(
            files
                .into_iter()
                .filter(|d| d.name.ends_with(".rs"))
                .map(|d| Document { name: format!("{name}/{}", d.name), bytes: d.bytes }),
        );
    }
    Ok(Corpus::new(NAME, documents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_are_those_of_the_lock_file() {
        let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
        for name in CRATES {
            let (name, version) = name.rsplit_once('-').unwrap();
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name} {version}");
        }
    }

    #[test]
    fn pinned_where_cargo_keeps_sources_and_clear_where_not() {
        let corpus = rust_src(&mut |_| {}).unwrap();
        assert_eq!(corpus.manifest.hash_hex(), MANIFEST);
        let empty = tempfile::tempdir().unwrap();
        let error = collect(empty.path()).unwrap_err().to_string();
        assert!(error.contains("blake3-1.8.7") && error.contains("cargo fetch"), "{error}");
    }
}
