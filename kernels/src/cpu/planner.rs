//! Builds the graph of one flush. Two nodes that touch the same block, one of them writing, keep the order of their
//! records; nothing else does. Blocks are taken and given back in the order of the records, so that memory does not
//! depend on how the nodes run. Imports `memory`, `node` and `split`.

use super::memory::Memory;
use super::node::{Node, Operand, Tensor, Work};
use super::split::{self, Cut, Mode, Split, planned_shape};
use crate::cost::TableKey;
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use crate::spec::Spec;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Range;

/// Tables of rotary embeddings that are kept.
pub type Tables = BTreeMap<TableKey, Tensor>;

/// The nodes that touched a block last.
#[derive(Clone, Debug, Default)]
struct Uses {
    writers: SmallVec<[Use; 2]>,
    readers: SmallVec<[Use; 4]>,
}

#[derive(Clone, Debug)]
struct Use {
    node: u32,
    /// Bytes of the block.
    range: Range<usize>,
    /// How the node's parts divide them; `None` if every part sees all of it.
    cut: Option<Cut>,
}

/// Builds the graph of one flush.
pub struct Planner<'a> {
    /// Blocks.
    pub memory: &'a mut Memory,
    /// Tensors by id.
    pub tensors: &'a mut BTreeMap<TensorId, Tensor>,
    /// Tables that earlier flushes made.
    pub tables: &'a mut Tables,
    /// Threads to cut for; 0 cuts nothing.
    pub threads: usize,
    nodes: Vec<Node>,
    uses: Vec<Uses>,
}

impl<'a> Planner<'a> {
    /// An empty graph.
    pub fn new(
        memory: &'a mut Memory,
        tensors: &'a mut BTreeMap<TensorId, Tensor>,
        tables: &'a mut Tables,
        threads: usize,
    ) -> Self {
        Self { memory, tensors, tables, threads, nodes: Vec::new(), uses: Vec::new() }
    }

    /// The nodes, in an order in which they can run.
    pub fn finish(self) -> Vec<Node> {
        self.nodes
    }

    /// A tensor that shares a block.
    pub(super) fn alias(&mut self, id: TensorId, spec: Spec, of: &Tensor) {
        self.memory.share(of.block);
        self.put(id, Tensor { spec, ..*of });
    }

    fn put(&mut self, id: TensorId, tensor: Tensor) {
        if let Some(old) = self.tensors.insert(id, tensor) {
            self.memory.give(old.block);
        }
    }

    /// New tensors.
    pub(super) fn make(&mut self, ids: &[TensorId], specs: &[Spec]) -> SmallVec<[Tensor; 3]> {
        let made = ids.iter().zip(specs).map(|(&id, spec)| {
            let tensor = Tensor::new(spec.clone(), self.memory.take(spec.bytes() as usize));
            if let Some(old) = self.tensors.insert(id, tensor.clone()) {
                self.memory.give(old.block);
            }
            tensor
        });
        made.collect()
    }

    /// Gives a temporary tensor back.
    pub(super) fn give(&mut self, tensor: &Tensor) {
        self.memory.give(tensor.block);
    }

    /// A tensor of this node's own, given back when the nodes so far are planned.
    pub(super) fn temporary(&mut self, dims: &[u32]) -> Result<Tensor, Fault> {
        let spec = Spec::f32(planned_shape(dims)?);
        let block = self.memory.take(spec.bytes() as usize);
        Ok(Tensor::new(spec, block))
    }

    pub(super) fn split(&self, op: &Op, inputs: &[Tensor], outputs: &[Tensor]) -> Split {
        let specs = |tensors: &[Tensor]| -> SmallVec<[Spec; 6]> { tensors.iter().map(|t| t.spec.clone()).collect() };
        match self.threads {
            0 => Split::whole(inputs.len(), outputs.len()),
            n => split::split(op, &specs(inputs), &specs(outputs), n),
        }
    }

    pub(super) fn op(&mut self, op: Op, inputs: &[Tensor], outputs: &[Tensor], index: u64) -> Result<(), Fault> {
        let split = self.split(&op, inputs, outputs);
        match op {
            Op::MatMul { transpose_a: false, transpose_b } if split.cut.parts > 1 && split.inputs[1] == Mode::Whole => {
                self.packed_product(inputs, outputs, transpose_b, split, index)
            }
            op => {
                self.node(Work::Op(op), inputs, outputs, split, index);
                Ok(())
            }
        }
    }

