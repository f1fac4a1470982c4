//! The executor: tensors by id, uploads and downloads.

use crate::ops;
use crate::parts::dims;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use kernels::cpu::random::Key;
use kernels::cpu::{CpuExecutor, index};
use kernels::exec::{Executor, Step};
use kernels::fault::Fault;
use kernels::op::{Op, Record, TensorId};
use kernels::spec::{DType, Shape, Spec, Values};
use std::collections::BTreeMap;

/// Holds tensors on one device. Its results are close to those of other executors, not equal in bits.
pub struct CandleExecutor {
    device: Device,
    random_seed: u64,
    tensors: BTreeMap<TensorId, (Tensor, DType)>,
    /// Does what candle cannot; made when it is first needed.
    elsewhere: Option<CpuExecutor>,
}

impl CandleExecutor {
    /// An executor without tensors; `random_seed` keys [`Op::Uniform`] and [`Op::Normal`].
    pub fn new(device: Device, random_seed: u64) -> Self {
        Self { device, random_seed, tensors: BTreeMap::new(), elsewhere: None }
    }

    fn held(&self, id: TensorId) -> Result<&(Tensor, DType), Fault> {
        self.tensors.get(&id).ok_or_else(|| Fault::Executor(format!("tensor {} is not there", id.0)))
    }

    fn run(&mut self, record: &Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
        let held = record.inputs.iter().map(|&id| self.held(id).cloned()).collect::<Result<Vec<_>, _>>()?;
        let (inputs, dtypes): (Vec<Tensor>, Vec<DType>) = held.into_iter().unzip();
        check_indices(&record.op, &inputs, index)?;
        let made = match self.source(record) {
            Some(made) => made,
            None if ops::lacking(&record.op, &dtypes) => return self.run_elsewhere(record, outputs, index),
            None => ops::apply(&record.op, &inputs),
        };
        let made = made.map_err(|error| failure(record.op.name(), &error))?;
        let written = record.op.written().iter().filter_map(|&i| Some((*record.inputs.get(i)?, *dtypes.get(i)?)));
        let places = record.outputs.iter().copied().zip(outputs.iter().map(|spec| spec.dtype));
        let places: Vec<(TensorId, DType)> = places.chain(written).collect();
        if places.len() != made.len() {
            return Err(Fault::Executor(format!("{} made {} tensors", record.op.name(), made.len())));
        }
        for ((id, dtype), tensor) in places.into_iter().zip(made) {
            self.tensors.insert(id, (tensor, dtype));
        }
        Ok(())
    }

    /// Does a pure op on the CPU.
    fn run_elsewhere(&mut self, record: &Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
        let mut cpu = match self.elsewhere.take() {
            Some(cpu) => cpu,
            None => CpuExecutor::new(1, self.random_seed)?,
        };
        for &id in &record.inputs {
            let (tensor, dtype) = self.held(id)?;
            let dims: Vec<u32> = tensor.dims().iter().map(|&size| size as u32).collect();
            let shape = Shape::new(&dims).map_err(|source| Fault::Size { op: record.op.name(), source })?;
            let spec = Spec { shape, dtype: *dtype };
            let values = self.download(id)?;
            cpu.upload(id, &spec, &values)?;
        }
        let step = Step::Run { record: record.clone(), outputs: outputs.to_vec(), index };
        cpu.execute(&mut vec![step])?;
        for (&id, spec) in record.outputs.iter().zip(outputs) {
            let values = cpu.download(id)?;
            self.upload(id, spec, &values)?;
        }
        let mut all: Vec<TensorId> = record.inputs.iter().chain(&record.outputs).copied().collect();
        all.sort_unstable();
        all.dedup();
        cpu.execute(&mut all.into_iter().map(Step::Free).collect())?;
        self.elsewhere = Some(cpu);
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
            Some(values) => tensor(values, shape, &self.device),
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
                Step::Run { record, outputs, index } => self.run(&record, &outputs, index)?,
                Step::Free(id) => {
                    self.tensors.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        let tensor = tensor(values, &spec.shape, &self.device).map_err(|error| failure("upload", &error))?;
        self.tensors.insert(id, (tensor, spec.dtype));
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let (tensor, dtype) = self.held(id)?;
        let values = tensor.flatten_all().and_then(|flat| read(&flat, *dtype));
        values.map_err(|error| failure("download", &error))
    }

    fn class(&self) -> &'static str {
        "candle"
    }
}

