//! Version 2 of the rules: what an op demands by present profiles. Work is counted in hundredths of a nanosecond of the
//! device that the constants were measured on, and in products and attention in floating-point operations. `cargo
//! measure prices` finds constants that are wrong.

use super::demand::{Cost, last_two, unpriced};
use super::tables::Table;
use crate::fault::Fault;
use crate::op::{Attention, Binary, Class, Form, Loss, Op, Unary};
use crate::spec::{DType, Shape, Spec};
use smallvec::SmallVec;

/// Rows and columns of a product are computed in whole tiles of this size, which makes thin products dear.
const TILE: u64 = 8;
/// Terms of the sum that writing an element of a product is worth …
const WRITTEN_TERMS: u64 = 16;
/// … operations that packing an element of a factor is worth …
const PACKED_ELEMENT: u64 = 40;
/// … and operations that starting each product of a batch is worth.
const BATCHED_PRODUCT: u64 = 8_000;

/// Attention is computed in vectors of this many channels of a head, in blocks of this many positions.
const LANES: u64 = 16;
const BLOCK: u64 = 64;
/// Operations of starting a block …
const BLOCK_START: u64 = 80_000;
/// … of the softmax for each pair of positions …
const PAIR: u64 = 60;
/// … and for each position of a head, beside those for its channels.
const POSITION: u64 = 10_000;
const CHANNEL: u64 = 100;

/// Operations of planning each product of an op that consists of several.
const PART: u64 = 100_000;

/// Elements, or rows, below which one thread works alone, so that each costs twice as much.
const ALONE: u64 = 8192;
const ROWS_ALONE: u64 = 8192;

/// Work of reading and writing an element, and of each operation on it.
const ELEMENT: u64 = 8;
const OPERATION: u64 = 3;
/// Work of an element that is no f32, and of one that is rounded to a short float.
const EXACT_ELEMENT: u64 = 80;
const BF16_ELEMENT: u64 = 60;
const F16_ELEMENT: u64 = 330;
/// Work of a division of integers, and of a power.
const QUOTIENT: u64 = 110;
const POWER: u64 = 3400;

/// Work of finding a row where operands are broadcast …
const BROADCAST_ROW: u64 = 900;
/// … where rows are moved whole …
const MOVED_ROW: u64 = 420;
/// … where their order changes, and of an element that is then read from far.
const PERMUTED_ROW: u64 = 500;
const PERMUTED_ELEMENT: u64 = 18;
/// Work of an element that is made, …
const MADE_ELEMENT: u64 = 8;
/// … moved, …
const MOVED_ELEMENT: u64 = 10;
/// … moved by one thread alone, …
const ALONE_ELEMENT: u64 = 25;
/// … or shared until it changes.
const SHARED_ELEMENT: u64 = 3;

/// Work of finding what an index names, of an element of it, and of an element of a new table.
const INDEX: u64 = 300;
const PICKED_ELEMENT: u64 = 38;
const CLEARED_ELEMENT: u64 = 38;

/// Work of an angle in the table of a rotation, and of its frequency.
const ANGLE: u64 = 6_000;
const FREQUENCY: u64 = 20_000;

