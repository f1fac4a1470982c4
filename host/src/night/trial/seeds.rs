//! Derives the random seeds of a night from its policy.

use crate::policy::Policy;

/// Derives one random seed: blake3 of the policy's random seed, purpose, trial and index, with a derivation context of
/// its own. Purpose and trial are those that replicas of the baseline had when other runs had seeds of their own.
fn random_seed(policy: &Policy, index: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("lab 2026-11 random seed v1");
    hasher.update(&policy.search.random_seed.to_le_bytes());
    hasher.update(b"replica");
    hasher.update(&0u64.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The random seed on which every trial begins.
pub(in crate::night) fn first_seed(policy: &Policy) -> u64 {
    random_seed(policy, 0)
}

/// The random seeds of the baseline.
pub fn replica_seeds(policy: &Policy) -> Vec<u64> {
    random_seeds(policy, policy.selection.replicas.max(1))
}

/// The first random seeds of a policy. Baseline, champions and candidates are all trained on them, in this order.
pub fn random_seeds(policy: &Policy, count: u32) -> Vec<u64> {
    (0..count).map(|index| random_seed(policy, u64::from(index))).collect()
}
