//! The offline proposer in a night: turns the night's past into what [`Evolve`] learns from. Pure.

use crate::guest::source::Source;
use crate::propose::evolve::ablation::{self, ablations};
use crate::propose::evolve::carried::Written;
use crate::propose::evolve::model::change::{self, Change};
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::run::{Measured, Result as Found, Run};
use crate::propose::evolve::search::{Champion, Evolve, History, Mutation};
use crate::propose::patch::{Patch, Text};
use crate::propose::proposer::{Desk, Past, Proposal, ProposeError, Proposer, Situation};
use crate::record::ending::Ending;
use crate::record::key::SourceKey;
use crate::record::trial::{ChangeKind, Trial};
use std::collections::{BTreeMap, BTreeSet};

/// One proposal in this many takes a part of the champion back.
const ABLATES_EVERY: u64 = 6;

/// Trials of others whose parts may be carried onto the champion, those that gained most first.
const MOST_WRITTEN: usize = 8;
/// Parts of such a trial at most. Each is an unknown of the model, and anybody may write thousands.
const MOST_PARTS: usize = 24;

/// The offline proposer. All that it knows is in the situation.
#[derive(Default)]
pub struct Offline {
    /// By trial: what it changed in its parent, as far as both are known. A trial does not change.
    written: BTreeMap<u64, Option<Written>>,
}

impl Offline {
    /// Its name in policies, logs and the store.
    pub const NAME: &'static str = "evolve";

    /// What a trial changed in its parent; `None` if one of their texts is not known now.
    fn written(&mut self, trials: &ByNumber, number: u64, first_recent: u64) -> Option<Written> {
        let of = trials.get(&number)?;
        let is_known =
            |past: &&&Past| past.trial.is_kept() || past.trial.number == 0 || past.trial.number >= first_recent;
        let before = trials.get(&of.trial.parent).filter(|_| of.trial.parent < number).filter(is_known)?;
        let (before, after) = before.source.as_deref().zip(of.source.as_deref())?;
        let read = || {
            let (before, after) = (Text::parse(before).ok()?, Text::parse(after).ok()?);
            Some(Written { number, patch: Patch::between(&before, &after).into() })
        };
        self.written.entry(number).or_insert_with(read).clone()
    }

    /// What others wrote that ran, best first.
    ///
    /// Sources of old trials are known in a night that runs on, but not after a restart: they are left out.
    fn of_others(&mut self, trials: &ByNumber, first_recent: u64) -> Vec<Written> {
        let ran = |verdict| matches!(verdict, Ending::Keep | Ending::Discard | Ending::Noise | Ending::Screened);
        let is_other = |past: &&Past| past.trial.number > 0 && past.trial.proposer != Self::NAME;
        let others = trials.values().copied().filter(is_other).filter(|past| ran(past.trial.found.verdict));
        let delta = |past: &Past| past.trial.found.delta.filter(|delta| delta.is_finite()).unwrap_or(f64::INFINITY);
        let is_known = |past: &&Past| past.trial.is_kept() || past.trial.number >= first_recent;
        let mut others: Vec<&Past> = others.filter(is_known).collect();
        others.sort_by(|a, b| delta(a).total_cmp(&delta(b)).then(b.trial.number.cmp(&a.trial.number)));
        let found = others.into_iter().take(2 * MOST_WRITTEN);
        let found = found.filter_map(|past| self.written(trials, past.trial.number, first_recent));
        found.filter(|written| written.patch.parts().len() <= MOST_PARTS).take(MOST_WRITTEN).collect()
    }

    /// The champion without the first part of its lineage that was not tried without yet. What a champion lost without
    /// a part, later ones would lose too.
    fn without_a_part(
        &mut self,
        situation: &Situation,
        trials: &ByNumber,
        tried: &dyn Fn(&str) -> bool,
    ) -> Option<Mutation> {
        let mut lineage = Vec::new();
        let mut number = situation.parent.number;
        // A champion is younger than the one it replaced, so this ends.
        while let Some(kept) = trials.get(&number).filter(|kept| number > 0 && kept.trial.champion < number) {
            lineage.extend(self.written(trials, number, situation.first_recent()));
            number = kept.trial.champion;
        }
        lineage.reverse();
        let champion = Text::parse(&situation.parent.source).ok()?;
        let lost: BTreeSet<String> = decided(situation).filter(|trial| is_lost(trial)).flat_map(taken_back).collect();
        let is_new = |mutation: &Mutation| {
            !tried(&mutation.source) && without(&mutation.description).all(|part| !lost.contains(&part))
        };
        ablations(&champion, &lineage).find(is_new)
    }
}

/// Whether a trial failed, or was worse than its champion.
fn is_lost(trial: &Trial) -> bool {
    matches!(trial.found.verdict, Ending::Discard | Ending::Refused | Ending::Failed)
}

