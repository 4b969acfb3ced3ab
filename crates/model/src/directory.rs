//! A model's directory, as `transformers` reads and writes it: `config.json`, `model.safetensors` (or shards with an index).

use crate::config::{CONFIG_FILE_BYTES_MAX, Config, ConfigFileError, PARAMETERS_MAX};
use crate::layout::{Layout, TensorSpec};
use crate::safetensors::{Dtype, FileError, Reader, TensorData, write, write_atomically};
use crate::weights::{Model, NonFiniteTensor, Weights};
use ops::{Ctx, transpose};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Name of the configuration's file.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights' file.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Name of the shards' index.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// Name of the file with defaults of generation.
pub const GENERATION_FILE: &str = "generation_config.json";
/// Largest shards' index, in bytes.
pub const INDEX_BYTES_MAX: u64 = 64 << 20;
/// Most shards.
pub const SHARDS_MAX: usize = 4096;

/// Why a model's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    /// Weights' file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The shards' index.
    #[error("{INDEX_FILE}: {0}")]
    Index(String),
    /// A tensor that the configuration asks for and no file has.
    #[error("the model has no tensor `{0}`: the files are incomplete or of another model")]
    Missing(String),
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, the configuration asks for {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the configuration.
        expected: Vec<usize>,
    },
    /// NaN or infinity.
    #[error(transparent)]
    NonFinite(#[from] NonFiniteTensor),
    /// Reading or writing.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How a model is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    /// Type of the elements; only f32 keeps every bit.
    pub dtype: Dtype,
    /// Largest file, in bytes of tensors; more are cut into shards.
    pub shard_bytes_max: u64,
}

impl Default for SaveOptions {
    fn default() -> Self {
        SaveOptions { dtype: Dtype::F32, shard_bytes_max: 5_000_000_000 }
    }
}

impl Model {
    /// Reads a model's directory.
    ///
    /// # Errors
    /// [`DirectoryError`] names the file, tensor or field.
    pub fn load(dir: &Path) -> Result<Model, DirectoryError> {
        let config = Config::from_json(&read_text(&dir.join(CONFIG_FILE), CONFIG_FILE_BYTES_MAX as u64)?)?;
        debug_assert!(config.parameters() <= PARAMETERS_MAX, "checked by from_json");
        let config = with_generation_config(dir, config)?;
        let layout = Layout::new(&config);
        let mut files = open_files(dir)?;
        let mut data = Vec::with_capacity(layout.tensors.len());
        for spec in &layout.tensors {
            data.push(read_tensor(&mut files, spec)?);
        }
        let weights = Weights::from_tensors(&layout, data);
        weights.check_finite(&Ctx::detect(), &layout)?;
        Ok(Model { config, layout, weights })
    }

    /// Writes configuration and weights. Each file replaces its predecessor whole or not at all.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path, options: SaveOptions) -> Result<(), DirectoryError> {
        std::fs::create_dir_all(dir).map_err(|source| DirectoryError::Io { path: dir.into(), source })?;
        let flipped: Vec<Option<Vec<f32>>> = self
            .layout
            .tensors
            .iter()
            .zip(self.weights.tensors())
            .map(|(spec, data)| {
                spec.transposed_in_files.then(|| {
                    let mut out = vec![0f32; data.len()];
                    transpose(spec.shape[0], spec.shape[1], data, &mut out);
                    out
                })
            })
            .collect();
        let tensors: Vec<TensorData<'_>> =
            (self.layout.tensors.iter().zip(self.weights.tensors()).zip(&flipped))
                .map(|((spec, data), flipped)| match flipped {
                    Some(flipped) => TensorData {
                        name: spec.name.clone(),
                        shape: spec.shape.iter().rev().copied().collect(),
                        data: flipped,
                    },
                    None => TensorData { name: spec.name.clone(), shape: spec.shape.clone(), data },
                })
                .collect();
        write_shards(dir, &tensors, options)?;
        let path = dir.join(CONFIG_FILE);
        write_json(&path, &self.config.to_json()).map_err(|source| DirectoryError::Io { path, source })
    }
}

/// Adds the end tokens of `generation_config.json`, where chat models name more than `config.json` does.
fn with_generation_config(dir: &Path, mut config: Config) -> Result<Config, DirectoryError> {
    let path = dir.join(GENERATION_FILE);
    if !path.exists() {
        return Ok(config);
    }
    let text = read_text(&path, CONFIG_FILE_BYTES_MAX as u64)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|e| ConfigFileError::Json(format!("{GENERATION_FILE}: {e}")))?;
    let named = match &value["eos_token_id"] {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    for token in named.iter().filter_map(Value::as_u64) {
        let token = u32::try_from(token).map_err(|_| ConfigFileError::Field("eos_token_id"))?;
        if !config.end_tokens.contains(&token) {
            config.end_tokens.push(token);
        }
    }
    Ok(config)
}

