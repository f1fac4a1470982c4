//! What a night remembers of all trials on its terms, including trials of other processes: the past, from which
//! proposers learn, and the keys that detect repeats.

use crate::experiment::judge::{Experience, Noise};
use crate::experiment::prepare::Candidate;
use crate::night::trial::champion::Champion;
use crate::night::trial::seen::Seen;
use crate::propose::proposer::{Past, Situation};
use crate::record::ending::Ending;
use crate::record::facts::loss_curve;
use crate::record::key::{ExperimentKey, Hash};
use crate::record::store::{Store, StoreError, TrialRecord};
use crate::record::trial::{Findings, Trial};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Memory {
    /// The baseline as number 0, then all trials, oldest first.
    pub past: Vec<Arc<Past>>,
    /// The keys of all trials.
    pub seen: Seen,
    /// What the trials teach the judge.
    pub experience: Experience,
    noise: Noise,
    /// Store id of the newest remembered trial.
    pub last: i64,
}

impl Memory {
    /// A memory with only the baseline, its score and its loss curve.
    pub fn new(baseline: &Champion, bpb: f64, losses: Vec<(u64, f64)>, noise: Noise) -> Self {
        let trial = baseline_trial(&baseline.candidate, Some(bpb));
        let mut seen = Seen::default();
        seen.insert(&trial);
        let past = vec![Arc::new(Past { trial, source: Some(baseline.candidate.text.clone()), losses })];
        Self { past, seen, experience: Experience::default(), noise, last: 0 }
    }

    pub fn next_number(&self) -> u64 {
        self.past.last().map_or(1, |past| past.trial.number + 1)
    }

    /// Remembers trials, oldest first.
    pub fn remember_all(&mut self, store: &Store, records: Vec<TrialRecord>) -> Result<(), StoreError> {
        let newest = records.last().map_or(0, |record| record.trial.number);
        for record in records {
            let is_recent = record.trial.number + Situation::RECENT > newest;
            self.remember(store, record, is_recent)?;
        }
        Ok(())
    }

    /// Remembers a trial; with its source and losses if it is recent or was kept.
    pub fn remember(&mut self, store: &Store, record: TrialRecord, is_recent: bool) -> Result<(), StoreError> {
        let TrialRecord { id, trial, .. } = record;
        let (source, losses) = match is_recent || trial.is_kept() {
            true => (source_of(store, &trial)?, losses_of(store, trial.found.experiment.as_ref())?),
            false => (None, Vec::new()),
        };
        self.seen.insert(&trial);
        self.experience.observe(&trial, &self.noise);
        self.past.push(Arc::new(Past { trial, source, losses }));
        self.last = self.last.max(id);
        Ok(())
    }
}

/// The seed guest as trial 0.
pub fn baseline_trial(seed_guest: &Candidate, bpb: Option<f64>) -> Trial {
    let found = Findings {
        bpb,
        source_key: Some(seed_guest.source_key),
        component_key: Some(seed_guest.component.key()),
        behaviour_key: seed_guest.behaviour,
        ..Findings::new(Ending::Keep)
    };
    Trial::baseline(&seed_guest.text, found)
}

/// The loss curve of an experiment; empty if the store has lost it.
fn losses_of(store: &Store, key: Option<&ExperimentKey>) -> Result<Vec<(u64, f64)>, StoreError> {
    let Some(record) = key.map(|key| store.find_experiment(key)).transpose()?.flatten() else { return Ok(Vec::new()) };
    match store.outcome(&record) {
        Ok(outcome) => Ok(loss_curve(&outcome.curve)),
        Err(error) if error.is_of_damage() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The source text of a trial; `None` if the store has lost it.
pub fn source_of(store: &Store, trial: &Trial) -> Result<Option<String>, StoreError> {
    text_of(store, &trial.source_blob)
}

/// The text in a blob; `None` if the store has lost it.
pub fn text_of(store: &Store, blob: &Hash) -> Result<Option<String>, StoreError> {
    match store.get_blob(blob) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.is_of_damage() => Ok(None),
        Err(error) => Err(error),
    }
}
