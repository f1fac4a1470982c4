//! The folder for data that this machine can make again, such as corpora, compressed sizes and toolchains. Finds the
//! folder, writes files atomically, and locks against other processes.

use crate::system::atomic_file::{self, WriteError, folder_of};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Errors of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// None of the environment variables names a folder.
    #[error("no cache folder: none of HOST_CACHE, XDG_CACHE_HOME and HOME is an absolute path; set HOST_CACHE to one")]
    NoFolder,
    /// The compiler takes no such path.
    #[error("the cache folder {0:?} has a name that is not UTF-8; set HOST_CACHE to another folder")]
    NotUtf8(PathBuf),
    /// A file operation failed.
    #[error("cache: {path}: {source}; set HOST_CACHE to a folder that can be written", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// `$HOST_CACHE`, else `$XDG_CACHE_HOME/host`, else `~/.cache/host`. Relative values are ignored. The folder may not
/// exist yet.
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
        .and_then(|folder| if folder.to_str().is_some() { Ok(folder) } else { Err(CacheError::NotUtf8(folder)) })
}

/// Replaces `path` with the concatenated `parts`, and creates missing folders. A reader sees the old file or the new
/// one, never a partial file.
pub fn write(path: &Path, parts: &[&[u8]]) -> Result<(), CacheError> {
    let failed = |source| CacheError::Io { path: path.to_owned(), source };
    fs::create_dir_all(folder_of(path).map_err(failed)?).map_err(failed)?;
    atomic_file::replace(path, parts).map_err(|WriteError { path, source }| CacheError::Io { path, source })
}

/// Waits until no other process holds the lock file `path`. The lock is held until the returned file is dropped.
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
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn the_nearest_absolute_folder_wins() {
        let path = |s: &str| Some(PathBuf::from(s));
        assert_eq!(choose(path("/a"), path("/b"), path("/c")).unwrap(), Path::new("/a"));
        assert_eq!(choose(path("a"), path("/b"), path("/c")).unwrap(), Path::new("/b/host"));
        assert_eq!(choose(None, path(""), path("/c")).unwrap(), Path::new("/c/.cache/host"));
        assert!(matches!(choose(None, None, None), Err(CacheError::NoFolder)));
        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/caf\xe9".to_vec()));
        assert!(matches!(choose(Some(odd), None, path("/c")), Err(CacheError::NotUtf8(_))));
    }

    #[test]
    fn a_write_makes_the_folders_that_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        write(&path, &[b"text"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
