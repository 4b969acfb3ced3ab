//! Replay: executes steps of a run again and compares every commitment with what the run recorded.

use super::checkpoint::{CheckpointError, Checkpoints};
use super::directory::{RunError, read_log, read_manifest};
use super::trainer::{StepRecord, TrainError, Trainer};
use crate::commitment::{TileDifference, step_link};
use crate::data::TrainingData;
use crate::trace::{OpDifference, StepTrace, TraceError, TraceStore};
use crate::weights::Model;
use ops::Ctx;
use primitives::B256;
use serde::Serialize;
use std::path::Path;

/// Why a replay cannot be made (a difference is a result and not an error).
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The run's files.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A step that cannot be executed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// No checkpoint to start from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Traces.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Steps that the run does not have.
    #[error("the run has steps 1 to {recorded}: {first} to {last} cannot be replayed")]
    Range {
        /// First asked for.
        first: u64,
        /// Last asked for.
        last: u64,
        /// Steps in the log.
        recorded: u64,
    },
    /// Model or data are not those of the run.
    #[error("this is not what the run was made from: {0} differs")]
    OtherInputs(&'static str),
}

/// Which steps to execute again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayOptions {
    /// First step, from 1.
    pub first: u64,
    /// Last step, inclusive; `u64::MAX` means the last recorded.
    pub last: u64,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        ReplayOptions { first: 1, last: u64::MAX }
    }
}

/// What differed first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Difference {
    /// A stored checkpoint is not what its own root commits to.
    Checkpoint {
        /// Tensor and tile.
        at: Option<TileDifference>,
        /// The whole message.
        message: String,
    },
    /// The step's batch.
    Batch {
        /// As recorded.
        recorded: B256,
        /// As executed.
        replayed: B256,
    },
    /// An operation of the step (only where the run kept a trace).
    Operation(OpDifference),
    /// The step's loss.
    Loss {
        /// As recorded.
        recorded: f64,
        /// As executed.
        replayed: f64,
    },
    /// The link of the step chain, all its parts being equal: the log was edited.
    Chain,
    /// The state after the step.
    State {
        /// As recorded.
        recorded: B256,
        /// As executed.
        replayed: B256,
        /// Tensor and tile, where a checkpoint of the step tells.
        at: Option<TileDifference>,
    },
}

/// Outcome of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Everything agrees.
    Equal,
    /// Something differs.
    Differs {
        /// First step at which it shows.
        step: u64,
        /// What differs.
        difference: Difference,
    },
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The run.
    pub run: B256,
    /// Checkpoint that it started from.
    pub from_checkpoint: u64,
    /// Steps that were executed again.
    pub steps: u64,
    /// Outcome.
    pub verdict: Verdict,
}

/// Executes steps again from the nearest checkpoint. `model` is what the run started from; `progress` is called after every step.
///
/// # Errors
/// When the run's files cannot be read, or model and data are not those of the manifest.
pub fn replay(
    ctx: Ctx,
    dir: &Path,
    model: Model,
    data: &dyn TrainingData,
    options: ReplayOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ReplayReport, ReplayError> {
    let manifest = read_manifest(dir)?;
    let log = read_log(dir)?;
    let recorded = log.len() as u64;
    let last = if options.last == u64::MAX { recorded } else { options.last };
    if options.first == 0 || options.first > last || last > recorded {
        return Err(ReplayError::Range { first: options.first, last: options.last, recorded });
    }
    let mut trainer = Trainer::new(ctx, model, data, manifest.tokenizer, manifest.options.clone())?;
    let ours = trainer.manifest();
    let inputs = [
        ("the op set", ours.op_set == manifest.op_set),
        ("the configuration", ours.config == manifest.config),
        ("the data", (ours.data_root, ours.data_count) == (manifest.data_root, manifest.data_count)),
        ("the initial model", ours.initial_root == manifest.initial_root),
    ];
    if let Some((what, _)) = inputs.into_iter().find(|(_, same)| !same) {
        return Err(ReplayError::OtherInputs(what));
    }
    let run = manifest.hash();
    let checkpoints = Checkpoints::of(dir);
    let nearest = checkpoints.steps().into_iter().rev().find(|s| *s < options.first);
    let from = nearest.unwrap_or(0);
    let mut report = ReplayReport { run, from_checkpoint: from, steps: 0, verdict: Verdict::Equal };
    // Without a checkpoint of step 0 the initial model is the start.
    if nearest.is_some() {
        match checkpoints.load(from, &mut trainer) {
            Ok(()) => {}
            Err(
                e @ (CheckpointError::Damaged { .. }
                | CheckpointError::Format { .. }
                | CheckpointError::File(_)),
            ) => {
                let message = e.to_string();
                let at =
                    if let CheckpointError::Damaged { difference, .. } = e { Some(difference) } else { None };
                report.verdict =
                    Verdict::Differs { step: from, difference: Difference::Checkpoint { at, message } };
                return Ok(report);
            }
            Err(e) => return Err(e.into()),
        }
    }
    let traces = TraceStore::of(dir);
    for record in &log[from as usize..last as usize] {
        let previous = trainer.chain();
        let kept = traces.load(record.step)?;
        let mut trace = StepTrace::default();
        let replayed = trainer.step_with(data, if kept.is_some() { Some(&mut trace) } else { None })?;
        report.steps += 1;
        progress(record.step, last);
        let operation = kept.and_then(|kept| kept.first_difference(&trace));
        let difference = compare(record, &replayed, &previous, operation);
        let difference = difference.or_else(|| state_difference(&checkpoints, &trainer, record, &replayed));
        if let Some(difference) = difference {
            report.verdict = Verdict::Differs { step: record.step, difference };
            break;
        }
    }
    Ok(report)
}

fn compare(
    record: &StepRecord,
    replayed: &StepRecord,
    previous: &B256,
    operation: Option<OpDifference>,
) -> Option<Difference> {
    if record.batch_root != replayed.batch_root {
        return Some(Difference::Batch { recorded: record.batch_root, replayed: replayed.batch_root });
    }
    if let Some(operation) = operation {
        return Some(Difference::Operation(operation));
    }
    if record.loss_bits != replayed.loss_bits || record.loss.to_bits() != record.loss_bits {
        return Some(Difference::Loss {
            recorded: f64::from_bits(record.loss_bits),
            replayed: replayed.loss,
        });
    }
    let link = step_link(previous, record.step, &record.batch_root, f64::from_bits(record.loss_bits));
    (record.chain != link).then_some(Difference::Chain)
}

fn state_difference(
    checkpoints: &Checkpoints,
    trainer: &Trainer,
    record: &StepRecord,
    replayed: &StepRecord,
) -> Option<Difference> {
    let (recorded, replayed) = (record.state_root?, replayed.state_root?);
    if recorded == replayed {
        return None;
    }
    let tree = checkpoints.recorded_tree(record.step, trainer).ok();
    let at = tree.and_then(|t| t.first_difference(&trainer.tree()));
    Some(Difference::State { recorded, replayed, at })
}
