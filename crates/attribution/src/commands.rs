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
    Agreement, DampingReport, LdsOfMethod, MAX_SEEDS, MAX_SUBSETS, MIN_SUBSETS, RetrainReport,
    RetrainRequest, retrain,
};
pub use spans::{SpansReport, SpansRequest, spans};
pub use value::{RowValue, ValueReport, ValueRequest, value};

use crate::{
    influence::{cache::CacheError, language::Language, projection::FeatureError},
    metrics::LdsError,
    spans::SpansError,
    valuation::knn::KnnError,
};
use model::{
    chat::ChatTemplate,
    exchange::{Exchange, question},
    lora::ADAPTER_CONFIG_FILE,
    train::ADAPTER_DIR,
};
use std::path::{Path, PathBuf};

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
    /// The adapter's directory.
    #[error(
        "the adapter in {path}: {reason}; give the folder that `openledger model finetune` writes, or PEFT's, with the model it was trained on"
    )]
    Adapter {
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
    /// No seed, or too many.
    #[error("{0} models of each half: choose 1 to {MAX_SEEDS}")]
    Seeds(u64),
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

/// A model's directory as attribution needs it, and what else is attributed than its weights, if anything.
struct Loaded {
    model: model::Model,
    tokenizer: model::Tokenizer,
    template: ChatTemplate,
    /// An adapter that was trained over it.
    adapter: Option<model::Adapter>,
    /// Weights of earlier checkpoints of its training, their mean.
    attributed: Option<model::Model>,
}

fn load(path: &Path, adapter: Option<&Path>, attributed: &[PathBuf]) -> Result<Loaded, CommandError> {
    let failed = |reason: String| CommandError::Model { path: path.into(), reason };
    let model = model::Model::load(path).map_err(|e| failed(e.to_string()))?;
    let tokenizer = model::Tokenizer::load(path).map_err(|e| failed(e.to_string()))?;
    let template = ChatTemplate::load(path).map_err(|e| failed(e.to_string()))?;
    let adapter = adapter.map(|path| load_adapter(path, &model)).transpose()?;
    let attributed: Vec<model::Model> =
        attributed.iter().map(|path| load_checkpoint(path, &model)).collect::<Result<_, _>>()?;
    let attributed = model::Model::mean(&ops::Ctx::detect(), &attributed);
    let template = template.unwrap_or_else(ChatTemplate::simple);
    Ok(Loaded { model, tokenizer, template, adapter, attributed })
}

fn load_checkpoint(path: &Path, model: &model::Model) -> Result<model::Model, CommandError> {
    let failed = |reason: String| CommandError::Model { path: path.into(), reason };
    let checkpoint = model::Model::load(path).map_err(|e| failed(e.to_string()))?;
    match checkpoint.config == model.config {
        true => Ok(checkpoint),
        false => Err(failed("not a checkpoint of this model's training: its architecture differs".into())),
    }
}

/// From the adapter's own folder, or the folder of the run that made it.
fn load_adapter(path: &Path, model: &model::Model) -> Result<model::Adapter, CommandError> {
    let of_run = path.join(ADAPTER_DIR);
    let is_run = !path.join(ADAPTER_CONFIG_FILE).exists() && of_run.join(ADAPTER_CONFIG_FILE).exists();
    let folder = if is_run { &of_run } else { path };
    model::Adapter::load(folder, model)
        .map_err(|e| CommandError::Adapter { path: folder.into(), reason: e.to_string() })
}

impl Loaded {
    /// The model as it is attributed.
    fn language(&self) -> Language<'_> {
        Language::of(&self.model, self.adapter.as_ref(), self.attributed.as_ref())
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, CommandError> {
        let failed = |e: model::tokenizer::TokenizerError| CommandError::Model {
            path: "tokenizer.json".into(),
            reason: e.to_string(),
        };
        self.tokenizer.encode(text, false).map_err(failed)
    }

    /// A prompt and its answer as fine-tuning cuts them.
    fn exchange(&self, prompt: &str, answer: &str) -> Result<Option<Exchange>, CommandError> {
        let failed = |reason: String| CommandError::Model { path: "exchange".into(), reason };
        let rendered = question(&self.template, prompt).map_err(|e| failed(e.to_string()))?;
        let config = &self.model.config;
        let end = config.end_tokens.first().copied();
        Exchange::new(&self.tokenizer, &rendered, answer, config.context, end)
            .map_err(|e| failed(e.to_string()))
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, false).unwrap_or_default()
    }
}
