//! HTML: the visible text of a page.
//!
//! Scripts, styles, templates and navigation are left out; block elements become paragraphs, list items lines.
//! Tokenised as the WHATWG specification says, so that broken pages are read as browsers read them.

use super::{Documents, ReadError, SourceFile, text};
use crate::document::Document;
use html5gum::{Token, Tokenizer};

/// Elements whose content is not part of the text.
const HIDDEN: &[&str] = &["script", "style", "template", "noscript", "svg", "nav", "iframe", "object"];
/// Elements that end a paragraph.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "section",
    "article",
    "header",
    "footer",
    "main",
    "aside",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "table",
    "blockquote",
    "pre",
    "figure",
    "form",
    "hr",
    "dl",
];
/// Elements that end a line.
const LINES: &[&str] = &["br", "li", "tr", "dt", "dd"];

/// The page as one document.
pub fn documents(file: &SourceFile) -> Documents {
    Box::new(std::iter::once(text::whole(file).and_then(|html| page(&html, &file.name))))
}

fn page(html: &str, name: &str) -> Result<Document, ReadError> {
    let mut out = Page::default();
    for token in Tokenizer::new(html) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let tag_name = String::from_utf8_lossy(&tag.name).to_string();
                out.open(&tag_name, tag.self_closing);
            }
            Token::EndTag(tag) => {
                let tag_name = String::from_utf8_lossy(&tag.name).to_string();
                out.close(&tag_name);
            }
            Token::String(text) => out.text(&String::from_utf8_lossy(&text)),
            _ => {}
        }
    }
    let text = out.text.trim().to_string();
    if text.is_empty() {
        return Err(ReadError::Malformed {
            path: name.into(),
            reason: "the page has no visible text".into(),
        });
    }
    let title = (!out.title.trim().is_empty()).then(|| out.title.trim().to_string());
    Ok(Document { text: text + "\n", source: name.into(), title, ..Document::default() })
}

#[derive(Default)]
struct Page {
    text: String,
    title: String,
    /// The hidden element we are in, and how deep in elements of its kind.
    hidden: Option<(String, usize)>,
    in_title: bool,
    preformatted: usize,
}

impl Page {
    fn open(&mut self, tag: &str, self_closing: bool) {
        match &mut self.hidden {
            Some((name, depth)) => *depth += usize::from(name == tag && !self_closing),
            None if HIDDEN.contains(&tag) && !self_closing => self.hidden = Some((tag.into(), 1)),
            None => {
                self.in_title |= tag == "title";
                self.preformatted += usize::from(tag == "pre");
                self.break_for(tag);
            }
        }
    }

    fn close(&mut self, tag: &str) {
        match &mut self.hidden {
            Some((name, depth)) if name == tag => {
                *depth -= 1;
                if *depth == 0 {
                    self.hidden = None;
                }
            }
            Some(_) => {}
            None => {
                self.in_title &= tag != "title";
                self.preformatted = self.preformatted.saturating_sub(usize::from(tag == "pre"));
                self.break_for(tag);
            }
        }
    }

    fn break_for(&mut self, tag: &str) {
        let wanted = if BLOCKS.contains(&tag) {
            2
        } else if LINES.contains(&tag) {
            1
        } else {
            0
        };
        let trimmed = self.text.trim_end_matches(' ').len();
        if wanted == 0 || trimmed == 0 {
            return;
        }
        self.text.truncate(trimmed);
        let present = self.text.bytes().rev().take_while(|b| *b == b'\n').count();
        (present..wanted).for_each(|_| self.text.push('\n'));
    }

    fn text(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        if self.in_title {
            self.title.push_str(text);
            return;
        }
        if self.preformatted > 0 {
            self.text.push_str(text);
            return;
        }
        for c in text.chars() {
            if !c.is_whitespace() {
                self.text.push(c);
            } else if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                self.text.push(' ');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees_and_nothing_else() {
        let html = "<html><head><title>A &amp; B</title><style>p{}</style></head><body><nav>menu</nav>\
                    <h1>Head</h1><p>One\n two<br>three</p><script>alert('x</p>')</script><ul><li>a<li>b</ul>\
                    <pre>x\n  y</pre>";
        let document = page(html, "p.html").unwrap();
        assert_eq!(document.title.as_deref(), Some("A & B"));
        assert_eq!(document.text, "Head\n\nOne two\nthree\n\na\nb\n\nx\n  y\n");
    }

    #[test]
    fn a_page_without_text_is_named() {
        assert!(matches!(page("<script>only()</script>", "p.html"), Err(ReadError::Malformed { .. })));
    }

    #[test]
    fn deep_nesting_is_no_problem() {
        let html = "<div>".repeat(200_000) + "x";
        assert_eq!(page(&html, "p.html").unwrap().text, "x\n");
    }
}
