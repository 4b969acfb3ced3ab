//! Keys and values of a sequence, layer by layer.

use crate::config::Config;
use ops::KvCache;

/// The cache of one sequence.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    /// Positions that are filled.
    pub length: usize,
    pub layers: Vec<KvCache>,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: &Config) -> Cache {
        Cache { length: 0, layers: vec![KvCache::new(config.kv_heads, config.head_dim); config.layers] }
    }

    /// Makes room for `rows` more positions.
    pub fn reserve(&mut self, rows: usize) {
        self.layers.iter_mut().for_each(|layer| layer.reserve(self.length + rows));
    }
}
