//! Few rows times a matrix whose rows are contiguous: the matrix is streamed once, unpacked, at the speed of memory.
//!
//! Accumulators of a k-block live in the first cache; each pass over them takes [`STEPS`] rows of the matrix.

use super::{K_BLOCK, Out, View};
use crate::lanes::multiversion;
use crate::path::Ctx;

/// Most rows handled here.
pub(super) const ROWS_MAX: usize = 8;
/// Columns whose accumulators are kept at a time.
const COLS: usize = 512;
/// Rows of the matrix taken in one pass.
const STEPS: usize = 4;
const LANES: usize = 16;

/// `out = a b` or `out + a b` for `m` at most [`ROWS_MAX`] and `b` with unit column stride.
pub(super) fn gemm(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: View<'_>,
    b: View<'_>,
    out: Out,
    accumulate: bool,
) {
    let mut x = [[0f32; K_BLOCK]; ROWS_MAX];
    let mut acc = [[0f32; COLS]; ROWS_MAX];
    for j in (0..n).step_by(COLS) {
        let cols = COLS.min(n - j);
        for p in (0..k).step_by(K_BLOCK) {
            let k_len = K_BLOCK.min(k - p);
            for (i, x) in x.iter_mut().enumerate().take(m) {
                for (q, x) in x.iter_mut().enumerate().take(k_len) {
                    // SAFETY: a covers m x k.
                    *x = unsafe { *a.ptr().add(i * a.row_stride + (p + q) * a.col_stride) };
                }
            }
            // SAFETY: the block from (p, j) lies inside b: its last row ends at `cols`.
            let block =
                unsafe { std::slice::from_raw_parts(b.from(p, j).ptr(), (k_len - 1) * b.row_stride + cols) };
            fold(ctx, m, k_len, cols, &x, block, b.row_stride, &mut acc);
            for (i, acc) in acc.iter().enumerate().take(m) {
                // SAFETY: columns j .. j + cols of row i of an m x n output.
                let c = unsafe { std::slice::from_raw_parts_mut(out.ptr(i, j), cols) };
                if p == 0 && !accumulate {
                    c.copy_from_slice(&acc[..cols]);
                } else {
                    for (c, v) in c.iter_mut().zip(acc) {
                        *c += *v;
                    }
                }
            }
        }
    }
}

multiversion! { fn fold(m: usize, k_len: usize, cols: usize, x: &[[f32; K_BLOCK]; ROWS_MAX], b: &[f32], ldb: usize, acc: &mut [[f32; COLS]; ROWS_MAX]) {
    match m {
        1 => rows::<1>(k_len, cols, x, b, ldb, acc),
        2 => rows::<2>(k_len, cols, x, b, ldb, acc),
        3 => rows::<3>(k_len, cols, x, b, ldb, acc),
        4 => rows::<4>(k_len, cols, x, b, ldb, acc),
        5 => rows::<5>(k_len, cols, x, b, ldb, acc),
        6 => rows::<6>(k_len, cols, x, b, ldb, acc),
        7 => rows::<7>(k_len, cols, x, b, ldb, acc),
        _ => rows::<8>(k_len, cols, x, b, ldb, acc),
    }
} }

#[inline(always)]
fn rows<const M: usize>(
    k_len: usize,
    cols: usize,
    x: &[[f32; K_BLOCK]; ROWS_MAX],
    b: &[f32],
    ldb: usize,
    acc: &mut [[f32; COLS]; ROWS_MAX],
) {
    for acc in acc.iter_mut().take(M) {
        acc.fill(0.0);
    }
    let mut q = 0;
    while q + STEPS <= k_len {
        steps::<M, STEPS>(q, cols, x, b, ldb, acc);
        q += STEPS;
    }
    while q < k_len {
        steps::<M, 1>(q, cols, x, b, ldb, acc);
        q += 1;
    }
}

/// Takes rows `q .. q + S` of the block into every accumulator, in order.
#[inline(always)]
fn steps<const M: usize, const S: usize>(
    q: usize,
    cols: usize,
    x: &[[f32; K_BLOCK]; ROWS_MAX],
    b: &[f32],
    ldb: usize,
    acc: &mut [[f32; COLS]; ROWS_MAX],
) {
    let mut factors = [[0f32; S]; M];
    for i in 0..M {
        for s in 0..S {
            factors[i][s] = x[i][q + s];
        }
    }
    let rows: [&[f32]; S] = std::array::from_fn(|s| &b[(q + s) * ldb..][..cols]);
    let whole = cols / LANES * LANES;
    let mut j = 0;
    while j < whole {
        let lanes: [&[f32; LANES]; S] =
            std::array::from_fn(|s| rows[s][j..j + LANES].try_into().expect("LANES long"));
        for i in 0..M {
            let c: &mut [f32; LANES] = (&mut acc[i][j..j + LANES]).try_into().expect("LANES long");
            for s in 0..S {
                for l in 0..LANES {
                    c[l] = factors[i][s].mul_add(lanes[s][l], c[l]);
                }
            }
        }
        j += LANES;
    }
    for j in whole..cols {
        for i in 0..M {
            for s in 0..S {
                acc[i][j] = factors[i][s].mul_add(rows[s][j], acc[i][j]);
            }
        }
    }
}
