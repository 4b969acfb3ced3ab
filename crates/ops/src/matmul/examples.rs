//! Weight gradients: products along the batch's rows that restart at every example.

use super::{K_BLOCK, Out, View, blocked};
use crate::elementwise::add;
use crate::examples::Examples;
use crate::path::Ctx;

/// `C = sum over examples of At B over the example's rows`, or added to `C`.
///
/// Each example's product is computed by itself (blocks of [`K_BLOCK`] rows from its first row, non-accumulating), then
/// `C = C + product` in the order of the examples; without `accumulate` the first non-empty example's product stands as it is.
/// So the batch gradient is, to the bit, the ordered sum of what [`matmul_tn`](super::matmul_tn) gives for each example
/// alone, and of what [`matmul_tn_each`] hands out.
///
/// `a` is `rows` x `m`, `b` is `rows` x `n`, `c` is `m` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn matmul_tn_examples(
    ctx: &Ctx,
    m: usize,
    n: usize,
    examples: Examples<'_>,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
) {
    let rows = examples.rows();
    let (a, b) = (View::rows(a, rows, m, lda).transposed(), View::rows(b, rows, n, ldb));
    let out = Out::new(c, m, n, ldc);
    if rows == 0 {
        return blocked::gemm(ctx, m, n, 0, a, b, out, accumulate);
    }
    blocked::for_each_part(ctx, m, n, rows, blocked::COLUMN_UNIT, |i, j, m, n| {
        let (a, b, out) = (a.from(i, 0), b.from(0, j), out.from(i, j));
        let mut product = Vec::new();
        let mut accumulate = accumulate;
        for range in examples.ranges().filter(|r| !r.is_empty()) {
            let (first, k) = (range.start, range.len());
            let (a, b) = (a.from(0, first), b.from(first, 0));
            if k <= K_BLOCK || !accumulate {
                blocked::gemm_one_thread(ctx, m, n, k, a, b, out, accumulate);
            } else {
                // More than one block: complete the example's product before adding it.
                product.resize(m * n, 0f32);
                blocked::gemm_one_thread(ctx, m, n, k, a, b, Out::new(&mut product, m, n, n), false);
                for (r, row) in product.chunks_exact(n).enumerate() {
                    // SAFETY: row r of this part of the output.
                    let c = unsafe { std::slice::from_raw_parts_mut(out.ptr(r, 0), n) };
                    add(&ctx.with_threads(1), row, c);
                }
            }
            accumulate = true;
        }
    });
}

/// The product of every example, `out[e] = At B` over example `e`'s rows: `out` is `examples.count()` x `m` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn matmul_tn_each(
    ctx: &Ctx,
    m: usize,
    n: usize,
    examples: Examples<'_>,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    out: &mut [f32],
) {
    let rows = examples.rows();
    assert_eq!(out.len(), examples.count() * m * n, "matmul_tn_each: out is examples x m x n");
    if m == 0 || n == 0 {
        return;
    }
    let (a, b) = (View::rows(a, rows, m, lda).transposed(), View::rows(b, rows, n, ldb));
    for (range, out) in examples.ranges().zip(out.chunks_exact_mut(m * n)) {
        let first = range.start;
        blocked::gemm(
            ctx,
            m,
            n,
            range.len(),
            a.from(0, first),
            b.from(first, 0),
            Out::new(out, m, n, n),
            false,
        );
    }
}
