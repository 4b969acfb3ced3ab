//! The backward pass, last block first.

use super::activations::{Activations, BackwardScratch, LayerActivations, fit};
use super::attention::attend_bwd;
use super::linear::{Scratch, gather, linear_bwd, scatter};
use super::{LossScale, Losses, Parameters, Wanted, head};
use crate::batch::Batch;
use crate::config::Family;
use crate::layout::{Block, FeedForward, Linear, Norm};
use crate::lora::Adapter;
use crate::taps::Hooks;
use crate::weights::Model;
use ops::{
    Ctx, Examples, RopePairs, RopeTable, embedding_bwd, gelu_bwd, layer_norm_bwd, rms_norm_bwd, rope_bwd,
    swiglu_bwd,
};

/// What every step of the backward pass needs.
struct Pass<'a, 'h, 't, 'w> {
    ctx: Ctx,
    model: &'a Model,
    adapter: Option<&'a Adapter>,
    examples: Examples<'a>,
    wanted: Wanted<'w>,
    hooks: &'h mut Hooks<'t>,
}

pub(super) fn backward(
    ctx: &Ctx,
    model: &Model,
    parameters: &Parameters<'_>,
    adapter: Option<&Adapter>,
    batch: &Batch,
    scale: LossScale,
    acts: &mut Activations,
    mut wanted: Wanted<'_>,
    hooks: &mut Hooks<'_>,
) -> Losses {
    let losses = head::head(ctx, model, parameters, batch, Some(scale), acts, &mut wanted, hooks);
    let mut pass = Pass { ctx: *ctx, model, adapter, examples: batch.examples(), wanted, hooks };
    let Activations { layers, output, last_stats, scratch, rope, .. } = acts;
    let rope = rope.as_ref().map(|(_, t)| t);
    fit(&mut scratch.residual, batch.rows() * model.config.hidden);
    let width = model.config.hidden;
    let (dy, dx) = (&scratch.normed, &mut scratch.residual);
    pass.norm(model.layout.last_norm, batch.examples(), width, output, last_stats, dy, dx, false);
    pass.hooks.op(None, "last norm gradient", &scratch.residual);
    for (index, layer) in layers.iter().enumerate().rev() {
        let block = &model.layout.blocks[index];
        pass.feed_forward(index, block, layer, scratch);
        pass.attention(index, block, layer, batch, rope, scratch);
    }
    if let Wanted::Weights(gradients) = &mut pass.wanted {
        let d = &scratch.residual;
        let layout = &model.layout;
        embedding_bwd(
            ctx,
            batch.examples(),
            batch.tokens(),
            width,
            d,
            gradients.tensor_mut(layout.embedding),
        );
        if let Some(table) = layout.positions {
            embedding_bwd(ctx, batch.examples(), batch.positions(), width, d, gradients.tensor_mut(table));
        }
    }
    losses
}

impl Pass<'_, '_, '_, '_> {
    /// A norm's gradients; `examples` group its rows (more of them than tokens for norms of heads).
    fn norm(
        &mut self,
        norm: Norm,
        examples: Examples<'_>,
        width: usize,
        x: &[f32],
        stats: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        add: bool,
    ) {
        let weight = self.model.weights.tensor(norm.weight);
        let mut unused = Vec::new();
        let (dw, db) = match (&mut self.wanted, norm.bias) {
            (Wanted::Weights(g), Some(bias)) => {
                let (dw, db) = g.pair_mut(norm.weight, bias);
                (dw, Some(db))
            }
            (Wanted::Weights(g), None) => (g.tensor_mut(norm.weight), None),
            _ => (fit(&mut unused, width), None),
        };
        if self.model.config.family == Family::Gpt2 {
            layer_norm_bwd(&self.ctx, examples, width, x, weight, stats, dy, dx, add, dw, db);
        } else {
            rms_norm_bwd(&self.ctx, examples, width, x, weight, stats, dy, dx, add, dw);
        }
    }

    fn linear(
        &mut self,
        linear: &Linear,
        layer: &LayerActivations,
        x: &[f32],
        dy: &[f32],
        ldy: usize,
        dx: &mut [f32],
        add: bool,
        scratch: Scratch<'_>,
    ) {
        let weight = self.model.weights.tensor(linear.weight);
        let (adapter, kept, hooks) = (self.adapter, &layer.lora, &mut *self.hooks);
        let examples = self.examples;
        linear_bwd(
            &self.ctx,
            linear,
            weight,
            adapter,
            kept,
            examples,
            x,
            dy,
            ldy,
            dx,
            add,
            &mut self.wanted,
            scratch,
            hooks,
        );
    }

