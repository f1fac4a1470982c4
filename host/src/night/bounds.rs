//! When a night ends: the bounds of the policy or of the command line, less what the night has used. Pure.

use crate::policy::Search;
use crate::record::store::NightUsed;

/// Bounds of a night.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Number of trained mutations.
    pub experiments: Option<u64>,
    pub hours: Option<f64>,
}

impl Bounds {
    /// The rest of the policy's bounds, after what the night has used already.
    pub(super) fn rest_of(policy: &Search, used: &NightUsed) -> Self {
        let hours = used.wall_ms as f64 / 3.6e6;
        Self {
            experiments: policy.experiments.map(|bound| bound.saturating_sub(used.trained)),
            hours: policy.hours.map(|bound| bound - hours),
        }
    }

    /// Fills in missing bounds from `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self { experiments: self.experiments.or(others.experiments), hours: self.hours.or(others.hours) }
    }

    /// Whether `trained` mutations or `hours` reach a bound.
    pub(super) fn are_reached(&self, trained: u64, hours: f64) -> bool {
        self.experiments.is_some_and(|n| trained >= n) || self.hours.is_some_and(|bound| hours >= bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policys_bounds_are_what_the_night_has_left_of_them() {
        let policy = Search { experiments: Some(10), hours: Some(2.0), ..Search::default() };
        let used = NightUsed { trained: 4, wall_ms: 1_800_000 };
        let left = Bounds::rest_of(&policy, &used);
        assert_eq!((left.experiments, left.hours), (Some(6), Some(1.5)));
        let more = NightUsed { trained: 40, wall_ms: 36_000_000 };
        let left = Bounds::rest_of(&policy, &more);
        assert_eq!((left.experiments, left.hours), (Some(0), Some(-8.0)));
        assert!(left.are_reached(0, 0.0));
        let typed = Bounds { experiments: Some(3), hours: Some(1.0) }.or(Bounds::rest_of(&policy, &used));
        assert_eq!((typed.experiments, typed.hours), (Some(3), Some(1.0)));
    }
}
