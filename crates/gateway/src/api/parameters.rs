//! Parameters that the three endpoints share.

use super::ApiError;
use compute::{Message, Role, Sampling};
use serde::Deserialize;
use serde_json::Value;

/// Most tokens an answer may ask for.
const MAX_TOKENS: u32 = 1 << 20;

/// Sampling as OpenAI's clients send it. What this API does not do is refused, not ignored.
#[derive(Debug, Default, Deserialize)]
pub struct Common {
    /// The model's name; an adapter's is `base:adapter`.
    pub model: String,
    /// SSE.
    #[serde(default)]
    pub stream: Option<bool>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    n: Option<u32>,
    tools: Option<Vec<Value>>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Common {
    /// Whether a stream is to end in a chunk with the usage.
    pub fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// How to sample; without a seed `random` is one.
    pub fn sampling(&self, max_tokens: u32, random: u64) -> Result<Sampling, ApiError> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(ApiError::bad(Some("n"), "one answer a request: send `n` requests"));
        }
        if self.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
            return Err(ApiError::bad(Some("tools"), "the models here call no tools: leave `tools` out"));
        }
        let stop = match &self.stop {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text.clone()],
            Some(OneOrMany::Many(texts)) => texts.clone(),
        };
        Ok(Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(0),
            seed: self.seed.map_or(random, |seed| seed as u64),
            max_tokens: max_tokens.min(MAX_TOKENS),
            stop,
        })
    }
}

/// A message's content: a text, or parts of which the texts count.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain.
    Text(String),
    /// In parts.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// A message as clients send it.
#[derive(Debug, Deserialize)]
pub struct WireMessage {
    role: String,
    content: Option<Content>,
}

impl WireMessage {
    /// As the worker takes it.
    pub fn message(self, param: &'static str) -> Result<Message, ApiError> {
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let message = format!("the role `{other}` is not known: use system, user or assistant");
                return Err(ApiError::bad(Some(param), message));
            }
        };
        let content = match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                let mut text = String::new();
                for part in parts {
                    match (part.kind.as_str(), part.text) {
                        ("text" | "input_text" | "output_text", Some(more)) => text.push_str(&more),
                        (kind, _) => {
                            let message = format!("a part of type `{kind}` cannot be read: send text");
                            return Err(ApiError::bad(Some(param), message));
                        }
                    }
                }
                text
            }
        };
        Ok(Message { role, content })
    }
}

/// Reads a body; what is wrong with it is said.
pub fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad(None, format!("the body is not the JSON expected here: {error}")))
}
