//! The format of an answer, as models are told it, and the errors in an answer.

use crate::guest::source::MAX_SOURCE_BYTES;

/// Largest answer in bytes.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Largest number of search/replace blocks.
pub const MAX_BLOCKS: usize = 200;

/// The description of the format for a prompt.
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

/// An answer that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The proposer's hypothesis in one printable line; empty if it gave none.
    pub hypothesis: String,
    pub change: Change,
}

/// The change in an answer.
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
    /// Lines of the parent to search for.
    pub search: Vec<String>,
    /// The lines that replace them.
    pub replace: Vec<String>,
}

/// Why an answer is refused, worded for its author. Blocks count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Larger than [`MAX_ANSWER_BYTES`].
    #[error("the answer has {bytes} bytes; the limit is {MAX_ANSWER_BYTES}: give search/replace blocks")]
    TooLarge {
        /// Size of the answer.
        bytes: usize,
    },
    /// Neither blocks nor a file.
    #[error("the answer holds no change: give SEARCH/REPLACE blocks, or the whole file in one ```rust fence")]
    NoChange,
    /// Code that is not a whole file.
    #[error(
        "the code is not a whole train.rs, since `guest!(…)` is missing: give the whole file, or SEARCH/REPLACE blocks"
    )]
    Fragment,
    /// Several different files.
    #[error("the answer holds {count} different files: give one")]
    SeveralFiles { count: usize },
    /// A block without its end mark.
    #[error("block {block} is not finished: the line `{missing}` is missing")]
    Unfinished {
        block: usize,
        /// The missing line.
        missing: &'static str,
    },
    /// More than [`MAX_BLOCKS`].
    #[error("more than {MAX_BLOCKS} blocks: give the whole file instead")]
    TooManyBlocks,
    /// An empty search text.
    #[error("block {block} has an empty SEARCH text: give the lines beside the place to insert at")]
    EmptySearch { block: usize },
    /// The search text is not in the parent.
    #[error(
        "block {block}: its SEARCH text is not in train.rs; copy the lines exactly as they are. Nearest are\n{nearest}"
    )]
    NotFound {
        block: usize,
        /// The nearest lines, with their numbers.
        nearest: String,
    },
    /// The search text is in the parent several times.
    #[error("block {block}: its SEARCH text is in train.rs {count} times, at lines {lines}; take more lines around it")]
    Ambiguous {
        block: usize,
        count: usize,
        /// Line numbers of the first few places.
        lines: String,
    },
    /// Two blocks change the same lines.
    #[error("blocks {first} and {second} change the same lines: make them one")]
    Overlap { first: usize, second: usize },
    #[error("the answer leaves train.rs as it is: change something")]
    Unchanged,
    /// The new file is larger than [`MAX_SOURCE_BYTES`].
    #[error("the file would have {bytes} bytes; the limit is {MAX_SOURCE_BYTES}: write less")]
    ResultTooLarge {
        /// Size of the new file.
        bytes: usize,
    },
}
