//! Decides what counts as a gain: the noise floor, paired differences, the posterior probability that a mutation is
//! better, and the decision. Pure. The only input is scores.
//!
//! A mutation is first *screened* on one random seed. If it beats the champion by more than the noise floor, candidate
//! and champion are both trained on fresh random seeds. The screening run was selected for its good score, so it does
//! not count as evidence. The gain is the mean of the paired differences on the fresh random seeds. It has two sources
//! of variance:
//!
//! - random seeds: the score of one guest has standard deviation `σ`, so the mean of `n` paired differences has
//!   variance `2σ²/n`;
//! - text: the gain differs from chunk to chunk, and another text would give other chunks.
//!
//! Both variances are added, with the degrees of freedom of Welch and Satterthwaite.

use crate::record::outcome::Score;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};
use std::f64::consts::{LN_2, SQRT_2};

/// Prior standard deviation of a score over random seeds, as a share of the score.
const PRIOR_NOISE: f64 = 0.0012;
/// Degrees of freedom of this prior.
const PRIOR_DEGREES: f64 = 4.0;
/// Sizes of effects: weight, and scale as a share of the score.
const EFFECTS: [(f64, f64); 3] = [(0.6, 0.005), (0.3, 0.02), (0.1, 0.08)];
/// Prior probability that a mutation is a gain. Published nights kept 3% to 18% of their mutations, some of them by
/// luck.
const GAINS: f64 = 0.1;
/// Prior probability that a mutation changes nothing.
const NEUTRAL: f64 = 0.3;
/// Below this P(better), further random seeds are not worth their time.
const HOPELESS: f64 = 0.02;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// The scores cover different text.
    #[error("the two scores cover different chunks ({0} and {1}, or other byte counts): score both on the same split")]
    ChunksDiffer(usize, usize),
    #[error("no scored chunks to compare: score both guests on at least two chunks")]
    TooFewChunks,
    /// A score is NaN or infinite.
    #[error("a score is not finite: leave such a run out of comparisons")]
    NotFinite,
}

/// The noise of one guest's score over random seeds, in bits per byte. It starts from a prior worth a few degrees of
/// freedom (a scaled inverse χ² distribution of the variance), because the standard deviation of only three replicas is
/// often much too small. Each group of replicas updates it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    sum_of_squares: f64,
    degrees: f64,
}

impl Noise {
    /// The prior, for scores near `bpb`.
    pub fn prior(bpb: f64) -> Self {
        let sd = PRIOR_NOISE * bpb;
        Self { sum_of_squares: PRIOR_DEGREES * sd * sd, degrees: PRIOR_DEGREES }
    }

    /// The prior, updated by the replicas of the baseline.
    pub fn of_replicas(scores: &[f64]) -> Self {
        Self::prior(mean(scores)).observe(scores)
    }

    /// Adds scores of one guest on different random seeds. Ignores them if there are fewer than two or if one is not
    /// finite.
    #[must_use]
    pub fn observe(self, scores: &[f64]) -> Self {
        if scores.len() < 2 || scores.iter().any(|s| !s.is_finite()) {
            return self;
        }
        let centre = mean(scores);
        Self {
            sum_of_squares: self.sum_of_squares + scores.iter().map(|s| (s - centre).powi(2)).sum::<f64>(),
            degrees: self.degrees + (scores.len() - 1) as f64,
        }
    }

    /// Variance of a score over random seeds.
    pub fn variance(&self) -> f64 {
        self.sum_of_squares / self.degrees
    }

    /// Standard deviation of a score over random seeds.
    pub fn sd(&self) -> f64 {
        self.variance().sqrt()
    }

    /// Degrees of freedom behind the variance.
    pub fn degrees(&self) -> f64 {
        self.degrees
    }

    /// The noise floor: the standard deviation of the difference between two runs. A smaller gain counts as noise.
    pub fn floor(&self) -> f64 {
        SQRT_2 * self.sd()
    }
}

/// Scores of champion and candidate, trained on the same random seed and scored on the same chunks.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub champion: &'a Score,
    pub candidate: &'a Score,
}

/// The mean gain over pairs, with its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// Champion minus candidate in bits per byte; positive is better.
    pub mean: f64,
    /// Standard error of the mean, from random seeds and chunks together.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub degrees: f64,
}

