//! What an op costs on the reference device: integers from shapes and dtypes alone. Depends on `op` and `spec`.
//!
//! Price = max(⌈work / rate⌉, ⌈bytes / bandwidth⌉) + overhead in picoseconds, saturating; more elements never cost less.

mod profile;
mod workspace;

pub use profile::{Prices, Profile, ProfileError, Rate};
pub use workspace::{LOGIT_ROWS, workspace};

use crate::named::named;
use crate::op::{Attention, Binary, Loss, Op, Unary};
use crate::spec::Spec;

named! {
    /// Kind of op with speeds of its own; named in profiles and reports.
    Class {
        /// Attention and its gradient.
        Attention = 0 "attention",
        /// Moves values, or only renames them (reshape).
        Copy = 1 "copy",
        /// One output element per input element.
        Elementwise = 2 "elementwise",
        /// Rows and elements picked or added by index.
        Gather = 3 "gather",
        /// Cross-entropy, softmax, logsumexp.
        Loss = 4 "loss",
        /// Norms and rotary embedding.
        Norm = 5 "norm",
        /// In-place updates.
        Optimizer = 6 "optimizer",
        /// A matrix product beyond its first [`SMALL_PRODUCT`] operations.
        Product = 7 "product",
        /// A matrix product's first [`SMALL_PRODUCT`] operations.
        ProductSmall = 8 "product-small",
        /// Random numbers.
        Random = 9 "random",
        /// Sums, extremes, running sums, sorting.
        Reduction = 10 "reduction",
    }
}

/// Floating-point operations of a product that run at the rate of [`Class::ProductSmall`]: packing and splitting over
/// threads pay only later. A bracket, as in taxes, so that a larger product never costs less.
pub const SMALL_PRODUCT: u64 = 1 << 22;

/// Rows and columns of a product are computed in whole tiles of this size, which is what makes thin products dear.
pub const TILE: u64 = 8;

/// Attention is computed in vectors of this many channels of a head.
pub const LANES: u64 = 16;

/// Operations that finding a row takes, where values move row by row …
pub const MOVED_ROW: u64 = 25;
/// … and where operands are broadcast.
pub const BROADCAST_ROW: u64 = 300;

/// What an op demands of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whose rates apply.
    pub class: Class,
    /// Floating-point operations, for reports: a product of m×k and k×n has 2·m·k·n.
    pub flops: u64,
    /// Operations that are priced: `flops` with whole tiles in products, weighted for transcendental functions.
    pub work: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

