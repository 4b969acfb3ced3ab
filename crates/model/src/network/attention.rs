//! Attention over the sequences of a batch: whole ones when training, or new rows behind a cache when generating.

use super::activations::LayerActivations;
use crate::config::Config;
use ops::{
    AttentionGrad, AttentionSeq, AttentionShape, Ctx, Examples, KeysValues, KvCache, QkvGradients,
    attention_bwd, attention_fwd,
};

/// One layer of a sequence that is being generated, the new keys and values not yet kept.
#[derive(Debug)]
pub(crate) struct CachedSequence<'a> {
    /// Positions already there.
    pub start: usize,
    /// New rows of this pass.
    pub rows: usize,
    /// Room for at least `start + rows` positions.
    pub cache: &'a mut KvCache,
}

/// The sequences of a pass.
pub(crate) enum Sequences<'s, 'a> {
    /// Whole sequences from position 0.
    Whole(Examples<'s>),
    /// New rows behind cached ones.
    Cached(&'s mut [CachedSequence<'a>]),
}

/// 1 / sqrt(head_dim), in f32.
fn score_scale(config: &Config) -> f32 {
    1.0 / (config.head_dim as f32).sqrt()
}

/// `acts.attended` and softmax statistics from `acts.qkv`.
pub(super) fn attend(
    ctx: &Ctx,
    config: &Config,
    sequences: &mut Sequences<'_, '_>,
    acts: &mut LayerActivations,
) {
    let (q, kv) = (config.query_width(), config.kv_width());
    let ld = q + 2 * kv;
    let shape = AttentionShape {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        scale: score_scale(config),
        ldq: ld,
        ldkv: ld,
        ldo: q,
    };
    match sequences {
        Sequences::Whole(examples) => {
            let (mut out, mut stats) = (&mut acts.attended[..], &mut acts.attention_stats[..]);
            let mut seqs = Vec::with_capacity(examples.count());
            for range in examples.ranges() {
                let rows = range.len();
                let (this, rest) = std::mem::take(&mut out).split_at_mut(rows * q);
                let (this_stats, rest_stats) =
                    std::mem::take(&mut stats).split_at_mut(rows * config.heads * 2);
                (out, stats) = (rest, rest_stats);
                if rows == 0 {
                    continue;
                }
                let qkv = &acts.qkv[range.start * ld..range.end * ld];
                let kv = KeysValues::Rows { k: &qkv[q..], v: &qkv[q + kv..] };
                seqs.push(AttentionSeq { start: 0, rows, q: qkv, kv, out: this, stats: Some(this_stats) });
            }
            attention_fwd(ctx, &shape, &mut seqs);
        }
        Sequences::Cached(cached) => {
            let (mut out, mut stats) = (&mut acts.attended[..], &mut acts.attention_stats[..]);
            let mut first = 0;
            let mut seqs = Vec::with_capacity(cached.len());
            for c in cached.iter_mut() {
                let qkv = &acts.qkv[first * ld..(first + c.rows) * ld];
                first += c.rows;
                for (i, row) in qkv.chunks_exact(ld).enumerate() {
                    c.cache.set(c.start + i, &row[q..q + kv], &row[q + kv..]);
                }
                let (this, rest) = std::mem::take(&mut out).split_at_mut(c.rows * q);
                let (this_stats, rest_stats) =
                    std::mem::take(&mut stats).split_at_mut(c.rows * config.heads * 2);
                (out, stats) = (rest, rest_stats);
                let (start, rows) = (c.start, c.rows);
                seqs.push(AttentionSeq {
                    start,
                    rows,
                    q: qkv,
                    kv: KeysValues::Cached(c.cache),
                    out: this,
                    stats: Some(this_stats),
                });
            }
            attention_fwd(ctx, &shape, &mut seqs);
        }
    }
}

/// `dqkv` from `dattended`.
pub(super) fn attend_bwd(
    ctx: &Ctx,
    config: &Config,
    examples: Examples<'_>,
    acts: &LayerActivations,
    dattended: &[f32],
    mut dqkv: &mut [f32],
) {
    let (q, kv) = (config.query_width(), config.kv_width());
    let ld = q + 2 * kv;
    let shape = AttentionShape {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        scale: score_scale(config),
        ldq: ld,
        ldkv: ld,
        ldo: q,
    };
    let mut seqs = Vec::with_capacity(examples.count());
    for range in examples.ranges() {
        let (this, rest) = std::mem::take(&mut dqkv).split_at_mut(range.len() * ld);
        dqkv = rest;
        if range.is_empty() {
            continue;
        }
        let qkv = &acts.qkv[range.start * ld..range.end * ld];
        seqs.push(AttentionGrad {
            rows: range.len(),
            q: qkv,
            k: &qkv[q..],
            v: &qkv[q + kv..],
            stats: &acts.attention_stats[range.start * config.heads * 2..range.end * config.heads * 2],
            dout: &dattended[range.start * q..range.end * q],
            gradients: QkvGradients::Joined(this),
        });
    }
    attention_bwd(ctx, &shape, &mut seqs);
}
