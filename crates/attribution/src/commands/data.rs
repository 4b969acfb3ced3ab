//! Documents and rows from plain files.
//!
//! Documents: a folder whose subfolders are contributors and whose text files are their documents, in the order of names; or
//! a JSONL file with `text`, and optionally `owner`, `name` and `novelty` (0 to 1). The order is the commit order.
//!
//! Exchanges: a JSONL file whose lines have `prompt` and `answer` (or what `openledger model finetune` takes for them) in the place of `text`: what an
//! adapter was fine-tuned on. A file has documents or exchanges, not both.
//!
//! Rows: CSV with a header; every column but the last is a number, the last is the label.

use crate::shares::NOVELTY_ONE;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Largest file that is read.
pub const MAX_FILE_BYTES: u64 = 1 << 32;
/// Most documents or rows.
pub const MAX_ENTRIES: usize = 1 << 24;

/// Why data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Past a limit.
    #[error("{0} is larger than is read at once: split it")]
    TooLarge(PathBuf),
    /// A line that cannot be understood.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Exchanges where documents are needed.
    #[error("{0} holds prompts and answers: only `attribute cache` takes these, give documents of `text`")]
    Exchanges(PathBuf),
    /// No document or row.
    #[error(
        "{0} holds no text: give a folder with a subfolder of text files for each contributor, or a JSONL file"
    )]
    Empty(PathBuf),
}

/// One document of one contributor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// How it is named to a reader.
    pub name: String,
    /// Index in [`Documents::owners`].
    pub owner: u32,
    /// What its text answers, if it is an exchange.
    pub prompt: Option<String>,
    /// Its text.
    pub text: String,
    /// Novelty in parts of [`NOVELTY_ONE`].
    pub novelty: u32,
}

/// Documents in commit order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Documents {
    /// Names of the contributors.
    pub owners: Vec<String>,
    /// The documents.
    pub list: Vec<Document>,
}

impl Documents {
    /// Whether they are prompts and answers.
    pub fn are_exchanges(&self) -> bool {
        self.list.first().is_some_and(|document| document.prompt.is_some())
    }
}

#[derive(Deserialize)]
struct Line {
    text: Option<String>,
    #[serde(alias = "question", alias = "instruction", alias = "inputs")]
    prompt: Option<String>,
    #[serde(alias = "response", alias = "completion", alias = "output", alias = "targets")]
    answer: Option<String>,
    owner: Option<String>,
    name: Option<String>,
    novelty: Option<f64>,
}

fn at(path: &Path) -> impl Fn(io::Error) -> DataError + '_ {
    move |source| DataError::Io { path: path.into(), source }
}

fn read_text(path: &Path) -> Result<String, DataError> {
    if fs::metadata(path).map_err(at(path))?.len() > MAX_FILE_BYTES {
        return Err(DataError::TooLarge(path.into()));
    }
    let bytes = fs::read(path).map_err(at(path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    let mut paths =
        entries.map(|entry| Ok(entry.map_err(at(folder))?.path())).collect::<Result<Vec<_>, DataError>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads documents from a folder of folders or a JSONL file.
pub fn documents(path: &Path) -> Result<Documents, DataError> {
    let found = training(path)?;
    if found.are_exchanges() { Err(DataError::Exchanges(path.into())) } else { Ok(found) }
}

/// Reads documents, or the exchanges of a JSONL file.
pub fn training(path: &Path) -> Result<Documents, DataError> {
    let mut documents = Documents::default();
    if fs::metadata(path).map_err(at(path))?.is_dir() {
        for folder in sorted(path)?.into_iter().filter(|p| p.is_dir()) {
            let owner = documents.owners.len() as u32;
            documents.owners.push(file_name(&folder));
            for file in sorted(&folder)?.into_iter().filter(|p| p.is_file()) {
                let name = format!("{}/{}", file_name(&folder), file_name(&file));
                let (text, novelty) = (read_text(&file)?, NOVELTY_ONE);
                documents.list.push(Document { name, owner, prompt: None, text, novelty });
            }
        }
    } else {
        read_lines(path, &mut documents)?;
    }
    match documents.list.len() {
        0 => Err(DataError::Empty(path.into())),
        count if count > MAX_ENTRIES => Err(DataError::TooLarge(path.into())),
        _ => Ok(documents),
    }
}

fn read_lines(path: &Path, documents: &mut Documents) -> Result<(), DataError> {
    let text = read_text(path)?;
    let mut known = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |reason: String| DataError::Line { path: path.into(), line: number + 1, reason };
        let form =
            "write {\"text\": ..., \"owner\": ...}, or {\"prompt\": ..., \"answer\": ..., \"owner\": ...}";
        let line: Line = serde_json::from_str(line).map_err(|e| bad(format!("{e}: {form}")))?;
        let Line { owner, name, novelty, .. } = line;
        let (prompt, text) = match (line.text, line.prompt, line.answer) {
            (Some(text), None, None) => (None, text),
            (None, Some(prompt), Some(answer)) => (Some(prompt), answer),
            _ => return Err(bad(format!("neither a text nor a prompt with its answer: {form}"))),
        };
        if documents.list.last().is_some_and(|before| before.prompt.is_some() != prompt.is_some()) {
            return Err(bad("texts and exchanges in one file: put them into two".into()));
        }
        let novelty = novelty.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&novelty) {
            return Err(bad(format!("novelty {novelty} is not a fraction")));
        }
        let owners = &mut documents.owners;
        let owner = *known.entry(owner.unwrap_or_else(|| "unknown".into())).or_insert_with_key(|name| {
            owners.push(name.clone());
            owners.len() as u32 - 1
        });
        let name = name.unwrap_or_else(|| format!("{}:{}", file_name(path), number + 1));
        let novelty = (novelty * f64::from(NOVELTY_ONE)) as u32;
        documents.list.push(Document { name, owner, prompt, text, novelty });
    }
    Ok(())
}

/// Labelled rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Numbers a row.
    pub dimensions: usize,
    /// `[rows, dimensions]`.
    pub features: Vec<f32>,
    /// Label of each row, as an index in `names`.
    pub labels: Vec<u32>,
    /// Labels as written.
    pub names: Vec<String>,
}

