//! Training whose checkpoints are on the ledger before it goes on.

use super::Models;
use crate::serving::ServedUnit;
use alloy_primitives::B256;
use model::{Config, Model, Progress, Tokenizer, TrainOptions, data::Items, train};
use ops::{Ctx, OP_SET_VERSION};
use primitives::{Domain, hash::hash};
use std::{ops::ControlFlow, path::Path};

/// What is trained, and on what.
pub struct Training<'a> {
    /// The model's id on the ledger.
    pub id: B256,
    /// Shape of the model.
    pub config: &'a Config,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The units.
    pub units: &'a [ServedUnit],
    /// How, with the beacon's seed.
    pub options: TrainOptions,
}

/// The document whose hash is a model's manifest: everything that makes the model but the seed, which the beacon draws later.
pub fn manifest(
    config: &Config,
    tokenizer: &Tokenizer,
    set: &B256,
    options: &TrainOptions,
) -> anyhow::Result<(Vec<u8>, B256)> {
    let document = serde_json::to_vec(&(config, tokenizer.hash(), set, options, OP_SET_VERSION))?;
    let digest = hash(Domain::Model, &document);
    Ok((document, digest))
}

impl Training<'_> {
    /// Trains in `folder`, or goes on, checkpoint by checkpoint. Root of the last one. `committed` hears of those that are new on the ledger.
    pub async fn run(
        &self,
        models: &Models<'_>,
        ctx: Ctx,
        folder: &Path,
        observe: &mut dyn FnMut(&Progress),
        committed: &mut dyn FnMut(u64, B256),
    ) -> anyhow::Result<B256> {
        let Training { id, config, tokenizer, units, options } = self;
        let data = Items::new(units.iter().map(ServedUnit::example).collect())?;
        let every = options.checkpoint_every;
        loop {
            let model = Model::initial((*config).clone(), options.seed)?;
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
