//! The embedded ledger: a network of one validator, with the windows of a development network.

use super::accounts::Accounts;
use crate::rpc::Client;
use anyhow::{Context as _, ensure};
use chain::{Node, NodeConfig, NodeHandle, init::InitOptions};
use ledger::Genesis;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Folder of the node inside the demo's.
const FOLDER: &str = "node";
/// What differs from a public network's parameters, so that an epoch fits into a demo: times in seconds.
const PARAMETERS: [(&str, u64); 4] =
    [("epoch_seconds", 1), ("challenge_seconds", 3), ("reveal_delay_seconds", 0), ("vesting_seconds", 60)];

/// A running ledger and a client of it.
pub struct Network {
    /// The node.
    pub node: NodeHandle,
    /// Its JSON-RPC.
    pub client: Client,
    /// Where its JSON-RPC answers.
    pub rpc: SocketAddr,
    /// Its genesis document.
    pub genesis: PathBuf,
}

/// How long the first block may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Creates the network at the first run, then starts its node. `rpc` is where JSON-RPC should answer.
pub async fn start(folder: &Path, accounts: &Accounts, rpc: SocketAddr) -> anyhow::Result<Network> {
    let folder = folder.join(FOLDER);
    if !folder.join("genesis.json").exists() {
        let genesis = Genesis {
            parameters: PARAMETERS
                .iter()
                .map(|(name, value)| (name.to_string(), *value))
                .collect::<BTreeMap<_, _>>(),
            ..Genesis::development(&accounts.holders())
        };
        chain::init::init(&folder, InitOptions::single(genesis))?;
    }
    let mut config = NodeConfig::load(&folder)?;
    config.addresses.rpc = free(rpc);
    // One validator has nobody to talk to: any free port will do.
    config.addresses.listen = free(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let node = Node::start(config).context("the embedded ledger does not start")?;
    let rpc = node.rpc_addr();
    let client = Client::new(&rpc.to_string())?;
    // The genesis allocations are in the first block.
    let started = Instant::now();
    while client.height().await? == 0 {
        ensure!(
            started.elapsed() < PATIENCE,
            "the embedded ledger made no block within {} s",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Network { client, rpc, node, genesis: folder.join("genesis.json") })
}

/// The address if its port is free, else one whose port is.
pub fn free(wanted: SocketAddr) -> SocketAddr {
    let bound = |address| TcpListener::bind(address).and_then(|listener| listener.local_addr());
    bound(wanted).or_else(|_| bound(SocketAddr::new(wanted.ip(), 0))).unwrap_or(wanted)
}
