//! One node in this process: JSON-RPC under good and bad input, restarts, refusals to start.

use crate::{
    client::{Client, number},
    transfers::Wallet,
};
use alloy_primitives::Bytes;
use chain::{
    Node, NodeConfig, NodeHandle,
    init::{InitOptions, init},
    node::NodeError,
};
use ledger::Genesis;
use serde_json::json;
use std::{net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

/// A node of its own network on a free port, whose supply [`Wallet`] 1 holds.
pub struct TestNode {
    /// The node.
    pub handle: Option<NodeHandle>,
    /// Its configuration.
    pub config: NodeConfig,
    _directory: TempDir,
}

impl TestNode {
    /// Starts it.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut genesis = Genesis::development(&[Wallet::new(1).address]);
        genesis.block_interval_ms = 20;
        init(directory.path(), InitOptions::single(genesis)).expect("a fresh directory");
        let mut config = NodeConfig::load(directory.path()).expect("init wrote everything");
        config.addresses.rpc = SocketAddr::from(([127, 0, 0, 1], 0));
        config.heartbeat = Duration::from_millis(100);
        let handle = Some(Node::start(config.clone()).expect("the node starts"));
        Self { handle, config, _directory: directory }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client(self.handle.as_ref().expect("running").rpc_addr())
    }

    /// Its chain id.
    pub fn chain_id(&self) -> u64 {
        self.config.genesis.chain_id
    }
}

#[test]
fn history_and_state_survive_a_restart() {
    let mut node = TestNode::start();
    let wallet = Wallet::new(1);
    let to = Wallet::new(2).address;
    let receipt = node.client().include(&wallet.transfer(node.chain_id(), 0, to, 5));
    assert_eq!(receipt["status"], "0x1");
    let height = node.client().height().expect("running");
    node.handle.take().expect("running").shutdown();

    node.handle = Some(Node::start(node.config.clone()).expect("starts again"));
    let client = node.client();
    assert!(client.height().expect("running") >= height, "no finalized block is lost");
    assert_eq!(client.call("eth_getTransactionReceipt", json!([receipt["transactionHash"]])), receipt);
    assert_eq!(client.call("eth_getBalance", json!([to, "latest"])), "0x5");
    let again = client.include(&wallet.transfer(node.chain_id(), 1, to, 1));
    assert_eq!(again["status"], "0x1");
}

#[test]
fn the_index_is_rebuilt_when_it_was_deleted() {
    let mut node = TestNode::start();
    let wallet = Wallet::new(1);
    let receipt = node.client().include(&wallet.transfer(node.chain_id(), 0, Wallet::new(2).address, 5));
    node.handle.take().expect("running").shutdown();
    for file in ["index.redb", "index.journal"] {
        std::fs::remove_file(node.config.data.join(file)).expect("it was written");
    }
    node.handle = Some(Node::start(node.config.clone()).expect("starts again"));
    // Blocks are replayed while the node already answers.
    let rebuilt = node.client().wait(Duration::from_secs(20), |client| {
        let found = client.call("eth_getTransactionReceipt", json!([receipt["transactionHash"]]));
        Some(found).filter(|found| !found.is_null())
    });
    assert_eq!(rebuilt, receipt);
    assert!(node.client().call("eth_getBlockByNumber", json!(["0x1", false])).is_object());
}

