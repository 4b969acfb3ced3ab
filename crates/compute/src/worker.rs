//! Answers one request: checks, generates, prices, attributes, divides.

use crate::{
    attributed::{Attributed, MAX_SPAN_SOURCES, Span},
    decode::{Decoding, Generated},
    engine::{Attributor, EngineError, Generator, Scores, Scoring},
    fee::{DATA_SHARE_BPS, Terms, data_share},
    receipt::{AnswerId, Output},
    request::{Prompt, Request, RequestError, Usage},
};
use alloy_primitives::B256;
use attribution::shares::SharesError;
use model::Adapter;
use primitives::Amount;
use std::{ops::ControlFlow, sync::Arc};

pub(crate) mod text;

/// A model ready to answer, with its attribution cache. Models that are adapters of one base share its generator, and with it a batch.
#[derive(Clone)]
pub struct Worker {
    /// The model's id on the ledger.
    pub model: B256,
    /// The name by which requests choose it.
    pub name: String,
    /// Generates.
    pub generator: Arc<dyn Generator>,
    /// What the model is over the generator's own weights; `None` for these alone.
    pub adapter: Option<Arc<Adapter>>,
    /// Scores.
    pub attributor: Arc<dyn Attributor>,
    /// The data contributors' part of a fee, in hundredths of a percent.
    pub data_share_bps: u16,
}

/// Where an answer's text goes as it is made. Breaking cancels the answer.
pub trait Sink {
    /// More text.
    fn piece(&mut self, text: &str) -> ControlFlow<()>;

    /// Whether nobody waits for more: asked before each pass, since tokens do not always make text.
    fn is_gone(&self) -> bool {
        false
    }
}

impl<F: FnMut(&str) -> ControlFlow<()>> Sink for F {
    fn piece(&mut self, text: &str) -> ControlFlow<()> {
        self(text)
    }
}

/// A request that fits the model, as tokens. What it can cost is known from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The request, its `max_tokens` no more than what fits.
    pub request: Request,
    /// The prompt's tokens.
    pub tokens: Vec<u32>,
    /// The adapter that answers, if one does.
    pub adapter: Option<Arc<Adapter>>,
}

impl Prepared {
    /// The most this request can use.
    pub fn most(&self) -> Usage {
        Usage { prompt_tokens: self.tokens.len() as u32, completion_tokens: self.request.sampling.max_tokens }
    }
}

/// An answer that has no place in the log yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its id.
    pub id: AnswerId,
    /// Blinds the commitments to request and output.
    pub salt: B256,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub output: Output,
    /// Tokens.
    pub usage: Usage,
    /// F.
    pub fee: Amount,
    /// What it owes.
    pub attributed: Attributed,
    /// Version of the op set.
    pub op_set: u32,
}

/// What was generated, with what completes it.
#[derive(Clone, Debug)]
pub struct Completing {
    /// The answer's id.
    pub id: AnswerId,
    /// Blinds its commitments.
    pub salt: B256,
    /// Text and tokens.
    pub generated: Generated,
    /// What may be charged.
    pub terms: Terms,
}

fn scoring(generated: &Generated) -> Scoring<'_> {
    let Generated { prepared, output, ends: _, passes } = generated;
    Scoring { prompt: &prepared.tokens, output: &output.tokens, passes: passes.as_ref() }
}

/// Why there is no answer. Nothing is charged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// The request is outside its limits.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The scores cannot be divided: the attribution is broken, not the request.
    #[error("the answer could not be attributed: {0}")]
    Shares(#[from] SharesError),
}

