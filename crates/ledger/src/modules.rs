//! Which module stands where.

use crate::{
    channels, context::Context, datanets, error::Result, models, multicall3, operators, settlement, token,
    treasury,
};
use alloy_primitives::{Address, Bytes};
use interfaces::addresses;

/// Whether a module stands at `address`; `eth_getCode` is non-empty there.
pub fn is_module(address: Address) -> bool {
    addresses::ALL.contains(&address)
}

/// Hands a call to the module it is for.
pub(crate) fn dispatch(ctx: &mut Context, data: &[u8]) -> Result<Bytes> {
    match ctx.this {
        addresses::TOKEN => token::dispatch(ctx, data),
        addresses::CHANNELS => channels::dispatch(ctx, data),
        addresses::DEPOSIT_COLLECTOR => channels::dispatch_collector(ctx, data),
        addresses::MULTICALL3 => multicall3::dispatch(ctx, data),
        addresses::DATANETS => datanets::dispatch(ctx, data),
        addresses::MODELS => models::dispatch(ctx, data),
        addresses::OPERATORS => operators::dispatch(ctx, data),
        addresses::SETTLEMENT => settlement::dispatch(ctx, data),
        addresses::TREASURY => treasury::dispatch(ctx, data),
        _ => Ok(Bytes::new()),
    }
}