/// A tensor of these values.
fn tensor(values: &Values, shape: &Shape, device: &Device) -> candle_core::Result<Tensor> {
    let dims = dims(shape);
    match values {
        Values::F32(values) => Tensor::from_slice(values, dims, device),
        Values::U32(values) => Tensor::from_slice(values, dims, device),
        Values::Bf16(bits) => Tensor::from_iter(bits.iter().map(|x| bf16::from_bits(*x)), device)?.reshape(dims),
        Values::F16(bits) => Tensor::from_iter(bits.iter().map(|x| f16::from_bits(*x)), device)?.reshape(dims),
        Values::U8(values) => Tensor::from_slice(values, dims, device),
        Values::I64(values) => Tensor::from_slice(values, dims, device),
        Values::Bool(values) => Tensor::from_iter(values.iter().map(|x| u8::from(*x)), device)?.reshape(dims),
    }
}

/// The values of a tensor of rank 1, NaN made canonical.
fn read(flat: &Tensor, dtype: DType) -> candle_core::Result<Values> {
    let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x };
    Ok(match dtype {
        DType::F32 => Values::F32(flat.to_vec1::<f32>()?.into_iter().map(canonical).collect()),
        DType::U32 => Values::U32(flat.to_vec1()?),
        DType::Bf16 => {
            let bits = |x: bf16| if x.is_nan() { 0x7fc0 } else { x.to_bits() };
            Values::Bf16(flat.to_vec1::<bf16>()?.into_iter().map(bits).collect())
        }
        DType::F16 => {
            let bits = |x: f16| if x.is_nan() { 0x7e00 } else { x.to_bits() };
            Values::F16(flat.to_vec1::<f16>()?.into_iter().map(bits).collect())
        }
        DType::U8 => Values::U8(flat.to_vec1()?),
        DType::I64 => Values::I64(flat.to_vec1()?),
        DType::Bool => Values::Bool(flat.to_vec1::<u8>()?.into_iter().map(|x| x != 0).collect()),
    })
}

/// An error of candle's, without the backtrace that it may carry.
fn failure(what: &str, error: &candle_core::Error) -> Fault {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => failure(what, inner),
        _ => Fault::Executor(format!("{what}: {error}")),
    }
}

/// Indices that are values: candle does not check them on every device.
fn check_indices(op: &Op, inputs: &[Tensor], position: u64) -> Result<(), Fault> {
    let size = |tensor: &Tensor, axis: usize| tensor.dims().get(axis).copied();
    let (indices, limit) = match (op, inputs) {
        (Op::Embedding, [table, indices]) => (indices, size(table, 0)),
        (Op::EmbeddingGrad { rows }, [indices, _]) => (indices, Some(*rows as usize)),
        (Op::Gather { axis } | Op::ScatterAdd { axis }, [x, indices, ..]) => (indices, size(x, *axis as usize)),
        (Op::CrossEntropy(_) | Op::CrossEntropyGrad(_), [logits, targets, ..]) => {
            (targets, size(logits, logits.rank().saturating_sub(1)))
        }
        (Op::LinearCrossEntropy { .. }, [_, weight, targets]) => (targets, size(weight, 0)),
        // Others read no indices.
        _ => return Ok(()),
    };
    let limit = limit.ok_or_else(|| Fault::Executor(format!("{} got an operand without that axis", op.name())))?;
    let indices = indices.flatten_all().and_then(|flat| flat.to_vec1::<u32>());
    let indices = indices.map_err(|error| failure(op.name(), &error))?;
    match index::out_of_range(&indices, limit, 0) {
        Some(reason) => Err(Fault::Execution { op: op.name(), index: position, reason }),
        None => Ok(()),
    }
}
