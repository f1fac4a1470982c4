//! Scores a model: nats per chunk, and the gates that a score must pass. Runs in the evaluation child, but does not
//! handle processes.
//!
//! Each pass is a `forward` call on [eval_rows, context] tokens in a fresh instance. A probed batch gets two more
//! passes of the same shape. In one, the rows are rotated: the logits must rotate with them. In the other, the tokens
//! after a cut are replaced by other text: logits before the cut must keep their bits. The score before the cut comes
//! from this pass, so that no pass is only a probe.

use crate::record::outcome::{GuestFault, Status};
use crate::sandbox::guest::{Forward, Guest};
use crate::sandbox::run_spec::{EvalInput, Evaluated, RunSpec};
use crate::sandbox::score;
use kernels::exec::Executor;
use kernels::session::NamedState;

/// Context string of the hash that places cuts.
const DOMAIN: &str = "lab 2026 evaluation probe v1";

/// Scores every chunk.
pub fn evaluate(
    guest: &Guest,
    state: &NamedState,
    run: &RunSpec,
    input: &EvalInput,
    executor: &dyn Fn() -> Box<dyn Executor>,
) -> Evaluated {
    let mut evaluation =
        Evaluation { guest, state, run, input, executor, chunk_nats: Vec::new(), forward_ps_per_token: 0 };
    let status = match evaluation.all() {
        Ok(()) => Status::Completed,
        Err(status) => status,
    };
    Evaluated { status, chunk_nats: evaluation.chunk_nats, forward_ps_per_token: evaluation.forward_ps_per_token }
}

struct Evaluation<'a> {
    guest: &'a Guest,
    state: &'a NamedState,
    run: &'a RunSpec,
    input: &'a EvalInput,
    executor: &'a dyn Fn() -> Box<dyn Executor>,
    chunk_nats: Vec<f64>,
    forward_ps_per_token: u64,
}

