//! Several real nodes in this process.

use crate::{client::Client, processes::free_ports, transfers::Wallet};
use chain::{
    Node, NodeConfig, NodeHandle,
    init::{InitOptions, init},
};
use ledger::Genesis;
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything a network does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Validators on loopback; those of `handles` that are `Some` run.
pub struct TestNetwork {
    /// The nodes, by their place in the genesis file.
    pub handles: Vec<Option<NodeHandle>>,
    /// Their configurations.
    pub configs: Vec<NodeConfig>,
    _directory: TempDir,
}

impl TestNetwork {
    /// Prepares four validators with blocks every `interval_ms` even when nothing waits; none runs yet.
    pub fn new(interval_ms: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut genesis = Genesis::development(&[Wallet::new(1).address]);
        genesis.block_interval_ms = interval_ms;
        let mut options = InitOptions::network(genesis, 4);
        options.port = free_ports(8);
        options.rpc_port = options.port + 4;
        let nodes = init(directory.path(), options).expect("a fresh directory");
        let config = |node: &std::path::PathBuf| {
            let mut config = NodeConfig::load(node).expect("init wrote everything");
            config.heartbeat = Duration::from_millis(interval_ms);
            config.threads = 2;
            config
        };
        let configs: Vec<NodeConfig> = nodes.iter().map(config).collect();
        Self { handles: configs.iter().map(|_| None).collect(), configs, _directory: directory }
    }

    /// Starts node `index`.
    pub fn start(&mut self, index: usize) {
        self.handles[index] = Some(Node::start(self.configs[index].clone()).expect("the node starts"));
    }

    /// A client of node `index`.
    pub fn client(&self, index: usize) -> Client {
        Client(self.configs[index].addresses.rpc)
    }

    /// Waits until node `index` has the block at `height`.
    pub fn reach(&self, index: usize, height: u64) {
        self.client(index).wait(PATIENCE, |client| client.height().filter(|found| *found >= height));
    }

    /// Sends `raw` to node `index` and waits until every running node has its receipt.
    pub fn include(&self, index: usize, raw: &alloy_primitives::Bytes) -> serde_json::Value {
        let receipt = self.client(index).include(raw);
        for other in (0..4).filter(|other| self.handles[*other].is_some()) {
            self.client(other).wait(PATIENCE, |client| {
                let found = client.call("eth_getTransactionReceipt", json!([receipt["transactionHash"]]));
                (!found.is_null()).then_some(())
            });
        }
        receipt
    }
}
