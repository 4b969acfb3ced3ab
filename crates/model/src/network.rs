//! The decoder-only transformer: forward and backward over explicit buffers, no hidden state.
//!
//! A pass is a function of weights, adapters and batch alone. Rows are independent except through attention inside their own
//! sequence, so a row's result never depends on its batch, and weight gradients are folded example by example, so that a batch cut
//! into smaller ones gives the same bits.
//!
//! Per block: `m = x + output(attention(rope(projections(norm(x)))))`, `x' = m + feed_forward(norm(m))`; then the last norm, the head
//! and cross-entropy.

mod activations;
mod attention;
mod backward;
mod forward;
mod gradients;
mod head;
mod kept;
mod linear;
mod parameters;

pub use activations::Activations;
pub(crate) use activations::LayerActivations;
pub(crate) use attention::{CachedSequence, Sequences};
pub(crate) use forward::{embed, last_norm, layer_forward};
pub use gradients::Gradients;
pub(crate) use head::logits as head_logits;
pub use kept::Kept;
pub(crate) use linear::AdapterRows;
pub use parameters::{Parameters, Prepared, Quantisation};

use crate::batch::Batch;
use crate::lora::Adapter;
use crate::taps::Hooks;
use crate::weights::Model;
use ops::{Ctx, RopeTable};

/// What the gradient of a pass is scaled by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossScale {
    /// Gradient of the mean over the batch's targets.
    Mean,
    /// Gradient of the sum over the batch's targets: an example's gradient does not depend on its batch.
    Sum,
    /// Gradient of the sum times this: `1 / targets` of all batches of a step that is cut into several.
    Times(f32),
}

impl LossScale {
    pub(crate) fn factor(self, targets: usize) -> f32 {
        match self {
            LossScale::Mean => 1.0 / targets.max(1) as f32,
            LossScale::Sum => 1.0,
            LossScale::Times(factor) => factor,
        }
    }
}

/// Losses of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// Cross-entropy of each row in nats; +0 where there is no target.
    pub rows: Vec<f32>,
    /// Sum over the rows, in the order of [`ops::sum`].
    pub sum: f64,
    /// Rows with a target.
    pub targets: usize,
}

impl Losses {
    /// Mean over the targets.
    pub fn mean(&self) -> f64 {
        self.sum / self.targets.max(1) as f64
    }
}

/// Which gradients a backward pass computes besides what its taps hand out.
#[derive(Default, Debug)]
pub enum Wanted<'a> {
    /// None.
    #[default]
    Taps,
    /// Of every weight, added to these.
    Weights(&'a mut Gradients),
    /// Of the adapter's factors, added to these (an adapter of the same shape).
    Adapter(&'a mut Adapter),
}

/// Table of rotary positions for sequences of up to `positions`, if the model has them.
pub fn rope_table(model: &Model, positions: usize) -> Option<RopeTable> {
    let rope = model.config.rope.as_ref()?;
    Some(RopeTable::new(&rope.frequencies(model.config.head_dim), positions))
}

/// Logits of every row, rows x `vocabulary`.
pub fn logits(ctx: &Ctx, model: &Model, adapter: Option<&Adapter>, batch: &Batch) -> Vec<f32> {
    let mut acts = Activations::default();
    let adapters = linear::AdapterRows::whole(adapter, batch.rows());
    let parameters = Parameters::plain(&model.weights);
    forward::forward(ctx, model, &parameters, &adapters, batch, &mut acts, &mut Hooks::none());
    let mut out = vec![0f32; batch.rows() * model.config.vocabulary];
    head::logits(ctx, &parameters, &model.layout.head, batch.rows(), &acts.last, &mut out);
    out
}

/// A pass without the head: `acts` then holds [`Activations::last_hidden`].
pub fn hidden(ctx: &Ctx, model: &Model, adapter: Option<&Adapter>, batch: &Batch, acts: &mut Activations) {
    let adapters = linear::AdapterRows::whole(adapter, batch.rows());
    let parameters = Parameters::plain(&model.weights);
    forward::forward(ctx, model, &parameters, &adapters, batch, acts, &mut Hooks::none());
}

/// Losses of a batch without gradients.
pub fn losses(
    ctx: &Ctx,
    model: &Model,
    adapter: Option<&Adapter>,
    batch: &Batch,
    acts: &mut Activations,
) -> Losses {
    let adapters = linear::AdapterRows::whole(adapter, batch.rows());
    let parameters = Parameters::plain(&model.weights);
    forward::forward(ctx, model, &parameters, &adapters, batch, acts, &mut Hooks::none());
    head::losses(ctx, model, batch, acts)
}

/// One forward and backward pass.
///
/// `acts` is scratch that may be reused between calls (of any batch). Gradients are added to what `wanted` holds; call
/// [`Gradients::finish`] once all batches of a step are in.
pub fn forward_backward(
    ctx: &Ctx,
    model: &Model,
    adapter: Option<&Adapter>,
    batch: &Batch,
    scale: LossScale,
    acts: &mut Activations,
    wanted: Wanted<'_>,
    hooks: &mut Hooks<'_>,
) -> Losses {
    let adapters = linear::AdapterRows::whole(adapter, batch.rows());
    let parameters = Parameters::plain(&model.weights);
    forward::forward(ctx, model, &parameters, &adapters, batch, acts, hooks);
    backward::backward(ctx, model, &parameters, adapter, batch, scale, acts, wanted, hooks)
}

/// As [`forward_backward`] for its taps alone, its forward pass over weights that are laid out for generation: the same bits, sooner
/// for a sequence or two.
///
/// # Panics
/// When the weights were prepared quantised: their gradients would be another model's.
pub fn taps_of(
    ctx: &Ctx,
    model: &Model,
    prepared: &Prepared,
    adapter: Option<&Adapter>,
    batch: &Batch,
    scale: LossScale,
    acts: &mut Activations,
    hooks: &mut Hooks<'_>,
) -> Losses {
    assert!(prepared.quantisation() == Quantisation::None, "gradients are of f32 weights");
    let adapters = linear::AdapterRows::whole(adapter, batch.rows());
    let parameters = Parameters::prepared(&model.weights, prepared);
    forward::forward(ctx, model, &parameters, &adapters, batch, acts, hooks);
    backward::backward(ctx, model, &parameters, adapter, batch, scale, acts, Wanted::Taps, hooks)
}

/// As [`taps_of`] of a sequence whose forward pass was kept while it was generated, or a longer one's: the same bits. `kept` was taken by the model
/// alone, not quantised. `None` when it is of other tokens.
///
/// # Panics
/// When the weights were prepared quantised: their gradients would be another model's.
pub fn taps_of_kept(
    ctx: &Ctx,
    model: &Model,
    prepared: &Prepared,
    batch: &Batch,
    scale: LossScale,
    kept: Kept,
    acts: &mut Activations,
    hooks: &mut Hooks<'_>,
) -> Option<Losses> {
    assert!(prepared.quantisation() == Quantisation::None, "gradients are of f32 weights");
    let rows = batch.rows();
    if batch.examples().count() != 1 || kept.tokens().get(..rows) != Some(batch.tokens()) {
        return None;
    }
    let parameters = Parameters::prepared(&model.weights, prepared);
    kept.into_activations(&model.config, rows, acts);
    forward::turn_up_to(model, batch, acts);
    forward::end(ctx, model, &parameters, rows, acts);
    Some(backward::backward(ctx, model, &parameters, None, batch, scale, acts, Wanted::Taps, hooks))
}

#[cfg(test)]
mod tests;
