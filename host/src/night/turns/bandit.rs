//! Decides who proposes next: a bandit on gain per cost, after the asymmetric UCB of ShinkaEvolve. Pure.
//!
//! The bandit remembers the turns of each proposer. The weight of each turn falls by the factor [`DECAY`] with every
//! new turn of any proposer. The reward of a turn is the gain of its mutation over the champion in bits per byte, and 0
//! for every loss and failure: a bold attempt is not punished more than a timid one. The cost of a turn is the time of
//! one trial plus the price of the proposal. The worth of a proposer is its reward per cost, relative to the best
//! proposer, plus a bonus for few turns:
//!
//! ```text
//! worth = (Σ reward / Σ cost) / best + EXPLORATION · √(2 ln(1 + Σ all turns) / its turns)
//! ```

use crate::record::spend::{Caps, Spend};
use std::collections::BTreeMap;

/// The weight of a turn is multiplied by this factor when another turn is decided.
pub const DECAY: f64 = 0.95;
/// Weight of the bonus for few turns.
const EXPLORATION: f64 = 0.5;
/// Cost of a whole cap, in trials: one hundredth of a cap costs the same as one trial.
const CAP_IN_TRIALS: f64 = 100.0;

/// Decayed sums over the turns of one proposer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Record {
    turns: f64,
    reward: f64,
    cost: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bandit {
    records: BTreeMap<String, Record>,
}

/// Reward of a turn: the gain of its mutation, if it is one more probably than not. `delta` is candidate minus
/// champion. The champion is never worse than the parent or the baseline.
pub fn reward(delta: Option<f64>, p_better: Option<f64>) -> f64 {
    let gain = delta.map_or(0.0, |delta| (-delta).max(0.0));
    if p_better.is_some_and(|p| p > 0.5) { gain } else { 0.0 }
}

/// Cost of a turn, in trials.
pub fn cost(spend: &Spend, caps: &Caps) -> f64 {
    1.0 + CAP_IN_TRIALS * caps.share(spend)
}

impl Bandit {
    /// Records a decided turn.
    pub fn observe(&mut self, proposer: &str, reward: f64, cost: f64) {
        for record in self.records.values_mut() {
            record.turns *= DECAY;
            record.reward *= DECAY;
            record.cost *= DECAY;
        }
        let record = self.records.entry(proposer.into()).or_default();
        record.turns += 1.0;
        record.reward += if reward.is_finite() { reward.max(0.0) } else { 0.0 };
        record.cost += if cost.is_finite() { cost.max(1.0) } else { 1.0 };
    }

