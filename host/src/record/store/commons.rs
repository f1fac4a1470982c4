//! What other labs published: findings, the labs that are not believed any more, and hints.

use crate::record::hint::Hint;
use crate::record::key::{ContextKey, Hash, SourceKey, TaskHash};
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use crate::record::store::index::{Whole, whole};
use crate::record::store::trial::{TrialRecord, trial_row};
use crate::record::trial::{Credit, Sent};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, params};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Most findings that wait for their trial, of one lab.
const MOST_WAITING: u64 = 1000;
/// Findings of all labs that wait, beyond which only those are taken that leave a lab below its equal part.
const MOST_WAITING_IN_ALL: u64 = 5000;
/// Most hints of one lab.
const MOST_HINTS: u64 = 20_000;
/// Hints of all labs beyond which only those are taken that leave a lab below its equal part.
const MOST_HINTS_IN_ALL: u64 = 200_000;
/// Most hints that are read at once.
const MOST_HINTS_READ: u64 = 20_000;

/// A finding that was read and whose signature holds.
#[derive(Clone, Copy, Debug)]
pub struct NewFinding<'a> {
    /// The signed text.
    pub text: &'a [u8],
    pub source: &'a str,
    pub source_key: SourceKey,
    pub lab: &'a str,
    pub author: &'a str,
    pub licence: Option<&'a str>,
    pub task: TaskHash,
    pub context: ContextKey,
    /// Hash of the source that was changed.
    pub parent: Hash,
    pub change: &'a str,
    pub proof: Proof,
}

/// A finding in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingRecord {
    /// Hash of its signed text, which names its blob too.
    #[serde(rename = "finding")]
    pub hash: Hash,
    pub lab: String,
    pub author: String,
    pub licence: Option<String>,
    pub task: TaskHash,
    pub context: ContextKey,
    pub parent: Hash,
    #[serde(skip)]
    pub source_blob: Hash,
    pub source_key: SourceKey,
    pub change: String,
    pub proof: Proof,
    pub arrived_unix_ms: i64,
}

/// What was done here about the claim of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its experiment was run again, with the same outcome.
    Proved,
    /// Others of its lab were run again.
    Trusted,
    /// It was measured on other terms, or by another component than the compiler makes here.
    OtherTerms,
}

impl Proof {
    const ALL: [Self; 3] = [Self::Proved, Self::Trusted, Self::OtherTerms];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Trusted => "trusted",
            Self::OtherTerms => "other-terms",
        }
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl ToSql for Proof {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Proof {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        let known = Self::ALL.into_iter().find(|proof| proof.name() == name);
        known.ok_or_else(|| FromSqlError::Other(format!("a proof of another version: {name}").into()))
    }
}

/// A lab that is not believed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distrusted {
    pub lab: String,
    /// Hash of the finding that was refuted.
    pub finding: Hash,
    pub reason: String,
    pub unix_ms: i64,
}

/// What is remembered of attempts to run a finding again that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    pub count: u64,
    /// Of the last one.
    pub reason: String,
}

impl FindingRecord {
    pub fn credit(&self) -> Credit {
        let Self { hash, author, licence, parent, .. } = self;
        let sent = Sent::Finding(*hash);
        Credit { sent, author: author.clone(), licence: licence.clone(), made_from: Some(*parent) }
    }
}

