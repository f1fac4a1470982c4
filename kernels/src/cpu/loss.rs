//! Cross-entropy with its softcap. Depends on `reduce` and `elementwise`.

use super::path::kernel;
use super::threads::Threads;
use super::{elementwise, math, reduce};

/// Mean negative log-likelihood of `targets`, all below `vocab`, under rows of `vocab` logits, and each row's
/// logsumexp. The rows' losses are summed by [`reduce::sum`] and divided by their number.
pub fn cross_entropy(threads: &Threads, logits: &[f32], targets: &[u32], softcap: f32, logsumexp: &mut [f32]) -> f32 {
    let vocab = logits.len() / targets.len();
    let rows = (65_536 / vocab).max(1);
    let mut losses = vec![0.0; targets.len()];
    threads.each(losses.chunks_mut(rows).zip(logsumexp.chunks_mut(rows)).enumerate(), |(i, (losses, lse))| {
        let mut row = vec![0.0; vocab];
        for (r, (loss, lse)) in losses.iter_mut().zip(lse).enumerate() {
            let index = i * rows + r;
            let logits = &logits[index * vocab..(index + 1) * vocab];
            if softcap > 0.0 {
                elementwise::softcap(threads.path, logits, &mut row, softcap);
            } else {
                row.copy_from_slice(logits);
            }
            let chosen = row[targets[index] as usize];
            let (max, sum) = reduce::exp_shifted(threads.path, &mut row, 1.0);
            *lse = max + math::log(sum);
            *loss = *lse - chosen;
        }
    });
    reduce::sum(threads.path, &losses) / targets.len() as f32
}

/// What the gradient reads.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// Logits before the softcap.
    pub logits: &'a [f32],
    /// Targets, all below the vocabulary's size.
    pub targets: &'a [u32],
    /// Each row's logsumexp.
    pub logsumexp: &'a [f32],
}

/// dlogits = (softmax − one-hot)·dy/rows, through the softcap.
pub fn cross_entropy_grad(threads: &Threads, saved: Saved, dy: f32, softcap: f32, out: &mut [f32]) {
    let vocab = saved.logits.len() / saved.targets.len();
    let scale = dy / saved.targets.len() as f32;
    threads.pieces(out, (65_536 / vocab).max(1) * vocab, |at, piece| {
        for (i, out) in (at / vocab..).zip(piece.chunks_exact_mut(vocab)) {
            let logits = &saved.logits[i * vocab..(i + 1) * vocab];
            row_grad(threads.path, logits, saved.targets[i] as usize, saved.logsumexp[i], scale, softcap, out);
        }
    });
}

kernel! {
    fn row_grad(logits: &[f32], target: usize, lse: f32, scale: f32, softcap: f32, out: &mut [f32]) {
        if softcap > 0.0 {
            for (out, x) in out.iter_mut().zip(logits) {
                *out = math::exp(softcap * math::tanh(x / softcap) - lse);
            }
        } else {
            out.iter_mut().zip(logits).for_each(|(out, x)| *out = math::exp(x - lse));
        }
        out[target] -= 1.0;
        out.iter_mut().for_each(|out| *out *= scale);
        if softcap > 0.0 {
            for (out, x) in out.iter_mut().zip(logits) {
                let t = math::tanh(x / softcap);
                *out *= math::fma(t, -t, 1.0);
            }
        }
    }
}
