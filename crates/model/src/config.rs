//! What a model is: family, sizes and the choices that differ between decoder families.
//!
//! One structure covers every family that this crate runs; [`hugging_face`] reads and writes it as the `config.json` of the
//! `transformers` library. A configuration is checked once, by [`Config::check`], before anything is allocated by it.

mod hugging_face;
mod rope;

pub use hugging_face::{CONFIG_FILE_BYTES_MAX, ConfigFileError};
pub use rope::{Rope, RopeScaling};

use serde::{Deserialize, Serialize};

/// Largest vocabulary.
pub const VOCABULARY_MAX: usize = 1 << 20;
/// Most layers.
pub const LAYERS_MAX: usize = 1024;
/// Largest width of any matrix.
pub const WIDTH_MAX: usize = 1 << 17;
/// Longest context, in tokens.
pub const CONTEXT_MAX: usize = 1 << 20;
/// Most parameters of a model that is loaded or initialised.
pub const PARAMETERS_MAX: u64 = 1 << 36;

/// Decoder families, named as `model_type` of a `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// GPT-2: layer norm, learned positions, GELU, fused query/key/value, tied head.
    Gpt2,
    /// Llama, SmolLM2, TinyLlama: RMS norm, RoPE, SwiGLU.
    Llama,
    /// Mistral: Llama with an optional sliding window, which bounds the context here.
    Mistral,
    /// Qwen2: Llama with biases on query, key and value.
    Qwen2,
    /// Qwen3: Llama with RMS norm on each head's query and key.
    Qwen3,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 5] = [Family::Gpt2, Family::Llama, Family::Mistral, Family::Qwen2, Family::Qwen3];

    /// `model_type` of the family.
    pub fn name(self) -> &'static str {
        match self {
            Family::Gpt2 => "gpt2",
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
        }
    }
}

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Which names, norms and projections.
    pub family: Family,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Added under the root of every norm.
    pub norm_eps: f32,
    /// Whether the head is the embedding matrix.
    pub tied: bool,
    /// Biases: of every linear layer and norm for GPT-2, of query, key and value for Llama-like families.
    pub bias: bool,
    /// Rotary positions; none means learned positions (GPT-2).
    pub rope: Option<Rope>,
    /// Tokens that end a generation.
    #[serde(default)]
    pub end_tokens: Vec<u32>,
    /// Token put before a text, where the family has one.
    #[serde(default)]
    pub begin_token: Option<u32>,
    /// Standard deviation of initial weights.
    #[serde(default = "default_initialiser")]
    pub initialiser_std: f32,
}

fn default_initialiser() -> f32 {
    0.02
}

/// Why a configuration cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A size is zero or above its limit.
    #[error("config: {field} is {value}, allowed is 1 to {max}")]
    Size {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The largest allowed.
        max: usize,
    },
    /// Sizes that do not fit each other.
    #[error("config: {0}")]
    Shape(String),
    /// Too many parameters in all.
    #[error("config: {0} parameters, allowed are {PARAMETERS_MAX}")]
    Parameters(u64),
}

impl Config {
    /// A small GPT (nanoGPT's shape: no biases, tied head, four times as wide a feed-forward layer).
    pub fn gpt(vocabulary: usize, layers: usize, heads: usize, hidden: usize, context: usize) -> Config {
        Config {
            family: Family::Gpt2,
            vocabulary,
            hidden,
            layers,
            heads,
            kv_heads: heads,
            head_dim: hidden / heads.max(1),
            intermediate: 4 * hidden,
            context,
            norm_eps: 1e-5,
            tied: true,
            bias: false,
            rope: None,
            end_tokens: Vec::new(),
            begin_token: None,
            initialiser_std: default_initialiser(),
        }
    }

