//! Inputs and results of a session: limits, data, checkpoints, totals, named state.

use crate::cost::Profile;
use crate::fault::Fault;
use crate::op::TensorId;
use crate::spec::{Spec, Values};
use serde::{Deserialize, Serialize};

/// Most values of one read.
pub const MAX_READ: u64 = 65_536;
/// Most values that a run may read.
pub const MAX_READS: u64 = 1 << 24;
/// The key under which a guest logs its training loss.
pub const LOSS: &str = "loss";
/// Most points of a curve; later ones are charged and not kept.
pub const MAX_POINTS: usize = 100_000;
/// Most bytes of a log key.
pub const MAX_KEY: usize = 64;

/// Whether a session trains or evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Everything is allowed.
    Train,
    /// Named state is read-only; no data, gradients, randomness, new state or in-place ops.
    Evaluate,
}

/// Limits and inputs of a session; everything here can change a result and is part of the experiment.
#[derive(Clone, Debug)]
pub struct Config {
    /// Training or evaluation.
    pub mode: Mode,
    /// Prices of ops.
    pub profile: Profile,
    /// Budget in picoseconds on the profile's device. In [`Mode::Evaluate`] the cap on cost.
    pub budget_ps: u64,
    /// Live tensor bytes at any time.
    pub tensor_bytes: u64,
    /// Records that may be submitted.
    pub max_ops: u64,
    /// Tensors that may be alive at once.
    pub max_tensors: u64,
    /// Keys everything random.
    pub random_seed: u64,
    /// Number of intervals whose state is hashed while training.
    pub intervals: u32,
}

/// Largest number of tokens in a batch.
pub const MAX_BATCH: u64 = 1 << 24;

/// Where training text comes from.
pub trait Batches: Send {
    /// Fills `tokens` and `targets` (row-major [batch, seq]) as a pure function of the arguments.
    fn fill(&self, random_seed: u64, drawn: u64, seq: u32, tokens: &mut [u32], targets: &mut [u32]);
}

/// A point of a run where no graph was alive: enough to go on from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Index of the interval that ends here, from 0.
    pub interval: u32,
    /// Records submitted before.
    pub ops: u64,
    /// Chained state hash here.
    pub hash: [u8; 32],
    /// All live tensors in order of id.
    pub tensors: Vec<(TensorId, Values)>,
}

/// One point of a logged curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogPoint {
    /// `next_batch` calls before it.
    pub step: u64,
    /// Key, as the guest gave it (capped, unescaped).
    pub key: String,
    /// Value; NaN canonical.
    pub value: f64,
}

impl LogPoint {
    /// A loss that is NaN or infinite stays so: the rest of the budget would be wasted.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self.key == LOSS && !self.value.is_finite() {
            true => Err(Fault::Diverged { step: self.step, value: self.value }),
            false => Ok(()),
        }
    }
}

/// Counters of a session. All of them are functions of the op stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Records submitted.
    pub ops: u64,
    /// `next_batch` calls that returned a batch.
    pub steps: u64,
    /// Tokens drawn.
    pub tokens: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Cost of ops in picoseconds.
    pub spent_ps: u64,
    /// Cost by kind of op ([`Class`] names), in order of name.
    pub spent_by_class: Vec<(String, u64)>,
    /// Elements in named parameters.
    pub parameters: u64,
    /// Elements in named buffers.
    pub buffers: u64,
    /// Most tensor bytes alive at once.
    pub peak_bytes: u64,
    /// Values read by the guest.
    pub reads: u64,
    /// Hash of the op stream (canonical encoding of every record, names and data included).
    pub op_hash: [u8; 32],
    /// Bytes of constants that the guest embedded (from-f32, from-u32, from-i64).
    pub constant_bytes: u64,
}

/// Named parameters and buffers, in order of name. With its component they are the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedState {
    /// Name, whether it is a parameter, spec, values.
    pub tensors: Vec<(String, bool, Spec, Values)>,
}

/// Whether ops are executed, and where answers to reads come from.
pub enum Answers {
    /// Execute everything; log the reads.
    Execute,
    /// Never execute; answer reads with zeros (dry run).
    StandIn,
    /// Answer reads from this log and execute nothing before `from.ops`; then go on from the checkpoint, executing.
    FastForward {
        /// Bits of the values read so far, in order.
        log: Vec<u32>,
        /// Where to start executing.
        from: Box<Checkpoint>,
    },
}
