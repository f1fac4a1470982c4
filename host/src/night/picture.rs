//! A night as a picture shows it: what is drawn, read from the store. [`svg`] draws it.

pub mod svg;

use crate::experiment::judge::Noise;
use crate::night::seeds::replica_seeds;
use crate::policy::{Policy, PolicyError};
use crate::record::ending::Ending;
use crate::record::key::{ContextKey, ExperimentKey};
use crate::record::store::{ExperimentRecord, NightRecord, Store, StoreError, TrialRecord};
use std::collections::BTreeSet;

/// Longest pause between two trials that still counts as the night's own time; in a longer one it was stopped.
const PAUSE_MS: i64 = 60_000;

/// Why there is nothing to draw.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its policy cannot be read.
    #[error("the policy of night {night} cannot be read by this version: {source}")]
    Policy {
        /// Which night.
        night: i64,
        /// Why.
        source: Box<PolicyError>,
    },
    /// No such night.
    #[error("the store has no night {0}; `host log` lists nights")]
    NoNight(i64),
    /// Not one night.
    #[error("the store has no night yet; `host run --policy smoke` makes one")]
    NoNights,
}

/// What is drawn of a night.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its number in the store.
    pub night: i64,
    /// Name of its policy.
    pub policy: String,
    /// Seconds of training that an experiment has on the reference device.
    pub budget_s: f64,
    /// Where the store has it.
    pub baseline: Option<Level>,
    /// In the order in which they were decided.
    pub trials: Vec<Dot>,
    /// Training runs that the baseline and the trials rest on.
    pub runs: usize,
    /// From the first training run to the last verdict; pauses not counted.
    pub seconds: f64,
}

/// Scores of one guest on several random seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Mean bits per byte.
    pub bpb: f64,
    /// How much one score varies with the random seed.
    pub noise: f64,
}

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    /// Its number.
    pub number: u64,
    /// When it was decided.
    pub at_s: f64,
    /// How it ended.
    pub ending: Ending,
    /// Bits per byte, where it was scored.
    pub bpb: Option<f64>,
    /// Difference to the champion of the time on the same random seeds.
    pub delta: Option<f64>,
    /// The change, in a stranger's words.
    pub description: String,
}

impl Picture {
    /// A night of the store, or the last one.
    ///
    /// # Errors
    /// Where the store has no such night, and where its policy or the store cannot be read.
    pub fn of_night(store: &Store, number: Option<i64>) -> Result<Self, PictureError> {
        let mut nights = store.nights()?;
        let night = match number {
            Some(number) => nights.into_iter().find(|night| night.id == number).ok_or(PictureError::NoNight(number))?,
            None => nights.pop().ok_or(PictureError::NoNights)?,
        };
        let text = String::from_utf8_lossy(&store.get_blob(&night.policy_blob)?).into_owned();
        let policy = Policy::parse(&night.policy_name, &text)
            .map_err(|source| PictureError::Policy { night: night.id, source: Box::new(source) })?;
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

/// The seed guest's runs on the policy's random seeds. The first trial of a context was measured against it, and its
/// runs name it.
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

fn level(runs: &[ExperimentRecord]) -> Option<Level> {
    let mut scores: Vec<f64> = runs.iter().filter_map(|run| run.val_bpb).collect();
    // The order of the runs is that of their keys: the sum must not depend on it.
    scores.sort_by(f64::total_cmp);
    let bpb = scores.iter().sum::<f64>() / scores.len() as f64;
    (!scores.is_empty()).then(|| Level { bpb, noise: Noise::of_replicas(&scores).sd() })
}

/// When each trial was decided, and how long the night took, both in seconds.
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

/// The time that the baseline took, where it was measured for this night: a night is on record once it has a baseline.
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
