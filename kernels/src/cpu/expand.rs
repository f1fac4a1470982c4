//! Ops that take several nodes: tables that are kept, sums over parts, attention by heads. Imports `node`, `planner`
//! and `split`.

use super::linear_loss;
use super::node::{Tensor, Work};
use super::planner::Planner;
use super::split::{self, Cut, Mode, Split};
use crate::cost::KEPT_TABLES;
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use crate::spec::Spec;
use smallvec::{SmallVec, smallvec};

/// Most chunks of a linear cross-entropy whose logits are held at once.
const MAX_CHUNKS: usize = 8;

/// A rotation by a table of angles.
pub(super) fn rope(
    planner: &mut Planner,
    (base, inverse): (f32, bool),
    x: &Tensor,
    made: &[Tensor],
    split: Split,
    index: u64,
) -> Result<(), Fault> {
    let table = rope_table(planner, base, &x.spec, index)?;
    let split = Split { inputs: smallvec![split.inputs[0], Mode::Whole], ..split };
    planner.node(Work::Rotate { inverse }, &[x.clone(), table], made, split, index);
    Ok(())
}

/// A table for at least the positions of x [batch, time, heads, dim].
fn rope_table(planner: &mut Planner, base: f32, x: &Spec, index: u64) -> Result<Tensor, Fault> {
    let &[_, time, _, dim] = x.shape.dims() else { return Err(no_plan("a rotation", x)) };
    let key = (base.to_bits(), dim);
    if let Some(table) = planner.tables.get(&key).filter(|t| t.spec.shape.dims()[0] >= time) {
        return Ok(table.clone());
    }
    let table = planner.temporary(&[time, dim])?;
    let split = Split::whole(0, 1);
    planner.node(Work::RopeTable { base }, &[], std::slice::from_ref(&table), split, index);
    let old = match planner.tables.len() < KEPT_TABLES || planner.tables.contains_key(&key) {
        true => planner.tables.insert(key, table.clone()),
        false => Some(table.clone()),
    };
    if let Some(old) = old {
        planner.give(&old);
    }
    Ok(table)
}

/// An attention whose batch is too small to be cut: its parts are key heads, which write results of their own, and
/// then the heads of each position are put together.
pub(super) fn attention_by_groups(
    planner: &mut Planner,
    op: Op,
    inputs: &[Tensor],
    made: &[Tensor],
    cut: Cut,
    index: u64,
) -> Result<(), Fault> {
    let (q, k) = (&inputs[0].spec, &inputs[1].spec);
    let (&[_, _, all_heads, _], &[batch, time, groups, dim]) = (q.shape.dims(), k.shape.dims()) else {
        return Err(no_plan("an attention", q));
    };
    let each = all_heads / groups;
    let is_forward = matches!(op, Op::Attention(_));
    let mut apart: SmallVec<[Tensor; 4]> = SmallVec::new();
    for (i, y) in made.iter().enumerate() {
        let heads = if i == 0 { each } else { 1 };
        apart.push(match (is_forward, i) {
            (true, 1) => y.reshaped(&[batch * groups, each * time])?,
            _ => planner.temporary(&[batch * groups, time, heads * dim])?,
        });
    }
    let split = Split {
        cut,
        inputs: SmallVec::from_elem(Mode::Whole, inputs.len()),
        outputs: SmallVec::from_elem(Mode::Lead, made.len()),
    };
    planner.node(Work::AttentionGroups(op), inputs, &apart, split, index);
    for (i, (y, apart)) in made.iter().zip(&apart).enumerate().filter(|(i, _)| !(is_forward && *i == 1)) {
        let width = if i == 0 { each * dim } else { dim };
        let from = apart.reshaped(&[batch, groups, time, width])?;
        let to = y.reshaped(&[batch, time, groups, width])?;
        let together = Op::Permute { axes: smallvec![0, 2, 1, 3] };
        planner.op(together, std::slice::from_ref(&from), std::slice::from_ref(&to), index)?;
        planner.give(apart);
    }
    Ok(())
}

