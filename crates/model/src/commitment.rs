//! Commitments of a run: checkpoint -> tensor (name, dtype, shape) -> tiles of 64 x 64 f32, and the chain of steps.
//!
//! - A matrix is cut into tiles of [`TILE`] x [`TILE`], in row-major order of tiles; the last of a row or column may be smaller. A
//!   tensor of more dimensions is the matrix of its last one; a vector counts as rows of [`TILE`] elements (its last row may be short).
//! - Leaf: `Tile(elements)`, the tile's elements row-major as little-endian f32. Which size a tile has follows from the shape.
//! - Tensor: `Tensor(name, "f32", shape, merkle root of leaves)`.
//! - Checkpoint: `Checkpoint(op-set version, step, merkle root of tensors)`; tensors are the weights in the layout's order, then the
//!   optimiser's moments.
//! - Step: `Step(previous, step, batch root, loss bits)`, from the manifest's hash on.

use ops::Ctx;
use primitives::encoding::Writer;
use primitives::hash::{Domain, hash};
use primitives::{B256, merkle};

/// Side of a tile.
pub const TILE: usize = 64;

/// Rows and columns of a shape, as tiles see it.
fn matrix(shape: &[usize], len: usize) -> (usize, usize) {
    match shape {
        [] | [_] => (len.div_ceil(TILE), TILE),
        [.., cols] => (len.checked_div(*cols).unwrap_or(0), *cols),
    }
}

/// Where a tile lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TilePlace {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile.
    pub columns: usize,
}

/// Number of tiles of a tensor.
pub fn tile_count(shape: &[usize]) -> usize {
    let (rows, cols) = matrix(shape, shape.iter().product());
    rows.div_ceil(TILE) * cols.div_ceil(TILE)
}

/// Where tile `index` of a tensor lies, seen as a matrix.
pub fn tile_place(shape: &[usize], index: usize) -> TilePlace {
    let (rows, cols) = matrix(shape, shape.iter().product());
    let across = cols.div_ceil(TILE).max(1);
    let (row, column) = (index / across * TILE, index % across * TILE);
    TilePlace {
        row,
        column,
        rows: TILE.min(rows - row.min(rows)),
        columns: TILE.min(cols - column.min(cols)),
    }
}

/// Tiles that a thread hashes at a time.
const TILES_PER_TASK: usize = 8;

/// Leaf of one tile of a tensor.
pub fn tile_leaf(shape: &[usize], data: &[f32], index: usize) -> B256 {
    let (_, cols) = matrix(shape, data.len());
    let place = tile_place(shape, index);
    if place.columns == cols && cfg!(target_endian = "little") {
        // Whole rows lie side by side as they are hashed.
        let start = place.row * cols;
        let end = (start + place.rows * cols).min(data.len());
        return hash(Domain::Tile, bytemuck::cast_slice(&data[start..end]));
    }
    let mut tile = [0f32; TILE * TILE];
    let mut n = 0;
    for row in place.row..place.row + place.rows {
        let at = row * cols + place.column;
        // Only a vector's last row can end early.
        let end = (at + place.columns).min(data.len());
        // A known length is copied without a call.
        match (tile[n..].first_chunk_mut::<TILE>(), data[at..end].first_chunk::<TILE>()) {
            (Some(to), Some(from)) => *to = *from,
            _ => tile[n..n + end - at].copy_from_slice(&data[at..end]),
        }
        n += end - at;
    }
    #[cfg(target_endian = "big")]
    tile.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits().swap_bytes()));
    hash(Domain::Tile, bytemuck::cast_slice(&tile[..n]))
}

/// Leaves of all tiles of a tensor.
pub fn tile_leaves(shape: &[usize], data: &[f32]) -> Vec<B256> {
    let count = tile_count(shape);
    // Which thread hashes a tile does not matter.
    let tiles = |group: usize| -> Vec<B256> {
        let first = group * TILES_PER_TASK;
        (first..count.min(first + TILES_PER_TASK)).map(|i| tile_leaf(shape, data, i)).collect()
    };
    ops::map(&Ctx::detect(), count.div_ceil(TILES_PER_TASK), tiles).concat()
}

/// A tensor's name, shape and leaves: enough to say which tile of two differs first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorTiles {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Leaf of every tile.
    pub leaves: Vec<B256>,
}

impl TensorTiles {
    /// Hashes a tensor.
    pub fn new(name: String, shape: &[usize], data: &[f32]) -> TensorTiles {
        TensorTiles { name, shape: shape.to_vec(), leaves: tile_leaves(shape, data) }
    }

    /// The tensor's commitment.
    pub fn root(&self) -> B256 {
        let mut w = Writer::new();
        w.text(&self.name).text("f32").list(&self.shape, |w, d| {
            w.u64(*d as u64);
        });
        w.hash(&merkle::root(&self.leaves));
        hash(Domain::Tensor, w.as_bytes())
    }
}

