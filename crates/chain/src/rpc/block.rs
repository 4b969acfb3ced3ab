//! Blocks.

use super::{
    error::RpcError,
    objects::{self, quantity},
    params::{BlockTag, Params},
};
use crate::{
    block::Digest,
    index::Entry,
    node::Services,
    transaction::{SignedTransaction, decode_many},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Height that a tag means; `None` for an unknown hash or a future height.
pub(super) fn height_of(services: &Services, tag: BlockTag) -> Result<Option<u64>, RpcError> {
    let head = services.index.head().block.header.height;
    Ok(match tag {
        BlockTag::Latest | BlockTag::Pending => Some(head),
        BlockTag::Height(height) => (height <= head).then_some(height),
        BlockTag::Hash(hash) => services.index.height_of(&Digest::from(hash.0))?,
    })
}

/// The block a tag means.
pub(super) fn find(services: &Services, tag: BlockTag) -> Result<Option<Arc<Entry>>, RpcError> {
    if tag == BlockTag::Latest || tag == BlockTag::Pending {
        return Ok(Some(services.index.head()));
    }
    match height_of(services, tag)? {
        Some(height) => at(services, height).map(Some),
        None => Ok(None),
    }
}

/// The block at a height that this chain has.
pub(super) fn at(services: &Services, height: u64) -> Result<Arc<Entry>, RpcError> {
    match services.index.block(height)? {
        Some(entry) => Ok(entry),
        None => Err(RpcError::pruned(height, services.index.oldest()?)),
    }
}

/// The transactions of a block with their senders.
pub(super) fn transactions(services: &Services, entry: &Entry) -> Result<Vec<SignedTransaction>, RpcError> {
    decode_many(entry.block.transactions.clone(), services.rules.genesis.chain_id)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(RpcError::internal)
}

pub(super) fn get(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let Some(entry) = find(services, params.take(0, "block")?)? else { return Ok(Value::Null) };
    let gas_limit = services.rules.genesis.gas_limit;
    let listed = if params.optional(1, "full")?.unwrap_or(false) {
        let place = |index: usize| Some((&entry.digest, &entry.block.header, index as u32));
        let transactions = transactions(services, &entry)?;
        transactions.iter().enumerate().map(|(index, tx)| objects::transaction(tx, place(index))).collect()
    } else {
        entry.outcome.receipts.iter().map(|receipt| json!(receipt.transaction)).collect()
    };
    Ok(objects::block(&entry, listed, gas_limit))
}

pub(super) fn receipts(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let Some(entry) = find(services, params.take(0, "block")?)? else { return Ok(Value::Null) };
    let transactions = transactions(services, &entry)?;
    let receipts = transactions.iter().zip(entry.transactions());
    Ok(receipts.map(|(transaction, stored)| objects::receipt(&stored, transaction)).collect())
}

pub(super) fn transaction_count(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let entry = find(services, params.take(0, "block")?)?;
    Ok(entry.map_or(Value::Null, |entry| quantity(entry.block.transactions.len() as u64)))
}
