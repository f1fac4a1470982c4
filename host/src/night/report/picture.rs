//! Reads from the store what the picture of a night shows. [`crate::night::report::chart`] draws it.

use crate::data::Split;
use crate::experiment::judge::Noise;
use crate::night::past::{self, PastError};
use crate::night::trial::seeds::replica_seeds;
use crate::policy::Policy;
use crate::record::ending::Ending;
use crate::record::key::{ComponentKey, ContextKey, ExperimentKey};
use crate::record::store::{ExperimentRecord, NightRecord, Store, StoreError, TrialRecord};
use crate::record::trial::{Findings, Trial};
use std::collections::{BTreeMap, BTreeSet};

/// A longer pause between two trials means that the night was stopped: an agent may take minutes to answer. Such a
/// pause does not count as time of the night.
const PAUSE_MS: i64 = 15 * 60_000;
/// A night starts in the store when its baseline is complete; after a longer time it was measured for another one.
const BEGIN_MS: i64 = 60_000;

/// Scores from here on, infinite ones among them, are left out: only a damaged record has them.
const MOST_BITS: f64 = 1e6;

/// A score, a difference or a share that a text can have.
pub(super) fn possible(figure: Option<f64>) -> Option<f64> {
    figure.filter(|figure| figure.abs() < MOST_BITS)
}

/// The data of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Store id of the night.
    pub night: i64,
    pub policy: String,
    /// Budget of one experiment: seconds of training on the reference device.
    pub budget_s: f64,
    /// The baseline, if the store has it.
    pub baseline: Option<Level>,
    /// Level of the champion that the night began with.
    pub start: Option<f64>,
    /// What the champions scored with which the night began and ended, or stands now.
    pub scores: [Scores; 2],
    /// The trials in the order of their verdicts.
    pub trials: Vec<Dot>,
    /// Number of training runs behind the baseline and the trials.
    pub runs: usize,
    /// Seconds from the first training run to the last verdict, without pauses.
    pub seconds: f64,
    /// What proposers cost until the last verdict, in millionths of a dollar.
    pub micro_dollars: u64,
}

/// Scores of one guest on several random seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Mean bits per byte.
    pub bpb: f64,
    /// Standard deviation of one score over random seeds.
    pub noise: f64,
}

/// What a champion scored, in bits per byte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Mean on the search split over its random seeds.
    pub search: Option<f64>,
    /// On the sealed test split, if that was read for it.
    pub sealed: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    pub number: u64,
    /// Time of the verdict, in seconds.
    pub at_s: f64,
    /// Training runs until the verdict, with those of the baseline.
    pub runs: usize,
    /// What proposers have cost until the verdict, in millionths of a dollar.
    pub micro_dollars: u64,
    pub ending: Ending,
    /// The level of its champion plus the difference to it on the same random seeds, in bits per byte. So a trial that
    /// is better stands below the champion, whatever the random seeds did to both. `None` if it was not scored.
    pub level: Option<f64>,
    /// Candidate minus champion on the same random seeds.
    pub delta: Option<f64>,
    /// Probability that it is better.
    pub p_better: Option<f64>,
    /// The change, in the author's untrusted words.
    pub description: String,
}

impl Picture {
    /// Reads the night with this number, or the last night.
    ///
    /// # Errors
    /// If the store has no such night, or if the store or the night's policy cannot be read.
    pub fn of_night(store: &Store, number: Option<i64>) -> Result<Self, PastError> {
        let (night, policy) = past::night(store, number)?;
        Ok(Self::of(store, &night, &policy)?)
    }

    /// Reads this night.
    pub fn of(store: &Store, night: &NightRecord, policy: &Policy) -> Result<Self, StoreError> {
        Self::among(store, night, policy, &store.trials_in(&night.context)?)
    }

