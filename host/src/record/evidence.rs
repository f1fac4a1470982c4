//! What another store needs to run an experiment again and compare it: the manifest, and the hashes of what came out.

use crate::record::key::{ExperimentKey, Hash, Manifest, OutcomeHash};
use crate::record::secret::SplitSecret;

/// The evidence for a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub manifest: Manifest,
    pub outcome: OutcomeHash,
    /// Random seed of the probes, which counts only where causality is not proved.
    pub probe_seed: u64,
    /// State hashes at the ends of the intervals, in order.
    pub intervals: Vec<Hash>,
}

impl Evidence {
    pub fn experiment(&self) -> ExperimentKey {
        self.manifest.key()
    }

    /// The same, with hashes that nobody without the secret can compare with those of guessed text.
    #[must_use]
    pub fn blinded(self, secret: &SplitSecret) -> Self {
        let blind = |Hash(hash): Hash| Hash(secret.blind(&hash));
        let OutcomeHash(outcome) = self.outcome;
        Self {
            outcome: OutcomeHash(blind(outcome)),
            intervals: self.intervals.into_iter().map(blind).collect(),
            ..self
        }
    }
}
