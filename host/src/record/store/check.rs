//! Checks everything that a store holds against its hashes, and mends what can be mended. To find another kind of
//! fault, add a function to [`INSPECTIONS`].

use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::Score;
use crate::record::store::blob::entries;
use crate::record::store::checksum;
use crate::record::store::error::StoreError;
use crate::record::store::folder::{RECEIPTS, Store};
use kernels::session::Checkpoint;
use rusqlite::params;
use std::collections::BTreeSet;
use std::fs::File;

/// Progress is told after this many bytes.
const SLOW: u64 = 1 << 30;

/// Something that is wrong in a store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What mending does, or what the user can do.
    pub remedy: String,
    /// Whether mending can do it.
    pub can_be_mended: bool,
    pub is_mended: bool,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were read.
    pub records: u64,
    /// Runs whose models were let go.
    pub let_go: u64,
    /// Blobs that no record names. [`Store::gc`] removes them.
    pub unreferenced: u64,
    pub faults: Vec<Fault>,
}

/// A check in progress.
pub(super) struct Check<'a> {
    pub(super) store: &'a Store,
    pub(super) mend: bool,
    progress: &'a mut dyn FnMut(&str),
    checked: Checked,
    /// Names of blobs whose bytes are wrong.
    damaged: BTreeSet<String>,
}

/// Looks for one kind of fault.
type Inspection = fn(&mut Check) -> Result<(), StoreError>;

/// The kinds of faults, in the order in which they are looked for. Each function reports what it finds with
/// [`Check::fault`] or [`Check::mendable`].
const INSPECTIONS: [Inspection; 9] = [
    |check| check.index(),
    |check| check.rows(),
    |check| check.blobs(),
    |check| check.references(),
    |check| check.experiments(),
    |check| check.other_records(),
    |check| check.secrets(),
    |check| check.receipts(),
    |check| check.false_verdicts(),
];

