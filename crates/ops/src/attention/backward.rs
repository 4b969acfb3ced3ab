//! Backward pass of causal attention; see the parent module for its definition.

use super::{AttentionShape, ROW_BLOCK, span};
use crate::lanes::{dot, multiversion};
use crate::math32::exp;
use crate::matmul::{Out, View, gemm_one_thread};
use crate::path::Ctx;
use crate::threads::{Shared, for_each_task};
use std::cell::RefCell;

/// Where gradients go, with the strides of what they are gradients of.
#[derive(Debug)]
pub enum QkvGradients<'a> {
    /// Each in a slice of its own.
    Apart {
        /// Of the queries.
        dq: &'a mut [f32],
        /// Of the keys.
        dk: &'a mut [f32],
        /// Of the values.
        dv: &'a mut [f32],
    },
    /// A row holds those of all query heads, then of all keys, then of all values; both strides are the row's.
    Joined(&'a mut [f32]),
}

/// One sequence of a batch, from position 0 (training has no cache). Strides as in the forward pass.
#[derive(Debug)]
pub struct AttentionGrad<'a> {
    /// Rows of queries, keys and values.
    pub rows: usize,
    /// Queries.
    pub q: &'a [f32],
    /// Keys.
    pub k: &'a [f32],
    /// Values.
    pub v: &'a [f32],
    /// What the forward pass kept, `heads` x `rows` x 2.
    pub stats: &'a [f32],
    /// Gradient of the output, stride `ldo`.
    pub dout: &'a [f32],
    /// Receives the gradients.
    pub gradients: QkvGradients<'a>,
}

// Scores to probabilities, with the forward pass's statistics: the same operations, so the same bits.
multiversion! { fn probabilities_block(first: usize, width: usize, scale: f32, s: &mut [f32], stats: &[f32]) {
    for (r, row) in s.chunks_exact_mut(width).enumerate() {
        let (m, z) = (stats[2 * r], stats[2 * r + 1]);
        let (seen, masked) = row.split_at_mut(first + r + 1);
        for v in seen.iter_mut() { *v = exp(*v * scale - m) * z; }
        masked.fill(0.0);
    }
} }

multiversion! { fn softmax_bwd_block(first: usize, width: usize, scale: f32, p: &[f32], d: &mut [f32]) {
    for (r, (p, d)) in p.chunks_exact(width).zip(d.chunks_exact_mut(width)).enumerate() {
        let seen = first + r + 1;
        let (d, masked) = d.split_at_mut(seen);
        let inner = dot(&p[..seen], d);
        for (d, p) in d.iter_mut().zip(p) { *d = (*p * (*d - inner)) * scale; }
        masked.fill(0.0);
    }
} }

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

struct Job<'a> {
    rows: usize,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    stats: &'a [f32],
    dout: &'a [f32],
    dq: Place,
    dk: Place,
    dv: Place,
}

/// A gradient from an element of a slice on.
#[derive(Clone, Copy)]
struct Place {
    slice: Shared<f32>,
    first: usize,
}

impl Place {
    /// # Safety
    /// As for [`Shared::range`].
    unsafe fn clear(&self, start: usize, len: usize) {
        // SAFETY: by the caller's promise.
        unsafe { self.slice.range(self.first + start, self.first + start + len) }.fill(0.0);
    }

    /// # Safety
    /// As for [`Shared::strided`].
    unsafe fn strided(&self, at: usize, rows: usize, cols: usize, ld: usize) -> Out {
        // SAFETY: by the caller's promise.
        unsafe { self.slice.strided(self.first + at, rows, cols, ld) }
    }
}

