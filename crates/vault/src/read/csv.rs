//! CSV and TSV with a header line: one document a row, streamed.

use super::{Columns, Documents, MAX_LINE_BYTES, ReadError, SourceFile, Stamp, io, jsonl};
use crate::document::Document;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::rc::Rc;

/// Bytes of the reader's own buffer: it may run this far ahead of the row.
const BUFFER_BYTES: usize = 1 << 16;

/// The file's rows as documents; columns are recognised as in JSON lines.
pub fn documents(file: &SourceFile, columns: &Columns, delimiter: u8) -> Documents {
    match Rows::open(file.clone(), columns.clone(), delimiter) {
        Ok(rows) => Box::new(rows),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

/// Stops a row that never ends (an unclosed quote) before it fills the memory.
struct Bounded {
    file: File,
    since_row: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.since_row.get() > MAX_LINE_BYTES + BUFFER_BYTES {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let count = self.file.read(out)?;
        self.since_row.set(self.since_row.get() + count);
        Ok(count)
    }
}

struct Rows {
    file: SourceFile,
    columns: Columns,
    reader: csv::Reader<Bounded>,
    since_row: Rc<Cell<usize>>,
    header: Vec<String>,
    before: Stamp,
    row: u64,
    done: bool,
}

impl Rows {
    fn open(file: SourceFile, columns: Columns, delimiter: u8) -> Result<Rows, ReadError> {
        let handle = File::open(&file.path).map_err(io(&file.name))?;
        let before = Stamp::of(&handle).map_err(io(&file.name))?;
        let since_row = Rc::new(Cell::new(0));
        let bounded = Bounded { file: handle, since_row: since_row.clone() };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).buffer_capacity(BUFFER_BYTES).from_reader(bounded);
        let header = reader.byte_headers().map_err(|error| named(error, &file.name))?;
        let header = header
            .iter()
            .map(|name| {
                let name = name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name);
                String::from_utf8_lossy(name).trim().to_string()
            })
            .collect();
        Ok(Rows { file, columns, reader, since_row, header, before, row: 0, done: false })
    }

    fn document(&self, record: &csv::ByteRecord) -> Result<Document, ReadError> {
        let at = format!("{}#{}", self.file.name, self.row);
        let mut row = Map::new();
        for (name, field) in self.header.iter().zip(record) {
            let text = std::str::from_utf8(field)
                .map_err(|e| ReadError::NotUtf8 { path: at.clone(), offset: e.valid_up_to() as u64 })?;
            row.insert(name.clone(), Value::String(text.into()));
        }
        jsonl::from_row(&row, &self.columns, at)
    }
}

/// An error of the CSV reader as ours.
fn named(error: csv::Error, path: &str) -> ReadError {
    let path = path.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.kind() == std::io::ErrorKind::FileTooLarge => {
            let limit = MAX_LINE_BYTES as u64;
            ReadError::TooLarge { path, bytes: limit, limit }
        }
        csv::ErrorKind::Io(source) => ReadError::Io { path, source },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            ReadError::Malformed { path, reason: format!("{len} fields where the header has {expected_len}") }
        }
        other => ReadError::Malformed { path, reason: format!("not CSV: {other:?}") },
    }
}

impl Iterator for Rows {
    type Item = Result<Document, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        self.row += 1;
        self.since_row.set(0);
        let mut record = csv::ByteRecord::new();
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => Some(self.document(&record)),
            Ok(false) => {
                self.done = true;
                let after = Stamp::of(&self.reader.get_ref().file);
                let changed = !after.is_ok_and(|after| after == self.before);
                changed.then(|| Err(ReadError::Changed { path: self.file.name.clone() }))
            }
            Err(error) => {
                // A row of another width is skipped; after anything else the place in the file is lost.
                self.done = !matches!(error.kind(), csv::ErrorKind::UnequalLengths { .. });
                Some(Err(named(error, &format!("{}#{}", self.file.name, self.row))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<Document, ReadError>> {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), bytes).unwrap();
        let file = SourceFile { path: temp.path().into(), name: "r.csv".into() };
        documents(&file, &Columns::default(), b',').collect()
    }

    #[test]
    fn rows_with_quotes_and_a_bad_row_between_them() {
        let rows = read(b"\xef\xbb\xbfquestion,answer\n\"a, \"\"b\"\"\",c\nonly one\nd,e\nf,\xff\n");
        assert_eq!(rows[0].as_ref().unwrap().text, "a, \"b\"\nc");
        assert!(matches!(&rows[1], Err(ReadError::Malformed { path, .. }) if path == "r.csv#2"));
        assert_eq!(rows[2].as_ref().unwrap().source, "r.csv#3");
        assert!(matches!(rows[3], Err(ReadError::NotUtf8 { .. })));
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn a_quote_that_never_closes_is_stopped() {
        let mut bytes = b"text\nok\n\"".to_vec();
        bytes.resize(bytes.len() + MAX_LINE_BYTES + 4 * BUFFER_BYTES, b'x');
        let rows = read(&bytes);
        assert_eq!(rows[0].as_ref().unwrap().text, "ok");
        assert!(matches!(rows[1], Err(ReadError::TooLarge { .. })));
        assert_eq!(rows.len(), 2);
    }
}
