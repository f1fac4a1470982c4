//! Version 1 of the rules: what an op demands by profiles of before, so that what was recorded under them replays. Work
//! is counted in floating-point operations.

use super::demand::{Cost, factors, last_two, pairs, queries, reach, results, unpriced};
use crate::fault::Fault;
use crate::op::{Attention, Binary, Class, Form, Loss, Op};
use crate::spec::Spec;

/// Rows and columns of a product are computed in whole tiles of this size, which makes thin products dear.
const TILE: u64 = 8;
/// Attention is computed in vectors of this many channels of a head.
const LANES: u64 = 16;
/// Operations that finding a row takes, where values move row by row …
const MOVED_ROW: u64 = 25;
/// … and where operands are broadcast.
const BROADCAST_ROW: u64 = 300;

/// The demands of an op on inputs for which [`crate::infer::infer`] gave these outputs.
pub fn cost(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Result<Cost, Fault> {
    let read = inputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let made = outputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let written = op.written().iter().filter_map(|&i| inputs.get(i)).fold(made, |n, s| n.saturating_add(s.bytes()));
    let bytes = read.saturating_add(written);
    // Elements of the first operand, if there is one, and of the result.
    let (first, out) = (inputs.first().map_or(0, |s| s.shape.elements()), results(inputs, outputs));
    let operand = |place| super::demand::operand(op, inputs, place);
    let float = inputs.first().is_some_and(|s| s.dtype.is_float());
    // Rows of the result along its last axis; ops in place have none.
    let rows = outputs.first().map_or(0, |s| s.shape.elements() / u64::from(s.shape.last()));
    let per = |class, count: u64, each: u64| {
        let flops = count.saturating_mul(each);
        Cost { class, flops, work: flops, bytes, jumps: 0, span: 0 }
    };
    match op.form() {
        Form::Elements(each) => return Ok(per(Class::Elementwise, out, each)),
        Form::Rows(class, each) => return Ok(per(class, out, each)),
        Form::Own => {}
    }
    Ok(match op {
        Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } | Op::NextBatch { .. } => per(Class::Copy, out, 0),
        Op::Reshape { .. } => Cost { bytes: 0, ..per(Class::Copy, out, 0) },
        Op::Copy => per(Class::Copy, out, 0),
        Op::Permute { .. } | Op::Cat { .. } | Op::Expand { .. } | Op::Pad { .. } => moved(rows, bytes),
        Op::Narrow { .. } => moved(rows, made.saturating_mul(2)),
        Op::Uniform { .. } => per(Class::Random, out, 10),
        Op::Normal { .. } => per(Class::Random, out, 30),
        Op::Cast { .. } => per(Class::Elementwise, out, 1),
        Op::Binary(Binary::Pow) => broadcast(inputs, (out, rows), per(Class::Elementwise, out, 40)),
        Op::Binary(Binary::Div | Binary::Rem) if !float => {
            broadcast(inputs, (out, rows), per(Class::Elementwise, out, 8))
        }
        Op::Binary(_) | Op::Compare(_) | Op::Select => broadcast(inputs, (out, rows), per(Class::Elementwise, out, 1)),
        Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } => per(Class::Reduction, first, 1),
        Op::Max { .. } | Op::Min { .. } | Op::ArgMax { .. } => per(Class::Reduction, first, 1),
        Op::CumSum { .. } => per(Class::Reduction, first, 2),
        Op::ArgSort { .. } => per(Class::Reduction, first, sorting(operand(0)?)),
        Op::LogSumExp => per(Class::Loss, first, 13),
        Op::MatMul { transpose_a, .. } => product(op, [operand(0)?, operand(1)?], out, *transpose_a, bytes)?,
        Op::Embedding => Cost { bytes: gathered(operand(1)?, made), ..per(Class::Gather, out, 0) },
        Op::EmbeddingGrad { .. } => per(Class::Gather, operand(1)?.shape.elements(), 1),
        Op::Gather { .. } => Cost { bytes: gathered(operand(1)?, made), ..per(Class::Gather, out, 0) },
        Op::ScatterAdd { .. } => per(Class::Gather, operand(2)?.shape.elements(), 1),
        Op::Rope { .. } => per(Class::Norm, out, 18),
        Op::Attention(how) => attention(op, operand(0)?, how, 2, bytes)?,
        Op::AttentionGrad(how) => attention(op, operand(0)?, how, 5, bytes)?,
        Op::CrossEntropy(loss) => per(Class::Loss, first, if loss.softcap > 0.0 { 30 } else { 14 }),
        Op::CrossEntropyGrad(loss) => per(Class::Loss, first, if loss.softcap > 0.0 { 32 } else { 14 }),
        Op::LinearCrossEntropy { loss, gradients } => {
            linear_cross_entropy([operand(0)?, operand(1)?], loss, *gradients, bytes)
        }
        Op::NewtonSchulz { coefficients } => newton_schulz(op, operand(0)?, coefficients.len() as u64, bytes)?,
        Op::Assign => per(Class::Optimizer, first, 0),
        Op::Blend { .. } => per(Class::Optimizer, first, 3),
        Op::AdamW(_) => per(Class::Optimizer, first, 16),
        _ => return Err(unpriced(op, "it has no rule".to_owned())),
    })
}