/// The parts that a trial of this proposer took back.
fn taken_back(trial: &Trial) -> impl Iterator<Item = String> {
    let is_own = trial.proposer == Offline::NAME && trial.operator == ablation::NAME;
    is_own.then(|| without(&trial.description)).into_iter().flatten()
}

fn without(description: &str) -> impl Iterator<Item = String> {
    change::read(description).into_iter().filter_map(|change| match change {
        Change::Without { made } => Some(made),
        Change::Edit { .. } | Change::Step { .. } => None,
    })
}

/// What a trial taught; `None` if it was not compared with the source that it changed, or teaches nothing about it.
pub(super) fn run(trial: &Trial, written: &[Written]) -> Option<Run> {
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
    Some(Run { champion: trial.champion, changes: changes(trial, written), result })
}

/// Whether a change is in one trial alone: the whole of what it did to the code, or a part that it took back.
pub(super) fn is_of_one_trial(change: &Change) -> bool {
    match change {
        Change::Edit { made, .. } => made.starts_with('#'),
        Change::Without { .. } => true,
        Change::Step { .. } => false,
    }
}

/// The changes of a trial. `evolve` lists its own. The words of others say which constants they moved; the rest are the
/// parts of their text, or one change if these are not known.
fn changes(trial: &Trial, written: &[Written]) -> Vec<Change> {
    let listed = change::read(&trial.description);
    if trial.proposer == Offline::NAME {
        return listed;
    }
    let (steps, rest): (Vec<Change>, Vec<Change>) =
        listed.into_iter().partition(|change| matches!(change, Change::Step { .. }));
    let alone = |_: &Change| Change::Edit { made: format!("#{}", trial.number), instead_of: None };
    let parts = written.iter().find(|written| written.number == trial.number).map(Written::changes);
    steps.into_iter().chain(parts.unwrap_or_else(|| rest.first().map(alone).into_iter().collect())).collect()
}

type ByNumber<'a> = BTreeMap<u64, &'a Past>;

