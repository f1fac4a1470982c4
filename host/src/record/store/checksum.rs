//! A checksum of each row of the index. SQLite finds broken pages, not a bit of a value that turned. Triggers on every
//! table write the checksum of a row with the row, so that no statement has to think of it.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

/// The function that the triggers call: the names of table and columns, then the values.
const FUNCTION: &str = "row_checksum";
/// What is wrong with a row that is not there.
pub(super) const GONE: &str = "is gone";
/// Any number of arguments.
const ANY: i32 = -1;

/// Gives a connection what it needs to write to an index. A connection without it can read one.
///
/// # Errors
/// SQLite's.
pub fn define_checksum(db: &Connection) -> rusqlite::Result<()> {
    // A row that another one replaces counts as deleted.
    db.pragma_update(None, "recursive_triggers", true)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function(FUNCTION, ANY, flags, |values| Ok(checksum(values)))
}

/// BLAKE3 of the values, each with its type and length before it, in hexadecimal.
fn checksum(values: &Context) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("nightlab 2026 row of the index 1");
    for at in 0..values.len() {
        let number;
        let (kind, bytes): (u8, &[u8]) = match values.get_raw(at) {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(value) => {
                number = value.to_le_bytes();
                (1, &number)
            }
            ValueRef::Real(value) => {
                number = value.to_bits().to_le_bytes();
                (2, &number)
            }
            ValueRef::Text(bytes) => (3, bytes),
            ValueRef::Blob(bytes) => (4, bytes),
        };
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// A table with checksums.
struct Table {
    name: String,
    /// Those that are stored.
    columns: Vec<String>,
}

impl Table {
    /// All tables but that of the checksums.
    fn all(db: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = db.prepare(
            "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND tables.name != 'checksums' AND tables.name NOT LIKE 'sqlite%'
             ORDER BY tables.name, cid",
        )?;
        let mut all: Vec<Self> = Vec::new();
        for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))? {
            let (name, column) = row?;
            match all.last_mut().filter(|table| table.name == name) {
                Some(table) => table.columns.push(column),
                None => all.push(Self { name, columns: vec![column] }),
            }
        }
        Ok(all)
    }

    /// The checksum of a row, in SQL; `of` is `NEW.` in a trigger, and nothing in a query.
    fn checksum(&self, of: &str) -> String {
        let names = format!("'{} {}'", self.name, self.columns.join(" "));
        let values = self.columns.iter().map(|column| format!(", {of}\"{column}\"")).collect::<String>();
        format!("{FUNCTION}({names}{values})")
    }

    fn triggers(&self) -> String {
        let Self { name, .. } = self;
        let write =
            format!("INSERT OR REPLACE INTO checksums VALUES ('{name}', NEW.rowid, {});", self.checksum("NEW."));
        let delete = format!("DELETE FROM checksums WHERE tbl = '{name}' AND row = OLD.rowid;");
        let both = format!("{delete} {write}");
        let events = [("insert", write), ("update", both), ("delete", delete)];
        let trigger = |(event, todo)| {
            format!(
                "DROP TRIGGER IF EXISTS checksum_{event}_{name};
                 CREATE TRIGGER checksum_{event}_{name} AFTER {event} ON {name} BEGIN {todo} END;"
            )
        };
        events.map(trigger).concat()
    }
}

/// Makes the triggers of all tables, and the checksums of the rows that are there. A migration may have changed any.
pub(super) fn renew(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("DELETE FROM checksums")?;
    for table in Table::all(db)? {
        let (name, checksum) = (&table.name, table.checksum(""));
        db.execute_batch(&table.triggers())?;
        db.execute_batch(&format!("INSERT INTO checksums SELECT '{name}', rowid, {checksum} FROM {name}"))?;
    }
    Ok(())
}

/// Rows that are not as `host` wrote them: table, number, and what is wrong.
pub(super) fn changed_rows(db: &Connection) -> rusqlite::Result<Vec<(String, i64, &'static str)>> {
    let mut changed = Vec::new();
    for table in Table::all(db)? {
        let (name, checksum) = (&table.name, table.checksum(""));
        let mut statement = db.prepare(&format!(
            "SELECT {name}.rowid, checksum IS NULL FROM {name}
             LEFT JOIN checksums ON tbl = '{name}' AND row = {name}.rowid WHERE checksum IS NOT {checksum}
             UNION ALL SELECT row, NULL FROM checksums
             WHERE tbl = '{name}' AND row NOT IN (SELECT rowid FROM {name})"
        ))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<bool>>(1)?)))?;
        for row in rows {
            let (row, lacks_checksum) = row?;
            let what = match lacks_checksum {
                Some(false) => "has other values than those that were written",
                Some(true) => "was not written by `host`",
                None => GONE,
            };
            changed.push((name.clone(), row, what));
        }
    }
    Ok(changed)
}
