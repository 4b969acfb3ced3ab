//! The forward pass, block by block; training and generation run the same code.

use super::Parameters;
use super::activations::{Activations, LayerActivations, fit};
use super::attention::{Sequences, attend};
use super::linear::{AdapterRows, adapters_fwd, gather, linear_fwd, product, scatter};
use crate::batch::Batch;
use crate::config::{Config, Family};
use crate::layout::{Block, FeedForward, Linear, Norm};
use crate::taps::Hooks;
use crate::weights::Model;
use ops::{
    Ctx, RopePairs, RopeTable, add_bias, copy, embedding_fwd, gelu_fwd, layer_norm_fwd, rms_norm_fwd,
    rope_fwd, swiglu_fwd,
};

/// Token (and position) embeddings of rows.
pub(crate) fn embed(ctx: &Ctx, model: &Model, tokens: &[u32], positions: &[u32], out: &mut [f32]) {
    let (layout, d) = (&model.layout, model.config.hidden);
    embedding_fwd(ctx, tokens, d, model.weights.tensor(layout.embedding), out, false);
    if let Some(table) = layout.positions {
        embedding_fwd(ctx, positions, d, model.weights.tensor(table), out, true);
    }
}

/// Layer norm for GPT-2, RMS norm for the others.
///
/// A row whose squares overflow has a scale of 0, which would turn infinity into zeros that look valid: such a row is given out
/// as NaN, so that it ends as any other value that is not finite does.
pub(super) fn norm_fwd(
    ctx: &Ctx,
    config: &Config,
    parameters: &Parameters<'_>,
    norm: Norm,
    width: usize,
    x: &[f32],
    y: &mut [f32],
    stats: &mut [f32],
) {
    let weight = parameters.tensor(norm.weight);
    if config.family == Family::Gpt2 {
        layer_norm_fwd(
            ctx,
            width,
            config.norm_eps,
            x,
            weight,
            norm.bias.map(|b| parameters.tensor(b)),
            y,
            stats,
        );
    } else {
        rms_norm_fwd(ctx, width, config.norm_eps, x, weight, y, stats);
    }
    // Mean and scale for layer norm, the scale alone for RMS norm.
    let per_row = if config.family == Family::Gpt2 { 2 } else { 1 };
    for (row, stats) in stats.chunks_exact(per_row).enumerate() {
        if stats[per_row - 1] == 0.0 {
            y[row * width..(row + 1) * width].fill(f32::NAN);
        }
    }
}

