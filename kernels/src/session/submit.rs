//! The one path that every op takes: validate, charge, reserve, record, enqueue; and the flush that executes.

use super::interface::Mode;
use super::state::Session;
use crate::cost::Rules;
use crate::encode::Entry;
use crate::exec::Step;
use crate::fault::Fault;
use crate::infer::{Specs, infer};
use crate::op::{Op, Record, TensorId};
use crate::spec::{Spec, Values};
use smallvec::SmallVec;
use std::sync::Arc;

/// Largest number of random streams: each is an entry that lives as long as the run.
const MAX_STREAMS: usize = 1 << 20;

impl Session {
    /// Does an op of the guest. Its first output keeps a handle; further outputs live as long as the tape needs them.
    pub(super) fn first(&mut self, mut op: Op, inputs: &[TensorId], data: Option<Values>) -> Result<TensorId, Fault> {
        let name = op.name();
        for &id in inputs {
            self.memory.held(name, id)?;
        }
        if self.config.mode == Mode::Evaluate && matches!(op, Op::Uniform { .. } | Op::Normal { .. }) {
            return Err(Fault::Evaluation { op: name });
        }
        if let Op::LinearCrossEntropy { gradients, .. } = &mut op {
            let tracked = |id: &TensorId| self.memory.get(*id).is_some_and(|t| t.tracked());
            *gradients = self.recording && inputs.iter().any(tracked);
        }
        let made = self.run(op, inputs, data, self.recording)?;
        let (&first, rest) = made.split_first().ok_or(Fault::Dropped { op: name })?;
        for &id in rest {
            self.release(id);
        }
        Ok(first)
    }

    /// Does an op: one handle on each output goes to the caller.
    pub(super) fn run(
        &mut self,
        mut op: Op,
        inputs: &[TensorId],
        data: Option<Values>,
        record: bool,
    ) -> Result<SmallVec<[TensorId; 3]>, Fault> {
        let name = op.name();
        if self.config.mode == Mode::Evaluate && (matches!(op, Op::NextBatch { .. }) || !op.written().is_empty()) {
            return Err(Fault::Evaluation { op: name });
        }
        self.position(&mut op);
        let mut specs: SmallVec<[Spec; 4]> = SmallVec::new();
        for &id in inputs {
            specs.push(self.memory.alive(name, id)?.spec.clone());
        }
        let borrowed: SmallVec<[&Spec; 4]> = specs.iter().collect();
        let made = infer(&op, &borrowed)?;
        let cost = self.prices.rules.cost(&op, &borrowed, &made)?;
        if record {
            self.memory.can_link(name)?;
        }
        self.can_draw(&op)?;
        let index = self.ledger.count(name)?;
        self.ledger.charge(name, &cost, self.prices.price(&cost))?;
        self.charge_table(&op, &borrowed)?;
        let outputs = self.memory.reserve_for(&op, inputs, &made, crate::cost::workspace(&op, &borrowed))?;
        self.advance(&op);
        if record {
            self.record(&op, inputs, &specs, &outputs);
        }
        self.enqueue(op, inputs, &outputs, made, data, index)?;
        Ok(outputs)
    }

    /// Fills in a random op's place in its stream.
    fn position(&self, op: &mut Op) {
        if let Op::Uniform { stream, position, .. } | Op::Normal { stream, position, .. } = op {
            // A stream starts at 0.
            *position = self.streams.get(stream).copied().unwrap_or(0);
        }
    }

