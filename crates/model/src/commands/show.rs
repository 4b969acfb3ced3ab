//! `show`: what a directory holds.

use super::CommandError;
use super::files::weights_root;
use crate::config::Config;
use crate::directory::CONFIG_FILE;
use crate::lora::{ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE};
use crate::safetensors::Reader;
use crate::tokenizer::{TOKENIZER_FILE, Tokenizer};
use crate::train::{Checkpoints, MANIFEST_FILE, Manifest, StepRecord, read_log, read_manifest};
use crate::weights::Model;
use primitives::B256;
use serde::Serialize;
use std::path::Path;

/// A tensor's name and shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorSummary {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Its identity.
    pub run: B256,
    /// Its header.
    pub manifest: Manifest,
    /// Steps done.
    pub steps: u64,
    /// Last record.
    pub last: Option<StepRecord>,
    /// Steps that have a checkpoint.
    pub checkpoints: Vec<u64>,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Shown {
    /// A model.
    Model {
        /// Configuration.
        config: Box<Config>,
        /// Parameters.
        parameters: u64,
        /// Commitment to the weights.
        weights_root: B256,
        /// Hash of the tokenizer's file, if there is one.
        tokenizer: Option<B256>,
        /// Its tensors.
        tensors: Vec<TensorSummary>,
    },
    /// An adapter.
    Adapter {
        /// Its factors.
        tensors: Vec<TensorSummary>,
    },
    /// A run.
    Run(Box<RunSummary>),
}

/// Says what a directory holds.
///
/// # Errors
/// When it is none of model, adapter and run, or a file of it is not valid.
pub fn show(dir: &Path) -> Result<Shown, CommandError> {
    if dir.join(MANIFEST_FILE).exists() {
        let (manifest, log) = (read_manifest(dir)?, read_log(dir)?);
        return Ok(Shown::Run(Box::new(RunSummary {
            run: manifest.hash(),
            steps: log.len() as u64,
            last: log.last().cloned(),
            checkpoints: Checkpoints::of(dir).steps(),
            manifest,
        })));
    }
    if dir.join(ADAPTER_CONFIG_FILE).exists() {
        let file = Reader::open(&dir.join(ADAPTER_WEIGHTS_FILE)).map_err(crate::lora::AdapterError::from)?;
        let summary =
            |n: &str| TensorSummary { name: n.into(), shape: file.shape(n).unwrap_or_default().to_vec() };
        return Ok(Shown::Adapter { tensors: file.names().map(summary).collect() });
    }
    if !dir.join(CONFIG_FILE).exists() {
        return Err(CommandError::Unknown(dir.into()));
    }
    let model = Model::load(dir)?;
    let tokenizer = dir.join(TOKENIZER_FILE).exists().then(|| Tokenizer::load(dir)).transpose()?;
    let tensors = model.layout.tensors.iter();
    Ok(Shown::Model {
        parameters: model.config.parameters(),
        weights_root: weights_root(&model),
        tokenizer: tokenizer.map(|t| t.hash()),
        tensors: tensors.map(|t| TensorSummary { name: t.name.clone(), shape: t.shape.clone() }).collect(),
        config: Box::new(model.config),
    })
}
