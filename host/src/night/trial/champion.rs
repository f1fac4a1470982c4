//! The champion: the mutation that all others are compared with.

use crate::experiment::prepare::Candidate;
use crate::guest::component::Card;

#[derive(Clone, Debug)]
pub struct Champion {
    /// Number of its trial; 0 for the baseline.
    pub trial: u64,
    pub candidate: Candidate,
    /// The change that produced it.
    pub description: String,
}

impl Champion {
    /// Whether it has a source, which proposers can change.
    pub fn is_source(&self) -> bool {
        Card::read(&self.candidate.text).is_none()
    }
}
