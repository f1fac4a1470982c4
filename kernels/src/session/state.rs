//! The state of a session between calls. The other files of this folder add the calls to [`Session`].

use super::interface::{Answers, Batches, Checkpoint, Config, LogPoint, Mode};
use super::ledger::Ledger;
use super::memory::Memory;
use super::queue::{Execution, Queue};
use crate::cost::{Prices, Tables};
use crate::encode::OpHasher;
use crate::exec::Executor;
use crate::op::TensorId;
use crate::spec::{Spec, Values};
use std::collections::BTreeMap;

/// One run of a guest: everything that it made, spent and may still do.
pub struct Session {
    pub(super) config: Config,
    pub(super) prices: Prices,
    pub(super) executor: Box<dyn Executor>,
    pub(super) batches: Option<Box<dyn Batches>>,
    pub(super) execution: Execution,
    pub(super) memory: Memory,
    pub(super) queue: Queue,
    pub(super) ledger: Ledger,
    /// Tables that the executor keeps.
    pub(super) tables: Tables,
    pub(super) op_hash: OpHasher,
    pub(super) recording: bool,
    pub(super) segments: Segments,
    /// Elements drawn from each random stream.
    pub(super) streams: BTreeMap<u32, u64>,
    pub(super) named: BTreeMap<String, Named>,
    /// First values for parameters and buffers that are not declared yet, by name.
    pub(super) initial: BTreeMap<String, (Spec, Values)>,
    pub(super) steps: u64,
    pub(super) tokens: u64,
    pub(super) constant_bytes: u64,
    /// The amount spent at the last `next_batch` that gave a batch.
    pub(super) step_start: Option<u64>,
    pub(super) curve: Vec<LogPoint>,
    /// Points of the curve whose values come at the next flush.
    pub(super) awaited: Vec<(usize, TensorId)>,
    pub(super) read_log: Vec<u32>,
    pub(super) intervals: Intervals,
}

/// A named parameter or buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub id: TensorId,
    pub parameter: bool,
}

/// The open segment. A segment within another is a part of it.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub depth: u32,
    pub begun: u64,
}

impl Segments {
    /// The segment that is open.
    pub fn open(&self) -> Option<u64> {
        (self.depth > 0).then_some(self.begun)
    }
}

/// How far the chain of interval hashes has come.
pub(super) struct Intervals {
    pub sink: Option<Box<dyn FnMut(Checkpoint) + Send>>,
    pub chain: Vec<[u8; 32]>,
    pub last: [u8; 32],
    /// Index of the present interval.
    pub index: u32,
    /// Multiples of 1/intervals that were passed.
    pub passed: u32,
    /// Place in the read log up to which reads are hashed.
    pub read: usize,
}

impl Intervals {
    pub fn new(answers: &Answers) -> Self {
        let last = match answers {
            Answers::FastForward { from, .. } => from.hash,
            Answers::Execute | Answers::StandIn => [0; 32],
        };
        Self { sink: None, chain: Vec::new(), last, index: 0, passed: 0, read: 0 }
    }
}

impl Session {
    /// A session before its first op. `batches` is absent in dry runs and evaluation. Check the profile first
    /// ([`Profile::validate`]): an op without a rate is beyond every budget.
    pub fn new(
        config: Config,
        executor: Box<dyn Executor>,
        batches: Option<Box<dyn Batches>>,
        answers: Answers,
    ) -> Self {
        let overdraft = if config.mode == Mode::Train { config.budget_ps / 100 } else { 0 };
        Self {
            prices: Prices::new(&config.profile),
            memory: Memory::new(config.tensor_bytes, config.max_tensors),
            ledger: Ledger::new(config.budget_ps.saturating_add(overdraft), config.max_ops),
            intervals: Intervals::new(&answers),
            execution: Execution::new(answers),
            executor,
            batches,
            queue: Queue::default(),
            tables: Tables::default(),
            op_hash: OpHasher::default(),
            recording: config.mode == Mode::Train,
            segments: Segments::default(),
            streams: BTreeMap::new(),
            named: BTreeMap::new(),
            initial: BTreeMap::new(),
            steps: 0,
            tokens: 0,
            constant_bytes: 0,
            step_start: None,
            curve: Vec::new(),
            awaited: Vec::new(),
            read_log: Vec::new(),
            config,
        }
    }
}
