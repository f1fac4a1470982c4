//! How much the scores of one guest scatter over random seeds.

use std::f64::consts::SQRT_2;

/// Prior standard deviation of a score over random seeds, as a share of the score. Measured on the seed guest: 0.0064
/// at a budget of 6 s, 0.0037 at 20 s.
const PRIOR_NOISE: f64 = 0.004;
/// Degrees of freedom of this prior.
const PRIOR_DEGREES: f64 = 3.0;

/// The noise of one guest's score over random seeds, in bits per byte. It starts from a prior worth a few degrees of
/// freedom (a scaled inverse χ² distribution of the variance), because the standard deviation of only three replicas is
/// often much too small.
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

    /// Standard deviation of the difference between two runs that have nothing in common.
    pub fn of_difference(&self) -> f64 {
        SQRT_2 * self.sd()
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_pools_replicas() {
        let prior = Noise::prior(2.0);
        assert!((prior.sd() - 0.008).abs() < 1e-12);
        let noise = prior.observe(&[2.0, 2.01, 1.99]);
        assert!((noise.variance() - (3.0 * 6.4e-5 + 2e-4) / 5.0).abs() < 1e-12);
        assert_eq!(prior.observe(&[2.0]), prior);
        assert_eq!(prior.observe(&[2.0, f64::NAN]), prior);
    }
}
