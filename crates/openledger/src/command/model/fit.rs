//! Arguments of training: the model's sizes, and how it is fitted.

use clap::ValueEnum;
use model::{
    TrainOptions,
    commands::Architecture,
    data::Order,
    optimizer::OptimizerOptions,
    schedule::{Decay, Schedule},
    train::{RunSettings, Trained},
};

/// Sizes of a new model.
#[derive(Debug, clap::Args)]
pub(super) struct Sizes {
    /// Family: llama (RMS norm, rotary positions, SwiGLU) or gpt (nanoGPT's)
    #[arg(long, value_enum, default_value = "llama")]
    family: FamilyArgument,
    /// Layers
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Attention heads
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// Heads of keys and values (llama) [default: as many as heads]
    #[arg(long)]
    kv_heads: Option<usize>,
    /// Width
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// Tokens of the context
    #[arg(long, default_value_t = 256)]
    context: usize,
    /// Tokenizer: `characters`, a vocabulary's size to learn, or the folder of a tokenizer.json
    #[arg(long, default_value = "2048")]
    pub(super) tokenizer: String,
    /// Part of the text, from its end, that is kept for validation
    #[arg(long, default_value_t = 0.1)]
    pub(super) validation: f64,
}

/// How to train.
#[derive(Debug, clap::Args)]
pub(super) struct Fit {
    /// Steps
    #[arg(long, default_value_t = 500)]
    steps: u64,
    /// Examples of a step
    #[arg(long, default_value_t = 12)]
    batch: usize,
    /// Examples of one pass, to save memory; changes no bit [default: all of a step]
    #[arg(long)]
    micro_batch: Option<usize>,
    /// Optimiser
    #[arg(long, value_enum, default_value = "muon")]
    optimizer: OptimizerArgument,
    /// Highest learning rate [default: 0.02 muon, 0.001 adamw, 0.05 sgd]
    #[arg(long)]
    rate: Option<f32>,
    /// Steps until the highest rate [default: a twentieth of all, at most 100]
    #[arg(long)]
    warmup: Option<u64>,
    /// How the rate falls
    #[arg(long, value_enum, default_value = "cosine")]
    decay: DecayArgument,
    /// Last rate, as a part of the highest
    #[arg(long, default_value_t = 0.1)]
    floor: f32,
    /// Decay of AdamW's second moment
    #[arg(long, default_value_t = 0.95)]
    beta2: f32,
    /// Weight decay [default: 0.1 adamw, else 0]
    #[arg(long)]
    weight_decay: Option<f32>,
    /// Norm that the gradient is cut to; 0 cuts nothing
    #[arg(long, default_value_t = 1.0)]
    clip: f32,
    /// Order of the examples [default: random for texts, shuffled for examples]
    #[arg(long, value_enum)]
    order: Option<OrderArgument>,
    /// Seed of weights and order
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps between evaluations; 0 makes none
    #[arg(long, default_value_t = 100)]
    evaluate_every: u64,
    /// Examples of an evaluation
    #[arg(long, default_value_t = 64)]
    evaluation_examples: u64,
    /// Steps between checkpoints, a multiple of 16
    #[arg(long, default_value_t = 256)]
    checkpoint_every: u64,
    /// Newest checkpoints that are kept; 0 keeps all
    #[arg(long, default_value_t = 0)]
    keep_checkpoints: usize,
    /// Keep the roots of every operation's output
    #[arg(long)]
    trace: bool,
    /// Threads; 0 means all. They change no bit
    #[arg(long, default_value_t = 0)]
    pub(super) threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FamilyArgument {
    Llama,
    Gpt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OptimizerArgument {
    Muon,
    Adamw,
    Sgd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum DecayArgument {
    Constant,
    Cosine,
    Linear,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OrderArgument {
    Random,
    Shuffled,
    Sequential,
}

impl Sizes {
    pub(super) fn architecture(&self) -> Architecture {
        Architecture {
            llama: self.family == FamilyArgument::Llama,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads.unwrap_or(self.heads),
            hidden: self.width,
            context: self.context,
        }
    }
}

impl Fit {
    pub(super) fn options(&self, trained: Trained, order: Order) -> TrainOptions {
        let (optimizer, rate) = match self.optimizer {
            OptimizerArgument::Muon => {
                let weight_decay = self.weight_decay.unwrap_or(0.0);
                (OptimizerOptions::Muon { momentum: 0.95, weight_decay, adamw_ratio: 0.15 }, 0.02)
            }
            OptimizerArgument::Adamw => {
                let weight_decay = self.weight_decay.unwrap_or(0.1);
                (OptimizerOptions::Adamw { beta1: 0.9, beta2: self.beta2, eps: 1e-8, weight_decay }, 1e-3)
            }
            OptimizerArgument::Sgd => (
                OptimizerOptions::Sgd { momentum: 0.9, weight_decay: self.weight_decay.unwrap_or(0.0) },
                0.05,
            ),
        };
        let decay = match self.decay {
            DecayArgument::Constant => Decay::Constant,
            DecayArgument::Cosine => Decay::Cosine,
            DecayArgument::Linear => Decay::Linear,
        };
        let schedule = Schedule {
            peak: self.rate.unwrap_or(rate),
            warmup: self.warmup.unwrap_or((self.steps / 20).min(100)),
            decay,
            floor: self.floor,
        };
        TrainOptions {
            micro_batch: self.micro_batch,
            seed: self.seed,
            order: match self.order {
                None => order,
                Some(OrderArgument::Random) => Order::Random,
                Some(OrderArgument::Shuffled) => Order::Shuffled,
                Some(OrderArgument::Sequential) => Order::Sequential,
            },
            optimizer,
            schedule,
            clip: (self.clip != 0.0).then_some(self.clip),
            trained,
            checkpoint_every: self.checkpoint_every,
            ..TrainOptions::new(self.steps, self.batch)
        }
    }

    pub(super) fn settings(&self) -> RunSettings {
        RunSettings {
            evaluate_every: self.evaluate_every,
            evaluation_examples: self.evaluation_examples,
            keep_checkpoints: self.keep_checkpoints,
            trace: self.trace,
        }
    }
}
