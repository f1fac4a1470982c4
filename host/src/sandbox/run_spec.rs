//! What a child is asked to run, and what it answers.

use crate::record::limits::Limits;
use crate::record::outcome::Status;
use kernels::cost::Profile;
use kernels::session::{Checkpoint, LogPoint, NamedState, Totals};
use serde::{Deserialize, Serialize};

/// What a guest is told and given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Number of different tokens.
    pub vocab: u32,
    /// Evaluation context in tokens.
    pub context: u32,
    /// Rung of the ladder.
    pub scale: f32,
    /// Budget in picoseconds.
    pub budget_ps: u64,
    /// Prices.
    pub profile: Profile,
    /// Bounds.
    pub limits: Limits,
    /// Random seed.
    pub random_seed: u64,
    /// Intervals.
    pub intervals: u32,
    /// Rows per `forward` call in evaluation.
    pub eval_rows: u32,
    /// Threads of the executor: never changes a result.
    pub threads: u32,
    /// Wall-clock backstop.
    pub wall_limit_ms: u64,
}

impl RunSpec {
    /// Tokens of one `forward` call in evaluation.
    pub fn forward_tokens(&self) -> u64 {
        u64::from(self.eval_rows) * u64::from(self.context)
    }
}

/// What training leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Completed, or how it failed.
    pub status: Status,
    /// Counters.
    pub totals: Totals,
    /// Curve.
    pub curve: Vec<LogPoint>,
    /// Chain of interval hashes.
    pub intervals: Vec<[u8; 32]>,
    /// Bits of values read.
    pub read_log: Vec<u32>,
    /// The model's state, where completed.
    pub state: Option<NamedState>,
    /// Fuel used.
    pub fuel: u64,
}

/// Sent while training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Progress {
    /// Share of the budget used, steps, last logged loss.
    Step {
        /// 0 to 1.
        progress: f64,
        /// Steps so far.
        steps: u64,
        /// Last logged loss.
        loss: Option<f64>,
    },
    /// A checkpoint to keep.
    Checkpoint(Checkpoint),
}

/// Where to start executing when only a later interval is run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// Bits of values read in the recorded run.
    pub read_log: Vec<u32>,
    /// Checkpoint at the interval's start.
    pub from: Checkpoint,
    /// Stop after this interval's hash.
    pub until_interval: u32,
}

/// What evaluation yields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Completed, or how it failed.
    pub status: Status,
    /// Nats per chunk, in order.
    pub chunk_nats: Vec<f64>,
    /// Cost of the dearest `forward` call per token, in picoseconds.
    pub forward_ps_per_token: u64,
}

/// What a model is scored on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalInput {
    /// context + 1 tokens each.
    pub chunks: Vec<Vec<u16>>,
    /// Picoseconds that `forward` may cost per token; 0: any.
    pub forward_cap_ps_per_token: u64,
    /// Places the cuts of the future-token gate.
    pub probe_seed: u64,
    /// Batches, from the first on, that go through the gates.
    pub probes: u32,
}

/// How text is drawn from a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// What the text goes on from.
    pub prompt: Vec<u16>,
    /// Tokens to draw.
    pub count: u32,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Decides the draws.
    pub random_seed: u64,
}
