//! A session: what one guest run holds. Every guest call becomes records here: inferred, charged, counted against the
//! live-byte limit, recorded on the tape, enqueued, and at a flush executed. Depends on the rest of the crate, knows
//! nothing of WASM.

use crate::cost::Profile;
use crate::exec::Executor;
use crate::fault::Fault;
use crate::op::{AdamW, Op, TensorId};
use crate::spec::{Spec, Values};
use serde::{Deserialize, Serialize};

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Everything.
    Train,
    /// Named state is read-only; no data, gradients, randomness, new state or in-place ops.
    Evaluate,
}

/// Limits and inputs of a session; everything here can change a result and is part of the experiment.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is allowed.
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

/// What a session has counted so far. All of it is a function of the op stream.
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
    /// Cost by kind of op ([`crate::cost::Class`] names), in order of name.
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
    /// Bytes of constants that the guest embedded (from-f32, from-u32).
    pub constant_bytes: u64,
}

/// Named state: what a model is, beside its component. In order of name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedState {
    /// name, is it a parameter, shape, values.
    pub tensors: Vec<(String, bool, Spec, Values)>,
}

/// Where reads are answered from, and what is executed.
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

/// See the module.
pub struct Session {
    _private: (),
}

#[allow(unused_variables, clippy::todo)]
impl Session {
    /// A session before its first op. `batches` is absent in dry runs and evaluation.
    pub fn new(config: Config, executor: Box<dyn Executor>, batches: Option<Box<dyn Batches>>, answers: Answers) -> Self {
        todo!()
    }
    /// Called with each checkpoint as its interval ends (not in dry runs).
    pub fn on_checkpoint(&mut self, sink: Box<dyn FnMut(Checkpoint) + Send>) {
        todo!()
    }
    /// Evaluation: installs saved named state, readable through [`Session::get`].
    pub fn install(&mut self, state: &NamedState) -> Result<(), Fault> {
        todo!()
    }
    /// Host-made input (evaluation tokens). Not charged to the guest.
    pub fn input(&mut self, spec: Spec, values: Values) -> Result<TensorId, Fault> {
        todo!()
    }
    /// Validates, charges, reserves, records, enqueues. Returns the op's first output; further outputs stay inside.
    /// Random ops: pass position 0; the session fills in the stream's position. Not for in-place ops and NextBatch.
    pub fn submit(&mut self, op: Op, inputs: &[TensorId]) -> Result<TensorId, Fault> {
        todo!()
    }
    /// A tensor of the guest's own values.
    pub fn constant(&mut self, shape: &[u32], values: Values) -> Result<TensorId, Fault> {
        todo!()
    }
    /// The guest dropped its handle.
    pub fn release(&mut self, id: TensorId) {
        todo!()
    }
    /// Shape and dtype of a tensor that the guest holds.
    pub fn spec(&self, id: TensorId) -> Result<&Spec, Fault> {
        todo!()
    }
    /// Executes what is pending and returns the values. Logged (or answered) as [`Answers`] says.
    pub fn read(&mut self, id: TensorId) -> Result<Vec<f32>, Fault> {
        todo!()
    }
    /// The host's own look at an f32 tensor: neither logged nor counted (evaluation logits).
    pub fn peek(&mut self, id: TensorId) -> Result<Vec<f32>, Fault> {
        todo!()
    }
    /// Declares a parameter with its first value.
    pub fn parameter(&mut self, name: &str, init: TensorId) -> Result<TensorId, Fault> {
        todo!()
    }
    /// Declares a named buffer.
    pub fn buffer(&mut self, name: &str, init: TensorId) -> Result<TensorId, Fault> {
        todo!()
    }
    /// An unnamed tensor that can change in place.
    pub fn variable(&mut self, init: TensorId) -> Result<TensorId, Fault> {
        todo!()
    }
    /// The named tensor, or none. Each call gives the guest one more handle on it (released on its own).
    pub fn get(&mut self, name: &str) -> Result<Option<TensorId>, Fault> {
        todo!()
    }
    /// x ← value.
    pub fn assign(&mut self, x: TensorId, value: TensorId) -> Result<(), Fault> {
        todo!()
    }
    /// x ← keep·x + scale·value.
    pub fn blend(&mut self, x: TensorId, keep: f32, value: TensorId, scale: f32) -> Result<(), Fault> {
        todo!()
    }
    /// One AdamW step on x with moments m and v.
    pub fn adamw(&mut self, x: TensorId, grad: TensorId, m: TensorId, v: TensorId, how: AdamW) -> Result<(), Fault> {
        todo!()
    }
    /// Gradients of `loss` with respect to `wrt`, in order. Frees the graph.
    pub fn backward(&mut self, loss: TensorId, wrt: &[TensorId]) -> Result<Vec<TensorId>, Fault> {
        todo!()
    }
    /// Same value outside the graph.
    pub fn detach(&mut self, x: TensorId) -> Result<TensorId, Fault> {
        todo!()
    }
    /// Turns recording on or off; returns what it was.
    pub fn set_recording(&mut self, on: bool) -> bool {
        todo!()
    }
    /// Tokens and targets, or none at the end of the budget. Ends an interval where one is due.
    pub fn next_batch(&mut self, batch: u32, seq: u32) -> Result<Option<(TensorId, TensorId)>, Fault> {
        todo!()
    }
    /// Share of the budget used.
    pub fn progress(&self) -> f64 {
        todo!()
    }
    /// Keeps a value for the curve.
    pub fn log(&mut self, key: &str, value: TensorId) -> Result<(), Fault> {
        todo!()
    }
    /// Keeps a number for the curve.
    pub fn log_number(&mut self, key: &str, value: f64) -> Result<(), Fault> {
        todo!()
    }
    /// Executes everything pending.
    pub fn flush(&mut self) -> Result<(), Fault> {
        todo!()
    }
    /// After `train` returned: the last interval's hash is taken; the chain is complete.
    pub fn finish(&mut self) -> Result<(), Fault> {
        todo!()
    }
    /// Mixes the id that `forward` returned into the op hash, so that two guests that return different tensors differ.
    pub fn mark_output(&mut self, id: TensorId) -> Result<(), Fault> {
        todo!()
    }
    /// Counters so far.
    pub fn totals(&self) -> Totals {
        todo!()
    }
    /// Chain of interval hashes so far.
    pub fn interval_hashes(&self) -> &[[u8; 32]] {
        todo!()
    }
    /// The curve so far.
    pub fn curve(&self) -> &[LogPoint] {
        todo!()
    }
    /// Bits of all values read so far.
    pub fn read_log(&self) -> &[u32] {
        todo!()
    }
    /// Named parameters and buffers (values empty in a dry run).
    pub fn named_state(&mut self) -> Result<NamedState, Fault> {
        todo!()
    }
}
