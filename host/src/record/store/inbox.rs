//! Submissions of strangers: taken in, chosen in turn, answered once.

use crate::record::key::{ContextKey, Hash, TaskHash};
use crate::record::quotas::Quotas;
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use crate::record::store::index::{Whole, whole};
use crate::record::store::lock::NightSign;
use crate::record::store::trial::{TrialRecord, trial_row};
use crate::record::trial::{Credit, Sent};
use rusqlite::{Row, params};
use std::ops::Range;

/// A submission that was read and whose signature holds.
#[derive(Clone, Debug)]
pub struct NewSubmission<'a> {
    /// The file as it came.
    pub file: &'a [u8],
    /// The source, or the card of the component.
    pub source: &'a str,
    /// Where its component lies in the file, if it has one.
    pub component: Option<Range<usize>>,
    /// The public key of its author.
    pub author: &'a str,
    pub task: TaskHash,
    pub name: &'a str,
    pub licence: Option<&'a str>,
    /// Hash of the source that it was made from.
    pub parent: Option<Hash>,
}

/// A submission in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionRecord {
    /// Hash of its file.
    pub hash: Hash,
    pub author: String,
    pub task: TaskHash,
    pub name: String,
    pub licence: Option<String>,
    pub parent: Option<Hash>,
    pub source_blob: Hash,
    pub arrived_unix_ms: i64,
    /// Blob of the receipt, once it is answered.
    pub receipt: Option<Hash>,
}

impl SubmissionRecord {
    pub fn credit(&self) -> Credit {
        let Self { hash, author, licence, parent, .. } = self;
        Credit { sent: Sent::Submission(*hash), author: author.clone(), licence: licence.clone(), made_from: *parent }
    }
}

/// What became of a submission at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It waits for its turn.
    Added,
    /// This very file came before. It is answered once.
    Known,
    /// A quota is used up, so it was not taken in.
    Over(Quota),
}

/// A quota at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    Submissions,
    Bytes,
    Waiting,
    WaitingBytes,
}

/// Where the file of a submission with a component is.
struct Parts {
    /// Blob of the bytes before and after the component.
    around: Hash,
    /// Blob of the component.
    component: Hash,
    /// Where it begins in the file.
    at: u64,
}

/// Picoseconds in a millisecond.
const PS_IN_MS: u64 = 1_000_000_000;
/// Conditions on the table `submissions`. One is tried if its trial is recorded, and free if no proposal of a night
/// holds it.
const UNANSWERED: &str = "receipt_blob IS NULL";
const UNTRIED: &str = "NOT EXISTS (SELECT 1 FROM trials WHERE trials.submission = submissions.hash)";
const FREE: &str = "NOT EXISTS (SELECT 1 FROM proposals WHERE proposals.submission = submissions.hash
     AND proposals.outcome <> 'withdrawn')";

