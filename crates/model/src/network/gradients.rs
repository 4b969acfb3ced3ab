//! Gradients of a step, summed over its batches.

use crate::layout::Layout;
use crate::weights::Weights;
use ops::{Ctx, add};

/// Gradients of all weights. A tied head's part is kept apart until [`Gradients::finish`], so that the order of additions does not
/// depend on how a step is cut into batches.
#[derive(Clone, Debug)]
pub struct Gradients {
    weights: Weights,
    tied_head: Option<(usize, Vec<f32>)>,
}

impl Gradients {
    /// All zeros.
    pub fn zeros(layout: &Layout) -> Gradients {
        let tied = layout.head.weight == layout.embedding;
        let tied_head = tied.then(|| (layout.embedding, vec![0f32; layout.tensors[layout.embedding].len()]));
        Gradients { weights: Weights::zeros(layout), tied_head }
    }

    /// Sets every element to +0.
    pub fn clear(&mut self, ctx: &Ctx) {
        self.weights.clear(ctx);
        if let Some((_, head)) = &mut self.tied_head {
            head.fill(0.0);
        }
    }

    /// Adds the tied head's gradient to the embedding's: once, after the last batch of a step.
    pub fn finish(&mut self, ctx: &Ctx) {
        if let Some((index, head)) = &mut self.tied_head {
            add(ctx, head, self.weights.tensor_mut(*index));
            head.fill(0.0);
        }
    }

    /// The gradients, in the layout's order; complete after [`Gradients::finish`].
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The gradients, to scale or clip.
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    pub(super) fn tensor_mut(&mut self, index: usize) -> &mut [f32] {
        self.weights.tensor_mut(index)
    }

    pub(super) fn pair_mut(&mut self, first: usize, second: usize) -> (&mut [f32], &mut [f32]) {
        self.weights.pair_mut(first, second)
    }

    pub(super) fn head_mut(&mut self, index: usize) -> &mut [f32] {
        match &mut self.tied_head {
            Some((_, head)) => head,
            None => self.weights.tensor_mut(index),
        }
    }
}
