//! Products of f32 rows with int8 weights.

use super::weights::{Bits, Int8Weights, quantise_group, widen};
use super::{GROUP, LEVELS, TILE};
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};
use std::ops::Range;

/// Rows that one pass over weights serves.
const ROWS_MAX: usize = 8;
/// Groups of a tile that all rows are multiplied with before the next: their weights (16 KiB) stay in the first cache.
const GROUPS_MAX: usize = 16;

/// Rows of f32 as the product takes them: quantised values and, by group, scales and sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Rows {
    rows: usize,
    inputs: usize,
    groups: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
    /// 128 times the sum of each group's values: what weights that are taken 128 too large add.
    offsets: Vec<i32>,
}

impl Int8Rows {
    /// Quantises `x`, `rows` x `inputs`.
    ///
    /// # Panics
    /// When `x` does not have that shape.
    pub fn quantise(ctx: &Ctx, rows: usize, inputs: usize, x: &[f32]) -> Int8Rows {
        assert_eq!(x.len(), rows * inputs, "int8: x is rows x inputs");
        let groups = inputs.div_ceil(GROUP);
        let stride = groups * GROUP;
        let mut values = vec![0i8; rows * stride];
        let (mut scales, mut offsets) = (vec![0f32; rows * groups], vec![0i32; rows * groups]);
        let outputs = (Shared::new(&mut values), Shared::new(&mut scales), Shared::new(&mut offsets));
        for_each_range(ctx, rows, 1, rows * inputs, |first, end| {
            for r in first..end {
                // SAFETY: rows of for_each_range are disjoint.
                let (q, scales, offsets) = unsafe {
                    (
                        outputs.0.range(r * stride, (r + 1) * stride),
                        outputs.1.range(r * groups, (r + 1) * groups),
                        outputs.2.range(r * groups, (r + 1) * groups),
                    )
                };
                quantise_row(ctx, &x[r * inputs..(r + 1) * inputs], q, scales, offsets);
            }
        });
        Int8Rows { rows, inputs, groups, values, scales, offsets }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What quantising left of `x`, the numbers that were quantised: `fma(-q, scale, x)`.
    ///
    /// # Panics
    /// When `x` does not have their shape.
    pub fn remainder(&self, x: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), self.rows * self.inputs, "int8: x is rows x inputs");
        let mut rest = x.to_vec();
        let stride = self.groups * GROUP;
        for (row, rest) in rest.chunks_exact_mut(self.inputs.max(1)).enumerate() {
            let groups = self.values[row * stride..(row + 1) * stride].chunks_exact(GROUP);
            let scales = &self.scales[row * self.groups..(row + 1) * self.groups];
            for ((rest, values), scale) in rest.chunks_mut(GROUP).zip(groups).zip(scales) {
                rest.iter_mut().zip(values).for_each(|(x, q)| *x = f32::from(-*q).mul_add(*scale, *x));
            }
        }
        rest
    }

    /// Runs of four inputs of some rows: for each run one word a row.
    fn quads(&self, rows: Range<usize>) -> Vec<i32> {
        let (stride, count) = (self.groups * GROUP, rows.len());
        let mut quads = vec![0i32; stride / 4 * count];
        for (r, row) in rows.enumerate() {
            let values = self.values[row * stride..(row + 1) * stride].as_chunks::<4>().0;
            for (out, quad) in quads[r..].iter_mut().step_by(count).zip(values) {
                *out = i32::from_le_bytes(quad.map(|value| value as u8));
            }
        }
        quads
    }
}

/// `y = x Wt` (or `y + x Wt`): `x` is `rows` x `inputs`, `y` is `rows` x `outputs`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn int8_matmul(ctx: &Ctx, rows: usize, x: &[f32], w: &Int8Weights, y: &mut [f32], accumulate: bool) {
    assert!(x.len() == rows * w.inputs(), "int8_matmul: x is rows x inputs");
    int8_rows_matmul(ctx, &Int8Rows::quantise(ctx, rows, w.inputs(), x), w, y, accumulate);
}

