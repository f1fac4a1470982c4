//! The offline proposer in a night: converts the night's past into the history that [`Evolve`] learns from. Pure.

use crate::guest::source::Source;
use crate::propose::evolve::ablation::{Kept, ablations};
use crate::propose::evolve::constants::Constant;
use crate::propose::evolve::search::{self, Evolve, History, Mutation, Trial, steps_between};
use crate::propose::proposer::{Desk, Past, Proposal, ProposeError, Proposer, Situation};
use crate::record::ending::Ending;
use crate::record::key::SourceKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One proposal in this many takes a part of the champion back.
const ABLATES_EVERY: u64 = 6;

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

fn proposal(mutation: Mutation) -> Proposal {
    let Mutation { source, description, operator } = mutation;
    Proposal { source, hypothesis: String::new(), description, operator: operator.into() }
}

/// The champion without the first part of its lineage that was not tried without yet.
fn without_a_part(situation: &Situation, tried: &dyn Fn(&str) -> bool) -> Option<Mutation> {
    let past: BTreeMap<u64, &Past> = situation.past.iter().map(|past| (past.trial.number, past.as_ref())).collect();
    let mut lineage = Vec::new();
    let mut number = situation.parent.number;
    while let Some(kept) = past.get(&number).filter(|_| number > 0) {
        // A champion is younger than the one it replaced, so this ends.
        let before = past.get(&kept.trial.champion).filter(|before| before.trial.number < number);
        let Some((before, after)) = before.and_then(|before| before.source.as_deref().zip(kept.source.as_deref()))
        else {
            break;
        };
        lineage.push(Kept { number, before, after });
        number = kept.trial.champion;
    }
    lineage.reverse();
    ablations(&situation.parent.source, &lineage).find(|mutation| !tried(&mutation.source))
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
        if situation.number.is_multiple_of(ABLATES_EVERY)
            && let Some(mutation) = without_a_part(situation, &tried)
        {
            return Ok(Some(proposal(mutation)));
        }
        let evolve = Evolve { random_seed: situation.random_seed };
        let history = History { trials: &trials, tried: &tried };
        let mutation = evolve.propose(&situation.parent.source, &history, situation.number);
        Ok(mutation.map(proposal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::proposer::tests::{past, situation};
    use crate::record::ending::Ending;

    #[test]
    fn now_and_then_a_part_of_the_champion_is_taken_back() {
        let mut kept = past(3, Ending::Keep, Some(-0.1));
        Arc::make_mut(&mut kept).source = Some("fn a() {}\nfn more() {}\n".into());
        let mut seed = past(0, Ending::Keep, None);
        Arc::make_mut(&mut seed).source = Some("fn a() {}\n".into());
        let mut situation = situation(vec![seed, kept]);
        let parent = Arc::make_mut(&mut situation.parent);
        (parent.number, parent.source) = (3, "fn a() {}\nfn more() {}\n".into());
        let without = without_a_part(&situation, &|_| false).unwrap();
        assert_eq!((without.source.as_str(), without.operator), ("fn a() {}\n", "ablation"));
        assert_eq!(without_a_part(&situation, &|_| true), None, "tried before");
    }

    #[test]
    fn what_failed_long_ago_is_forgotten_and_what_was_kept_is_not() {
        let old = [past(0, Ending::Keep, None), past(1, Ending::Discard, Some(0.2)), past(2, Ending::Keep, Some(-0.1))];
        let later = (3..6).map(|n| past(n, Ending::Keep, Some(-0.1)));
        let mut offline = Offline::default();
        assert_eq!(offline.learn(&situation(old.to_vec())).len(), 2);
        assert_eq!(offline.learn(&situation(old.into_iter().chain(later).collect())).len(), 4, "#1 has expired");
    }
}