impl Evaluation<'_> {
    fn all(&mut self) -> Result<(), Status> {
        let rows = self.run.eval_rows.max(1) as usize;
        for (batch, start) in (0..self.input.chunks.len()).step_by(rows).enumerate() {
            let end = (start + rows).min(self.input.chunks.len());
            // The last batch is filled up with the first chunks, so that shapes never change.
            let picked: Vec<usize> = (start..start + rows).map(|i| i % self.input.chunks.len()).collect();
            let nats = self.batch(&picked, (batch as u64) < u64::from(self.input.probes))?;
            self.chunk_nats.extend(nats.into_iter().take(end - start));
        }
        Ok(())
    }

    /// Nats of each picked chunk.
    fn batch(&mut self, picked: &[usize], probed: bool) -> Result<Vec<f64>, Status> {
        let rows: Vec<Vec<u32>> = picked.iter().map(|&chunk| self.tokens(chunk)).collect();
        let plain = self.pass(&rows)?;
        let mut scored_before = vec![0; rows.len()];
        let mut perturbed = None;
        if probed {
            // This gate comes first. The next gate changes all rows from their own cuts on, and would blame row mixing
            // on the future.
            self.rows_apart(&rows, &plain)?;
            scored_before = picked.iter().map(|&chunk| self.cut(chunk)).collect();
            let logits = self.pass(&self.other_futures(picked, &rows, &scored_before))?;
            self.same_past(&plain, &logits, &scored_before)?;
            perturbed = Some(logits);
        }
        let before = perturbed.as_deref().unwrap_or(&plain);
        let mut nats = Vec::with_capacity(picked.len());
        for (row, (&chunk, &cut)) in picked.iter().zip(&scored_before).enumerate() {
            nats.push(self.chunk(row, chunk, cut, before, &plain)?);
        }
        Ok(nats)
    }

    /// Sum over the positions of a chunk: from `before` up to `cut`, then from `after`.
    fn chunk(&self, row: usize, chunk: usize, cut: usize, before: &[f32], after: &[f32]) -> Result<f64, Status> {
        let (time, vocab) = (self.input.time(), self.run.vocab as usize);
        let targets = self.input.chunks.get(chunk).into_iter().flatten().skip(1);
        let mut sum = 0.0;
        for (position, &target) in targets.enumerate() {
            let logits = if position < cut { before } else { after };
            let at = (row * time + position) * vocab;
            let nats = logits.get(at..at + vocab).and_then(|logits| score::nats(logits, usize::from(target)));
            // No chunk or position is named: the guest could choose them by the text.
            sum += nats.ok_or_else(|| Status::guest(GuestFault::NotFinite, "logits are not finite"))?;
        }
        Ok(sum)
    }

    /// One `forward` call. Returns its logits, row-major.
    fn pass(&mut self, rows: &[Vec<u32>]) -> Result<Vec<f32>, Status> {
        let (count, time) = (rows.len() as u32, self.input.time() as u32);
        let tokens = u64::from(count) * u64::from(time);
        let cap = self.input.forward_cap_ps_per_token.saturating_mul(tokens);
        let Forward { logits, totals } =
            self.guest.forward(self.state, count, time, rows.concat(), cap, (self.executor)())?;
        self.forward_ps_per_token = self.forward_ps_per_token.max(totals.spent_ps.div_ceil(tokens.max(1)));
        Ok(logits)
    }

    fn tokens(&self, chunk: usize) -> Vec<u32> {
        let tokens = self.input.chunks.get(chunk).into_iter().flatten();
        tokens.take(self.input.time()).map(|&token| u32::from(token)).collect()
    }

    /// The position from which this chunk's tokens are replaced: from 1 to time − 1.
    fn cut(&self, chunk: usize) -> usize {
        1 + (self.draw(chunk, 0) % (self.input.time().max(2) as u64 - 1)) as usize
    }

    /// The same rows, but from each cut on the tokens come from another chunk.
    fn other_futures(&self, picked: &[usize], rows: &[Vec<u32>], cuts: &[usize]) -> Vec<Vec<u32>> {
        let chunks = self.input.chunks.len();
        let replace = |(&chunk, (row, &cut)): (&usize, (&Vec<u32>, &usize))| {
            let step = 1 + (self.draw(chunk, 1) % (chunks as u64).saturating_sub(1).max(1)) as usize;
            // A single chunk uses its own earlier tokens.
            let donor = if chunks > 1 { self.tokens((chunk + step) % chunks) } else { rotated(row, cut) };
            row.iter().take(cut).chain(donor.iter().skip(cut)).copied().collect()
        };
        picked.iter().zip(rows.iter().zip(cuts)).map(replace).collect()
    }

    fn same_past(&self, plain: &[f32], perturbed: &[f32], cuts: &[usize]) -> Result<(), Status> {
        let (time, vocab) = (self.input.time(), self.run.vocab as usize);
        for (row, &cut) in cuts.iter().enumerate() {
            let past = row * time * vocab..(row * time + cut) * vocab;
            if first_difference(plain.get(past.clone()), perturbed.get(past)).is_some() {
                let message = "logits of earlier positions change when only later tokens do";
                return Err(Status::guest(GuestFault::LooksAhead, message));
            }
        }
        Ok(())
    }

    /// Rotates the rows by one. The logits must rotate with them.
    fn rows_apart(&mut self, rows: &[Vec<u32>], plain: &[f32]) -> Result<(), Status> {
        if rows.len() < 2 {
            return Ok(());
        }
        let logits = self.pass(&rotated(rows, 1))?;
        let row_logits = self.input.time() * self.run.vocab as usize;
        let expected = rotated(plain, row_logits);
        if first_difference(Some(&expected), Some(&logits)).is_some() {
            return Err(Status::guest(GuestFault::MixesRows, "logits change when the rows of a batch trade places"));
        }
        Ok(())
    }

    /// A number that depends only on the probe seed, the chunk and the purpose.
    fn draw(&self, chunk: usize, purpose: u8) -> u64 {
        let mut hash = blake3::Hasher::new_derive_key(DOMAIN);
        hash.update(&self.input.probe_seed.to_le_bytes());
        hash.update(&(chunk as u64).to_le_bytes());
        hash.update(&[purpose]);
        let mut first = [0; 8];
        hash.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}

fn rotated<T: Clone>(items: &[T], by: usize) -> Vec<T> {
    let mut items = items.to_vec();
    if !items.is_empty() {
        let by = by % items.len();
        items.rotate_left(by);
    }
    items
}

/// Index of the first element whose bits differ; 0 if the lengths differ.
fn first_difference(a: Option<&[f32]>, b: Option<&[f32]>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) if a.len() == b.len() => a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits()),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_by_bits() {
        assert_eq!(first_difference(Some(&[1.0, 0.0]), Some(&[1.0, -0.0])), Some(1));
        assert_eq!(first_difference(Some(&[f32::NAN]), Some(&[f32::NAN])), None);
        assert_eq!(first_difference(Some(&[1.0]), Some(&[1.0, 2.0])), Some(0));
    }

    #[test]
    fn rotation_wraps() {
        assert_eq!(rotated(&[1, 2, 3], 1), [2, 3, 1]);
        assert_eq!(rotated(&[1, 2, 3], 4), [2, 3, 1]);
        assert!(rotated::<u8>(&[], 1).is_empty());
    }
}
