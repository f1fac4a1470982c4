//! Answers of proposers and their cost: answers, requests with their reservations, digests, and accounts by proposer.

use crate::record::key::{ContextKey, Hash};
use crate::record::spend::{Exchange, Spend};
use crate::record::store::error::{StoreError, bad_record};
use crate::record::store::folder::Store;
use crate::record::store::index::{Whole, whole};
use crate::record::trial::{Credit, OUTSIDE, Sent, Trial};
use rusqlite::{Row, params};
use serde::Serialize;
use std::collections::BTreeMap;

/// Status of a request whose answer is not recorded.
const RESERVED: &str = "reserved";

/// How an answer ended, before any training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// It passed the dry run.
    Ready,
    /// The mutation cannot be trained.
    Faulty,
    /// The answer holds no readable mutation.
    Unreadable,
    /// No answer came for now.
    Later,
    /// No answer came, and none will come tonight.
    Stopped,
    /// It passed the dry run, and was then not tried, because a new champion had made it old.
    Withdrawn,
}

impl AnswerOutcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Faulty => "faulty",
            Self::Unreadable => "unreadable",
            Self::Later => "later",
            Self::Stopped => "stopped",
            Self::Withdrawn => "withdrawn",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnswer<'a> {
    /// The first answer of the turn; `None` for the first answer itself.
    pub first: Option<i64>,
    /// When the answer was received.
    pub unix_ms: i64,
    /// Name of the proposer.
    pub proposer: &'a str,
    /// Number of the trial whose source was to be changed.
    pub parent: u64,
    pub outcome: AnswerOutcome,
    /// The stage that found the fault.
    pub stage: Option<&'a str>,
    pub fault: &'a str,
    /// The source, or the whole answer if no source could be read.
    pub text: Option<&'a str>,
    /// The author's hypothesis.
    pub hypothesis: &'a str,
    /// The change in words.
    pub description: &'a str,
    /// The kind of change.
    pub operator: &'a str,
    /// What it came in, if a stranger sent it.
    pub sent: Option<Sent>,
    /// Milliseconds from the question to the answer.
    pub wall_ms: i64,
}

/// A proposal that was never tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untried {
    pub id: i64,
    pub proposer: String,
    /// Number of the trial whose source it changes.
    pub parent: u64,
    /// Blob of its source.
    pub source: Hash,
    pub hypothesis: String,
    pub description: String,
    pub operator: String,
    /// Whom it is owed to, if a stranger sent it.
    pub credit: Option<Credit>,
}

/// Summary of one proposer's work in a night.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    pub proposer: String,
    /// Turns with an answer.
    pub proposed: u64,
    /// Faulty or unreadable answers, including those that were repaired later.
    pub faults: u64,
    /// Turns saved by repair: a fault, then a mutation that passed the dry run.
    pub mended: u64,
    /// Turns without anything to train; repeats do not count.
    pub lost: u64,
    /// Trials whose mutation had been tried before.
    pub repeats: u64,
    /// Trials that were kept.
    pub kept: u64,
    /// Total gain of the kept trials, in bits per byte.
    pub gain: f64,
    #[serde(flatten)]
    pub spend: Spend,
    /// Turns without an answer, because a server or program failed.
    pub unanswered: u64,
    /// Why the latest turn without a mutation failed, even if later turns succeeded.
    pub failure: Option<String>,
    /// Why the proposer stopped for this night, such as a cap or a refused key; `None` if it may continue.
    pub stopped: Option<String>,
}

/// A decided turn of one proposer, for the bandit.
#[derive(Clone, Debug, PartialEq)]
pub struct DecidedTurn {
    pub proposer: String,
    /// Candidate minus champion in bits per byte, if measured.
    pub delta: Option<f64>,
    /// Probability that it was better.
    pub p_better: Option<f64>,
    /// What the turn cost.
    pub spend: Spend,
}

/// A request in the store, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExchangeRecord {
    /// The night that paid for it.
    pub night: i64,
    /// The proposer that sent it.
    pub proposer: String,
    pub unix_ms: i64,
    /// How it ended; `reserved` if unknown.
    pub status: String,
    /// The actual cost, or the worst case.
    #[serde(flatten)]
    pub spend: Spend,
    /// Blob of the request body.
    pub request: Option<Hash>,
    /// Blob of the answer body.
    pub response: Option<Hash>,
    /// Milliseconds from the request to the last byte.
    pub wall_ms: i64,
}

