//! What can be asked about models.

use super::state::{self, ModelRecord, TrainingRecord};
use crate::{
    context::Context,
    error::Result,
    tables::{CHECKPOINT_RANGES, MODEL_LICENCES, MODEL_NAMES, TRAINING_DATA, TRAININGS},
};
use alloy_primitives::B256;
use interfaces::models::IModels;

pub(super) fn model(ctx: &mut Context, model: B256) -> Result<IModels::Model> {
    let record = state::load(ctx.state, model)?;
    let status = record.status();
    let ModelRecord {
        status: _,
        developer,
        registered_at,
        manifest,
        base,
        base_share_bps,
        uses,
        depth: _,
        final_root,
        cache_root,
        curvature,
        floor,
        cap,
        damping,
        rate_in,
        rate_out,
        platform_fee,
    } = record;
    Ok(IModels::Model {
        status,
        developer,
        manifest,
        base,
        baseShareBps: base_share_bps,
        uses,
        registeredAt: registered_at,
        finalRoot: final_root,
        cache: IModels::Cache { root: cache_root, curvature, floor, cap, damping },
        rates: IModels::Rates {
            rateIn: rate_in.to_word(),
            rateOut: rate_out.to_word(),
            platformFee: platform_fee.to_word(),
        },
        licence: MODEL_LICENCES.get(ctx.state, &model)?.unwrap_or_default(),
        name: MODEL_NAMES.get(ctx.state, &model)?.unwrap_or_default(),
    })
}

/// The training of a model; all zero when it has none.
pub(super) fn training(ctx: &mut Context, model: B256) -> Result<IModels::Training> {
    state::load(ctx.state, model)?;
    let record = TRAININGS.get(ctx.state, &model)?.unwrap_or(TrainingRecord {
        hyperparameters: B256::ZERO,
        op_set: 0,
        steps: 0,
        max_unreviewed: 0,
        data: 0,
        digest: B256::ZERO,
        registered_height: 0,
        seed: B256::ZERO,
        last_step: 0,
        last_root: B256::ZERO,
        last_chain: B256::ZERO,
    });
    let TrainingRecord {
        hyperparameters,
        op_set,
        steps,
        max_unreviewed,
        data: count,
        digest,
        registered_height,
        seed,
        last_step,
        last_root,
        last_chain,
    } = record;
    let mut data = Vec::with_capacity(usize::from(count));
    for index in 0..count {
        if let Some(state::DataRecord { datanet, version }) = TRAINING_DATA.get(ctx.state, &(model, index))? {
            data.push(IModels::DatanetVersion { datanet, version });
        }
    }
    let range = CHECKPOINT_RANGES.get(ctx.state, &model)?;
    Ok(IModels::Training {
        descriptor: IModels::Descriptor {
            hyperparameters,
            opSet: op_set,
            steps,
            maxUnreviewed: max_unreviewed,
            data,
        },
        descriptorDigest: digest,
        registeredHeight: registered_height,
        seed,
        checkpointCount: range.count(),
        checkpoints: range.root(),
        lastStep: last_step,
        lastRoot: last_root,
        lastChain: last_chain,
    })
}
