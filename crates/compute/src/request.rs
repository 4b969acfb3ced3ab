//! What is asked and what came back, in canonical form: an operator commits to both and can be made to replay them.

use primitives::encoding::{DecodeError, Reader, Writer};
use serde::{Deserialize, Serialize};

/// Longest prompt text, messages together.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;
/// Most messages of a conversation.
pub const MAX_MESSAGES: usize = 1024;
/// Most tokens of a prompt or an answer.
pub const MAX_TOKENS: usize = 1 << 20;
/// Most stop texts.
pub const MAX_STOPS: usize = 4;
/// Longest stop text.
pub const MAX_STOP_BYTES: usize = 256;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// What the model continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prompt {
    /// Plain text, continued as it stands.
    Text(String),
    /// A conversation, rendered by the model's template.
    Messages(Vec<Message>),
    /// Token ids, continued as they stand.
    Tokens(Vec<u32>),
}

/// How the next token is chosen. Temperature 0 takes the most likely one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Divides the logits; 0 to 2.
    pub temperature: f32,
    /// Keeps the likeliest tokens that together reach this probability; above 0, at most 1.
    pub top_p: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Selects the random numbers: the same request and seed give the same answer on every machine.
    pub seed: u64,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// Ends the answer before any of these texts.
    pub stop: Vec<String>,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, seed: 0, max_tokens: 128, stop: Vec::new() }
    }
}

/// A question to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What is continued.
    pub prompt: Prompt,
    /// How.
    pub sampling: Sampling,
}

/// Why the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model ended, or a stop text came.
    Stop,
    /// `max_tokens` or the context was reached.
    Length,
    /// The client went away; what it was sent is charged.
    Cancelled,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
}

/// Why a request cannot be asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// A parameter outside its range.
    #[error("`{name}` is {value}; it must be {range}")]
    OutOfRange { name: &'static str, value: String, range: &'static str },
    /// Nothing to continue.
    #[error("the prompt is empty: send at least one character or message")]
    Empty,
    /// Past a limit.
    #[error("the prompt has {given} {unit}, the limit is {limit}: shorten it")]
    TooLong { given: usize, unit: &'static str, limit: usize },
}

impl Request {
    /// Checks every limit that does not depend on the model.
    pub fn check(&self) -> Result<(), RequestError> {
        let Sampling { temperature, top_p, top_k: _, seed: _, max_tokens, stop } = &self.sampling;
        let out = |name, value: String, range| Err(RequestError::OutOfRange { name, value, range });
        if !(0.0..=2.0).contains(temperature) {
            return out("temperature", temperature.to_string(), "from 0 to 2");
        }
        if !(*top_p > 0.0 && *top_p <= 1.0) {
            return out("top_p", top_p.to_string(), "above 0 and at most 1");
        }
        if *max_tokens == 0 || *max_tokens as usize > MAX_TOKENS {
            return out("max_tokens", max_tokens.to_string(), "at least 1 and at most 1048576");
        }
        if stop.len() > MAX_STOPS {
            return out("stop", format!("{} texts", stop.len()), "at most 4 texts");
        }
        if stop.iter().any(|text| text.is_empty() || text.len() > MAX_STOP_BYTES) {
            return out("stop", "a text of no or too many bytes".into(), "texts of 1 to 256 bytes");
        }
        let too_long = |given, unit, limit| Err(RequestError::TooLong { given, unit, limit });
        match &self.prompt {
            Prompt::Text(text) if text.is_empty() => Err(RequestError::Empty),
            Prompt::Text(text) if text.len() > MAX_PROMPT_BYTES => {
                too_long(text.len(), "bytes", MAX_PROMPT_BYTES)
            }
            Prompt::Tokens(tokens) if tokens.is_empty() => Err(RequestError::Empty),
            Prompt::Tokens(tokens) if tokens.len() > MAX_TOKENS => {
                too_long(tokens.len(), "tokens", MAX_TOKENS)
            }
            Prompt::Messages(messages) if messages.is_empty() => Err(RequestError::Empty),
            Prompt::Messages(messages) if messages.len() > MAX_MESSAGES => {
                too_long(messages.len(), "messages", MAX_MESSAGES)
            }
            Prompt::Messages(messages) => {
                let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
                if bytes > MAX_PROMPT_BYTES { too_long(bytes, "bytes", MAX_PROMPT_BYTES) } else { Ok(()) }
            }
            Prompt::Text(_) | Prompt::Tokens(_) => Ok(()),
        }
    }

