//! Continuous batching: sequences come and go, every pass advances all that are there.

use super::cache::Cache;
use super::sampling::{TokenChoice, choose};
use super::{ANSWER_TOKENS_MAX, Answer, GenerateError, LOGPROBS_MAX, Request, STOP_TOKENS_MAX, STOPS_MAX};
use crate::config::Config;
use crate::network::{
    AdapterRows, CachedSequence, Kept, LayerActivations, Parameters, Prepared, Quantisation, Sequences,
    embed, head_logits, last_norm, layer_forward, rope_table,
};
use crate::taps::Hooks;
use crate::weights::Model;
use ops::{Ctx, RopeTable, check_finite};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Limits of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Sequences that are advanced together; more wait.
    pub sequences_max: usize,
    /// Rows of a pass; long prompts are read in pieces of what is left after one row for each generating sequence.
    pub rows_max: usize,
    /// Weights of generation.
    pub quantisation: Quantisation,
    /// Bytes of activations that are kept for the sequences' backward passes ([`Engine::take_kept`]). A sequence that could exceed what is left is not
    /// kept, and neither is one with an adapter or of quantised weights.
    pub kept_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions { sequences_max: 64, rows_max: 512, quantisation: Quantisation::None, kept_bytes: 0 }
    }
}

/// Number of a sequence, never used twice by an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(u64);

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// An end token of the model.
    End,
    /// A stop sequence.
    Stop,
    /// The request's limit of tokens.
    Length,
    /// The model's context is full.
    Context,
}

/// What a pass did to a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new token. It may turn out to be part of a stop sequence: [`Answer::tokens`] then leaves it out.
    Token(TokenChoice),
    /// The answer is complete.
    Finished(Answer),
}

/// An event of one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which sequence.
    pub sequence: SequenceId,
    /// What happened.
    pub event: Event,
}

struct Running {
    id: SequenceId,
    request: Request,
    cache: Cache,
    /// Tokens not yet in the cache: rest of the prompt, or the last generated one.
    pending: Vec<u32>,
    choices: Vec<TokenChoice>,
    /// Its rows' activations.
    kept: Option<Kept>,
}

