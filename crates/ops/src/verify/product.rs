//! Folds of products: one element by its definition, and a whole leaf at once on copies of what it reads.
//!
//! Element `(i, j)` after a block is `acc = +0`, then `acc = step(a[i, q], b[q, j], acc)` for ascending `q` of the block that are
//! taken, added to what stood before. A leaf reads 64 x 256 of each operand; element by element that is two million reads through
//! openings, so [`Product::rows`] copies the operands first and folds the copies: the same steps in the same order.

use super::program::Read;
use super::tensor::{At, Rectangle};
use crate::lanes::multiversion;
use crate::path::{Ctx, Path};
use std::ops::Range;

/// An operand: which tensor, and whether it is read with row and column exchanged.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// Its tensor.
    pub tensor: usize,
    /// Whether element `(x, y)` is the tensor's `(y, x)`.
    pub turned: bool,
}

impl Operand {
    /// A tensor as it is.
    pub fn plain(tensor: usize) -> Operand {
        Operand { tensor, turned: false }
    }

    /// A tensor's transpose.
    pub fn turned(tensor: usize) -> Operand {
        Operand { tensor, turned: true }
    }

    fn get(self, read: &mut dyn Read, x: u64, y: u64) -> f64 {
        let (row, col) = if self.turned { (y, x) } else { (x, y) };
        read.get(self.tensor, At { depth: 0, row, col })
    }
}

/// One step of an accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `fma(a, b, acc)` in f32.
    Fma,
    /// `fma(a, b, acc)` in f64.
    WideFma,
    /// `d = a - b`, `fma(d, d, acc)` in f64.
    WideSquare,
}

/// A fold of products along `q`.
pub struct Product {
    /// Left operand, read at `(row, q)`.
    pub a: Operand,
    /// Right operand, read at `(q, column)`.
    pub b: Operand,
    /// The step.
    pub step: Step,
    /// Whether a row takes a `q`; all if there is none.
    pub taken: Option<Box<dyn Fn(u64, u64) -> bool>>,
}

impl Product {
    /// A product that takes every `q`.
    pub fn new(a: Operand, b: Operand, step: Step) -> Product {
        Product { a, b, step, taken: None }
    }

    fn takes(&self, row: u64, q: u64) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken(row, q))
    }

    /// The accumulator of one element after `range`.
    pub fn element(&self, read: &mut dyn Read, row: u64, col: u64, range: Range<u64>) -> f64 {
        let mut acc = 0f64;
        for q in range.filter(|q| self.takes(row, *q)) {
            let (a, b) = (self.a.get(read, row, q), self.b.get(read, q, col));
            acc = match self.step {
                Step::Fma => f64::from((a as f32).mul_add(b as f32, acc as f32)),
                Step::WideFma => a.mul_add(b, acc),
                Step::WideSquare => (a - b).mul_add(a - b, acc),
            };
        }
        acc
    }

    /// The accumulators of a rectangle after `range`, row-major.
    pub fn rows(&self, read: &mut dyn Read, r: Rectangle, range: Range<u64>) -> Vec<f64> {
        let (rows, cols) = (r.from.row..r.from.row + r.rows, r.from.col..r.from.col + r.cols);
        let mut a = Vec::with_capacity(r.rows as usize * (range.end - range.start) as usize);
        let mut taken = Vec::with_capacity(a.capacity());
        for row in rows {
            for q in range.clone() {
                let takes = self.takes(row, q);
                taken.push(takes);
                // What is not taken is not read: its leaf need not be opened.
                a.push(if takes { self.a.get(read, row, q) } else { 0.0 });
            }
        }
        let k = (range.end - range.start) as usize;
        let mut b = Vec::with_capacity(k * r.cols as usize);
        for (at, q) in range.enumerate() {
            // Nor is a row of the right operand that no row takes.
            let read_any = taken.iter().skip(at).step_by(k).any(|taken| *taken);
            b.extend(cols.clone().map(|col| if read_any { self.b.get(read, q, col) } else { 0.0 }));
        }
        let (rows, cols) = (r.rows as usize, r.cols as usize);
        let ctx = context();
        if self.step == Step::Fma {
            let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
            let (a, b, mut acc) = (narrow(&a), narrow(&b), vec![0f32; rows * cols]);
            fold(&ctx, cols, k, &a, &taken, &b, &mut acc);
            return acc.into_iter().map(f64::from).collect();
        }
        let mut acc = vec![0f64; rows * cols];
        fold_wide(&ctx, cols, k, self.step == Step::WideSquare, &a, &taken, &b, &mut acc);
        acc
    }
}

/// This processor's path: all give the same bits, and the verifier must not fail for want of one.
fn context() -> Ctx {
    Ctx::new(Path::detect(), 1).unwrap_or_else(|_| Ctx::single())
}

multiversion! { fn fold(cols: usize, k: usize, a: &[f32], taken: &[bool], b: &[f32], acc: &mut [f32]) {
    for ((acc, a), taken) in acc.chunks_exact_mut(cols).zip(a.chunks_exact(k.max(1))).zip(taken.chunks_exact(k.max(1))) {
        for ((a, taken), b) in a.iter().zip(taken).zip(b.chunks_exact(cols)) {
            if *taken {
                for (acc, b) in acc.iter_mut().zip(b) { *acc = a.mul_add(*b, *acc); }
            }
        }
    }
} }

multiversion! { fn fold_wide(cols: usize, k: usize, square: bool, a: &[f64], taken: &[bool], b: &[f64], acc: &mut [f64]) {
    for ((acc, a), taken) in acc.chunks_exact_mut(cols).zip(a.chunks_exact(k.max(1))).zip(taken.chunks_exact(k.max(1))) {
        for ((a, taken), b) in a.iter().zip(taken).zip(b.chunks_exact(cols)) {
            if *taken && square {
                for (acc, b) in acc.iter_mut().zip(b) { let d = *a - *b; *acc = d.mul_add(d, *acc); }
            } else if *taken {
                for (acc, b) in acc.iter_mut().zip(b) { *acc = a.mul_add(*b, *acc); }
            }
        }
    }
} }
