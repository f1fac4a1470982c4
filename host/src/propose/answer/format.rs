//! The form that an answer has, as models are told it, and what can be wrong with one.

use crate::guest::source::MAX_SOURCE_BYTES;

/// Bytes of an answer.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Search/replace blocks of an answer.
pub const MAX_BLOCKS: usize = 200;
/// Characters of a hypothesis that are kept.
pub const HYPOTHESIS_CHARS: usize = 200;

/// How an answer has to look, for a prompt.
pub const FORMAT: &str = "\
Answer with one line

Hypothesis: what you change, and why it should lower bits per byte.

and then the change as one or more blocks of this form:

<<<<<<< SEARCH
lines of train.rs, exactly as they are above
=======
the lines that take their place
>>>>>>> REPLACE

Every SEARCH text is looked for in train.rs as it is above, before any other block is applied, and must be there exactly
once: take a line more where it is not unique. Instead of blocks you may give the whole new file in one ```rust fence.
";

/// An answer that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the proposer expects, in one printable line; empty where it said nothing.
    pub hypothesis: String,
    /// What it changes.
    pub change: Change,
}

/// How an answer says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The whole new file.
    Whole(String),
    /// Search/replace blocks, in order of appearance.
    Blocks(Vec<Block>),
}

/// One search/replace block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Lines of the parent.
    pub search: Vec<String>,
    /// What takes their place.
    pub replace: Vec<String>,
}

/// Why an answer is not taken; worded for whoever wrote it. Blocks count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Above [`MAX_ANSWER_BYTES`].
    #[error("the answer has {bytes} bytes; the limit is {MAX_ANSWER_BYTES}: give search/replace blocks")]
    TooLarge {
        /// Of the answer.
        bytes: usize,
    },
    /// Neither blocks nor a file.
    #[error("the answer holds no change: give SEARCH/REPLACE blocks, or the whole file in one ```rust fence")]
    NoChange,
    /// Code, but no file.
    #[error(
        "the code is not a whole train.rs, since `guest!(…)` is missing: give the whole file, or SEARCH/REPLACE blocks"
    )]
    Fragment,
    /// More than one different file.
    #[error("the answer holds {count} different files: give one")]
    SeveralFiles {
        /// How many.
        count: usize,
    },
    /// A block without its end.
    #[error("block {block} is not finished: the line `{missing}` is missing")]
    Unfinished {
        /// Which.
        block: usize,
        /// The line.
        missing: &'static str,
    },
    /// Above [`MAX_BLOCKS`].
    #[error("more than {MAX_BLOCKS} blocks: give the whole file instead")]
    TooManyBlocks,
    /// Nothing to look for.
    #[error("block {block} has an empty SEARCH text: give the lines beside the place to insert at")]
    EmptySearch {
        /// Which.
        block: usize,
    },
    /// It is nowhere.
    #[error(
        "block {block}: its SEARCH text is not in train.rs; copy the lines exactly as they are. Nearest are\n{nearest}"
    )]
    NotFound {
        /// Which.
        block: usize,
        /// The nearest lines, with their numbers.
        nearest: String,
    },
    /// It is in several places.
    #[error("block {block}: its SEARCH text is in train.rs {count} times, at lines {lines}; take more lines around it")]
    Ambiguous {
        /// Which.
        block: usize,
        /// How often.
        count: usize,
        /// Where the first of them begin.
        lines: String,
    },
    /// Two blocks change the same lines.
    #[error("blocks {first} and {second} change the same lines: make them one")]
    Overlap {
        /// One.
        first: usize,
        /// The other.
        second: usize,
    },
    /// Nothing was changed.
    #[error("the answer leaves train.rs as it is: change something")]
    Unchanged,
    /// The file that it makes is above [`MAX_SOURCE_BYTES`].
    #[error("the file would have {bytes} bytes; the limit is {MAX_SOURCE_BYTES}: write less")]
    ResultTooLarge {
        /// Of the file.
        bytes: usize,
    },
}
