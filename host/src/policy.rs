//! A policy: what a night is to do, as a TOML file. Unknown fields are errors with line and reason.

use crate::sandbox::Limits;
use serde::{Deserialize, Serialize};

/// A policy file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What is learnt and how it is scored.
    pub task: TaskPolicy,
    /// How long each experiment trains.
    pub budget: Budget,
    /// Bounds of a guest.
    #[serde(default)]
    pub limits: Limits,
    /// How many experiments, from whom.
    #[serde(default)]
    pub search: Search,
    /// What counts as a gain.
    #[serde(default)]
    pub selection: Selection,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPolicy {
    /// Corpora in order of preference; the first that can be had is taken.
    pub corpora: Vec<String>,
    /// Evaluation context in tokens.
    pub context: u32,
    /// Rung of the ladder that a guest derives its sizes from.
    #[serde(default = "one")]
    pub scale: f32,
    /// Chunks scored of each held-out split.
    pub eval_chunks: u32,
    /// Rows per forward call.
    #[serde(default = "eight")]
    pub eval_rows: u32,
    /// The guest that the night starts from: `gpt`, or a path.
    #[serde(default = "gpt")]
    pub seed_guest: String,
}

/// Budget time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Reference profile: a name under `policies/profiles/`, or a path.
    pub profile: String,
    /// Pinned blake3 of the profile; a profile that differs is refused.
    pub profile_hash: Option<String>,
    /// Deterministic seconds per experiment.
    pub seconds: f64,
}

/// The night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Stop after so many experiments; none: go on.
    pub experiments: Option<u64>,
    /// Stop after so many hours; none: go on.
    pub hours: Option<f64>,
    /// Who proposes.
    pub proposers: Vec<String>,
    /// Random seed of the night: proposals and experiments' random seeds derive from it.
    pub random_seed: u64,
}

impl Default for Search {
    fn default() -> Self {
        Self { experiments: None, hours: None, proposers: vec!["evolve".into()], random_seed: 1337 }
    }
}

/// Selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Replicas of the baseline that measure the noise floor.
    pub replicas: u32,
    /// Fresh random seeds on which a promising mutation must hold before it is kept.
    pub fresh_seeds: u32,
    /// P(better) needed to keep.
    pub keep_probability: f64,
}

impl Default for Selection {
    fn default() -> Self {
        Self { replicas: 3, fresh_seeds: 2, keep_probability: 0.95 }
    }
}

fn one() -> f32 {
    1.0
}
fn eight() -> u32 {
    8
}
fn gpt() -> String {
    "gpt".into()
}