#[test]
fn malformed_requests_get_an_error_and_the_node_goes_on() {
    let node = TestNode::start();
    let client = node.client();
    for (body, code) in [
        (b"{".as_slice(), -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1}", -32600),
        (b"{\"id\":{},\"method\":\"eth_chainId\"}", -32600),
        (b"{\"id\":1,\"method\":\"eth_nonsense\"}", -32601),
        (b"{\"id\":1,\"method\":\"eth_getBalance\",\"params\":{}}", -32602),
        (b"{\"id\":1,\"method\":\"eth_getBalance\",\"params\":[\"0x12\"]}", -32602),
        (b"{\"id\":1,\"method\":\"eth_getBlockByNumber\",\"params\":[\"0x\"]}", -32602),
    ] {
        let (_, answer) = client.post(body).expect("answered");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["error"]["code"], code, "{}", String::from_utf8_lossy(body));
    }
    let (status, _) = client.post(&vec![b' '; chain::rpc::MAX_BODY_BYTES + 1]).expect("answered");
    assert!(status.contains("413"), "{status}");
    let batch = vec![json!({ "id": 1, "method": "eth_chainId" }); chain::rpc::MAX_BATCH + 1];
    let (_, answer) = client.post(json!(batch).to_string().as_bytes()).expect("answered");
    assert!(answer.contains("-32005"), "{answer}");
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let (_, answer) = client.post(&deep).expect("answered");
    assert!(answer.contains("-32700"), "{answer}");
    assert!(client.height().is_some());
}

#[test]
fn transactions_that_cannot_be_are_refused_with_a_reason() {
    let node = TestNode::start();
    let (client, wallet, chain_id) = (node.client(), Wallet::new(1), node.chain_id());
    let to = Wallet::new(2).address;
    let send = |raw: Bytes| client.fails("eth_sendRawTransaction", json!([raw]));
    let refused = |raw: Bytes, reason: &str| {
        let (code, message) = send(raw);
        assert!(code == -32000 && message.contains(reason), "{code} {message}, expected {reason}");
    };
    refused(wallet.transfer(1, 0, to, 1), "chain id 1");
    refused(wallet.transfer(chain_id, 1 << 40, to, 1), "nonce too high");
    refused(Wallet::new(3).transfer(chain_id, 0, to, 1), "insufficient funds");
    refused(wallet.call(chain_id, 0, to, 1, Bytes::new(), u64::MAX), "gas limit");
    refused(Bytes::from_static(&[3, 1, 2]), "type 3");
    refused(Bytes::from_static(&[2, 0xc0]), "malformed");
    refused(Bytes::from(vec![2; 200_000]), "the limit is");
    let mut trailing = wallet.transfer(chain_id, 0, to, 1).to_vec();
    trailing.push(0);
    refused(trailing.into(), "malformed");
    let sent = wallet.transfer(chain_id, 0, to, 1);
    client.include(&sent);
    refused(wallet.transfer(chain_id, 0, to, 2), "nonce too low");
    // Gaps wait, and everything behind one is included once it closes.
    for nonce in [3, 2] {
        client.call("eth_sendRawTransaction", json!([wallet.transfer(chain_id, nonce, to, 1)]));
    }
    assert_eq!(number(&client.call("eth_getTransactionCount", json!([wallet.address, "pending"]))), Some(1));
    client.include(&wallet.transfer(chain_id, 1, to, 1));
    client.wait(Duration::from_secs(10), |client| {
        let count = client.call("eth_getTransactionCount", json!([wallet.address, "latest"]));
        (number(&count) == Some(4)).then_some(())
    });
}

#[test]
fn state_of_old_blocks_is_refused_and_not_guessed() {
    let node = TestNode::start();
    let client = node.client();
    client.wait(Duration::from_secs(10), |client| client.height().filter(|height| *height > 4));
    let (code, message) = client.fails("eth_getBalance", json!([Wallet::new(1).address, "0x1"]));
    assert!(code == -32000 && message.contains("not kept"), "{message}");
}

fn start_error(config: &NodeConfig) -> NodeError {
    match Node::start(config.clone()) {
        Ok(_) => panic!("the node must not start"),
        Err(error) => error,
    }
}

