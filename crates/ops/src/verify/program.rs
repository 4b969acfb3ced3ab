//! An op as a program: tensors, each with the rule of one of its elements.
//!
//! The tensors are the op's inputs, what must be committed in between so that no rule reads much, and its outputs. A rule reads a
//! bounded number of elements of other tensors, or of its own at an earlier depth (a fold that goes on).

use super::product::Product;
use super::tensor::{At, Dtype, Rectangle, Shape};
use std::rc::Rc;

/// Where a rule reads elements from: a whole trace, or the leaves that were opened.
pub trait Read {
    /// The element of a tensor. What cannot be given is noted by the reader and read as 0.
    fn get(&mut self, tensor: usize, at: At) -> f64;
}

/// Computes one element.
pub type Rule = Box<dyn Fn(&mut dyn Read, At) -> f64>;

/// Computes the elements of a part of one leaf, row-major: what the rule gives for each, from fewer reads.
pub type LeafRule = Box<dyn Fn(&mut dyn Read, Rectangle) -> Vec<f64>>;

/// A tensor of a program.
pub struct TensorDef {
    /// Its name in the op's definition.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// How its elements are computed; `None` for an input.
    pub rule: Option<Rule>,
    /// The same for whole leaves, where reading element by element would take long.
    pub leaf_rule: Option<LeafRule>,
    /// Whether NaN or infinity in it is wrong by itself (all but the accumulators of a maximum).
    pub finite: bool,
    /// Whether rows read leaves of their own (gathers), so that a leaf is judged by one row.
    pub by_row: bool,
}

/// The tensors of an op, in the order in which they can be computed.
#[derive(Default)]
pub struct Program {
    /// Inputs, intermediates and outputs.
    pub tensors: Vec<TensorDef>,
}

/// Stripes of a row reduction.
const STRIPES: u64 = crate::lanes::STRIPES as u64;
/// Columns that one step of a row fold takes.
const FOLD_COLS: u64 = super::tensor::TILE;

/// A block of a fold along k: its range, and whether it starts afresh.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// First k.
    pub start: u64,
    /// End of k.
    pub end: u64,
    /// Whether the output is set by this block rather than added to.
    pub set: bool,
}

/// Blocks of 256 of `0..k`; the first sets unless accumulating. At least one, so that an empty product has a value.
pub fn blocks(k: u64, accumulate: bool) -> Vec<Block> {
    let step = crate::matmul::K_BLOCK as u64;
    let count = k.div_ceil(step).max(1);
    (0..count)
        .map(|b| Block { start: b * step, end: ((b + 1) * step).min(k), set: b == 0 && !accumulate })
        .collect()
}

/// The element at `(row, col)` of a tensor without depth.
pub fn at(row: u64, col: u64) -> At {
    At { depth: 0, row, col }
}

/// Reads an f32.
pub fn f(read: &mut dyn Read, tensor: usize, row: u64, col: u64) -> f32 {
    read.get(tensor, at(row, col)) as f32
}

impl Program {
    /// Adds an input.
    pub fn input(&mut self, name: &'static str, shape: Shape) -> usize {
        self.tensors.push(TensorDef {
            name,
            shape,
            rule: None,
            leaf_rule: None,
            finite: true,
            by_row: false,
        });
        self.tensors.len() - 1
    }

    /// Adds a computed tensor.
    pub fn push(
        &mut self,
        name: &'static str,
        shape: Shape,
        rule: impl Fn(&mut dyn Read, At) -> f64 + 'static,
    ) -> usize {
        let rule: Option<Rule> = Some(Box::new(rule));
        self.tensors.push(TensorDef { name, shape, rule, leaf_rule: None, finite: true, by_row: false });
        self.tensors.len() - 1
    }

    /// Adds a computed matrix or vector of f32 without depth.
    pub fn map(
        &mut self,
        name: &'static str,
        shape: Shape,
        rule: impl Fn(&mut dyn Read, u64, u64) -> f32 + 'static,
    ) -> usize {
        self.push(name, shape, move |read, at| f64::from(rule(read, at.row, at.col)))
    }

    /// The number that the next tensor will have: a fold's rule reads its own earlier depth.
    pub fn next(&self) -> usize {
        self.tensors.len()
    }

    /// A fold along k in blocks: `depth` b holds the output after block b. `term(read, row, col, k, acc)` takes one step of the
    /// accumulator; `base` is what an accumulating fold starts from.
    pub fn fold(
        &mut self,
        name: &'static str,
        shape: Shape,
        blocks: Vec<Block>,
        base: Option<usize>,
        term: impl Fn(&mut dyn Read, u64, u64, u64, f32) -> f32 + 'static,
    ) -> usize {
        let own = self.next();
        self.push(name, shape.times(blocks.len() as u64), move |read, at| {
            let block = blocks[at.depth as usize];
            let mut acc = 0f32;
            for k in block.start..block.end {
                acc = term(read, at.row, at.col, k, acc);
            }
            let before = before(read, own, base, &blocks, at) as f32;
            f64::from(match (block.set, block.start == block.end) {
                (true, _) => acc,
                (false, true) => before,
                (false, false) => before + acc,
            })
        })
    }

