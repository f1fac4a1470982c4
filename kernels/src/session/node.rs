//! A node of the tape: one recorded op, and what it keeps until the backward pass.

use crate::grad;
use crate::op::{Op, TensorId};
use crate::spec::Spec;
use smallvec::SmallVec;

/// Values that a node needs later.
#[derive(Debug)]
pub(super) struct Saved {
    pub tensor: TensorId,
    /// The slot's version when it was saved; 0 for a tensor that cannot change.
    pub version: u64,
}

/// A recorded op.
#[derive(Debug)]
pub(super) struct Node {
    pub op: Op,
    pub inputs: SmallVec<[TensorId; 4]>,
    pub specs: SmallVec<[Spec; 4]>,
    /// Which inputs gradients flow to.
    pub tracked: SmallVec<[bool; 4]>,
    pub outputs: SmallVec<[TensorId; 3]>,
    pub saved: SmallVec<[Saved; 4]>,
    /// The checkpointed segment that it belongs to.
    pub segment: Option<u64>,
    /// Number of its outputs that are still held, and 1 more during a backward pass that walks it.
    pub holders: u32,
}

impl Node {
    /// Inputs that gradients flow to, with their positions.
    pub fn edges(&self) -> impl Iterator<Item = (TensorId, usize)> {
        let tracked = self.inputs.iter().zip(&self.tracked).enumerate();
        tracked.filter(|(_, (_, tracked))| **tracked).map(|(i, (&id, _))| (id, i))
    }
}

/// The tensors whose values the op's gradient reads.
pub(super) fn reads(op: &Op, tracked: &[bool], inputs: &[TensorId], outputs: &[TensorId]) -> SmallVec<[TensorId; 4]> {
    let masks = grad::saves(op, tracked);
    let chosen = |mask: u8, ids: &[TensorId]| -> SmallVec<[TensorId; 4]> {
        ids.iter().take(8).enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, &id)| id).collect()
    };
    let mut read = chosen(masks.inputs, inputs);
    read.extend(chosen(masks.outputs, outputs));
    read
}
