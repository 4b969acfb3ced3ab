//! Training: a run is a function of its manifest, its data and the op set, to the bit.
//!
//! - [`Trainer`] makes single steps in memory and says what each one was ([`StepRecord`]).
//! - [`run`] makes a whole run in a directory: manifest, log of steps, checkpoints, final model; it resumes whatever it finds there.

mod checkpoint;
mod directory;
mod manifest;
mod replay;
mod trainer;

pub use checkpoint::{CHECKPOINTS_DIR, CheckpointError, Checkpoints};
pub use directory::{
    ADAPTER_DIR, LOG_FILE, MANIFEST_FILE, MODEL_DIR, RunError, RunOutcome, RunSettings, read_log,
    read_manifest, run,
};
pub use manifest::{Manifest, TrainOptions, Trained};
pub use replay::{Difference, ReplayError, ReplayOptions, ReplayReport, Verdict, replay};
pub use trainer::{StepRecord, TrainError, Trainer};

use std::ops::ControlFlow;

/// How a run is going.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Mean loss of the step, in nats per target.
    pub loss: f64,
    /// Mean loss over the validation data, at steps that evaluate it.
    pub validation_loss: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: f32,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Trained tokens a second, over the steps of this process.
    pub tokens_per_second: f64,
    /// Seconds until the last step at this speed.
    pub seconds_left: f64,
}

/// Watches a run.
pub trait Observer {
    /// After every step. `Break` stops the run after it; it can be resumed.
    fn step(&mut self, progress: &Progress) -> ControlFlow<()>;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _progress: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&Progress) -> ControlFlow<()>> Observer for F {
    fn step(&mut self, progress: &Progress) -> ControlFlow<()> {
        self(progress)
    }
}

#[cfg(test)]
mod tests;
