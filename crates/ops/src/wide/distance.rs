//! Squared Euclidean distances, for nearest neighbours.

use crate::lanes::multiversion;
use crate::matmul::K_BLOCK;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

const LANES: usize = 16;

// Distances of one x row to points given transposed (k x n).
multiversion! { fn row_body(n: usize, x: &[f64], points_t: &[f64], out: &mut [f64]) {
    for (t, out) in out.chunks_mut(LANES).enumerate() {
        let (at, w) = (t * LANES, out.len());
        for (b, block) in x.chunks(K_BLOCK).enumerate() {
            let mut acc = [0f64; LANES];
            for (p, x) in block.iter().enumerate() {
                let row = &points_t[(b * K_BLOCK + p) * n + at..][..w];
                for l in 0..w { let d = *x - row[l]; acc[l] = d.mul_add(d, acc[l]); }
            }
            if b == 0 { out.copy_from_slice(&acc[..w]); } else { for l in 0..w { out[l] += acc[l]; } }
        }
    }
} }

/// `out[i, j] = sum over p of (x[i, p] - y[j, p])^2`: differences, then fma in ascending p in blocks as a matmul.
///
/// `x` is `m` x `k`, `y` is `n` x `k`, `out` is `m` x `n`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn squared_distances(ctx: &Ctx, m: usize, n: usize, k: usize, x: &[f64], y: &[f64], out: &mut [f64]) {
    assert!(
        x.len() == m * k && y.len() == n * k && out.len() == m * n,
        "squared_distances: x m x k, y n x k, out m x n"
    );
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return out.fill(0.0);
    }
    let mut flipped = vec![0f64; n * k];
    for (j, row) in y.chunks_exact(k).enumerate() {
        for (p, v) in row.iter().enumerate() {
            flipped[p * n + j] = *v;
        }
    }
    let shared = Shared::new(out);
    for_each_range(ctx, m, 1, m * n * k, |i, j| {
        for row in i..j {
            // SAFETY: ranges of for_each_range are disjoint.
            row_body(ctx, n, &x[row * k..(row + 1) * k], &flipped, unsafe {
                shared.range(row * n, (row + 1) * n)
            });
        }
    });
}
