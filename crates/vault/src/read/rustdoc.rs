//! Documentation comments of Rust source, by lines.
//!
//! `//!` lines are the module's documentation; `///` lines belong to the item that follows them and count when it is `pub`. The
//! item's first line stands above its documentation as a heading. Lines that rustdoc hides in examples (`# ...`)
//! are left out. A real parser would see through macros; comments are all that is wanted here, and they stand
//! in the text as they are.

/// Markdown of all public documentation in a source file, one section an item; empty when there is none.
pub fn documentation(source: &str) -> String {
    let mut out = String::new();
    let mut pending: Vec<&str> = Vec::new();
    let mut module: Vec<&str> = Vec::new();
    let mut attribute_depth = 0i32;
    for line in source.lines() {
        let line = line.trim();
        if attribute_depth > 0 {
            attribute_depth += brackets(line);
            continue;
        }
        if let Some(doc) = line.strip_prefix("//!") {
            module.push(doc.strip_prefix(' ').unwrap_or(doc));
        } else if let Some(doc) = line.strip_prefix("///").filter(|rest| !rest.starts_with('/')) {
            pending.push(doc.strip_prefix(' ').unwrap_or(doc));
        } else if line.starts_with("#[") || line.starts_with("#![") {
            attribute_depth = brackets(line).max(0);
        } else if !line.is_empty() && !line.starts_with("//") {
            if line.starts_with("pub ") && !pending.is_empty() {
                section(&mut out, heading(line), &pending);
            }
            pending.clear();
        }
    }
    let mut text = shown(&module);
    if !text.is_empty() && !out.is_empty() {
        text.push('\n');
    }
    text + &out
}

fn brackets(line: &str) -> i32 {
    line.bytes().map(|b| i32::from(b == b'[') - i32::from(b == b']')).sum()
}

fn section(out: &mut String, heading: &str, lines: &[&str]) {
    let text = shown(lines);
    if !text.trim().is_empty() {
        out.push_str(&format!("### `{heading}`\n\n{text}\n"));
    }
}

/// The declaration up to its body.
fn heading(line: &str) -> &str {
    line.trim_end_matches(['{', ';', ',', '(', ' ']).trim_end_matches("where").trim_end()
}

/// The lines without those that rustdoc hides inside code blocks.
fn shown(lines: &[&str]) -> String {
    let mut out = String::new();
    let mut code = false;
    for line in lines {
        let start = line.trim_start();
        if start.starts_with("```") {
            code = !code;
        } else if code && (start == "#" || start.starts_with("# ")) {
            continue;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_items_are_documented_and_private_ones_are_not() {
        let source = "//! Module.\n\n/// Adds.\n///\n/// ```\n/// # use x;\n/// add(1);\n/// ```\n#[must_use = [\n\"x\"]]\npub fn add(a: u8) -> u8 {\n    /// inner\n    let x = 1;\n}\n/// Hidden.\nfn hidden() {}\n//// not documentation\npub struct S;\n";
        assert_eq!(
            documentation(source),
            "Module.\n\n### `pub fn add(a: u8) -> u8`\n\nAdds.\n\n```\nadd(1);\n```\n\n"
        );
    }

    #[test]
    fn source_without_documentation_gives_nothing() {
        assert_eq!(documentation("fn main() {}\n"), "");
    }
}
