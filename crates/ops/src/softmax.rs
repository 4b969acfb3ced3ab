//! Softmax of rows and the cross-entropy of rows of logits.
//!
//! `m = max(x)`, `e = exp(x - m)`, `z = sum(e)`, `r = 1 / z`, `p = e * r`. Loss of a row with target `t`:
//! `(ln(z) + m) - x[t]`; its gradient `p * g`, and at `t` `(p[t] - 1) * g`.

use crate::lanes::{dot, max, multiversion, sum};
use crate::math32::{exp, ln};
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// A target that stands for "no loss at this row" (padding, prompt).
pub const IGNORED_TARGET: u32 = u32::MAX;

/// Softmax in place; returns the maximum and the reciprocal of the sum.
#[inline(always)]
pub(crate) fn softmax_row(x: &mut [f32]) -> (f32, f32) {
    let m = max(x);
    for v in x.iter_mut() {
        *v = exp(*v - m);
    }
    let r = 1.0 / sum(x);
    for v in x.iter_mut() {
        *v *= r;
    }
    (m, r)
}

multiversion! { fn softmax_body(n: usize, x: &mut [f32]) {
    for row in x.chunks_exact_mut(n) { softmax_row(row); }
} }

multiversion! { fn softmax_bwd_body(n: usize, p: &[f32], d: &mut [f32]) {
    for (p, d) in p.chunks_exact(n).zip(d.chunks_exact_mut(n)) {
        let r = dot(p, d);
        for (d, p) in d.iter_mut().zip(p) { *d = *p * (*d - r); }
    }
} }

multiversion! { fn loss_body(n: usize, logits: &[f32], targets: &[u32], loss: &mut [f32], stats: &mut [f32], e: &mut [f32]) {
    for (((x, t), l), s) in logits.chunks_exact(n).zip(targets).zip(loss).zip(stats.chunks_exact_mut(2)) {
        let m = max(x);
        for (e, x) in e.iter_mut().zip(x) { *e = exp(*x - m); }
        let z = sum(e);
        s[0] = m;
        s[1] = 1.0 / z;
        *l = if *t == IGNORED_TARGET { 0.0 } else { (ln(z) + m) - x[*t as usize] };
    }
} }

multiversion! { fn loss_bwd_body(n: usize, targets: &[u32], stats: &[f32], dloss: &[f32], x: &mut [f32]) {
    for (((x, t), g), s) in x.chunks_exact_mut(n).zip(targets).zip(dloss).zip(stats.chunks_exact(2)) {
        if *t == IGNORED_TARGET { x.fill(0.0); continue; }
        let at = exp(x[*t as usize] - s[0]) * s[1];
        for v in x.iter_mut() { *v = (exp(*v - s[0]) * s[1]) * *g; }
        x[*t as usize] = (at - 1.0) * *g;
    }
} }

/// Softmax of each row of `x` (`rows` x `n`), in place.
///
/// # Panics
/// When `x` is not a whole number of rows.
pub fn softmax_fwd(ctx: &Ctx, n: usize, x: &mut [f32]) {
    let rows = rows_of(x.len(), n);
    let shared = Shared::new(x);
    for_each_range(ctx, rows, 1, rows * n, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        softmax_body(ctx, n, unsafe { shared.range(i * n, j * n) });
    });
}

/// Gradient of softmax: `d = p * (d - dot(p, d))` by row, in place; `p` is the softmax's output.
///
/// # Panics
/// When the slices are not equally long whole rows.
pub fn softmax_bwd(ctx: &Ctx, n: usize, p: &[f32], d: &mut [f32]) {
    let rows = rows_of(d.len(), n);
    assert_eq!(p.len(), d.len(), "softmax_bwd: equally long");
    let shared = Shared::new(d);
    for_each_range(ctx, rows, 1, rows * n, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        softmax_bwd_body(ctx, n, &p[i * n..j * n], unsafe { shared.range(i * n, j * n) });
    });
}

/// Cross-entropy of each row of `logits` (`rows` x `vocab`): `loss` (`rows`) and `stats` (`rows` x 2: maximum and
/// reciprocal sum), which [`cross_entropy_bwd`] needs. Loss at [`IGNORED_TARGET`] is +0.
///
/// # Panics
/// When a slice does not fit, or a target is neither below `vocab` nor [`IGNORED_TARGET`].
pub fn cross_entropy_fwd(
    ctx: &Ctx,
    vocab: usize,
    logits: &[f32],
    targets: &[u32],
    loss: &mut [f32],
    stats: &mut [f32],
) {
    let rows = rows_of(logits.len(), vocab);
    check_targets(vocab, rows, targets);
    assert!(loss.len() == rows && stats.len() == rows * 2, "cross_entropy: loss is rows, stats rows x 2");
    let (loss, stats) = (Shared::new(loss), Shared::new(stats));
    for_each_range(ctx, rows, 1, logits.len(), |i, j| {
        let mut scratch = vec![0f32; vocab];
        // SAFETY: ranges of for_each_range are disjoint.
        let (loss, stats) = unsafe { (loss.range(i, j), stats.range(i * 2, j * 2)) };
        loss_body(ctx, vocab, &logits[i * vocab..j * vocab], &targets[i..j], loss, stats, &mut scratch);
    });
}

/// Turns logits (`rows` x `vocab`) into their gradient in place; `dloss` (`rows`) is the gradient of each row's loss.
///
/// # Panics
/// As [`cross_entropy_fwd`].
pub fn cross_entropy_bwd(
    ctx: &Ctx,
    vocab: usize,
    targets: &[u32],
    stats: &[f32],
    dloss: &[f32],
    logits: &mut [f32],
) {
    let rows = rows_of(logits.len(), vocab);
    check_targets(vocab, rows, targets);
    assert!(dloss.len() == rows && stats.len() == rows * 2, "cross_entropy: dloss is rows, stats rows x 2");
    let shared = Shared::new(logits);
    for_each_range(ctx, rows, 1, rows * vocab, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        let x = unsafe { shared.range(i * vocab, j * vocab) };
        loss_bwd_body(ctx, vocab, &targets[i..j], &stats[i * 2..j * 2], &dloss[i..j], x);
    });
}

fn check_targets(vocab: usize, rows: usize, targets: &[u32]) {
    assert_eq!(targets.len(), rows, "cross_entropy: a target for every row");
    assert!(
        targets.iter().all(|t| *t == IGNORED_TARGET || (*t as usize) < vocab),
        "cross_entropy: targets are below the vocabulary's {vocab} or IGNORED_TARGET"
    );
}

fn rows_of(len: usize, n: usize) -> usize {
    assert!(n > 0 && len.is_multiple_of(n), "rows of {n} do not divide {len}");
    len / n
}
