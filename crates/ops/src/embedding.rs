//! Embedding: gather of rows, and its gradient, a scatter-add in a defined order.

use crate::columns::BLOCK_ROWS;
use crate::elementwise::add;
use crate::examples::Examples;
use crate::path::Ctx;
use crate::threads::{Shared, for_each_range};

/// `out[r] = table[ids[r]]` (or `out[r] + table[ids[r]]` if `accumulate`); `table` is `vocab` x `dim`.
///
/// # Panics
/// When a slice does not fit or an id is not in the table.
pub fn embedding_fwd(ctx: &Ctx, ids: &[u32], dim: usize, table: &[f32], out: &mut [f32], accumulate: bool) {
    assert_eq!(out.len(), ids.len() * dim, "embedding: out is ids x dim");
    check_ids(ids, dim, table.len());
    let shared = Shared::new(out);
    for_each_range(ctx, ids.len(), 1, ids.len() * dim, |i, j| {
        for (row, id) in (i..j).zip(&ids[i..j]) {
            let source = &table[*id as usize * dim..][..dim];
            // SAFETY: ranges of for_each_range are disjoint.
            let out = unsafe { shared.range(row * dim, (row + 1) * dim) };
            if accumulate {
                add(&ctx.with_threads(1), source, out);
            } else {
                out.copy_from_slice(source);
            }
        }
    });
}

/// Adds the gradient of [`embedding_fwd`] to `grad` (`vocab` x `dim`).
///
/// It is the column fold of [`crate::columns`] over the rows that carry an id: within an example, blocks of 256 rows from its first
/// row, each summed from +0 in ascending order, blocks that hold the id added in order; the example's sum is then added to the
/// table's row, examples in order. Rows of ids that an example does not hold are left alone.
///
/// # Panics
/// When a slice does not fit or an id is not in the table.
pub fn embedding_bwd(
    ctx: &Ctx,
    examples: Examples<'_>,
    ids: &[u32],
    dim: usize,
    dy: &[f32],
    grad: &mut [f32],
) {
    assert!(examples.rows() == ids.len() && dy.len() == ids.len() * dim, "embedding_bwd: dy is ids x dim");
    check_ids(ids, dim, grad.len());
    // Rows by id, then by position: a total order, so the sort's algorithm does not matter.
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    for range in examples.ranges() {
        order[range].sort_unstable_by_key(|row| (ids[*row as usize], *row));
    }
    let shared = Shared::new(grad);
    for_each_range(ctx, dim, 16, dy.len(), |start, end| {
        let one = ctx.with_threads(1);
        let (mut sum, mut block) = (vec![0f32; end - start], vec![0f32; end - start]);
        for range in examples.ranges() {
            for rows in order[range.clone()].chunk_by(|a, b| ids[*a as usize] == ids[*b as usize]) {
                let block_of = |row: u32| (row as usize - range.start) / BLOCK_ROWS;
                for (i, rows) in rows.chunk_by(|a, b| block_of(*a) == block_of(*b)).enumerate() {
                    let part = if i == 0 { &mut sum } else { &mut block };
                    part.fill(0.0);
                    for row in rows {
                        add(&one, &dy[*row as usize * dim..][start..end], part);
                    }
                    if i > 0 {
                        add(&one, &block, &mut sum);
                    }
                }
                let at = ids[rows[0] as usize] as usize * dim;
                // SAFETY: columns of for_each_range are disjoint.
                add(&one, &sum, unsafe { shared.range(at + start, at + end) });
            }
        }
    });
}

fn check_ids(ids: &[u32], dim: usize, table_len: usize) {
    assert!(dim > 0 && table_len.is_multiple_of(dim), "embedding: the table is whole rows of {dim}");
    let vocab = table_len / dim;
    assert!(ids.iter().all(|id| (*id as usize) < vocab), "embedding: ids are below the vocabulary's {vocab}");
}
