//! Which weights an answer is attributed by: the mean of those a quarter and half of the way through training.
//!
//! A model passes over its items several times and comes to fit them; what is left of their gradients at the end is mostly noise, while earlier they still say what
//! each item taught, and best at a mean of two checkpoints' weights (measured: docs/benchmarks/attribution.md). The steps are a rule and no choice (RULEBOOK R2e): the first checkpoint
//! from a quarter of the descriptor's steps on, and the first from half on. Where the second is the last one, and for an adapter, the weights that answer are attributed themselves.
//!
//! The checkpoints are on the ledger as every other; the mean of their weights stands in a folder of its own, so that the run need not be handed on, and the cache's root commits to it
//! and to the weights that answer. `verify --replay-training` takes the mean again.

use model::{
    Model, TrainOptions,
    data::Items,
    directory::SaveOptions,
    train::{Checkpoints, Trained, Trainer, read_manifest},
};
use ops::Ctx;
use std::path::{Path, PathBuf};

/// Folder of the weights inside a served model's.
const FOLDER: &str = "attributed";

/// The steps the mean of whose weights is attributed, in order; none where these are the last ones.
pub fn steps(options: &TrainOptions) -> Vec<u64> {
    let after = |part| options.steps.div_ceil(part).next_multiple_of(options.checkpoint_every.max(1));
    let mut steps = vec![after(4), after(2)];
    steps.dedup();
    let earlier = options.trained == Trained::Weights && after(2) < options.steps;
    if earlier { steps } else { vec![] }
}

/// Writes the mean weights of those steps of a finished `run`, which started from `start`, into the served model's `folder`. Path of theirs inside it.
pub fn export(
    ctx: Ctx,
    folder: &Path,
    run: &Path,
    start: Model,
    data: &Items,
) -> anyhow::Result<Option<PathBuf>> {
    let manifest = read_manifest(run)?;
    let steps = steps(&manifest.options);
    let mut trainer = Trainer::new(ctx, start, data, manifest.tokenizer, manifest.options)?;
    let mut models = Vec::with_capacity(steps.len());
    for step in steps {
        Checkpoints::of(run).load(step, &mut trainer)?;
        models.push(trainer.model().clone());
    }
    let Some(mean) = Model::mean(&ctx, &models) else { return Ok(None) };
    let path = folder.join(FOLDER);
    std::fs::create_dir_all(&path)?;
    mean.save(&path, SaveOptions::default())?;
    Ok(Some(FOLDER.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AdapterOptions;

    #[test]
    fn the_first_checkpoints_from_a_quarter_and_half_of_the_steps_on_are_attributed_unless_these_are_the_last()
     {
        let at = |steps, checkpoint_every| {
            self::steps(&TrainOptions { checkpoint_every, ..TrainOptions::new(steps, 4) })
        };
        assert_eq!(at(351, 96), [96, 192]);
        assert_eq!(at(400, 100), [100, 200]);
        assert_eq!(at(401, 100), [200, 300]);
        assert_eq!(at(512, 256), [256]);
        assert_eq!(at(300, 256), [256]);
        for (steps, every) in [(1, 256), (200, 256), (256, 256), (32, 32)] {
            assert!(at(steps, every).is_empty(), "{steps} {every}");
        }
        let adapter = Trained::Adapter(AdapterOptions::default());
        assert!(self::steps(&TrainOptions { trained: adapter, ..TrainOptions::new(1024, 4) }).is_empty());
    }
}