impl Store {
    /// Stores an answer together with the requests behind it.
    pub fn add_answer(&self, night: i64, answer: &NewAnswer, requests: &[i64]) -> Result<i64, StoreError> {
        let blob = answer.text.map(|text| self.put_blob(text.as_bytes())).transpose()?;
        let transaction = self.begin()?;
        let id: i64 = self.sql(transaction.query_row(
            "INSERT INTO proposals (night, first, unix_ms, proposer, parent, outcome, stage, fault, answer_blob,
             hypothesis, description, operator, wall_ms, submission, finding)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            params![
                night,
                answer.first,
                answer.unix_ms,
                answer.proposer,
                Whole(answer.parent),
                answer.outcome.name(),
                answer.stage,
                answer.fault,
                blob,
                answer.hypothesis,
                answer.description,
                answer.operator,
                answer.wall_ms,
                answer.sent.and_then(Sent::submission),
                answer.sent.and_then(Sent::finding)
            ],
            |row| row.get(0),
        ))?;
        if answer.first.is_none() {
            self.sql(transaction.execute("UPDATE proposals SET first = id WHERE id = ?", [id]))?;
        }
        for request in requests {
            let sql = "UPDATE requests SET proposal = ? WHERE id = ?";
            self.sql(transaction.execute(sql, params![id, request]))?;
        }
        self.commit(transaction)?;
        Ok(id)
    }

    /// The proposals of a context that have no trial, oldest first. Of a turn that was given up, this is the last
    /// answer, although it is faulty: its trial says why.
    pub fn untried(&self, context: &ContextKey) -> Result<Vec<Untried>, StoreError> {
        let sql = "SELECT proposals.id, proposer, proposals.parent, answer_blob, hypothesis, description, operator,
             submissions.hash, findings.hash, coalesce(submissions.author, findings.author),
             coalesce(submissions.licence, findings.licence), coalesce(submissions.parent, findings.parent)
             FROM proposals JOIN nights ON nights.id = night LEFT JOIN submissions ON submissions.hash = submission
             LEFT JOIN findings ON findings.hash = finding
             WHERE nights.context = ? AND outcome IN ('ready', 'faulty') AND answer_blob IS NOT NULL
             AND proposals.id NOT IN (SELECT proposal FROM trials WHERE proposal IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM proposals AS later WHERE later.first = proposals.first
             AND later.id > proposals.id AND later.outcome NOT IN ('later', 'stopped')) ORDER BY proposals.id";
        self.rows(sql, [context], |row| {
            Ok(Untried {
                id: row.get(0)?,
                proposer: row.get(1)?,
                parent: whole(row, 2)?,
                source: row.get(3)?,
                hypothesis: row.get(4)?,
                description: row.get(5)?,
                operator: row.get(6)?,
                credit: credit(row)?,
            })
        })
    }

    /// Records that a proposal will not be tried.
    pub fn withdraw(&self, proposal: i64) -> Result<(), StoreError> {
        let sql = "UPDATE proposals SET outcome = ? WHERE id = ?";
        self.execute(sql, params![AnswerOutcome::Withdrawn.name(), proposal]).map(drop)
    }

    /// Reserves the worst-case cost of a request if `fits` accepts the night's spending with this request included. No
    /// other process can spend in between.
    pub fn reserve(
        &self,
        night: i64,
        proposer: &str,
        worst: &Spend,
        unix_ms: i64,
        fits: &dyn Fn(&Spend) -> bool,
    ) -> Result<Result<i64, Spend>, StoreError> {
        let transaction = self.begin()?;
        let spent = self.spent(night)?;
        if !fits(&spent.plus(worst)) {
            return Ok(Err(spent));
        }
        let id = self.sql(transaction.query_row(
            "INSERT INTO requests (night, proposer, unix_ms, status, requests, input_tokens, output_tokens,
             micro_dollars, wall_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id",
            params![
                night,
                proposer,
                unix_ms,
                RESERVED,
                amount(worst.requests),
                amount(worst.input_tokens),
                amount(worst.output_tokens),
                amount(worst.micro_dollars)
            ],
            |row| row.get(0),
        ))?;
        self.commit(transaction)?;
        Ok(Ok(id))
    }

    /// Replaces a reservation by the actual cost, and stores both bodies.
    pub fn settle(&self, request: i64, exchange: &Exchange) -> Result<(), StoreError> {
        let file = |bytes: &Vec<u8>| (!bytes.is_empty()).then(|| self.put_blob(bytes)).transpose();
        let (sent, received) = (file(&exchange.request)?, file(&exchange.response)?);
        let sql = "UPDATE requests SET status = ?, requests = ?, input_tokens = ?, output_tokens = ?,
             micro_dollars = ?, request_blob = ?, response_blob = ?, wall_ms = ? WHERE id = ?";
        let spend = &exchange.spend;
        let changed = self.execute(
            sql,
            params![
                exchange.status,
                amount(spend.requests),
                amount(spend.input_tokens),
                amount(spend.output_tokens),
                amount(spend.micro_dollars),
                sent,
                received,
                amount(exchange.wall_ms),
                request
            ],
        )?;
        if changed == 1 { Ok(()) } else { Err(bad_record(format!("request {request}"), "it was never reserved")) }
    }

    /// Everything that a night has spent and reserved.
    pub fn spent(&self, night: i64) -> Result<Spend, StoreError> {
        let sql = format!("SELECT {SPEND} FROM requests WHERE night = ?");
        self.one(&sql, [night], |row| spend(row, 0))
    }

    /// The account of each proposer of a night, in order of first appearance.
    pub fn accounts(&self, night: i64) -> Result<Vec<Account>, StoreError> {
        let turns = "SELECT proposer,
               count(*) FILTER (WHERE first = id AND outcome NOT IN ('later', 'stopped')),
               count(*) FILTER (WHERE outcome IN ('faulty', 'unreadable')),
               count(*) FILTER (WHERE outcome IN ('ready', 'withdrawn') AND first <> id),
               count(*) FILTER (WHERE outcome = 'later')
             FROM proposals WHERE night = ? GROUP BY proposer ORDER BY min(id)";
        let mut accounts = self.rows(turns, [night], |row| {
            Ok(Account {
                proposer: row.get(0)?,
                proposed: whole(row, 1)?,
                faults: whole(row, 2)?,
                mended: whole(row, 3)?,
                unanswered: whole(row, 4)?,
                ..Account::default()
            })
        })?;
        for account in &mut accounts {
            let ready = "SELECT count(*) FROM proposals WHERE night = ? AND proposer = ?
                 AND outcome IN ('ready', 'withdrawn')";
            let ready = self.one(ready, params![night, account.proposer], |row| whole(row, 0))?;
            account.lost = account.proposed.saturating_sub(ready);
            let trials = "SELECT count(*) FILTER (WHERE verdict = 'same'), count(*) FILTER (WHERE verdict = 'keep'),
                 total(-delta) FILTER (WHERE verdict = 'keep')
                 FROM trials WHERE night = ? AND proposer = ? AND proposal IS NOT NULL";
            (account.repeats, account.kept, account.gain) =
                self.one(trials, params![night, account.proposer], |row| {
                    Ok((whole(row, 0)?, whole(row, 1)?, row.get(2)?))
                })?;
            let sql = format!("SELECT {SPEND} FROM requests WHERE night = ? AND proposer = ?");
            account.spend = self.one(&sql, params![night, account.proposer], |row| spend(row, 0))?;
            let failed = "SELECT fault FROM proposals AS failed WHERE night = ? AND proposer = ?
                 AND outcome IN ('later', 'unreadable') AND NOT EXISTS (SELECT 1 FROM proposals AS mended
                 WHERE mended.first = failed.first AND mended.outcome IN ('ready', 'faulty') AND mended.id > failed.id)
                 ORDER BY id DESC LIMIT 1";
            account.failure = self.first(failed, params![night, account.proposer], |row| row.get(0))?;
            let last = "SELECT CASE outcome WHEN 'stopped' THEN fault END FROM proposals
                 WHERE night = ? AND proposer = ? ORDER BY id DESC LIMIT 1";
            account.stopped = self.first(last, params![night, account.proposer], |row| row.get(0))?.flatten();
        }
        Ok(accounts)
    }

    /// All decided turns of a context, oldest first. A turn is decided by a trial, or lost before one.
    pub fn decided_turns(&self, context: &ContextKey) -> Result<Vec<DecidedTurn>, StoreError> {
        let sql = format!(
            "SELECT last.proposer, trials.delta, trials.p_better, {SPEND}
             FROM proposals AS last JOIN nights ON nights.id = last.night
             LEFT JOIN trials ON trials.proposal = last.id
             JOIN proposals AS every ON every.first = last.first
             LEFT JOIN requests ON requests.proposal = every.id
             WHERE nights.context = ? AND last.outcome NOT IN ('later', 'stopped')
               AND NOT EXISTS (SELECT 1 FROM proposals AS next WHERE next.id > last.id AND next.first = last.first
                               AND next.outcome NOT IN ('later', 'stopped'))
               AND (trials.verdict <> 'host-fault' OR last.outcome = 'unreadable') AND last.operator <> ?
             GROUP BY last.id ORDER BY last.id"
        );
        self.rows(&sql, params![context, OUTSIDE], |row| {
            Ok(DecidedTurn { proposer: row.get(0)?, delta: row.get(1)?, p_better: row.get(2)?, spend: spend(row, 3)? })
        })
    }

    /// The cost of a proposal's turn, repairs included, and the number of repairs.
    pub fn turn_spend(&self, proposal: i64) -> Result<(Spend, u32), StoreError> {
        let turn = "SELECT id FROM proposals WHERE first = (SELECT first FROM proposals WHERE id = ?)";
        let answers =
            format!("SELECT count(*) FROM proposals WHERE id IN ({turn}) AND outcome NOT IN ('later', 'stopped')");
        let answers: u32 = self.one(&answers, [proposal], |row| row.get(0))?;
        let sql = format!("SELECT {SPEND} FROM requests WHERE proposal IN ({turn})");
        let spent = self.one(&sql, [proposal], |row| spend(row, 0))?;
        Ok((spent, answers.saturating_sub(1)))
    }

    /// The cost of a trial's proposal and its number of repairs; zero if no proposer of the night wrote it.
    pub fn cost_of(&self, trial: &Trial) -> Result<(Spend, u32), StoreError> {
        trial.proposal.map_or(Ok((Spend::default(), 0)), |proposal| self.turn_spend(proposal))
    }

    /// The cost of each turn behind a trial, by proposal. Free turns are left out.
    pub fn spends(&self) -> Result<BTreeMap<i64, Spend>, StoreError> {
        let sql = format!(
            "SELECT trials.proposal, {SPEND} FROM requests JOIN proposals AS every ON every.id = requests.proposal
             JOIN proposals AS last ON last.first = every.first JOIN trials ON trials.proposal = last.id
             GROUP BY trials.proposal"
        );
        Ok(self.rows(&sql, [], |row| Ok((row.get(0)?, spend(row, 1)?)))?.into_iter().collect())
    }

    /// Stores a digest written after `after` trials of a context.
    pub fn add_digest(
        &self,
        context: &ContextKey,
        after: u64,
        unix_ms: i64,
        author: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO digests (context, number, unix_ms, author, text) VALUES (?, ?, ?, ?, ?)";
        self.execute(sql, params![context, Whole(after), unix_ms, author, text]).map(drop)
    }

    /// The latest digest of a context: the number of trials it covers, and its text.
    pub fn latest_digest(&self, context: &ContextKey) -> Result<Option<(u64, String)>, StoreError> {
        let sql = "SELECT number, text FROM digests WHERE context = ? ORDER BY id DESC LIMIT 1";
        self.first(sql, [context], |row| Ok((whole(row, 0)?, row.get(1)?)))
    }

    /// A night's requests, in order.
    pub fn exchanges(&self, night: i64) -> Result<Vec<ExchangeRecord>, StoreError> {
        self.rows("SELECT * FROM requests WHERE night = ? ORDER BY id", [night], exchange_row)
    }

    /// The requests behind a proposal in order, including those of the answers that it repairs.
    pub fn turn_exchanges(&self, proposal: i64) -> Result<Vec<ExchangeRecord>, StoreError> {
        let sql = "SELECT requests.* FROM requests JOIN proposals ON proposals.id = requests.proposal
             WHERE proposals.first = (SELECT first FROM proposals WHERE id = ?) ORDER BY requests.id";
        self.rows(sql, [proposal], exchange_row)
    }

    /// The requests whose request or answer body is this blob.
    pub fn exchanges_of_blob(&self, blob: &Hash) -> Result<Vec<ExchangeRecord>, StoreError> {
        let sql = "SELECT * FROM requests WHERE request_blob = ?1 OR response_blob = ?1 ORDER BY id";
        self.rows(sql, [blob], exchange_row)
    }
}

