//! Blocks, transactions, receipts and events as Ethereum's JSON.

use crate::{
    block::{Block, Digest, Header},
    index::{Entry, Stored, StoredLog},
    transaction::SignedTransaction,
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B64, B256, Bloom, U256, keccak256};
use commonware_codec::EncodeSize as _;
use ledger::Log;
use serde_json::{Value, json};

/// A number as a quantity.
pub(super) fn quantity(number: impl Into<u128>) -> Value {
    Value::String(format!("0x{:x}", number.into()))
}

/// A 256-bit number as a quantity.
pub(super) fn wide(number: U256) -> Value {
    Value::String(format!("0x{number:x}"))
}

/// A block digest as Ethereum's hash type.
pub(super) fn hash(digest: &Digest) -> B256 {
    B256::from_slice(digest)
}

fn bloom<'a>(logs: impl Iterator<Item = &'a Log>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    bloom
}

/// A header as `eth_subscribe` sends it.
pub(super) fn header(digest: &Digest, header: &Header, logs_bloom: &Bloom, gas_limit: u64) -> Value {
    json!({
        "number": quantity(header.height),
        "hash": hash(digest),
        "parentHash": hash(&header.parent),
        "nonce": B64::ZERO,
        "mixHash": B256::ZERO,
        "sha3Uncles": B256::from(alloy_primitives::b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")),
        "logsBloom": logs_bloom,
        "transactionsRoot": header.transactions_root,
        "stateRoot": hash(&header.state_root),
        "receiptsRoot": header.receipts_root,
        "miner": header.proposer,
        "difficulty": "0x0",
        "extraData": "0x",
        "gasLimit": quantity(gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp_ms / 1_000),
        "timestampMillis": quantity(header.timestamp_ms),
        "baseFeePerGas": quantity(header.base_fee),
    })
}

/// The header of a block with the bloom of its events.
pub(super) fn entry_header(entry: &Entry, gas_limit: u64) -> Value {
    let outcome = &entry.outcome;
    let logs = outcome.receipts.iter().flat_map(|receipt| &receipt.logs).chain(&outcome.block_logs);
    header(&entry.digest, &entry.block.header, &bloom(logs), gas_limit)
}

/// A block with `transactions` as given: hashes or objects.
pub(super) fn block(entry: &Entry, transactions: Vec<Value>, gas_limit: u64) -> Value {
    let mut value = entry_header(entry, gas_limit);
    value["totalDifficulty"] = json!("0x0");
    value["size"] = quantity(block_bytes(&entry.block) as u64);
    value["uncles"] = json!([]);
    value["transactions"] = Value::Array(transactions);
    value
}

fn block_bytes(block: &Block) -> usize {
    block.encode_size()
}

/// A transaction; `place` is its block's hash and header and its index, absent while it waits.
pub(super) fn transaction(transaction: &SignedTransaction, place: Option<(&Digest, &Header, u32)>) -> Value {
    let (envelope, call) = (&transaction.envelope, &transaction.call);
    let signature = envelope.signature();
    let price = place.map_or(call.max_fee, |(_, header, _)| {
        header.base_fee + transaction.effective_tip(header.base_fee).unwrap_or_default()
    });
    let kind = envelope.tx_type() as u8;
    let mut value = json!({
        "hash": call.hash,
        "type": quantity(kind),
        "from": call.sender,
        "to": call.to,
        "nonce": quantity(call.nonce),
        "value": wide(call.value),
        "input": call.data,
        "gas": quantity(call.gas_limit),
        "gasPrice": quantity(price),
        "chainId": quantity(envelope.chain_id().unwrap_or_default()),
        "r": wide(signature.r()),
        "s": wide(signature.s()),
        "blockHash": place.map(|(digest, ..)| hash(digest)),
        "blockNumber": place.map(|(_, header, _)| quantity(header.height)),
        "transactionIndex": place.map(|(.., index)| quantity(index)),
    });
    let parity = u64::from(signature.v());
    if kind == 0 {
        value["v"] =
            quantity(35 + 2 * u128::from(envelope.chain_id().unwrap_or_default()) + u128::from(parity));
    } else {
        value["v"] = quantity(parity);
        value["yParity"] = quantity(parity);
        value["accessList"] = json!([]);
    }
    if kind == 2 {
        value["maxFeePerGas"] = quantity(call.max_fee);
        value["maxPriorityFeePerGas"] = quantity(call.max_priority_fee);
    }
    value
}

/// A receipt; `transaction` is the stored one, decoded.
pub(super) fn receipt(stored: &Stored, transaction: &SignedTransaction) -> Value {
    let receipt = &stored.receipt;
    let logs: Vec<Value> = receipt
        .logs
        .iter()
        .enumerate()
        .map(|(offset, event)| {
            log(&StoredLog {
                log: event.clone(),
                height: stored.header.height,
                digest: stored.digest,
                timestamp_ms: stored.header.timestamp_ms,
                transaction: Some((receipt.transaction, stored.index)),
                log_index: stored.first_log + offset as u32,
            })
        })
        .collect();
    let mut value = json!({
        "transactionHash": receipt.transaction,
        "transactionIndex": quantity(stored.index),
        "blockHash": hash(&stored.digest),
        "blockNumber": quantity(stored.header.height),
        "from": transaction.call.sender,
        "to": transaction.call.to,
        "cumulativeGasUsed": quantity(stored.cumulative_gas),
        "gasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": quantity(receipt.effective_gas_price),
        "contractAddress": null,
        "logs": logs,
        "logsBloom": bloom(receipt.logs.iter()),
        "type": quantity(transaction.envelope.tx_type() as u8),
        "status": quantity(u8::from(receipt.success)),
    });
    if !receipt.success {
        value["revertReason"] = json!(receipt.output);
    }
    value
}

/// An event. One of the block itself belongs to no transaction: clients that insist on a hash get a derived one.
pub(super) fn log(stored: &StoredLog) -> Value {
    let (transaction, index) = stored.transaction.unwrap_or_else(|| (keccak256(hash(&stored.digest)), 0));
    json!({
        "address": stored.log.address,
        "topics": stored.log.topics,
        "data": stored.log.data,
        "blockNumber": quantity(stored.height),
        "blockHash": hash(&stored.digest),
        "blockTimestamp": quantity(stored.timestamp_ms / 1_000),
        "transactionHash": transaction,
        "transactionIndex": quantity(index),
        "logIndex": quantity(stored.log_index),
        "removed": false,
    })
}

/// Zero address for calls that name no sender.
pub(super) const NOBODY: Address = Address::ZERO;