    /// As [`Picture::of`], from all trials of the night's context.
    pub(in crate::night) fn among(
        store: &Store,
        night: &NightRecord,
        policy: &Policy,
        all: &[TrialRecord],
    ) -> Result<Self, StoreError> {
        let replicas = baseline_runs(store, &night.context, all, policy)?;
        let baseline = level(&replicas);
        let (earlier, trials): (Vec<_>, Vec<_>) = all.iter().partition(|record| record.night != night.id);
        let first = trials.first().map(|record| record.trial.number);
        let is_earlier =
            |record: &&TrialRecord| first.map_or(record.night < night.id, |first| record.trial.number < first);
        let earlier = earlier.into_iter().filter(is_earlier).map(|record| &record.trial);
        let mut levels = Levels::new(baseline);
        let mut start = baseline.map(|level| level.bpb);
        let mut began = Scores { search: start, sealed: sealed(store, replicas.iter().map(|run| run.key))? };
        for trial in earlier.filter(|trial| trial.is_kept()) {
            start = levels.add(trial).or(start);
            began = Scores::of(store, trial)?;
        }
        let last = trials.iter().map(|record| &record.trial).rfind(|trial| trial.is_kept());
        let scores = [began, last.map_or(Ok(began), |trial| Scores::of(store, trial))?];

        let mut runs: BTreeSet<ExperimentKey> = replicas.iter().map(|run| run.key).collect();
        let (times, seconds) = times(night, &replicas, &trials);
        let (spends, runs_of) = (store.spends()?, store.runs_of_night(night.id)?);
        let (mut dots, mut micro_dollars) = (Vec::new(), 0u64);
        for (TrialRecord { id, trial, .. }, at_s) in trials.into_iter().zip(times) {
            runs.extend(runs_of.get(id).into_iter().flatten());
            let spent = trial.proposal.and_then(|proposal| spends.get(&proposal));
            micro_dollars = micro_dollars.saturating_add(spent.map_or(0, |spend| spend.micro_dollars));
            dots.push(Dot {
                number: trial.number,
                at_s,
                runs: runs.len(),
                micro_dollars,
                ending: trial.found.verdict,
                level: levels.add(trial),
                delta: possible(trial.found.delta),
                p_better: possible(trial.found.p_better),
                description: trial.description.clone(),
            });
        }
        Ok(Self {
            night: night.id,
            policy: night.policy_name.clone(),
            budget_s: policy.budget.seconds,
            baseline,
            start,
            scores,
            trials: dots,
            runs: runs.len(),
            seconds,
            micro_dollars,
        })
    }

    /// The gain of the night on the search split and on the sealed test, in words with their scores: `2.5347 → 2.2075`
    /// and `−12.9 %`. `None` where one of the scores is missing, or nothing was kept.
    pub fn gains(&self, decimals: usize) -> [Option<(String, String)>; 2] {
        let [began, last] = self.scores;
        [(began.search, last.search), (began.sealed, last.sealed)].map(|(began, last)| {
            let (began, last) = began.zip(last).filter(|(began, last)| began != last)?;
            Some((format!("{began:.4} → {last:.4}"), percent(began, last, decimals)?))
        })
    }

    /// Level of the last champion: that of the last keep, or of the start.
    pub fn last_level(&self) -> Option<f64> {
        let kept = self.trials.iter().filter(|dot| dot.ending == Ending::Keep);
        kept.filter_map(|dot| dot.level).next_back().or(self.start)
    }
}

impl Scores {
    fn of(store: &Store, trial: &Trial) -> Result<Self, StoreError> {
        let Findings { bpb, experiment, .. } = &trial.found;
        Ok(Self { search: possible(*bpb), sealed: sealed(store, experiment.iter().copied())? })
    }
}

/// The score on the sealed test split of one of these runs, if it was read.
fn sealed(store: &Store, runs: impl Iterator<Item = ExperimentKey>) -> Result<Option<f64>, StoreError> {
    for key in runs {
        let score = store.scores(&key)?.into_iter().rfind(|record| record.split == Split::Test.name());
        if let Some(bpb) = score.and_then(|record| possible(Some(record.score.bpb))) {
            return Ok(Some(bpb));
        }
    }
    Ok(None)
}

/// How sure a keep is to be better. One that probably is not was kept since it is as good and shorter.
pub fn sureness(p_better: f64) -> String {
    if p_better < 0.5 { "as good, shorter".into() } else { format!("P(better) {p_better:.3}") }
}

/// How far a level is from another one: `−1.3 %`. None if that is no number.
pub fn percent(from: f64, to: f64, decimals: usize) -> Option<String> {
    let percent = (to - from) / from * 100.0;
    let sign = if percent < 0.0 { "−" } else { "+" };
    percent.is_finite().then(|| format!("{sign}{:.decimals$} %", percent.abs()))
}

/// The levels of champions: what each was better than its predecessor, added up from the baseline.
struct Levels(BTreeMap<u64, f64>);

impl Levels {
    fn new(baseline: Option<Level>) -> Self {
        Self(baseline.map(|level| (0, level.bpb)).into_iter().collect())
    }

    /// The level of a trial, which is remembered if it was kept.
    fn add(&mut self, trial: &Trial) -> Option<f64> {
        let against = self.0.get(&trial.champion).copied();
        let level = against.zip(possible(trial.found.delta)).map(|(level, delta)| level + delta);
        let level = level.or(possible(trial.found.bpb));
        if let Some(level) = level.filter(|_| trial.is_kept()) {
            self.0.insert(trial.number, level);
        }
        level
    }
}

