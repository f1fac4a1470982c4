//! Input and output of a program.

use crate::record::trial::Trial;
use std::time::Duration;

/// Input of the program.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The source to change: the parent, or the faulty mutation to repair.
    pub source: &'a str,
    /// The brief: `program.md`.
    pub brief: &'a str,
    /// The SDK reference: `sdk.md`.
    pub reference: &'a str,
    /// The state of the night and the dry run of the parent: `facts.md`.
    pub facts: &'a str,
    /// What the search knows of changes: `ideas.md`.
    pub ideas: &'a str,
    /// Earlier trials: `history.md` and `history.jsonl`.
    pub history: &'a [&'a Trial],
    /// The fault in `source` for a repair: `error.txt`.
    pub error: Option<&'a str>,
}

/// Output of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The changed source.
    pub source: String,
    /// The first line of `hypothesis.txt`, if there is one.
    pub hypothesis: Option<String>,
    /// The end of its output, escaped: standard output, then standard error.
    pub output: String,
    pub wall: Duration,
}
