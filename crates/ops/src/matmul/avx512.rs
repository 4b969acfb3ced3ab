//! AVX-512 kernels: a tile of 14 x 32, 28 accumulators.
#![cfg(target_arch = "x86_64")]

use super::kernels::{Kernels, Tile};
use std::arch::x86_64::*;

const ROWS: usize = 14;
const COLS: usize = 32;
const A_STRIDE: usize = 16;
/// How many steps ahead packed B is fetched into the first cache (packed A twice as many).
const PREFETCH_STEPS: usize = 8;

macro_rules! tiles {
    ($($rows:literal)*) => { [$(tile::<$rows> as Tile),*] };
}

static TILES: [Tile; ROWS] = tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);

pub(super) static KERNELS: Kernels =
    Kernels { tiles: &TILES, cols: COLS, a_stride: A_STRIDE, straight, turned };

// The functions below are `unsafe fn` for the `Tile` and `Pack` types: callers hold a Ctx for this path and pass pointers to
// whole panels and to a tile inside the output.

#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize>(
    k_len: usize,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    // SAFETY: by the caller's promise above.
    unsafe {
        if cols <= 16 {
            fold::<R, 1>(k_len, a, b, c, ldc, cols, set);
        } else {
            fold::<R, 2>(k_len, a, b, c, ldc, cols, set);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn fold<const R: usize, const V: usize>(
    k_len: usize,
    mut a: *const f32,
    mut b: *const f32,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    // SAFETY: by the caller's promise; lanes past `cols` are masked off.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); V]; R];
        macro_rules! steps {
            ($count:expr) => {
                for _ in 0..$count {
                    _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(A_STRIDE * 2 * PREFETCH_STEPS) as *const i8);
                    let mut bv = [_mm512_setzero_ps(); V];
                    for v in 0..V {
                        bv[v] = _mm512_load_ps(b.add(v * 16));
                        _mm_prefetch::<_MM_HINT_T0>(
                            b.wrapping_add(COLS * PREFETCH_STEPS + v * 16) as *const i8
                        );
                    }
                    for r in 0..R {
                        let av = _mm512_set1_ps(*a.add(r));
                        for v in 0..V {
                            acc[r][v] = _mm512_fmadd_ps(av, bv[v], acc[r][v]);
                        }
                    }
                    a = a.add(A_STRIDE);
                    b = b.add(COLS);
                }
            };
        }
        // The tile's lines of C are fetched one row at a time while the fold runs.
        let mut row = c;
        for _ in 0..R {
            steps!(k_len / R);
            _mm_prefetch::<_MM_HINT_T0>(row as *const i8);
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(16 * V - 1) as *const i8);
            row = row.wrapping_add(ldc);
        }
        steps!(k_len % R);
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
    let (low, high) = (mask(width), mask(width.saturating_sub(16)));
    // SAFETY: by the caller's promise; lanes past `width` are masked off.
    unsafe {
        for k in 0..k_len {
            let (d, s) = (dst.add(k * dst_stride), src.add(k * src_stride));
            _mm512_store_ps(d, _mm512_maskz_loadu_ps(low, s));
            if dst_stride > 16 {
                _mm512_store_ps(d.add(16), _mm512_maskz_loadu_ps(high, s.wrapping_add(16)));
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
                _mm512_store_ps(dst.add((k + i) * dst_stride), *row);
            }
            k += 16;
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
