//! Walks over an output with broadcast or permuted operands: `Walk` of `common.cuh`.

use crate::plan::Argument;
use kernels::fault::Fault;
use kernels::spec::MAX_RANK;

/// Most operands of a walk.
const OPERANDS: usize = 3;

/// How an operand is read: a step for each axis of the output, 0 where it repeats.
#[derive(Clone, Debug)]
pub struct Strided {
    pub start: u32,
    pub steps: Vec<u32>,
}

impl Strided {
    /// A row-major tensor of sizes `from`, broadcast to `rank` axes.
    pub fn broadcast(from: &[u32], rank: usize) -> Self {
        let dense = row_major(from);
        let mut steps = vec![0; rank];
        for (i, (&size, &step)) in from.iter().zip(&dense).enumerate() {
            steps[rank - from.len() + i] = if size == 1 { 0 } else { step };
        }
        Self { start: 0, steps }
    }
}

/// Steps of a row-major tensor.
pub fn row_major(dims: &[u32]) -> Vec<u32> {
    let mut steps = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        steps[i - 1] = steps[i] * dims[i];
    }
    steps
}

/// Elements before, along and after an axis.
pub fn around(dims: &[u32], axis: usize) -> Result<[u32; 3], Fault> {
    let along = dims.get(axis).ok_or_else(|| Fault::Executor(format!("no axis {axis} among {dims:?}")))?;
    Ok([dims[..axis].iter().product(), *along, dims[axis + 1..].iter().product()])
}

/// The argument for an output of sizes `dims`. Adjacent axes that all operands step through evenly become one.
pub fn walk(dims: &[u32], operands: &[Strided]) -> Argument {
    let (mut sizes, mut steps): (Vec<u32>, Vec<[u32; OPERANDS]>) = (Vec::new(), Vec::new());
    for (axis, &size) in dims.iter().enumerate().filter(|(_, size)| **size > 1) {
        let step = std::array::from_fn(|i| operands.get(i).map_or(0, |operand| operand.steps[axis]));
        match (sizes.last_mut(), steps.last_mut()) {
            (Some(last), Some(before)) if (0..OPERANDS).all(|i| before[i] == step[i] * size) => {
                *last *= size;
                *before = step;
            }
            _ => {
                sizes.push(size);
                steps.push(step);
            }
        }
    }
    let mut fields = vec![sizes.len() as u32];
    fields.extend((0..MAX_RANK).map(|axis| sizes.get(axis).copied().unwrap_or(1)));
    for operand in 0..OPERANDS {
        fields.extend((0..MAX_RANK).map(|axis| steps.get(axis).map_or(0, |step| step[operand])));
    }
    fields.extend((0..OPERANDS).map(|i| operands.get(i).map_or(0, |operand| operand.start)));
    Argument::Value(fields.into_iter().flat_map(u32::to_le_bytes).collect())
}
