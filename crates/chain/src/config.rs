//! What a node reads from its directory, and how a directory is laid out.
//!
//! | file | content |
//! |---|---|
//! | `genesis.json` | the network: the same on every node |
//! | `validator.key` | this validator's ed25519 secret key in hex, readable by its owner only |
//! | `node.toml` | addresses: where to listen, where the peers are, where JSON-RPC is served |
//! | `data/` | everything the node writes |

use crate::{
    block::{PrivateKey, PublicKey},
    mempool::Limits,
};
use commonware_codec::{Copying, DecodeExt as _};
use ledger::Genesis;
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Addresses of a node, as in `node.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Where to listen for other validators; port 0 when there are none.
    pub listen: SocketAddr,
    /// Where to serve JSON-RPC.
    pub rpc: SocketAddr,
    /// The other validators.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// Another validator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its ed25519 public key in hex.
    pub key: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Everything a node needs to start.
#[derive(Clone)]
pub struct NodeConfig {
    /// Where the node writes.
    pub data: PathBuf,
    /// The network.
    pub genesis: Genesis,
    /// This validator's key.
    pub key: PrivateKey,
    /// Where to listen, serve and connect.
    pub addresses: Addresses,
    /// Bounds of the mempool.
    pub mempool: Limits,
    /// Time from a block to the next when nothing waits.
    pub heartbeat: Duration,
    /// Whether a new node fetches state instead of replaying all blocks.
    pub state_sync: bool,
    /// Newest blocks to keep, at least [`crate::node::MIN_KEPT_BLOCKS`]; `None` keeps all. Consensus frees its own copies
    /// in sections of 4,096 blocks.
    pub keep_blocks: Option<usize>,
    /// Threads for consensus and JSON-RPC.
    pub threads: usize,
}

/// Time from a block to the next when nothing waits.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(1);

/// Why a node's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {source}; create a node's directory with `init`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// A file has the wrong content.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl NodeConfig {
    /// Reads a directory that [`crate::init`] made.
    pub fn load(directory: &Path) -> Result<Self, ConfigError> {
        let path = directory.join(GENESIS_FILE);
        let genesis = serde_json::from_str(&read(&path)?).map_err(|error| content(&path, error))?;
        let path = directory.join(ADDRESSES_FILE);
        let addresses = toml::from_str(&read(&path)?).map_err(|error| content(&path, error))?;
        let path = directory.join(KEY_FILE);
        let key = parse_private_key(read(&path)?.trim()).map_err(|error| content(&path, error))?;
        Ok(Self::new(directory.join(DATA_DIRECTORY), genesis, key, addresses))
    }

    /// Defaults for everything but what has none.
    pub fn new(data: PathBuf, genesis: Genesis, key: PrivateKey, addresses: Addresses) -> Self {
        Self {
            data,
            genesis,
            key,
            addresses,
            mempool: Limits::default(),
            heartbeat: DEFAULT_HEARTBEAT,
            state_sync: false,
            keep_blocks: None,
            threads: std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8),
        }
    }
}

pub(crate) const GENESIS_FILE: &str = "genesis.json";
pub(crate) const ADDRESSES_FILE: &str = "node.toml";
pub(crate) const KEY_FILE: &str = "validator.key";
pub(crate) const DATA_DIRECTORY: &str = "data";

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn content(path: &Path, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Content { path: path.to_owned(), reason: reason.to_string() }
}

/// A key is not 32 bytes of hex, or not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ed25519 key in hex (64 digits)")]
pub struct KeyError;

/// Reads a secret key in hex.
pub fn parse_private_key(text: &str) -> Result<PrivateKey, KeyError> {
    let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|_| KeyError)?;
    PrivateKey::decode(Copying(&bytes)).map_err(|_| KeyError)
}

/// Reads a public key in hex.
pub fn parse_public_key(text: &str) -> Result<PublicKey, KeyError> {
    let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|_| KeyError)?;
    PublicKey::decode(Copying(&bytes)).map_err(|_| KeyError)
}
