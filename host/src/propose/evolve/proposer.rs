//! The offline proposer in a night: converts the night's past into the history that [`Evolve`] learns from. Pure.

use crate::guest::source::Source;
use crate::propose::evolve::constants::Constant;
use crate::propose::evolve::search::{self, Evolve, History, Trial, steps_between};
use crate::propose::proposer::{Desk, Past, Proposal, ProposeError, Proposer, Situation};
use crate::record::ending::Ending;
use crate::record::key::SourceKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The offline proposer, with what it has derived from the past so far.
#[derive(Default)]
pub struct Offline {
    trials: BTreeMap<u64, Trial>,
}

impl Offline {
    /// Its name in policies, logs and the store.
    pub const NAME: &'static str = "evolve";

    /// Derives steps from new trials; each source is parsed once. Failures on a much older champion are left out. Steps
    /// of trials that are not recent no longer count: each later one has weakened them.
    fn learn(&mut self, situation: &Situation) -> Vec<Trial> {
        let past: &[Arc<Past>] = &situation.past;
        let first_recent = situation.first_recent();
        let sources: BTreeMap<u64, &str> =
            past.iter().filter_map(|p| Some((p.trial.number, p.source.as_deref()?))).collect();
        let mut parents: BTreeMap<u64, Vec<Constant>> = BTreeMap::new();
        for trial in decided(situation).filter(|trial| trial.number > 0) {
            self.trials.entry(trial.number).or_insert_with(|| {
                // If the store has lost one of the two texts, the steps between them are unknown.
                let texts = sources.get(&trial.parent).zip(sources.get(&trial.number));
                let texts = texts.filter(|_| trial.number >= first_recent);
                let steps = texts.map_or(Vec::new(), |(parent, child)| {
                    let before = parents.entry(trial.parent).or_insert_with(|| search::constants_of(parent));
                    steps_between(before, child)
                });
                let gain = trial.found.delta.map(|delta| -delta);
                Trial { operator: trial.operator.clone(), steps, gain, kept: trial.is_kept() }
            });
        }
        for (_, old) in self.trials.range_mut(..first_recent) {
            old.steps.clear();
        }
        let expired = situation.expired();
        let fresh = past.iter().filter(|p| !expired.holds(p));
        fresh.filter_map(|p| self.trials.get(&p.trial.number)).cloned().collect()
    }
}

/// The trials with a verdict: a host fault says nothing about its mutation.
fn decided(situation: &Situation) -> impl Iterator<Item = &crate::record::trial::Trial> {
    situation.past.iter().map(|past| &past.trial).filter(|trial| trial.found.verdict != Ending::HostFault)
}

impl Proposer for Offline {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_free(&self) -> bool {
        true
    }

    fn propose(&mut self, situation: &Situation, _desk: &mut Desk) -> Result<Option<Proposal>, ProposeError> {
        let trials = self.learn(situation);
        let underway = situation.underway.iter().filter_map(|u| u.source_key);
        let keys: BTreeSet<SourceKey> =
            decided(situation).filter_map(|trial| trial.found.source_key).chain(underway).collect();
        let tried = |text: &str| Source::parse(text).is_ok_and(|source| keys.contains(&source.key()));
        let evolve = Evolve { random_seed: situation.random_seed };
        let history = History { trials: &trials, tried: &tried };
        let mutation = evolve.propose(&situation.parent.source, &history, situation.number);
        Ok(mutation.map(|mutation| Proposal {
            source: mutation.source,
            hypothesis: String::new(),
            description: mutation.description,
            operator: mutation.operator.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::proposer::tests::{past, situation};
    use crate::record::ending::Ending;

    #[test]
    fn what_failed_long_ago_is_forgotten_and_what_was_kept_is_not() {
        let old = [past(0, Ending::Keep, None), past(1, Ending::Discard, Some(0.2)), past(2, Ending::Keep, Some(-0.1))];
        let later = (3..6).map(|n| past(n, Ending::Keep, Some(-0.1)));
        let mut offline = Offline::default();
        assert_eq!(offline.learn(&situation(old.to_vec())).len(), 2);
        assert_eq!(offline.learn(&situation(old.into_iter().chain(later).collect())).len(), 4, "#1 has expired");
    }
}
