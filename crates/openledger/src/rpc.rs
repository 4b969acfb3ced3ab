//! A JSON-RPC client for a node: the few methods the CLI needs, with errors that say what to do.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest answer of a node.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A node by its address.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    http: reqwest::Client,
}

/// The receipt of an included transaction, as far as the CLI shows it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Height of its block.
    pub block_number: U256,
    /// 1 when the call was accepted.
    pub status: U256,
    /// Gas paid for.
    pub gas_used: U256,
    /// Units per gas.
    pub effective_gas_price: U256,
    /// Events.
    pub logs: Vec<Value>,
}

/// What a node answers instead of a result.
#[derive(Clone, Debug)]
pub struct RpcError {
    /// JSON-RPC code; 3 is a refused call.
    pub code: i64,
    /// Why.
    pub message: String,
    /// Revert data.
    pub data: Bytes,
}

/// Reads a response's body of at most `limit` bytes.
pub async fn bounded(response: reqwest::Response, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut response = response;
    let mut body = Vec::new();
    while let Some(more) = response.chunk().await.context("the answer broke off")? {
        if body.len() + more.len() > limit {
            bail!("the answer has more than {limit} bytes");
        }
        body.extend_from_slice(&more);
    }
    Ok(body)
}

impl Client {
    /// A client of the node at `address` (`host:port` or an URL).
    pub fn new(address: &str) -> anyhow::Result<Client> {
        let url = if address.contains("://") { address.to_string() } else { format!("http://{address}") };
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Client { url, http })
    }

    /// Where the node answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method`; the node's own error is the inner one.
    pub async fn reply(&self, method: &str, params: Value) -> anyhow::Result<Result<Value, RpcError>> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = self.http.post(&self.url).json(&body).send().await.with_context(|| {
            format!("no node answers at {}; start one with `openledger node --dev`, or pass --rpc", self.url)
        })?;
        let status = response.status();
        let body = bounded(response, MAX_RESPONSE_BYTES).await.with_context(|| self.url.clone())?;
        let mut reply: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{} answered {status} without JSON", self.url))?;
        match reply.get("error").filter(|error| !error.is_null()) {
            Some(error) => Ok(Err(RpcError {
                code: error["code"].as_i64().unwrap_or(0),
                message: error["message"].as_str().unwrap_or("no message").into(),
                data: error["data"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default(),
            })),
            None => Ok(Ok(reply["result"].take())),
        }
    }

    /// Calls `method`; the node's error becomes words.
    pub async fn request<T: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> anyhow::Result<T> {
        let value = match self.reply(method, params).await? {
            Ok(value) => value,
            Err(RpcError { message, data, .. }) => match crate::revert::describe(&data) {
                Some(custom) => bail!("the ledger refuses: {custom}"),
                None if data.is_empty() => bail!("{method}: {message}"),
                None => bail!("{method}: {message} ({data})"),
            },
        };
        serde_json::from_value(value).with_context(|| format!("{method} answered with an unexpected shape"))
    }

    /// EIP-155 chain id.
    pub async fn chain_id(&self) -> anyhow::Result<u64> {
        Ok(self.request::<U256>("eth_chainId", json!([])).await?.saturating_to())
    }

    /// Height of the last block.
    pub async fn height(&self) -> anyhow::Result<u64> {
        Ok(self.request::<U256>("eth_blockNumber", json!([])).await?.saturating_to())
    }

    /// Unix time of the last block, in seconds.
    pub async fn timestamp(&self) -> anyhow::Result<u64> {
        let block: Value = self.request("eth_getBlockByNumber", json!(["latest", false])).await?;
        let time: U256 =
            serde_json::from_value(block["timestamp"].clone()).context("a block without a time")?;
        Ok(time.saturating_to())
    }

    /// Units held.
    pub async fn balance(&self, address: Address) -> anyhow::Result<u128> {
        Ok(self.request::<U256>("eth_getBalance", json!([address, "latest"])).await?.saturating_to())
    }

    /// Next nonce, waiting transactions counted.
    pub async fn nonce(&self, address: Address) -> anyhow::Result<u64> {
        Ok(self
            .request::<U256>("eth_getTransactionCount", json!([address, "pending"]))
            .await?
            .saturating_to())
    }

    /// Base fee the node suggests paying, units per gas.
    pub async fn gas_price(&self) -> anyhow::Result<u128> {
        Ok(self.request::<U256>("eth_gasPrice", json!([])).await?.saturating_to())
    }

    /// Gas a call needs.
    pub async fn estimate(
        &self,
        from: Address,
        to: Address,
        value: U256,
        data: &Bytes,
    ) -> anyhow::Result<u64> {
        let call = json!({ "from": from, "to": to, "value": value, "data": data });
        Ok(self.request::<U256>("eth_estimateGas", json!([call])).await?.saturating_to())
    }

    /// Asks a module's view.
    pub async fn view<C: SolCall>(&self, to: Address, call: &C) -> anyhow::Result<C::Return> {
        let data = Bytes::from(call.abi_encode());
        let output: Bytes = self.request("eth_call", json!([{ "to": to, "data": data }, "latest"])).await?;
        C::abi_decode_returns(&output)
            .map_err(|error| anyhow!("{} answered bytes that do not decode: {error}", C::SIGNATURE))
    }

    /// Sends a signed envelope.
    pub async fn send_raw(&self, envelope: &Bytes) -> anyhow::Result<B256> {
        self.request("eth_sendRawTransaction", json!([envelope])).await
    }

    /// The receipt of a transaction, once it is in a block.
    pub async fn receipt(&self, hash: B256) -> anyhow::Result<Option<Receipt>> {
        self.request("eth_getTransactionReceipt", json!([hash])).await
    }

    /// Waits for a receipt.
    pub async fn wait(&self, hash: B256, patience: Duration) -> anyhow::Result<Receipt> {
        let start = tokio::time::Instant::now();
        loop {
            if let Some(receipt) = self.receipt(hash).await? {
                return Ok(receipt);
            }
            if start.elapsed() > patience {
                bail!(
                    "transaction {hash} is in no block after {} s; it may still be included",
                    patience.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
