//! The tape, and the backward pass over it. A node is one recorded op; the gradient rules are in [`crate::grad`].

use super::interface::Mode;
use super::memory::Memory;
use super::node::{Node, Saved, reads};
use super::state::Session;
use crate::fault::Fault;
use crate::grad::{self, Done, Emit};
use crate::op::{Binary, Op, TensorId};
use crate::spec::{Shape, Spec};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// Gradients that have been found, by the tensor they belong to; each is one handle.
struct Found {
    by_tensor: BTreeMap<TensorId, TensorId>,
    /// Tensors that gradients must reach: `wrt` and all that depend on it.
    wanted: BTreeSet<TensorId>,
    wrt: BTreeSet<TensorId>,
    /// Tensors that checkpointed segments made once more, by the tensor that each stands for; each is one handle.
    again: BTreeMap<TensorId, TensorId>,
    /// Segments that were computed again.
    redone: BTreeSet<u64>,
}

const BACKWARD: &str = "backward";

/// Submits a rule's ops: charged like others, never recorded.
struct Unrecorded<'a>(&'a mut Session);

impl Emit for Unrecorded<'_> {
    fn emit(&mut self, op: Op, inputs: &[TensorId]) -> Result<SmallVec<[TensorId; 3]>, Fault> {
        self.0.run(op, inputs, None, false)
    }

    fn share(&mut self, id: TensorId) -> TensorId {
        self.0.memory.share(id);
        id
    }

    fn release(&mut self, id: TensorId) {
        self.0.release(id);
    }
}

impl Session {
    /// Puts an op on the tape if gradients can flow through it.
    pub(super) fn record(&mut self, op: &Op, inputs: &[TensorId], specs: &[Spec], outputs: &[TensorId]) {
        let tracked: SmallVec<[bool; 4]> =
            inputs.iter().map(|&id| self.memory.get(id).is_some_and(|t| t.tracked())).collect();
        let flows = |y: &TensorId| self.memory.get(*y).is_some_and(|t| grad::flows(op, &t.spec));
        if !tracked.contains(&true) || !outputs.first().is_some_and(flows) {
            return;
        }
        let segment = self.segments.open();
        let saved = match segment {
            Some(segment) => self.outside(segment, inputs),
            None => reads(op, &tracked, inputs, outputs),
        };
        let version = |id| self.memory.get(id).and_then(|t| t.slot).map_or(0, |s| s.version);
        let node = Node {
            op: op.clone(),
            inputs: SmallVec::from_slice(inputs),
            specs: SmallVec::from(specs),
            tracked,
            outputs: SmallVec::from_slice(outputs),
            saved: saved.into_iter().map(|tensor| Saved { tensor, version: version(tensor) }).collect(),
            segment,
            holders: 0,
        };
        self.memory.link(node);
    }

    /// Gradients of `loss` with respect to `wrt`, in order, one handle each. Frees the graph that reaches `loss`.
    pub fn backward(&mut self, loss: TensorId, wrt: &[TensorId]) -> Result<Vec<TensorId>, Fault> {
        if self.config.mode == Mode::Evaluate {
            return Err(Fault::Evaluation { op: BACKWARD });
        }
        self.check_operands(loss, wrt)?;
        let walk = self.reachable(loss);
        let mut found = self.wanted(&walk, wrt);
        if found.wanted.contains(&loss) {
            let shape = self.memory.alive(BACKWARD, loss)?.spec.shape.clone();
            let one = self.single(Op::Full { shape, value: 1.0 }, &[])?;
            found.by_tensor.insert(loss, one);
        }
        for &id in walk.iter().rev() {
            if let Some(node) = self.memory.nodes.remove(&id) {
                self.step_back(&node, &walk, &mut found)?;
                self.memory.dissolve(&node);
                self.enqueue_freed();
            }
        }
        let gradients = self.collect(&found, wrt)?;
        for id in found.by_tensor.into_values().chain(found.again.into_values()) {
            self.release(id);
        }
        self.flush()?;
        Ok(gradients)
    }

    fn check_operands(&self, loss: TensorId, wrt: &[TensorId]) -> Result<(), Fault> {
        let tensor = self.memory.held(BACKWARD, loss)?;
        if tensor.spec.shape.elements() != 1 {
            let reason = "the loss must have one element; take its mean or sum first".to_owned();
            return Err(Fault::Shape { op: BACKWARD, operands: tensor.spec.to_string(), reason });
        }
        if tensor.stale {
            return Err(stale("the graph of the loss was freed by an earlier backward".to_owned()));
        }
        for (i, &id) in wrt.iter().enumerate() {
            if !self.memory.held(BACKWARD, id)?.tracked() {
                let reason = format!(
                    "operand {} of wrt ({}) is neither a parameter nor recorded",
                    i + 1,
                    self.memory.held(BACKWARD, id)?.spec
                );
                return Err(Fault::Misuse { op: BACKWARD, reason });
            }
        }
        Ok(())
    }

    /// Nodes that reach `loss`, held so that they outlive the nodes after them.
    fn reachable(&mut self, loss: TensorId) -> BTreeSet<u64> {
        let producer = |memory: &Memory, id| memory.get(id).and_then(|t| t.producer);
        let mut walk = BTreeSet::new();
        let mut open: Vec<u64> = producer(&self.memory, loss).into_iter().collect();
        while let Some(id) = open.pop() {
            if !walk.insert(id) {
                continue;
            }
            if let Some(node) = self.memory.nodes.get(&id) {
                open.extend(node.edges().filter_map(|(input, _)| producer(&self.memory, input)));
            }
            if let Some(node) = self.memory.nodes.get_mut(&id) {
                node.holders += 1;
            }
        }
        walk
    }