    /// A product whose parts share their second operand: packed once.
    fn packed_product(
        &mut self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        transposed: bool,
        split: Split,
        index: u64,
    ) -> Result<(), Fault> {
        let [a, b] = inputs else {
            return Err(Fault::Executor(format!("a product of {} operands", inputs.len())));
        };
        let packed = self.packed(b, transposed, index)?;
        self.node(Work::PackedProduct, &[a.clone(), packed.clone()], outputs, split, index);
        self.give(&packed);
        Ok(())
    }

    /// A factor, transposed where flagged, packed in a temporary tensor.
    pub(super) fn packed(&mut self, b: &Tensor, transposed: bool, index: u64) -> Result<Tensor, Fault> {
        let [k, n] = match *b.spec.shape.dims() {
            [n, k] if transposed => [k, n],
            [k, n] => [k, n],
            _ => return Err(Fault::Executor(format!("{} cannot be packed: it is not a matrix", b.spec))),
        };
        let packed = self.temporary(&[n.div_ceil(16), k, 16])?;
        let pack = Split::whole(1, 1);
        self.node(Work::Pack { transposed }, std::slice::from_ref(b), std::slice::from_ref(&packed), pack, index);
        Ok(packed)
    }

    pub(super) fn node(&mut self, work: Work, inputs: &[Tensor], outputs: &[Tensor], split: Split, index: u64) {
        let id = self.nodes.len() as u32;
        let cut = split.cut;
        let mut waits: SmallVec<[(u32, bool); 8]> = SmallVec::new();
        self.uses.resize_with(self.memory.count().max(self.uses.len()), Uses::default);
        for (tensor, mode) in inputs.iter().zip(&split.inputs) {
            let here = Use { node: id, range: tensor.range(), cut: (*mode != Mode::Whole).then_some(cut) };
            let uses = &mut self.uses[tensor.block.number()];
            waits.extend(uses.writers.iter().filter_map(|there| there.before(&here)));
            uses.readers.push(here);
        }
        for (tensor, mode) in outputs.iter().zip(&split.outputs) {
            let whole = *mode == Mode::Whole && cut != Cut::WHOLE;
            let here = Use { node: id, range: tensor.range(), cut: (!whole).then_some(cut) };
            let uses = &mut self.uses[tensor.block.number()];
            waits.extend(uses.writers.iter().chain(&uses.readers).filter_map(|there| there.before(&here)));
            // A later node that would wait for the earlier uses waits for this node, which waits for them.
            uses.readers.retain(|there| !here.covers(there));
            uses.writers.retain(|there| !here.covers(there));
            uses.writers.push(here);
        }
        let operand = |(tensor, mode): (&Tensor, &Mode), memory: &mut Memory| Operand {
            spec: tensor.spec.clone(),
            place: memory.place(tensor.block).part(tensor.range()),
            mode: *mode,
        };
        let inputs = inputs.iter().zip(&split.inputs).map(|x| operand(x, self.memory)).collect();
        let outputs = outputs.iter().zip(&split.outputs).map(|x| operand(x, self.memory)).collect();
        let waits = self.link(id, waits);
        self.nodes.push(Node { work, index, inputs, outputs, cut, same: Vec::new(), all: Vec::new(), waits });
    }

    /// Enters this node once with each node that it waits for; a wait for the whole includes one for a part.
    fn link(&mut self, id: u32, mut waits: SmallVec<[(u32, bool); 8]>) -> u32 {
        waits.sort_unstable();
        waits.dedup_by_key(|(node, _)| *node);
        waits.retain(|(node, _)| *node != id);
        for &(node, part) in &waits {
            let node = &mut self.nodes[node as usize];
            if part { node.same.push(id) } else { node.all.push(id) }
        }
        waits.len() as u32
    }
}

impl Use {
    /// If the two touch the same bytes: the node that the later use waits for, and whether it can wait part by part.
    fn before(&self, later: &Use) -> Option<(u32, bool)> {
        let apart = self.range.end <= later.range.start || later.range.end <= self.range.start;
        let alike = self.cut.is_some() && self.cut == later.cut && self.range == later.range;
        (!apart).then_some((self.node, alike))
    }

    /// Whether it touches all bytes that another did.
    fn covers(&self, other: &Use) -> bool {
        self.range.start <= other.range.start && other.range.end <= self.range.end
    }
}

/// The tensor was freed or never made: the session and the executor disagree.
pub fn absent(id: TensorId) -> Fault {
    Fault::Executor(format!("tensor {} is not there; it was freed or never made", id.0))
}
