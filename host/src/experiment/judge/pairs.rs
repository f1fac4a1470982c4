//! What was measured: the differences between candidate and champion, seed by seed.

use crate::experiment::judge::error::JudgeError;
use crate::record::outcome::Score;
use std::f64::consts::LN_2;

/// Scores of champion and candidate, trained on the same random seed and scored on the same chunks.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub champion: &'a Score,
    pub candidate: &'a Score,
}

/// The differences of some pairs, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Number of pairs, each on a random seed of its own.
    pub pairs: u32,
    /// Mean gain in bits per byte: champion minus candidate, so that positive is better.
    pub mean: f64,
    /// Sum over pairs of the squared distance of the pair's gain to the mean.
    pub squares: f64,
    /// Variance of the mean gain because another text would have other chunks.
    pub of_text: f64,
    /// Mean score of the champion, the reference of relative sizes.
    pub level: f64,
}

impl Evidence {
    /// The gain of a pair is a ratio of sums over chunks (nats over bytes), so the variance of the mean gain over
    /// chunks is that of the ratio estimator: `C/(C−1) · Σ (dᵢ − gain·bᵢ)² / (Σ bᵢ)²`. Here `dᵢ` is the difference in
    /// bits of chunk `i`, averaged over pairs, and `bᵢ` the chunk's bytes.
    ///
    /// # Errors
    /// If the scores do not cover the same text, or are not finite.
    pub fn measure(pairs: &[Pair]) -> Result<Self, JudgeError> {
        let gains: Vec<f64> = pairs.iter().map(|pair| gain_between(*pair)).collect::<Result<_, _>>()?;
        let (differences, bytes) = chunk_differences(pairs)?;
        let count = pairs.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let squares = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
        let (total, chunks) = (bytes.iter().sum::<f64>(), bytes.len() as f64);
        let residuals: f64 = differences.iter().zip(&bytes).map(|(d, b)| (d - mean * b).powi(2)).sum();
        let of_text = residuals * chunks / (chunks - 1.0) / (total * total);
        let level = pairs.iter().map(|pair| pair.champion.bpb).sum::<f64>() / count;
        let evidence = Self { pairs: u32::try_from(pairs.len()).unwrap_or(u32::MAX), mean, squares, of_text, level };
        let is_sound = [mean, squares, of_text].into_iter().all(f64::is_finite) && level.is_finite() && level > 0.0;
        if is_sound { Ok(evidence) } else { Err(JudgeError::NotFinite) }
    }

    /// Standard deviation of the gain between random seeds; needs two pairs.
    pub fn spread(&self) -> Option<f64> {
        (self.pairs > 1).then(|| (self.squares / f64::from(self.pairs - 1)).sqrt())
    }
}

/// The gain of one pair in bits per byte.
///
/// # Errors
/// If the scores do not cover the same text, or are not finite.
pub fn gain_between(pair: Pair) -> Result<f64, JudgeError> {
    let (differences, bytes) = chunk_differences(&[pair])?;
    let gain = differences.iter().sum::<f64>() / bytes.iter().sum::<f64>();
    if gain.is_finite() { Ok(gain) } else { Err(JudgeError::NotFinite) }
}

/// Differences in bits for each chunk, averaged over pairs, and the bytes of each chunk.
fn chunk_differences(pairs: &[Pair]) -> Result<(Vec<f64>, Vec<f64>), JudgeError> {
    let first = pairs.first().ok_or(JudgeError::TooFewChunks)?.champion;
    let chunks = first.chunk_nats.len();
    if chunks < 2 || first.chunk_bytes.iter().all(|&b| b == 0) {
        return Err(JudgeError::TooFewChunks);
    }
    let mut differences = vec![0.0; chunks];
    for pair in pairs {
        for score in [pair.champion, pair.candidate] {
            if score.chunk_nats.len() != chunks || score.chunk_bytes != first.chunk_bytes {
                return Err(JudgeError::ChunksDiffer(chunks, score.chunk_nats.len()));
            }
        }
        let both = pair.champion.chunk_nats.iter().zip(&pair.candidate.chunk_nats);
        for (sum, (champion, candidate)) in differences.iter_mut().zip(both) {
            *sum += (champion - candidate) / LN_2 / pairs.len() as f64;
        }
    }
    Ok((differences, first.chunk_bytes.iter().map(|&b| f64::from(b)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(bits: &[f64]) -> Score {
        let chunk_nats: Vec<f64> = bits.iter().map(|bits| bits * 8.0 * LN_2).collect();
        Score { bpb: bits.iter().sum::<f64>() / bits.len() as f64, chunk_nats, chunk_bytes: vec![8; bits.len()] }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn the_gain_is_in_bits_per_byte_and_scatters_over_seeds_and_text() {
        let (a, b, c) = (score(&[2.0, 3.0]), score(&[1.9, 3.0]), score(&[1.9, 2.8]));
        let pair = |candidate| Pair { champion: &a, candidate };
        let one = Evidence::measure(&[pair(&b)]).unwrap();
        assert!(near(one.mean, 0.05) && one.squares == 0.0 && near(one.level, 2.5), "{one:?}");
        assert_eq!(one.spread(), None);
        // Residuals of ±0.4 bits on 16 bytes: 2 · 2 · 0.16 / 256.
        assert!(near(one.of_text, 0.0025), "{one:?}");
        let two = Evidence::measure(&[pair(&b), pair(&c)]).unwrap();
        assert!(near(two.mean, 0.1) && near(two.squares, 0.005), "{two:?}");
        assert!(near(two.spread().unwrap(), 0.005f64.sqrt()));
        assert_eq!(Evidence::measure(&[pair(&a)]).unwrap().mean, 0.0, "two guests that tie");
    }

    #[test]
    fn scores_of_other_text_are_refused() {
        let a = score(&[2.0, 3.0]);
        let against = |candidate: &Score| Evidence::measure(&[Pair { champion: &a, candidate }]).unwrap_err();
        let mut other = a.clone();
        other.chunk_bytes[1] += 1;
        assert_eq!(against(&other), JudgeError::ChunksDiffer(2, 2));
        let mut broken = a.clone();
        broken.chunk_nats[0] = f64::NAN;
        assert_eq!(against(&broken), JudgeError::NotFinite);
        assert_eq!(against(&score(&[1.0])), JudgeError::ChunksDiffer(2, 1));
        let single = score(&[1.0]);
        let pair = Pair { champion: &single, candidate: &single };
        assert_eq!(Evidence::measure(&[pair]).unwrap_err(), JudgeError::TooFewChunks);
        assert_eq!(Evidence::measure(&[]).unwrap_err(), JudgeError::TooFewChunks);
    }
}