/// The demands of an op on inputs for which [`crate::infer::infer`] gave these outputs.
pub fn cost(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Result<Cost, Fault> {
    let read = inputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let made = outputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let written = op.written().iter().filter_map(|&i| inputs.get(i)).fold(made, |n, s| n.saturating_add(s.bytes()));
    let bytes = read.saturating_add(written);
    // Elements of the first operand, if there is one; and of the result, or of what an op in place writes first.
    let first = inputs.first().map_or(0, |s| s.shape.elements());
    let out = outputs.first().map_or(first, |s| s.shape.elements());
    let operand = |place: usize| {
        inputs.get(place).copied().ok_or_else(|| unpriced(op, format!("operand {} is missing", place + 1)))
    };
    let float = inputs.first().is_some_and(|s| s.dtype.is_float());
    let demand = |class, flops: u64, work: u64| Cost { class, flops, work, bytes, jumps: 0, span: 0 };
    let elements = |class, count: u64, each: u64, work: u64| {
        demand(class, count.saturating_mul(each), alone(count, ALONE).saturating_mul(work))
    };
    // Rows of an operand along its last axis, each with this work beside that of its elements.
    let rows = |class, x: &Spec, each: u64, (row, element): (u64, u64)| {
        let count = x.shape.elements();
        let work = alone(count / u64::from(x.shape.last()), ROWS_ALONE).saturating_mul(row);
        let work = work.saturating_add(alone(count, ALONE).saturating_mul(element));
        demand(class, count.saturating_mul(each), work)
    };
    let by_element = |each: u64| ELEMENT + OPERATION * each;
    Ok(match op {
        Op::UnaryGrad(f) => elements(Class::Elementwise, out, f.operations() + 2, by_element(of_gradient(*f))),
        Op::PowGrad { .. } => elements(Class::Elementwise, out, 60, POWER / 10),
        Op::Softmax => rows(Class::Loss, operand(0)?, 14, (3200, 60)),
        Op::SoftmaxGrad => rows(Class::Loss, operand(0)?, 4, (600, 24)),
        Op::RmsNorm { .. } => rows(Class::Norm, operand(0)?, 4, (1300, 12)),
        Op::RmsNormGrad { .. } => rows(Class::Norm, operand(0)?, 9, (1900, 18)),
        Op::LayerNorm { .. } => rows(Class::Norm, operand(0)?, 6, (1900, 17)),
        Op::LayerNormGrad { .. } => rows(Class::Norm, operand(0)?, 14, (3500, 19)),
        Op::LogSumExp => rows(Class::Loss, operand(0)?, 13, (3400, 45)),
        Op::CrossEntropy(loss) => {
            let (each, element) = if loss.softcap > 0.0 { (30, 85) } else { (14, 48) };
            rows(Class::Loss, operand(0)?, each, (5000, element))
        }
        Op::CrossEntropyGrad(loss) => {
            let (each, element) = if loss.softcap > 0.0 { (32, 105) } else { (14, 62) };
            rows(Class::Loss, operand(0)?, each, (5500, element))
        }
        Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } | Op::NextBatch { .. } => {
            elements(Class::Copy, out, 0, MADE_ELEMENT)
        }
        Op::Copy => elements(Class::Copy, out, 0, SHARED_ELEMENT),
        Op::Reshape { .. } => Cost { bytes: 0, ..demand(Class::Copy, 0, 0) },
        Op::Permute { axes } => permuted(axes, out, operand(0)?, bytes),
        Op::Cat { axis } => moved(*axis, inputs.len() as u64 * before(&outputs[0].shape, *axis), out, bytes),
        Op::Pad { axis, .. } => moved(*axis, before(&outputs[0].shape, *axis), out, bytes),
        Op::Narrow { axis, .. } => moved(*axis, before(&outputs[0].shape, *axis), out, made.saturating_mul(2)),
        Op::Expand { .. } => {
            let even = elements(Class::Copy, out, 0, MADE_ELEMENT);
            Cost { work: even.work.saturating_add(broadcast(inputs, outputs)), ..even }
        }
        Op::Uniform { .. } => elements(Class::Random, out, 10, 170),
        Op::Normal { .. } => elements(Class::Random, out, 30, 2900),
        Op::Cast { to } => elements(Class::Elementwise, out, 1, cast(operand(0)?.dtype, *to)),
        Op::Binary(_) | Op::Compare(_) | Op::Select => {
            let (each, work) = match op {
                Op::Binary(Binary::Pow) => (40, POWER),
                Op::Binary(Binary::Div | Binary::Rem) if !float => (8, QUOTIENT),
                Op::Binary(_) if operand(0)?.dtype == DType::F32 => (1, by_element(1)),
                _ => (1, EXACT_ELEMENT),
            };
            let even = elements(Class::Elementwise, out, each, work);
            Cost { work: even.work.saturating_add(broadcast(inputs, outputs)), ..even }
        }
        Op::Sum { axes, .. } | Op::Mean { axes, .. } => {
            let work = folded(operand(0)?, |axis| axes.contains(&axis), (900, 10));
            demand(Class::Reduction, first, work)
        }
        Op::Max { axes, .. } => {
            demand(Class::Reduction, first, folded(operand(0)?, |axis| axes.contains(&axis), (2500, 12)))
        }
        Op::Min { axes, .. } => {
            demand(Class::Reduction, first, folded(operand(0)?, |axis| axes.contains(&axis), (900, 170)))
        }
        Op::SumTo { shape } => {
            let x = operand(0)?;
            let added = x.shape.rank().saturating_sub(shape.rank()) as u32;
            let kept = |axis: u32| shape.dims().get(axis.wrapping_sub(added) as usize).copied();
            let reduced = |axis: u32| axis < added || kept(axis) == Some(1);
            demand(Class::Reduction, first, folded(x, reduced, (900, 10)))
        }
        Op::ArgMax { axis } => {
            let runs = first / after(&operand(0)?.shape, *axis).max(1);
            demand(
                Class::Reduction,
                first,
                alone(first, ALONE).saturating_mul(120).saturating_add(runs.saturating_mul(300)),
            )
        }
        Op::CumSum { axis, .. } => {
            let x = &operand(0)?.shape;
            let runs = before(x, *axis);
            let element = match (after(x, *axis), axis) {
                (1, 0) => 400,
                (1, _) => 180,
                _ => 40,
            };
            let work = alone(first, ALONE).saturating_mul(element).saturating_add(runs.saturating_mul(1200));
            demand(Class::Reduction, first.saturating_mul(2), work)
        }
        Op::ArgSort { .. } => {
            let rounds = u64::from(operand(0)?.shape.last().ilog2()) + 1;
            elements(Class::Reduction, first, 4 * rounds, 150 + 130 * rounds)
        }
        Op::MatMul { transpose_a, .. } => product(op, [operand(0)?, operand(1)?], out, *transpose_a, bytes)?,
        Op::NewtonSchulz { coefficients } => newton_schulz(op, operand(0)?, coefficients.len() as u64, bytes)?,
        Op::Embedding => {
            let (table, picked) = (operand(0)?, operand(1)?);
            let found = rows(Class::Gather, &outputs[0], 0, (INDEX, PICKED_ELEMENT));
            let bytes = made.saturating_mul(2).saturating_add(picked.bytes());
            Cost { bytes, ..jumping(found, picked.shape.elements(), table) }
        }
        Op::EmbeddingGrad { .. } => {
            let added = rows(Class::Gather, operand(1)?, 1, (INDEX, MOVED_ELEMENT));
            let cleared = alone(out, ALONE).saturating_mul(CLEARED_ELEMENT);
            jumping(
                Cost { work: added.work.saturating_add(cleared), ..added },
                operand(0)?.shape.elements(),
                &outputs[0],
            )
        }
        Op::Gather { .. } => {
            let bytes = made.saturating_mul(2).saturating_add(operand(1)?.bytes());
            Cost { bytes, ..jumping(elements(Class::Gather, out, 0, INDEX), out, operand(0)?) }
        }
        Op::ScatterAdd { .. } => {
            let count = operand(2)?.shape.elements();
            let added = elements(Class::Gather, count, 1, INDEX + ELEMENT);
            let copied = first.saturating_mul(2 * ALONE_ELEMENT);
            // Each is read and written.
            let work = added.work.saturating_add(copied);
            jumping(Cost { work, ..added }, count.saturating_mul(2), operand(0)?)
        }
        Op::Rope { .. } => rows(Class::Norm, operand(0)?, 18, (300, 16)),
        Op::Attention(how) => attention(op, operand(0)?, how, 2, bytes)?,
        Op::AttentionGrad(how) => attention(op, operand(0)?, how, 5, bytes)?,
        Op::LinearCrossEntropy { loss, gradients } => {
            linear_cross_entropy([operand(0)?, operand(1)?], loss, *gradients, bytes)
        }
        Op::Assign => elements(Class::Optimizer, first, 0, SHARED_ELEMENT),
        Op::Blend { .. } => elements(Class::Optimizer, first, 3, 25),
        Op::AdamW(_) => elements(Class::Optimizer, first, 16, 50),
        other => match other.form() {
            Form::Elements(each) => elements(Class::Elementwise, out, each, by_element(each)),
            _ => return Err(unpriced(op, "it has no rule".to_owned())),
        },
    })
}

