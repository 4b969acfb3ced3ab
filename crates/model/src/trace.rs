//! The full trace of a step: the tile leaves of every operation's output.

use crate::commitment::{TILE, TensorTiles};
use crate::data::TrainingData;
use crate::safetensors::write_atomically;
use crate::taps::OpTrace;
use crate::train::{StepRecord, TrainError, Trainer};
use primitives::B256;
use primitives::encoding::{DecodeError, Reader, Writer};
use primitives::hash::{Domain, hash};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Directory of traces inside a run.
pub const TRACE_DIR: &str = "trace";
/// Most operations of a step.
pub const OPS_MAX: usize = 1 << 20;
/// Most tiles of an operation's output.
pub const TILES_MAX: usize = 1 << 26;
/// Largest trace of a step, in bytes.
pub const TRACE_BYTES_MAX: u64 = 1 << 32;
const NAME_BYTES_MAX: usize = 512;

/// Why a trace cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The step itself.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A file that is no trace.
    #[error("{path}: not a valid trace: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Outputs of a step's operations in order of execution, hashed. An output counts as rows of [`TILE`] elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTrace {
    /// The operations.
    pub ops: Vec<TensorTiles>,
}

impl OpTrace for StepTrace {
    fn op(&mut self, name: &str, output: &[f32]) {
        self.ops.push(TensorTiles::new(name.into(), &[output.len()], output));
    }
}

/// The first operation at which two traces differ.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OpDifference {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// First tile of its output that differs, if both have it: elements `4096 tile ..`.
    pub tile: Option<usize>,
}

impl StepTrace {
    /// Root over all operations.
    pub fn root(&self) -> B256 {
        let roots: Vec<B256> = self.ops.iter().map(TensorTiles::root).collect();
        let mut w = Writer::new();
        w.u64(TILE as u64).hash(&primitives::merkle::root(&roots));
        hash(Domain::Step, w.as_bytes())
    }

    /// First operation and tile at which two traces differ.
    pub fn first_difference(&self, other: &StepTrace) -> Option<OpDifference> {
        for (index, (a, b)) in self.ops.iter().zip(&other.ops).enumerate() {
            if a.name != b.name || a.shape != b.shape {
                return Some(OpDifference { index, name: a.name.clone(), tile: None });
            }
            if let Some(tile) = (0..a.leaves.len()).find(|i| a.leaves.get(*i) != b.leaves.get(*i)) {
                return Some(OpDifference { index, name: a.name.clone(), tile: Some(tile) });
            }
        }
        let index = self.ops.len().min(other.ops.len());
        let extra = self.ops.get(index).or_else(|| other.ops.get(index))?;
        Some(OpDifference { index, name: extra.name.clone(), tile: None })
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.list(&self.ops, |w, op| {
            w.text(&op.name).u64(op.shape.iter().product::<usize>() as u64).list(&op.leaves, |w, leaf| {
                w.hash(leaf);
            });
        });
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<StepTrace, DecodeError> {
        let mut r = Reader::new(bytes);
        let ops = r.list(OPS_MAX, |r| {
            let name = r.text(NAME_BYTES_MAX)?.to_string();
            let shape = vec![r.u64()? as usize];
            let leaves = r.list(TILES_MAX, |r| r.hash())?;
            Ok(TensorTiles { name, shape, leaves })
        })?;
        r.finish()?;
        Ok(StepTrace { ops })
    }
}

/// Traces of a run's steps on disk.
#[derive(Clone, Debug)]
pub struct TraceStore {
    dir: PathBuf,
}

impl TraceStore {
    /// The traces of a run's directory.
    pub fn of(run: &Path) -> TraceStore {
        TraceStore { dir: run.join(TRACE_DIR) }
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{step:010}.ops"))
    }

    /// Makes a step and keeps its trace.
    ///
    /// # Errors
    /// When the step fails or the trace cannot be written.
    pub fn step(&self, trainer: &mut Trainer, data: &dyn TrainingData) -> Result<StepRecord, TraceError> {
        let mut trace = StepTrace::default();
        let record = trainer.step_with(data, Some(&mut trace))?;
        let path = self.path(record.step);
        let bytes = trace.encode();
        let write = || {
            std::fs::create_dir_all(&self.dir)?;
            write_atomically(&path, |out| out.write_all(&bytes))
        };
        write().map_err(|source| TraceError::Io { path: path.clone(), source })?;
        Ok(record)
    }

    /// The trace of a step, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read or is no trace.
    pub fn load(&self, step: u64) -> Result<Option<StepTrace>, TraceError> {
        let path = self.path(step);
        if !path.exists() {
            return Ok(None);
        }
        let io = |source| TraceError::Io { path: path.clone(), source };
        let length = std::fs::metadata(&path).map_err(io)?.len();
        if length > TRACE_BYTES_MAX {
            return Err(TraceError::Format {
                path,
                reason: format!("{length} bytes, allowed are {TRACE_BYTES_MAX}"),
            });
        }
        let bytes = std::fs::read(&path).map_err(io)?;
        StepTrace::decode(&bytes).map(Some).map_err(|e| TraceError::Format { path, reason: e.to_string() })
    }
}