/// Generates for many requests over one model.
pub struct Engine<'m> {
    ctx: Ctx,
    model: &'m Model,
    prepared: Arc<Prepared>,
    options: EngineOptions,
    rope: Option<(usize, RopeTable)>,
    next: u64,
    waiting: VecDeque<Running>,
    running: Vec<Running>,
    /// What was kept of sequences that ended.
    ended: Vec<(SequenceId, Kept)>,
    /// Bytes of all that was kept and is still there, taken or not.
    kept_bytes: Arc<AtomicUsize>,
    acts: LayerActivations,
    hidden: Vec<f32>,
    logits: Vec<f32>,
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("running", &self.running.len())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl<'m> Engine<'m> {
    /// Prepares a model's weights and starts with no sequence.
    pub fn new(ctx: Ctx, model: &'m Model, options: EngineOptions) -> Engine<'m> {
        let prepared = Arc::new(Prepared::new(model, options.quantisation));
        Engine::with_prepared(ctx, model, prepared, options)
    }

    /// Starts with weights that are already prepared (from the same model, with the same quantisation).
    pub fn with_prepared(
        ctx: Ctx,
        model: &'m Model,
        prepared: Arc<Prepared>,
        options: EngineOptions,
    ) -> Engine<'m> {
        Engine {
            ctx,
            model,
            prepared,
            options,
            rope: None,
            next: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            ended: Vec::new(),
            kept_bytes: Arc::default(),
            acts: LayerActivations::default(),
            hidden: Vec::new(),
            logits: Vec::new(),
        }
    }

    /// Takes a request; it joins the batch at the next pass with room.
    ///
    /// # Errors
    /// When it is not valid for the model.
    pub fn submit(&mut self, request: Request) -> Result<SequenceId, GenerateError> {
        check(&self.model.config, &request)?;
        let id = SequenceId(self.next);
        self.next += 1;
        let pending = request.prompt.clone();
        let cache = Cache::new(&self.model.config);
        self.waiting.push_back(Running { id, request, cache, pending, choices: Vec::new(), kept: None });
        Ok(id)
    }

    /// Drops a sequence; the others go on as if it had never been there.
    pub fn cancel(&mut self, id: SequenceId) {
        self.waiting.retain(|s| s.id != id);
        self.running.retain(|s| s.id != id);
        self.ended.retain(|(ended, _)| *ended != id);
    }

    /// What was kept of a sequence, once. It takes room until it is dropped, or the sequence is cancelled before it is taken.
    pub fn take_kept(&mut self, id: SequenceId) -> Option<Kept> {
        let ended = self.ended.iter().position(|(ended, _)| *ended == id);
        if let Some(at) = ended {
            return Some(self.ended.swap_remove(at).1);
        }
        let running = self.running.iter_mut().find(|s| s.id == id)?;
        running.kept.take()
    }

    /// Room for what a sequence may keep, if there is enough.
    fn keep(&self, request: &Request) -> Option<Kept> {
        let config = &self.model.config;
        if request.adapter.is_some() || self.options.quantisation != Quantisation::None {
            return None;
        }
        let rows = request.prompt.len().saturating_add(request.tokens_max).min(config.context);
        Kept::new(config, rows, &self.kept_bytes, self.options.kept_bytes)
    }

    /// Whether no sequence is left.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// One pass over all sequences that are there.
    ///
    /// # Errors
    /// When the model's output is not finite: its weights are broken.
    pub fn step(&mut self) -> Result<Vec<Step>, GenerateError> {
        while self.running.len() < self.options.sequences_max.max(1) {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            sequence.kept = self.keep(&sequence.request);
            self.running.push(sequence);
        }
        let rows = self.plan();
        let total: usize = rows.iter().sum();
        if total == 0 {
            return Ok(Vec::new());
        }
        let ctx = self.ctx;
        if !ops::team(&ctx, || self.forward(&rows, total)) {
            let tokens = self.running.iter().map(|s| s.cache.length).max().unwrap_or(0);
            return Err(GenerateError::NonFinite { tokens });
        }
        let mut steps = Vec::new();
        let vocabulary = self.model.config.vocabulary;
        let ready = self.running.iter_mut().filter(|s| s.pending.is_empty());
        for (sequence, logits) in ready.zip(self.logits.chunks_exact(vocabulary)) {
            if check_finite(&self.ctx, logits).is_err() {
                return Err(GenerateError::NonFinite { tokens: sequence.cache.length });
            }
            let n = sequence.choices.len() as u64;
            let choice = choose(&self.ctx, logits, &sequence.request.sampling, n, sequence.request.logprobs);
            sequence.pending.push(choice.token);
            sequence.choices.push(choice.clone());
            steps.push(Step { sequence: sequence.id, event: Event::Token(choice) });
            if let Some(answer) = finished(&self.model.config, sequence) {
                steps.push(Step { sequence: sequence.id, event: Event::Finished(answer) });
            }
        }
        for step in &steps {
            if matches!(step.event, Event::Finished(_))
                && let Some(at) = self.running.iter().position(|s| s.id == step.sequence)
                && let Some(kept) = self.running.remove(at).kept
            {
                self.ended.push((step.sequence, kept));
            }
        }
        Ok(steps)
    }

    /// Rows of each running sequence in this pass: one for those that generate, the rest of the room for prompts in their order.
    fn plan(&self) -> Vec<usize> {
        let generating = self.running.iter().filter(|s| s.pending.len() == 1).count();
        let mut room = self.options.rows_max.max(1).saturating_sub(generating);
        let mut rows: Vec<usize> = Vec::with_capacity(self.running.len());
        for s in &self.running {
            let n = if s.pending.len() == 1 { 1 } else { s.pending.len().min(room) };
            if s.pending.len() != 1 {
                room -= n;
            }
            rows.push(n);
        }
        // A pass must move something even if every row is taken by limits that are too small.
        if rows.iter().all(|n| *n == 0)
            && let Some(first) = rows.first_mut()
        {
            *first = 1;
        }
        rows
    }

    /// One pass; false if a quantised layer read NaN or infinity.
    fn forward(&mut self, rows: &[usize], total: usize) -> bool {
        let (config, model) = (&self.model.config, self.model);
        let (mut tokens, mut positions) = (Vec::with_capacity(total), Vec::with_capacity(total));
        for (s, n) in self.running.iter_mut().zip(rows) {
            if let Some(kept) = &mut s.kept {
                kept.begin(&s.pending[..*n]);
            }
            tokens.extend(s.pending.drain(..*n));
            positions.extend(s.cache.length as u32..(s.cache.length + n) as u32);
            s.cache.reserve(*n);
        }
        let needed = self.running.iter().zip(rows).map(|(s, n)| s.cache.length + n).max().unwrap_or(0);
        if self.rope.as_ref().is_none_or(|(have, _)| *have < needed) {
            let room = needed.next_multiple_of(256).min(config.context);
            self.rope = rope_table(model, room).map(|t| (room, t));
        }
        let rope = self.rope.as_ref().map(|(_, t)| t);
        let mut first = 0;
        let mut ranges = Vec::new();
        for (s, n) in self.running.iter().zip(rows) {
            if let (Some(adapter), true) = (&s.request.adapter, *n > 0) {
                ranges.push((first..first + n, adapter.clone()));
            }
            first += n;
        }
        let adapters = AdapterRows::mixed(ranges.iter().map(|(r, a)| (r.clone(), &**a)).collect());
        let parameters = Parameters::prepared(&model.weights, &self.prepared);
        let quantised = self.options.quantisation != Quantisation::None;
        self.acts.fit(config, total);
        self.hidden.resize(total * config.hidden, 0.0);
        embed(&self.ctx, model, &tokens, &positions, &mut self.acts.input);
        for layer in 0..config.layers {
            let mut cached: Vec<CachedSequence<'_>> = self
                .running
                .iter_mut()
                .zip(rows)
                .filter(|(_, n)| **n > 0)
                .map(|(s, n)| {
                    let Cache { length, layers } = &mut s.cache;
                    CachedSequence { start: *length, rows: *n, cache: &mut layers[layer] }
                })
                .collect();
            layer_forward(
                &self.ctx,
                model,
                &parameters,
                layer,
                &adapters,
                rope,
                &positions,
                &mut Sequences::Cached(&mut cached),
                &mut self.acts,
                &mut self.hidden,
                &mut Hooks::none(),
            );
            let mut first = 0;
            for (s, n) in self.running.iter_mut().zip(rows) {
                if let Some(kept) = &mut s.kept {
                    kept.block(config, layer, &self.acts, first..first + n, total);
                }
                first += n;
            }
            std::mem::swap(&mut self.acts.input, &mut self.hidden);
            if quantised && !self.acts.is_finite(&self.ctx) {
                return false;
            }
        }
        // Logits of the last row of each sequence whose tokens are all in.
        let d = config.hidden;
        let (mut end, mut last_rows) = (0, Vec::new());
        for (s, n) in self.running.iter_mut().zip(rows) {
            end += n;
            s.cache.length += n;
            if let Some(kept) = &mut s.kept {
                kept.end(config, &self.acts.input[(end - n) * d..end * d]);
            }
            if s.pending.is_empty() {
                last_rows.extend_from_slice(&self.acts.input[(end - 1) * d..end * d]);
            }
        }
        let count = last_rows.len() / d;
        let normed = last_norm(&self.ctx, model, &parameters, &last_rows);
        if quantised && check_finite(&self.ctx, &normed).is_err() {
            return false;
        }
        self.logits.resize(count * config.vocabulary, 0.0);
        head_logits(&self.ctx, &parameters, &model.layout.head, count, &normed, &mut self.logits);
        true
    }
}