/// A count of which the first cost twice, since one thread works on them alone.
fn alone(count: u64, first: u64) -> u64 {
    count.saturating_add(count.min(first))
}

/// Operations of a gradient: some functions' need no more than the function's value.
fn of_gradient(f: Unary) -> u64 {
    match f {
        Unary::Exp | Unary::Sqrt | Unary::Tanh | Unary::Sigmoid => 2,
        Unary::Log | Unary::Rsqrt => 6,
        other => other.operations() + 2,
    }
}

/// Work of an element of a cast.
fn cast(from: DType, to: DType) -> u64 {
    match (from, to) {
        (DType::F16, _) | (_, DType::F16) => F16_ELEMENT,
        (DType::Bf16, _) | (_, DType::Bf16) => BF16_ELEMENT,
        _ => 25,
    }
}

/// The product of the axes before an axis, and of those behind it.
fn before(shape: &Shape, axis: u32) -> u64 {
    shape.dims().iter().take(axis as usize).map(|&n| u64::from(n)).product()
}

fn after(shape: &Shape, axis: u32) -> u64 {
    shape.dims().iter().skip(axis as usize + 1).map(|&n| u64::from(n)).product()
}

/// Values that move in runs; along the first axis by one thread.
fn moved(axis: u32, runs: u64, elements: u64, bytes: u64) -> Cost {
    let work = alone(runs, ROWS_ALONE).saturating_mul(MOVED_ROW);
    let moved = match axis {
        0 => elements.saturating_mul(ALONE_ELEMENT),
        _ => alone(elements, ALONE).saturating_mul(MOVED_ELEMENT),
    };
    let work = work.saturating_add(moved);
    Cost { class: Class::Copy, flops: 0, work, bytes, jumps: 0, span: 0 }
}

