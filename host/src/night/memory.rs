//! What a night remembers of every trial on its terms, whoever ran it: the past that proposers learn from, and the three
//! keys that stop repeats.

use crate::night::champion::Champion;
use crate::night::seen::Seen;
use crate::propose::facts::loss_curve;
use crate::propose::proposer::Past;
use crate::record::ending::Ending;
use crate::record::key::ExperimentKey;
use crate::record::store::{Store, StoreError, TrialRecord};
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The baseline, as number 0, and all trials, oldest first.
    pub past: Vec<Arc<Past>>,
    /// Their keys.
    pub seen: Seen,
    /// The last trial taken up, by its number in the store.
    pub last: i64,
}

impl Memory {
    /// Of a night that has only its baseline, with its score and loss curve.
    pub fn new(baseline: &Champion, bpb: f64, losses: Vec<(u64, f64)>) -> Self {
        let first = &baseline.candidate;
        let mut seen = Seen::default();
        seen.insert(0, Some(first.source_key), Some(first.component.key()), first.behaviour);
        let past = Past {
            number: 0,
            parent: 0,
            champion: 0,
            proposer: String::new(),
            source: first.text.clone(),
            source_key: Some(first.source_key),
            hypothesis: String::new(),
            description: baseline.description.clone(),
            operator: String::new(),
            ending: Ending::Keep,
            reason: String::new(),
            bpb: Some(bpb),
            delta: None,
            losses,
        };
        Self { past: vec![Arc::new(past)], seen, last: 0 }
    }

    /// Number of the next trial.
    pub fn next_number(&self) -> u64 {
        self.past.last().map_or(1, |past| past.number + 1)
    }

    /// Takes up a trial.
    pub fn remember(&mut self, store: &Store, record: &TrialRecord) -> Result<(), StoreError> {
        let trial = &record.trial;
        let ending = Ending::from_name(&trial.verdict);
        if !matches!(ending, Ending::HostFault) {
            self.seen.insert(trial.number, trial.source_key, trial.component_key, trial.behaviour_key);
        }
        self.past.push(Arc::new(Past {
            number: trial.number,
            parent: trial.parent,
            champion: trial.champion,
            proposer: trial.proposer.clone(),
            source: source_of(store, record)?.unwrap_or_default(),
            source_key: trial.source_key,
            hypothesis: trial.hypothesis.clone(),
            description: trial.description.clone(),
            operator: trial.operator.clone(),
            ending,
            reason: trial.reason.clone(),
            bpb: trial.bpb,
            delta: trial.delta,
            losses: losses_of(store, trial.experiment_key.as_ref())?,
        }));
        self.last = self.last.max(record.id);
        Ok(())
    }
}

/// How the loss of an experiment fell; nothing where the store has lost it.
fn losses_of(store: &Store, key: Option<&ExperimentKey>) -> Result<Vec<(u64, f64)>, StoreError> {
    let Some(record) = key.map(|key| store.find_experiment(key)).transpose()?.flatten() else { return Ok(Vec::new()) };
    match store.outcome(&record) {
        Ok(outcome) => Ok(loss_curve(&outcome.curve)),
        Err(StoreError::Corrupt { .. } | StoreError::Missing { .. } | StoreError::BadRecord { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A trial's text; none where the store has lost it.
pub fn source_of(store: &Store, record: &TrialRecord) -> Result<Option<String>, StoreError> {
    match store.get_blob(&record.trial.source_blob) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
