//! What the demo has done, so that a run that was cut off goes on where it stopped. One JSON file, replaced as a whole.

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// File in the demo's folder.
const FILE: &str = "demo.json";
/// Version of the file's meaning; another one is refused.
const VERSION: u32 = 2;

/// A contributor, as the demo came to know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contributor {
    /// Short name.
    pub name: String,
    /// Where it comes from.
    pub url: String,
    /// SPDX expression.
    pub licence: String,
    /// Account that is paid.
    pub account: Address,
    /// The contribution in the vault and on the ledger; none when everything was refused.
    pub contribution: Option<B256>,
    /// Items contributed.
    pub items: u64,
    /// Bytes contributed.
    pub bytes: u64,
}

/// The state between stages. A field is set once its stage is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The Datanet.
    pub datanet: Option<B256>,
    /// Who contributes.
    pub contributors: Vec<Contributor>,
    /// Whether all contributions are revealed and the version is frozen.
    pub frozen: bool,
    /// Root of the training set in the vault.
    pub training_set: Option<B256>,
    /// The model on the ledger.
    pub model: Option<B256>,
    /// Whether training and the cache are done and committed.
    pub model_ready: bool,
    /// Whether the operator stands and offers the model.
    pub operator_ready: bool,
    /// Ids of the answers asked for by the demo itself.
    pub answers: Vec<String>,
    /// Whether the answers are settled and claimed.
    pub settled: bool,
}

/// The file and the state in it.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
    /// The state.
    pub state: State,
}

impl Journal {
    /// Reads the journal of the demo in `folder`, or begins one.
    pub fn open(folder: &Path) -> anyhow::Result<Journal> {
        let path = folder.join(FILE);
        let state = match std::fs::read(&path) {
            Ok(bytes) => {
                let state: State = serde_json::from_slice(&bytes).with_context(|| {
                    format!("{} is damaged; delete {} to begin anew", path.display(), folder.display())
                })?;
                anyhow::ensure!(
                    state.version == VERSION,
                    "{} was made by another version of the demo; delete {} to begin anew",
                    path.display(),
                    folder.display()
                );
                state
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                State { version: VERSION, ..State::default() }
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Journal { path, state })
    }

    /// Whether an earlier run did something.
    pub fn has_begun(&self) -> bool {
        self.state.datanet.is_some()
    }

    /// Writes the state; it is whole on disk when this returns.
    pub fn save(&self) -> anyhow::Result<()> {
        let folder = self.path.parent().context("the journal stands in a folder")?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(&self.state)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(())
    }
}