/// Values that change places: runs along the last axis of the result that is longer than 1, from near or far.
fn permuted(axes: &[u32], elements: u64, x: &Spec, bytes: u64) -> Cost {
    let long = |axis: &u32| x.shape.dims().get(*axis as usize).is_some_and(|&n| n > 1);
    let mut moved: Vec<u32> = axes.iter().copied().filter(long).collect();
    let mut left: Vec<u32> = (0..axes.len() as u32).filter(long).collect();
    if moved == left {
        return self::moved(1, 1, elements, bytes);
    }
    let size = |axis: u32| u64::from(x.shape.dims()[axis as usize]);
    // Axes at the end that stay are one run.
    let mut run = 1;
    while let (Some(a), true) = (moved.last().copied(), moved.last() == left.last()) {
        run *= size(a);
        moved.pop();
        left.pop();
    }
    let (run, element) =
        if run > 1 { (run, MOVED_ELEMENT) } else { (moved.last().map_or(1, |&a| size(a)), PERMUTED_ELEMENT) };
    let runs = alone(elements / run, ROWS_ALONE).saturating_mul(PERMUTED_ROW);
    let work = runs.saturating_add(alone(elements, ALONE).saturating_mul(element));
    Cost { class: Class::Copy, flops: 0, work, bytes, jumps: 0, span: 0 }
}

/// Work of finding the runs of operands that broadcast: along the last axes on which each operand either repeats or
/// does not.
fn broadcast(inputs: &[&Spec], outputs: &[Spec]) -> u64 {
    let Some(out) = outputs.first() else { return 0 };
    let rank = out.shape.rank();
    let repeats = |x: &Spec, axis: usize| {
        let place = (axis + x.shape.rank()).checked_sub(rank);
        place.is_none_or(|place| x.shape.dims()[place] == 1)
    };
    let (mut run, mut before) = (1, None);
    for (axis, &size) in out.shape.dims().iter().enumerate().rev().filter(|(_, size)| **size > 1) {
        let pattern: SmallVec<[bool; 4]> = inputs.iter().map(|x| repeats(x, axis)).collect();
        if before.as_ref().is_some_and(|before| *before != pattern) {
            break;
        }
        run *= u64::from(size);
        before = Some(pattern);
    }
    let runs = out.shape.elements() / run;
    if runs == 1 { 0 } else { alone(runs, ROWS_ALONE).saturating_mul(BROADCAST_ROW) }
}

