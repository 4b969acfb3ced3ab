//! Everything a run needs, in one document that is hashed.

use crate::config::Config;
use crate::data::Order;
use crate::lora::AdapterOptions;
use crate::optimizer::OptimizerOptions;
use crate::schedule::Schedule;
use primitives::B256;
use primitives::hash::{Domain, hash};
use serde::{Deserialize, Serialize};

/// Most steps of a run.
pub const STEPS_MAX: u64 = 100_000_000;
/// Most examples of a step.
pub const BATCH_MAX: usize = 65_536;

/// Which parameters a run changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trained {
    /// All of the model's.
    #[default]
    Weights,
    /// Those of a fresh adapter; the model stays.
    Adapter(AdapterOptions),
}

/// Hyperparameters of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Steps.
    pub steps: u64,
    /// Examples of a step.
    pub batch: usize,
    /// Examples of one pass; a step of more is cut into several, with the same bits.
    #[serde(default)]
    pub micro_batch: Option<usize>,
    /// Seed of the order of examples and of fresh adapters.
    pub seed: u64,
    /// Order of examples.
    #[serde(default)]
    pub order: Order,
    /// Optimiser.
    pub optimizer: OptimizerOptions,
    /// Learning rate.
    pub schedule: Schedule,
    /// Largest global norm of a gradient.
    #[serde(default)]
    pub clip: Option<f32>,
    /// What is trained.
    #[serde(default)]
    pub trained: Trained,
    /// Steps between state roots.
    pub state_root_every: u64,
    /// Steps between checkpoints on disk; a multiple of `state_root_every`.
    pub checkpoint_every: u64,
}

impl TrainOptions {
    /// A run of so many steps and examples a step, with Muon and a cosine.
    pub fn new(steps: u64, batch: usize) -> TrainOptions {
        TrainOptions {
            steps,
            batch,
            micro_batch: None,
            seed: 0,
            order: Order::Shuffled,
            optimizer: OptimizerOptions::muon(),
            schedule: Schedule::cosine(0.02, (steps / 20).min(100)),
            clip: Some(1.0),
            trained: Trained::Weights,
            state_root_every: 16,
            checkpoint_every: 256,
        }
    }

    /// What is wrong with the options, if anything.
    pub fn problem(&self) -> Option<String> {
        let positive_up_to = |name: &str, v: u64, max: u64| {
            (v == 0 || v > max).then(|| format!("{name} is {v}, allowed is 1 to {max}"))
        };
        positive_up_to("steps", self.steps, STEPS_MAX)
            .or_else(|| positive_up_to("batch", self.batch as u64, BATCH_MAX as u64))
            .or_else(|| {
                self.micro_batch.and_then(|m| positive_up_to("micro_batch", m as u64, BATCH_MAX as u64))
            })
            .or_else(|| positive_up_to("state_root_every", self.state_root_every, STEPS_MAX))
            .or_else(|| positive_up_to("checkpoint_every", self.checkpoint_every, STEPS_MAX))
            .or_else(|| {
                let whole = self.checkpoint_every.is_multiple_of(self.state_root_every.max(1));
                (!whole).then(|| "checkpoint_every must be a multiple of state_root_every".to_string())
            })
            .or_else(|| {
                (!self.optimizer.is_valid()).then(|| "an optimiser's constant is out of range".to_string())
            })
            .or_else(|| {
                (!self.schedule.is_valid())
                    .then(|| "the learning rate must lie between 0 and 100".to_string())
            })
            .or_else(|| {
                self.clip
                    .filter(|c| !(*c > 0.0 && c.is_finite()))
                    .map(|c| format!("clip is {c}, it must be positive"))
            })
    }
}

/// Header of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the arithmetic.
    pub op_set: u32,
    /// Architecture.
    pub config: Config,
    /// Hash of the tokenizer's file, if the data came through one.
    pub tokenizer: Option<B256>,
    /// Commitment to the training data.
    pub data_root: B256,
    /// Number of examples in it.
    pub data_count: u64,
    /// Hyperparameters.
    pub options: TrainOptions,
    /// State root before the first step: initial weights and moments.
    pub initial_root: B256,
}

impl Manifest {
    /// The run's identity: the hash of the document's compact JSON, whose field order and number format are fixed.
    pub fn hash(&self) -> B256 {
        let text =
            serde_json::to_vec(self).expect("a manifest holds no map keys or numbers that JSON cannot write");
        hash(Domain::Run, &text)
    }
}
