//! What proposers wrote and what it cost: answers, requests with their reservations, digests, accounts by proposer.

use crate::record::key::{ContextKey, Hash};
use crate::record::spend::{Exchange, Spend};
use crate::record::store::error::{StoreError, bad_record};
use crate::record::store::folder::Store;
use crate::record::store::index::{Whole, whole};
use crate::record::trial::Trial;
use rusqlite::{Row, params};
use serde::Serialize;
use std::collections::BTreeMap;

/// Status of a request whose answer is not here.
const RESERVED: &str = "reserved";

/// What became of an answer before any training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// It passed the dry run.
    Ready,
    /// A mutation that cannot be trained.
    Faulty,
    /// No mutation could be read from it.
    Unreadable,
    /// None came: not now.
    Later,
    /// None came, and none will tonight.
    Stopped,
}

impl AnswerOutcome {
    /// Its name in the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Faulty => "faulty",
            Self::Unreadable => "unreadable",
            Self::Later => "later",
            Self::Stopped => "stopped",
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnswer<'a> {
    /// The first answer of the turn; none for that one.
    pub first: Option<i64>,
    /// When it was there.
    pub unix_ms: i64,
    /// Who wrote it.
    pub proposer: &'a str,
    /// Trial whose source was to be changed.
    pub parent: u64,
    /// What became of it.
    pub outcome: AnswerOutcome,
    /// What found the fault.
    pub stage: Option<&'a str>,
    /// The fault.
    pub fault: &'a str,
    /// The source, or the answer from which none could be read.
    pub text: Option<&'a str>,
    /// What its author claims.
    pub hypothesis: &'a str,
    /// The change in words.
    pub description: &'a str,
    /// Which kind of change.
    pub operator: &'a str,
    /// From asking to answer.
    pub wall_ms: i64,
}

/// What a proposer did in a night.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    /// Its name.
    pub proposer: String,
    /// Turns that brought an answer.
    pub proposed: u64,
    /// Answers that were faulty or unreadable, repaired ones included.
    pub faults: u64,
    /// Turns that repair saved: a fault, then a mutation that passed the dry run.
    pub mended: u64,
    /// Turns that brought nothing to train, repeats not counted.
    pub lost: u64,
    /// Trials of its proposals that had been tried before.
    pub repeats: u64,
    /// Trials that were kept.
    pub kept: u64,
    /// Sum of what the kept ones gained, in bits per byte.
    pub gain: f64,
    /// What it cost.
    #[serde(flatten)]
    pub spend: Spend,
    /// Turns in which no answer came: a server or program that failed.
    pub unanswered: u64,
    /// Why the last turn that brought no mutation did not, whatever came after it.
    pub failure: Option<String>,
    /// Why nothing more comes of it in this night: a cap, a refused key; none where it may go on.
    pub stopped: Option<String>,
}

/// One proposer's turn that was decided, for the bandit.
#[derive(Clone, Debug, PartialEq)]
pub struct DecidedTurn {
    /// Who.
    pub proposer: String,
    /// Candidate less champion in bits per byte, where measured.
    pub delta: Option<f64>,
    /// What the turn cost.
    pub spend: Spend,
}

/// A request on record, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExchangeRecord {
    /// The night that paid.
    pub night: i64,
    /// Who was asked.
    pub proposer: String,
    /// When.
    pub unix_ms: i64,
    /// How it ended; `reserved` where nobody knows.
    pub status: String,
    /// What it cost, or may have.
    #[serde(flatten)]
    pub spend: Spend,
    /// Blob of what was sent.
    pub request: Option<Hash>,
    /// Blob of what came back.
    pub response: Option<Hash>,
    /// From request to last byte.
    pub wall_ms: i64,
}

