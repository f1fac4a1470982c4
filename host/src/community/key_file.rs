//! The file of a private key: the hexadecimal digits of its 32 secret bytes in a line, for its owner alone.

use crate::community::key::{PrivateKey, PublicKey};
use crate::system::atomic_file::{folder_of, sync_folder};
use crate::system::user_file;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Largest file of a key in bytes.
const MAX_BYTES: u64 = 200;
/// Permissions of everybody but the owner.
const OF_OTHERS: u32 = 0o077;

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(
        "{0} exists: a key is never overwritten, since what it signed could not be answered for any more; name another file"
    )]
    Exists(PathBuf),
    #[error("there is no key in {0}; `host keygen` makes one")]
    Missing(PathBuf),
    #[error("others may read or change the key {0}; `chmod 600` it, and make another one if somebody may have read it")]
    Open(PathBuf),
    #[error(
        "{0} holds no private key: one line of 64 lower-case hexadecimal digits is expected, as `host keygen` writes"
    )]
    Unreadable(PathBuf),
    #[error("the key {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl PrivateKey {
    /// Draws a key and keeps it in a new file that only its owner can read.
    pub fn create(path: &Path) -> Result<PublicKey, KeyFileError> {
        let at = |source: io::Error| match source.kind() {
            ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
            _ => KeyFileError::Io { path: path.to_owned(), source },
        };
        let key = Self::draw().map_err(at)?;
        let folder = folder_of(path).map_err(at)?;
        fs::create_dir_all(folder).map_err(|source| KeyFileError::Io { path: folder.to_owned(), source })?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
        if let Err(error) = writeln!(file, "{}", key.reveal()).and_then(|()| file.sync_all()) {
            // Half a key would stand in the way of the next one.
            let _ = fs::remove_file(path);
            return Err(at(error));
        }
        sync_folder(folder).map_err(at)?;
        Ok(key.public())
    }

    /// Reads the key in a file.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let at = |source: io::Error| match source.kind() {
            ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
            ErrorKind::InvalidData | ErrorKind::FileTooLarge => KeyFileError::Unreadable(path.to_owned()),
            _ => KeyFileError::Io { path: path.to_owned(), source },
        };
        let text = user_file::read(path, MAX_BYTES).map_err(at)?;
        if fs::metadata(path).map_err(at)?.permissions().mode() & OF_OTHERS != 0 {
            return Err(KeyFileError::Open(path.to_owned()));
        }
        let digits = text.strip_suffix('\n').unwrap_or(&text);
        Self::read(digits).map_err(|_| KeyFileError::Unreadable(path.to_owned()))
    }
}