/// Of the last five columns of [`Store::untried`].
fn credit(row: &Row<'_>) -> rusqlite::Result<Option<Credit>> {
    let (submission, finding): (Option<Hash>, Option<Hash>) = (row.get(7)?, row.get(8)?);
    let Some(sent) = submission.map(Sent::Submission).or(finding.map(Sent::Finding)) else { return Ok(None) };
    Ok(Some(Credit { sent, author: row.get(9)?, licence: row.get(10)?, made_from: row.get(11)? }))
}

fn exchange_row(row: &Row<'_>) -> rusqlite::Result<ExchangeRecord> {
    Ok(ExchangeRecord {
        night: row.get("night")?,
        proposer: row.get("proposer")?,
        unix_ms: row.get("unix_ms")?,
        status: row.get("status")?,
        spend: Spend {
            requests: whole(row, "requests")?,
            input_tokens: whole(row, "input_tokens")?,
            output_tokens: whole(row, "output_tokens")?,
            micro_dollars: whole(row, "micro_dollars")?,
        },
        request: row.get("request_blob")?,
        response: row.get("response_blob")?,
        wall_ms: row.get("wall_ms")?,
    })
}

/// The columns that [`spend`] reads.
const SPEND: &str = "coalesce(sum(requests.requests), 0), coalesce(sum(requests.input_tokens), 0),
    coalesce(sum(requests.output_tokens), 0), coalesce(sum(requests.micro_dollars), 0)";

