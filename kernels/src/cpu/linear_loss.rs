//! The loss of a language model's last layer without all its logits: rows go in chunks of [`ROWS`], and each chunk's
//! logits become gradients in place (as in Hsu et al., *Liger Kernel*, 2024).

use super::gemm::{Factor, Packed, Sizes, multiply};
use super::loss;
use super::matrix::{Tile, View};
use super::path::Path;
use crate::cost::LOGIT_ROWS;
use crate::op::Loss;

/// Rows of one chunk: a block of terms of the weight's gradient, so part of the numerics class.
pub const ROWS: usize = super::gemm::KC;
const _: () = assert!(ROWS as u64 == LOGIT_ROWS, "what is charged for the logits is what is held");

/// Operands of some rows.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// [count, width]
    pub x: &'a [f32],
    /// Width of x.
    pub width: usize,
    /// [count], all below the vocabulary's size.
    pub targets: &'a [u32],
    /// weight [vocab, width] packed as the factor [width, vocab], and as the factor [vocab, width].
    pub weight: [&'a [f32]; 2],
    /// Rows of the whole, over which the loss is a mean.
    pub rows: usize,
}

/// Results of the same rows.
#[derive(Debug)]
pub struct Results<'a> {
    /// [count]
    pub losses: &'a mut [f32],
    /// [count]
    pub logsumexp: &'a mut [f32],
    /// [count, vocab]: gradients of the logits, for a mean loss whose gradient is 1, where dx is wanted; else logits.
    pub logits: &'a mut [f32],
    /// [count, width]
    pub dx: Option<&'a mut [f32]>,
}

/// Some rows' losses, and their gradients where wanted.
pub fn rows(path: Path, Operands { x, width, targets, weight, rows }: Operands, how: Loss, out: Results) {
    let Results { losses, logsumexp, logits, dx } = out;
    let (count, vocab) = (targets.len(), logits.len() / targets.len());
    let across = Factor::Packed(Packed::new(weight[0], width));
    let x = View::dense(x, width, false);
    multiply(path, Sizes { m: count, n: vocab, k: width }, x, across, &mut Tile::dense(logits, vocab), false);
    let Some(dx) = dx else { return loss::cross_entropy(path, logits, targets, how, losses, logsumexp) };
    let scale = 1.0 / rows as f32;
    let rows = logits.chunks_exact_mut(vocab).zip(targets).zip(losses.iter_mut().zip(logsumexp));
    for ((logits, target), (loss, lse)) in rows {
        (*loss, *lse) = loss::row_with_grad(path, logits, *target as usize, scale, how);
    }
    let down = Factor::Packed(Packed::new(weight[1], vocab));
    let slopes = View::dense(logits, vocab, false);
    multiply(path, Sizes { m: count, n: width, k: vocab }, slopes, down, &mut Tile::dense(dx, width), false);
}

/// Rows from `first` on of the weight's gradient, from gradients of logits [count, vocab] and x [count, width].
pub fn weight(path: Path, slopes: &[f32], x: &[f32], width: usize, first: usize, dweight: &mut [f32], add: bool) {
    let count = x.len() / width;
    let vocab = slopes.len() / count;
    let sizes = Sizes { m: dweight.len() / width, n: width, k: count };
    let slopes = View::dense(slopes, vocab, true).skip_rows(first);
    let x = Factor::Plain(View::dense(x, width, false));
    multiply(path, sizes, slopes, x, &mut Tile::dense(dweight, width), add);
}
