//! The fields of a policy file, and what each is where the file leaves it out.

use crate::experiment::judge::Selection;
use crate::propose::command;
use crate::propose::llm::ModelConfig;
use crate::record::limits::Limits;
use crate::record::spend::Caps;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What may be spent.
    #[serde(default)]
    pub caps: CapsPolicy,
    /// Language models that `proposers` may name: table `[llm.sonnet]` is the proposer `llm.sonnet`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub llm: BTreeMap<String, ModelConfig>,
    /// Programs that `proposers` may name: table `[command.agent]` is the proposer `command.agent`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub command: BTreeMap<String, command::Config>,
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
    /// Stop after so many experiments of the night, restarts included; none: go on.
    pub experiments: Option<u64>,
    /// Stop after so many hours of the night, the time between restarts not counted; none: go on.
    pub hours: Option<f64>,
    /// Who proposes: `evolve`, `llm.NAME`, `command.NAME`. Several share the night by what they gain for what they cost.
    pub proposers: Vec<String>,
    /// How often a proposal that does not compile or pass the dry run goes back to its author.
    pub repairs: u32,
    /// Trials between two digests of what the night has taught.
    pub digest_every: u64,
    /// Random seed of the night: proposals and experiments' random seeds derive from it.
    pub random_seed: u64,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            experiments: None,
            hours: None,
            proposers: vec!["evolve".into()],
            repairs: 3,
            digest_every: 20,
            random_seed: 1337,
        }
    }
}

/// Most that a night may spend on its proposers, all together; what is left out has no bound. At a cap the night goes on
/// with what is free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapsPolicy {
    /// US dollars.
    pub dollars: Option<f64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Requests.
    pub requests: Option<u64>,
}

impl CapsPolicy {
    /// In millionths of a dollar.
    pub fn in_whole_numbers(&self) -> Caps {
        let micro_dollars = self.dollars.map(|dollars| (dollars * 1e6).round() as u64);
        Caps { requests: self.requests, tokens: self.tokens, micro_dollars }
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
