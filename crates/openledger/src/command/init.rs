//! `openledger init`: a new network.

use crate::{home::Home, output::Output, wallet};
use alloy_primitives::{Address, hex};
use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context as _, ensure};
use ledger::Genesis;
use serde_json::json;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// File of the key that a validator's pay goes to.
const REWARD_FILE: &str = "reward.key";
/// More validators than a network has are refused later, by name.
const MAX_REWARD_KEYS: usize = 256;

/// Create a network: one validator, or several with keys, peers and a shared genesis.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to create it in [default: HOME/node]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Number of validators; more than one go into node0, node1, ...
    #[arg(long, default_value_t = 1)]
    validators: usize,
    /// Address that the validators reach each other at
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// First port between validators
    #[arg(long, default_value_t = 30_303)]
    port: u16,
    /// First port of JSON-RPC
    #[arg(long, default_value_t = 8_545)]
    rpc_port: u16,
    /// EIP-155 chain id
    #[arg(long, default_value_t = ledger::genesis::DEVELOPMENT_CHAIN_ID)]
    chain_id: u64,
    /// Accounts that share the supply evenly
    #[arg(long = "holder", value_name = "ADDRESS", required_unless_present_any = ["dev", "genesis"])]
    holders: Vec<Address>,
    /// Share the supply among the ten accounts of the well-known development mnemonic
    #[arg(long, conflicts_with = "genesis")]
    dev: bool,
    /// Account that a validator's pay goes to, one a validator in the order of their folders [default: a new one each, its key in
    /// the folder's reward.key]
    #[arg(long = "reward", value_name = "ADDRESS")]
    rewards: Vec<Address>,
    /// Take everything but the validators from this genesis file
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

/// Runs `openledger init`.
pub fn run(arguments: Arguments, home: &Home, output: &Output) -> anyhow::Result<()> {
    let Arguments { data_dir, validators, host, port, rpc_port, chain_id, holders, dev, rewards, genesis } =
        arguments;
    let genesis = match genesis {
        Some(path) => {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text)
                .with_context(|| format!("{} is not a genesis document", path.display()))?
        }
        None => {
            let holders = if dev { development_accounts()? } else { holders };
            Genesis { chain_id, ..Genesis::development(&holders) }
        }
    };
    let folder = data_dir.unwrap_or_else(|| home.join("node"));
    ensure!(
        rewards.is_empty() || rewards.len() == validators,
        "{} accounts for the pay of {validators} validators: name one each, or none",
        rewards.len()
    );
    // Without an account of its own a validator's pay would go where nobody can spend it.
    let made: Vec<PrivateKeySigner> = match rewards.is_empty() {
        true => (0..validators.min(MAX_REWARD_KEYS))
            .map(|_| Ok(wallet::generate(12)?.1))
            .collect::<anyhow::Result<_>>()?,
        false => Vec::new(),
    };
    let reward_accounts =
        if made.is_empty() { rewards } else { made.iter().map(|key| key.address()).collect() };
    let options = chain::init::InitOptions {
        reward_accounts: reward_accounts.clone(),
        host,
        port,
        rpc_port,
        ..chain::init::InitOptions::network(genesis, validators)
    };
    let folders = chain::init::init(&folder, options)?;
    for (key, folder) in made.iter().zip(&folders) {
        let secret = Zeroizing::new(hex::encode(key.to_bytes()));
        wallet::write_private(&folder.join(REWARD_FILE), secret.as_bytes())?;
    }
    output.result(&json!({ "directories": folders, "rewards": reward_accounts }), || {
        let lines = folders.iter().zip(&reward_accounts);
        lines.map(|(f, account)| format!("{}  pays {account}", f.display())).collect::<Vec<_>>().join("\n")
    });
    if !made.is_empty() {
        output.note(format!(
            "Each folder's {REWARD_FILE} is the key of the account that its validator's pay goes to: `openledger wallet import NAME < {}` takes \
             it into your keystore; then delete the file.",
            folders[0].join(REWARD_FILE).display()
        ));
    }
    output.note(format!(
        "Start {} with `openledger node --data-dir {}`.",
        if validators == 1 { "it" } else { "each" },
        folders[0].display()
    ));
    Ok(())
}

/// The accounts that development chains fund.
pub fn development_accounts() -> anyhow::Result<Vec<Address>> {
    (0..wallet::DEVELOPMENT_ACCOUNTS)
        .map(|index| Ok(wallet::from_mnemonic(wallet::DEVELOPMENT_MNEMONIC, index)?.address()))
        .collect()
}