/// Work of putting elements together along axes: of rows at the end of the shape by `row` and `element` each,
/// otherwise of whole rows into each other.
fn folded(x: &Spec, reduced: impl Fn(u32) -> bool, (row, element): (u64, u64)) -> u64 {
    let count = x.shape.elements();
    let long: Vec<(u64, bool)> = x
        .shape
        .dims()
        .iter()
        .zip(0..)
        .filter(|(n, _)| **n > 1)
        .map(|(&n, axis)| (u64::from(n), reduced(axis)))
        .collect();
    let Some(&(_, ends)) = long.last() else { return alone(count, ALONE).saturating_mul(element) };
    let run: u64 = long.iter().rev().take_while(|(_, reduced)| *reduced == ends).map(|(n, _)| n).product();
    let (row, element) = if ends { (row, element) } else { (300, 10) };
    let rows = alone(count / run, ROWS_ALONE).saturating_mul(row);
    rows.saturating_add(alone(count, ALONE).saturating_mul(element))
}

/// An op that reads or writes `jumps` places of a table.
fn jumping(cost: Cost, jumps: u64, table: &Spec) -> Cost {
    Cost { jumps, span: table.bytes(), ..cost }
}

/// Operations of `lead` products of m×k and k×n, with packing and writing.
fn multiplied([m, k, n, lead]: [u64; 4]) -> u64 {
    let tiles = m.next_multiple_of(TILE).saturating_mul(n.next_multiple_of(TILE));
    let multiplied = tiles.saturating_mul(k + WRITTEN_TERMS).saturating_mul(2);
    let packed = m.saturating_add(n).saturating_mul(k).saturating_mul(PACKED_ELEMENT);
    multiplied.saturating_add(packed).saturating_add(BATCHED_PRODUCT).saturating_mul(lead)
}

fn product(op: &Op, [a, b]: [&Spec; 2], out: u64, transpose_a: bool, bytes: u64) -> Result<Cost, Fault> {
    let [rows, inner] = last_two(op, a)?;
    let lead = a.shape.elements() / (rows * inner);
    let (rows, inner) = if transpose_a { (inner, rows) } else { (rows, inner) };
    let columns = out / (rows * lead);
    let flops = [rows, columns, lead].iter().fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    // A shared second operand makes one product of all leading indices, unless the first one is transposed.
    let one = b.shape.rank() == 2 && !transpose_a;
    let (lead, rows) = if one { (1, rows * lead) } else { (lead, rows) };
    let work = multiplied([rows, inner, columns, lead]);
    Ok(Cost { class: Class::Product, flops, work, bytes, jumps: 0, span: 0 })
}

/// `products` products of d operations over each pair of positions that is computed, and the softmax.
fn attention(op: &Op, q: &Spec, how: &Attention, products: u64, bytes: u64) -> Result<Cost, Fault> {
    let &[batch, time, heads, dim] = q.shape.dims() else {
        return Err(unpriced(op, format!("{q} has other than 4 axes")));
    };
    let (time, dim) = (u64::from(time), u64::from(dim));
    let reach = if how.window == 0 { time } else { u64::from(how.window).min(time) };
    // The first `reach` positions see 1, 2, … `reach`; the others `reach` each.
    let before = reach * (reach + 1) / 2 + (time - reach) * reach;
    let seen = if how.causal { before } else { 2 * before - time };
    // Blocks are computed as a whole, but for what causality hides: a position also meets what others of its block see.
    let wider = (reach + BLOCK / 2).min(time);
    let before = wider * (wider + 1) / 2 + (time - wider) * wider;
    let met = if how.causal { before } else { 2 * before - time };
    let maps = u64::from(batch) * u64::from(heads);
    let flops = maps.saturating_mul(seen).saturating_mul(2 * products * dim + 14);
    let pairs = maps.saturating_mul(met).saturating_mul(2 * products * dim.next_multiple_of(LANES) + PAIR);
    let positions = maps.saturating_mul(time).saturating_mul(POSITION + CHANNEL * dim);
    let blocks = maps.saturating_mul(time.div_ceil(BLOCK)).saturating_mul(BLOCK_START);
    let parts = products.saturating_mul(PART).saturating_add(blocks);
    let work = pairs.saturating_add(positions).saturating_add(parts);
    Ok(Cost { class: Class::Attention, flops, work, bytes, jumps: 0, span: 0 })
}

