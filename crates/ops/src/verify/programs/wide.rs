//! The f64 family. In factorisation and solves, depth p of "panels" is the right-hand side after panel p.

use crate::verify::product::{Operand, Product, Step};
use crate::verify::program::{Program, Read, at, blocks};
use crate::verify::tensor::{At, Dtype, Shape};

const PANEL: u64 = crate::wide::PANEL as u64;

fn matrix(rows: u64, cols: u64) -> Shape {
    Shape::matrix(rows, cols).of(Dtype::F64)
}

pub(crate) fn nn(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", matrix(m, k)), p.input("b", matrix(k, n)));
    product(p, m, n, k, accumulate, Product::new(Operand::plain(a), Operand::plain(b), Step::WideFma));
}

pub(crate) fn nt(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", matrix(m, k)), p.input("b", matrix(n, k)));
    product(p, m, n, k, accumulate, Product::new(Operand::plain(a), Operand::turned(b), Step::WideFma));
}

pub(crate) fn tn(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool) {
    let (a, b) = (p.input("a", matrix(k, m)), p.input("b", matrix(k, n)));
    product(p, m, n, k, accumulate, Product::new(Operand::turned(a), Operand::plain(b), Step::WideFma));
}

pub(crate) fn squared_distances(p: &mut Program, m: u64, n: u64, k: u64) {
    let (x, y) = (p.input("x", matrix(m, k)), p.input("y", matrix(n, k)));
    product(p, m, n, k, false, Product::new(Operand::plain(x), Operand::turned(y), Step::WideSquare));
}

fn product(p: &mut Program, m: u64, n: u64, k: u64, accumulate: bool, product: Product) {
    let base = accumulate.then(|| p.input("c before", matrix(m, n)));
    let fold = p.fold_product("blocks", matrix(m, n), blocks(k, accumulate), base, product);
    p.last("c", fold);
}

/// The element of `fold` after the panels before `panel`, or of `base` if there are none.
fn after(read: &mut dyn Read, base: usize, fold: usize, panel: u64, row: u64, col: u64) -> f64 {
    match panel.checked_sub(1) {
        Some(depth) => read.get(fold, At { depth, row, col }),
        None => read.get(base, at(row, col)),
    }
}

pub(crate) fn cholesky(p: &mut Program, n: u64) {
    let a = p.input("a", matrix(n, n));
    let panels = p.next();
    let l = panels + 1;
    p.push("panels", matrix(n, n).times(n.div_ceil(PANEL)), move |read, place| {
        let At { depth, row: i, col: j } = place;
        let before = after(read, a, panels, depth, i, j);
        if j > i || (depth + 1) * PANEL > j {
            return before;
        }
        before
            - fold(read, depth * PANEL..(depth + 1) * PANEL, |read, q| {
                (read.get(l, at(i, q)), read.get(l, at(j, q)))
            })
    });
    p.push("l", matrix(n, n), move |read, place| {
        let (i, j) = (place.row, place.col);
        if j > i {
            return 0.0;
        }
        let panel = j / PANEL;
        let s = after(read, a, panels, panel, i, j)
            - fold(read, panel * PANEL..j, |read, q| (read.get(l, at(i, q)), read.get(l, at(j, q))));
        if i == j { s.sqrt() } else { s / read.get(l, at(j, j)) }
    });
}

/// fma from +0 over a range.
fn fold(
    read: &mut dyn Read,
    range: std::ops::Range<u64>,
    pair: impl Fn(&mut dyn Read, u64) -> (f64, f64),
) -> f64 {
    let mut acc = 0f64;
    for q in range {
        let (x, y) = pair(read, q);
        acc = x.mul_add(y, acc);
    }
    acc
}

pub(crate) fn solve_lower(p: &mut Program, n: u64, sides: u64) {
    let (l, rhs) = (p.input("l", matrix(n, n)), p.input("rhs", matrix(sides, n)));
    let panels = p.next();
    let x = panels + 1;
    p.push("panels", matrix(sides, n).times(n.div_ceil(PANEL)), move |read, place| {
        let At { depth, row: side, col: i } = place;
        let before = after(read, rhs, panels, depth, side, i);
        if (depth + 1) * PANEL > i {
            return before;
        }
        before
            - fold(read, depth * PANEL..(depth + 1) * PANEL, |read, q| {
                (read.get(l, at(i, q)), read.get(x, at(side, q)))
            })
    });
    p.push("x", matrix(sides, n), move |read, place| {
        let (side, i) = (place.row, place.col);
        let s = after(read, rhs, panels, i / PANEL, side, i)
            - fold(read, i / PANEL * PANEL..i, |read, q| (read.get(l, at(i, q)), read.get(x, at(side, q))));
        s / read.get(l, at(i, i))
    });
}

pub(crate) fn solve_lower_transposed(p: &mut Program, n: u64, sides: u64) {
    let (l, rhs) = (p.input("l", matrix(n, n)), p.input("rhs", matrix(sides, n)));
    let panels = p.next();
    let x = panels + 1;
    let depth = n.div_ceil(PANEL);
    p.push("panels", matrix(sides, n).times(depth), move |read, place| {
        let At { depth, row: side, col: i } = place;
        let before = after(read, rhs, panels, depth, side, i);
        let (start, end) = ((depth * PANEL).max(i + 1), ((depth + 1) * PANEL).min(n));
        if start >= end {
            return before;
        }
        before - fold(read, start..end, |read, q| (read.get(l, at(q, i)), read.get(x, at(side, q))))
    });
    p.push("x", matrix(sides, n), move |read, place| {
        let (side, i) = (place.row, place.col);
        after(read, rhs, panels, depth, side, i) / read.get(l, at(i, i))
    });
}
