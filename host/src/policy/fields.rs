//! The fields of a policy file and their defaults.

use crate::experiment::judge::Selection;
use crate::experiment::rules::Rules;
use crate::propose::command;
use crate::propose::llm::ModelConfig;
use crate::record::limits::Limits;
use crate::record::quotas::Quotas;
use crate::record::retention::Retention;
use crate::record::spend::Caps;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The text to learn and how it is scored.
    pub task: TaskPolicy,
    /// How long each experiment trains.
    pub budget: Budget,
    /// Limits of a guest.
    #[serde(default)]
    pub limits: Limits,
    /// What guests must keep beside their limits.
    #[serde(default)]
    pub rules: Rules,
    /// The number of experiments, and the proposers.
    #[serde(default)]
    pub search: Search,
    /// The caps on spending.
    #[serde(default)]
    pub caps: CapsPolicy,
    /// Language models that `proposers` may name. The table `[llm.sonnet]` defines the proposer `llm.sonnet`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub llm: BTreeMap<String, ModelConfig>,
    /// Programs that `proposers` may name. The table `[command.agent]` defines the proposer `command.agent`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub command: BTreeMap<String, command::Config>,
    /// What counts as a gain.
    #[serde(default)]
    pub selection: Selection,
    /// How much strangers may send, and how much of it is tried.
    #[serde(default)]
    pub community: Quotas,
    /// Which weights the store keeps.
    #[serde(default)]
    pub store: Retention,
    /// Whom the night tells what. It is no part of what is recorded of a policy.
    #[serde(default, skip_serializing)]
    pub notify: Notify,
}

/// When somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// A mutation was kept.
    Keep,
    /// The night has ended.
    End,
    /// The machine failed: the night waits, a trial was lost, or the night ended by it.
    Fault,
}

/// Who is told, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Occasions of a message.
    pub on: Vec<Occasion>,
    /// Web address that gets each message as JSON.
    pub webhook: Option<String>,
    /// Name of the environment variable that holds the address, as one may be a secret.
    pub webhook_env: Option<String>,
    /// Program and its arguments; the text of the message follows them.
    pub command: Vec<String>,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            on: vec![Occasion::Keep, Occasion::End, Occasion::Fault],
            webhook: None,
            webhook_env: None,
            command: Vec::new(),
        }
    }
}

impl Notify {
    /// Whether anybody is told.
    pub fn is_set(&self) -> bool {
        self.webhook.is_some() || self.webhook_env.is_some() || !self.command.is_empty()
    }

    /// The web address, if there is to be one.
    pub fn address(&self) -> Option<Result<String, String>> {
        let of_variable = |name: &String| std::env::var(name).map_err(|_| format!("{name} is not set"));
        self.webhook.clone().map(Ok).or_else(|| self.webhook_env.as_ref().map(of_variable))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskPolicy {
    /// Corpora in order of preference. The first available one is used.
    pub corpora: Vec<String>,
    /// Evaluation context in tokens.
    pub context: u32,
    /// Scale factor, from which a guest derives its sizes.
    #[serde(default = "one")]
    pub scale: f32,
    /// Who chooses the held-out text.
    #[serde(default)]
    pub split: Choice,
    /// Number of chunks that are scored of each held-out split.
    pub eval_chunks: u32,
    /// Rows per forward call.
    #[serde(default = "eight")]
    pub eval_rows: u32,
    /// The guest that the night starts from: `gpt`, or a path.
    #[serde(default = "gpt")]
    pub seed_guest: String,
}

/// Who chooses the held-out text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The text itself, so that everybody knows what is held out.
    #[default]
    Public,
    /// A secret of the store, until it is revealed.
    Secret,
}

/// The training time of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Reference profile: a name under `policies/profiles/`, or a path.
    pub profile: String,
    /// Expected blake3 hash of the profile. Any other profile is refused.
    pub profile_hash: Option<String>,
    /// Deterministic seconds per experiment.
    pub seconds: f64,
}

/// The bounds, proposers and random seed of a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Stop after this number of experiments, counted across restarts. `None` means no bound.
    pub experiments: Option<u64>,
    /// Stop after this number of hours, without the time between restarts. `None` means no bound.
    pub hours: Option<f64>,
    /// The proposers: `evolve`, `inbox`, `commons`, `llm.NAME`, `command.NAME`. Several of them share the night by gain
    /// per cost.
    pub proposers: Vec<String>,
    /// How often a proposal goes back to its author if it does not compile or fails the dry run.
    pub repairs: u32,
    /// Number of trials between two digests.
    pub digest_every: u64,
    /// Random seed of the night. The proposals and the random seeds of experiments derive from it.
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

/// Maximum spending of a night, for all proposers together. A missing cap means no bound. After a cap is reached, the
/// night continues with the free proposers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CapsPolicy {
    /// US dollars.
    pub dollars: Option<f64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    pub requests: Option<u64>,
}

impl CapsPolicy {
    /// Converts the caps; money becomes millionths of a dollar.
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
