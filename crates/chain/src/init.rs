//! Creates the directories of a new network: one validator, or many that know each other.

use crate::{
    block::{PrivateKey, PublicKey},
    config::{ADDRESSES_FILE, Addresses, GENESIS_FILE, KEY_FILE, Peer},
    network_rules::MAX_VALIDATORS,
};
use alloy_primitives::{Address, Bytes};
use commonware_codec::Encode as _;
use commonware_cryptography::Signer as _;
use commonware_math::algebra::Random as _;
use ledger::{Genesis, genesis::Validator};
use std::{
    fs::OpenOptions,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Why a network cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file is there already.
    #[error("{0} exists: a network is created once; choose another directory, or delete this one")]
    Exists(PathBuf),
    /// None, or too many validators.
    #[error("{0} validators: between 1 and {MAX_VALIDATORS} are possible")]
    Count(usize),
    /// The ports run out.
    #[error("ports {0} and up for {1} validators exceed 65535: choose a lower --port")]
    Ports(u16, usize),
    /// The disk refused.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
}

/// What a new network is made of.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Everything but validators and start time.
    pub genesis: Genesis,
    /// Number of validators.
    pub validators: usize,
    /// Accounts that receive the validators' tips; missing ones are derived from their keys.
    pub reward_accounts: Vec<Address>,
    /// Address all validators are reached at.
    pub host: IpAddr,
    /// First port between validators; the next ones follow.
    pub port: u16,
    /// First port of JSON-RPC; the next ones follow.
    pub rpc_port: u16,
}

impl InitOptions {
    /// One validator on this machine.
    pub fn single(genesis: Genesis) -> Self {
        Self::network(genesis, 1)
    }

    /// `validators` on this machine.
    pub fn network(genesis: Genesis, validators: usize) -> Self {
        Self {
            genesis,
            validators,
            reward_accounts: Vec::new(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 30_303,
            rpc_port: 8_545,
        }
    }
}

/// Creates the network under `directory`: one validator right there, several in `node0`, `node1`, and so on.
/// Returns the directories. Nothing existing is overwritten.
pub fn init(directory: &Path, options: InitOptions) -> Result<Vec<PathBuf>, InitError> {
    let count = options.validators;
    if count == 0 || count > MAX_VALIDATORS {
        return Err(InitError::Count(count));
    }
    let highest = options.port.max(options.rpc_port) as usize + count - 1;
    if highest > u16::MAX as usize {
        return Err(InitError::Ports(options.port.max(options.rpc_port), count));
    }
    let mut keys: Vec<PrivateKey> = (0..count).map(|_| new_key()).collect();
    keys.sort_by_key(|key| key.public_key());
    let genesis = complete(&options, &keys);
    let directories: Vec<PathBuf> = match count {
        1 => vec![directory.to_owned()],
        _ => (0..count).map(|index| directory.join(format!("node{index}"))).collect(),
    };
    for (index, (key, node)) in keys.iter().zip(&directories).enumerate() {
        std::fs::create_dir_all(node).map_err(|source| InitError::Write { path: node.clone(), source })?;
        let json = serde_json::to_string_pretty(&genesis).expect("a genesis has string keys only");
        write(&node.join(GENESIS_FILE), json.as_bytes(), 0o644)?;
        let addresses =
            toml::to_string(&addresses(&options, &keys, index)).expect("addresses are plain values");
        write(&node.join(ADDRESSES_FILE), addresses.as_bytes(), 0o644)?;
        write(&node.join(KEY_FILE), hex::encode(key.encode()).as_bytes(), 0o600)?;
    }
    Ok(directories)
}

/// A new validator key from the system's randomness.
pub fn new_key() -> PrivateKey {
    PrivateKey::random(commonware_utils::sys_rng())
}

/// The genesis with validators, in order of their keys, and the present as its start.
fn complete(options: &InitOptions, keys: &[PrivateKey]) -> Genesis {
    let mut genesis = options.genesis.clone();
    genesis.timestamp_ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    genesis.validators = keys
        .iter()
        .enumerate()
        .map(|(index, key)| {
            let public = key.public_key();
            let account = options.reward_accounts.get(index).copied();
            Validator {
                key: Bytes::copy_from_slice(public.as_ref()),
                account: account.unwrap_or_else(|| derived_account(&public)),
            }
        })
        .collect();
    genesis
}

/// An account nobody has the key of yet, for validators that named none.
fn derived_account(key: &PublicKey) -> Address {
    Address::from_slice(&alloy_primitives::keccak256(key.as_ref())[12..])
}

fn addresses(options: &InitOptions, keys: &[PrivateKey], own: usize) -> Addresses {
    let at = |port: u16, index: usize| SocketAddr::new(options.host, port + index as u16);
    let peers = keys.iter().enumerate().filter(|(index, _)| *index != own).map(|(index, key)| Peer {
        key: hex::encode(key.public_key().as_ref() as &[u8]),
        address: at(options.port, index),
    });
    // A lone validator has nobody to listen for: any free port does.
    let listen = if keys.len() == 1 { SocketAddr::new(options.host, 0) } else { at(options.port, own) };
    Addresses { listen, rpc: at(options.rpc_port, own), peers: peers.collect() }
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), InitError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all())).map_err(|source| {
        match source.kind() {
            std::io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
            _ => InitError::Write { path: path.to_owned(), source },
        }
    })
}