/// One block: from `acts.input` to `out`, the residual stream after it. Rows stand at `positions`.
pub(crate) fn layer_forward(
    ctx: &Ctx,
    model: &Model,
    parameters: &Parameters<'_>,
    index: usize,
    adapters: &AdapterRows<'_>,
    rope: Option<&RopeTable>,
    positions: &[u32],
    sequences: &mut Sequences<'_, '_>,
    acts: &mut LayerActivations,
    out: &mut [f32],
    hooks: &mut Hooks<'_>,
) {
    let (config, block, rows) = (&model.config, &model.layout.blocks[index], positions.len());
    let layer = Some(index);
    let (y, stats) = (&mut acts.attention_norm, &mut acts.attention_norm_stats);
    norm_fwd(ctx, config, parameters, block.attention_norm, config.hidden, &acts.input, y, stats);
    hooks.op(layer, "attention norm", &acts.attention_norm);

    project(ctx, model, parameters, index, adapters, rows, acts);
    turn(ctx, config, parameters, block, rope, positions, acts);
    hooks.op(layer, "query key value", &acts.qkv);

    attend(ctx, config, sequences, acts);
    hooks.op(layer, "attention", &acts.attended);

    copy(ctx, &acts.input, &mut acts.middle);
    let weighted = |linear: &Linear| (parameters.linear(linear), linear.bias.map(|b| parameters.tensor(b)));
    let (weight, bias) = weighted(&block.output);
    let (x, y, kept) = (&acts.attended, &mut acts.middle, &mut acts.lora);
    linear_fwd(ctx, weight, bias, &block.output, adapters, rows, x, y, true, kept);
    hooks.op(layer, "attention output", &acts.middle);

    let (y, stats) = (&mut acts.feed_forward_norm, &mut acts.feed_forward_norm_stats);
    norm_fwd(ctx, config, parameters, block.feed_forward_norm, config.hidden, &acts.middle, y, stats);
    hooks.op(layer, "feed-forward norm", &acts.feed_forward_norm);

    let x = &acts.feed_forward_norm;
    let down = match &block.feed_forward {
        FeedForward::Gelu { up, down } => {
            let (weight, bias) = weighted(up);
            linear_fwd(ctx, weight, bias, up, adapters, rows, x, &mut acts.up, false, &mut acts.lora);
            hooks.op(layer, "feed-forward up", &acts.up);
            gelu_fwd(ctx, &acts.up, &mut acts.active);
            down
        }
        FeedForward::SwiGlu { gate, up, down } => {
            fit(&mut acts.gate, rows * config.intermediate);
            let (weight, bias) = weighted(gate);
            linear_fwd(ctx, weight, bias, gate, adapters, rows, x, &mut acts.gate, false, &mut acts.lora);
            hooks.op(layer, "feed-forward gate", &acts.gate);
            let (weight, bias) = weighted(up);
            linear_fwd(ctx, weight, bias, up, adapters, rows, x, &mut acts.up, false, &mut acts.lora);
            hooks.op(layer, "feed-forward up", &acts.up);
            swiglu_fwd(ctx, &acts.gate, &acts.up, &mut acts.active);
            down
        }
    };
    hooks.op(layer, "feed-forward activation", &acts.active);
    copy(ctx, &acts.middle, out);
    let (weight, bias) = weighted(down);
    linear_fwd(ctx, weight, bias, down, adapters, rows, &acts.active, out, true, &mut acts.lora);
    hooks.op(layer, "feed-forward down", out);
}

/// Query, key and value side by side in `acts.qkv`.
fn project(
    ctx: &Ctx,
    model: &Model,
    parameters: &Parameters<'_>,
    index: usize,
    adapters: &AdapterRows<'_>,
    rows: usize,
    acts: &mut LayerActivations,
) {
    let (config, block) = (&model.config, &model.layout.blocks[index]);
    let ld = config.query_width() + 2 * config.kv_width();
    match parameters.joined(&model.layout, index) {
        Some(weight) => {
            product(ctx, weight, ld, config.hidden, rows, &acts.attention_norm, &mut acts.qkv, ld, false);
        }
        None => {
            for (linear, column) in &block.projections {
                let weight = parameters.linear(linear);
                let y = &mut acts.qkv[*column..];
                product(ctx, weight, linear.outputs, linear.inputs, rows, &acts.attention_norm, y, ld, false);
            }
        }
    }
    if block.projections.iter().all(|(l, _)| l.bias.is_some()) {
        let parts = block.projections.iter().filter_map(|(l, _)| l.bias);
        let bias: Vec<f32> = parts.flat_map(|b| parameters.tensor(b)).copied().collect();
        add_bias(ctx, &bias, &mut acts.qkv);
    }
    for (linear, column) in &block.projections {
        let y = &mut acts.qkv[*column..];
        adapters_fwd(ctx, linear, adapters, &acts.attention_norm, y, ld, &mut acts.lora);
    }
}

