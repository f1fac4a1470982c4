//! Trials, and the experiments behind their verdicts.

use crate::record::key::{ContextKey, ExperimentKey, SourceKey};
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use crate::record::store::index::{Whole, whole};
use crate::record::trial::{Credit, Findings, Sent, Trial};
use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use std::collections::BTreeMap;

/// A trial in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRecord {
    /// The trial's number in the store.
    pub id: i64,
    pub night: i64,
    pub trial: Trial,
}

/// A kept trial and its predecessor on one more random seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recheck {
    pub number: u64,
    /// Predecessor minus trial in bits per byte, so that positive is better. None if one of them failed.
    pub gain: Option<f64>,
}

/// How often shorter runs of an operator's mutations told the sign of the difference at the night's budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RungSigns {
    pub operator: String,
    pub agreed: u64,
    pub all: u64,
}

/// Why an experiment was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To judge it on the night's first random seed.
    Search,
    /// To judge it on a further random seed.
    FreshSeed,
    /// To sort it out by a shorter run.
    Rung,
    /// To see, after it was kept, whether its gain holds on one more random seed.
    Recheck,
}

/// When a run behind a trial was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTime {
    /// Number of the trial in its context.
    pub trial: u64,
    pub key: ExperimentKey,
    pub finished_unix_ms: i64,
    pub wall_ms: i64,
    /// Whether it trained this trial; otherwise it trained what the trial was compared with.
    pub is_own: bool,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::FreshSeed => "fresh-seed",
            Self::Rung => "rung",
            Self::Recheck => "recheck",
        }
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl Store {
    /// Records a decided trial and its experiments, which must already be stored. Returns its number in the store.
    pub fn add_trial(&self, night: i64, trial: &Trial, runs: &[(ExperimentKey, Role)]) -> Result<i64, StoreError> {
        let found = &trial.found;
        let transaction = self.begin()?;
        let id = self.sql(transaction.query_row(
            "INSERT INTO trials (night, number, unix_ms, proposer, parent, source_blob, source_key, component_key,
             behaviour_key, experiment_key, verdict, bpb, delta, p_better, description, operator, reason,
             peak_bytes, wall_ms, champion, hypothesis, proposal, pairs, spread, prior, change, data_bytes, trained_share,
             submission, finding, author, licence, made_from)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            params![
                night,
                Whole(trial.number),
                trial.unix_ms,
                trial.proposer,
                Whole(trial.parent),
                trial.source_blob,
                found.source_key,
                found.component_key,
                found.behaviour_key,
                found.experiment,
                found.verdict,
                found.bpb,
                found.delta,
                found.p_better,
                trial.description,
                trial.operator,
                found.reason,
                found.peak_bytes.map(Whole),
                trial.wall_ms,
                Whole(trial.champion),
                trial.hypothesis,
                trial.proposal,
                found.pairs,
                found.spread,
                found.prior,
                found.change,
                found.data_bytes.map(Whole),
                found.trained_share,
                trial.credit.as_ref().and_then(|credit| credit.sent.submission()),
                trial.credit.as_ref().and_then(|credit| credit.sent.finding()),
                trial.credit.as_ref().map(|credit| &credit.author),
                trial.credit.as_ref().and_then(|credit| credit.licence.as_ref()),
                trial.credit.as_ref().and_then(|credit| credit.made_from)
            ],
            |row| row.get(0),
        ))?;
        self.insert_runs(&transaction, id, runs)?;
        self.commit(transaction)?;
        Ok(id)
    }

    /// Adds experiments to a trial.
    pub fn add_runs(&self, trial: i64, runs: &[(ExperimentKey, Role)]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        self.insert_runs(&transaction, trial, runs)?;
        self.commit(transaction)
    }

    fn insert_runs(
        &self,
        transaction: &Transaction,
        trial: i64,
        runs: &[(ExperimentKey, Role)],
    ) -> Result<(), StoreError> {
        for (key, role) in runs {
            self.sql(transaction.execute("INSERT OR IGNORE INTO runs VALUES (?, ?, ?)", params![trial, key, role]))?;
        }
        Ok(())
    }

    /// The trial with this number in a context.
    pub fn trial_in(&self, context: &ContextKey, number: u64) -> Result<Option<TrialRecord>, StoreError> {
        let sql = "SELECT trials.* FROM trials JOIN nights ON nights.id = night WHERE context = ? AND number = ?";
        self.first(sql, params![context, Whole(number)], trial_row)
    }

    /// The kept trials of a context that met their predecessors again, once for each random seed.
    pub fn rechecks(&self, context: &ContextKey) -> Result<Vec<Recheck>, StoreError> {
        let sql = "SELECT number, gain FROM meetings JOIN trials ON trials.id = trial JOIN nights ON nights.id = night
             WHERE context = ? AND role = ? ORDER BY trial, run";
        self.rows(sql, params![context, Role::Recheck], |row| {
            Ok(Recheck { number: whole(row, "number")?, gain: row.get("gain")? })
        })
    }

    /// For each operator: how often a shorter run had the same sign as the trial's own difference, and of how many.
    pub fn rung_signs(&self, context: &ContextKey) -> Result<Vec<RungSigns>, StoreError> {
        let sql = "SELECT operator, count(*) AS every, sum((gain < 0) = (delta > 0)) AS agreed
             FROM meetings JOIN trials ON trials.id = trial JOIN nights ON nights.id = night
             WHERE context = ? AND role = ? AND delta IS NOT NULL AND gain IS NOT NULL
             GROUP BY operator ORDER BY operator";
        self.rows(sql, params![context, Role::Rung], |row| {
            Ok(RungSigns { operator: row.get("operator")?, agreed: whole(row, "agreed")?, all: whole(row, "every")? })
        })
    }

    /// The experiments behind a trial, in the order in which they were requested.
    pub fn runs_of(&self, trial: i64) -> Result<Vec<ExperimentKey>, StoreError> {
        self.rows("SELECT experiment_key FROM runs WHERE trial = ? ORDER BY rowid", [trial], |row| row.get(0))
    }

    /// As [`Store::runs_of`], for each trial of a night.
    pub fn runs_of_night(&self, night: i64) -> Result<BTreeMap<i64, Vec<ExperimentKey>>, StoreError> {
        let sql = "SELECT trial, runs.experiment_key FROM trials JOIN runs ON trial = trials.id WHERE night = ?
             ORDER BY runs.rowid";
        let mut found = BTreeMap::<i64, Vec<ExperimentKey>>::new();
        for (trial, key) in self.rows(sql, [night], |row| Ok((row.get(0)?, row.get(1)?)))? {
            found.entry(trial).or_default().push(key);
        }
        Ok(found)
    }

    /// When the runs behind the trials of a night were made, in the order of the trials. A run that several trials
    /// share comes for each of them.
    pub fn times_of_night(&self, night: i64) -> Result<Vec<RunTime>, StoreError> {
        let sql = "SELECT number, key, finished_unix_ms, experiments.wall_ms AS took_ms,
                 experiments.component_key IS trials.component_key AS is_own
             FROM trials JOIN runs ON trial = trials.id JOIN experiments ON key = runs.experiment_key
             WHERE night = ? ORDER BY number, runs.rowid";
        self.rows(sql, [night], |row| {
            Ok(RunTime {
                trial: whole(row, "number")?,
                key: row.get("key")?,
                finished_unix_ms: row.get("finished_unix_ms")?,
                wall_ms: row.get("took_ms")?,
                is_own: row.get("is_own")?,
            })
        })
    }

    /// As [`Store::runs_of`], each with the name of its role.
    pub fn roles_of(&self, trial: i64) -> Result<Vec<(ExperimentKey, String)>, StoreError> {
        let sql = "SELECT experiment_key, role FROM runs WHERE trial = ? ORDER BY rowid";
        self.rows(sql, [trial], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The trials of one night, or of all nights, in order.
    pub fn trials(&self, night: Option<i64>) -> Result<Vec<TrialRecord>, StoreError> {
        let sql = "SELECT * FROM trials WHERE ?1 IS NULL OR night = ?1 ORDER BY night, number";
        self.rows(sql, [night], trial_row)
    }

    /// The trial with this number in the store.
    pub fn trial(&self, id: i64) -> Result<Option<TrialRecord>, StoreError> {
        self.first("SELECT * FROM trials WHERE id = ?", [id], trial_row)
    }

    /// The last `count` trials of all nights, in order.
    pub fn last_trials(&self, count: u32) -> Result<Vec<TrialRecord>, StoreError> {
        let sql = "SELECT * FROM trials ORDER BY night DESC, number DESC LIMIT ?";
        let mut trials = self.rows(sql, [count], trial_row)?;
        trials.reverse();
        Ok(trials)
    }

    /// The number of trials of all nights.
    pub fn count_trials(&self) -> Result<u64, StoreError> {
        self.one("SELECT count(*) FROM trials", [], |row| whole(row, 0))
    }

    /// The first trial of a source. Later trials of the same source are repeats of it.
    pub fn trial_of_source(&self, key: &SourceKey) -> Result<Option<TrialRecord>, StoreError> {
        self.first("SELECT * FROM trials WHERE source_key = ? ORDER BY id LIMIT 1", [key], trial_row)
    }

    /// The first trial that an experiment belongs to.
    pub fn trial_of_experiment(&self, key: &ExperimentKey) -> Result<Option<TrialRecord>, StoreError> {
        let sql = "SELECT * FROM trials WHERE experiment_key = ?1 OR id IN (SELECT trial FROM runs WHERE
             experiment_key = ?1) ORDER BY id LIMIT 1";
        self.first(sql, [key], trial_row)
    }

    /// The trials of all nights in a context, in order.
    pub fn trials_in(&self, context: &ContextKey) -> Result<Vec<TrialRecord>, StoreError> {
        self.trials_after(context, 0)
    }

    /// The trials of a context that were recorded after trial `id`.
    pub fn trials_after(&self, context: &ContextKey, id: i64) -> Result<Vec<TrialRecord>, StoreError> {
        let sql = "SELECT trials.* FROM trials JOIN nights ON nights.id = night WHERE context = ? AND trials.id > ?
             ORDER BY trials.id";
        self.rows(sql, params![context, id], trial_row)
    }
}