    fn can_draw(&self, op: &Op) -> Result<(), Fault> {
        match op {
            Op::Uniform { stream, .. } | Op::Normal { stream, .. }
                if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(stream) =>
            {
                Err(Fault::CountLimit { op: op.name(), what: "random streams", limit: MAX_STREAMS as u64 })
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self, op: &Op) {
        if let Op::Uniform { shape, stream, .. } | Op::Normal { shape, stream, .. } = op {
            let drawn = self.streams.entry(*stream).or_default();
            *drawn = drawn.saturating_add(shape.elements());
        }
    }

    fn enqueue(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        outputs: &[TensorId],
        made: Specs,
        data: Option<Values>,
        index: u64,
    ) -> Result<(), Fault> {
        if matches!(op, Op::Constant { .. } | Op::NextBatch { .. }) {
            self.queue.data_bytes += made.iter().map(Spec::bytes).sum::<u64>();
        }
        self.op_hash.record(Entry { op: &op, inputs, outputs, specs: &made, data: data.as_ref() });
        self.queue.count += 1;
        if self.execution.running() {
            let data = match op {
                Op::NextBatch { batch, seq, drawn } => Some(self.draw(batch, seq, drawn)?),
                _ => data,
            };
            let record = Record {
                op,
                inputs: SmallVec::from_slice(inputs),
                outputs: SmallVec::from_slice(outputs),
                data: data.map(Arc::new),
            };
            self.queue.steps.push(Step::Run { record, outputs: made.into_vec(), index });
        }
        if self.queue.full() { self.flush() } else { Ok(()) }
    }

    /// The batch's tokens, then its targets.
    fn draw(&self, batch: u32, seq: u32, drawn: u64) -> Result<Values, Fault> {
        let batches = self.batches.as_ref().ok_or_else(|| Fault::Executor("the session has no data".to_owned()))?;
        let count = batch as usize * seq as usize;
        let mut values = vec![0; 2 * count];
        let (tokens, targets) = values.split_at_mut(count);
        batches.fill(self.config.random_seed, drawn, seq, tokens, targets);
        Ok(Values::U32(values))
    }

    /// Charges the table of an op that is not kept from before.
    fn charge_table(&mut self, op: &Op, inputs: &[&Spec]) -> Result<(), Fault> {
        let Some(table) = self.prices.rules.table(op, inputs) else { return Ok(()) };
        match self.tables.keeps(table.key, table.time) {
            true => Ok(()),
            false => self.ledger.charge(op.name(), &table.cost, self.prices.price(&table.cost)),
        }
    }

    /// Charges the instructions that the guest has executed by itself: `count` in the whole run, with this linear
    /// memory.
    pub fn charge_instructions(&mut self, count: u64, memory_bytes: u64) -> Result<(), Fault> {
        if !self.pays_for_instructions() {
            return Ok(());
        }
        let free = self.prices.free_instructions_ps(self.ledger.ops);
        self.ledger.instructions(count, free, self.prices.instruction_ps(memory_bytes))
    }

    /// Instructions that the guest can pay for, in the whole run.
    pub fn affordable_instructions(&self, memory_bytes: u64) -> u64 {
        if !self.pays_for_instructions() {
            return u64::MAX;
        }
        let free = self.prices.free_instructions_ps(self.ledger.ops);
        self.ledger.affordable(free, self.prices.instruction_ps(memory_bytes))
    }

    /// By version 1 of the price rules, training did not pay, and what was recorded has to replay.
    fn pays_for_instructions(&self) -> bool {
        self.config.mode == Mode::Evaluate || self.prices.rules != Rules::One
    }

    /// Charges a read or a logged value, which is not an op.
    pub(super) fn charge_transfer(&mut self, op: &'static str, bytes: u64) -> Result<(), Fault> {
        let cost = self.prices.rules.transfer(bytes);
        self.ledger.charge(op, &cost, self.prices.price(&cost))
    }

    /// Tells the executor which tensors were freed, in order.
    pub(super) fn enqueue_freed(&mut self) {
        self.queue.count += self.memory.freed.len();
        if self.execution.running() {
            self.queue.steps.extend(self.memory.freed.drain(..).map(Step::Free));
        } else {
            self.memory.freed.clear();
        }
    }

    /// Executes everything that waits and fetches logged values.
    pub fn flush(&mut self) -> Result<(), Fault> {
        self.execute()?;
        for (point, id) in std::mem::take(&mut self.awaited) {
            if self.execution.running()
                && let (Some(&value), Some(point)) = (self.download(id)?.first(), self.curve.get_mut(point))
            {
                point.value = f64::from(value);
                point.check()?;
            }
            self.memory.unsave(id);
        }
        self.enqueue_freed();
        self.execute()
    }

    fn execute(&mut self) -> Result<(), Fault> {
        if self.execution.running() && !self.queue.steps.is_empty() {
            self.executor.execute(&mut self.queue.steps)?;
        }
        self.queue.steps.clear();
        self.queue.count = 0;
        self.queue.data_bytes = 0;
        Ok(())
    }

    /// Values of an f32 tensor, after a flush.
    pub(super) fn download(&mut self, id: TensorId) -> Result<Vec<f32>, Fault> {
        match self.executor.download(id)? {
            Values::F32(values) => Ok(values),
            _ => Err(Fault::Misuse { op: "read", reason: "only f32 tensors can be read".to_owned() }),
        }
    }
}
