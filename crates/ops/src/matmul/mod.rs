//! Matrix products in one defined order.
//!
//! Every element of `C` is computed as follows, on every path and with any number of threads:
//! 1. k is cut into blocks of [`K_BLOCK`] from 0; the last may be shorter.
//! 2. A block is folded from a fresh accumulator, `acc = +0`, then `acc = fma(a[i, p], b[p, j], acc)` for ascending p.
//! 3. `C = acc` for the first block (or `C = C + acc` when accumulating), then `C = C + acc` for each further block in order.
//!
//! With `k = 0` the product is +0 and accumulating changes nothing. In the `_tn_examples` form the cut restarts at
//! every example and an example's product is completed before it is added: see [`matmul_tn_examples`].
//!
//! Matrices are row-major with a row stride (`ld*`), so that heads and column ranges need no copies.

mod avx2;
mod avx512;
mod blocked;
mod direct;
mod examples;
mod kernels;
mod packed;
mod portable;
mod symmetric;
mod view;

pub(crate) use blocked::gemm_one_thread;
pub use examples::{matmul_tn_each, matmul_tn_examples};
pub(crate) use packed::{PANEL, Packed};
pub use packed::{PackedWeights, matmul_packed};
pub use symmetric::{add_moment, gram, mirror, square};
pub(crate) use view::{Out, View};

use crate::path::Ctx;

/// Length of a fold along k before its accumulator is added to the output.
pub const K_BLOCK: usize = 256;

/// `C = A B` (or `C + A B`): `a` is `m` x `k`, `b` is `k` x `n`, `c` is `m` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn matmul_nn(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
) {
    let (a, b) = (View::rows(a, m, k, lda), View::rows(b, k, n, ldb));
    blocked::gemm(ctx, m, n, k, a, b, Out::new(c, m, n, ldc), accumulate);
}

/// `C = A Bt` (or `C + A Bt`): `a` is `m` x `k`, `b` is `n` x `k`, `c` is `m` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn matmul_nt(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
) {
    let (a, b) = (View::rows(a, m, k, lda), View::rows(b, n, k, ldb).transposed());
    blocked::gemm(ctx, m, n, k, a, b, Out::new(c, m, n, ldc), accumulate);
}

/// `C = At B` (or `C + At B`): `a` is `k` x `m`, `b` is `k` x `n`, `c` is `m` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn matmul_tn(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
) {
    let (a, b) = (View::rows(a, k, m, lda).transposed(), View::rows(b, k, n, ldb));
    blocked::gemm(ctx, m, n, k, a, b, Out::new(c, m, n, ldc), accumulate);
}