pub(super) fn trial_row(row: &Row<'_>) -> rusqlite::Result<TrialRecord> {
    let parent = whole(row, "parent")?;
    let found = Findings {
        verdict: row.get("verdict")?,
        reason: row.get("reason")?,
        bpb: row.get("bpb")?,
        delta: row.get("delta")?,
        p_better: row.get("p_better")?,
        pairs: row.get("pairs")?,
        spread: row.get("spread")?,
        prior: row.get("prior")?,
        change: row.get("change")?,
        source_key: row.get("source_key")?,
        component_key: row.get("component_key")?,
        behaviour_key: row.get("behaviour_key")?,
        experiment: row.get("experiment_key")?,
        peak_bytes: row.get::<_, Option<Whole>>("peak_bytes")?.map(|Whole(bytes)| bytes),
        data_bytes: row.get::<_, Option<Whole>>("data_bytes")?.map(|Whole(bytes)| bytes),
        trained_share: row.get("trained_share")?,
    };
    let trial = Trial {
        number: whole(row, "number")?,
        unix_ms: row.get("unix_ms")?,
        proposer: row.get("proposer")?,
        parent,
        // Before version 2 the parent was always the champion.
        champion: row.get::<_, Option<Whole>>("champion")?.map_or(parent, |Whole(number)| number),
        proposal: row.get("proposal")?,
        source_blob: row.get("source_blob")?,
        hypothesis: row.get("hypothesis")?,
        description: row.get("description")?,
        operator: row.get("operator")?,
        found,
        credit: credit(row)?,
        wall_ms: row.get("wall_ms")?,
    };
    Ok(TrialRecord { id: row.get("id")?, night: row.get("night")?, trial })
}

fn credit(row: &Row<'_>) -> rusqlite::Result<Option<Credit>> {
    let submission = row.get::<_, Option<_>>("submission")?.map(Sent::Submission);
    let finding = row.get::<_, Option<_>>("finding")?.map(Sent::Finding);
    let Some(sent) = submission.or(finding) else { return Ok(None) };
    let (author, licence, made_from) = (row.get("author")?, row.get("licence")?, row.get("made_from")?);
    Ok(Some(Credit { sent, author, licence, made_from }))
}
