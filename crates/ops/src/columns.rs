//! Column folds: sums over rows, restarted at every example.
//!
//! Within an example, rows are folded in ascending order in blocks of [`BLOCK_ROWS`], each from a fresh +0
//! accumulator; the example's blocks are added in order (the first stands as it is); the examples are then added
//! in order to what the output held. It is the order of [`crate::matmul::matmul_tn_examples`] with one column.

use crate::examples::Examples;
use crate::lanes::multiversion;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// Rows folded into one accumulator.
pub const BLOCK_ROWS: usize = crate::matmul::K_BLOCK;

multiversion! { fn block_body(x: &[f32], ld: usize, acc: &mut [f32]) {
    let n = acc.len();
    for row in x.chunks(ld) {
        for (a, v) in acc.iter_mut().zip(&row[..n]) { *a += *v; }
    }
} }

/// Adds the sum of each column of `x` (`examples.rows()` x `n`, row stride `ld`) to `out` (`n`), example by
/// example: a bias gradient.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn column_sums(ctx: &Ctx, examples: Examples<'_>, n: usize, x: &[f32], ld: usize, out: &mut [f32]) {
    let rows = examples.rows();
    assert!(ld >= n && out.len() == n, "column_sums: out is n long and rows do not overlap");
    assert!(rows == 0 || x.len() >= (rows - 1) * ld + n, "column_sums: x holds the rows");
    let shared = Shared::new(out);
    for_each_range(ctx, n, 16, rows * n, |start, end| {
        // SAFETY: ranges of for_each_range are disjoint.
        let out = unsafe { shared.range(start, end) };
        let width = end - start;
        let (mut block, mut example) = (vec![0f32; width], vec![0f32; width]);
        for range in examples.ranges().filter(|r| !r.is_empty()) {
            for first in range.clone().step_by(BLOCK_ROWS) {
                let last = (first + BLOCK_ROWS).min(range.end) - 1;
                block.fill(0.0);
                block_body(ctx, &x[first * ld + start..last * ld + end], ld, &mut block);
                if first == range.start {
                    example.copy_from_slice(&block);
                } else {
                    for (e, b) in example.iter_mut().zip(&block) {
                        *e += *b;
                    }
                }
            }
            for (o, e) in out.iter_mut().zip(&example) {
                *o += *e;
            }
        }
    });
}

/// Adds block partials (`stride` apart, `dim` long, from `offset`) to `out` in the order of column folds.
pub(crate) fn add_in_order(
    ctx: &Ctx,
    examples: Examples<'_>,
    dim: usize,
    partials: &[f32],
    stride: usize,
    offset: usize,
    out: &mut [f32],
) {
    let mut example = vec![0f32; dim];
    let mut block = 0;
    for range in examples.ranges().filter(|r| !r.is_empty()) {
        for i in 0..range.len().div_ceil(BLOCK_ROWS) {
            let part = &partials[block * stride + offset..][..dim];
            if i == 0 {
                example.copy_from_slice(part);
            } else {
                crate::elementwise::add(&ctx.with_threads(1), part, &mut example);
            }
            block += 1;
        }
        crate::elementwise::add(&ctx.with_threads(1), &example, out);
    }
}
