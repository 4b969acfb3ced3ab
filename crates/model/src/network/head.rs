//! Head and loss, a group of examples at a time so that logits of long batches over wide vocabularies need little memory.

use super::activations::{Activations, fit};
use super::linear::product;
use super::{LossScale, Losses, Parameters, Wanted};
use crate::batch::Batch;
use crate::layout::Linear;
use crate::taps::{Hooks, LinearInfo, LinearTap};
use crate::weights::Model;
use ops::{
    Ctx, Examples, IGNORED_TARGET, cross_entropy_bwd, cross_entropy_fwd, matmul_nn, matmul_tn_examples,
};

/// Logits held at once (elements); a single example may exceed it.
pub const LOGITS_MAX: usize = 1 << 24;

/// Logits of rows of the last norm's output.
pub(crate) fn logits(
    ctx: &Ctx,
    parameters: &Parameters<'_>,
    head: &Linear,
    rows: usize,
    x: &[f32],
    out: &mut [f32],
) {
    product(ctx, parameters.linear(head), head.outputs, head.inputs, rows, x, out, head.outputs, false);
}

/// Groups of whole examples with at most [`LOGITS_MAX`] logits: exclusive end of each group, in examples.
fn groups(examples: Examples<'_>, vocabulary: usize) -> Vec<usize> {
    let (mut ends, mut rows, mut count) = (Vec::new(), 0, 0);
    for range in examples.ranges() {
        if rows > 0 && (rows + range.len()) * vocabulary > LOGITS_MAX {
            ends.push(count);
            rows = 0;
        }
        rows += range.len();
        count += 1;
    }
    ends.push(count);
    ends
}

/// Losses from `acts.last`.
pub(super) fn losses(ctx: &Ctx, model: &Model, batch: &Batch, acts: &mut Activations) -> Losses {
    let none = &mut Hooks::none();
    head(ctx, model, &Parameters::plain(&model.weights), batch, None, acts, &mut Wanted::Taps, none)
}

/// Losses and, with a scale, `acts.scratch.normed`: the gradient by the last norm's output; the head's own gradient; its taps.
pub(super) fn head(
    ctx: &Ctx,
    model: &Model,
    parameters: &Parameters<'_>,
    batch: &Batch,
    scale: Option<LossScale>,
    acts: &mut Activations,
    wanted: &mut Wanted<'_>,
    hooks: &mut Hooks<'_>,
) -> Losses {
    let (head, d, v) = (&model.layout.head, model.config.hidden, model.config.vocabulary);
    let info = LinearInfo { index: head.index, name: &head.name, inputs: d, outputs: v };
    // Taps see all examples at once, so that they can number them.
    let tapped = scale.is_some() && hooks.wants(&info);
    let examples = batch.examples();
    let traced = hooks.trace.is_some();
    let ends = if tapped || traced { vec![examples.count()] } else { groups(examples, v) };
    let ranges: Vec<_> = examples.ranges().collect();
    let factor = scale.map(|s| s.factor(batch.target_count()));
    let mut rows_loss = vec![0f32; batch.rows()];
    if scale.is_some() {
        fit(&mut acts.scratch.normed, batch.rows() * d);
    }
    let mut first_example = 0;
    for end in ends {
        let first = ranges[first_example].start;
        let last = ranges[end - 1].end;
        let local: Vec<usize> = ranges[first_example..end].iter().map(|r| r.end - first).collect();
        first_example = end;
        // Without weights' gradients a row that has no target adds nothing, and those of a prompt come first: their gradient is 0.
        let skipped = if scale.is_some() && !tapped && !traced && matches!(wanted, Wanted::Taps) {
            let targets = &batch.targets()[first..last];
            targets.iter().position(|target| *target != IGNORED_TARGET).unwrap_or(targets.len())
        } else {
            0
        };
        if skipped > 0 {
            acts.scratch.normed[first * d..(first + skipped) * d].fill(0.0);
        }
        let first = first + skipped;
        if first == last {
            continue;
        }
        let rows = last - first;
        let x = &acts.last[first * d..last * d];
        let targets = &batch.targets()[first..last];
        let out = fit(&mut acts.logits, rows * v);
        let stats = fit(&mut acts.loss_stats, rows * 2);
        logits(ctx, parameters, head, rows, x, out);
        hooks.op(None, "logits", out);
        cross_entropy_fwd(ctx, v, out, targets, &mut rows_loss[first..last], stats);
        let Some(factor) = factor else { continue };
        hooks.op(None, "loss", &rows_loss[first..last]);
        let scales = vec![factor; rows];
        cross_entropy_bwd(ctx, v, targets, stats, &scales, out);
        hooks.op(None, "logits gradient", out);
        let local = Examples::new(&local).expect("ends of a run of examples ascend");
        let weight = model.weights.tensor(head.weight);
        matmul_nn(
            ctx,
            rows,
            d,
            v,
            out,
            v,
            weight,
            d,
            &mut acts.scratch.normed[first * d..last * d],
            d,
            false,
        );
        if let Wanted::Weights(gradients) = wanted {
            matmul_tn_examples(ctx, v, d, local, out, v, x, d, gradients.head_mut(head.weight), d, true);
        }
        if tapped {
            hooks.linear(LinearTap { linear: info, examples: local, inputs: x, output_gradients: out });
        }
    }
    let sum = ops::sum(&ctx.with_threads(1), &rows_loss);
    Losses { rows: rows_loss, sum, targets: batch.target_count() }
}