/// Values that move row by row.
fn moved(rows: u64, bytes: u64) -> Cost {
    Cost { class: Class::Copy, flops: 0, work: rows.saturating_mul(MOVED_ROW), bytes, jumps: 0, span: 0 }
}

/// Demands of an op whose operands broadcast: rows add to them, unless each operand has the result's elements or one.
fn broadcast(inputs: &[&Spec], (elements, rows): (u64, u64), even: Cost) -> Cost {
    if inputs.iter().all(|s| [1, elements].contains(&s.shape.elements())) {
        return even;
    }
    Cost { work: even.work.saturating_add(rows.saturating_mul(BROADCAST_ROW)), ..even }
}

fn product(op: &Op, [a, b]: [&Spec; 2], out: u64, transpose_a: bool, bytes: u64) -> Result<Cost, Fault> {
    let [rows, inner, columns, lead] = factors(op, a, out, transpose_a)?;
    // A shared second operand makes one product of all leading indices.
    let shared = b.shape.rank() == 2;
    let (lead, rows) = if shared { (1, rows * lead) } else { (lead, rows) };
    let flops = [rows, columns, lead].iter().fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    let tiles = [rows.next_multiple_of(TILE), columns.next_multiple_of(TILE), lead];
    let work = tiles.iter().fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    Ok(Cost { class: Class::Product, flops, work, bytes, jumps: 0, span: 0 })
}

/// `products` products of d operations over each pair of positions that see each other, and the softmax.
fn attention(op: &Op, q: &Spec, how: &Attention, products: u64, bytes: u64) -> Result<Cost, Fault> {
    let [maps, time, dim] = queries(op, q)?;
    let maps = maps.saturating_mul(pairs(how.causal, time, reach(how, time)));
    let count = |dim: u64| maps.saturating_mul(2 * products * dim + 14);
    Ok(Cost {
        class: Class::Attention,
        flops: count(dim),
        work: count(dim.next_multiple_of(LANES)),
        bytes,
        jumps: 0,
        span: 0,
    })
}

/// One product for the logits, two more for the gradients, and the loss of each logit, which runs at about a sixth of a
/// product's rate.
fn linear_cross_entropy([x, weight]: [&Spec; 2], loss: &Loss, gradients: bool, bytes: u64) -> Cost {
    let width = u64::from(x.shape.last());
    let [rows, vocab] = [x, weight].map(|spec| spec.shape.elements() / width);
    let products = if gradients { 3 } else { 1 };
    let each = if loss.softcap > 0.0 { 30 } else { 14 } * if gradients { 2 } else { 1 };
    let logits = rows.saturating_mul(vocab);
    let flops = logits.saturating_mul(2 * products * width + each);
    let tiled = rows.next_multiple_of(TILE).saturating_mul(vocab.next_multiple_of(TILE));
    let work = tiled.saturating_mul(2 * products * width).saturating_add(logits.saturating_mul(6 * each));
    Cost { class: Class::Product, flops, work, bytes, jumps: 0, span: 0 }
}

/// Comparisons per element of a sorted row.
fn sorting(x: &Spec) -> u64 {
    4 * (u64::from(x.shape.last().ilog2()) + 1)
}

/// Per step: A = x xᵀ, A², and the product with x, over the shorter side.
fn newton_schulz(op: &Op, x: &Spec, steps: u64, bytes: u64) -> Result<Cost, Fault> {
    let [rows, columns] = last_two(op, x)?;
    let lead = x.shape.elements() / (rows * columns);
    let count = |short: u64, long: u64| {
        let square = short.saturating_mul(short).saturating_mul(2);
        let step = square.saturating_mul(long).saturating_mul(2).saturating_add(square.saturating_mul(short));
        step.saturating_mul(steps).saturating_mul(lead)
    };
    let (short, long) = (rows.min(columns), rows.max(columns));
    let work = count(short.next_multiple_of(TILE), long.next_multiple_of(TILE));
    let passes = bytes.saturating_mul(steps.max(1));
    Ok(Cost { class: Class::Product, flops: count(short, long), work, bytes: passes, jumps: 0, span: 0 })
}

/// Rows picked from a table: the rows are read and written, the indices read; the rest of the table is not touched.
fn gathered(indices: &Spec, made: u64) -> u64 {
    made.saturating_mul(2).saturating_add(indices.bytes())
}
