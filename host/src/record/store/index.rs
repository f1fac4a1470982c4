//! The SQLite index: opening, migrating, and how keys look in it.

use crate::record::key::{
    BehaviourKey, CompileKey, ComponentKey, ContextKey, DryRunKey, ExperimentKey, Hash, Manifest, OutcomeHash,
    SourceKey, TaskHash,
};
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, Transaction, TransactionBehavior};
use std::collections::BTreeSet;

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
