//! A whole run in a directory: `manifest.json`, `steps.jsonl`, `checkpoints/`, and at the end `model/` (or `adapter/`).

use super::checkpoint::{CheckpointError, Checkpoints};
use super::manifest::{Manifest, TrainOptions};
use super::trainer::{StepRecord, TrainError, Trainer};
use super::{Observer, Progress};
use crate::data::TrainingData;
use crate::directory::{DirectoryError, SaveOptions, read_text, write_json};
use crate::lora::AdapterError;
use crate::safetensors::write_atomically;
use crate::trace::{TraceError, TraceStore};
use crate::weights::Model;
use ops::Ctx;
use primitives::B256;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Name of the manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the log of steps, a [`StepRecord`] a line.
pub const LOG_FILE: &str = "steps.jsonl";
/// Directory of the final model.
pub const MODEL_DIR: &str = "model";
/// Directory of the final adapter.
pub const ADAPTER_DIR: &str = "adapter";
/// Largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Largest log, in bytes.
pub const LOG_BYTES_MAX: u64 = 1 << 34;

/// Why a run in a directory cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The step itself.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The directory holds another run.
    #[error(
        "{path} holds another run ({found}, this one is {expected}): use an empty directory, or the options it was started with"
    )]
    OtherRun {
        /// The directory.
        path: PathBuf,
        /// Its run.
        found: B256,
        /// The run asked for.
        expected: B256,
    },
    /// A file of the run that is not valid.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The final model.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The final adapter.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The trace of operations.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Reading or writing.
    #[error("{path}: {source}; the last checkpoint is intact, run again to resume from it")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a run does besides its steps; none of it changes a bit of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Steps between evaluations; 0 means none.
    pub evaluate_every: u64,
    /// Examples of an evaluation.
    pub evaluation_examples: u64,
    /// Newest checkpoints that are kept; 0 keeps all. Step 0 is always kept.
    pub keep_checkpoints: usize,
    /// Whether the roots of every operation's output are kept, for each step.
    pub trace: bool,
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings { evaluate_every: 0, evaluation_examples: 64, keep_checkpoints: 0, trace: false }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunOutcome {
    /// The run's identity.
    pub run: B256,
    /// Steps done.
    pub steps: u64,
    /// Whether all steps are done (else the observer stopped it).
    pub finished: bool,
    /// Step it was resumed from, if it was.
    pub resumed_from: Option<u64>,
    /// Last record.
    pub last: Option<StepRecord>,
    /// State root at the end.
    pub state_root: B256,
    /// Damaged checkpoints that were passed over.
    pub damaged: Vec<String>,
}

