//! Nights, their trials, looks at held-out splits, and champions.

use crate::record::key::{BehaviourKey, ComponentKey, ContextKey, ExperimentKey, Hash, SourceKey, TaskHash};
use crate::record::outcome::Score;
use crate::record::store::error::{StoreError, bad_record, undecodable};
use crate::record::store::folder::Store;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, params};

/// A night.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NightRecord {
    /// Its number in the store.
    pub id: i64,
    /// Name of the policy.
    pub policy_name: String,
    /// Blob of the policy's text.
    pub policy_blob: Hash,
    /// The task.
    pub task: TaskHash,
    /// The terms that its trials compete on.
    pub context: ContextKey,
    /// When it started.
    pub started_unix_ms: i64,
    /// When it ended; absent while it runs, and where it was killed.
    pub ended_unix_ms: Option<i64>,
}

/// A proposal and what became of it. What an early stop never learnt is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTrial {
    /// Number within its context, from 1.
    pub number: u64,
    /// When it was decided.
    pub unix_ms: i64,
    /// Who proposed.
    pub proposer: String,
    /// Number of the trial whose source was changed; 0 for the baseline.
    pub parent: u64,
    /// Number of the champion that it was measured against.
    pub champion: u64,
    /// The proposal, where a proposer of the night wrote it.
    pub proposal: Option<i64>,
    /// Blob of the source as proposed.
    pub source_blob: Hash,
    /// Key of the source, where it parses.
    pub source_key: Option<SourceKey>,
    /// Key of the component, where it compiles.
    pub component_key: Option<ComponentKey>,
    /// Key of the behaviour, where it has one.
    pub behaviour_key: Option<BehaviourKey>,
    /// The experiment on the night's random seed, where it came to a result.
    pub experiment_key: Option<ExperimentKey>,
    /// The decision's name.
    pub verdict: String,
    /// Bits per byte.
    pub bpb: Option<f64>,
    /// Difference to the champion of the time.
    pub delta: Option<f64>,
    /// Posterior probability of a true gain.
    pub p_better: Option<f64>,
    /// What its author claimed.
    pub hypothesis: String,
    /// The change, in one line.
    pub description: String,
    /// Which kind of change.
    pub operator: String,
    /// Why this verdict.
    pub reason: String,
    /// Most tensor bytes alive at once, where the dry run got so far.
    pub peak_bytes: Option<u64>,
    /// How long it took, from proposal to verdict.
    pub wall_ms: i64,
}

/// A trial on record.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRecord {
    /// Its number in the store.
    pub id: i64,
    /// Its night.
    pub night: i64,
    /// What it was.
    pub trial: NewTrial,
}

/// What an experiment was run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To score a mutation on the night's random seed.
    Search,
    /// To see whether a gain holds on a fresh random seed.
    FreshSeed,
    /// To measure the noise floor.
    Replica,
}

impl Role {
    const ALL: [Self; 3] = [Self::Search, Self::FreshSeed, Self::Replica];

    /// Its name in the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::FreshSeed => "fresh-seed",
            Self::Replica => "replica",
        }
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or(FromSqlError::InvalidType)
    }
}

/// One look at a split.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRecord {
    /// Whose score.
    pub experiment_key: ExperimentKey,
    /// Name of the split.
    pub split: String,
    /// The score.
    pub score: Score,
    /// What for.
    pub purpose: String,
    /// When.
    pub unix_ms: i64,
}

/// What a night has used of its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NightUsed {
    /// Mutations of its proposers that were trained.
    pub trained: u64,
    /// Time that the trials of its proposers took.
    pub wall_ms: u64,
}