    /// A fold of products in blocks, in f32 or f64 as its step says. `depth` and `base` as in [`Program::fold`].
    pub fn fold_product(
        &mut self,
        name: &'static str,
        shape: Shape,
        blocks: Vec<Block>,
        base: Option<usize>,
        product: Product,
    ) -> usize {
        let (own, wide) = (self.next(), shape.dtype == Dtype::F64);
        let (product, blocks) = (Rc::new(product), Rc::new(blocks));
        let join = move |block: Block, before: f64, acc: f64| match (block.set, block.start == block.end) {
            (true, _) => acc,
            (false, true) => before,
            (false, false) if wide => before + acc,
            (false, false) => f64::from(before as f32 + acc as f32),
        };
        let (one, all) = ((product.clone(), blocks.clone()), (product, blocks));
        let index = self.push(name, shape.times(all.1.len() as u64), move |read, at| {
            let (product, blocks) = &one;
            let block = blocks[at.depth as usize];
            let acc = product.element(read, at.row, at.col, block.start..block.end);
            join(block, before(read, own, base, blocks, at), acc)
        });
        self.tensors[index].leaf_rule = Some(Box::new(move |read, r| {
            let (product, blocks) = &all;
            let block = blocks[r.from.depth as usize];
            let mut values = product.rows(read, r, block.start..block.end).into_iter();
            let mut out = Vec::with_capacity(values.len());
            for row in r.from.row..r.from.row + r.rows {
                for col in r.from.col..r.from.col + r.cols {
                    let at = At { depth: r.from.depth, row, col };
                    let acc = values.next().unwrap_or(0.0);
                    out.push(join(block, before(read, own, base, blocks, at), acc));
                }
            }
            out
        }));
        index
    }

    /// The last depth of a fold, as a tensor of its own: the op's output.
    pub fn last(&mut self, name: &'static str, fold: usize) -> usize {
        let shape = self.tensors[fold].shape;
        let depth = shape.depth - 1;
        self.push(name, shape.times(1), move |read, at| read.get(fold, At { depth, ..at }))
    }

    /// Stripes of a row reduction after each 64 columns: depth t holds `rows` x 16 after columns `64 t .. 64 t + 64`. Row `r`
    /// takes columns below `seen(r)`.
    pub fn row_fold(
        &mut self,
        name: &'static str,
        rows: u64,
        cols: u64,
        start: f32,
        seen: impl Fn(u64) -> u64 + 'static,
        term: impl Fn(&mut dyn Read, u64, u64, f32) -> f32 + 'static,
    ) -> usize {
        let own = self.next();
        let depth = cols.div_ceil(FOLD_COLS).max(1);
        let index = self.push(name, Shape::matrix(rows, STRIPES).times(depth), move |read, at| {
            let mut acc = match at.depth.checked_sub(1) {
                Some(depth) => read.get(own, At { depth, ..at }) as f32,
                None => start,
            };
            let end = ((at.depth + 1) * FOLD_COLS).min(seen(at.row));
            let mut col = at.depth * FOLD_COLS + at.col;
            while col < end {
                acc = term(read, at.row, col, acc);
                col += STRIPES;
            }
            f64::from(acc)
        });
        self.tensors[index].finite = start.is_finite();
        index
    }

    /// A number for each row (`rows` x 1) from the folded stripes of a reduction.
    pub fn row_finish(
        &mut self,
        name: &'static str,
        stripes: usize,
        join: fn(f32, f32) -> f32,
        finish: impl Fn(&mut dyn Read, u64, f32) -> f32 + 'static,
    ) -> usize {
        let shape = self.tensors[stripes].shape;
        self.map(name, Shape::matrix(shape.rows, 1), move |read, row, _| {
            let depth = shape.depth - 1;
            let mut s: [f32; STRIPES as usize] =
                std::array::from_fn(|i| read.get(stripes, At { depth, row, col: i as u64 }) as f32);
            let mut width = s.len() / 2;
            while width > 0 {
                for i in 0..width {
                    s[i] = join(s[i], s[i + width]);
                }
                width /= 2;
            }
            finish(read, row, s[0])
        })
    }

    /// Marks the tensor added last as judged by rows.
    pub fn by_row(&mut self, tensor: usize) -> usize {
        self.tensors[tensor].by_row = true;
        tensor
    }
}

/// What a fold's block adds to: its own earlier depth, or the base.
fn before(read: &mut dyn Read, own: usize, base: Option<usize>, blocks: &[Block], at: At) -> f64 {
    if blocks[at.depth as usize].set {
        return 0.0;
    }
    match (at.depth.checked_sub(1), base) {
        (Some(depth), _) => read.get(own, At { depth, ..at }),
        (None, Some(base)) => read.get(base, At { depth: 0, ..at }),
        (None, None) => 0.0,
    }
}

/// Joins two partial sums.
pub fn plus(a: f32, b: f32) -> f32 {
    a + b
}
