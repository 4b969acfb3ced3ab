//! `openledger.toml`: one configuration for node, vault, gateway and settlement.
//!
//! Read from `--config FILE`, else from `openledger.toml` in the user's folder if there is one. Every key is optional and a flag on the
//! command line goes before it; an unknown key is refused, so that a misspelt one is not overlooked. Relative paths are taken from the
//! file's folder. Secrets do not stand in it: a password comes from a file that it names, readable by its owner alone.
//!
//! ```toml
//! [node]
//! data_dir = "node"                  # as `openledger init` made it
//! rpc = "127.0.0.1:8545"             # where JSON-RPC answers
//! state_sync = false                 # join by fetching state from peers
//! keep_blocks = 1000000              # leave out to keep all
//!
//! [vault]
//! folder = "vault"                   # encrypted items
//! s3 = "s3://bucket/prefix"          # in a bucket instead; credentials from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
//! s3_endpoint = "http://127.0.0.1:9000" # of a server that is not Amazon's
//!
//! [gateway]
//! models = ["demo"]                  # folders with a serving.json
//! listen = "127.0.0.1:8000"
//! data_dir = "gateway"               # receipts, pending payments
//! key = "operator"                   # in the keystore
//! password_file = "operator.password"
//! public_url = "https://api.example" # as clients see it
//! explorer_url = "https://example"
//! stake = "10000"                    # OPEN that answer for the operator's work
//! rpc = "127.0.0.1:8545"             # its own node
//! workers = 2                        # answers made at once
//! queue = 512                        # answers that wait; beyond, 429
//! connections = 4096
//! body_bytes = 2097152
//! answer_seconds = 300
//! default_max_tokens = 256
//!
//! [settlement]
//! every_seconds = 60                 # look for something to redeem, post, pay
//! withdraw_delay_seconds = 86400     # what a payer's withdrawal takes
//! ```

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Name of the file in the user's folder.
pub const FILE: &str = "openledger.toml";
/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[vault]`.
    pub vault: Vault,
    /// `[gateway]`.
    pub gateway: Gateway,
    /// `[settlement]`.
    pub settlement: Settlement,
}

/// `[node]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Folder that `openledger init` made.
    pub data_dir: Option<PathBuf>,
    /// Where JSON-RPC answers.
    pub rpc: Option<SocketAddr>,
    /// Join by fetching state.
    pub state_sync: bool,
    /// Blocks to keep.
    pub keep_blocks: Option<usize>,
}

/// `[vault]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vault {
    /// Folder of encrypted items.
    pub folder: Option<PathBuf>,
    /// Bucket of encrypted items, `s3://BUCKET/PREFIX`; goes before the folder.
    pub s3: Option<String>,
    /// Address of the S3 server.
    pub s3_endpoint: Option<String>,
}

/// `[gateway]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Folders of served models.
    pub models: Vec<PathBuf>,
    /// Where the API answers.
    pub listen: Option<SocketAddr>,
    /// Folder of receipts.
    pub data_dir: Option<PathBuf>,
    /// Name of the operator's key.
    pub key: Option<String>,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// The API's address as clients see it.
    pub public_url: Option<String>,
    /// Where the pages stand.
    pub explorer_url: Option<String>,
    /// OPEN staked.
    pub stake: Option<String>,
    /// The operator's node.
    pub rpc: Option<String>,
    /// Answers made at once.
    pub workers: Option<usize>,
    /// Answers that wait.
    pub queue: Option<usize>,
    /// Connections at once.
    pub connections: Option<usize>,
    /// Longest request body.
    pub body_bytes: Option<usize>,
    /// Longest time of an answer.
    pub answer_seconds: Option<u64>,
    /// Tokens of an answer when the request does not say.
    pub default_max_tokens: Option<u32>,
}

/// `[settlement]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settlement {
    /// Seconds between two looks.
    pub every_seconds: Option<u64>,
    /// Seconds that a payer's withdrawal takes.
    pub withdraw_delay_seconds: Option<u64>,
}

impl Config {
    /// The file at `path`, or the one in `home` if there is one.
    pub fn load(path: Option<&Path>, home: &Path) -> anyhow::Result<Config> {
        let default = home.join(FILE);
        let path = match path {
            Some(path) => path,
            None if default.is_file() => &default,
            None => return Ok(Config::default()),
        };
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
        ensure!(
            size <= MAX_FILE_BYTES,
            "{} has {size} bytes; at most {MAX_FILE_BYTES} are read",
            path.display()
        );
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config: Config =
            toml::from_str(&text).with_context(|| format!("{} is no configuration", path.display()))?;
        config.root(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Takes relative paths from the file's folder.
    fn root(&mut self, folder: &Path) {
        let Config { node, vault, gateway, settlement: _ } = self;
        let paths =
            [&mut node.data_dir, &mut vault.folder, &mut gateway.data_dir, &mut gateway.password_file];
        for path in paths.into_iter().flatten().chain(&mut gateway.models) {
            *path = folder.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Config> {
        let home = tempfile::tempdir()?;
        std::fs::write(home.path().join(FILE), text)?;
        Config::load(None, home.path())
    }

    #[test]
    fn the_documented_file_is_read_whole() {
        let documented: String = include_str!("config.rs")
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!").trim_start().to_string() + "\n")
            .collect();
        let config = read(&documented).expect("the documentation is a configuration");
        assert_eq!(config.gateway.queue, Some(512));
        assert_eq!(config.settlement.every_seconds, Some(60));
        assert!(config.node.data_dir.expect("set").is_absolute(), "taken from the file's folder");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_no_file_is_the_default() {
        let error = read("[gateway]\nlisten_at = \"127.0.0.1:1\"\n").expect_err("no such key");
        assert!(format!("{error:#}").contains("listen_at"), "{error:#}");
        assert!(read("[nodes]\n").is_err());
        let home = tempfile::tempdir().expect("a folder");
        assert_eq!(Config::load(None, home.path()).expect("nothing to read"), Config::default());
        assert!(
            Config::load(Some(Path::new("missing.toml")), home.path()).is_err(),
            "asked for and not there"
        );
    }
}