    /// A node is younger than those that made its inputs, so one pass in order of age finds what depends on `wrt`. A
    /// freed graph counts as depending on it, since its nodes are not known any more.
    fn wanted(&self, walk: &BTreeSet<u64>, wrt: &[TensorId]) -> Found {
        let wrt: BTreeSet<TensorId> = wrt.iter().copied().collect();
        let mut wanted = wrt.clone();
        for node in walk.iter().filter_map(|id| self.memory.nodes.get(id)) {
            for (input, _) in node.edges() {
                if self.memory.get(input).is_some_and(|t| t.stale) {
                    wanted.insert(input);
                }
            }
            if node.edges().any(|(input, _)| wanted.contains(&input)) {
                wanted.extend(node.outputs.iter().copied());
            }
        }
        Found { by_tensor: BTreeMap::new(), wanted, wrt, again: BTreeMap::new(), redone: BTreeSet::new() }
    }

    /// Passes the gradient of a node's result on to its inputs.
    fn step_back(&mut self, node: &Node, walk: &BTreeSet<u64>, found: &mut Found) -> Result<(), Fault> {
        let Some((result, dy)) = node.outputs.first().and_then(|&y| Some((y, *found.by_tensor.get(&y)?))) else {
            return Ok(());
        };
        let mut wanted: SmallVec<[bool; 4]> = SmallVec::from_elem(false, node.inputs.len());
        for (input, i) in node.edges().filter(|(input, _)| found.wanted.contains(input)) {
            if self.memory.get(input).is_some_and(|t| t.stale) {
                let reason = format!(
                    "operand {} of {} comes from a graph that an earlier backward freed; compute it again, or detach it",
                    i + 1,
                    node.op.name()
                );
                return Err(stale(reason));
            }
            wanted[i] = true;
        }
        if wanted.contains(&true) {
            self.check_versions(node)?;
            if let Some(segment) = node.segment
                && found.redone.insert(segment)
            {
                self.compute_again(segment, node, walk, &mut found.again)?;
            }
            let values = |ids: &[TensorId]| -> SmallVec<[TensorId; 4]> {
                ids.iter().map(|id| found.again.get(id).copied().unwrap_or(*id)).collect()
            };
            let (inputs, outputs) = (values(&node.inputs), values(&node.outputs));
            let done = Done { op: &node.op, inputs: &inputs, specs: &node.specs, outputs: &outputs };
            let gradients = grad::gradients(done, dy, &wanted, &mut Unrecorded(self))?;
            for y in &node.outputs {
                if let Some(id) = found.again.remove(y) {
                    self.release(id);
                }
            }
            for (&input, gradient) in node.inputs.iter().zip(gradients) {
                if let Some(gradient) = gradient {
                    self.accumulate(found, input, gradient)?;
                }
            }
        }
        if !found.wrt.contains(&result) {
            found.by_tensor.remove(&result);
            self.release(dy);
        }
        Ok(())
    }

    pub(super) fn check_versions(&self, node: &Node) -> Result<(), Fault> {
        for saved in &node.saved {
            let slot = self.memory.get(saved.tensor).and_then(|t| t.slot);
            if slot.is_some_and(|s| s.version != saved.version) {
                let name = self.name_of(saved.tensor).unwrap_or("a variable");
                let reason = format!(
                    "{} read {name}, which was updated in place since; call backward before the update",
                    node.op.name()
                );
                return Err(stale(reason));
            }
        }
        Ok(())
    }

    /// The first gradient is taken as it is, later ones are added.
    fn accumulate(&mut self, found: &mut Found, tensor: TensorId, gradient: TensorId) -> Result<(), Fault> {
        let Some(before) = found.by_tensor.remove(&tensor) else {
            found.by_tensor.insert(tensor, gradient);
            return Ok(());
        };
        let sum = self.single(Op::Binary(Binary::Add), &[before, gradient])?;
        self.release(before);
        self.release(gradient);
        found.by_tensor.insert(tensor, sum);
        Ok(())
    }

    fn collect(&mut self, found: &Found, wrt: &[TensorId]) -> Result<Vec<TensorId>, Fault> {
        let mut gradients = Vec::with_capacity(wrt.len());
        for &id in wrt {
            gradients.push(match found.by_tensor.get(&id) {
                Some(&gradient) => {
                    self.memory.share(gradient);
                    gradient
                }
                None => {
                    let shape: Shape = self.memory.alive(BACKWARD, id)?.spec.shape.clone();
                    self.single(Op::Full { shape, value: 0.0 }, &[])?
                }
            });
        }
        Ok(gradients)
    }

    /// An unrecorded op of one output.
    pub(super) fn single(&mut self, op: Op, inputs: &[TensorId]) -> Result<TensorId, Fault> {
        let name = op.name();
        let made = self.run(op, inputs, None, false)?;
        made.first().copied().ok_or(Fault::Dropped { op: name })
    }
}

fn stale(reason: String) -> Fault {
    Fault::StaleGraph { op: BACKWARD, reason }
}
