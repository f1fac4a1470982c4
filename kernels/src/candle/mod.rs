//! Executes op records on candle-core tensors: the oracle in the tests, and the code path that GPUs use. Depends on
//! `op`, `exec`, `spec` and `fault`, and on `cpu` for random numbers alone, so that every executor draws the same.
//!
//! Each op is composed from candle's own, for clarity before speed. Tensors are contiguous and never change once they
//! are made: an op in place puts another tensor under the same id.

mod fused;
mod ops;

use crate::cpu::random::Key;
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::{Op, Record, TensorId};
use crate::spec::{Shape, Spec, Values};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Holds tensors on one device. Its results are close to those of other executors, not equal in bits.
pub struct CandleExecutor {
    device: Device,
    random_seed: u64,
    tensors: BTreeMap<TensorId, Tensor>,
}

impl CandleExecutor {
    /// An executor without tensors; `random_seed` keys [`Op::Uniform`] and [`Op::Normal`].
    pub fn new(device: Device, random_seed: u64) -> Self {
        Self { device, random_seed, tensors: BTreeMap::new() }
    }

    fn tensor(&self, id: TensorId) -> Result<&Tensor, Fault> {
        self.tensors.get(&id).ok_or_else(|| Fault::Executor(format!("tensor {} is not there", id.0)))
    }

    fn run(&mut self, record: &Record, index: u64) -> Result<(), Fault> {
        let inputs: Vec<Tensor> = record.inputs.iter().map(|&id| self.tensor(id).cloned()).collect::<Result<_, _>>()?;
        check_indices(&record.op, &inputs, index)?;
        let made = match self.source(record) {
            Some(made) => made,
            None => ops::apply(&record.op, &inputs),
        };
        let made = made.map_err(|error| failure(record.op.name(), &error))?;
        let written = record.op.written().iter().filter_map(|&i| record.inputs.get(i));
        let places: Vec<TensorId> = record.outputs.iter().chain(written).copied().collect();
        if places.len() != made.len() {
            return Err(Fault::Executor(format!("{} made {} tensors", record.op.name(), made.len())));
        }
        self.tensors.extend(places.into_iter().zip(made));
        Ok(())
    }

    /// What an op without operands makes; none for other ops.
    fn source(&self, record: &Record) -> Option<candle_core::Result<Vec<Tensor>>> {
        let made = match &record.op {
            Op::Full { shape, value } => Tensor::full(*value, dims(shape), &self.device),
            Op::Arange { len } => Tensor::arange(0, *len, &self.device),
            Op::Uniform { shape, low, high, stream, position } => {
                self.drawn(shape, *stream, |key, out| key.uniform(*position, *low, *high, out))
            }
            Op::Normal { shape, mean, std, stream, position } => {
                self.drawn(shape, *stream, |key, out| key.normal(*position, *mean, *std, out))
            }
            Op::Constant { shape, .. } => self.given(record, shape),
            Op::NextBatch { batch, seq, .. } => {
                return Some(self.batch(record, *batch as usize, *seq as usize));
            }
            _ => return None,
        };
        Some(made.map(|tensor| vec![tensor]))
    }

    fn drawn(&self, shape: &Shape, stream: u32, draw: impl FnOnce(Key, &mut [f32])) -> candle_core::Result<Tensor> {
        let mut values = vec![0.0; shape.elements() as usize];
        draw(Key { seed: self.random_seed, stream }, &mut values);
        Tensor::from_vec(values, dims(shape), &self.device)
    }

    fn given(&self, record: &Record, shape: &Shape) -> candle_core::Result<Tensor> {
        match record.data.as_deref() {
            Some(Values::F32(values)) => Tensor::from_slice(values, dims(shape), &self.device),
            Some(Values::U32(values)) => Tensor::from_slice(values, dims(shape), &self.device),
            None => candle_core::bail!("the record carries no values"),
        }
    }

    /// Tokens, then targets.
    fn batch(&self, record: &Record, batch: usize, seq: usize) -> candle_core::Result<Vec<Tensor>> {
        let Some(Values::U32(values)) = record.data.as_deref() else {
            candle_core::bail!("the record carries no tokens");
        };
        let both = Tensor::from_slice(values, (2, batch, seq), &self.device)?;
        Ok(vec![both.get(0)?, both.get(1)?])
    }
}

impl Executor for CandleExecutor {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        for step in steps.drain(..) {
            match step {
                Step::Run { record, index, .. } => self.run(&record, index)?,
                Step::Free(id) => {
                    self.tensors.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        let tensor = match values {
            Values::F32(values) => Tensor::from_slice(values, dims(&spec.shape), &self.device),
            Values::U32(values) => Tensor::from_slice(values, dims(&spec.shape), &self.device),
        };
        let tensor = tensor.map_err(|error| failure("upload", &error))?;
        self.tensors.insert(id, tensor);
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let tensor = self.tensor(id)?;
        let values = tensor.flatten_all().and_then(|flat| match flat.dtype() {
            candle_core::DType::U32 => flat.to_vec1().map(Values::U32),
            _ => flat.to_vec1().map(|values| Values::F32(values.into_iter().map(canonical).collect())),
        });
        values.map_err(|error| failure("download", &error))
    }

    fn class(&self) -> &'static str {
        "candle"
    }
}

fn canonical(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value }
}

/// An error of candle's, without the backtrace that it may carry.
fn failure(what: &str, error: &candle_core::Error) -> Fault {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => failure(what, inner),
        _ => Fault::Executor(format!("{what}: {error}")),
    }
}

fn dims(shape: &Shape) -> Vec<usize> {
    shape.dims().iter().map(|&size| size as usize).collect()
}

/// Indices that are values: candle does not check them on every device.
fn check_indices(op: &Op, inputs: &[Tensor], index: u64) -> Result<(), Fault> {
    let (indices, limit) = match (op, inputs) {
        (Op::Embedding, [table, indices]) => (indices, table.dims().first().copied().unwrap_or(0)),
        (Op::EmbeddingGrad { rows }, [indices, _]) => (indices, *rows as usize),
        (Op::CrossEntropy { .. } | Op::CrossEntropyGrad { .. }, [logits, targets, ..]) => {
            (targets, logits.dims().last().copied().unwrap_or(0))
        }
        _ => return Ok(()),
    };
    let largest = indices.flatten_all().and_then(|flat| flat.max(0)?.to_scalar::<u32>());
    let largest = largest.map_err(|error| failure(op.name(), &error))?;
    if (largest as usize) < limit {
        return Ok(());
    }
    let reason = format!("index {largest} is not below {limit}");
    Err(Fault::Execution { op: op.name(), index, reason })
}
