//! Keys and values of a sequence, layer by layer.

use crate::config::Config;

/// Rows that a cache grows by.
const GROWTH_ROWS: usize = 256;

/// The cache of one sequence; rows of `kv_width` for each layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    /// Positions that are filled.
    pub length: usize,
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: &Config) -> Cache {
        Cache { length: 0, layers: vec![(Vec::new(), Vec::new()); config.layers] }
    }

    /// Makes room for `rows` more positions.
    pub fn reserve(&mut self, config: &Config, rows: usize) {
        let needed = (self.length + rows) * config.kv_width();
        for (keys, values) in &mut self.layers {
            if keys.len() < needed {
                let room = (self.length + rows).next_multiple_of(GROWTH_ROWS) * config.kv_width();
                keys.resize(room, 0.0);
                values.resize(room, 0.0);
            }
        }
    }
}
