//! What somebody sees who watches the store while others write it: how far each night has come.

use crate::record::ending::Ending;
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use crate::record::store::index::whole;
use crate::record::store::night::{NightRecord, night_row};

/// All nights at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Oldest first.
    pub nights: Vec<Standing>,
    /// The number of the last look at a further split.
    pub last_score: i64,
    /// The number of the last run that was counted for a trial.
    pub last_run: i64,
}

/// How far a night has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub night: NightRecord,
    pub trials: u64,
    pub kept: u64,
    /// Score of the last kept trial in bits per byte.
    pub champion_bpb: Option<f64>,
    /// The last trial's number in the store, and the time of its verdict.
    pub last_trial: Option<i64>,
    pub last_unix_ms: Option<i64>,
}

impl Store {
    /// A number that is another one after another program has changed the index. It means nothing to other connections.
    pub fn version(&self) -> Result<i64, StoreError> {
        self.patiently(|| self.db.pragma_query_value(None, "data_version", |row| row.get(0)))
    }

    /// How far all nights have come.
    pub fn sight(&self) -> Result<Sight, StoreError> {
        self.at_once(|store| {
            let sql = "SELECT nights.*, count(trials.id) AS trials, count(*) FILTER (WHERE verdict = ?1) AS kept,
                 (SELECT bpb FROM trials WHERE night = nights.id AND verdict = ?1 ORDER BY number DESC LIMIT 1) AS best,
                 max(trials.id) AS last, max(unix_ms) AS last_unix_ms
                 FROM nights LEFT JOIN trials ON night = nights.id GROUP BY nights.id ORDER BY nights.id";
            let nights = store.rows(sql, [Ending::Keep], |row| {
                Ok(Standing {
                    night: night_row(row)?,
                    trials: whole(row, "trials")?,
                    kept: whole(row, "kept")?,
                    champion_bpb: row.get("best")?,
                    last_trial: row.get("last")?,
                    last_unix_ms: row.get("last_unix_ms")?,
                })
            })?;
            let last = "SELECT coalesce((SELECT max(id) FROM scores), 0), coalesce((SELECT max(rowid) FROM runs), 0)";
            let (last_score, last_run) = store.one(last, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Sight { nights, last_score, last_run })
        })
    }

    /// What `read` reads belongs to one moment, whatever others write meanwhile. They do not wait for it.
    pub fn at_once<T, E: From<StoreError>>(&self, read: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        let moment = self.patiently(|| self.db.unchecked_transaction())?;
        let found = read(self)?;
        drop(moment);
        Ok(found)
    }
}
