//! `train`, `finetune` and `replay`.

use super::corpus::Corpus;
use super::{CommandError, context};
use crate::batch::Example;
use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::data::{Items, Order, TrainingData, Windows};
use crate::directory::{read_text, write_json};
use crate::lora::AdapterOptions;
use crate::tokenizer::Tokenizer;
use crate::train::{
    self, ADAPTER_DIR, MODEL_DIR, Observer, ReplayOptions, ReplayReport, RunOutcome, RunSettings,
    TrainOptions, Trained,
};
use crate::weights::Model;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Name of the file that remembers what a run was made from.
const SOURCE_FILE: &str = "source.json";
/// Directory of the tokenizer inside a run.
const TOKENIZER_DIR: &str = "tokenizer";
const SOURCE_BYTES_MAX: u64 = 16 << 20;

/// Sizes of a new model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Llama-like (RMS norm, RoPE, SwiGLU) or GPT-2-like without biases (nanoGPT).
    pub llama: bool,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads (Llama-like only).
    pub kv_heads: usize,
    /// Width.
    pub hidden: usize,
    /// Longest sequence.
    pub context: usize,
}

impl Architecture {
    /// The configuration with a tokenizer of this size.
    pub fn config(&self, vocabulary: usize) -> Config {
        if self.llama {
            Config::llama(vocabulary, self.layers, self.heads, self.kv_heads, self.hidden, self.context)
        } else {
            Config::gpt(vocabulary, self.layers, self.heads, self.hidden, self.context)
        }
    }
}

/// Where a new model's tokenizer comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerChoice {
    /// One token per character of the texts.
    Characters,
    /// Byte-level BPE of this vocabulary, learned from the texts.
    Bpe(usize),
    /// `tokenizer.json` of a directory.
    Directory(PathBuf),
}

/// A new model from texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainTextOptions {
    /// Text files and `.jsonl` files.
    pub texts: Vec<PathBuf>,
    /// Tokenizer.
    pub tokenizer: TokenizerChoice,
    /// Sizes.
    pub architecture: Architecture,
    /// Part of the tokens (from the end) that is kept for validation.
    pub validation: f64,
    /// Hyperparameters.
    pub train: TrainOptions,
    /// Threads; 0 means all. They change no bit.
    pub threads: usize,
}

/// More training of a model that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FineTuneOptions {
    /// The model's directory.
    pub base: PathBuf,
    /// `.jsonl` files of prompts and answers, or texts.
    pub examples: Vec<PathBuf>,
    /// An adapter, or all weights if none.
    pub adapter: Option<AdapterOptions>,
    /// Longest example in tokens; the model's context bounds it too.
    pub context: usize,
    /// Every how manieth example is kept for validation; 0 keeps none.
    pub validation_every: usize,
    /// Hyperparameters.
    pub train: TrainOptions,
    /// Threads; 0 means all.
    pub threads: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Train(TrainTextOptions),
    Finetune(FineTuneOptions),
}

/// What a run was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FitResult {
    /// The run.
    pub outcome: RunOutcome,
    /// Where the model or adapter is.
    pub result: PathBuf,
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Examples that can be drawn.
    pub examples: u64,
    /// Mean validation loss at the end, in nats per token.
    pub validation_loss: Option<f64>,
    /// Seconds of this call.
    pub seconds: f64,
}

/// A replay of a run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRun {
    /// First and last step.
    pub steps: ReplayOptions,
    /// Threads; 0 means all.
    pub threads: usize,
}

/// Everything a run is made from.
struct Prepared {
    model: Model,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    data: Box<dyn TrainingData>,
    validation: Option<Box<dyn TrainingData>>,
    train: TrainOptions,
    threads: usize,
}

/// Trains a new model in `dir`, or goes on with what is there.
///
/// # Errors
/// When texts, sizes or hyperparameters cannot be used.
pub fn train(
    dir: &Path,
    options: TrainTextOptions,
    settings: RunSettings,
    observer: &mut dyn Observer,
) -> Result<FitResult, CommandError> {
    let prepared = prepare_train(&options, Some(&dir.join(TOKENIZER_DIR)))?;
    fit(dir, Source::Train(options), prepared, settings, observer)
}

/// Trains an adapter (or all weights) of a model on examples, or goes on with what is there.
///
/// # Errors
/// When the model, examples or hyperparameters cannot be used.
pub fn finetune(
    dir: &Path,
    options: FineTuneOptions,
    settings: RunSettings,
    observer: &mut dyn Observer,
) -> Result<FitResult, CommandError> {
    let prepared = prepare_finetune(&options)?;
    fit(dir, Source::Finetune(options), prepared, settings, observer)
}

