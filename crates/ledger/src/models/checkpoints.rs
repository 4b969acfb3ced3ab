//! Checkpoint commitments and the end of training.

use super::{
    registration::put_rates,
    state::{TrainingRecord, load_own},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    tables::{CHECKPOINT_LISTS, CHECKPOINT_RANGES, TRAININGS},
};
use alloy_primitives::{B256, keccak256};
use interfaces::models::{IModels, IModels::Status};

/// The leaf of a checkpoint in the mountain range: `keccak256("openledger checkpoint leaf v1" ‖ step ‖ root ‖ chain)`, the step
/// in eight bytes, big-endian.
pub fn checkpoint_leaf(step: u64, root: B256, chain: B256) -> B256 {
    let parts =
        [b"openledger checkpoint leaf v1".as_slice(), &step.to_be_bytes(), root.as_slice(), chain.as_slice()];
    keccak256(parts.concat())
}

pub(super) fn checkpoint(ctx: &mut Context, call: IModels::checkpointCall) -> Result<()> {
    let IModels::checkpointCall { model, step, root, chain } = call;
    load_own(ctx, model, &[Status::Training])?;
    let training = training(ctx, model)?;
    ensure(!training.seed.is_zero(), || Error::rejected(IModels::SeedNotDrawn { model }))?;
    let range = CHECKPOINT_RANGES.get(ctx.state, &model)?;
    // The first checkpoint may be the initial state, at step 0.
    let forward = step > training.last_step || range.count() == 0;
    ensure(forward && step <= training.steps, || {
        Error::rejected(IModels::StepOutOfOrder { step, last: training.last_step, limit: training.steps })
    })?;
    let leaf = checkpoint_leaf(step, root, chain);
    let index = CHECKPOINT_LISTS.push(ctx.state, &model, leaf)?;
    CHECKPOINT_RANGES.append(ctx.state, &model, leaf)?;
    let after = TrainingRecord { last_step: step, last_root: root, last_chain: chain, ..training };
    TRAININGS.put(ctx.state, &model, &after)?;
    ctx.emit(IModels::CheckpointCommitted { model, index, step, root, chain })
}

fn training(ctx: &mut Context, model: B256) -> Result<TrainingRecord> {
    TRAININGS.get(ctx.state, &model)?.ok_or(Error::Inconsistent("a model in training has no training"))
}

pub(super) fn finalise(ctx: &mut Context, call: IModels::finaliseCall) -> Result<()> {
    let IModels::finaliseCall { model, finalRoot: final_root, cache, rates } = call;
    let mut record = load_own(ctx, model, &[Status::Registered, Status::Training])?;
    if record.status() == Status::Training {
        let training = training(ctx, model)?;
        ensure(training.last_step == training.steps, || {
            Error::rejected(IModels::TrainingUnfinished {
                lastStep: training.last_step,
                steps: training.steps,
            })
        })?;
        ensure(final_root == training.last_root, || {
            Error::rejected(IModels::NotLastCheckpoint { finalRoot: final_root, last: training.last_root })
        })?;
        ensure(!cache.root.is_zero(), || Error::rejected(IModels::CacheMissing { model }))?;
    }
    let IModels::Cache { root: cache_root, curvature, floor, cap, damping } = cache;
    record.status = Status::Ready as u8;
    record.final_root = final_root;
    record.cache_root = cache_root;
    record.curvature = curvature;
    record.floor = floor;
    record.cap = cap;
    record.damping = damping;
    put_rates(ctx, model, record, &rates)?;
    ctx.emit(IModels::ModelFinalised { model, finalRoot: final_root, cacheRoot: cache_root })
}
