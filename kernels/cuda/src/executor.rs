//! Executes records by their plans on a device. While it executes, nothing comes back to the host: indices out of range
//! are noted on the device, and looked at when the host reads.

use crate::bytes;
use crate::device::{At, Device};
use crate::lower::lower;
use crate::plan::{self, Buffer, Plan};
use kernels::exec::{Executor, Step};
use kernels::fault::Fault;
use kernels::op::{Op, Record, TensorId};
use kernels::spec::{Spec, Values};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Checks of indices that may wait for a look.
const MAX_CHECKS: usize = 4096;
/// Tables that stay; most guests rotate by one or two.
const MAX_TABLES: usize = 16;
/// Bytes of an index and of what a check leaves.
const WORD: u64 = 4;

/// Holds tensors on one device.
pub struct CudaExecutor<D: Device> {
    device: D,
    random_seed: u64,
    tensors: BTreeMap<TensorId, Tensor<D::Memory>>,
    /// What a step has made of values alone.
    tables: Vec<(plan::Step, Arc<D::Memory>)>,
    /// A word for each check, made when the first one comes.
    words: Option<D::Memory>,
    checks: Vec<Check<D::Memory>>,
    traffic: Arc<Traffic>,
}

/// Several tensors have one memory until one of them is written.
struct Tensor<M> {
    spec: Spec,
    memory: Arc<M>,
}

impl<M> Clone for Tensor<M> {
    fn clone(&self) -> Self {
        Self { spec: self.spec.clone(), memory: Arc::clone(&self.memory) }
    }
}

/// A check whose word was not looked at yet.
struct Check<M> {
    op: &'static str,
    index: u64,
    limit: u32,
    indices: Arc<M>,
}

/// Transfers between host and device.
#[derive(Debug, Default)]
pub struct Traffic {
    uploads: AtomicU64,
    round_trips: AtomicU64,
    reads: AtomicU64,
}

impl Traffic {
    /// From the host, while it executes: values of constants and batches.
    pub fn uploads(&self) -> u64 {
        self.uploads.load(Ordering::Relaxed)
    }

    /// To the host, which waits for them in the middle of its work: one for each 4096 checks between two reads.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// Tensors that the host asked for: logged losses, checkpoints, models, logits, and what guests read.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl<D: Device> CudaExecutor<D> {
    /// An executor without tensors; `random_seed` keys [`Op::Uniform`] and [`Op::Normal`].
    pub fn new(device: D, random_seed: u64) -> Self {
        Self::counting(device, random_seed, Arc::default())
    }

    /// The same with counters that others have too.
    pub fn counting(device: D, random_seed: u64, traffic: Arc<Traffic>) -> Self {
        let (tensors, tables, checks) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { device, random_seed, tensors, tables, words: None, checks, traffic }
    }

    /// Its counters.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Memory for an op, which is named if the limit is passed.
    fn room(&mut self, op: &'static str, bytes: u64) -> Result<D::Memory, Fault> {
        self.device.allocate(bytes).map_err(|fault| match fault {
            Fault::TensorLimit { live, wanted, limit, .. } => Fault::TensorLimit { op, live, wanted, limit },
            other => other,
        })
    }

    fn held(&self, id: TensorId) -> Result<&Tensor<D::Memory>, Fault> {
        self.tensors.get(&id).ok_or_else(|| Fault::Executor(format!("tensor {} is not there", id.0)))
    }

    fn run(&mut self, record: &Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
        if record.outputs.len() != outputs.len() {
            return Err(Fault::Executor(format!("{} makes {} tensors", record.op.name(), record.outputs.len())));
        }
        if let Some(values) = record.data.as_deref() {
            return self.given(record, outputs, values);
        }
        match (&record.op, &record.inputs[..], &record.outputs[..]) {
            // These only name values that are there.
            (Op::Reshape { .. } | Op::Copy, &[x], &[y]) => {
                let memory = Arc::clone(&self.held(x)?.memory);
                self.tensors.insert(y, Tensor { spec: outputs[0].clone(), memory });
                Ok(())
            }
            (Op::Assign, &[x, value], _) => {
                let value = self.held(value)?.clone();
                self.tensors.insert(x, value);
                Ok(())
            }
            _ => self.perform(record, outputs, index),
        }
    }

