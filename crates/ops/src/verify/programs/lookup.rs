//! Ops that read where an index says: embeddings and rotary tables. Leaves that gather are judged by one row.

use super::matmul::example_blocks;
use crate::rope::RopePairs;
use crate::verify::op::HeadDim;
use crate::verify::program::{Program, Read, at, f};
use crate::verify::tensor::{At, Dtype, Shape};

/// Entry `i` of a vector of indices.
fn index(read: &mut dyn Read, tensor: usize, i: u64) -> u64 {
    read.get(tensor, at(0, i)) as u64
}

pub(crate) fn embedding_fwd(p: &mut Program, rows: u64, vocab: u64, dim: u64, accumulate: bool) {
    let shape = Shape::matrix(rows, dim);
    let (ids, table) =
        (p.input("ids", Shape::vector(rows).of(Dtype::U32)), p.input("table", Shape::matrix(vocab, dim)));
    let before = accumulate.then(|| p.input("out before", shape));
    let out = p.map("out", shape, move |read, i, j| {
        let id = index(read, ids, i);
        let v = f(read, table, id, j);
        before.map_or(v, |before| f(read, before, i, j) + v)
    });
    p.by_row(out);
}

pub(crate) fn embedding_bwd(p: &mut Program, ends: Vec<u64>, vocab: u64, dim: u64) {
    let rows = ends.last().copied().unwrap_or(0);
    let shape = Shape::matrix(vocab, dim);
    let ids = p.input("ids", Shape::vector(rows).of(Dtype::U32));
    let (dy, before) = (p.input("dy", Shape::matrix(rows, dim)), p.input("grad before", shape));
    let all = example_blocks(&ends);
    let last: Vec<u64> =
        (0..all.len()).filter(|b| all.get(b + 1).is_none_or(|next| next.set)).map(|b| b as u64).collect();
    if all.is_empty() {
        p.map("grad", shape, move |read, i, j| f(read, before, i, j));
        return;
    }
    // Whether an id has occurred in its example up to the block.
    let own = p.next();
    let cuts = all.clone();
    let present =
        p.push("present", Shape::vector(vocab).of(Dtype::I8).times(all.len() as u64), move |read, at| {
            let block = cuts[at.depth as usize];
            let earlier = !block.set && read.get(own, At { depth: at.depth - 1, ..at }) != 0.0;
            let here = (block.start..block.end).any(|row| index(read, ids, row) == at.col);
            f64::from(u8::from(earlier || here))
        });
    let products = p.fold("blocks", shape, all, None, move |read, id, j, row, acc| {
        if index(read, ids, row) == id { acc + f(read, dy, row, j) } else { acc }
    });
    let own = p.next();
    let totals = p.push("examples", shape.times(last.len() as u64), move |read, at| {
        let earlier = match at.depth.checked_sub(1) {
            Some(depth) => read.get(own, At { depth, ..at }) as f32,
            None => f(read, before, at.row, at.col),
        };
        let depth = last[at.depth as usize];
        if read.get(present, At { depth, row: 0, col: at.row }) == 0.0 {
            return f64::from(earlier);
        }
        f64::from(earlier + read.get(products, At { depth, ..at }) as f32)
    });
    p.last("grad", totals);
}

pub(crate) fn rope_fwd(
    p: &mut Program,
    rows: u64,
    heads: u64,
    head_dim: HeadDim,
    rotated: HeadDim,
    positions: u64,
    pairs: RopePairs,
) {
    turn(p, rows, heads, head_dim.0, rotated.0 / 2, positions, pairs, 1.0);
}

pub(crate) fn rope_bwd(
    p: &mut Program,
    rows: u64,
    heads: u64,
    head_dim: HeadDim,
    rotated: HeadDim,
    positions: u64,
    pairs: RopePairs,
) {
    turn(p, rows, heads, head_dim.0, rotated.0 / 2, positions, pairs, -1.0);
}

fn turn(
    p: &mut Program,
    rows: u64,
    heads: u64,
    head_dim: u64,
    half: u64,
    positions: u64,
    pairs: RopePairs,
    sign: f32,
) {
    let shape = Shape::matrix(rows, heads * head_dim);
    let x = p.input("x", shape);
    let at_row = p.input("positions", Shape::vector(rows).of(Dtype::U32));
    let (cos, sin) =
        (p.input("cos", Shape::matrix(positions, half)), p.input("sin", Shape::matrix(positions, half)));
    let out = p.map("out", shape, move |read, i, j| {
        let (head, within) = (j / head_dim * head_dim, j % head_dim);
        if within >= 2 * half {
            return f(read, x, i, j);
        }
        let (pair, second) = match pairs {
            RopePairs::Halves => (within % half, within >= half),
            RopePairs::Neighbours => (within / 2, within % 2 == 1),
        };
        let (a, b) = match pairs {
            RopePairs::Halves => (head + pair, head + pair + half),
            RopePairs::Neighbours => (head + 2 * pair, head + 2 * pair + 1),
        };
        let position = index(read, at_row, i);
        let (c, s) = (f(read, cos, position, pair), f(read, sin, position, pair) * sign);
        let (a, b) = (f(read, x, i, a), f(read, x, i, b));
        if second { b.mul_add(c, a * s) } else { a.mul_add(c, -(b * s)) }
    });
    p.by_row(out);
}
