//! Why a change cannot be carried.

use crate::guest::source::SourceError;

/// Why a change cannot be carried onto a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("both changed the same place: {place}")]
    Place {
        /// The first line of it in the text that the change is carried onto.
        place: String,
    },
    #[error("the result is no source: {0}")]
    Source(#[from] SourceError),
}
