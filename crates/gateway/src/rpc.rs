//! A ledger behind a node's JSON-RPC.
//!
//! Plain `http` only: an operator runs its own node beside it, or a proxy that speaks TLS to a remote one.

use crate::{
    client::http::{self, HttpError},
    ledger::{Event, Included, Ledger, LedgerError},
};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use compute::Account;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a transaction may take to stand in a block.
const INCLUSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to answer one question: answers that are being charged wait for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to look.
const POLL_EVERY: Duration = Duration::from_millis(60);
/// Gas above the estimate, in percent: the state may move until the transaction runs.
const GAS_MARGIN_PERCENT: u64 = 25;
/// Longest answer of a node.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// A node, and the account that sends transactions.
pub struct RpcLedger {
    url: String,
    account: Account,
    chain_id: u64,
    /// One transaction at a time, so that nonces follow.
    sending: Mutex<()>,
}

#[derive(Deserialize)]
struct RpcError {
    message: String,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct RpcAnswer {
    result: Option<Value>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RpcReceipt {
    transaction_hash: B256,
    status: String,
    logs: Vec<RpcLog>,
}

#[derive(Deserialize)]
struct RpcLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

fn malformed(what: impl ToString) -> LedgerError {
    LedgerError::Malformed(what.to_string())
}

impl RpcLedger {
    /// A node at `url`, such as `http://127.0.0.1:8545`.
    pub fn new(url: &str, account: Account, chain_id: u64) -> RpcLedger {
        RpcLedger { url: url.into(), account, chain_id, sending: Mutex::new(()) }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, LedgerError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let asked = http::post(&self.url, &[], &body, MAX_RESPONSE_BYTES);
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error @ HttpError::BadUrl(_))) => return Err(malformed(error)),
            Ok(Err(error)) => return Err(LedgerError::Away(error.to_string())),
            Err(_) => {
                let message = format!("{} did not answer within {} s", self.url, ANSWER_TIMEOUT.as_secs());
                return Err(LedgerError::Away(message));
            }
        };
        let answer: RpcAnswer = serde_json::from_slice(&answer.body).map_err(malformed)?;
        if let Some(RpcError { message, data }) = answer.error {
            let data = data.and_then(|data| serde_json::from_value(data).ok()).unwrap_or_default();
            return Err(LedgerError::Refused { reason: message, data });
        }
        serde_json::from_value(answer.result.unwrap_or(Value::Null)).map_err(malformed)
    }

    async fn number(&self, method: &str, params: Value) -> Result<u128, LedgerError> {
        let number: U256 = self.ask(method, params).await?;
        u128::try_from(number).map_err(malformed)
    }

    async fn send(&self, to: Address, value: U256, data: Bytes) -> Result<B256, LedgerError> {
        let from = self.account.address();
        let call = json!({ "from": from, "to": to, "value": value, "data": data });
        // Says why it would fail, before anything is paid for.
        let _: Bytes = self.ask("eth_call", json!([call, "latest"])).await?;
        let gas = self.number("eth_estimateGas", json!([call])).await?;
        let gas = u64::try_from(gas).map_err(malformed)?;
        let price = self.number("eth_gasPrice", json!([])).await?;
        let nonce = self.number("eth_getTransactionCount", json!([from, "pending"])).await?;
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: u64::try_from(nonce).map_err(malformed)?,
            gas_limit: gas.saturating_add(gas / 100 * GAS_MARGIN_PERCENT),
            max_fee_per_gas: price.saturating_mul(2),
            max_priority_fee_per_gas: 0,
            to: TxKind::Call(to),
            value,
            access_list: Default::default(),
            input: data,
        };
        let signature = self.account.sign(&transaction.signature_hash());
        let raw = Bytes::from(transaction.into_signed(signature).encoded_2718());
        self.ask("eth_sendRawTransaction", json!([raw])).await
    }

    async fn included(&self, hash: B256) -> Result<Included, LedgerError> {
        let deadline = tokio::time::Instant::now() + INCLUSION_TIMEOUT;
        loop {
            let receipt: Result<Option<RpcReceipt>, _> =
                self.ask("eth_getTransactionReceipt", json!([hash])).await;
            match receipt {
                Ok(Some(RpcReceipt { transaction_hash, status, logs })) => {
                    if status != "0x1" {
                        let reason =
                            "the transaction failed in its block: the state moved since it was tried";
                        return Err(LedgerError::Refused { reason: reason.into(), data: Bytes::new() });
                    }
                    let logs = logs.into_iter();
                    let logs =
                        logs.map(|log| Event { address: log.address, topics: log.topics, data: log.data });
                    return Ok(Included { hash: transaction_hash, logs: logs.collect() });
                }
                Ok(None) | Err(LedgerError::Away(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(POLL_EVERY).await;
                }
                Ok(None) => return Err(LedgerError::Away(format!("{hash} is in no block yet"))),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Ledger for RpcLedger {
    fn call(&self, from: Address, to: Address, data: Bytes) -> BoxFuture<'_, Result<Bytes, LedgerError>> {
        let call = json!([{ "from": from, "to": to, "data": data }, "latest"]);
        Box::pin(self.ask("eth_call", call))
    }

    fn transact(
        &self,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> BoxFuture<'_, Result<Included, LedgerError>> {
        Box::pin(async move {
            let _one = self.sending.lock().await;
            let hash = self.send(to, value, data).await?;
            self.included(hash).await
        })
    }
}
