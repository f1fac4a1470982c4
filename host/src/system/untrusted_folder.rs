//! Reads files in a folder that an untrusted process writes to. Follows no links, never waits for a pipe, and reads at
//! most the cap.

use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
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
    /// Larger than the cap.
    #[error("{name} has more than {cap} bytes")]
    TooLarge { name: String, cap: u64 },
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
        let name = || crate::system::sanitize::line(&path.to_string_lossy(), 200);
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
        String::from_utf8(bytes)
            .map_err(|error| UntrustedFileError::NotText { name: name(), at: error.utf8_error().valid_up_to() })
    }

    /// Opens each part of the path separately, so that none of them can be a link.
    fn open_inside(&self, path: &Path) -> Result<OwnedFd, UntrustedFileError> {
        let name = crate::system::sanitize::line(&path.to_string_lossy(), 200);
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err(UntrustedFileError::Outside(name)),
            }
        }
        let Some((last, folders)) = parts.split_last() else { return Err(UntrustedFileError::NotAFile(name)) };
        let failed = |error: Errno| match error {
            Errno::NOENT => UntrustedFileError::Missing(name.clone()),
            Errno::LOOP => UntrustedFileError::Link(name.clone()),
            Errno::NXIO => UntrustedFileError::NotAFile(name.clone()),
            error => UntrustedFileError::Io { name: name.clone(), source: error.into() },
        };
        let careful = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = None;
        for folder in folders {
            let from = at.as_ref().unwrap_or(&self.0);
            let opened = openat(from, *folder, careful | OFlags::PATH, Mode::empty()).map_err(failed)?;
            let kind = FileType::from_raw_mode(fstat(&opened).map_err(failed)?.st_mode);
            match kind {
                FileType::Directory => at = Some(opened),
                FileType::Symlink => return Err(UntrustedFileError::Link(name)),
                _ => return Err(UntrustedFileError::Missing(name)),
            }
        }
        // Non-blocking, because opening a pipe would otherwise hang until a writer comes.
        let flags = careful | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat(at.as_ref().unwrap_or(&self.0), *last, flags, Mode::empty()).map_err(failed)
    }
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
