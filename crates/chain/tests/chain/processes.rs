//! Four validators as processes on loopback, one killed again and again under load.
//!
//! Short by default; the full test is two minutes:
//! `OPENLEDGER_PROCESS_SECONDS=120 cargo test -p chain --test chain processes -- --nocapture`.

use crate::{
    client::{Client, number},
    transfers::Wallet,
};
use chain::init::{InitOptions, init};
use ledger::Genesis;
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

const VALIDATORS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// The example that runs one node; `cargo test` builds it next to the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("a test has a path");
    tests.parent().and_then(Path::parent).expect("target directory").join("examples/node")
}

struct Process(Child);

impl Process {
    fn start(directory: &Path, state_sync: bool) -> Self {
        let mut command = Command::new(program());
        command.arg("run").arg(directory).stdin(Stdio::null()).stdout(Stdio::null());
        if state_sync {
            command.arg("--sync");
        }
        Self(command.spawn().expect("the example was built"))
    }

    /// SIGKILL: nothing is flushed, nothing is closed.
    fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A range of ports that is free now.
pub fn free_ports(count: u16) -> u16 {
    // Tests of this process run at the same time: each call looks in a range of its own.
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let own = 512 * (CALLS.fetch_add(1, Ordering::Relaxed) % 16);
    let start = 20_000 + (std::process::id() % 20_000) as u16 + own;
    (start..60_000).step_by(16).find(|port| (*port..port + count).all(free)).expect("free ports")
}

fn same_block(clients: &[Client], height: u64) -> Value {
    let tag = format!("0x{height:x}");
    let block = clients[0].call("eth_getBlockByNumber", json!([tag, false]));
    assert!(block.is_object(), "block {height} is missing");
    for client in &clients[1..] {
        let other = client.answer("eth_getBlockByNumber", json!([tag, false])).expect("the node answers");
        // One that joined by state sync says that it does not hold what came before (EIP-4444's code).
        let before_it_joined = other["error"]["code"] == 4444;
        assert!(
            before_it_joined || other["result"].is_null() || other["result"] == block,
            "fork at height {height}: {other}"
        );
    }
    block
}

#[test]
fn a_validator_killed_again_and_again_loses_nothing_and_forks_nothing() {
    let seconds = std::env::var("OPENLEDGER_PROCESS_SECONDS").ok().and_then(|text| text.parse().ok());
    let duration = Duration::from_secs(seconds.unwrap_or(10));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wallet = Wallet::new(1);
    let mut genesis = Genesis::development(&[wallet.address]);
    genesis.block_interval_ms = 50;
    let chain_id = genesis.chain_id;
    let mut options = InitOptions::network(genesis, VALIDATORS);
    options.port = free_ports(2 * VALIDATORS as u16);
    options.rpc_port = options.port + VALIDATORS as u16;
    let clients: Vec<Client> = (0..VALIDATORS as u16)
        .map(|i| Client(SocketAddr::from(([127, 0, 0, 1], options.rpc_port + i))))
        .collect();
    let nodes = init(directory.path(), options).expect("a fresh directory");

    // The last one joins late.
    let mut running: Vec<Process> = nodes[..3].iter().map(|node| Process::start(node, false)).collect();
    clients[0].wait(PATIENCE, |client| client.height().filter(|height| *height > 3));
    let started = Instant::now();
    let (mut nonce, mut finalized_by_victim, mut kills) = (0, 0, 0);
    let mut late = None;
    while started.elapsed() < duration || late.is_none() {
        for _ in 0..20 {
            let raw = wallet.transfer(chain_id, nonce, Wallet::new(2).address, 1);
            clients[0].call("eth_sendRawTransaction", json!([raw]));
            nonce += 1;
        }
        if late.is_none() {
            late = Some(Process::start(&nodes[3], true));
            clients[3].wait(PATIENCE, |client| client.height());
        }
        finalized_by_victim = finalized_by_victim.max(clients[1].height().unwrap_or(0));
        running[1].kill();
        kills += 1;
        std::thread::sleep(Duration::from_millis(300));
        running[1] = Process::start(&nodes[1], false);
        let back = clients[1].wait(PATIENCE, |client| client.height());
        assert!(back >= finalized_by_victim, "lost blocks: {finalized_by_victim} before, {back} after");
        std::thread::sleep(Duration::from_millis(500));
    }
    running.extend(late);

    // Everything sent is included, and all four agree on every block and on the state.
    for client in &clients {
        client.wait(PATIENCE, |client| {
            let count = client.call("eth_getTransactionCount", json!([wallet.address, "latest"]));
            (number(&count)? >= nonce).then_some(())
        });
    }
    let common = clients.iter().filter_map(Client::height).min().expect("all run");
    let included: usize = (1..=common)
        .map(|height| same_block(&clients, height)["transactions"].as_array().map_or(0, Vec::len))
        .sum();
    assert!(included as u64 >= nonce, "{included} of {nonce} transfers");
    for client in &clients {
        assert_eq!(
            number(&client.call("eth_getBalance", json!([Wallet::new(2).address, "latest"]))),
            Some(nonce)
        );
    }
    assert!(kills > 1);
}
