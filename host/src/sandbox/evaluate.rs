//! Scores a model: nats per chunk, and the gates that a score must pass. Runs in the evaluation child, but does not
//! handle processes.
//!
//! Each pass is a `forward` call on [eval_rows, context] tokens in a fresh instance. If it is proved that no logit
//! reads a later token or another row, a batch is one pass. It must have the records that were proved, and values as
//! the proof needs them.
//!
//! Else each batch gets two more passes of the same shape. In one, the rows are rotated and some of them hold other
//! text: the logits of the others must rotate with them. In the other, the tokens after a cut are replaced: logits
//! before the cut must keep their bits. The score before the cut comes from this pass, so that no pass is only a probe.

use crate::record::causality::Causality;
use crate::record::outcome::{GuestFault, Status};
use crate::sandbox::guest::{Forward, Guest};
use crate::sandbox::proof::{Make, Proof};
use crate::sandbox::run_spec::{EvalInput, Evaluated, RunSpec};
use crate::sandbox::score;
use kernels::causal::{Needs, Watching};
use kernels::session::NamedState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Context string of the hash that places cuts.
const DOMAIN: &str = "lab 2026 evaluation probe v1";

/// What a draw decides.
#[derive(Clone, Copy)]
enum Draw {
    Cut = 0,
    LaterText = 1,
    Stays = 2,
    OtherText = 3,
}

/// Scores every chunk.
pub fn evaluate(guest: &Guest, state: &NamedState, run: &RunSpec, input: &EvalInput, executor: &Make) -> Evaluated {
    let proof = match guest.prove(state, executor) {
        Ok(recorded) => recorded.proof,
        Err(status) => return Evaluated::failed(status),
    };
    let mut why = match proof {
        Proof::Missing { why } => why,
        Proof::Proved { records, needs } => {
            let proved = Some(Proved { records, needs });
            let mut evaluation = Evaluation { proved, ..Evaluation::new(guest, state, run, input, executor) };
            match evaluation.all() {
                Err(Failed::Needs) => "a value is not finite, and the proof needs it to be".to_owned(),
                Err(Failed::Status(status)) => return evaluation.ended(status),
                Ok(()) => return evaluation.ended(Status::Completed),
            }
        }
    };
    match guest.accepts_probes(std::mem::take(&mut why)) {
        Err(refused) => Evaluated::failed(refused),
        Ok(_) => {
            let mut evaluation = Evaluation::new(guest, state, run, input, executor);
            let status = match evaluation.all() {
                Ok(()) | Err(Failed::Needs) => Status::Completed,
                Err(Failed::Status(status)) => status,
            };
            evaluation.ended(status)
        }
    }
}

/// Why an evaluation ended early.
enum Failed {
    /// What was proved does not hold for this run, so that it must be probed.
    Needs,
    Status(Status),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// What was proved, and for which records.
struct Proved {
    records: [u8; 32],
    needs: Needs,
}

struct Evaluation<'a> {
    guest: &'a Guest,
    state: &'a NamedState,
    run: &'a RunSpec,
    input: &'a EvalInput,
    executor: &'a Make<'a>,
    proved: Option<Proved>,
    chunk_nats: Vec<f64>,
    forward_ps_per_token: u64,
}

impl<'a> Evaluation<'a> {
    fn new(
        guest: &'a Guest,
        state: &'a NamedState,
        run: &'a RunSpec,
        input: &'a EvalInput,
        executor: &'a Make<'a>,
    ) -> Self {
        Self { guest, state, run, input, executor, proved: None, chunk_nats: Vec::new(), forward_ps_per_token: 0 }
    }

    fn ended(self, status: Status) -> Evaluated {
        let Self { chunk_nats, forward_ps_per_token, .. } = self;
        let causality = if self.proved.is_some() { Causality::Proved } else { Causality::Probed };
        Evaluated { status, chunk_nats, forward_ps_per_token, causality }
    }

    fn all(&mut self) -> Result<(), Failed> {
        let rows = self.run.eval_rows.max(1) as usize;
        for start in (0..self.input.chunks.len()).step_by(rows) {
            let end = (start + rows).min(self.input.chunks.len());
            // The last batch is filled up with the first chunks, so that shapes never change.
            let picked: Vec<usize> = (start..start + rows).map(|i| i % self.input.chunks.len()).collect();
            let nats = self.batch(&picked)?;
            self.chunk_nats.extend(nats.into_iter().take(end - start));
        }
        Ok(())
    }

