//! Checkpoints of a run on disk, crash-safe.
//!
//! A checkpoint is a directory `checkpoints/<step>` with `state.safetensors` (everything trained, and the optimiser's moments),
//! `leaves.bin` (the tile tree's leaves, 32 bytes each, in order) and `checkpoint.json`. It is written under another name, every file
//! and directory synchronised, and renamed last; so a name that is there is whole. A damaged one is recognised by its tile tree and
//! passed over for the one before.

use super::trainer::Trainer;
use crate::commitment::{CheckpointTree, TensorTiles, TileDifference, tile_count};
use crate::directory::{read_text, write_json};
use crate::safetensors::{Dtype, FileError, Reader, TensorData, sync_directory, write, write_atomically};
use primitives::B256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Name of the directory inside a run.
pub const CHECKPOINTS_DIR: &str = "checkpoints";
const STATE_FILE: &str = "state.safetensors";
const LEAVES_FILE: &str = "leaves.bin";
const INFO_FILE: &str = "checkpoint.json";
const INFO_BYTES_MAX: u64 = 1 << 16;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Another version of the arithmetic.
    #[error(
        "checkpoint of step {step} was written by op set {found}, this program has {expected}: use the program that wrote it"
    )]
    OpSet {
        /// Its step.
        step: u64,
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// Another run.
    #[error("checkpoint of step {0} belongs to another run")]
    OtherRun(u64),
    /// Contents that are not what was committed.
    #[error("checkpoint of step {step} is damaged at tensor `{}`{}", difference.tensor, tile_text(difference.tile))]
    Damaged {
        /// Its step.
        step: u64,
        /// Where.
        difference: TileDifference,
    },
    /// A file of it is not valid.
    #[error("checkpoint of step {step}: {reason}")]
    Format {
        /// Its step.
        step: u64,
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing; the checkpoints that were there are intact.
    #[error("checkpoints in {path}: {source}; earlier checkpoints are intact")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state's file.
    #[error(transparent)]
    File(#[from] FileError),
}

fn tile_text(tile: Option<usize>) -> String {
    tile.map(|t| format!(", tile {t}")).unwrap_or_default()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Info {
    op_set: u32,
    run: B256,
    step: u64,
    chain: B256,
    root: B256,
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of a run's directory.
    pub fn of(run: &Path) -> Checkpoints {
        Checkpoints { dir: run.join(CHECKPOINTS_DIR) }
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{step:010}"))
    }

    /// Steps that have a checkpoint, ascending.
    pub fn steps(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        let mut steps: Vec<u64> =
            entries.flatten().filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok())).collect();
        steps.sort_unstable();
        steps
    }

    /// Writes the state of a run; whatever fails, earlier checkpoints stay as they are.
    ///
    /// # Errors
    /// When it cannot be written (a full disk, say).
    pub fn save(&self, trainer: &Trainer) -> Result<(), CheckpointError> {
        let io = |source| CheckpointError::Io { path: self.dir.clone(), source };
        let (temporary, last) = (self.dir.join("writing.tmp"), self.path(trainer.steps()));
        if last.exists() {
            return Ok(());
        }
        // What a killed process left behind.
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(io)?;
        }
        std::fs::create_dir_all(&temporary).map_err(io)?;
        let result = self.write_into(&temporary, trainer).and_then(|()| {
            sync_directory(Some(&temporary)).map_err(io)?;
            std::fs::rename(&temporary, &last).map_err(io)?;
            sync_directory(Some(&self.dir)).map_err(io)
        });
        if result.is_err() {
            // The first error matters; what is left is removed by the next attempt.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        result
    }

    fn write_into(&self, dir: &Path, trainer: &Trainer) -> Result<(), CheckpointError> {
        let io = |source| CheckpointError::Io { path: self.dir.clone(), source };
        let named = trainer.named_tensors();
        let tensors: Vec<TensorData<'_>> = named
            .iter()
            .map(|t| TensorData { name: t.name.clone(), shape: t.shape.clone(), data: t.data })
            .collect();
        write(&dir.join(STATE_FILE), Dtype::F32, &tensors, &BTreeMap::new())?;
        let tree = trainer.tree();
        write_atomically(&dir.join(LEAVES_FILE), |out| {
            tree.tensors.iter().flat_map(|t| &t.leaves).try_for_each(|leaf| out.write_all(leaf.as_slice()))
        })
        .map_err(io)?;
        let info = Info {
            op_set: ops::OP_SET_VERSION,
            run: trainer.manifest().hash(),
            step: trainer.steps(),
            chain: trainer.chain(),
            root: tree.root(),
        };
        write_json(&dir.join(INFO_FILE), &info).map_err(io)
    }

    /// Loads the state of a step into a trainer of the same run, and checks every tile of it.
    ///
    /// # Errors
    /// When it is of another run or op set, or damaged: then the tensor and tile are named, and the trainer's state is not to be
    /// used before another load succeeds.
    pub fn load(&self, step: u64, trainer: &mut Trainer) -> Result<(), CheckpointError> {
        let format = |reason: String| CheckpointError::Format { step, reason };
        let dir = self.path(step);
        let text = read_text(&dir.join(INFO_FILE), INFO_BYTES_MAX).map_err(|e| format(e.to_string()))?;
        let info: Info = serde_json::from_str(&text).map_err(|e| format(format!("{INFO_FILE}: {e}")))?;
        if info.op_set != ops::OP_SET_VERSION {
            return Err(CheckpointError::OpSet { step, found: info.op_set, expected: ops::OP_SET_VERSION });
        }
        if info.run != trainer.manifest().hash() || info.step != step {
            return Err(CheckpointError::OtherRun(step));
        }
        let specs: Vec<(String, Vec<usize>)> =
            trainer.named_tensors().into_iter().map(|t| (t.name, t.shape)).collect();
        let mut file = Reader::open(&dir.join(STATE_FILE))?;
        for ((name, shape), tensor) in specs.iter().zip(trainer.tensors_mut()) {
            if file.shape(name) != Some(shape) {
                return Err(format(format!("tensor `{name}` is missing or has another shape")));
            }
            file.read_f32(name, tensor)?;
        }
        trainer.set_position(step, info.chain);
        let found = trainer.tree();
        if found.root() == info.root {
            return Ok(());
        }
        let committed = self.leaves(step, &specs).map_err(format)?;
        let difference = committed.first_difference(&found);
        let unknown = TileDifference { tensor: "the recorded root itself".into(), tile: None, place: None };
        Err(CheckpointError::Damaged { step, difference: difference.unwrap_or(unknown) })
    }

    /// The tile tree that was recorded with a checkpoint.
    fn leaves(&self, step: u64, specs: &[(String, Vec<usize>)]) -> Result<CheckpointTree, String> {
        let expected: usize = specs.iter().map(|(_, shape)| tile_count(shape)).sum();
        let bytes =
            std::fs::read(self.path(step).join(LEAVES_FILE)).map_err(|e| format!("{LEAVES_FILE}: {e}"))?;
        let (leaves, rest) = bytes.as_chunks::<32>();
        if leaves.len() != expected || !rest.is_empty() {
            return Err(format!("{LEAVES_FILE} has {} bytes, expected {}", bytes.len(), expected * 32));
        }
        let mut leaves = leaves.iter().map(|l| B256::new(*l));
        let tensors = specs
            .iter()
            .map(|(name, shape)| TensorTiles {
                name: name.clone(),
                shape: shape.clone(),
                leaves: leaves.by_ref().take(tile_count(shape)).collect(),
            })
            .collect();
        Ok(CheckpointTree { op_set: ops::OP_SET_VERSION, step, tensors })
    }

    /// The recorded tile tree of a step of a trainer's run.
    ///
    /// # Errors
    /// When the leaves' file is missing or not as long as the state asks for.
    pub fn recorded_tree(&self, step: u64, trainer: &Trainer) -> Result<CheckpointTree, CheckpointError> {
        let specs: Vec<(String, Vec<usize>)> =
            trainer.named_tensors().into_iter().map(|t| (t.name, t.shape)).collect();
        self.leaves(step, &specs).map_err(|reason| CheckpointError::Format { step, reason })
    }

    /// Loads the newest checkpoint that is whole, at most `limit`; returns its step and the errors of newer ones.
    ///
    /// # Errors
    /// When there are checkpoints and none of them can be used.
    pub fn load_newest(
        &self,
        limit: u64,
        trainer: &mut Trainer,
    ) -> Result<(Option<u64>, Vec<CheckpointError>), CheckpointError> {
        let mut errors = Vec::new();
        for step in self.steps().into_iter().rev().filter(|s| *s <= limit) {
            match self.load(step, trainer) {
                Ok(()) => return Ok((Some(step), errors)),
                Err(e @ (CheckpointError::OpSet { .. } | CheckpointError::OtherRun(_))) => return Err(e),
                Err(e) => errors.push(e),
            }
        }
        match errors.pop() {
            Some(error) => Err(error),
            None => Ok((None, errors)),
        }
    }

    /// Removes all but the newest `keep` checkpoints and those of step 0.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune(&self, keep: usize) -> Result<(), CheckpointError> {
        let steps = self.steps();
        for step in steps.iter().take(steps.len().saturating_sub(keep)).filter(|s| **s != 0) {
            std::fs::remove_dir_all(self.path(*step))
                .map_err(|source| CheckpointError::Io { path: self.dir.clone(), source })?;
        }
        Ok(())
    }
}
