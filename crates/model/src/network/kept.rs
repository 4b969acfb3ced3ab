//! A forward pass that was taken a few rows at a time while a sequence was generated, kept for its backward pass.
//!
//! Every op computes a row from its own sequence alone, so what generation computed, row by row behind its cache, has the bits of one pass over the
//! whole sequence: a gradient that starts from it has them too, and a third of its work is done.

use super::activations::{Activations, LayerActivations};
use crate::config::{Config, Family};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The activations of a sequence's rows so far.
#[derive(Debug)]
pub struct Kept {
    tokens: Vec<u32>,
    /// Rows that there is room for.
    rows_max: usize,
    _room: Room,
    layers: Vec<KeptLayer>,
    /// The residual stream after the last block, rows x `hidden`.
    output: Vec<f32>,
}

/// Bytes that are set aside, from [`Room::take`] until it is dropped, wherever that is.
#[derive(Debug)]
struct Room {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    /// `None` when more than `most` bytes would be taken.
    fn take(taken: &Arc<AtomicUsize>, bytes: usize, most: usize) -> Option<Room> {
        let more = |now: usize| now.checked_add(bytes).filter(|after| *after <= most);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Room { taken: taken.clone(), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One block's; `rows` holds what is a row a row.
#[derive(Debug, Default)]
struct KeptLayer {
    rows: LayerActivations,
    /// Softmax statistics, a row a row: `heads` pairs.
    attention_stats: Vec<f32>,
    query_stats: Vec<f32>,
    key_stats: Vec<f32>,
}

/// Numbers of a row that one block keeps.
fn row_width(config: &Config) -> usize {
    let (d, f, q, kv) = (config.hidden, config.intermediate, config.query_width(), config.kv_width());
    // Input, two norms, middle; query, key, value, attended; gate, up, active; raw query and key; statistics.
    4 * d + 2 * q + 2 * kv + 3 * f + q + kv + 4 * config.heads + config.kv_heads + 4
}

impl Kept {
    /// Bytes that a sequence of `rows` rows takes at most.
    pub(crate) fn bytes(config: &Config, rows: usize) -> usize {
        4 * rows * (config.layers * row_width(config) + config.hidden)
    }

    /// Nothing yet of up to `rows` rows, if their bytes and those `taken` by others are not more than `most`.
    pub(crate) fn new(config: &Config, rows: usize, taken: &Arc<AtomicUsize>, most: usize) -> Option<Kept> {
        let room = Room::take(taken, Kept::bytes(config, rows), most)?;
        let layers = std::iter::repeat_with(KeptLayer::default).take(config.layers).collect();
        Some(Kept { tokens: Vec::new(), rows_max: rows, _room: room, layers, output: Vec::new() })
    }

    /// Tokens that were passed, in order.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Takes the tokens of a pass's `rows` new rows in, before their blocks.
    pub(crate) fn begin(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// Takes rows of a block in, of the `total` rows that its pass had.
    pub(crate) fn block(
        &mut self,
        config: &Config,
        index: usize,
        acts: &LayerActivations,
        rows: Range<usize>,
        total: usize,
    ) {
        let rows_max = self.rows_max;
        let kept = &mut self.layers[index];
        let to = &mut kept.rows;
        for (to, from) in to.each_row_mut().into_iter().zip(acts.each_row()) {
            let width = from.len() / total;
            append(to, &from[rows.start * width..rows.end * width], rows_max * width);
        }
        // Statistics of a sequence stand head by head.
        let (heads, count) = (config.heads, rows.len());
        let stats = &acts.attention_stats[rows.start * heads * 2..rows.end * heads * 2];
        for row in 0..count {
            for head in 0..heads {
                let at = (head * count + row) * 2;
                append(&mut kept.attention_stats, &stats[at..at + 2], rows_max * heads * 2);
            }
        }
        if !acts.head_stats.is_empty() {
            let (query, key) = acts.head_stats.split_at(total * heads);
            let parts = [(&mut kept.query_stats, query, heads), (&mut kept.key_stats, key, config.kv_heads)];
            for (to, from, width) in parts {
                append(to, &from[rows.start * width..rows.end * width], rows_max * width);
            }
        }
    }

    /// Takes rows of the last block's output in.
    pub(crate) fn end(&mut self, config: &Config, output: &[f32]) {
        append(&mut self.output, output, self.rows_max * config.hidden);
    }

    /// The buffers of a pass over the first `rows` rows, up to the last block.
    pub(super) fn into_activations(self, config: &Config, rows: usize, acts: &mut Activations) {
        let passed = self.tokens.len();
        let per_norm = if config.family == Family::Gpt2 { 2 } else { 1 };
        acts.layers.resize_with(config.layers, LayerActivations::default);
        for (layer, kept) in acts.layers.iter_mut().zip(self.layers) {
            *layer = kept.rows;
            for buffer in layer.each_row_mut() {
                buffer.truncate(buffer.len() / passed * rows);
            }
            debug_assert_eq!(layer.attention_norm_stats.len(), rows * per_norm);
            let heads = config.heads;
            layer.attention_stats.clear();
            for head in 0..heads {
                let of_head = |row: usize| &kept.attention_stats[(row * heads + head) * 2..][..2];
                layer.attention_stats.extend((0..rows).flat_map(of_head));
            }
            if !kept.query_stats.is_empty() {
                layer.head_stats.clear();
                layer.head_stats.extend_from_slice(&kept.query_stats[..rows * heads]);
                layer.head_stats.extend_from_slice(&kept.key_stats[..rows * config.kv_heads]);
            }
        }
        acts.output = self.output;
        acts.output.truncate(rows * config.hidden);
    }
}

/// Appends, with room for `most` numbers in all from the start: growing by doubling would take up to twice what is set aside.
fn append(to: &mut Vec<f32>, more: &[f32], most: usize) {
    if to.capacity() < most {
        to.reserve_exact(most - to.len());
    }
    to.extend_from_slice(more);
}

impl LayerActivations {
    /// The buffers that hold a row a row.
    fn each_row(&self) -> [&Vec<f32>; 13] {
        [
            &self.input,
            &self.attention_norm,
            &self.attention_norm_stats,
            &self.qkv,
            &self.raw_query,
            &self.raw_key,
            &self.attended,
            &self.middle,
            &self.feed_forward_norm,
            &self.feed_forward_norm_stats,
            &self.gate,
            &self.up,
            &self.active,
        ]
    }

    fn each_row_mut(&mut self) -> [&mut Vec<f32>; 13] {
        [
            &mut self.input,
            &mut self.attention_norm,
            &mut self.attention_norm_stats,
            &mut self.qkv,
            &mut self.raw_query,
            &mut self.raw_key,
            &mut self.attended,
            &mut self.middle,
            &mut self.feed_forward_norm,
            &mut self.feed_forward_norm_stats,
            &mut self.gate,
            &mut self.up,
            &mut self.active,
        ]
    }
}
