//! Nights: start, end, use of their bounds, and the champion of the latest night.

use crate::record::key::{ComponentKey, ContextKey, ExperimentKey, Hash, TaskHash};
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use crate::record::store::index::whole;
use crate::record::trial::OUTSIDE;
use rusqlite::{Row, params};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NightRecord {
    /// The night's number in the store.
    pub id: i64,
    pub policy_name: String,
    /// Blob with the policy's text.
    pub policy_blob: Hash,
    pub task: TaskHash,
    /// The terms on which its trials compete.
    pub context: ContextKey,
    /// When it started.
    pub started_unix_ms: i64,
    /// When it ended; absent while it runs, or if it was killed.
    pub ended_unix_ms: Option<i64>,
}

/// How much a night has used of its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NightUsed {
    /// Number of its proposers' mutations that were trained.
    pub trained: u64,
    /// Wall time of its proposers' trials.
    pub wall_ms: u64,
}

impl Store {
    /// Starts a night and returns its number.
    pub fn start_night(
        &self,
        policy_name: &str,
        policy: &str,
        task: &TaskHash,
        context: &ContextKey,
        unix_ms: i64,
    ) -> Result<i64, StoreError> {
        let policy_blob = self.put_blob(policy.as_bytes())?;
        let sql = "INSERT INTO nights (policy_name, policy_blob, task, context, started_unix_ms) VALUES (?, ?, ?, ?, ?) RETURNING id";
        self.one(sql, params![policy_name, policy_blob, task, context, unix_ms], |row| row.get(0))
    }

    /// The latest night of this policy and context that began since the given time and has not ended: it was stopped or
    /// killed, or another process is running it.
    pub fn open_night(
        &self,
        policy: &str,
        context: &ContextKey,
        since_unix_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM nights WHERE policy_blob = ? AND context = ? AND started_unix_ms >= ?
             AND ended_unix_ms IS NULL ORDER BY id DESC LIMIT 1";
        self.first(sql, params![Hash::of(policy.as_bytes()), context, since_unix_ms], |row| row.get(0))
    }

    /// Returns the open night, or starts one. Only one of several processes starts it; all share its caps.
    pub fn join_night(
        &self,
        policy_name: &str,
        policy: &str,
        task: &TaskHash,
        context: &ContextKey,
        unix_ms: i64,
        since_unix_ms: i64,
    ) -> Result<i64, StoreError> {
        let transaction = self.begin()?;
        let night = match self.open_night(policy, context, since_unix_ms)? {
            Some(night) => night,
            None => self.start_night(policy_name, policy, task, context, unix_ms)?,
        };
        self.commit(transaction)?;
        Ok(night)
    }

    /// Ends a night.
    pub fn end_night(&self, night: i64, unix_ms: i64) -> Result<(), StoreError> {
        self.execute("UPDATE nights SET ended_unix_ms = ? WHERE id = ?", params![unix_ms, night]).map(drop)
    }

    /// Says which guest is the baseline of a night.
    pub fn set_baseline(&self, night: i64, component: &ComponentKey) -> Result<(), StoreError> {
        self.execute("UPDATE nights SET baseline = ? WHERE id = ?", params![component, night]).map(drop)
    }

    /// The baseline of the nights on these terms; `None` if an earlier version began them all.
    pub fn baseline_of(&self, context: &ContextKey) -> Result<Option<ComponentKey>, StoreError> {
        let sql = "SELECT baseline FROM nights WHERE context = ? AND baseline IS NOT NULL ORDER BY id DESC LIMIT 1";
        self.first(sql, [context], |row| row.get(0))
    }

    /// All nights, oldest first.
    pub fn nights(&self) -> Result<Vec<NightRecord>, StoreError> {
        self.rows("SELECT * FROM nights ORDER BY id", [], night_row)
    }

    /// How much a night has used of its bounds. Trials that others added to the night do not count.
    pub fn night_used(&self, night: i64) -> Result<NightUsed, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE verdict NOT IN ('same', 'refused') AND peak_bytes IS NOT NULL),
             coalesce(sum(wall_ms), 0) FROM trials WHERE night = ? AND proposal IS NOT NULL AND operator <> ?";
        self.one(sql, params![night, OUTSIDE], |row| Ok(NightUsed { trained: whole(row, 0)?, wall_ms: whole(row, 1)? }))
    }

    /// The experiment of the latest night's champion: the experiment of the last trial kept in its context, or else the
    /// best completed experiment of its task.
    pub fn latest_champion(&self) -> Result<Option<ExperimentKey>, StoreError> {
        let Some(night) = self.nights()?.pop() else { return Ok(None) };
        let trials = self.trials_in(&night.context)?;
        let kept = trials.iter().map(|record| &record.trial).rfind(|trial| trial.is_kept());
        if let Some(key) = kept.and_then(|trial| trial.found.experiment) {
            return Ok(Some(key));
        }
        let sql = "SELECT key FROM experiments WHERE task = ? AND val_bpb IS NOT NULL ORDER BY val_bpb, key LIMIT 1";
        self.first(sql, [night.task], |row| row.get(0))
    }
}

pub(super) fn night_row(row: &Row<'_>) -> rusqlite::Result<NightRecord> {
    Ok(NightRecord {
        id: row.get("id")?,
        policy_name: row.get("policy_name")?,
        policy_blob: row.get("policy_blob")?,
        task: row.get("task")?,
        context: row.get("context")?,
        started_unix_ms: row.get("started_unix_ms")?,
        ended_unix_ms: row.get("ended_unix_ms")?,
    })
}
