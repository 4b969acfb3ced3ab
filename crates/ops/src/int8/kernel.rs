//! Products of f32 rows with int8 weights.

use super::weights::{Int8Weights, quantise_group};
use super::{GROUP, TILE};
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// `y = x Wt` (or `y + x Wt`): `x` is `rows` x `inputs`, `y` is `rows` x `outputs`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn int8_matmul(ctx: &Ctx, rows: usize, x: &[f32], w: &Int8Weights, y: &mut [f32], accumulate: bool) {
    let (n, k, groups) = (w.outputs(), w.inputs(), w.groups());
    assert!(x.len() == rows * k && y.len() == rows * n, "int8_matmul: x is rows x inputs, y rows x outputs");
    let mut q = vec![0i8; rows * groups * GROUP];
    let mut sx = vec![0f32; rows * groups];
    for r in 0..rows {
        for g in 0..groups {
            let group = &x[r * k + g * GROUP..r * k + ((g + 1) * GROUP).min(k)];
            let q: &mut [i8; GROUP] =
                (&mut q[(r * groups + g) * GROUP..][..GROUP]).try_into().expect("GROUP long");
            sx[r * groups + g] = quantise_group(group, q);
        }
    }
    let shared = Shared::new(y);
    for_each_range(ctx, n.div_ceil(TILE), 1, n * k, |first, end| {
        let mut out = [0f32; TILE];
        for tile in first..end {
            let packed = &w.packed()[tile * groups * GROUP * TILE..][..groups * GROUP * TILE];
            let scales = &w.scales()[tile * groups * TILE..][..groups * TILE];
            let (j, width) = (tile * TILE, TILE.min(n - tile * TILE));
            for r in 0..rows {
                tile_body(
                    ctx,
                    &q[r * groups * GROUP..][..groups * GROUP],
                    &sx[r * groups..][..groups],
                    packed,
                    scales,
                    &mut out,
                );
                // SAFETY: tiles of for_each_range are disjoint columns.
                let y = unsafe { shared.range(r * n + j, r * n + j + width) };
                for (y, v) in y.iter_mut().zip(&out) {
                    *y = if accumulate { *y + *v } else { *v };
                }
            }
        }
    });
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
