//! DOCX: the text of a word processor's document.
//!
//! A DOCX file is a ZIP archive; only `word/document.xml` is read, up to the size of an item whatever the archive claims, and
//! document type declarations are refused, so neither ZIP nor XML bombs go off.

use super::{Documents, ReadError, SourceFile, text};
use crate::document::{Document, MAX_ITEM_BYTES};
use quick_xml::events::Event;
use std::io::{Cursor, Read};

const BODY: &str = "word/document.xml";
/// Most entries that an archive may list.
const MAX_ENTRIES: usize = 65_536;

/// The file as one document.
pub fn documents(file: &SourceFile) -> Documents {
    let document = text::whole_bytes(file, MAX_ITEM_BYTES).and_then(|bytes| read(&bytes, &file.name));
    Box::new(std::iter::once(document))
}

fn read(bytes: &[u8], name: &str) -> Result<Document, ReadError> {
    let malformed = |reason: String| ReadError::Malformed { path: name.into(), reason };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| malformed(format!("not a DOCX archive: {e}")))?;
    if archive.len() > MAX_ENTRIES {
        let what = "entries in an archive";
        return Err(ReadError::TooMany { path: name.into(), what, limit: MAX_ENTRIES });
    }
    let body =
        archive.by_name(BODY).map_err(|_| malformed(format!("it has no `{BODY}`: not a DOCX file")))?;
    let limit = MAX_ITEM_BYTES as u64;
    let mut xml = Vec::new();
    body.take(limit + 1).read_to_end(&mut xml).map_err(|e| malformed(format!("its text is damaged: {e}")))?;
    if xml.len() as u64 > limit {
        return Err(ReadError::TooLarge { path: name.into(), bytes: limit, limit });
    }
    let xml = String::from_utf8(xml)
        .map_err(|e| ReadError::NotUtf8 { path: name.into(), offset: e.utf8_error().valid_up_to() as u64 })?;
    let text = visible_text(&xml).map_err(malformed)?;
    if text.trim().is_empty() {
        return Err(malformed("the document has no text".into()));
    }
    Ok(Document { text, source: name.into(), ..Document::default() })
}

/// Runs of text (`w:t`), tabs, breaks and paragraphs; deleted text (`w:delText`) is not part of it.
fn visible_text(xml: &str) -> Result<String, String> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut out, mut in_text) = (String::new(), false);
    loop {
        match reader.read_event().map_err(|e| format!("its XML is damaged: {e}"))? {
            Event::DocType(_) => return Err("a document type declaration is not allowed in DOCX".into()),
            Event::Start(tag) if tag.local_name().as_ref() == "t" => in_text = true,
            Event::End(tag) => match tag.local_name().as_ref() {
                "t" => in_text = false,
                "p" => out.push('\n'),
                _ => {}
            },
            Event::Empty(tag) => match tag.local_name().as_ref() {
                "tab" => out.push('\t'),
                "br" | "cr" | "p" => out.push('\n'),
                _ => {}
            },
            Event::Text(text) if in_text => {
                out.push_str(&text);
            }
            Event::GeneralRef(reference) if in_text => {
                let character = match &*reference {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().map_err(|e| format!("its XML is damaged: {e}"))?,
                };
                out.extend(character);
            }
            Event::Eof => return Ok(out),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn paragraphs_tabs_and_entities_are_read() {
        let xml = br#"<?xml version="1.0"?><w:document xmlns:w="x"><w:body><w:p><w:r><w:t>One &amp; two</w:t><w:tab/><w:t>x</w:t></w:r></w:p><w:p><w:del><w:delText>gone</w:delText></w:del><w:t xml:space="preserve"> three&#233;</w:t></w:p></w:body></w:document>"#;
        assert_eq!(read(&archive(BODY, xml), "a.docx").unwrap().text, "One & two\tx\n three\u{e9}\n");
    }

    #[test]
    fn bombs_do_not_go_off() {
        // 80 MiB of text in some 80 kB of ZIP.
        let bomb = archive(BODY, &vec![b' '; 80 << 20]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(read(&bomb, "a.docx"), Err(ReadError::TooLarge { .. })));
        let xml = br#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><w:document><w:t>&b;</w:t></w:document>"#;
        assert!(matches!(read(&archive(BODY, xml), "a.docx"), Err(ReadError::Malformed { .. })));
    }

    #[test]
    fn other_archives_and_broken_ones_are_named() {
        for bytes in [archive("../../etc/passwd", b"x"), b"PK\x03\x04".to_vec(), Vec::new()] {
            assert!(matches!(read(&bytes, "a.docx"), Err(ReadError::Malformed { .. })));
        }
    }
}
