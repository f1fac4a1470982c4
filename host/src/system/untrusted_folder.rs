//! Reads files in a folder that an untrusted process writes to, and adds files to it. Follows no links, never waits for
//! a pipe, and reads at most the cap.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::fs::{fstat, mkdirat, open, openat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedFileError {
    #[error("{0} is not there")]
    Missing(String),
    /// An absolute path, or one with `..`.
    #[error("`{0}` leaves the folder: name a file inside it by its relative path")]
    Outside(String),
    /// A link, at the end of the path or on the way.
    #[error("{0} is a symbolic link, or lies behind one: leave a plain file")]
    Link(String),
    /// A folder, pipe, socket or device.
    #[error("{0} is no plain file")]
    NotAFile(String),
    #[error("{0} is not a folder")]
    NotAFolder(String),
    /// Larger than the cap.
    #[error("{name} has more than {cap} bytes")]
    TooLarge { name: String, cap: u64 },
    #[error("{name} holds more than {cap} names")]
    TooMany { name: String, cap: usize },
    #[error("{0} is there already, with another content")]
    Taken(String),
    #[error("{name} is no UTF-8 text: byte {at} is wrong")]
    NotText {
        name: String,
        /// Offset of the first wrong byte.
        at: usize,
    },
    /// A system call failed.
    #[error("{name}: {source}")]
    Io { name: String, source: io::Error },
}

/// An open folder. Its path may later lead to another folder, but reads always come from this one.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder whose own path is trusted.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// The text of a plain file in the folder, at most `cap` bytes.
    ///
    /// # Errors
    /// See [`UntrustedFileError`].
    pub fn read(&self, path: &Path, cap: u64) -> Result<String, UntrustedFileError> {
        String::from_utf8(self.read_bytes(path, cap)?)
            .map_err(|error| UntrustedFileError::NotText { name: shown(path), at: error.utf8_error().valid_up_to() })
    }

    /// The bytes of a plain file in the folder, at most `cap`.
    ///
    /// # Errors
    /// See [`UntrustedFileError`].
    pub fn read_bytes(&self, path: &Path, cap: u64) -> Result<Vec<u8>, UntrustedFileError> {
        let name = || shown(path);
        let file = self.open_inside(path)?;
        let io = |source: io::Error| UntrustedFileError::Io { name: name(), source };
        let kind = fstat(&file).map_err(|error| io(error.into()))?;
        if FileType::from_raw_mode(kind.st_mode) != FileType::RegularFile {
            return Err(UntrustedFileError::NotAFile(name()));
        }
        let mut bytes = Vec::new();
        File::from(file).take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > cap {
            return Err(UntrustedFileError::TooLarge { name: name(), cap });
        }
        Ok(bytes)
    }

    /// The names in a folder inside this one, sorted, at most `cap`.
    ///
    /// # Errors
    /// See [`UntrustedFileError`].
    pub fn names(&self, path: &Path, cap: usize) -> Result<Vec<OsString>, UntrustedFileError> {
        match self.choose_names(path, cap, |_| ())? {
            (names, 0) => Ok(names),
            _ => Err(UntrustedFileError::TooMany { name: shown(path), cap }),
        }
    }

    /// Of the names in a folder inside this one, the `cap` of the lowest rank, sorted by name, and the number of the
    /// others. A rank that nobody can foresee keeps those who choose names from deciding which ones are left out.
    ///
    /// # Errors
    /// See [`UntrustedFileError`].
    pub fn choose_names<R: Ord>(
        &self,
        path: &Path,
        cap: usize,
        rank: impl Fn(&OsStr) -> R,
    ) -> Result<(Vec<OsString>, usize), UntrustedFileError> {
        let failed = |error| failed(shown(path), error);
        let folder = self.open_inside(path)?;
        if FileType::from_raw_mode(fstat(&folder).map_err(failed)?.st_mode) != FileType::Directory {
            return Err(UntrustedFileError::NotAFolder(shown(path)));
        }
        let (mut chosen, mut left) = (BTreeSet::new(), 0);
        for entry in Dir::new(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            chosen.insert((rank(name), name.to_owned()));
            if chosen.len() > cap {
                chosen.pop_last();
                left += 1;
            }
        }
        let mut names: Vec<OsString> = chosen.into_iter().map(|(_, name)| name).collect();
        names.sort();
        Ok((names, left))
    }

    /// Adds a file with these bytes, and the folders on the way to it. It is there completely or not at all. Returns
    /// false if it is there already.
    ///
    /// # Errors
    /// Something else is there, or see [`UntrustedFileError`].
    pub fn add(&self, path: &Path, bytes: &[u8]) -> Result<bool, UntrustedFileError> {
        let failed = |error| failed(shown(path), error);
        let (last, folders) = parts(path)?;
        let mut made = None;
        for folder in &folders {
            match mkdirat(made.as_ref().unwrap_or(&self.0), *folder, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => made = Some(enter(made.as_ref().unwrap_or(&self.0), folder, path)?),
                Err(error) => return Err(failed(error)),
            }
        }
        match self.read_bytes(path, bytes.len() as u64) {
            Err(UntrustedFileError::Missing(_)) => {}
            Ok(found) if found == bytes => return Ok(false),
            Ok(_) | Err(UntrustedFileError::TooLarge { .. }) => return Err(UntrustedFileError::Taken(shown(path))),
            Err(other) => return Err(other),
        }
        // A descriptor for a path alone cannot be synced.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(made.as_ref().unwrap_or(&self.0), ".", flags, Mode::empty()).map_err(failed)?;
        let aside = OsString::from(format!(".nightlab-{}", std::process::id()));
        let written = write_aside(&folder, &aside, bytes).and_then(|()| {
            match renameat_with(&folder, &aside, &folder, last, RenameFlags::NOREPLACE) {
                // Not every file system can promise that.
                Err(Errno::INVAL) => renameat(&folder, &aside, &folder, last).map_err(Into::into),
                renamed => renamed.map_err(io::Error::from),
            }
        });
        let written = written.and_then(|()| File::from(folder.try_clone()?).sync_all());
        match written {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = unlinkat(&folder, &aside, AtFlags::empty());
                match error.kind() {
                    io::ErrorKind::AlreadyExists => Err(UntrustedFileError::Taken(shown(path))),
                    _ => Err(UntrustedFileError::Io { name: shown(path), source: error }),
                }
            }
        }
    }

    /// Opens each part of the path separately, so that none of them can be a link.
    fn open_inside(&self, path: &Path) -> Result<OwnedFd, UntrustedFileError> {
        let (last, folders) = parts(path)?;
        let mut at = None;
        for folder in &folders {
            at = Some(enter(at.as_ref().unwrap_or(&self.0), folder, path)?);
        }
        // Non-blocking, because opening a pipe would otherwise hang until a writer comes.
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = openat(at.as_ref().unwrap_or(&self.0), last, flags, Mode::empty());
        opened.map_err(|error| failed(shown(path), error))
    }
}