    /// Ranks the proposers, best first, as indices into `names`. `underway` counts each proposer's undecided turns.
    /// Proposers of equal worth keep their order.
    pub fn rank(&self, names: &[&str], underway: &[u32]) -> Vec<usize> {
        let with_underway = |i: usize| {
            let record = names.get(i).and_then(|name| self.records.get(*name)).copied().unwrap_or_default();
            let pending = f64::from(underway.get(i).copied().unwrap_or(0));
            // An undecided turn counts as a turn without reward. Otherwise one proposer would get all turns.
            Record { turns: record.turns + pending, cost: record.cost + pending, ..record }
        };
        let records: Vec<Record> = (0..names.len()).map(with_underway).collect();
        let rate = |r: &Record| if r.cost > 0.0 { r.reward / r.cost } else { 0.0 };
        let best = records.iter().map(rate).fold(0.0, f64::max);
        let all: f64 = records.iter().map(|r| r.turns).sum();
        let worth = |r: &Record| {
            if r.turns <= 0.0 {
                return f64::INFINITY;
            }
            let share = if best > 0.0 { rate(r) / best } else { 0.0 };
            share + EXPLORATION * (2.0 * (1.0 + all).ln() / r.turns).sqrt()
        };
        let mut order: Vec<(usize, f64)> = records.iter().map(worth).enumerate().collect();
        order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        order.into_iter().map(|(i, _)| i).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: [&str; 2] = ["a", "b"];

    fn after(turns: &[(&str, f64, f64)]) -> Bandit {
        let mut bandit = Bandit::default();
        turns.iter().for_each(|(name, reward, cost)| bandit.observe(name, *reward, *cost));
        bandit
    }

    /// Simulates 200 turns and counts the turns of each proposer. Every turn of proposer `i` brings `rewards[i]` and
    /// costs `costs[i]`.
    fn shares(rewards: [f64; 2], costs: [f64; 2]) -> [usize; 2] {
        let (mut bandit, mut counts) = (Bandit::default(), [0, 0]);
        for _ in 0..200 {
            let first = bandit.rank(&TWO, &[0, 0])[0];
            bandit.observe(TWO[first], rewards[first], costs[first]);
            counts[first] += 1;
        }
        counts
    }

    #[test]
    fn who_gains_more_gets_more_turns_and_nobody_is_forgotten() {
        let [a, b] = shares([0.01, 0.002], [1.0, 1.0]);
        assert!(a > 2 * b && b > 5, "{a} {b}");
        assert_eq!(shares([0.0, 0.0], [1.0, 1.0]), [100, 100], "nothing gained: turn by turn");
    }

    #[test]
    fn cost_counts() {
        let [a, b] = shares([0.01, 0.01], [1.0, 10.0]);
        assert!(a > 2 * b, "{a} {b}");
    }

    #[test]
    fn a_loss_is_no_worse_than_nothing_and_a_failure_no_better() {
        assert_eq!(reward(Some(0.5), Some(0.1)), 0.0);
        assert_eq!(reward(None, None), 0.0);
        assert_eq!(reward(Some(-0.03), None), 0.0);
        assert_eq!(reward(Some(-0.03), Some(0.4)), 0.0, "chance");
        assert_eq!(reward(Some(-0.03), Some(0.9)), 0.03);
        let one_gain = ("a", 0.02, 1.0);
        let failing = after(&[one_gain, ("a", 0.0, 1.0), ("a", 0.0, 1.0), ("b", 0.02, 1.0), ("b", 0.02, 1.0)]);
        assert_eq!(failing.rank(&TWO, &[0, 0])[0], 1, "two failures weigh on a");
    }

    #[test]
    fn old_gains_fade() {
        let mut bandit = after(&[("a", 0.1, 1.0)]);
        for _ in 0..60 {
            bandit.observe("b", 0.01, 1.0);
            bandit.observe("a", 0.0, 1.0);
        }
        assert_eq!(bandit.rank(&TWO, &[0, 0])[0], 1);
    }

    #[test]
    fn the_untried_come_first_in_order_and_turns_under_way_count() {
        let bandit = Bandit::default();
        assert_eq!(bandit.rank(&["a", "b", "c"], &[0, 0, 0]), [0, 1, 2]);
        assert_eq!(bandit.rank(&["a", "b", "c"], &[1, 0, 0]), [1, 2, 0]);
        let even = after(&[("a", 0.0, 1.0), ("b", 0.0, 1.0)]);
        assert_eq!(even.rank(&TWO, &[0, 1]), [0, 1]);
        assert_eq!(even.rank(&TWO, &[2, 0]), [1, 0]);
    }

    #[test]
    fn a_hundredth_of_a_cap_weighs_as_much_as_a_trial() {
        let caps = Caps { micro_dollars: Some(2_000_000), requests: Some(1000), tokens: None };
        let spend = Spend { requests: 1, micro_dollars: 20_000, input_tokens: 9000, output_tokens: 1000 };
        assert_eq!(cost(&spend, &caps), 2.0);
        assert_eq!(cost(&spend, &Caps::default()), 1.0);
    }

    proptest! {
        #[test]
        fn every_ranking_is_a_permutation(turns in prop::collection::vec((0usize..3, any::<f64>(), any::<f64>()), 0..60)) {
            let names = ["a", "b", "c"];
            let mut bandit = Bandit::default();
            for (who, reward, cost) in turns {
                bandit.observe(names[who], reward, cost);
            }
            let mut ranked = bandit.rank(&names, &[0, 0, 0]);
            ranked.sort();
            prop_assert_eq!(ranked, [0, 1, 2]);
        }
    }
}
