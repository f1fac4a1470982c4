//! From records to a graph of nodes: which blocks of memory each op reads and writes, and what it must wait for. Two
//! nodes that touch the same block, one of them writing, keep the order of their records; nothing else does. Blocks are
//! taken and given back in the order of the records, so that memory does not depend on how the nodes run. Depends on
//! `memory`, `split` and `op`. Ops that take several nodes are in [`super::expand`].

use super::absent;
use super::memory::{BlockId, Memory, Place};
use super::split::{self, Cut, Mode, Split};
use crate::exec::Step;
use crate::fault::Fault;
use crate::op::{Op, Record, TensorId};
use crate::spec::{Shape, Spec, Values};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What a node does.
#[derive(Clone, Debug)]
pub enum Work {
    /// An op; in-place ops have what they write among the outputs only.
    Op(Op),
    /// Packs the second operand of a product, transposed where flagged.
    Pack {
        /// Whether its columns are what the product calls rows.
        transposed: bool,
    },
    /// A product whose second operand is packed.
    PackedProduct,
    /// Angles of a rotary embedding.
    RopeTable {
        /// See [`Op::Rope`].
        base: f32,
    },
    /// Rotation of the first operand by a table, the other way where `inverse`.
    Rotate {
        /// See [`Op::Rope`].
        inverse: bool,
    },
    /// An attention or its gradient, cut by key heads: results are [batch·key heads, time, what each key head has].
    AttentionGroups(Op),
    /// Some rows of a linear cross-entropy: x, the weight packed across and (for gradients) down, targets → losses,
    /// logsumexps, logits, which become their own gradients, and the gradient of x.
    LinearLoss {
        /// What is wanted.
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
    /// What a part sees of it.
    pub mode: Mode,
}

impl Operand {
    /// What part `i` sees.
    pub fn part(&self, cut: Cut, i: u32) -> (Spec, Place) {
        if self.mode == Mode::Whole {
            return (self.spec.clone(), self.place);
        }
        let elements = cut.range(i, self.spec.shape.elements());
        let size = self.spec.dtype.size();
        let bytes = (elements.start * size) as usize..(elements.end * size) as usize;
        (self.mode.part(&self.spec, cut, i), self.place.part(bytes))
    }
}

/// One op, or a step of one.
#[derive(Debug)]
pub struct Node {
    /// What to do.
    pub work: Work,
    /// Index of the record, for faults.
    pub index: u64,
    /// What is read.
    pub inputs: SmallVec<[Operand; 4]>,
    /// What is written.
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
    pub(super) fn rows(&self, range: Range<u32>) -> Self {
        let dims = self.spec.shape.dims();
        let each = self.spec.bytes() / dims.first().map_or(1, |d| u64::from(*d));
        let dims: SmallVec<[u32; 6]> =
            std::iter::once(range.end - range.start).chain(dims.iter().skip(1).copied()).collect();
        let spec = Spec { shape: Shape::new(&dims).unwrap_or_default(), dtype: self.spec.dtype };
        Self { spec, block: self.block, start: self.start + (u64::from(range.start) * each) as usize }
    }

    /// The same elements in another shape.
    pub(super) fn reshaped(&self, dims: &[u32]) -> Self {
        let spec = Spec { shape: Shape::new(dims).unwrap_or_default(), dtype: self.spec.dtype };
        Self { spec, ..*self }
    }

    /// The bytes of the block that it takes.
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.spec.bytes() as usize
    }
}

/// Tables of rotary embeddings that are kept, by the bits of the base and the width of a head.
pub type Tables = BTreeMap<(u32, u32), Tensor>;

