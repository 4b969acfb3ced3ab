//! Creates and runs nodes, for tests of real processes: `init DIR [VALIDATORS] [PORT] [RPC_PORT] [INTERVAL_MS]`
//! or `run DIR`. Allocates the supply to the accounts of the mnemonic that development chains use.

use alloy_primitives::{Address, address};
use chain::{
    Node, NodeConfig,
    init::{InitOptions, init},
};
use ledger::Genesis;
use std::{path::Path, process::ExitCode};

const HOLDERS: [Address; 3] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["init", directory, ref rest @ ..] => create(directory, rest),
        ["run", directory, ref rest @ ..] => run(directory, rest.contains(&"--sync")),
        _ => {
            Err("usage: node init DIR [VALIDATORS] [PORT] [RPC_PORT] [INTERVAL_MS] | run DIR [--sync]".into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            std::io::Write::write_all(&mut std::io::stderr(), format!("error: {error}\n").as_bytes()).ok();
            ExitCode::FAILURE
        }
    }
}

fn create(directory: &str, rest: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let number = |index: usize, default: u64| rest.get(index).map_or(Ok(default), |text| text.parse());
    let mut genesis = Genesis::development(&HOLDERS);
    genesis.block_interval_ms = number(3, genesis.block_interval_ms)?;
    let mut options = InitOptions::network(genesis, number(0, 1)? as usize);
    options.port = number(1, 30_303)? as u16;
    options.rpc_port = number(2, 8_545)? as u16;
    init(Path::new(directory), options)?;
    Ok(())
}

fn run(directory: &str, state_sync: bool) -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut config = NodeConfig::load(Path::new(directory))?;
    config.state_sync = state_sync;
    Node::start(config)?.wait()?;
    Ok(())
}
