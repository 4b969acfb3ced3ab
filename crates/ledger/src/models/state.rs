//! What the models' module stores.

use crate::{
    context::Context,
    error::{Error, Result, ensure},
    record,
    storage::State,
    tables::MODELS,
};
use alloy_primitives::{Address, B256};
use interfaces::models::{IModels, IModels::Status};
use primitives::Amount;

record! {
    /// A model.
    pub struct ModelRecord {
        /// [`Status`] as a number.
        pub status: u8,
        /// Who registered it; zero for an imported one.
        pub developer: Address,
        /// Block time of registration.
        pub registered_at: u64,
        /// Hash of its manifest.
        pub manifest: B256,
        /// The model it is tuned from, or zero.
        pub base: B256,
        /// The base's part of what the developer earns, in basis points.
        pub base_share_bps: u16,
        /// Uses it is offered for.
        pub uses: u32,
        /// Ancestors.
        pub depth: u8,
        /// Root of its weights, once finalised.
        pub final_root: B256,
        /// Root of the attribution cache.
        pub cache_root: B256,
        /// Root of the curvature factors.
        pub curvature: B256,
        /// Bits of the noise floor (binary64).
        pub floor: u64,
        /// Bits of the cap (binary64).
        pub cap: u64,
        /// Bits of the damping (binary64).
        pub damping: u64,
        /// Units per 1,000 tokens read.
        pub rate_in: Amount,
        /// Units per 1,000 tokens written.
        pub rate_out: Amount,
        /// Units per query.
        pub platform_fee: Amount,
    }
}

record! {
    /// A model's training.
    pub struct TrainingRecord {
        /// Hash of the published hyperparameters.
        pub hyperparameters: B256,
        /// Version of the op set.
        pub op_set: u32,
        /// Steps.
        pub steps: u64,
        /// Most unreviewed items.
        pub max_unreviewed: u64,
        /// Datanet versions.
        pub data: u8,
        /// Digest of the descriptor.
        pub digest: B256,
        /// Height of the block that holds the descriptor.
        pub registered_height: u64,
        /// The seed; zero until drawn.
        pub seed: B256,
        /// Step of the last checkpoint.
        pub last_step: u64,
        /// Root of the last checkpoint.
        pub last_root: B256,
        /// End of the step chain at the last checkpoint.
        pub last_chain: B256,
    }
}

record! {
    /// A Datanet version trained on.
    pub struct DataRecord {
        /// The Datanet.
        pub datanet: B256,
        /// Its version.
        pub version: u32,
    }
}

impl ModelRecord {
    /// The status as the interface has it.
    pub fn status(&self) -> Status {
        Status::try_from(self.status).unwrap_or(Status::None)
    }
}

/// The model, or a refusal.
pub fn load(state: &mut State, model: B256) -> Result<ModelRecord> {
    MODELS.get(state, &model)?.ok_or_else(|| Error::rejected(IModels::UnknownModel { model }))
}

/// The caller's model in one of these states, or a refusal.
pub(super) fn load_own(ctx: &mut Context, model: B256, statuses: &[Status]) -> Result<ModelRecord> {
    let record = load(ctx.state, model)?;
    ensure(record.developer == ctx.caller && !ctx.caller.is_zero(), || {
        Error::rejected(IModels::NotDeveloper { model, sender: ctx.caller })
    })?;
    let status = record.status();
    ensure(statuses.contains(&status), || Error::rejected(IModels::WrongStatus { model, status }))?;
    Ok(record)
}
