//! Norms, softmax and cross-entropy: row reductions in stripes, then elements.

use super::matmul::examples_fold;
use crate::lanes::greater;
use crate::math32::{exp, ln};
use crate::softmax::IGNORED_TARGET;
use crate::verify::program::{Program, f, plus};
use crate::verify::tensor::{Dtype, Shape};

pub(crate) fn layer_norm_fwd(p: &mut Program, rows: u64, dim: u64, eps: f32, bias: bool) {
    let shape = Shape::matrix(rows, dim);
    let (x, w) = (p.input("x", shape), p.input("w", Shape::vector(dim)));
    let b = bias.then(|| p.input("b", Shape::vector(dim)));
    let n = dim as f32;
    let sums = p.row_fold(
        "sum stripes",
        rows,
        dim,
        0.0,
        move |_| dim,
        move |read, i, j, acc| acc + f(read, x, i, j),
    );
    let mean = p.row_finish("mean", sums, plus, move |_, _, s| s / n);
    let c = p.map("centred", shape, move |read, i, j| f(read, x, i, j) - f(read, mean, i, 0));
    let r = reciprocal_root(p, rows, dim, eps, c);
    p.map("y", shape, move |read, i, j| {
        let t = (f(read, c, i, j) * f(read, r, i, 0)) * f(read, w, 0, j);
        b.map_or(t, |b| t + f(read, b, 0, j))
    });
    p.map("stats", Shape::matrix(rows, 2), move |read, i, j| f(read, if j == 0 { mean } else { r }, i, 0));
}

pub(crate) fn rms_norm_fwd(p: &mut Program, rows: u64, dim: u64, eps: f32) {
    let shape = Shape::matrix(rows, dim);
    let (x, w) = (p.input("x", shape), p.input("w", Shape::vector(dim)));
    let r = reciprocal_root(p, rows, dim, eps, x);
    p.map("y", shape, move |read, i, j| (f(read, x, i, j) * f(read, r, i, 0)) * f(read, w, 0, j));
    p.map("stats", Shape::matrix(rows, 1), move |read, i, _| f(read, r, i, 0));
}

/// `1 / sqrt(dot(c, c) / dim + eps)` of each row.
fn reciprocal_root(p: &mut Program, rows: u64, dim: u64, eps: f32, c: usize) -> usize {
    let n = dim as f32;
    let squares = p.row_fold(
        "square stripes",
        rows,
        dim,
        0.0,
        move |_| dim,
        move |read, i, j, acc| {
            let v = f(read, c, i, j);
            v.mul_add(v, acc)
        },
    );
    p.row_finish("reciprocal root", squares, plus, move |_, _, s| 1.0 / (s / n + eps).sqrt())
}

pub(crate) fn layer_norm_bwd(p: &mut Program, ends: Vec<u64>, dim: u64, add: bool) {
    norm_bwd(p, ends, dim, add, true);
}

pub(crate) fn rms_norm_bwd(p: &mut Program, ends: Vec<u64>, dim: u64, add: bool) {
    norm_bwd(p, ends, dim, add, false);
}

fn norm_bwd(p: &mut Program, ends: Vec<u64>, dim: u64, add: bool, centred: bool) {
    let rows = ends.last().copied().unwrap_or(0);
    let (shape, weights, n) = (Shape::matrix(rows, dim), Shape::vector(dim), dim as f32);
    let (x, w) = (p.input("x", shape), p.input("w", weights));
    let stats = p.input("stats", Shape::matrix(rows, if centred { 2 } else { 1 }));
    let dy = p.input("dy", shape);
    let dx_before = add.then(|| p.input("dx before", shape));
    let dw_before = p.input("dw before", weights);
    let db_before = centred.then(|| p.input("db before", weights));
    let r = u64::from(centred);
    let h = p.map("h", shape, move |read, i, j| {
        let v = f(read, x, i, j);
        (if centred { v - f(read, stats, i, 0) } else { v }) * f(read, stats, i, r)
    });
    let g = p.map("g", shape, move |read, i, j| f(read, dy, i, j) * f(read, w, 0, j));
    let mean = centred.then(|| {
        let sums = p.row_fold(
            "sum stripes",
            rows,
            dim,
            0.0,
            move |_| dim,
            move |read, i, j, acc| acc + f(read, g, i, j),
        );
        p.row_finish("mean of g", sums, plus, move |_, _, s| s / n)
    });
    let dots = p.row_fold(
        "dot stripes",
        rows,
        dim,
        0.0,
        move |_| dim,
        move |read, i, j, acc| f(read, g, i, j).mul_add(f(read, h, i, j), acc),
    );
    let inner = p.row_finish("mean of g h", dots, plus, move |_, _, s| s / n);
    p.map("dx", shape, move |read, i, j| {
        let g = f(read, g, i, j);
        let t = mean.map_or(g, |mean| g - f(read, mean, i, 0));
        let d = f(read, stats, i, r) * (t - f(read, h, i, j) * f(read, inner, i, 0));
        dx_before.map_or(d, |before| f(read, before, i, j) + d)
    });
    examples_fold(
        p,
        ["dw blocks", "dw examples", "dw"],
        weights,
        &ends,
        Some(dw_before),
        move |read, _, j, q, acc| f(read, dy, q, j).mul_add(f(read, h, q, j), acc),
    );
    if db_before.is_some() {
        examples_fold(
            p,
            ["db blocks", "db examples", "db"],
            weights,
            &ends,
            db_before,
            move |read, _, j, q, acc| acc + f(read, dy, q, j),
        );
    }
}

