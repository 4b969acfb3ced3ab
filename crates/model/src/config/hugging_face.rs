//! `config.json` of the `transformers` library, read and written.
//!
//! What would change results and is not supported is refused by name; everything else in the file is ignored.

use super::{Config, ConfigError, Family, Rope, RopeScaling, default_initialiser};
use serde_json::{Map, Value, json};

/// Largest `config.json`, in bytes.
pub const CONFIG_FILE_BYTES_MAX: usize = 1 << 20;

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// Not JSON, or not an object.
    #[error("config.json is not a JSON object: {0}")]
    Json(String),
    /// A family that this crate does not run.
    #[error("architecture `{0}` is not supported: use gpt2, llama, mistral, qwen2 or qwen3")]
    Architecture(String),
    /// A field that is missing or has the wrong type.
    #[error("config.json: `{0}` is missing or not of the expected type")]
    Field(&'static str),
    /// A feature that would change results.
    #[error("config.json: {0} is not supported")]
    Unsupported(String),
    /// Sizes that cannot be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    fn size(&self, name: &'static str) -> Result<usize, ConfigFileError> {
        self.size_or(name, None)?.ok_or(ConfigFileError::Field(name))
    }

    fn size_or(&self, name: &'static str, default: Option<usize>) -> Result<Option<usize>, ConfigFileError> {
        match self.get(name) {
            None => Ok(default),
            Some(v) => match v.as_u64().map(usize::try_from) {
                Some(Ok(n)) => Ok(Some(n)),
                _ => Err(ConfigFileError::Field(name)),
            },
        }
    }

    fn number(&self, name: &'static str, default: f64) -> Result<f64, ConfigFileError> {
        self.get(name).map_or(Ok(default), |v| v.as_f64().ok_or(ConfigFileError::Field(name)))
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, ConfigFileError> {
        self.get(name).map_or(Ok(default), |v| v.as_bool().ok_or(ConfigFileError::Field(name)))
    }

    fn text<'a>(&'a self, name: &'static str, default: &'a str) -> Result<&'a str, ConfigFileError> {
        self.get(name).map_or(Ok(default), |v| v.as_str().ok_or(ConfigFileError::Field(name)))
    }

    /// A token id or a list of them.
    fn tokens(&self, name: &'static str) -> Result<Vec<u32>, ConfigFileError> {
        let one =
            |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(ConfigFileError::Field(name));
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(one).collect(),
            Some(v) => Ok(vec![one(v)?]),
        }
    }

    fn rope(&self) -> Result<Rope, ConfigFileError> {
        // transformers 5 writes `rope_parameters`, earlier versions `rope_theta` and `rope_scaling`.
        let newer = self.get("rope_parameters").and_then(Value::as_object);
        let scaling = newer.or_else(|| self.get("rope_scaling").and_then(Value::as_object));
        let mut theta = self.number("rope_theta", 10_000.0)?;
        let Some(scaling) = scaling.map(Fields) else {
            return Ok(Rope { theta, scaling: RopeScaling::None });
        };
        theta = scaling.number("rope_theta", theta)?;
        let kind = scaling.text("rope_type", scaling.text("type", "default")?)?;
        let factor =
            || scaling.get("factor").and_then(Value::as_f64).ok_or(ConfigFileError::Field("rope factor"));
        let scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: factor()? },
            "llama3" => RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: scaling.number("low_freq_factor", 1.0)?,
                high_freq_factor: scaling.number("high_freq_factor", 4.0)?,
                original_max_position_embeddings: scaling.size("original_max_position_embeddings")?,
            },
            other => return Err(ConfigFileError::Unsupported(format!("rope scaling `{other}`"))),
        };
        Ok(Rope { theta, scaling })
    }
}

