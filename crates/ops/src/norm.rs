//! Layer norm and RMS norm, forward and backward.
//!
//! Rows are contiguous, `dim` long. With `sum` and `dot` the striped reductions of [`crate::lanes`]:
//! - layer norm: `mean = sum(x) / dim`, `c = x - mean`, `r = 1 / sqrt(dot(c, c) / dim + eps)`, `y = (c * r) * w (+ b)`;
//! - RMS norm: `r = 1 / sqrt(dot(x, x) / dim + eps)`, `y = (x * r) * w`.
//!
//! Backward, with `h` the normalised row and `g = dy * w`: `dx = r * ((g - sum(g) / dim) - h * (dot(g, h) / dim))`
//! (RMS norm without the middle term). Weight gradients are column folds (see [`crate::columns`]).

use crate::columns::{BLOCK_ROWS, add_in_order};
use crate::examples::Examples;
use crate::lanes::{dot, multiversion, sum};
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range, for_each_task};

multiversion! { fn layer_fwd_body(dim: usize, eps: f32, x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32], stats: &mut [f32]) {
    for ((x, y), s) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)).zip(stats.chunks_exact_mut(2)) {
        let mean = sum(x) / dim as f32;
        for (y, x) in y.iter_mut().zip(x) { *y = *x - mean; }
        let r = 1.0 / (dot(y, y) / dim as f32 + eps).sqrt();
        for (y, w) in y.iter_mut().zip(w) { *y = (*y * r) * *w; }
        if let Some(b) = b { for (y, b) in y.iter_mut().zip(b) { *y += *b; } }
        s[0] = mean;
        s[1] = r;
    }
} }

multiversion! { fn rms_fwd_body(dim: usize, eps: f32, x: &[f32], w: &[f32], y: &mut [f32], stats: &mut [f32]) {
    for ((x, y), s) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)).zip(stats) {
        let r = 1.0 / (dot(x, x) / dim as f32 + eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) { *y = (*x * r) * *w; }
        *s = r;
    }
} }

// One block of at most BLOCK_ROWS rows: dx of each row, and the block's column folds into `dw`, `db` (fresh).
multiversion! { fn layer_bwd_body(dim: usize, x: &[f32], w: &[f32], stats: &[f32], dy: &[f32], dx: &mut [f32], add: bool, dw: &mut [f32], db: &mut [f32], h: &mut [f32], g: &mut [f32]) {
    let n = dim as f32;
    for (((x, dy), dx), s) in x.chunks_exact(dim).zip(dy.chunks_exact(dim)).zip(dx.chunks_exact_mut(dim)).zip(stats.chunks_exact(2)) {
        let (mean, r) = (s[0], s[1]);
        for i in 0..dim {
            h[i] = (x[i] - mean) * r;
            g[i] = dy[i] * w[i];
            dw[i] = dy[i].mul_add(h[i], dw[i]);
            db[i] += dy[i];
        }
        let (a, b) = (sum(g) / n, dot(g, h) / n);
        if add {
            for i in 0..dim { dx[i] += r * ((g[i] - a) - h[i] * b); }
        } else {
            for i in 0..dim { dx[i] = r * ((g[i] - a) - h[i] * b); }
        }
    }
} }

multiversion! { fn rms_bwd_body(dim: usize, x: &[f32], w: &[f32], stats: &[f32], dy: &[f32], dx: &mut [f32], add: bool, dw: &mut [f32], h: &mut [f32], g: &mut [f32]) {
    let n = dim as f32;
    for (((x, dy), dx), r) in x.chunks_exact(dim).zip(dy.chunks_exact(dim)).zip(dx.chunks_exact_mut(dim)).zip(stats) {
        for i in 0..dim {
            h[i] = x[i] * *r;
            g[i] = dy[i] * w[i];
            dw[i] = dy[i].mul_add(h[i], dw[i]);
        }
        let b = dot(g, h) / n;
        if add {
            for i in 0..dim { dx[i] += *r * (g[i] - h[i] * b); }
        } else {
            for i in 0..dim { dx[i] = *r * (g[i] - h[i] * b); }
        }
    }
} }

/// Layer norm of `rows` x `dim`; `stats` receives mean and reciprocal deviation of each row (`rows` x 2).
///
/// # Panics
/// When a slice does not fit the shape.
pub fn layer_norm_fwd(
    ctx: &Ctx,
    dim: usize,
    eps: f32,
    x: &[f32],
    w: &[f32],
    b: Option<&[f32]>,
    y: &mut [f32],
    stats: &mut [f32],
) {
    let rows = rows_of(x, dim);
    assert!(w.len() == dim && b.is_none_or(|b| b.len() == dim), "layer_norm: weight and bias are dim long");
    assert!(y.len() == x.len() && stats.len() == rows * 2, "layer_norm: y is rows x dim, stats rows x 2");
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    for_each_range(ctx, rows, 1, x.len(), |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        let (y, stats) = unsafe { (y.range(i * dim, j * dim), stats.range(i * 2, j * 2)) };
        layer_fwd_body(ctx, dim, eps, &x[i * dim..j * dim], w, b, y, stats);
    });
}

