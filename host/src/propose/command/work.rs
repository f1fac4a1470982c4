//! What a program gets, and what it leaves.

use crate::record::trial::Trial;
use std::time::Duration;

/// What the program is to work on.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The source to change: the parent, or what was wrong with its last change.
    pub source: &'a str,
    /// The brief: `program.md`.
    pub brief: &'a str,
    /// The SDK reference: `sdk.md`.
    pub reference: &'a str,
    /// Where the night stands and what the dry run says of the parent: `facts.md`.
    pub facts: &'a str,
    /// What was tried: `history.md` and `history.jsonl`.
    pub history: &'a [&'a Trial],
    /// What was wrong with `source`, when it is to be repaired: `error.txt`.
    pub error: Option<&'a str>,
}

/// What the program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The changed source.
    pub source: String,
    /// The first line of `hypothesis.txt`, where there is one.
    pub hypothesis: Option<String>,
    /// The end of what it said, escaped: standard output, then standard error.
    pub output: String,
    /// How long it took.
    pub wall: Duration,
}
