//! The rule of selection: what comes after each pair.

use crate::experiment::judge::posterior::Posterior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What counts as a gain, as a policy says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Number of replicas of the baseline, which measure the noise.
    pub replicas: u32,
    /// P(better) needed for a keep.
    pub keep_probability: f64,
    /// A candidate is dropped when a gain that matters is less probable than this share of what a gain was before its
    /// first run.
    pub drop_share: f64,
    /// The least gain that matters, as a share of the noise of one score.
    pub least_gain: f64,
    /// Random seeds on which a candidate meets the champion before it may be kept.
    pub least_seeds: u32,
    /// Random seeds on which it meets the champion at most.
    pub most_seeds: u32,
    /// Whether a candidate that is as good as the champion and shorter is kept.
    pub keep_shorter: bool,
    /// Budgets in seconds of shorter runs that a candidate passes first, shortest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<f64>,
    /// A kept mutation meets its predecessor on one more random seed after each such number of trials. 0 means never.
    pub recheck_every: u32,
    /// Policies of version 0.1 had a fixed number of random seeds. It is read and has no effect.
    #[serde(skip_serializing)]
    pub fresh_seeds: Option<u32>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            replicas: 3,
            keep_probability: 0.95,
            drop_share: 0.7,
            least_gain: 0.5,
            least_seeds: 2,
            most_seeds: 16,
            keep_shorter: true,
            rungs: Vec::new(),
            recheck_every: 10,
            fresh_seeds: None,
        }
    }
}

/// What comes after a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// One more random seed.
    Seed,
    /// Better, if the confirm split agrees.
    Better,
    /// As good and shorter, if the confirm split agrees.
    Shorter,
    /// Worse.
    Worse,
    /// A gain that matters is improbable.
    NoGain,
    /// All random seeds are used, and nothing is proven.
    NotProven,
}

impl Selection {
    /// Decides after a pair. `is_shorter` says whether the candidate's source has fewer tokens than the champion's.
    pub fn next(&self, p: &Posterior, is_shorter: bool) -> Next {
        let pairs = p.evidence.pairs;
        let is_enough = pairs >= self.least_seeds;
        if is_enough && p.p_better >= self.keep_probability {
            return Next::Better;
        }
        if is_shorter && self.keep_shorter {
            if is_enough && p.p_harmless >= self.keep_probability {
                return Next::Shorter;
            }
            let is_worse = p.p_worse >= self.keep_probability;
            if p.p_harmless >= HOPE_OF_SHORTER && !is_worse && pairs < self.most_seeds {
                return Next::Seed;
            }
        }
        if p.p_worse >= self.keep_probability {
            Next::Worse
        } else if p.p_matters < self.drop_share * p.prior {
            Next::NoGain
        } else if pairs < self.most_seeds {
            Next::Seed
        } else {
            Next::NotProven
        }
    }
}

/// A shorter candidate gets further seeds as long as it is this probable that it loses nothing that matters.
const HOPE_OF_SHORTER: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::judge::Evidence;

    fn posterior(pairs: u32, better: f64, matters: f64, worse: f64, harmless: f64) -> Posterior {
        let evidence = Evidence { pairs, mean: 0.0, squares: 0.0, of_text: 0.0, level: 2.0 };
        Posterior { evidence, prior: 0.1, p_better: better, p_matters: matters, p_worse: worse, p_harmless: harmless }
    }

    #[test]
    fn a_keep_needs_seeds_and_probability() {
        let rule = Selection::default();
        let next = |pairs, better| rule.next(&posterior(pairs, better, better, 0.0, 1.0), false);
        assert_eq!([next(1, 0.999), next(2, 0.96), next(2, 0.9)], [Next::Seed, Next::Better, Next::Seed]);
        assert_eq!([next(16, 0.9), next(16, 0.96)], [Next::NotProven, Next::Better]);
    }

    #[test]
    fn what_is_hopeless_is_dropped_at_once() {
        let rule = Selection::default();
        assert_eq!(rule.next(&posterior(1, 0.1, 0.05, 0.5, 0.4), false), Next::NoGain);
        assert_eq!(rule.next(&posterior(1, 0.0, 0.0, 0.97, 0.4), false), Next::Worse);
    }

    #[test]
    fn as_good_and_shorter_is_kept_where_the_policy_says_so() {
        let rule = Selection::default();
        let equal = |pairs, harmless| posterior(pairs, 0.1, 0.01, 0.2, harmless);
        assert_eq!(rule.next(&equal(1, 0.97), true), Next::Seed);
        assert_eq!(rule.next(&equal(2, 0.97), true), Next::Shorter);
        assert_eq!(rule.next(&equal(2, 0.4), true), Next::NoGain);
        assert_eq!(rule.next(&equal(2, 0.97), false), Next::NoGain);
        let rule = Selection { keep_shorter: false, ..rule };
        assert_eq!(rule.next(&equal(2, 0.97), true), Next::NoGain);
    }
}
