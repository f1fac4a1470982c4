//! Files that exist completely or not at all, and survive a power cut. A file is written under a temporary name, synced
//! and renamed; then its folder is synced.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// As other programs create files: the user's umask decides who else may read them.
const USUAL: u32 = 0o666;
const PRIVATE: u32 = 0o600;

/// The points at which a crash can happen, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The temporary file exists and is empty.
    Created,
    /// The bytes are written, but may not have reached the disk.
    Written,
    /// The bytes have reached the disk under the temporary name.
    Synced,
    /// The file has its final name, but the folder may not have reached the disk.
    Renamed,
}

/// A file could not be written. The path holds either the old file or the complete new one.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = .path.display())]
pub struct WriteError {
    /// The file or folder that the system call failed on.
    pub path: PathBuf,
    pub source: io::Error,
}

/// Replaces `path` with the concatenated `parts`. A reader sees the old file or the new one, never a partial file.
///
/// # Errors
/// An error of the system.
pub fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), WriteError> {
    let aside = folder_of(path).map_err(|source| WriteError { path: path.to_owned(), source })?;
    replace_from(aside, path, parts, &|_| Ok(()))
}

/// Like [`replace`], for a file that only its owner may read.
///
/// # Errors
/// An error of the system.
pub fn replace_private(path: &Path, parts: &[&[u8]]) -> Result<(), WriteError> {
    let aside = folder_of(path).map_err(|source| WriteError { path: path.to_owned(), source })?;
    write(aside, path, parts, PRIVATE, &|_| Ok(()))
}

/// Like [`replace`], but the temporary file is in the folder `aside`, which must be on the same disk. `reach` is called
/// after each step; an error there counts as the failure of the next step.
///
/// # Errors
/// An error of the system or of `reach`.
pub fn replace_from(
    aside: &Path,
    path: &Path,
    parts: &[&[u8]],
    reach: &dyn Fn(Step) -> io::Result<()>,
) -> Result<(), WriteError> {
    write(aside, path, parts, USUAL, reach)
}

/// Like [`replace_from`], without waiting for the disk: a power cut may leave the file empty or lost. For what is
/// written again and again.
///
/// # Errors
/// An error of the system.
pub fn replace_quickly(aside: &Path, path: &Path, parts: &[&[u8]]) -> Result<(), WriteError> {
    let at = |source| WriteError { path: path.to_owned(), source };
    let mut new = tempfile::Builder::new();
    let mut file = new.permissions(Permissions::from_mode(USUAL)).tempfile_in(aside).map_err(at)?;
    parts.iter().try_for_each(|part| file.write_all(part)).map_err(at)?;
    file.persist(path).map_err(|error| at(error.error))?;
    Ok(())
}

fn write(
    aside: &Path,
    path: &Path,
    parts: &[&[u8]],
    mode: u32,
    reach: &dyn Fn(Step) -> io::Result<()>,
) -> Result<(), WriteError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError { path, source }
    };
    let folder = folder_of(path).map_err(at(path))?;
    let mut new = tempfile::Builder::new();
    let mut file = new.permissions(Permissions::from_mode(mode)).tempfile_in(aside).map_err(at(aside))?;
    reach(Step::Created).map_err(at(path))?;
    for part in parts {
        file.write_all(part).map_err(at(path))?;
    }
    reach(Step::Written).map_err(at(path))?;
    file.as_file().sync_all().map_err(at(path))?;
    reach(Step::Synced).map_err(at(path))?;
    file.persist(path).map_err(|error| at(path)(error.error))?;
    reach(Step::Renamed).map_err(at(path))?;
    sync_folder(folder).map_err(at(folder))
}

/// The folder of a file. For a bare name, this is the current folder.
///
/// # Errors
/// The path names no file.
pub fn folder_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(folder) => Ok(folder),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "this path names no file")),
    }
}

/// Makes new names in a folder durable.
///
/// # Errors
/// An error of the system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_second_write_replaces_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, &[b"long ", b"first"]).unwrap();
        replace(&path, &[b"second"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        replace_quickly(folder.path(), &path, &[b"thi", b"rd"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_or_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (fault, left) in
            [(Step::Created, "old"), (Step::Written, "old"), (Step::Synced, "old"), (Step::Renamed, "new")]
        {
            replace(&path, &[b"old"]).unwrap();
            let reach = |step| if step == fault { Err(io::Error::other("a fault")) } else { Ok(()) };
            assert!(replace_from(folder.path(), &path, &[b"new"], &reach).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), left, "{fault:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn the_umask_says_who_may_read_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let (usual, path) = (folder.path().join("usual"), folder.path().join("file"));
        fs::write(&usual, b"x").unwrap();
        replace(&path, &[b"x"]).unwrap();
        assert_eq!(mode(&path), mode(&usual));
    }

    #[test]
    fn a_path_without_a_file_is_an_error() {
        assert!(replace(Path::new("/"), &[b"x"]).is_err());
        assert_eq!(folder_of(Path::new("file")).unwrap(), Path::new("."));
    }
}