/// Gradients of every sequence; each writes its `dq`, `dk` and `dv`.
///
/// # Panics
/// When a slice does not fit the shape.
pub fn attention_bwd(ctx: &Ctx, shape: &AttentionShape, seqs: &mut [AttentionGrad<'_>]) {
    shape.check();
    let (wide, narrow) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let jobs: Vec<Job<'_>> = seqs
        .iter_mut()
        .map(|s| {
            let (q, kv, o) = (
                span(s.rows, shape.ldq, wide),
                span(s.rows, shape.ldkv, narrow),
                span(s.rows, shape.ldo, wide),
            );
            assert!(s.q.len() >= q, "attention_bwd: q holds {} rows", s.rows);
            assert!(s.k.len() >= kv, "attention_bwd: k holds {} rows", s.rows);
            assert!(s.v.len() >= kv, "attention_bwd: v holds {} rows", s.rows);
            let [dq, dk, dv] = match &mut s.gradients {
                QkvGradients::Apart { dq, dk, dv } => {
                    assert!(dq.len() >= q, "attention_bwd: dq holds {} rows", s.rows);
                    assert!(dk.len() >= kv, "attention_bwd: dk holds {} rows", s.rows);
                    assert!(dv.len() >= kv, "attention_bwd: dv holds {} rows", s.rows);
                    [dq, dk, dv].map(|slice| Place { slice: Shared::new(slice), first: 0 })
                }
                QkvGradients::Joined(all) => {
                    let row = wide + 2 * narrow;
                    let fits = shape.ldq == shape.ldkv && shape.ldq >= row;
                    assert!(fits, "attention_bwd: one stride that holds queries, keys and values");
                    assert!(all.len() >= span(s.rows, shape.ldq, row), "attention_bwd: {} rows", s.rows);
                    let slice = Shared::new(all);
                    [0, wide, wide + narrow].map(|first| Place { slice, first })
                }
            };
            assert!(
                s.dout.len() >= o && s.stats.len() == shape.heads * s.rows * 2,
                "attention_bwd: dout and stats"
            );
            Job { rows: s.rows, q: s.q, k: s.k, v: s.v, stats: s.stats, dout: s.dout, dq, dk, dv }
        })
        .collect();
    for_each_task(ctx, jobs.len() * shape.kv_heads, |t| {
        SCRATCH.with(|s| {
            kv_head(ctx, shape, &jobs[t / shape.kv_heads], t % shape.kv_heads, &mut s.borrow_mut())
        });
    });
}

fn kv_head(ctx: &Ctx, shape: &AttentionShape, job: &Job<'_>, kv: usize, scratch: &mut Vec<f32>) {
    let (d, ldkv) = (shape.head_dim, shape.ldkv);
    for r in 0..job.rows {
        let at = r * ldkv + kv * d;
        // SAFETY: a key/value head's columns belong to one task.
        unsafe {
            job.dk.clear(at, d);
            job.dv.clear(at, d);
        }
    }
    if job.rows == 0 {
        return;
    }
    let k = View::rows(&job.k[kv * d..], job.rows, d, ldkv);
    let v = View::rows(&job.v[kv * d..], job.rows, d, ldkv);
    // SAFETY: a key/value head's columns belong to one task.
    let (dk, dv) =
        unsafe { (job.dk.strided(kv * d, job.rows, d, ldkv), job.dv.strided(kv * d, job.rows, d, ldkv)) };
    for head in kv * shape.group()..(kv + 1) * shape.group() {
        let q = View::rows(&job.q[head * d..], job.rows, d, shape.ldq);
        let dout = View::rows(&job.dout[head * d..], job.rows, d, shape.ldo);
        let mut row = 0;
        while row < job.rows {
            let rows = ROW_BLOCK.min(job.rows - row);
            let width = row + rows;
            if scratch.len() < 2 * rows * width {
                scratch.resize(2 * rows * width, 0.0);
            }
            let (p, ds) = scratch[..2 * rows * width].split_at_mut(rows * width);
            let (q, dout) = (q.from(row, 0), dout.from(row, 0));
            gemm_one_thread(ctx, rows, width, d, q, k.transposed(), Out::new(p, rows, width, width), false);
            let at = (head * job.rows + row) * 2;
            probabilities_block(ctx, row, width, shape.scale, p, &job.stats[at..at + rows * 2]);
            gemm_one_thread(
                ctx,
                rows,
                width,
                d,
                dout,
                v.transposed(),
                Out::new(ds, rows, width, width),
                false,
            );
            softmax_bwd_block(ctx, row, width, shape.scale, p, ds);
            let (p, ds) = (View::rows(p, rows, width, width), View::rows(ds, rows, width, width));
            gemm_one_thread(ctx, width, d, rows, p.transposed(), dout, dv, true);
            gemm_one_thread(ctx, width, d, rows, ds.transposed(), q, dk, true);
            let at = row * shape.ldq + head * d;
            for r in 0..rows {
                // SAFETY: a head's columns of dq belong to one task.
                unsafe { job.dq.clear(at + r * shape.ldq, d) };
            }
            // SAFETY: as above.
            let dq = unsafe { job.dq.strided(at, rows, d, shape.ldq) };
            gemm_one_thread(ctx, rows, d, width, ds, k, dq, true);
            row += rows;
        }
    }
}
