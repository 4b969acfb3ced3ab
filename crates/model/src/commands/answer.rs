//! `generate`: answers to prompts or conversations, streamed as text.

use super::{CommandError, context};
use crate::chat::{ChatTemplate, Message};
use crate::generate::{self as engine, EngineOptions, Event, Finish, Request, Sampling};
use crate::lora::Adapter;
use crate::network::Quantisation;
use crate::tokenizer::{TextStream, Tokenizer};
use crate::weights::Model;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prompt {
    /// A text to continue.
    Text(String),
    /// A conversation, through the model's chat template.
    Chat(Vec<Message>),
}

/// How to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateOptions {
    /// What.
    pub prompts: Vec<Prompt>,
    /// Most tokens of each answer.
    pub tokens_max: usize,
    /// How tokens are chosen; prompt `i` uses seed + `i`.
    pub sampling: Sampling,
    /// Texts that end an answer.
    pub stops: Vec<String>,
    /// Adapter over the model.
    pub adapter: Option<PathBuf>,
    /// Weights of generation.
    pub quantisation: Quantisation,
    /// Threads; 0 means all.
    pub threads: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        GenerateOptions {
            prompts: Vec::new(),
            tokens_max: 256,
            sampling: Sampling::at(0.8, 0),
            stops: Vec::new(),
            adapter: None,
            quantisation: Quantisation::None,
            threads: 0,
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerText {
    /// Its text.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens a second, over all answers.
    pub tokens_per_second: f64,
}

/// Answers prompts with a model's directory. `on_text` gets pieces of text with the number of their prompt.
///
/// # Errors
/// When the model or a prompt cannot be used.
pub fn generate(
    dir: &Path,
    options: &GenerateOptions,
    on_text: &mut dyn FnMut(usize, &str),
) -> Result<Vec<AnswerText>, CommandError> {
    let (model, tokenizer) = (Model::load(dir)?, Tokenizer::load(dir)?);
    let template = ChatTemplate::load(dir)?.unwrap_or_else(ChatTemplate::simple);
    let adapter = options.adapter.as_deref().map(|d| Adapter::load(d, &model)).transpose()?.map(Arc::new);
    let stops = options.stops.iter().map(|s| tokenizer.encode(s, false)).collect::<Result<Vec<_>, _>>()?;
    let mut requests = Vec::new();
    for (i, prompt) in options.prompts.iter().enumerate() {
        let prompt = match prompt {
            Prompt::Text(text) => tokenizer.encode(text, true)?,
            Prompt::Chat(messages) => tokenizer.encode(&template.render(messages, true)?, false)?,
        };
        let seed = options.sampling.seed.wrapping_add(i as u64);
        requests.push(Request {
            sampling: Sampling { seed, ..options.sampling },
            stops: stops.clone(),
            adapter: adapter.clone(),
            ..Request::greedy(prompt, options.tokens_max)
        });
    }
    let lengths: Vec<usize> = requests.iter().map(|r| r.prompt.len()).collect();
    let mut streams = vec![TextStream::default(); requests.len()];
    let started = Instant::now();
    let engine_options = EngineOptions { quantisation: options.quantisation, ..EngineOptions::default() };
    let answers =
        engine::generate(context(options.threads), &model, requests, engine_options, &mut |i, event| {
            if let Event::Token(choice) = event {
                // A token that cannot be shown is still part of the answer's own text below.
                let piece = streams[i].push(&tokenizer, choice.token).unwrap_or_default();
                if !piece.is_empty() {
                    on_text(i, &piece);
                }
            }
        })?;
    let total: usize = answers.iter().map(|a| a.choices.len()).sum();
    let tokens_per_second = total as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let mut out = Vec::new();
    for (answer, prompt_tokens) in answers.into_iter().zip(lengths) {
        let text = tokenizer.decode(&answer.tokens, true)?;
        out.push(AnswerText {
            text,
            tokens: answer.tokens,
            prompt_tokens,
            finish: answer.finish,
            tokens_per_second,
        });
    }
    Ok(out)
}
