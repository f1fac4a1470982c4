//! Tables as Parquet: the columns of the CSV, typed. All may have nulls, since a night may lack any of them.
//!
//! Metadata of a file name the night, its task and its terms, and the unit of each column that has one.

use crate::night::export::error::ExportError;
use crate::night::export::past::Past;
use crate::night::export::table::{Column, Table, Values, tables};
use crate::system::atomic_file::{self, WriteError};
use parquet::basic::{LogicalType, Repetition, Type as Stored};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result as Made;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who wrote a file. Without a version, so that versions write the same bytes.
const WRITER: &str = "nightlab";
/// Most rows that a reader has to hold at a time.
const GROUP_ROWS: usize = 1 << 20;

/// Writes `trials.parquet`, `runs.parquet` and `curves.parquet` into a folder.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, past: &Past) -> Result<Vec<PathBuf>, ExportError> {
    std::fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.into(), source })?;
    let file = |table: &Table| {
        let path = folder.join(format!("{}.parquet", table.name));
        atomic_file::replace(&path, &[&bytes(table, past)?])?;
        Ok(path)
    };
    tables(past).iter().map(file).collect()
}

/// The bytes of a file.
fn bytes(table: &Table, past: &Past) -> Made<Vec<u8>> {
    let fields = table.columns.iter().map(|column| Ok(Arc::new(field(column)?))).collect::<Made<_>>()?;
    let schema = Type::group_type_builder(table.name).with_fields(fields).build()?;
    let properties = WriterProperties::builder()
        .set_created_by(WRITER.into())
        .set_key_value_metadata(Some(metadata(table, past)))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let all = table.rows();
    for first in (0..all).step_by(GROUP_ROWS) {
        let rows = first..all.min(first.saturating_add(GROUP_ROWS));
        let mut group = writer.next_row_group()?;
        for column in &table.columns {
            if let Some(mut writer) = group.next_column()? {
                values(&mut writer, &column.values, rows.clone())?;
                writer.close()?;
            }
        }
        group.close()?;
    }
    writer.into_inner()
}

fn metadata(table: &Table, past: &Past) -> Vec<KeyValue> {
    let night = &past.night;
    let facts =
        [("night", night.id.to_string()), ("task", night.task.to_string()), ("context", night.context.to_string())];
    let facts = facts.map(|(key, value)| KeyValue::new(key.into(), value));
    let units = table.columns.iter().filter_map(|column| {
        let unit = column.unit?;
        Some(KeyValue::new(format!("unit of {}", column.name), unit.to_owned()))
    });
    facts.into_iter().chain(units).collect()
}

fn field(column: &Column) -> Made<Type> {
    let (stored, logical) = match column.values {
        Values::Text(_) => (Stored::BYTE_ARRAY, Some(LogicalType::String)),
        Values::Count(_) => (Stored::INT64, Some(LogicalType::integer(64, false))),
        Values::Integer(_) => (Stored::INT64, Some(LogicalType::integer(64, true))),
        Values::Real(_) => (Stored::DOUBLE, None),
    };
    let field = Type::primitive_type_builder(column.name, stored).with_repetition(Repetition::OPTIONAL);
    field.with_logical_type(logical).build()
}

fn values(writer: &mut SerializedColumnWriter<'_>, values: &Values, rows: Range<usize>) -> Made<()> {
    match values {
        Values::Text(all) => {
            let bytes = |text: &std::rc::Rc<str>| ByteArray::from(&**text);
            put::<ByteArrayType, _>(writer.typed(), &all[rows], bytes)
        }
        // The bits of a number without sign, as the format says.
        Values::Count(all) => put::<Int64Type, _>(writer.typed(), &all[rows], |count| count.cast_signed()),
        Values::Integer(all) => put::<Int64Type, _>(writer.typed(), &all[rows], |integer| *integer),
        Values::Real(all) => put::<DoubleType, _>(writer.typed(), &all[rows], |real| *real),
    }
}

/// Writes the values that are there, and which they are.
fn put<D: DataType, T>(
    writer: &mut ColumnWriterImpl<'_, D>,
    all: &[Option<T>],
    stored: impl Fn(&T) -> D::T,
) -> Made<()> {
    let there: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<D::T> = all.iter().flatten().map(stored).collect();
    writer.write_batch(&values, Some(&there), None).map(|_| ())
}