    /// Writes the canonical encoding.
    pub fn encode(&self, into: &mut Writer) {
        let Request { prompt, sampling } = self;
        match prompt {
            Prompt::Text(text) => {
                into.u8(0).text(text);
            }
            Prompt::Messages(messages) => {
                into.u8(1).list(messages, |w, Message { role, content }| {
                    w.u8(*role as u8).text(content);
                });
            }
            Prompt::Tokens(tokens) => {
                into.u8(2).list(tokens, |w, token| {
                    w.u32(*token);
                });
            }
        }
        let Sampling { temperature, top_p, top_k, seed, max_tokens, stop } = sampling;
        into.f32_bits(*temperature).f32_bits(*top_p).u32(*top_k).u64(*seed).u32(*max_tokens);
        into.list(stop, |w, text| {
            w.text(text);
        });
    }

    /// Reads the canonical encoding.
    pub fn decode(from: &mut Reader) -> Result<Request, DecodeError> {
        let prompt = match from.u8()? {
            0 => Prompt::Text(from.text(MAX_PROMPT_BYTES)?.into()),
            1 => Prompt::Messages(from.list(MAX_MESSAGES, |r| {
                let role = match r.u8()? {
                    0 => Role::System,
                    1 => Role::User,
                    2 => Role::Assistant,
                    _ => return Err(DecodeError::OutOfRange("role")),
                };
                Ok(Message { role, content: r.text(MAX_PROMPT_BYTES)?.into() })
            })?),
            2 => Prompt::Tokens(from.list(MAX_TOKENS, |r| r.u32())?),
            _ => return Err(DecodeError::OutOfRange("prompt kind")),
        };
        let sampling = Sampling {
            temperature: from.f32_bits()?,
            top_p: from.f32_bits()?,
            top_k: from.u32()?,
            seed: from.u64()?,
            max_tokens: from.u32()?,
            stop: from.list(MAX_STOPS, |r| Ok(r.text(MAX_STOP_BYTES)?.to_string()))?,
        };
        Ok(Request { prompt, sampling })
    }
}

impl Finish {
    /// Reads the byte that `self as u8` wrote.
    pub fn from_byte(byte: u8) -> Result<Finish, DecodeError> {
        match byte {
            0 => Ok(Finish::Stop),
            1 => Ok(Finish::Length),
            2 => Ok(Finish::Cancelled),
            _ => Err(DecodeError::OutOfRange("finish")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests() -> impl Strategy<Value = Request> {
        let message = (0u8..3, ".{0,20}").prop_map(|(role, content)| Message {
            role: [Role::System, Role::User, Role::Assistant][role as usize],
            content,
        });
        let prompt = prop_oneof![
            ".{1,40}".prop_map(Prompt::Text),
            prop::collection::vec(message, 1..4).prop_map(Prompt::Messages),
            prop::collection::vec(any::<u32>(), 1..9).prop_map(Prompt::Tokens),
        ];
        let stop = prop::collection::vec(".{1,5}", 0..4);
        (prompt, 0f32..2.0, 0.1f32..1.0, any::<u32>(), any::<u64>(), 1u32..1000, stop).prop_map(
            |(prompt, temperature, top_p, top_k, seed, max_tokens, stop)| Request {
                prompt,
                sampling: Sampling { temperature, top_p, top_k, seed, max_tokens, stop },
            },
        )
    }

    proptest! {
        #[test]
        fn a_request_is_read_back_and_every_prefix_is_refused(request in requests(), cut: prop::sample::Index) {
            let mut writer = Writer::new();
            request.encode(&mut writer);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Request::decode(&mut reader), Ok(request));
            prop_assert_eq!(reader.finish(), Ok(()));
            prop_assert!(Request::decode(&mut Reader::new(&bytes[..cut.index(bytes.len())])).is_err());
        }
    }

    #[test]
    fn parameters_outside_their_ranges_are_refused() {
        let good = Request { prompt: Prompt::Text("hello".into()), sampling: Sampling::default() };
        assert_eq!(good.check(), Ok(()));
        let with = |change: fn(&mut Request)| {
            let mut request = good.clone();
            change(&mut request);
            request.check()
        };
        assert!(with(|r| r.sampling.temperature = f32::NAN).is_err());
        assert!(with(|r| r.sampling.temperature = 2.1).is_err());
        assert!(with(|r| r.sampling.top_p = 0.0).is_err());
        assert!(with(|r| r.sampling.max_tokens = 0).is_err());
        assert!(with(|r| r.sampling.stop = vec![String::new()]).is_err());
        assert_eq!(with(|r| r.prompt = Prompt::Text(String::new())), Err(RequestError::Empty));
        assert_eq!(with(|r| r.prompt = Prompt::Messages(Vec::new())), Err(RequestError::Empty));
    }
}
