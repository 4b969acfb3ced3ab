//! A disk that fills up under a running node.
//!
//! Needs the right to mount, so it is not part of the usual run:
//! `cargo test -p chain --test chain full_disk -- --ignored` as root on Linux. It mounts a small tmpfs, lets a node fill
//! it, checks what the node says and that it ends, makes room, and starts it again.

use crate::{
    client::{Client, number},
    processes::{free_ports, program},
    transfers::Wallet,
};
use chain::init::{InitOptions, init};
use ledger::Genesis;
use serde_json::json;
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Mount(std::path::PathBuf);

impl Mount {
    fn new(path: &Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("writable");
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], path);
        Self(path.to_owned())
    }

    fn grow(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], &self.0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) {
    let status = Command::new("mount").args(arguments).arg(path).status().expect("mount exists");
    assert!(status.success(), "mounting needs root");
}

/// Starts a node that writes what it says to `said`: a pipe that nobody reads would stop it.
fn start(directory: &Path, said: &Path) -> Child {
    let mut command = Command::new(program());
    command.arg("run").arg(directory).env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(said).expect("writable"));
    command.spawn().expect("the example was built")
}

#[test]
#[ignore = "mounts a file system: needs root"]
fn a_full_disk_ends_the_node_with_what_to_do_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wallet = Wallet::new(1);
    let mut genesis = Genesis::development(&[wallet.address]);
    genesis.block_interval_ms = 10;
    let chain_id = genesis.chain_id;
    let mut options = InitOptions::single(genesis);
    options.rpc_port = free_ports(1);
    let client = Client(SocketAddr::from(([127, 0, 0, 1], options.rpc_port)));
    let node = init(directory.path(), options).expect("a fresh directory").remove(0);
    let disk = Mount::new(&node.join("data"), "12m");

    let said = directory.path().join("said");
    let mut process = start(&node, &said);
    client.wait(PATIENCE, |client| client.height());
    let (started, mut nonce, mut finalized) = (Instant::now(), 0, 0);
    let status = loop {
        if let Some(status) = process.try_wait().expect("ours") {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(240), "the disk did not fill up");
        // Large payloads fill it sooner; a node that ends in between answers nothing.
        let raw = wallet.call(chain_id, nonce, Wallet::new(2).address, 1, vec![1; 60_000].into(), 5_000_000);
        if let Ok(answer) = client.answer("eth_sendRawTransaction", json!([raw]))
            && answer.get("error").is_none()
        {
            nonce += 1;
        }
        if let Ok(answer) = client.answer("eth_getTransactionCount", json!([wallet.address, "latest"])) {
            finalized = number(&answer["result"]).unwrap_or(0).max(finalized);
        }
    };
    assert!(!status.success());
    let text = std::fs::read_to_string(&said).expect("text");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("nothing final is lost") && last.contains("space"), "{text}");
    assert!(finalized > 0);

    // Without room it says so again; with room it goes on from where it was.
    let mut again = start(&node, &said);
    let refused = Instant::now();
    while again.try_wait().expect("ours").is_none() && refused.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    if again.try_wait().expect("ours").is_none() {
        again.kill().expect("it runs");
        again.wait().expect("ours");
    }
    disk.grow("64m");
    let mut process = start(&node, &said);
    let kept = client.wait(PATIENCE, |client| {
        let answer = client.answer("eth_getTransactionCount", json!([wallet.address, "latest"])).ok()?;
        number(&answer["result"]).filter(|kept| *kept >= finalized)
    });
    // Blocks that were final before are executed again and the count goes on rising for a moment.
    let mut settled = kept;
    client.wait(PATIENCE, |client| {
        std::thread::sleep(Duration::from_secs(2));
        let now = number(&client.call("eth_getTransactionCount", json!([wallet.address, "latest"])))?;
        (std::mem::replace(&mut settled, now) == now).then_some(())
    });
    let receipt = client.include(&wallet.transfer(chain_id, settled, Wallet::new(2).address, 1));
    assert_eq!(receipt["status"], "0x1");
    process.kill().expect("it runs");
    process.wait().expect("ours");
}