/// Executes steps of a run again and compares. The files that it was made from must still be where they were.
///
/// # Errors
/// When files are missing or are not those of the run. A difference is a result.
pub fn replay(
    dir: &Path,
    options: &ReplayRun,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ReplayReport, CommandError> {
    let text = read_text(&dir.join(SOURCE_FILE), SOURCE_BYTES_MAX)?;
    let io = |e: serde_json::Error| CommandError::Io { path: dir.join(SOURCE_FILE), source: e.into() };
    let prepared = match serde_json::from_str(&text).map_err(io)? {
        Source::Train(options) => prepare_train(&options, Some(&dir.join(TOKENIZER_DIR)))?,
        Source::Finetune(options) => prepare_finetune(&options)?,
    };
    let ctx = context(options.threads);
    Ok(train::replay(ctx, dir, prepared.model, prepared.data.as_ref(), options.steps, progress)?)
}

fn prepare_train(
    options: &TrainTextOptions,
    known_tokenizer: Option<&Path>,
) -> Result<Prepared, CommandError> {
    let corpus = Corpus::read(&options.texts)?;
    let template = ChatTemplate::simple();
    // A run that goes on has learned its tokenizer already.
    let known = known_tokenizer.filter(|d| d.exists());
    let tokenizer = match (known, &options.tokenizer) {
        (Some(dir), _) => Tokenizer::load(dir)?,
        (None, TokenizerChoice::Directory(dir)) => Tokenizer::load(dir)?,
        (None, TokenizerChoice::Characters) => Tokenizer::characters(&corpus.texts(&template)?.concat())?,
        (None, TokenizerChoice::Bpe(vocabulary)) => {
            let texts = corpus.texts(&template)?;
            Tokenizer::train_bpe(texts.iter().map(String::as_str), *vocabulary, &[END_TEXT])?
        }
    };
    let end = tokenizer.token(END_TEXT);
    let tokens = corpus.tokens(&tokenizer, &template, end)?;
    let kept = (tokens.len() as f64 * options.validation.clamp(0.0, 0.9)) as usize;
    let (train_tokens, validation_tokens) = tokens.split_at(tokens.len() - kept);
    let context = options.architecture.context;
    let data = Box::new(Windows::new(train_tokens.to_vec(), context)?);
    let validation = (validation_tokens.len() > context)
        .then(|| Windows::new(validation_tokens.to_vec(), context))
        .transpose()?
        .map(|w| Box::new(w) as Box<dyn TrainingData>);
    let config = Config {
        end_tokens: end.into_iter().collect(),
        ..options.architecture.config(tokenizer.vocabulary())
    };
    let model = Model::initial(config, options.train.seed)?;
    let train = options.train.clone();
    Ok(Prepared { model, tokenizer, template, data, validation, train, threads: options.threads })
}

fn prepare_finetune(options: &FineTuneOptions) -> Result<Prepared, CommandError> {
    let model = Model::load(&options.base)?;
    let tokenizer = Tokenizer::load(&options.base)?;
    let template = ChatTemplate::load(&options.base)?.unwrap_or_else(ChatTemplate::simple);
    let end = model.config.end_tokens.first().copied();
    let context = options.context.clamp(1, model.config.context);
    let all = Corpus::read(&options.examples)?.examples(&tokenizer, &template, context, end)?;
    let every = options.validation_every;
    let is_kept = |i: &usize| every > 0 && i % every == every - 1;
    let pick = |kept: bool| -> Vec<Example> {
        all.iter().enumerate().filter(|(i, _)| is_kept(i) == kept).map(|(_, e)| e.clone()).collect()
    };
    let held_out = pick(true);
    let validation = (!held_out.is_empty()).then(|| Items::new(held_out)).transpose()?;
    let trained = options.adapter.clone().map_or(Trained::Weights, Trained::Adapter);
    Ok(Prepared {
        model,
        tokenizer,
        template,
        data: Box::new(Items::new(pick(false))?),
        validation: validation.map(|v| Box::new(v) as Box<dyn TrainingData>),
        train: TrainOptions { trained, ..options.train.clone() },
        threads: options.threads,
    })
}

/// Special token that ends a document in vocabularies made here.
const END_TEXT: &str = "<|end|>";

fn fit(
    dir: &Path,
    source: Source,
    prepared: Prepared,
    settings: RunSettings,
    observer: &mut dyn Observer,
) -> Result<FitResult, CommandError> {
    let started = Instant::now();
    let io = |path: PathBuf| move |source| CommandError::Io { path, source };
    std::fs::create_dir_all(dir).map_err(io(dir.into()))?;
    let path = dir.join(SOURCE_FILE);
    write_json(&path, &source).map_err(io(path.clone()))?;
    let Prepared { model, tokenizer, template, data, validation, train, threads } = prepared;
    tokenizer.save(&dir.join(TOKENIZER_DIR))?;
    let adapter = matches!(train.trained, Trained::Adapter(_));
    let (parameters, examples) = (model.config.parameters(), data.count());
    let mut validation_loss = None;
    let mut watch = |p: &train::Progress| {
        validation_loss = p.validation_loss.or(validation_loss);
        observer.step(p)
    };
    let hash = Some(tokenizer.hash());
    let validation = validation.as_deref();
    let outcome = train::run(
        context(threads),
        dir,
        model,
        data.as_ref(),
        validation,
        hash,
        train,
        settings,
        &mut watch,
    )?;
    let result = dir.join(if adapter { ADAPTER_DIR } else { MODEL_DIR });
    if outcome.finished && !adapter {
        tokenizer.save(&result)?;
        template.save(&result)?;
    }
    Ok(FitResult {
        outcome,
        result,
        parameters,
        vocabulary: tokenizer.vocabulary(),
        examples,
        validation_loss,
        seconds: started.elapsed().as_secs_f64(),
    })
}

impl Default for TrainTextOptions {
    fn default() -> Self {
        let architecture =
            Architecture { llama: true, layers: 4, heads: 4, kv_heads: 4, hidden: 128, context: 256 };
        let train = TrainOptions { order: Order::Random, ..TrainOptions::new(500, 16) };
        let tokenizer = TokenizerChoice::Bpe(2048);
        TrainTextOptions { texts: Vec::new(), tokenizer, architecture, validation: 0.1, train, threads: 0 }
    }
}
