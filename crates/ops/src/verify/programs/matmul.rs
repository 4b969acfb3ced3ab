//! Products and column folds: depth b of "blocks" is the output after block b of k.

use crate::verify::product::{Operand, Product, Step};
use crate::verify::program::{Block, Program, Read, blocks, f};
use crate::verify::tensor::{At, Shape};

pub(crate) fn nn(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", Shape::matrix(m, k)), p.input("b", Shape::matrix(k, n)));
    product(p, m, n, k, accumulate, Operand::plain(a), Operand::plain(b));
}

pub(crate) fn nt(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", Shape::matrix(m, k)), p.input("b", Shape::matrix(n, k)));
    product(p, m, n, k, accumulate, Operand::plain(a), Operand::turned(b));
}

pub(crate) fn tn(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", Shape::matrix(k, m)), p.input("b", Shape::matrix(k, n)));
    product(p, m, n, k, accumulate, Operand::turned(a), Operand::plain(b));
}

fn product(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool, a: Operand, b: Operand) {
    let shape = Shape::matrix(m, n);
    let base = accumulate.then(|| p.input("c before", shape));
    let product = Product::new(a, b, Step::Fma);
    let fold = p.fold_product("blocks", shape, blocks(k, accumulate), base, product);
    p.last("c", fold);
}

pub(crate) fn tn_examples(p: &mut Program, m: u64, n: u64, ends: Vec<u64>, accumulate: bool) {
    let rows = ends.last().copied().unwrap_or(0);
    let (a, b) = (p.input("a", Shape::matrix(rows, m)), p.input("b", Shape::matrix(rows, n)));
    let shape = Shape::matrix(m, n);
    let base = accumulate.then(|| p.input("c before", shape));
    let product = Product::new(Operand::turned(a), Operand::plain(b), Step::Fma);
    let all = example_blocks(&ends);
    let products = (!all.is_empty()).then(|| p.fold_product("blocks", shape, all.clone(), None, product));
    add_examples(p, ["examples", "c"], shape, &all, base, products);
}

pub(crate) fn column_sums(p: &mut Program, n: u64, ends: Vec<u64>) {
    let rows = ends.last().copied().unwrap_or(0);
    let (x, out) = (p.input("x", Shape::matrix(rows, n)), p.input("out before", Shape::vector(n)));
    examples_fold(
        p,
        ["blocks", "examples", "out"],
        Shape::vector(n),
        &ends,
        Some(out),
        move |read, _, j, q, acc| acc + f(read, x, q, j),
    );
}

/// Blocks of 256 rows that restart, and set, at every example.
pub(crate) fn example_blocks(ends: &[u64]) -> Vec<Block> {
    let mut all = Vec::new();
    let mut start = 0;
    for end in ends.iter().copied().filter(|end| *end > 0) {
        if end > start {
            all.extend(blocks(end - start, false).into_iter().map(|b| Block {
                start: b.start + start,
                end: b.end + start,
                set: b.set,
            }));
            start = end;
        }
    }
    all
}

/// A fold over rows that restarts at every example: `names` are the tensors of the example's blocks, of the running total after
/// each example, and of the output, whose number is returned.
pub(crate) fn examples_fold(
    p: &mut Program,
    names: [&'static str; 3],
    shape: Shape,
    ends: &[u64],
    base: Option<usize>,
    term: impl Fn(&mut dyn Read, u64, u64, u64, f32) -> f32 + 'static,
) -> usize {
    let all = example_blocks(ends);
    let products = (!all.is_empty()).then(|| p.fold(names[0], shape, all.clone(), None, term));
    add_examples(p, [names[1], names[2]], shape, &all, base, products)
}

/// Adds the products of examples (depths of `products`, one a block) in order; the output's number is returned.
fn add_examples(
    p: &mut Program,
    names: [&'static str; 2],
    shape: Shape,
    all: &[Block],
    base: Option<usize>,
    products: Option<usize>,
) -> usize {
    let Some(products) = products else {
        return p.map(names[1], shape, move |read, i, j| base.map_or(0.0, |base| f(read, base, i, j)));
    };
    // The last block of each example that has rows.
    let last: Vec<u64> =
        (0..all.len()).filter(|b| all.get(b + 1).is_none_or(|next| next.set)).map(|b| b as u64).collect();
    let own = p.next();
    let totals = p.push(names[0], shape.times(last.len() as u64), move |read, at| {
        let product = read.get(products, At { depth: last[at.depth as usize], ..at }) as f32;
        let before = match (at.depth.checked_sub(1), base) {
            (Some(depth), _) => Some(read.get(own, At { depth, ..at }) as f32),
            (None, base) => base.map(|base| f(read, base, at.row, at.col)),
        };
        f64::from(before.map_or(product, |before| before + product))
    });
    p.last(names[1], totals)
}