/// Writes readable JSON atomically.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(std::io::Error::other)?;
    text.push(b'\n');
    write_atomically(path, |out| out.write_all(&text))
}

/// Reads a text file of bounded size.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, DirectoryError> {
    let io = |source| DirectoryError::Io { path: path.into(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > bytes_max {
        return Err(io(std::io::Error::other(format!("{length} bytes, allowed are {bytes_max}"))));
    }
    std::fs::read_to_string(path).map_err(io)
}

fn write_shards(dir: &Path, tensors: &[TensorData<'_>], options: SaveOptions) -> Result<(), DirectoryError> {
    let size = |t: &TensorData<'_>| (t.data.len() * options.dtype.size()) as u64;
    let mut shards: Vec<Vec<TensorData<'_>>> = vec![Vec::new()];
    let mut bytes = 0;
    for tensor in tensors {
        if bytes > 0 && bytes + size(tensor) > options.shard_bytes_max {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += size(tensor);
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor.clone());
        }
    }
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    if let [only] = shards.as_slice() {
        return Ok(write(&dir.join(WEIGHTS_FILE), options.dtype, only, &metadata)?);
    }
    let mut map = serde_json::Map::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        write(&dir.join(&name), options.dtype, shard, &metadata)?;
        map.extend(shard.iter().map(|t| (t.name.clone(), json!(name))));
    }
    let total: u64 = tensors.iter().map(size).sum();
    let path = dir.join(INDEX_FILE);
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    write_json(&path, &index).map_err(|source| DirectoryError::Io { path, source })
}

/// All weights' files of a directory; where each tensor lies is asked of the files themselves.
fn open_files(dir: &Path) -> Result<Vec<Reader>, DirectoryError> {
    let single = dir.join(WEIGHTS_FILE);
    if single.exists() {
        return Ok(vec![Reader::open(&single)?]);
    }
    let text = read_text(&dir.join(INDEX_FILE), INDEX_BYTES_MAX)?;
    let index: Value = serde_json::from_str(&text).map_err(|e| DirectoryError::Index(e.to_string()))?;
    let map = index["weight_map"]
        .as_object()
        .ok_or_else(|| DirectoryError::Index("`weight_map` is missing".into()))?;
    let mut names: Vec<&str> = Vec::new();
    for file in map.values() {
        let name =
            file.as_str().ok_or_else(|| DirectoryError::Index("a file name is not a string".into()))?;
        // A name that leaves the directory could make us read any file.
        if name.contains(['/', '\\']) || !name.ends_with(".safetensors") {
            return Err(DirectoryError::Index(format!(
                "`{name}` is not the name of a file in this directory"
            )));
        }
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() > SHARDS_MAX {
            return Err(DirectoryError::Index(format!("more than {SHARDS_MAX} shards")));
        }
    }
    names.into_iter().map(|n| Ok(Reader::open(&dir.join(n))?)).collect()
}

fn read_tensor(files: &mut [Reader], spec: &TensorSpec) -> Result<Vec<f32>, DirectoryError> {
    // Base models are also stored without the causal head's prefix.
    let bare = spec.name.strip_prefix("transformer.").or_else(|| spec.name.strip_prefix("model."));
    let names = [Some(spec.name.as_str()), bare];
    let found = names
        .into_iter()
        .flatten()
        .find_map(|n| files.iter().position(|f| f.shape(n).is_some()).map(|i| (i, n)));
    let (file, name) = found.ok_or_else(|| DirectoryError::Missing(spec.name.clone()))?;
    let file = &mut files[file];
    let expected: Vec<usize> = if spec.transposed_in_files {
        spec.shape.iter().rev().copied().collect()
    } else {
        spec.shape.clone()
    };
    let shape = file.shape(name).unwrap_or_default();
    if shape != expected {
        return Err(DirectoryError::Shape { name: name.into(), found: shape.to_vec(), expected });
    }
    let mut out = vec![0f32; spec.len()];
    file.read_f32(name, &mut out)?;
    if spec.transposed_in_files {
        let mut flipped = vec![0f32; out.len()];
        transpose(spec.shape[1], spec.shape[0], &out, &mut flipped);
        return Ok(flipped);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
