//! Reading: files to documents, streaming and bounded, in a stable order.
//!
//! [`files`] walks a path (a file, a directory, or a glob with `*`, `?` and `**`) without following symbolic links and in
//! byte order of the relative paths, so that the same folder always gives the same documents in the same
//! order. [`documents`] opens each file by its extension and yields documents one by one; what cannot be read is yielded
//! as a [`ReadError`] in its place and reading goes on. Nothing is dropped silently: a file of no known kind is
//! an error as well.
//!
//! Kinds: text and Markdown, HTML, DOCX, PDF, JSONL and JSON lists, CSV and TSV, Parquet; Croissant and Hugging Face directories, and
//! the documentation of the crates that `cargo metadata` lists ([`crates`]).
//!
//! Limits: [`MAX_LINE_BYTES`] for a line of JSONL, [`MAX_ITEM_BYTES`](crate::document::MAX_ITEM_BYTES) for a document,
//! [`MAX_FILES`] for a walk, [`MAX_DEPTH`] for its depth.

pub mod crates;
pub mod croissant;
pub mod csv;
pub mod docx;
pub mod html;
pub mod huggingface;
pub mod jsonl;
pub mod markdown;
pub mod parquet;
#[cfg(feature = "pdf")]
pub mod pdf;
pub mod rustdoc;
pub mod text;
mod walk;

pub use walk::files;

use crate::document::Document;
use std::path::{Path, PathBuf};

/// Longest line of a row-per-line file, in bytes. A longer one is skipped and reported.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// Most files one walk returns.
pub const MAX_FILES: usize = 5_000_000;
/// Deepest folder a walk enters.
pub const MAX_DEPTH: usize = 64;
/// Bytes at a file's start that are looked at to tell text from anything else.
pub const SNIFF_BYTES: usize = 8192;

/// Why a file or a row gave no document.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A symbolic link: never followed, since it can lead out of the folder that was named.
    #[error("{path}: a symbolic link is not followed; name its target directly if you mean it")]
    SymbolicLink {
        /// Which link.
        path: String,
    },
    /// A path component that leads out of the folder.
    #[error("{path}: leads out of the folder that was named")]
    Escape {
        /// Which path.
        path: String,
    },
    /// A device, socket or pipe.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// Which path.
        path: String,
    },
    /// No reader for this extension.
    #[error(
        "{path}: no reader for `.{extension}` files; convert it to text, Markdown, HTML, DOCX, PDF, JSONL, CSV or Parquet"
    )]
    UnknownKind {
        /// Which file.
        path: String,
        /// Its extension.
        extension: String,
    },
    /// Bytes that are not text in a file named as text.
    #[error("{path}: binary content in a file named as text")]
    Binary {
        /// Which file.
        path: String,
    },
    /// Text in another encoding than UTF-8.
    #[error("{path}: not UTF-8 at byte {offset}; convert it with iconv")]
    NotUtf8 {
        /// Which file or row.
        path: String,
        /// First byte that is not UTF-8.
        offset: u64,
    },
    /// A line, row or document past its limit.
    #[error("{path}: {bytes} bytes or more, the limit is {limit}; split it")]
    TooLarge {
        /// Which file or row.
        path: String,
        /// Bytes seen.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file's length or time changed while it was read.
    #[error("{path}: changed while it was read; import it again when nothing writes to it")]
    Changed {
        /// Which file.
        path: String,
    },
    /// Content that its format does not allow.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which file or row.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Passed over by a rule of its reader.
    #[error("{path}: {reason}")]
    LeftOut {
        /// What.
        path: String,
        /// By which rule.
        reason: String,
    },
    /// Past the number of files or the depth that a walk may have.
    #[error("{path}: more than {limit} {what}; import it in parts")]
    TooMany {
        /// Where.
        path: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl ReadError {
    /// The file or row it is about.
    pub fn path(&self) -> &str {
        match self {
            ReadError::Io { path, .. }
            | ReadError::SymbolicLink { path }
            | ReadError::Escape { path }
            | ReadError::NotAFile { path }
            | ReadError::UnknownKind { path, .. }
            | ReadError::Binary { path }
            | ReadError::NotUtf8 { path, .. }
            | ReadError::TooLarge { path, .. }
            | ReadError::Changed { path }
            | ReadError::Malformed { path, .. }
            | ReadError::LeftOut { path, .. }
            | ReadError::TooMany { path, .. } => path,
        }
    }
}

/// Which columns of a row make a document. Empty names mean: recognise the usual ones.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The text, or the completion when `prompt` is set too.
    pub text: Option<String>,
    /// The prompt.
    pub prompt: Option<String>,
    /// The licence of the row.
    pub licence: Option<String>,
}

/// A file to read: where it is, and the name it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path on disk.
    pub path: PathBuf,
    /// Path relative to the folder that was named, with `/`.
    pub name: String,
}