impl Gain {
    /// Measures the gain of pairs. The gain is a ratio of sums over chunks (nats over bytes), so its variance is that
    /// of the ratio estimator: `C/(C−1) · Σ (dᵢ − gain·bᵢ)² / (Σ bᵢ)²`. Here `dᵢ` is the difference in bits of chunk
    /// `i`, averaged over pairs, and `bᵢ` the chunk's bytes.
    pub fn measure(noise: &Noise, pairs: &[Pair]) -> Result<Self, SelectError> {
        let (differences, bytes) = chunk_differences(pairs)?;
        let total: f64 = bytes.iter().sum();
        let gain = differences.iter().sum::<f64>() / total;
        let chunks = bytes.len() as f64;
        let residuals: f64 = differences.iter().zip(&bytes).map(|(d, b)| (d - gain * b).powi(2)).sum();
        let of_chunks = residuals * chunks / (chunks - 1.0) / (total * total);
        let of_seeds = 2.0 * noise.variance() / pairs.len() as f64;
        let variance = of_chunks + of_seeds;
        if !gain.is_finite() || !variance.is_finite() {
            return Err(SelectError::NotFinite);
        }
        let spread = of_chunks.powi(2) / (chunks - 1.0) + of_seeds.powi(2) / noise.degrees();
        let degrees = if spread > 0.0 { variance.powi(2) / spread } else { noise.degrees() };
        Ok(Self { mean: gain, standard_error: variance.sqrt(), degrees })
    }

    /// Posterior probability that the candidate is better, for scores near `bpb`.
    ///
    /// Prior of the true effect `δ`: a gain with probability 0.1, no change with 0.3, a loss with 0.6. The size of
    /// gains and losses is half-normal with one of three scales `τ` (0.5%, 2% and 8% of the score, with weights `w` of
    /// 0.6, 0.3 and 0.1): most effects are small, a few are large. Let `s` be the standard error, `φ(x; v)` the normal
    /// density of variance `v`, and `z = d·τ / (s·√(τ²+s²))`. The observed gain `d` then gives, summed over the scales,
    ///
    /// ```text
    /// gain    ∝ 0.1 · 2 · w · φ(d; τ²+s²) · Φ(z)
    /// loss    ∝ 0.6 · 2 · w · φ(d; τ²+s²) · Φ(−z)
    /// nothing ∝ 0.3 · φ(d; s²)
    /// ```
    ///
    /// Because `s` is itself an estimate, `d/s` follows Student's t. Therefore `s` is first widened until the normal
    /// tail probability of `d/s` equals that of the t distribution.
    pub fn p_better(&self, bpb: f64) -> f64 {
        let (s, d) = (self.widened_error(), self.mean);
        if s.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater)
            || bpb.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater)
        {
            return GAINS;
        }
        let log_density = |variance: f64| -0.5 * (d * d / variance + variance.ln());
        let scales = EFFECTS.map(|(weight, share)| {
            let tau = share * bpb;
            (weight, log_density(tau * tau + s * s), d * tau / (s * tau.hypot(s)))
        });
        // Relative to the largest density, because all densities underflow far from the centre.
        let neutral = log_density(s * s);
        let top = scales.iter().fold(neutral, |top, (_, log, _)| top.max(*log));
        let sum = |sign: f64| -> f64 {
            scales.iter().map(|(weight, log, z)| 2.0 * weight * (log - top).exp() * normal_cdf(sign * z)).sum()
        };
        let (better, worse) = (GAINS * sum(1.0), (1.0 - GAINS - NEUTRAL) * sum(-1.0));
        better / (better + worse + NEUTRAL * (neutral - top).exp())
    }

    /// The standard error at which a normal deviate has the same tail probability as this t statistic.
    fn widened_error(&self) -> f64 {
        let t = (self.mean / self.standard_error).abs();
        let Ok(student) = StudentsT::new(0.0, 1.0, self.degrees) else {
            return self.standard_error;
        };
        if t < 1e-6 {
            // The limit for small t is the ratio of the two densities at 0.
            return self.standard_error * Normal::standard().pdf(0.0) / student.pdf(0.0);
        }
        let tail = student.sf(t).max(1e-300);
        (self.mean.abs() / -Normal::standard().inverse_cdf(tail)).max(self.standard_error)
    }
}

/// The decision on a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The candidate becomes the new champion.
    Keep,
    /// The candidate is worse.
    Discard,
    /// The gain is within the noise, or not proven.
    Noise,
    /// Train candidate and champion on one more fresh random seed, then decide again.
    NeedsFreshSeeds,
    /// Score these pairs on the confirm split, then decide again.
    NeedsConfirm,
}

/// A verdict and the figures behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    pub verdict: Verdict,
    /// The measured gain.
    pub gain: Gain,
    /// Posterior probability that the candidate is better.
    pub p_better: f64,
}

/// Judges the screening run against the champion's run on the same random seed. Fresh random seeds are justified only
/// if the gain is above the noise floor.
pub fn screen(noise: &Noise, pair: Pair) -> Result<Decision, SelectError> {
    let gain = Gain::measure(noise, &[pair])?;
    let verdict = if gain.mean > noise.floor() {
        Verdict::NeedsFreshSeeds
    } else if gain.mean < -noise.floor() {
        Verdict::Discard
    } else {
        Verdict::Noise
    };
    Ok(Decision { verdict, gain, p_better: gain.p_better(level(&[pair])) })
}

