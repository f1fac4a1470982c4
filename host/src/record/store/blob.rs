//! Blobs: immutable files named by the BLAKE3 of their bytes. A write goes to a temporary file, which is synced and
//! renamed; then its folder is synced. Every read verifies the hash.

use crate::record::key::Hash;
use crate::record::store::error::{StoreError, io_error};
use crate::record::store::folder::{Store, WritePoint};
use crate::record::store::lock::RunLock;
use crate::system::atomic_file::{self, Step, WriteError, sync_folder};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Unreferenced blobs younger than this are kept, because another process may be about to refer to them.
const GRACE: Duration = Duration::from_secs(3600);

/// What [`Store::gc`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Number of files.
    pub files: u64,
    pub bytes: u64,
}

impl Store {
    /// The path of a blob, whether it exists or not.
    pub fn blob_path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        let (folder, file) = name.split_at(2);
        self.dir.join("blobs").join(folder).join(file)
    }

    /// Stores bytes durably under their hash. If the blob exists, it is read and checked; a damaged copy is replaced.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Hash, StoreError> {
        let hash = Hash::of(bytes);
        let path = self.blob_path(&hash);
        let blobs = self.dir.join("blobs");
        let folder = path.parent().unwrap_or(&blobs);
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            let file = File::open(&path).map_err(|source| io_error(&path, source))?;
            file.set_modified(SystemTime::now()).map_err(|source| io_error(&path, source))?;
            // The process that renamed it may have died before the folder reached the disk.
            sync_folder(folder).map_err(|source| io_error(folder, source))?;
            return Ok(hash);
        }
        if !folder.is_dir() {
            fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        sync_folder(&blobs).map_err(|source| io_error(&blobs, source))?;
        let incoming = self.dir.join("incoming");
        atomic_file::replace_from(&incoming, &path, &[bytes], &|step| self.fault_at(write_point(step)))
            .map_err(|WriteError { path, source }| io_error(&path, source))?;
        Ok(hash)
    }

    /// Removes a blob. A missing blob is not an error.
    pub(super) fn remove_blob(&self, hash: &Hash) -> Result<(), StoreError> {
        let path = self.blob_path(hash);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(&path, error)),
            _ => Ok(()),
        }
    }

    /// Reads a blob and checks its bytes against its name.
    pub fn get_blob(&self, hash: &Hash) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(hash);
        match fs::read(&path) {
            Ok(bytes) if Hash::of(&bytes) == *hash => Ok(bytes),
            Ok(_) => Err(StoreError::Corrupt { hash: *hash, path }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Missing { hash: *hash, path }),
            Err(error) => Err(io_error(&path, error)),
        }
    }

    /// Removes what crashes leave behind: blobs that no record names and half-written files, if they are at least an
    /// hour old. Holding the lock proves that nothing is being recorded.
    pub fn gc(&self, _lock: &RunLock, now: SystemTime) -> Result<Collected, StoreError> {
        let named = self.referenced_blobs()?;
        let mut collected = Collected::default();
        collect(&self.dir.join("incoming"), now, &BTreeSet::new(), "", &mut collected)?;
        for (name, folder) in entries(&self.dir.join("blobs"))? {
            if folder.is_dir() {
                collect(&folder, now, &named, &name, &mut collected)?;
            }
        }
        Ok(collected)
    }
}

fn write_point(step: Step) -> WritePoint {
    match step {
        Step::Created => WritePoint::BlobCreated,
        Step::Written => WritePoint::BlobWritten,
        Step::Synced => WritePoint::BlobSynced,
        Step::Renamed => WritePoint::BlobRenamed,
    }
}

/// Removes old files from a folder, except those for which `prefix` followed by the name is in `named`.
fn collect(
    folder: &Path,
    now: SystemTime,
    named: &BTreeSet<String>,
    prefix: &str,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    for (name, path) in entries(folder)? {
        let metadata = fs::symlink_metadata(&path).map_err(|source| io_error(&path, source))?;
        let modified = metadata.modified().map_err(|source| io_error(&path, source))?;
        // A file with a time in the future (the clock was set back) has no age and stays.
        let old = now.duration_since(modified).is_ok_and(|age| age >= GRACE);
        if metadata.is_file() && old && !named.contains(&format!("{prefix}{name}")) {
            fs::remove_file(&path).map_err(|source| io_error(&path, source))?;
            collected.files += 1;
            collected.bytes += metadata.len();
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let error = |source| io_error(folder, source);
    fs::read_dir(folder)
        .map_err(error)?
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).map_err(error))
        .collect()
}
