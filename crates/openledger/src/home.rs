//! Where the user's files stand: `--home`, or `OPENLEDGER_HOME`, or `.openledger` in the home directory.

use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// The user's folder.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The folder asked for, or the default.
    pub fn new(asked: Option<PathBuf>) -> anyhow::Result<Home> {
        match asked {
            Some(path) => Ok(Home(path)),
            None => {
                let user = std::env::home_dir().context("no home directory is known: pass --home DIR")?;
                Ok(Home(user.join(".openledger")))
            }
        }
    }

    /// Where keys stand.
    pub fn keystore(&self) -> PathBuf {
        self.0.join("keystore")
    }

    /// Any other folder of the user's.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}
