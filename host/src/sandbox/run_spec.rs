//! Inputs and outputs of a child.

use crate::record::causality::Causality;
use crate::record::limits::Limits;
use crate::record::outcome::Status;
use crate::sandbox::backend::Traffic;
use kernels::cost::Profile;
use kernels::session::{Checkpoint, LogPoint, NamedState, Totals};
use serde::{Deserialize, Serialize};

/// Settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Number of different tokens.
    pub vocab: u32,
    /// Evaluation context in tokens.
    pub context: u32,
    /// Rung of the ladder.
    pub scale: f32,
    pub budget_ps: u64,
    pub profile: Profile,
    pub limits: Limits,
    pub random_seed: u64,
    /// Number of intervals in the hash chain.
    pub intervals: u32,
    /// Rows per `forward` call in evaluation.
    pub eval_rows: u32,
    /// Threads of the executor. They never change a result.
    pub threads: u32,
    /// Linear memory of a runtime that the component brings, which costs nothing; 0: it brings none.
    pub runtime_bytes: u64,
    /// Wall-clock limit, as a backstop.
    pub wall_limit_ms: u64,
}

impl RunSpec {
    /// Tokens of one `forward` call in evaluation.
    pub fn forward_tokens(&self) -> u64 {
        u64::from(self.eval_rows) * u64::from(self.context)
    }
}

/// Result of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    pub status: Status,
    pub totals: Totals,
    pub curve: Vec<LogPoint>,
    /// Chain of interval hashes.
    pub intervals: Vec<[u8; 32]>,
    /// Bits of the values that the guest read.
    pub read_log: Vec<u32>,
    /// The model's state, if training completed.
    pub state: Option<NamedState>,
    pub fuel: u64,
    /// What went between host and device; part of no outcome.
    pub traffic: Option<Traffic>,
}

/// Progress during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Progress {
    /// Share of the budget used, steps, last logged loss.
    Step {
        /// From 0 to 1.
        progress: f64,
        /// Steps so far.
        steps: u64,
        /// Last logged loss.
        loss: Option<f64>,
    },
    /// A checkpoint to keep.
    Checkpoint(Checkpoint),
}

/// Where execution starts when only a later interval is run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// Bits of the values that the guest read in the recorded run.
    pub read_log: Vec<u32>,
    /// Checkpoint at the start of the interval.
    pub from: Checkpoint,
    /// Stop after this interval's hash.
    pub until_interval: u32,
}

/// Result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    pub status: Status,
    /// Nats per chunk, in order.
    pub chunk_nats: Vec<f64>,
    /// Picoseconds per token of the most expensive `forward` call.
    pub forward_ps_per_token: u64,
    /// How it is known that no logit reads a later token or another row.
    pub causality: Causality,
}

impl Evaluated {
    /// An evaluation without a score.
    pub fn failed(status: Status) -> Self {
        Self { status, chunk_nats: Vec::new(), forward_ps_per_token: 0, causality: Causality::Probed }
    }
}

/// The text that a model is scored on, and the settings of the gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalInput {
    /// Each chunk has context + 1 tokens.
    pub chunks: Vec<Vec<u16>>,
    /// Highest allowed cost of `forward` in picoseconds per token; 0: no limit.
    pub forward_cap_ps_per_token: u64,
    /// Random seed of the probes: where they cut, and which text they put in the place of what they replace.
    pub probe_seed: u64,
}

/// How text is sampled from a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The tokens that the text continues.
    pub prompt: Vec<u16>,
    /// Number of tokens to draw.
    pub count: u32,
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f32,
    /// Random seed of the draws.
    pub random_seed: u64,
}
