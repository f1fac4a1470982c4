//! Version 2 of the rules: what an op demands by present profiles. Work is counted in hundredths of a nanosecond of the
//! device that the constants were measured on, and in products and attention in floating-point operations. `cargo
//! measure prices` finds constants that are wrong.

use super::demand::{Cost, factors, last_two, pairs, queries, reach, results, unpriced};
use super::rules_1;
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

/// The demands of an op on inputs for which [`crate::infer::infer`] gave these outputs. Class, operations and bytes are
/// those of version 1.
pub fn cost(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Result<Cost, Fault> {
    let of_version_1 = rules_1::cost(op, inputs, outputs)?;
    let (jumps, span) = jumps(op, inputs, outputs)?;
    Ok(Cost { work: work(op, inputs, outputs)?, jumps, span, ..of_version_1 })
}

fn work(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Result<u64, Fault> {
    let (first, out) = (inputs.first().map_or(0, |s| s.shape.elements()), results(inputs, outputs));
    let operand = |place| super::demand::operand(op, inputs, place);
    let made = || outputs.first().ok_or_else(|| unpriced(op, "it has no result".to_owned()));
    let float = inputs.first().is_some_and(|s| s.dtype.is_float());
    let by_element = |each: u64| elements(out, ELEMENT + OPERATION * each);
    Ok(match op {
        Op::UnaryGrad(f) => by_element(of_gradient(*f)),
        Op::PowGrad { .. } => elements(out, POWER / 10),
        Op::Softmax => rows(operand(0)?, (3200, 60)),
        Op::SoftmaxGrad => rows(operand(0)?, (600, 24)),
        Op::RmsNorm { .. } => rows(operand(0)?, (1300, 12)),
        Op::RmsNormGrad { .. } => rows(operand(0)?, (1900, 18)),
        Op::LayerNorm { .. } => rows(operand(0)?, (1900, 17)),
        Op::LayerNormGrad { .. } => rows(operand(0)?, (3500, 19)),
        Op::LogSumExp => rows(operand(0)?, (3400, 45)),
        Op::CrossEntropy(loss) => rows(operand(0)?, (5000, if loss.softcap > 0.0 { 85 } else { 48 })),
        Op::CrossEntropyGrad(loss) => rows(operand(0)?, (5500, if loss.softcap > 0.0 { 105 } else { 62 })),
        Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } | Op::NextBatch { .. } => elements(out, MADE_ELEMENT),
        Op::Copy | Op::Assign => elements(out, SHARED_ELEMENT),
        Op::Reshape { .. } => 0,
        Op::Permute { axes } => permuted(axes, out, operand(0)?),
        Op::Cat { axis } => moved(*axis, inputs.len() as u64 * before(&made()?.shape, *axis), out),
        Op::Pad { axis, .. } | Op::Narrow { axis, .. } => moved(*axis, before(&made()?.shape, *axis), out),
        Op::Expand { .. } => elements(out, MADE_ELEMENT).saturating_add(broadcast(inputs, outputs)),
        Op::Uniform { .. } => elements(out, 170),
        Op::Normal { .. } => elements(out, 2900),
        Op::Cast { to } => elements(out, cast(operand(0)?.dtype, *to)),
        Op::Binary(_) | Op::Compare(_) | Op::Select => {
            let even = match op {
                Op::Binary(Binary::Pow) => elements(out, POWER),
                Op::Binary(Binary::Div | Binary::Rem) if !float => elements(out, QUOTIENT),
                Op::Binary(_) if operand(0)?.dtype == DType::F32 => by_element(1),
                _ => elements(out, EXACT_ELEMENT),
            };
            even.saturating_add(broadcast(inputs, outputs))
        }
        Op::Sum { axes, .. } | Op::Mean { axes, .. } => folded(operand(0)?, |axis| axes.contains(&axis), (900, 10)),
        Op::Max { axes, .. } => folded(operand(0)?, |axis| axes.contains(&axis), (2500, 12)),
        Op::Min { axes, .. } => folded(operand(0)?, |axis| axes.contains(&axis), (900, 170)),
        Op::SumTo { shape } => {
            let x = operand(0)?;
            let added = x.shape.rank().saturating_sub(shape.rank()) as u32;
            let kept = |axis: u32| shape.dims().get(axis.wrapping_sub(added) as usize).copied();
            folded(x, |axis| axis < added || kept(axis) == Some(1), (900, 10))
        }
        Op::ArgMax { axis } => {
            let runs = first / after(&operand(0)?.shape, *axis).max(1);
            elements(first, 120).saturating_add(runs.saturating_mul(300))
        }
        Op::CumSum { axis, .. } => {
            let x = &operand(0)?.shape;
            let each = match (after(x, *axis), axis) {
                (1, 0) => 400,
                (1, _) => 180,
                _ => 40,
            };
            elements(first, each).saturating_add(before(x, *axis).saturating_mul(1200))
        }
        Op::ArgSort { .. } => elements(first, 150 + 130 * (u64::from(operand(0)?.shape.last().ilog2()) + 1)),
        Op::MatMul { transpose_a, .. } => {
            let [rows, inner, columns, lead] = factors(op, operand(0)?, out, *transpose_a)?;
            // A shared second operand makes one product of all leading indices, unless the first one is transposed.
            let is_one = operand(1)?.shape.rank() == 2 && !transpose_a;
            let (lead, rows) = if is_one { (1, rows * lead) } else { (lead, rows) };
            multiplied([rows, inner, columns, lead])
        }
        Op::NewtonSchulz { coefficients } => newton_schulz(op, operand(0)?, coefficients.len() as u64)?,
        Op::Embedding => rows(made()?, (INDEX, PICKED_ELEMENT)),
        Op::EmbeddingGrad { .. } => {
            rows(operand(1)?, (INDEX, MOVED_ELEMENT)).saturating_add(elements(out, CLEARED_ELEMENT))
        }
        Op::Gather { .. } => elements(out, INDEX),
        Op::ScatterAdd { .. } => {
            let added = elements(operand(2)?.shape.elements(), INDEX + ELEMENT);
            added.saturating_add(first.saturating_mul(2 * ALONE_ELEMENT))
        }
        Op::Rope { .. } => rows(operand(0)?, (300, 16)),
        Op::Attention(how) => attention(op, operand(0)?, how, 2)?,
        Op::AttentionGrad(how) => attention(op, operand(0)?, how, 5)?,
        Op::LinearCrossEntropy { loss, gradients } => {
            linear_cross_entropy([operand(0)?, operand(1)?], loss, *gradients)
        }
        Op::Blend { .. } => elements(first, 25),
        Op::AdamW(_) => elements(first, 50),
        other => match other.form() {
            Form::Elements(each) => by_element(each),
            Form::Rows(..) | Form::Own => return Err(unpriced(op, "it has no rule".to_owned())),
        },
    })
}

/// Reads and writes at places that an index names, and the bytes of what they lie in.
fn jumps(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Result<(u64, u64), Fault> {
    let operand = |place| super::demand::operand(op, inputs, place);
    let count = |spec: &Spec| spec.shape.elements();
    Ok(match op {
        Op::Embedding | Op::Gather { .. } => (count(operand(1)?), operand(0)?.bytes()),
        Op::EmbeddingGrad { .. } => (count(operand(0)?), outputs.first().map_or(0, Spec::bytes)),
        // Each is read and written.
        Op::ScatterAdd { .. } => (count(operand(2)?).saturating_mul(2), operand(0)?.bytes()),
        _ => (0, 0),
    })
}

/// Elements with this work each.
fn elements(count: u64, each: u64) -> u64 {
    alone(count, ALONE).saturating_mul(each)
}

/// Rows along the last axis, with this work each and for each element.
fn rows(x: &Spec, (row, element): (u64, u64)) -> u64 {
    let count = x.shape.elements();
    let rows = alone(count / u64::from(x.shape.last()), ROWS_ALONE).saturating_mul(row);
    rows.saturating_add(elements(count, element))
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
fn moved(axis: u32, runs: u64, count: u64) -> u64 {
    let moved = if axis == 0 { count.saturating_mul(ALONE_ELEMENT) } else { elements(count, MOVED_ELEMENT) };
    alone(runs, ROWS_ALONE).saturating_mul(MOVED_ROW).saturating_add(moved)
}

/// Values that change places: runs along the last axis of the result that is longer than 1, from near or far.
fn permuted(axes: &[u32], count: u64, x: &Spec) -> u64 {
    let long = |axis: &u32| x.shape.dims().get(*axis as usize).is_some_and(|&n| n > 1);
    let mut moved: Vec<u32> = axes.iter().copied().filter(long).collect();
    let mut left: Vec<u32> = (0..axes.len() as u32).filter(long).collect();
    if moved == left {
        return self::moved(1, 1, count);
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
    alone(count / run, ROWS_ALONE).saturating_mul(PERMUTED_ROW).saturating_add(elements(count, element))
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
    let axes = x.shape.dims().iter().zip(0..).filter(|(n, _)| **n > 1);
    let long: Vec<(u64, bool)> = axes.map(|(&n, axis)| (u64::from(n), reduced(axis))).collect();
    let Some(&(_, ends)) = long.last() else { return elements(count, element) };
    let run: u64 = long.iter().rev().take_while(|(_, reduced)| *reduced == ends).map(|(n, _)| n).product();
    let (row, element) = if ends { (row, element) } else { (300, 10) };
    alone(count / run, ROWS_ALONE).saturating_mul(row).saturating_add(elements(count, element))
}

/// Operations of `lead` products of m×k and k×n, with packing and writing.
fn multiplied([m, k, n, lead]: [u64; 4]) -> u64 {
    let tiles = m.next_multiple_of(TILE).saturating_mul(n.next_multiple_of(TILE));
    let multiplied = tiles.saturating_mul(k + WRITTEN_TERMS).saturating_mul(2);
    let packed = m.saturating_add(n).saturating_mul(k).saturating_mul(PACKED_ELEMENT);
    multiplied.saturating_add(packed).saturating_add(BATCHED_PRODUCT).saturating_mul(lead)
}

/// `products` products of d operations over each pair of positions that is computed, and the softmax.
fn attention(op: &Op, q: &Spec, how: &Attention, products: u64) -> Result<u64, Fault> {
    let [maps, time, dim] = queries(op, q)?;
    // Blocks are computed as a whole, but for what causality hides: a position also meets what others of its block see.
    let met = pairs(how.causal, time, (reach(how, time) + BLOCK / 2).min(time));
    let pairs = maps.saturating_mul(met).saturating_mul(2 * products * dim.next_multiple_of(LANES) + PAIR);
    let positions = maps.saturating_mul(time).saturating_mul(POSITION + CHANNEL * dim);
    let blocks = maps.saturating_mul(time.div_ceil(BLOCK)).saturating_mul(BLOCK_START);
    let parts = products.saturating_mul(PART);
    Ok([positions, blocks, parts].into_iter().fold(pairs, u64::saturating_add))
}

/// One product for the logits, two more for the gradients, and the loss of each logit, which runs at about a fifth of a
/// product's rate.
fn linear_cross_entropy([x, weight]: [&Spec; 2], loss: &Loss, gradients: bool) -> u64 {
    let width = u64::from(x.shape.last());
    let [rows, vocab] = [x, weight].map(|spec| spec.shape.elements() / width);
    let products = if gradients { 3 } else { 1 };
    let each = if loss.softcap > 0.0 { 30 } else { 14 } * if gradients { 2 } else { 1 };
    let logits = rows.saturating_mul(vocab);
    let tiles = rows.next_multiple_of(TILE).saturating_mul(vocab.next_multiple_of(TILE));
    let multiplied = tiles.saturating_mul(2 * products * width);
    // The weight is packed for each product.
    let packed = vocab.saturating_mul(width).saturating_mul(products * PACKED_ELEMENT);
    let losses = logits.saturating_mul(5 * each).saturating_add(rows.saturating_mul(BATCHED_PRODUCT));
    let parts = (2 + products).saturating_mul(PART);
    [packed, losses, parts].into_iter().fold(multiplied, u64::saturating_add)
}

/// Per step: A = x xᵀ, A², and the product with x, over the shorter side.
fn newton_schulz(op: &Op, x: &Spec, steps: u64) -> Result<u64, Fault> {
    let [rows, columns] = last_two(op, x)?;
    let lead = x.shape.elements() / (rows * columns);
    let (short, long) = (rows.min(columns), rows.max(columns));
    let products = [[short, long, short, lead], [short, short, short, lead], [short, short, long, lead]];
    Ok(products.into_iter().map(multiplied).fold(0, u64::saturating_add).saturating_mul(steps))
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
