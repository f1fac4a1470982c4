//! The bit-exact CPU executor: numerics class `cpu-1`. A result is a function of the op and its inputs; instruction
//! set, thread count and planning never show. The way of a flush: records become a graph of nodes on blocks of memory
//! (`plan`), nodes are cut into parts (`split`), threads take the parts (`graph`), each is arithmetic on slices
//! (`run` and the kernels). Depends on `op`, `exec`, `spec` and `fault`.

mod ahead;
mod any;
pub mod attention;
pub mod cast;
pub mod ceilings;
pub mod elements;
pub mod elementwise;
mod expand;

pub mod gemm;
mod graph;
pub mod index;
pub mod integer;
pub mod linear_loss;
pub mod loss;
pub mod math;
pub mod matrix;
mod memory;
mod micro;
pub mod newton_schulz;
mod pack;
pub mod path;
mod plan;
pub mod power;
pub mod random;
pub mod reduce;
pub mod rope;
mod run;
pub mod scan;
mod scratch;
pub mod shape;
pub mod sort;
mod split;
pub mod threads;

use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::TensorId;
use crate::spec::{Spec, Values};
use memory::Memory;
use path::Path;
use plan::{Planner, Tables, Tensor};
use run::Machine;
use std::collections::BTreeMap;
use threads::Threads;

/// The numerics class: results of the same class are bit-identical on every machine.
pub const CLASS: &str = "cpu-1";

/// How the records of a flush are executed. It never shows in a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planning {
    /// Cut into parts that run as soon as what they need is there.
    On,
    /// One whole op after another on one thread: what planning is compared with.
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

    /// Tensors end exactly where their memory ends, instead of starting with a cache line: for tests that guard what
    /// follows them. To be called before there are any.
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
        steps.drain(..).try_for_each(|step| planner.step(step))?;
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
        plan::check(spec, values, 0)?;
        let block = self.memory.take(spec.bytes() as usize);
        if let Some(old) = self.tensors.insert(id, Tensor::new(spec.clone(), block)) {
            self.memory.give(old.block);
        }
        let place = self.memory.place(block);
        let place = place.part(0..spec.bytes() as usize);
        // SAFETY: no plan is under way, and the block is this tensor's alone.
        let mut out = unsafe { run::Out::new(spec.clone(), place) };
        run::write(values, 0, out.elements());
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let Tensor { spec, block, start } = self.tensor(id)?.clone();
        let place = self.memory.place(block).part(start..start + spec.bytes() as usize);
        // SAFETY: no plan is under way.
        Ok(run::read(&unsafe { run::Tensor::new(spec, place) }))
    }

    fn class(&self) -> &'static str {
        CLASS
    }
}

fn absent(id: TensorId) -> Fault {
    Fault::Executor(format!("tensor {} is not there; it was freed or never made", id.0))
}
