//! The bit-exact CPU executor: numerics class `cpu-0`. A result is a function of the op and its inputs; instruction
//! set and thread count never show. The arithmetic works on slices; this file owns tensors and calls it. Depends on
//! `op`, `exec`, `spec` and `fault`.

pub mod attention;
mod buffer;
pub mod elementwise;
pub mod gemm;
pub mod index;
pub mod loss;
pub mod math;
pub mod newton_schulz;
pub mod path;
pub mod random;
pub mod reduce;
mod run;
pub mod shape;
pub mod threads;

use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::{Op, Record, TensorId};
use crate::spec::{DType, Shape, Spec, Values};
use buffer::{Buffer, Pool};
use path::Path;
use std::collections::BTreeMap;
use std::sync::Arc;
use threads::Threads;

/// The numerics class: results of the same class are bit-identical on every machine.
pub const CLASS: &str = "cpu-0";

/// A tensor: reshaped ones share a buffer until one of them is written.
#[derive(Clone, Debug)]
struct Tensor {
    spec: Spec,
    data: Arc<Buffer>,
}

impl Tensor {
    fn f32(&self) -> &[f32] {
        self.data.f32()
    }

    fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }
}

/// Executes records on the CPU.
#[derive(Debug)]
pub struct CpuExecutor {
    threads: Threads,
    seed: u64,
    pool: Pool,
    tensors: BTreeMap<TensorId, Tensor>,
}

impl CpuExecutor {
    /// An executor with `threads` threads and the fastest instructions here. `random_seed` keys its random values.
    pub fn new(threads: usize, random_seed: u64) -> Result<Self, Fault> {
        Self::with_path(threads, random_seed, Path::detect())
    }

    /// An executor that uses the instructions given.
    pub fn with_path(threads: usize, random_seed: u64, path: Path) -> Result<Self, Fault> {
        let threads = Threads::new(threads, path)?;
        Ok(Self { threads, seed: random_seed, pool: Pool::default(), tensors: BTreeMap::new() })
    }

    /// An executor without tensors that shares this one's threads: a confined process can start no more of them.
    pub fn sibling(&self, random_seed: u64) -> Self {
        Self { threads: self.threads.clone(), seed: random_seed, pool: Pool::default(), tensors: BTreeMap::new() }
    }

    fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Run { record, outputs, index } => self.run(&record, &outputs, index),
            Step::Free(id) => {
                let tensor = self.tensors.remove(&id).ok_or_else(|| absent(id))?;
                self.release(tensor);
                Ok(())
            }
        }
    }

    fn tensor(&self, id: TensorId) -> Result<&Tensor, Fault> {
        self.tensors.get(&id).ok_or_else(|| absent(id))
    }

    fn release(&mut self, tensor: Tensor) {
        if let Some(buffer) = Arc::into_inner(tensor.data) {
            self.pool.give(buffer);
        }
    }

    fn put(&mut self, id: TensorId, spec: Spec, data: Arc<Buffer>) {
        if let Some(old) = self.tensors.insert(id, Tensor { spec, data }) {
            self.release(old);
        }
    }

    fn buffer(&mut self, shape: &Shape) -> Buffer {
        self.pool.take(shape.elements() as usize)
    }

    /// A buffer with `values`, which must fill `spec`.
    fn filled(&mut self, spec: &Spec, values: &Values) -> Result<Buffer, Fault> {
        let mut buffer = self.buffer(&spec.shape);
        match (values, spec.dtype) {
            (Values::F32(v), DType::F32) if v.len() as u64 == spec.shape.elements() => {
                buffer.f32_mut().copy_from_slice(v)
            }
            (Values::U32(v), DType::U32) if v.len() as u64 == spec.shape.elements() => {
                buffer.u32_mut().copy_from_slice(v)
            }
            _ => return Err(Fault::Executor(format!("the values given do not fill a tensor {spec}"))),
        }
        Ok(buffer)
    }

    fn run(&mut self, record: &Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
        let inputs = record.inputs.iter().map(|id| self.tensor(*id).cloned()).collect::<Result<Vec<_>, _>>()?;
        if matches!(record.op, Op::Assign | Op::Blend { .. } | Op::AdamW(_)) {
            return self.run_in_place(record, inputs);
        }
        let made = self.make(record, &inputs, outputs, index)?;
        for ((id, spec), data) in record.outputs.iter().zip(outputs).zip(made) {
            self.put(*id, spec.clone(), data);
        }
        Ok(())
    }

    /// Buffers of a pure op's outputs.
    fn make(&mut self, r: &Record, inputs: &[Tensor], outputs: &[Spec], index: u64) -> Result<Vec<Arc<Buffer>>, Fault> {
        match (&r.op, r.data.as_deref(), inputs, outputs) {
            (Op::Reshape { .. } | Op::Copy, _, [x], _) => return Ok(vec![x.data.clone()]),
            (Op::Constant { .. }, Some(values), _, [spec]) => return Ok(vec![Arc::new(self.filled(spec, values)?)]),
            (Op::NextBatch { .. }, Some(Values::U32(values)), _, [spec, _]) => {
                let half = (spec.shape.elements() as usize).min(values.len());
                let (tokens, targets) = values.split_at(half);
                let tokens = self.filled(spec, &Values::U32(tokens.to_vec()))?;
                return Ok(vec![Arc::new(tokens), Arc::new(self.filled(spec, &Values::U32(targets.to_vec()))?)]);
            }
            _ => {}
        }
        let mut buffers: Vec<Buffer> = outputs.iter().map(|spec| self.buffer(&spec.shape)).collect();
        let call = run::Call { threads: &self.threads, seed: self.seed, op: &r.op, inputs, outputs, index };
        call.run(&mut buffers)?;
        Ok(buffers.into_iter().map(Arc::new).collect())
    }

    /// Writes the first input (AdamW also the third and fourth). What shares a written buffer keeps the old values.
    fn run_in_place(&mut self, record: &Record, inputs: Vec<Tensor>) -> Result<(), Fault> {
        match (&record.op, record.inputs.as_slice(), inputs.as_slice()) {
            (Op::Assign, [x, _], [_, value]) => {
                let (spec, data) = (value.spec.clone(), value.data.clone());
                self.put(*x, spec, data);
                Ok(())
            }
            (Op::Blend { keep, scale }, [x, _], [old, value]) => {
                let mut written = self.own(old);
                run::blend(&self.threads, written.f32_mut(), value.f32(), *keep, *scale);
                self.put(*x, old.spec.clone(), Arc::new(written));
                Ok(())
            }
            (Op::AdamW(step), [x, _, m, v], [old_x, grad, old_m, old_v]) => {
                let mut written = [self.own(old_x), self.own(old_m), self.own(old_v)];
                let [wx, wm, wv] = &mut written;
                run::adamw(&self.threads, *step, wx.f32_mut(), grad.f32(), wm.f32_mut(), wv.f32_mut());
                for ((id, old), new) in [(x, old_x), (m, old_m), (v, old_v)].into_iter().zip(written) {
                    self.put(*id, old.spec.clone(), Arc::new(new));
                }
                Ok(())
            }
            _ => Err(Fault::Executor(format!("{:?} got {} operands", record.op, inputs.len()))),
        }?;
        inputs.into_iter().for_each(|tensor| self.release(tensor));
        Ok(())
    }

    /// A buffer with the tensor's values.
    fn own(&mut self, tensor: &Tensor) -> Buffer {
        let mut buffer = self.buffer(&tensor.spec.shape);
        buffer.u32_mut().copy_from_slice(tensor.data.u32());
        buffer
    }
}

fn absent(id: TensorId) -> Fault {
    Fault::Executor(format!("tensor {} is not there; it was freed or never made", id.0))
}

impl Executor for CpuExecutor {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let threads = self.threads.clone();
        threads.enter(|| steps.drain(..).try_for_each(|step| self.step(step)))
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        let buffer = self.filled(spec, values)?;
        self.put(id, spec.clone(), Arc::new(buffer));
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let tensor = self.tensor(id)?;
        Ok(match tensor.spec.dtype {
            DType::F32 => Values::F32(tensor.f32().iter().map(|x| if x.is_nan() { f32::NAN } else { *x }).collect()),
            DType::U32 => Values::U32(tensor.data.u32().to_vec()),
        })
    }

    fn class(&self) -> &'static str {
        CLASS
    }
}