impl Store {
    /// Takes in a finding, unless it is here already or too many wait: `MOST_WAITING` of its lab, or its part of
    /// `MOST_WAITING_IN_ALL`.
    pub fn add_finding(&self, new: &NewFinding, unix_ms: i64) -> Result<bool, StoreError> {
        let hash = Hash::of(new.text);
        if !self.has_room(new.lab)? {
            return Ok(false);
        }
        let (_, source_blob) = (self.put_blob(new.text)?, self.put_blob(new.source.as_bytes())?);
        let NewFinding { source_key, lab, author, licence, task, context, parent, change, proof, .. } = *new;
        let transaction = self.begin()?;
        // Asked again, because another process may have taken some in meanwhile.
        if !self.has_room(lab)? {
            return Ok(false);
        }
        let sql = "INSERT OR IGNORE INTO findings (hash, lab, author, licence, task, context, parent, source_blob,
             source_key, change, proof, arrived_unix_ms, arrived)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT 1 + coalesce(max(arrived), 0) FROM findings))";
        let added = self.sql(transaction.execute(
            sql,
            params![hash, lab, author, licence, task, context, parent, source_blob, source_key, change, proof, unix_ms],
        ))?;
        self.commit(transaction)?;
        Ok(added == 1)
    }

    /// Whether another finding of a lab may wait.
    fn has_room(&self, lab: &str) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE lab = ?1), count(*), count(DISTINCT lab) FROM findings
             WHERE NOT EXISTS (SELECT 1 FROM trials WHERE trials.finding = findings.hash)";
        let counts = |row: &Row<'_>| Ok((whole(row, 0)?, whole(row, 1)?, whole(row, 2)?));
        let (of_lab, all, labs) = self.one(sql, [lab], counts)?;
        Ok(of_lab < part(all, labs, MOST_WAITING, MOST_WAITING_IN_ALL))
    }

    /// All findings, in the order in which they came.
    pub fn findings(&self) -> Result<Vec<FindingRecord>, StoreError> {
        self.rows("SELECT * FROM findings ORDER BY arrived", [], finding_row)
    }

    /// The finding with this hash.
    pub fn finding(&self, hash: &Hash) -> Result<Option<FindingRecord>, StoreError> {
        self.first("SELECT * FROM findings WHERE hash = ?", [hash], finding_row)
    }

    /// The first finding with this source.
    pub fn finding_of_source(&self, key: &SourceKey) -> Result<Option<FindingRecord>, StoreError> {
        self.first("SELECT * FROM findings WHERE source_key = ? ORDER BY arrived LIMIT 1", [key], finding_row)
    }

    /// The first finding whose source has this hash.
    pub fn finding_of_source_blob(&self, source: &Hash) -> Result<Option<FindingRecord>, StoreError> {
        self.first("SELECT * FROM findings WHERE source_blob = ? ORDER BY arrived LIMIT 1", [source], finding_row)
    }

    /// The next finding to try on these terms: first of the lab whose last turn was longest ago, and each lab's
    /// findings in their order. No night on these terms has tried it or holds it, and its lab is not distrusted.
    pub fn next_finding(&self, task: &TaskHash, context: &ContextKey) -> Result<Option<FindingRecord>, StoreError> {
        let sql =
            "SELECT findings.*, coalesce((SELECT max(proposals.id) FROM proposals JOIN nights ON nights.id = night
               JOIN findings AS before ON before.hash = proposals.finding WHERE nights.context = ?2
               AND before.lab = findings.lab AND outcome <> 'withdrawn'), 0) AS last_turn
             FROM findings WHERE task = ?1 AND lab NOT IN (SELECT lab FROM distrusted)
             AND NOT EXISTS (SELECT 1 FROM trials JOIN nights ON nights.id = night
               WHERE trials.finding = findings.hash AND nights.context = ?2)
             AND NOT EXISTS (SELECT 1 FROM proposals JOIN nights ON nights.id = night
               WHERE proposals.finding = findings.hash AND nights.context = ?2 AND outcome <> 'withdrawn')
             ORDER BY last_turn, arrived LIMIT 1";
        self.first(sql, params![task, context], finding_row)
    }

    /// The first trial of a finding.
    pub fn trial_of_finding(&self, finding: &Hash) -> Result<Option<TrialRecord>, StoreError> {
        self.first("SELECT * FROM trials WHERE finding = ? ORDER BY id LIMIT 1", [finding], trial_row)
    }

    /// Whether a source, by its hash, was compiled, tried or taken in here.
    pub fn knows_source(&self, source: &Hash) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM components WHERE source_blob = ?1)
             OR EXISTS (SELECT 1 FROM trials WHERE source_blob = ?1)
             OR EXISTS (SELECT 1 FROM findings WHERE source_blob = ?1)";
        self.one(sql, [source], |row| row.get(0))
    }

    /// The labs of which a claim was run again here and held.
    pub fn proved_labs(&self) -> Result<Vec<String>, StoreError> {
        self.rows("SELECT DISTINCT lab FROM findings WHERE proof = ? ORDER BY lab", [Proof::Proved], |row| row.get(0))
    }

    /// Records that a lab is not believed any more.
    pub fn distrust(&self, lab: &str, finding: &Hash, reason: &str, unix_ms: i64) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO distrusted VALUES (?, ?, ?, ?)";
        self.execute(sql, params![lab, finding, reason, unix_ms]).map(drop)
    }

    /// Believes a lab again. Returns false if it was not distrusted.
    pub fn trust(&self, lab: &str) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM distrusted WHERE lab = ?", params![lab])? > 0)
    }

    /// The labs that are not believed any more.
    pub fn distrusted(&self) -> Result<Vec<Distrusted>, StoreError> {
        self.rows("SELECT * FROM distrusted ORDER BY lab", [], |row| {
            Ok(Distrusted {
                lab: row.get("lab")?,
                finding: row.get("finding")?,
                reason: row.get("reason")?,
                unix_ms: row.get("unix_ms")?,
            })
        })
    }

    /// Remembers that a finding could not be run again, and forgets such attempts before `since`.
    pub fn add_failed_attempt(
        &self,
        finding: &Hash,
        reason: &str,
        (since, unix_ms): (i64, i64),
    ) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        self.sql(transaction.execute("DELETE FROM failed_attempts WHERE unix_ms < ?", [since]))?;
        self.sql(
            transaction.execute("INSERT INTO failed_attempts VALUES (?, ?, ?)", params![finding, reason, unix_ms]),
        )?;
        self.commit(transaction)
    }

    /// The findings that could not be run again since then.
    pub fn failed_attempts(&self, since: i64) -> Result<BTreeMap<Hash, Attempts>, StoreError> {
        // With max(), the other columns are those of that row.
        let sql =
            "SELECT finding, count(*), reason, max(unix_ms) FROM failed_attempts WHERE unix_ms >= ? GROUP BY finding";
        let row =
            |row: &Row<'_>| Ok((row.get("finding")?, Attempts { count: whole(row, 1)?, reason: row.get("reason")? }));
        Ok(self.rows(sql, [since], row)?.into_iter().collect())
    }

    /// Keeps what labs say that they tried without gain, up to `MOST_HINTS` of each lab and its part of
    /// `MOST_HINTS_IN_ALL`. Returns how many are new.
    pub fn add_hints(&self, context: &ContextKey, hints: &[Hint]) -> Result<u64, StoreError> {
        let transaction = self.begin()?;
        let sql = "SELECT count(*), count(DISTINCT lab) FROM hints";
        let (all, labs) = self.one(sql, [], |row| Ok((whole(row, 0)?, whole(row, 1)?)))?;
        let most = part(all, labs, MOST_HINTS, MOST_HINTS_IN_ALL);
        let (mut added, mut of_labs) = (0, BTreeMap::<&str, u64>::new());
        for Hint { lab, source_key, ending, delta, change } in hints {
            let of_lab = match of_labs.entry(lab) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let sql = "SELECT count(*) FROM hints WHERE lab = ?";
                    unknown.insert(self.one(sql, [lab], |row| whole(row, 0))?)
                }
            };
            if *of_lab < most {
                let sql = "INSERT OR IGNORE INTO hints VALUES (?, ?, ?, ?, ?, ?)";
                let params = params![lab, context, source_key, ending, delta, change];
                let new = self.sql(transaction.execute(sql, params))? as u64;
                (added, *of_lab) = (added + new, *of_lab + new);
            }
        }
        self.commit(transaction)?;
        Ok(added)
    }

    /// The hints on these terms, at most `MOST_HINTS_READ`: the last one of each lab, then the one before it of each
    /// lab, and so on, so that no lab takes the place of others. In a turn, labs with a claim that was proved here come
    /// first. Those of labs that are distrusted are left out.
    pub fn hints(&self, context: &ContextKey) -> Result<Vec<Hint>, StoreError> {
        let sql = "SELECT * FROM (SELECT *, rowid AS arrived,
               row_number() OVER (PARTITION BY lab ORDER BY rowid DESC) AS turn
             FROM hints WHERE context = ? AND lab NOT IN (SELECT lab FROM distrusted))
             ORDER BY turn, lab NOT IN (SELECT lab FROM findings WHERE proof = ?), arrived DESC LIMIT ?";
        self.rows(sql, params![context, Proof::Proved, Whole(MOST_HINTS_READ)], |row| {
            Ok(Hint {
                lab: row.get("lab")?,
                source_key: row.get("source_key")?,
                ending: row.get("ending")?,
                delta: row.get("delta")?,
                change: row.get("change")?,
            })
        })
    }
}

