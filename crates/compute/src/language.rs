//! The real engine: a transformer of the `model` crate, its tokenizer, and the attribution cache over its weights.
//!
//! # Conversations
//! A tokenizer with `<|im_start|>` gets ChatML; any other gets the turns' texts, a line each, which is what a model that only learned
//! texts can continue.

use crate::{
    engine::{
        Attributor, Decoder, EngineError, Generator, Passes, RowEvent, RowId, Scores, Scoring, Session,
        SpanScores, Unit,
    },
    request::{Finish, Message, Role, Sampling},
};
use alloy_primitives::B256;
use attribution::{
    influence::{
        cache::{Cache, CacheError},
        language::{Answered, Answering, Language, answer_spans},
        query::{MAX_SPANS, Query, UNITS_PER_SPAN, highest, score_all},
    },
    shares::Rule,
};
use model::{
    Example, Model, Tokenizer,
    generate::{Engine, EngineOptions, Event, Finish as Ended, GenerateError, Request, SequenceId},
    network::{Kept, Prepared, Quantisation},
    tokenizer::TextStream,
};
use ops::Ctx;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Fewest tokens of an answer that are explained together.
const MIN_SPAN_TOKENS: usize = 8;
/// Bytes of activations that a batch keeps for attribution: 37 MB is an answer of 256 tokens by a model of 10 million parameters.
const KEPT_BYTES: usize = 512 << 20;
/// Starts a turn in ChatML.
const TURN_START: &str = "<|im_start|>";
/// Ends a turn in ChatML.
const TURN_END: &str = "<|im_end|>";

/// A language model ready to answer.
pub struct LanguageEngine {
    model: &'static Model,
    language: Language<'static>,
    prepared: Arc<Prepared>,
    tokenizer: Tokenizer,
    cache: Cache,
    units: Vec<Unit>,
    ctx: Ctx,
}

/// Why model, cache and units do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MismatchError {
    /// The cache was built over other weights.
    #[error("the attribution cache is of the model {cached}, these weights are {model}: build it again")]
    OtherModel { cached: B256, model: B256 },
    /// The units are not the cache's.
    #[error(
        "unit {0} is not the cache's: items, owners and their order must be those the cache was built from"
    )]
    OtherUnits(usize),
    /// The tokenizer has tokens that the model has not.
    #[error("the tokenizer has {tokenizer} tokens, the model {model}: they are not of one model")]
    OtherTokenizer { tokenizer: usize, model: usize },
}

impl LanguageEngine {
    /// Takes a model into service, for as long as the process runs: its memory is never given back. `units` says to whom the cache's units
    /// belong, in the cache's order.
    pub fn new(
        model: Model,
        tokenizer: Tokenizer,
        cache: Cache,
        units: Vec<Unit>,
        ctx: Ctx,
    ) -> Result<LanguageEngine, MismatchError> {
        use attribution::influence::taps::Tapped as _;
        let vocabulary = model.config.vocabulary;
        if tokenizer.vocabulary() > vocabulary {
            return Err(MismatchError::OtherTokenizer {
                tokenizer: tokenizer.vocabulary(),
                model: vocabulary,
            });
        }
        let same = |(unit, meta): (&Unit, &attribution::influence::cache::UnitMeta)| {
            (unit.tokens, unit.novelty) == (meta.tokens, meta.novelty)
        };
        let differs = units.iter().zip(cache.units()).position(|pair| !same(pair));
        let differs = differs.or((units.len() != cache.units().len()).then_some(units.len()));
        if let Some(unit) = differs {
            return Err(MismatchError::OtherUnits(unit));
        }
        // The attribution borrows the model and both live in one value.
        let model: &'static Model = Box::leak(Box::new(model));
        let prepared = Arc::new(Prepared::new(model, Quantisation::None));
        let language = Language::with_prepared(model, prepared.clone());
        let (cached, identity) = (cache.commitment().model, language.identity());
        if cached != identity {
            return Err(MismatchError::OtherModel { cached, model: identity });
        }
        Ok(LanguageEngine { model, language, prepared, tokenizer, cache, units, ctx })
    }
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(error.to_string())
}

