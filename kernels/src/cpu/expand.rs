//! Ops that take several nodes: operands packed once, tables, sums over parts. Depends on `plan` and `split`.

use super::linear_loss;
use super::plan::{Planner, Tensor, Work};
use super::split::{self, Cut, Mode, Split};
use crate::op::{Op, TensorId};
use crate::spec::Spec;
use smallvec::{SmallVec, smallvec};

/// Tables beyond this number are made again each time.
const MAX_TABLES: usize = 8;

/// Most chunks of a linear cross-entropy whose logits are held at once.
const MAX_CHUNKS: usize = 8;

impl Planner<'_> {
    /// A rotation by a table of angles.
    pub(super) fn rope(&mut self, op: &Op, x: &Tensor, made: &[Tensor], index: u64) {
        let &Op::Rope { base, inverse } = op else { return };
        let table = self.rope_table(base, &x.spec, index);
        let split = self.split(op, std::slice::from_ref(x), made);
        let split = Split { inputs: smallvec![split.inputs[0], Mode::Whole], ..split };
        self.node(Work::Rotate { inverse }, &[x.clone(), table], made, split, index);
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
            self.give(&old);
        }
        table
    }

    /// An attention whose batch is too small to be cut: its parts are key heads, which write results of their own, and
    /// then the heads of each position are put together.
    pub(super) fn attention_by_groups(&mut self, op: Op, inputs: &[Tensor], made: &[Tensor], cut: Cut, index: u64) {
        let &[batch, time, groups, dim] = inputs[1].spec.shape.dims() else { return };
        let each = inputs[0].spec.shape.dims()[2] / groups;
        let is_forward = matches!(op, Op::Attention(_));
        let mut apart: SmallVec<[Tensor; 4]> = SmallVec::new();
        for (i, y) in made.iter().enumerate() {
            let heads = if i == 0 { each } else { 1 };
            apart.push(match (is_forward, i) {
                (true, 1) => y.reshaped(&[batch * groups, each * time]),
                _ => self.temporary(&[batch * groups, time, heads * dim]),
            });
        }
        let split = Split {
            cut,
            inputs: SmallVec::from_elem(Mode::Whole, inputs.len()),
            outputs: SmallVec::from_elem(Mode::Lead, made.len()),
        };
        self.node(Work::AttentionGroups(op), inputs, &apart, split, index);
        for (i, (y, apart)) in made.iter().zip(&apart).enumerate().filter(|(i, _)| !(is_forward && *i == 1)) {
            let width = if i == 0 { each * dim } else { dim };
            let from = apart.reshaped(&[batch, groups, time, width]);
            let to = y.reshaped(&[batch, time, groups, width]);
            let together = Op::Permute { axes: smallvec![0, 2, 1, 3] };
            self.op(together, std::slice::from_ref(&from), std::slice::from_ref(&to), index);
            self.give(apart);
        }
    }

    /// A product whose parts share their second operand: packed once.
    pub(super) fn packed_product(
        &mut self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        transposed: bool,
        split: Split,
        index: u64,
    ) {
        let [a, b] = inputs else { return };
        let packed = self.packed(b, transposed, index);
        self.node(Work::PackedProduct, &[a.clone(), packed.clone()], outputs, split, index);
        self.give(&packed);
    }

    /// A factor, transposed where flagged, packed in a temporary tensor.
    fn packed(&mut self, b: &Tensor, transposed: bool, index: u64) -> Tensor {
        let [k, n] = match *b.spec.shape.dims() {
            [n, k] if transposed => [k, n],
            [k, n] => [k, n],
            _ => [1, 1],
        };
        let packed = self.temporary(&[n.div_ceil(16), k, 16]);
        let pack = Split::whole(1, 1);
        self.node(Work::Pack { transposed }, std::slice::from_ref(b), std::slice::from_ref(&packed), pack, index);
        packed
    }

    /// A linear cross-entropy by chunks of rows: while the weight's gradient by one is added up, the next are computed.
    pub(super) fn linear_loss(&mut self, op: Op, [x, weight, targets]: [&Tensor; 3], made: &[Tensor], index: u64) {
        let &[vocab, width] = weight.spec.shape.dims() else { return };
        let rows = targets.spec.shape.elements() as u32;
        let (x, targets) = (x.reshaped(&[rows, width]), targets.reshaped(&[rows]));
        let (losses, lse) = (self.temporary(&[rows]), made[1].reshaped(&[rows]));
        let gradients =
            made.get(2).zip(made.get(3)).map(|(dx, dweight)| (dx.reshaped(&[rows, width]), dweight.clone()));
        let mut packs: SmallVec<[Tensor; 2]> = smallvec![self.packed(weight, true, index)];
        if gradients.is_some() {
            packs.push(self.packed(weight, false, index));
        }
        let mut logits: SmallVec<[Tensor; 4]> = SmallVec::new();
        for first in (0..rows).step_by(linear_loss::ROWS) {
            let chunk = first..rows.min(first + linear_loss::ROWS as u32);
            let of = |t: &Tensor| t.rows(chunk.clone());
            if logits.len() == self.threads.clamp(2, MAX_CHUNKS) {
                self.give(&logits.remove(0));
            }
            let slopes = self.temporary(&[chunk.end - chunk.start, vocab]);
            logits.push(slopes.clone());
            let mut inputs: SmallVec<[Tensor; 4]> = smallvec![of(&x), of(&targets)];
            inputs.extend(packs.iter().cloned());
            let mut outputs: SmallVec<[Tensor; 4]> = smallvec![of(&losses), of(&lse), slopes.clone()];
            outputs.extend(gradients.as_ref().map(|(dx, _)| of(dx)));
            let work = Work::LinearLoss { op: op.clone(), first: first as usize, rows: rows as usize };
            // A chunk is no more cut: each passes over the whole packed weight.
            self.node(work, &inputs, &outputs, Split::whole(inputs.len(), outputs.len()), index);
            if let Some((_, dweight)) = &gradients {
                let split = split::linear_loss_weight(chunk.end - chunk.start, vocab, width, self.threads);
                let work = Work::LinearLossWeight { add: first > 0 };
                self.node(work, &[slopes, of(&x)], std::slice::from_ref(dweight), split, index);
            }
        }
        self.node(Work::MeanLoss, std::slice::from_ref(&losses), &made[..1], Split::whole(1, 1), index);
        for tensor in logits.iter().chain(&packs).chain([&losses]) {
            self.give(tensor);
        }
    }

    /// The rows' losses, then their mean.
    pub(super) fn cross_entropy(&mut self, op: Op, inputs: &[Tensor], ids: &[TensorId], specs: &[Spec], index: u64) {
        let losses = self.temporary(specs[1].shape.dims());
        let made = self.make(ids, specs);
        self.op(op, inputs, &[losses.clone(), made[1].clone()], index);
        self.node(Work::MeanLoss, std::slice::from_ref(&losses), &made[..1], Split::whole(1, 1), index);
        self.give(&losses);
    }
}