    /// A small Llama: RMS norm, RoPE, SwiGLU of about 8/3 the width (a multiple of 32), tied head.
    pub fn llama(
        vocabulary: usize,
        layers: usize,
        heads: usize,
        kv_heads: usize,
        hidden: usize,
        context: usize,
    ) -> Config {
        Config {
            family: Family::Llama,
            kv_heads,
            intermediate: (hidden * 8 / 3).next_multiple_of(32),
            rope: Some(Rope { theta: 10_000.0, scaling: RopeScaling::None }),
            ..Config::gpt(vocabulary, layers, heads, hidden, context)
        }
    }

    /// Checks every size and relation.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocabulary", self.vocabulary, VOCABULARY_MAX),
            ("hidden", self.hidden, WIDTH_MAX),
            ("layers", self.layers, LAYERS_MAX),
            ("heads", self.heads, WIDTH_MAX),
            ("kv_heads", self.kv_heads, WIDTH_MAX),
            ("head_dim", self.head_dim, WIDTH_MAX),
            ("intermediate", self.intermediate, WIDTH_MAX),
            ("context", self.context, CONTEXT_MAX),
        ];
        for (field, value, max) in sizes {
            if value == 0 || value > max {
                return Err(ConfigError::Size { field, value, max });
            }
        }
        let shape = |text: String| Err(ConfigError::Shape(text));
        if !self.heads.is_multiple_of(self.kv_heads) {
            return shape(format!(
                "{} heads are not a multiple of {} key/value heads",
                self.heads, self.kv_heads
            ));
        }
        if self.heads * self.head_dim > WIDTH_MAX {
            return shape(format!(
                "heads x head_dim is {}, allowed is {WIDTH_MAX}",
                self.heads * self.head_dim
            ));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return shape(format!("norm_eps is {}, it must lie between 0 and 1", self.norm_eps));
        }
        if !(self.initialiser_std > 0.0 && self.initialiser_std < 10.0) {
            return shape(format!(
                "initialiser_std is {}, it must lie between 0 and 10",
                self.initialiser_std
            ));
        }
        match (&self.rope, self.family) {
            (None, Family::Gpt2) => {}
            (Some(_), Family::Gpt2) => return shape("GPT-2 has learned positions, not rotary ones".into()),
            (None, family) => return shape(format!("{} needs rotary positions", family.name())),
            (Some(rope), _) => {
                if !self.head_dim.is_multiple_of(2) {
                    return shape(format!("head_dim {} must be even for rotary positions", self.head_dim));
                }
                rope.check().map_err(ConfigError::Shape)?;
            }
        }
        if self.family == Family::Gpt2
            && (self.kv_heads != self.heads || self.heads * self.head_dim != self.hidden)
        {
            return shape("GPT-2 has heads x head_dim = hidden and as many key/value heads".into());
        }
        let parameters = self.parameters();
        if parameters > PARAMETERS_MAX {
            return Err(ConfigError::Parameters(parameters));
        }
        Ok(())
    }

    /// Number of parameters, biases and norms included; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        let (d, f) = (self.hidden as u64, self.intermediate as u64);
        let (q, kv) = (self.query_width() as u64, self.kv_width() as u64);
        let vectors = if self.family == Family::Gpt2 {
            if self.bias { 4 * d + q + 2 * kv + d + f + d } else { 2 * d }
        } else {
            let norms = if self.family == Family::Qwen3 { 2 * self.head_dim as u64 } else { 0 };
            2 * d + norms + if self.bias { q + 2 * kv } else { 0 }
        };
        let mlp = if self.family == Family::Gpt2 { 2 * d * f } else { 3 * d * f };
        let block = d * (q + 2 * kv) + q * d + mlp + vectors;
        let positions = if self.rope.is_none() { self.context as u64 * d } else { 0 };
        let head = if self.tied { 0 } else { self.vocabulary as u64 * d };
        let last = if self.family == Family::Gpt2 && self.bias { 2 * d } else { d };
        self.vocabulary as u64 * d + positions + head + last + block * self.layers as u64
    }

    /// Columns of all query heads.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of all key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

#[cfg(test)]
mod tests;
