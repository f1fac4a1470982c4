//! The SQLite index: opening, migrating, and how keys look in it.

use super::{Store, StoreError};
use crate::key::{
    BehaviourKey, CompileKey, ComponentKey, ContextKey, DryRunKey, ExperimentKey, Hash, Manifest, OutcomeHash,
    SourceKey, TaskHash,
};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Row, Transaction, TransactionBehavior};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const FILE: &str = "index.sqlite";

/// Each entry takes the index from the version that is its position to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql"), include_str!("schema_2.sql")];

/// How long to wait for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    connect(path).map_err(|source| error(path, source)).and_then(|db| migrate(db, path))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(PATIENCE)?;
    patiently(|| db.pragma_update(None, "journal_mode", "wal"))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    Ok(db)
}

/// Tries again while another process holds the index: SQLite does not wait by itself for a change of the journal mode.
fn patiently(mut attempt: impl FnMut() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            ended => return ended,
        }
    }
}

fn migrate(db: Connection, path: &Path) -> Result<Connection, StoreError> {
    let known = MIGRATIONS.len() as u64;
    let sql = |source| error(path, source);
    let version = |db: &Connection| db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    if version(&db).map_err(sql)? != known as i64 {
        let transaction = Transaction::new_unchecked(&db, TransactionBehavior::Immediate).map_err(sql)?;
        // Asked again: another process may have migrated while this one waited.
        let found = version(&db).map_err(sql)?.unsigned_abs();
        let pending = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
        let pending = pending.ok_or_else(|| StoreError::Newer { path: path.to_owned(), found, known })?;
        for migration in pending {
            transaction.execute_batch(migration).map_err(sql)?;
        }
        transaction.pragma_update(None, "user_version", known as i64).map_err(sql)?;
        transaction.commit().map_err(sql)?;
    }
    Ok(db)
}

pub(super) fn error(path: &Path, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(path.to_owned()),
        _ => StoreError::Index { path: path.to_owned(), source },
    }
}

impl Store {
    /// Begins to write; waits for other writers.
    pub(super) fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        self.sql(Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate))
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.rows(sql, params, read)?.into_iter().next())
    }

    /// All rows.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let query = || self.db.prepare_cached(sql)?.query_map(params, read)?.collect();
        self.sql(query())
    }

    /// Names of all blobs that a record refers to.
    pub(super) fn referenced_blobs(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT component_blob FROM components UNION SELECT source_blob FROM components
             UNION SELECT outcome_blob FROM experiments UNION SELECT state_blob FROM experiments
             UNION SELECT blob FROM checkpoints UNION SELECT policy_blob FROM nights
             UNION SELECT source_blob FROM trials UNION SELECT score_blob FROM scores
             UNION SELECT answer_blob FROM proposals UNION SELECT request_blob FROM requests
             UNION SELECT response_blob FROM requests";
        let rows = self.rows(sql, [], |row| row.get::<_, Option<String>>(0))?;
        Ok(rows.into_iter().flatten().collect())
    }
}

macro_rules! as_text {
    ($($key:ty),+) => { $(
        impl ToSql for $key {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }

        impl FromSql for $key {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )+ };
}

as_text!(
    Hash,
    SourceKey,
    CompileKey,
    ComponentKey,
    BehaviourKey,
    TaskHash,
    ExperimentKey,
    DryRunKey,
    ContextKey,
    OutcomeHash
);

impl ToSql for Manifest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let json = serde_json::to_string(self);
        json.map(ToSqlOutput::from).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl FromSql for Manifest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}