impl Generator for LanguageEngine {
    fn context_tokens(&self) -> usize {
        self.model.config.context
    }

    fn op_set(&self) -> u32 {
        ops::OP_SET_VERSION
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokenizer.encode(text, true).map_err(|error| EngineError::Refused(error.to_string()))
    }

    fn render(&self, messages: &[Message]) -> Result<Vec<u32>, EngineError> {
        let chat = self.tokenizer.token(TURN_START).is_some();
        let mut text = String::new();
        for Message { role, content } in messages {
            let role = match role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            match chat {
                true => text += &format!("{TURN_START}{role}\n{content}{TURN_END}\n"),
                false if text.is_empty() => text += content,
                false => text += &format!("\n{content}"),
            }
        }
        if chat {
            text += &format!("{TURN_START}assistant\n");
        }
        self.encode(&text)
    }

    fn vocabulary(&self) -> usize {
        self.model.config.vocabulary
    }

    fn decoder(&self) -> Box<dyn Decoder + '_> {
        Box::new(Pieces { tokenizer: &self.tokenizer, stream: TextStream::default() })
    }

    fn session(&self) -> Box<dyn Session + '_> {
        // How many rows there are is the caller's to limit.
        let options =
            EngineOptions { sequences_max: usize::MAX, kept_bytes: KEPT_BYTES, ..EngineOptions::default() };
        let engine = Engine::with_prepared(self.ctx, self.model, self.prepared.clone(), options);
        Box::new(Batch { engine, rows: BTreeMap::new(), kept: BTreeMap::new(), next: 0 })
    }
}

/// Sequences of the model's engine as rows.
struct Batch<'a> {
    engine: Engine<'a>,
    rows: BTreeMap<SequenceId, RowId>,
    /// What was kept of rows that the last pass ended.
    kept: BTreeMap<RowId, Kept>,
    next: RowId,
}

impl Session for Batch<'_> {
    fn submit(&mut self, _adapter: &str, prompt: &[u32], sampling: &Sampling) -> Result<RowId, EngineError> {
        let Sampling { temperature, top_p, top_k, seed, max_tokens, stop: _ } = sampling;
        let request = Request {
            prompt: prompt.to_vec(),
            tokens_max: *max_tokens as usize,
            sampling: model::Sampling {
                temperature: *temperature,
                top_k: *top_k as usize,
                top_p: *top_p,
                seed: *seed,
            },
            stops: Vec::new(),
            stop_at_end: true,
            logprobs: None,
            adapter: None,
        };
        let sequence = self.engine.submit(request).map_err(|error| match error {
            GenerateError::NonFinite { .. } => failed(error),
            other => EngineError::Refused(other.to_string()),
        })?;
        let row = self.next;
        self.next += 1;
        self.rows.insert(sequence, row);
        Ok(row)
    }

    fn cancel(&mut self, row: RowId) {
        if let Some(sequence) = self.sequence(row) {
            self.engine.cancel(sequence);
            self.rows.remove(&sequence);
        }
    }

    fn passes(&mut self, row: RowId) -> Option<Passes> {
        let kept = match self.sequence(row) {
            Some(sequence) => self.engine.take_kept(sequence),
            None => self.kept.remove(&row),
        };
        kept.map(Passes::new)
    }

    fn step(&mut self) -> Result<Vec<(RowId, RowEvent)>, EngineError> {
        let mut events: Vec<(RowId, RowEvent)> = Vec::new();
        self.kept.clear();
        for step in self.engine.step().map_err(failed)? {
            let Some(row) = self.rows.get(&step.sequence).copied() else { continue };
            match step.event {
                Event::Token(choice) => events.push((row, RowEvent::Token(choice.token))),
                Event::Finished(answer) => {
                    self.rows.remove(&step.sequence);
                    self.kept.extend(self.engine.take_kept(step.sequence).map(|kept| (row, kept)));
                    let finish = match answer.finish {
                        Ended::End => {
                            // The token that ends a text is no part of it. It is the row's event before this one.
                            events.pop();
                            Finish::Stop
                        }
                        Ended::Stop => Finish::Stop,
                        Ended::Length | Ended::Context => Finish::Length,
                    };
                    events.push((row, RowEvent::Finished(finish)));
                }
            }
        }
        Ok(events)
    }
}

