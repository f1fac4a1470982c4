//! How it is known that a model's predictions read no later token and no other chunk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Causality {
    /// Proved for all texts, from the operations of `forward`.
    Proved,
    /// Tried on the scored text: later tokens and other chunks were replaced.
    Probed,
}

impl Causality {
    pub const ALL: [Self; 2] = [Self::Proved, Self::Probed];

    /// The name that users see, and that is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Probed => "probed",
        }
    }
}

impl fmt::Display for Causality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a dry run finds out about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreseen {
    Proved,
    /// There is no proof, so the evaluation will probe.
    Probed {
        /// The operation that stands in the way, with its line.
        why: String,
    },
}

impl Foreseen {
    /// What the evaluation will do.
    pub fn causality(&self) -> Causality {
        match self {
            Self::Proved => Causality::Proved,
            Self::Probed { .. } => Causality::Probed,
        }
    }
}

/// What a policy accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Accepted {
    /// Only guests for which there is a proof.
    Proved,
    /// Guests without a proof too; they are probed.
    #[default]
    ProvedOrProbed,
}

/// How an experiment was evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    pub causality: Causality,
    /// Random seed of the probes, drawn when the source was fixed. A replay uses it again.
    pub probe_seed: u64,
}
