//! Accounts and raw state.

use super::{
    block::height_of,
    error::RpcError,
    objects::{quantity, wide},
    params::{BlockTag, Params},
};
use crate::{node::Services, state::view};
use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

/// What `eth_getCode` gives for a module: EIP-3541's reserved first byte, which no deployed code can have.
const MODULE_CODE: &str = "0xef";

/// Refuses questions about state that is no longer there.
pub(super) fn require_newest(services: &Services, tag: Option<BlockTag>) -> Result<(), RpcError> {
    let Some(tag @ (BlockTag::Height(_) | BlockTag::Hash(_))) = tag else { return Ok(()) };
    let head = services.index.head().block.header.height;
    match height_of(services, tag)? {
        // The caller may have asked for the head a moment ago.
        Some(height) if height >= head.saturating_sub(1) && height <= head => Ok(()),
        Some(height) => Err(RpcError::refused(format!(
            "state of block {height} is not kept, the newest is {head}: ask for \"latest\""
        ))),
        None => Err(RpcError::refused("unknown block")),
    }
}

async fn account(services: &Services, address: Address) -> Result<ledger::account::Account, RpcError> {
    Ok(view(&*services.state, |state| ledger::query::account(state, address)).await?)
}

pub(super) async fn balance(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.take(0, "address")?;
    require_newest(services, params.optional(1, "block")?)?;
    Ok(wide(U256::from(account(services, address).await?.balance.0)))
}

pub(super) async fn transaction_count(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.take(0, "address")?;
    let tag: Option<BlockTag> = params.optional(1, "block")?;
    require_newest(services, tag)?;
    let finalized = account(services, address).await?.nonce;
    let pending = (tag == Some(BlockTag::Pending)).then(|| services.mempool.next_nonce(&address)).flatten();
    Ok(quantity(pending.unwrap_or(0).max(finalized)))
}

pub(super) fn code(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.take(0, "address")?;
    require_newest(services, params.optional(1, "block")?)?;
    Ok(json!(if ledger::is_module(address) { MODULE_CODE } else { "0x" }))
}

/// Words are addressed by their slot alone; the address only has to be well-formed.
pub(super) async fn storage(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let _: Address = params.take(0, "address")?;
    let slot: U256 = params.take(1, "slot")?;
    require_newest(services, params.optional(2, "block")?)?;
    let (_, words) = services.state.words(&[B256::from(slot)]).await?;
    Ok(json!(words[0]))
}
