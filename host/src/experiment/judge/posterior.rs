//! How probable it is that a candidate is better, given the pairs so far.
//!
//! The gains of `n` pairs are normal with mean `δ`, the true gain, and standard deviation `τ` between seeds. Both are
//! unknown. `τ` is one of [`SPREADS`]; `δ` is 0, or half-normal on one side of 0 with one of three scales. So the
//! posterior is a sum over a few dozen combinations, each in closed form. With `m` the mean of the gains, `S` the sum
//! of their squared distances to it, `v = τ²/n + (variance over text)` and a scale `s`,
//!
//! ```text
//! weight of (τ)      ∝ P(τ) · τ^−(n−1) · exp(−S / 2τ²)
//! no effect          ∝ P(none) · φ(m; v)
//! gain of scale s    ∝ P(gain) · P(s) · 2 · φ(m; v+s²) · Φ(μ/σ),   μ = m·s²/(s²+v),  σ² = s²·v/(s²+v)
//! loss of scale s    ∝ P(loss) · P(s) · 2 · φ(m; v+s²) · Φ(−μ/σ)
//! ```
//!
//! Because a posterior does not depend on why one stopped, it may be looked at after every pair.

use crate::experiment::judge::noise::Noise;
use crate::experiment::judge::pairs::Evidence;
use crate::experiment::judge::prior::{EFFECTS, NEUTRAL, Prior, SPREADS};
use crate::record::trial::Findings;
use statrs::distribution::{ContinuousCDF, Normal};
use std::f64::consts::PI;

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    pub evidence: Evidence,
    /// Probability of a gain before the first run.
    pub prior: f64,
    /// Probability that it is better than the champion.
    pub p_better: f64,
    /// Probability that it is worse.
    pub p_worse: f64,
    /// Probability that its gain is at least the least gain that matters.
    pub p_matters: f64,
    /// Probability that it loses less than the least gain that matters.
    pub p_harmless: f64,
}

impl Posterior {
    /// `least` is the least gain that matters, in bits per byte.
    pub fn new(evidence: Evidence, prior: &Prior, noise: &Noise, least: f64) -> Self {
        let mut total = Sum::default();
        let (mut better, mut worse, mut matters, mut harmful) =
            (Sum::default(), Sum::default(), Sum::default(), Sum::default());
        let losses = (1.0 - prior.gains) * (1.0 - NEUTRAL);
        for (share, weight) in SPREADS.into_iter().zip(prior.spreads) {
            let tau = share * noise.of_difference();
            let spread = weight.ln() + of_spread(&evidence, tau);
            let v = tau * tau / f64::from(evidence.pairs) + evidence.of_text;
            let none = spread + ((1.0 - prior.gains) * NEUTRAL).ln() + density(evidence.mean, v);
            total.add(none);
            for (weight, scale) in EFFECTS {
                let s2 = (scale * evidence.level).powi(2);
                let of_size = spread + (2.0 * weight).ln() + density(evidence.mean, v + s2);
                let (mu, sd) = (evidence.mean * s2 / (s2 + v), (s2 * v / (s2 + v)).sqrt());
                let gain = of_size + prior.gains.ln();
                let loss = of_size + losses.ln();
                total.add(gain + log_cdf(mu / sd));
                better.add(gain + log_cdf(mu / sd));
                matters.add(gain + log_cdf((mu - least) / sd));
                total.add(loss + log_cdf(-mu / sd));
                worse.add(loss + log_cdf(-mu / sd));
                harmful.add(loss + log_cdf((-mu - least) / sd));
            }
        }
        Self {
            evidence,
            prior: prior.gains,
            p_better: better.share_of(&total),
            p_worse: worse.share_of(&total),
            p_matters: matters.share_of(&total),
            p_harmless: 1.0 - harmful.share_of(&total),
        }
    }

    /// Writes the figures of a trial, all of them over the same random seeds.
    pub fn write(&self, found: &mut Findings) {
        let Evidence { pairs, mean, level, .. } = self.evidence;
        found.bpb = Some(level - mean);
        found.delta = Some(-mean);
        found.p_better = Some(self.p_better);
        found.pairs = Some(pairs);
        found.spread = self.evidence.spread();
    }
}

/// Logarithm of the probability of the scatter between pairs, up to a constant, if `tau` is its standard deviation.
pub(super) fn of_spread(evidence: &Evidence, tau: f64) -> f64 {
    -f64::from(evidence.pairs - 1) * tau.ln() - evidence.squares / (2.0 * tau * tau)
}

