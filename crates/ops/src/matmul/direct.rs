//! Few rows times a matrix whose rows are contiguous: the matrix is streamed once, unpacked, at the speed of memory.
//!
//! A strip of columns keeps its accumulators in registers for a whole k-block; rows further down are fetched ahead, since
//! they lie too far apart for the processor to guess.

use super::{K_BLOCK, Out, View};
use crate::lanes::multiversion;
use crate::path::Ctx;

/// Most rows handled here.
pub(super) const ROWS_MAX: usize = 16;
/// Rows whose accumulators fit the registers beside a strip of 64 columns; more take further passes over the strip.
const PASS: usize = 4;
/// Rows of the matrix fetched ahead.
const AHEAD: usize = 12;

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
    let mut contiguous = Vec::new();
    let mut a = a;
    if a.col_stride != 1 {
        contiguous.reserve(m * k);
        for i in 0..m {
            // SAFETY: a covers m x k.
            contiguous.extend((0..k).map(|p| unsafe { *a.ptr().add(i * a.row_stride + p * a.col_stride) }));
        }
        a = View::rows(&contiguous, m, k, k);
    }
    for p in (0..k).step_by(K_BLOCK) {
        let k_len = K_BLOCK.min(k - p);
        // SAFETY: rows p .. p + k_len of b, the last up to column n, and those columns of a's rows.
        let (x, block) = unsafe {
            let from = |view: View<'_>, i, j, rows: usize, cols| {
                std::slice::from_raw_parts(view.from(i, j).ptr(), (rows - 1) * view.row_stride + cols)
            };
            (from(a, 0, p, m, k_len), from(b, p, 0, k_len, n))
        };
        fold(ctx, m, n, k_len, x, a.row_stride, block, b.row_stride, out, p == 0 && !accumulate);
    }
}

multiversion! { fn fold(m: usize, n: usize, k_len: usize, x: &[f32], ldx: usize, b: &[f32], ldb: usize, out: Out, set: bool) {
    let mut j = 0;
    if m == 1 {
        while j + 128 <= n {
            strip::<1, 128>(0, j, 0, k_len, x, ldx, b, ldb, out, set);
            j += 128;
        }
    }
    while j + 64 <= n {
        passes::<64>(m, j, 0, k_len, x, ldx, b, ldb, out, set);
        j += 64;
    }
    if j + 32 <= n {
        passes::<32>(m, j, 0, k_len, x, ldx, b, ldb, out, set);
        j += 32;
    }
    while j + 16 <= n {
        passes::<16>(m, j, 0, k_len, x, ldx, b, ldb, out, set);
        j += 16;
    }
    if j < n && n >= 16 {
        // The end of a strip whose first columns are done: they are computed again and dropped.
        passes::<16>(m, n - 16, 16 - (n - j), k_len, x, ldx, b, ldb, out, set);
        return;
    }
    if j + 8 <= n {
        passes::<8>(m, j, 0, k_len, x, ldx, b, ldb, out, set);
        j += 8;
    }
    while j < n {
        passes::<1>(m, j, 0, k_len, x, ldx, b, ldb, out, set);
        j += 1;
    }
} }

/// All rows of one strip, without its first `skip` columns.
#[inline(always)]
fn passes<const W: usize>(
    m: usize,
    j: usize,
    skip: usize,
    k_len: usize,
    x: &[f32],
    ldx: usize,
    b: &[f32],
    ldb: usize,
    out: Out,
    set: bool,
) {
    let mut row = 0;
    while row + PASS <= m {
        strip::<PASS, W>(row, j, skip, k_len, x, ldx, b, ldb, out, set);
        row += PASS;
    }
    match m - row {
        1 => strip::<1, W>(row, j, skip, k_len, x, ldx, b, ldb, out, set),
        2 => strip::<2, W>(row, j, skip, k_len, x, ldx, b, ldb, out, set),
        3 => strip::<3, W>(row, j, skip, k_len, x, ldx, b, ldb, out, set),
        _ => {}
    }
}

#[inline(always)]
fn strip<const M: usize, const W: usize>(
    first: usize,
    j: usize,
    skip: usize,
    k_len: usize,
    x: &[f32],
    ldx: usize,
    b: &[f32],
    ldb: usize,
    out: Out,
    set: bool,
) {
    let mut acc = [[0f32; W]; M];
    // Of a known length: no bounds are checked between the products.
    let mut factors = [[0f32; K_BLOCK]; M];
    for (i, factors) in factors.iter_mut().enumerate() {
        factors[..k_len].copy_from_slice(&x[(first + i) * ldx..][..k_len]);
    }
    let mut at = j;
    for q in 0..k_len {
        let row: &[f32; W] = b[at..at + W].try_into().expect("W long");
        fetch_ahead::<W>(b.as_ptr().wrapping_add(at.wrapping_add(ldb.wrapping_mul(AHEAD))));
        for i in 0..M {
            let factor = factors[i][q];
            for l in 0..W {
                acc[i][l] = factor.mul_add(row[l], acc[i][l]);
            }
        }
        at = at.wrapping_add(ldb);
    }
    for (i, acc) in acc.iter().enumerate() {
        // SAFETY: columns j .. j + W of a row of the output.
        let c = unsafe { std::slice::from_raw_parts_mut(out.ptr(first + i, j), W) };
        for (c, v) in c.iter_mut().zip(acc).skip(skip) {
            *c = if set { *v } else { *c + *v };
        }
    }
}

/// Asks for the lines of a strip; the address may lie anywhere.
#[inline(always)]
fn fetch_ahead<const W: usize>(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let mut i = 0;
        while i < W {
            // SAFETY: a hint, which never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(i) as *const i8) };
            i += 16;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
