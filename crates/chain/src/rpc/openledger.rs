//! Proofs for light clients. Every `bytes` field is read by [`crate::light`].

use super::{
    block,
    error::RpcError,
    objects::{self, quantity},
    params::{BlockTag, Params},
};
use crate::{
    block::Header,
    light::{EventProof, FinalityProof, MAX_HEADERS, WordEvidence},
    node::Services,
};
use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};

/// Attempts to catch a block between two changes of state.
const ATTEMPTS: usize = 32;

fn bytes(value: &impl commonware_codec::Encode) -> Bytes {
    Bytes::copy_from_slice(&value.encode())
}

/// The headers from `height` to the first one with a certificate, and that.
async fn finality(services: &Services, height: u64) -> Result<FinalityProof, RpcError> {
    let mut headers: Vec<Header> = Vec::new();
    for at in (height..).take(MAX_HEADERS) {
        if at > services.index.head().block.header.height {
            break;
        }
        let entry = block::at(services, at)?;
        headers.push(entry.block.header.clone());
        if let Some(certificate) = services.archive.certificate(at).await {
            return Ok(FinalityProof { headers, certificate: certificate.into() });
        }
    }
    Err(RpcError::refused(format!(
        "no certificate is kept for block {height}: it is the genesis, pruned by consensus, or too new"
    )))
}

/// `openledger_getFinality(block)`: header and certificate.
pub(super) async fn get_finality(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let tag: BlockTag = params.optional(0, "block")?.unwrap_or(BlockTag::Latest);
    let height = block::height_of(services, tag)?.ok_or_else(|| RpcError::refused("unknown block"))?;
    let proof = finality(services, height).await?;
    Ok(json!({
        "number": quantity(height),
        "hash": objects::hash(&proof.headers[0].digest()),
        "stateRoot": objects::hash(&proof.headers[0].state_root),
        "receiptsRoot": proof.headers[0].receipts_root,
        "timestampMillis": quantity(proof.headers[0].timestamp_ms),
        "bytes": bytes(&proof),
    }))
}

/// `openledger_getProof(slots)`: words of the newest finalized state with their proofs and its certificate.
pub(super) async fn get_proof(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let slots: Vec<B256> = params.take(0, "slots")?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = try_proof(services, &slots).await? {
            return Ok(answer);
        }
    }
    Err(RpcError::refused("blocks come faster than proofs: ask for fewer slots, or ask again"))
}

/// `None` when a block was applied in between.
async fn try_proof(services: &Services, slots: &[B256]) -> Result<Option<Value>, RpcError> {
    let mut root = None;
    let mut words = Vec::new();
    for slot in slots {
        let proven = services.state.prove(*slot).await?;
        if root.replace(proven.state_root).is_some_and(|before| before != proven.state_root) {
            return Ok(None);
        }
        words.push(WordEvidence { slot: *slot, word: proven.word, proof: proven.proof });
    }
    // State is applied before its block shows in the index.
    let mut heads = services.index.watch();
    let entry = loop {
        let entry = heads.borrow_and_update().clone();
        if Some(entry.block.header.state_root) == root {
            break entry;
        }
        match tokio::time::timeout(std::time::Duration::from_millis(200), heads.changed()).await {
            Ok(Ok(())) => {}
            _ => return Ok(None),
        }
    };
    let finality = finality(services, entry.block.header.height).await?;
    let words: Vec<Value> = words
        .iter()
        .map(|evidence| json!({ "slot": evidence.slot, "word": evidence.word, "bytes": bytes(evidence) }))
        .collect();
    Ok(Some(json!({
        "number": quantity(entry.block.header.height),
        "hash": objects::hash(&entry.digest),
        "stateRoot": objects::hash(&entry.block.header.state_root),
        "finality": bytes(&finality),
        "words": words,
    })))
}

/// `openledger_getReceiptProof(transaction)`: a receipt with its path and its block's certificate.
pub(super) async fn get_receipt_proof(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.take(0, "transaction hash")?;
    let Some(stored) = services.index.transaction(&hash)? else { return Ok(Value::Null) };
    let height = stored.header.height;
    let Some(entry) = services.index.block(height)? else { return Ok(Value::Null) };
    let path = entry.outcome.tree().prove(u64::from(stored.index));
    let path = path.ok_or_else(|| RpcError::internal("a receipt lies outside of its block"))?;
    let proof = EventProof { leaf: stored.receipt.encode().into(), path };
    let finality = finality(services, height).await?;
    Ok(json!({
        "number": quantity(height),
        "hash": objects::hash(&entry.digest),
        "finality": bytes(&finality),
        "bytes": bytes(&proof),
    }))
}

/// `openledger_getStatus()`: what an operator looks at first.
pub(super) fn get_status(services: &Services) -> Value {
    let head = services.index.head();
    let header = &head.block.header;
    json!({
        "chainId": quantity(services.rules.genesis.chain_id),
        "genesisHash": services.rules.genesis_hash,
        "validators": services.rules.validators.len(),
        "number": quantity(header.height),
        "hash": objects::hash(&head.digest),
        "timestampMillis": quantity(header.timestamp_ms),
        "waiting": services.mempool.len(),
    })
}