/// A path for people.
fn shown(path: &Path) -> String {
    crate::system::sanitize::line(&path.to_string_lossy(), 200)
}

fn failed(name: String, error: Errno) -> UntrustedFileError {
    match error {
        Errno::NOENT => UntrustedFileError::Missing(name),
        Errno::LOOP => UntrustedFileError::Link(name),
        Errno::NXIO => UntrustedFileError::NotAFile(name),
        error => UntrustedFileError::Io { name, source: error.into() },
    }
}

/// The last part of a relative path, and the folders on the way to it.
fn parts(path: &Path) -> Result<(&OsStr, Vec<&OsStr>), UntrustedFileError> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => return Err(UntrustedFileError::Outside(shown(path))),
        }
    }
    let last = parts.pop().ok_or_else(|| UntrustedFileError::NotAFile(shown(path)))?;
    Ok((last, parts))
}

/// Opens a folder, and not a link to one, to go on from it.
fn enter(from: impl AsFd, folder: &OsStr, path: &Path) -> Result<OwnedFd, UntrustedFileError> {
    let failed = |error| failed(shown(path), error);
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::PATH;
    let opened = openat(from, folder, flags, Mode::empty()).map_err(failed)?;
    match FileType::from_raw_mode(fstat(&opened).map_err(failed)?.st_mode) {
        FileType::Directory => Ok(opened),
        FileType::Symlink => Err(UntrustedFileError::Link(shown(path))),
        _ => Err(UntrustedFileError::Missing(shown(path))),
    }
}