fn check(config: &Config, request: &Request) -> Result<(), GenerateError> {
    if request.prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    if request.prompt.len() >= config.context {
        return Err(GenerateError::Context { prompt: request.prompt.len(), context: config.context });
    }
    let all = request.prompt.iter().chain(request.stops.iter().flatten());
    if let Some(token) = all.into_iter().find(|t| **t as usize >= config.vocabulary) {
        return Err(GenerateError::Token { token: *token, vocabulary: config.vocabulary });
    }
    let setting =
        |name, value: usize, allowed| Err(GenerateError::Setting { name, value: value.to_string(), allowed });
    if request.tokens_max == 0 || request.tokens_max > ANSWER_TOKENS_MAX {
        return setting("tokens_max", request.tokens_max, "1 to 1048576");
    }
    if request.stops.len() > STOPS_MAX {
        return setting("number of stop sequences", request.stops.len(), "at most 16");
    }
    if let Some(stop) = request.stops.iter().find(|s| s.is_empty() || s.len() > STOP_TOKENS_MAX) {
        return setting("length of a stop sequence", stop.len(), "1 to 64 tokens");
    }
    if let Some(n) = request.logprobs.filter(|n| *n > LOGPROBS_MAX) {
        return setting("logprobs", n, "at most 20");
    }
    request.sampling.check()
}

/// The answer, if the last token ended it.
fn finished(config: &Config, s: &Running) -> Option<Answer> {
    let tokens: Vec<u32> = s.choices.iter().map(|c| c.token).collect();
    let last = *tokens.last()?;
    let answer = |kept: usize, finish| {
        Some(Answer { tokens: tokens[..kept].to_vec(), choices: s.choices.clone(), finish })
    };
    if s.request.stop_at_end && config.end_tokens.contains(&last) {
        return answer(tokens.len() - 1, Finish::End);
    }
    if let Some(stop) = s.request.stops.iter().find(|stop| tokens.ends_with(stop)) {
        return answer(tokens.len() - stop.len(), Finish::Stop);
    }
    if tokens.len() >= s.request.tokens_max {
        return answer(tokens.len(), Finish::Length);
    }
    // The new token itself takes a position when it is read.
    if s.cache.length + 1 > config.context {
        return answer(tokens.len(), Finish::Context);
    }
    None
}
