//! `attribute spans`: which documents an answer repeats word for word.

use super::{CommandError, data};
use crate::spans::{Corpus, Index, Options, Report};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to compare.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpansRequest {
    /// Documents in commit order, as [`data::documents`] reads them.
    pub documents: PathBuf,
    /// Where the index is kept: read when it fits the documents, else built and written. None builds it in memory.
    pub index: Option<PathBuf>,
    /// The answer.
    pub answer: String,
    /// What is reported.
    pub options: Options,
}

/// The overlap, with names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpansReport {
    /// Matches, and contributors by rarity.
    pub report: Report,
    /// Names of the documents that the report's numbers stand for.
    pub documents: Vec<String>,
    /// Names of the contributors.
    pub owners: Vec<String>,
    /// Bytes of the corpus and of its index.
    pub corpus_bytes: usize,
    /// Bytes of the index.
    pub index_bytes: usize,
    /// Time of the search alone.
    pub seconds: f64,
}

/// Finds verbatim overlap.
pub fn spans(request: &SpansRequest) -> Result<SpansReport, CommandError> {
    let documents = data::documents(&request.documents)?;
    let corpus = Corpus::new(documents.list.iter().map(|d| (d.name.as_str(), d.owner, d.text.as_str())))?;
    let kept = request.index.as_ref().and_then(|path| std::fs::read(path).ok());
    let index = match kept.and_then(|bytes| Index::decode(&bytes, &corpus).ok()) {
        Some(index) => index,
        None => {
            let index = Index::build(&corpus);
            if let Some(path) = &request.index {
                std::fs::write(path, index.encode())
                    .map_err(|source| data::DataError::Io { path: path.clone(), source })?;
            }
            index
        }
    };
    let start = std::time::Instant::now();
    let report = index.report(&corpus, &request.answer, &request.options)?;
    Ok(SpansReport {
        report,
        documents: documents.list.iter().map(|d| d.name.clone()).collect(),
        owners: documents.owners,
        corpus_bytes: corpus.bytes(),
        index_bytes: index.bytes(),
        seconds: start.elapsed().as_secs_f64(),
    })
}
