//! Where this machine keeps what can be made again: corpora, compressed sizes. Finds the folder, writes files whole, locks
//! against a second process.

use crate::system::atomic_file::{self, WriteError, folder_of};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The cache can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// None of the environment variables names a folder.
    #[error("no cache folder: none of HOST_CACHE, XDG_CACHE_HOME and HOME is an absolute path; set HOST_CACHE to one")]
    NoFolder,
    /// A file operation failed.
    #[error("cache: {path}: {source}; set HOST_CACHE to a folder that can be written", path = .path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// `$HOST_CACHE`, else `$XDG_CACHE_HOME/host`, else `~/.cache/host`; not necessarily existing yet. Relative values are
/// passed over.
pub fn cache_dir() -> Result<PathBuf, CacheError> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    choose(variable("HOST_CACHE"), variable("XDG_CACHE_HOME"), variable("HOME"))
}

fn choose(own: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf, CacheError> {
    let absolute = |path: &PathBuf| path.is_absolute();
    (own.filter(absolute))
        .or_else(|| xdg.filter(absolute).map(|p| p.join("host")))
        .or_else(|| home.filter(absolute).map(|p| p.join(".cache/host")))
        .ok_or(CacheError::NoFolder)
}

/// Replaces `path` by `parts`, one after the other: a reader sees the old file or the new one, never a piece. Makes
/// missing folders.
pub fn write(path: &Path, parts: &[&[u8]]) -> Result<(), CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    fs::create_dir_all(folder_of(path).map_err(failed)?).map_err(failed)?;
    atomic_file::replace(path, parts).map_err(|WriteError { path, source }| CacheError::Io { path, source })
}

/// Waits until no other process holds the lock file `path`; holds it until the returned file is dropped.
pub fn lock(path: &Path) -> Result<File, CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    fs::create_dir_all(folder_of(path).map_err(failed)?).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_absolute_folder_wins() {
        let path = |s: &str| Some(PathBuf::from(s));
        assert_eq!(choose(path("/a"), path("/b"), path("/c")).unwrap(), Path::new("/a"));
        assert_eq!(choose(path("a"), path("/b"), path("/c")).unwrap(), Path::new("/b/host"));
        assert_eq!(choose(None, path(""), path("/c")).unwrap(), Path::new("/c/.cache/host"));
        assert!(matches!(choose(None, None, None), Err(CacheError::NoFolder)));
    }

    #[test]
    fn a_write_makes_the_folders_that_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        write(&path, &[b"text"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