impl Config {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`ConfigFileError`] names the field, family or feature.
    pub fn from_json(text: &str) -> Result<Config, ConfigFileError> {
        if text.len() > CONFIG_FILE_BYTES_MAX {
            return Err(ConfigFileError::Json(format!("more than {CONFIG_FILE_BYTES_MAX} bytes")));
        }
        let value: Value = serde_json::from_str(text).map_err(|e| ConfigFileError::Json(e.to_string()))?;
        let fields = Fields(value.as_object().ok_or_else(|| ConfigFileError::Json("another type".into()))?);
        let name = fields.text("model_type", "")?;
        let family = Family::ALL.into_iter().find(|f| f.name() == name);
        let family = family.ok_or_else(|| {
            ConfigFileError::Architecture(if name.is_empty() { "(none given)".into() } else { name.into() })
        })?;
        if fields.get("quantization_config").is_some() {
            return Err(ConfigFileError::Unsupported("a quantised checkpoint (quantization_config)".into()));
        }
        let config = match family {
            Family::Gpt2 => gpt2(&fields)?,
            _ => llama_like(&fields, family)?,
        };
        config.check()?;
        Ok(config)
    }

    /// The `config.json` that `transformers` loads.
    pub fn to_json(&self) -> Value {
        let eos = match self.end_tokens.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let mut out = json!({
            "model_type": self.family.name(),
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
            "initializer_range": self.initialiser_std,
            "bos_token_id": self.begin_token,
            "eos_token_id": eos,
            "torch_dtype": "float32",
        });
        let more = match self.family {
            Family::Gpt2 => json!({
                "architectures": ["GPT2LMHeadModel"],
                "n_embd": self.hidden, "n_layer": self.layers, "n_head": self.heads, "n_inner": self.intermediate,
                "n_positions": self.context, "n_ctx": self.context, "layer_norm_epsilon": self.norm_eps,
                "activation_function": "gelu_new", "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
                "scale_attn_weights": true, "openledger_bias": self.bias,
            }),
            family => {
                let mut more = json!({
                    "architectures": [match family {
                        Family::Mistral => "MistralForCausalLM",
                        Family::Qwen2 => "Qwen2ForCausalLM",
                        Family::Qwen3 => "Qwen3ForCausalLM",
                        Family::Llama | Family::Gpt2 => "LlamaForCausalLM",
                    }],
                    "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
                    "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "intermediate_size": self.intermediate,
                    "max_position_embeddings": self.context, "rms_norm_eps": self.norm_eps, "hidden_act": "silu",
                    "attention_bias": self.bias, "attention_dropout": 0.0, "mlp_bias": false,
                    "sliding_window": null, "use_sliding_window": false,
                });
                if let (Some(rope), Some(map)) = (&self.rope, more.as_object_mut()) {
                    map.insert("rope_theta".into(), json!(rope.theta));
                    if rope.scaling != RopeScaling::None {
                        map.insert("rope_scaling".into(), json!(rope.scaling));
                    }
                }
                more
            }
        };
        if let (Some(map), Value::Object(more)) = (out.as_object_mut(), more) {
            map.extend(more);
        }
        out
    }
}

fn gpt2(f: &Fields<'_>) -> Result<Config, ConfigFileError> {
    let activation = f.text("activation_function", "gelu_new")?;
    if !matches!(activation, "gelu_new" | "gelu_pytorch_tanh") {
        return Err(ConfigFileError::Unsupported(format!("activation `{activation}`")));
    }
    if !f.flag("scale_attn_weights", true)? || f.flag("scale_attn_by_inverse_layer_idx", false)? {
        return Err(ConfigFileError::Unsupported(
            "attention scaled otherwise than by 1/sqrt(head width)".into(),
        ));
    }
    let (hidden, heads) = (f.size("n_embd")?, f.size("n_head")?);
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(ConfigError::Shape(format!("n_embd {hidden} is not a multiple of n_head {heads}")).into());
    }
    Ok(Config {
        family: Family::Gpt2,
        vocabulary: f.size("vocab_size")?,
        hidden,
        layers: f.size("n_layer")?,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        intermediate: f.size_or("n_inner", None)?.unwrap_or(hidden.saturating_mul(4)),
        context: f.size("n_positions")?,
        norm_eps: f.number("layer_norm_epsilon", 1e-5)? as f32,
        tied: f.flag("tie_word_embeddings", true)?,
        bias: f.flag("openledger_bias", true)?,
        rope: None,
        end_tokens: f.tokens("eos_token_id")?,
        begin_token: f.tokens("bos_token_id")?.first().copied(),
        initialiser_std: f.number("initializer_range", f64::from(default_initialiser()))? as f32,
    })
}

fn llama_like(f: &Fields<'_>, family: Family) -> Result<Config, ConfigFileError> {
    let activation = f.text("hidden_act", "silu")?;
    if activation != "silu" {
        return Err(ConfigFileError::Unsupported(format!("activation `{activation}`")));
    }
    if f.flag("mlp_bias", false)? {
        return Err(ConfigFileError::Unsupported("mlp_bias".into()));
    }
    let bias = match family {
        Family::Qwen2 => true,
        _ => f.flag("attention_bias", false)?,
    };
    if bias && family != Family::Qwen2 {
        return Err(ConfigFileError::Unsupported(
            "attention_bias (biases on the attention's output too)".into(),
        ));
    }
    let (hidden, heads) = (f.size("hidden_size")?, f.size("num_attention_heads")?);
    let default_head = hidden.checked_div(heads);
    let mut context = f.size("max_position_embeddings")?;
    // Inside the window a sliding window changes nothing, so the context ends where it would begin to matter.
    let sliding = family == Family::Mistral || f.flag("use_sliding_window", false)?;
    if let (true, Some(window)) = (sliding, f.size_or("sliding_window", None)?) {
        context = context.min(window);
    }
    Ok(Config {
        family,
        vocabulary: f.size("vocab_size")?,
        hidden,
        layers: f.size("num_hidden_layers")?,
        heads,
        kv_heads: f.size_or("num_key_value_heads", Some(heads))?.unwrap_or(heads),
        head_dim: f.size_or("head_dim", default_head)?.ok_or(ConfigFileError::Field("head_dim"))?,
        intermediate: f.size("intermediate_size")?,
        context,
        norm_eps: f.number("rms_norm_eps", 1e-6)? as f32,
        tied: f.flag("tie_word_embeddings", false)?,
        bias,
        rope: Some(f.rope()?),
        end_tokens: f.tokens("eos_token_id")?,
        begin_token: f.tokens("bos_token_id")?.first().copied(),
        initialiser_std: f.number("initializer_range", f64::from(default_initialiser()))? as f32,
    })
}
