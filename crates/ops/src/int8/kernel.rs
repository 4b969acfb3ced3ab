//! Products of f32 rows with int8 weights.

use super::weights::{Int8Weights, quantise_group};
use super::{GROUP, TILE};
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// Rows that one pass over a tile of weights serves.
const ROWS_MAX: usize = 4;

/// Quantised activations: values, the same plus 128, and scales, by row and group.
struct Activations {
    groups: usize,
    signed: Vec<i8>,
    shifted: Vec<u8>,
    scales: Vec<f32>,
}

/// `y = x Wt` (or `y + x Wt`): `x` is `rows` x `inputs`, `y` is `rows` x `outputs`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn int8_matmul(ctx: &Ctx, rows: usize, x: &[f32], w: &Int8Weights, y: &mut [f32], accumulate: bool) {
    let (n, k) = (w.outputs(), w.inputs());
    assert!(x.len() == rows * k && y.len() == rows * n, "int8_matmul: x is rows x inputs, y rows x outputs");
    let x = quantise(ctx, rows, k, w.groups(), x);
    let shared = Shared::new(y);
    for_each_range(ctx, n.div_ceil(TILE), 1, n * k, |first, end| {
        let mut out = [[0f32; TILE]; ROWS_MAX];
        for tile in first..end {
            let (j, width) = (tile * TILE, TILE.min(n - tile * TILE));
            for row in (0..rows).step_by(ROWS_MAX) {
                let count = ROWS_MAX.min(rows - row);
                tile_rows(ctx, &x, row, count, w, tile, &mut out);
                for (r, out) in out.iter().enumerate().take(count) {
                    // SAFETY: tiles of for_each_range are disjoint columns.
                    let y = unsafe { shared.range((row + r) * n + j, (row + r) * n + j + width) };
                    for (y, v) in y.iter_mut().zip(out) {
                        *y = if accumulate { *y + *v } else { *v };
                    }
                }
            }
        }
    });
}

fn quantise(ctx: &Ctx, rows: usize, k: usize, groups: usize, x: &[f32]) -> Activations {
    let mut signed = vec![0i8; rows * groups * GROUP];
    let mut scales = vec![0f32; rows * groups];
    for r in 0..rows {
        let q = &mut signed[r * groups * GROUP..][..groups * GROUP];
        quantise_row(ctx, &x[r * k..(r + 1) * k], q, &mut scales[r * groups..][..groups]);
    }
    let shifted = signed.iter().map(|v| (*v as u8) ^ 0x80).collect();
    Activations { groups, signed, shifted, scales }
}

multiversion! { fn quantise_row(x: &[f32], q: &mut [i8], scales: &mut [f32]) {
    for ((x, q), scale) in x.chunks(GROUP).zip(q.as_chunks_mut::<GROUP>().0).zip(scales) {
        *scale = quantise_group(x, q);
    }
} }

/// A tile of outputs for `count` rows from `row`.
fn tile_rows(
    ctx: &Ctx,
    x: &Activations,
    row: usize,
    count: usize,
    w: &Int8Weights,
    tile: usize,
    out: &mut [[f32; TILE]; ROWS_MAX],
) {
    let (groups, stride) = (x.groups, x.groups * GROUP);
    let packed = &w.packed()[tile * stride * TILE..][..stride * TILE];
    let scales = &w.scales()[tile * groups * TILE..][..groups * TILE];
    let sx = &x.scales[row * groups..];
    #[cfg(target_arch = "x86_64")]
    if ctx.path() == crate::path::Path::Avx512 && super::vnni::is_available() {
        let q = &x.shifted[row * stride..];
        // SAFETY: the instruction is available.
        return unsafe {
            match count {
                1 => super::vnni::tile::<1>(groups, q, stride, sx, packed, scales, out),
                2 => super::vnni::tile::<2>(groups, q, stride, sx, packed, scales, out),
                3 => super::vnni::tile::<3>(groups, q, stride, sx, packed, scales, out),
                _ => super::vnni::tile::<4>(groups, q, stride, sx, packed, scales, out),
            }
        };
    }
    for r in 0..count {
        let q = &x.signed[(row + r) * stride..][..stride];
        tile_body(ctx, q, &sx[r * groups..][..groups], packed, scales, &mut out[r]);
    }
}

multiversion! { fn tile_body(q: &[i8], sx: &[f32], packed: &[i8], scales: &[f32], out: &mut [f32; TILE]) {
    let mut acc = [0f32; TILE];
    for (g, sx) in sx.iter().enumerate() {
        let mut dot = [0i32; TILE];
        for (p, quad) in packed[g * GROUP * TILE..][..GROUP * TILE].as_chunks::<{ 4 * TILE }>().0.iter().enumerate() {
            let x = &q[g * GROUP + p * 4..][..4];
            for l in 0..TILE {
                for i in 0..4 { dot[l] += i32::from(x[i]) * i32::from(quad[l * 4 + i]); }
            }
        }
        for l in 0..TILE { acc[l] = (*sx * scales[g * TILE + l]).mul_add(dot[l] as f32, acc[l]); }
    }
    *out = acc;
} }
