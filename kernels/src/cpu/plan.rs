//! From records to a graph of nodes: which blocks of memory each op reads and writes, and what it must wait for. Two
//! nodes that touch the same block, one of them writing, keep the order of their records; nothing else does. Blocks are
//! taken and given back in the order of the records, so that memory does not depend on how the nodes run. Depends on
//! `memory`, `split` and `op`.

use super::absent;
use super::memory::{BlockId, Memory, Place};
use super::split::{self, Cut, Mode, Split};
use crate::exec::Step;
use crate::fault::Fault;
use crate::op::{Op, Record, TensorId};
use crate::spec::{Shape, Spec, Values};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeMap;
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
    pub outputs: SmallVec<[Operand; 3]>,
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
}

/// Tables of rotary embeddings that are kept, by the bits of the base and the width of a head.
pub type Tables = BTreeMap<(u32, u32), Tensor>;

/// Tables beyond this number are made again each time.
const MAX_TABLES: usize = 8;

/// Who touched a block last.
#[derive(Clone, Debug, Default)]
struct Uses {
    writer: Option<Use>,
    readers: SmallVec<[Use; 4]>,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    node: u32,
    /// How the node's parts divide the block; none where each sees all of it.
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
            (Op::Reshape { .. } | Op::Copy, [x], _) => self.alias(made[0], outputs[0].clone(), x.block),
            (Op::Assign, [x, value], _) => self.alias(ids[0], x.spec.clone(), value.block),
            (Op::Constant { .. } | Op::NextBatch { .. }, [], Some(values)) => {
                let mut from = 0;
                for (id, spec) in made.iter().zip(outputs) {
                    self.values(*id, spec, &values, from, index)?;
                    from += spec.shape.elements() as usize;
                }
            }
            (Op::Blend { .. }, [_, value], _) => self.in_place(op, &[ids[0]], value, index)?,
            (Op::AdamW(_), [_, grad, ..], _) => self.in_place(op, &[ids[0], ids[2], ids[3]], grad, index)?,
            (Op::CrossEntropy(_), _, _) => self.cross_entropy(op, &inputs, &made, outputs, index),
            (Op::Rope { base, inverse }, [x], _) => {
                let table = self.rope_table(*base, &x.spec, index);
                let made = self.make(&made, outputs);
                let split = self.split(&op, std::slice::from_ref(x), &made);
                let split = Split { inputs: smallvec![split.inputs[0], Mode::Whole], ..split };
                self.node(Work::Rotate { inverse: *inverse }, &[x.clone(), table], &made, split, index);
            }
            _ => {
                let made = self.make(&made, outputs);
                self.op(op, &inputs, &made, index);
            }
        }
        Ok(())
    }

    /// A tensor that shares a block.
    fn alias(&mut self, id: TensorId, spec: Spec, block: BlockId) {
        self.memory.share(block);
        self.put(id, Tensor { spec, block });
    }

    fn put(&mut self, id: TensorId, tensor: Tensor) {
        if let Some(old) = self.tensors.insert(id, tensor) {
            self.memory.give(old.block);
        }
    }

    /// New tensors.
    fn make(&mut self, ids: &[TensorId], specs: &[Spec]) -> SmallVec<[Tensor; 3]> {
        let made = ids.iter().zip(specs).map(|(&id, spec)| {
            let tensor = Tensor { spec: spec.clone(), block: self.memory.take(spec.bytes() as usize) };
            if let Some(old) = self.tensors.insert(id, tensor.clone()) {
                self.memory.give(old.block);
            }
            tensor
        });
        made.collect()
    }

    /// A tensor of this node's own, given back when the nodes so far are planned.
    fn temporary(&mut self, dims: &[u32]) -> Tensor {
        let spec = Spec::f32(Shape::new(dims).unwrap_or_default());
        Tensor { block: self.memory.take(spec.bytes() as usize), spec }
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

    /// A table for as many positions as x [batch, time, heads, dim] has, or more.
    fn rope_table(&mut self, base: f32, x: &Spec, index: u64) -> Tensor {
        let &[_, time, _, dim] = x.shape.dims() else { return self.temporary(&[1]) };
        let key = (base.to_bits(), dim);
        if let Some(table) = self.tables.get(&key).filter(|t| t.spec.shape.dims()[0] >= time) {
            return table.clone();
        }
        let table = self.temporary(&[time, dim]);
        let split = Split::whole(0, 1);
        self.node(Work::RopeTable { base }, &[], std::slice::from_ref(&table), split, index);
        let old = match self.tables.len() < MAX_TABLES || self.tables.contains_key(&key) {
            true => self.tables.insert(key, table.clone()),
            false => Some(table.clone()),
        };
        if let Some(old) = old {
            self.memory.give(old.block);
        }
        table
    }

    fn split(&self, op: &Op, inputs: &[Tensor], outputs: &[Tensor]) -> Split {
        let specs = |tensors: &[Tensor]| -> SmallVec<[Spec; 6]> { tensors.iter().map(|t| t.spec.clone()).collect() };
        match self.threads {
            0 => Split::whole(inputs.len(), outputs.len()),
            n => split::split(op, &specs(inputs), &specs(outputs), n),
        }
    }

    fn op(&mut self, op: Op, inputs: &[Tensor], outputs: &[Tensor], index: u64) {
        let split = self.split(&op, inputs, outputs);
        match op {
            Op::MatMul { transpose_a: false, transpose_b } if split.cut.parts > 1 && split.inputs[1] == Mode::Whole => {
                self.packed_product(inputs, outputs, transpose_b, split, index);
            }
            op => self.node(Work::Op(op), inputs, outputs, split, index),
        }
    }

    /// A product whose parts share their second operand: packed once.
    fn packed_product(&mut self, inputs: &[Tensor], outputs: &[Tensor], transposed: bool, split: Split, index: u64) {
        let [a, b] = inputs else { return };
        let (k, n) = (a.spec.shape.last(), outputs[0].spec.shape.last());
        let packed = self.temporary(&[n.div_ceil(16), k, 16]);
        let pack = Split { cut: Cut::WHOLE, inputs: smallvec![Mode::Whole], outputs: smallvec![Mode::Whole] };
        self.node(Work::Pack { transposed }, std::slice::from_ref(b), std::slice::from_ref(&packed), pack, index);
        self.node(Work::PackedProduct, &[a.clone(), packed.clone()], outputs, split, index);
        self.memory.give(packed.block);
    }

    /// The rows' losses, then their mean.
    fn cross_entropy(&mut self, op: Op, inputs: &[Tensor], ids: &[TensorId], specs: &[Spec], index: u64) {
        let losses = self.temporary(specs[1].shape.dims());
        let made = self.make(ids, specs);
        self.op(op, inputs, &[losses.clone(), made[1].clone()], index);
        self.node(Work::MeanLoss, std::slice::from_ref(&losses), &made[..1], Split::whole(1, 1), index);
        self.memory.give(losses.block);
    }

    fn node(&mut self, work: Work, inputs: &[Tensor], outputs: &[Tensor], split: Split, index: u64) {
        let id = self.nodes.len() as u32;
        let cut = split.cut;
        let mut waits: SmallVec<[(u32, bool); 8]> = SmallVec::new();
        self.uses.resize_with(self.memory.count().max(self.uses.len()), Uses::default);
        for (tensor, mode) in inputs.iter().zip(&split.inputs) {
            let here = Use { node: id, cut: (*mode != Mode::Whole).then_some(cut) };
            let uses = &mut self.uses[tensor.block.number()];
            waits.extend(uses.writer.map(|there| there.before(here)));
            uses.readers.push(here);
        }
        for (tensor, mode) in outputs.iter().zip(&split.outputs) {
            let here = Use { node: id, cut: (*mode != Mode::Whole || cut == Cut::WHOLE).then_some(cut) };
            let uses = &mut self.uses[tensor.block.number()];
            waits.extend(uses.writer.iter().chain(&uses.readers).map(|there| there.before(here)));
            *uses = Uses { writer: Some(here), readers: SmallVec::new() };
        }
        let operand = |(tensor, mode): (&Tensor, &Mode), memory: &mut Memory| Operand {
            spec: tensor.spec.clone(),
            place: memory.place(tensor.block).part(0..tensor.spec.bytes() as usize),
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
    /// What a later use waits for: this node, and whether part by part will do.
    fn before(self, later: Use) -> (u32, bool) {
        (self.node, self.cut.is_some() && self.cut == later.cut)
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
