//! Gathers what the search knows from its trials and from the champion.

use crate::propose::evolve::effects::{Effect, effect};
use crate::propose::evolve::model::belief::Belief;
use crate::propose::evolve::model::change::Change;
use crate::propose::evolve::model::failures::Failures;
use crate::propose::evolve::model::moves::{Move, Place};
use crate::propose::evolve::model::noise::Noise;
use crate::propose::evolve::model::normal;
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::run::{Measured as Gain, Result as Found, Run};
use crate::propose::evolve::operators::OPERATORS;
use crate::propose::evolve::proposer::{Offline, is_of_one_trial, run};
use crate::propose::evolve::search::{Champion, Possible, possible};
use crate::propose::proposer::Situation;
use crate::record::hint::Hint;
use crate::record::trial::Trial;
use crate::system::sanitize;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A near-miss is better with this probability or more.
const NEAR_MISS: f64 = 0.6;
/// What fails with this probability or more is told: one failure alone is 0.4.
const FAILS: f64 = 0.25;
/// Longest name of a change, and longest reason, in characters.
const CHANGE_CHARS: usize = 120;
const REASON_CHARS: usize = 100;

/// What a search knows. Words of trials are escaped, cut, and on one line each.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Known {
    /// The operators of the library in its order, then the kinds of change that others have tried.
    pub operators: Vec<Idea>,
    /// Trials that were kept, best first.
    pub kept: Vec<Measured>,
    /// What is probably better and was not kept, best first: changes that are possible, and trials of other authors.
    pub near_misses: Vec<Measured>,
    /// What else is possible and was measured, best first.
    pub without_gain: Vec<Measured>,
    /// What is possible and fails, the surest first.
    pub failing: Vec<Failing>,
    /// What other labs say that they tried on the same terms without gain.
    pub elsewhere: Vec<Hint>,
}

/// A kind of change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Idea {
    pub operator: String,
    /// 0 (unlikely to help) to 3; none for what is not an operator of the library.
    pub prior: Option<u8>,
    pub evidence: Option<&'static str>,
    /// Whether it finds a place in the champion and no trial has had any of its changes there.
    pub untried: bool,
    /// What it did where it was tried alone.
    #[serde(flatten)]
    pub effect: Effect,
}

/// What the trials say about a change, or about all changes of one trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub change: String,
    /// The operator that makes it, if one does.
    pub operator: Option<&'static str>,
    /// Number of trials that had it, alone or with others.
    pub trials: usize,
    /// Its effect in bits per byte. Negative is better.
    pub delta: f64,
    /// Standard deviation of this belief.
    pub error: f64,
    /// The probability that it is better; of a trial, as it was judged. None if no version that told it judged it.
    pub p_better: Option<f64>,
}

/// A change that was refused, or that failed in training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failing {
    pub change: String,
    /// Number of trials that had it and failed, and of all that had it.
    pub failed: usize,
    pub trials: usize,
    /// Why the last of them failed.
    pub reason: String,
}

/// What is known where a night stands.
pub fn of_situation(situation: &Situation) -> Known {
    let trials: Vec<&Trial> = situation.past.iter().map(|past| &past.trial).collect();
    let parent = &situation.parent;
    let champion = Champion { source: &parent.source, number: parent.number, bpb: parent.bpb, noise: situation.noise };
    know(&trials, Some(&champion)).with(&situation.hints)
}

impl Known {
    /// With what other labs say. Their words are escaped and cut.
    #[must_use]
    pub fn with(mut self, hints: &[Hint]) -> Self {
        let clean = |hint: &Hint| Hint { change: sanitize::line(&hint.change, CHANGE_CHARS), ..hint.clone() };
        self.elsewhere = hints.iter().map(clean).collect();
        self
    }
}

