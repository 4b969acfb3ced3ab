//! What a command shows: data on standard output, everything else on standard error.

use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Shows results as text or JSON.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON or text.
    pub fn new(json: bool) -> Output {
        Output { json }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Shows a result: `text` for people, `value` for programs.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let shown = if self.json {
            serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
        } else {
            text()
        };
        // A closed pipe (`| head`) is the reader's wish, not a failure.
        let _ = writeln!(std::io::stdout().lock(), "{}", shown.trim_end());
    }

    /// A line of progress or advice.
    pub fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }

    /// A line of progress that the next one overwrites; for terminals.
    pub fn overwrite(&self, text: impl AsRef<str>) {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[2K{}", text.as_ref()).and_then(|()| stderr.flush());
    }

    /// Why the command failed, with its causes.
    pub fn failure(&self, error: &anyhow::Error) {
        if self.json {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            let _ =
                writeln!(std::io::stdout().lock(), "{}", serde_json::json!({ "error": causes.join(": ") }));
        }
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "{} {error}", self.paint("error:"));
        for cause in error.chain().skip(1) {
            let _ = writeln!(stderr, "  because: {cause}");
        }
    }

    fn paint(&self, text: &str) -> String {
        let plain =
            std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !std::io::stderr().is_terminal();
        if plain { text.into() } else { format!("\x1b[1;31m{text}\x1b[0m") }
    }
}

/// Rows in columns as wide as their widest cell.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<_> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_string()
    };
    let mut lines = vec![line(header)];
    lines.extend(rows.iter().map(|row| line(std::array::from_fn(|i| row[i].as_str()))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let shown = super::table(["a", "name"], &[["1".into(), "x".into()], ["22".into(), "yy".into()]]);
        assert_eq!(shown, "a   name\n1   x\n22  yy");
    }
}