/// Logarithm of the normal density with this variance, up to a constant.
fn density(x: f64, variance: f64) -> f64 {
    -0.5 * (x * x / variance + variance.ln())
}

/// Logarithm of the normal distribution function. Far below 0 by its asymptotic series, where the function underflows.
fn log_cdf(x: f64) -> f64 {
    if x < -30.0 { -0.5 * x * x - (-x).ln() - 0.5 * (2.0 * PI).ln() } else { Normal::standard().cdf(x).ln() }
}

/// A sum of terms that are given by their logarithms.
struct Sum {
    top: f64,
    /// The sum divided by the exponential of `top`.
    rest: f64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { top: f64::NEG_INFINITY, rest: 0.0 }
    }
}

impl Sum {
    fn add(&mut self, log: f64) {
        if log == f64::NEG_INFINITY {
            return;
        }
        if log > self.top {
            self.rest *= (self.top - log).exp();
            self.top = log;
        }
        self.rest += (log - self.top).exp();
    }

    fn share_of(&self, all: &Self) -> f64 {
        if self.rest == 0.0 { 0.0 } else { (self.rest / all.rest * (self.top - all.top).exp()).clamp(0.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::trial::ChangeKind;

    const LEVEL: f64 = 2.0;

    fn noise() -> Noise {
        Noise::prior(LEVEL)
    }

    /// Pairs with this mean and standard deviation between them, in units of the noise.
    fn posterior(pairs: u32, mean: f64, spread: f64, kind: ChangeKind) -> Posterior {
        let sd = noise().sd();
        let squares = f64::from(pairs - 1) * (spread * sd).powi(2);
        let evidence = Evidence { pairs, mean: mean * sd, squares, of_text: 0.0, level: LEVEL };
        Posterior::new(evidence, &Prior::of(kind), &noise(), 0.5 * sd)
    }

    #[test]
    fn p_better_grows_with_the_gain_and_with_pairs_and_falls_with_their_scatter() {
        let p = |pairs, mean, spread| posterior(pairs, mean, spread, ChangeKind::Structure).p_better;
        let ps: Vec<f64> = (-40..=40).map(|i| p(3, f64::from(i) / 5.0, 1.0)).collect();
        assert!(ps.windows(2).all(|w| w[0] <= w[1] + 1e-9), "{ps:?}");
        assert!(p(2, 2.0, 1.0) < p(4, 2.0, 1.0));
        assert!(p(3, 2.0, 0.5) > p(3, 2.0, 2.0));
        assert!(p(2, -50.0, 1.0) < 1e-6 && p(2, 50.0, 1.0) > 0.999);
    }

    #[test]
    fn the_same_gain_on_one_seed_says_more_of_a_constant_than_of_a_structure() {
        let p = |kind| posterior(1, 1.5, 0.0, kind).p_better;
        let (constant, structure) = (p(ChangeKind::Constant), p(ChangeKind::Structure));
        assert!(constant > 1.5 * structure && structure > 0.1, "{constant} {structure}");
    }

    #[test]
    fn guests_that_tie_are_soon_known_to_differ_by_nothing_that_matters() {
        let tie = posterior(2, 0.0, 0.0, ChangeKind::Constant);
        assert!(tie.p_matters < 1e-3 && tie.p_harmless > 0.99 && tie.p_better < 0.2, "{tie:?}");
    }

    #[test]
    fn probabilities_sum_up_however_far_the_figures_are() {
        for mean in [-1e4, -3.0, 0.0, 3.0, 1e4] {
            for spread in [0.0, 1.0, 1e3] {
                let p = posterior(3, mean, spread, ChangeKind::Constants);
                assert!(p.p_better + p.p_worse <= 1.0 + 1e-9 && p.p_matters <= p.p_better, "{p:?}");
                assert!([p.p_better, p.p_worse, p.p_matters, p.p_harmless].iter().all(|p| (0.0..=1.0).contains(p)));
            }
        }
    }

    #[test]
    fn the_logarithm_of_a_tail_is_continuous() {
        assert!((log_cdf(-30.001) - log_cdf(-29.999)).abs() < 0.1);
        assert!((log_cdf(0.0) - 0.5f64.ln()).abs() < 1e-9);
    }
}