/// How much of one lab is kept: `most`, or an equal part once `all` of them have `most_in_all`. So those who were
/// first do not shut the others out.
fn part(all: u64, labs: u64, most: u64, most_in_all: u64) -> u64 {
    if all < most_in_all { most } else { most.min(most_in_all / labs.max(1)) }
}

fn finding_row(row: &Row<'_>) -> rusqlite::Result<FindingRecord> {
    Ok(FindingRecord {
        hash: row.get("hash")?,
        lab: row.get("lab")?,
        author: row.get("author")?,
        licence: row.get("licence")?,
        task: row.get("task")?,
        context: row.get("context")?,
        parent: row.get("parent")?,
        source_blob: row.get("source_blob")?,
        source_key: row.get("source_key")?,
        change: row.get("change")?,
        proof: row.get("proof")?,
        arrived_unix_ms: row.get("arrived_unix_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ending::Ending;
    use crate::record::store::{AnswerOutcome, NewAnswer};
    use crate::record::trial::{Findings, Trial};

    fn add(store: &Store, lab: &str, name: &str) -> Hash {
        let text = format!("{lab} {name}");
        let new = NewFinding {
            text: text.as_bytes(),
            source: name,
            source_key: SourceKey::of(text.as_bytes()),
            lab,
            author: lab,
            licence: Some("MIT"),
            task: TaskHash::of(b"t"),
            context: ContextKey::of(b"theirs"),
            parent: Hash::of(b"parent"),
            change: name,
            proof: Proof::Trusted,
        };
        assert!(store.add_finding(&new, 0).unwrap());
        assert!(!store.add_finding(&new, 0).unwrap(), "it is here already");
        Hash::of(text.as_bytes())
    }

    #[test]
    fn labs_take_turns_and_each_finding_is_tried_once_on_the_same_terms() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (task, context) = (TaskHash::of(b"t"), ContextKey::of(b"ours"));
        let night = store.start_night("p", "", &task, &context, 0).unwrap();
        for (lab, name) in [("eve", "1"), ("eve", "2"), ("eve", "3"), ("bob", "1"), ("bob", "2"), ("liar", "1")] {
            add(&store, lab, name);
        }
        store.distrust("liar", &Hash::of(b"lie"), "a lie", 0).unwrap();
        let mut order = Vec::new();
        let hold = |finding: &FindingRecord| {
            let answer = NewAnswer {
                first: None,
                unix_ms: 0,
                proposer: "commons",
                parent: 0,
                outcome: AnswerOutcome::Ready,
                stage: None,
                fault: "",
                text: Some("source"),
                hypothesis: "",
                description: "",
                operator: "",
                sent: Some(Sent::Finding(finding.hash)),
                wall_ms: 0,
            };
            store.add_answer(night, &answer, &[]).unwrap()
        };
        // One that a killed night holds goes back to the next, with its credit.
        let first = store.next_finding(&task, &context).unwrap().unwrap();
        let id = hold(&first);
        assert_eq!(store.next_finding(&task, &context).unwrap().unwrap().lab, "bob");
        assert_eq!(store.untried(&context).unwrap()[0].credit, Some(first.credit()));
        store.withdraw(id).unwrap();

        while let Some(next) = store.next_finding(&task, &context).unwrap() {
            order.push(format!("{} {}", next.lab, next.change));
            let mut trial = Trial::baseline("", Findings::new(Ending::Noise));
            (trial.number, trial.credit) = (order.len() as u64, Some(next.credit()));
            trial.proposal = Some(hold(&next));
            store.add_trial(night, &trial, &[]).unwrap();
            assert_eq!(store.trial_of_finding(&next.hash).unwrap().unwrap().trial.credit, trial.credit);
        }
        assert_eq!(order, ["eve 1", "bob 1", "eve 2", "bob 2", "eve 3"]);
        let elsewhere = store.next_finding(&task, &ContextKey::of(b"other")).unwrap();
        assert!(elsewhere.is_some(), "on other terms it may be tried again");
        assert!(store.next_finding(&TaskHash::of(b"another"), &context).unwrap().is_none());
        assert!(store.trust("liar").unwrap() && !store.trust("liar").unwrap());
        assert_eq!(store.next_finding(&task, &context).unwrap().unwrap().lab, "liar");
        assert!(store.knows_source(&Hash::of(b"1")).unwrap() && !store.knows_source(&Hash::of(b"4")).unwrap());
    }

    #[test]
    fn a_lab_keeps_its_part_when_others_have_filled_the_store() {
        assert_eq!(part(4999, 3, 1000, 5000), 1000);
        assert_eq!(part(5000, 5, 1000, 5000), 1000);
        assert_eq!(part(5000, 50, 1000, 5000), 100);
        assert_eq!(part(6000, 10_000, 1000, 5000), 0);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        add(&store, "template", "1");
        // Rows of many keys at once; a blob for each would take the test minutes.
        let many =
            "INSERT INTO findings SELECT hash || n, 'flood ' || (n / 1000), author, licence, task, context, parent,
             source_blob, source_key, change, proof, n, 0 FROM findings,
             (WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < 6000) SELECT n FROM c)";
        store.execute(many, params![]).unwrap();
        assert!(!store.has_room("flood 1").unwrap(), "it has its 1000");
        assert!(store.has_room("honest").unwrap());
    }

    #[test]
    fn failed_attempts_are_counted_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
        for (finding, reason, unix_ms) in [(a, "first", 10), (b, "other", 20), (a, "last", 30)] {
            store.add_failed_attempt(&finding, reason, (0, unix_ms)).unwrap();
        }
        let after = |count, reason: &str| Attempts { count, reason: reason.into() };
        let known = store.failed_attempts(10).unwrap();
        assert_eq!(known, [(a, after(2, "last")), (b, after(1, "other"))].into());
        assert_eq!(store.failed_attempts(25).unwrap(), [(a, after(1, "last"))].into());
        store.add_failed_attempt(&b, "again", (30, 40)).unwrap();
        assert_eq!(store.failed_attempts(0).unwrap(), [(a, after(1, "last")), (b, after(1, "again"))].into());
    }

    #[test]
    fn hints_are_kept_once_and_not_believed_of_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let context = ContextKey::of(b"ours");
        let hint = |lab: &str, source: &str| Hint {
            lab: lab.into(),
            source_key: SourceKey::of(source.as_bytes()),
            ending: Ending::Discard,
            delta: Some(0.1),
            change: source.into(),
        };
        let hints = [hint("a", "1"), hint("a", "2"), hint("b", "1")];
        assert_eq!(store.add_hints(&context, &hints).unwrap(), 3);
        assert_eq!(store.add_hints(&context, &hints).unwrap(), 0);
        store.distrust("b", &Hash::of(b"lie"), "a lie", 0).unwrap();
        assert_eq!(store.hints(&context).unwrap(), [hint("a", "2"), hint("a", "1")]);
        assert_eq!(store.hints(&ContextKey::of(b"other")).unwrap(), []);
    }

    #[test]
    fn a_lab_of_many_hints_hides_none_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let context = ContextKey::of(b"ours");
        let hint = |lab: &str, number: u64| Hint {
            lab: lab.into(),
            source_key: SourceKey::of(&number.to_le_bytes()),
            ending: Ending::Discard,
            delta: None,
            change: number.to_string(),
        };
        store.add_hints(&context, &[hint("a", 0), hint("a", 1), hint("b", 0)]).unwrap();
        let floods = ["flood", "deluge"];
        for lab in floods {
            let many: Vec<Hint> = (0..MOST_HINTS + 10).map(|number| hint(lab, number)).collect();
            assert_eq!(store.add_hints(&context, &many).unwrap(), MOST_HINTS);
        }
        let read = store.hints(&context).unwrap();
        assert_eq!(read.len() as u64, MOST_HINTS_READ);
        let first: Vec<_> = read.iter().take(7).map(|hint| (hint.lab.as_str(), hint.change.as_str())).collect();
        let (last, before) = ((MOST_HINTS - 1).to_string(), (MOST_HINTS - 2).to_string());
        let turns =
            [("deluge", &*last), ("flood", &last), ("b", "0"), ("a", "1"), ("deluge", &before), ("flood", &before)];
        assert_eq!(first[..6], turns);
        assert_eq!(first[6], ("a", "0"));
        assert_eq!(store.hints(&context).unwrap(), read);
    }
}
