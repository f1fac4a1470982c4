//! What can go wrong with a corpus.

use crate::system::cache::CacheError;
use std::io;
use std::path::PathBuf;

/// A model or a caller named a token that no text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token {0} is not in the vocabulary")]
pub struct UnknownToken(pub u16);

/// Why there is no text to work with.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file can't be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path that `host data add` refuses.
    #[error("{path}: {why}; name regular files, or folders of them", path = .path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A corpus is larger than the cap.
    #[error("corpus {name}: {what} (at most {cap}); add a part of it")]
    TooLarge {
        /// The corpus.
        name: String,
        /// Which measure passes the cap.
        what: &'static str,
        /// The cap.
        cap: u64,
    },
    /// Too little text for four splits.
    #[error("corpus {name}: {bytes} bytes are too few ({why}); add more text to it, or choose another corpus")]
    TooSmall {
        /// The corpus.
        name: String,
        /// Its size.
        bytes: u64,
        /// What it does not suffice for.
        why: &'static str,
    },
    /// Tokens that are no text.
    #[error(transparent)]
    Token(#[from] UnknownToken),
    /// Settings that no corpus can serve.
    #[error("task: {0}")]
    Settings(&'static str),
    /// A name that can't be a file name.
    #[error("corpus name {0:?}: use 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit")]
    Name(String),
    /// A name that is built in.
    #[error("corpus name {0:?} is built in; choose another")]
    Taken(String),
    /// No such corpus.
    #[error("no corpus {0:?} here; `host data list` shows all, `host data add {0} PATH` adds one")]
    Unknown(String),
    /// The cached file of a corpus does not hash to its manifest.
    #[error("corpus {name}: {path} is corrupt ({what}); delete it or replace it with `host data add {name} PATH`", path = .path.display())]
    Corrupt {
        /// The corpus.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A built-in corpus can't be made on this machine.
    #[error("corpus {name}: {why}")]
    Unavailable {
        /// The corpus.
        name: String,
        /// Why, and what would help.
        why: String,
    },
    /// Fetched text differs from what this version pins.
    #[error("corpus {name}: got {got}, but this version of host pins {pinned}; a mirror may be altered: try another")]
    WrongHash {
        /// The corpus.
        name: String,
        /// What came.
        got: String,
        /// What was expected.
        pinned: &'static str,
    },
    /// None of the corpora in a preference list can be had.
    #[error("no corpus can be had:\n{}\nAny text will do: `host data add NAME PATH`", list(.0))]
    NoneLeft(Vec<(String, String)>),
}

pub(super) fn list(reasons: &[(String, String)]) -> String {
    let lines: Vec<_> = reasons.iter().map(|(name, why)| format!("  {name}: {why}")).collect();
    lines.join("\n")
}
