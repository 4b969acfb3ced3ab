//! `openledger attribute cache | query | evaluate | spans | value`, as functions on plain files.
//!
//! Each takes a request, reports progress where it takes long, and returns a report that serialises. [`html`] draws a report as
//! one self-contained page. Nothing here needs a ledger.

mod cache;
pub mod data;
mod evaluate;
pub mod html;
mod queries;
mod query;
mod retrain;
mod spans;
mod value;

pub use cache::{CacheReport, CacheRequest, cache};
pub use evaluate::{EvaluateReport, EvaluateRequest, MethodReport, evaluate};
pub use query::{ContributorReport, QueryReport, QueryRequest, SpanReport, UnitReport, query};
pub use retrain::{
    DampingReport, LdsOfMethod, MAX_SUBSETS, MIN_SUBSETS, RetrainReport, RetrainRequest, retrain,
};
pub use spans::{SpansReport, SpansRequest, spans};
pub use value::{RowValue, ValueReport, ValueRequest, value};

use crate::{
    influence::{cache::CacheError, projection::FeatureError},
    metrics::LdsError,
    spans::SpansError,
    valuation::knn::KnnError,
};
use std::path::PathBuf;

/// Why a command failed. The message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The documents or rows.
    #[error(transparent)]
    Data(#[from] data::DataError),
    /// The model's directory.
    #[error("the model in {path}: {reason}")]
    Model {
        /// Its folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The query.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// The span index.
    #[error(transparent)]
    Spans(#[from] SpansError),
    /// The measure.
    #[error(transparent)]
    Lds(#[from] LdsError),
    /// Retrainings out of range.
    #[error(
        "{0} retrainings cannot be halved into pairs: choose a multiple of four from {MIN_SUBSETS} to {MAX_SUBSETS}"
    )]
    Subsets(usize),
    /// No damping, or one that is not in the grid.
    #[error("choose dampings by their indices in the protocol's grid, 0 to {}", .0 - 1)]
    Dampings(usize),
    /// Contributors that cannot be halved in enough ways.
    #[error("{0} contributors are too few to leave half of them out: give documents of at least four")]
    FewOwners(usize),
    /// The valuation.
    #[error(transparent)]
    Knn(#[from] KnnError),
    /// The answer has nothing to attribute.
    #[error("the answer has no token: give an answer of at least one word")]
    EmptyAnswer,
    /// No query to evaluate on.
    #[error(
        "no held-out text of {0} tokens by an owner of the cache: give longer held-out documents by the same owners"
    )]
    NoQueries(usize),
}

/// A model's directory as attribution needs it.
struct Loaded {
    model: model::Model,
    tokenizer: model::Tokenizer,
}

fn load(path: &std::path::Path) -> Result<Loaded, CommandError> {
    let failed = |reason: String| CommandError::Model { path: path.into(), reason };
    Ok(Loaded {
        model: model::Model::load(path).map_err(|e| failed(e.to_string()))?,
        tokenizer: model::Tokenizer::load(path).map_err(|e| failed(e.to_string()))?,
    })
}

impl Loaded {
    fn encode(&self, text: &str) -> Result<Vec<u32>, CommandError> {
        let failed = |e: model::tokenizer::TokenizerError| CommandError::Model {
            path: "tokenizer.json".into(),
            reason: e.to_string(),
        };
        self.tokenizer.encode(text, false).map_err(failed)
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, false).unwrap_or_default()
    }
}