/// A linear cross-entropy by chunks of rows: while the weight's gradient by one is added up, the next are computed.
pub(super) fn linear_loss(
    planner: &mut Planner,
    op: Op,
    [x, weight, targets]: [&Tensor; 3],
    made: &[Tensor],
    index: u64,
) -> Result<(), Fault> {
    let &[vocab, width] = weight.spec.shape.dims() else { return Err(no_plan("a weight", &weight.spec)) };
    let rows = targets.spec.shape.elements() as u32;
    let (x, targets) = (x.reshaped(&[rows, width])?, targets.reshaped(&[rows])?);
    let (losses, lse) = (planner.temporary(&[rows])?, made[1].reshaped(&[rows])?);
    let gradients = match made {
        [_, _] => None,
        [_, _, dx, dweight] => Some((dx.reshaped(&[rows, width])?, dweight)),
        _ => return Err(Fault::Executor(format!("a linear cross-entropy cannot make {} tensors", made.len()))),
    };
    let mut packs: SmallVec<[Tensor; 2]> = smallvec![planner.packed(weight, true, index)?];
    if gradients.is_some() {
        packs.push(planner.packed(weight, false, index)?);
    }
    let mut logits: SmallVec<[Tensor; 4]> = SmallVec::new();
    for first in (0..rows).step_by(linear_loss::ROWS) {
        let chunk = first..rows.min(first + linear_loss::ROWS as u32);
        let of = |t: &Tensor| t.rows(chunk.clone());
        if logits.len() == planner.threads.clamp(2, MAX_CHUNKS) {
            planner.give(&logits.remove(0));
        }
        let slopes = planner.temporary(&[chunk.end - chunk.start, vocab])?;
        logits.push(slopes.clone());
        let mut inputs: SmallVec<[Tensor; 4]> = smallvec![of(&x)?, of(&targets)?];
        inputs.extend(packs.iter().cloned());
        let mut outputs: SmallVec<[Tensor; 4]> = smallvec![of(&losses)?, of(&lse)?, slopes.clone()];
        if let Some((dx, _)) = &gradients {
            outputs.push(of(dx)?);
        }
        let work = Work::LinearLoss { op: op.clone(), first: first as usize, rows: rows as usize };
        // A chunk is not cut further: each passes over the whole packed weight.
        planner.node(work, &inputs, &outputs, Split::whole(inputs.len(), outputs.len()), index);
        if let Some((_, dweight)) = &gradients {
            let split = split::linear_loss_weight(chunk.end - chunk.start, vocab, width, planner.threads);
            let work = Work::LinearLossWeight { add: first > 0 };
            planner.node(work, &[slopes, of(&x)?], std::slice::from_ref(*dweight), split, index);
        }
    }
    planner.node(Work::MeanLoss, std::slice::from_ref(&losses), &made[..1], Split::whole(1, 1), index);
    for tensor in logits.iter().chain(&packs).chain([&losses]) {
        planner.give(tensor);
    }
    Ok(())
}

/// The rows' losses, then their mean.
pub(super) fn cross_entropy(
    planner: &mut Planner,
    op: Op,
    inputs: &[Tensor],
    ids: &[TensorId],
    specs: &[Spec],
    index: u64,
) -> Result<(), Fault> {
    let losses = planner.temporary(specs[1].shape.dims())?;
    let made = planner.make(ids, specs);
    planner.op(op, inputs, &[losses.clone(), made[1].clone()], index)?;
    planner.node(Work::MeanLoss, std::slice::from_ref(&losses), &made[..1], Split::whole(1, 1), index);
    planner.give(&losses);
    Ok(())
}

/// Inference lets no such operand pass.
fn no_plan(what: &str, operand: &Spec) -> Fault {
    Fault::Executor(format!("{what} cannot be planned for an operand {operand}"))
}
