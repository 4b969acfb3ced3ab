//! Floor 1: models that anyone can run again to the bit.
//!
//! Tensors, layers forward and backward, tokenizers, training, LoRA, generation, import and export, and the commitments of a run.
//! All arithmetic is that of [`ops`]; nothing here knows a ledger.
//!
//! - [`config`], [`layout`], [`weights`]: what a model is; [`directory`]: its files, as `transformers` has them.
//! - [`batch`], [`network`], [`taps`]: one pass forward and backward, and what it hands out on its way.
//! - [`lora`]: adapters.

pub mod batch;
pub mod config;
pub mod layout;
pub mod lora;
pub mod network;
pub mod safetensors;
pub mod taps;
pub mod weights;

pub use batch::{Batch, Example};
pub use config::{Config, Family};
pub use layout::Layout;
pub use lora::{Adapter, AdapterOptions};
pub use network::{Activations, Gradients, LossScale, Losses, Wanted, forward_backward};
pub use taps::{GroupSums, Hooks, LinearInfo, LinearTap, Taps};
pub use weights::{Model, Weights};
