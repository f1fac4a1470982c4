//! Lifetimes of tensors. Guest handles and saved values keep a tensor's values alive; handles and graph edges keep the
//! node that made it alive. When the last of them goes, everything is freed at once, without recursion.

use super::ids::IdMap;
use super::node::Node;
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use crate::spec::Spec;
use smallvec::{SmallVec, smallvec};

/// Nodes of the tape for each tensor that may be alive. A node whose gradient reads no values keeps no tensor alive, so
/// the limit of tensors does not bound it.
const NODES_PER_TENSOR: u64 = 4;

/// A tensor that can change in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// In-place updates so far.
    pub version: u64,
    /// Gets gradients.
    pub parameter: bool,
}

#[derive(Debug)]
pub(super) struct Tensor {
    pub spec: Spec,
    /// Handles of the guest and of the session itself.
    pub handles: u32,
    /// Nodes (and unread logs) that need its values.
    pub saves: u32,
    /// Nodes that read it and pass gradients on to it.
    pub edges: u32,
    /// The node that made it.
    pub producer: Option<u64>,
    /// Its node was freed by a backward pass.
    pub stale: bool,
    pub slot: Option<Slot>,
    has_values: bool,
    storage: u64,
}

/// Memory that tensors of equal values share until one of them changes in place.
#[derive(Clone, Copy, Debug)]
struct Storage {
    bytes: u64,
    tensors: u32,
}

impl Tensor {
    /// Gradients flow to it.
    pub fn tracked(&self) -> bool {
        self.producer.is_some() || self.stale || self.slot.is_some_and(|s| s.parameter)
    }
}

/// All tensors and graph nodes of a session.
#[derive(Debug)]
pub(super) struct Memory {
    tensors: IdMap<TensorId, Tensor>,
    storages: IdMap<u64, Storage>,
    pub nodes: IdMap<u64, Node>,
    next_tensor: u64,
    next_node: u64,
    next_storage: u64,
    bytes: u64,
    count: u64,
    peak: u64,
    max_bytes: u64,
    max_tensors: u64,
    /// Tensors whose values went since this was last emptied, in order.
    pub freed: Vec<TensorId>,
}

impl Memory {
    pub fn new(max_bytes: u64, max_tensors: u64) -> Self {
        Self {
            tensors: IdMap::default(),
            storages: IdMap::default(),
            nodes: IdMap::default(),
            next_tensor: 0,
            next_node: 0,
            next_storage: 0,
            bytes: 0,
            count: 0,
            peak: 0,
            max_bytes,
            max_tensors,
            freed: Vec::new(),
        }
    }

    pub fn peak(&self) -> u64 {
        self.peak
    }

    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes a tensor for each spec, each with one handle. Makes none if they do not all fit beside the workspace.
    pub fn reserve(
        &mut self,
        op: &'static str,
        specs: &[Spec],
        workspace: u64,
    ) -> Result<SmallVec<[TensorId; 3]>, Fault> {
        let wanted = specs.iter().fold(workspace, |n, s| n.saturating_add(s.bytes()));
        self.admit(op, wanted, specs.len())?;
        self.bytes -= workspace;
        let create = |spec: &Spec| {
            let storage = self.store(spec.bytes());
            self.create(spec.clone(), storage)
        };
        Ok(specs.iter().map(create).collect())
    }

    /// Makes an op's results, as [`Memory::reserve`] does; the bytes of its `workspace` must fit too, and are free
    /// again when it is done. A tensor of the same values takes no memory of its own; one that changes in place gets
    /// memory of its own if others share it.
    pub fn reserve_for(
        &mut self,
        op: &Op,
        inputs: &[TensorId],
        specs: &[Spec],
        workspace: u64,
    ) -> Result<SmallVec<[TensorId; 3]>, Fault> {
        match (op, inputs, specs) {
            (Op::Reshape { .. } | Op::Copy, &[x], [spec]) => {
                self.admit(op.name(), 0, 1)?;
                let storage = self.storage(x).ok_or(Fault::Dropped { op: op.name() })?;
                self.join(storage);
                Ok(smallvec![self.create(spec.clone(), storage)])
            }
            (Op::Assign, &[x, value], _) => {
                let storage = self.storage(value).ok_or(Fault::Dropped { op: op.name() })?;
                self.join(storage);
                self.put_in(x, storage);
                Ok(SmallVec::new())
            }
            _ if !op.written().is_empty() => {
                for &id in op.written().iter().filter_map(|&i| inputs.get(i)) {
                    self.part(op.name(), id)?;
                }
                Ok(SmallVec::new())
            }
            _ => self.reserve(op.name(), specs, workspace),
        }
    }

