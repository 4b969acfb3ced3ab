//! Drives the kernels over blocks of the operands and splits outputs over threads.

use super::{K_BLOCK, Out, View};
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::for_each_task;

/// Multiply-adds below which a second thread costs more than it brings.
const SPLIT_WORK_MIN: usize = 64 * 64 * 64;

/// `out = a b` or `out + a b`, split over threads by outputs.
pub(crate) fn gemm(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: View<'_>,
    b: View<'_>,
    out: Out,
    accumulate: bool,
) {
    if ctx.threads() == 1 || m.saturating_mul(n).saturating_mul(k) < SPLIT_WORK_MIN {
        return gemm_one_thread(ctx, m, n, k, a, b, out, accumulate);
    }
    let parts = ctx.threads();
    if m >= n {
        let chunk = m.div_ceil(parts).next_multiple_of(14);
        for_each_task(ctx, m.div_ceil(chunk), |t| {
            let i = t * chunk;
            gemm_one_thread(ctx, chunk.min(m - i), n, k, a.from(i, 0), b, out.from(i, 0), accumulate);
        });
    } else {
        let chunk = n.div_ceil(parts).next_multiple_of(32);
        for_each_task(ctx, n.div_ceil(chunk), |t| {
            let j = t * chunk;
            gemm_one_thread(ctx, m, chunk.min(n - j), k, a, b.from(0, j), out.from(0, j), accumulate);
        });
    }
}

/// `out = a b` or `out + a b` on this thread.
pub(crate) fn gemm_one_thread(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: View<'_>,
    b: View<'_>,
    out: Out,
    accumulate: bool,
) {
    plain(ctx, m, n, k, a, b, out, accumulate);
}

multiversion! { fn plain(m: usize, n: usize, k: usize, a: View<'_>, b: View<'_>, out: Out, accumulate: bool) {
    for i in 0..m {
        for j in 0..n {
            // SAFETY: View and Out were checked against m, n and k by their makers.
            unsafe {
                let c = out.ptr(i, j);
                let mut p = 0;
                if k == 0 && !accumulate { *c = 0.0; }
                while p < k {
                    let end = (p + K_BLOCK).min(k);
                    let mut acc = 0f32;
                    for q in p..end {
                        let x = *a.ptr().add(i * a.row_stride + q * a.col_stride);
                        let y = *b.ptr().add(q * b.row_stride + j * b.col_stride);
                        acc = x.mul_add(y, acc);
                    }
                    *c = if p == 0 && !accumulate { acc } else { *c + acc };
                    p = end;
                }
            }
        }
    }
} }
