//! Where the user's files stand: `--home`, or `OPENLEDGER_HOME`, or `.openledger` in the home directory; and the configuration in it.

use crate::config::Config;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use vault::store::place::Place;

/// The user's folder.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
    /// `openledger.toml`.
    pub config: Config,
}

impl Home {
    /// The folder asked for, or the default; and the configuration asked for, or the one in the folder.
    pub fn new(asked: Option<PathBuf>, config: Option<&Path>) -> anyhow::Result<Home> {
        let folder = match asked {
            Some(path) => path,
            None => {
                let user = std::env::home_dir().context("no home directory is known: pass --home DIR")?;
                user.join(".openledger")
            }
        };
        let config = Config::load(config, &folder)?;
        Ok(Home { folder, config })
    }

    /// Where keys stand.
    pub fn keystore(&self) -> PathBuf {
        self.folder.join("keystore")
    }

    /// Where the vault is: what was named on the command line, else the configuration's bucket or folder, else `HOME/vault`.
    pub fn vault(&self, named: Option<&str>, endpoint: Option<&str>) -> anyhow::Result<Place> {
        let configured = &self.config.vault;
        let either = endpoint.or(configured.s3_endpoint.as_deref());
        match (named, &configured.s3) {
            // A folder named here has nothing to do with the configuration's server.
            (Some(named), _) if !named.contains("://") => Ok(Place::parse(named, endpoint)?),
            (Some(bucket), _) => Ok(Place::parse(bucket, either)?),
            (None, Some(bucket)) => Ok(Place::parse(bucket, either)?),
            (None, None) => {
                let folder = configured.folder.clone().unwrap_or_else(|| self.folder.join("vault"));
                Ok(Place::Folder(folder))
            }
        }
    }

    /// Folder of the node.
    pub fn node(&self) -> PathBuf {
        self.config.node.data_dir.clone().unwrap_or_else(|| self.folder.join("node"))
    }

    /// Any other file or folder of the user's.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }
}
