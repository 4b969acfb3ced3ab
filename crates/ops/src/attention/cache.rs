//! Keys and values of a sequence that is being generated, head by head, in the order in which a new query reads them.

use super::AttentionShape;
use crate::matmul::{PANEL, Packed, View};

/// Positions that a cache grows by: whole panels.
const GROWTH: usize = 5 * PANEL;

/// The cache of one layer of one sequence. Cheap when empty.
#[derive(Clone, Debug)]
pub struct KvCache {
    head_dim: usize,
    /// Positions that there is room for.
    room: usize,
    heads: Vec<Head>,
}

/// What one key/value head has seen.
#[derive(Clone, Debug, Default)]
struct Head {
    /// Packed for products with queries: positions as outputs.
    keys: Packed,
    /// `room` x `head_dim`.
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for `kv_heads` heads of width `head_dim`.
    pub fn new(kv_heads: usize, head_dim: usize) -> KvCache {
        KvCache { head_dim, room: 0, heads: vec![Head::default(); kv_heads] }
    }

    /// Makes room for `positions` in all.
    pub fn reserve(&mut self, positions: usize) {
        if positions <= self.room {
            return;
        }
        self.room = positions.next_multiple_of(GROWTH);
        for Head { keys, values } in &mut self.heads {
            let before = std::mem::take(keys);
            *keys = if before.outputs() == 0 {
                Packed::new(self.room, self.head_dim)
            } else {
                before.widened(self.room)
            };
            values.resize(self.room * self.head_dim, 0.0);
        }
    }

    /// Keeps a position's key and value, `kv_heads` x `head_dim` each.
    ///
    /// # Panics
    /// When there is no room for the position, or a slice is too short.
    pub fn set(&mut self, position: usize, key: &[f32], value: &[f32]) {
        assert!(position < self.room, "cache: position {position} of {}", self.room);
        let d = self.head_dim;
        for (i, head) in self.heads.iter_mut().enumerate() {
            head.keys.set(position, &key[i * d..][..d]);
            head.values[position * d..][..d].copy_from_slice(&value[i * d..][..d]);
        }
    }

    /// A head's keys, and its values as `total` x `head_dim`.
    pub(super) fn head(&self, head: usize, total: usize) -> (&Packed, View<'_>) {
        let Head { keys, values } = &self.heads[head];
        (keys, View::rows(values, total, self.head_dim, self.head_dim))
    }

    pub(super) fn check(&self, shape: &AttentionShape, total: usize) {
        let fits =
            self.heads.len() == shape.kv_heads && self.head_dim == shape.head_dim && total <= self.room;
        assert!(fits, "attention: a cache of the shape's heads with room for {total} positions");
    }
}
