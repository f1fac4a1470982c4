//! The store: everything a host knows, in one folder, safe against `kill -9` and power loss at any point.
//!
//! ```text
//! blobs/AA/BB…   content by BLAKE3: sources, components, outcomes, states, checkpoints, policies, scores, what was sent to
//!                proposers and what they answered
//! incoming/      blobs being written
//! index.sqlite   what the blobs are and how they belong together; see schema.sql and schema_2.sql
//! lock           held by the process that runs an experiment
//! queue          held by the process whose turn it is next
//! ```
//!
//! A blob is durable before the transaction that names it commits: a crash leaves whole records, or unreferenced blobs,
//! which [`Store::gc`] removes. Reading needs no lock; any number of processes may. Depends on `key`, `outcome` and the
//! plain types they hash; on nothing that runs guests.

mod blob;
mod index;
mod lock;
mod night;
mod proposal;
mod record;
#[cfg(test)]
mod tests;

pub use blob::Collected;
pub use lock::RunLock;
pub use night::{NewTrial, NightRecord, NightUsed, Role, ScoreRecord, TrialRecord};
pub use proposal::{Account, AnswerOutcome, DecidedTurn, ExchangeRecord, NewAnswer};
pub use record::{ComponentRecord, DryRunResult, ExperimentRecord, Finished, Found};

use crate::encoding::DecodeError;
use crate::key::{ExperimentKey, Hash, OutcomeHash};
use rusqlite::Connection;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space left.
    #[error(
        "the disk that holds {0} is full; free some space, or run `host store gc`, and start again: nothing is lost"
    )]
    Full(PathBuf),
    /// The system refused a file operation.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("the index {path}: {source}")]
    Index {
        /// The index.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The index was written by a later version.
    #[error(
        "the index {path} has version {found}; this host knows versions up to {known}: use a newer host or another store"
    )]
    Newer {
        /// The index.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The latest one known.
        known: u64,
    },
    /// Another process runs experiments on this store.
    #[error(
        "process {holder} is running an experiment on the store {path}; wait for it, stop it, or use another --store"
    )]
    Locked {
        /// The store.
        path: PathBuf,
        /// Process id of the holder, as it wrote it.
        holder: String,
    },
    /// A blob's bytes don't have the hash that names it.
    #[error("{path} is damaged: its bytes are not those of {hash}; delete it, and run again what it belongs to")]
    Corrupt {
        /// What it should be.
        hash: Hash,
        /// Where it is.
        path: PathBuf,
    },
    /// A blob that is referred to isn't there.
    #[error("{path} is missing; run again what it belongs to, or copy it from another store")]
    Missing {
        /// What it should be.
        hash: Hash,
        /// Where it should be.
        path: PathBuf,
    },
    /// A record that doesn't read as what it should be, or contradicts its own hash.
    #[error("the record of {what} is damaged ({reason}); run it again in a fresh store")]
    BadRecord {
        /// Of what.
        what: String,
        /// Why.
        reason: String,
    },
    /// Two runs of one experiment had different outcomes.
    #[error(
        "experiment {key} had outcome {stored} and now {found}: one of the runs is not deterministic; `host replay {key}` tells more"
    )]
    Disagrees {
        /// The experiment.
        key: ExperimentKey,
        /// Outcome on record.
        stored: OutcomeHash,
        /// Outcome offered.
        found: OutcomeHash,
    },
    /// A host fault was offered as a result.
    #[error("experiment {0} ended with a host fault, which is no result; run it again")]
    NotAResult(ExperimentKey),
    /// The state offered is not the one that the outcome names.
    #[error("the state of experiment {0} is not the one that its outcome names")]
    WrongState(ExperimentKey),
    /// Too short, or no hexadecimal digits.
    #[error("`{0}` is no hash prefix: 4 to 64 lower-case hexadecimal digits are expected")]
    BadPrefix(String),
    /// Nothing begins so.
    #[error("nothing in the store begins with {0}; `host log` lists what there is")]
    NotFound(String),
    /// Several things begin so.
    #[error("{prefix} is ambiguous: {}; give more digits", matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// What begins so (at most a few).
        matches: Vec<String>,
    },
}

/// The points at which a crash can strike while something is recorded, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePoint {
    /// A blob's temporary file exists and is empty.
    BlobCreated,
    /// It is written, but may not have reached the disk.
    BlobWritten,
    /// It has reached the disk, under its temporary name.
    BlobSynced,
    /// It has its name, but the folder may not have reached the disk.
    BlobRenamed,
    /// All rows are written, but not committed.
    BeforeCommit,
    /// Committed.
    Committed,
}

/// Called at each [`WritePoint`]; an error is treated as the failure of the write that follows.
pub type Faults = Box<dyn Fn(WritePoint) -> io::Result<()> + Send>;

/// A store that is open. One per thread: it can be sent, not shared.
pub struct Store {
    dir: PathBuf,
    db: Connection,
    faults: Faults,
}

impl Store {
    /// Opens the store in a folder, and makes it where there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with_faults(dir, Box::new(|_| Ok(())))
    }

    /// Opens a store whose writes can be made to fail: for tests of what is built on it.
    pub fn open_with_faults(dir: &Path, faults: Faults) -> Result<Self, StoreError> {
        let new = !dir.exists();
        for folder in ["blobs", "incoming"] {
            let path = dir.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| io_error(&path, source))?;
        }
        blob::sync_folder(dir)?;
        if new {
            blob::sync_folder(&dir.join(".."))?;
        }
        let db = index::open(&dir.join(index::FILE))?;
        Ok(Self { dir: dir.to_owned(), db, faults })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Claims the store for a process that runs experiments, until the lock is dropped or the process ends, however.
    pub fn lock_run(&self) -> Result<RunLock, StoreError> {
        RunLock::take(&self.dir)
    }

    /// Waits for the lock in turn with the other processes that want it. `waiting` hears a few times a second who holds
    /// it, and may give up: then there is no lock.
    pub fn wait_to_run(
        &self,
        waiting: &mut dyn FnMut(&StoreError) -> ControlFlow<()>,
    ) -> Result<Option<RunLock>, StoreError> {
        RunLock::wait(&self.dir, waiting)
    }

    fn reach(&self, point: WritePoint) -> Result<(), StoreError> {
        (self.faults)(point).map_err(|source| io_error(&self.dir, source))
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| index::error(&self.dir.join(index::FILE), source))
    }
}

fn io_error(path: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(path.to_owned()),
        _ => StoreError::Io { path: path.to_owned(), source },
    }
}

fn bad_record(what: impl ToString, reason: impl ToString) -> StoreError {
    StoreError::BadRecord { what: what.to_string(), reason: reason.to_string() }
}

fn undecodable(what: impl ToString) -> impl FnOnce(DecodeError) -> StoreError {
    move |error| bad_record(what, error)
}
