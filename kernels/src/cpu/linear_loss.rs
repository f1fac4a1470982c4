//! The loss of a language model's last layer without its logits: rows go in chunks of [`ROWS`], and each chunk's logits
//! become gradients in place (as in Hsu et al., *Liger Kernel*, 2024). Depends on `gemm`, `loss` and `scratch`.

use super::gemm::{Factor, Sizes, Tile, View, multiply};
use super::path::Path;
use super::{loss, scratch};
use crate::op::Loss;

/// Rows of one chunk: part of the numerics class.
pub const ROWS: usize = 256;

/// What the loss is of.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// [rows, width]
    pub x: &'a [f32],
    /// [vocab, width]
    pub weight: &'a [f32],
    /// [rows], all below the vocabulary's size.
    pub targets: &'a [u32],
    /// Width of x.
    pub width: usize,
}

/// Where the gradients of x and of the weight go, for a mean loss whose gradient is 1.
pub type Gradients<'a> = (&'a mut [f32], &'a mut [f32]);

/// Mean loss; each row's logsumexp.
pub fn linear_cross_entropy(
    path: Path,
    Operands { x, weight, targets, width }: Operands,
    how: Loss,
    logsumexp: &mut [f32],
    mut gradients: Option<Gradients>,
) -> f32 {
    let (rows, vocab) = (targets.len(), weight.len() / width);
    let scale = 1.0 / rows as f32;
    let mut room = [(); 3].map(|()| scratch::take());
    let [losses, logits, row] = &mut room;
    let (losses, logits, row) = (losses.slice(rows), logits.slice(ROWS.min(rows) * vocab), row.slice(vocab));
    for start in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - start);
        let logits = &mut logits[..count * vocab];
        let (x, targets) = (View::dense(&x[start * width..], width, false), &targets[start..][..count]);
        let transposed = Factor::Plain(View::dense(weight, width, true));
        multiply(path, Sizes { m: count, n: vocab, k: width }, x, transposed, &mut Tile::dense(logits, vocab), false);
        let lse = &mut logsumexp[start..][..count];
        loss::cross_entropy(path, logits, targets, how, &mut losses[start..][..count], lse);
        let Some((dx, dweight)) = &mut gradients else { continue };
        for ((logits, target), lse) in logits.chunks_exact_mut(vocab).zip(targets).zip(lse) {
            row.copy_from_slice(logits);
            loss::row_grad(path, row, *target as usize, *lse, scale, how, logits);
        }
        let slopes = View::dense(logits, vocab, false);
        let mut dx = Tile::dense(&mut dx[start * width..][..count * width], width);
        let plain = Factor::Plain(View::dense(weight, width, false));
        multiply(path, Sizes { m: count, n: width, k: vocab }, slopes, plain, &mut dx, false);
        let sizes = Sizes { m: vocab, n: width, k: count };
        let mut dweight = Tile::dense(dweight, width);
        multiply(path, sizes, slopes.transposed(), Factor::Plain(x), &mut dweight, start > 0);
    }
    let mean = loss::mean(path, losses);
    room.into_iter().for_each(scratch::give);
    mean
}