/// Trains `model` as the options say, in a directory. A directory that already holds this run is resumed from its newest whole
/// checkpoint; one that holds another run is refused.
///
/// # Errors
/// [`RunError`]; whatever happens, the checkpoints that were there stay usable.
pub fn run(
    ctx: Ctx,
    dir: &Path,
    model: Model,
    data: &dyn TrainingData,
    validation: Option<&dyn TrainingData>,
    tokenizer: Option<B256>,
    options: TrainOptions,
    settings: RunSettings,
    observer: &mut dyn Observer,
) -> Result<RunOutcome, RunError> {
    let io = |path: &Path, source| RunError::Io { path: path.into(), source };
    std::fs::create_dir_all(dir).map_err(|e| io(dir, e))?;
    let mut trainer = Trainer::new(ctx, model, data, tokenizer, options)?;
    let checkpoints = Checkpoints::of(dir);
    let manifest_path = dir.join(MANIFEST_FILE);
    let (resumed_from, damaged) = if manifest_path.exists() {
        let (found, expected) = (read_manifest(dir)?.hash(), trainer.manifest().hash());
        if found != expected {
            return Err(RunError::OtherRun { path: dir.into(), found, expected });
        }
        let (step, errors) = checkpoints.load_newest(u64::MAX, &mut trainer)?;
        (step, errors.iter().map(ToString::to_string).collect())
    } else {
        write_json(&manifest_path, trainer.manifest()).map_err(|e| io(&manifest_path, e))?;
        (None, Vec::new())
    };
    if resumed_from.is_none() {
        checkpoints.save(&trainer)?;
    }
    let log_path = dir.join(LOG_FILE);
    let mut log = open_log(dir, trainer.steps())?;
    let traces = settings.trace.then(|| TraceStore::of(dir));
    let (steps, started, first) = (trainer.manifest().options.steps, Instant::now(), trainer.steps());
    let (mut trained_tokens, mut last, mut stopped) = (0u64, None, false);
    while trainer.steps() < steps && !stopped {
        let record = match &traces {
            None => trainer.step(data)?,
            Some(store) => store.step(&mut trainer, data)?,
        };
        let mut line = serde_json::to_vec(&record).map_err(|e| io(&log_path, e.into()))?;
        line.push(b'\n');
        log.write_all(&line).map_err(|e| io(&log_path, e))?;
        trained_tokens += record.tokens;
        let due = settings.evaluate_every > 0 && record.step.is_multiple_of(settings.evaluate_every);
        let validation_loss =
            match validation.filter(|_| due || (settings.evaluate_every > 0 && record.step == steps)) {
                Some(v) => Some(trainer.evaluate(v, settings.evaluation_examples)?),
                None => None,
            };
        let seconds = started.elapsed().as_secs_f64().max(1e-9);
        let progress = Progress {
            step: record.step,
            steps,
            loss: record.loss,
            validation_loss,
            learning_rate: record.learning_rate,
            gradient_norm: record.gradient_norm,
            tokens_per_second: trained_tokens as f64 / seconds,
            seconds_left: seconds / (record.step - first) as f64 * (steps - record.step) as f64,
        };
        stopped = observer.step(&progress) == ControlFlow::Break(());
        let every = trainer.manifest().options.checkpoint_every;
        if record.step.is_multiple_of(every) || record.step == steps || stopped {
            // The log first: a checkpoint must never be ahead of it.
            log.sync_all().map_err(|e| io(&log_path, e))?;
            checkpoints.save(&trainer)?;
            if settings.keep_checkpoints > 0 {
                checkpoints.prune(settings.keep_checkpoints)?;
            }
        }
        last = Some(record);
    }
    let finished = trainer.steps() >= steps;
    let outcome = RunOutcome {
        run: trainer.manifest().hash(),
        steps: trainer.steps(),
        finished,
        resumed_from,
        last,
        state_root: trainer.tree().root(),
        damaged,
    };
    if finished {
        let (model, adapter) = trainer.into_model();
        match adapter {
            Some(adapter) => adapter.save(&dir.join(ADAPTER_DIR), &model)?,
            None => model.save(&dir.join(MODEL_DIR), SaveOptions::default())?,
        }
    }
    Ok(outcome)
}

/// The manifest of a run's directory.
///
/// # Errors
/// When it is missing or not valid.
pub fn read_manifest(dir: &Path) -> Result<Manifest, RunError> {
    let path = dir.join(MANIFEST_FILE);
    let text = read_text(&path, MANIFEST_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|e| RunError::Format { path, reason: e.to_string() })
}

/// The records of a run's log. A last line that a crash cut short is left out.
///
/// # Errors
/// When the log is missing, or a line before the last is not a record.
pub fn read_log(dir: &Path) -> Result<Vec<StepRecord>, RunError> {
    let path = dir.join(LOG_FILE);
    let text = read_text(&path, LOG_BYTES_MAX)?;
    let mut records = Vec::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        match serde_json::from_str::<StepRecord>(line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with('\n') => break,
            Err(e) => return Err(RunError::Format { path, reason: format!("line {}: {e}", number + 1) }),
        }
    }
    Ok(records)
}

/// Opens the log to append after `steps` records, dropping what comes later.
fn open_log(dir: &Path, steps: u64) -> Result<File, RunError> {
    let path = dir.join(LOG_FILE);
    let io = |source| RunError::Io { path: path.clone(), source };
    let mut kept = if path.exists() { read_log(dir)? } else { Vec::new() };
    kept.retain(|r| r.step <= steps);
    if kept.len() as u64 != steps {
        let reason =
            format!("{} steps before the checkpoint of step {steps}: the log is incomplete", kept.len());
        return Err(RunError::Format { path, reason });
    }
    write_atomically(&path, |out| {
        for record in &kept {
            serde_json::to_writer(&mut *out, record)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
    .map_err(io)?;
    OpenOptions::new().append(true).open(&path).map_err(io)
}
