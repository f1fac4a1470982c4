//! The executor: tensors by id, the memory and threads behind them, and the way of a flush.

use super::call::Machine;
use super::memory::Memory;
use super::node::Tensor;
use super::path::Path;
use super::planner::{Planner, Tables, absent};
use super::threads::Threads;
use super::views::{self, Input, Output};
use super::{graph, record, run};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::TensorId;
use crate::spec::{Spec, Values};
use std::collections::BTreeMap;

/// The numerics class: results of the same class are bit-identical on every machine.
pub const CLASS: &str = "cpu-2";

/// How the records of a flush are executed. It never shows in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planning {
    /// Cut into parts that run as soon as their operands are there.
    On,
    /// One whole op after another on one thread: the reference for planning.
    Off,
}

/// Executes records on the CPU.
#[derive(Debug)]
pub struct CpuExecutor {
    threads: Threads,
    machine: Machine,
    planning: Planning,
    memory: Memory,
    tensors: BTreeMap<TensorId, Tensor>,
    tables: Tables,
}

impl CpuExecutor {
    /// An executor with `threads` threads and the fastest instructions here. `random_seed` keys its random values.
    pub fn new(threads: usize, random_seed: u64) -> Result<Self, Fault> {
        Self::with_path(threads, random_seed, Path::detect())
    }

    /// An executor that uses the instructions given.
    pub fn with_path(threads: usize, random_seed: u64, path: Path) -> Result<Self, Fault> {
        Ok(Self::of(Threads::new(threads)?, Machine { path, seed: random_seed }, Planning::On))
    }

    fn of(threads: Threads, machine: Machine, planning: Planning) -> Self {
        Self { threads, machine, planning, memory: Memory::default(), tensors: BTreeMap::new(), tables: Tables::new() }
    }

    /// Turns planning on or off.
    pub fn planning(mut self, planning: Planning) -> Self {
        self.planning = planning;
        self
    }

    /// Tensors end exactly where their memory ends, instead of starting with a cache line: for tests that guard the
    /// memory behind them. To be called before there are tensors.
    pub fn tensors_at_end(self) -> Self {
        Self { memory: Memory::at_end(), ..self }
    }

    /// An executor without tensors that shares this one's threads: a confined process can start no more of them.
    pub fn sibling(&self, random_seed: u64) -> Self {
        Self::of(self.threads.clone(), Machine { seed: random_seed, ..self.machine }, self.planning)
    }

    /// Most bytes of tensors in use at once so far.
    pub fn peak_bytes(&self) -> u64 {
        self.memory.peak() as u64
    }

    fn tensor(&self, id: TensorId) -> Result<&Tensor, Fault> {
        self.tensors.get(&id).ok_or_else(|| absent(id))
    }
}