    /// Counts bytes and tensors that are wanted, if they fit.
    fn admit(&mut self, op: &'static str, wanted: u64, tensors: usize) -> Result<(), Fault> {
        let bytes = self.bytes.saturating_add(wanted);
        if bytes > self.max_bytes {
            return Err(Fault::TensorLimit { op, live: self.bytes, wanted, limit: self.max_bytes });
        }
        let count = self.count + tensors as u64;
        if count > self.max_tensors {
            return Err(Fault::CountLimit { op, what: "live tensors", limit: self.max_tensors });
        }
        self.bytes = bytes;
        self.count = count;
        self.peak = self.peak.max(bytes);
        Ok(())
    }

    /// Gives a tensor storage of its own.
    fn part(&mut self, op: &'static str, id: TensorId) -> Result<(), Fault> {
        let shared = self.storage(id).and_then(|storage| self.storages.get(&storage)).copied();
        if let Some(Storage { bytes, tensors: 2.. }) = shared {
            self.admit(op, bytes, 0)?;
            let own = self.store(bytes);
            self.put_in(id, own);
        }
        Ok(())
    }

    /// Storage that was admitted, for one tensor.
    fn store(&mut self, bytes: u64) -> u64 {
        let id = self.next_storage;
        self.next_storage += 1;
        self.storages.insert(id, Storage { bytes, tensors: 1 });
        id
    }

    fn storage(&self, id: TensorId) -> Option<u64> {
        self.tensors.get(&id).map(|tensor| tensor.storage)
    }

    fn join(&mut self, storage: u64) {
        if let Some(storage) = self.storages.get_mut(&storage) {
            storage.tensors += 1;
        }
    }

    /// Moves a tensor to storage that counts it already.
    fn put_in(&mut self, id: TensorId, storage: u64) {
        if let Some(tensor) = self.tensors.get_mut(&id) {
            let old = std::mem::replace(&mut tensor.storage, storage);
            self.leave(old);
        }
    }

    fn leave(&mut self, id: u64) {
        if let Some(storage) = self.storages.get_mut(&id) {
            storage.tensors -= 1;
            if storage.tensors == 0 {
                self.bytes = self.bytes.saturating_sub(storage.bytes);
                self.storages.remove(&id);
            }
        }
    }

    fn create(&mut self, spec: Spec, storage: u64) -> TensorId {
        let id = TensorId(self.next_tensor);
        self.next_tensor += 1;
        let tensor = Tensor {
            spec,
            handles: 1,
            saves: 0,
            edges: 0,
            producer: None,
            stale: false,
            slot: None,
            has_values: true,
            storage,
        };
        self.tensors.insert(id, tensor);
        id
    }

    /// A tensor whose values are there.
    pub fn alive(&self, op: &'static str, id: TensorId) -> Result<&Tensor, Fault> {
        self.tensors.get(&id).filter(|t| t.has_values).ok_or(Fault::Dropped { op })
    }

    /// A tensor with a handle.
    pub fn held(&self, op: &'static str, id: TensorId) -> Result<&Tensor, Fault> {
        self.alive(op, id).and_then(|t| if t.handles > 0 { Ok(t) } else { Err(Fault::Dropped { op }) })
    }

    pub fn get(&self, id: TensorId) -> Option<&Tensor> {
        self.tensors.get(&id)
    }

    pub fn get_mut(&mut self, id: TensorId) -> Option<&mut Tensor> {
        self.tensors.get_mut(&id)
    }

    /// Tensors whose values are there, in order of id.
    pub fn live(&self) -> Vec<(TensorId, &Spec)> {
        let mut live: Vec<_> =
            self.tensors.iter().filter(|(_, t)| t.has_values).map(|(&id, t)| (id, &t.spec)).collect();
        live.sort_unstable_by_key(|(id, _)| *id);
        live
    }

    /// One more handle.
    pub fn share(&mut self, id: TensorId) {
        if let Some(tensor) = self.tensors.get_mut(&id) {
            tensor.handles += 1;
        }
    }

