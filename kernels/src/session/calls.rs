//! A guest's calls for operations, reads, batches and the log. Slots, checkpoints and gradients have files of their
//! own.

use super::interface::{Checkpoint, LogPoint, MAX_BATCH, MAX_KEY, MAX_POINTS, MAX_READ, MAX_READS, Mode, Totals};
use super::state::{Named, Session};
use crate::cost::Class;
use crate::encode::Tag;
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use crate::spec::{DType, Shape, Spec, Values};

/// The guest's own instructions, beside the classes of ops in [`Totals::spent_by_class`].
const INSTRUCTIONS: &str = "instructions";

impl Session {
    /// Called with each checkpoint as its interval ends (not in dry runs).
    pub fn on_checkpoint(&mut self, sink: Box<dyn FnMut(Checkpoint) + Send>) {
        self.intervals.sink = Some(sink);
    }

    /// Validates, charges, reserves, records, enqueues. Returns the op's first output; further outputs stay inside.
    /// Random ops: pass position 0; the session fills in the stream's position. Not for in-place ops and NextBatch.
    pub fn submit(&mut self, op: Op, inputs: &[TensorId]) -> Result<TensorId, Fault> {
        if !op.written().is_empty() || matches!(op, Op::NextBatch { .. } | Op::Constant { .. }) {
            return Err(Fault::Misuse { op: op.name(), reason: "it has a call of its own".to_owned() });
        }
        self.first(op, inputs, None)
    }

    /// A tensor of the guest's own values.
    pub fn constant(&mut self, shape: &[u32], values: Values) -> Result<TensorId, Fault> {
        let (dtype, count) = (values.dtype(), values.len() as u64);
        let op = Op::Constant { shape: Shape::scalar(), dtype }.name();
        let shape = Shape::new(shape).map_err(|source| Fault::Size { op, source })?;
        if shape.elements() != count {
            let reason = format!("{count} values do not fill {shape}, which has {}", shape.elements());
            return Err(Fault::Misuse { op, reason });
        }
        let id = self.first(Op::Constant { shape, dtype }, &[], Some(values))?;
        self.constant_bytes = self.constant_bytes.saturating_add(count.saturating_mul(dtype.size()));
        Ok(id)
    }

    /// The guest dropped its handle.
    pub fn release(&mut self, id: TensorId) {
        self.memory.release(id);
        self.enqueue_freed();
    }

    /// Shape and dtype of a tensor that the guest holds.
    pub fn spec(&self, id: TensorId) -> Result<&Spec, Fault> {
        self.memory.held("shape", id).map(|t| &t.spec)
    }

    /// Executes what is pending and returns the values. Logged (or answered) as [`Answers`] says. Charged as a copy.
    pub fn read(&mut self, id: TensorId) -> Result<Vec<f32>, Fault> {
        let op = "read";
        let spec = self.memory.held(op, id)?.spec.clone();
        let count = spec.shape.elements();
        if spec.dtype != DType::F32 {
            return Err(Fault::Misuse { op, reason: format!("{spec}: only f32 values can be read; cast it first") });
        }
        if count > MAX_READ {
            let reason = format!("{spec} has {count} values; at most {MAX_READ} can be read at once");
            return Err(Fault::Misuse { op, reason });
        }
        if self.read_log.len() as u64 + count > MAX_READS {
            return Err(Fault::CountLimit { op, what: "values read", limit: MAX_READS });
        }
        self.charge_transfer(op, spec.bytes())?;
        self.flush()?;
        let values = match self.execution.answer(count as usize)? {
            Some(answer) => answer,
            None => self.download(id)?,
        };
        self.read_log.extend(values.iter().map(|x| x.to_bits()));
        Ok(values)
    }

    /// Values of an f32 tensor for the host: neither logged nor counted (evaluation logits). Zeros in a dry run.
    pub fn peek(&mut self, id: TensorId) -> Result<Vec<f32>, Fault> {
        let count = self.memory.held("peek", id)?.spec.shape.elements();
        self.flush()?;
        if self.execution.running() { self.download(id) } else { Ok(vec![0.0; count as usize]) }
    }

    /// Same value outside the graph.
    pub fn detach(&mut self, x: TensorId) -> Result<TensorId, Fault> {
        self.memory.held("detach", x)?;
        self.single(Op::Copy, &[x])
    }

    /// Turns recording on or off; returns what it was. Evaluation never records.
    pub fn set_recording(&mut self, on: bool) -> bool {
        std::mem::replace(&mut self.recording, on && self.config.mode == Mode::Train)
    }

