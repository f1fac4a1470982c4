//! Derives the random seeds of a night from its policy.

use crate::policy::Policy;

/// Derives one random seed: blake3 of the policy's random seed, purpose, trial and index, with a derivation context of
/// its own.
pub(in crate::night) fn random_seed(policy: &Policy, purpose: &str, trial: u64, index: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("lab 2026-11 random seed v1");
    hasher.update(&policy.search.random_seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(&trial.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The random seeds of the baseline.
pub fn replica_seeds(policy: &Policy) -> Vec<u64> {
    random_seeds(policy, policy.selection.replicas.max(1))
}

/// The first random seeds of a policy. Its baseline begins with them.
pub fn random_seeds(policy: &Policy, count: u32) -> Vec<u64> {
    (0..count).map(|i| random_seed(policy, "replica", 0, u64::from(i))).collect()
}