impl Store {
    /// Begins a night; returns its number.
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
        self.sql(self.db.query_row(sql, params![policy_name, policy_blob, task, context, unix_ms], |row| row.get(0)))
    }

    /// The last night of this policy and context that began since, if it has not come to its end: it was stopped or killed,
    /// or another process runs it.
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

    /// The open night, or else a new one, which only one of several processes begins: they share its caps.
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
        self.sql(transaction.commit())?;
        Ok(night)
    }

    /// Ends a night.
    pub fn end_night(&self, night: i64, unix_ms: i64) -> Result<(), StoreError> {
        self.sql(self.db.execute("UPDATE nights SET ended_unix_ms = ? WHERE id = ?", params![unix_ms, night])).map(drop)
    }

    /// All nights, oldest first.
    pub fn nights(&self) -> Result<Vec<NightRecord>, StoreError> {
        self.rows("SELECT * FROM nights ORDER BY id", [], |row| {
            Ok(NightRecord {
                id: row.get("id")?,
                policy_name: row.get("policy_name")?,
                policy_blob: row.get("policy_blob")?,
                task: row.get("task")?,
                context: row.get("context")?,
                started_unix_ms: row.get("started_unix_ms")?,
                ended_unix_ms: row.get("ended_unix_ms")?,
            })
        })
    }

    /// Records a decided trial and the experiments it rests on, all on record already; returns its number in the store.
    pub fn add_trial(&self, night: i64, trial: &NewTrial, runs: &[(ExperimentKey, Role)]) -> Result<i64, StoreError> {
        let number = i64::try_from(trial.number).map_err(|error| bad_record("a trial", error))?;
        let transaction = self.begin()?;
        let id = self.sql(transaction.query_row(
            "INSERT INTO trials (night, number, unix_ms, proposer, parent, source_blob, source_key, component_key,
             behaviour_key, experiment_key, verdict, bpb, delta, p_better, description, operator, reason,
             peak_bytes, wall_ms, champion, hypothesis, proposal)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            params![
                night,
                number,
                trial.unix_ms,
                trial.proposer,
                i64::try_from(trial.parent).unwrap_or(i64::MAX),
                trial.source_blob,
                trial.source_key,
                trial.component_key,
                trial.behaviour_key,
                trial.experiment_key,
                trial.verdict,
                trial.bpb,
                trial.delta,
                trial.p_better,
                trial.description,
                trial.operator,
                trial.reason,
                trial.peak_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
                trial.wall_ms,
                i64::try_from(trial.champion).unwrap_or(i64::MAX),
                trial.hypothesis,
                trial.proposal
            ],
            |row| row.get(0),
        ))?;
        for (key, role) in runs {
            self.sql(transaction.execute("INSERT OR IGNORE INTO runs VALUES (?, ?, ?)", params![id, key, role]))?;
        }
        self.sql(transaction.commit())?;
        Ok(id)
    }

    /// The trials of a night, or all, in order.
    pub fn trials(&self, night: Option<i64>) -> Result<Vec<TrialRecord>, StoreError> {
        let sql = "SELECT * FROM trials WHERE ?1 IS NULL OR night = ?1 ORDER BY night, number";
        self.rows(sql, [night], trial_row)
    }

    /// One trial.
    pub fn trial(&self, id: i64) -> Result<Option<TrialRecord>, StoreError> {
        self.first("SELECT * FROM trials WHERE id = ?", [id], trial_row)
    }

    /// The first trial of a source: what later ones are the same as.
    pub fn trial_of_source(&self, key: &SourceKey) -> Result<Option<TrialRecord>, StoreError> {
        self.first("SELECT * FROM trials WHERE source_key = ? ORDER BY id LIMIT 1", [key], trial_row)
    }

    /// The first trial that an experiment belongs to.
    pub fn trial_of_experiment(&self, key: &ExperimentKey) -> Result<Option<TrialRecord>, StoreError> {
        let sql = "SELECT * FROM trials WHERE experiment_key = ?1 OR id IN (SELECT trial FROM runs WHERE
             experiment_key = ?1) ORDER BY id LIMIT 1";
        self.first(sql, [key], trial_row)
    }

    /// The experiments that a trial rests on.
    pub fn runs(&self, trial: i64) -> Result<Vec<(ExperimentKey, Role)>, StoreError> {
        let sql = "SELECT experiment_key, role FROM runs WHERE trial = ? ORDER BY rowid";
        self.rows(sql, [trial], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// What a night has used of its bounds; trials that others added to it do not count.
    pub fn night_used(&self, night: i64) -> Result<NightUsed, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE verdict NOT IN ('same', 'refused') AND peak_bytes IS NOT NULL),
             coalesce(sum(wall_ms), 0) FROM trials WHERE night = ? AND proposal IS NOT NULL";
        let used = self.first(sql, [night], |row| {
            let (trained, wall_ms) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            Ok(NightUsed { trained: trained.unsigned_abs(), wall_ms: wall_ms.unsigned_abs() })
        })?;
        Ok(used.unwrap_or_default())
    }

    /// The trials of all nights in a context, in order.
    pub fn trials_in(&self, context: &ContextKey) -> Result<Vec<TrialRecord>, StoreError> {
        self.trials_after(context, 0)
    }

    /// Those that were recorded after the one with this number in the store.
    pub fn trials_after(&self, context: &ContextKey, id: i64) -> Result<Vec<TrialRecord>, StoreError> {
        let sql = "SELECT trials.* FROM trials JOIN nights ON nights.id = night WHERE context = ? AND trials.id > ?
             ORDER BY trials.id";
        self.rows(sql, params![context, id], trial_row)
    }

    /// The experiment behind the champion of the night that began last: that of the last trial kept in its context, or
    /// else the best completed one of its task.
    pub fn latest_champion(&self) -> Result<Option<ExperimentKey>, StoreError> {
        let Some(night) = self.nights()?.pop() else { return Ok(None) };
        let trials = self.trials_in(&night.context)?;
        let kept = trials.iter().rev().find(|record| record.trial.verdict == "keep");
        if let Some(key) = kept.and_then(|record| record.trial.experiment_key) {
            return Ok(Some(key));
        }
        let sql = "SELECT key FROM experiments WHERE task = ? AND state_blob IS NOT NULL AND val_bpb IS NOT NULL
             ORDER BY val_bpb, key LIMIT 1";
        self.first(sql, [night.task], |row| row.get(0))
    }

    /// The blob of a source that was compiled.
    pub fn source_blob(&self, key: &SourceKey) -> Result<Option<Hash>, StoreError> {
        self.first("SELECT source_blob FROM components WHERE source_key = ? LIMIT 1", [key], |row| row.get(0))
    }

    /// Removes the checkpoints of an experiment: rows first, then the blobs that no other experiment's checkpoint is.
    pub fn forget_checkpoints(&self, key: &ExperimentKey) -> Result<(), StoreError> {
        let blobs = self.checkpoints(key)?;
        self.sql(self.db.execute("DELETE FROM checkpoints WHERE experiment_key = ?", [key]))?;
        for (_, blob) in blobs {
            let others =
                self.first("SELECT 1 FROM checkpoints WHERE blob = ? LIMIT 1", [blob], |row| row.get::<_, i64>(0))?;
            if others.is_none() {
                self.remove_blob(&blob)?;
            }
        }
        Ok(())
    }

    /// Remembers what a hash in a manifest stands for.
    pub fn put_definition(&self, hash: &Hash, kind: &str, json: &str) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO definitions VALUES (?, ?, ?)";
        self.sql(self.db.execute(sql, params![hash, kind, json])).map(drop)
    }

    /// What a hash in a manifest stands for, as JSON.
    pub fn definition(&self, hash: &Hash) -> Result<Option<String>, StoreError> {
        self.first("SELECT definition FROM definitions WHERE hash = ?", [hash], |row| row.get(0))
    }

    /// Records a look at a split.
    pub fn add_score(&self, record: &ScoreRecord) -> Result<(), StoreError> {
        let ScoreRecord { experiment_key, split, score, purpose, unix_ms } = record;
        let blob = self.put_blob(&score.encode())?;
        self.sql(self.db.execute(
            "INSERT INTO scores (experiment_key, split, bpb, score_blob, purpose, unix_ms) VALUES (?, ?, ?, ?, ?, ?)",
            params![experiment_key, split, score.bpb, blob, purpose, unix_ms],
        ))
        .map(drop)
    }

    /// All looks at an experiment's scores, oldest first.
    pub fn scores(&self, key: &ExperimentKey) -> Result<Vec<ScoreRecord>, StoreError> {
        let sql = "SELECT * FROM scores WHERE experiment_key = ? ORDER BY id";
        let rows = self.rows(sql, [key], |row| {
            let score = Score { bpb: row.get("bpb")?, chunk_nats: vec![], chunk_bytes: vec![] };
            let record = ScoreRecord {
                experiment_key: row.get("experiment_key")?,
                split: row.get("split")?,
                score,
                purpose: row.get("purpose")?,
                unix_ms: row.get("unix_ms")?,
            };
            Ok((record, row.get::<_, Hash>("score_blob")?))
        })?;
        let whole = |(record, blob)| {
            let score = Score::decode(&self.get_blob(&blob)?).map_err(undecodable(key))?;
            Ok(ScoreRecord { score, ..record })
        };
        rows.into_iter().map(whole).collect()
    }

    /// How often a split has been looked at on one task.
    pub fn count_scores(&self, task: &TaskHash, split: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM scores JOIN experiments ON key = experiment_key WHERE task = ? AND split = ?";
        let count = self.first(sql, params![task, split], |row| row.get::<_, i64>(0))?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }
}

