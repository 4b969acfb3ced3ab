//! Buffers of a pass, kept between passes so that a step allocates nothing.

use crate::config::Config;
use std::collections::BTreeMap;

/// What a block computes and its backward pass needs; rows x the width named.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerActivations {
    /// The residual stream before the block (`hidden`).
    pub input: Vec<f32>,
    /// After the first norm (`hidden`), and its statistics.
    pub attention_norm: Vec<f32>,
    pub attention_norm_stats: Vec<f32>,
    /// Query, key and value side by side, normed and turned.
    pub qkv: Vec<f32>,
    /// Query and key before the head norms (families that have them), heads contiguous, and the norms' statistics.
    pub raw_query: Vec<f32>,
    pub raw_key: Vec<f32>,
    pub head_stats: Vec<f32>,
    /// Attention's output (`heads` x `head_dim`) and softmax statistics.
    pub attended: Vec<f32>,
    pub attention_stats: Vec<f32>,
    /// The residual stream after attention (`hidden`).
    pub middle: Vec<f32>,
    /// After the second norm (`hidden`), and its statistics.
    pub feed_forward_norm: Vec<f32>,
    pub feed_forward_norm_stats: Vec<f32>,
    /// Inside the feed-forward part (`intermediate`): gate (SwiGLU only), widened, activated.
    pub gate: Vec<f32>,
    pub up: Vec<f32>,
    pub active: Vec<f32>,
    /// What LoRA pairs keep, by linear layer (rows x rank).
    pub lora: BTreeMap<usize, Vec<f32>>,
}

/// Scratch of the backward pass; rows x the width named.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackwardScratch {
    /// Gradient of the residual stream (`hidden`).
    pub residual: Vec<f32>,
    /// Gradient of a norm's output (`hidden`).
    pub normed: Vec<f32>,
    pub qkv: Vec<f32>,
    pub attended: Vec<f32>,
    pub active: Vec<f32>,
    pub gate: Vec<f32>,
    pub up: Vec<f32>,
    /// Any contiguous copy.
    pub contiguous: Vec<f32>,
    pub rank: Vec<f32>,
}

/// All buffers of a pass over a batch.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    pub(crate) layers: Vec<LayerActivations>,
    /// The residual stream after the last block, rows x `hidden`.
    pub(crate) output: Vec<f32>,
    /// After the last norm, and its statistics.
    pub(crate) last: Vec<f32>,
    pub(crate) last_stats: Vec<f32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) loss_stats: Vec<f32>,
    pub(crate) scratch: BackwardScratch,
    pub(crate) rope: Option<(usize, ops::RopeTable)>,
}

/// Sets a buffer's length without keeping its contents.
pub(crate) fn fit(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    // Growing zeroes only the new part; every op that writes a buffer sets it whole.
    buffer.resize(len, 0.0);
    buffer
}

impl LayerActivations {
    /// Makes room for `rows` rows.
    pub(crate) fn fit(&mut self, config: &Config, rows: usize) {
        let (d, f) = (config.hidden, config.intermediate);
        let stats = if config.family == crate::config::Family::Gpt2 { 2 * rows } else { rows };
        fit(&mut self.input, rows * d);
        fit(&mut self.attention_norm, rows * d);
        fit(&mut self.attention_norm_stats, stats);
        fit(&mut self.qkv, rows * (config.query_width() + 2 * config.kv_width()));
        fit(&mut self.attended, rows * config.query_width());
        fit(&mut self.attention_stats, rows * config.heads * 2);
        fit(&mut self.middle, rows * d);
        fit(&mut self.feed_forward_norm, rows * d);
        fit(&mut self.feed_forward_norm_stats, stats);
        fit(&mut self.up, rows * f);
        fit(&mut self.active, rows * f);
    }
}

impl LayerActivations {
    /// Whether what the layer's products read is finite. Products in int8 would round NaN to a number; those in f32 carry it on to
    /// the logits, where it is found.
    pub(crate) fn is_finite(&self, ctx: &ops::Ctx) -> bool {
        [&self.attention_norm, &self.attended, &self.feed_forward_norm, &self.active]
            .into_iter()
            .all(|x| ops::check_finite(ctx, x).is_ok())
    }
}

impl Activations {
    /// The residual stream after the last norm, rows x `hidden`: what the head reads, and what similarity searches use.
    pub fn last_hidden(&self) -> &[f32] {
        &self.last
    }
}
