//! Errors of corpora.

use crate::system::cache::CacheError;
use std::io;
use std::path::PathBuf;

/// A token that is not in the vocabulary, from a model or a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token {0} is not in the vocabulary")]
pub struct UnknownToken(pub u16);

/// Why a corpus or task is not available.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file can't be read.
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    /// `host data add` refuses this path.
    #[error("{path}: {why}; name regular files, or folders of them", path = .path.display())]
    Refused {
        path: PathBuf,
        /// The problem with the path.
        why: &'static str,
    },
    /// A corpus is larger than the cap.
    #[error("corpus {name}: {what} (at most {cap}); add a part of it")]
    TooLarge {
        name: String,
        /// The measure that exceeds the cap.
        what: &'static str,
        cap: u64,
    },
    /// The corpus is too small for four splits.
    #[error("corpus {name}: {bytes} bytes are too few ({why}); add more text to it, or choose another corpus")]
    TooSmall {
        name: String,
        bytes: u64,
        /// The part that the text is too short for.
        why: String,
    },
    /// A split has no chunk to score.
    #[error("corpus {name}: the {split} split has no chunk of context + 1 = {chunk} tokens: {why}")]
    NoChunk {
        name: String,
        split: &'static str,
        chunk: usize,
        /// The lengths that are there, and what would help.
        why: String,
    },
    /// A file in a format that is not read.
    #[error("{path} is {format}, which host does not read; convert it first: {command}", path = .path.display())]
    Foreign {
        path: PathBuf,
        format: &'static str,
        /// A command that makes text of it.
        command: String,
    },
    /// A line of a file of JSON lines.
    #[error("{path}, line {line}: {why}", path = .path.display())]
    Line { path: PathBuf, line: u64, why: String },
    /// Tokens that are not text.
    #[error(transparent)]
    Token(#[from] UnknownToken),
    /// Settings that do not work with any corpus.
    #[error("task: {0}")]
    Settings(&'static str),
    /// The name cannot be a file name.
    #[error("corpus name {0:?}: use 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit")]
    Name(String),
    /// The name belongs to a built-in corpus.
    #[error("corpus name {0:?} is built in; choose another")]
    Taken(String),
    #[error("no corpus {0:?} here; `host data list` shows all, `host data add {0} PATH` adds one")]
    Unknown(String),
    /// The cached file does not match its manifest.
    #[error("corpus {name}: {path} is corrupt ({what}); delete it or replace it with `host data add {name} PATH`", path = .path.display())]
    Corrupt {
        name: String,
        path: PathBuf,
        /// The part that does not match.
        what: &'static str,
    },
    /// A built-in corpus cannot be made on this machine.
    #[error("corpus {name}: {why}")]
    Unavailable {
        name: String,
        /// The reason, and what would help.
        why: String,
    },
    /// The downloaded text differs from the pinned one.
    #[error("corpus {name}: got {got}, but this version of host pins {pinned}; a mirror may be altered: try another")]
    WrongHash {
        name: String,
        /// Hash of the downloaded text.
        got: String,
        /// The pinned hash.
        pinned: &'static str,
    },
    /// No corpus in a preference list is available.
    #[error("no corpus can be had:\n{}\nAny text will do: `host data add NAME PATH`", list(.0))]
    NoneLeft(Vec<(String, String)>),
}

pub(super) fn list(reasons: &[(String, String)]) -> String {
    let lines: Vec<_> = reasons.iter().map(|(name, why)| format!("  {name}: {why}")).collect();
    lines.join("\n")
}
