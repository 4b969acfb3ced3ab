//! `openledger node`: runs a validator or full node until it is told to stop.

use super::init::development_accounts;
use crate::{home::Home, output::Output};
use anyhow::{Context as _, bail};
use chain::{Node, NodeConfig, init::InitOptions};
use ledger::Genesis;
use serde_json::json;
use std::{net::SocketAddr, path::PathBuf};

/// Run a node.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder that `openledger init` made [default: HOME/node; config: node.data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address that JSON-RPC answers on [config: node.rpc]
    #[arg(long, value_name = "HOST:PORT")]
    rpc: Option<SocketAddr>,
    /// Create a development network if the folder is empty: one validator, the accounts of the well-known mnemonic funded
    #[arg(long)]
    dev: bool,
    /// Join late by fetching the state from peers instead of executing all blocks
    #[arg(long)]
    state_sync: bool,
    /// Keep the newest COUNT blocks only, at least 64; what is older is answered with an error
    #[arg(long, value_name = "COUNT")]
    keep_blocks: Option<usize>,
}

/// Runs `openledger node`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { data_dir, rpc, dev, state_sync, keep_blocks } = arguments;
    let file = &home.config.node;
    let folder = data_dir.unwrap_or_else(|| home.node());
    if !folder.join("genesis.json").exists() {
        if !dev {
            bail!(
                "there is no network in {}; create one with `openledger init`, or pass --dev for a development network",
                folder.display()
            );
        }
        chain::init::init(&folder, InitOptions::single(Genesis::development(&development_accounts()?)))?;
    }
    let mut config = NodeConfig::load(&folder)?;
    if let Some(rpc) = rpc.or(file.rpc) {
        config.addresses.rpc = rpc;
    }
    config.state_sync = state_sync || file.state_sync;
    config.keep_blocks = keep_blocks.or(file.keep_blocks);
    let chain_id = config.genesis.chain_id;
    let node = Node::start(config)?;
    let address = node.rpc_addr();
    output.result(&json!({ "rpc": address, "chainId": chain_id, "dataDir": folder }), || {
        format!("JSON-RPC on http://{address}, chain {chain_id}, data in {}", folder.display())
    });
    if dev {
        output.note(format!(
            "Accounts of the mnemonic \"{}\" hold the supply. Never use them elsewhere. Ctrl-C stops the node.",
            crate::wallet::DEVELOPMENT_MNEMONIC
        ));
    }
    let stopped = super::runtime()?.block_on(async {
        tokio::select! {
            signal = super::stop_signal() => Some(signal),
            () = node.ended() => None,
        }
    });
    match stopped {
        Some(signal) => {
            signal.context("cannot wait for Ctrl-C")?;
            output.note("Stopping.");
            node.shutdown();
            Ok(())
        }
        None => Ok(node.wait()?),
    }
}