    /// Nats of each picked chunk.
    fn batch(&mut self, picked: &[usize]) -> Result<Vec<f64>, Failed> {
        let rows: Vec<Vec<u32>> = picked.iter().map(|&chunk| self.tokens(chunk)).collect();
        let plain = self.pass(&rows)?;
        let mut scored_before = vec![0; rows.len()];
        let mut perturbed = None;
        if self.proved.is_none() {
            // This gate comes first. The next gate changes all rows from their own cuts on, and would blame row mixing
            // on the future.
            self.rows_apart(picked, &rows, &plain)?;
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
    fn pass(&mut self, rows: &[Vec<u32>]) -> Result<Vec<f32>, Failed> {
        let (count, time) = (rows.len() as u32, self.input.time() as u32);
        let tokens = u64::from(count) * u64::from(time);
        let cap = self.input.forward_cap_ps_per_token.saturating_mul(tokens);
        let holds = Arc::new(AtomicBool::new(true));
        let executor = match &self.proved {
            Some(Proved { needs, .. }) => Box::new(Watching::new((self.executor)(), needs, holds.clone())),
            None => (self.executor)(),
        };
        let Forward { logits, totals } = self.guest.forward(self.state, count, time, rows.concat(), cap, executor)?;
        let as_proved = self.proved.as_ref().is_none_or(|proved| proved.records == totals.op_hash);
        if !as_proved || !holds.load(Ordering::Relaxed) {
            return Err(Failed::Needs);
        }
        self.forward_ps_per_token = self.forward_ps_per_token.max(totals.spent_ps.div_ceil(tokens.max(1)));
        Ok(logits)
    }

    fn tokens(&self, chunk: usize) -> Vec<u32> {
        let tokens = self.input.chunks.get(chunk).into_iter().flatten();
        tokens.take(self.input.time()).map(|&token| u32::from(token)).collect()
    }

    /// The position from which this chunk's tokens are replaced: from 1 to time − 1.
    fn cut(&self, chunk: usize) -> usize {
        1 + (self.draw(chunk, Draw::Cut) % (self.input.time().max(2) as u64 - 1)) as usize
    }

    /// The same rows, but from each cut on the tokens come from another chunk.
    fn other_futures(&self, picked: &[usize], rows: &[Vec<u32>], cuts: &[usize]) -> Vec<Vec<u32>> {
        let replace = |(&chunk, (row, &cut)): (&usize, (&Vec<u32>, &usize))| {
            // A single chunk uses its own earlier tokens.
            let other = self.other_chunk(chunk, Draw::LaterText).unwrap_or_else(|| rotated(row, cut));
            row.iter().take(cut).chain(other.iter().skip(cut)).copied().collect()
        };
        picked.iter().zip(rows.iter().zip(cuts)).map(replace).collect()
    }

    /// The tokens of another chunk, if there is one.
    fn other_chunk(&self, chunk: usize, purpose: Draw) -> Option<Vec<u32>> {
        let others = self.input.chunks.len().checked_sub(1).filter(|&others| others > 0)?;
        let step = 1 + (self.draw(chunk, purpose) % others as u64) as usize;
        Some(self.tokens((chunk + step) % self.input.chunks.len()))
    }

    fn same_past(&self, plain: &[f32], perturbed: &[f32], cuts: &[usize]) -> Result<(), Failed> {
        let (time, vocab) = (self.input.time(), self.run.vocab as usize);
        for (row, &cut) in cuts.iter().enumerate() {
            let past = row * time * vocab..(row * time + cut) * vocab;
            if first_difference(plain.get(past.clone()), perturbed.get(past)).is_some() {
                let message = "logits of earlier positions change when only later tokens do";
                return Err(Status::guest(GuestFault::LooksAhead, message).into());
            }
        }
        Ok(())
    }

    /// Rotates the rows by one, and puts other text in about half of them. The logits of those that stay must rotate
    /// with them.
    fn rows_apart(&mut self, picked: &[usize], rows: &[Vec<u32>], plain: &[f32]) -> Result<(), Failed> {
        if rows.len() < 2 {
            return Ok(());
        }
        let mut stays: Vec<bool> = picked.iter().map(|&chunk| self.draw(chunk, Draw::Stays) & 1 == 1).collect();
        // One at least stays, and one does not.
        let first = (self.draw(picked[0], Draw::Stays) >> 1) as usize % rows.len();
        (stays[first], stays[(first + 1) % rows.len()]) = (true, false);
        let other = picked.iter().zip(rows).zip(&stays).map(|((&chunk, row), &stays)| match stays {
            true => row.clone(),
            // A single chunk is shifted against itself.
            false => self.other_chunk(chunk, Draw::OtherText).unwrap_or_else(|| rotated(row, 1)),
        });
        let other: Vec<Vec<u32>> = other.collect();
        let logits = self.pass(&rotated(&other, 1))?;
        let row_logits = self.input.time() * self.run.vocab as usize;
        for row in (0..rows.len()).filter(|&row| stays[row]) {
            let now = (row + rows.len() - 1) % rows.len();
            let [before, after] =
                [(plain, row), (&logits, now)].map(|(x, row)| x.get(row * row_logits..(row + 1) * row_logits));
            if first_difference(before, after).is_some() {
                let message = "logits of a row change when other rows hold other text";
                return Err(Status::guest(GuestFault::MixesRows, message).into());
            }
        }
        Ok(())
    }

    /// A number that depends only on the probe seed, the chunk and the purpose.
    fn draw(&self, chunk: usize, purpose: Draw) -> u64 {
        let mut hash = blake3::Hasher::new_derive_key(DOMAIN);
        hash.update(&self.input.probe_seed.to_le_bytes());
        hash.update(&(chunk as u64).to_le_bytes());
        hash.update(&[purpose as u8]);
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
