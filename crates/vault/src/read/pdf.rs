//! PDF: the text that its pages draw, in the order in which they draw it.
//!
//! A page is a program that places glyphs; there are no words or lines in it. Text shown on one line is joined, a gap wider than
//! [`WORD_GAP`] becomes a blank, and a move to another line a line end. Columns, tables and running heads come as they are drawn. A
//! scanned page has no text and is an error of its own, as is a file that needs a password.
//!
//! Limits: the file as large as an item; each compressed part at most its share of [`MAX_UNPACKED_BYTES`]; [`MAX_PAGE_BYTES`] of drawing
//! program a page and [`MAX_PAGES`] pages. A panic of the parser on hostile bytes ends the file with an error instead of the import.

use super::{Documents, ReadError, SourceFile, text};
use crate::document::{Document, MAX_ITEM_BYTES};
use lopdf::content::{Content, Operation};
use lopdf::{Encoding, LoadOptions, Object, ObjectId};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Most bytes that all compressed parts of a file together may unpack to while it is opened.
const MAX_UNPACKED_BYTES: usize = 1 << 30;
/// Most bytes that one compressed part may unpack to.
const MAX_PART_BYTES: usize = 32 << 20;
/// Most bytes of one page's drawing program. Parsed, it takes some twenty times as much memory.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Most pages of a file.
const MAX_PAGES: usize = 100_000;
/// A move to the right of more than this, in thousandths of the font's size, separates words.
const WORD_GAP: f32 = 180.0;
/// Strings within strings: an array of strings is one level.
const MAX_NESTING: usize = 4;

/// The file as one document.
pub fn documents(file: &SourceFile) -> Documents {
    let document = text::whole_bytes(file, MAX_ITEM_BYTES).and_then(|bytes| {
        let read = catch_unwind(AssertUnwindSafe(|| read(&bytes, &file.name)));
        read.unwrap_or_else(|_| Err(malformed(&file.name, "its parser gave up")))
    });
    Box::new(std::iter::once(document))
}

fn malformed(path: &str, reason: impl std::fmt::Display) -> ReadError {
    ReadError::Malformed { path: path.into(), reason: format!("not a readable PDF file: {reason}") }
}

fn read(bytes: &[u8], name: &str) -> Result<Document, ReadError> {
    // What is opened at once are parts that begin with this word; each gets an equal share.
    let parts = memchr::memmem::find_iter(bytes, b"endstream").count().max(1);
    let limit = (MAX_UNPACKED_BYTES / parts).min(MAX_PART_BYTES);
    let options = LoadOptions { max_decompressed_size: Some(limit), ..LoadOptions::default() };
    let pdf =
        lopdf::Document::load_mem_with_options(bytes, options).map_err(|error| malformed(name, error))?;
    if pdf.is_encrypted() {
        return Err(malformed(name, "it needs a password; save it without one"));
    }
    let pages: Vec<ObjectId> = pdf.page_iter().take(MAX_PAGES + 1).collect();
    if pages.len() > MAX_PAGES {
        return Err(ReadError::TooMany { path: name.into(), what: "pages", limit: MAX_PAGES });
    }
    let mut out = String::new();
    for (number, page) in pages.iter().enumerate() {
        let before = out.len();
        page_text(&pdf, *page, &mut out)
            .map_err(|error| malformed(name, format!("page {}: {error}", number + 1)))?;
        if out.len() > MAX_ITEM_BYTES {
            let (bytes, limit) = (out.len() as u64, MAX_ITEM_BYTES as u64);
            return Err(ReadError::TooLarge { path: name.into(), bytes, limit });
        }
        if out.len() > before && !out.ends_with('\n') {
            out.push('\n');
        }
    }
    if out.trim().is_empty() {
        return Err(malformed(
            name,
            "its pages have no text; scanned pages need character recognition first",
        ));
    }
    Ok(Document { text: out, source: name.into(), title: title(&pdf), ..Document::default() })
}

/// The title that the file states.
fn title(pdf: &lopdf::Document) -> Option<String> {
    let info = pdf.trailer.get(b"Info").ok()?;
    let info = pdf.dereference(info).ok()?.1.as_dict().ok()?;
    let title = lopdf::decode_text_string(pdf.dereference(info.get(b"Title").ok()?).ok()?.1).ok()?;
    let title = title.trim();
    (!title.is_empty() && title.len() <= 1024).then(|| title.to_string())
}