/// Judges the pairs on the fresh random seeds so far. A hopeless candidate is dropped early. A keep needs all fresh
/// random seeds of the policy, a P(better) of at least `keep_probability`, and a gain on the confirm split. The confirm
/// split is read only if everything else holds (`confirm`: the same pairs, scored there).
pub fn decide(
    rule: &Selection,
    noise: &Noise,
    fresh: &[Pair],
    confirm: Option<&[Pair]>,
) -> Result<Decision, SelectError> {
    let gain = Gain::measure(noise, fresh)?;
    let p_better = gain.p_better(level(fresh));
    let verdict = if p_better < HOPELESS {
        if gain.mean < -noise.floor() { Verdict::Discard } else { Verdict::Noise }
    } else if fresh.len() < rule.fresh_seeds as usize {
        Verdict::NeedsFreshSeeds
    } else if p_better < rule.keep_probability {
        Verdict::Noise
    } else {
        match confirm {
            None => Verdict::NeedsConfirm,
            Some(pairs) if Gain::measure(noise, pairs)?.mean > 0.0 => Verdict::Keep,
            Some(_) => Verdict::Noise,
        }
    };
    Ok(Decision { verdict, gain, p_better })
}

/// Differences in bits for each chunk, averaged over pairs, and the bytes of each chunk.
fn chunk_differences(pairs: &[Pair]) -> Result<(Vec<f64>, Vec<f64>), SelectError> {
    let first = pairs.first().ok_or(SelectError::TooFewChunks)?.champion;
    let chunks = first.chunk_nats.len();
    if chunks < 2 || first.chunk_bytes.iter().all(|&b| b == 0) {
        return Err(SelectError::TooFewChunks);
    }
    let mut differences = vec![0.0; chunks];
    for pair in pairs {
        for score in [pair.champion, pair.candidate] {
            if score.chunk_nats.len() != chunks || score.chunk_bytes != first.chunk_bytes {
                return Err(SelectError::ChunksDiffer(chunks, score.chunk_nats.len()));
            }
        }
        let both = pair.champion.chunk_nats.iter().zip(&pair.candidate.chunk_nats);
        for (sum, (champion, candidate)) in differences.iter_mut().zip(both) {
            *sum += (champion - candidate) / LN_2 / pairs.len() as f64;
        }
    }
    Ok((differences, first.chunk_bytes.iter().map(|&b| f64::from(b)).collect()))
}

