//! Why a source is refused, and the position.

use crate::guest::source::limits::{MAX_GROUPS, MAX_NUMBER_BYTES, MAX_OPEN_TOKENS, MAX_SOURCE_BYTES};
use proc_macro2::LineColumn;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Larger than [`MAX_SOURCE_BYTES`].
    #[error("the source has {bytes} bytes; the limit is {MAX_SOURCE_BYTES}: move tables into code that computes them")]
    TooLarge {
        /// Size of the source.
        bytes: usize,
    },
    #[error("the source is empty: it has to end with `guest!(train, model);`")]
    Empty,
    /// An invisible character, or one that changes the reading order or ends a line.
    #[error("{at}: the character U+{code:04X} is invisible or changes how the text is read: take it out")]
    Character {
        at: Position,
        /// Code point of the character.
        code: u32,
    },
    /// Not valid Rust.
    #[error("{at}: {message}")]
    Syntax {
        at: Position,
        /// The parser's message.
        message: String,
    },
    /// Nested more deeply than the parser can handle.
    #[error(
        "{at}: nested too deeply (at most {MAX_OPEN_TOKENS} open tokens and {MAX_GROUPS} brackets in each other): split it into functions or `let`s"
    )]
    TooDeep { at: Position },
    /// A number that is longer than any type holds.
    #[error("{at}: this number has more than {MAX_NUMBER_BYTES} digits")]
    LongNumber { at: Position },
    /// The source uses something that guests may not use.
    #[error("{at}: {what} is not for guests: {why}")]
    Refused {
        at: Position,
        /// The refused words.
        what: String,
        /// The reason, and an alternative.
        why: &'static str,
    },
    /// The parser panicked.
    #[error("the parser failed on this source: write it in a more usual form")]
    Parser,
    /// The system refused what the check needs. This says nothing about the source.
    #[error("the source could not be checked: {0}")]
    Machine(String),
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