/// Who touched a block last.
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
    /// How the node's parts divide them; none where each sees all of it.
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

    /// Adds a step.
    pub fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Run { record, outputs, index } => self.record(record, &outputs, index),
            Step::Free(id) => {
                let tensor = self.tensors.remove(&id).ok_or_else(|| absent(id))?;
                self.memory.give(tensor.block);
                Ok(())
            }
        }
    }

    fn record(&mut self, record: Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
        let inputs: SmallVec<[Tensor; 4]> = record
            .inputs
            .iter()
            .map(|id| self.tensors.get(id).cloned().ok_or_else(|| absent(*id)))
            .collect::<Result<_, _>>()?;
        let Record { op, inputs: ids, outputs: made, data } = record;
        match (&op, inputs.as_slice(), data) {
            (Op::Reshape { .. } | Op::Copy, [x], _) => self.alias(made[0], outputs[0].clone(), x),
            (Op::Assign, [x, value], _) => self.alias(ids[0], x.spec.clone(), value),
            (Op::Constant { .. } | Op::NextBatch { .. }, [], Some(values)) => {
                let mut from = 0;
                for (id, spec) in made.iter().zip(outputs) {
                    self.values(*id, spec, &values, from, index)?;
                    from += spec.shape.elements() as usize;
                }
            }
            (Op::Blend { .. }, [_, value], _) => self.in_place(op, &[ids[0]], value, index)?,
            (Op::AdamW(_), [_, grad, ..], _) => self.in_place(op, &[ids[0], ids[2], ids[3]], grad, index)?,
            (Op::LinearCrossEntropy { .. }, [x, weight, targets], _) => {
                let made = self.make(&made, outputs);
                self.linear_loss(op.clone(), [x, weight, targets], &made, index);
            }
            (Op::CrossEntropy(_), _, _) => self.cross_entropy(op, &inputs, &made, outputs, index),
            (Op::Rope { .. }, [x], _) => {
                let made = self.make(&made, outputs);
                self.rope(&op, x, &made, index);
            }
            (Op::Attention(_) | Op::AttentionGrad(_), [q, k, ..], _) => {
                let made = self.make(&made, outputs);
                match split::attention(&q.spec, &k.spec, self.threads) {
                    Some(cut) => self.attention_by_groups(op, &inputs, &made, cut, index),
                    None => self.op(op, &inputs, &made, index),
                }
            }
            _ => {
                let made = self.make(&made, outputs);
                self.op(op, &inputs, &made, index);
            }
        }
        Ok(())
    }

    /// A tensor that shares a block.
    fn alias(&mut self, id: TensorId, spec: Spec, of: &Tensor) {
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
    pub(super) fn temporary(&mut self, dims: &[u32]) -> Tensor {
        let spec = Spec::f32(Shape::new(dims).unwrap_or_default());
        let block = self.memory.take(spec.bytes() as usize);
        Tensor::new(spec, block)
    }

    fn values(
        &mut self,
        id: TensorId,
        spec: &Spec,
        values: &Arc<Values>,
        from: usize,
        index: u64,
    ) -> Result<(), Fault> {
        check(spec, values, from)?;
        let made = self.make(&[id], std::slice::from_ref(spec));
        self.node(Work::Values(values.clone(), from), &[], &made, Split::whole(0, 1), index);
        Ok(())
    }

    /// An op that writes tensors which exist. What shares a written block keeps the old values.
    fn in_place(&mut self, op: Op, written: &[TensorId], read: &Tensor, index: u64) -> Result<(), Fault> {
        let mut outputs = SmallVec::<[Tensor; 3]>::new();
        for id in written {
            let tensor = self.tensors.get(id).cloned().ok_or_else(|| absent(*id))?;
            if self.memory.is_sole(tensor.block) {
                outputs.push(tensor);
                continue;
            }
            let made = self.make(&[*id], std::slice::from_ref(&tensor.spec));
            self.op(Op::Copy, std::slice::from_ref(&tensor), &made, index);
            outputs.extend(made);
        }
        self.op(op, std::slice::from_ref(read), &outputs, index);
        Ok(())
    }

    pub(super) fn split(&self, op: &Op, inputs: &[Tensor], outputs: &[Tensor]) -> Split {
        let specs = |tensors: &[Tensor]| -> SmallVec<[Spec; 6]> { tensors.iter().map(|t| t.spec.clone()).collect() };
        match self.threads {
            0 => Split::whole(inputs.len(), outputs.len()),
            n => split::split(op, &specs(inputs), &specs(outputs), n),
        }
    }

    pub(super) fn op(&mut self, op: Op, inputs: &[Tensor], outputs: &[Tensor], index: u64) {
        let split = self.split(&op, inputs, outputs);
        match op {
            Op::MatMul { transpose_a: false, transpose_b } if split.cut.parts > 1 && split.inputs[1] == Mode::Whole => {
                self.packed_product(inputs, outputs, transpose_b, split, index);
            }
            op => self.node(Work::Op(op), inputs, outputs, split, index),
        }
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
            // Whoever comes later and would wait for what was there waits for this node, which waits for it.
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

    /// Tells each node once who waits for it; a wait for the whole includes one for a part.
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
    /// What a later use waits for, where the two touch the same bytes: this node, and whether part by part will do.
    fn before(&self, later: &Use) -> Option<(u32, bool)> {
        let apart = self.range.end <= later.range.start || later.range.end <= self.range.start;
        let alike = self.cut.is_some() && self.cut == later.cut && self.range == later.range;
        (!apart).then_some((self.node, alike))
    }

    /// Whether it touches all that another did.
    fn covers(&self, other: &Use) -> bool {
        self.range.start <= other.range.start && other.range.end <= self.range.end
    }
}

/// The values fill the tensor from an element on.
pub fn check(spec: &Spec, values: &Values, from: usize) -> Result<(), Fault> {
    let enough = values.len().saturating_sub(from) as u64 >= spec.shape.elements();
    if values.dtype() == spec.dtype && enough {
        return Ok(());
    }
    Err(Fault::Executor(format!("the values given do not fill a tensor {spec}")))
}