impl Store {
    /// Takes in a submission, unless it is here already or a quota is used up.
    pub fn add_submission(&self, new: &NewSubmission, quotas: &Quotas, unix_ms: i64) -> Result<Arrival, StoreError> {
        let hash = Hash::of(new.file);
        if self.submission(&hash)?.is_some() {
            return Ok(Arrival::Known);
        }
        if let Some(quota) = self.quota_reached(new, quotas, unix_ms)? {
            return Ok(Arrival::Over(quota));
        }
        let source_blob = self.put_blob(new.source.as_bytes())?;
        let parts = self.put_file(new)?;
        let transaction = self.begin()?;
        // Asked again, because another process may have taken one in meanwhile.
        if self.submission(&hash)?.is_some() {
            return Ok(Arrival::Known);
        }
        if let Some(quota) = self.quota_reached(new, quotas, unix_ms)? {
            return Ok(Arrival::Over(quota));
        }
        let NewSubmission { file, author, task, name, licence, parent, .. } = new;
        let (around, component, at) = match parts {
            None => (None, None, None),
            Some(Parts { around, component, at }) => (Some(around), Some(component), Some(Whole(at))),
        };
        self.sql(transaction.execute(
            "INSERT INTO submissions (hash, author, task, name, licence, parent, source_blob, bytes, arrived,
             arrived_unix_ms, around_blob, component_blob, component_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                hash,
                author,
                task,
                name,
                licence,
                parent,
                source_blob,
                Whole(file.len() as u64),
                self.next_number_in_turn()?,
                unix_ms,
                around,
                component,
                at
            ],
        ))?;
        self.commit(transaction)?;
        Ok(Arrival::Added)
    }

    /// Stores the file of a submission: whole, or in parts around its component, which has a blob of its own.
    fn put_file(&self, new: &NewSubmission) -> Result<Option<Parts>, StoreError> {
        let parts = new.component.clone().and_then(|Range { start, end }| {
            let (before, rest) = new.file.split_at_checked(start)?;
            let (component, after) = rest.split_at_checked(end.checked_sub(start)?)?;
            Some((before, component, after))
        });
        let Some((before, component, after)) = parts else { return self.put_blob(new.file).map(|_| None) };
        let around = self.put_blob(&[before, after].concat())?;
        Ok(Some(Parts { around, component: self.put_blob(component)?, at: before.len() as u64 }))
    }

    /// The file of a submission, as it came.
    pub fn submission_file(&self, hash: &Hash) -> Result<Vec<u8>, StoreError> {
        let sql = "SELECT around_blob, component_blob, component_at FROM submissions
             WHERE hash = ? AND component_blob IS NOT NULL";
        let parts = self
            .first(sql, [hash], |row| Ok(Parts { around: row.get(0)?, component: row.get(1)?, at: whole(row, 2)? }))?;
        let Some(Parts { around, component, at }) = parts else { return self.get_blob(hash) };
        let (around_bytes, component) = (self.get_blob(&around)?, self.get_blob(&component)?);
        let file =
            around_bytes.split_at_checked(at as usize).map(|(before, after)| [before, &component, after].concat());
        // Both blobs are what their names say, so that the index is wrong.
        file.filter(|file| Hash::of(file) == *hash)
            .ok_or_else(|| StoreError::Corrupt { hash: *hash, path: self.blob_path(&around) })
    }

    fn quota_reached(&self, new: &NewSubmission, quotas: &Quotas, unix_ms: i64) -> Result<Option<Quota>, StoreError> {
        let today = "SELECT count(*), coalesce(sum(bytes), 0) FROM submissions
             WHERE author = ? AND arrived_unix_ms >= ?";
        let of_key = params![new.author, Quotas::day(unix_ms)];
        let (sent, bytes) = self.one(today, of_key, |row| Ok((whole(row, 0)?, whole(row, 1)?)))?;
        let waiting = format!("SELECT count(*), coalesce(sum(bytes), 0) FROM submissions WHERE {UNANSWERED}");
        let (waiting, waiting_bytes) = self.one(&waiting, [], |row| Ok((whole(row, 0)?, whole(row, 1)?)))?;
        Ok(if sent >= quotas.submissions_per_day {
            Some(Quota::Submissions)
        } else if bytes.saturating_add(new.file.len() as u64) > quotas.bytes_per_day {
            Some(Quota::Bytes)
        } else if waiting >= quotas.waiting {
            Some(Quota::Waiting)
        } else if waiting_bytes.saturating_add(new.file.len() as u64) > quotas.waiting_bytes {
            Some(Quota::WaitingBytes)
        } else {
            None
        })
    }

    /// The next number of the counter of arrivals and turns. A clock may jump.
    fn next_number_in_turn(&self) -> Result<i64, StoreError> {
        let sql = "SELECT 1 + max(coalesce(max(arrived), 0), coalesce(max(taken), 0)) FROM submissions";
        self.one(sql, [], |row| row.get(0))
    }

    /// Takes the submission whose turn it is. A key stands in line from the arrival of the oldest one that waits, or
    /// from its last turn if that was later. So keys take turns, and a new key waits behind those that are here. In
    /// a key, the first one that came is taken. A key that has used up its seconds of today is passed over: seconds of
    /// budget of what was trained, and of time of what was not.
    pub fn take_submission(
        &self,
        task: &TaskHash,
        quotas: &Quotas,
        unix_ms: i64,
    ) -> Result<Option<SubmissionRecord>, StoreError> {
        let transaction = self.begin()?;
        let sql = format!(
            "SELECT * FROM (SELECT *, max(min(arrived) OVER (PARTITION BY author), coalesce((SELECT max(other.taken)
               FROM submissions AS other WHERE other.author = submissions.author), 0)) AS turn
             FROM submissions WHERE task = ?1 AND {UNANSWERED} AND {UNTRIED} AND {FREE}) AS free
             WHERE ?2 > (SELECT coalesce(sum(coalesce(
                 (SELECT sum(experiments.manifest ->> '$.budget_ps') FROM runs
                  JOIN experiments ON experiments.key = runs.experiment_key
                  WHERE runs.trial = trials.id AND experiments.component_key = trials.component_key),
                 trials.wall_ms * {PS_IN_MS})), 0) FROM trials
               WHERE trials.author = free.author AND trials.submission IS NOT NULL AND trials.unix_ms >= ?3)
             ORDER BY turn, arrived LIMIT 1"
        );
        let allowed = i64::try_from(quotas.ps_per_day()).unwrap_or(i64::MAX);
        let next = self.first(&sql, params![task, allowed, Quotas::day(unix_ms)], submission_row)?;
        if let Some(next) = &next {
            let sql = "UPDATE submissions SET taken = ? WHERE hash = ?";
            self.sql(transaction.execute(sql, params![self.next_number_in_turn()?, next.hash]))?;
        }
        self.commit(transaction)?;
        Ok(next)
    }

    /// Says that this process runs a night which takes submissions, until the sign is dropped or the process ends.
    pub fn sign_night(&self, night: i64) -> Result<NightSign, StoreError> {
        NightSign::put_up(&self.dir, night)
    }

    /// Withdraws proposals of nights on other terms that hold submissions and were never tried: those nights may never
    /// go on. What a night holds that still runs stays.
    pub fn free_submissions(&self, context: &ContextKey) -> Result<(), StoreError> {
        let held = "SELECT id, night FROM proposals WHERE submission IS NOT NULL AND outcome <> 'withdrawn'
             AND night NOT IN (SELECT id FROM nights WHERE context = ?)
             AND id NOT IN (SELECT proposal FROM trials WHERE proposal IS NOT NULL)";
        for (proposal, night) in self.rows(held, [context], |row| Ok((row.get(0)?, row.get(1)?)))? {
            if !NightSign::is_up(&self.dir, night)? {
                self.withdraw(proposal)?;
            }
        }
        Ok(())
    }

    /// The submission with this hash.
    pub fn submission(&self, hash: &Hash) -> Result<Option<SubmissionRecord>, StoreError> {
        self.first("SELECT * FROM submissions WHERE hash = ?", [hash], submission_row)
    }

    /// All submissions, in the order in which they came.
    pub fn submissions(&self) -> Result<Vec<SubmissionRecord>, StoreError> {
        self.rows("SELECT * FROM submissions ORDER BY arrived", [], submission_row)
    }

    /// Whether a night holds a submission that is not tried yet.
    pub fn is_underway(&self, submission: &Hash) -> Result<bool, StoreError> {
        let sql = format!("SELECT NOT ({FREE}) AND {UNTRIED} FROM submissions WHERE hash = ?");
        Ok(self.first(&sql, [submission], |row| row.get(0))?.unwrap_or(false))
    }

    /// The first trial of a submission.
    pub fn trial_of_submission(&self, submission: &Hash) -> Result<Option<TrialRecord>, StoreError> {
        self.first("SELECT * FROM trials WHERE submission = ? ORDER BY id LIMIT 1", [submission], trial_row)
    }

    /// Submissions that can be answered and are not yet: those that were tried, and those for another task.
    pub fn to_answer(&self, task: &TaskHash) -> Result<Vec<SubmissionRecord>, StoreError> {
        let sql =
            format!("SELECT * FROM submissions WHERE {UNANSWERED} AND (task <> ? OR NOT {UNTRIED}) ORDER BY arrived");
        self.rows(&sql, [task], submission_row)
    }

    /// Records the receipt of a submission. Returns the one that counts: of two, the first.
    pub fn answer_submission(&self, submission: &Hash, receipt: &[u8], unix_ms: i64) -> Result<Hash, StoreError> {
        let blob = self.put_blob(receipt)?;
        let transaction = self.begin()?;
        let sql =
            format!("UPDATE submissions SET receipt_blob = ?, answered_unix_ms = ? WHERE hash = ? AND {UNANSWERED}");
        self.sql(transaction.execute(&sql, params![blob, unix_ms, submission]))?;
        self.commit(transaction)?;
        let record = self.submission(submission)?;
        let counts = record.and_then(|record| record.receipt);
        counts.ok_or_else(|| StoreError::NotFound(submission.to_string()))
    }
}

