//! Builds, signs and sends EIP-1559 transactions.

use crate::rpc::{Client, Receipt};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use std::time::Duration;

/// How long to wait for a block to hold the transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// Signs a transaction into its envelope.
pub fn sign(
    key: &PrivateKeySigner,
    chain_id: u64,
    nonce: u64,
    to: Address,
    value: U256,
    data: Bytes,
    gas_limit: u64,
    max_fee: u128,
) -> anyhow::Result<Bytes> {
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: 0,
        to: TxKind::Call(to),
        value,
        access_list: Default::default(),
        input: data,
    };
    let signature = key.sign_hash_sync(&tx.signature_hash())?;
    let signed = tx.into_signed(signature);
    let mut envelope = Vec::new();
    alloy_consensus::TxEnvelope::from(signed).encode_2718(&mut envelope);
    Ok(envelope.into())
}

/// Sends value and call data to `to` and waits for the receipt. A call that the ledger would refuse is not sent.
pub async fn send(
    client: &Client,
    key: &PrivateKeySigner,
    to: Address,
    value: U256,
    data: Bytes,
) -> anyhow::Result<Receipt> {
    let gas = client.estimate(key.address(), to, value, &data).await?;
    // Room for the base fee to double while the transaction waits.
    let max_fee = client.gas_price().await?.saturating_mul(2);
    let nonce = client.nonce(key.address()).await?;
    let chain_id = client.chain_id().await?;
    let envelope = sign(key, chain_id, nonce, to, value, data, gas.saturating_add(gas / 5), max_fee)?;
    let hash = client.send_raw(&envelope).await?;
    client.wait(hash, PATIENCE).await
}

/// Sends several calls of one account, in order, and waits for all receipts. A refused call fails the whole.
pub async fn send_many(
    client: &Client,
    key: &PrivateKeySigner,
    calls: Vec<(Address, U256, Bytes)>,
) -> anyhow::Result<Vec<Receipt>> {
    let max_fee = client.gas_price().await?.saturating_mul(2);
    let mut nonce = client.nonce(key.address()).await?;
    let chain_id = client.chain_id().await?;
    let mut hashes = Vec::with_capacity(calls.len());
    for (to, value, data) in calls {
        let gas = client.estimate(key.address(), to, value, &data).await?;
        let envelope = sign(key, chain_id, nonce, to, value, data, gas.saturating_add(gas / 5), max_fee)?;
        hashes.push(client.send_raw(&envelope).await?);
        nonce += 1;
    }
    let mut receipts = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let receipt = client.wait(hash, PATIENCE).await?;
        anyhow::ensure!(receipt.status == U256::from(1), "the ledger refused transaction {hash}");
        receipts.push(receipt);
    }
    Ok(receipts)
}