/// What these trials teach, oldest first, about changes of the champion. Without a champion, only operators and
/// failures are known.
pub fn know(trials: &[&Trial], champion: Option<&Champion>) -> Known {
    let (taught, runs): (Vec<&Trial>, Vec<Run>) =
        trials.iter().filter_map(|trial| Some((*trial, run(trial, &[])?))).unzip();
    let possible = champion.map(|champion| possible(champion.source));
    let mut known = Known {
        operators: ideas(trials, &runs, possible.as_deref()),
        failing: failing(&taught, &runs, champion.map_or(0, |champion| champion.number), possible.as_deref()),
        ..Known::default()
    };
    let Some((champion, possible)) = champion.zip(possible) else { return known };
    let noise = Noise::of(&runs, champion.noise);
    for (trial, gain) in latest(&taught, &runs) {
        let is_of_another = trial.proposer != Offline::NAME;
        if gain.kept {
            known.kept.push(whole(trial, &gain, &noise));
        } else if is_of_another && trial.found.p_better.is_some_and(|p| p >= NEAR_MISS) {
            known.near_misses.push(whole(trial, &gain, &noise));
        }
    }
    let alone = alone(&taught, &runs, &noise);
    for measured in measured(&runs, champion, &possible, &alone) {
        let is_near_miss = measured.p_better.is_some_and(|p| p >= NEAR_MISS);
        let group = if is_near_miss { &mut known.near_misses } else { &mut known.without_gain };
        group.push(measured);
    }
    for group in [&mut known.kept, &mut known.near_misses, &mut known.without_gain] {
        group.sort_by(|a, b| a.delta.total_cmp(&b.delta).then_with(|| a.change.cmp(&b.change)));
    }
    known
}

/// Trials that were measured, without those whose source was judged again.
fn latest<'a>(trials: &[&'a Trial], runs: &[Run]) -> Vec<(&'a Trial, Gain)> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for (trial, run) in trials.iter().zip(runs).rev() {
        let is_new = trial.found.source_key.is_none_or(|key| seen.insert(key));
        if let (Found::Measured(gain), true) = (run.result, is_new) {
            found.push((*trial, gain));
        }
    }
    found
}

/// A trial with all its changes.
fn whole(trial: &Trial, gain: &Gain, noise: &Noise) -> Measured {
    Measured {
        change: sanitize::line(&format!("#{} {}", trial.number, trial.description), CHANGE_CHARS),
        operator: None,
        trials: 1,
        delta: -gain.gain,
        error: noise.variance(gain).sqrt(),
        p_better: trial.found.p_better,
    }
}

/// What the trials that had nothing but one edit say about it.
#[derive(Clone, Copy, Debug, Default)]
struct Alone {
    /// Inverse variance of the mean of their gains, and their sum, each weighted by its own.
    precision: f64,
    weighted: f64,
    /// As the last of them was judged.
    p_better: Option<f64>,
}

fn alone<'a>(trials: &[&Trial], runs: &'a [Run], noise: &Noise) -> BTreeMap<&'a str, Alone> {
    let mut found: BTreeMap<&str, Alone> = BTreeMap::new();
    for (trial, run) in trials.iter().zip(runs) {
        if let ([Change::Edit { made, .. }], Found::Measured(gain)) = (run.changes.as_slice(), run.result) {
            let of_edit = found.entry(made).or_default();
            let precision = noise.variance(&gain).recip();
            of_edit.precision += precision;
            of_edit.weighted += precision * gain.gain;
            of_edit.p_better = trial.found.p_better.or(of_edit.p_better);
        }
    }
    found
}

/// The operators of the library, then the other kinds of change in trials.
fn ideas(trials: &[&Trial], runs: &[Run], possible: Option<&[Possible]>) -> Vec<Idea> {
    let of = |name: &str| effect(name, trials.iter().copied());
    let tried: BTreeSet<&str> = runs.iter().flat_map(|run| &run.changes).map(touched).collect();
    let is_open = |name: &str| match possible {
        None => true,
        Some(possible) => {
            let mut changes =
                possible.iter().filter(|one| one.operator == Some(name)).flat_map(|one| &one.change.changes);
            let first = changes.next();
            first.is_some_and(|first| std::iter::once(first).chain(changes).all(|one| !tried.contains(touched(one))))
        }
    };
    let of_library = OPERATORS.iter().map(|operator| {
        let effect = of(operator.name);
        Idea {
            operator: operator.name.into(),
            prior: Some(operator.prior.level()),
            evidence: Some(operator.evidence),
            untried: effect.tries == 0 && is_open(operator.name),
            effect,
        }
    });
    let is_of_library = |name: &str| OPERATORS.iter().any(|operator| operator.name == name);
    let others: BTreeSet<&str> = trials.iter().map(|trial| trial.operator.as_str()).collect();
    let others = others.into_iter().filter(|name| !name.is_empty() && !is_of_library(name)).map(|name| Idea {
        operator: sanitize::line(name, CHANGE_CHARS),
        prior: None,
        evidence: None,
        untried: false,
        effect: of(name),
    });
    of_library.chain(others.filter(|idea| idea.effect.tries > 0)).collect()
}

