//! Tables as CSV with a line of names (RFC 4180).

use crate::night::export::error::ExportError;
use crate::night::export::past::Past;
use crate::night::export::table::{Table, Values, tables};
use crate::system::atomic_file::{self, WriteError};
use crate::system::sanitize;
use std::path::{Path, PathBuf};

/// Writes `trials.csv`, `runs.csv` and `curves.csv` into a folder.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, past: &Past) -> Result<Vec<PathBuf>, ExportError> {
    std::fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.into(), source })?;
    tables(past).iter().map(|table| file(folder, table)).collect()
}

fn file(folder: &Path, table: &Table) -> Result<PathBuf, ExportError> {
    let path = folder.join(format!("{}.csv", table.name));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| column.name))?;
    for row in 0..table.rows() {
        writer.write_record(table.columns.iter().map(|column| cell(&column.values, row)))?;
    }
    let bytes = writer.into_inner().map_err(|error| WriteError { path: path.clone(), source: error.into_error() })?;
    atomic_file::replace(&path, &[&bytes])?;
    Ok(path)
}

/// A value as a cell; empty if there is none.
fn cell(values: &Values, row: usize) -> String {
    match values {
        Values::Text(values) => values[row].as_deref().map(sanitize::cell),
        Values::Count(values) => values[row].as_ref().map(ToString::to_string),
        Values::Integer(values) => values[row].as_ref().map(ToString::to_string),
        Values::Real(values) => values[row].as_ref().map(ToString::to_string),
    }
    .unwrap_or_default()
}
