//! The database of Trackio: a file of SQLite for a project, here the night, in the folder that `TRACKIO_DIR` names.
//! The form is that of Trackio's schema 2.

use crate::night::export::error::ExportError;
use crate::night::export::past::Past;
use crate::night::export::tracked::{Tracked, date, project, tracked, word};
use crate::system::atomic_file::{self, WriteError};
use rusqlite::{Connection, params};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The tables that a night fills. Trackio adds the others when it opens the file.
const SCHEMA: &str = include_str!("trackio.sql");
/// In the header of the file, where SQLite keeps the number of the application: the file is ours to replace.
const OURS: u32 = u32::from_be_bytes(*b"nlab");
const OURS_AT: usize = 68;

/// Writes `night-N.db` into a folder.
///
/// # Errors
/// The file cannot be written, or there is one that the host did not write or that Trackio has open.
pub fn write(folder: &Path, past: &Past) -> Result<PathBuf, ExportError> {
    std::fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.into(), source })?;
    let path = folder.join(format!("{}.db", project(past)));
    check(&path)?;
    atomic_file::replace(&path, &[&bytes(past)?])?;
    Ok(path)
}

/// Whether a file may be replaced. SQLite would apply a log of writes to the new file that belongs to the old one.
fn check(path: &Path) -> Result<(), ExportError> {
    if ["db-wal", "db-journal"].iter().any(|log| path.with_extension(log).exists()) {
        return Err(ExportError::Open(path.into()));
    }
    let mut header = [0; OURS_AT + 4];
    let is_ours = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(WriteError { path: path.into(), source }.into()),
        Ok(found) => {
            found.is_file()
                && File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok()
                && header[OURS_AT..] == OURS.to_be_bytes()
        }
    };
    if is_ours { Ok(()) } else { Err(ExportError::NotOurs(path.into())) }
}

/// The bytes of the file.
fn bytes(past: &Past) -> rusqlite::Result<Vec<u8>> {
    let mut database = Connection::open_in_memory()?;
    database.pragma_update(None, "application_id", OURS)?;
    let all = database.transaction()?;
    all.execute_batch(SCHEMA)?;
    for run in tracked(past) {
        add(&all, &run)?;
    }
    all.commit()?;
    Ok(database.serialize("main")?.to_vec())
}

fn add(to: &Connection, run: &Tracked) -> rusqlite::Result<()> {
    let mut config = run.config.as_object().cloned().unwrap_or_default();
    // The dashboard groups by these.
    config.insert("_Group".into(), run.group.as_str().into());
    config.insert("_Created".into(), time(run.began_ms).into());
    let insert = "INSERT INTO configs (run_id, run_name, config, created_at) VALUES (?1, ?2, ?3, ?4)";
    to.execute(insert, params![run.id, run.name, Value::from(config).to_string(), time(run.began_ms)])?;
    let insert = "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = to.prepare_cached(insert)?;
    for (step, row) in &run.rows {
        let row: Map<String, Value> = row.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
        insert.execute(params![run.id, time(run.ended_ms), run.name, step, Value::from(row).to_string()])?;
    }
    Ok(())
}

fn number(value: f64) -> Value {
    word(value).map_or_else(|| value.into(), Value::from)
}

/// A time as Python's `isoformat` writes it.
fn time(unix_ms: u64) -> String {
    let ([year, month, day], [hour, minute, second]) = date(unix_ms);
    let ms = unix_ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}000+00:00")
}
