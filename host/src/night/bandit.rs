//! Who proposes next: a bandit on gain per cost, after the asymmetric UCB of ShinkaEvolve. Pure.
//!
//! Each proposer's turns are remembered with weights that fall by [`DECAY`] with every turn of anybody. A turn's reward is
//! what its mutation gained over the champion, in bits per byte, and never less than nothing: a bold loss is worth as
//! much as a timid one, and what failed before it was scored as little as either. Its cost is one trial's time, and what
//! was paid for it. A proposer's worth is its reward per cost as a share of the best one's, plus a bonus for being tried
//! seldom:
//!
//! ```text
//! worth = (Σ reward / Σ cost) / best + EXPLORATION · √(2 ln(1 + Σ all turns) / its turns)
//! ```

use crate::record::spend::{Caps, Spend};
use std::collections::BTreeMap;

/// Weight that a turn keeps when another one is decided.
pub const DECAY: f64 = 0.95;
/// Weight of the bonus for being tried seldom.
const EXPLORATION: f64 = 0.5;
/// The hundredth part of a cap weighs as much as the time of one trial.
const CAP_IN_TRIALS: f64 = 100.0;

/// What is remembered of one proposer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Record {
    turns: f64,
    reward: f64,
    cost: f64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bandit {
    records: BTreeMap<String, Record>,
}

/// What a turn was worth: what its mutation gained beyond the noise floor's reach, `delta` being candidate less
/// champion. The champion is never worse than parent or baseline.
pub fn reward(delta: Option<f64>, noise_floor: f64) -> f64 {
    let gain = delta.map_or(0.0, |delta| -delta);
    if gain > noise_floor { gain } else { 0.0 }
}

/// What a turn cost, in trials.
pub fn cost(spend: &Spend, caps: &Caps) -> f64 {
    1.0 + CAP_IN_TRIALS * caps.share(spend)
}

impl Bandit {
    /// A turn was decided.
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

    /// The proposers, best first, as indices into `names`; `underway` counts the turns of each that are not decided yet.
    /// Equals stay in order.
    pub fn rank(&self, names: &[&str], underway: &[u32]) -> Vec<usize> {
        let with_underway = |i: usize| {
            let record = names.get(i).and_then(|name| self.records.get(*name)).copied().unwrap_or_default();
            let pending = f64::from(underway.get(i).copied().unwrap_or(0));
            // Until it is decided a turn counts as one that brought nothing: otherwise one proposer would get them all.
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

    /// How many of 200 turns each gets, where every turn of proposer `i` brings `rewards[i]` and costs `costs[i]`.
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
        assert_eq!(reward(Some(0.5), 0.01), 0.0);
        assert_eq!(reward(None, 0.01), 0.0);
        assert_eq!(reward(Some(-0.005), 0.01), 0.0, "within the noise");
        assert_eq!(reward(Some(-0.03), 0.01), 0.03);
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
