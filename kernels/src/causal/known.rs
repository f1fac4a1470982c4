//! Known values: as bits in a cell, and computed by the executor that computes them in an evaluation.

use super::cell::Cell;
use super::cells::{Cells, Traced, sizes};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::{Op, Record, TensorId};
use crate::spec::{DType, Spec, Values};

/// The bits of each value, in 64: f32 and the shorter floats as theirs, integers as two's complement.
pub fn bits(values: &Values) -> Vec<u64> {
    match values {
        Values::F32(v) => v.iter().map(|x| u64::from(x.to_bits())).collect(),
        Values::U32(v) => v.iter().map(|x| u64::from(*x)).collect(),
        Values::Bf16(v) | Values::F16(v) => v.iter().map(|x| u64::from(*x)).collect(),
        Values::U8(v) => v.iter().map(|x| u64::from(*x)).collect(),
        Values::I64(v) => v.iter().map(|x| *x as u64).collect(),
        Values::Bool(v) => v.iter().map(|x| u64::from(*x)).collect(),
    }
}

/// The values of these bits.
pub fn values(dtype: DType, bits: impl Iterator<Item = u64>) -> Values {
    match dtype {
        DType::F32 => Values::F32(bits.map(|x| f32::from_bits(x as u32)).collect()),
        DType::U32 => Values::U32(bits.map(|x| x as u32).collect()),
        DType::Bf16 => Values::Bf16(bits.map(|x| x as u16).collect()),
        DType::F16 => Values::F16(bits.map(|x| x as u16).collect()),
        DType::U8 => Values::U8(bits.map(|x| x as u8).collect()),
        DType::I64 => Values::I64(bits.map(|x| x as i64).collect()),
        DType::Bool => Values::Bool(bits.map(|x| x != 0).collect()),
    }
}

/// A tensor of values that come with the records.
pub fn constant(spec: &Spec, values: &Values) -> Traced {
    let data = bits(values).into_iter().map(Cell::Known).collect();
    let cells = Cells::whole(sizes(spec), data).packed();
    let placed = cells.data.len() > 1;
    Traced { spec: spec.clone(), cells, placed, stored: false }
}

/// The values of a tensor that is known.
pub fn of(tensor: &Traced) -> Values {
    let whole = tensor.cells.filled(&tensor.sizes());
    let bits = whole.data.iter().map(|cell| if let Cell::Known(bits) = cell { *bits } else { 0 });
    values(tensor.spec.dtype, bits)
}

/// Executes one op on these values. A fault of the op is one that an evaluation would end with too: `None`.
pub fn execute(
    executor: &mut dyn Executor,
    op: &Op,
    inputs: &[(Spec, Values)],
    outputs: &[Spec],
) -> Result<Option<Vec<Values>>, Fault> {
    let id = |place: usize| TensorId(place as u64);
    for (place, (spec, values)) in inputs.iter().enumerate() {
        executor.upload(id(place), spec, values)?;
    }
    let made: Vec<TensorId> = (inputs.len()..inputs.len() + outputs.len()).map(id).collect();
    let record = Record {
        op: op.clone(),
        inputs: (0..inputs.len()).map(id).collect(),
        outputs: made.iter().copied().collect(),
        data: None,
    };
    match executor.execute(&mut vec![Step::Run { record, outputs: outputs.to_vec(), index: 0 }]) {
        Ok(()) => {}
        Err(Fault::Execution { .. }) => return Ok(None),
        Err(fault) => return Err(fault),
    }
    let values = made.iter().map(|&id| executor.download(id)).collect::<Result<Vec<_>, _>>()?;
    executor.execute(&mut (0..inputs.len() + outputs.len()).map(|place| Step::Free(id(place))).collect())?;
    Ok(Some(values))
}
