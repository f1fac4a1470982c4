//! Computes nats from logits in f64, with only additions, multiplications and divisions. The bits of a score are then
//! the same on every machine, which a system's `exp` and `ln` do not guarantee. Pure.

const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Negative log-likelihood of `target` under softmax(`logits`), in nats. `None` if a logit is not finite, or if the
/// target is not in the vocabulary.
pub fn nats(logits: &[f32], target: usize) -> Option<f64> {
    let chosen = f64::from(*logits.get(target)?);
    let max = largest(logits)?;
    let sum: f64 = logits.iter().map(|&logit| exp(f64::from(logit) - max)).sum();
    Some(ln(sum) - (chosen - max))
}

/// The largest logit. `None` if there are no logits or one is not finite.
pub fn largest(logits: &[f32]) -> Option<f64> {
    let mut max = None;
    for &logit in logits {
        if !logit.is_finite() {
            return None;
        }
        let logit = f64::from(logit);
        max = Some(max.map_or(logit, |max: f64| if logit > max { logit } else { max }));
    }
    max
}

/// e^x for x ≤ 0: x = k·ln 2 + r with |r| ≤ ln 2 / 2, e^r by its Taylor series to r^13 (error below 2^−55).
pub fn exp(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    let k = (x * std::f64::consts::LOG2_E - 0.5) as i64;
    let r = (x - k as f64 * LN2_HIGH) - k as f64 * LN2_LOW;
    let mut series = 1.0;
    for n in (1..=13).rev() {
        series = 1.0 + series * r / f64::from(n);
    }
    series * power_of_two(k)
}

/// ln x for finite x ≥ 1: x = 2^k·m with m in [√½, √2), ln m = 2 artanh((m − 1)/(m + 1)) by its series to the 25th
/// power (error below 2^−55).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut k = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    let f = (m - 1.0) / (m + 1.0);
    let square = f * f;
    let mut series = 0.0;
    for n in (0..=12).rev() {
        series = series * square + 1.0 / f64::from(2 * n + 1);
    }
    k as f64 * LN2_HIGH + (2.0 * f * series + k as f64 * LN2_LOW)
}

fn power_of_two(k: i64) -> f64 {
    f64::from_bits((k.clamp(-1022, 1023) + 1023).unsigned_abs() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_is_the_library_s_within_two_ulps(x in -700.0f64..=0.0) {
            prop_assert!((exp(x) / x.exp() - 1.0).abs() < 5e-16);
        }

        #[test]
        fn ln_is_the_library_s_within_two_ulps(x in 1.0f64..1e6) {
            prop_assert!((ln(x) - x.ln()).abs() <= 5e-16 * x.ln().max(1.0));
        }

        #[test]
        fn probabilities_sum_to_one(logits in prop::collection::vec(-50.0f32..50.0, 1..300)) {
            let total: f64 = (0..logits.len()).map(|i| (-nats(&logits, i).unwrap()).exp()).sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_bits_are_pinned() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(-1.0).to_bits(), std::f64::consts::E.recip().to_bits());
        assert_eq!(ln(2.0).to_bits(), std::f64::consts::LN_2.to_bits());
        assert_eq!(exp(-1000.0), 0.0);
    }

    #[test]
    fn what_cannot_be_scored_is_none() {
        assert_eq!(nats(&[0.0, f32::NAN], 0), None);
        assert_eq!(nats(&[0.0, f32::INFINITY], 0), None);
        assert_eq!(nats(&[0.0], 1), None);
        assert_eq!(nats(&[], 0), None);
    }
}