    /// Values that came with the record fill its outputs, one after another.
    fn given(&mut self, record: &Record, outputs: &[Spec], values: &Values) -> Result<(), Fault> {
        let all = bytes::of_values(values);
        let mut rest = all.as_slice();
        for (&id, spec) in record.outputs.iter().zip(outputs) {
            let short = || Fault::Executor(format!("{} came with too few values", record.op.name()));
            let (own, more) = rest.split_at_checked(spec.bytes() as usize).ok_or_else(short)?;
            rest = more;
            let memory = self.room(record.op.name(), spec.bytes())?;
            self.device.upload(own, At::start_of(&memory))?;
            self.traffic.uploads.fetch_add(1, Ordering::Relaxed);
            self.tensors.insert(id, Tensor { spec: spec.clone(), memory: Arc::new(memory) });
        }
        Ok(())
    }

    fn perform(&mut self, record: &Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
        for &i in record.op.written() {
            let id =
                record.inputs.get(i).ok_or_else(|| Fault::Executor(format!("{} lacks operands", record.op.name())))?;
            self.own(record.op.name(), *id)?;
        }
        let inputs = record.inputs.iter().map(|id| self.held(*id).cloned());
        let inputs = inputs.collect::<Result<SmallVec<[_; 4]>, _>>()?;
        let specs: SmallVec<[&Spec; 4]> = inputs.iter().map(|tensor| &tensor.spec).collect();
        let mut plan = lower(&record.op, &specs, outputs, self.random_seed)?;
        let op = record.op.name();
        let made = outputs.iter().map(|spec| self.room(op, spec.bytes())).collect::<Result<Vec<_>, _>>()?;
        let scratch = (0..plan.scratch.len()).map(|i| self.scratch(op, &mut plan, i)).collect::<Result<Vec<_>, _>>()?;
        let word = match plan.checked {
            Some((input, limit)) => {
                let indices = inputs.get(input).map(|tensor| Arc::clone(&tensor.memory));
                let indices = indices.ok_or_else(|| Fault::Executor("a plan checks no operand".to_owned()))?;
                self.room_for_a_check()?;
                self.checks.push(Check { op, index, limit, indices });
                WORD * (self.checks.len() as u64 - 1)
            }
            None => 0,
        };
        let (device, words) = (&mut self.device, &self.words);
        plan.perform(device, |buffer| match buffer {
            Buffer::Input(i) => inputs.get(i).map(|tensor| At::start_of(&*tensor.memory)),
            Buffer::Output(i) => made.get(i).map(At::start_of),
            Buffer::Scratch(i) => scratch.get(i).map(|memory| At::start_of(&**memory)),
            Buffer::Fault => words.as_ref().map(|memory| At { memory, start: word }),
        })?;
        for ((&id, spec), memory) in record.outputs.iter().zip(outputs).zip(made) {
            self.tensors.insert(id, Tensor { spec: spec.clone(), memory: Arc::new(memory) });
        }
        Ok(())
    }