/// What helps if a blob is lost, in words.
enum Remedy {
    /// Mending deletes the rows that name it.
    DeleteRows(&'static str),
    /// Mending leaves the rows without a blob.
    NameNone(&'static str),
    /// Mending cannot help.
    Other(&'static str),
}

/// Columns, or expressions of columns, that name blobs: table, column, what the blob is, and the remedy if it is lost.
const REFERENCES: [(&str, &str, &str, Remedy); 18] = [
    ("components", "component_blob", "a component", RECOMPILED),
    ("components", "source_blob", "a compiled source", RECOMPILED),
    ("checkpoints", "blob", "a checkpoint", REPLAYED),
    ("experiments", "outcome_blob", "the outcome of an experiment", RERUN),
    ("experiments", "state_blob", "the model of an experiment", REMADE),
    ("scores", "score_blob", "a score", Remedy::Other("the split is scored again when the score is needed")),
    ("trials", "source_blob", "the source of a trial", COPY),
    ("nights", "policy_blob", "the policy of a night", COPY),
    ("proposals", "answer_blob", "an answer of a proposer", COPY),
    ("requests", "request_blob", "a request to a proposer", COPY),
    ("requests", "response_blob", "a response to a proposer", COPY),
    ("submissions", "CASE WHEN component_blob IS NULL THEN hash END", "a submission", COPY),
    ("submissions", "around_blob", "a submission without its component", COPY),
    ("submissions", "component_blob", "the component of a submission", COPY),
    ("submissions", "source_blob", "the source of a submission", COPY),
    ("submissions", "receipt_blob", "a receipt", COPY),
    ("findings", "hash", "a finding", COPY),
    ("findings", "source_blob", "the source of a finding", COPY),
];
const RECOMPILED: Remedy =
    Remedy::DeleteRows("forgets the compilation: its source is compiled again when it is needed");
const REPLAYED: Remedy = Remedy::DeleteRows("forgets it: the run can still be replayed as a whole");
const REMADE: Remedy = Remedy::NameNone("lets it go: it is trained again when it is needed");
const RERUN: Remedy = Remedy::Other("the experiment runs again when a night needs it, which restores it");
const COPY: Remedy =
    Remedy::Other("copy the file from another copy of the store, if there is one; nothing else depends on it");

impl Store {
    /// Reads every blob and record. With `mend`, what can be mended is. `progress` receives lines during slow work.
    pub fn check(&self, mend: bool, progress: &mut dyn FnMut(&str)) -> Result<Checked, StoreError> {
        let (checked, damaged) = (Checked::default(), BTreeSet::new());
        let mut check = Check { store: self, mend, progress, checked, damaged };
        for inspect in INSPECTIONS {
            match inspect(&mut check) {
                // A value that cannot be read stops one inspection, not the others.
                Err(error @ StoreError::Index { .. }) => {
                    check.fault(format!("one kind of fault could not be looked for: {error}"), COPY_OF_INDEX);
                }
                inspected => inspected?,
            }
        }
        Ok(check.checked)
    }
}

impl Check<'_> {
    /// Reports a fault that cannot be mended, and what helps.
    fn fault(&mut self, what: String, remedy: &str) {
        let remedy = remedy.to_owned();
        self.checked.faults.push(Fault { what, remedy, can_be_mended: false, is_mended: false });
    }

    /// Reports a fault, and mends it if that is asked for. `mend` returns whether it could.
    pub(super) fn mendable(
        &mut self,
        what: String,
        remedy: &str,
        mend: impl FnOnce(&Store) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let is_mended = self.mend && mend(self.store)?;
        let remedy = format!("mending {remedy}");
        self.checked.faults.push(Fault { what, remedy, can_be_mended: true, is_mended });
        Ok(())
    }

    /// The index file itself, and records that refer to records.
    fn index(&mut self) -> Result<(), StoreError> {
        let ask = |store: &Store| store.rows("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        let said = ask(self.store)?;
        if said != ["ok"] {
            let what = format!("the index is damaged: {}", said.join("; "));
            self.mendable(
                what,
                "builds its search trees again; if that fails, put the file back from a copy",
                |store| {
                    store.execute("REINDEX", &[])?;
                    Ok(ask(store)? == ["ok"])
                },
            )?;
        }
        let dangling = self.store.rows("PRAGMA foreign_key_check", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
        })?;
        for (table, row, parent) in dangling {
            let what = format!("row {row} of {table} refers to a row of {parent} that does not exist");
            match table.as_str() {
                "checkpoints" | "runs" => {
                    let sql = format!("DELETE FROM {table} WHERE rowid = ?");
                    self.mendable(what, "deletes the row", |store| Ok(store.execute(&sql, params![row])? == 1))?;
                }
                _ => self.fault(what, COPY_OF_INDEX),
            }
        }
        Ok(())
    }

    /// The values of every row.
    fn rows(&mut self) -> Result<(), StoreError> {
        for (table, row, wrong) in self.store.sql(checksum::changed_rows(&self.store.db))? {
            let what = format!("row {row} of {table} {wrong}");
            match table.as_str() {
                // What is made again when it is needed.
                "components" | "behaviours" | "checkpoints" if wrong != checksum::GONE => {
                    let sql = format!("DELETE FROM {table} WHERE rowid = ?");
                    self.mendable(what, "deletes the row", |store| Ok(store.execute(&sql, params![row])? == 1))?;
                }
                _ => self.fault(what, DISTRUST_ROW),
            }
        }
        Ok(())
    }

    /// The bytes of every blob.
    fn blobs(&mut self) -> Result<(), StoreError> {
        let named = self.store.referenced_blobs()?;
        let mut told = 0;
        for (prefix, folder) in entries(&self.store.dir.join("blobs"))? {
            if !folder.is_dir() {
                self.fault(format!("{} is no folder of blobs", folder.display()), "move it away");
                continue;
            }
            let files = match entries(&folder) {
                Ok(files) => files,
                Err(error) => {
                    self.fault(format!("a folder of blobs cannot be read: {error}"), UNREADABLE);
                    continue;
                }
            };
            for (name, path) in files {
                let name = format!("{prefix}{name}");
                let Ok(hash) = name.parse::<Hash>() else {
                    self.fault(format!("{} is no blob: its name is no hash", path.display()), "move it away");
                    continue;
                };
                let mut hasher = blake3::Hasher::new();
                let read = File::open(&path).and_then(|file| hasher.update_reader(file).map(|hasher| hasher.count()));
                let bytes = match read {
                    Ok(bytes) => bytes,
                    // Collected at this moment.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        self.fault(format!("{} cannot be read: {error}", path.display()), UNREADABLE);
                        continue;
                    }
                };
                self.checked.blobs += 1;
                self.checked.bytes += bytes;
                self.checked.unreferenced += u64::from(!named.contains(&name));
                if Hash(*hasher.finalize().as_bytes()) != hash {
                    self.damaged.insert(name);
                    let what = format!("{} is damaged: its bytes are not those of its name", path.display());
                    self.mendable(what, "removes it: its bytes are of no use", |store| {
                        store.remove_blob(&hash).map(|()| true)
                    })?;
                }
                if self.checked.bytes - told > SLOW {
                    told = self.checked.bytes;
                    (self.progress)(&format!("read {} blobs, {} MB", self.checked.blobs, told / 1_000_000));
                }
            }
        }
        Ok(())
    }

    /// Blobs that records name and that are missing or damaged.
    fn references(&mut self) -> Result<(), StoreError> {
        for (table, column, what, remedy) in REFERENCES {
            let sql = format!("SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL");
            for blob in self.store.rows(&sql, [], |row| row.get::<_, Hash>(0))? {
                let path = self.store.blob_path(&blob);
                if path.is_file() && !self.damaged.contains(&blob.to_string()) {
                    continue;
                }
                let what = format!("{what} is lost: {}", path.display());
                let (sql, remedy) = match remedy {
                    Remedy::DeleteRows(words) => (format!("DELETE FROM {table} WHERE {column} = ?"), words),
                    Remedy::NameNone(words) => {
                        (format!("UPDATE {table} SET {column} = NULL WHERE {column} = ?"), words)
                    }
                    Remedy::Other(words) => {
                        self.fault(what, words);
                        continue;
                    }
                };
                self.mendable(what, remedy, |store| Ok(store.execute(&sql, params![blob])? > 0))?;
            }
        }
        Ok(())
    }

    /// Manifests and outcomes against their keys.
    fn experiments(&mut self) -> Result<(), StoreError> {
        for key in self.store.rows("SELECT key FROM experiments", [], |row| row.get::<_, ExperimentKey>(0))? {
            self.checked.records += 1;
            let store = self.store;
            let read = store.find_experiment(&key).and_then(|record| match record {
                Some(record) => Ok(Some((store.outcome(&record)?, record))),
                None => Ok(None),
            });
            match read {
                Ok(Some((outcome, record))) => {
                    match (outcome.state.map(Hash), record.state_blob) {
                        (Some(_), None) => self.checked.let_go += 1,
                        (said, stored) if said == stored => {}
                        _ => self.fault(format!("experiment {key} names another model than its outcome"), DISTRUST),
                    }
                    self.checkpoints(&key, &outcome.intervals)?;
                }
                // The inspections of blobs and references have told of these.
                Ok(None) | Err(StoreError::Missing { .. } | StoreError::Corrupt { .. } | StoreError::Io { .. }) => {}
                Err(error @ (StoreError::BadRecord { .. } | StoreError::Index { .. })) => {
                    self.fault(format!("experiment {key}: {error}"), DISTRUST);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the checkpoints of an experiment are of its run. The inspection of blobs has told of lost ones.
    fn checkpoints(&mut self, key: &ExperimentKey, intervals: &[[u8; 32]]) -> Result<(), StoreError> {
        for (interval, blob) in self.store.checkpoints(key)? {
            let Ok(bytes) = self.store.get_blob(&blob) else { continue };
            let found: Option<Checkpoint> = postcard::from_bytes(&bytes).ok();
            let is_own = found.is_some_and(|found| {
                found.interval == interval && intervals.get(interval as usize) == Some(&found.hash)
            });
            if !is_own {
                let what = format!("checkpoint {interval} of experiment {key} is not of its run");
                let row = params![*key, interval];
                self.mendable(what, "deletes the row; a replay of that interval is of no use until then", |store| {
                    let sql = "DELETE FROM checkpoints WHERE experiment_key = ? AND interval = ?";
                    Ok(store.execute(sql, row)? == 1)
                })?;
            }
        }
        Ok(())
    }

    /// Trials, dry runs, definitions and scores: whether they can be read.
    fn other_records(&mut self) -> Result<(), StoreError> {
        for id in self.ids("SELECT id FROM trials ORDER BY id")? {
            if let Err(error @ StoreError::Index { .. }) = self.store.trial(id) {
                self.fault(format!("trial {id} cannot be read: {error}"), COPY_OF_INDEX);
            }
        }
        let is_json = |text: String| serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let facts = "SELECT rowid, facts FROM behaviours";
        for (row, facts) in self.store.rows(facts, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))? {
            self.checked.records += 1;
            if serde_json::from_str::<crate::record::store::DryRunResult>(&facts).is_err() {
                let sql = "DELETE FROM behaviours WHERE rowid = ?";
                let what = format!("the dry run in row {row} of behaviours cannot be read");
                self.mendable(what, "forgets it: it is run again when it is needed", |store| {
                    Ok(store.execute(sql, params![row])? == 1)
                })?;
            }
        }
        let definitions = "SELECT hash, definition FROM definitions";
        for (hash, text) in self.store.rows(definitions, [], |row| Ok((row.get::<_, Hash>(0)?, row.get(1)?)))? {
            self.checked.records += 1;
            if !is_json(text) {
                self.fault(format!("the definition {hash} cannot be read"), COPY_OF_INDEX);
            }
        }
        let scores = "SELECT score_blob, bpb FROM scores";
        for (blob, bpb) in self.store.rows(scores, [], |row| Ok((row.get::<_, Hash>(0)?, row.get::<_, f64>(1)?)))? {
            self.checked.records += 1;
            match self.store.get_blob(&blob) {
                Ok(bytes) => match Score::decode(&bytes) {
                    Ok(score) if score.bpb.to_bits() == bpb.to_bits() => {}
                    Ok(_) => self.fault(format!("the index has another figure than the score {blob}"), DISTRUST),
                    Err(_) => {
                        self.fault(format!("the score {blob} cannot be read"), "the split is scored again when needed");
                    }
                },
                Err(StoreError::Missing { .. } | StoreError::Corrupt { .. } | StoreError::Io { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Secrets that were not revealed: whether their files are there.
    fn secrets(&mut self) -> Result<(), StoreError> {
        for record in self.store.secrets()? {
            self.checked.records += 1;
            match self.store.secret(&record.commitment) {
                Err(error @ StoreError::SecretLost { .. }) => {
                    self.fault(error.to_string(), "put the file back from a copy")
                }
                Err(error @ StoreError::BadRecord { .. }) => self.fault(error.to_string(), COPY_OF_INDEX),
                read => {
                    read?;
                }
            }
        }
        Ok(())
    }

    /// The copies of receipts, which are handed on.
    fn receipts(&mut self) -> Result<(), StoreError> {
        let answered = "SELECT hash, receipt_blob FROM submissions WHERE receipt_blob IS NOT NULL";
        for (submission, receipt) in self.store.rows(answered, [], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (submission, receipt): (Hash, Hash) = (submission, receipt);
            let path = self.store.dir.join(RECEIPTS).join(format!("{submission}.receipt"));
            let mut hasher = blake3::Hasher::new();
            match File::open(&path).and_then(|file| hasher.update_reader(file).map(drop)) {
                Ok(()) if Hash(*hasher.finalize().as_bytes()) == receipt => {}
                Ok(()) => {
                    let what = format!("{} is not the receipt that the store keeps", path.display());
                    self.mendable(what, "removes it: the next `host inbox run` writes it again", |_| {
                        Ok(std::fs::remove_file(&path).is_ok())
                    })?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.fault(format!("{} cannot be read: {error}", path.display()), UNREADABLE),
            }
        }
        Ok(())
    }

    fn ids(&mut self, sql: &str) -> Result<Vec<i64>, StoreError> {
        let ids = self.store.rows(sql, [], |row| row.get(0))?;
        self.checked.records += ids.len() as u64;
        Ok(ids)
    }
}

const UNREADABLE: &str = "the disk may be failing: copy what can be read elsewhere, and check the copy";
const COPY_OF_INDEX: &str = "put the index back from a copy";
const DISTRUST_ROW: &str = "put the index back from a copy; what rests on this row is not to be trusted";
const DISTRUST: &str = "do not trust this result: run it again in a fresh store";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::{ContextKey, TaskHash};
    use std::fs;

    fn checked(store: &Store, mend: bool) -> Checked {
        store.check(mend, &mut |_| {}).unwrap()
    }

    #[test]
    fn a_whole_store_has_no_faults_and_lost_bytes_are_found_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.start_night("n", "a policy", &TaskHash::of(b"t"), &ContextKey::of(b"c"), 1).unwrap();
        let [component, source, orphan] =
            [b"component", b"a source!", b"an orphan"].map(|b| store.put_blob(b).unwrap());
        let sql = "INSERT INTO components VALUES (?, ?, ?, ?, ?, 'rustc')";
        let key = Hash::of(b"key");
        store.execute(sql, params![key, key, component, key, source]).unwrap();
        let found = checked(&store, false);
        assert_eq!((found.blobs, found.unreferenced, found.faults.len()), (4, 1, 0), "{found:?}");

        fs::write(store.blob_path(&component), b"c0mponent").unwrap();
        fs::remove_file(store.blob_path(&Hash::of(b"a policy"))).unwrap();
        fs::write(store.blob_path(&orphan).with_file_name("note.txt"), "mine").unwrap();
        let found = checked(&store, false);
        let mendable = found.faults.iter().filter(|fault| fault.can_be_mended).count();
        assert_eq!((found.faults.len(), mendable), (4, 2), "{found:#?}");
        let found = checked(&store, true);
        assert_eq!(found.faults.iter().filter(|fault| fault.is_mended).count(), 2, "{found:#?}");
        assert!(!store.blob_path(&component).exists());
        let left = checked(&store, false);
        assert_eq!(left.faults.len(), 2, "{left:#?}");
        assert!(left.faults.iter().all(|fault| !fault.can_be_mended));
    }

    #[test]
    fn what_cannot_be_read_does_not_end_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let [unreadable, damaged] = [b"first", b"other"].map(|bytes| store.put_blob(bytes).unwrap());
        // A read of a folder fails, as one of a bad sector does.
        fs::remove_file(store.blob_path(&unreadable)).unwrap();
        fs::create_dir(store.blob_path(&unreadable)).unwrap();
        fs::write(store.blob_path(&damaged), "0ther").unwrap();
        let found = checked(&store, false);
        let says = |words: &str| found.faults.iter().any(|fault| fault.what.contains(words));
        assert!(found.faults.len() == 2 && says("cannot be read") && says("is damaged"), "{found:#?}");
    }

    #[test]
    fn records_that_refer_to_nothing_or_cannot_be_read_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = Hash::of(b"key");
        store.db.pragma_update(None, "foreign_keys", false).unwrap();
        let blob = store.put_blob(b"checkpoint").unwrap();
        store.execute("INSERT INTO checkpoints VALUES (?, 1, ?)", params![key, blob]).unwrap();
        store.execute("INSERT INTO behaviours VALUES (?, ?, ?, NULL, 'no json')", params![key, key, key]).unwrap();
        store.execute("INSERT INTO definitions VALUES (?, 'task', '{')", params![key]).unwrap();
        let words =
            |found: &Checked| found.faults.iter().map(|fault| fault.what.clone()).collect::<Vec<_>>().join("\n");
        let found = words(&checked(&store, true));
        for word in ["row 1 of checkpoints refers", "dry run in row 1", "definition"] {
            assert!(found.contains(word), "{found}");
        }
        let left = checked(&store, false);
        assert_eq!(left.faults.len(), 1, "{left:#?}");
    }
}
