//! `import` and `export`: from and to directories that `transformers` reads.

use super::CommandError;
use crate::chat::ChatTemplate;
use crate::commitment::{CheckpointTree, NamedTensor};
use crate::directory::SaveOptions;
use crate::safetensors::Dtype;
use crate::tokenizer::{TOKENIZER_FILE, Tokenizer};
use crate::weights::Model;
use primitives::B256;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a model is taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// Whether the tokenizer must be there.
    pub tokenizer_required: bool,
}

/// How a model is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportOptions {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Largest file, in bytes.
    pub shard_bytes_max: u64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        let SaveOptions { dtype, shard_bytes_max } = SaveOptions::default();
        ExportOptions { dtype, shard_bytes_max }
    }
}

/// What was converted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Converted {
    /// Family.
    pub family: &'static str,
    /// Parameters.
    pub parameters: u64,
    /// Commitment to the weights in f32, before any rounding of an export.
    pub weights_root: B256,
    /// Whether a tokenizer came along.
    pub tokenizer: bool,
    /// Whether a chat template came along.
    pub chat_template: bool,
}

/// Reads and checks a `transformers` directory and writes it as f32.
///
/// # Errors
/// When a file is missing, hostile or of an unsupported architecture.
pub fn import(from: &Path, to: &Path, options: &ImportOptions) -> Result<Converted, CommandError> {
    if options.tokenizer_required {
        Tokenizer::load(from)?;
    }
    convert(from, to, SaveOptions::default())
}

/// Writes a directory that `transformers` loads.
///
/// # Errors
/// When the model cannot be read or the directory not be written.
pub fn export(from: &Path, to: &Path, options: &ExportOptions) -> Result<Converted, CommandError> {
    convert(from, to, SaveOptions { dtype: options.dtype, shard_bytes_max: options.shard_bytes_max })
}

fn convert(from: &Path, to: &Path, options: SaveOptions) -> Result<Converted, CommandError> {
    let model = Model::load(from)?;
    model.save(to, options)?;
    let tokenizer = from.join(TOKENIZER_FILE).exists();
    if tokenizer {
        Tokenizer::load(from)?.save(to)?;
    }
    let template = ChatTemplate::load(from)?;
    if let Some(template) = &template {
        template.save(to)?;
    }
    Ok(Converted {
        family: model.config.family.name(),
        parameters: model.config.parameters(),
        weights_root: weights_root(&model),
        tokenizer,
        chat_template: template.is_some(),
    })
}

/// Commitment to a model's weights: the root of a checkpoint of step 0 that holds them alone.
pub(super) fn weights_root(model: &Model) -> B256 {
    let named = model.layout.tensors.iter().zip(model.weights.tensors());
    let named = named.map(|(t, data)| NamedTensor { name: t.name.clone(), shape: t.shape.clone(), data });
    CheckpointTree::new(0, named).root()
}
