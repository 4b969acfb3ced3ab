//! Products and column folds: depth b of "blocks" is the output after block b of k.

use crate::verify::program::{Block, Program, Read, blocks, f};
use crate::verify::tensor::{At, Shape};

pub(crate) fn nn(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", Shape::matrix(m, k)), p.input("b", Shape::matrix(k, n)));
    product(p, m, n, k, accumulate, move |read, i, j, q, acc| {
        f(read, a, i, q).mul_add(f(read, b, q, j), acc)
    });
}

pub(crate) fn nt(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", Shape::matrix(m, k)), p.input("b", Shape::matrix(n, k)));
    product(p, m, n, k, accumulate, move |read, i, j, q, acc| {
        f(read, a, i, q).mul_add(f(read, b, j, q), acc)
    });
}

pub(crate) fn tn(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", Shape::matrix(k, m)), p.input("b", Shape::matrix(k, n)));
    product(p, m, n, k, accumulate, move |read, i, j, q, acc| {
        f(read, a, q, i).mul_add(f(read, b, q, j), acc)
    });
}

fn product(
    p: &mut Program,
    m: u64,
    n: u64,
    k: u64,
    accumulate: bool,
    term: impl Fn(&mut dyn Read, u64, u64, u64, f32) -> f32 + 'static,
) {
    let shape = Shape::matrix(m, n);
    let base = accumulate.then(|| p.input("c before", shape));
    let fold = p.fold("blocks", shape, blocks(k, accumulate), base, term);
    p.last("c", fold);
}

pub(crate) fn tn_examples(p: &mut Program, m: u64, n: u64, ends: Vec<u64>, accumulate: bool) {
    let rows = ends.last().copied().unwrap_or(0);
    let (a, b) = (p.input("a", Shape::matrix(rows, m)), p.input("b", Shape::matrix(rows, n)));
    let shape = Shape::matrix(m, n);
    let base = accumulate.then(|| p.input("c before", shape));
    let names = ["blocks", "examples", "c"];
    examples_fold(p, names, shape, &ends, base, move |read, i, j, q, acc| {
        f(read, a, q, i).mul_add(f(read, b, q, j), acc)
    });
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
    // The last block of each example that has rows.
    let last: Vec<u64> =
        (0..all.len()).filter(|b| all.get(b + 1).is_none_or(|next| next.set)).map(|b| b as u64).collect();
    if all.is_empty() {
        return p.map(names[2], shape, move |read, i, j| base.map_or(0.0, |base| f(read, base, i, j)));
    }
    let products = p.fold(names[0], shape, all, None, term);
    let own = p.next();
    let totals = p.push(names[1], shape.times(last.len() as u64), move |read, at| {
        let product = read.get(products, At { depth: last[at.depth as usize], ..at }) as f32;
        let before = match (at.depth.checked_sub(1), base) {
            (Some(depth), _) => Some(read.get(own, At { depth, ..at }) as f32),
            (None, base) => base.map(|base| f(read, base, at.row, at.col)),
        };
        f64::from(before.map_or(product, |before| before + product))
    });
    p.last(names[2], totals)
}
