//! Weights: the model that an experiment trained, and its checkpoints. They fill most of a store, and training makes
//! them again bit for bit, so a store keeps some and lets the others go. An experiment whose weights were let go is
//! still finished: its outcome stays and names the model by its hash, while its row names no blob.

use crate::record::key::{CONTRACT, ContextKey, ExperimentKey, Hash, Manifest};
use crate::record::outcome::decode_state;
use crate::record::retention::Retention;
use crate::record::store::error::{StoreError, undecodable};
use crate::record::store::folder::Store;
use crate::record::store::lock::RunLock;
use crate::record::store::record::ExperimentRecord;
use kernels::session::NamedState;
use rusqlite::params;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// The model of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    Kept(NamedState),
    /// It was let go. Holds the hash of its encoded state.
    LetGo(Hash),
    /// The experiment ended without a model.
    Never,
}

/// Weights that were let go, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Number of experiments.
    pub runs: u64,
    pub bytes: u64,
}

/// Why weights are kept, least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Run,
    KeptTrial,
    /// A champion or a baseline.
    Needed,
}

/// The model or the checkpoints of one experiment in the store.
#[derive(Clone, Debug)]
struct Item {
    key: ExperimentKey,
    is_model: bool,
    /// Each blob with its size in bytes.
    blobs: Vec<(Hash, u64)>,
    rank: Rank,
    /// Number of experiments with weights that ended later.
    age: usize,
    /// Ended during a trial that another process may still be deciding.
    is_fresh: bool,
}

impl Item {
    fn is_kept(&self, rules: &Retention) -> bool {
        self.rank > Rank::Run || self.age < rules.keep_runs as usize || self.is_fresh
    }

    fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Store {
    /// The model of an experiment.
    ///
    /// # Errors
    /// If it is damaged, or missing although it was not let go.
    pub fn model(&self, record: &ExperimentRecord) -> Result<Model, StoreError> {
        let Some(blob) = record.state_blob else {
            return Ok(self.outcome(record)?.state.map_or(Model::Never, |hash| Model::LetGo(Hash(hash))));
        };
        match self.get_blob(&blob) {
            // It may have been let go since the record was read.
            Err(StoreError::Missing { .. }) if self.is_let_go(&record.key)? => Ok(Model::LetGo(blob)),
            bytes => decode_state(&bytes?).map(Model::Kept).map_err(undecodable(record.key)),
        }
    }

    fn is_let_go(&self, key: &ExperimentKey) -> Result<bool, StoreError> {
        Ok(self.find_experiment(key)?.is_some_and(|record| record.state_blob.is_none()))
    }

    /// Puts back a model that was let go and made again.
    pub fn restore_model(&self, record: &ExperimentRecord, state: &[u8]) -> Result<(), StoreError> {
        if self.outcome(record)?.state != Some(Hash::of(state).0) {
            return Err(StoreError::WrongState(record.key));
        }
        let blob = self.put_blob(state)?;
        let transaction = self.begin()?;
        self.put_again(&blob, state)?;
        self.execute("UPDATE experiments SET state_blob = ? WHERE key = ?", params![blob, record.key])?;
        self.commit(transaction)
    }

    /// Writes a blob again if it was removed between its writing and this transaction, which is about to name it.
    pub(super) fn put_again(&self, blob: &Hash, bytes: &[u8]) -> Result<(), StoreError> {
        if self.blob_path(blob).is_file() { Ok(()) } else { self.put_blob(bytes).map(drop) }
    }

    /// Lets go of all weights and checkpoints that the rules do not keep, of runs in the numerics class of which this
    /// machine can make them again. `baseline` is kept too. The caller holds the store's lock.
    pub fn let_go(&self, rules: &Retention, numerics: &str, baseline: &ExperimentKey) -> Result<LetGo, StoreError> {
        self.remove(&due(self.weights(numerics, Some(baseline), None)?, rules))
    }

    /// As [`Store::let_go`], while other processes may run experiments. What they have trained since they took the lock
    /// is kept.
    pub fn let_go_beside_others(&self, rules: &Retention, numerics: &str) -> Result<LetGo, StoreError> {
        self.remove(&due(self.weights(numerics, None, RunLock::held_since(&self.dir)?)?, rules))
    }

    /// What [`Store::let_go_beside_others`] would let go now.
    pub fn would_let_go(&self, rules: &Retention, numerics: &str) -> Result<LetGo, StoreError> {
        Ok(LetGo::of(&due(self.weights(numerics, None, RunLock::held_since(&self.dir)?)?, rules)))
    }

    /// Removes the records first, then the files: a crash in between leaves files that no record names.
    fn remove(&self, items: &[Item]) -> Result<LetGo, StoreError> {
        if items.is_empty() {
            return Ok(LetGo::default());
        }
        let transaction = self.begin()?;
        for item in items {
            let sql = match item.is_model {
                true => "UPDATE experiments SET state_blob = NULL WHERE key = ?",
                false => "DELETE FROM checkpoints WHERE experiment_key = ?",
            };
            self.execute(sql, params![item.key])?;
        }
        self.commit(transaction)?;
        self.remove_unnamed(items.iter().flat_map(|item| &item.blobs).map(|(blob, _)| *blob).collect())?;
        Ok(LetGo::of(items))
    }

    /// Removes those of these models and checkpoints that no record names. No record can begin to name them meanwhile:
    /// records are written in transactions that look for the files.
    pub fn remove_unnamed(&self, mut blobs: BTreeSet<Hash>) -> Result<(), StoreError> {
        if blobs.is_empty() {
            return Ok(());
        }
        let transaction = self.begin()?;
        let named =
            "SELECT state_blob FROM experiments WHERE state_blob IS NOT NULL UNION SELECT blob FROM checkpoints";
        for blob in self.rows(named, [], |row| row.get::<_, Hash>(0))? {
            blobs.remove(&blob);
        }
        blobs.iter().try_for_each(|blob| self.remove_blob(blob))?;
        self.commit(transaction)
    }

    /// The models and checkpoints of all experiments in the store.
    fn weights(
        &self,
        numerics: &str,
        baseline: Option<&ExperimentKey>,
        others_since: Option<SystemTime>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut checkpoints = BTreeMap::<ExperimentKey, Vec<(Hash, u64)>>::new();
        let all = "SELECT experiment_key, blob FROM checkpoints";
        for (key, blob) in self.rows(all, [], |row| Ok((row.get(0)?, row.get::<_, Hash>(1)?)))? {
            checkpoints.entry(key).or_default().push((blob, self.blob_bytes(&blob)));
        }
        let kept_trials = self.kept_trials()?;
        let sql = "SELECT key, manifest, state_blob, finished_unix_ms FROM experiments WHERE state_blob IS NOT NULL
             OR key IN (SELECT experiment_key FROM checkpoints) ORDER BY finished_unix_ms, rowid";
        let rows = self.rows(sql, [], |row| {
            let (key, manifest): (ExperimentKey, Manifest) = (row.get(0)?, row.get(1)?);
            // Only a host of the same class and contract can make a model again.
            let is_ours = manifest.numerics == numerics && manifest.contract == CONTRACT;
            Ok((key, (manifest.context_key(), is_ours), row.get::<_, Option<Hash>>(2)?, row.get::<_, i64>(3)?))
        })?;
        let (mut contexts, mut items) = (BTreeSet::<ContextKey>::new(), Vec::new());
        let (count, fresh_from) = (rows.len(), others_since.map(unix_ms));
        for (i, (key, (context, is_ours), state, finished)) in rows.into_iter().enumerate() {
            // The first run in a context is its baseline, unless something was scored before.
            let is_first = contexts.insert(context);
            let rank = match kept_trials.get(&key) {
                _ if is_first || !is_ours || baseline == Some(&key) => Rank::Needed,
                Some(rank) => *rank,
                None => Rank::Run,
            };
            let is_fresh = fresh_from.is_some_and(|from| finished >= from);
            let item = |is_model, blobs| Item { key, is_model, blobs, rank, age: count - 1 - i, is_fresh };
            items.extend(state.map(|blob| item(true, vec![(blob, self.blob_bytes(&blob))])));
            items.extend(checkpoints.remove(&key).map(|blobs| item(false, blobs)));
        }
        Ok(items)
    }

    /// The experiments of kept trials. The last one of each context is a champion.
    fn kept_trials(&self) -> Result<BTreeMap<ExperimentKey, Rank>, StoreError> {
        let sql = "SELECT experiment_key, context FROM trials JOIN nights ON nights.id = night
             WHERE verdict = 'keep' AND experiment_key IS NOT NULL ORDER BY trials.id DESC";
        let mut contexts = BTreeSet::<ContextKey>::new();
        let mut ranks = BTreeMap::new();
        for (key, context) in self.rows(sql, [], |row| Ok((row.get::<_, ExperimentKey>(0)?, row.get(1)?)))? {
            let rank = if contexts.insert(context) { Rank::Needed } else { Rank::KeptTrial };
            ranks.entry(key).or_insert(rank);
        }
        Ok(ranks)
    }

    /// Size of a blob; 0 if it is missing.
    fn blob_bytes(&self, blob: &Hash) -> u64 {
        std::fs::metadata(self.blob_path(blob)).map_or(0, |file| file.len())
    }
}

impl LetGo {
    fn of(items: &[Item]) -> Self {
        let runs: BTreeSet<_> = items.iter().map(|item| item.key).collect();
        Self { runs: runs.len() as u64, bytes: items.iter().map(Item::bytes).sum() }
    }
}

/// The items to let go. Above the quota these are checkpoints first, then models; of each the least important first,
/// then the oldest.
fn due(items: Vec<Item>, rules: &Retention) -> Vec<Item> {
    let (kept, mut due): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.is_kept(rules));
    let mut bytes: u64 = kept.iter().map(Item::bytes).sum();
    let is_fixed = |item: &Item| item.is_fresh || item.is_model && item.rank == Rank::Needed;
    let mut spare: Vec<Item> = kept.into_iter().filter(|item| !is_fixed(item)).collect();
    spare.sort_by_key(|item| (item.is_model, item.rank, Reverse(item.age)));
    for item in spare {
        if bytes <= rules.quota_bytes() {
            break;
        }
        bytes -= item.bytes();
        due.push(item);
    }
    due
}

fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ending::Ending;
    use crate::record::key::TaskHash;
    use crate::record::outcome::{Outcome, encode_state};
    use crate::record::store::tests::{self, outcome};
    use crate::record::store::{Finished, WritePoint};
    use crate::record::trial::{Findings, Trial};
    use kernels::cpu::CLASS;
    use kernels::session::Checkpoint;
    use kernels::spec::{Shape, Spec, Values};
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn item(age: usize, is_model: bool, rank: Rank, bytes: u64) -> Item {
        let key = ExperimentKey::of(&age.to_le_bytes());
        Item { key, is_model, blobs: vec![(Hash::of(b""), bytes)], rank, age, is_fresh: age == 9 }
    }

    #[test]
    fn the_quota_takes_checkpoints_first_and_never_what_is_needed() {
        let of = |age, rank| [item(age, true, rank, 10), item(age, false, rank, 100)];
        let (run, trial, needed) = (Rank::Run, Rank::KeptTrial, Rank::Needed);
        let all = [of(0, run), of(1, trial), of(2, run), of(3, needed), of(4, trial), of(9, run)].concat();
        let due = |keep_runs, quota: u64| {
            let rules = Retention { keep_runs, quota_gb: quota as f64 / 1e9 };
            due(all.clone(), &rules).iter().map(|item| (item.age, item.is_model)).collect::<Vec<_>>()
        };
        assert_eq!(due(3, 1000), []);
        assert_eq!(due(1, 1000), [(2, true), (2, false)]);
        let checkpoints = [(0, false), (4, false), (1, false), (3, false)];
        assert_eq!(due(1, 350)[2..], checkpoints[..2]);
        assert_eq!(due(1, 150)[2..], checkpoints);
        let models = [(0, true), (4, true), (1, true)];
        assert_eq!(due(1, 0)[2..], [&checkpoints[..], &models].concat(), "what another process decides is kept");
    }

    fn manifest(random_seed: u64) -> Manifest {
        let (numerics, contract) = (CLASS.into(), CONTRACT.into());
        Manifest { numerics, contract, ..tests::manifest(random_seed) }
    }

    /// The model and the outcome of a run on this random seed.
    fn model(random_seed: u64) -> (Vec<u8>, Outcome) {
        let spec = Spec::f32(Shape::new(&[1]).unwrap());
        let tensors = vec![("w".into(), true, spec, Values::F32(vec![random_seed as f32]))];
        let bytes = encode_state(&NamedState { tensors }).unwrap();
        let state = Some(Hash::of(&bytes).0);
        (bytes, Outcome { state, intervals: vec![[random_seed as u8; 32]], ..outcome() })
    }

    fn run(store: &Store, random_seed: u64) -> ExperimentRecord {
        let (state, outcome) = model(random_seed);
        let checkpoint = Checkpoint { interval: 0, ops: random_seed, hash: outcome.intervals[0], tensors: vec![] };
        let checkpoint = store.put_blob(&postcard::to_allocvec(&checkpoint).unwrap()).unwrap();
        let finished = Finished {
            evaluation: None,
            manifest: &manifest(random_seed),
            outcome: &outcome,
            state: Some(&state),
            checkpoints: &[(0, checkpoint)],
            finished_unix_ms: random_seed as i64,
            wall_ms: 2,
            word: None,
        };
        store.record_experiment(&finished).unwrap()
    }

    fn is_kept(store: &Store, random_seed: u64) -> bool {
        let record = store.find_experiment(&manifest(random_seed).key()).unwrap().unwrap();
        assert_eq!(store.outcome(&record).unwrap().state, Some(Hash::of(&model(random_seed).0).0));
        let has_checkpoints = !store.checkpoints(&record.key).unwrap().is_empty();
        match store.model(&record).unwrap() {
            Model::Kept(_) => has_checkpoints,
            Model::LetGo(_) => has_checkpoints || store.blob_path(&Hash::of(&model(random_seed).0)).exists(),
            Model::Never => panic!("it had a model"),
        }
    }

    #[test]
    fn weights_are_let_go_but_for_the_baseline_keeps_and_the_last_runs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let records: Vec<_> = (0..6).map(|seed| run(&store, seed)).collect();
        let night = store.start_night("n", "", &TaskHash::of(b"t"), &ContextKey::of(b"c"), 1).unwrap();
        let found = Findings { experiment: Some(records[2].key), ..Findings::new(Ending::Keep) };
        let trial = Trial { number: 1, source_blob: store.put_blob(b"").unwrap(), ..Trial::baseline("", found) };
        store.add_trial(night, &trial, &[]).unwrap();
        let rules = Retention { keep_runs: 1, quota_gb: 1.0 };
        let would = store.would_let_go(&rules, CLASS).unwrap();
        assert_eq!(would.runs, 3);
        let let_go = store.let_go(&rules, CLASS, &records[3].key).unwrap();
        assert_eq!((let_go.runs, store.would_let_go(&rules, CLASS).unwrap().runs), (2, 1), "{let_go:?}");
        assert_eq!([0, 1, 2, 3, 4, 5].map(|seed| is_kept(&store, seed)), [true, false, true, true, false, true]);

        let checked = store.check(false, &mut |_| {}).unwrap();
        assert_eq!((checked.let_go, checked.faults), (2, vec![]));
        let again = store.record_experiment(&Finished {
            evaluation: None,
            manifest: &records[1].manifest,
            outcome: &model(1).1,
            state: Some(&model(1).0),
            checkpoints: &[],
            finished_unix_ms: 9,
            wall_ms: 9,
            word: None,
        });
        assert_eq!(again.unwrap().finished_unix_ms, 1, "a run whose model was let go is still finished");
        assert!(matches!(store.restore_model(&records[4], &model(1).0), Err(StoreError::WrongState(_))));
        store.restore_model(&records[4], &model(4).0).unwrap();
        let record = store.find_experiment(&records[4].key).unwrap().unwrap();
        assert!(matches!(store.model(&record).unwrap(), Model::Kept(_)));
    }

    #[test]
    fn a_checkpoint_of_another_run_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (first, second) = (run(&store, 0), run(&store, 1));
        let sql = "UPDATE checkpoints SET blob = (SELECT blob FROM checkpoints WHERE experiment_key = ?1)
             WHERE experiment_key = ?2";
        store.execute(sql, params![first.key, second.key]).unwrap();
        let found = store.check(false, &mut |_| {}).unwrap();
        let words = format!("checkpoint 0 of experiment {} is not of its run", second.key);
        assert!(found.faults.len() == 1 && found.faults[0].what == words, "{found:?}");
        assert!(store.check(true, &mut |_| {}).unwrap().faults[0].is_mended);
        assert!(
            store.checkpoints(&second.key).unwrap().is_empty() && !store.checkpoints(&first.key).unwrap().is_empty()
        );
        assert_eq!(store.check(false, &mut |_| {}).unwrap().faults, vec![]);
    }

    #[test]
    fn a_lost_model_is_told_from_one_that_was_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (first, second) = (run(&store, 0), run(&store, 1));
        store.let_go(&Retention { keep_runs: 0, quota_gb: 1.0 }, CLASS, &first.key).unwrap();
        assert!(matches!(store.model(&second), Ok(Model::LetGo(_))), "the record was read before");
        fs::remove_file(store.blob_path(&first.state_blob.unwrap())).unwrap();
        assert!(matches!(store.model(&first), Err(StoreError::Missing { .. })));
        let found = store.check(false, &mut |_| {}).unwrap();
        assert_eq!((found.let_go, found.faults.len()), (1, 1), "{found:?}");
        assert!(store.check(true, &mut |_| {}).unwrap().faults[0].is_mended);
        assert!(matches!(store.model(&first), Ok(Model::LetGo(_))));
    }

    #[test]
    fn a_model_that_another_process_lets_go_meanwhile_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (blob, path) = (Hash::of(&model(0).0), dir.path().to_owned());
        let is_taken = AtomicBool::new(false);
        let store = Store::open_with_faults(
            dir.path(),
            Box::new(move |point| {
                let (folder, file) = (blob.to_string()[..2].to_owned(), blob.to_string()[2..].to_owned());
                let file = path.join("blobs").join(folder).join(file);
                if point == WritePoint::BlobRenamed && file.exists() && !is_taken.swap(true, Ordering::Relaxed) {
                    fs::remove_file(file)?;
                }
                Ok(())
            }),
        );
        assert!(matches!(store.as_ref().map(|store| store.model(&run(store, 0))), Ok(Ok(Model::Kept(_)))));
    }
}
