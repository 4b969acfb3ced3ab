//! The low-rank pair of LoRA: `y += s * (x At) Bt`.

use crate::elementwise::scale;
use crate::examples::Examples;
use crate::matmul::{View, gemm_one_thread, matmul_nn, matmul_nt, matmul_tn_examples};
use crate::path::Ctx;
use crate::threads::{SPLIT_COST_MIN, Shared, for_each_task};

/// Shape of a pair: `a` is `rank` x `inputs`, `b` is `outputs` x `rank`, as PEFT stores them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraShape {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// Rank of the pair.
    pub rank: usize,
    /// `alpha / rank`.
    pub scale: f32,
}

/// Adds the pair's output to `y` (`rows` x `outputs`): `h = (x At) * s` (kept, `rows` x `rank`), `y = y + h Bt`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn lora_fwd(
    ctx: &Ctx,
    s: &LoraShape,
    rows: usize,
    x: &[f32],
    a: &[f32],
    b: &[f32],
    h: &mut [f32],
    y: &mut [f32],
) {
    matmul_nt(ctx, rows, s.rank, s.inputs, x, s.inputs, a, s.inputs, h, s.rank, false);
    scale(ctx, s.scale, &mut h[..rows * s.rank]);
    matmul_nt(ctx, rows, s.outputs, s.rank, h, s.rank, b, s.rank, y, s.outputs, true);
}

/// Rows of a batch that one adapter changes, with its pair transposed for few rows.
#[derive(Clone, Copy, Debug)]
pub struct LoraRows<'a> {
    /// First row.
    pub first: usize,
    /// Rows.
    pub rows: usize,
    /// Rank of the pair.
    pub rank: usize,
    /// `alpha / rank`.
    pub scale: f32,
    /// Transposed, `inputs` x `rank`.
    pub a: &'a [f32],
    /// Transposed, `rank` x `outputs`.
    pub b: &'a [f32],
}

/// [`lora_fwd`] for the rows of many adapters (disjoint), each on a thread of its own: the same bits as one by one. `x` has
/// contiguous rows of `inputs`, `y` has row stride `ldy`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn lora_rows_fwd(
    ctx: &Ctx,
    inputs: usize,
    outputs: usize,
    parts: &[LoraRows<'_>],
    x: &[f32],
    y: &mut [f32],
    ldy: usize,
) {
    let work: usize = parts.iter().map(|p| p.rows * p.rank * (inputs + outputs)).sum();
    let one = ctx.with_threads(1);
    let y = Shared::new(y);
    for_each_task(if work < SPLIT_COST_MIN { &one } else { ctx }, parts.len(), |i| {
        let LoraRows { first, rows, rank, scale: s, a, b } = parts[i];
        let mut h = vec![0f32; rows * rank];
        matmul_nn(&one, rows, rank, inputs, &x[first * inputs..], inputs, a, rank, &mut h, rank, false);
        scale(&one, s, &mut h);
        let (h, b) = (View::rows(&h, rows, rank, rank), View::rows(b, rank, outputs, outputs));
        // SAFETY: the parts' rows are disjoint.
        let y = unsafe { y.strided(first * ldy, rows, outputs, ldy) };
        gemm_one_thread(&one, rows, outputs, rank, h, b, y, true);
    });
}

/// Gradients of [`lora_fwd`]: `dh = (dy B) * s`, `dx = dx + dh A`, `da = da + dht x`, `db = db + dyt h`, the last two
/// example by example. `h` is what the forward pass kept; `dh` (`rows` x `rank`) is left for taps.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn lora_bwd(
    ctx: &Ctx,
    s: &LoraShape,
    examples: Examples<'_>,
    x: &[f32],
    a: &[f32],
    b: &[f32],
    h: &[f32],
    dy: &[f32],
    dh: &mut [f32],
    dx: &mut [f32],
    da: &mut [f32],
    db: &mut [f32],
) {
    let rows = examples.rows();
    matmul_nn(ctx, rows, s.rank, s.outputs, dy, s.outputs, b, s.rank, dh, s.rank, false);
    scale(ctx, s.scale, &mut dh[..rows * s.rank]);
    matmul_nn(ctx, rows, s.inputs, s.rank, dh, s.rank, a, s.inputs, dx, s.inputs, true);
    matmul_tn_examples(ctx, s.rank, s.inputs, examples, dh, s.rank, x, s.inputs, da, s.inputs, true);
    matmul_tn_examples(ctx, s.outputs, s.rank, examples, dy, s.outputs, h, s.rank, db, s.rank, true);
}
