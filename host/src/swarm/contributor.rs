//! A contributor: somebody whose machines make runs and whose word is not enough. What the swarm knows of one, and
//! which of its runs are made again. Pure.

use crate::community::{PrivateKey, PublicKey};
use crate::record::key::ExperimentKey;
use crate::swarm::machine::is_label;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name in characters.
const MAX_CHARS: usize = 20;
/// Most runs at the same time.
pub const MOST_RUNS: u32 = 64;
/// At least one run in this many is made again.
const RAREST: f64 = 20.0;
/// Runs that were made again with the same result, and halve the share that still is.
const HALF: f64 = 4.0;
const DOMAIN: &str = "nightlab swarm: which runs of a contributor are made again";

/// The name of a contributor: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Contributor(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a contributor is named with 1 to {MAX_CHARS} lower-case letters, digits and hyphens")]
pub struct ContributorError;

impl Contributor {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Contributor {
    type Err = ContributorError;

    fn from_str(text: &str) -> Result<Self, ContributorError> {
        if is_label(text, MAX_CHARS) { Ok(Self(text.into())) } else { Err(ContributorError) }
    }
}

impl TryFrom<String> for Contributor {
    type Error = ContributorError;

    fn try_from(text: String) -> Result<Self, ContributorError> {
        text.parse()
    }
}

impl From<Contributor> for String {
    fn from(name: Contributor) -> Self {
        name.0
    }
}

impl fmt::Display for Contributor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a swarm knows of a contributor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its public key, with which it signs.
    pub key: String,
    /// The same key as the server spells it.
    pub login: String,
    /// Runs at the same time.
    pub runs: u32,
    /// Runs of it that were made again with the same result.
    pub agreed: u64,
    /// Why it gets no more runs and is not let in, if so.
    pub is_out: Option<String>,
}

impl Known {
    pub fn new(key: &PublicKey, login: String, runs: u32) -> Self {
        Self { key: key.to_string(), login, runs: runs.min(MOST_RUNS), agreed: 0, is_out: None }
    }

    pub fn public_key(&self) -> Option<PublicKey> {
        self.key.parse().ok()
    }

    /// The share of its runs that is made again: all of them at first, and never less than one in twenty.
    pub fn share(&self) -> f64 {
        (HALF / (HALF + self.agreed as f64)).max(1.0 / RAREST)
    }

    /// Whether a run of it is made again. The secret of the coordinator decides, so that nobody else can tell.
    pub fn is_made_again(&self, experiment: &ExperimentKey, secret: &PrivateKey) -> bool {
        let mut drawn = blake3::Hasher::new_derive_key(DOMAIN);
        drawn.update(&secret.seed()).update(self.key.as_bytes()).update(experiment.to_string().as_bytes());
        let mut bytes = [0; 8];
        drawn.finalize_xof().fill(&mut bytes);
        (u64::from_le_bytes(bytes) as f64) < self.share() * u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_a_subject() {
        for wrong in ["", "a.b", "a b", "*", ">", "A", "a_b", &"a".repeat(21)] {
            assert_eq!(wrong.parse::<Contributor>(), Err(ContributorError), "{wrong}");
        }
        assert_eq!("anna-2".parse::<Contributor>().unwrap().to_string(), "anna-2");
    }

    #[test]
    fn who_was_right_often_is_asked_again_less_often_but_always_one_time_in_twenty() {
        let (secret, other) = (PrivateKey::of_seed(&[1; 32]), PrivateKey::of_seed(&[2; 32]));
        let mut known = Known::new(&PrivateKey::of_seed(&[3; 32]).public(), String::new(), 1000);
        assert_eq!((known.runs, known.share()), (MOST_RUNS, 1.0));
        let runs: Vec<_> = (0..4000_u32).map(|i| ExperimentKey::of(&i.to_le_bytes())).collect();
        let chosen =
            |known: &Known, secret| runs.iter().map(|run| known.is_made_again(run, secret)).collect::<Vec<_>>();
        assert!(chosen(&known, &secret).iter().all(|again| *again));
        for (agreed, share) in [(4, 0.5), (36, 0.1), (1_000_000, 0.05)] {
            known.agreed = agreed;
            assert!((known.share() - share).abs() < 1e-12);
            let found = chosen(&known, &secret);
            let count = found.iter().filter(|again| **again).count() as f64;
            assert!((count / 4000.0 - share).abs() < 0.02, "{count} of 4000");
            assert_eq!(found, chosen(&known, &secret));
            assert_ne!(found, chosen(&known, &other), "who does not know the secret cannot tell");
        }
    }
}
