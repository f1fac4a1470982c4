//! Nodes of a plan: their work, their blocks of memory, their parts. Imports `memory` and `split`.

use super::memory::{BlockId, Place};
use super::split::{Cut, Mode, planned_shape};
use crate::fault::Fault;
use crate::op::Op;
use crate::spec::{Spec, Values};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;

/// The work of a node.
#[derive(Clone, Debug)]
pub enum Work {
    /// An op; in-place ops have the tensors that they write among the outputs only.
    Op(Op),
    /// Packs the second operand of a product, transposed where flagged.
    Pack {
        /// Whether it is stored with rows and columns exchanged.
        transposed: bool,
    },
    /// A product whose second operand is packed.
    PackedProduct,
    /// Angles of a rotary embedding.
    RopeTable {
        /// As in [`Op::Rope`].
        base: f32,
    },
    /// Rotation of the first operand by a table, the other way where `inverse`.
    Rotate {
        /// As in [`Op::Rope`].
        inverse: bool,
    },
    /// An attention or its gradient, cut by key heads: results are [batch·key heads, time, what each key head has].
    AttentionGroups(Op),
    /// Some rows of a linear cross-entropy: x, the weight packed across and (for gradients) down, targets → losses,
    /// logsumexps, logits, which become their own gradients, and the gradient of x.
    LinearLoss {
        /// The loss, and whether gradients are wanted.
        op: Op,
        /// Rows before these.
        first: usize,
        /// Rows of the whole.
        rows: usize,
    },
    /// The gradient of a linear cross-entropy's weight by some rows: gradients of logits, x → added where flagged.
    LinearLossWeight {
        /// Whether other rows came before.
        add: bool,
    },
    /// The mean of the losses that the rows of a cross-entropy have.
    MeanLoss,
    /// Values that came with a record, from an element on.
    Values(Arc<Values>, usize),
}

/// A tensor as a node sees it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Its shape and dtype.
    pub spec: Spec,
    /// Where its elements are.
    pub place: Place,
    /// How it is divided among parts.
    pub mode: Mode,
}

impl Operand {
    /// The piece of part `i`.
    pub fn part(&self, cut: Cut, i: u32) -> Result<(Spec, Place), Fault> {
        if self.mode == Mode::Whole {
            return Ok((self.spec.clone(), self.place));
        }
        let elements = cut.range(i, self.spec.shape.elements());
        let size = self.spec.dtype.size();
        let bytes = (elements.start * size) as usize..(elements.end * size) as usize;
        Ok((self.mode.part(&self.spec, cut, i)?, self.place.part(bytes)))
    }
}

/// One op, or a step of one.
#[derive(Debug)]
pub struct Node {
    /// The work.
    pub work: Work,
    /// Index of the record, for faults.
    pub index: u64,
    /// Tensors that are read.
    pub inputs: SmallVec<[Operand; 4]>,
    /// Tensors that are written.
    pub outputs: SmallVec<[Operand; 4]>,
    /// How it is cut.
    pub cut: Cut,
    /// Nodes whose part i waits for part i of this one.
    pub same: Vec<u32>,
    /// Nodes that wait for all of this one.
    pub all: Vec<u32>,
    /// How many nodes each part waits for.
    pub waits: u32,
}

/// A tensor: several share a block until one of them is written.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its shape and dtype.
    pub spec: Spec,
    /// Its memory.
    pub block: BlockId,
    /// Where in the block it begins, in bytes.
    pub start: usize,
}

impl Tensor {
    /// A tensor at the start of a block.
    pub fn new(spec: Spec, block: BlockId) -> Self {
        Self { spec, block, start: 0 }
    }

    /// Some of its rows along the first axis.
    pub(super) fn rows(&self, range: Range<u32>) -> Result<Self, Fault> {
        let [first, rest @ ..] = self.spec.shape.dims() else {
            return Err(Fault::Executor("a scalar has no rows".to_owned()));
        };
        let each = self.spec.bytes() / u64::from(*first);
        let dims: SmallVec<[u32; 6]> = std::iter::once(range.end - range.start).chain(rest.iter().copied()).collect();
        let spec = Spec { shape: planned_shape(&dims)?, dtype: self.spec.dtype };
        Ok(Self { spec, block: self.block, start: self.start + (u64::from(range.start) * each) as usize })
    }

    /// The same elements in another shape.
    pub(super) fn reshaped(&self, dims: &[u32]) -> Result<Self, Fault> {
        let spec = Spec { shape: planned_shape(dims)?, dtype: self.spec.dtype };
        if spec.bytes() != self.spec.bytes() {
            return Err(Fault::Executor(format!("{} was planned as {}", self.spec, spec.shape)));
        }
        Ok(Self { spec, ..*self })
    }

    /// The bytes of the block that it takes.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.spec.bytes() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::memory::Memory;
    use crate::spec::Shape;

    #[test]
    fn impossible_shapes_are_faults() {
        let block = Memory::default().take(24);
        let tensor = Tensor::new(Spec::f32(Shape::new(&[2, 3]).unwrap()), block);
        assert_eq!(tensor.reshaped(&[3, 2]).unwrap().spec.shape.dims(), [3, 2]);
        for dims in [&[0, 6][..], &[], &[7]] {
            assert!(matches!(tensor.reshaped(dims), Err(Fault::Executor(_))), "{dims:?}");
        }
        assert!(matches!(tensor.rows(1..1), Err(Fault::Executor(_))));
        let scalar = Tensor::new(Spec::f32(Shape::scalar()), block);
        assert!(matches!(scalar.rows(0..1), Err(Fault::Executor(_))));
    }
}
