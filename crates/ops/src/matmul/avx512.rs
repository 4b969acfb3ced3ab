//! AVX-512 kernels: a tile of 8 x 48, 24 accumulators.
//!
//! Of the tiles that fit 32 registers this one loads least for its products. A panel of A, 8 KiB at most, stays in the first cache
//! while the columns of B stream by from the second. Where the rows of A are contiguous along k they are read in place: eight streams
//! of the first cache cost no more than a packed panel, and packing turns them.
#![cfg(target_arch = "x86_64")]

use super::kernels::{Kernels, RowsTile, Tile};
use super::packed::PANEL;
use std::arch::x86_64::*;

const ROWS: usize = 8;
const COLS: usize = PANEL;
const A_STRIDE: usize = 8;
/// Steps of k unrolled.
const UNROLL: usize = 2;
/// Groups of B fetched ahead where it comes from memory: so many are folded by eight rows while one arrives.
const AHEAD: usize = 24;
/// Columns of B that a panel of A passes over before the next does: 480 KiB of packed B.
const SWEEP_COLS: usize = 480;

/// Where [`fold`] reads from: A packed; A row by row; A row by row and B from memory, not from the second cache.
const PACKED_A: u8 = 0;
const ROWS_IN_PLACE: u8 = 1;
const STREAMED: u8 = 2;

static TILES: [Tile; ROWS] =
    [tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>];
static ROWS_TILES: [RowsTile; ROWS] = rows_tiles::<ROWS_IN_PLACE>();
static STREAM_TILES: [RowsTile; ROWS] = rows_tiles::<STREAMED>();

/// Tiles of one to eight rows that read A in place.
const fn rows_tiles<const FROM: u8>() -> [RowsTile; ROWS] {
    [
        rows_tile::<1, FROM>,
        rows_tile::<2, FROM>,
        rows_tile::<3, FROM>,
        rows_tile::<4, FROM>,
        rows_tile::<5, FROM>,
        rows_tile::<6, FROM>,
        rows_tile::<7, FROM>,
        rows_tile::<8, FROM>,
    ]
}

pub(super) static KERNELS: Kernels = Kernels {
    tiles: &TILES,
    rows_tiles: Some(&ROWS_TILES),
    stream_tiles: Some(&STREAM_TILES),
    cols: COLS,
    sweep_cols: SWEEP_COLS,
    a_stride: A_STRIDE,
    pack_panels: 2,
    straight,
    turned,
};

// The functions below are `unsafe fn` for the `Tile` and `Pack` types: callers hold a Ctx for this path and pass pointers to
// whole panels and to a tile inside the output.

#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize>(
    k_len: usize,
    a: *const f32,
    b: *const f32,
    group: usize,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    // SAFETY: by the caller's promise above.
    unsafe { by_width::<R, PACKED_A>(k_len, a, 0, b, group, c, ldc, cols, set) }
}

#[target_feature(enable = "avx512f")]
unsafe fn rows_tile<const R: usize, const FROM: u8>(
    k_len: usize,
    a: *const f32,
    lda: usize,
    b: *const f32,
    group: usize,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    // SAFETY: by the caller's promise above.
    unsafe { by_width::<R, FROM>(k_len, a, lda, b, group, c, ldc, cols, set) }
}

/// Folds no more vectors than there are columns for.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn by_width<const R: usize, const FROM: u8>(
    k_len: usize,
    a: *const f32,
    lda: usize,
    b: *const f32,
    group: usize,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    debug_assert_eq!(group, COLS);
    // SAFETY: by the caller's promise above.
    unsafe {
        match cols {
            0..=16 => fold::<R, 1, FROM>(k_len, a, lda, b, c, ldc, cols, set),
            17..=32 => fold::<R, 2, FROM>(k_len, a, lda, b, c, ldc, cols, set),
            _ => fold::<R, 3, FROM>(k_len, a, lda, b, c, ldc, cols, set),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn fold<const R: usize, const V: usize, const FROM: u8>(
    k_len: usize,
    a: *const f32,
    lda: usize,
    mut b: *const f32,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    // SAFETY: by the caller's promise; lanes past `cols` are masked off.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); V]; R];
        let mut row = c;
        for _ in 0..R {
            for v in 0..V {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(v * 16) as *const i8);
            }
            row = row.wrapping_add(ldc);
        }
        // Packed, one stream holds all rows; else each row is a stream.
        let mut rows = [a; R];
        let advance = if FROM == PACKED_A { A_STRIDE } else { 1 };
        for r in 0..R {
            rows[r] = a.wrapping_add(if FROM == PACKED_A { r } else { r * lda });
        }
        macro_rules! step {
            ($u:expr) => {
                let mut bv = [_mm512_setzero_ps(); V];
                for v in 0..V {
                    let line = b.wrapping_add($u * COLS + v * 16);
                    if FROM == STREAMED {
                        _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(AHEAD * COLS) as *const i8);
                    }
                    bv[v] = _mm512_load_ps(line);
                }
                for r in 0..R {
                    let av = _mm512_broadcastss_ps(_mm_load_ss(rows[r].wrapping_add($u * advance)));
                    for v in 0..V {
                        acc[r][v] = _mm512_fmadd_ps(av, bv[v], acc[r][v]);
                    }
                }
            };
        }
        for _ in 0..k_len / UNROLL {
            step!(0);
            step!(1);
            for r in 0..R {
                rows[r] = rows[r].wrapping_add(UNROLL * advance);
            }
            b = b.wrapping_add(UNROLL * COLS);
        }
        if k_len % UNROLL == 1 {
            step!(0);
        }
        let last = mask(cols.wrapping_sub((V - 1) * 16));
        let mut row = c;
        for r in 0..R {
            for v in 0..V {
                let m = if v + 1 == V { last } else { 0xffff };
                let p = row.wrapping_add(v * 16);
                if !set {
                    acc[r][v] = _mm512_add_ps(_mm512_maskz_loadu_ps(m, p), acc[r][v]);
                }
                _mm512_mask_storeu_ps(p, m, acc[r][v]);
            }
            row = row.wrapping_add(ldc);
        }
    }
}

