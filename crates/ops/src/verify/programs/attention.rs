//! Causal attention of one head: scores, softmax over the positions seen, values in blocks.

use super::rows::{row_max, row_sum};
use crate::attention::ROW_BLOCK;
use crate::math32::exp;
use crate::matmul::K_BLOCK;
use crate::verify::op::HeadDim;
use crate::verify::product::{Operand, Product, Step};
use crate::verify::program::{Block, Program, Read, blocks, f, plus};
use crate::verify::tensor::Shape;

/// Dot product of row `i` of `x` and row `j` of `y` in matmul's order: all of a head's width at once.
fn row_dot(read: &mut dyn Read, d: u64, x: usize, i: u64, y: usize, j: u64) -> f32 {
    let mut total = 0f32;
    for (b, start) in (0..d).step_by(K_BLOCK).enumerate() {
        let mut acc = 0f32;
        for q in start..d.min(start + K_BLOCK as u64) {
            acc = f(read, x, i, q).mul_add(f(read, y, j, q), acc);
        }
        total = if b == 0 { acc } else { total + acc };
    }
    total
}

pub(crate) fn forward(p: &mut Program, rows: u64, start: u64, head_dim: HeadDim, scale: f32) {
    let (d, total) = (head_dim.0, start + rows);
    let (scores, seen) = (Shape::matrix(rows, total), move |row: u64| start + row + 1);
    let q = p.input("q", Shape::matrix(rows, d));
    let (k, v) = (p.input("k", Shape::matrix(total, d)), p.input("v", Shape::matrix(total, d)));
    let s = p.map(
        "scores",
        scores,
        move |read, i, j| {
            if j < seen(i) { row_dot(read, d, q, i, k, j) * scale } else { 0.0 }
        },
    );
    let m = row_max(p, rows, total, s, seen);
    let e = p.map(
        "e",
        scores,
        move |read, i, j| if j < seen(i) { exp(f(read, s, i, j) - f(read, m, i, 0)) } else { 0.0 },
    );
    let z = row_sum(p, rows, total, e, seen);
    let y = p.map(
        "p",
        scores,
        move |read, i, j| {
            if j < seen(i) { f(read, e, i, j) * (1.0 / f(read, z, i, 0)) } else { 0.0 }
        },
    );
    let product = Product {
        taken: Some(Box::new(move |i, j| j < seen(i))),
        ..Product::new(Operand::plain(y), Operand::plain(v), Step::Fma)
    };
    let fold = p.fold_product("blocks", Shape::matrix(rows, d), blocks(total, true), None, product);
    p.last("out", fold);
    p.map(
        "stats",
        Shape::matrix(rows, 2),
        move |read, i, j| {
            if j == 0 { f(read, m, i, 0) } else { 1.0 / f(read, z, i, 0) }
        },
    );
}

/// Rows of the group's heads one after another: `group * rows` rows of queries, statistics and output gradients.
pub(crate) fn backward(p: &mut Program, rows: u64, group: u64, head_dim: HeadDim, scale: f32) {
    let d = head_dim.0;
    let all = group * rows;
    let position = move |row: u64| row % rows.max(1);
    let seen = move |row: u64| position(row) + 1;
    let (wide, narrow, scores) = (Shape::matrix(all, d), Shape::matrix(rows, d), Shape::matrix(all, rows));
    let (q, k, v) = (p.input("q", wide), p.input("k", narrow), p.input("v", narrow));
    let (stats, dout) = (p.input("stats", Shape::matrix(all, 2)), p.input("dout", wide));
    let y = p.map("p", scores, move |read, i, j| {
        if j >= seen(i) {
            return 0.0;
        }
        exp(row_dot(read, d, q, i, k, j) * scale - f(read, stats, i, 0)) * f(read, stats, i, 1)
    });
    let dp = p.map(
        "dp",
        scores,
        move |read, i, j| if j < seen(i) { row_dot(read, d, dout, i, v, j) } else { 0.0 },
    );
    let dots = p.row_fold("dot stripes", all, rows, 0.0, seen, move |read, i, j, acc| {
        f(read, y, i, j).mul_add(f(read, dp, i, j), acc)
    });
    let inner = p.row_finish("inner", dots, plus, |_, _, s| s);
    let ds = p.map("ds", scores, move |read, i, j| {
        if j >= seen(i) {
            return 0.0;
        }
        (f(read, y, i, j) * (f(read, dp, i, j) - f(read, inner, i, 0))) * scale
    });
    let product = Product {
        taken: Some(Box::new(move |i, j| j < seen(i))),
        ..Product::new(Operand::plain(ds), Operand::plain(k), Step::Fma)
    };
    let fold = p.fold_product("dq blocks", wide, blocks(rows, true), None, product);
    p.last("dq", fold);
    let cuts: Vec<Block> = (0..group)
        .flat_map(|head| {
            (0..rows).step_by(ROW_BLOCK).map(move |row| {
                let start = head * rows + row;
                Block { start, end: start + (rows - row).min(ROW_BLOCK as u64), set: false }
            })
        })
        .collect();
    if cuts.is_empty() {
        return;
    }
    for (names, weights, rows_of) in [(["dk blocks", "dk"], ds, q), (["dv blocks", "dv"], y, dout)] {
        let product = Product {
            taken: Some(Box::new(move |j, i| j < seen(i))),
            ..Product::new(Operand::turned(weights), Operand::plain(rows_of), Step::Fma)
        };
        let fold = p.fold_product(names[0], narrow, cuts.clone(), None, product);
        p.last(names[1], fold);
    }
}
