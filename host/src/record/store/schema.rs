//! Opens the SQLite index, and migrates an older one to this version.

use crate::record::store::error::StoreError;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const FILE: &str = "index.sqlite";

/// Entry `n` migrates the index from version `n` to `n + 1`.
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

/// Retries while another process holds the index. SQLite itself does not wait for a change of the journal mode.
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
        // Read again, because another process may have migrated the index in the meantime.
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
