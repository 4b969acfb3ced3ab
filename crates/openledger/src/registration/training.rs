//! Training whose checkpoints are on the ledger before it goes on.

use super::Models;
use crate::serving::{ServedUnit, attributed};
use alloy_primitives::B256;
use model::{
    Adapter, Config, Layout, Model, Progress, Tokenizer, TrainOptions,
    data::Items,
    train::{self, Trained},
};
use ops::{Ctx, OP_SET_VERSION};
use primitives::{Domain, hash::hash};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// What training starts from.
pub enum Start {
    /// Weights of this shape, drawn by the beacon's seed.
    Drawn(Config),
    /// The weights of a base, which stay; the adapter over them is drawn by the beacon's seed.
    Base {
        /// The base's id on the ledger.
        id: B256,
        /// Its weights.
        model: Box<Model>,
    },
}

impl Start {
    /// Shape of the model, of an adapter's base.
    pub fn config(&self) -> &Config {
        match self {
            Start::Drawn(config) => config,
            Start::Base { model, .. } => &model.config,
        }
    }

    /// Numbers that a run with these options trains.
    pub fn parameters(&self, options: &TrainOptions) -> anyhow::Result<u64> {
        let config = self.config();
        Ok(match &options.trained {
            Trained::Weights => config.parameters(),
            Trained::Adapter(shape) => {
                let adapter = Adapter::zeros(&Layout::new(config), shape.clone())?;
                adapter.tensors().map(|tensor| tensor.len() as u64).sum()
            }
        })
    }

    /// The model that a run starts from.
    pub fn model(&self, seed: u64) -> anyhow::Result<Model> {
        Ok(match self {
            Start::Drawn(config) => Model::initial(config.clone(), seed)?,
            Start::Base { model, .. } => (**model).clone(),
        })
    }
}

/// What is trained, and on what.
pub struct Training<'a> {
    /// The model's id on the ledger.
    pub id: B256,
    /// What it is trained from.
    pub start: &'a Start,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The units.
    pub units: &'a [ServedUnit],
    /// How, with the beacon's seed.
    pub options: TrainOptions,
}

/// The document whose hash is a model's manifest: everything that makes the model but the seed, which the beacon draws later. An adapter's ends with its
/// base's id.
pub fn manifest(
    start: &Start,
    tokenizer: &Tokenizer,
    set: &B256,
    options: &TrainOptions,
) -> anyhow::Result<(Vec<u8>, B256)> {
    let (config, tokenizer) = (start.config(), tokenizer.hash());
    let document = match start {
        Start::Drawn(_) => serde_json::to_vec(&(config, tokenizer, set, options, OP_SET_VERSION)),
        Start::Base { id, .. } => serde_json::to_vec(&(config, tokenizer, set, options, OP_SET_VERSION, id)),
    }?;
    let digest = hash(Domain::Model, &document);
    Ok((document, digest))
}

impl Training<'_> {
    fn data(&self) -> anyhow::Result<Items> {
        Ok(Items::new(self.units.iter().map(ServedUnit::example).collect())?)
    }

    /// Writes the weights that answers are attributed by into the served model's `folder`, if they are not the last ones; from the finished run in `run`.
    pub fn export_attributed(&self, ctx: Ctx, folder: &Path, run: &Path) -> anyhow::Result<Option<PathBuf>> {
        tokio::task::block_in_place(|| {
            attributed::export(ctx, folder, run, self.start.model(self.options.seed)?, &self.data()?)
        })
    }

    /// Trains in `folder`, or goes on, checkpoint by checkpoint. Root of the last one. `committed` hears of those that are new on the ledger.
    pub async fn run(
        &self,
        models: &Models<'_>,
        ctx: Ctx,
        folder: &Path,
        observe: &mut dyn FnMut(&Progress),
        committed: &mut dyn FnMut(u64, B256),
    ) -> anyhow::Result<B256> {
        let Training { id, start, tokenizer, options, .. } = self;
        let data = self.data()?;
        let every = options.checkpoint_every;
        loop {
            let model = start.model(options.seed)?;
            let settings = train::RunSettings { keep_checkpoints: 0, ..Default::default() };
            let mut step = |progress: &Progress| {
                observe(progress);
                let pause = progress.step.is_multiple_of(every) && progress.step < progress.steps;
                if pause { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            // The arithmetic holds this thread; the runtime's others keep the ledger's client alive.
            let outcome = tokio::task::block_in_place(|| {
                train::run(
                    ctx,
                    folder,
                    model,
                    &data,
                    None,
                    Some(tokenizer.hash()),
                    options.clone(),
                    settings,
                    &mut step,
                )
            })?;
            if let Some(record) = &outcome.last
                && models.checkpoint(*id, record, outcome.state_root).await?
            {
                committed(record.step, outcome.state_root);
            }
            if outcome.finished {
                return Ok(outcome.state_root);
            }
        }
    }
}
