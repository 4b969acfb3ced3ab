//! Backward pass of causal attention; see the parent module for its definition.

use super::{AttentionShape, ROW_BLOCK, span};
use crate::lanes::{dot, multiversion};
use crate::math32::exp;
use crate::matmul::{Out, View, gemm_one_thread};
use crate::path::Ctx;
use crate::threads::{Shared, for_each_task};
use std::cell::RefCell;

/// One sequence of a batch, from position 0 (training has no cache). Strides as in the forward pass; gradients have
/// the strides of what they are gradients of.
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
    /// Receives the gradient of the queries.
    pub dq: &'a mut [f32],
    /// Receives the gradient of the keys.
    pub dk: &'a mut [f32],
    /// Receives the gradient of the values.
    pub dv: &'a mut [f32],
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
    dq: Shared<f32>,
    dk: Shared<f32>,
    dv: Shared<f32>,
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
            assert!(s.q.len() >= q && s.dq.len() >= q, "attention_bwd: q and dq hold {} rows", s.rows);
            assert!(s.k.len() >= kv && s.dk.len() >= kv, "attention_bwd: k and dk hold {} rows", s.rows);
            assert!(s.v.len() >= kv && s.dv.len() >= kv, "attention_bwd: v and dv hold {} rows", s.rows);
            assert!(
                s.dout.len() >= o && s.stats.len() == shape.heads * s.rows * 2,
                "attention_bwd: dout and stats"
            );
            Job {
                rows: s.rows,
                q: s.q,
                k: s.k,
                v: s.v,
                stats: s.stats,
                dout: s.dout,
                dq: Shared::new(s.dq),
                dk: Shared::new(s.dk),
                dv: Shared::new(s.dv),
            }
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
            job.dk.range(at, at + d).fill(0.0);
            job.dv.range(at, at + d).fill(0.0);
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
                unsafe { job.dq.range(at + r * shape.ldq, at + r * shape.ldq + d) }.fill(0.0);
            }
            // SAFETY: as above.
            let dq = unsafe { job.dq.strided(at, rows, d, shape.ldq) };
            gemm_one_thread(ctx, rows, d, width, ds, k, dq, true);
            row += rows;
        }
    }
}
