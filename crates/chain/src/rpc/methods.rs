//! Every method, by name.

use super::{
    Api, account, block, call, error::RpcError, fee, logs, objects::quantity, openledger, params::Params,
    transaction,
};
use alloy_primitives::{Bytes, keccak256};
use serde_json::{Value, json};
use std::sync::Arc;

/// Name and version, as `web3_clientVersion` says it.
const CLIENT: &str = concat!("OpenLedger/v", env!("CARGO_PKG_VERSION"));

/// Calls `method`.
pub(super) async fn call(api: &Arc<Api>, method: &str, mut params: Params) -> Result<Value, RpcError> {
    let services = &api.services;
    match method {
        "web3_clientVersion" => Ok(json!(CLIENT)),
        "web3_sha3" => Ok(json!(keccak256(params.take::<Bytes>(0, "data")?))),
        "net_version" => Ok(json!(services.rules.genesis.chain_id.to_string())),
        "net_listening" => Ok(json!(true)),
        "net_peerCount" => Ok(quantity(services.rules.validators.len() as u64 - 1)),
        "eth_chainId" => Ok(quantity(services.rules.genesis.chain_id)),
        "eth_syncing" | "eth_mining" => Ok(json!(false)),
        "eth_accounts" => Ok(json!([])),
        "eth_blockNumber" => Ok(quantity(services.index.head().block.header.height)),

        "eth_getBalance" => account::balance(services, params).await,
        "eth_getTransactionCount" => account::transaction_count(services, params).await,
        "eth_getCode" => account::code(services, params),
        "eth_getStorageAt" => account::storage(services, params).await,

        "eth_call" => call::call(services, params).await,
        "eth_estimateGas" => call::estimate_gas(services, params).await,
        "eth_gasPrice" => Ok(fee::gas_price(services)),
        "eth_maxPriorityFeePerGas" => Ok(fee::priority_fee()),
        "eth_feeHistory" => fee::history(services, params),

        "eth_sendRawTransaction" => transaction::send(services, params).await,
        "eth_sendTransaction" | "eth_sign" | "eth_signTransaction" | "personal_sign" => Err(
            RpcError::refused("this node holds no keys: sign in the wallet and use eth_sendRawTransaction"),
        ),
        "eth_getTransactionByHash" => transaction::by_hash(services, params),
        "eth_getTransactionReceipt" => transaction::receipt(services, params),
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
            transaction::by_place(services, params)
        }

        "eth_getBlockByNumber" | "eth_getBlockByHash" => block::get(services, params),
        "eth_getBlockReceipts" => block::receipts(services, params),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            block::transaction_count(services, params)
        }
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => Ok(quantity(0u8)),

        "eth_getLogs" => logs::get(services, params),
        "eth_newFilter" => api.filters.new_logs(services, params),
        "eth_newBlockFilter" => api.filters.new_blocks(services),
        "eth_newPendingTransactionFilter" => api.filters.new_pending(services),
        "eth_getFilterChanges" => api.filters.changes(services, params),
        "eth_getFilterLogs" => api.filters.all_logs(services, params),
        "eth_uninstallFilter" => api.filters.uninstall(params),
        "eth_subscribe" | "eth_unsubscribe" => {
            Err(RpcError::refused("subscriptions need a WebSocket: connect to the same address with ws://"))
        }
        "openledger_getFinality" => openledger::get_finality(services, params).await,
        "openledger_getProof" => openledger::get_proof(services, params).await,
        "openledger_getReceiptProof" => openledger::get_receipt_proof(services, params).await,
        "openledger_getStatus" => Ok(openledger::get_status(services)),
        _ => Err(RpcError::method(method)),
    }
}