fn trial_row(row: &Row<'_>) -> rusqlite::Result<TrialRecord> {
    let parent = row.get::<_, i64>("parent")?.unsigned_abs();
    let trial = NewTrial {
        number: row.get::<_, i64>("number")?.unsigned_abs(),
        unix_ms: row.get("unix_ms")?,
        proposer: row.get("proposer")?,
        parent,
        // Before version 2 the parent was always the champion.
        champion: row.get::<_, Option<i64>>("champion")?.map_or(parent, i64::unsigned_abs),
        proposal: row.get("proposal")?,
        source_blob: row.get("source_blob")?,
        source_key: row.get("source_key")?,
        component_key: row.get("component_key")?,
        behaviour_key: row.get("behaviour_key")?,
        experiment_key: row.get("experiment_key")?,
        verdict: row.get("verdict")?,
        bpb: row.get("bpb")?,
        delta: row.get("delta")?,
        p_better: row.get("p_better")?,
        hypothesis: row.get("hypothesis")?,
        description: row.get("description")?,
        operator: row.get("operator")?,
        peak_bytes: row.get::<_, Option<i64>>("peak_bytes")?.map(i64::unsigned_abs),
        reason: row.get("reason")?,
        wall_ms: row.get("wall_ms")?,
    };
    Ok(TrialRecord { id: row.get("id")?, night: row.get("night")?, trial })
}