impl Store {
    /// Files an answer and says which requests it came from.
    pub fn add_answer(&self, night: i64, answer: &NewAnswer, requests: &[i64]) -> Result<i64, StoreError> {
        let blob = answer.text.map(|text| self.put_blob(text.as_bytes())).transpose()?;
        let transaction = self.begin()?;
        let id: i64 = self.sql(transaction.query_row(
            "INSERT INTO proposals (night, first, unix_ms, proposer, parent, outcome, stage, fault, answer_blob,
             hypothesis, description, operator, wall_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
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
                answer.wall_ms
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
        self.sql(transaction.commit())?;
        Ok(id)
    }

    /// Reserves what a request may cost at most, if `fits` says that the night's spending, it included, stays under
    /// the caps. Nobody else spends in between.
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
        self.sql(transaction.commit())?;
        Ok(Ok(id))
    }

    /// Replaces a reservation by what was spent, and files both bodies.
    pub fn settle(&self, request: i64, exchange: &Exchange) -> Result<(), StoreError> {
        let file = |bytes: &Vec<u8>| (!bytes.is_empty()).then(|| self.put_blob(bytes)).transpose();
        let (sent, received) = (file(&exchange.request)?, file(&exchange.response)?);
        let sql = "UPDATE requests SET status = ?, requests = ?, input_tokens = ?, output_tokens = ?,
             micro_dollars = ?, request_blob = ?, response_blob = ?, wall_ms = ? WHERE id = ?";
        let spend = &exchange.spend;
        let changed = self.sql(self.db.execute(
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
        ))?;
        if changed == 1 { Ok(()) } else { Err(bad_record(format!("request {request}"), "it was never reserved")) }
    }

    /// All that a night has spent and reserved.
    pub fn spent(&self, night: i64) -> Result<Spend, StoreError> {
        let sql = format!("SELECT {SPEND} FROM requests WHERE night = ?");
        self.one(&sql, [night], |row| spend(row, 0))
    }

    /// What each proposer of a night did, in order of first appearance.
    pub fn accounts(&self, night: i64) -> Result<Vec<Account>, StoreError> {
        let turns = "SELECT proposer,
               count(*) FILTER (WHERE first = id AND outcome NOT IN ('later', 'stopped')),
               count(*) FILTER (WHERE outcome IN ('faulty', 'unreadable')),
               count(*) FILTER (WHERE outcome = 'ready' AND first <> id),
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
            let ready = "SELECT count(*) FROM proposals WHERE night = ? AND proposer = ? AND outcome = 'ready'";
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

    /// Every turn of a context that was decided, oldest first: tried, or lost before it could be.
    pub fn decided_turns(&self, context: &ContextKey) -> Result<Vec<DecidedTurn>, StoreError> {
        let sql = format!(
            "SELECT last.proposer, trials.delta, {SPEND}
             FROM proposals AS last JOIN nights ON nights.id = last.night
             LEFT JOIN trials ON trials.proposal = last.id
             JOIN proposals AS every ON every.first = last.first
             LEFT JOIN requests ON requests.proposal = every.id
             WHERE nights.context = ? AND last.outcome NOT IN ('later', 'stopped')
               AND NOT EXISTS (SELECT 1 FROM proposals AS next WHERE next.id > last.id AND next.first = last.first
                               AND next.outcome NOT IN ('later', 'stopped'))
               AND (trials.id IS NOT NULL OR last.outcome = 'unreadable')
             GROUP BY last.id ORDER BY last.id"
        );
        self.rows(&sql, [context], |row| {
            Ok(DecidedTurn { proposer: row.get(0)?, delta: row.get(1)?, spend: spend(row, 2)? })
        })
    }

    /// What the turn of a proposal cost, its repairs included, and how many repairs there were.
    pub fn turn_spend(&self, proposal: i64) -> Result<(Spend, u32), StoreError> {
        let turn = "SELECT id FROM proposals WHERE first = (SELECT first FROM proposals WHERE id = ?)";
        let answers =
            format!("SELECT count(*) FROM proposals WHERE id IN ({turn}) AND outcome NOT IN ('later', 'stopped')");
        let answers: u32 = self.one(&answers, [proposal], |row| row.get(0))?;
        let sql = format!("SELECT {SPEND} FROM requests WHERE proposal IN ({turn})");
        let spent = self.one(&sql, [proposal], |row| spend(row, 0))?;
        Ok((spent, answers.saturating_sub(1)))
    }

    /// What a trial's proposal cost and how many repairs it had; nothing where no proposer of the night wrote it.
    pub fn cost_of(&self, trial: &Trial) -> Result<(Spend, u32), StoreError> {
        trial.proposal.map_or(Ok((Spend::default(), 0)), |proposal| self.turn_spend(proposal))
    }

    /// What the turns behind trials cost, by proposal; free ones are left out.
    pub fn spends(&self) -> Result<BTreeMap<i64, Spend>, StoreError> {
        let sql = format!(
            "SELECT trials.proposal, {SPEND} FROM requests JOIN proposals AS every ON every.id = requests.proposal
             JOIN proposals AS last ON last.first = every.first JOIN trials ON trials.proposal = last.id
             GROUP BY trials.proposal"
        );
        Ok(self.rows(&sql, [], |row| Ok((row.get(0)?, spend(row, 1)?)))?.into_iter().collect())
    }

    /// Files what was learnt after so many trials of a context.
    pub fn add_digest(
        &self,
        context: &ContextKey,
        after: u64,
        unix_ms: i64,
        author: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO digests (context, number, unix_ms, author, text) VALUES (?, ?, ?, ?, ?)";
        self.sql(self.db.execute(sql, params![context, Whole(after), unix_ms, author, text])).map(drop)
    }

    /// The last digest of a context: after which trial it was written, and its text.
    pub fn latest_digest(&self, context: &ContextKey) -> Result<Option<(u64, String)>, StoreError> {
        let sql = "SELECT number, text FROM digests WHERE context = ? ORDER BY id DESC LIMIT 1";
        self.first(sql, [context], |row| Ok((whole(row, 0)?, row.get(1)?)))
    }

    /// A night's requests, in order.
    pub fn exchanges(&self, night: i64) -> Result<Vec<ExchangeRecord>, StoreError> {
        self.rows("SELECT * FROM requests WHERE night = ? ORDER BY id", [night], exchange_row)
    }

    /// The requests behind a proposal, those of the answers that it mends included, in order.
    pub fn turn_exchanges(&self, proposal: i64) -> Result<Vec<ExchangeRecord>, StoreError> {
        let sql = "SELECT requests.* FROM requests JOIN proposals ON proposals.id = requests.proposal
             WHERE proposals.first = (SELECT first FROM proposals WHERE id = ?) ORDER BY requests.id";
        self.rows(sql, [proposal], exchange_row)
    }

    /// The requests that sent this blob, or were answered by it.
    pub fn exchanges_of_blob(&self, blob: &Hash) -> Result<Vec<ExchangeRecord>, StoreError> {
        let sql = "SELECT * FROM requests WHERE request_blob = ?1 OR response_blob = ?1 ORDER BY id";
        self.rows(sql, [blob], exchange_row)
    }
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

/// An amount that SQLite can add up. Sums of its integers end earlier than ours: what is larger than any real amount is cut.
fn amount(n: u64) -> i64 {
    n.min(1 << 50) as i64
}