/// The seed guest's runs on the policy's random seeds. `trials` are those of the context. If no night says which guest
/// it is, the runs of the first trial lead to it, since that was compared with it.
pub(in crate::night) fn baseline_runs(
    store: &Store,
    context: &ContextKey,
    trials: &[TrialRecord],
    policy: &Policy,
) -> Result<Vec<ExperimentRecord>, StoreError> {
    let seeds = replica_seeds(policy);
    if let Some(component) = store.baseline_of(context)? {
        let mut runs = store.experiments_of(&component)?;
        runs.retain(|run| seeds.contains(&run.manifest.random_seed));
        let terms = |run: &ExperimentRecord| run.manifest.context_key();
        // A night whose proposals repeat an earlier night's has a context of its own, on the terms of that one.
        let is_own = runs.iter().any(|run| terms(run) == *context);
        let wanted = if is_own { Some(*context) } else { runs.last().map(terms) };
        runs.retain(|run| Some(terms(run)) == wanted);
        return Ok(runs);
    }
    for record in trials.iter().filter(|record| record.trial.champion == 0) {
        for key in store.runs_of(record.id)? {
            let Some(run) = store.find_experiment(&key)? else { continue };
            if record.trial.found.component_key == Some(run.manifest.component) {
                continue;
            }
            let mut runs = store.experiments_of(&run.manifest.component)?;
            runs.retain(|other| {
                let random_seed = other.manifest.random_seed;
                let same_terms = crate::record::key::Manifest { random_seed, ..run.manifest.clone() };
                seeds.contains(&random_seed) && other.manifest == same_terms
            });
            return Ok(runs);
        }
    }
    Ok(Vec::new())
}

/// The seed guest's component and its scores, if the store has them.
pub(in crate::night) fn baseline(
    store: &Store,
    context: &ContextKey,
    policy: &Policy,
) -> Result<Option<(ComponentKey, Level)>, StoreError> {
    let runs = baseline_runs(store, context, &store.trials_in(context)?, policy)?;
    Ok(runs.first().map(|run| run.manifest.component).zip(level(&runs)))
}

fn level(runs: &[ExperimentRecord]) -> Option<Level> {
    let mut scores: Vec<f64> = runs.iter().filter_map(|run| possible(run.val_bpb)).collect();
    // The store returns the runs in the order of their keys. Sorting makes the sum independent of it.
    scores.sort_by(f64::total_cmp);
    let bpb = scores.iter().sum::<f64>() / scores.len() as f64;
    (!scores.is_empty()).then(|| Level { bpb, noise: Noise::of_replicas(&scores).sd() })
}

/// Time of each verdict, and duration of the night, both in seconds.
fn times(night: &NightRecord, replicas: &[ExperimentRecord], trials: &[&TrialRecord]) -> (Vec<f64>, f64) {
    let mut clock_ms = measuring_ms(night, replicas);
    let mut last_ms = night.started_unix_ms;
    let mut times = Vec::new();
    for TrialRecord { trial, .. } in trials {
        let (passed_ms, took_ms) = (trial.unix_ms.saturating_sub(last_ms).max(0), trial.wall_ms.max(0));
        let stopped = passed_ms - took_ms > PAUSE_MS;
        clock_ms = clock_ms.saturating_add(if stopped { took_ms } else { passed_ms });
        last_ms = trial.unix_ms;
        times.push(clock_ms as f64 / 1e3);
    }
    (times, clock_ms as f64 / 1e3)
}

/// When the first run of a night began, in Unix milliseconds.
pub(super) fn began_ms(night: &NightRecord, replicas: &[ExperimentRecord]) -> i64 {
    night.started_unix_ms.saturating_sub(measuring_ms(night, replicas))
}

/// Milliseconds that the baseline took, or 0 if it was not measured for this night. A night starts in the store when
/// the baseline is complete.
fn measuring_ms(night: &NightRecord, replicas: &[ExperimentRecord]) -> i64 {
    let begin = replicas.iter().map(|run| run.finished_unix_ms.saturating_sub(run.wall_ms.max(0))).min();
    let end = replicas.iter().map(|run| run.finished_unix_ms).max();
    match (begin, end) {
        (Some(begin), Some(end)) if (0..BEGIN_MS).contains(&night.started_unix_ms.saturating_sub(end)) => {
            night.started_unix_ms.saturating_sub(begin)
        }
        _ => 0,
    }
}