/// A named tensor of a checkpoint.
#[derive(Clone, Debug)]
pub struct NamedTensor<'a> {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: &'a [f32],
}

/// The tile tree of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointTree {
    /// Version of the op set that computed it.
    pub op_set: u32,
    /// Steps done.
    pub step: u64,
    /// Its tensors in order.
    pub tensors: Vec<TensorTiles>,
}

/// First place at which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TileDifference {
    /// Name of the tensor.
    pub tensor: String,
    /// Number of the tile, if the shapes agree.
    pub tile: Option<usize>,
    /// Where the tile lies.
    pub place: Option<TilePlace>,
}

impl CheckpointTree {
    /// Hashes the tensors of a checkpoint.
    pub fn new<'a>(step: u64, tensors: impl IntoIterator<Item = NamedTensor<'a>>) -> CheckpointTree {
        let tensors = tensors.into_iter().map(|t| TensorTiles::new(t.name, &t.shape, t.data)).collect();
        CheckpointTree { op_set: ops::OP_SET_VERSION, step, tensors }
    }

    /// The state root.
    pub fn root(&self) -> B256 {
        let roots: Vec<B256> = self.tensors.iter().map(TensorTiles::root).collect();
        let mut w = Writer::new();
        w.u32(self.op_set).u64(self.step).hash(&merkle::root(&roots));
        hash(Domain::Checkpoint, w.as_bytes())
    }

    /// First tensor and tile at which two trees differ.
    pub fn first_difference(&self, other: &CheckpointTree) -> Option<TileDifference> {
        for (a, b) in self.tensors.iter().zip(&other.tensors) {
            if a.name != b.name || a.shape != b.shape || a.leaves.len() != b.leaves.len() {
                return Some(TileDifference { tensor: a.name.clone(), tile: None, place: None });
            }
            if let Some(tile) = (0..a.leaves.len()).find(|i| a.leaves[*i] != b.leaves[*i]) {
                let place = Some(tile_place(&a.shape, tile));
                return Some(TileDifference { tensor: a.name.clone(), tile: Some(tile), place });
            }
        }
        let longer = if self.tensors.len() > other.tensors.len() { self } else { other };
        let extra = longer.tensors.get(self.tensors.len().min(other.tensors.len()))?;
        Some(TileDifference { tensor: extra.name.clone(), tile: None, place: None })
    }
}

/// Commitment of one example: its tokens and targets.
pub fn example_hash(tokens: &[u32], targets: &[u32]) -> B256 {
    let mut w = Writer::new();
    for list in [tokens, targets] {
        w.list(list, |w, t| {
            w.u32(*t);
        });
    }
    hash(Domain::Item, w.as_bytes())
}

/// Commitment of a batch: its examples in order.
pub fn batch_root(examples: &[B256]) -> B256 {
    merkle::root(examples)
}

/// Next link of a step chain.
pub fn step_link(previous: &B256, step: u64, batch: &B256, loss: f64) -> B256 {
    let mut w = Writer::new();
    w.hash(previous).u64(step).hash(batch).f64_bits(loss);
    hash(Domain::Step, w.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiles_cover_a_matrix_exactly() {
        for shape in
            [vec![1], vec![64], vec![65], vec![4096], vec![4097], vec![65, 130], vec![3, 5, 70], vec![1, 1]]
        {
            let len: usize = shape.iter().product();
            let elements: usize = (0..tile_count(&shape))
                .map(|i| {
                    let p = tile_place(&shape, i);
                    p.rows * p.columns
                })
                .sum();
            let padded = if shape.len() == 1 { len.next_multiple_of(TILE) } else { len };
            assert_eq!(elements, padded, "{shape:?}");
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_changes_the_leaf_of_its_tile_alone(rows in 1usize..150, cols in 1usize..150, at: prop::sample::Index, bit in 0u32..32) {
            let shape = [rows, cols];
            let data: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            let at = at.index(data.len());
            let mut changed = data.clone();
            changed[at] = f32::from_bits(data[at].to_bits() ^ (1 << bit));
            let (a, b) = (tile_leaves(&shape, &data), tile_leaves(&shape, &changed));
            let differing: Vec<usize> = (0..a.len()).filter(|i| a[*i] != b[*i]).collect();
            let (r, c) = (at / cols, at % cols);
            prop_assert_eq!(differing, vec![r / TILE * cols.div_ceil(TILE) + c / TILE]);
        }
    }

    #[test]
    fn the_root_binds_names_shapes_and_step() {
        let data = vec![1f32; 12];
        let tree = |step, name: &str, shape: &[usize]| {
            CheckpointTree::new(step, [NamedTensor { name: name.into(), shape: shape.to_vec(), data: &data }])
                .root()
        };
        let base = tree(1, "a", &[3, 4]);
        assert_ne!(base, tree(2, "a", &[3, 4]));
        assert_ne!(base, tree(1, "b", &[3, 4]));
        assert_ne!(base, tree(1, "a", &[4, 3]));
    }
}