/// The lowest `n` of 16 lanes.
#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    if n >= 16 { 0xffff } else { (1u16 << n) - 1 }
}

#[target_feature(enable = "avx512f")]
unsafe fn straight(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    let masks = [mask(width), mask(width.saturating_sub(16)), mask(width.saturating_sub(32))];
    // SAFETY: by the caller's promise; lanes past `width` are masked off.
    unsafe {
        if dst_stride == A_STRIDE {
            for k in 0..k_len {
                let group = _mm512_maskz_loadu_ps(masks[0], src.add(k * src_stride));
                store_panels(dst, k, k_len, width, group);
            }
            return;
        }
        for k in 0..k_len {
            let (d, s) = (dst.add(k * dst_stride), src.add(k * src_stride));
            for (v, mask) in masks.iter().enumerate().take(dst_stride / 16) {
                _mm512_store_ps(d.add(16 * v), _mm512_maskz_loadu_ps(*mask, s.wrapping_add(16 * v)));
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn turned(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    // SAFETY: by the caller's promise; rows past `width` are not read, lanes past `k_len` masked off.
    unsafe {
        let mut k = 0;
        while k < k_len {
            let steps = (k_len - k).min(16);
            let m = mask(steps);
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                if i < width {
                    let s = src.add(i * src_stride + k);
                    _mm_prefetch::<_MM_HINT_T0>(s.wrapping_add(64) as *const i8);
                    *row = _mm512_maskz_loadu_ps(m, s);
                }
            }
            let turned = turn(rows);
            for (i, row) in turned.iter().enumerate().take(steps) {
                if dst_stride == A_STRIDE {
                    store_panels(dst, k + i, k_len, width, *row);
                } else {
                    _mm512_store_ps(dst.add((k + i) * dst_stride), *row);
                }
            }
            k += 16;
        }
    }
}

/// Stores a group of 16 rows of A as step `k` of two panels, of the first alone if there are at most 8 rows.
///
/// # Safety
/// The panels of `k_len` steps lie one after another from `dst`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_panels(dst: *mut f32, k: usize, k_len: usize, width: usize, group: __m512) {
    // SAFETY: by the caller's promise.
    unsafe {
        _mm256_store_ps(dst.add(k * A_STRIDE), _mm512_castps512_ps256(group));
        if width > A_STRIDE {
            let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(group));
            _mm256_store_ps(dst.add((k_len + k) * A_STRIDE), _mm256_castpd_ps(high));
        }
    }
}

/// Transposes 16 x 16.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(r: [__m512; 16]) -> [__m512; 16] {
    let mut t = r;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    // u[4 i + c], 128-bit lane L: rows 4 i .. 4 i + 4 of column 4 L + c.
    let mut u = r;
    for i in 0..4 {
        let at = |j: usize| _mm512_castps_pd(t[4 * i + j]);
        u[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(at(0), at(2)));
        u[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(at(0), at(2)));
        u[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(at(1), at(3)));
        u[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(at(1), at(3)));
    }
    let mut out = r;
    for c in 0..4 {
        let even_low = _mm512_shuffle_f32x4::<0x88>(u[c], u[4 + c]);
        let odd_low = _mm512_shuffle_f32x4::<0xdd>(u[c], u[4 + c]);
        let even_high = _mm512_shuffle_f32x4::<0x88>(u[8 + c], u[12 + c]);
        let odd_high = _mm512_shuffle_f32x4::<0xdd>(u[8 + c], u[12 + c]);
        out[c] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
        out[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even_low, even_high);
        out[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
        out[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high);
    }
    out
}