#[test]
fn what_is_wrong_is_refused_before_anything_starts() {
    let mut node = TestNode::start();
    assert!(start_error(&node.config).to_string().contains("in use by another node"));

    let taken = NodeConfig { data: "/nonexistent".into(), ..node.config.clone() };
    let mut port = taken.clone();
    port.addresses.rpc = node.client().0;
    assert!(matches!(start_error(&port), NodeError::Port { .. }));
    let mut port = taken;
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    port.addresses.listen = holder.local_addr().expect("bound");
    port.addresses.rpc.set_port(0);
    let refused = start_error(&port);
    assert!(matches!(refused, NodeError::Port { .. }) && refused.to_string().contains("choose another port"));
    node.handle.take().expect("running").shutdown();

    let mut genesis = node.config.clone();
    genesis.genesis.timestamp_ms += 1;
    assert!(start_error(&genesis).to_string().contains("belongs to the network with genesis"));

    let foreign = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(foreign.path().join("thesis.txt"), "mine").expect("writable");
    let foreign = NodeConfig { data: foreign.path().into(), ..node.config.clone() };
    assert!(start_error(&foreign).to_string().contains("not a node's data"));

    let mut stranger = node.config.clone();
    stranger.key = chain::init::new_key();
    assert!(start_error(&stranger).to_string().contains("not in the genesis file"));

    std::fs::write(node.config.data.join("index.redb"), vec![7; 4_096]).expect("writable");
    assert!(start_error(&node.config).to_string().contains("delete it and start again"));
}

/// Files under `directory`, in order.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A disk that returns other bytes than were written is not survived, but never believed either.
#[test]
fn damaged_files_of_consensus_are_found_out_and_the_reader_told_what_to_do() {
    let mut node = TestNode::start();
    let wallet = Wallet::new(1);
    let to = Wallet::new(2).address;
    for nonce in 0..3 {
        node.client().include(&wallet.transfer(node.chain_id(), nonce, to, 1));
    }
    node.handle.take().expect("running").shutdown();
    let data = node.config.data.clone();
    let mut refused = 0;
    for file in files(&data.join("chain")) {
        let sound = std::fs::read(&file).expect("readable");
        let Some(middle) = sound.len().checked_sub(1).map(|last| last / 2) else { continue };
        let copy = tempfile::tempdir().expect("a temporary directory");
        let at = |original: &Path| copy.path().join(original.strip_prefix(&data).expect("of the node"));
        for original in files(&data) {
            std::fs::create_dir_all(at(&original).parent().expect("in a directory")).expect("writable");
            std::fs::copy(&original, at(&original)).expect("writable");
        }
        let mut damaged = sound;
        damaged[middle] ^= 0xff;
        std::fs::write(at(&file), damaged).expect("writable");
        match Node::start(NodeConfig { data: copy.path().into(), ..node.config.clone() }) {
            // What it needs was recovered, or it does not need this byte.
            Ok(handle) => {
                let client = Client(handle.rpc_addr());
                let balance = client.answer("eth_getBalance", json!([to, "latest"])).expect("answered");
                assert!(balance["result"] == "0x3" || balance["error"].is_object(), "{file:?}: {balance}");
                handle.shutdown();
            }
            Err(error) => {
                refused += 1;
                let said = error.to_string();
                assert!(said.contains("restore the data directory"), "{file:?}: {said}");
            }
        }
    }
    assert!(refused > 0, "nothing was found out");
}

#[test]
fn init_overwrites_nothing_and_keeps_keys_to_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = InitOptions::network(Genesis::development(&[Wallet::new(1).address]), 3);
    let nodes = init(directory.path(), options.clone()).expect("a fresh directory");
    assert_eq!(nodes.len(), 3);
    let genesis = |node: &Path| std::fs::read(node.join("genesis.json")).expect("written");
    assert!(nodes.iter().all(|node| genesis(node) == genesis(&nodes[0])));
    for node in &nodes {
        let mode = std::fs::metadata(node.join("validator.key")).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let config = NodeConfig::load(node).expect("init wrote everything");
        assert_eq!(config.addresses.peers.len(), 2);
    }
    assert!(init(directory.path(), options).is_err());
}