/// The champion's mean score, the reference for relative sizes.
fn level(pairs: &[Pair]) -> f64 {
    mean(&pairs.iter().map(|p| p.champion.bpb).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn normal_cdf(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

/// The rule of selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Number of replicas of the baseline, which measure the noise floor.
    pub replicas: u32,
    /// Number of fresh random seeds on which a mutation must hold before it is kept.
    pub fresh_seeds: u32,
    /// P(better) needed for a keep.
    pub keep_probability: f64,
}

impl Default for Selection {
    fn default() -> Self {
        Self { replicas: 3, fresh_seeds: 2, keep_probability: 0.95 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::evolve::random::Random;

    const BYTES: u32 = 512;
    const CHUNKS: usize = 64;

    /// A normal deviate, as the sum of twelve uniform deviates.
    fn deviate(random: &mut Random) -> f64 {
        (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0
    }

    /// A score near `bpb` with different chunks. The chunk pattern is the same for every guest, apart from a small
    /// random part.
    fn score(bpb: f64, random: &mut Random) -> Score {
        let offsets: Vec<f64> = (0..CHUNKS).map(|i| 0.2 * (i as f64).sin() + 0.003 * deviate(random)).collect();
        let centre = mean(&offsets);
        let chunk_nats = offsets.iter().map(|o| (bpb + o - centre) * f64::from(BYTES) * LN_2).collect();
        Score { bpb, chunk_nats, chunk_bytes: vec![BYTES; CHUNKS] }
    }

    /// Simulates the judgement of one candidate and returns whether it was kept. The champion's runs are as noisy as
    /// the candidate's.
    fn kept(random: &mut Random, rule: &Selection, sigma: f64, effect: f64) -> bool {
        let run = |random: &mut Random, mu: f64| score(mu + sigma * deviate(random), random);
        let replicas: Vec<f64> = (0..rule.replicas).map(|_| 2.0 + sigma * deviate(random)).collect();
        let noise = Noise::of_replicas(&replicas);
        let (a, b) = (run(random, 2.0), run(random, 2.0 - effect));
        if screen(&noise, Pair { champion: &a, candidate: &b }).unwrap().verdict != Verdict::NeedsFreshSeeds {
            return false;
        }
        let runs: Vec<_> = (0..rule.fresh_seeds).map(|_| (run(random, 2.0), run(random, 2.0 - effect))).collect();
        let pairs: Vec<_> = runs.iter().map(|(a, b)| Pair { champion: a, candidate: b }).collect();
        decide(rule, &noise, &pairs, Some(&pairs)).unwrap().verdict == Verdict::Keep
    }

    fn keep_rate(sigma: f64, effect: f64) -> f64 {
        let mut random = Random::new(7, 0);
        let rule = Selection::default();
        (0..2000).filter(|_| kept(&mut random, &rule, sigma, effect)).count() as f64 / 2000.0
    }

    #[test]
    fn a_change_without_effect_is_hardly_ever_kept() {
        for sigma in [0.001, 0.004, 0.02] {
            let rate = keep_rate(sigma, 0.0);
            assert!(rate < 0.03, "{rate} kept at sigma {sigma}");
        }
    }

    #[test]
    fn a_large_gain_is_mostly_kept() {
        let rate = keep_rate(0.002, 0.02);
        assert!(rate > 0.8, "{rate}");
    }

    #[test]
    fn p_better_grows_with_the_gain_and_falls_with_its_error() {
        let p = |mean: f64, standard_error: f64| Gain { mean, standard_error, degrees: 8.0 }.p_better(2.0);
        let ps: Vec<f64> = (-40..=40).map(|i| p(f64::from(i) * 1e-3, 2e-3)).collect();
        assert!(ps.windows(2).all(|w| w[0] <= w[1] + 1e-6), "{ps:?}");
        assert!(p(0.01, 0.002) > p(0.01, 0.004));
        assert!(p(-0.5, 1e-3) < 1e-6 && p(0.5, 1e-3) > 0.999);
        assert!(p(0.0, 2e-3) < GAINS);
    }

    #[test]
    fn few_degrees_of_freedom_make_the_same_figures_weaker() {
        let p = |degrees: f64| Gain { mean: 0.008, standard_error: 0.002, degrees }.p_better(2.0);
        assert!(p(2.0) < p(6.0) && p(6.0) < p(60.0));
    }

    #[test]
    fn noise_pools_replicas() {
        let prior = Noise::prior(2.0);
        assert!((prior.sd() - 0.0024).abs() < 1e-12);
        let noise = prior.observe(&[2.0, 2.01, 1.99]);
        assert_eq!(noise.degrees(), 6.0);
        assert!((noise.variance() - (4.0 * 5.76e-6 + 2e-4) / 6.0).abs() < 1e-12);
        assert_eq!(prior.observe(&[2.0]), prior);
        assert_eq!(prior.observe(&[2.0, f64::NAN]), prior);
    }

    #[test]
    fn a_gain_on_the_search_split_alone_is_not_kept() {
        let mut random = Random::new(1, 0);
        let (good, bad) = (score(1.9, &mut random), score(2.0, &mut random));
        let better = [Pair { champion: &bad, candidate: &good }; 2];
        let worse = [Pair { champion: &good, candidate: &bad }; 2];
        let (rule, noise) = (Selection::default(), Noise::prior(2.0));
        let verdict = |fresh: &[Pair], confirm: Option<&[Pair]>| decide(&rule, &noise, fresh, confirm).unwrap().verdict;
        assert_eq!(verdict(&better[..1], None), Verdict::NeedsFreshSeeds);
        assert_eq!(verdict(&better, None), Verdict::NeedsConfirm);
        assert_eq!(verdict(&better, Some(&better)), Verdict::Keep);
        assert_eq!(verdict(&better, Some(&worse)), Verdict::Noise);
        assert_eq!(verdict(&worse[..1], None), Verdict::Discard);
    }

    #[test]
    fn scores_of_other_text_are_refused() {
        let mut random = Random::new(1, 0);
        let a = score(2.0, &mut random);
        let mut b = a.clone();
        b.chunk_bytes[3] += 1;
        let noise = Noise::prior(2.0);
        let pair = Pair { champion: &a, candidate: &b };
        assert_eq!(screen(&noise, pair).unwrap_err(), SelectError::ChunksDiffer(CHUNKS, CHUNKS));
        let c = Score { bpb: 2.0, chunk_nats: vec![1.0], chunk_bytes: vec![1] };
        let single = Pair { champion: &c, candidate: &c };
        assert_eq!(screen(&noise, single).unwrap_err(), SelectError::TooFewChunks);
        let mut d = a.clone();
        d.chunk_nats[0] = f64::NAN;
        assert_eq!(screen(&noise, Pair { champion: &a, candidate: &d }).unwrap_err(), SelectError::NotFinite);
    }
}