/// Maximum of each row over the columns it sees.
pub(crate) fn row_max(
    p: &mut Program,
    rows: u64,
    cols: u64,
    x: usize,
    seen: impl Fn(u64) -> u64 + 'static,
) -> usize {
    let stripes = p.row_fold("max stripes", rows, cols, f32::NEG_INFINITY, seen, move |read, i, j, acc| {
        greater(acc, f(read, x, i, j))
    });
    p.row_finish("max", stripes, greater, |_, _, m| m)
}

/// Sum of each row over the columns it sees.
pub(crate) fn row_sum(
    p: &mut Program,
    rows: u64,
    cols: u64,
    x: usize,
    seen: impl Fn(u64) -> u64 + 'static,
) -> usize {
    let stripes =
        p.row_fold("sum stripes", rows, cols, 0.0, seen, move |read, i, j, acc| acc + f(read, x, i, j));
    p.row_finish("sum", stripes, plus, |_, _, z| z)
}

pub(crate) fn softmax_fwd(p: &mut Program, rows: u64, n: u64) {
    let shape = Shape::matrix(rows, n);
    let x = p.input("x", shape);
    let m = row_max(p, rows, n, x, move |_| n);
    let e = p.map("e", shape, move |read, i, j| exp(f(read, x, i, j) - f(read, m, i, 0)));
    let z = row_sum(p, rows, n, e, move |_| n);
    p.map("p", shape, move |read, i, j| f(read, e, i, j) * (1.0 / f(read, z, i, 0)));
}

pub(crate) fn softmax_bwd(p: &mut Program, rows: u64, n: u64) {
    let shape = Shape::matrix(rows, n);
    let (y, d) = (p.input("p", shape), p.input("d", shape));
    let dots = p.row_fold(
        "dot stripes",
        rows,
        n,
        0.0,
        move |_| n,
        move |read, i, j, acc| f(read, y, i, j).mul_add(f(read, d, i, j), acc),
    );
    let inner = p.row_finish("inner", dots, plus, |_, _, s| s);
    p.map("out", shape, move |read, i, j| f(read, y, i, j) * (f(read, d, i, j) - f(read, inner, i, 0)));
}

pub(crate) fn cross_entropy_fwd(p: &mut Program, rows: u64, vocab: u64) {
    let shape = Shape::matrix(rows, vocab);
    let x = p.input("logits", shape);
    let targets = p.input("targets", Shape::vector(rows).of(Dtype::U32));
    let m = row_max(p, rows, vocab, x, move |_| vocab);
    let e = p.map("e", shape, move |read, i, j| exp(f(read, x, i, j) - f(read, m, i, 0)));
    let z = row_sum(p, rows, vocab, e, move |_| vocab);
    p.map(
        "stats",
        Shape::matrix(rows, 2),
        move |read, i, j| {
            if j == 0 { f(read, m, i, 0) } else { 1.0 / f(read, z, i, 0) }
        },
    );
    let loss = p.map("loss", Shape::matrix(rows, 1), move |read, i, _| {
        let target = read.get(targets, crate::verify::program::at(0, i)) as u32;
        if target == IGNORED_TARGET {
            return 0.0;
        }
        (ln(f(read, z, i, 0)) + f(read, m, i, 0)) - f(read, x, i, u64::from(target))
    });
    p.by_row(loss);
}

pub(crate) fn cross_entropy_bwd(p: &mut Program, rows: u64, vocab: u64) {
    let shape = Shape::matrix(rows, vocab);
    let x = p.input("logits", shape);
    let targets = p.input("targets", Shape::vector(rows).of(Dtype::U32));
    let (stats, dloss) = (p.input("stats", Shape::matrix(rows, 2)), p.input("dloss", Shape::vector(rows)));
    p.map("dlogits", shape, move |read, i, j| {
        let target = read.get(targets, crate::verify::program::at(0, i)) as u32;
        if target == IGNORED_TARGET {
            return 0.0;
        }
        let one = exp(f(read, x, i, j) - f(read, stats, i, 0)) * f(read, stats, i, 1);
        (if u64::from(target) == j { one - 1.0 } else { one }) * f(read, dloss, 0, i)
    });
}