fn spend(row: &Row<'_>, at: usize) -> rusqlite::Result<Spend> {
    Ok(Spend {
        requests: whole(row, at)?,
        input_tokens: whole(row, at + 1)?,
        output_tokens: whole(row, at + 2)?,
        micro_dollars: whole(row, at + 3)?,
    })
}

/// Caps an amount so that SQLite can add it up: its integers end earlier than `u64`. No real amount reaches the cap.
fn amount(n: u64) -> i64 {
    n.min(1 << 50) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::TaskHash;

    #[test]
    fn of_a_turn_that_nobody_tried_the_last_answer_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let context = ContextKey::of(b"c");
        let night = store.start_night("n", "", &TaskHash::of(b"t"), &context, 1).unwrap();
        let answer = |first, outcome, text: Option<&str>| {
            let (proposer, parent, stage) = ("llm.a", 0, None);
            let (hypothesis, description, operator, fault) = ("", "", "", "");
            let (unix_ms, wall_ms) = (1, 1);
            let answer = NewAnswer {
                first,
                unix_ms,
                proposer,
                parent,
                outcome,
                stage,
                fault,
                text,
                hypothesis,
                description,
                operator,
                sent: None,
                wall_ms,
            };
            store.add_answer(night, &answer, &[]).unwrap()
        };
        use AnswerOutcome::{Faulty, Ready, Stopped, Unreadable, Withdrawn};
        let repaired = answer(None, Faulty, Some("a"));
        let repair = answer(Some(repaired), Ready, Some("b"));
        let given_up = answer(None, Faulty, Some("c"));
        let last = answer(Some(given_up), Faulty, Some("d"));
        answer(Some(given_up), Stopped, None);
        let lost = answer(None, Faulty, Some("e"));
        answer(Some(lost), Unreadable, Some("f"));
        answer(None, Withdrawn, Some("g"));
        let untried: Vec<i64> = store.untried(&context).unwrap().into_iter().map(|untried| untried.id).collect();
        assert_eq!(untried, [repair, last]);
    }
}
