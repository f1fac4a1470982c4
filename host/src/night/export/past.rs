//! What a night left in the store, as the exports need it.

use crate::guest::component::Card;
use crate::night::credits::owing;
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

impl Run {
    /// A name that no other run of the night has: a trial has several on one random seed, its own and the champion's.
    pub fn name(&self) -> String {
        let Self { trial, record, .. } = self;
        format!("trial-{trial:04}-seed-{}-{}", record.manifest.random_seed, record.key.short())
    }
}

/// What was tried: a source, or a component with the card that stands for it.
pub enum Guest {
    Source(String),
    /// Without its bytes if the store has lost them.
    Component {
        card: String,
        bytes: Option<Vec<u8>>,
    },
}

/// A champion.
pub struct Keep {
    pub trial: Trial,
    pub guest: Guest,
    /// To whom it goes back besides its author, oldest first, in words.
    pub before: Vec<String>,
}

/// A night.
pub struct Past {
    pub night: NightRecord,
    /// Its trials, in their order.
    pub trials: Vec<Trial>,
    /// Its seed guest. `None` if no baseline was measured, or the store has lost it.
    pub seed: Option<Guest>,
    /// The champions on its terms, of this night and before, oldest first.
    pub keeps: Vec<Keep>,
    /// The baseline's runs as trial 0, then those of its trials.
    pub runs: Vec<Run>,
    /// What the store has lost and the night had, in words.
    pub lost: Vec<String>,
    /// The number of the last champion, also if it is lost; 0 if nothing was kept.
    pub champion: u64,
}

/// What a text stands for.
fn guest(store: &Store, text: Option<String>) -> Result<Option<Guest>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let Some(card) = Card::read(&text) else { return Ok(Some(Guest::Source(text))) };
    let bytes = match store.get_blob(&card.component()) {
        Err(error) if error.is_of_damage() => None,
        bytes => Some(bytes?),
    };
    Ok(Some(Guest::Component { card: text, bytes }))
}

/// To whom a keep goes back, besides its author.
fn before(store: &Store, number: u64, trials: &[&Trial]) -> Result<Vec<String>, StoreError> {
    let mut all = Vec::new();
    for one in owing(store, number, trials)? {
        all.extend(one.words_before());
        if one.trial.number != number {
            all.push(one.words());
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|words| seen.insert(words.clone()));
    Ok(all)
}

impl Past {
    /// Reads a night. Records whose blobs are damaged are left out, and named in what is lost.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(store: &Store, night: NightRecord, policy: &Policy) -> Result<Self, StoreError> {
        let records = store.trials_in(&night.context)?;
        let baseline = baseline_runs(store, &night.context, &records, policy)?;
        let seed = match baseline.first().map(|run| store.component(&run.manifest.component)).transpose()?.flatten() {
            Some(component) => guest(store, text_of(store, &component.source_blob)?)?,
            None => None,
        };
        let mut past = Self {
            night,
            trials: Vec::new(),
            seed,
            keeps: Vec::new(),
            runs: Vec::new(),
            lost: Vec::new(),
            champion: 0,
        };
        if past.seed.is_none() {
            past.lost.push(if baseline.is_empty() { "the baseline" } else { "the source of the seed guest" }.into());
        }
        let mut seen = BTreeSet::new();
        for record in baseline {
            past.add_run(store, &mut seen, (0, "baseline".into()), record)?;
        }
        let all: Vec<&Trial> = records.iter().map(|record| &record.trial).collect();
        for record in records.iter().filter(|record| record.trial.is_kept() && record.night <= past.night.id) {
            past.champion = record.trial.number;
            match guest(store, source_of(store, &record.trial)?)? {
                Some(guest) => {
                    let before = before(store, record.trial.number, &all)?;
                    past.keeps.push(Keep { trial: record.trial.clone(), guest, before });
                }
                None => past.lost.push(format!("the source of the kept trial #{}", record.trial.number)),
            }
        }
        for record in records {
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
            Err(error) if error.is_of_damage() => {
                self.lost.push(format!("the outcome of {}, a run of trial {trial}", record.key.short()))
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