    /// One handle less.
    pub fn release(&mut self, id: TensorId) {
        if let Some(tensor) = self.tensors.get_mut(&id) {
            tensor.handles = tensor.handles.saturating_sub(1);
        }
        self.settle(smallvec![id]);
    }

    /// Keeps values without a handle.
    pub fn save(&mut self, id: TensorId) {
        if let Some(tensor) = self.tensors.get_mut(&id) {
            tensor.saves += 1;
        }
    }

    /// Undoes [`Memory::save`].
    pub fn unsave(&mut self, id: TensorId) {
        if let Some(tensor) = self.tensors.get_mut(&id) {
            tensor.saves = tensor.saves.saturating_sub(1);
        }
        self.settle(smallvec![id]);
    }

    /// Refuses one node more than the tape may hold. Nodes outlive the handles of their tensors. They are freed by a
    /// backward pass, or when nothing depends on them any more.
    pub fn can_link(&self, op: &'static str) -> Result<(), Fault> {
        let limit = self.max_tensors.saturating_mul(NODES_PER_TENSOR);
        if self.nodes.len() as u64 >= limit {
            return Err(Fault::CountLimit { op, what: "recorded operations that no backward has freed", limit });
        }
        Ok(())
    }

    /// Puts a node on the tape: it holds what it saves, and its outputs hold it.
    pub fn link(&mut self, mut node: Node) {
        let id = self.next_node;
        self.next_node += 1;
        node.holders = node.outputs.len() as u32;
        for output in &node.outputs {
            if let Some(tensor) = self.tensors.get_mut(output) {
                tensor.producer = Some(id);
            }
        }
        for (input, _) in node.edges() {
            if let Some(tensor) = self.tensors.get_mut(&input) {
                tensor.edges += 1;
            }
        }
        for saved in &node.saved {
            if let Some(tensor) = self.tensors.get_mut(&saved.tensor) {
                tensor.saves += 1;
            }
        }
        self.nodes.insert(id, node);
    }

    /// Frees a node that a backward pass has walked (and taken out of [`Memory::nodes`]).
    pub fn dissolve(&mut self, node: &Node) {
        let mut work: SmallVec<[TensorId; 8]> = SmallVec::new();
        for &output in &node.outputs {
            if let Some(tensor) = self.tensors.get_mut(&output) {
                tensor.producer = None;
                tensor.stale = true;
            }
            work.push(output);
        }
        self.unlink(node, &mut work);
        self.settle(work);
    }

    /// Takes back a node's holds; the tensors that it held may be free now.
    fn unlink(&mut self, node: &Node, work: &mut SmallVec<[TensorId; 8]>) {
        for (input, _) in node.edges() {
            if let Some(tensor) = self.tensors.get_mut(&input) {
                tensor.edges = tensor.edges.saturating_sub(1);
            }
            work.push(input);
        }
        for saved in &node.saved {
            if let Some(tensor) = self.tensors.get_mut(&saved.tensor) {
                tensor.saves = tensor.saves.saturating_sub(1);
            }
            work.push(saved.tensor);
        }
    }

    /// Frees each tensor that nothing holds any more, then the nodes that only it held.
    fn settle(&mut self, mut work: SmallVec<[TensorId; 8]>) {
        while let Some(id) = work.pop() {
            let Some(tensor) = self.tensors.get_mut(&id) else {
                continue;
            };
            if tensor.has_values && tensor.handles == 0 && tensor.saves == 0 {
                tensor.has_values = false;
                let storage = tensor.storage;
                self.count = self.count.saturating_sub(1);
                self.freed.push(id);
                self.leave(storage);
            }
            let Some(tensor) = self.tensors.get_mut(&id) else { continue };
            let reachable = tensor.handles > 0 || tensor.edges > 0;
            let producer = if reachable { None } else { tensor.producer.take() };
            if !reachable && !tensor.has_values {
                self.tensors.remove(&id);
            }
            if let Some(node) = producer {
                self.drop_holder(node, &mut work);
            }
        }
    }

    fn drop_holder(&mut self, id: u64, work: &mut SmallVec<[TensorId; 8]>) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.holders -= 1;
        if node.holders == 0
            && let Some(node) = self.nodes.remove(&id)
        {
            self.unlink(&node, work);
        }
    }
}
