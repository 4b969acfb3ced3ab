//! f64 products in matmul's order.

use crate::lanes::multiversion;
use crate::matmul::K_BLOCK;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

const LANES: usize = 16;

// `out` (rows x n, contiguous) = or += a b, with a[i, p] at i * rsa + p * csa and b (k x n) contiguous rows of stride ldb.
multiversion! { fn rows_body(n: usize, k: usize, a: &[f64], rsa: usize, csa: usize, first: usize, b: &[f64], ldb: usize, out: &mut [f64], accumulate: bool) {
    for (r, c) in out.chunks_exact_mut(n).enumerate() {
        let i = first + r;
        if k == 0 && !accumulate { c.fill(0.0); }
        for p0 in (0..k).step_by(K_BLOCK) {
            let p1 = (p0 + K_BLOCK).min(k);
            let set = p0 == 0 && !accumulate;
            for (t, c) in c.chunks_mut(LANES).enumerate() {
                let mut acc = [0f64; LANES];
                let w = c.len();
                if w == LANES {
                    for p in p0..p1 {
                        let x = a[i * rsa + p * csa];
                        let row: &[f64; LANES] = b[p * ldb + t * LANES..][..LANES].try_into().expect("LANES long");
                        for l in 0..LANES { acc[l] = x.mul_add(row[l], acc[l]); }
                    }
                } else {
                    for p in p0..p1 {
                        let x = a[i * rsa + p * csa];
                        let row = &b[p * ldb + t * LANES..][..w];
                        for l in 0..w { acc[l] = x.mul_add(row[l], acc[l]); }
                    }
                }
                if set { c.copy_from_slice(&acc[..w]); } else { for l in 0..w { c[l] += acc[l]; } }
            }
        }
    }
} }

/// `C = A B` (or `C + A B`), contiguous: `a` is `m` x `k`, `b` is `k` x `n`, `c` is `m` x `n`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn matmul_nn(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f64],
    b: &[f64],
    c: &mut [f64],
    accumulate: bool,
) {
    assert!(a.len() == m * k && b.len() == k * n, "wide::matmul_nn: a is m x k, b is k x n");
    product(ctx, m, n, k, a, k, 1, b, c, accumulate);
}

/// `C = A Bt` (or `C + A Bt`), contiguous: `a` is `m` x `k`, `b` is `n` x `k`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn matmul_nt(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f64],
    b: &[f64],
    c: &mut [f64],
    accumulate: bool,
) {
    assert!(a.len() == m * k && b.len() == n * k, "wide::matmul_nt: a is m x k, b is n x k");
    let mut flipped = vec![0f64; n * k];
    for (j, row) in b.chunks_exact(k.max(1)).enumerate() {
        for (p, v) in row.iter().enumerate() {
            flipped[p * n + j] = *v;
        }
    }
    product(ctx, m, n, k, a, k, 1, &flipped, c, accumulate);
}

/// `C = At B` (or `C + At B`), contiguous: `a` is `k` x `m`, `b` is `k` x `n`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn matmul_tn(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f64],
    b: &[f64],
    c: &mut [f64],
    accumulate: bool,
) {
    assert!(a.len() == k * m && b.len() == k * n, "wide::matmul_tn: a is k x m, b is k x n");
    product(ctx, m, n, k, a, 1, m, b, c, accumulate);
}

fn product(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: &[f64],
    rsa: usize,
    csa: usize,
    b: &[f64],
    c: &mut [f64],
    accumulate: bool,
) {
    assert_eq!(c.len(), m * n, "wide matmul: c is m x n");
    if m == 0 || n == 0 {
        return;
    }
    let shared = Shared::new(c);
    for_each_range(ctx, m, 4, m * n * k, |i, j| {
        // SAFETY: ranges of for_each_range are disjoint.
        rows_body(ctx, n, k, a, rsa, csa, i, b, n, unsafe { shared.range(i * n, j * n) }, accumulate);
    });
}