fn submission_row(row: &Row<'_>) -> rusqlite::Result<SubmissionRecord> {
    Ok(SubmissionRecord {
        hash: row.get("hash")?,
        author: row.get("author")?,
        task: row.get("task")?,
        name: row.get("name")?,
        licence: row.get("licence")?,
        parent: row.get("parent")?,
        source_blob: row.get("source_blob")?,
        arrived_unix_ms: row.get("arrived_unix_ms")?,
        receipt: row.get("receipt_blob")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::store::proposal::{AnswerOutcome, NewAnswer};
    use crate::record::trial::Sent;

    #[test]
    fn a_component_is_stored_once_and_bytes_that_wait_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let component = vec![b'c'; 10_000];
        let quotas = Quotas { waiting_bytes: 25_000, ..Quotas::default() };
        // Each by a key of its own, which costs nothing.
        let add = |author: &str| {
            let file = [author.as_bytes(), &component, b" and a claim"].concat();
            let new = NewSubmission {
                file: &file,
                source: "card",
                component: Some(author.len()..author.len() + component.len()),
                author,
                task: TaskHash::of(b"t"),
                name: "name",
                licence: None,
                parent: None,
            };
            (store.add_submission(&new, &quotas, 0).unwrap(), file)
        };
        let (arrival, file) = add("alice");
        assert_eq!(arrival, Arrival::Added);
        assert_eq!(add("bob").0, Arrival::Added);
        assert_eq!(add("eve").0, Arrival::Over(Quota::WaitingBytes));
        let bytes_of = |folder: std::path::PathBuf| -> u64 {
            let prefixes = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let blobs = prefixes.flat_map(|prefix| std::fs::read_dir(prefix).unwrap());
            blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum()
        };
        let stored = bytes_of(folder.path().join("blobs"));
        assert!(stored < 10_100, "{stored} bytes are stored of one component");
        let hash = Hash::of(&file);
        assert_eq!(store.submission_file(&hash).unwrap(), file);
        // A collection leaves all of it.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(7200);
        assert_eq!(store.gc(later).unwrap().files, 0);
        assert!(store.check(false, &mut |_| {}).unwrap().faults.is_empty());
        std::fs::remove_file(store.blob_path(&Hash::of(&component))).unwrap();
        assert!(matches!(store.submission_file(&hash), Err(StoreError::Missing { .. })));
        assert_eq!(store.check(false, &mut |_| {}).unwrap().faults.len(), 1);
        assert_eq!(store.answer_submission(&hash, b"receipt", 0).unwrap(), Hash::of(b"receipt"));
        assert_eq!(add("eve").0, Arrival::Added, "one was answered");
    }

    #[test]
    fn what_a_night_holds_that_still_runs_is_not_taken_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
        let (task, ours, theirs) = (TaskHash::of(b"t"), ContextKey::of(b"ours"), ContextKey::of(b"theirs"));
        let new = NewSubmission {
            file: b"file",
            source: "",
            component: None,
            author: "author",
            task,
            name: "name",
            licence: None,
            parent: None,
        };
        let quotas = Quotas::default();
        assert_eq!(store.add_submission(&new, &quotas, 0).unwrap(), Arrival::Added);
        let night = store.start_night("p", "", &task, &ours, 0).unwrap();
        let sign = store.sign_night(night).unwrap();
        let taken = store.take_submission(&task, &quotas, 0).unwrap().unwrap();
        let answer = NewAnswer {
            first: None,
            unix_ms: 0,
            proposer: "inbox",
            parent: 0,
            outcome: AnswerOutcome::Ready,
            stage: None,
            fault: "",
            text: Some(""),
            hypothesis: "",
            description: "",
            operator: "",
            sent: Some(Sent::Submission(taken.hash)),
            wall_ms: 0,
        };
        store.add_answer(night, &answer, &[]).unwrap();
        other.free_submissions(&theirs).unwrap();
        assert_eq!(other.take_submission(&task, &quotas, 0).unwrap(), None);
        drop(sign);
        other.free_submissions(&ours).unwrap();
        assert_eq!(other.take_submission(&task, &quotas, 0).unwrap(), None, "nights on the same terms go on with it");
        other.free_submissions(&theirs).unwrap();
        assert_eq!(other.take_submission(&task, &quotas, 0).unwrap().map(|record| record.hash), Some(taken.hash));
    }
}
