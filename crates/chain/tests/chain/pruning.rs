//! Nodes that keep their newest blocks only, as their users meet them.

use crate::{network::TestNetwork, nodes::TestNode, transfers::Wallet};
use chain::{Node, node::MIN_KEPT_BLOCKS};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn pruned(answer: (i64, String)) {
    assert!(answer.0 == 4444 && answer.1.contains("is not kept here"), "{answer:?}");
}

#[test]
fn old_blocks_are_refused_by_name_and_the_node_starts_again() {
    let mut node = TestNode::start();
    node.handle.take().expect("running").shutdown();
    node.config.keep_blocks = Some(MIN_KEPT_BLOCKS - 1);
    let refused = Node::start(node.config.clone()).err().expect("too few blocks").to_string();
    assert!(refused.contains("keep at least 64"), "{refused}");

    node.config.keep_blocks = Some(MIN_KEPT_BLOCKS);
    node.config.heartbeat = Duration::from_millis(20);
    node.handle = Some(Node::start(node.config.clone()).expect("starts"));
    let client = node.client();
    let wallet = Wallet::new(1);
    let early = client.include(&wallet.transfer(node.chain_id(), 0, Wallet::new(2).address, 5));
    let height = client.height().expect("running");
    client
        .wait(PATIENCE, |client| client.height().filter(|head| *head > height + 2 * MIN_KEPT_BLOCKS as u64));
    let block = early["blockNumber"].clone();
    // Pruning follows writing, which does not hold up consensus.
    client.wait(PATIENCE, |client| {
        let answer = client.answer("eth_getBlockByNumber", json!([block, false])).ok()?;
        answer.get("error").map(drop)
    });
    for (method, params) in [
        ("eth_getBlockByNumber", json!([block, false])),
        ("eth_getBlockReceipts", json!([block])),
        ("eth_getBlockTransactionCountByNumber", json!([block])),
        ("eth_getLogs", json!([{ "fromBlock": "earliest" }])),
        ("openledger_getFinality", json!([block])),
    ] {
        pruned(client.fails(method, params));
    }
    assert!(client.call("eth_getTransactionReceipt", json!([early["transactionHash"]])).is_null());
    assert!(client.call("eth_getBlockByNumber", json!(["earliest", false])).is_object());
    // State is whole: balance and nonce are those the forgotten block left.
    assert_eq!(client.call("eth_getBalance", json!([Wallet::new(2).address, "latest"])), "0x5");

    let height = client.height().expect("running");
    node.handle.take().expect("running").shutdown();
    node.handle = Some(Node::start(node.config.clone()).expect("starts again"));
    let client = node.client();
    assert!(client.height().expect("running") >= height);
    let later = client.include(&wallet.transfer(node.chain_id(), 1, Wallet::new(2).address, 5));
    assert_eq!(later["status"], "0x1");
}

#[test]
fn a_late_validator_joins_pruned_peers_by_state_sync() {
    let mut network = TestNetwork::new(10);
    for config in &mut network.configs {
        config.keep_blocks = Some(MIN_KEPT_BLOCKS);
        config.state_sync = true;
    }
    for index in 0..3 {
        // The first three have nobody to fetch a state from.
        network.configs[index].state_sync = false;
        network.start(index);
    }
    let (wallet, to) = (Wallet::new(1), Wallet::new(2).address);
    let chain_id = network.configs[0].genesis.chain_id;
    network.reach(0, 1);
    network.include(0, &wallet.transfer(chain_id, 0, to, 5));
    network.reach(0, 3 * MIN_KEPT_BLOCKS as u64);
    network.client(0).wait(PATIENCE, |client| {
        client.answer("eth_getBlockByNumber", json!(["0x1", false])).ok()?.get("error").map(drop)
    });

    network.start(3);
    let late = network.client(3);
    late.wait(PATIENCE, |client| {
        let balance = client.answer("eth_getBalance", json!([to, "latest"])).ok()?;
        (balance["result"] == "0x5").then_some(())
    });
    network.include(3, &wallet.transfer(chain_id, 1, to, 5));
    // It says what it does not have, and agrees on what it has.
    pruned(late.fails("eth_getBlockByNumber", json!(["0x1", false])));
    let head = network.client(3).height().expect("running");
    network.reach(0, head);
    let tag = format!("0x{head:x}");
    let blocks: Vec<Value> = [0, 3]
        .map(|index| network.client(index).call("eth_getBlockByNumber", json!([tag, false])))
        .into_iter()
        .collect();
    assert_eq!(blocks[0], blocks[1]);
}
