//! Forward pass of causal attention; see the parent module for its definition.

use super::{AttentionShape, KvCache, ROW_BLOCK, span};
use crate::lanes::multiversion;
use crate::matmul::{Out, Packed, View, gemm_one_thread};
use crate::path::Ctx;
use crate::softmax::softmax_row;
use crate::threads::{Shared, for_each_task};
use std::cell::RefCell;

/// Where the keys and values of `start + rows` positions lie.
#[derive(Clone, Copy, Debug)]
pub enum KeysValues<'a> {
    /// A row of all heads for each position, with stride `ldkv`: what a pass over whole sequences computes.
    Rows {
        /// Keys.
        k: &'a [f32],
        /// Values.
        v: &'a [f32],
    },
    /// In a cache, the new ones too.
    Cached(&'a KvCache),
}

impl KeysValues<'_> {
    fn check(self, shape: &AttentionShape, total: usize) {
        match self {
            KeysValues::Rows { k, v } => {
                let needed = span(total, shape.ldkv, shape.kv_heads * shape.head_dim);
                assert!(k.len() >= needed, "attention: k holds {total} positions");
                assert!(v.len() >= needed, "attention: v holds {total} positions");
            }
            KeysValues::Cached(cache) => cache.check(shape, total),
        }
    }
}

/// Keys of one head.
#[derive(Clone, Copy)]
enum Keys<'a> {
    /// `head_dim` x positions.
    Lying(View<'a>),
    Packed(&'a Packed),
}

/// One sequence of a batch. Slices start at the sequence's first row; see [`AttentionShape`] for strides.
#[derive(Debug)]
pub struct AttentionSeq<'a> {
    /// Position of the first query row: the number of positions already in the cache.
    pub start: usize,
    /// Query rows.
    pub rows: usize,
    /// Queries, `rows` rows.
    pub q: &'a [f32],
    /// Keys and values of `start + rows` positions.
    pub kv: KeysValues<'a>,
    /// Outputs, `rows` rows.
    pub out: &'a mut [f32],
    /// If given, `heads` x `rows` x 2: the maximum and reciprocal sum of each softmax, which the backward pass needs.
    pub stats: Option<&'a mut [f32]>,
}

// Row `r` of the block attends to `first + r + 1` positions; the rest of its row becomes +0.
multiversion! { fn softmax_block(first: usize, width: usize, scale: f32, s: &mut [f32], stats: Option<&mut [f32]>) {
    let mut stats = stats;
    for (r, row) in s.chunks_exact_mut(width).enumerate() {
        let (seen, masked) = row.split_at_mut(first + r + 1);
        for v in seen.iter_mut() { *v *= scale; }
        let (m, z) = softmax_row(seen);
        masked.fill(0.0);
        if let Some(stats) = stats.as_deref_mut() { stats[2 * r] = m; stats[2 * r + 1] = z; }
    }
} }

thread_local! {
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A sequence with its outputs as shared pointers, so that heads may run on different threads.
struct Job<'a> {
    start: usize,
    rows: usize,
    q: &'a [f32],
    kv: KeysValues<'a>,
    out: Shared<f32>,
    stats: Option<Shared<f32>>,
}

/// Attention of every sequence; each writes its `out` (and `stats`).
///
/// # Panics
/// When a slice does not fit the shape.
pub fn attention_fwd(ctx: &Ctx, shape: &AttentionShape, seqs: &mut [AttentionSeq<'_>]) {
    shape.check();
    let wide = shape.heads * shape.head_dim;
    let jobs: Vec<Job<'_>> = seqs
        .iter_mut()
        .map(|s| {
            let total = s.start + s.rows;
            assert!(s.q.len() >= span(s.rows, shape.ldq, wide), "attention: q holds {} rows", s.rows);
            s.kv.check(shape, total);
            assert!(s.out.len() >= span(s.rows, shape.ldo, wide), "attention: out holds {} rows", s.rows);
            assert!(
                s.stats.as_ref().is_none_or(|x| x.len() == shape.heads * s.rows * 2),
                "attention: stats are heads x rows x 2"
            );
            Job {
                start: s.start,
                rows: s.rows,
                q: s.q,
                kv: s.kv,
                out: Shared::new(s.out),
                stats: s.stats.as_deref_mut().map(Shared::new),
            }
        })
        .collect();
    let work: usize = jobs.iter().map(|j| j.rows * (j.start + j.rows) * wide).sum();
    let tasks_ctx = if work < crate::threads::SPLIT_COST_MIN { ctx.with_threads(1) } else { *ctx };
    for_each_task(&tasks_ctx, jobs.len() * shape.heads, |t| {
        SCORES.with(|scores| {
            head(ctx, shape, &jobs[t / shape.heads], t % shape.heads, &mut scores.borrow_mut())
        });
    });
}

fn head(ctx: &Ctx, shape: &AttentionShape, job: &Job<'_>, head: usize, scores: &mut Vec<f32>) {
    let (d, kv) = (shape.head_dim, head / shape.group());
    let total = job.start + job.rows;
    let q = View::rows(&job.q[head * d..], job.rows, d, shape.ldq);
    let (k, v) = match job.kv {
        KeysValues::Rows { k, v } => {
            let rows = |x| View::rows(x, total, d, shape.ldkv);
            (Keys::Lying(rows(&k[kv * d..]).transposed()), rows(&v[kv * d..]))
        }
        KeysValues::Cached(cache) => {
            let (keys, values) = cache.head(kv, total);
            (Keys::Packed(keys), values)
        }
    };
    let mut row = 0;
    while row < job.rows {
        // Blocks end at multiples of ROW_BLOCK positions, so that masked positions never reach into a further block of k.
        let position = job.start + row;
        let rows = (ROW_BLOCK - position % ROW_BLOCK).min(job.rows - row);
        let width = position + rows;
        if scores.len() < rows * width {
            scores.resize(rows * width, 0.0);
        }
        let s = &mut scores[..rows * width];
        let (q, out) = (q.from(row, 0), Out::new(s, rows, width, width));
        match k {
            Keys::Lying(k) => gemm_one_thread(ctx, rows, width, d, q, k, out, false),
            Keys::Packed(k) => k.product(ctx, rows, q, 0, width, out, false),
        }
        let stats = job.stats.map(|stats| {
            let at = (head * job.rows + row) * 2;
            // SAFETY: a head and its rows belong to one task.
            unsafe { stats.range(at, at + rows * 2) }
        });
        softmax_block(ctx, position, width, shape.scale, s, stats);
        let at = row * shape.ldo + head * d;
        for r in 0..rows {
            // SAFETY: a head's columns of out belong to one task.
            unsafe { job.out.range(at + r * shape.ldo, at + r * shape.ldo + d) }.fill(0.0);
        }
        // SAFETY: as above; the range is only used through the strided writes of this head's columns.
        let out = unsafe { job.out.strided(at, rows, d, shape.ldo) };
        gemm_one_thread(ctx, rows, d, width, View::rows(s, rows, width, width), v, out, true);
        row += rows;
    }
}
