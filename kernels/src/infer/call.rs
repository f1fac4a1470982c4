//! An op about to be inferred, and the faults that say why it cannot be.

use crate::fault::Fault;
use crate::op::Op;
use crate::spec::{Shape, Spec};
use smallvec::SmallVec;

/// Specs of an op's outputs, in order.
pub type Specs = SmallVec<[Spec; 2]>;

/// Operands that a fault shows: a guest may join any number of tensors.
const MAX_SHOWN: usize = 6;

/// An op and the operands that it is given.
pub(super) struct Call<'a> {
    pub op: &'a Op,
    pub inputs: &'a [&'a Spec],
}

impl Call<'_> {
    pub fn shape_fault(&self, reason: impl Into<String>) -> Fault {
        let shown = self.inputs.iter().take(MAX_SHOWN);
        let mut all: Vec<String> = shown.map(|s| s.to_string()).collect();
        if let Some(more @ 1..) = self.inputs.len().checked_sub(MAX_SHOWN) {
            all.push(format!("{more} more"));
        }
        let operands = match all.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        Fault::Shape { op: self.op.name(), operands, reason: reason.into() }
    }

    pub fn misuse(&self, reason: impl Into<String>) -> Fault {
        Fault::Misuse { op: self.op.name(), reason: reason.into() }
    }

    pub fn size(&self, dims: &[u32]) -> Result<Shape, Fault> {
        Shape::new(dims).map_err(|source| Fault::Size { op: self.op.name(), source })
    }

    pub fn axis(&self, axis: u32) -> Result<usize, Fault> {
        let rank = self.inputs[0].shape.rank();
        let index = axis as usize;
        if index < rank {
            return Ok(index);
        }
        Err(self.shape_fault(format!("axis {axis} does not exist; axes are counted from 0, there are {rank}")))
    }

    pub fn with_last_axis(&self) -> Result<Spec, Fault> {
        if self.inputs[0].shape.rank() == 0 {
            return Err(self.shape_fault("a scalar has no last axis"));
        }
        Ok(self.inputs[0].clone())
    }
}
