//! What is believed of a change before it runs: whether it gains, how much, and how its gain scatters over seeds.

use crate::record::trial::ChangeKind;

/// Possible standard deviations of a gain between random seeds, as shares of what two unrelated runs would show
/// ([`Noise::of_difference`](crate::experiment::judge::Noise::of_difference)). Changes of constants keep most of what a
/// seed does, so their gains scatter little; an unstable guest scatters more than an unrelated one.
pub const SPREADS: [f64; 9] = [0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0];

/// Sizes of effects: weight, and scale as a share of the score. Most are small, a few are large.
pub(super) const EFFECTS: [(f64, f64); 3] = [(0.6, 0.005), (0.3, 0.02), (0.1, 0.08)];
/// Of the changes that gain nothing, the share that changes nothing. The others lose.
pub(super) const NEUTRAL: f64 = 0.35;
/// Share of changes that gain, before anything is known. Published nights kept 3% to 18%, some of them by luck.
pub(super) const GAINS: f64 = 0.1;

/// What is believed of one change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Probability of a gain.
    pub gains: f64,
    /// Probability of each of [`SPREADS`]. They sum up to 1.
    pub spreads: [f64; SPREADS.len()],
}

impl Prior {
    /// The belief about a change of this kind in a night that has tried nothing yet.
    pub fn of(kind: ChangeKind) -> Self {
        Self { gains: GAINS, spreads: first_spreads(kind) }
    }
}

/// Measured on the seed guest at 6 s and 20 s: single constants 0.05 to 0.5, activations 0.6 to 1.3.
pub(super) const fn first_spreads(kind: ChangeKind) -> [f64; SPREADS.len()] {
    match kind {
        ChangeKind::Constant => [0.12, 0.15, 0.18, 0.20, 0.15, 0.10, 0.05, 0.03, 0.02],
        ChangeKind::Constants => [0.06, 0.09, 0.13, 0.19, 0.20, 0.18, 0.08, 0.04, 0.03],
        ChangeKind::Structure => [0.01, 0.02, 0.05, 0.12, 0.22, 0.30, 0.16, 0.08, 0.04],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beliefs_are_probabilities() {
        for kind in ChangeKind::ALL {
            let sum: f64 = Prior::of(kind).spreads.iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{kind:?}: {sum}");
        }
        assert!((EFFECTS.iter().map(|(weight, _)| weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