/// One product for the logits, two more for the gradients, and the loss of each logit, which runs at about a fifth of a
/// product's rate.
fn linear_cross_entropy([x, weight]: [&Spec; 2], loss: &Loss, gradients: bool, bytes: u64) -> Cost {
    let width = u64::from(x.shape.last());
    let [rows, vocab] = [x, weight].map(|spec| spec.shape.elements() / width);
    let products = if gradients { 3 } else { 1 };
    let each = if loss.softcap > 0.0 { 30 } else { 14 } * if gradients { 2 } else { 1 };
    let logits = rows.saturating_mul(vocab);
    let flops = logits.saturating_mul(2 * products * width + each);
    let tiles = rows.next_multiple_of(TILE).saturating_mul(vocab.next_multiple_of(TILE));
    let multiplied = tiles.saturating_mul(2 * products * width);
    // The weight is packed for each product.
    let packed = vocab.saturating_mul(width).saturating_mul(products * PACKED_ELEMENT);
    let multiplied = multiplied.saturating_add(packed);
    let losses = logits.saturating_mul(5 * each).saturating_add(rows.saturating_mul(BATCHED_PRODUCT));
    let work = multiplied.saturating_add(losses).saturating_add((2 + products).saturating_mul(PART));
    Cost { class: Class::Product, flops, work, bytes, jumps: 0, span: 0 }
}

/// Per step: A = x xᵀ, A², and the product with x, over the shorter side.
fn newton_schulz(op: &Op, x: &Spec, steps: u64, bytes: u64) -> Result<Cost, Fault> {
    let [rows, columns] = last_two(op, x)?;
    let lead = x.shape.elements() / (rows * columns);
    let (short, long) = (rows.min(columns), rows.max(columns));
    let square = short.saturating_mul(short).saturating_mul(2);
    let step = square.saturating_mul(long).saturating_mul(2).saturating_add(square.saturating_mul(short));
    let flops = step.saturating_mul(steps).saturating_mul(lead);
    let products = [[short, long, short, lead], [short, short, short, lead], [short, short, long, lead]];
    let work = products.into_iter().map(multiplied).fold(0, u64::saturating_add).saturating_mul(steps);
    let passes = bytes.saturating_mul(steps.max(1));
    Ok(Cost { class: Class::Product, flops, work, bytes: passes, jumps: 0, span: 0 })
}

/// The table of angles of a rotation x [batch, time, heads, dim].
pub fn table(op: &Op, inputs: &[&Spec]) -> Option<Table> {
    let (Op::Rope { base, .. }, Some(&[_, time, _, dim])) = (op, inputs.first().map(|x| x.shape.dims())) else {
        return None;
    };
    let (half, times) = (u64::from(dim / 2), u64::from(time));
    let work = half.saturating_mul(FREQUENCY).saturating_add(half.saturating_mul(times).saturating_mul(ANGLE));
    let cost = Cost { class: Class::Norm, flops: 0, work, bytes: 0, jumps: 0, span: 0 };
    Some(Table { key: (base.to_bits(), dim), time, cost })
}

/// Work of moving bytes between device and guest or host.
pub fn transfer(bytes: u64) -> u64 {
    (bytes / 4).saturating_mul(MOVED_ELEMENT)
}
