//! The SQLite index: queries, transactions, and how keys and numbers are stored in columns.

use crate::record::key::{
    BehaviourKey, CompileKey, ComponentKey, ContextKey, DryRunKey, ExperimentKey, Hash, Manifest, OutcomeHash,
    SourceKey, SplitCommitment, TaskHash,
};
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, RowIndex, Transaction, TransactionBehavior};
use std::collections::BTreeSet;

impl Store {
    /// Begins a write transaction; waits for other writers.
    pub(super) fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        self.patiently(|| Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate))
    }

    /// Commits a transaction; waits for readers that are in the way.
    pub(super) fn commit(&self, transaction: Transaction) -> Result<(), StoreError> {
        self.patiently(|| transaction.execute_batch("COMMIT"))
    }

    /// Executes a statement outside a transaction; waits for other writers. Returns the number of changed rows.
    pub(super) fn execute(&self, sql: &str, params: &[&dyn ToSql]) -> Result<usize, StoreError> {
        self.patiently(|| self.db.execute(sql, params))
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params + Clone,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.rows(sql, params, read)?.into_iter().next())
    }

    /// The row of a query that always returns one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params + Clone,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.patiently(|| self.db.prepare_cached(sql)?.query_row(params.clone(), &mut read))
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params + Clone,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.patiently(|| self.db.prepare_cached(sql)?.query_map(params.clone(), &mut read)?.collect())
    }

    /// The names of all blobs that records refer to.
    pub(super) fn referenced_blobs(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT component_blob FROM components UNION SELECT source_blob FROM components
             UNION SELECT outcome_blob FROM experiments UNION SELECT state_blob FROM experiments
             UNION SELECT blob FROM checkpoints UNION SELECT policy_blob FROM nights
             UNION SELECT source_blob FROM trials UNION SELECT score_blob FROM scores
             UNION SELECT answer_blob FROM proposals UNION SELECT request_blob FROM requests
             UNION SELECT response_blob FROM requests
             UNION SELECT hash FROM submissions UNION SELECT source_blob FROM submissions
             UNION SELECT receipt_blob FROM submissions UNION SELECT around_blob FROM submissions
             UNION SELECT component_blob FROM submissions
             UNION SELECT hash FROM findings UNION SELECT source_blob FROM findings";
        let rows = self.rows(sql, [], |row| row.get::<_, Option<String>>(0))?;
        Ok(rows.into_iter().flatten().collect())
    }
}

/// An unsigned number in a column. SQLite's integers are signed, so a number that does not fit is an error.
pub(super) struct Whole(pub(super) u64);

impl ToSql for Whole {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(number.into())
    }
}

impl FromSql for Whole {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

/// Reads an unsigned number from a column: see [`Whole`].
pub(super) fn whole(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<u64> {
    row.get(column).map(|Whole(number)| number)
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
    OutcomeHash,
    SplitCommitment
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
