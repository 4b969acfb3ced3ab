//! Which weights an answer is attributed by: those halfway through training.
//!
//! A model passes over its items several times and comes to fit them; what is left of their gradients at the end is mostly noise, while halfway they still say what
//! each item taught (measured: docs/benchmarks/attribution.md). The step is a rule and no choice (RULEBOOK R2e): the first checkpoint from half of the
//! descriptor's steps on. Where that is the last one, and for an adapter, the weights that answer are attributed themselves.
//!
//! The checkpoint is on the ledger as every other; its weights stand in a folder of their own, so that the run need not be handed on, and the cache's root commits to them
//! and to the weights that answer. `verify --replay-training` compares them with the checkpoint.

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

/// The step whose weights are attributed; none where they are the last ones.
pub fn step(options: &TrainOptions) -> Option<u64> {
    let half = options.steps.div_ceil(2).next_multiple_of(options.checkpoint_every.max(1));
    (options.trained == Trained::Weights && half < options.steps).then_some(half)
}

/// Writes the weights of that step of a finished `run`, which started from `start`, into the served model's `folder`. Path of theirs inside it.
pub fn export(
    ctx: Ctx,
    folder: &Path,
    run: &Path,
    start: Model,
    data: &Items,
) -> anyhow::Result<Option<PathBuf>> {
    let manifest = read_manifest(run)?;
    let Some(step) = step(&manifest.options) else { return Ok(None) };
    let mut trainer = Trainer::new(ctx, start, data, manifest.tokenizer, manifest.options)?;
    Checkpoints::of(run).load(step, &mut trainer)?;
    let path = folder.join(FOLDER);
    std::fs::create_dir_all(&path)?;
    trainer.model().save(&path, SaveOptions::default())?;
    Ok(Some(FOLDER.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AdapterOptions;

    #[test]
    fn the_first_checkpoint_from_half_of_the_steps_on_is_attributed_unless_it_is_the_last() {
        let at =
            |steps, checkpoint_every| step(&TrainOptions { checkpoint_every, ..TrainOptions::new(steps, 4) });
        assert_eq!(at(351, 96), Some(192));
        assert_eq!(at(400, 100), Some(200));
        assert_eq!(at(401, 100), Some(300));
        assert_eq!(at(512, 256), Some(256));
        for (steps, every) in [(1, 256), (200, 256), (256, 256), (300, 256), (32, 32)] {
            let found = at(steps, every);
            assert_eq!(found, (steps > 256 && every == 256).then_some(256), "{steps} {every}");
        }
        let adapter = Trained::Adapter(AdapterOptions::default());
        assert_eq!(step(&TrainOptions { trained: adapter, ..TrainOptions::new(1024, 4) }), None);
    }
}
