//! Why something of a commons is not taken in.

use crate::community::{FormError, PublicKey};
use crate::guest::source::SourceError;
use crate::record::key::{Hash, TaskHash};
use crate::system::sanitize;
use crate::system::untrusted_folder::UntrustedFileError;
use std::path::Path;

/// A file or folder of a commons that is not taken in.
#[derive(Debug)]
pub struct Refused {
    /// Its path in the commons, escaped.
    pub path: String,
    pub reason: Refusal,
}

impl Refused {
    pub fn at(path: &Path, reason: Refusal) -> Self {
        Self { path: sanitize::line(&path.to_string_lossy(), 300), reason }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    File(#[from] UntrustedFileError),
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(
        "it does not belong in a commons: the folder of a lab has the name of its key, and `findings` and `negatives`"
    )]
    Unknown,
    #[error(
        "{left} {what} are not read: they are more than a lab, or its equal part of what is read at once, may have. Others \
         are drawn when you try again"
    )]
    Unread { what: &'static str, left: usize },
    #[error("it is signed by the key {0}, and lies in the folder of another lab")]
    OtherLab(PublicKey),
    #[error("it lies in another place than the one that follows from what it says, {0}")]
    Place(String),
    #[error("it has no free licence of SPDX's list, so that what is built on it could not be published")]
    NotFree,
    #[error("its lab is distrusted here: {0}")]
    Distrusted(String),
    #[error("it is for another task, {found}; the last night of this store was on {wanted}")]
    OtherTask { found: TaskHash, wanted: TaskHash },
    #[error("it is a duplicate: trial #{0} of this store has the same source")]
    Tried(u64),
    #[error("it is a duplicate: this store has run the same source on its terms, as its seed guest or outside a night")]
    Ran,
    #[error("it is a duplicate: the finding {0} has the same source")]
    Taken(Hash),
    #[error(
        "it is stale: the source that it was made from, {0}, is not known here, and no finding of the commons that holds \
         has it"
    )]
    Stale(Hash),
    #[error("its source is refused: {0}")]
    Source(#[from] SourceError),
    #[error("its source {0}")]
    Unfit(String),
    #[error("it could not be run again on this machine, which says nothing about it: {0}. Follow again to try")]
    Machine(String),
    #[error(
        "it was tried {tries} times in the last {days} days, and could not be run again: {reason}. It is tried again when \
         these days are over"
    )]
    Untriable { tries: u64, days: i64, reason: String },
    #[error("its claim is refuted: {0}. Its lab is distrusted from now on")]
    Refuted(String),
    #[error("too many findings of its lab wait here for their trial")]
    Full,
}
