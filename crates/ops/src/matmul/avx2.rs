//! AVX2 and FMA kernels: a tile of 6 x 16, 12 accumulators.
#![cfg(target_arch = "x86_64")]

use super::kernels::{Kernels, TURN_WIDTH, Tile};
use std::arch::x86_64::*;

const ROWS: usize = 6;
const COLS: usize = 16;
const A_STRIDE: usize = 8;

macro_rules! tiles {
    ($($rows:literal)*) => { [$(tile::<$rows> as Tile),*] };
}

static TILES: [Tile; ROWS] = tiles!(1 2 3 4 5 6);

pub(super) static KERNELS: Kernels = Kernels {
    tiles: &TILES,
    rows_tiles: None,
    stream_tiles: None,
    cols: COLS,
    sweep_cols: COLS,
    a_stride: A_STRIDE,
    pack_panels: 1,
    straight,
    turned,
};

// The functions below are `unsafe fn` for the `Tile` and `Pack` types: callers hold a Ctx for this path and pass pointers to
// whole panels and to a tile inside the output.

#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const R: usize>(
    k_len: usize,
    mut a: *const f32,
    mut b: *const f32,
    group: usize,
    c: *mut f32,
    ldc: usize,
    cols: usize,
    set: bool,
) {
    // SAFETY: by the caller's promise above; columns past `cols` go through a buffer.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); 2]; R];
        for r in 0..R {
            _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(r * ldc) as *const i8);
        }
        for _ in 0..k_len {
            let (b0, b1) = (_mm256_load_ps(b), _mm256_load_ps(b.add(8)));
            for r in 0..R {
                let av = _mm256_set1_ps(*a.add(r));
                acc[r][0] = _mm256_fmadd_ps(av, b0, acc[r][0]);
                acc[r][1] = _mm256_fmadd_ps(av, b1, acc[r][1]);
            }
            a = a.add(A_STRIDE);
            b = b.wrapping_add(group);
        }
        for r in 0..R {
            let p = c.add(r * ldc);
            if cols >= COLS {
                if !set {
                    acc[r][0] = _mm256_add_ps(_mm256_loadu_ps(p), acc[r][0]);
                    acc[r][1] = _mm256_add_ps(_mm256_loadu_ps(p.add(8)), acc[r][1]);
                }
                _mm256_storeu_ps(p, acc[r][0]);
                _mm256_storeu_ps(p.add(8), acc[r][1]);
            } else {
                let mut edge = [0f32; COLS];
                _mm256_storeu_ps(edge.as_mut_ptr(), acc[r][0]);
                _mm256_storeu_ps(edge.as_mut_ptr().add(8), acc[r][1]);
                for (j, v) in edge.iter().enumerate().take(cols) {
                    *p.add(j) = if set { *v } else { *p.add(j) + *v };
                }
            }
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn straight(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    // SAFETY: by the caller's promise.
    unsafe { super::portable::straight_body(dst, dst_stride, src, src_stride, width, k_len) }
}

#[target_feature(enable = "avx2")]
unsafe fn turned(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    // SAFETY: by the caller's promise; whole 8 x 8 squares go through registers, edges element by element.
    unsafe {
        debug_assert!(width <= TURN_WIDTH);
        let squares = width / 8 * 8;
        let steps = k_len / 8 * 8;
        for i in (0..squares).step_by(8) {
            for k in (0..steps).step_by(8) {
                let mut rows = [_mm256_setzero_ps(); 8];
                for (j, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_ps(src.add((i + j) * src_stride + k));
                }
                for (j, row) in turn(rows).iter().enumerate() {
                    _mm256_storeu_ps(dst.add((k + j) * dst_stride + i), *row);
                }
            }
            for k in steps..k_len {
                for j in i..i + 8 {
                    *dst.add(k * dst_stride + j) = *src.add(j * src_stride + k);
                }
            }
        }
        for j in squares..width {
            for k in 0..k_len {
                *dst.add(k * dst_stride + j) = *src.add(j * src_stride + k);
            }
        }
        super::portable::pad(dst, dst_stride, width, k_len);
    }
}

/// Transposes 8 x 8.
#[inline]
#[target_feature(enable = "avx2")]
fn turn(r: [__m256; 8]) -> [__m256; 8] {
    let mut t = r;
    for i in 0..4 {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    let mut u = r;
    for i in 0..2 {
        u[4 * i] = _mm256_shuffle_ps::<0x44>(t[4 * i], t[4 * i + 2]);
        u[4 * i + 1] = _mm256_shuffle_ps::<0xee>(t[4 * i], t[4 * i + 2]);
        u[4 * i + 2] = _mm256_shuffle_ps::<0x44>(t[4 * i + 1], t[4 * i + 3]);
        u[4 * i + 3] = _mm256_shuffle_ps::<0xee>(t[4 * i + 1], t[4 * i + 3]);
    }
    let mut out = r;
    for c in 0..4 {
        out[c] = _mm256_permute2f128_ps::<0x20>(u[c], u[4 + c]);
        out[4 + c] = _mm256_permute2f128_ps::<0x31>(u[c], u[4 + c]);
    }
    out
}
