//! Committed tensors: shapes, leaves, and a tensor held with its tree.
//!
//! A matrix is cut into tiles of 64 x 64, row-major; tiles at the edges are smaller. A vector is cut into runs of 4,096. A leaf is
//! `Domain::Tile` over the tile's elements, row-major, little-endian. A tensor with a depth is so many matrices one after another.

use primitives::B256;
use primitives::hash::{Domain, hash};
use primitives::merkle::Tree;

/// Side of a tile.
pub const TILE: u64 = 64;
/// Elements of a run of a vector.
pub const RUN: u64 = TILE * TILE;

/// Element type of a committed tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
    /// Signed byte.
    I8,
    /// Index: token ids, targets, positions.
    U32,
}

impl Dtype {
    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        match self {
            Dtype::F32 | Dtype::U32 => 4,
            Dtype::F64 => 8,
            Dtype::I8 => 1,
        }
    }
}

/// Shape of a committed tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Element type.
    pub dtype: Dtype,
    /// Number of matrices.
    pub depth: u64,
    /// Rows of a matrix; 1 for a vector.
    pub rows: u64,
    /// Columns of a matrix, or length of a vector.
    pub cols: u64,
    /// Whether leaves are runs of a vector.
    pub vector: bool,
}

/// An element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Which matrix.
    pub depth: u64,
    /// Row in it.
    pub row: u64,
    /// Column in it.
    pub col: u64,
}

/// The elements of a leaf: a rectangle of one matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// First element.
    pub from: At,
    /// Rows.
    pub rows: u64,
    /// Columns.
    pub cols: u64,
}

impl Shape {
    /// A matrix of f32.
    pub fn matrix(rows: u64, cols: u64) -> Shape {
        Shape { dtype: Dtype::F32, depth: 1, rows, cols, vector: false }
    }

    /// A vector of f32.
    pub fn vector(len: u64) -> Shape {
        Shape { dtype: Dtype::F32, depth: 1, rows: 1, cols: len, vector: true }
    }

    /// The same with another element type.
    pub fn of(self, dtype: Dtype) -> Shape {
        Shape { dtype, ..self }
    }

    /// So many of the same.
    pub fn times(self, depth: u64) -> Shape {
        Shape { depth, ..self }
    }

    /// Elements in all.
    pub fn len(&self) -> u64 {
        self.depth * self.rows * self.cols
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn leaf_size(&self) -> (u64, u64) {
        if self.vector { (1, RUN) } else { (TILE, TILE) }
    }

    /// Leaves down and across one matrix.
    fn grid(&self) -> (u64, u64) {
        let (h, w) = self.leaf_size();
        (self.rows.div_ceil(h), self.cols.div_ceil(w))
    }

    /// Number of leaves.
    pub fn leaves(&self) -> u64 {
        let (down, across) = self.grid();
        self.depth * down * across
    }

    /// The elements of a leaf, or `None` past the end.
    pub fn rectangle(&self, leaf: u64) -> Option<Rectangle> {
        if leaf >= self.leaves() {
            return None;
        }
        let ((h, w), (down, across)) = (self.leaf_size(), self.grid());
        let (depth, rest) = (leaf / (down * across), leaf % (down * across));
        let from = At { depth, row: rest / across * h, col: rest % across * w };
        Some(Rectangle { from, rows: h.min(self.rows - from.row), cols: w.min(self.cols - from.col) })
    }

    /// The leaf that holds an element and the element's place in it, or `None` outside.
    pub fn place(&self, at: At) -> Option<(u64, usize)> {
        if at.depth >= self.depth || at.row >= self.rows || at.col >= self.cols {
            return None;
        }
        let ((h, w), (down, across)) = (self.leaf_size(), self.grid());
        let leaf = (at.depth * down + at.row / h) * across + at.col / w;
        let width = w.min(self.cols - at.col / w * w);
        Some((leaf, (at.row % h * width + at.col % w) as usize))
    }

    /// Bytes of a leaf.
    pub fn leaf_bytes(&self, leaf: u64) -> Option<u64> {
        self.rectangle(leaf).map(|r| r.rows * r.cols * self.dtype.bytes())
    }
}

/// Element `index` of a leaf's bytes; 0 if it is not there.
pub fn decode(dtype: Dtype, bytes: &[u8], index: usize) -> f64 {
    fn word<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
        bytes.get(index * N..).and_then(|b| b.first_chunk()).copied().unwrap_or([0; N])
    }
    match dtype {
        Dtype::F32 => f64::from(f32::from_le_bytes(word(bytes, index))),
        Dtype::F64 => f64::from_le_bytes(word(bytes, index)),
        Dtype::I8 => f64::from(i8::from_le_bytes(word(bytes, index))),
        Dtype::U32 => f64::from(u32::from_le_bytes(word(bytes, index))),
    }
}

/// The bytes of an element.
pub fn encode(dtype: Dtype, value: f64, out: &mut Vec<u8>) {
    match dtype {
        Dtype::F32 => out.extend((value as f32).to_le_bytes()),
        Dtype::F64 => out.extend(value.to_le_bytes()),
        Dtype::I8 => out.extend((value as i8).to_le_bytes()),
        Dtype::U32 => out.extend((value as u32).to_le_bytes()),
    }
}

/// Digest of a leaf.
pub fn leaf_digest(bytes: &[u8]) -> B256 {
    hash(Domain::Tile, bytes)
}

/// A tensor with its leaves and their tree, as whoever computed it holds it.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its shape.
    pub shape: Shape,
    leaves: Vec<Vec<u8>>,
    tree: Tree,
}

impl Tensor {
    /// A tensor whose element at a place is `value(place)`; the function is called leaf by leaf, row-major.
    pub fn new(shape: Shape, mut value: impl FnMut(At) -> f64) -> Tensor {
        let leaves = (0..shape.leaves())
            .map(|leaf| {
                let r = shape.rectangle(leaf).expect("below the number of leaves");
                let mut bytes = Vec::with_capacity((r.rows * r.cols * shape.dtype.bytes()) as usize);
                for row in r.from.row..r.from.row + r.rows {
                    for col in r.from.col..r.from.col + r.cols {
                        encode(shape.dtype, value(At { depth: r.from.depth, row, col }), &mut bytes);
                    }
                }
                bytes
            })
            .collect();
        Tensor::from_leaves(shape, leaves)
    }

    /// A tensor from its leaves' bytes.
    pub fn from_leaves(shape: Shape, leaves: Vec<Vec<u8>>) -> Tensor {
        let tree = Tree::new(leaves.iter().map(|b| leaf_digest(b)).collect());
        Tensor { shape, leaves, tree }
    }

    /// A tensor of f32 from row-major elements.
    pub fn from_f32(shape: Shape, x: &[f32]) -> Tensor {
        Tensor::new(shape, |at| {
            f64::from(x[((at.depth * shape.rows + at.row) * shape.cols + at.col) as usize])
        })
    }

    /// The root of its leaves.
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// Its leaves' bytes.
    pub fn leaves(&self) -> &[Vec<u8>] {
        &self.leaves
    }

    /// The tree over its leaves.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// An element; 0 outside.
    pub fn get(&self, at: At) -> f64 {
        match self.shape.place(at) {
            Some((leaf, index)) => decode(self.shape.dtype, &self.leaves[leaf as usize], index),
            None => 0.0,
        }
    }
}
