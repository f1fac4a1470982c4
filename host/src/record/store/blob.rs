//! Blobs: immutable files named by the BLAKE3 of their bytes. A write goes to a temporary file, which is synced and
//! renamed; then its folder is synced. Every read verifies the hash.

use crate::record::key::Hash;
use crate::record::store::error::{StoreError, io_error};
use crate::record::store::folder::{INCOMING, Store, WritePoint};
use crate::record::store::lock::RunLock;
use crate::system::atomic_file::{self, Step, WriteError, sync_folder};
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

/// A file that a crash left behind.
struct Leaving {
    path: PathBuf,
    /// Its hash, if it is a blob and not a half-written file.
    name: Option<String>,
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
        if self.renew_blob(&path, bytes)? {
            // The process that renamed it may have died before the folder reached the disk.
            sync_folder(folder).map_err(|source| io_error(folder, source))?;
            return Ok(hash);
        }
        if !folder.is_dir() {
            fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        sync_folder(&blobs).map_err(|source| io_error(&blobs, source))?;
        let incoming = self.dir.join(INCOMING);
        atomic_file::replace_from(&incoming, &path, &[bytes], &|step| self.fault_at(write_point(step)))
            .map_err(|WriteError { path, source }| io_error(&path, source))?;
        Ok(hash)
    }

    /// Makes an intact blob young again, so that [`Store::gc`] leaves it. Returns false if there is none.
    fn renew_blob(&self, path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
        if !fs::read(path).is_ok_and(|found| found == bytes) {
            return Ok(false);
        }
        let Ok(file) = File::open(path) else { return Ok(false) };
        file.set_modified(SystemTime::now()).map_err(|source| io_error(path, source))?;
        // If the path is gone, a collection took the blob away before it was young.
        Ok(path.exists())
    }

    /// Removes a blob. A missing blob is not an error.
    pub(super) fn remove_blob(&self, hash: &Hash) -> Result<(), StoreError> {
        let path = self.blob_path(hash);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(&path, error)),
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
    /// hour old. While an experiment runs, what was written since it began stays too, since its records come last.
    pub fn gc(&self, now: SystemTime) -> Result<Collected, StoreError> {
        let (before, leavings) = self.leavings(now)?;
        let mut collected = Collected::default();
        for Leaving { path, name } in leavings {
            match name {
                None => collected.count(&path).and_then(|()| remove_file(&path))?,
                Some(name) => self.collect(&path, &name, before, &mut collected)?,
            }
        }
        Ok(collected)
    }

    /// What [`Store::gc`] would remove now.
    pub fn would_gc(&self, now: SystemTime) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        self.leavings(now)?.1.iter().try_for_each(|leaving| collected.count(&leaving.path))?;
        Ok(collected)
    }

    /// The files that nothing needs, and the time an hour before which they were last changed.
    fn leavings(&self, now: SystemTime) -> Result<(SystemTime, Vec<Leaving>), StoreError> {
        let before = RunLock::held_since(&self.dir)?.map_or(now, |since| since.min(now));
        let named = self.referenced_blobs()?;
        let mut leavings = Vec::new();
        for (_, path) in entries(&self.dir.join(INCOMING))? {
            if is_old(&path, before)? {
                leavings.push(Leaving { path, name: None });
            }
        }
        for (prefix, folder) in entries(&self.dir.join("blobs"))?.into_iter().filter(|(_, folder)| folder.is_dir()) {
            for (name, path) in entries(&folder)? {
                let name = format!("{prefix}{name}");
                if !named.contains(&name) && is_old(&path, before)? {
                    leavings.push(Leaving { path, name: Some(name) });
                }
            }
        }
        Ok((before, leavings))
    }

    /// Removes a blob, unless another process makes it young at this moment. It is moved away first: who looks for it
    /// then writes it anew.
    fn collect(
        &self,
        path: &Path,
        name: &str,
        before: SystemTime,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let aside = self.dir.join(INCOMING).join(name);
        match fs::rename(path, &aside) {
            // Another collection took it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(|source| io_error(path, source))?,
        }
        if is_old(&aside, before)? {
            collected.count(&aside)?;
            remove_file(&aside)
        } else {
            fs::rename(&aside, path).map_err(|source| io_error(path, source))
        }
    }
}

impl Collected {
    fn count(&mut self, path: &Path) -> Result<(), StoreError> {
        self.files += 1;
        self.bytes += fs::symlink_metadata(path).map_err(|source| io_error(path, source))?.len();
        Ok(())
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    fs::remove_file(path).map_err(|source| io_error(path, source))
}

/// Whether a file has not changed for [`GRACE`] before the given time. A file with a time in the future (the clock was
/// set back) has no age. Folders and links are not ours.
fn is_old(path: &Path, before: SystemTime) -> Result<bool, StoreError> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        found => found.map_err(|source| io_error(path, source))?,
    };
    let modified = metadata.modified().map_err(|source| io_error(path, source))?;
    Ok(metadata.is_file() && before.duration_since(modified).is_ok_and(|age| age >= GRACE))
}

fn write_point(step: Step) -> WritePoint {
    match step {
        Step::Created => WritePoint::BlobCreated,
        Step::Written => WritePoint::BlobWritten,
        Step::Synced => WritePoint::BlobSynced,
        Step::Renamed => WritePoint::BlobRenamed,
    }
}

pub(super) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let error = |source| io_error(folder, source);
    fs::read_dir(folder)
        .map_err(error)?
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).map_err(error))
        .collect()
}
