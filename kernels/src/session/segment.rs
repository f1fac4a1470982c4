//! Activation checkpoints (Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016): what is recorded
//! between `begin_checkpoint` and `end_checkpoint` is a segment, whose nodes keep nothing that the segment itself made.
//! When the backward pass comes to a segment, it computes these values again from the records; they are charged again.

use super::node::{Node, reads};
use super::state::Session;
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

impl Session {
    /// Opens a segment.
    pub fn begin_checkpoint(&mut self) -> Result<(), Fault> {
        let segments = &mut self.segments;
        if segments.depth == 0 {
            segments.begun += 1;
        }
        let reason = || "checkpoints lie too deep within each other".to_owned();
        segments.depth =
            segments.depth.checked_add(1).ok_or_else(|| Fault::Misuse { op: "begin-checkpoint", reason: reason() })?;
        Ok(())
    }

    /// Closes the segment that the last `begin_checkpoint` opened.
    pub fn end_checkpoint(&mut self) -> Result<(), Fault> {
        let reason = || "no checkpoint was begun".to_owned();
        let segments = &mut self.segments;
        segments.depth =
            segments.depth.checked_sub(1).ok_or_else(|| Fault::Misuse { op: "end-checkpoint", reason: reason() })?;
        Ok(())
    }

    /// Inputs of an op in the segment that were made outside of it: the op has to keep them.
    pub(super) fn outside(&self, segment: u64, inputs: &[TensorId]) -> SmallVec<[TensorId; 4]> {
        let inside = |id: TensorId| {
            let producer = self.memory.get(id).and_then(|tensor| tensor.producer);
            producer.and_then(|node| self.memory.nodes.get(&node)).is_some_and(|node| node.segment == Some(segment))
        };
        inputs.iter().copied().filter(|id| !inside(*id)).collect()
    }

    /// Computes again the values that the gradients of a segment read, as far as the backward pass walks it. `last` is
    /// the first node that the pass meets, which has left the tape.
    pub(super) fn compute_again(
        &mut self,
        segment: u64,
        last: &Node,
        walk: &BTreeSet<u64>,
        again: &mut BTreeMap<TensorId, TensorId>,
    ) -> Result<(), Fault> {
        let (read, redo) = self.to_redo(segment, last, walk)?;
        for Redo { op, inputs, outputs } in redo {
            let inputs: SmallVec<[TensorId; 4]> =
                inputs.iter().map(|id| again.get(id).copied().unwrap_or(*id)).collect();
            let made = self.run(op, &inputs, None, false)?;
            again.extend(outputs.into_iter().zip(made));
        }
        let idle: Vec<TensorId> = again.keys().filter(|id| !read.contains(id)).copied().collect();
        for id in idle {
            if let Some(copy) = again.remove(&id) {
                self.release(copy);
            }
        }
        Ok(())
    }

    /// The tensors that gradients read, and the ops that lead to them, oldest first.
    fn to_redo(
        &self,
        segment: u64,
        last: &Node,
        walk: &BTreeSet<u64>,
    ) -> Result<(BTreeSet<TensorId>, Vec<Redo>), Fault> {
        let left = walk.iter().filter_map(|id| self.memory.nodes.get(id));
        let inside = left.filter(|node| node.segment == Some(segment));
        let (mut read, mut needed) = (BTreeSet::new(), BTreeSet::new());
        let mut redo = Vec::new();
        for node in std::iter::once(last).chain(inside.rev()) {
            let reads = reads(&node.op, &node.tracked, &node.inputs, &node.outputs);
            needed.extend(reads.iter().copied());
            read.extend(reads);
            if node.outputs.iter().any(|y| needed.contains(y)) {
                self.check_versions(node)?;
                needed.extend(node.inputs.iter().copied());
                redo.push(Redo { op: node.op.clone(), inputs: node.inputs.clone(), outputs: node.outputs.clone() });
            }
        }
        redo.reverse();
        Ok((read, redo))
    }
}

/// An op of a segment, to be done once more.
struct Redo {
    op: Op,
    inputs: SmallVec<[TensorId; 4]>,
    outputs: SmallVec<[TensorId; 3]>,
}
