//! f64 products in matmul's order.

use crate::lanes::multiversion;
use crate::matmul::{K_BLOCK, mirror};
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// Columns of a tile.
const LANES: usize = 8;
/// Rows of a tile: with [`LANES`] columns their sums fill the registers of AVX2, and keep both units of AVX-512 busy.
const ROWS: usize = 6;

/// `a[i, p]` at `i * rows + p * columns`.
#[derive(Clone, Copy)]
struct Strided<'a> {
    a: &'a [f64],
    rows: usize,
    columns: usize,
}

/// Sums of `R` rows of `a` from `i` with the columns of `b` (`depth` rows of `stride`, `LANES` long) over the depths from `p`: each from +0 by fma, ascending.
#[inline(always)]
fn tile<const R: usize>(
    a: Strided<'_>,
    i: usize,
    p: usize,
    b: &[f64],
    stride: usize,
    depth: usize,
) -> [[f64; LANES]; R] {
    let mut acc = [[0f64; LANES]; R];
    for q in 0..depth {
        let row: &[f64; LANES] = b[q * stride..][..LANES].try_into().expect("LANES long");
        for (r, acc) in acc.iter_mut().enumerate() {
            let x = a.a[(i + r) * a.rows + (p + q) * a.columns];
            for l in 0..LANES {
                acc[l] = x.mul_add(row[l], acc[l]);
            }
        }
    }
    acc
}

#[inline(always)]
fn put(acc: &[f64; LANES], c: &mut [f64], set: bool) {
    if set {
        c.copy_from_slice(&acc[..c.len()]);
    } else {
        for (c, x) in c.iter_mut().zip(acc) {
            *c += x;
        }
    }
}

// The columns before `reach` of `out` (rows x n, contiguous) = or += a b, with b (k x n) contiguous. Each tile of b is copied once for all rows: its own rows lie far apart.
// In an `upper` a, row i is zero before column i: those products add nothing to a sum and are left out.
multiversion! { fn rows_body(n: usize, reach: usize, k: usize, a: Strided<'_>, upper: bool, first: usize, b: &[f64], out: &mut [f64], accumulate: bool) {
    let rows = out.len() / n;
    if k == 0 && !accumulate { out.fill(0.0); }
    let mut copied = [0f64; K_BLOCK * LANES];
    for p0 in (0..k).step_by(K_BLOCK) {
        let depth = K_BLOCK.min(k - p0);
        let set = p0 == 0 && !accumulate;
        if upper && p0 + depth <= first && !set { continue; }
        let zeros = |r: usize| if upper { (first + r).saturating_sub(p0).min(depth) } else { 0 };
        for t in (0..reach).step_by(LANES) {
            let w = LANES.min(n - t);
            let direct = rows < ROWS && w == LANES;
            let (tile_of_b, stride) = if direct {
                (&b[p0 * n + t..], n)
            } else {
                for (q, to) in copied.chunks_exact_mut(LANES).take(depth).enumerate() {
                    to[..w].copy_from_slice(&b[(p0 + q) * n + t..][..w]);
                    to[w..].fill(0.0);
                }
                (&copied[..], LANES)
            };
            let mut r = 0;
            while r + ROWS <= rows {
                let q = zeros(r);
                let acc = tile::<ROWS>(a, first + r, p0 + q, &tile_of_b[q * stride..], stride, depth - q);
                for (j, acc) in acc.iter().enumerate() { put(acc, &mut out[(r + j) * n + t..][..w], set); }
                r += ROWS;
            }
            while r < rows {
                let q = zeros(r);
                let acc = tile::<1>(a, first + r, p0 + q, &tile_of_b[q * stride..], stride, depth - q);
                put(&acc[0], &mut out[r * n + t..][..w], set);
                r += 1;
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
    product(ctx, m, n, k, a, k, 1, b, c, accumulate, Shape::Whole);
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
    // A product with itself is symmetric to the bit: half of it is enough.
    let symmetric = !accumulate && m == n && std::ptr::eq(a, b);
    let shape = if symmetric { Shape::Symmetric } else { Shape::Whole };
    product(ctx, m, n, k, a, k, 1, &flipped(n, k, b), c, accumulate, shape);
    if symmetric {
        mirror(n, c, n);
    }
}

/// `A At` of an upper triangular `a` (`n` x `n`): the bits of [`matmul_nt`] for a third of its work.
pub(super) fn upper_times_its_transpose(ctx: &Ctx, n: usize, a: &[f64]) -> Vec<f64> {
    let mut c = vec![0f64; n * n];
    product(ctx, n, n, n, a, n, 1, &flipped(n, n, a), &mut c, false, Shape::SymmetricOfUpper);
    mirror(n, &mut c, n);
    c
}

/// The transpose of `b` (`n` x `k`), in squares that stay in the cache.
fn flipped(n: usize, k: usize, b: &[f64]) -> Vec<f64> {
    let mut flipped = vec![0f64; n * k];
    for j0 in (0..n).step_by(SIDE) {
        for p0 in (0..k).step_by(SIDE) {
            for j in j0..(j0 + SIDE).min(n) {
                for p in p0..(p0 + SIDE).min(k) {
                    flipped[p * n + j] = b[j * k + p];
                }
            }
        }
    }
    flipped
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
    product(ctx, m, n, k, a, 1, m, b, c, accumulate, Shape::Whole);
}

/// Rows and columns that are turned together.
const SIDE: usize = 32;

/// What of a product there is to compute.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Whole,
    /// Nothing above the diagonal of `c`.
    Symmetric,
    /// Nor anything with the zeros below the diagonal of `a`.
    SymmetricOfUpper,
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
    shape: Shape,
) {
    assert_eq!(c.len(), m * n, "wide matmul: c is m x n");
    if m == 0 || n == 0 {
        return;
    }
    let (shared, a) = (Shared::new(c), Strided { a, rows: rsa, columns: csa });
    for_each_range(ctx, m, ROWS, m * n * k, |i, j| {
        let (reach, upper) = (if shape == Shape::Whole { n } else { j }, shape == Shape::SymmetricOfUpper);
        // SAFETY: ranges of for_each_range are disjoint.
        rows_body(ctx, n, reach, k, a, upper, i, b, unsafe { shared.range(i * n, j * n) }, accumulate);
    });
}
