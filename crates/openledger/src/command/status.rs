//! `openledger status`: how a node is doing.

use crate::{cli::Rpc, output::Output, rpc::Client};
use alloy_primitives::U256;
use serde_json::{Value, json};

/// Height, peers and finality of a node.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    rpc: Rpc,
}

/// Runs `openledger status`.
pub async fn run(arguments: Arguments, output: &Output) -> anyhow::Result<()> {
    let client = Client::new(&arguments.rpc.rpc)?;
    let version: String = client.request("web3_clientVersion", json!([])).await?;
    let chain_id = client.chain_id().await?;
    let block: Value = client.request("eth_getBlockByNumber", json!(["latest", false])).await?;
    let number = |field: &str| -> u64 {
        block[field].as_str().and_then(|text| text.parse::<U256>().ok()).unwrap_or_default().saturating_to()
    };
    let now = crate::clock::now();
    let age = now.saturating_sub(number("timestamp"));
    let transactions = block["transactions"].as_array().map_or(0, Vec::len);
    let report = json!({
        "version": version,
        "chainId": chain_id,
        "height": number("number"),
        "hash": block["hash"],
        "stateRoot": block["stateRoot"],
        "ageSeconds": age,
        "baseFeePerGas": number("baseFeePerGas"),
        "transactions": transactions,
    });
    output.result(&report, || {
        format!(
            "{version}, chain {chain_id}\nblock {}, {age} s old, {transactions} transactions, base fee {} units per gas\nhash  {}\nstate {}",
            number("number"),
            number("baseFeePerGas"),
            block["hash"].as_str().unwrap_or("?"),
            block["stateRoot"].as_str().unwrap_or("?"),
        )
    });
    Ok(())
}
