//! Plain text and Markdown: one document a file.

use super::{Documents, ReadError, SNIFF_BYTES, SourceFile, Stamp, io};
use crate::document::{Document, MAX_ITEM_BYTES};
use std::{fs::File, io::Read};

/// The file as one document. A byte order mark is dropped and line ends become `\n`, so that the same text has the
/// same id on every system.
pub fn documents(file: &SourceFile) -> Documents {
    Box::new(std::iter::once(read(file)))
}

fn read(file: &SourceFile) -> Result<Document, ReadError> {
    let text = whole(file)?;
    let title = text.lines().find_map(|line| line.strip_prefix("# ")).map(|t| t.trim().to_string());
    Ok(Document { text, source: file.name.clone(), title, ..Document::default() })
}

/// The whole file as text, within the limit of a document.
pub(crate) fn whole(file: &SourceFile) -> Result<String, ReadError> {
    let bytes = whole_bytes(file, MAX_ITEM_BYTES)?;
    if bytes[..bytes.len().min(SNIFF_BYTES)].contains(&0) {
        return Err(ReadError::Binary { path: file.name.clone() });
    }
    let text = String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8 {
        path: file.name.clone(),
        offset: error.utf8_error().valid_up_to() as u64,
    })?;
    Ok(normal_lines(text))
}

/// The whole file, at most `limit` bytes, unchanged while it was read.
pub(crate) fn whole_bytes(file: &SourceFile, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut handle = File::open(&file.path).map_err(io(&file.name))?;
    let before = Stamp::of(&handle).map_err(io(&file.name))?;
    let mut bytes = Vec::new();
    (&mut handle).take(limit as u64 + 1).read_to_end(&mut bytes).map_err(io(&file.name))?;
    if bytes.len() > limit {
        let (bytes, limit) = (bytes.len() as u64, limit as u64);
        return Err(ReadError::TooLarge { path: file.name.clone(), bytes, limit });
    }
    if Stamp::of(&handle).map_err(io(&file.name))? != before {
        return Err(ReadError::Changed { path: file.name.clone() });
    }
    Ok(bytes)
}

fn normal_lines(text: String) -> String {
    let stripped = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if stripped.contains('\r') {
        return stripped.replace("\r\n", "\n").replace('\r', "\n");
    }
    if stripped.len() == text.len() { text } else { stripped.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, SourceFile) {
        let temp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(temp.path(), bytes).unwrap();
        let source = SourceFile { path: temp.path().into(), name: "a.md".into() };
        (temp, source)
    }

    #[test]
    fn line_ends_and_byte_order_marks_do_not_change_the_text() {
        let (_keep, windows) = file("\u{feff}# T\r\nx\r\n".as_bytes());
        let document = read(&windows).unwrap();
        assert_eq!(document.text, "# T\nx\n");
        assert_eq!(document.title.as_deref(), Some("T"));
    }

    #[test]
    fn binary_and_broken_text_are_named() {
        let (_keep, binary) = file(b"\x7fELF\0\0");
        assert!(matches!(read(&binary), Err(ReadError::Binary { .. })));
        let (_keep, broken) = file(b"abc\xff");
        assert!(matches!(read(&broken), Err(ReadError::NotUtf8 { offset: 3, .. })));
    }
}
