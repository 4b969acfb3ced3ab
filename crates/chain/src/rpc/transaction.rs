//! Transactions.

use super::{block, error::RpcError, objects, params::Params};
use crate::{
    index::Stored,
    node::Services,
    transaction::{SignedTransaction, decode},
};
use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};

pub(super) async fn send(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let raw: Bytes = params.take(0, "raw transaction")?;
    Ok(json!(services.intake.submit(raw.0).await?))
}

fn signed(services: &Services, stored: &Stored) -> Result<SignedTransaction, RpcError> {
    decode(stored.raw.clone(), services.rules.genesis.chain_id).map_err(RpcError::internal)
}

pub(super) fn by_hash(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.take(0, "hash")?;
    if let Some(stored) = services.index.transaction(&hash)? {
        let place = (&stored.digest, &stored.header, stored.index);
        return Ok(objects::transaction(&signed(services, &stored)?, Some(place)));
    }
    let waiting = services.mempool.get(&hash);
    Ok(waiting.map_or(Value::Null, |transaction| objects::transaction(&transaction, None)))
}

pub(super) fn receipt(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.take(0, "hash")?;
    let Some(stored) = services.index.transaction(&hash)? else { return Ok(Value::Null) };
    Ok(objects::receipt(&stored, &signed(services, &stored)?))
}

pub(super) fn by_place(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let Some(entry) = block::find(services, params.take(0, "block")?)? else { return Ok(Value::Null) };
    let index: u64 = params.take(1, "index")?;
    if index >= entry.block.transactions.len() as u64 {
        return Ok(Value::Null);
    }
    let stored = entry.transaction(index as usize);
    let place = (&stored.digest, &stored.header, stored.index);
    Ok(objects::transaction(&signed(services, &stored)?, Some(place)))
}