fn proposal(mutation: Mutation) -> Proposal {
    let Mutation { source, description, operator } = mutation;
    Proposal { source, hypothesis: String::new(), description, operator: operator.into(), credit: None }
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
        // What another lab says is not checked: it can delay a change here, and not bury it.
        let hints = if situation.number.is_multiple_of(2) { &[][..] } else { &situation.hints };
        let keys: BTreeSet<SourceKey> = keys.into_iter().chain(hints.iter().map(|hint| hint.source_key)).collect();
        // What does not parse has no key, and is not proposed.
        let tried = |text: &str| Source::parse(text).map_or(true, |source| keys.contains(&source.key()));
        let trials: ByNumber = situation.past.iter().map(|past| (past.trial.number, past.as_ref())).collect();
        if situation.number.is_multiple_of(ABLATES_EVERY)
            && let Some(mutation) = self.without_a_part(situation, &trials, &tried)
        {
            return Ok(Some(proposal(mutation)));
        }
        let written = self.of_others(&trials, situation.first_recent());
        let runs: Vec<Run> = situation.past.iter().filter_map(|past| run(&past.trial, &written)).collect();
        let evolve = Evolve { random_seed: situation.random_seed, parts: Parts::ALL };
        let history = History { runs: &runs, tried: &tried, written: &written };
        let parent = &situation.parent;
        let champion =
            Champion { source: &parent.source, number: parent.number, bpb: parent.bpb, noise: situation.noise };
        Ok(evolve.propose(&champion, &history, situation.number).map(proposal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::proposer::tests::{NoLedger, past, situation};
    use crate::record::hint::Hint;
    use std::sync::Arc;

    fn by_number(situation: &Situation) -> ByNumber<'_> {
        situation.past.iter().map(|past| (past.trial.number, past.as_ref())).collect()
    }

    /// A situation in which a champion is made of `seed` by a trial of `proposer`.
    fn kept(proposer: &str, seed: &str, source: &str) -> Situation {
        let mut kept = past(3, Ending::Keep, Some(-0.1));
        let made = Arc::make_mut(&mut kept);
        (made.source, made.trial.proposer) = (Some(source.into()), proposer.into());
        let mut baseline = past(0, Ending::Keep, None);
        Arc::make_mut(&mut baseline).source = Some(seed.into());
        let mut situation = situation(vec![baseline, kept]);
        let parent = Arc::make_mut(&mut situation.parent);
        (parent.number, parent.source) = (3, source.into());
        situation
    }

    #[test]
    fn what_another_lab_reports_is_passed_over_every_second_time() {
        let mut situation = kept("evolve", "const LR: f32 = 0.02;\n", "const LR: f32 = 0.03;\n");
        let propose = |situation: &Situation| {
            let cancelled = std::sync::atomic::AtomicBool::new(false);
            let mut desk = Desk { ledger: &mut NoLedger, cancelled: &cancelled };
            Offline::default().propose(situation, &mut desk).unwrap()
        };
        for number in [5, 4] {
            (situation.number, situation.hints) = (number, [].into());
            let first = propose(&situation).unwrap();
            let hint = Hint {
                lab: "lab".into(),
                source_key: Source::parse(&first.source).unwrap().key(),
                ending: Ending::Discard,
                delta: None,
                change: String::new(),
            };
            situation.hints = [hint].into();
            let is_same = propose(&situation).is_some_and(|again| again.source == first.source);
            assert_eq!(is_same, number == 4);
        }
    }

    #[test]
    fn now_and_then_a_part_of_the_champion_is_taken_back() {
        let situation = kept("evolve", "fn a() {}\n", "fn a() {}\nfn more() {}\n");
        let trials = by_number(&situation);
        let without = Offline::default().without_a_part(&situation, &trials, &|_| false).unwrap();
        assert_eq!((without.source.as_str(), without.operator), ("fn a() {}\n", "ablation"));
        assert_eq!(Offline::default().without_a_part(&situation, &trials, &|_| true), None, "tried before");
        for (verdict, is_again) in [(Ending::Discard, false), (Ending::Refused, false), (Ending::Noise, true)] {
            let mut lost = past(4, verdict, Some(0.2));
            let trial = &mut Arc::make_mut(&mut lost).trial;
            (trial.description, trial.operator) = (without.description.clone(), without.operator.into());
            trial.proposer = Offline::NAME.into();
            let mut later = situation.clone();
            later.past = later.past.iter().cloned().chain([lost]).collect();
            let found = Offline::default().without_a_part(&later, &by_number(&later), &|_| false);
            assert_eq!(found.is_some(), is_again, "{verdict:?}");
        }
    }

    #[test]
    fn parts_of_what_others_wrote_are_known_as_long_as_their_texts_are() {
        let mut situation = kept("llm.x", "fn a() {}\n", "fn a() {}\nfn more() {}\n");
        let mut offline = Offline::default();
        let found = |offline: &mut Offline, situation: &Situation| {
            let written = offline.of_others(&by_number(situation), 0);
            let trial = Trial { description: "+1 −0 lines".into(), ..situation.past[1].trial.clone() };
            changes(&trial, &written)
        };
        let edit = |made: &str| vec![Change::Edit { made: made.into(), instead_of: None }];
        assert_eq!(found(&mut offline, &situation), edit("part 1 of #3"));
        Arc::make_mut(&mut situation.past[1]).source = None;
        assert_eq!(found(&mut offline, &situation), edit("#3"), "the same as after a restart");
    }

    #[test]
    fn trials_of_thousands_of_parts_and_old_ones_are_one_edit() {
        let calls = |between: &str| (0..40).map(|n| format!("    a{n}();\n{between}")).collect::<String>();
        let text = |between: &str| format!("fn f() {{\n{}}}\n", calls(between));
        let situation = kept("community.x", &text(""), &text("    ();\n"));
        assert_eq!(Offline::default().of_others(&by_number(&situation), 0).len(), 0);
        let mut few = kept("community.x", &text(""), &text("").replace("a3()", "b3()"));
        assert_eq!(Offline::default().of_others(&by_number(&few), 0).len(), 1);
        Arc::make_mut(&mut few.past[1]).trial.found.verdict = Ending::Noise;
        let of = |first_recent| Offline::default().of_others(&by_number(&few), first_recent).len();
        assert_eq!([of(3), of(4)], [1, 0]);
    }

    #[test]
    fn a_trial_is_read_from_its_row() {
        let row = |proposer: &str, description: &str, verdict, delta| {
            let mut past = past(4, verdict, delta);
            let trial = &mut Arc::make_mut(&mut past).trial;
            (trial.proposer, trial.description) = (proposer.into(), description.into());
            trial.clone()
        };
        let one =
            run(&row("evolve", "softcap in model: off; LR 0.02 → 0.04", Ending::Noise, Some(-0.01)), &[]).unwrap();
        assert!(matches!(one.result, Found::Measured(Measured { gain: 0.01, pairs: 1, kept: false, .. })), "{one:?}");
        assert!(matches!(one.changes.as_slice(), [Change::Edit { .. }, Change::Step { .. }]), "{one:?}");
        let other = run(&row("llm.x", "LR 0.02 → 0.04; +2 −1 lines in model", Ending::Failed, None), &[]).unwrap();
        let alone = Change::Edit { made: "#4".into(), instead_of: None };
        assert_eq!((other.result, &other.changes[1]), (Found::Failed, &alone));
        assert_eq!(run(&row("evolve", "x", Ending::HostFault, None), &[]), None);
        assert_eq!(run(&row("evolve", "x", Ending::Noise, None), &[]), None, "dropped by a shorter run");
        let stale = Trial { parent: 2, champion: 3, ..row("llm.x", "x", Ending::Noise, Some(0.1)) };
        assert_eq!(run(&stale, &[]), None, "it met another champion than it changed");
    }
}
