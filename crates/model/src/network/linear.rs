//! Linear layers, with the LoRA pairs that lie beside them.

use super::Wanted;
use super::activations::fit;
use super::parameters::LinearWeight;
use crate::layout::Linear;
use crate::lora::Adapter;
use crate::taps::{Hooks, LinearInfo, LinearTap};
use ops::{
    Ctx, Examples, LoraRows, add_bias, column_sums, int8_matmul, lora_rows_fwd, matmul_nn, matmul_nt,
    matmul_packed, matmul_tn_examples, scale,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Which rows of a batch an adapter changes. Ranges are disjoint and ascend.
#[derive(Debug, Default)]
pub(crate) struct AdapterRows<'a> {
    ranges: Vec<(Range<usize>, &'a Adapter)>,
    /// Whether a backward pass needs what the pairs compute in between.
    keep: bool,
}

/// Up to so many rows of an adapter are multiplied by its transposed factors.
const FEW_ROWS: usize = 16;

impl<'a> AdapterRows<'a> {
    /// One adapter (or none) for the whole batch.
    pub(crate) fn whole(adapter: Option<&'a Adapter>, rows: usize) -> Self {
        AdapterRows { ranges: adapter.map(|a| (0..rows, a)).into_iter().collect(), keep: true }
    }

    /// The adapters of a batch that is generated.
    pub(crate) fn mixed(ranges: Vec<(Range<usize>, &'a Adapter)>) -> Self {
        AdapterRows { ranges, keep: false }
    }
}

/// `y = x Wt` (or `y + x Wt`), without bias: `x` is rows x `inputs`, `y` has row stride `ldy`.
pub(super) fn product(
    ctx: &Ctx,
    weight: LinearWeight<'_>,
    outputs: usize,
    inputs: usize,
    rows: usize,
    x: &[f32],
    y: &mut [f32],
    ldy: usize,
    accumulate: bool,
) {
    match weight {
        LinearWeight::Rows(w) => {
            matmul_nt(ctx, rows, outputs, inputs, x, inputs, w, inputs, y, ldy, accumulate)
        }
        LinearWeight::Packed(w) => matmul_packed(ctx, rows, x, inputs, w, y, ldy, accumulate),
        LinearWeight::Int8(w) => {
            assert_eq!(ldy, outputs, "int8 products write contiguous rows");
            int8_matmul(ctx, rows, &x[..rows * inputs], w, &mut y[..rows * outputs], accumulate);
        }
    }
}

/// A layer's product and bias (contiguous `y`), and its adapters.
pub(super) fn linear_fwd(
    ctx: &Ctx,
    weight: LinearWeight<'_>,
    bias: Option<&[f32]>,
    linear: &Linear,
    adapters: &AdapterRows<'_>,
    rows: usize,
    x: &[f32],
    y: &mut [f32],
    accumulate: bool,
    kept: &mut BTreeMap<usize, Vec<f32>>,
) {
    product(ctx, weight, linear.outputs, linear.inputs, rows, x, y, linear.outputs, accumulate);
    if let Some(bias) = bias {
        add_bias(ctx, bias, y);
    }
    adapters_fwd(ctx, linear, adapters, x, y, linear.outputs, kept);
}

/// Adds the output of every adapter's pair to its rows: `h = (x At) * s`, `y = y + h Bt`, the order of [`ops::lora_fwd`].
pub(super) fn adapters_fwd(
    ctx: &Ctx,
    linear: &Linear,
    adapters: &AdapterRows<'_>,
    x: &[f32],
    y: &mut [f32],
    ldy: usize,
    kept: &mut BTreeMap<usize, Vec<f32>>,
) {
    let (n, k) = (linear.outputs, linear.inputs);
    let mut few = Vec::new();
    for (range, adapter) in &adapters.ranges {
        let Some(pair) = adapter.pair(linear.index) else { continue };
        if !adapters.keep && range.len() <= FEW_ROWS {
            let (a, b) = pair.turned(adapter.rank());
            let (first, rows, rank, scale) = (range.start, range.len(), adapter.rank(), adapter.scale());
            few.push(LoraRows { first, rows, rank, scale, a, b });
            continue;
        }
        let (r, rows) = (adapter.rank(), range.len());
        let h = fit(kept.entry(linear.index).or_default(), rows * r);
        matmul_nt(ctx, rows, r, k, &x[range.start * k..], k, &pair.a, k, h, r, false);
        scale(ctx, adapter.scale(), h);
        matmul_nt(ctx, rows, n, r, h, r, &pair.b, r, &mut y[range.start * ldy..], ldy, true);
    }
    lora_rows_fwd(ctx, k, n, &few, x, y, ldy);
}

/// Buffers of [`linear_bwd`] that outlive no call.
pub(super) struct Scratch<'a> {
    pub(super) contiguous: &'a mut Vec<f32>,
    pub(super) rank: &'a mut Vec<f32>,
}

/// A layer's backward pass: `dx = dy W` (or added), weight, bias and adapter gradients as wanted, taps.
///
/// `dy` has row stride `ldy`; `kept` is what the adapter's forward pass kept.
pub(super) fn linear_bwd(
    ctx: &Ctx,
    linear: &Linear,
    weight: &[f32],
    adapter: Option<&Adapter>,
    kept: &BTreeMap<usize, Vec<f32>>,
    examples: Examples<'_>,
    x: &[f32],
    dy: &[f32],
    ldy: usize,
    dx: &mut [f32],
    add: bool,
    wanted: &mut Wanted<'_>,
    scratch: Scratch<'_>,
    hooks: &mut Hooks<'_>,
) {
    let (rows, n, k) = (examples.rows(), linear.outputs, linear.inputs);
    matmul_nn(ctx, rows, k, n, dy, ldy, weight, k, dx, k, add);
    if let Wanted::Weights(gradients) = wanted {
        matmul_tn_examples(ctx, n, k, examples, dy, ldy, x, k, gradients.tensor_mut(linear.weight), k, true);
        if let Some(bias) = linear.bias {
            column_sums(ctx, examples, n, dy, ldy, gradients.tensor_mut(bias));
        }
    }
    let info = LinearInfo { index: linear.index, name: &linear.name, inputs: k, outputs: n };
    let pair = adapter.and_then(|a| a.pair(linear.index).map(|p| (a, p)));
    let tapped = hooks.wants(&info);
    if !tapped && pair.is_none() {
        return;
    }
    let dy = if ldy == n { &dy[..rows * n] } else { gather(dy, rows, n, ldy, scratch.contiguous) };
    if tapped {
        hooks.linear(LinearTap { linear: info, examples, inputs: &x[..rows * k], output_gradients: dy });
    }
    let (Some((adapter, pair)), Some(h)) = (pair, kept.get(&linear.index)) else { return };
    // The order of `ops::lora_bwd`.
    let r = adapter.rank();
    let dh = fit(scratch.rank, rows * r);
    matmul_nn(ctx, rows, r, n, dy, n, &pair.b, r, dh, r, false);
    scale(ctx, adapter.scale(), dh);
    matmul_nn(ctx, rows, k, r, dh, r, &pair.a, k, dx, k, true);
    if let Wanted::Adapter(gradients) = wanted
        && let Some(g) = gradients.pair_mut(linear.index)
    {
        matmul_tn_examples(ctx, r, k, examples, dh, r, x, k, &mut g.a, k, true);
        matmul_tn_examples(ctx, n, r, examples, dy, n, h, r, &mut g.b, r, true);
    }
    for (suffix, inputs, outputs, x, dy) in
        [("lora_A", k, r, &x[..rows * k], &*dh), ("lora_B", r, n, &h[..], dy)]
    {
        let name = format!("{}.{suffix}", linear.name);
        let info = LinearInfo { index: linear.index, name: &name, inputs, outputs };
        if hooks.wants(&info) {
            hooks.linear(LinearTap { linear: info, examples, inputs: x, output_gradients: dy });
        }
    }
}

/// Copies `cols` columns of rows with stride `ld` into whole rows.
pub(super) fn gather<'a>(
    from: &[f32],
    rows: usize,
    cols: usize,
    ld: usize,
    to: &'a mut Vec<f32>,
) -> &'a [f32] {
    fit(to, rows * cols);
    for (to, from) in to.chunks_exact_mut(cols).zip(from.chunks(ld)) {
        to.copy_from_slice(&from[..cols]);
    }
    to
}

/// The inverse of [`gather`].
pub(super) fn scatter(from: &[f32], rows: usize, cols: usize, ld: usize, to: &mut [f32]) {
    for (from, to) in from[..rows * cols].chunks_exact(cols).zip(to.chunks_mut(ld)) {
        to[..cols].copy_from_slice(from);
    }
}