/// As [`int8_matmul`], of rows that were quantised before: for products with several matrices.
///
/// # Panics
/// When shapes do not fit.
pub fn int8_rows_matmul(ctx: &Ctx, x: &Int8Rows, w: &Int8Weights, y: &mut [f32], accumulate: bool) {
    let (rows, n) = (x.rows, w.outputs());
    assert!(
        x.inputs == w.inputs() && y.len() == rows * n,
        "int8_matmul: x is rows x inputs, y rows x outputs"
    );
    let shared = Shared::new(y);
    // As evenly as possible, so that the last pass is not one row's.
    let together = rows.div_ceil(rows.div_ceil(ROWS_MAX).max(1)).max(1);
    let blocks: Vec<Block<'_>> =
        (0..rows).step_by(together).map(|row| Block::new(ctx, x, row..rows.min(row + together))).collect();
    for_each_range(ctx, n.div_ceil(TILE), 1, n * x.inputs, |first, end| {
        let mut sums = vec![[0f32; TILE]; rows];
        for tile in first..end {
            let (j, width) = (tile * TILE, TILE.min(n - tile * TILE));
            sums.fill([0f32; TILE]);
            for group in (0..x.groups).step_by(GROUPS_MAX) {
                let groups = group..(group + GROUPS_MAX).min(x.groups);
                for block in &blocks {
                    block.tile(ctx, w, tile, groups.clone(), &mut sums[block.rows.clone()]);
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                // SAFETY: tiles of for_each_range are disjoint columns.
                let y = unsafe { shared.range(row * n + j, row * n + j + width) };
                for (y, v) in y.iter_mut().zip(sums) {
                    *y = if accumulate { *y + *v } else { *v };
                }
            }
        }
    });
}

multiversion! { fn quantise_row(x: &[f32], q: &mut [i8], scales: &mut [f32], offsets: &mut [i32]) {
    for (((x, q), scale), offset) in x.chunks(GROUP).zip(q.as_chunks_mut::<GROUP>().0).zip(scales).zip(offsets) {
        *scale = quantise_group(LEVELS, x, q);
        *offset = 128 * q.iter().map(|q| i32::from(*q)).sum::<i32>();
    }
} }

/// Rows that are multiplied together.
struct Block<'a> {
    x: &'a Int8Rows,
    rows: Range<usize>,
    /// Runs of four inputs, those of all rows side by side, where the kernel wants them so.
    quads: Vec<i32>,
}

impl<'a> Block<'a> {
    fn new(ctx: &Ctx, x: &'a Int8Rows, rows: Range<usize>) -> Block<'a> {
        let quads = if uses_vnni(ctx) { x.quads(rows.clone()) } else { Vec::new() };
        Block { x, rows, quads }
    }

    /// Adds some groups of a tile of outputs to the sums of the rows.
    fn tile(&self, ctx: &Ctx, w: &Int8Weights, tile: usize, groups: Range<usize>, sums: &mut [[f32; TILE]]) {
        let (x, count) = (self.x, groups.len());
        let at = tile * x.groups + groups.start;
        let (bits, size) = (w.bits(), w.bits().tile_bytes());
        let packed = &w.packed()[at * size..][..count * size];
        let scales = &w.scales()[at * TILE..][..count * TILE];
        #[cfg(target_arch = "x86_64")]
        if uses_vnni(ctx) {
            let sides = self.rows.start * x.groups + groups.start;
            let rows = super::vnni::Rows {
                quads: &self.quads[groups.start * GROUP / 4 * self.rows.len()..],
                scales: &x.scales[sides..],
                offsets: &x.offsets[sides..],
                groups: x.groups,
            };
            // SAFETY: the instruction is available.
            return unsafe {
                match bits {
                    Bits::Eight => super::vnni::tile_of::<false>(count, rows, packed, scales, sums),
                    Bits::Four => super::vnni::tile_of::<true>(count, rows, packed, scales, sums),
                }
            };
        }
        let widened;
        let packed = match bits {
            Bits::Eight => packed,
            Bits::Four => {
                widened = widen(packed);
                &widened
            }
        };
        for (r, sums) in self.rows.clone().zip(sums) {
            let q = &x.values[r * x.groups * GROUP..][groups.start * GROUP..groups.end * GROUP];
            tile_body(ctx, q, &x.scales[r * x.groups..][groups.clone()], packed, scales, sums);
        }
    }
}

fn uses_vnni(ctx: &Ctx) -> bool {
    #[cfg(target_arch = "x86_64")]
    return ctx.path() == crate::path::Path::Avx512 && super::vnni::is_available();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

multiversion! { fn tile_body(q: &[i8], sx: &[f32], packed: &[i8], scales: &[f32], out: &mut [f32; TILE]) {
    let mut acc = *out;
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
