//! The normal distribution, with the same bits on every machine.

use crate::propose::evolve::random::Random;

/// The probability that a standard normal deviate is less than `x`.
pub fn below(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// A standard normal deviate, by the polar method of Marsaglia.
pub fn deviate(random: &mut Random) -> f64 {
    loop {
        let (u, v) = (2.0 * random.uniform() - 1.0, 2.0 * random.uniform() - 1.0);
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return u * (-2.0 * libm::log(s) / s).sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_tables() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.645, 0.049_984_906), (9.0, 1.0)] {
            assert!((below(x) - p).abs() < 1e-8, "{x}: {}", below(x));
        }
    }

    #[test]
    fn deviates_are_normal() {
        let random = &mut Random::new(1, 1);
        let draws: Vec<f64> = (0..10_000).map(|_| deviate(random)).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