/// The demands of an op on inputs for which [`crate::infer::infer`] gave these outputs.
pub fn cost(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Cost {
    let read = inputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let made = outputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let written = op.written().iter().filter_map(|&i| inputs.get(i)).fold(made, |n, s| n.saturating_add(s.bytes()));
    let bytes = read.saturating_add(written);
    let first = inputs.first().map_or(0, |s| s.shape.elements());
    let out = outputs.first().map_or(first, |s| s.shape.elements());
    let float = inputs.first().is_some_and(|s| s.dtype.is_float());
    let per = |class, count: u64, each: u64| {
        let flops = count.saturating_mul(each);
        Cost { class, flops, work: flops, bytes }
    };
    match op {
        Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } | Op::NextBatch { .. } => per(Class::Copy, out, 0),
        Op::Reshape { .. } => Cost { bytes: 0, ..per(Class::Copy, out, 0) },
        Op::Copy => per(Class::Copy, out, 0),
        Op::Permute { .. } | Op::Cat { .. } | Op::Expand { .. } | Op::Pad { .. } => moved(outputs, bytes),
        Op::Narrow { .. } => moved(outputs, made.saturating_mul(2)),
        Op::Uniform { .. } => per(Class::Random, out, 10),
        Op::Normal { .. } => per(Class::Random, out, 30),
        Op::Unary(f) => per(Class::Elementwise, out, f.operations()),
        Op::UnaryGrad(f) => per(Class::Elementwise, out, f.operations() + 2),
        Op::Cast { .. } => per(Class::Elementwise, out, 1),
        Op::Binary(Binary::Pow) => broadcast(inputs, outputs, per(Class::Elementwise, out, 40)),
        Op::PowGrad { .. } => per(Class::Elementwise, out, 60),
        Op::Binary(Binary::Div | Binary::Rem) if !float => broadcast(inputs, outputs, per(Class::Elementwise, out, 8)),
        Op::Binary(_) | Op::Compare(_) | Op::Select => broadcast(inputs, outputs, per(Class::Elementwise, out, 1)),
        Op::ChosenGrad(_) => per(Class::Elementwise, out, 1),
        Op::Affine { .. } => per(Class::Elementwise, out, 2),
        Op::Softcap { .. } => per(Class::Elementwise, out, Unary::Tanh.operations() + 2),
        Op::SoftcapGrad { .. } => per(Class::Elementwise, out, 4),
        Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } => per(Class::Reduction, first, 1),
        Op::Max { .. } | Op::Min { .. } | Op::ArgMax { .. } => per(Class::Reduction, first, 1),
        Op::CumSum { .. } => per(Class::Reduction, first, 2),
        Op::ArgSort { .. } => per(Class::Reduction, first, sorting(inputs)),
        Op::LogSumExp => per(Class::Loss, first, 13),
        Op::Softmax => per(Class::Loss, out, 14),
        Op::SoftmaxGrad => per(Class::Loss, out, 4),
        Op::MatMul { transpose_a, .. } => product(inputs, out, *transpose_a, bytes),
        Op::Embedding => Cost { bytes: gathered(inputs.get(1), made), ..per(Class::Gather, out, 0) },
        Op::EmbeddingGrad { .. } => per(Class::Gather, inputs.get(1).map_or(0, |dy| dy.shape.elements()), 1),
        Op::Gather { .. } => Cost { bytes: gathered(inputs.get(1), made), ..per(Class::Gather, out, 0) },
        Op::ScatterAdd { .. } => per(Class::Gather, inputs.get(2).map_or(0, |s| s.shape.elements()), 1),
        Op::RmsNorm { .. } => per(Class::Norm, out, 4),
        Op::RmsNormGrad { .. } => per(Class::Norm, out, 9),
        Op::LayerNorm { .. } => per(Class::Norm, out, 6),
        Op::LayerNormGrad { .. } => per(Class::Norm, out, 14),
        Op::Rope { .. } => per(Class::Norm, out, 18),
        Op::Attention(how) => attention(inputs, how, 2, bytes),
        Op::AttentionGrad(how) => attention(inputs, how, 5, bytes),
        Op::CrossEntropy(loss) => per(Class::Loss, first, if loss.softcap > 0.0 { 30 } else { 14 }),
        Op::CrossEntropyGrad(loss) => per(Class::Loss, first, if loss.softcap > 0.0 { 32 } else { 14 }),
        Op::LinearCrossEntropy { loss, gradients } => linear_cross_entropy(inputs, loss, *gradients, bytes),
        Op::NewtonSchulz { coefficients } => newton_schulz(inputs, coefficients.len() as u64, bytes),
        Op::Assign => per(Class::Optimizer, first, 0),
        Op::Blend { .. } => per(Class::Optimizer, first, 3),
        Op::AdamW(_) => per(Class::Optimizer, first, 16),
    }
}

/// A copy of `bytes` between device and guest or host: what reading and logging are charged.
pub fn transfer(bytes: u64) -> Cost {
    Cost { class: Class::Copy, flops: 0, work: 0, bytes }
}

/// Values that move row by row.
fn moved(outputs: &[Spec], bytes: u64) -> Cost {
    Cost { class: Class::Copy, flops: 0, work: rows(outputs).saturating_mul(MOVED_ROW), bytes }
}

/// The demands where every operand has the result's elements or one, and what rows add where not.
fn broadcast(inputs: &[&Spec], outputs: &[Spec], even: Cost) -> Cost {
    let elements = outputs.first().map_or(0, |s| s.shape.elements());
    if inputs.iter().all(|s| [1, elements].contains(&s.shape.elements())) {
        return even;
    }
    Cost { work: even.work.saturating_add(rows(outputs).saturating_mul(BROADCAST_ROW)), ..even }
}

/// Rows along the last axis.
fn rows(outputs: &[Spec]) -> u64 {
    outputs.first().map_or(0, |s| s.shape.elements() / u64::from(s.shape.last()).max(1))
}

