//! Generation: sequences of unlike lengths, adapters and settings in one batch, each as if it ran alone.
//!
//! [`Engine`] advances all its sequences by one pass at a time ([`Engine::step`]): new prompts are read in pieces beside sequences
//! that already generate (continuous batching). A row's logits depend on its own sequence only, and are the bits of a training pass
//! over the same tokens. What follows from logits is specified in [`sampling`].

mod cache;
mod engine;
pub mod sampling;

pub use engine::{Engine, EngineOptions, Event, Finish, SequenceId, Step};
pub use sampling::{Sampling, TokenChoice};

use crate::lora::Adapter;
use crate::weights::Model;
use ops::Ctx;
use std::sync::Arc;

/// Most tokens of one request's answer.
pub const ANSWER_TOKENS_MAX: usize = 1 << 20;
/// Most stop sequences of a request.
pub const STOPS_MAX: usize = 16;
/// Most tokens of a stop sequence.
pub const STOP_TOKENS_MAX: usize = 64;
/// Most alternatives whose log-probabilities are reported.
pub const LOGPROBS_MAX: usize = 20;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Prompt, at least one token.
    pub prompt: Vec<u32>,
    /// Most new tokens; the model's context bounds them too.
    pub tokens_max: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Token sequences that end the answer; they are not part of it.
    pub stops: Vec<Vec<u32>>,
    /// Whether the configuration's end tokens end the answer.
    pub stop_at_end: bool,
    /// Alternatives to report with each token (0 to [`LOGPROBS_MAX`]); none reports no log-probabilities.
    pub logprobs: Option<usize>,
    /// Adapter over the base model.
    pub adapter: Option<Arc<Adapter>>,
}

impl Request {
    /// A greedy continuation of a prompt.
    pub fn greedy(prompt: Vec<u32>, tokens_max: usize) -> Request {
        Request {
            prompt,
            tokens_max,
            sampling: Sampling::greedy(),
            stops: Vec::new(),
            stop_at_end: true,
            logprobs: None,
            adapter: None,
        }
    }
}

/// Why a request cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// No prompt.
    #[error("the prompt is empty: give at least one token")]
    EmptyPrompt,
    /// A prompt that leaves no room for an answer.
    #[error("the prompt has {prompt} tokens, the model's context is {context}: shorten it")]
    Context {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that the model can see.
        context: usize,
    },
    /// A token outside the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocabulary}: was another tokenizer used?")]
    Token {
        /// The token.
        token: u32,
        /// The vocabulary.
        vocabulary: usize,
    },
    /// A setting out of range.
    #[error("{name} is {value}, allowed is {allowed}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Logits that are NaN or infinite.
    #[error("the model's output is NaN or infinite after {tokens} tokens: its weights are broken")]
    NonFinite {
        /// Tokens of the sequence so far.
        tokens: usize,
    },
}

/// A finished answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its tokens, without stop sequence and end token.
    pub tokens: Vec<u32>,
    /// Choice of every generated token, those of a stop sequence included.
    pub choices: Vec<TokenChoice>,
    /// Why it ended.
    pub finish: Finish,
}

/// Generates all requests in one batch and returns their answers in order. `on_event` sees every token as it comes, with the number
/// of its request.
///
/// # Errors
/// When a request is not valid, or the model's output is not finite.
pub fn generate(
    ctx: Ctx,
    model: &Model,
    requests: Vec<Request>,
    options: EngineOptions,
    on_event: &mut dyn FnMut(usize, &Event),
) -> Result<Vec<Answer>, GenerateError> {
    let count = requests.len();
    let mut engine = Engine::new(ctx, model, options);
    let ids: Vec<SequenceId> = requests.into_iter().map(|r| engine.submit(r)).collect::<Result<_, _>>()?;
    let mut answers: Vec<Option<Answer>> = vec![None; count];
    while !engine.is_idle() {
        for step in engine.step()? {
            let Some(index) = ids.iter().position(|id| *id == step.sequence) else { continue };
            on_event(index, &step.event);
            if let Event::Finished(answer) = step.event {
                answers[index] = Some(answer);
            }
        }
    }
    Ok(answers.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
