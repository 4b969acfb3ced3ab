//! The int8 family: scales, quantised values, and a product whose depth g is the sum after group g.

use crate::int8::{Bits, GROUP};
use crate::lanes::greater;
use crate::math32::round_even;
use crate::verify::program::{Program, Read, at, f};
use crate::verify::tensor::{At, Dtype, Shape};

const WIDTH: u64 = GROUP as u64;

/// Largest magnitude of a group of a row.
fn magnitude(read: &mut dyn Read, x: usize, cols: u64, row: u64, group: u64) -> f32 {
    let mut a = 0f32;
    for j in group * WIDTH..((group + 1) * WIDTH).min(cols) {
        a = greater(a, f(read, x, row, j).abs());
    }
    a
}

/// Scales (`rows` x groups) and quantised values (`rows` x `cols`) of a matrix.
fn quantised(
    p: &mut Program,
    bits: Bits,
    x: usize,
    names: [&'static str; 2],
    rows: u64,
    cols: u64,
) -> (usize, usize) {
    let levels = bits.levels();
    let scales = p.map(names[0], Shape::matrix(rows, cols.div_ceil(WIDTH)), move |read, i, g| {
        magnitude(read, x, cols, i, g) / levels
    });
    let q = p.push(names[1], Shape::matrix(rows, cols).of(Dtype::I8), move |read, place| {
        let a = magnitude(read, x, cols, place.row, place.col / WIDTH);
        let inverse = if a > 0.0 { levels / a } else { 0.0 };
        f64::from(round_even(f(read, x, place.row, place.col) * inverse) as i8)
    });
    (scales, q)
}

pub(crate) fn quantise(p: &mut Program, outputs: u64, inputs: u64) {
    let w = p.input("w", Shape::matrix(outputs, inputs));
    quantised(p, Bits::Eight, w, ["scales", "q"], outputs, inputs);
}

pub(crate) fn quantise_to_four_bits(p: &mut Program, outputs: u64, inputs: u64) {
    let w = p.input("w", Shape::matrix(outputs, inputs));
    quantised(p, Bits::Four, w, ["scales", "q"], outputs, inputs);
}

pub(crate) fn matmul(p: &mut Program, rows: u64, outputs: u64, inputs: u64, accumulate: bool) {
    let groups = inputs.div_ceil(WIDTH);
    let shape = Shape::matrix(rows, outputs);
    let x = p.input("x", Shape::matrix(rows, inputs));
    let sw = p.input("weight scales", Shape::matrix(outputs, groups));
    let qw = p.input("weights", Shape::matrix(outputs, inputs).of(Dtype::I8));
    let before = accumulate.then(|| p.input("y before", shape));
    let (sx, qx) = quantised(p, Bits::Eight, x, ["scales", "q"], rows, inputs);
    let own = p.next();
    let sums = p.push("groups", shape.times(groups), move |read, place| {
        let At { depth: g, row: i, col: j } = place;
        let acc = g.checked_sub(1).map_or(0.0, |depth| read.get(own, At { depth, ..place }) as f32);
        let mut dot = 0i32;
        for q in g * WIDTH..((g + 1) * WIDTH).min(inputs) {
            dot += read.get(qx, at(i, q)) as i32 * read.get(qw, at(j, q)) as i32;
        }
        f64::from((f(read, sx, i, g) * f(read, sw, j, g)).mul_add(dot as f32, acc))
    });
    p.map("y", shape, move |read, i, j| {
        let sum =
            groups.checked_sub(1).map_or(0.0, |depth| read.get(sums, At { depth, row: i, col: j }) as f32);
        before.map_or(sum, |before| f(read, before, i, j) + sum)
    });
}
