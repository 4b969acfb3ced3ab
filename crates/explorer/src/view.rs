//! Typed reads over a node's JSON-RPC.

use crate::{Explorer, Failure, source::SourceError};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use serde::Deserialize;
use serde_json::{Value, json};

/// A block as pages show it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Height.
    pub number: U256,
    /// Digest.
    pub hash: B256,
    /// The parent's digest.
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: U256,
    /// State root.
    pub state_root: B256,
    /// Receipts root.
    pub receipts_root: B256,
    /// Proposer's account.
    pub miner: Address,
    /// Gas used.
    pub gas_used: U256,
    /// Gas a block may use.
    pub gas_limit: U256,
    /// Base fee, units per gas.
    #[serde(default)]
    pub base_fee_per_gas: U256,
    /// Hashes of its transactions.
    #[serde(default)]
    pub transactions: Vec<B256>,
}

/// A transaction as pages show it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Hash of the envelope.
    pub hash: B256,
    /// Sender.
    pub from: Address,
    /// Account or module called.
    pub to: Option<Address>,
    /// Units sent.
    pub value: U256,
    /// Call data.
    pub input: Bytes,
    /// Sender's nonce.
    pub nonce: U256,
    /// Height, once in a block.
    pub block_number: Option<U256>,
}

/// A receipt as pages show it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// 1 when accepted.
    pub status: U256,
    /// Gas paid for.
    pub gas_used: U256,
    /// Units per gas.
    pub effective_gas_price: U256,
    /// Events.
    pub logs: Vec<Log>,
}

/// An event as pages show it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Module.
    pub address: Address,
    /// Signature and indexed arguments.
    pub topics: Vec<B256>,
    /// The other arguments.
    pub data: Bytes,
    /// Height.
    pub block_number: Option<U256>,
    /// Digest of the block.
    pub block_hash: Option<B256>,
    /// Transaction; of an event of the block itself a hash that is derived from its digest.
    pub transaction_hash: Option<B256>,
}

impl Log {
    /// The transaction that caused it; `None` for an event of the block itself.
    pub fn cause(&self) -> Option<B256> {
        let derived = self.block_hash.map(alloy_primitives::keccak256);
        self.transaction_hash.filter(|hash| Some(*hash) != derived)
    }
}

impl Explorer {
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, Failure> {
        let value = self.rpc.request(method, params).await?;
        serde_json::from_value(value).map_err(|error| {
            SourceError::Unavailable(format!("{method} answered unexpectedly: {error}")).into()
        })
    }

    /// Height of the last block.
    pub async fn height(&self) -> Result<u64, Failure> {
        Ok(self.ask::<U256>("eth_blockNumber", json!([])).await?.saturating_to())
    }

    /// The network's id (EIP-155).
    pub async fn chain_id(&self) -> Result<u64, Failure> {
        Ok(self.ask::<U256>("eth_chainId", json!([])).await?.saturating_to())
    }

    /// A block by height.
    pub async fn block(&self, number: u64) -> Result<Option<Block>, Failure> {
        self.ask("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await
    }

    /// A block by digest.
    pub async fn block_by_hash(&self, hash: B256) -> Result<Option<Block>, Failure> {
        self.ask("eth_getBlockByHash", json!([hash, false])).await
    }

    /// The last blocks, newest first.
    pub async fn blocks(&self, count: u64) -> Result<Vec<Block>, Failure> {
        let height = self.height().await?;
        let mut blocks = Vec::new();
        for number in (height.saturating_sub(count.saturating_sub(1))..=height).rev() {
            blocks.extend(self.block(number).await?);
        }
        Ok(blocks)
    }

    /// A transaction.
    pub async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, Failure> {
        self.ask("eth_getTransactionByHash", json!([hash])).await
    }

    /// A receipt.
    pub async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, Failure> {
        self.ask("eth_getTransactionReceipt", json!([hash])).await
    }

    /// Units an account holds.
    pub async fn balance(&self, address: Address) -> Result<U256, Failure> {
        self.ask("eth_getBalance", json!([address, "latest"])).await
    }

    /// Transactions an account sent.
    pub async fn nonce(&self, address: Address) -> Result<U256, Failure> {
        self.ask("eth_getTransactionCount", json!([address, "latest"])).await
    }

    /// Events of a module, oldest first, by topics (`null` matches any).
    pub async fn logs(&self, address: Address, topics: Value) -> Result<Vec<Log>, Failure> {
        self.ask(
            "eth_getLogs",
            json!([{ "address": address, "fromBlock": "earliest", "toBlock": "latest", "topics": topics }]),
        )
        .await
    }

    /// A module's view; `None` when the module refuses (an id it does not know).
    pub async fn view<C: SolCall>(&self, to: Address, call: &C) -> Result<Option<C::Return>, Failure> {
        let data = Bytes::from(call.abi_encode());
        match self.rpc.request("eth_call", json!([{ "to": to, "data": data }, "latest"])).await {
            Ok(value) => {
                let output: Bytes = serde_json::from_value(value).map_err(|error| {
                    SourceError::Unavailable(format!("eth_call answered unexpectedly: {error}"))
                })?;
                C::abi_decode_returns(&output).map(Some).map_err(|error| {
                    SourceError::Unavailable(format!("{} did not decode: {error}", C::SIGNATURE)).into()
                })
            }
            Err(SourceError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
