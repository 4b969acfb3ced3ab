//! The beacon: seeds drawn by the block after the one that holds the descriptor (R2e).

use super::state::TrainingRecord;
use crate::{
    env::BlockEnv,
    error::{Error, Result},
    storage::State,
    tables::{SEED_QUEUE, TRAININGS},
};
use alloy_primitives::{B256, keccak256};
use interfaces::{addresses::MODELS, models::IModels};

/// `keccak256("openledger seed v1" ‖ parent block's digest ‖ model ‖ descriptor digest)`.
pub fn seed(parent_hash: B256, model: B256, digest: B256) -> B256 {
    let parts =
        [b"openledger seed v1".as_slice(), parent_hash.as_slice(), model.as_slice(), digest.as_slice()];
    keccak256(parts.concat())
}

/// Draws the seeds of the descriptors in the parent block. Those of this block wait: its digest is not known yet.
pub fn end_block(state: &mut State, block: &BlockEnv) -> Result<()> {
    let waiting = SEED_QUEUE.len(state, &())?;
    if waiting == 0 {
        return Ok(());
    }
    // All reads before anything is decided, so that a node fetches all words at once and not one by one.
    let mut models = Vec::new();
    for index in 0..waiting {
        models.push(SEED_QUEUE.get(state, &(), index)?.unwrap_or_default());
    }
    let mut trainings = Vec::new();
    for model in models {
        trainings.push((model, TRAININGS.get(state, &model)?));
    }
    let mut later = Vec::new();
    for (model, training) in trainings {
        let training = training.ok_or(Error::Inconsistent("a seed waits for no training"))?;
        if training.registered_height >= block.number {
            later.push(model);
            continue;
        }
        let seed = seed(block.parent_hash, model, training.digest);
        TRAININGS.put(state, &model, &TrainingRecord { seed, ..training })?;
        state.emit(MODELS, IModels::SeedDrawn { model, seed })?;
    }
    SEED_QUEUE.clear(state, &())?;
    for model in later {
        SEED_QUEUE.push(state, &(), model)?;
    }
    Ok(())
}
