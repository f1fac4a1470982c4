//! The mutation that the others are compared with.

use crate::experiment::prepare::Candidate;

/// The mutation that the others are compared with.
#[derive(Clone, Debug)]
pub struct Champion {
    /// Its trial; 0 for the baseline.
    pub trial: u64,
    /// What runs.
    pub candidate: Candidate,
    /// The change that made it.
    pub description: String,
}
