//! Cross-entropy with its softcap and z-loss.

use super::path::{Path, kernel};
use super::{elementwise, math, reduce, scratch};
use crate::op::Loss;

/// The loss of each target, all below the vocabulary's size, under its row of logits, and each row's logsumexp.
pub fn cross_entropy(path: Path, logits: &[f32], targets: &[u32], how: Loss, losses: &mut [f32], lse: &mut [f32]) {
    let Loss { softcap, z_loss } = how;
    let vocab = logits.len() / targets.len();
    let mut room = scratch::take();
    let row = room.slice(vocab);
    let rows = logits.chunks_exact(vocab).zip(targets).zip(losses.iter_mut().zip(lse));
    for ((logits, target), (loss, lse)) in rows {
        if softcap > 0.0 {
            elementwise::softcap(path, logits, row, softcap);
        } else {
            row.copy_from_slice(logits);
        }
        let chosen = row[*target as usize];
        let (max, sum) = reduce::exp_shifted(path, row, 1.0);
        *lse = max + math::log(sum);
        *loss = *lse - chosen;
        if z_loss > 0.0 {
            *loss = math::fma(z_loss * *lse, *lse, *loss);
        }
    }
    scratch::give(room);
}

/// The losses, summed by [`reduce::sum`], divided by their number.
pub fn mean(path: Path, losses: &[f32]) -> f32 {
    reduce::sum(path, losses) / losses.len() as f32
}

/// Operands of the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// Logits before the softcap.
    pub logits: &'a [f32],
    /// Targets, all below the vocabulary's size.
    pub targets: &'a [u32],
    /// Each row's logsumexp.
    pub logsumexp: &'a [f32],
}

/// dlogits = (softmax·(1 + 2·z_loss·logsumexp) − one-hot)·scale, through the softcap; `scale` is the loss's gradient
/// over the number of rows.
pub fn cross_entropy_grad(path: Path, saved: Saved, scale: f32, how: Loss, out: &mut [f32]) {
    let vocab = saved.logits.len() / saved.targets.len();
    for (i, out) in out.chunks_exact_mut(vocab).enumerate() {
        let logits = &saved.logits[i * vocab..(i + 1) * vocab];
        row_grad(path, logits, saved.targets[i] as usize, saved.logsumexp[i], scale, how, out);
    }
}

kernel! {
    /// One row of the gradient.
    pub(super) fn row_grad(logits: &[f32], target: usize, lse: f32, scale: f32, how: Loss, out: &mut [f32]) {
        let Loss { softcap, z_loss } = how;
        let weight = if z_loss > 0.0 { math::fma(2.0 * z_loss, lse, 1.0) } else { 1.0 };
        if softcap > 0.0 {
            for (out, x) in out.iter_mut().zip(logits) {
                let t = math::tanh(x / softcap);
                *out = math::exp(math::fma(softcap, t, -lse)) * weight * scale * math::fma(t, -t, 1.0);
            }
            let t = math::tanh(logits[target] / softcap);
            let p = math::exp(math::fma(softcap, t, -lse));
            out[target] = (p * weight - 1.0) * scale * math::fma(t, -t, 1.0);
        } else {
            out.iter_mut().zip(logits).for_each(|(out, x)| *out = math::exp(x - lse) * weight * scale);
            out[target] = (math::exp(logits[target] - lse) * weight - 1.0) * scale;
        }
    }
}

/// A row's loss and logsumexp; its logits become their gradients, which are `scale` times those of the row's loss.
pub fn row_with_grad(path: Path, logits: &mut [f32], target: usize, scale: f32, how: Loss) -> (f32, f32) {
    let mut room = scratch::take();
    let capped = room.slice(logits.len());
    if how.softcap > 0.0 {
        elementwise::softcap(path, logits, capped, how.softcap);
    } else {
        capped.copy_from_slice(logits);
    }
    logits.copy_from_slice(capped);
    let chosen = capped[target];
    let (max, sum) = reduce::exp_shifted(path, logits, 1.0);
    let lse = max + math::log(sum);
    let mut loss = lse - chosen;
    let mut weight = 1.0;
    if how.z_loss > 0.0 {
        loss = math::fma(how.z_loss * lse, lse, loss);
        weight = math::fma(2.0 * how.z_loss, lse, 1.0);
    }
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