/// Appends what a page shows.
fn page_text(pdf: &lopdf::Document, page: ObjectId, out: &mut String) -> lopdf::Result<()> {
    let fonts = pdf.get_page_fonts(page)?;
    // A font whose encoding cannot be read shows nothing; the rest of the page still does.
    let fonts: BTreeMap<Vec<u8>, Encoding> = fonts
        .into_iter()
        .filter_map(|(name, font)| Some((name, font.get_font_encoding_with_limit(pdf, MAX_PAGE_BYTES).ok()?)))
        .collect();
    let program = Content::decode(&pdf.get_page_content_with_limit(page, MAX_PAGE_BYTES)?)?;
    let mut font = None;
    for Operation { operator, operands } in &program.operations {
        match operator.as_str() {
            "Tf" => font = operands.first().and_then(|name| fonts.get(name.as_name().ok()?)),
            "Tj" | "TJ" | "'" | "\"" => {
                if matches!(operator.as_str(), "'" | "\"") {
                    line_end(out);
                }
                // The quotation mark's operands before the string are spacings.
                let shown = if operator == "\"" { operands.get(2..).unwrap_or(&[]) } else { operands };
                if let Some(font) = font {
                    show(font, shown, 0, out);
                }
            }
            "Td" | "TD" => match operands.get(1).map(number) {
                Some(0.0) => word_end(out),
                _ => line_end(out),
            },
            // Where the matrix leads is unknown without the fonts' widths: a blank never joins two words.
            "Tm" => word_end(out),
            "T*" | "ET" => line_end(out),
            _ => {}
        }
    }
    Ok(())
}

fn show(font: &Encoding, operands: &[Object], depth: usize, out: &mut String) {
    for operand in operands {
        match operand {
            Object::String(bytes, _) => {
                out.push_str(&lopdf::Document::decode_text(font, bytes).unwrap_or_default())
            }
            Object::Array(inner) if depth < MAX_NESTING => show(font, inner, depth + 1, out),
            // Positive moves left, negative right.
            other if number(other) < -WORD_GAP => word_end(out),
            _ => {}
        }
    }
}

fn number(object: &Object) -> f32 {
    object.as_float().unwrap_or(0.0)
}

fn word_end(out: &mut String) {
    if !out.is_empty() && !out.ends_with(char::is_whitespace) {
        out.push(' ');
    }
}

fn line_end(out: &mut String) {
    while out.ends_with(' ') {
        out.pop();
    }
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lopdf::{Stream, dictionary};

    /// A file of one page a program.
    fn pdf(programs: &[&[u8]]) -> Vec<u8> {
        let mut pdf = lopdf::Document::with_version("1.5");
        let tree = pdf.new_object_id();
        let font = pdf.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding" });
        let pages: Vec<Object> = programs
            .iter()
            .map(|program| {
                let mut stream = Stream::new(dictionary! {}, program.to_vec());
                stream.compress().unwrap();
                let content = pdf.add_object(stream);
                let page = dictionary! {
                    "Type" => "Page", "Parent" => tree, "Contents" => content,
                    "Resources" => dictionary! { "Font" => dictionary! { "F1" => font } },
                };
                pdf.add_object(page).into()
            })
            .collect();
        let count = pages.len() as i64;
        pdf.objects.insert(tree, dictionary! { "Type" => "Pages", "Kids" => pages, "Count" => count }.into());
        let catalog = pdf.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
        let info = pdf.add_object(dictionary! { "Title" => Object::string_literal("On rivers") });
        pdf.trailer.set("Root", catalog);
        pdf.trailer.set("Info", info);
        let mut bytes = Vec::new();
        pdf.save_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn pages_lines_words_and_accents_are_read() {
        let file = pdf(&[
            b"BT /F1 12 Tf 72 700 Td (One line) Tj 0 -14 Td [(T) 20 (wo) -250 (words, caf\xe9)] TJ ET",
            b"BT /F1 12 Tf 1 0 0 1 72 700 Tm (Page) Tj 40 0 Td (two) Tj T* (end) ' ET",
        ]);
        let document = read(&file, "a.pdf").unwrap();
        assert_eq!(document.text, "One line\nTwo words, caf\u{e9}\nPage two\nend\n");
        assert_eq!(document.title.as_deref(), Some("On rivers"));
    }

    #[test]
    fn a_page_without_text_says_what_would_help() {
        let error = read(&pdf(&[b"0 0 10 10 re f"]), "a.pdf").unwrap_err();
        assert!(error.to_string().contains("character recognition"), "{error}");
    }

    #[test]
    fn bombs_do_not_go_off() {
        // 40 MiB of drawing program in some 40 kB.
        let bomb = pdf(&[&b"BT (aaaaaaaaaaaaaaaa) Tj ET ".repeat(1_500_000)]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert!(matches!(read(&bomb, "a.pdf"), Err(ReadError::Malformed { .. })));
    }

    #[test]
    fn damaged_files_end_with_a_named_error() {
        let good = pdf(&[b"BT /F1 12 Tf (some words that are here) Tj ET"]);
        let dir = tempfile::tempdir().unwrap();
        let (path, mut errors, mut state) = (dir.path().join("a.pdf"), 0, 3u64);
        for round in 0..300usize {
            let mut bytes = good.clone();
            for _ in 0..1 + round % 5 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            if round % 4 == 0 {
                bytes.truncate(bytes.len() * round / 300);
            }
            std::fs::write(&path, &bytes).unwrap();
            let file = SourceFile { path: path.clone(), name: "a.pdf".into() };
            for document in documents(&file) {
                match document {
                    Ok(document) => assert!(document.text.len() < 100),
                    Err(ReadError::Malformed { .. }) => errors += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        assert!(errors > 40, "{errors}");
    }
}