impl Batch<'_> {
    fn sequence(&self, row: RowId) -> Option<SequenceId> {
        self.rows.iter().find(|(_, known)| **known == row).map(|(sequence, _)| *sequence)
    }
}

struct Pieces<'a> {
    tokenizer: &'a Tokenizer,
    stream: TextStream,
}

impl Decoder for Pieces<'_> {
    fn push(&mut self, token: u32) -> Result<String, EngineError> {
        self.stream.push(self.tokenizer, token).map_err(failed)
    }

    fn finish(&mut self) -> Result<String, EngineError> {
        self.stream.finish(self.tokenizer).map_err(failed)
    }
}

impl Attributor for LanguageEngine {
    fn cache_root(&self) -> B256 {
        self.cache.commitment().root
    }

    fn rule(&self) -> Rule {
        self.cache.commitment().rule
    }

    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn score(&self, answer: &Scoring<'_>) -> Result<Scores, EngineError> {
        self.score_all(std::slice::from_ref(answer)).pop().unwrap_or_else(|| Err(failed("no score")))
    }

    fn score_all(&self, answers: &[Scoring<'_>]) -> Vec<Result<Scores, EngineError>> {
        let asked: Vec<Option<Asked>> = answers.iter().map(Asked::new).collect();
        let queries: Vec<Query<'_, Answered>> = asked
            .iter()
            .flatten()
            .map(|Asked { answered, spans, .. }| Query { item: answered, spans })
            .collect();
        let mut found = score_all(&self.ctx, &self.cache, &Answering(&self.language), &queries).into_iter();
        let nothing = || Scores { units: vec![0.0; self.units.len()], spans: Vec::new() };
        let scored = |asked: &Option<Asked>| match asked {
            // An answer without a token owes nobody.
            None => Ok(nothing()),
            Some(asked) => {
                let found = found.next().unwrap_or(Err(CacheError::Silent)).map_err(failed)?;
                Ok(asked.scores(&self.cache, &found))
            }
        };
        asked.iter().map(scored).collect()
    }
}

/// An answer as the cache is asked for it.
struct Asked {
    answered: Answered,
    spans: Vec<Range<usize>>,
    /// Tokens of a span.
    span_tokens: u32,
    tokens: u32,
}

impl Asked {
    fn new(answer: &Scoring<'_>) -> Option<Asked> {
        let Scoring { prompt, output, passes, .. } = *answer;
        if output.is_empty() {
            return None;
        }
        let kept = passes.and_then(Passes::take::<Kept>);
        let span_tokens = output.len().div_ceil(MAX_SPANS).max(MIN_SPAN_TOKENS);
        Some(Asked {
            answered: Answered::new(Example::answer(prompt, output), kept),
            spans: answer_spans(prompt.len(), output.len(), span_tokens),
            span_tokens: span_tokens as u32,
            tokens: output.len() as u32,
        })
    }

    fn scores(&self, cache: &Cache, found: &attribution::influence::query::Scores) -> Scores {
        let spans = (0u32..).zip(found.of_spans()).map(|(index, scores)| {
            let start = index * self.span_tokens;
            let units = highest(scores.iter().copied(), UNITS_PER_SPAN);
            SpanScores {
                tokens: start.min(self.tokens)..(start + self.span_tokens).min(self.tokens),
                units: units.into_iter().map(|scored| (scored.unit, scored.score)).collect(),
            }
        });
        Scores { units: cache.payable(found.total()), spans: spans.collect() }
    }
}
