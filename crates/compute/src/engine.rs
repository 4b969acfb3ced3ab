//! What the operator needs of a model and of its attribution cache, as two traits.
//!
//! Both are pure functions of committed data: the same request gives the same tokens and the same scores on every
//! machine, at any load. Replay ([`crate::replay`]) depends on nothing else.

use crate::request::{Finish, Message, Sampling};
use alloy_primitives::{Address, B256};
use attribution::shares::Rule;
use model::Adapter;
use serde::{Deserialize, Serialize};
use std::{
    any::Any,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// A model that answers, by itself and with adapters over it.
pub trait Generator: Send + Sync {
    /// Tokens of prompt and answer together that the model takes.
    fn context_tokens(&self) -> usize;

    /// Version of the op set its results are bit-exact under; 0 when replay is not bit-exact.
    fn op_set(&self) -> u32;

    /// Tokens of a text.
    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError>;

    /// Tokens of a conversation, rendered by the model's template up to where the assistant speaks.
    fn render(&self, messages: &[Message]) -> Result<Vec<u32>, EngineError>;

    /// Number of tokens: a prompt's are all below it.
    fn vocabulary(&self) -> usize;

    /// Turns an answer's tokens into text.
    fn decoder(&self) -> Box<dyn Decoder + '_>;

    /// A batch without rows.
    fn session(&self) -> Box<dyn Session + '_>;
}

/// Number of a row, never used twice by a session.
pub type RowId = u64;

/// Requests that a model continues together, each by itself or with an adapter over it. They come and go between passes, and what one gets never
/// depends on the others.
pub trait Session {
    /// Continues `prompt` from the next pass on, until the model ends, `sampling.max_tokens` or the context is reached. Stop texts
    /// are the caller's.
    fn submit(
        &mut self,
        adapter: Option<&Arc<Adapter>>,
        prompt: &[u32],
        sampling: &Sampling,
    ) -> Result<RowId, EngineError>;

    /// Drops a row.
    fn cancel(&mut self, row: RowId);

    /// What is left of a row's passes, for its attribution: asked for once, before the next step and before the row is cancelled.
    fn passes(&mut self, _row: RowId) -> Option<Passes> {
        None
    }

    /// One pass: at most one token a row. A row that ended is gone. After an error no row can be gone on with.
    fn step(&mut self) -> Result<Vec<(RowId, RowEvent)>, EngineError>;
}

/// What an engine computed for an answer and may use again when it attributes it. It only saves time: attribution without it has the same bits.
#[derive(Clone)]
pub struct Passes(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Passes {
    /// Holds what the engine alone knows the type of.
    pub fn new(passes: impl Any + Send) -> Passes {
        Passes(Arc::new(Mutex::new(Some(Box::new(passes)))))
    }

    /// What it holds, once, if it is a `T`.
    pub fn take<T: Any>(&self) -> Option<T> {
        let passes = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        passes.downcast().ok().map(|passes| *passes)
    }
}

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passes")
    }
}

/// What a pass did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEvent {
    /// A new token, part of the answer.
    Token(u32),
    /// The answer is complete.
    Finished(Finish),
}

/// Text of tokens as they come. What it hands out, concatenated, is the text of all of them.
pub trait Decoder {
    /// Takes a token; the whole characters that are known now, which may be none.
    fn push(&mut self, token: u32) -> Result<String, EngineError>;

    /// What is left when no more tokens come.
    fn finish(&mut self) -> Result<String, EngineError>;
}

/// A piece of contributed text as the protocol cuts it (RULEBOOK R2a), with whom it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The Datanet it was contributed to.
    pub datanet: B256,
    /// The item it is cut from.
    pub item: B256,
    /// Account that is paid.
    pub owner: Address,
    /// Tokens, 1 to the rule's full unit.
    pub tokens: u32,
    /// Novelty in parts of `attribution::shares::NOVELTY_ONE`.
    pub novelty: u32,
    /// Where it stands, for people: such as `serde/README.md`.
    pub label: String,
}

/// Scores of one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// One for each unit of [`Attributor::units`]; positive helped the answer.
    pub units: Vec<f64>,
    /// The answer's tokens, cut into spans, each with the units that helped it most, best first.
    pub spans: Vec<SpanScores>,
}

/// What a stretch of the answer owes.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanScores {
    /// Tokens of the answer.
    pub tokens: Range<u32>,
    /// Units and their scores, best first.
    pub units: Vec<(u32, f64)>,
}

/// A model's attribution cache: who does an answer owe.
pub trait Attributor: Send + Sync {
    /// Root of the committed cache.
    fn cache_root(&self) -> B256;

    /// The committed rule that turns scores into integers.
    fn rule(&self) -> Rule;

    /// All units, in the committed order.
    fn units(&self) -> &[Unit];

    /// Scores an answer.
    fn score(&self, answer: &Scoring<'_>) -> Result<Scores, EngineError>;

    /// Scores answers that ended together: each gets what [`Attributor::score`] gives it. One that fails does not concern the others.
    fn score_all(&self, answers: &[Scoring<'_>]) -> Vec<Result<Scores, EngineError>> {
        answers.iter().map(|answer| self.score(answer)).collect()
    }
}

/// An answer to be scored.
#[derive(Clone, Copy, Debug)]
pub struct Scoring<'a> {
    /// Tokens of the prompt.
    pub prompt: &'a [u32],
    /// Tokens of the answer.
    pub output: &'a [u32],
    /// What generating it left, if anything.
    pub passes: Option<&'a Passes>,
}

/// Why an engine failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The caller's fault: the message says what to change.
    #[error("{0}")]
    Refused(String),
    /// Prompt and answer do not fit.
    #[error(
        "the prompt has {prompt} tokens and the answer may have {answer}, together more than the model's context of {context}: shorten the prompt or lower max_tokens"
    )]
    PastContext { prompt: usize, answer: usize, context: usize },
    /// Ours: the answer is lost, nothing was charged.
    #[error("the model failed: {0}")]
    Failed(String),
}
