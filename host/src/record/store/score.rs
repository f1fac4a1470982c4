//! Scores on held-out splits. Each one is recorded as a look at the split.

use crate::record::key::{ExperimentKey, Hash, TaskHash};
use crate::record::outcome::Score;
use crate::record::store::error::{StoreError, undecodable};
use crate::record::store::folder::Store;
use crate::record::store::index::whole;
use rusqlite::params;

/// One look at a split.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRecord {
    /// The scored experiment.
    pub experiment_key: ExperimentKey,
    /// Name of the split.
    pub split: String,
    pub score: Score,
    /// Purpose of the look.
    pub purpose: String,
    pub unix_ms: i64,
}

impl Store {
    /// Records a look at a split.
    pub fn add_score(&self, record: &ScoreRecord) -> Result<(), StoreError> {
        let ScoreRecord { experiment_key, split, score, purpose, unix_ms } = record;
        let blob = self.put_blob(&score.encode())?;
        self.execute(
            "INSERT INTO scores (experiment_key, split, bpb, score_blob, purpose, unix_ms) VALUES (?, ?, ?, ?, ?, ?)",
            params![experiment_key, split, score.bpb, blob, purpose, unix_ms],
        )
        .map(drop)
    }

    /// All recorded scores of an experiment, oldest first.
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

    /// The number of recorded scores on one split of a task.
    pub fn count_scores(&self, task: &TaskHash, split: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM scores JOIN experiments ON key = experiment_key WHERE task = ? AND split = ?";
        self.one(sql, params![task, split], |row| whole(row, 0))
    }
}
