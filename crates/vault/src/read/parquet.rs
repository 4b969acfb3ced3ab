//! Parquet: one document a row, a row group at a time.
//!
//! The format trusts its footer: sizes in it are checked against [`MAX_ROW_GROUP_BYTES`] before a group is read, and a panic of
//! the decoder on hostile bytes ends the file with an error instead of the import.

use super::{Columns, Documents, ReadError, SourceFile, Stamp, io, jsonl};
use crate::document::Document;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Largest row group that is read, in bytes, uncompressed.
pub const MAX_ROW_GROUP_BYTES: i64 = 1 << 30;
/// Deepest nesting of a column that is read.
const MAX_NESTING: usize = 8;

/// The file's rows as documents; columns are recognised as in JSON lines.
pub fn documents(file: &SourceFile, columns: &Columns) -> Documents {
    match Rows::open(file.clone(), columns.clone()) {
        Ok(rows) => Box::new(rows),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

struct Rows {
    file: SourceFile,
    columns: Columns,
    rows: RowIter<'static>,
    handle: File,
    before: Stamp,
    row: u64,
    done: bool,
}

fn malformed(path: &str, reason: impl std::fmt::Display) -> ReadError {
    ReadError::Malformed { path: path.into(), reason: format!("not a sound Parquet file: {reason}") }
}

/// Runs the decoder; its panics become errors.
fn guarded<T>(path: &str, decode: impl FnOnce() -> T) -> Result<T, ReadError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|_| malformed(path, "its decoder gave up"))
}

impl Rows {
    fn open(file: SourceFile, columns: Columns) -> Result<Rows, ReadError> {
        let handle = File::open(&file.path).map_err(io(&file.name))?;
        let before = Stamp::of(&handle).map_err(io(&file.name))?;
        let own = handle.try_clone().map_err(io(&file.name))?;
        let opened = guarded(&file.name, || SerializedFileReader::new(own))?;
        let reader = opened.map_err(|error| malformed(&file.name, error))?;
        for group in reader.metadata().row_groups() {
            let chunks = group.columns().iter().map(|c| c.uncompressed_size());
            let bytes = chunks.fold(group.total_byte_size(), i64::saturating_add);
            if !(0..=2 * MAX_ROW_GROUP_BYTES).contains(&bytes) {
                let (bytes, limit) = (bytes.unsigned_abs() / 2, MAX_ROW_GROUP_BYTES as u64);
                return Err(ReadError::TooLarge { path: file.name, bytes, limit });
            }
        }
        let rows = guarded(&file.name, || reader.into_iter())?;
        Ok(Rows { file, columns, rows, handle, before, row: 0, done: false })
    }

    fn document(&self, row: Row, at: String) -> Result<Document, ReadError> {
        let mut values = Map::new();
        for (name, field) in row.into_columns() {
            values.insert(name, value(&field, 0));
        }
        jsonl::from_row(&values, &self.columns, at)
    }
}

/// A field as JSON; bytes that are not text, and dates, as null.
fn value(field: &Field, depth: usize) -> Value {
    match field {
        _ if depth > MAX_NESTING => Value::Null,
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from),
        Field::Bool(b) => Value::Bool(*b),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        Field::Double(n) => Value::from(*n),
        Field::Group(row) => {
            row.get_column_iter().map(|(name, field)| (name.clone(), value(field, depth + 1))).collect()
        }
        Field::ListInternal(list) => list.elements().iter().map(|field| value(field, depth + 1)).collect(),
        _ => Value::Null,
    }
}

impl Iterator for Rows {
    type Item = Result<Document, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        self.row += 1;
        let at = format!("{}#{}", self.file.name, self.row);
        match guarded(&at, || self.rows.next()) {
            Ok(Some(Ok(row))) => Some(self.document(row, at)),
            Ok(None) => {
                self.done = true;
                let changed = !Stamp::of(&self.handle).is_ok_and(|after| after == self.before);
                changed.then(|| Err(ReadError::Changed { path: self.file.name.clone() }))
            }
            Ok(Some(Err(error))) => {
                self.done = true;
                Some(Err(malformed(&at, error)))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}
