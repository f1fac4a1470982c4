//! How much a measured gain scatters: by the spread of its own pairs, and by those of all trials of its kind.

use crate::propose::evolve::model::run::{Measured, Result, Run};
use crate::record::trial::ChangeKind;

/// Spread between random seeds by kind, as a share of what unrelated runs show, before any pair. As the judge believes.
const FIRST: [(ChangeKind, f64); 3] =
    [(ChangeKind::Constant, 0.3), (ChangeKind::Constants, 0.5), (ChangeKind::Structure, 0.8)];
/// Pairs that this first guess counts as.
const STRENGTH: f64 = 4.0;
/// Pairs that the spread of all trials of a kind counts as, for one of them.
const OF_KIND: f64 = 6.0;

/// Variances of the gain of one pair, by kind.
#[derive(Clone, Debug)]
pub struct Noise([(ChangeKind, f64); 3]);

impl Noise {
    /// `sd` is the standard deviation of a score between random seeds.
    pub fn of(runs: &[Run], sd: f64) -> Self {
        Self(FIRST.map(|(kind, share)| {
            let first = 2.0 * share * share * sd * sd;
            let (mut squares, mut degrees) = (STRENGTH * first, STRENGTH);
            for run in runs {
                if let Result::Measured(Measured { pairs, spread: Some(spread), kind: of, .. }) = run.result
                    && of == kind
                    && pairs > 1
                {
                    let more = f64::from(pairs - 1);
                    // One unstable guest does not speak for its kind.
                    squares += more * (spread * spread).min(16.0 * first);
                    degrees += more;
                }
            }
            (kind, squares / degrees)
        }))
    }

    /// Variance of the mean gain of a trial.
    pub fn variance(&self, measured: &Measured) -> f64 {
        let of_kind = self.0.iter().find(|(kind, _)| *kind == measured.kind).map_or(0.0, |(_, variance)| *variance);
        let pairs = f64::from(measured.pairs.max(1));
        let own = measured.spread.map_or(0.0, |spread| spread * spread) * (pairs - 1.0);
        (OF_KIND * of_kind + own) / (OF_KIND + pairs - 1.0) / pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_pairs_moves_the_noise_of_its_kind_and_a_trial_knows_its_own() {
        let measured = |pairs, spread| Measured { gain: 0.0, pairs, spread, kind: ChangeKind::Constant, kept: false };
        let run = |measured| Run { champion: 0, changes: Vec::new(), result: Result::Measured(measured) };
        let before = Noise::of(&[], 0.01);
        let runs: Vec<Run> = (0..20).map(|_| run(measured(4, Some(0.001)))).collect();
        let after = Noise::of(&runs, 0.01);
        let one = measured(1, None);
        assert!(after.variance(&one) < 0.3 * before.variance(&one));
        let structure = Measured { kind: ChangeKind::Structure, ..one };
        assert_eq!(after.variance(&structure), before.variance(&structure));
        let (calm, wild) = (measured(8, Some(0.001)), measured(8, Some(0.01)));
        assert!(before.variance(&wild) > 2.0 * before.variance(&calm));
        assert!(before.variance(&calm) < before.variance(&one) / 8.0);
    }
}
