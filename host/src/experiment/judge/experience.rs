//! What the trials of a night teach about the next one (empirical Bayes): how often whose changes gain, and how the
//! gains of a kind of change scatter over seeds.
//!
//! The share of gains of an operator starts as the share of all trials, and its own trials move it. So an operator that
//! was never tried is believed as much as the others, and bad luck in its first trials moves little. A model or a
//! program is one operator. Who tries a mutation does not count: a recorded night judges as the first one did.

use crate::experiment::judge::noise::Noise;
use crate::experiment::judge::pairs::Evidence;
use crate::experiment::judge::posterior::of_spread;
use crate::experiment::judge::prior::{GAINS, Prior, SPREADS, first_spreads};
use crate::record::ending::Ending;
use crate::record::trial::{ChangeKind, Trial};
use std::collections::BTreeMap;

/// Number of trials that a share of the level above counts as.
const STRENGTH: f64 = 20.0;
/// Number of trials that the first belief about scatter counts as.
const SPREAD_STRENGTH: f64 = 6.0;
/// Bounds of a believed share of gains: nobody's next change is a sure gain or a sure loss.
const LEAST: f64 = 0.02;
const MOST: f64 = 0.5;

/// Trials, and how many of them probably were gains.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    trials: f64,
    gains: f64,
}

impl Count {
    fn add(&mut self, p_better: f64) {
        self.trials += 1.0;
        self.gains += p_better;
    }

    fn share(&self, above: f64) -> f64 {
        (STRENGTH * above + self.gains) / (STRENGTH + self.trials)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experience {
    all: Count,
    operators: BTreeMap<String, Count>,
    spreads: BTreeMap<ChangeKind, [f64; SPREADS.len()]>,
}

impl Experience {
    /// Learns from a trial that was judged in pairs. Others teach nothing here.
    pub fn observe(&mut self, trial: &Trial, noise: &Noise) {
        if trial.found.verdict == Ending::Screened {
            // Its verdict will count, if it is judged.
            return;
        }
        let judged = matches!(trial.found.verdict, Ending::Discard | Ending::Noise);
        if judged && trial.found.prior.is_some() && trial.found.pairs.is_none() {
            // A shorter run dropped it.
            self.all.add(0.0);
            self.operators.entry(trial.operator.clone()).or_default().add(0.0);
            return;
        }
        let (Some(p_better), Some(pairs)) = (trial.found.p_better, trial.found.pairs) else { return };
        if !(0.0..=1.0).contains(&p_better) {
            return;
        }
        self.all.add(p_better);
        self.operators.entry(trial.operator.clone()).or_default().add(p_better);
        if let (Some(kind), Some(spread)) = (trial.found.change, trial.found.spread)
            && pairs > 1
            && spread.is_finite()
        {
            self.learn_spread(kind, pairs, spread, noise);
        }
    }

    /// Adds the posterior of the scatter alone: the mean of the pairs says whether a trial ended early, so it would
    /// mislead.
    fn learn_spread(&mut self, kind: ChangeKind, pairs: u32, spread: f64, noise: &Noise) {
        let squares = spread * spread * f64::from(pairs - 1);
        let evidence = Evidence { pairs, mean: 0.0, squares, of_text: 0.0, level: 1.0 };
        let before = self.spreads(kind);
        let logs: Vec<f64> = SPREADS.iter().map(|share| of_spread(&evidence, share * noise.of_difference())).collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let after: Vec<f64> = logs.iter().zip(before).map(|(log, p)| p * (log - top).exp()).collect();
        let sum: f64 = after.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return;
        }
        let learnt = self.spreads.entry(kind).or_default();
        learnt.iter_mut().zip(after).for_each(|(learnt, p)| *learnt += p / sum);
    }

    fn spreads(&self, kind: ChangeKind) -> [f64; SPREADS.len()] {
        let mut spreads = first_spreads(kind).map(|p| p * SPREAD_STRENGTH);
        if let Some(learnt) = self.spreads.get(&kind) {
            spreads.iter_mut().zip(learnt).for_each(|(spread, learnt)| *spread += learnt);
        }
        let sum: f64 = spreads.iter().sum();
        spreads.map(|spread| spread / sum)
    }

    /// What is believed of the next change of this kind by this operator.
    pub fn prior(&self, operator: &str, kind: ChangeKind) -> Prior {
        let mut gains = self.all.share(GAINS);
        if let Some(count) = self.operators.get(operator) {
            gains = count.share(gains);
        }
        Prior { gains: gains.clamp(LEAST, MOST), spreads: self.spreads(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::trial::Findings;

    fn trial(operator: &str, p_better: f64, pairs: u32, spread: Option<f64>) -> Trial {
        let kind = ChangeKind::Structure;
        let found = Findings {
            p_better: Some(p_better),
            pairs: Some(pairs),
            spread,
            change: Some(kind),
            ..Findings::new(Ending::Noise)
        };
        Trial { operator: operator.into(), ..Trial::baseline("", found) }
    }

    #[test]
    fn an_operator_is_believed_by_its_own_trials_and_a_new_one_by_those_of_all() {
        let noise = Noise::prior(2.0);
        let mut experience = Experience::default();
        let gains = |experience: &Experience, of| experience.prior(of, ChangeKind::Structure).gains;
        assert_eq!(gains(&experience, "x"), GAINS);
        for _ in 0..40 {
            experience.observe(&trial("x", 0.9, 1, None), &noise);
            experience.observe(&trial("y", 0.01, 1, None), &noise);
        }
        let [good, bad, unknown] = ["x", "y", "z"].map(|of| gains(&experience, of));
        assert!(MOST >= good && good > unknown && unknown > bad && bad >= LEAST, "{good} {unknown} {bad}");
    }

    #[test]
    fn scatter_between_pairs_moves_the_belief_about_its_kind_alone() {
        let noise = Noise::prior(2.0);
        let mut experience = Experience::default();
        let calm = Some(0.1 * noise.of_difference());
        for _ in 0..30 {
            experience.observe(&trial("x", 0.1, 4, calm), &noise);
        }
        let belief = |kind| experience.prior("x", kind).spreads[..3].iter().sum::<f64>();
        assert!(belief(ChangeKind::Structure) > 0.7, "{}", belief(ChangeKind::Structure));
        let others = experience.prior("x", ChangeKind::Constant).spreads;
        let before = Prior::of(ChangeKind::Constant).spreads;
        assert!(others.iter().zip(before).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn what_a_shorter_run_dropped_counts_and_trials_of_the_first_version_do_not() {
        let noise = Noise::prior(2.0);
        let gains = |prior| {
            let mut dropped = trial("x", 0.0, 1, None);
            (dropped.found.p_better, dropped.found.pairs, dropped.found.prior) = (None, None, prior);
            let mut experience = Experience::default();
            experience.observe(&dropped, &noise);
            experience.prior("x", ChangeKind::Structure).gains
        };
        assert!(gains(Some(0.1)) < GAINS && gains(None) == GAINS);
    }

    #[test]
    fn odd_figures_of_a_store_teach_nothing() {
        let noise = Noise::prior(2.0);
        let mut experience = Experience::default();
        for (p, spread) in
            [(f64::NAN, None), (7.0, None), (0.5, Some(f64::INFINITY)), (0.5, Some(0.0)), (0.5, Some(1e300))]
        {
            experience.observe(&trial("x", p, 3, spread), &noise);
        }
        let prior = experience.prior("x", ChangeKind::Structure);
        assert!((prior.spreads.iter().sum::<f64>() - 1.0).abs() < 1e-9 && prior.gains.is_finite(), "{prior:?}");
    }
}
