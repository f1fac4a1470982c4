//! Opens the SQLite index, and migrates an older one to this version.

use crate::record::store::checksum;
use crate::record::store::error::StoreError;
use crate::record::store::waiting::Waiting;
use crate::system::scratch::Scratch;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{Access, access};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) const FILE: &str = "index.sqlite";

/// Entry `n` migrates the index from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
];

/// How SQLite reads: together with writers, or as a file that nobody changes.
const READ: &str = "mode=ro";
const FIXED: &str = "immutable=1";

/// How long SQLite itself waits. Then the store decides whether to try again.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn open(path: &Path, waiting: &mut Waiting) -> Result<Connection, StoreError> {
    migrate(connect(path, waiting)?, path, waiting)
}

/// Refuses a folder whose blobs have lost their index. SQLite would make a new one in silence.
pub(super) fn refuse_lost(dir: &Path) -> Result<(), StoreError> {
    let index = dir.join(FILE);
    let is_there = std::fs::metadata(&index).is_ok_and(|file| file.len() > 0);
    if is_there { Ok(()) } else { refuse_beside_blobs(&index) }
}

/// Refuses an index without tables beside blobs: it is new, or its journal is missing.
fn refuse_beside_blobs(index: &Path) -> Result<(), StoreError> {
    let has_blobs = std::fs::read_dir(index.with_file_name("blobs")).is_ok_and(|mut blobs| blobs.next().is_some());
    if has_blobs { Err(StoreError::IndexLost(index.to_owned())) } else { Ok(()) }
}

/// Opens an index whose folder cannot be written. If it has to be brought up to date first (from its journal, or to
/// this version), that happens in a copy, which is returned too.
pub(super) fn open_to_read(path: &Path, waiting: &mut Waiting) -> Result<(Connection, Option<Scratch>), StoreError> {
    // Without a journal nobody writes, so the file can be read as it is.
    let how = if beside(path, "-wal").exists() { READ } else { FIXED };
    match patiently(path, waiting, || opened(path, how)) {
        Ok((db, version)) if version == MIGRATIONS.len() as i64 => return Ok((db, None)),
        Ok((_, 0)) => refuse_beside_blobs(path)?,
        Ok((_, version)) if version > MIGRATIONS.len() as i64 => return Err(other_version(path, version)),
        Ok(_) => {}
        Err(StoreError::ReadOnly(_)) => {}
        Err(refused) => return Err(refused),
    }
    let (copy, at) = copied(path).map_err(|source| StoreError::Copy { path: path.to_owned(), source })?;
    Ok((open(&at, waiting)?, Some(copy)))
}

/// Opens an index to watch it in place while others write. It is not written, so an older one is refused.
pub(super) fn open_to_watch(path: &Path, waiting: &mut Waiting) -> Result<Connection, StoreError> {
    // A reader makes the files beside the index that let it read while others write, where it may.
    let folder = path.parent().unwrap_or(path);
    let can_follow = beside(path, "-wal").exists() || access(folder, Access::WRITE_OK).is_ok();
    let how = if can_follow { READ } else { FIXED };
    match patiently(path, waiting, || opened(path, how))? {
        (db, version) if version == MIGRATIONS.len() as i64 => Ok(db),
        (_, 0) => Err(refuse_beside_blobs(path).err().unwrap_or_else(|| other_version(path, 0))),
        (_, version) => Err(other_version(path, version)),
    }
}

fn other_version(path: &Path, version: i64) -> StoreError {
    let (path, found, known) = (path.to_owned(), version.unsigned_abs(), MIGRATIONS.len() as u64);
    if found > known { StoreError::Newer { path, found, known } } else { StoreError::Older { path, found, known } }
}

/// An index that is only read, and its version.
fn opened(path: &Path, how: &str) -> rusqlite::Result<(Connection, i64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{}?{how}", escaped(path)), flags)?;
    db.busy_timeout(LOOK)?;
    checksum::define_checksum(&db)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((db, version))
}

/// A copy of an index and its journal in a temporary folder.
fn copied(path: &Path) -> io::Result<(Scratch, PathBuf)> {
    let folder = Scratch::new()?;
    let at = folder.path().join(FILE);
    let copy = |from: &Path, to: &Path| io::copy(&mut File::open(from)?, &mut File::create(to)?).map(drop);
    copy(path, &at)?;
    match copy(&beside(path, "-wal"), &beside(&at, "-wal")) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        ended => ended?,
    }
    Ok((folder, at))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A path inside a URI of SQLite.
fn escaped(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let escape = |&byte: &u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    path.as_os_str().as_bytes().iter().map(escape).collect()
}

fn connect(path: &Path, waiting: &mut Waiting) -> Result<Connection, StoreError> {
    let sql = |source| error(path, source);
    let db = Connection::open(path).map_err(sql)?;
    db.busy_timeout(LOOK).map_err(sql)?;
    patiently(path, waiting, || db.pragma_update(None, "journal_mode", "wal"))?;
    db.pragma_update(None, "synchronous", "full").map_err(sql)?;
    db.pragma_update(None, "foreign_keys", true).map_err(sql)?;
    checksum::define_checksum(&db).map_err(sql)?;
    Ok(db)
}

/// Tries again while another process holds the index. SQLite itself does not wait for a change of the journal mode.
fn patiently<T>(
    path: &Path,
    waiting: &mut Waiting,
    mut attempt: impl FnMut() -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let (since, mut told) = (Instant::now(), Instant::now());
    loop {
        match attempt().map_err(|source| error(path, source)) {
            Err(busy @ StoreError::Busy(_)) => {
                if told.elapsed() >= LOOK {
                    told = Instant::now();
                    if waiting(since.elapsed(), &busy).is_break() {
                        return Err(busy);
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            ended => return ended,
        }
    }
}

fn migrate(db: Connection, path: &Path, waiting: &mut Waiting) -> Result<Connection, StoreError> {
    let known = MIGRATIONS.len() as u64;
    let sql = |source| error(path, source);
    let version = |db: &Connection| db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    if patiently(path, waiting, || version(&db))? != known as i64 {
        let begin = || Transaction::new_unchecked(&db, TransactionBehavior::Immediate);
        let transaction = patiently(path, waiting, begin)?;
        // Read again, because another process may have migrated the index in the meantime.
        let found = version(&db).map_err(sql)?.unsigned_abs();
        if found == 0 {
            refuse_beside_blobs(path)?;
        }
        let pending = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..));
        let pending = pending.ok_or_else(|| StoreError::Newer { path: path.to_owned(), found, known })?;
        for migration in pending {
            transaction.execute_batch(migration).map_err(sql)?;
        }
        checksum::renew(&transaction).map_err(sql)?;
        transaction.pragma_update(None, "user_version", known as i64).map_err(sql)?;
        transaction.commit().map_err(sql)?;
    }
    Ok(db)
}

pub(super) fn error(path: &Path, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(path.to_owned()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(path.to_owned()),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::ReadOnly(path.to_owned())
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::IndexDamaged { path: path.to_owned(), source }
        }
        _ => StoreError::Index { path: path.to_owned(), source },
    }
}
