//! Intervals: the chain of state hashes that pins a run, and going on from a checkpoint.
//!
//! An interval ends at the first `next_batch` at which progress has passed the next multiple of 1/intervals and no
//! graph node is alive; the last one ends with the run. Its hash is blake3, keyed to this use, over (little-endian):
//! the previous hash (32 bytes, zeros at first); records submitted (u64); op stream hash so far (32 bytes); picoseconds
//! spent, tokens drawn (u64 each); random streams (u64 count, then u32 stream and u64 position each, in order); bits of
//! the values read since the previous hash (u64 count, u32 each); live tensors (u64 count), in order of id: id (u64),
//! dtype (u8), shape (u8 rank, u32 sizes), values (u64 count, then each, NaN canonical).

use super::interface::Checkpoint;
use super::queue::Execution;
use super::state::Session;
use crate::encode::{encode_spec, encode_values};
use crate::fault::Fault;
use crate::op::TensorId;
use crate::spec::Spec;

/// Above this many bytes of live tensors an interval has a hash but no checkpoint: checkpoints must not fill a disk.
pub const MAX_CHECKPOINT_BYTES: u64 = 64 << 20;

impl Session {
    /// Chain of interval hashes so far. After going on from a checkpoint: of the intervals after it.
    pub fn interval_hashes(&self) -> &[[u8; 32]] {
        &self.intervals.chain
    }

    /// After `train` returned: the last interval's hash is taken; the chain is complete.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.flush()?;
        match &self.execution {
            Execution::StandIn => Ok(()),
            Execution::Running => self.end_interval(),
            Execution::Skipping { from, .. } => Err(astray(from)),
        }
    }

    /// Called between flush and batch.
    pub(super) fn end_interval_if_due(&mut self) -> Result<(), Fault> {
        let intervals = u128::from(self.config.intervals);
        let budget = u128::from(self.config.budget_ps.max(1));
        let passed = u128::from(self.ledger.spent) * intervals / budget;
        if passed <= u128::from(self.intervals.passed) || passed >= intervals || !self.memory.nodes.is_empty() {
            return Ok(());
        }
        // Below `intervals`, which is a u32.
        self.intervals.passed = passed as u32;
        match &self.execution {
            Execution::Running => self.end_interval(),
            Execution::StandIn => Ok(()),
            Execution::Skipping { from, .. } if self.ledger.ops < from.ops => {
                self.intervals.index += 1;
                self.intervals.read = self.read_log.len();
                Ok(())
            }
            Execution::Skipping { .. } => self.resume(),
        }
    }

    /// Puts the checkpoint's tensors in place and goes on executing.
    fn resume(&mut self) -> Result<(), Fault> {
        let Execution::Skipping { from, .. } = std::mem::replace(&mut self.execution, Execution::Running) else {
            return Ok(());
        };
        let live: Vec<(TensorId, Spec)> = self.memory.live().into_iter().map(|(id, spec)| (id, spec.clone())).collect();
        let fits = from.ops == self.ledger.ops
            && from.interval == self.intervals.index
            && live.len() == from.tensors.len()
            && live.iter().zip(&from.tensors).all(|((id, spec), (saved, values))| id == saved && values.fill(spec));
        if !fits {
            return Err(astray(&from));
        }
        for ((id, spec), (_, values)) in live.iter().zip(&from.tensors) {
            self.executor.upload(*id, spec, values)?;
        }
        self.intervals.index += 1;
        self.intervals.read = self.read_log.len();
        Ok(())
    }

    fn end_interval(&mut self) -> Result<(), Fault> {
        let live: Vec<(TensorId, Spec)> = self.memory.live().into_iter().map(|(id, spec)| (id, spec.clone())).collect();
        let bytes = live.iter().fold(0u64, |sum, (_, spec)| sum.saturating_add(spec.bytes()));
        let keep = self.intervals.sink.is_some() && bytes <= MAX_CHECKPOINT_BYTES;
        let mut tensors = Vec::new();
        let mut hasher = blake3::Hasher::new_derive_key("lab 2026 interval state v1");
        let mut buffer = Vec::new();
        self.encode_counters(&mut buffer, live.len());
        hasher.update(&buffer);
        for (id, spec) in live {
            let values = self.executor.download(id)?;
            buffer.clear();
            buffer.extend_from_slice(&id.0.to_le_bytes());
            encode_spec(&mut buffer, &spec);
            encode_values(&mut buffer, &values);
            hasher.update(&buffer);
            if keep {
                tensors.push((id, values));
            }
        }
        let hash = *hasher.finalize().as_bytes();
        let checkpoint = Checkpoint { interval: self.intervals.index, ops: self.ledger.ops, hash, tensors };
        self.intervals.chain.push(hash);
        self.intervals.last = hash;
        self.intervals.index += 1;
        self.intervals.read = self.read_log.len();
        if let (Some(sink), true) = (&mut self.intervals.sink, keep) {
            sink(checkpoint);
        }
        Ok(())
    }

    fn encode_counters(&self, out: &mut Vec<u8>, live: usize) {
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(&self.intervals.last);
        put(&self.ledger.ops.to_le_bytes());
        put(&self.op_hash.digest());
        put(&self.ledger.spent.to_le_bytes());
        put(&self.tokens.to_le_bytes());
        put(&(self.streams.len() as u64).to_le_bytes());
        for (stream, position) in &self.streams {
            put(&stream.to_le_bytes());
            put(&position.to_le_bytes());
        }
        let read = &self.read_log[self.intervals.read..];
        put(&(read.len() as u64).to_le_bytes());
        for bits in read {
            put(&bits.to_le_bytes());
        }
        put(&(live as u64).to_le_bytes());
    }
}

fn astray(from: &Checkpoint) -> Fault {
    let (interval, ops) = (from.interval, from.ops);
    Fault::Executor(format!("the run does not come by the checkpoint of interval {interval} at op {ops}"))
}
