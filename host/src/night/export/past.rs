//! What a night left in the store, as the exports need it.

use crate::night::memory::{source_of, text_of};
use crate::night::report::picture::baseline_runs;
use crate::policy::Policy;
use crate::record::key::ExperimentKey;
use crate::record::outcome::Outcome;
use crate::record::store::{ExperimentRecord, NightRecord, Store, StoreError};
use crate::record::trial::Trial;
use std::collections::BTreeSet;

/// A training run, and what it was for.
pub struct Run {
    /// The first trial that it belongs to.
    pub trial: u64,
    pub role: String,
    pub record: ExperimentRecord,
    pub outcome: Outcome,
}

/// A night.
pub struct Past {
    pub night: NightRecord,
    /// Its trials, in their order.
    pub trials: Vec<Trial>,
    /// The source of its seed guest. `None` if no baseline was measured, or the store has lost it.
    pub seed: Option<String>,
    /// The champions on its terms, of this night and before, oldest first, each with its source.
    pub keeps: Vec<(Trial, String)>,
    /// The baseline's runs as trial 0, then those of its trials.
    pub runs: Vec<Run>,
}

impl Past {
    /// Reads a night. Records whose blobs are damaged are left out; `host store check` names them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(store: &Store, night: NightRecord, policy: &Policy) -> Result<Self, StoreError> {
        let baseline = baseline_runs(store, &night.context, policy)?;
        let seed = match baseline.first().map(|run| store.component(&run.manifest.component)).transpose()?.flatten() {
            Some(component) => text_of(store, &component.source_blob)?,
            None => None,
        };
        let mut past = Self { night, trials: Vec::new(), seed, keeps: Vec::new(), runs: Vec::new() };
        let mut seen = BTreeSet::new();
        for record in baseline {
            past.add_run(store, &mut seen, (0, "baseline".into()), record)?;
        }
        for record in store.trials_in(&past.night.context)? {
            if record.trial.is_kept()
                && record.night <= past.night.id
                && let Some(source) = source_of(store, &record.trial)?
            {
                past.keeps.push((record.trial.clone(), source));
            }
            if record.night != past.night.id {
                continue;
            }
            for (key, role) in store.roles_of(record.id)? {
                if let Some(run) = store.find_experiment(&key)? {
                    past.add_run(store, &mut seen, (record.trial.number, role), run)?;
                }
            }
            past.trials.push(record.trial);
        }
        Ok(past)
    }

    fn add_run(
        &mut self,
        store: &Store,
        seen: &mut BTreeSet<ExperimentKey>,
        (trial, role): (u64, String),
        record: ExperimentRecord,
    ) -> Result<(), StoreError> {
        if !seen.insert(record.key) {
            return Ok(());
        }
        match store.outcome(&record) {
            Ok(outcome) => self.runs.push(Run { trial, role, record, outcome }),
            Err(error) if error.is_of_damage() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
