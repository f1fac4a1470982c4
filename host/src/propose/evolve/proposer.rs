//! The offline proposer in a night: turns the night's past into what [`Evolve`] learns from. Pure.

use crate::guest::source::Source;
use crate::propose::evolve::ablation::{self, Kept, ablations};
use crate::propose::evolve::model::change::{self, Change};
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::run::{Measured, Result as Found, Run};
use crate::propose::evolve::search::{Champion, Evolve, History, Mutation};
use crate::propose::proposer::{Desk, Past, Proposal, ProposeError, Proposer, Situation};
use crate::record::ending::Ending;
use crate::record::key::SourceKey;
use crate::record::trial::{ChangeKind, Trial};
use std::collections::{BTreeMap, BTreeSet};

/// One proposal in this many takes a part of the champion back.
const ABLATES_EVERY: u64 = 6;

/// The offline proposer. All that it knows is in the situation.
pub struct Offline;

impl Offline {
    /// Its name in policies, logs and the store.
    pub const NAME: &'static str = "evolve";
}

/// What a trial taught; `None` if it was not compared with the source that it changed, or teaches nothing about it.
fn run(trial: &Trial) -> Option<Run> {
    if trial.number == 0 || trial.parent != trial.champion {
        return None;
    }
    let found = &trial.found;
    let result = match found.verdict {
        Ending::Refused | Ending::Failed => Found::Failed,
        Ending::Keep | Ending::Discard | Ending::Noise | Ending::Screened => Found::Measured(Measured {
            gain: -found.delta.filter(|delta| delta.is_finite())?,
            pairs: found.pairs.unwrap_or(1),
            spread: found.spread.filter(|spread| spread.is_finite()),
            kind: found.change.unwrap_or(ChangeKind::Structure),
            kept: trial.is_kept(),
        }),
        Ending::Same | Ending::HostFault => return None,
    };
    Some(Run { champion: trial.champion, changes: changes(trial), result })
}

/// The changes of a trial, by its description. The words of other authors say which constants they moved; the rest is
/// theirs alone.
fn changes(trial: &Trial) -> Vec<Change> {
    let alone = |what: &str| Change::Edit { made: format!("#{} {what}", trial.number), instead_of: None };
    if trial.operator == ablation::NAME {
        return vec![alone(&trial.description)];
    }
    let of_others = |change| match change {
        Change::Edit { made, .. } if trial.proposer != Offline::NAME => alone(&made),
        change => change,
    };
    change::read(&trial.description).into_iter().map(of_others).collect()
}

fn proposal(mutation: Mutation) -> Proposal {
    let Mutation { source, description, operator } = mutation;
    Proposal { source, hypothesis: String::new(), description, operator: operator.into(), credit: None }
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
fn decided(situation: &Situation) -> impl Iterator<Item = &Trial> {
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
        let underway = situation.underway.iter().filter_map(|u| u.source_key);
        let keys: BTreeSet<SourceKey> =
            decided(situation).filter_map(|trial| trial.found.source_key).chain(underway).collect();
        // What does not parse has no key, and is not proposed.
        let tried = |text: &str| Source::parse(text).map_or(true, |source| keys.contains(&source.key()));
        if situation.number.is_multiple_of(ABLATES_EVERY)
            && let Some(mutation) = without_a_part(situation, &tried)
        {
            return Ok(Some(proposal(mutation)));
        }
        let runs: Vec<Run> = situation.past.iter().filter_map(|past| run(&past.trial)).collect();
        let evolve = Evolve { random_seed: situation.random_seed, parts: Parts::ALL };
        let history = History { runs: &runs, tried: &tried };
        let parent = &situation.parent;
        let champion =
            Champion { source: &parent.source, number: parent.number, bpb: parent.bpb, noise: situation.noise };
        Ok(evolve.propose(&champion, &history, situation.number).map(proposal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::proposer::tests::{past, situation};
    use std::sync::Arc;

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
    fn a_trial_is_read_from_its_row() {
        let row = |proposer: &str, description: &str, verdict, delta| {
            let mut past = past(4, verdict, delta);
            let trial = &mut Arc::make_mut(&mut past).trial;
            (trial.proposer, trial.description) = (proposer.into(), description.into());
            trial.clone()
        };
        let one = run(&row("evolve", "softcap in model: off; LR 0.02 → 0.04", Ending::Noise, Some(-0.01))).unwrap();
        assert!(matches!(one.result, Found::Measured(Measured { gain: 0.01, pairs: 1, kept: false, .. })), "{one:?}");
        assert!(matches!(one.changes.as_slice(), [Change::Edit { .. }, Change::Step { .. }]), "{one:?}");
        let other = run(&row("llm.x", "LR 0.02 → 0.04; +2 −1 lines in model", Ending::Failed, None)).unwrap();
        let alone = Change::Edit { made: "#4 +2 −1 lines in model".into(), instead_of: None };
        assert_eq!((other.result, &other.changes[1]), (Found::Failed, &alone));
        assert_eq!(run(&row("evolve", "x", Ending::HostFault, None)), None);
        assert_eq!(run(&row("evolve", "x", Ending::Noise, None)), None, "dropped by a shorter run");
        let stale = Trial { parent: 2, champion: 3, ..row("llm.x", "x", Ending::Noise, Some(0.1)) };
        assert_eq!(run(&stale), None, "it met another champion than it changed");
    }
}
