//! Whatever writes the next mutation, seen from the night: a situation in, a proposal out. Pure types.

use crate::key::SourceKey;
use crate::night::Ending;

/// A trial that was decided, as proposers learn of it.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its number; 0 for the baseline.
    pub number: u64,
    /// Trial that it changed.
    pub parent: u64,
    /// Its text.
    pub source: String,
    /// Key of its text, where it parses.
    pub source_key: Option<SourceKey>,
    /// The change in words.
    pub description: String,
    /// Which kind of change, as its proposer calls it.
    pub operator: String,
    /// How it ended.
    pub ending: Ending,
    /// Candidate less champion in bits per byte, where measured: negative is better.
    pub delta: Option<f64>,
}

/// What a proposer knows.
pub struct Situation<'a> {
    /// The champion's text: what to change.
    pub parent: &'a str,
    /// The brief that a person wrote.
    pub brief: &'a str,
    /// The baseline, as number 0, and everything tried on these terms, oldest first.
    pub past: &'a [Past],
    /// Number of the trial to propose.
    pub number: u64,
    /// The night's random seed.
    pub random_seed: u64,
}

/// A mutation to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The whole file.
    pub source: String,
    /// The change in one line, derived from the change itself.
    pub description: String,
    /// Which kind of change.
    pub operator: String,
}

/// Writes mutations.
pub trait Proposer {
    /// Name in policies, logs and the store.
    fn name(&self) -> &'static str;

    /// The next mutation; none when nothing is left to try from here.
    fn propose(&mut self, situation: &Situation) -> Option<Proposal>;
}
