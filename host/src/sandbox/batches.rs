//! Training batches: each row is a crop of the text at a pseudo-random place. Pure.
//!
//! Row r of a batch drawn after `drawn` tokens starts at `u mod (len − seq)`. Here u is the first 8 bytes (little
//! endian) of BLAKE3 in key-derivation mode over the random seed, the position `drawn + r·seq` (u64 each) and the
//! sequence length (u32), all little endian. So a guest's batches depend only on the random seed and on the number of
//! tokens it has drawn.

use kernels::session::Batches;

/// Context string of the hash that places crops.
const DOMAIN: &str = "lab 2026 training crop v1";

#[derive(Clone, Debug)]
pub struct Crops {
    text: Vec<u16>,
    /// The hash that places crops, before its first byte. Each row takes a copy, which saves half of its cost.
    places: blake3::Hasher,
}

impl Crops {
    /// Crops of `text`, which holds one token id per element.
    pub fn new(text: Vec<u16>) -> Self {
        Self { text, places: blake3::Hasher::new_derive_key(DOMAIN) }
    }

    fn start(&self, random_seed: u64, position: u64, seq: u32, places: u64) -> u64 {
        let mut hash = self.places.clone();
        hash.update(&random_seed.to_le_bytes());
        hash.update(&position.to_le_bytes());
        hash.update(&seq.to_le_bytes());
        let mut first = [0; 8];
        hash.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first) % places.max(1)
    }
}

impl Batches for Crops {
    /// A text shorter than `seq + 1` tokens wraps around.
    fn fill(&self, random_seed: u64, drawn: u64, seq: u32, tokens: &mut [u32], targets: &mut [u32]) {
        let length = self.text.len() as u64;
        if seq == 0 || length == 0 {
            return;
        }
        let places = length.saturating_sub(u64::from(seq)).max(1);
        let rows = tokens.chunks_mut(seq as usize).zip(targets.chunks_mut(seq as usize));
        for (row, (tokens, targets)) in rows.enumerate() {
            let position = drawn.wrapping_add(row as u64 * u64::from(seq));
            let start = self.start(random_seed, position, seq, places);
            let mut window = self.text.iter().cycle().skip(start as usize).map(|&token| u32::from(token));
            let Some(mut previous) = window.next() else { return };
            for ((token, target), next) in tokens.iter_mut().zip(targets.iter_mut()).zip(window) {
                *token = previous;
                *target = next;
                previous = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: u16, random_seed: u64, drawn: u64, rows: usize, seq: u32) -> (Vec<u32>, Vec<u32>) {
        let crops = Crops::new((0..text).collect());
        let size = rows * seq as usize;
        let (mut tokens, mut targets) = (vec![0; size], vec![0; size]);
        crops.fill(random_seed, drawn, seq, &mut tokens, &mut targets);
        (tokens, targets)
    }

    #[test]
    fn places_are_pinned() {
        let starts: Vec<u32> = batch(10_000, 1337, 512, 4, 16).0.into_iter().step_by(16).collect();
        assert_eq!(starts, [860, 5660, 3164, 834]);
    }

    #[test]
    fn targets_are_one_token_ahead() {
        let (tokens, targets) = batch(1000, 7, 0, 5, 16);
        for (token, target) in tokens.iter().zip(&targets) {
            assert_eq!(token + 1, *target);
        }
    }

    #[test]
    fn a_batch_is_the_rows_that_single_draws_would_give() {
        let (together, _) = batch(1000, 7, 0, 2, 16);
        let (second, _) = batch(1000, 7, 16, 1, 16);
        assert_eq!(together[16..], second);
    }

    #[test]
    fn short_text_is_read_in_a_circle() {
        let (tokens, targets) = batch(3, 7, 0, 1, 4);
        assert_eq!(tokens, [0, 1, 2, 0]);
        assert_eq!(targets, [1, 2, 0, 1]);
    }
}