impl Worker {
    /// A worker with the default data share, whose engine both generates and scores.
    pub fn new<E: Generator + Attributor + 'static>(model: B256, name: &str, engine: E) -> Worker {
        let engine = Arc::new(engine);
        Worker {
            model,
            name: name.into(),
            generator: engine.clone(),
            adapter: None,
            attributor: engine,
            data_share_bps: DATA_SHARE_BPS,
        }
    }

    /// Checks a request and turns it into tokens. With `fit`, `max_tokens` is lowered to what the context leaves; without,
    /// a request that does not fit is refused.
    pub fn prepare(&self, mut request: Request, fit: bool) -> Result<Prepared, AnswerError> {
        request.check()?;
        let tokens = match &request.prompt {
            Prompt::Text(text) => self.generator.encode(text)?,
            Prompt::Messages(messages) => self.generator.render(messages)?,
            Prompt::Tokens(tokens) => {
                let vocabulary = self.generator.vocabulary();
                if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
                    let message = format!("token {token} is outside the vocabulary of {vocabulary}");
                    return Err(EngineError::Refused(message).into());
                }
                tokens.clone()
            }
        };
        if tokens.is_empty() {
            return Err(RequestError::Empty.into());
        }
        let context = self.generator.context_tokens();
        let room = context.saturating_sub(tokens.len());
        let answer = request.sampling.max_tokens as usize;
        if room == 0 || (answer > room && !fit) {
            return Err(EngineError::PastContext { prompt: tokens.len(), answer, context }.into());
        }
        request.sampling.max_tokens = answer.min(room) as u32;
        Ok(Prepared { request, tokens, adapter: self.adapter.clone() })
    }

    /// Answers. Text goes to `sink` as it is made; when the sink breaks, the answer ends there and what was made so far is
    /// attributed and charged.
    pub fn answer(
        &self,
        id: AnswerId,
        salt: B256,
        prepared: &Prepared,
        terms: &Terms,
        sink: &mut dyn Sink,
    ) -> Result<Answer, AnswerError> {
        self.complete(id, salt, self.generate(prepared, sink)?, terms)
    }

    /// Generates, without company.
    pub(crate) fn generate(
        &self,
        prepared: &Prepared,
        sink: &mut dyn Sink,
    ) -> Result<Generated, AnswerError> {
        let mut decoding = Decoding::new(self.generator.as_ref());
        decoding.admit((), prepared.clone(), Box::new(|text: &str| sink.piece(text)))?;
        loop {
            if let Some(((), generated)) = decoding.step().pop() {
                return generated;
            }
        }
    }

    /// Prices, attributes and divides what was generated.
    pub fn complete(
        &self,
        id: AnswerId,
        salt: B256,
        generated: Generated,
        terms: &Terms,
    ) -> Result<Answer, AnswerError> {
        let ended = vec![Completing { id, salt, generated, terms: *terms }];
        self.complete_all(ended).pop().expect("one answer, one outcome")
    }

    /// As [`Worker::complete`], for answers that ended together: what attribution reads is read once for all of them. Each is what it is alone,
    /// and one that fails does not concern the others.
    pub fn complete_all(&self, ended: Vec<Completing>) -> Vec<Result<Answer, AnswerError>> {
        let scoring: Vec<Scoring<'_>> = ended.iter().map(|ended| scoring(&ended.generated)).collect();
        let scores = self.attributor.score_all(&scoring);
        let completed = |(ended, scores): (Completing, Result<Scores, EngineError>)| {
            let Completing { id, salt, generated: Generated { prepared, output, ends, .. }, terms } = ended;
            let usage = Usage {
                prompt_tokens: prepared.tokens.len() as u32,
                completion_tokens: output.tokens.len() as u32,
            };
            let fee = terms.charge(usage);
            let share = data_share(fee, self.data_share_bps);
            let attributed = self.divide(scores?, &ends, share)?;
            let op_set = self.generator.op_set();
            Ok(Answer { id, salt, request: prepared.request, output, usage, fee, attributed, op_set })
        };
        ended.into_iter().zip(scores).map(completed).collect()
    }

    /// Scores an answer and divides `share` by it. `ends` is the text's length after each token.
    pub(crate) fn attribute(
        &self,
        prepared: &Prepared,
        output: &Output,
        ends: &[u32],
        share: Amount,
    ) -> Result<Attributed, AnswerError> {
        let scoring = Scoring { prompt: &prepared.tokens, output: &output.tokens, passes: None };
        self.divide(self.attributor.score(&scoring)?, ends, share)
    }

    fn divide(&self, scores: Scores, ends: &[u32], share: Amount) -> Result<Attributed, AnswerError> {
        let attributor = &self.attributor;
        let units = attributor.units();
        if scores.units.len() != units.len() {
            let message = format!("{} scores for {} units", scores.units.len(), units.len());
            return Err(EngineError::Failed(message).into());
        }
        let mut done = Attributed::divide(attributor.cache_root(), attributor.rule(), units, &scores, share)?;
        let byte = |token: u32| match token.checked_sub(1) {
            None => 0,
            Some(before) => ends.get(before as usize).or(ends.last()).copied().unwrap_or(0),
        };
        done.spans = scores
            .spans
            .into_iter()
            .map(|span| {
                let mut sources = span.units;
                sources.retain(|(unit, _)| (*unit as usize) < units.len());
                sources.truncate(MAX_SPAN_SOURCES);
                Span { bytes: [byte(span.tokens.start), byte(span.tokens.end)], sources }
            })
            .filter(|span| span.bytes[0] < span.bytes[1])
            .collect();
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
