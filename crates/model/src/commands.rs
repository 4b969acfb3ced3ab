//! What `openledger model` does, as functions: files in, files out, no ledger. Each takes its options as one structure, reports
//! progress through a callback and returns a result that can be written as JSON.

mod answer;
mod corpus;
mod files;
mod fit;
mod show;

pub use answer::{AnswerText, GenerateOptions, Prompt, generate};
pub use corpus::{Corpus, CorpusError, TEXT_FILES_MAX};
pub use files::{Converted, ExportOptions, ImportOptions, export, import};
pub use fit::{
    Architecture, FineTuneOptions, FitResult, ReplayRun, TokenizerChoice, TrainTextOptions, finetune, replay,
    train,
};
pub use show::{RunSummary, Shown, TensorSummary, show};

use crate::chat::ChatError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::directory::DirectoryError;
use crate::generate::GenerateError;
use crate::lora::AdapterError;
use crate::tokenizer::TokenizerError;
use crate::train::{ReplayError, RunError};
use ops::Ctx;
use std::path::PathBuf;

/// Why a command failed. The message of every variant says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A model's directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Texts to learn from.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// Data of the wrong form.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Sizes of a model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An adapter.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A request.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A chat template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory that is none of model, adapter and run.
    #[error("{0} is no model (config.json), adapter (adapter_config.json) or run (manifest.json)")]
    Unknown(PathBuf),
}

/// The fastest path on so many threads; 0 means all.
fn context(threads: usize) -> Ctx {
    if threads == 0 { Ctx::detect() } else { Ctx::detect().with_threads(threads) }
}

#[cfg(test)]
mod tests;
