//! The index of a store: a value that changed since `host` wrote it is found and named, whichever it is.

use crate::common::home::Home;
use nightlab::record::store::Store;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::path::Path;

/// An index that can be changed behind the back of `host`.
fn open(store: &Path) -> Connection {
    let index = Connection::open(store.join("index.sqlite")).unwrap();
    index.pragma_update(None, "foreign_keys", false).unwrap();
    for trigger in strings(&index, "SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
        index.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    index
}

fn strings(index: &Connection, sql: &str) -> Vec<String> {
    let mut statement = index.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The faults of a store that name a row.
fn faults(store: &Path) -> Vec<String> {
    let checked = Store::open(store).unwrap().check(false, &mut |_| {}).unwrap();
    checked.faults.into_iter().map(|fault| fault.what).filter(|what| what.starts_with("row ")).collect()
}

#[test]
fn a_changed_value_of_any_column_is_found_and_named() {
    let (home, _) = Home::after_a_night();
    let _copy = home.copy_of_store("copy");
    let store = home.path("copy");
    // Blobs are another check.
    std::fs::remove_dir_all(store.join("blobs")).unwrap();
    assert_eq!(faults(&store), [""; 0]);
    let index = open(&store);
    let tables = strings(
        &index,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('checksums', 'sqlite_sequence')",
    );
    let mut changed = 0;
    for table in &tables {
        let Ok(row) = index.query_row(&format!("SELECT max(rowid) FROM {table}"), [], |row| row.get::<_, i64>(0))
        else {
            continue;
        };
        for column in strings(&index, &format!("SELECT name FROM pragma_table_info('{table}') WHERE name != 'id'")) {
            let value = |sql: &str| index.query_row(sql, [], |row| row.get::<_, Value>(0)).unwrap();
            let write = |value: &Value| {
                let sql = format!("UPDATE {table} SET {column} = ? WHERE rowid = {row}");
                assert_eq!(index.execute(&sql, [value]).unwrap(), 1);
            };
            let was = value(&format!("SELECT {column} FROM {table} WHERE rowid = {row}"));
            write(&match &was {
                Value::Null => Value::Integer(1),
                Value::Integer(value) => Value::Integer(value ^ (1 << 20)),
                Value::Real(value) => Value::Real(f64::from_bits(value.to_bits() ^ 1)),
                Value::Text(value) => Value::Text(format!("{value} ")),
                Value::Blob(value) => Value::Blob([value.as_slice(), &[0]].concat()),
            });
            let found = faults(&store);
            let named = format!("row {row} of {table} has other values than those that were written");
            assert!(found.contains(&named), "{column}: {found:?}");
            write(&was);
            changed += 1;
        }
    }
    assert!(changed > 60, "{changed}");

    let rows = |table: &str| strings(&index, &format!("SELECT CAST(rowid AS TEXT) FROM {table} ORDER BY rowid"));
    let (first, run) = (&rows("trials")[0], &rows("runs")[0]);
    index.execute_batch(&format!("DELETE FROM runs WHERE rowid = {run}")).unwrap();
    index.execute_batch("INSERT INTO definitions VALUES ('00', 'task', '{}')").unwrap();
    let added = index.last_insert_rowid();
    let found = faults(&store);
    assert_eq!(
        found,
        [format!("row {added} of definitions was not written by `host`"), format!("row {run} of runs is gone")]
    );
    // A program that does not know the checksums reads the index and cannot write it.
    let whole = home.path(".host/index.sqlite");
    let other = Connection::open(whole).unwrap();
    let refused = other.execute(&format!("UPDATE trials SET bpb = 0.5 WHERE id = {first}"), []).unwrap_err();
    assert!(refused.to_string().contains("no such function: row_checksum"), "{refused}");
}