impl Executor for CpuExecutor {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let threads = if self.planning == Planning::On { self.threads.count() } else { 0 };
        let mut planner = Planner::new(&mut self.memory, &mut self.tensors, &mut self.tables, threads);
        steps.drain(..).try_for_each(|step| record::step(&mut planner, step))?;
        let nodes = planner.finish();
        // SAFETY: the nodes are the planner's, and the blocks this executor's, which is borrowed exclusively. Without
        // planning, nodes are whole and run in the order of the records.
        let done = unsafe {
            match self.planning {
                Planning::On => graph::run(&self.threads, self.machine, &nodes),
                Planning::Off => nodes.iter().try_for_each(|node| run::part(&self.machine, node, 0)),
            }
        };
        self.memory.settle();
        done
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        record::check(spec, values, 0)?;
        let block = self.memory.take(spec.bytes() as usize);
        if let Some(old) = self.tensors.insert(id, Tensor::new(spec.clone(), block)) {
            self.memory.give(old.block);
        }
        let place = self.memory.place(block);
        let place = place.part(0..spec.bytes() as usize);
        // SAFETY: no plan is under way, and the block is this tensor's alone.
        let mut out = unsafe { Output::new(spec.clone(), place) };
        views::write(values, 0, out.elements())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let Tensor { spec, block, start } = self.tensor(id)?.clone();
        let place = self.memory.place(block).part(start..start + spec.bytes() as usize);
        // SAFETY: no plan is under way.
        Ok(views::read(&unsafe { Input::new(spec, place) }))
    }

    fn class(&self) -> &'static str {
        CLASS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Attention, Binary, Loss, Op, Record};
    use crate::spec::{DType, Shape};

    fn spec(dtype: DType, dims: &[u32]) -> Spec {
        Spec { shape: Shape::new(dims).unwrap(), dtype }
    }

    /// Executes a record that inference would not let pass.
    fn run(op: Op, inputs: &[Spec], outputs: &[Spec], planning: Planning) -> Result<(), Fault> {
        let mut executor = CpuExecutor::new(2, 0)?.planning(planning);
        let mut ids = (0..).map(TensorId);
        let mut record = Record { op, inputs: Default::default(), outputs: Default::default(), data: None };
        for (spec, id) in inputs.iter().zip(&mut ids) {
            executor.upload(id, spec, &Values::zeros(spec.dtype, spec.shape.elements() as usize))?;
            record.inputs.push(id);
        }
        record.outputs.extend(ids.take(outputs.len()));
        executor.execute(&mut vec![Step::Run { record, outputs: outputs.to_vec(), index: 0 }])
    }

    #[test]
    fn an_op_that_no_kernel_does_is_a_fault() {
        let f = |dims: &[u32]| spec(DType::F32, dims);
        let u = |dims: &[u32]| spec(DType::U32, dims);
        let half = spec(DType::Bf16, &[4]);
        let how = Attention { causal: true, window: 0, scale: 1.0 };
        let matmul = Op::MatMul { transpose_a: false, transpose_b: false };
        let linear = Op::LinearCrossEntropy { loss: Loss::default(), gradients: false };
        let cases = [
            (Op::Softmax, vec![f(&[4]), f(&[4])], vec![f(&[4])]),
            (Op::Softmax, vec![f(&[4])], vec![f(&[4]), f(&[4])]),
            (Op::Constant { shape: Shape::scalar(), dtype: DType::F32 }, vec![], vec![f(&[])]),
            (Op::NextBatch { batch: 1, seq: 1, drawn: 0 }, vec![], vec![u(&[1, 1]), u(&[1, 1])]),
            (Op::ArgSort { descending: false }, vec![half.clone()], vec![u(&[4])]),
            (Op::ArgMax { axis: 0 }, vec![half], vec![u(&[])]),
            (Op::Binary(Binary::Pow), vec![u(&[4]), u(&[4])], vec![u(&[4])]),
            (Op::Binary(Binary::Rem), vec![f(&[4]), f(&[4])], vec![f(&[4])]),
            (Op::Binary(Binary::Add), vec![f(&[4]), u(&[4])], vec![f(&[4])]),
            (matmul.clone(), vec![u(&[2, 2]), u(&[2, 2])], vec![f(&[2, 2])]),
            (matmul, vec![f(&[2]), f(&[2])], vec![f(&[2])]),
            (Op::NewtonSchulz { coefficients: vec![[1.0; 3]] }, vec![f(&[2])], vec![f(&[2])]),
            (Op::Rope { base: 10.0, inverse: false }, vec![f(&[2, 2, 2])], vec![f(&[2, 2, 2])]),
            (Op::Attention(how), vec![f(&[1, 2, 2]); 3], vec![f(&[1, 2, 2]), f(&[1, 2])]),
            (linear, vec![f(&[1, 2]), f(&[3, 1, 2]), u(&[1])], vec![f(&[]), f(&[1])]),
        ];
        for (op, inputs, outputs) in cases {
            for planning in [Planning::On, Planning::Off] {
                let done = run(op.clone(), &inputs, &outputs, planning);
                assert!(matches!(done, Err(Fault::Executor(_))), "{op:?}, {planning:?}: {done:?}");
            }
        }
    }
}