/// RMS norm of `rows` x `dim`; `stats` receives the reciprocal root of each row (`rows`).
///
/// # Panics
/// When a slice does not fit the shape.
pub fn rms_norm_fwd(ctx: &Ctx, dim: usize, eps: f32, x: &[f32], w: &[f32], y: &mut [f32], stats: &mut [f32]) {
    let rows = rows_of(x, dim);
    assert!(
        w.len() == dim && y.len() == x.len() && stats.len() == rows,
        "rms_norm: y is rows x dim, stats rows"
    );
    let (y, stats) = (Shared::new(y), Shared::new(stats));
    for_each_range(ctx, rows, 1, x.len(), |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        let (y, stats) = unsafe { (y.range(i * dim, j * dim), stats.range(i, j)) };
        rms_fwd_body(ctx, dim, eps, &x[i * dim..j * dim], w, y, stats);
    });
}

/// Gradients of [`layer_norm_fwd`]. `dx` is set, or added to if `add`; `dw` and `db` are added to, example by example.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn layer_norm_bwd(
    ctx: &Ctx,
    examples: Examples<'_>,
    dim: usize,
    x: &[f32],
    w: &[f32],
    stats: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dw: &mut [f32],
    db: Option<&mut [f32]>,
) {
    let rows = rows_of(x, dim);
    assert!(
        examples.rows() == rows && stats.len() == rows * 2,
        "layer_norm_bwd: examples cover the rows, stats rows x 2"
    );
    assert!(
        w.len() == dim && dw.len() == dim && dy.len() == x.len() && dx.len() == x.len(),
        "layer_norm_bwd: shapes"
    );
    let blocks = blocks_of(examples);
    let mut partial = vec![0f32; blocks.len() * 2 * dim];
    let (dx, parts) = (Shared::new(dx), Shared::new(&mut partial));
    for_each_task(
        &if x.len() < crate::threads::SPLIT_COST_MIN { ctx.with_threads(1) } else { *ctx },
        blocks.len(),
        |t| {
            let (i, j) = (blocks[t].start, blocks[t].end);
            let mut scratch = vec![0f32; 2 * dim];
            let (h, g) = scratch.split_at_mut(dim);
            // SAFETY: blocks are disjoint.
            let (dx, part) =
                unsafe { (dx.range(i * dim, j * dim), parts.range(t * 2 * dim, (t + 1) * 2 * dim)) };
            let (pw, pb) = part.split_at_mut(dim);
            let r = i * dim..j * dim;
            layer_bwd_body(ctx, dim, &x[r.clone()], w, &stats[i * 2..j * 2], &dy[r], dx, add, pw, pb, h, g);
        },
    );
    add_in_order(ctx, examples, dim, &partial, 2 * dim, 0, dw);
    if let Some(db) = db {
        assert_eq!(db.len(), dim, "layer_norm_bwd: db is dim long");
        add_in_order(ctx, examples, dim, &partial, 2 * dim, dim, db);
    }
}

/// Gradients of [`rms_norm_fwd`]. `dx` is set, or added to if `add`; `dw` is added to, example by example.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn rms_norm_bwd(
    ctx: &Ctx,
    examples: Examples<'_>,
    dim: usize,
    x: &[f32],
    w: &[f32],
    stats: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dw: &mut [f32],
) {
    let rows = rows_of(x, dim);
    assert!(
        examples.rows() == rows && stats.len() == rows,
        "rms_norm_bwd: examples cover the rows, stats rows"
    );
    assert!(
        w.len() == dim && dw.len() == dim && dy.len() == x.len() && dx.len() == x.len(),
        "rms_norm_bwd: shapes"
    );
    let blocks = blocks_of(examples);
    let mut partial = vec![0f32; blocks.len() * dim];
    let (dx, parts) = (Shared::new(dx), Shared::new(&mut partial));
    for_each_task(
        &if x.len() < crate::threads::SPLIT_COST_MIN { ctx.with_threads(1) } else { *ctx },
        blocks.len(),
        |t| {
            let (i, j) = (blocks[t].start, blocks[t].end);
            let mut scratch = vec![0f32; 2 * dim];
            let (h, g) = scratch.split_at_mut(dim);
            // SAFETY: blocks are disjoint.
            let (dx, part) = unsafe { (dx.range(i * dim, j * dim), parts.range(t * dim, (t + 1) * dim)) };
            let r = i * dim..j * dim;
            rms_bwd_body(ctx, dim, &x[r.clone()], w, &stats[i..j], &dy[r], dx, add, part, h, g);
        },
    );
    add_in_order(ctx, examples, dim, &partial, dim, 0, dw);
}

/// Blocks of at most [`BLOCK_ROWS`] rows, restarting at every example, in order.
fn blocks_of(examples: Examples<'_>) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    for range in examples.ranges() {
        let mut start = range.start;
        while start < range.end {
            let end = (start + BLOCK_ROWS).min(range.end);
            blocks.push(start..end);
            start = end;
        }
    }
    blocks
}

fn rows_of(x: &[f32], dim: usize) -> usize {
    assert!(dim > 0 && x.len().is_multiple_of(dim), "norm: x must be whole rows of {dim}");
    x.len() / dim
}