/// Reads labelled rows; labels are numbered as in `names`, new ones after those.
pub fn rows(path: &Path, names: Vec<String>) -> Result<Rows, DataError> {
    let text = read_text(path)?;
    let mut lines = text.lines().enumerate();
    let columns = lines.next().map_or(0, |(_, header)| header.split(',').count());
    let mut rows = Rows { dimensions: columns.saturating_sub(1), names, ..Rows::default() };
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |reason: String| DataError::Line { path: path.into(), line: number + 1, reason };
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let (label, numbers) = fields.split_last().expect("a split has at least one part");
        if fields.len() != columns || numbers.is_empty() {
            return Err(bad(format!(
                "{} columns instead of {columns} (numbers, then the label)",
                fields.len()
            )));
        }
        for field in numbers {
            rows.features.push(field.parse().map_err(|_| bad(format!("`{field}` is not a number")))?);
        }
        let known = rows.names.iter().position(|name| name == label);
        rows.labels.push(known.unwrap_or(rows.names.len()) as u32);
        if known.is_none() {
            rows.names.push((*label).to_string());
        }
    }
    if rows.labels.is_empty() { Err(DataError::Empty(path.into())) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_folder_of_folders_gives_an_owner_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for (owner, name) in [("b", "2"), ("b", "1"), ("a", "9")] {
            fs::create_dir_all(folder.path().join(owner)).unwrap();
            fs::write(folder.path().join(owner).join(name), format!("text of {owner} {name}")).unwrap();
        }
        let documents = documents(folder.path()).unwrap();
        assert_eq!(documents.owners, ["a", "b"]);
        let names: Vec<_> = documents.list.iter().map(|d| (d.name.as_str(), d.owner)).collect();
        assert_eq!(names, [("a/9", 0), ("b/1", 1), ("b/2", 1)]);
    }

    #[test]
    fn lines_are_read_and_bad_ones_named() {
        let (_folder, path) = written(
            "x.jsonl",
            "{\"text\":\"one\",\"owner\":\"ann\"}\n\n{\"text\":\"two\",\"novelty\":0.5}\n",
        );
        let found = documents(&path).unwrap();
        assert_eq!(found.owners, ["ann", "unknown"]);
        assert_eq!((found.list[1].novelty, found.list[1].name.as_str()), (NOVELTY_ONE / 2, "x.jsonl:3"));
        for (text, line) in [
            ("{\"text\":1}", 1),
            ("{\"prompt\":\"why\"}", 1),
            ("{\"text\":\"a\"}\n{\"prompt\":\"a\",\"answer\":\"b\"}", 2),
            ("{\"text\":\"a\"}\nnot json", 2),
            ("{\"text\":\"a\",\"novelty\":2}", 1),
        ] {
            let (_folder, path) = written("y.jsonl", text);
            assert!(matches!(documents(&path), Err(DataError::Line { line: found, .. }) if found == line));
        }
        let (_folder, path) = written("z.jsonl", "\n");
        assert!(matches!(documents(&path), Err(DataError::Empty(_))));
    }

    #[test]
    fn rows_are_numbers_and_a_label() {
        let (_folder, path) = written("x.csv", "a,b,label\n1,2,cat\n3,4,dog\n5,6,cat\n");
        let found = rows(&path, vec!["dog".into()]).unwrap();
        assert_eq!((found.dimensions, &found.labels[..]), (2, &[1u32, 0, 1][..]));
        for text in ["a,b\n1,x,y\n", "a,b\nz,cat\n", "label\ncat\n"] {
            let (_folder, path) = written("y.csv", text);
            assert!(matches!(rows(&path, vec![]), Err(DataError::Line { .. })), "{text}");
        }
    }
}
