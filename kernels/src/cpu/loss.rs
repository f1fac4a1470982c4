//! Cross-entropy with its softcap and z-loss.

use super::path::{Path, kernel};
use super::{elementwise, math, reduce, scratch};
use crate::op::Loss;

/// The loss of each target, all below the vocabulary's size, under its row of logits, and each row's logsumexp.
pub fn cross_entropy(path: Path, logits: &[f32], targets: &[u32], how: Loss, losses: &mut [f32], lse: &mut [f32]) {
    let vocab = logits.len() / targets.len();
    let mut room = scratch::take();
    let row = room.slice(vocab);
    let rows = logits.chunks_exact(vocab).zip(targets).zip(losses.iter_mut().zip(lse));
    for ((logits, target), (loss, lse)) in rows {
        cap(path, logits, row, how);
        let chosen = row[*target as usize];
        let (max, sum) = reduce::exp_shifted(path, row, 1.0);
        (*loss, *lse) = loss_of(max, sum, chosen, how);
    }
    scratch::give(room);
}

/// Logits through the softcap, if there is one.
fn cap(path: Path, logits: &[f32], capped: &mut [f32], how: Loss) {
    if how.softcap > 0.0 {
        elementwise::softcap(path, logits, capped, how.softcap);
    } else {
        capped.copy_from_slice(logits);
    }
}

/// Loss and logsumexp of a row with this largest logit, sum of e^(logit − largest), and logit of the target. The
/// difference of the logits comes first: beside a large logit, the logarithm of the sum is rounded away.
fn loss_of(max: f32, sum: f32, chosen: f32, how: Loss) -> (f32, f32) {
    let log = math::log(sum);
    let (loss, lse) = ((max - chosen) + log, max + log);
    let loss = if how.z_loss > 0.0 { math::fma(how.z_loss * lse, lse, loss) } else { loss };
    (loss, lse)
}

/// The losses, summed by [`reduce::sum`], divided by their number.
pub fn mean(path: Path, losses: &[f32]) -> f32 {
    reduce::sum(path, losses) / losses.len() as f32
}

/// dlogits = (softmax·(1 + 2·z_loss·logsumexp) − one-hot)·scale, through the softcap; `scale` is the loss's gradient
/// over the number of rows.
pub fn cross_entropy_grad(path: Path, logits: &[f32], targets: &[u32], scale: f32, how: Loss, out: &mut [f32]) {
    let vocab = logits.len() / targets.len();
    out.copy_from_slice(logits);
    for (out, target) in out.chunks_exact_mut(vocab).zip(targets) {
        row_with_grad(path, out, *target as usize, scale, how);
    }
}

/// A row's loss and logsumexp; its logits become their gradients, which are `scale` times those of the row's loss.
pub fn row_with_grad(path: Path, logits: &mut [f32], target: usize, scale: f32, how: Loss) -> (f32, f32) {
    let mut room = scratch::take();
    let capped = room.slice(logits.len());
    cap(path, logits, capped, how);
    logits.copy_from_slice(capped);
    let (max, sum) = reduce::exp_shifted(path, logits, 1.0);
    let (loss, lse) = loss_of(max, sum, capped[target], how);
    let weight = if how.z_loss > 0.0 { math::fma(2.0 * how.z_loss, lse, 1.0) } else { 1.0 };
    let each = weight / sum;
    let at_target = math::fma(logits[target], each, -1.0) * scale;
    let share = each * scale;
    logits.iter_mut().for_each(|x| *x *= share);
    logits[target] = at_target;
    if how.softcap > 0.0 {
        through_cap(path, logits, capped, how.softcap);
    }
    scratch::give(room);
    (loss, lse)
}

kernel! {
    /// dx ← dx·(1 − (y/cap)²), where y is capped.
    fn through_cap(dx: &mut [f32], y: &[f32], cap: f32) {
        for (dx, y) in dx.iter_mut().zip(y) {
            let t = y / cap;
            *dx *= math::fma(t, -t, 1.0);
        }
    }
}
