//! What a page shows when it cannot show what it should.

use askama::Template;

#[derive(Template)]
#[template(path = "error.html")]
struct Shown<'a> {
    title: &'a str,
    reason: &'a str,
}

/// The page, or a line of text when even that fails.
pub fn render(title: &str, reason: &str) -> String {
    Shown { title, reason }.render().unwrap_or_else(|_| title.to_string())
}