/// What a change is counted by: an edit by its words, a step by its constant.
pub(super) fn touched(change: &Change) -> &str {
    match change {
        Change::Edit { made, .. } | Change::Without { made } => made,
        Change::Step { name, .. } => name,
    }
}

/// The effect of each possible change that was measured. An edit that was tried alone counts by these trials; of other
/// edits, and of constants, the model tells their part in the gains of all trials. Of a constant, the best step counts.
fn measured(runs: &[Run], champion: &Champion, possible: &[Possible], alone: &BTreeMap<&str, Alone>) -> Vec<Measured> {
    let moves: Vec<Move> = possible.iter().map(|one| one.change.clone()).collect();
    let place = Place { champion: champion.number, level: champion.bpb, noise: champion.noise, moves: &moves };
    let telling: Vec<Run> = runs.iter().filter(|run| is_telling(run)).cloned().collect();
    let belief = Belief::new(&telling, &place, Parts::ALL, 1.0);
    let counts = counted(runs);
    let mut best: BTreeMap<&str, Measured> = BTreeMap::new();
    let believed = belief.expected().into_iter().zip(belief.spread());
    for (at, (one, (gain, spread))) in possible.iter().zip(believed).enumerate() {
        if belief.tried.get(at) != Some(&true) || !one.change.is_near(1.0) {
            continue;
        }
        // What stood at its place first has no effect of its own.
        let better = if spread > 0.0 { normal::below(gain / spread) } else { 0.0 };
        let variance = spread * spread;
        let (key, alone) = match one.change.changes.as_slice() {
            [only] => (touched(only), alone.get(touched(only))),
            _ => (one.words.as_str(), None),
        };
        let (gain, variance) =
            alone.map_or((gain, variance), |alone| (alone.weighted / alone.precision, alone.precision.recip()));
        let trials = one.change.changes.iter().filter_map(|one| counts.get(touched(one)).copied());
        let measured = Measured {
            change: sanitize::line(&one.words, CHANGE_CHARS),
            operator: one.operator,
            trials: trials.min().unwrap_or(0),
            delta: -gain,
            error: variance.sqrt(),
            p_better: alone.and_then(|alone| alone.p_better).or(Some(better)),
        };
        if best.get(key).is_none_or(|other| measured.delta < other.delta) {
            best.insert(key, measured);
        }
    }
    best.into_values().collect()
}

/// Whether a trial tells what its changes did. What is in one trial alone hides what the rest of that trial did, and
/// each is an unknown more.
pub(super) fn is_telling(run: &Run) -> bool {
    !run.changes.iter().any(is_of_one_trial)
}

/// Number of trials that had each change.
pub(super) fn counted(runs: &[Run]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for run in runs {
        for what in run.changes.iter().map(touched).collect::<BTreeSet<&str>>() {
            *counts.entry(what).or_insert(0) += 1;
        }
    }
    counts
}

/// What fails. Each change of a bundle that failed is blamed by how often it failed elsewhere.
fn failing(trials: &[&Trial], runs: &[Run], champion: u64, possible: Option<&[Possible]>) -> Vec<Failing> {
    let failures = Failures::of(runs, champion);
    let now: Option<BTreeSet<&str>> =
        possible.map(|all| all.iter().flat_map(|one| &one.change.changes).map(touched).collect());
    let is_possible = |change: &Change| now.as_ref().is_none_or(|now| now.contains(touched(change)));
    let words = |change: &Change| match change {
        Change::Edit { made, .. } => made.clone(),
        Change::Without { made } => format!("without {made}"),
        Change::Step { name, from, to } => format!("{name} {}", if to > from { "up" } else { "down" }),
    };
    let mut found: BTreeMap<String, (f64, Failing)> = BTreeMap::new();
    for (trial, run) in trials.iter().zip(runs) {
        for change in &run.changes {
            let rate = failures.of_change(change);
            if rate < FAILS || !is_possible(change) {
                continue;
            }
            let words = words(change);
            let none =
                Failing { change: sanitize::line(&words, CHANGE_CHARS), failed: 0, trials: 0, reason: String::new() };
            let (_, one) = found.entry(words).or_insert((rate, none));
            one.trials += 1;
            if run.result == Found::Failed {
                one.failed += 1;
                one.reason = sanitize::line(&trial.found.reason, REASON_CHARS);
            }
        }
    }
    let mut found: Vec<(f64, Failing)> = found.into_values().filter(|(_, one)| one.failed > 0).collect();
    found.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.change.cmp(&other.change)));
    found.into_iter().map(|(_, one)| one).collect()
}
