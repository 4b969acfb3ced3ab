//! Floor 1: models that anyone can run again to the bit.
//!
//! Tensors, layers forward and backward, tokenizers, training, LoRA, generation, import and export, and the commitments of a run.
//! All arithmetic is that of [`ops`]; nothing here knows a ledger.
//!
//! - [`config`], [`layout`], [`weights`]: what a model is; [`directory`]: its files, as `transformers` has them.
//! - [`batch`], [`network`], [`taps`]: one pass forward and backward, and what it hands out on its way.
//! - [`data`], [`optimizer`], [`schedule`], [`train`]: runs, their checkpoints, resuming and replay.
//! - [`commitment`], [`trace`]: what a run commits to.
//! - [`mod@generate`]: answers, from batches of unlike requests.
//! - [`commands`]: what `openledger model` does. [`chat`]: chat templates; [`exchange`]: prompts with answers, as tokens.
//! - [`tokenizer`]: text and tokens. [`lora`]: adapters. [`tabular`]: perceptrons and logistic regression.

pub mod batch;
pub mod chat;
pub mod commands;
pub mod commitment;
pub mod config;
pub mod data;
pub mod directory;
pub mod exchange;
pub mod generate;
pub mod layout;
pub mod lora;
pub mod network;
pub mod optimizer;
pub mod safetensors;
pub mod schedule;
pub mod tabular;
pub mod taps;
pub mod tokenizer;
pub mod trace;
pub mod train;
pub mod weights;

pub use batch::{Batch, Example};
pub use config::{Config, Family};
pub use generate::{Answer, Engine, EngineOptions, Request, Sampling, generate};
pub use layout::Layout;
pub use lora::{Adapter, AdapterOptions};
pub use network::{
    Activations, Gradients, LossScale, Losses, Wanted, forward_backward, taps_of, taps_of_kept,
};
pub use taps::{GroupSums, Hooks, LinearInfo, LinearTap, Taps};
pub use tokenizer::Tokenizer;
pub use train::{Observer, Progress, TrainOptions, Trainer};
pub use weights::{Model, Weights};
