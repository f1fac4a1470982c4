//! Prices as whole numbers, so that sums are exact. Pure.

use crate::record::spend::Spend;

/// Prices in millionths of a micro-dollar per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    input: u64,
    output: u64,
}

/// Number of [`Prices`] units in a micro-dollar.
const UNITS: u128 = 1_000_000;

impl Prices {
    /// Converts US dollars per million tokens, which equal micro-dollars per token.
    pub fn per_million(input_usd: f64, output_usd: f64) -> Self {
        // A cast saturates, and converts NaN to zero.
        let units = |usd: f64| (usd * UNITS as f64).round() as u64;
        Self { input: units(input_usd), output: units(output_usd) }
    }

    /// The cost of tokens in micro-dollars, rounded up.
    pub fn micro_dollars(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let input = u128::from(input_tokens) * u128::from(self.input);
        let output = u128::from(output_tokens) * u128::from(self.output);
        u64::try_from(input.saturating_add(output).div_ceil(UNITS)).unwrap_or(u64::MAX)
    }

    /// The spending of one request with these tokens.
    pub fn request(&self, input_tokens: u64, output_tokens: u64) -> Spend {
        let micro_dollars = self.micro_dollars(input_tokens, output_tokens);
        Spend { requests: 1, input_tokens, output_tokens, micro_dollars }
    }
}

/// Estimated tokens of a text without a reported number: four bytes each.
pub(super) fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_are_exact_and_rounded_up() {
        let prices = Prices::per_million(3.0, 15.0);
        assert_eq!(prices.micro_dollars(1_000_000, 0), 3_000_000);
        assert_eq!(prices.micro_dollars(1000, 100), 4500);
        assert_eq!(Prices::per_million(0.000_001, 0.0).micro_dollars(1, 0), 1);
        assert_eq!(Prices::per_million(0.15, 0.6).micro_dollars(10, 10), 8);
        assert_eq!(Prices::per_million(f64::NAN, -1.0), Prices::default());
        assert_eq!(Prices::per_million(1e300, 1e300).micro_dollars(u64::MAX, u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn more_tokens_never_cost_less(input in 0u64..1 << 40, output in 0u64..1 << 40, price in 0.0f64..1000.0) {
            let prices = Prices::per_million(price, price);
            prop_assert!(prices.micro_dollars(input + 1, output) >= prices.micro_dollars(input, output));
            prop_assert!(prices.micro_dollars(input, output + 1) >= prices.micro_dollars(input, output));
        }
    }
}
