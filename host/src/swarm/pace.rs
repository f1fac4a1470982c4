//! How long runs take, so that one that takes much longer is noticed. Pure; no result depends on it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Runs of a budget that are remembered.
const REMEMBERED: usize = 16;
/// Runs of a budget that have to be known before one of it is slow.
const ENOUGH: usize = 3;
/// A run is slow if it takes this many times as long as the median.
const SLOW: u32 = 2;
/// Machines differ by this much for no reason.
const ALLOWANCE: Duration = Duration::from_secs(5);
/// Most budgets that are remembered.
const MOST_BUDGETS: usize = 64;

/// Wall times of the last runs, by budget in picoseconds.
#[derive(Debug, Default)]
pub struct Pace(BTreeMap<u64, VecDeque<Duration>>);

impl Pace {
    pub fn ended(&mut self, budget_ps: u64, wall: Duration) {
        if self.0.len() >= MOST_BUDGETS && !self.0.contains_key(&budget_ps) {
            return;
        }
        let walls = self.0.entry(budget_ps).or_default();
        walls.push_back(wall);
        if walls.len() > REMEMBERED {
            walls.pop_front();
        }
    }

    /// Whether a run of this budget that has taken so long is slow.
    pub fn is_slow(&self, budget_ps: u64, wall: Duration) -> bool {
        let Some(walls) = self.0.get(&budget_ps).filter(|walls| walls.len() >= ENOUGH) else { return false };
        let mut walls: Vec<Duration> = walls.iter().copied().collect();
        walls.sort_unstable();
        walls.get(walls.len() / 2).is_some_and(|median| wall > *median * SLOW + ALLOWANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_slow_beside_others_of_its_budget() {
        let (mut pace, second) = (Pace::default(), Duration::from_secs(1));
        for wall in [10, 12, 11] {
            assert!(!pace.is_slow(7, 1000 * second), "too few are known");
            pace.ended(7, wall * second);
        }
        assert!(!pace.is_slow(7, 27 * second));
        assert!(pace.is_slow(7, 28 * second));
        assert!(!pace.is_slow(8, 1000 * second), "another budget");
        (0..REMEMBERED).for_each(|_| pace.ended(7, 100 * second));
        assert!(!pace.is_slow(7, 28 * second), "what was long ago does not count");
    }
}