/// Norms of heads and rotary positions, in place in `acts.qkv`.
fn turn(
    ctx: &Ctx,
    config: &Config,
    parameters: &Parameters<'_>,
    block: &Block,
    rope: Option<&RopeTable>,
    positions: &[u32],
    acts: &mut LayerActivations,
) {
    let (q, kv, rows, width) = (config.query_width(), config.kv_width(), positions.len(), config.head_dim);
    let ld = q + 2 * kv;
    if let Some((query, key)) = block.head_norms {
        gather(&acts.qkv, rows, q, ld, &mut acts.raw_query);
        gather(&acts.qkv[q..], rows, kv, ld, &mut acts.raw_key);
        let stats = fit(&mut acts.head_stats, rows * (config.heads + config.kv_heads));
        let (query_stats, key_stats) = stats.split_at_mut(rows * config.heads);
        let mut normed = vec![0f32; rows * q];
        norm_fwd(ctx, config, parameters, query, width, &acts.raw_query, &mut normed, query_stats);
        scatter(&normed, rows, q, ld, &mut acts.qkv);
        norm_fwd(ctx, config, parameters, key, width, &acts.raw_key, &mut normed[..rows * kv], key_stats);
        scatter(&normed, rows, kv, ld, &mut acts.qkv[q..]);
    }
    if let Some(table) = rope {
        rope_fwd(ctx, table, RopePairs::Halves, positions, config.heads, width, &mut acts.qkv, ld);
        rope_fwd(ctx, table, RopePairs::Halves, positions, config.kv_heads, width, &mut acts.qkv[q..], ld);
    }
}

/// A whole batch up to the last norm: `acts.last`.
pub(super) fn forward(
    ctx: &Ctx,
    model: &Model,
    parameters: &Parameters<'_>,
    adapters: &AdapterRows<'_>,
    batch: &Batch,
    acts: &mut Activations,
    hooks: &mut Hooks<'_>,
) {
    let (config, rows) = (&model.config, batch.rows());
    turn_up_to(model, batch, acts);
    acts.layers.resize_with(config.layers, LayerActivations::default);
    acts.layers.iter_mut().for_each(|l| l.fit(config, rows));
    fit(&mut acts.output, rows * config.hidden);

    embed(ctx, model, batch.tokens(), batch.positions(), &mut acts.layers[0].input);
    hooks.op(None, "embedding", &acts.layers[0].input);
    let rope = acts.rope.as_ref().map(|(_, t)| t);
    let mut sequences = Sequences::Whole(batch.examples());
    for index in 0..config.layers {
        let (before, after) = acts.layers.split_at_mut(index + 1);
        let out = after.first_mut().map_or(&mut acts.output, |l| &mut l.input);
        let layer = &mut before[index];
        layer_forward(
            ctx,
            model,
            parameters,
            index,
            adapters,
            rope,
            batch.positions(),
            &mut sequences,
            layer,
            out,
            hooks,
        );
    }
    end(ctx, model, parameters, rows, acts);
    hooks.op(None, "last norm", &acts.last);
}

/// Rotary positions of the batch's longest sequence.
pub(super) fn turn_up_to(model: &Model, batch: &Batch, acts: &mut Activations) {
    let longest = batch.examples().ranges().map(|r| r.len()).max().unwrap_or(0);
    if acts.rope.as_ref().is_none_or(|(positions, _)| *positions < longest) {
        acts.rope = super::rope_table(model, longest).map(|t| (longest, t));
    }
}

/// `acts.last` from `acts.output`.
pub(super) fn end(
    ctx: &Ctx,
    model: &Model,
    parameters: &Parameters<'_>,
    rows: usize,
    acts: &mut Activations,
) {
    let config = &model.config;
    fit(&mut acts.last, rows * config.hidden);
    fit(&mut acts.last_stats, if config.family == Family::Gpt2 { 2 * rows } else { rows });
    let (norm, last, stats) = (model.layout.last_norm, &mut acts.last, &mut acts.last_stats);
    norm_fwd(ctx, config, parameters, norm, config.hidden, &acts.output, last, stats);
}

/// The last norm of some rows.
pub(crate) fn last_norm(ctx: &Ctx, model: &Model, parameters: &Parameters<'_>, x: &[f32]) -> Vec<f32> {
    let d = model.config.hidden;
    let (mut y, mut stats) = (vec![0f32; x.len()], vec![0f32; 2 * x.len() / d]);
    let stats_len = if model.config.family == Family::Gpt2 { stats.len() } else { x.len() / d };
    norm_fwd(ctx, &model.config, parameters, model.layout.last_norm, d, x, &mut y, &mut stats[..stats_len]);
    y
}
