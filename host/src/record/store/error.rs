//! What can go wrong with a store.

use crate::record::encoding::DecodeError;
use crate::record::key::{ExperimentKey, Hash, OutcomeHash};
use std::io;
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

pub(crate) fn io_error(path: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(path.to_owned()),
        _ => StoreError::Io { path: path.to_owned(), source },
    }
}

pub(super) fn bad_record(what: impl ToString, reason: impl ToString) -> StoreError {
    StoreError::BadRecord { what: what.to_string(), reason: reason.to_string() }
}

pub(super) fn undecodable(what: impl ToString) -> impl FnOnce(DecodeError) -> StoreError {
    move |error| bad_record(what, error)
}
