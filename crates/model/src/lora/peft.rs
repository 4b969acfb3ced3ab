//! PEFT's files: `adapter_config.json` and `adapter_model.safetensors`, read and written.

use super::{Adapter, AdapterOptions, RANK_MAX};
use crate::config::Family;
use crate::safetensors::{Dtype, FileError, Reader, TensorData, write};
use crate::weights::Model;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the options' file.
pub const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";
/// Name of the factors' file.
pub const ADAPTER_WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// PEFT's prefix of every module.
const PREFIX: &str = "base_model.model.";
/// Largest options' file, in bytes.
const OPTIONS_BYTES_MAX: u64 = 1 << 20;

/// Why an adapter cannot be used with a model.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Rank zero or too high.
    #[error("adapter rank is {0}, allowed is 1 to {RANK_MAX}")]
    Rank(usize),
    /// Alpha is not a number.
    #[error("adapter alpha is {0}, it must be finite")]
    Alpha(f32),
    /// A target that is no linear layer of the model's blocks.
    #[error("adapter target `{0}` names no linear layer of this model's blocks")]
    Target(String),
    /// A kind of adapter that is not LoRA as this crate computes it.
    #[error("adapter: {0} is not supported")]
    Unsupported(String),
    /// A file that does not fit the model.
    #[error("adapter: tensor `{0}` is missing, or its shape does not fit the model")]
    Tensor(String),
    /// Options that are not JSON of the expected form.
    #[error("{ADAPTER_CONFIG_FILE}: {0}")]
    Options(String),
    /// Factors' file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Reading or writing.
    #[error("adapter: {0}")]
    Io(#[from] std::io::Error),
}

impl Adapter {
    /// Reads a PEFT adapter directory for a model.
    ///
    /// # Errors
    /// [`AdapterError`] names what does not fit.
    pub fn load(dir: &Path, model: &Model) -> Result<Adapter, AdapterError> {
        let path = dir.join(ADAPTER_CONFIG_FILE);
        if std::fs::metadata(&path)?.len() > OPTIONS_BYTES_MAX {
            return Err(AdapterError::Options(format!("more than {OPTIONS_BYTES_MAX} bytes")));
        }
        let options = read_options(&std::fs::read_to_string(path)?)?;
        let mut adapter = Adapter::zeros(&model.layout, options)?;
        let mut file = Reader::open(&dir.join(ADAPTER_WEIGHTS_FILE))?;
        let specs = adapter.tensor_specs(&model.layout);
        let known = |name: &str| {
            name.strip_prefix(PREFIX).is_some_and(|name| specs.iter().any(|(spec, _)| spec == name))
        };
        let unknown = file.names().find(|name| !known(name));
        if let Some(name) = unknown {
            return Err(AdapterError::Tensor(name.to_string()));
        }
        for ((name, shape), tensor) in specs.iter().zip(adapter.tensors_mut()) {
            let full = format!("{PREFIX}{name}");
            let found = file.shape(&full).is_some_and(|s| s == shape);
            if !found {
                return Err(AdapterError::Tensor(full));
            }
            file.read_f32(&full, tensor)?;
        }
        adapter.prepare();
        Ok(adapter)
    }

    /// Writes a directory that PEFT loads.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path, model: &Model) -> Result<(), AdapterError> {
        std::fs::create_dir_all(dir)?;
        let layout = &model.layout;
        let mut targets: Vec<String> = Vec::new();
        for (l, pair) in layout.linears().iter().zip(&self.pairs) {
            let last = l.name.rsplit('.').next().unwrap_or(&l.name).to_string();
            if pair.is_some() && !targets.contains(&last) {
                targets.push(last);
            }
        }
        let targets = if self.options.targets.is_empty() { targets } else { self.options.targets.clone() };
        let options = json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": self.rank(), "lora_alpha": self.options.alpha,
            "lora_dropout": 0.0, "bias": "none", "target_modules": targets, "inference_mode": true,
            "fan_in_fan_out": model.config.family == Family::Gpt2, "use_rslora": false, "use_dora": false,
            "base_model_name_or_path": null, "modules_to_save": null,
        });
        let specs = self.tensor_specs(layout);
        let tensors: Vec<TensorData<'_>> = specs
            .iter()
            .zip(self.tensors())
            .map(|((name, shape), data)| TensorData {
                name: format!("{PREFIX}{name}"),
                shape: shape.to_vec(),
                data,
            })
            .collect();
        write(&dir.join(ADAPTER_WEIGHTS_FILE), Dtype::F32, &tensors, &BTreeMap::new())?;
        let text =
            serde_json::to_string_pretty(&options).map_err(|e| AdapterError::Options(e.to_string()))?;
        std::fs::write(dir.join(ADAPTER_CONFIG_FILE), text)?;
        Ok(())
    }
}

fn read_options(text: &str) -> Result<AdapterOptions, AdapterError> {
    let value: Value = serde_json::from_str(text).map_err(|e| AdapterError::Options(e.to_string()))?;
    if value["peft_type"].as_str() != Some("LORA") {
        return Err(AdapterError::Unsupported(format!("peft_type {}", value["peft_type"])));
    }
    for flag in ["use_rslora", "use_dora", "use_qalora"] {
        if value[flag].as_bool() == Some(true) {
            return Err(AdapterError::Unsupported(flag.into()));
        }
    }
    for (field, neutral) in
        [("bias", json!("none")), ("rank_pattern", json!({})), ("alpha_pattern", json!({}))]
    {
        if !value[field].is_null() && value[field] != neutral {
            return Err(AdapterError::Unsupported(format!("{field} {}", value[field])));
        }
    }
    for field in ["modules_to_save", "layers_to_transform", "target_parameters"] {
        if !value[field].is_null() {
            return Err(AdapterError::Unsupported(field.into()));
        }
    }
    let rank = value["r"].as_u64().and_then(|r| usize::try_from(r).ok());
    let alpha = value["lora_alpha"].as_f64();
    let (Some(rank), Some(alpha)) = (rank, alpha) else {
        return Err(AdapterError::Options("`r` and `lora_alpha` must be numbers".into()));
    };
    let targets = match &value["target_modules"] {
        Value::Array(list) => list.iter().map(|t| t.as_str().map(str::to_string)).collect::<Option<Vec<_>>>(),
        // PEFT resolves this word itself before it saves; a file that still has it means every linear layer.
        Value::String(all) if all == "all-linear" => Some(Vec::new()),
        _ => None,
    };
    let mut targets = targets
        .ok_or_else(|| AdapterError::Unsupported("target_modules that is not a list of names".into()))?;
    targets.sort();
    Ok(AdapterOptions { rank, alpha: alpha as f32, targets })
}