/// Documents, or why there is none, of one file.
pub type Documents = Box<dyn Iterator<Item = Result<Document, ReadError>>>;

/// The documents of `file`, by its extension.
pub fn documents(file: &SourceFile, columns: &Columns) -> Documents {
    let extension = Path::new(&file.name)
        .extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let bare = Path::new(&file.name).file_name().map(|n| n.to_string_lossy().to_ascii_uppercase());
    let plain = ["README", "LICENSE", "LICENCE", "COPYING", "AUTHORS", "NOTICE", "CHANGELOG"];
    match extension.as_str() {
        "txt" | "text" | "md" | "markdown" | "rst" | "org" | "tex" | "rs" | "py" | "c" | "h" | "go"
        | "js" | "ts" | "java" | "toml" | "yaml" | "yml" => text::documents(file),
        "" if bare.is_some_and(|b| plain.contains(&b.as_str())) => text::documents(file),
        "jsonl" | "ndjson" => jsonl::documents(file, columns),
        "json" => jsonl::list(file, columns),
        "csv" => csv::documents(file, columns, b','),
        "tsv" => csv::documents(file, columns, b'\t'),
        "parquet" => parquet::documents(file, columns),
        "html" | "htm" | "xhtml" => html::documents(file),
        "docx" => docx::documents(file),
        #[cfg(feature = "pdf")]
        "pdf" => pdf::documents(file),
        _ => Box::new(std::iter::once(Err(ReadError::UnknownKind { path: file.name.clone(), extension }))),
    }
}

/// Documents of everything under `path` (a file, a directory or a glob), lazily and in stable order. A directory with a Croissant
/// description or a Hugging Face card is read as these say. A file that holds the output of `cargo metadata` stands for the documentation of
/// the crates it lists; only when named itself, since it leads to other folders.
pub fn all(path: &Path, columns: &Columns) -> Result<Documents, ReadError> {
    if path.extension().is_some_and(|e| e == "json") && !path.is_symlink() && crates::is_metadata(path) {
        return crates::documents(path);
    }
    if path.is_dir() && !path.is_symlink() {
        if let Some(description) = croissant::description(path)? {
            return Ok(croissant::documents(path, &description, columns));
        }
        if let Some(card) = huggingface::card(path)? {
            return huggingface::documents(path, card, columns);
        }
    }
    let columns = columns.clone();
    Ok(Box::new(files(path)?.into_iter().flat_map(move |file| match file {
        Ok(file) => documents(&file, &columns),
        Err(error) => Box::new(std::iter::once(Err(error))),
    })))
}

/// An I/O error with its path.
pub(crate) fn io(path: &str) -> impl FnOnce(std::io::Error) -> ReadError + '_ {
    move |source| ReadError::Io { path: path.to_string(), source }
}

/// Length and modification time: equal before and after reading, or the file changed meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64, Option<std::time::SystemTime>);

impl Stamp {
    pub(crate) fn of(file: &std::fs::File) -> std::io::Result<Stamp> {
        let meta = file.metadata()?;
        Ok(Stamp(meta.len(), meta.modified().ok()))
    }
}