fn write_aside(folder: impl AsFd, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    // What a crash has left under this name.
    let _ = unlinkat(&folder, name, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, name, flags, Mode::from_raw_mode(0o666))?);
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn read(folder: &Path, name: &str) -> Result<String, UntrustedFileError> {
        Folder::open(folder).unwrap().read(Path::new(name), 8)
    }

    #[test]
    fn plain_files_are_read_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("sub/plain"), "12345678").unwrap();
        std::fs::write(at("huge"), "123456789").unwrap();
        std::fs::write(at("bytes"), b"ab\xff").unwrap();
        symlink(at("sub/plain"), at("link")).unwrap();
        symlink(at("sub"), at("linked")).unwrap();
        let pipe = rustix::fs::CWD;
        rustix::fs::mknodat(pipe, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read(folder.path(), "sub/plain").unwrap(), "12345678");
        assert_eq!(read(folder.path(), "./sub/./plain").unwrap(), "12345678");
        let refused = |name: &str| read(folder.path(), name).unwrap_err();
        assert!(matches!(refused("huge"), UntrustedFileError::TooLarge { cap: 8, .. }));
        assert!(matches!(refused("bytes"), UntrustedFileError::NotText { at: 2, .. }));
        assert!(matches!(refused("link"), UntrustedFileError::Link(_)));
        assert!(matches!(refused("linked/plain"), UntrustedFileError::Link(_)));
        assert!(matches!(refused("none"), UntrustedFileError::Missing(_)));
        assert!(matches!(refused("sub/plain/more"), UntrustedFileError::Missing(_)));
        for outside in ["../x", "sub/../../x", "/dev/null"] {
            assert!(matches!(refused(outside), UntrustedFileError::Outside(_)), "{outside}");
        }
        for odd in ["sub", "pipe", "socket", "", "."] {
            assert!(matches!(refused(odd), UntrustedFileError::NotAFile(_)), "{odd}");
        }
    }

    #[test]
    fn a_file_is_added_once_and_replaces_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let at = |name: &str| outer.path().join(name);
        std::fs::create_dir(at("work")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        let folder = Folder::open(&at("work")).unwrap();
        let add = |name: &str, bytes: &str| folder.add(Path::new(name), bytes.as_bytes());
        assert!(add("a/b/file", "text").unwrap());
        assert!(!add("a/b/file", "text").unwrap());
        for other in ["texts", "tex", "tExt"] {
            assert!(matches!(add("a/b/file", other), Err(UntrustedFileError::Taken(_))));
        }
        assert_eq!(std::fs::read_to_string(at("work/a/b/file")).unwrap(), "text");
        assert_eq!(std::fs::read_dir(at("work/a/b")).unwrap().count(), 1);
        symlink(at("other"), at("work/out")).unwrap();
        symlink(at("other/file"), at("work/a/link")).unwrap();
        assert!(matches!(add("out/file", "text"), Err(UntrustedFileError::Link(_))));
        assert!(matches!(add("a/link", "text"), Err(UntrustedFileError::Link(_))));
        assert!(matches!(add("../file", "text"), Err(UntrustedFileError::Outside(_))));
        assert!(matches!(add("a/b", "text"), Err(UntrustedFileError::NotAFile(_))));
        assert_eq!(std::fs::read_dir(at("other")).unwrap().count(), 0);
        let names = |name: &str, cap| folder.names(Path::new(name), cap);
        assert_eq!(names("a", 2).unwrap(), ["b", "link"]);
        assert!(matches!(names("a", 1), Err(UntrustedFileError::TooMany { cap: 1, .. })));
        let last_first = |name: &OsStr| std::cmp::Reverse(name.to_owned());
        assert_eq!(folder.choose_names(Path::new("a"), 1, last_first).unwrap(), (vec!["link".into()], 1));
        assert!(matches!(names("out", 9), Err(UntrustedFileError::Link(_))));
        assert!(matches!(names("a/b/file", 9), Err(UntrustedFileError::NotAFolder(_))));
    }

    #[test]
    fn a_folder_that_is_swapped_for_a_link_is_still_itself() {
        let outer = tempfile::tempdir().unwrap();
        let at = |name: &str| outer.path().join(name);
        std::fs::create_dir(at("work")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::fs::write(at("other/train.rs"), "other").unwrap();
        let folder = Folder::open(&at("work")).unwrap();
        std::fs::remove_dir(at("work")).unwrap();
        symlink(at("other"), at("work")).unwrap();
        assert!(matches!(folder.read(Path::new("train.rs"), 8), Err(UntrustedFileError::Missing(_))));
    }
}