fn product(inputs: &[&Spec], out: u64, transpose_a: bool, bytes: u64) -> Cost {
    let (rows, inner) = last_two(inputs.first());
    let (rows, inner) = if transpose_a { (inner, rows) } else { (rows, inner) };
    let lead = inputs.first().map_or(1, |a| a.shape.elements()) / (rows * inner).max(1);
    let columns = out / (rows * lead).max(1);
    // A shared second operand makes one product of all leading indices.
    let shared = inputs.get(1).is_some_and(|b| b.shape.rank() == 2);
    let (lead, rows) = if shared { (1, rows * lead) } else { (lead, rows) };
    let flops = [rows, columns, lead].iter().fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    let tiles = [rows.next_multiple_of(TILE), columns.next_multiple_of(TILE), lead];
    let work = tiles.iter().fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    Cost { class: Class::Product, flops, work, bytes }
}

/// `products` products of d operations over each pair of positions that see each other, and the softmax.
fn attention(inputs: &[&Spec], how: &Attention, products: u64, bytes: u64) -> Cost {
    let dims = inputs.first().map_or(&[] as &[u32], |q| q.shape.dims());
    let &[batch, time, heads, dim] = dims else {
        return Cost { class: Class::Attention, flops: 0, work: 0, bytes };
    };
    let time = u64::from(time);
    let reach = if how.window == 0 { time } else { u64::from(how.window).min(time) };
    // The first `reach` positions see 1, 2, … `reach`; the others `reach` each.
    let before = reach * (reach + 1) / 2 + (time - reach) * reach;
    let pairs = if how.causal { before } else { 2 * before - time };
    let maps = (u64::from(batch) * u64::from(heads)).saturating_mul(pairs);
    let count = |dim: u64| maps.saturating_mul(2 * products * dim + 14);
    let dim = u64::from(dim);
    Cost { class: Class::Attention, flops: count(dim), work: count(dim.next_multiple_of(LANES)), bytes }
}

/// One product for the logits, two more for the gradients, and the loss of each logit, which runs at about a sixth of a
/// product's rate.
fn linear_cross_entropy(inputs: &[&Spec], loss: &Loss, gradients: bool, bytes: u64) -> Cost {
    let width = inputs.first().map_or(1, |x| u64::from(x.shape.last()));
    let rows = inputs.first().map_or(0, |x| x.shape.elements()) / width.max(1);
    let vocab = inputs.get(1).map_or(0, |w| w.shape.elements()) / width.max(1);
    let products = if gradients { 3 } else { 1 };
    let each = if loss.softcap > 0.0 { 30 } else { 14 } * if gradients { 2 } else { 1 };
    let logits = rows.saturating_mul(vocab);
    let flops = logits.saturating_mul(2 * products * width + each);
    let tiled = rows.next_multiple_of(TILE).saturating_mul(vocab.next_multiple_of(TILE));
    let work = tiled.saturating_mul(2 * products * width).saturating_add(logits.saturating_mul(6 * each));
    Cost { class: Class::Product, flops, work, bytes }
}

/// Comparisons per element of a sorted row.
fn sorting(inputs: &[&Spec]) -> u64 {
    let row = inputs.first().map_or(1, |x| x.shape.last());
    4 * (u64::from(row.ilog2()) + 1)
}

/// Per step: A = x xᵀ, A², and the product with x, over the shorter side.
fn newton_schulz(inputs: &[&Spec], steps: u64, bytes: u64) -> Cost {
    let (rows, columns) = last_two(inputs.first());
    let lead = inputs.first().map_or(1, |x| x.shape.elements()) / (rows * columns).max(1);
    let count = |short: u64, long: u64| {
        let square = short.saturating_mul(short).saturating_mul(2);
        let step = square.saturating_mul(long).saturating_mul(2).saturating_add(square.saturating_mul(short));
        step.saturating_mul(steps).saturating_mul(lead)
    };
    let (short, long) = (rows.min(columns), rows.max(columns));
    let work = count(short.next_multiple_of(TILE), long.next_multiple_of(TILE));
    let passes = bytes.saturating_mul(steps.max(1));
    Cost { class: Class::Product, flops: count(short, long), work, bytes: passes }
}

/// Rows picked from a table: the rows are read and written, the indices read; the rest of the table is not touched.
fn gathered(indices: Option<&&Spec>, made: u64) -> u64 {
    made.saturating_mul(2).saturating_add(indices.map_or(0, |s| s.bytes()))
}

fn last_two(spec: Option<&&Spec>) -> (u64, u64) {
    match spec.map_or(&[] as &[u32], |s| s.shape.dims()) {
        [.., rows, columns] => (u64::from(*rows), u64::from(*columns)),
        _ => (1, 1),
    }
}

#[cfg(test)]
pub(crate) mod tests;
