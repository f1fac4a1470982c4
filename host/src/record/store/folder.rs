//! The open store: its folder, its index, its lock.

use crate::record::store::error::{StoreError, io_error};
use crate::record::store::lock::RunLock;
use crate::record::store::schema;
use crate::system::atomic_file;
use rusqlite::Connection;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The points of a write at which a crash can happen, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePoint {
    /// A blob's temporary file exists and is empty.
    BlobCreated,
    /// The bytes are written, but may not have reached the disk.
    BlobWritten,
    /// The bytes have reached the disk under the temporary name.
    BlobSynced,
    /// The file has its final name, but the folder may not have reached the disk.
    BlobRenamed,
    /// All rows are written, but not committed.
    BeforeCommit,
    Committed,
}

/// Called at each [`WritePoint`]. An error counts as the failure of the write that follows.
pub type Faults = Box<dyn Fn(WritePoint) -> io::Result<()> + Send>;

/// An open store. Use one per thread: it can be sent, not shared.
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) db: Connection,
    faults: Faults,
}

impl Store {
    /// Opens the store in a folder, and creates it if there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with_faults(dir, Box::new(|_| Ok(())))
    }

    /// Opens a store whose writes can be made to fail, for tests.
    pub fn open_with_faults(dir: &Path, faults: Faults) -> Result<Self, StoreError> {
        let new = !dir.exists();
        for folder in ["blobs", "incoming"] {
            let path = dir.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| io_error(&path, source))?;
        }
        atomic_file::sync_folder(dir).map_err(|source| io_error(dir, source))?;
        if new {
            atomic_file::sync_folder(&dir.join("..")).map_err(|source| io_error(dir, source))?;
        }
        let db = schema::open(&dir.join(schema::FILE))?;
        Ok(Self { dir: dir.to_owned(), db, faults })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Locks the store for a process that runs experiments. The lock ends when it is dropped or the process ends.
    pub fn lock_run(&self) -> Result<RunLock, StoreError> {
        RunLock::take(&self.dir)
    }

    /// Waits for the lock in a queue with other processes. `waiting` is told the holder a few times a second. If it
    /// breaks, the wait ends without a lock.
    pub fn wait_to_run(
        &self,
        waiting: &mut dyn FnMut(&StoreError) -> ControlFlow<()>,
    ) -> Result<Option<RunLock>, StoreError> {
        RunLock::wait(&self.dir, waiting)
    }

    pub(super) fn reach(&self, point: WritePoint) -> Result<(), StoreError> {
        self.fault_at(point).map_err(|source| io_error(&self.dir, source))
    }

    pub(super) fn fault_at(&self, point: WritePoint) -> io::Result<()> {
        (self.faults)(point)
    }

    pub(super) fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| schema::error(&self.dir.join(schema::FILE), source))
    }
}
