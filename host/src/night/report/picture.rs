//! Reads from the store what the picture of a night shows. [`crate::night::report::svg`] draws it.

use crate::experiment::judge::Noise;
use crate::night::past::{self, PastError};
use crate::night::trial::seeds::replica_seeds;
use crate::policy::Policy;
use crate::record::ending::Ending;
use crate::record::key::{ComponentKey, ContextKey, ExperimentKey};
use crate::record::store::{ExperimentRecord, NightRecord, Store, StoreError, TrialRecord};
use std::collections::BTreeSet;

/// A longer pause between two trials means that the night was stopped. Such a pause does not count as time of the
/// night.
const PAUSE_MS: i64 = 60_000;

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
    /// The trials in the order of their verdicts.
    pub trials: Vec<Dot>,
    /// Number of training runs behind the baseline and the trials.
    pub runs: usize,
    /// Seconds from the first training run to the last verdict, without pauses.
    pub seconds: f64,
}

/// Scores of one guest on several random seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Mean bits per byte.
    pub bpb: f64,
    /// Standard deviation of one score over random seeds.
    pub noise: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    pub number: u64,
    /// Time of the verdict, in seconds.
    pub at_s: f64,
    pub ending: Ending,
    /// Bits per byte, if it was scored.
    pub bpb: Option<f64>,
    /// Candidate minus champion on the same random seeds.
    pub delta: Option<f64>,
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
        let replicas = baseline_runs(store, &night.context, &policy)?;
        let trials = store.trials(Some(night.id))?;

        let mut runs: BTreeSet<ExperimentKey> = replicas.iter().map(|run| run.key).collect();
        for record in &trials {
            runs.extend(store.runs_of(record.id)?);
        }
        let (times, seconds) = times(&night, &replicas, &trials);
        let dots = trials.into_iter().zip(times).map(|(record, at_s)| Dot {
            number: record.trial.number,
            at_s,
            ending: record.trial.found.verdict,
            bpb: record.trial.found.bpb,
            delta: record.trial.found.delta,
            description: record.trial.description,
        });
        let trials = dots.collect();
        let budget_s = policy.budget.seconds;
        Ok(Self {
            night: night.id,
            policy: night.policy_name,
            budget_s,
            baseline: level(&replicas),
            trials,
            runs: runs.len(),
            seconds,
        })
    }
}

/// The seed guest's runs on the policy's random seeds. The first trial of a context was compared with the seed guest,
/// so its runs lead to them.
fn baseline_runs(store: &Store, context: &ContextKey, policy: &Policy) -> Result<Vec<ExperimentRecord>, StoreError> {
    let seeds = replica_seeds(policy);
    for record in store.trials_in(context)?.into_iter().filter(|record| record.trial.champion == 0) {
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
    let runs = baseline_runs(store, context, policy)?;
    Ok(runs.first().map(|run| run.manifest.component).zip(level(&runs)))
}

fn level(runs: &[ExperimentRecord]) -> Option<Level> {
    let mut scores: Vec<f64> = runs.iter().filter_map(|run| run.val_bpb).collect();
    // The store returns the runs in the order of their keys. Sorting makes the sum independent of it.
    scores.sort_by(f64::total_cmp);
    let bpb = scores.iter().sum::<f64>() / scores.len() as f64;
    (!scores.is_empty()).then(|| Level { bpb, noise: Noise::of_replicas(&scores).sd() })
}

/// Time of each verdict, and duration of the night, both in seconds.
fn times(night: &NightRecord, replicas: &[ExperimentRecord], trials: &[TrialRecord]) -> (Vec<f64>, f64) {
    let mut clock_ms = measuring_ms(night, replicas);
    let mut last_ms = night.started_unix_ms;
    let mut times = Vec::new();
    for TrialRecord { trial, .. } in trials {
        let passed_ms = (trial.unix_ms - last_ms).max(0);
        let stopped = passed_ms - trial.wall_ms > PAUSE_MS;
        clock_ms += if stopped { trial.wall_ms } else { passed_ms };
        last_ms = trial.unix_ms;
        times.push(clock_ms as f64 / 1e3);
    }
    (times, clock_ms as f64 / 1e3)
}

/// Milliseconds that the baseline took, or 0 if it was not measured for this night. A night starts in the store when
/// the baseline is complete.
fn measuring_ms(night: &NightRecord, replicas: &[ExperimentRecord]) -> i64 {
    let begin = replicas.iter().map(|run| run.finished_unix_ms - run.wall_ms).min();
    let end = replicas.iter().map(|run| run.finished_unix_ms).max();
    match (begin, end) {
        (Some(begin), Some(end)) if (0..PAUSE_MS).contains(&(night.started_unix_ms - end)) => {
            night.started_unix_ms - begin
        }
        _ => 0,
    }
}
