//! Errors of the store.

use crate::record::encoding::DecodeError;
use crate::record::key::{ExperimentKey, Hash, OutcomeHash, SplitCommitment};
use std::io;
use std::path::{Path, PathBuf};

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space left.
    #[error("the disk that holds {0} is full; free some space, or run `host store gc`: nothing is lost")]
    Full(PathBuf),
    /// The system refused a file operation.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Another program holds a lock on the index.
    #[error(
        "another program has locked the index {0} (a database browser, or a backup?); close it, or wait: nothing is lost"
    )]
    Busy(PathBuf),
    /// The index is gone or empty, but the blobs are there.
    #[error(
        "the index {0} is missing, but the store has blobs: put the file back from a copy, together with its -wal file, \
         or use another --store. A new index would know nothing of them"
    )]
    IndexLost(PathBuf),
    /// The index file is damaged.
    #[error(
        "the index {path} is damaged ({source}); put it back from a copy, or use another --store. The blobs are not \
         touched"
    )]
    IndexDamaged { path: PathBuf, source: rusqlite::Error },
    /// The store cannot be changed.
    #[error(
        "the index {0} cannot be written: it belongs to another user, or its disk is read-only; `host log`, `show`, \
         `replay`, `sample` and `report` read it, and a copy of the folder can be changed"
    )]
    ReadOnly(PathBuf),
    /// The index cannot be read without writing to its folder.
    #[error("the index {path} cannot be copied to be read: {source}; set TMPDIR to a folder with space for it")]
    Copy { path: PathBuf, source: io::Error },
    /// SQLite refused.
    #[error("the index {path}: {source}")]
    Index { path: PathBuf, source: rusqlite::Error },
    /// A later version wrote the index.
    #[error(
        "the index {path} has version {found}; this host knows versions up to {known}: use a newer host or another store"
    )]
    Newer {
        path: PathBuf,
        found: u64,
        /// The latest version that this host can read.
        known: u64,
    },
    /// An earlier version wrote the index, and it may not be changed here.
    #[error(
        "the index {path} has version {found}, and this host reads version {known}: `host log` brings it up to date, if \
         you may write it and no earlier host uses it any more"
    )]
    Older {
        path: PathBuf,
        found: u64,
        /// The version that this host reads.
        known: u64,
    },
    /// Another process runs experiments on this store.
    #[error(
        "{} is running an experiment on the store {path}; wait for it, stop it, or use another --store",
        process(holder)
    )]
    Locked {
        path: PathBuf,
        /// Process id of the holder, if it is known.
        holder: Option<u32>,
    },
    /// A blob's bytes don't match the hash in its name.
    #[error("{path} is damaged: its bytes are not those of {hash}; delete it, and run again what it belongs to")]
    Corrupt {
        /// The expected hash.
        hash: Hash,
        path: PathBuf,
    },
    /// A record refers to a blob that does not exist.
    #[error("{path} is missing; run again what it belongs to, or copy it from another store")]
    Missing {
        /// The expected hash.
        hash: Hash,
        /// The expected path.
        path: PathBuf,
    },
    /// A record cannot be read, or contradicts its own hash.
    #[error("the record of {what} is damaged ({reason}); run it again in a fresh store")]
    BadRecord { what: String, reason: String },
    /// Two runs of one experiment had different outcomes.
    #[error(
        "experiment {key} had outcome {stored} and now {found}: one of the runs is not deterministic; `host replay {key}` tells more"
    )]
    Disagrees {
        key: ExperimentKey,
        /// Outcome in the store.
        stored: OutcomeHash,
        /// Outcome of the new run.
        found: OutcomeHash,
    },
    /// The caller tried to record a host fault as a result.
    #[error("experiment {0} ended with a host fault, which is no result; run it again")]
    NotAResult(ExperimentKey),
    /// The given state does not match the state hash of the outcome.
    #[error("the state of experiment {0} is not the one that its outcome names")]
    WrongState(ExperimentKey),
    /// The file of a secret that was not revealed is gone or damaged.
    #[error(
        "the secret {commitment} that chooses this store's held-out text is lost ({path}: {why}): without it the \
         experiments on it can be neither scored on further splits, nor replayed, nor revealed. Put the file back from a \
         copy of the store; `host split retire {}` gives it up, and new work draws another one",
        commitment.short()
    )]
    SecretLost {
        commitment: SplitCommitment,
        path: PathBuf,
        /// What is wrong with the file.
        why: &'static str,
    },
    /// The store has no such secret.
    #[error("this store has no secret {0}; `host split show` lists those that it has")]
    NoSecret(String),
    /// A prefix that is too short or not hexadecimal.
    #[error("`{0}` is no hash prefix: 4 to 64 lower-case hexadecimal digits are expected")]
    BadPrefix(String),
    /// No key begins with this prefix.
    #[error("nothing in the store begins with {0}; `host log` lists what there is")]
    NotFound(String),
    /// Several keys begin with this prefix.
    #[error("{prefix} is ambiguous: {}; give more digits", matches.join(", "))]
    Ambiguous {
        prefix: String,
        /// Some of the keys that match.
        matches: Vec<String>,
    },
}

impl StoreError {
    /// Whether the store has lost what was asked for: it is damaged, or gone.
    pub fn is_of_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Missing { .. } | Self::BadRecord { .. })
    }

    /// Whether this machine is the cause, so that another try may succeed. What is damaged stays damaged.
    pub fn is_of_the_machine(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Self::Full(_)
            | Self::Io { .. }
            | Self::Busy(_)
            | Self::ReadOnly(_)
            | Self::Copy { .. }
            | Self::Locked { .. } => true,
            Self::Index { source, .. } => source.sqlite_error_code().is_some_and(|code| {
                matches!(
                    code,
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::ReadOnly
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::DiskFull
                        | ErrorCode::CannotOpen
                        | ErrorCode::OutOfMemory
                        | ErrorCode::PermissionDenied
                        | ErrorCode::FileLockingProtocolFailed
                        | ErrorCode::OperationInterrupted
                )
            }),
            Self::IndexLost(_)
            | Self::IndexDamaged { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Corrupt { .. }
            | Self::Missing { .. }
            | Self::BadRecord { .. }
            | Self::Disagrees { .. }
            | Self::NotAResult(_)
            | Self::WrongState(_)
            | Self::SecretLost { .. }
            | Self::NoSecret(_)
            | Self::BadPrefix(_)
            | Self::NotFound(_)
            | Self::Ambiguous { .. } => false,
        }
    }
}

/// The process with this id, in words.
fn process(holder: &Option<u32>) -> String {
    holder.map_or_else(|| "another process".into(), |id| format!("process {id}"))
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
