//! The champion: the mutation that all others are compared with.

use crate::experiment::prepare::Candidate;

#[derive(Clone, Debug)]
pub struct Champion {
    /// Number of its trial; 0 for the baseline.
    pub trial: u64,
    pub candidate: Candidate,
    /// The change that produced it.
    pub description: String,
}
