//! Why a source is refused, and where.

use crate::guest::source::limits::{MAX_OPEN_TOKENS, MAX_SOURCE_BYTES};
use proc_macro2::LineColumn;
use std::fmt;

/// Why a source is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Above [`MAX_SOURCE_BYTES`].
    #[error("the source has {bytes} bytes; the limit is {MAX_SOURCE_BYTES}: move tables into code that computes them")]
    TooLarge {
        /// Of the text.
        bytes: usize,
    },
    /// Nothing.
    #[error("the source is empty: it has to end with `guest!(train, model);`")]
    Empty,
    /// A character that hides, reorders or ends what is read.
    #[error("{at}: the character U+{code:04X} is invisible or changes how the text is read: take it out")]
    Character {
        /// Where.
        at: Position,
        /// Which.
        code: u32,
    },
    /// Not Rust.
    #[error("{at}: {message}")]
    Syntax {
        /// Where.
        at: Position,
        /// The parser's words.
        message: String,
    },
    /// Nested beyond what a parser should be asked to take.
    #[error("{at}: nested too deeply ({MAX_OPEN_TOKENS} tokens are open here): split it into functions or `let`s")]
    TooDeep {
        /// Where.
        at: Position,
    },
    /// Says something that no guest may say.
    #[error("{at}: {what} is not for guests: {why}")]
    Refused {
        /// Where.
        at: Position,
        /// The offending words.
        what: String,
        /// The reason, and what to do instead.
        why: &'static str,
    },
    /// The parser gave up or its thread could not be started.
    #[error("the source could not be parsed: {0}")]
    Parser(String),
}

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl From<LineColumn> for Position {
    fn from(at: LineColumn) -> Self {
        Self { line: at.line, column: at.column + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "train.rs:{}:{}", self.line, self.column)
    }
}
