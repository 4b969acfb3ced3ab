//! The base model, its fine-tunes, and what fine-tuning on halves does: the ground truth, kept file by file so that a run that was cut off goes on.

use crate::data::Data;
use anyhow::{Context as _, Result};
use model::{
    Activations, Adapter, AdapterOptions, Batch, Config, Example, Model, TrainOptions, Trainer,
    data::{Items, Order, Windows},
    directory::SaveOptions,
    network::losses,
    optimizer::OptimizerOptions,
    schedule::Schedule,
    train::Trained,
};
use ops::{Ctx, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

const NEVER: u64 = 1 << 20;
const BASE_BATCH: usize = 16;
/// Stream of the halves that attributed models are trained on.
const MODELS_STREAM: u64 = 3;
/// First seed of such models.
const HALVED_SEED: u64 = 100;

/// Shape and training of the base.
pub struct Base {
    pub layers: usize,
    pub width: usize,
    pub context: usize,
    pub steps: u64,
}

/// Trains the base on the text, or reads it.
pub fn base(data: &Data, base: &Base, folder: &Path) -> Result<Model> {
    if let Ok(model) = Model::load(folder) {
        return Ok(model);
    }
    let heads = (base.width / 32).max(1);
    let config = Config::gpt(data.tokenizer.vocabulary(), base.layers, heads, base.width, base.context);
    let options = TrainOptions {
        order: Order::Random,
        state_root_every: NEVER,
        checkpoint_every: NEVER,
        ..TrainOptions::new(base.steps, BASE_BATCH)
    };
    let windows = Windows::new(data.base.clone(), base.context)?;
    let (start, model) = (Instant::now(), Model::initial(config, 1)?);
    let mut trainer = Trainer::new(Ctx::detect(), model, &windows, None, options)?;
    for step in 1..=base.steps {
        let record = trainer.step(&windows)?;
        if step % 100 == 0 || step == base.steps {
            eprintln!("base, step {step}: loss {:.3}, {:.0} s", record.loss, start.elapsed().as_secs_f64());
        }
    }
    let model = trainer.into_model().0;
    fs::create_dir_all(folder)?;
    model.save(folder, SaveOptions::default())?;
    data.tokenizer.save(folder)?;
    Ok(model)
}

/// How adapters are trained: a full fine-tune and every retraining alike, but for the items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    pub rank: usize,
    pub epochs: usize,
    pub batch: usize,
    pub rate: f32,
}

impl Tuning {
    /// The adapter after each epoch on `items`.
    pub fn train(&self, base: &Model, items: Vec<Example>, seed: u64) -> Result<Vec<Adapter>> {
        let of_epoch = items.len().div_ceil(self.batch) as u64;
        let items = Items::new(items)?;
        let adapter = AdapterOptions { rank: self.rank, alpha: 2.0 * self.rank as f32, targets: vec![] };
        let optimizer = OptimizerOptions::Adamw { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 };
        let options = TrainOptions {
            seed,
            optimizer,
            schedule: Schedule::cosine(self.rate, of_epoch / 2),
            trained: Trained::Adapter(adapter),
            state_root_every: NEVER,
            checkpoint_every: NEVER,
            ..TrainOptions::new(of_epoch * self.epochs as u64, self.batch)
        };
        let mut trainer = Trainer::new(Ctx::single(), base.clone(), &items, None, options)?;
        let mut after = vec![];
        for step in 1..=of_epoch * self.epochs as u64 {
            trainer.step(&items)?;
            if step % of_epoch == 0 {
                after.push(trainer.adapter().context("an adapter is trained")?.clone());
            }
        }
        Ok(after)
    }