    /// A scratch buffer of a plan. If it is a table, it is made once, and the plan loses the step that makes it.
    fn scratch(&mut self, op: &'static str, plan: &mut Plan, i: usize) -> Result<Arc<D::Memory>, Fault> {
        let bytes = plan.scratch[i];
        if plan.kept != Some(i) || plan.steps.is_empty() {
            return Ok(Arc::new(self.room(op, bytes)?));
        }
        let step = plan.steps.remove(0);
        if let Some((_, table)) = self.tables.iter().find(|(made_by, _)| *made_by == step) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.room(op, bytes)?);
        let alone = Plan { steps: vec![step.clone()], ..Plan::default() };
        alone.perform(&mut self.device, |buffer| (buffer == Buffer::Scratch(i)).then(|| At::start_of(&*table)))?;
        if self.tables.len() < MAX_TABLES {
            self.tables.push((step, Arc::clone(&table)));
        }
        Ok(table)
    }

    /// Gives a tensor memory of its own, so that it can be written.
    fn own(&mut self, op: &'static str, id: TensorId) -> Result<(), Fault> {
        let tensor = self.held(id)?.clone();
        // The map holds one, this function another.
        if Arc::strong_count(&tensor.memory) > 2 {
            let bytes = tensor.spec.bytes();
            let memory = self.room(op, bytes)?;
            self.device.copy(At::start_of(&tensor.memory), At::start_of(&memory), bytes)?;
            self.tensors.insert(id, Tensor { spec: tensor.spec, memory: Arc::new(memory) });
        }
        Ok(())
    }

    fn room_for_a_check(&mut self) -> Result<(), Fault> {
        if self.checks.len() == MAX_CHECKS {
            self.traffic.round_trips.fetch_add(1, Ordering::Relaxed);
            self.look()?;
        }
        let bytes = WORD * MAX_CHECKS as u64;
        if self.words.is_none() {
            self.words = Some(self.device.allocate(bytes)?);
        }
        match &self.words {
            Some(words) if self.checks.is_empty() => self.device.fill(words, bytes),
            _ => Ok(()),
        }
    }

    /// Looks at all checks; a fault is that of the first record that has one.
    fn look(&mut self) -> Result<(), Fault> {
        let Some(words) = self.words.as_ref().filter(|_| !self.checks.is_empty()) else { return Ok(()) };
        let mut bytes = vec![0; WORD as usize * self.checks.len()];
        self.device.download(At::start_of(words), &mut bytes)?;
        let places = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        for (check, place) in self.checks.drain(..).zip(places) {
            if place == u32::MAX {
                continue;
            }
            let mut value = [0; WORD as usize];
            let start = WORD * u64::from(place);
            self.device.download(At { memory: &*check.indices, start }, &mut value)?;
            let value = u32::from_le_bytes(value);
            let reason = format!("index {value} at position {place} is not below {}", check.limit);
            return Err(Fault::Execution { op: check.op, index: check.index, reason });
        }
        Ok(())
    }
}

impl<D: Device> Executor for CudaExecutor<D> {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        for step in steps.drain(..) {
            match step {
                Step::Run { record, outputs, index } => self.run(&record, &outputs, index)?,
                Step::Free(id) => {
                    self.tensors.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        if !values.fill(spec) {
            return Err(Fault::Executor(format!("{} values do not fill {spec}", values.len())));
        }
        let memory = self.device.allocate(spec.bytes())?;
        self.device.upload(&bytes::of_values(values), At::start_of(&memory))?;
        self.tensors.insert(id, Tensor { spec: spec.clone(), memory: Arc::new(memory) });
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        self.traffic.reads.fetch_add(1, Ordering::Relaxed);
        self.look()?;
        let Tensor { spec, memory } = self.held(id)?.clone();
        let mut bytes = vec![0; spec.bytes() as usize];
        self.device.download(At::start_of(&memory), &mut bytes)?;
        Ok(bytes::to_values(spec.dtype, &bytes))
    }

    fn class(&self) -> &'static str {
        self.device.class()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use kernels::op::Record;
    use kernels::spec::Shape;

    fn rope(base: f32, inverse: bool, to: u64) -> Step {
        let spec = Spec::f32(Shape::new(&[1, 4, 2, 8]).unwrap());
        let record = Record {
            op: Op::Rope { base, inverse },
            inputs: [TensorId(0)].into_iter().collect(),
            outputs: [TensorId(to)].into_iter().collect(),
            data: None,
        };
        Step::Run { record, outputs: vec![spec], index: 0 }
    }

    #[test]
    fn a_table_of_angles_is_made_once_for_a_base() {
        let device = Fake::new(u64::MAX);
        let launches = Arc::clone(&device.launches);
        let mut executor = CudaExecutor::new(device, 0);
        let spec = Spec::f32(Shape::new(&[1, 4, 2, 8]).unwrap());
        executor.upload(TensorId(0), &spec, &Values::F32(vec![0.0; 64])).unwrap();
        let ropes = [(100.0, false), (100.0, true), (100.0, false), (200.0, false)];
        let mut steps = ropes.iter().zip(1..).map(|(&(base, inverse), to)| rope(base, inverse, to)).collect();
        executor.execute(&mut steps).unwrap();
        let launches = launches.lock().unwrap();
        let of = |name: &str| launches.iter().filter(|launch| launch.starts_with(name)).count();
        assert_eq!((of("rope_table"), launches.len()), (2, 6), "{launches:?}");
    }
}
