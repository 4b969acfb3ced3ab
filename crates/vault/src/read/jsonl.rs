//! JSON lines: one document a row, streamed.
//!
//! Without named columns the usual shapes are recognised, in this order: `prompt` with `completion`, `response`, `answer`
//! or `output`; `instruction` (and `input`) with `output` or `response`; `question` with `answer`; `messages` (a list of
//! `role` and `content`, all but the last turn being prompt); `text`; `content`. Lists of strings (one text
//! per template) take their first element.

use super::{Columns, Documents, MAX_LINE_BYTES, ReadError, SourceFile, Stamp, io, text};
use crate::document::Document;
use serde_json::{Map, Value};
use std::{
    fs::File,
    io::{BufRead, BufReader},
};

/// Pairs of columns that mean a prompt and what follows it.
const PAIRS: &[(&str, &[&str])] = &[
    ("prompt", &["completion", "response", "answer", "output"]),
    ("instruction", &["output", "response"]),
    ("question", &["answer"]),
];

/// The file's rows as documents.
pub fn documents(file: &SourceFile, columns: &Columns) -> Documents {
    match Rows::open(file.clone(), columns.clone()) {
        Ok(rows) => Box::new(rows),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

/// A JSON file that holds one list of rows, or one row; at most the size of an item.
pub fn list(file: &SourceFile, columns: &Columns) -> Documents {
    let malformed = |reason: String| ReadError::Malformed { path: file.name.clone(), reason };
    let parsed = text::whole(file).and_then(|text| {
        serde_json::from_str::<Value>(&text).map_err(|e| malformed(format!("not JSON: {e}")))
    });
    let rows = match parsed {
        Ok(Value::Array(rows)) => rows,
        Ok(row @ Value::Object(_)) => vec![row],
        Ok(_) => return Box::new(std::iter::once(Err(malformed("neither a list nor an object".into())))),
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let (name, columns) = (file.name.clone(), columns.clone());
    Box::new(rows.into_iter().enumerate().map(move |(i, row)| {
        let at = format!("{name}#{}", i + 1);
        match row {
            Value::Object(row) => from_row(&row, &columns, at),
            _ => Err(ReadError::Malformed { path: at, reason: "a row must be a JSON object".into() }),
        }
    }))
}

struct Rows {
    file: SourceFile,
    columns: Columns,
    reader: BufReader<File>,
    before: Stamp,
    row: u64,
    line: Vec<u8>,
    done: bool,
}

impl Rows {
    fn open(file: SourceFile, columns: Columns) -> Result<Rows, ReadError> {
        let handle = File::open(&file.path).map_err(io(&file.name))?;
        let before = Stamp::of(&handle).map_err(io(&file.name))?;
        let reader = BufReader::with_capacity(1 << 16, handle);
        Ok(Rows { file, columns, reader, before, row: 0, line: Vec::new(), done: false })
    }

    fn at(&self) -> String {
        format!("{}#{}", self.file.name, self.row)
    }

    /// Next line into `self.line`; a line past the limit is skipped without being held.
    fn next_line(&mut self) -> Result<bool, ReadError> {
        self.line.clear();
        let mut total = 0u64;
        loop {
            let buffer = self.reader.fill_buf().map_err(io(&self.file.name))?;
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|b| *b == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if total == 0 {
                self.row += 1;
            }
            total += part.len() as u64 + 1;
            if self.line.len() + part.len() <= MAX_LINE_BYTES {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if total > MAX_LINE_BYTES as u64 + 1 {
            return Err(ReadError::TooLarge { path: self.at(), bytes: total, limit: MAX_LINE_BYTES as u64 });
        }
        Ok(total > 0)
    }

    fn document(&self) -> Result<Option<Document>, ReadError> {
        let line = std::str::from_utf8(&self.line)
            .map_err(|e| ReadError::NotUtf8 { path: self.at(), offset: e.valid_up_to() as u64 })?
            .trim();
        if line.is_empty() {
            return Ok(None);
        }
        let malformed = |reason: String| ReadError::Malformed { path: self.at(), reason };
        let value: Value = serde_json::from_str(line).map_err(|e| malformed(format!("not JSON: {e}")))?;
        let Value::Object(row) = value else { return Err(malformed("a row must be a JSON object".into())) };
        from_row(&row, &self.columns, self.at()).map(Some)
    }
}

impl Iterator for Rows {
    type Item = Result<Document, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.next_line() {
                Err(error @ ReadError::Io { .. }) => {
                    self.done = true;
                    return Some(Err(error));
                }
                Err(error) => return Some(Err(error)),
                Ok(false) => {
                    self.done = true;
                    let after = Stamp::of(self.reader.get_ref());
                    if !after.is_ok_and(|after| after == self.before) {
                        return Some(Err(ReadError::Changed { path: self.file.name.clone() }));
                    }
                }
                Ok(true) => match self.document() {
                    Ok(None) => {}
                    Ok(Some(document)) => return Some(Ok(document)),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
        None
    }
}

/// The document of a row of named values, whatever format the row came in.
pub(crate) fn from_row(
    row: &Map<String, Value>,
    columns: &Columns,
    source: String,
) -> Result<Document, ReadError> {
    let mut document = Document { source, ..Document::default() };
    let licence_column = columns.licence.as_deref().unwrap_or("license");
    document.licence = row.get(licence_column).or(row.get("licence")).and_then(text_of);
    document.title = row.get("title").and_then(text_of);
    let missing = |column: &str, source: &str| ReadError::Malformed {
        path: source.to_string(),
        reason: format!("no text in column `{column}`"),
    };
    if let Some(column) = &columns.text {
        let text = row.get(column).and_then(text_of).ok_or_else(|| missing(column, &document.source))?;
        let prompt = match &columns.prompt {
            Some(column) => {
                row.get(column).and_then(text_of).ok_or_else(|| missing(column, &document.source))?
            }
            None => String::new(),
        };
        join(&mut document, prompt, text);
        return Ok(document);
    }
    for (prompt_column, completions) in PAIRS {
        let completion = completions.iter().find_map(|c| row.get(*c).and_then(text_of));
        if let (Some(mut prompt), Some(completion)) = (row.get(*prompt_column).and_then(text_of), completion)
        {
            if let Some(input) = row.get("input").and_then(text_of).filter(|i| !i.is_empty()) {
                prompt = format!("{prompt}\n{input}");
            }
            join(&mut document, prompt, completion);
            return Ok(document);
        }
    }
    if let Some(Value::Array(turns)) = row.get("messages") {
        let (prompt, last) = conversation(turns).ok_or_else(|| missing("messages", &document.source))?;
        join(&mut document, prompt, last);
        return Ok(document);
    }
    for column in ["text", "content", "document", "sentence"] {
        if let Some(text) = row.get(column).and_then(text_of) {
            join(&mut document, String::new(), text);
            return Ok(document);
        }
    }
    let names: Vec<_> = row.keys().take(12).map(String::as_str).collect();
    Err(ReadError::Malformed {
        path: document.source,
        reason: format!("none of the columns ({}) is known as text; name the text column", names.join(", ")),
    })
}

fn join(document: &mut Document, prompt: String, text: String) {
    if prompt.is_empty() {
        document.text = text;
        return;
    }
    document.text = prompt;
    if !document.text.ends_with(char::is_whitespace) && !text.starts_with(char::is_whitespace) {
        document.text.push('\n');
    }
    document.prompt_bytes = document.text.len();
    document.text.push_str(&text);
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => match list.first() {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// All turns but the last as prompt, and the last one.
fn conversation(turns: &[Value]) -> Option<(String, String)> {
    let content = |turn: &Value| turn.get("content").and_then(text_of);
    let (last, before) = turns.split_last()?;
    let mut prompt = String::new();
    for turn in before {
        let role = turn.get("role").and_then(Value::as_str).unwrap_or("user");
        prompt.push_str(&format!("{role}: {}\n", content(turn)?));
    }
    Some((prompt, content(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<Document, ReadError>> {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), bytes).unwrap();
        let file = SourceFile { path: temp.path().into(), name: "r.jsonl".into() };
        documents(&file, &Columns::default()).collect()
    }

    #[test]
    fn pairs_keep_where_the_prompt_ends() {
        let rows = read(br#"{"prompt":"2+2=","completion":" 4","license":"MIT"}"#);
        let document = rows[0].as_ref().unwrap();
        assert_eq!(document.text, "2+2= 4");
        assert_eq!(&document.text[document.prompt_bytes..], " 4");
        assert_eq!(document.licence.as_deref(), Some("MIT"));
        assert_eq!(document.source, "r.jsonl#1");
    }

    #[test]
    fn a_bad_row_is_reported_and_the_rest_goes_on() {
        let rows = read(b"{\"text\":\"a\"}\nnot json\n\n\xff\xfe\n[1]\n{\"x\":1}\n{\"text\":\"b\"}");
        let good: Vec<_> = rows.iter().filter_map(|r| r.as_ref().ok()).map(|d| d.text.as_str()).collect();
        assert_eq!(good, ["a", "b"]);
        assert_eq!(rows.len(), 6);
        assert!(matches!(&rows[2], Err(ReadError::NotUtf8 { path, .. }) if path == "r.jsonl#4"));
        assert_eq!(rows[5].as_ref().unwrap().source, "r.jsonl#7");
    }

    #[test]
    fn a_line_past_the_limit_is_skipped_without_being_held() {
        let mut bytes = b"{\"text\":\"a\"}\n".to_vec();
        bytes.resize(bytes.len() + MAX_LINE_BYTES + 10, b'x');
        bytes.extend_from_slice(b"\n{\"text\":\"b\"}\n");
        let rows = read(&bytes);
        assert!(matches!(rows[1], Err(ReadError::TooLarge { .. })));
        assert_eq!(rows[2].as_ref().unwrap().text, "b");
    }

    #[test]
    fn conversations_and_instructions_are_recognised() {
        let rows = read(
            b"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"ho\"}]}\n\
              {\"instruction\":\"Add\",\"input\":\"1 2\",\"output\":\"3\"}",
        );
        assert_eq!(rows[0].as_ref().unwrap().text, "user: hi\nho");
        assert_eq!(rows[1].as_ref().unwrap().text, "Add\n1 2\n3");
    }
}
