//! Results that rest on a contributor's word alone: who said them, when they stand, and what is taken back if they are
//! false.

use crate::record::ending::Ending;
use crate::record::key::ExperimentKey;
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use rusqlite::params;

impl Store {
    /// Whose word an experiment rests on, if it rests on one alone.
    pub fn word_of(&self, experiment: &ExperimentKey) -> Result<Option<String>, StoreError> {
        self.first("SELECT contributor FROM words WHERE experiment_key = ?", [experiment], |row| row.get(0))
    }

    /// The experiments that rest on the word of a contributor alone, in the order in which they were recorded.
    pub fn words_of(&self, contributor: &str) -> Result<Vec<ExperimentKey>, StoreError> {
        let sql = "SELECT experiment_key FROM words WHERE contributor = ? ORDER BY rowid";
        self.rows(sql, [contributor], |row| row.get(0))
    }

    /// A trusted machine came to the same result.
    pub fn affirm(&self, experiment: &ExperimentKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM words WHERE experiment_key = ?", params![experiment]).map(drop)
    }

    /// A trusted machine came to another result: forgets the experiment, and takes back the verdicts that rest on it,
    /// so that their sources may be tried again. Returns the numbers of these trials. What rests on no word alone
    /// stays as it is, and so do keeps and baselines, which never rest on one.
    pub fn take_back(&self, experiment: &ExperimentKey) -> Result<Vec<u64>, StoreError> {
        let transaction = self.begin()?;
        if self.word_of(experiment)?.is_none() {
            return Ok(Vec::new());
        }
        let rests = "verdict IN ('discard', 'noise', 'failed', 'screened') AND id IN
             (SELECT trial FROM runs WHERE experiment_key = ?1 UNION SELECT id FROM trials WHERE experiment_key = ?1)";
        let sql = format!("SELECT number FROM trials WHERE {rests} ORDER BY number");
        let trials = self.rows(&sql, [experiment], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))?;
        let reason = "a contributor lied about a run that it rests on";
        let sql = format!("UPDATE trials SET verdict = ?2, reason = ?3 WHERE {rests}");
        self.execute(&sql, params![experiment, Ending::HostFault, reason])?;
        for sql in [
            "UPDATE trials SET experiment_key = NULL WHERE experiment_key = ?",
            "DELETE FROM runs WHERE experiment_key = ?",
            "DELETE FROM checkpoints WHERE experiment_key = ?",
            "DELETE FROM scores WHERE experiment_key = ?",
            "DELETE FROM experiments WHERE key = ?",
        ] {
            self.execute(sql, params![experiment])?;
        }
        self.commit(transaction)?;
        Ok(trials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::{ContextKey, TaskHash};
    use crate::record::store::tests::{manifest, outcome, state};
    use crate::record::store::{Finished, Role};
    use crate::record::trial::{Findings, Trial};

    #[test]
    fn what_rests_on_a_lie_is_taken_back_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let record = |random_seed, word| {
            let (manifest, outcome, state) = (manifest(random_seed), outcome(), state());
            let finished = Finished {
                manifest: &manifest,
                outcome: &outcome,
                state: Some(&state),
                checkpoints: &[],
                evaluation: None,
                finished_unix_ms: 1,
                wall_ms: 1,
                word,
            };
            store.record_experiment(&finished).unwrap().key
        };
        let (theirs, stands, own) = (record(1, Some("anna")), record(2, Some("anna")), record(3, None));
        let night = store.start_night("n", "", &TaskHash::of(b"t"), &ContextKey::of(b"c"), 1).unwrap();
        let add = |number, verdict, runs: &[ExperimentKey]| {
            let found = Findings { experiment: runs.first().copied(), ..Findings::new(verdict) };
            let trial = Trial { number, source_blob: store.put_blob(b"").unwrap(), ..Trial::baseline("", found) };
            let runs: Vec<_> = runs.iter().map(|run| (*run, Role::Search)).collect();
            store.add_trial(night, &trial, &runs).unwrap();
        };
        add(1, Ending::Discard, &[theirs, own]);
        add(2, Ending::Noise, &[own, theirs]);
        add(3, Ending::Discard, &[stands, own]);
        assert_eq!(store.words_of("anna").unwrap(), [theirs, stands]);
        assert_eq!((store.word_of(&own).unwrap(), store.words_of("bert").unwrap()), (None, vec![]));
        store.affirm(&stands).unwrap();
        for experiment in [stands, own] {
            assert!(store.take_back(&experiment).unwrap().is_empty(), "it rests on no word alone");
        }
        assert_eq!(store.take_back(&theirs).unwrap(), [1, 2]);
        assert!(store.find_experiment(&theirs).unwrap().is_none());
        assert!(store.words_of("anna").unwrap().is_empty());
        let verdicts: Vec<Ending> =
            store.trials(None).unwrap().iter().map(|record| record.trial.found.verdict).collect();
        assert_eq!(verdicts, [Ending::HostFault, Ending::HostFault, Ending::Discard]);
        assert_eq!(store.check(false, &mut |_| {}).unwrap().faults, []);
    }
}