    /// Fine-tunes on which to attribute, or what is there of them: `[model][epoch]`, each under its own seed, on all items or on a half of them (drawn
    /// from another stream than those of the retrainings).
    pub fn models(
        &self,
        base: &Model,
        data: &Data,
        models: u64,
        on: On,
        folder: &Path,
    ) -> Result<Vec<Vec<Adapter>>> {
        let one = |number: u64| -> Result<Vec<Adapter>> {
            let (name, seed, items) = match on {
                On::All => ("adapter", number, data.items.clone()),
                On::Items => {
                    let members = half(data.items.len(), number as usize, MODELS_STREAM);
                    ("adapter-of-items", HALVED_SEED + number, data.of_items(&members))
                }
                On::Sources => {
                    let members = half(data.sources.len(), number as usize, MODELS_STREAM);
                    ("adapter-of-sources", HALVED_SEED + number, data.of_sources(&members))
                }
            };
            let path = |epoch: usize| folder.join(format!("{name}-{number}/epoch-{}", epoch + 1));
            let kept: Result<Vec<Adapter>, _> =
                (0..self.epochs).map(|e| Adapter::load(&path(e), base)).collect();
            if let Ok(kept) = kept {
                return Ok(kept);
            }
            let after = self.train(base, items, seed)?;
            for (epoch, adapter) in after.iter().enumerate() {
                adapter.save(&path(epoch), base)?;
            }
            Ok(after)
        };
        (0..models).into_par_iter().map(one).collect()
    }
}

/// What a fine-tune learns from.
#[derive(Clone, Copy)]
pub enum On {
    All,
    /// A half of the items.
    Items,
    /// The items of a half of the sources.
    Sources,
}

/// Mean loss of each query.
pub fn query_losses(base: &Model, adapter: Option<&Adapter>, queries: &[Example]) -> Result<Vec<f64>> {
    let (ctx, mut acts) = (Ctx::single(), Activations::default());
    let loss = |q: &Example| {
        let batch = Batch::new(&base.config, [q])?;
        Ok(losses(&ctx, base, adapter, &batch, &mut acts).mean())
    };
    queries.iter().map(loss).collect()
}

/// Half number `number` of `0..count`: even and odd numbers are complements.
pub fn half(count: usize, number: usize, seed: u64) -> Vec<u32> {
    let stream = Stream::new(seed, number as u64 / 2);
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_by_key(|member| (stream.word(u64::from(*member)), *member));
    let (first, second) = order.split_at(count / 2);
    let mut half = if number.is_multiple_of(2) { first.to_vec() } else { second.to_vec() };
    half.sort_unstable();
    half
}

/// What training on one half gave.
#[derive(Clone, Serialize, Deserialize)]
pub struct Half {
    tuning: Tuning,
    /// Items or sources.
    pub members: Vec<u32>,
    /// Mean loss of each query.
    pub losses: Vec<f64>,
}

/// Trains on `halves` of the items (`by_source`: of the sources) under a seed, two at a time; `progress` says how far it is.
pub fn halves(
    base: &Model,
    data: &Data,
    tuning: &Tuning,
    by_source: bool,
    halves: usize,
    seed: u64,
    folder: &Path,
) -> Result<Vec<Half>> {
    fs::create_dir_all(folder)?;
    let (what, count) = if by_source { ("source", data.sources.len()) } else { ("item", data.items.len()) };
    let (start, done) = (Instant::now(), AtomicUsize::new(0));
    let one = |number: usize| -> Result<Half> {
        let members = half(count, number, if by_source { 2 } else { 1 });
        let path = folder.join(format!("{what}-{number:03}-{seed}.json"));
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Half>(&text).ok());
        let fits =
            |h: &Half| (&h.tuning, &h.members, h.losses.len()) == (tuning, &members, data.queries.len());
        if let Some(kept) = kept.filter(fits) {
            return Ok(kept);
        }
        let items = if by_source { data.of_sources(&members) } else { data.of_items(&members) };
        let after = tuning.train(base, items, seed)?;
        let losses = query_losses(base, after.last(), &data.queries)?;
        let half = Half { tuning: tuning.clone(), members, losses };
        let draft = path.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(&half)?)?;
        fs::rename(&draft, &path)?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        eprintln!("{what}, seed {seed}: {done} halves, {:.0} s", start.elapsed().as_secs_f64());
        Ok(half)
    };
    (0..halves).into_par_iter().map(one).collect()
}