    /// Adds the feed-forward part's gradient to the residual's.
    fn feed_forward(
        &mut self,
        index: usize,
        block: &Block,
        layer: &LayerActivations,
        s: &mut BackwardScratch,
    ) {
        let (rows, d, f) = (self.examples.rows(), self.model.config.hidden, self.model.config.intermediate);
        fit(&mut s.normed, rows * d);
        fit(&mut s.active, rows * f);
        let BackwardScratch { residual, normed, active, gate: dgate, up: dup, contiguous, rank, .. } = s;
        match &block.feed_forward {
            FeedForward::Gelu { up, down } => {
                let scratch = Scratch { contiguous, rank };
                self.linear(down, layer, &layer.active, residual, d, active, false, scratch);
                gelu_bwd(&self.ctx, &layer.up, active);
                self.hooks.op(Some(index), "feed-forward gradient", active);
                let scratch = Scratch { contiguous, rank };
                self.linear(up, layer, &layer.feed_forward_norm, active, f, normed, false, scratch);
            }
            FeedForward::SwiGlu { gate, up, down } => {
                let scratch = Scratch { contiguous, rank };
                self.linear(down, layer, &layer.active, residual, d, active, false, scratch);
                fit(dgate, rows * f);
                fit(dup, rows * f);
                swiglu_bwd(&self.ctx, &layer.gate, &layer.up, active, dgate, dup);
                self.hooks.op(Some(index), "feed-forward gate gradient", dgate);
                self.hooks.op(Some(index), "feed-forward up gradient", dup);
                let scratch = Scratch { contiguous, rank };
                self.linear(up, layer, &layer.feed_forward_norm, dup, f, normed, false, scratch);
                let scratch = Scratch { contiguous, rank };
                self.linear(gate, layer, &layer.feed_forward_norm, dgate, f, normed, true, scratch);
            }
        }
        let stats = &layer.feed_forward_norm_stats;
        let examples = self.examples;
        self.norm(block.feed_forward_norm, examples, d, &layer.middle, stats, normed, residual, true);
        self.hooks.op(Some(index), "feed-forward norm gradient", residual);
    }

    /// Adds attention's gradient to the residual's.
    fn attention(
        &mut self,
        index: usize,
        block: &Block,
        layer: &LayerActivations,
        batch: &Batch,
        rope: Option<&RopeTable>,
        s: &mut BackwardScratch,
    ) {
        let config = &self.model.config;
        let (rows, d, q) = (self.examples.rows(), config.hidden, config.query_width());
        let ld = q + 2 * config.kv_width();
        fit(&mut s.attended, rows * q);
        fit(&mut s.qkv, rows * ld);
        let BackwardScratch { residual, normed, qkv, attended, contiguous, rank, .. } = s;
        let scratch = Scratch { contiguous, rank };
        self.linear(&block.output, layer, &layer.attended, residual, d, attended, false, scratch);
        self.hooks.op(Some(index), "attention output gradient", attended);
        attend_bwd(&self.ctx, config, self.examples, layer, attended, qkv);
        self.turn_back(block, layer, batch, rope, qkv);
        self.hooks.op(Some(index), "query key value gradient", qkv);
        for (i, (linear, column)) in block.projections.iter().enumerate() {
            let scratch = Scratch { contiguous, rank };
            self.linear(linear, layer, &layer.attention_norm, &qkv[*column..], ld, normed, i > 0, scratch);
        }
        let stats = &layer.attention_norm_stats;
        let examples = self.examples;
        self.norm(block.attention_norm, examples, d, &layer.input, stats, normed, residual, true);
        self.hooks.op(Some(index), "attention norm gradient", residual);
    }

    /// Undoes rotary positions and head norms in the gradient of query and key.
    fn turn_back(
        &mut self,
        block: &Block,
        layer: &LayerActivations,
        batch: &Batch,
        rope: Option<&RopeTable>,
        dqkv: &mut [f32],
    ) {
        let config = &self.model.config;
        let (q, kv, rows, width) = (config.query_width(), config.kv_width(), batch.rows(), config.head_dim);
        let ld = q + 2 * kv;
        if let Some(table) = rope {
            let positions = batch.positions();
            rope_bwd(&self.ctx, table, RopePairs::Halves, positions, config.heads, width, dqkv, ld);
            rope_bwd(
                &self.ctx,
                table,
                RopePairs::Halves,
                positions,
                config.kv_heads,
                width,
                &mut dqkv[q..],
                ld,
            );
        }
        let Some((query, key)) = block.head_norms else { return };
        let (query_stats, key_stats) = layer.head_stats.split_at(rows * config.heads);
        let parts = [
            (query, config.heads, 0, q, &layer.raw_query, query_stats),
            (key, config.kv_heads, q, kv, &layer.raw_key, key_stats),
        ];
        for (norm, heads, column, cols, raw, stats) in parts {
            let (mut dy, mut dx) = (Vec::new(), vec![0f32; rows * cols]);
            gather(&dqkv[column..], rows, cols, ld, &mut dy);
            let ends: Vec<usize> = self.examples.ranges().map(|r| r.end * heads).collect();
            let examples = Examples::new(&ends).expect("ends of examples ascend");
            self.norm(norm, examples, width, raw, stats, &dy, &mut dx, false);
            scatter(&dx, rows, cols, ld, &mut dqkv[column..]);
        }
    }
}
