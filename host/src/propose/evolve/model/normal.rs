//! Normal deviates with the same bits on every machine.

use crate::propose::evolve::random::Random;

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
    fn deviates_are_normal() {
        let random = &mut Random::new(1, 1);
        let draws: Vec<f64> = (0..10_000).map(|_| deviate(random)).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
