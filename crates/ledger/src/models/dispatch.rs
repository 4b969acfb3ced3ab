//! Calls of the models' module to their handlers.

use super::{checkpoints, descriptors, lineage, registration, views};
use crate::{
    context::{Context, decode},
    error::Result,
    tables::{CHECKPOINT_LISTS, MODEL_LIST},
};
use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use interfaces::models::{IModels, IModels::IModelsCalls as Calls};

pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    ctx.not_payable()?;
    let output = match decode::<Calls>(data)? {
        Calls::register(c) => IModels::registerCall::abi_encode_returns(&registration::register(ctx, c)?),
        Calls::importModel(c) => IModels::importModelCall::abi_encode_returns(&registration::import(ctx, c)?),
        Calls::describe(c) => descriptors::describe(ctx, c).map(|()| Vec::new())?,
        Calls::checkpoint(c) => checkpoints::checkpoint(ctx, c).map(|()| Vec::new())?,
        Calls::finalise(c) => checkpoints::finalise(ctx, c).map(|()| Vec::new())?,
        Calls::setRates(c) => registration::set_rates(ctx, c).map(|()| Vec::new())?,
        Calls::retire(c) => registration::retire(ctx, c).map(|()| Vec::new())?,
        Calls::model(c) => IModels::modelCall::abi_encode_returns(&views::model(ctx, c.model)?),
        Calls::training(c) => IModels::trainingCall::abi_encode_returns(&views::training(ctx, c.model)?),
        Calls::checkpointAt(c) => {
            let leaf = CHECKPOINT_LISTS.get(ctx.state, &c.model, c.index)?.unwrap_or_default();
            IModels::checkpointAtCall::abi_encode_returns(&leaf)
        }
        Calls::lineage(c) => IModels::lineageCall::abi_encode_returns(&lineage::lineage(ctx.state, c.model)?),
        Calls::count(_) => IModels::countCall::abi_encode_returns(&MODEL_LIST.len(ctx.state, &())?),
        Calls::modelAt(c) => {
            let model = MODEL_LIST.get(ctx.state, &(), c.index)?.unwrap_or_default();
            IModels::modelAtCall::abi_encode_returns(&model)
        }
    };
    Ok(output.into())
}
