//! The real engine: a transformer of the `model` crate and its tokenizer, which answers by itself and with adapters over it, and for each of these
//! models the attribution cache over what it was trained on.
//!
//! # Adapters
//! A LoRA adapter is a model of its own: on the ledger, at the API, and to its contributors. The base's weights are there once ([`LanguageEngine`]);
//! [`LanguageEngine::worker`] takes the base, or an adapter of it, into service with its own cache. Their rows share a batch.
//!
//! # Checkpoints
//! A model's answers are attributed by the gradients of the checkpoint that its cache was built over ([`Beside::Checkpoint`]), which is held beside the weights.
//!
//! # Conversations
//! A tokenizer with `<|im_start|>` gets ChatML; any other gets the turns' texts, a line each, which is what a model that only learned
//! texts can continue.

mod attributor;

use crate::{
    engine::{Decoder, EngineError, Generator, Passes, RowEvent, RowId, Session, Unit},
    fee::DATA_SHARE_BPS,
    request::{Finish, Message, Role, Sampling},
    worker::Worker,
};
use alloy_primitives::B256;
use attribution::influence::{cache::Cache, language::Language};
use attributor::LanguageAttributor;
use model::{
    Adapter, Model, Tokenizer,
    generate::{Engine, EngineOptions, Event, Finish as Ended, GenerateError, Request, SequenceId},
    network::{Kept, Prepared, Quantisation},
    tokenizer::TextStream,
};
use ops::Ctx;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Bytes of activations that a batch keeps for attribution: 37 MB is an answer of 256 tokens by a model of 10 million parameters.
const KEPT_BYTES: usize = 512 << 20;
/// Starts a turn in ChatML.
const TURN_START: &str = "<|im_start|>";
/// Ends a turn in ChatML.
const TURN_END: &str = "<|im_end|>";

/// A language model ready to answer, alone and with adapters over it.
pub struct LanguageEngine {
    model: &'static Model,
    prepared: Arc<Prepared>,
    tokenizer: Tokenizer,
    /// Whether an attribution goes on from the passes that generated an answer, so that sessions keep them.
    keeps: AtomicBool,
    ctx: Ctx,
}

/// Why model, adapter, cache and units do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MismatchError {
    /// The cache was built over other weights, or with another adapter or none.
    #[error(
        "the attribution cache is of the model {cached}, these weights, with their adapter if there is one, are {model}: take the cache that was \
         built over them, or build it again"
    )]
    OtherModel { cached: B256, model: B256 },
    /// The units are not the cache's.
    #[error(
        "unit {0} is not the cache's: items, owners and their order must be those the cache was built from"
    )]
    OtherUnits(usize),
    /// The tokenizer has tokens that the model has not.
    #[error("the tokenizer has {tokenizer} tokens, the model {model}: they are not of one model")]
    OtherTokenizer { tokenizer: usize, model: usize },
    /// The adapter was made for layers of other sizes.
    #[error(
        "the adapter's factors do not fit the model's layers: give the base model that it was trained over"
    )]
    OtherBase,
    /// The checkpoint has another architecture.
    #[error("the checkpoint to attribute at is none of this model's training: its architecture differs")]
    OtherCheckpoint,
}

/// What a model on the ledger has beside the engine's weights. Its memory is never given back.
#[derive(Default)]
pub enum Beside {
    /// Nothing: the weights answer, and are attributed.
    #[default]
    Nothing,
    /// An adapter over them: the two answer, and its factors are attributed.
    Adapter(Adapter),
    /// An earlier checkpoint of their training: the weights answer, and the checkpoint's gradients say whom they owe.
    Checkpoint(Box<Model>),
}

impl From<Option<Adapter>> for Beside {
    fn from(adapter: Option<Adapter>) -> Beside {
        adapter.map_or(Beside::Nothing, Beside::Adapter)
    }
}

impl LanguageEngine {
    /// Takes a model into service, for as long as the process runs: its memory is never given back.
    pub fn new(model: Model, tokenizer: Tokenizer, ctx: Ctx) -> Result<Arc<LanguageEngine>, MismatchError> {
        let vocabulary = model.config.vocabulary;
        if tokenizer.vocabulary() > vocabulary {
            return Err(MismatchError::OtherTokenizer {
                tokenizer: tokenizer.vocabulary(),
                model: vocabulary,
            });
        }
        // The attributions borrow the model, and all live in one value.
        let model: &'static Model = Box::leak(Box::new(model));
        let prepared = Arc::new(Prepared::new(model, Quantisation::None));
        Ok(Arc::new(LanguageEngine { model, prepared, tokenizer, keeps: AtomicBool::new(false), ctx }))
    }

    /// The model whose weights they are.
    pub fn model(&self) -> &Model {
        self.model
    }

    /// Answers as the model `id` of the ledger. `units` says to whom the cache's units belong, in the cache's order.
    pub fn worker(
        self: &Arc<Self>,
        id: B256,
        name: &str,
        beside: Beside,
        cache: Cache,
        units: Vec<Unit>,
    ) -> Result<Worker, MismatchError> {
        let mut over: Option<&'static Arc<Adapter>> = None;
        let language = match beside {
            Beside::Nothing => {
                self.keeps.store(true, Ordering::Relaxed);
                Language::with_prepared(self.model, None, self.prepared.clone())
            }
            Beside::Adapter(adapter) if !fits(&adapter, self.model) => return Err(MismatchError::OtherBase),
            Beside::Adapter(adapter) => {
                let adapter = over.insert(Box::leak(Box::new(Arc::new(adapter))));
                Language::with_prepared(self.model, Some(adapter), self.prepared.clone())
            }
            Beside::Checkpoint(checkpoint) if checkpoint.config != self.model.config => {
                return Err(MismatchError::OtherCheckpoint);
            }
            Beside::Checkpoint(checkpoint) => Language::at(self.model, Box::leak(checkpoint)),
        };
        let attributor = LanguageAttributor::new(language, cache, units, self.ctx)?;
        Ok(Worker {
            model: id,
            name: name.into(),
            generator: self.clone(),
            adapter: over.cloned(),
            attributor: Arc::new(attributor),
            data_share_bps: DATA_SHARE_BPS,
        })
    }
}

/// Whether every factor has the shape that the model's layers give it.
fn fits(adapter: &Adapter, model: &Model) -> bool {
    let shapes = adapter.tensor_specs(&model.layout);
    let sizes = shapes.iter().map(|(_, [rows, columns])| rows * columns);
    sizes.eq(adapter.tensors().map(Vec::len))
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
        let kept_bytes = if self.keeps.load(Ordering::Relaxed) { KEPT_BYTES } else { 0 };
        let options = EngineOptions { sequences_max: usize::MAX, kept_bytes, ..EngineOptions::default() };
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
    fn submit(
        &mut self,
        adapter: Option<&Arc<Adapter>>,
        prompt: &[u32],
        sampling: &Sampling,
    ) -> Result<RowId, EngineError> {
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
            adapter: adapter.cloned(),
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
