//! Kernels in plain Rust over arrays of lanes: a tile of 6 x 16, which fills the 32 vector registers of aarch64.

use super::kernels::{Kernels, Tile};

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

// The functions below are `unsafe fn` for the `Tile` and `Pack` types: callers pass pointers to whole panels and to a tile
// inside the output.

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
    let (a, b) = unsafe {
        let b_len = (k_len - 1) * group + COLS;
        (std::slice::from_raw_parts(a, k_len * A_STRIDE), std::slice::from_raw_parts(b, b_len))
    };
    let mut acc = [[0f32; COLS]; R];
    for (a, b) in a.as_chunks::<A_STRIDE>().0.iter().zip(b.chunks(group)) {
        let b: &[f32; COLS] = b.first_chunk().expect("a tile's columns");
        for r in 0..R {
            for j in 0..COLS {
                acc[r][j] = a[r].mul_add(b[j], acc[r][j]);
            }
        }
    }
    for (r, acc) in acc.iter().enumerate() {
        // SAFETY: the tile's rows and first `cols` columns are inside the output.
        let row = unsafe { std::slice::from_raw_parts_mut(c.add(r * ldc), cols.min(COLS)) };
        if set {
            row.copy_from_slice(&acc[..row.len()]);
        } else {
            for (c, v) in row.iter_mut().zip(acc) {
                *c += *v;
            }
        }
    }
}

unsafe fn straight(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    // SAFETY: by the caller's promise.
    unsafe { straight_body(dst, dst_stride, src, src_stride, width, k_len) }
}

/// The source of `straight` for every path without its own.
#[inline(always)]
pub(super) unsafe fn straight_body(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    // SAFETY: `k_len` groups of `width` to read and of `dst_stride` to write.
    unsafe {
        for k in 0..k_len {
            std::ptr::copy_nonoverlapping(src.add(k * src_stride), dst.add(k * dst_stride), width);
        }
        pad(dst, dst_stride, width, k_len);
    }
}

unsafe fn turned(
    dst: *mut f32,
    dst_stride: usize,
    src: *const f32,
    src_stride: usize,
    width: usize,
    k_len: usize,
) {
    /// Steps of k at a time, so that reads stay in a line and writes in the first cache.
    const STRIP: usize = 16;
    // SAFETY: `width` rows of `k_len` to read and `k_len` groups of `dst_stride` to write.
    unsafe {
        for k0 in (0..k_len).step_by(STRIP) {
            for i in 0..width {
                for k in k0..(k0 + STRIP).min(k_len) {
                    *dst.add(k * dst_stride + i) = *src.add(i * src_stride + k);
                }
            }
        }
        pad(dst, dst_stride, width, k_len);
    }
}

/// Sets what a narrower group leaves open to +0, up to the next multiple of 16 or the group's end.
#[inline(always)]
pub(super) unsafe fn pad(dst: *mut f32, dst_stride: usize, width: usize, k_len: usize) {
    let end = width.next_multiple_of(super::kernels::TURN_WIDTH).min(dst_stride);
    // SAFETY: inside the groups of `dst_stride`.
    unsafe {
        for k in 0..k_len {
            for i in width..end {
                *dst.add(k * dst_stride + i) = 0.0;
            }
        }
    }
}