    /// Tokens and targets, or `None` at the end of the budget. Ends an interval if one is due.
    pub fn next_batch(&mut self, batch: u32, seq: u32) -> Result<Option<(TensorId, TensorId)>, Fault> {
        if u64::from(batch) * u64::from(seq) > MAX_BATCH {
            return Err(Fault::CountLimit { op: "next-batch", what: "tokens in a batch", limit: MAX_BATCH });
        }
        self.flush()?;
        self.end_interval_if_due()?;
        let spent = self.ledger.spent;
        let last_step = self.step_start.map_or(0, |start| spent - start);
        if spent >= self.config.budget_ps || spent.saturating_add(last_step) > self.ledger.limit {
            return Ok(None);
        }
        let made = self.run(Op::NextBatch { batch, seq, drawn: self.tokens }, &[], None, false)?;
        let (Some(&tokens), Some(&targets)) = (made.first(), made.get(1)) else {
            return Err(Fault::Executor("a batch has two tensors".to_owned()));
        };
        self.step_start = Some(spent);
        self.steps += 1;
        self.tokens = self.tokens.saturating_add(u64::from(batch) * u64::from(seq));
        Ok(Some((tokens, targets)))
    }

    /// Cost of ops so far in picoseconds.
    pub fn spent_ps(&self) -> u64 {
        self.ledger.spent
    }

    /// Batches drawn so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Share of the budget used.
    pub fn progress(&self) -> f64 {
        if self.config.budget_ps == 0 { 1.0 } else { self.ledger.spent as f64 / self.config.budget_ps as f64 }
    }

    /// Keeps a value for the curve: fetched at the next flush. Charged as a copy.
    pub fn log(&mut self, key: &str, value: TensorId) -> Result<(), Fault> {
        let tensor = self.memory.held("log", value)?;
        if tensor.spec.dtype != DType::F32 || tensor.spec.shape.elements() != 1 {
            let reason = format!("{} is not one f32 value; take its mean first", tensor.spec);
            return Err(Fault::Misuse { op: "log", reason });
        }
        let slot = tensor.slot.is_some();
        if self.point(key, 0.0)? {
            self.memory.save(value);
            self.awaited.push((self.curve.len() - 1, value));
        }
        // A slot may change before the next flush.
        if slot { self.flush() } else { Ok(()) }
    }

    /// Keeps a number for the curve. Charged as a copy.
    pub fn log_number(&mut self, key: &str, value: f64) -> Result<(), Fault> {
        let kept = self.point(key, if value.is_nan() { f64::NAN } else { value })?;
        match self.curve.last() {
            // In a run that does not execute, the number was computed from zeros.
            Some(point) if kept && self.execution.running() => point.check(),
            _ => Ok(()),
        }
    }

    /// Adds a point where there is room.
    fn point(&mut self, key: &str, value: f64) -> Result<bool, Fault> {
        self.charge_transfer("log", 4)?;
        if self.curve.len() >= MAX_POINTS {
            return Ok(false);
        }
        let key = key[..key.floor_char_boundary(MAX_KEY)].to_owned();
        self.curve.push(LogPoint { step: self.steps, key, value });
        Ok(true)
    }

    /// Mixes the id that `forward` returned into the op hash, so that two guests that return different tensors differ.
    pub fn mark_output(&mut self, id: TensorId) -> Result<(), Fault> {
        self.memory.held("forward", id)?;
        self.op_hash.tensor(Tag::Result, id, "", None);
        Ok(())
    }

    /// Counters so far.
    pub fn totals(&self) -> Totals {
        let elements = |parameter: bool| -> u64 {
            // A name holds its tensor.
            let of = |named: &Named| self.memory.get(named.id).map_or(0, |t| t.spec.shape.elements());
            self.named.values().filter(|n| n.parameter == parameter).map(of).sum()
        };
        let by_class = Class::ALL.iter().map(|class| class.name()).zip(self.ledger.by_class);
        let by_class = by_class.chain([(INSTRUCTIONS, self.ledger.instructions_ps)]).filter(|(_, ps)| *ps > 0);
        Totals {
            ops: self.ledger.ops,
            steps: self.steps,
            tokens: self.tokens,
            flops: self.ledger.flops,
            spent_ps: self.ledger.spent,
            spent_by_class: by_class.map(|(class, ps)| (class.to_owned(), ps)).collect(),
            parameters: elements(true),
            buffers: elements(false),
            peak_bytes: self.memory.peak(),
            reads: self.read_log.len() as u64,
            op_hash: self.op_hash.digest(),
            constant_bytes: self.constant_bytes,
        }
    }

    /// The curve so far.
    pub fn curve(&self) -> &[LogPoint] {
        &self.curve
    }

    /// Bits of all values read so far.
    pub fn read_log(&self) -> &[u32] {
        &self.read_log
    }
}
