//! Products that are symmetric to the bit, for a little more than half of the work.
//!
//! `C[i, j]` and `C[j, i]` are then folds of the same products in the same order. What is on and below the diagonal is computed in bands of rows, by the ops
//! [`matmul_nt`], [`matmul_nn`] and [`matmul_tn`]; the rest is copied. The bits are those of one call of the op.

use super::{matmul_nn, matmul_nt, matmul_tn};
use crate::path::Ctx;
use std::ops::Range;

/// Rows of the narrowest band: below, products take longer to begin than they save.
const BAND_MIN: usize = 96;
/// Bands of a wide matrix: each reaches past the diagonal by half of its square.
const BANDS: usize = 8;
/// Rows and columns that are turned together.
const SIDE: usize = 32;

/// Rows of each band.
fn bands(n: usize) -> impl Iterator<Item = Range<usize>> {
    let band = n.div_ceil(BANDS).next_multiple_of(BAND_MIN / 2).max(BAND_MIN);
    (0..n).step_by(band).map(move |start| start..(start + band).min(n))
}

/// `C = A At`: `a` is `n` x `k`, `c` is `n` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn gram(ctx: &Ctx, n: usize, k: usize, a: &[f32], lda: usize, c: &mut [f32], ldc: usize) {
    for rows in bands(n) {
        let c = &mut c[rows.start * ldc..];
        matmul_nt(ctx, rows.len(), rows.end, k, &a[rows.start * lda..], lda, a, lda, c, ldc, false);
    }
    mirror(n, c, ldc);
}

/// `C = A A` for an `a` that is symmetric to the bit, both `n` x `n`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn square(ctx: &Ctx, n: usize, a: &[f32], lda: usize, c: &mut [f32], ldc: usize) {
    for rows in bands(n) {
        let c = &mut c[rows.start * ldc..];
        matmul_nn(ctx, rows.len(), rows.end, n, &a[rows.start * lda..], lda, a, lda, c, ldc, false);
    }
    mirror(n, c, ldc);
}

/// `C = C + At A` on and below the diagonal: `a` is `k` x `n`, `c` is `n` x `n`. What stands above is of no use until [`mirror`] is called after the last sum.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn add_moment(ctx: &Ctx, n: usize, k: usize, a: &[f32], lda: usize, c: &mut [f32], ldc: usize) {
    for rows in bands(n) {
        let c = &mut c[rows.start * ldc..];
        matmul_tn(ctx, rows.len(), rows.end, k, &a[rows.start..], lda, a, lda, c, ldc, true);
    }
}

/// Copies what is below the diagonal of `c` (`n` x `n`) above it.
///
/// # Panics
/// When the slice is too short for its shape and stride.
pub fn mirror<T: Copy>(n: usize, c: &mut [T], ldc: usize) {
    for i0 in (0..n).step_by(SIDE) {
        for j0 in (0..=i0).step_by(SIDE) {
            for i in i0..(i0 + SIDE).min(n) {
                for j in j0..(j0 + SIDE).min(i) {
                    c[j * ldc + i] = c[i * ldc + j];
                }
            }
        }
    }
}
